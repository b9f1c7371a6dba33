"""The units that read the weights again every week, checked with systemd's own tools."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "systemd"
UNITS = ("goldsmith-verify.service", "goldsmith-verify.timer")

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """Return copies of the units with an existing program in ExecStart."""
    for name in UNITS:
        (tmp_path / name).write_text((FOLDER / name).read_text().replace("/opt/goldsmith/bin/goldsmith", "/bin/true"))
    return [tmp_path / name for name in UNITS]


def _settings(name: str) -> dict[str, str]:
    rows = (line.partition("=") for line in (FOLDER / name).read_text().splitlines() if not line.startswith("#") and "=" in line)
    return {key: value for key, _, value in rows}


@needs_systemd
def test_systemd_analyze_verify_finds_no_error(units: list[Path]) -> None:
    """Its output has no line about the units."""
    result = subprocess.run(["systemd-analyze", "verify", "--man=no", *map(str, units)], capture_output=True, text=True)
    assert (result.returncode, [line for line in result.stderr.splitlines() if "goldsmith-verify" in line]) == (0, [])


@needs_systemd
def test_the_exposure_is_below_two(units: list[Path]) -> None:
    """``systemd-analyze security`` rates the unit below 2.0."""
    result = subprocess.run(["systemd-analyze", "security", "--offline=true", str(units[0])], capture_output=True, text=True)
    rating = re.search(r"Overall exposure level for \S+: ([0-9.]+)", result.stdout)
    assert rating is not None, result.stdout + result.stderr
    assert float(rating[1]) < 2.0


@pytest.mark.parametrize("name", UNITS)
def test_every_setting_has_a_comment(name: str) -> None:
    """Each line is in a paragraph that begins with a comment, except for the names of the unit."""
    self_explanatory = {"Description", "Documentation", "WantedBy"}
    unexplained, explained = [], False
    for line in (FOLDER / name).read_text().splitlines():
        if line.startswith("#"):
            explained = True
        elif not line or line.startswith("["):
            explained = False
        elif not explained and line.partition("=")[0] not in self_explanatory:
            unexplained.append(line)
    assert unexplained == []


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
