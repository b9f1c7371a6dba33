"""The memory of a correction, by kind of fault: each stays within the memory that the step states."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from doubles.faults_of_pictures import checkered, coded, compressed, dusty, parted, photograph, posterised, sharpened, sky, speckled
from doubles.step_context import StepContextDouble
from goldsmith.ops.correct.operation import Correct
from goldsmith.picture import quality_metrics, resample, row_slabs, slab_processing
from goldsmith.picture.picture import Picture, Pixels, freeze

# Two pictures of the same width are compared. Strips and tables take the same memory in both.
_WIDTH, _LOW, _HIGH = 320, 400, 800
_SOURCE_BYTES = 12


@pytest.fixture(autouse=True)
def _small_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slab_processing, "_STRIP_PIXELS", 1 << 14)
    monkeypatch.setattr(row_slabs, "_SLAB_PIXELS", 1 << 12)
    for module in (quality_metrics, resample):
        monkeypatch.setattr(module, "_BAND_PIXELS", 1 << 14)


def _cups(height: int) -> Pixels:
    part = photograph("coffee")[:400, :_WIDTH]
    return np.ascontiguousarray(np.concatenate([part[:: 1 - 2 * (number % 2)] for number in range(-(-height // 400))])[:height])


def _noisy(pixels: Pixels) -> Pixels:
    return coded(pixels + 0.05 * np.random.default_rng(1).standard_normal(pixels.shape, dtype=np.float32))


def _dusty_sky(height: int) -> Pixels:
    return dusty(coded(sky(height, _WIDTH)), [(row, column) for row in range(40, height - 20, 100) for column in (60, 150, 260)], 5, 0.15)


# A picture of that height with a fault, by the name that the fault has in the record.
_FAULTS: dict[str, Callable[[int], Pixels]] = {
    "blocks": lambda height: compressed(_cups(height), 15),
    "grid": lambda height: checkered(_noisy(_cups(height)), 3),
    "dust": _dusty_sky,
    "posterisation": lambda height: posterised(sky(height, _WIDTH, 90), 6),
    "banding": lambda height: coded(sky(height, _WIDTH, 40)),
    "lateral": lambda height: parted(_cups(height), 0.008, -0.008),
    "colour_noise": lambda height: speckled(_cups(height), 0.06),
    "halos": lambda height: sharpened(_cups(height), 3),
}


# Those with the highest peaks; the others are measured by `make soak`.
_SAMPLED = ("blocks", "banding")


def _peak(fault: str, height: int, where: str) -> int:
    pixels, context = _FAULTS[fault](height), StepContextDouble()
    mask = np.full(pixels.shape[:2], 0.5, np.float32)
    picture = Picture(freeze(pixels), masks={"mask": freeze(mask)})
    gc.collect()
    tracemalloc.start()
    try:
        Correct(where=where, repeats="off").apply(picture, context)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert f"{fault}_count" in context.results.findings
    return peak


def _bytes_per_pixel(fault: str, where: str) -> float:
    low, high = (_peak(fault, height, where) for height in (_LOW, _HIGH))
    return _SOURCE_BYTES + (high - low) / (_WIDTH * (_HIGH - _LOW))


@pytest.mark.parametrize("fault", [each if each in _SAMPLED else pytest.param(each, marks=pytest.mark.soak) for each in _FAULTS])
def test_a_correction_uses_no_more_memory_than_the_step_states(fault: str) -> None:
    """The fault is found, and the peak grows with each pixel by no more than the stated bytes, the source included."""
    assert _bytes_per_pixel(fault, "") <= Correct().bytes_per_pixel()


@pytest.mark.parametrize("fault", [pytest.param("blocks", marks=pytest.mark.soak), "banding"])
def test_a_correction_through_a_region_uses_no_more_memory(fault: str) -> None:
    """The correction is blended in strips."""
    assert _bytes_per_pixel(fault, "mask") <= Correct().bytes_per_pixel()
