"""Glass: as opaque as painted, with visible reflections and rims, and in its own colours without the background's."""

from __future__ import annotations

import numpy as np
import pytest

from doubles.mattes import pane
from goldsmith.ops.cutout.glass import Glass, extract_glass
from goldsmith.picture.picture import Pixels

EVEN, BUSY = pane(), pane(busy=True)


def _with_colours(glass: Glass, pixels: Pixels) -> Pixels:
    target = pixels.copy()
    glass.put_colours(pixels, target)
    return target


def test_glass_before_an_even_wall_is_extracted() -> None:
    """Against the known scene, alpha and the light of the glass over black are right within 0.03 on average."""
    glass = extract_glass(EVEN.pixels, EVEN.foot, EVEN.brush_matte)
    glass_mask = EVEN.brush_matte > 0.1
    assert np.abs(glass.alpha - EVEN.alpha)[glass_mask].mean() < 0.03
    over, known = (alpha[:, :, None] * own for alpha, own in ((glass.alpha, _with_colours(glass, EVEN.pixels)), (EVEN.alpha, EVEN.front)))
    assert np.abs(over - known)[glass_mask].mean() < 0.03
    assert glass.unevenness == pytest.approx(0.01, abs=0.01)


def test_reflections_and_rims_are_more_opaque_than_painted() -> None:
    """The clear part has the painted grey up to its edge, and the foot does not count as glass."""
    glass = extract_glass(EVEN.pixels, EVEN.foot, EVEN.brush_matte)
    assert glass.alpha[60:110, 100].min() > 0.6
    assert glass.alpha[100, 71:73].min() > 0.4
    assert glass.alpha[120:150, 140:160] == pytest.approx(0.18, abs=0.03)
    assert glass.alpha[182, 125] == 1
    assert np.array_equal(_with_colours(glass, EVEN.pixels)[~glass.mask], EVEN.pixels[~glass.mask])


def test_an_uneven_background_is_measured() -> None:
    """Deviations from the background's mean would stay in the glass; the caller can refuse them."""
    uneven = extract_glass(BUSY.pixels, BUSY.foot, BUSY.brush_matte).unevenness
    assert uneven is not None
    assert uneven > 0.1


def test_glass_without_a_visible_background_has_the_painted_grey() -> None:
    """If the subject fills the picture, the glass's own colours are unknown, so they stay the picture's."""
    glass = extract_glass(EVEN.pixels, np.ones_like(EVEN.foot), EVEN.brush_matte)
    assert glass.unevenness is None
    assert glass.alpha[120:150, 140:160] == pytest.approx(0.18, abs=0.001)
    assert np.array_equal(_with_colours(glass, EVEN.pixels), EVEN.pixels)


def test_glass_in_a_grey_picture_is_extracted() -> None:
    """One channel is enough."""
    glass = extract_glass(EVEN.pixels[:, :, :1], EVEN.foot, EVEN.brush_matte)
    assert _with_colours(glass, EVEN.pixels[:, :, :1]).shape == (200, 250, 1)
    assert glass.alpha[60:110, 100].min() > 0.5
