"""What ``goldsmith doctor`` says about the last reading of the weights."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import pytest

from doubles.weights import change_in_place
from goldsmith.cli.findings import Finding
from goldsmith.cli.weights_checks import check_hashes
from goldsmith.engines.registry import hash_notes
from goldsmith.engines.registry.hash_notes import HashNote
from goldsmith.engines.registry.models import Model, Models
from goldsmith.engines.registry.weights_registry import WeightsRegistry
from goldsmith.engines.registry.weights_sources import WeightsFile

BYTES = b"weights"
DAY = 86_400


@pytest.fixture
def weights(tmp_path: Path) -> WeightsRegistry:
    """Return a registry with one model whose weights are present, and one whose weights are missing."""
    sha256 = hashlib.sha256(BYTES).hexdigest()
    models = {
        name: Model(kind="inpaint", driver="migan", licence="MIT", files=(WeightsFile(name=f"{name}.onnx", sha256=sha256, bytes=7),))
        for name in ("here", "absent")
    }
    (tmp_path / "here.onnx").write_bytes(BYTES)
    return WeightsRegistry(Models(models=models), tmp_path)


def _finding(weights: WeightsRegistry, now: float | None = None) -> Finding:
    (finding,) = check_hashes(weights, time.time() if now is None else now)
    return finding


def test_weights_that_were_never_read_are_a_note(weights: WeightsRegistry) -> None:
    """The remedy is the command that reads them; weights that are missing are not named."""
    finding = _finding(weights)
    assert (finding.severity, finding.remedy) == ("note", "goldsmith models verify")
    assert "arrived or changed: here." in finding.sentence


def test_weights_that_were_read_lately_are_ok(weights: WeightsRegistry) -> None:
    """Nothing is said of a single file."""
    list(weights.verify())
    assert _finding(weights) == Finding(
        "ok", "weights", "All files with a known hash are correct (1); the last reading is at most 1 days old."
    )


def test_weights_that_were_read_long_ago_are_a_note(weights: WeightsRegistry) -> None:
    """The remedy names the timer."""
    list(weights.verify())
    finding = _finding(weights, time.time() + 20 * DAY)
    assert finding.severity == "note"
    assert "goldsmith-verify.timer" in finding.remedy


def test_a_failed_verification_is_a_fault(weights: WeightsRegistry, tmp_path: Path) -> None:
    """It names the file, both hashes and the command that fetches it again, until the file is replaced."""
    change_in_place(tmp_path / "here.onnx", BYTES[::-1])
    list(weights.verify())
    finding = _finding(weights)
    assert (finding.severity, finding.subject, finding.remedy) == ("fault", "weights: here", "Run: goldsmith models fetch here")
    assert f"here.onnx: its sha256 is {hashlib.sha256(BYTES[::-1]).hexdigest()}, but it should be" in finding.sentence
    change_in_place(tmp_path / "here.onnx", BYTES)
    assert _finding(weights).severity == "note"


def test_a_file_that_decayed_without_a_change_of_its_times_is_a_fault(weights: WeightsRegistry, tmp_path: Path) -> None:
    """The disk returned other bytes at the last reading."""
    list(weights.verify())
    stamp = weights.notes.read(tmp_path / "here.onnx").stamp
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(hash_notes, "_read_file", lambda path, **_: HashNote("0" * 64, stamp, int(time.time())))
        list(weights.verify())
    assert _finding(weights).severity == "fault"
