"""The unit file, judged by systemd's own tools."""

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
    """The unit as an admin installs it, with a program that exists in the place of ExecStart's."""
    copy = tmp_path / "goldsmith.service"
    copy.write_text(UNIT.read_text().replace("/opt/goldsmith/bin/goldsmith", "/bin/true"))
    return copy


@needs_systemd
def test_systemd_finds_nothing_to_complain_about(unit: Path) -> None:
    """``systemd-analyze verify`` is silent."""
    found = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert (found.returncode, [line for line in found.stderr.splitlines() if "goldsmith.service" in line]) == (0, [])


@needs_systemd
def test_the_service_is_exposed_to_little(unit: Path) -> None:
    """``systemd-analyze security`` rates it below 2.0."""
    found = subprocess.run(["systemd-analyze", "security", "--offline=true", str(unit)], capture_output=True, text=True)
    rating = re.search(r"Overall exposure level for \S+: ([0-9.]+)", found.stdout)
    assert rating is not None, found.stdout + found.stderr
    assert float(rating[1]) < 2.0


def test_every_setting_of_the_unit_has_its_reason() -> None:
    """Each line stands in a paragraph that begins with a comment; only the section's own naming lines do not."""
    plain = {"Description", "Documentation", "WantedBy"}
    bare, explained = [], False
    for line in UNIT.read_text().splitlines():
        if line.startswith("#"):
            explained = True
        elif not line or line.startswith("["):
            explained = False
        elif not explained and line.partition("=")[0] not in plain:
            bare.append(line)
    assert bare == []


def test_the_gpu_stays_reachable() -> None:
    """Hardening that would hide or break a GPU is not switched on."""
    settings = [line for line in UNIT.read_text().splitlines() if not line.startswith("#")]
    assert "DeviceAllow=char-nvidia* rw" in settings
    assert not any(line.startswith(("PrivateDevices=yes", "MemoryDenyWriteExecute=yes", "ProcSubset=pid")) for line in settings)
