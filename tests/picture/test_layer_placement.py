"""Placing: size, turn and place of a layer, without rims, and exact where nothing has to be reckoned."""

from __future__ import annotations

import numpy as np
import pytest

from doubles.ground import picture
from goldsmith.errors import InputError
from goldsmith.picture.layer_placement import PlacedLayer, Placement, place_layer
from goldsmith.picture.picture import Picture, freeze

ON = (100, 80)


def _disc(side: int = 60) -> Picture:
    """A white disc on black that nobody is to see: its alpha is zero there."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    inside = np.clip(side * 0.4 - np.hypot(x, y) + 0.5, 0, 1).astype(np.float32)
    pixels = np.where(inside[..., None] > 0, np.float32(0.9), np.float32(0.0)) * np.ones(3, np.float32)
    return Picture(freeze(pixels), alpha=freeze(inside))


def _put(layer: Picture, how: Placement) -> PlacedLayer:
    found = place_layer(layer, ON, how)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("anchor", "offset", "corner"),
    [("top-left", (0, 0), (0, 0)), ("center", (0, 0), (20, 10)), ("right", (-3, 2), (37, 12)), ("bottom-left", (5, -6), (5, 14))],
)
def test_whole_px_are_laid_as_they_are(anchor: str, offset: tuple[float, float], corner: tuple[int, int]) -> None:
    """At its own size every value and every alpha is the layer's own."""
    layer = picture(60, 60, alpha=True, depth=16)
    window, pixels, cover = _put(layer, Placement(ON, anchor=anchor, offset=offset))  # type: ignore[arg-type]
    assert (window[1].start, window[0].start) == corner
    assert np.array_equal(pixels, layer.pixels)
    assert np.array_equal(cover, layer.alpha)


def test_what_hangs_over_the_edge_is_cut_off() -> None:
    """Only what lies in the picture comes back; a layer wholly outside is none."""
    layer = picture(60, 60)
    window, pixels, _ = _put(layer, Placement(ON, anchor="top-left", offset=(-20, 50)))
    assert window == np.s_[50:80, 0:40]
    assert np.array_equal(pixels, layer.pixels[:30, 20:])
    assert place_layer(layer, ON, Placement(ON, anchor="top-left", offset=(100, 0))) is None
    assert place_layer(layer, ON, Placement(ON, rotation_degrees=10, offset=(0, 300))) is None


@pytest.mark.parametrize(
    ("how", "size"),
    [
        (Placement(ON, fit="contain"), (80, 80)),
        (Placement(ON, fit="cover"), (100, 80)),
        (Placement((30, 50), fit="contain"), (30, 30)),
        (Placement(ON, scale=0.5), (30, 30)),
        (Placement((40, 40), fit="contain", scale=0.5), (20, 20)),
        (Placement(ON, rotation_degrees=90), (60, 60)),
        (Placement(ON, rotation_degrees=45, scale=0.5), (43, 43)),
    ],
)
def test_the_box_is_as_asked(how: Placement, size: tuple[int, int]) -> None:
    """Fit, scale and turn together say how much of the picture a square layer takes up."""
    (rows, columns), _, cover = _put(picture(60, 60), how)
    assert (columns.stop - columns.start, rows.stop - rows.start) == size == cover.shape[::-1]


@pytest.mark.parametrize(
    "how", [Placement(ON, scale=0.37), Placement(ON, scale=1.3), Placement(ON, rotation_degrees=17), Placement(ON, offset=(0.4, 0.3))]
)
def test_no_rims_where_alpha_ends(how: Placement) -> None:
    """What is hidden under alpha never shows: a white disc keeps its white up to the last trace of cover."""
    _, pixels, cover = _put(_disc(), how)
    assert np.abs(pixels[cover > 0.02] - 0.9).max() < 0.02


def test_a_quarter_turn_is_clockwise_and_keeps_the_picture() -> None:
    """What was at the top lies at the right; inside, values are those of the layer."""
    layer = picture(40, 60)
    _, pixels, cover = _put(layer, Placement(ON, rotation_degrees=90))
    assert np.abs(pixels - np.rot90(layer.pixels, -1)).max() < 1e-4
    assert cover.min() > 0.99


def test_turned_there_and_back_it_is_nearly_the_same() -> None:
    """Ten degrees and back lose little of what is smooth, and do not move it."""
    y, x = np.mgrid[:60, :60] / 10
    layer = Picture(freeze((0.5 + 0.3 * np.sin(x)[..., None] * np.cos(y)[..., None] * np.ones(3)).astype(np.float32)))
    there = _put(layer, Placement(ON, rotation_degrees=10))
    back = _put(Picture(freeze(there.pixels), alpha=freeze(there.coverage)), Placement(ON, rotation_degrees=-10))
    height, width = back.coverage.shape
    middle = np.s_[(height - 30) // 2 : (height + 30) // 2, (width - 30) // 2 : (width + 30) // 2]
    assert np.abs(back.pixels[middle] - layer.pixels[15:45, 15:45]).max() < 0.02


def test_a_part_of_a_px_moves_by_a_part() -> None:
    """Half a px to the right lies half way between two columns."""
    ramp = np.repeat((np.arange(40, dtype=np.float32) / 50)[None, :, None], 3, axis=2).repeat(40, axis=0)
    layer = Picture(freeze(ramp))
    window, pixels, _ = _put(layer, Placement(ON, anchor="top-left", offset=(0.5, 0)))
    assert window[1] == slice(0, 41)
    assert np.allclose(pixels[5:30, 10:30], (ramp[5:30, 9:29] + ramp[5:30, 10:30]) / 2, atol=2e-3)


def test_there_is_an_end_to_sizes() -> None:
    """A layer larger than any picture may be is a sentence, not a crash."""
    with pytest.raises(InputError, match="would become 60000 x 60000"):
        place_layer(picture(600, 600), ON, Placement(ON, scale=100))
