"""The units that read the weights again every week."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "systemd"
UNITS = ("goldsmith-verify.service", "goldsmith-verify.timer")


def _settings(name: str) -> dict[str, str]:
    rows = (line.partition("=") for line in (FOLDER / name).read_text().splitlines() if not line.startswith("#") and "=" in line)
    return {key: value for key, _, value in rows}


def test_it_notes_the_hashes_that_the_service_uses() -> None:
    """User, state folder and models folder are those of the service."""
    service = (FOLDER / "goldsmith.service").read_text()
    settings = _settings(UNITS[0])
    for key in ("User", "StateDirectory", "StateDirectoryMode"):
        assert f"{key}={settings[key]}\n" in service
    text = (FOLDER / UNITS[0]).read_text()
    for variable in ("GOLDSMITH_STATE_DIR", "GOLDSMITH_MODELS_DIR"):
        value = re.search(rf"{variable}=(\S+)", service)
        assert value is not None
        assert value[0] in text
    assert settings["ExecStart"].endswith("goldsmith models verify --config /etc/goldsmith")


def test_it_runs_every_week() -> None:
    """A computer that was off makes up for it."""
    assert (_settings(UNITS[1])["OnCalendar"], _settings(UNITS[1])["Persistent"]) == ("weekly", "yes")
