"""The hashes of pictures and files and the environment of a run, with which a later run is compared."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from doubles.jobs import Share, open_pools, outcome_of
from goldsmith import __version__
from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
from goldsmith.operation import Deliverable
from goldsmith.picture.picture import Picture, freeze
from goldsmith.worker.landlock import landlock_version
from goldsmith.worker.trace import files_trace, picture_trace, run_environment


def pixels(height: int = 37, width: int = 21, channels: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(1).random((height, width, channels), np.float32)


def picture(values: NDArray[np.float32]) -> Picture:
    return Picture(freeze(values))


@pytest.mark.parametrize("width", [21, 22])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_picture_has_the_same_hash(width: int, channels: int) -> None:
    """Its memory layout does not matter."""
    values = pixels(width=width, channels=channels)
    assert picture_trace([picture(values)]) == picture_trace([picture(np.asfortranarray(values))])
    assert len(picture_trace([picture(values)])) == 16


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
def test_another_picture_has_another_hash(change: object) -> None:
    """One bit of one value is enough."""
    values = pixels()
    assert callable(change)
    assert picture_trace([picture(change(values))]) != picture_trace([picture(values)])


def test_alpha_depth_and_number_of_pictures_change_the_hash() -> None:
    """A set has another hash than its first picture."""
    single = picture(pixels())
    alpha = np.ones((37, 21), np.float32)
    hole = alpha.copy()
    hole[3, 4] = 0
    traces = [
        picture_trace(pictures)
        for pictures in (
            [],
            [single],
            [single, single],
            [replace(single, depth=16)],
            [replace(single, alpha=freeze(alpha))],
            [replace(single, alpha=freeze(hole))],
        )
    ]
    assert len(set(traces)) == len(traces)


def test_a_patched_picture_has_the_hash_of_its_visible_pixels() -> None:
    """The hash is that of the assembled picture."""
    before = picture(pixels())
    patch = np.full((5, 6, 3), 0.25, np.float32)
    window = (slice(10, 15), slice(2, 8))
    whole = pixels()
    whole[window] = patch
    patched = before.with_patches([(window, freeze(patch))])
    assert picture_trace([patched]) == picture_trace([picture(whole)]) != picture_trace([before])


def test_every_byte_and_name_of_files_changes_the_hash() -> None:
    """The boundary between two files changes the hash too."""
    file_sets = [
        [Deliverable("_web", ".jpg", b"ab"), Deliverable("_print", ".png", b"c")],
        [Deliverable("_web", ".jpg", b"a"), Deliverable("_print", ".png", b"bc")],
        [Deliverable("_web", ".jpg", b"ab"), Deliverable("_print", ".tif", b"c")],
        [Deliverable("_print", ".png", b"c"), Deliverable("_web", ".jpg", b"ab")],
        [],
    ]
    assert len({files_trace(files) for files in file_sets}) == len(file_sets)
    assert files_trace(file_sets[0]) == files_trace(list(file_sets[0]))


def test_the_environment_has_versions_processor_device_and_threads() -> None:
    """Packages have the names under which they are installed."""
    environment = run_environment("cuda:1", 3, "none")
    assert (environment["goldsmith"], environment["device"], environment["threads"]) == (__version__, "cuda:1", 3)
    for name in ("numpy", "torch", "diffusers", "onnxruntime", "Pillow", "imagecodecs", "opencv-python-headless", "opencolorio"):
        assert environment[name] == metadata.version(name)
    assert {"python", "system", "architecture", "processor"} <= environment.keys()


@pytest.mark.parametrize(("title", "device"), [("", "cpu"), ("A Card", "A Card")])
def test_every_outcome_of_a_worker_has_its_environment(tmp_path: Path, title: str, device: str) -> None:
    """The device is given by its title, or else by its name. The threads are the worker's."""
    pools = open_pools(tmp_path, [WorkerSpec(queue="cpu", threads=3, device_title=title)], WorkerConfig())
    try:
        outcome = outcome_of(pools, Share(tmp_path).job(("sharpen", {})))
    finally:
        pools.stop(0.0)
    assert (outcome.environment["device"], outcome.environment["threads"]) == (device, 3)
    assert outcome.environment["fence"] == (f"landlock {landlock_version()}" if landlock_version() else "none")
    assert [len(step.picture_hash) for step in outcome.steps] == [16]


def test_missing_packages_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """An optional package that is not installed took no part."""
    from goldsmith.worker import trace

    monkeypatch.setattr(trace, "RECORDED_PACKAGES", ("numpy", "no-such-package"))
    trace.installed_versions.cache_clear()
    environment = run_environment("cpu", 1, "none")
    trace.installed_versions.cache_clear()
    assert "numpy" in environment
    assert "no-such-package" not in environment
