"""Layer placement: size, rotation and position without rims, and exact values if nothing is resampled."""

from __future__ import annotations

import numpy as np
import pytest

from doubles.operation_samples import picture
from goldsmith.errors import InputError
from goldsmith.picture.layer_placement import PlacedLayer, Placement, place_layer
from goldsmith.picture.picture import Picture, freeze

GROUND_SIZE = (100, 80)


def _disc(side: int = 60) -> Picture:
    """Return a white disc on black; alpha is zero where the pixels are black."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    inside = np.clip(side * 0.4 - np.hypot(x, y) + 0.5, 0, 1).astype(np.float32)
    pixels = np.where(inside[..., None] > 0, np.float32(0.9), np.float32(0.0)) * np.ones(3, np.float32)
    return Picture(freeze(pixels), alpha=freeze(inside))


def _place(layer: Picture, placement: Placement) -> PlacedLayer:
    placed = place_layer(layer, GROUND_SIZE, placement)
    assert placed is not None
    return placed


@pytest.mark.parametrize(
    ("anchor", "offset", "corner"),
    [("top-left", (0, 0), (0, 0)), ("center", (0, 0), (20, 10)), ("right", (-3, 2), (37, 12)), ("bottom-left", (5, -6), (5, 14))],
)
def test_a_layer_at_whole_px_keeps_its_values(anchor: str, offset: tuple[float, float], corner: tuple[int, int]) -> None:
    """Unscaled layers keep every value and every alpha."""
    layer = picture(60, 60, alpha=True, depth=16)
    window, pixels, cover = _place(layer, Placement(GROUND_SIZE, anchor=anchor, offset=offset))  # type: ignore[arg-type]
    assert (window[1].start, window[0].start) == corner
    assert np.array_equal(pixels, layer.pixels)
    assert np.array_equal(cover, layer.alpha)


def test_parts_outside_the_picture_are_cropped() -> None:
    """Layers are returned as far as they are inside the picture; a layer completely outside gives None."""
    layer = picture(60, 60)
    window, pixels, _ = _place(layer, Placement(GROUND_SIZE, anchor="top-left", offset=(-20, 50)))
    assert window == np.s_[50:80, 0:40]
    assert np.array_equal(pixels, layer.pixels[:30, 20:])
    assert place_layer(layer, GROUND_SIZE, Placement(GROUND_SIZE, anchor="top-left", offset=(100, 0))) is None
    assert place_layer(layer, GROUND_SIZE, Placement(GROUND_SIZE, rotation_degrees=10, offset=(0, 300))) is None


@pytest.mark.parametrize(
    ("placement", "size"),
    [
        (Placement(GROUND_SIZE, fit="contain"), (80, 80)),
        (Placement(GROUND_SIZE, fit="cover"), (100, 80)),
        (Placement((30, 50), fit="contain"), (30, 30)),
        (Placement(GROUND_SIZE, scale=0.5), (30, 30)),
        (Placement((40, 40), fit="contain", scale=0.5), (20, 20)),
        (Placement(GROUND_SIZE, rotation_degrees=90), (60, 60)),
        (Placement(GROUND_SIZE, rotation_degrees=45, scale=0.5), (43, 43)),
    ],
)
def test_the_box_follows_from_fit_scale_and_rotation(placement: Placement, size: tuple[int, int]) -> None:
    """Together these give the size of a square layer in the picture."""
    (rows, columns), _, cover = _place(picture(60, 60), placement)
    assert (columns.stop - columns.start, rows.stop - rows.start) == size == cover.shape[::-1]


@pytest.mark.parametrize(
    "placement",
    [
        Placement(GROUND_SIZE, scale=0.37),
        Placement(GROUND_SIZE, scale=1.3),
        Placement(GROUND_SIZE, rotation_degrees=17),
        Placement(GROUND_SIZE, offset=(0.4, 0.3)),
    ],
)
def test_the_edge_of_alpha_has_no_rim(placement: Placement) -> None:
    """Hidden colours never show: a white disc stays white up to the last trace of cover."""
    _, pixels, cover = _place(_disc(), placement)
    assert np.abs(pixels[cover > 0.02] - 0.9).max() < 0.02


def test_a_quarter_turn_is_clockwise_and_keeps_the_picture() -> None:
    """Pixels at the top move to the right; inside, the values are those of the layer."""
    layer = picture(40, 60)
    _, pixels, cover = _place(layer, Placement(GROUND_SIZE, rotation_degrees=90))
    assert np.abs(pixels - np.rot90(layer.pixels, -1)).max() < 1e-4
    assert cover.min() > 0.99


def test_a_rotation_there_and_back_changes_little() -> None:
    """Ten degrees and back lose little of a smooth layer and do not move it."""
    y, x = np.mgrid[:60, :60] / 10
    layer = Picture(freeze((0.5 + 0.3 * np.sin(x)[..., None] * np.cos(y)[..., None] * np.ones(3)).astype(np.float32)))
    rotated = _place(layer, Placement(GROUND_SIZE, rotation_degrees=10))
    back = _place(Picture(freeze(rotated.pixels), alpha=freeze(rotated.coverage)), Placement(GROUND_SIZE, rotation_degrees=-10))
    height, width = back.coverage.shape
    middle = np.s_[(height - 30) // 2 : (height + 30) // 2, (width - 30) // 2 : (width + 30) // 2]
    assert np.abs(back.pixels[middle] - layer.pixels[15:45, 15:45]).max() < 0.02


def test_a_fractional_position_is_interpolated() -> None:
    """Half a px to the right is the mean of two columns."""
    ramp = np.repeat((np.arange(40, dtype=np.float32) / 50)[None, :, None], 3, axis=2).repeat(40, axis=0)
    layer = Picture(freeze(ramp))
    window, pixels, _ = _place(layer, Placement(GROUND_SIZE, anchor="top-left", offset=(0.5, 0)))
    assert window[1] == slice(0, 41)
    assert np.allclose(pixels[5:30, 10:30], (ramp[5:30, 9:29] + ramp[5:30, 10:30]) / 2, atol=2e-3)


def test_a_layer_that_is_too_large_is_refused() -> None:
    """InputError is raised instead of running out of memory."""
    with pytest.raises(InputError, match="would become 60000 x 60000"):
        place_layer(picture(600, 600), GROUND_SIZE, Placement(GROUND_SIZE, scale=100))
