"""How far a matte is to be trusted, on mattes whose faults were drawn; and the picture that shows them."""

from __future__ import annotations

import numpy as np
import pytest

from goldsmith.ops.cutout.matte_quality import assess_matte, find_doubtful
from goldsmith.ops.cutout.overlay import render_overlay
from goldsmith.picture.picture import Mask


def _square() -> Mask:
    made = np.zeros((200, 300), np.float32)
    made[50:150, 100:200] = 1
    return made


def test_a_clean_matte_is_clean() -> None:
    """One piece, no hole, nothing unsure, nothing cut."""
    seen = assess_matte(_square())
    assert (seen.unsure_share, seen.hole_count, seen.piece_count, seen.detached_share, seen.cut_share, seen.cut_sides) == (
        0,
        0,
        1,
        0,
        0,
        (),
    )
    assert seen.subject_share == pytest.approx(10_000 / 60_000)


def test_unsure_is_what_lies_between() -> None:
    """A fifth of the subject at one half is a fifth unsure."""
    matte = _square()
    matte[50:70, 100:200] = 0.4
    assert assess_matte(matte).unsure_share == pytest.approx(0.2)


def test_holes_and_pieces_are_counted() -> None:
    """Two holes and a second piece; a notch at the rim is no hole."""
    matte = _square()
    matte[60:70, 110:120] = matte[100:120, 150:160] = matte[50:60, 180:190] = 0
    matte[10:20, 10:20] = 1
    seen = assess_matte(matte)
    assert (seen.hole_count, seen.piece_count) == (2, 2)
    assert seen.hole_mask.sum() == 300
    assert seen.detached_share == pytest.approx(100 / (10_000 - 400 + 100))


def test_gaps_between_hairs_are_no_holes() -> None:
    """What is narrower than a part of the band is not counted."""
    matte = _square()
    matte[60:140, 110:114] = 0
    assert assess_matte(matte, band_width=0).hole_count == 1
    assert assess_matte(matte, band_width=12).hole_count == 0


def test_the_frame_cuts_limbs() -> None:
    """Which sides, and how much of the border."""
    matte = _square()
    matte[150:, 120:180] = matte[100:110, 200:] = 1
    seen = assess_matte(matte)
    assert seen.cut_sides == ("right", "bottom")
    assert seen.cut_share == pytest.approx(70 / 1000)


def test_an_empty_matte_has_nothing() -> None:
    """No division by the area of nothing."""
    seen = assess_matte(np.zeros((20, 20), np.float32))
    assert (seen.subject_share, seen.unsure_share, seen.hole_count, seen.piece_count) == (0, 0, 0, 0)


def test_the_overlay_shows_each_fault_in_its_colour() -> None:
    """Magenta, blue and yellow where they belong, the subject in its own grey, and never larger than a screen."""
    matte = np.kron(_square(), np.ones((10, 10), np.float32))
    matte[500:700, 1000:2000] = 0.5
    matte[900:1000, 1400:1500] = 0
    matte[1500:, 1200:1800] = 1
    pixels = np.full((2000, 3000, 3), 0.5, np.float32)
    shown = render_overlay(pixels, matte, assess_matte(matte))
    scale = 1400 / 3000
    assert shown.shape == (round(2000 * scale), 1400, 3)
    at = {name: shown[round(y * scale), round(x * scale)] for name, (y, x) in _SPOTS.items()}
    assert at["unsure"][0] > 0.7 > 0.3 > at["unsure"][1]
    assert at["hole"][2] > 0.7 > 0.3 > at["hole"][0]
    assert at["cut"] == pytest.approx([1, 0.85, 0], abs=0.01)
    assert at["solid"] == pytest.approx([0.5] * 3, abs=0.01)
    assert at["behind"] == pytest.approx([0.15] * 3, abs=0.01)


_SPOTS = {"unsure": (600, 1500), "hole": (950, 1450), "cut": (1998, 1500), "solid": (1200, 1500), "behind": (200, 200)}


def test_the_blur_of_a_lens_is_no_doubt() -> None:
    """A soft rim of two px is an edge; one of six is not sure."""
    for wide, unsure in ((2, False), (6, True)):
        matte = _square()
        matte[50:150, 100 - wide : 100] = 0.5
        assert (assess_matte(matte).unsure_share > 0) == unsure


def test_what_a_model_could_not_tell_is_unsure_whatever_the_edge_says() -> None:
    """A broad grey place in the first matte counts, though the last one is sharp; a soft edge as wide as the band does not."""
    first = _square()
    first[50:150, 150:200] = 0.5
    first[50:150, 94:100] = 0.5
    doubt = find_doubtful(first, 8)
    assert doubt[60:140, 155:195].all()
    assert not doubt[:, :148].any()
    assert assess_matte(_square(), 8, doubt).unsure_share == pytest.approx(0.5, abs=0.05)
    assert assess_matte(_square(), 8).unsure_share == 0
    assert not find_doubtful(_square(), 8).any()
