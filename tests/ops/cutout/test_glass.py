"""Glass: as solid as it was painted, its reflections and rims as they show, and its own colours without what lies behind."""

from __future__ import annotations

import numpy as np
import pytest

from doubles.mattes import pane
from goldsmith.ops.cutout.glass import extract_glass

EVEN, BUSY = pane(), pane(busy=True)


def test_before_an_even_wall_the_glass_is_found() -> None:
    """Against the known scene: alpha within 3 in 100 on the mean, and laid over black its light within 3 in 100."""
    made = extract_glass(EVEN.pixels, EVEN.foot, EVEN.painted)
    at = EVEN.painted > 0.1
    assert np.abs(made.alpha - EVEN.alpha)[at].mean() < 0.03
    over, known = (alpha[:, :, None] * own for alpha, own in ((made.alpha, made.pixels), (EVEN.alpha, EVEN.front)))
    assert np.abs(over - known)[at].mean() < 0.03
    assert made.unevenness == pytest.approx(0.01, abs=0.01)


def test_reflections_and_rims_are_more_solid_than_was_painted() -> None:
    """The shine and the dark rim stay, the clear part has the grey of the brush to its edge, and the foot is not glass."""
    made = extract_glass(EVEN.pixels, EVEN.foot, EVEN.painted)
    assert made.alpha[60:110, 100].min() > 0.6
    assert made.alpha[100, 71:73].min() > 0.4
    assert made.alpha[120:150, 140:160] == pytest.approx(0.18, abs=0.03)
    assert made.alpha[182, 125] == 1
    assert np.array_equal(made.pixels[~made.mask], EVEN.pixels[~made.mask])


def test_something_busy_behind_is_measured() -> None:
    """What strays from its mean there would stay in the glass: whoever asks can refuse it."""
    uneven = extract_glass(BUSY.pixels, BUSY.foot, BUSY.painted).unevenness
    assert uneven is not None
    assert uneven > 0.1


def test_glass_with_nothing_seen_behind_has_the_grey_it_was_painted() -> None:
    """A pane in a subject that fills the picture: its own colours cannot be told, so they are the picture's."""
    made = extract_glass(EVEN.pixels, np.ones_like(EVEN.foot), EVEN.painted)
    assert made.unevenness is None
    assert made.alpha[120:150, 140:160] == pytest.approx(0.18, abs=0.001)
    assert made.pixels is EVEN.pixels


def test_a_grey_picture_has_glass_too() -> None:
    """One channel."""
    made = extract_glass(EVEN.pixels[:, :, :1], EVEN.foot, EVEN.painted)
    assert made.pixels.shape == (200, 250, 1)
    assert made.alpha[60:110, 100].min() > 0.5
