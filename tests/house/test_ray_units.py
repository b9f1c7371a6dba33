"""The units of a cluster: their ports are those of the manual, and of the configuration a node sees the models' descriptions alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
UNITS = ("goldsmith-ray-head", "goldsmith-ray-node")


def settings_of(unit: str) -> dict[str, str]:
    """Return the last value of each setting of a unit."""
    text = (REPOSITORY / "systemd" / f"{unit}.service").read_text().replace("\\\n", " ")
    return dict(line.split("=", 1) for line in text.splitlines() if re.match(r"[A-Z]\w+=", line))


@pytest.mark.parametrize("unit", UNITS)
def test_a_node_sees_the_descriptions_of_the_models_and_nothing_else_of_the_configuration(unit: str) -> None:
    """Without them no node is accepted. The settings may hold addresses of channels, and the token is root's."""
    settings = settings_of(unit)
    assert settings["TemporaryFileSystem"] == "/etc/goldsmith:ro"
    assert settings["BindReadOnlyPaths"].split() == ["-/etc/goldsmith/models.toml", "-/etc/goldsmith/models.pins.toml"]
    assert "/etc" not in settings["InaccessiblePaths"]


def test_the_manual_names_each_port_of_the_units() -> None:
    """A firewall is set by this table."""
    table = (REPOSITORY / "docs/cluster.md").read_text().partition("| port | on | for |")[2].partition("\n\n")[0]
    manual_ports = set(re.findall(r"\d{4,5}", table))
    used = {port for unit in UNITS for port in re.findall(r"port=(\d+)", settings_of(unit)["ExecStart"])}
    assert used
    assert used <= manual_ports
