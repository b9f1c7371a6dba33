"""The unit file, checked with systemd's own tools."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "systemd" / "goldsmith.service"

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Return a copy of the unit with an existing program in ExecStart."""
    copy = tmp_path / "goldsmith.service"
    copy.write_text(UNIT.read_text().replace("/opt/goldsmith/bin/goldsmith", "/bin/true"))
    return copy


@needs_systemd
def test_systemd_analyze_verify_finds_no_error(unit: Path) -> None:
    """Its output has no line about the unit."""
    result = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert (result.returncode, [line for line in result.stderr.splitlines() if "goldsmith.service" in line]) == (0, [])


@needs_systemd
def test_the_exposure_is_below_two(unit: Path) -> None:
    """``systemd-analyze security`` rates the unit below 2.0."""
    result = subprocess.run(["systemd-analyze", "security", "--offline=true", str(unit)], capture_output=True, text=True)
    rating = re.search(r"Overall exposure level for \S+: ([0-9.]+)", result.stdout)
    assert rating is not None, result.stdout + result.stderr
    assert float(rating[1]) < 2.0


def test_every_setting_of_the_unit_has_a_comment() -> None:
    """Each line is in a paragraph that begins with a comment, except for the names of the unit."""
    self_explanatory = {"Description", "Documentation", "WantedBy"}
    unexplained, explained = [], False
    for line in UNIT.read_text().splitlines():
        if line.startswith("#"):
            explained = True
        elif not line or line.startswith("["):
            explained = False
        elif not explained and line.partition("=")[0] not in self_explanatory:
            unexplained.append(line)
    assert unexplained == []


def test_the_unit_allows_access_to_the_gpu() -> None:
    """It has no hardening option that hides or breaks a GPU."""
    settings = [line for line in UNIT.read_text().splitlines() if not line.startswith("#")]
    assert "DeviceAllow=char-nvidia* rw" in settings
    assert not any(line.startswith(("PrivateDevices=yes", "MemoryDenyWriteExecute=yes", "ProcSubset=pid")) for line in settings)
