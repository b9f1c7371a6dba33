"""Every fault at several strengths on pictures that no threshold was set by: found, and each repair brings them nearer to the untouched."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from skimage import data

from doubles.faults_of_pictures import cloned, coded, overlap, parted, sharpened, speckled, tiled, under_sky
from goldsmith.ops.correct import (
    banding,
    chromatic_aberration,
    copy_move,
    fringes,
    halos,
    noise,
    seams,
)
from goldsmith.ops.correct.defect import Defect, make_window
from goldsmith.picture.picture import Pixels

_CLEAN = ("motorcycle", "retina", "hubble_deep_field", "camera", "moon", "coins", "brick", "gravel", "immunohistochemistry")
_FINDERS: dict[str, Callable[[Pixels], list[Defect]]] = {
    "banding": banding.find,
    "seams": seams.find,
    "lateral": chromatic_aberration.find,
    "noise": noise.find,
    "colour noise": noise.find_colour_noise,
    "fringes": fringes.find,
    "halos": halos.find,
}


@cache
def _picture(name: str) -> Pixels:
    codes = data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(data, name)()
    three = codes if codes.ndim == 3 else np.repeat(codes[:, :, None], 3, axis=2)
    made = np.asarray(three[:640, :, :3] / np.float32(255), np.float32)
    made.flags.writeable = False
    return made


def _mended(given: Pixels, find: Callable[[Pixels], list[Defect]]) -> Pixels:
    made = given.copy()
    for fault in find(given):
        assert fault.repair is not None
        assert fault.after < fault.before
        made[fault.repair[0]] = fault.repair[1]
    return made


def _far(one: Pixels, clean: Pixels) -> float:
    return float(np.abs(one - clean).mean())


@pytest.mark.parametrize("name", _CLEAN)
@pytest.mark.parametrize("kind", _FINDERS)
def test_untouched_pictures_are_left_alone(kind: str, name: str) -> None:
    """A lens, a telescope, a microscope, coins, a wall: none of them is mended."""
    assert _FINDERS[kind](_picture(name)) == []


@pytest.mark.parametrize(
    ("name", "corner"),
    [("motorcycle", 1.5), ("motorcycle", 3.0), ("immunohistochemistry", 1.5), ("immunohistochemistry", 3.0), ("retina", 3.0)],
)
def test_colours_that_part_by_little_and_by_much_come_together(name: str, corner: float) -> None:
    """From a px and a half to three in the corner; in a soft picture, where less is not to be seen, from three."""
    clean = _picture(name)
    scale = 2 * corner / float(np.hypot(*clean.shape[:2]))
    given = parted(clean, scale, -scale)
    assert _far(_mended(given, chromatic_aberration.find), clean) < 0.6 * _far(given, clean)


@pytest.mark.parametrize("name", ["motorcycle", "camera", "coins"])
@pytest.mark.parametrize(("amount", "sigma"), [(2.0, 1.6), (3.0, 1.0), (2.0, 2.6)])
def test_oversharpened_pictures_come_nearer(name: str, amount: float, sigma: float) -> None:
    """Thin rims and wide ones; at least two fifths of the way."""
    clean = _picture(name)
    given = sharpened(clean, amount, sigma)
    assert halos.find(given)
    assert _far(_mended(given, halos.find), clean) < 0.6 * _far(given, clean)


@pytest.mark.parametrize("sigma", [0.03, 0.08])
def test_noise_of_colour_goes_from_what_has_detail(sigma: float) -> None:
    """A workshop full of small things."""
    clean = _picture("motorcycle")
    given = speckled(clean, sigma)
    assert _far(_mended(given, noise.find_colour_noise), clean) < 0.6 * _far(given, clean)


@pytest.mark.parametrize("name", ["rocket", "coffee"])
@pytest.mark.parametrize("codes", [12, 48])
def test_bands_come_nearer_to_the_slope_that_was_rounded(name: str, codes: float) -> None:
    """On a 16-bit picture; nothing else moves."""
    rows = 160
    smooth, given = under_sky(name, rows, codes)
    made = _mended(given, banding.find)
    assert _far(made[:rows], smooth[:rows]) < 0.9 * _far(given[:rows], smooth[:rows])
    assert np.array_equal(made[rows:], given[rows:])


@pytest.mark.parametrize("codes", [4, 8])
def test_tiles_come_nearer_to_the_picture_without_them(codes: float) -> None:
    """Their tone is spread, so that a quarter of the difference is gone and nobody sees the rest; every line is where a tile ends."""
    clean = coded(under_sky("rocket", 200)[0])
    given = tiled(clean, 128, codes)
    assert _far(_mended(given, seams.find), clean) < 0.8 * _far(given, clean)
    for fault in seams.find(given):
        rows, columns = fault.window
        span = columns if rows == slice(0, given.shape[0]) else rows
        assert any(span.start < line < span.stop for line in range(128, 640, 128))


@pytest.mark.parametrize("side", [80, 128])
def test_a_stamp_is_told_with_its_place(side: int) -> None:
    """A third or more of the box is the copy's; the two places are as alike as only a copy is."""
    clean = _picture("motorcycle")
    given = cloned(clean, (100, 148), (330, 500), side)
    (found,) = copy_move.find(given)
    assert max(overlap(place, make_window(330, 500, side, side)) for place in (found.window, found.source)) > 0.33
    assert found.correlation > 0.98
    assert not found.is_pattern
