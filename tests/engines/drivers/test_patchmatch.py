"""PatchMatch extends a picture beyond an edge row by row, and fills other holes from all sides."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from goldsmith.engines.protocols import Device, Inpainter, ModelFiles
from goldsmith.engines.registry.models import Model
from goldsmith.picture.picture import Mask, Pixels

driver = importlib.import_module("goldsmith.engines.drivers.patchmatch")


@pytest.fixture(scope="module")
def engine() -> Inpainter:
    inpainter: Inpainter = driver.open_engine(
        "patchmatch", Model(kind="inpaint", driver="patchmatch", licence="MIT"), ModelFiles({}, None), Device()
    )
    return inpainter


def _layers(height: int = 96, width: int = 160) -> Pixels:
    """Return sky, trees and grass with the same grain; only rows and colours distinguish them."""
    rng = np.random.default_rng(1)
    pixels = rng.normal(0, 0.06, (height, width, 1)).astype(np.float32).repeat(3, 2)
    for number, colour in enumerate([(0.4, 0.6, 0.9), (0.2, 0.3, 0.2), (0.3, 0.6, 0.2)]):
        pixels[height * number // 3 : height * (number + 1) // 3] += np.float32(colour)
    return np.clip(pixels, 0, 1)


def _hole(height: int, width: int, window: tuple[slice, slice]) -> Mask:
    hole = np.zeros((height, width), np.float32)
    hole[window] = 1
    return hole


@pytest.mark.parametrize("is_rotated", [False, True])
def test_layers_continue_at_their_own_height(engine: Inpainter, is_rotated: bool) -> None:
    """Check an extension to the right, and a rotated one downwards."""
    pixels = _layers()
    hole = _hole(96, 160, np.s_[:, 110:])
    source, source_hole = (pixels.swapaxes(0, 1), hole.T) if is_rotated else (pixels, hole)
    filled = engine.fill(np.ascontiguousarray(source), np.ascontiguousarray(source_hole), 3)
    filled = filled.swapaxes(0, 1) if is_rotated else filled
    for rows in (slice(4, 28), slice(36, 60), slice(68, 92)):
        assert np.abs(filled[rows, 115:155].mean(axis=(0, 1)) - pixels[rows].mean(axis=(0, 1))).max() < 0.03


@pytest.mark.parametrize(
    ("window", "axis"),
    [
        (np.s_[:, 30:], 0),
        (np.s_[:, :9], 0),
        (np.s_[:4], 1),
        (np.s_[20:], 1),
        (np.s_[5:20, 5:20], None),
        (np.s_[5:, 20:], None),
        (np.s_[:20, 38:], None),
    ],
)
def test_only_a_hole_over_a_whole_side_extends_the_picture(window: tuple[slice, slice], axis: int | None) -> None:
    """Check that a corner or an inner hole is filled from all sides."""
    assert driver._open_axis(_hole(24, 40, window) > 0) == axis


def test_the_same_seed_gives_the_same_pixels(engine: Inpainter) -> None:
    """Check this for an extension beyond an edge."""
    pixels, hole = _layers(), _hole(96, 160, np.s_[:, 120:])
    assert np.array_equal(engine.fill(pixels, hole, 3), engine.fill(pixels, hole, 3))


@pytest.mark.parametrize("window", [np.s_[:, 120:], np.s_[70:], np.s_[30:60, 30:60]])
def test_the_guide_has_the_row_or_column_of_each_pixel(
    engine: Inpainter, window: tuple[slice, slice], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check rows for left and right, columns for top and bottom, and no guide for inner holes."""
    patchmatch = importlib.import_module("patchmatch")
    guides: list[np.ndarray] = []

    def record_guide(image: np.ndarray, mask: np.ndarray, guide: np.ndarray, *, patch_size: int, guide_weight: float) -> np.ndarray:
        guides.append(guide)
        assert guide_weight > 0
        return image

    monkeypatch.setattr(patchmatch, "inpaint_regularity", record_guide)
    hole = _hole(96, 160, window)
    engine.fill(_layers(), hole, 3)
    axis = driver._open_axis(hole > 0)
    if axis is None:
        assert guides == []
        return
    guide = guides[0][..., 0]
    assert np.ptp(guide, axis=1 - axis).max() == 0
    assert (np.diff(guide, axis=axis) > 0).all()
    assert guide.max() <= 0.5
