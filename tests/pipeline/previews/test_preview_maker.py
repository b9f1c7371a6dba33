"""Previews are made by worker processes; a file that cannot be shown has a reason and holds nothing up."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import Saver
from goldsmith.cli.init import make_root
from goldsmith.jobs.job import Outcome, OutputFile
from goldsmith.pipeline.previews.preview_maker import PreviewJobs, _to_result
from goldsmith.pipeline.previews.preview_operation import mean_lab
from goldsmith.service.one_off import opened_preview_maker
from goldsmith.service.setup import load_setup


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("previews") / "root"
    make_root(root)
    return root


@pytest.fixture(scope="module")
def maker(root: Path) -> Iterator[PreviewJobs]:
    setup = load_setup(root, None, state_dir=str(root.parent / "state"), cpu_workers=1)
    with opened_preview_maker(setup, max_processes=1) as maker:
        yield maker


def test_a_picture_becomes_a_small_jpeg_with_its_mean_colour(maker: PreviewJobs, root: Path, saved: Saver) -> None:
    """Its size, depth and hash are those of the file."""
    red = np.zeros((60, 90, 3), np.uint8) + np.array([200, 30, 30], np.uint8)
    (root / "delivered" / "a.png").write_bytes(saved(red, "PNG"))
    result = maker.make(["delivered/a.png"], 32)["delivered/a.png"]
    with Image.open(io.BytesIO(result.jpeg)) as jpeg:
        assert (jpeg.format, jpeg.size, jpeg.mode) == ("JPEG", (32, 21), "RGB")
    assert (result.facts, result.reason, len(result.sha256)) == ("90 x 60 px, 8 bit", "", 64)
    assert result.mean_lab == pytest.approx(tuple(mean_lab(red)), abs=0.2)
    assert result.mean_lab is not None
    assert result.mean_lab[1] > 50


def test_what_cannot_be_shown_has_a_reason_and_the_others_are_made(maker: PreviewJobs, root: Path, saved: Saver) -> None:
    """A broken file, a link out of the root, a folder, a missing file and a PDF."""
    good = saved(np.zeros((8, 8, 3), np.uint8), "PNG")
    (root / "delivered" / "good.png").write_bytes(good)
    (root / "delivered" / "broken.png").write_bytes(good[:40])
    (root.parent / "secret.png").write_bytes(good)
    (root / "delivered" / "link.png").symlink_to(root.parent / "secret.png")
    (root / "delivered" / "folder.png").mkdir()
    names = ("broken.png", "link.png", "folder.png", "gone.png", "a.pdf", "good.png")
    results = maker.make([f"delivered/{name}" for name in names], 32)
    assert {path: bool(result.jpeg) for path, result in results.items()} == {f"delivered/{name}": name == "good.png" for name in names}
    assert all(result.reason.endswith(".") for path, result in results.items() if path != "delivered/good.png")


def test_workers_that_cannot_work_are_the_reason(maker: PreviewJobs, root: Path, saved: Saver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for them."""
    (root / "delivered" / "c.png").write_bytes(saved(np.zeros((8, 8, 3), np.uint8), "PNG"))
    monkeypatch.setattr(maker._workers, "submit", lambda job: None)
    monkeypatch.setattr(maker._workers, "pause_reason", lambda queue: "Its processes cannot be started.")
    assert maker.make(["delivered/c.png"], 32)["delivered/c.png"].reason == "Its processes cannot be started."


def test_a_preview_that_a_worker_has_exchanged_is_not_taken(tmp_path: Path) -> None:
    """A worker process that was taken over could otherwise send any file of the server into a message."""
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "a.jpg").write_bytes(b"other bytes")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "secret")
    reasons = []
    for name, sha256 in (("a.jpg", "0" * 64), ("link.jpg", hashlib.sha256(b"secret").hexdigest()), ("gone.jpg", "")):
        output = OutputFile(role="deliverable", tail=".jpg", path=str(tmp_path / name), sha256=sha256, size=1)
        result = _to_result(Outcome(job_id="j", outputs=(output,)))
        assert result.jpeg == b""
        reasons.append(result.reason)
    assert reasons == [
        "The preview was changed after it was made.",
        "link.jpg is not an ordinary file.",
        "The preview cannot be read: No such file or directory.",
    ]
