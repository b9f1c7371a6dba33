"""What is put on record of each step and each run, so that a later one can be laid beside it."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from doubles.jobs import Share, outcome_of
from goldsmith import __version__
from goldsmith.jobs.protocol import LaneContext, LaneSpec
from goldsmith.operation import Deliverable
from goldsmith.picture.picture import Plate, frozen
from goldsmith.pipeline.workers.queues import Lanes
from goldsmith.worker.trace import ran_with, trace_of, trace_of_files


def pixels(height: int = 37, width: int = 21, channels: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(1).random((height, width, channels), np.float32)


def plate(values: NDArray[np.float32]) -> Plate:
    return Plate(frozen(values))


@pytest.mark.parametrize("width", [21, 22])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_picture_leaves_the_same_trace(width: int, channels: int) -> None:
    """Whatever the memory it lies in."""
    values = pixels(width=width, channels=channels)
    assert trace_of([plate(values)]) == trace_of([plate(np.asfortranarray(values))])
    assert len(trace_of([plate(values)])) == 16


@pytest.mark.parametrize(
    "change",
    [
        lambda values: np.nextafter(values, 2.0, where=np.arange(values.size).reshape(values.shape) == 700, out=values.copy()),
        lambda values: values[::-1],
        lambda values: values[:, ::-1],
        lambda values: values[:, :, ::-1],
        lambda values: values[:-1],
        lambda values: values[:, :-1],
        lambda values: values.reshape(21, 37, 3),
        lambda values: values[:, :, :1],
    ],
    ids=["the smallest step of one value", "upside down", "mirrored", "channels swapped", "a row less", "a column less", "turned", "grey"],
)
def test_another_picture_leaves_another_trace(change: object) -> None:
    """Down to the last bit of one value."""
    values = pixels()
    assert callable(change)
    assert trace_of([plate(change(values))]) != trace_of([plate(values)])


def test_alpha_depth_and_the_number_of_pictures_show_in_the_trace() -> None:
    """A set leaves another trace than its first picture."""
    one = plate(pixels())
    alpha = np.ones((37, 21), np.float32)
    hole = alpha.copy()
    hole[3, 4] = 0
    traces = [
        trace_of(plates)
        for plates in (
            [],
            [one],
            [one, one],
            [replace(one, depth=16)],
            [replace(one, alpha=frozen(alpha))],
            [replace(one, alpha=frozen(hole))],
        )
    ]
    assert len(set(traces)) == len(traces)


def test_a_patched_picture_leaves_the_trace_of_what_it_shows() -> None:
    """And is not put together for it."""
    before = plate(pixels())
    patch = np.full((5, 6, 3), 0.25, np.float32)
    window = (slice(10, 15), slice(2, 8))
    whole = pixels()
    whole[window] = patch
    patched = before.patched([(window, frozen(patch))])
    assert trace_of([patched]) == trace_of([plate(whole)]) != trace_of([before])


def test_files_leave_a_trace_of_every_byte_and_name() -> None:
    """Where one ends and the next begins counts, too."""
    made = [
        [Deliverable("_web", ".jpg", b"ab"), Deliverable("_print", ".png", b"c")],
        [Deliverable("_web", ".jpg", b"a"), Deliverable("_print", ".png", b"bc")],
        [Deliverable("_web", ".jpg", b"ab"), Deliverable("_print", ".tif", b"c")],
        [Deliverable("_print", ".png", b"c"), Deliverable("_web", ".jpg", b"ab")],
        [],
    ]
    assert len({trace_of_files(files) for files in made}) == len(made)
    assert trace_of_files(made[0]) == trace_of_files(list(made[0]))


def test_a_run_is_told_by_versions_processor_device_and_threads() -> None:
    """What is installed under the name it has there; what is not installed is not named."""
    told = ran_with("cuda:1", 3)
    assert (told["goldsmith"], told["device"], told["threads"]) == (__version__, "cuda:1", 3)
    for name in ("numpy", "torch", "diffusers", "onnxruntime", "Pillow", "imagecodecs", "opencv-contrib-python-headless", "opencolorio"):
        assert told[name] == metadata.version(name)
    assert {"python", "system", "architecture", "processor"} <= told.keys()


@pytest.mark.parametrize(("title", "told"), [("", "cpu"), ("A Card", "A Card")])
def test_every_outcome_of_a_lane_says_what_it_was_run_with(tmp_path: Path, title: str, told: str) -> None:
    """The device by what people call it, where somebody knows; and the very threads that the lane was given."""
    lanes = Lanes([LaneSpec(name="cpu", threads=3, title=title)], LaneContext())
    try:
        outcome = outcome_of(lanes, Share(tmp_path).job(("sharpen", {})))
    finally:
        lanes.stop(0.0)
    assert (outcome.ran_with["device"], outcome.ran_with["threads"]) == (told, 3)
    assert [len(step.trace) for step in outcome.steps] == [16]


def test_what_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """An optional package that is not there took no part."""
    from goldsmith.worker import trace

    monkeypatch.setattr(trace, "LIBRARIES", ("numpy", "no-such-package"))
    trace._installed.cache_clear()
    told = ran_with("cpu", 1)
    trace._installed.cache_clear()
    assert "numpy" in told
    assert "no-such-package" not in told
