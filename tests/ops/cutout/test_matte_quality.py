"""The quality of a matte, measured on mattes with known faults; and the picture that shows the faults."""

from __future__ import annotations

import numpy as np
import pytest

from goldsmith.ops.cutout.matte_quality import assess_matte, find_doubtful
from goldsmith.ops.cutout.overlay import render_overlay
from goldsmith.picture.picture import Mask

_SPOTS = {"unsure": (600, 1500), "hole": (950, 1450), "cut": (1998, 1500), "solid": (1200, 1500), "behind": (200, 200)}


def _square() -> Mask:
    matte = np.zeros((200, 300), np.float32)
    matte[50:150, 100:200] = 1
    return matte


def test_a_clean_matte_has_no_faults() -> None:
    """The matte is one piece, with no hole, no uncertain pixel and no cut side."""
    verdict = assess_matte(_square())
    assert (verdict.unsure_share, verdict.hole_count, verdict.piece_count) == (0, 0, 1)
    assert (verdict.detached_share, verdict.cut_share, verdict.cut_sides) == (0, 0, ())
    assert verdict.subject_share == pytest.approx(10_000 / 60_000)


def test_half_transparent_pixels_are_uncertain() -> None:
    """If a fifth of the subject has an alpha of 0.4, a fifth is uncertain."""
    matte = _square()
    matte[50:70, 100:200] = 0.4
    assert assess_matte(matte).unsure_share == pytest.approx(0.2)


def test_holes_and_pieces_are_counted() -> None:
    """The matte has two holes and a second piece; a notch at the rim does not count as a hole."""
    matte = _square()
    matte[60:70, 110:120] = matte[100:120, 150:160] = matte[50:60, 180:190] = 0
    matte[10:20, 10:20] = 1
    verdict = assess_matte(matte)
    assert (verdict.hole_count, verdict.piece_count) == (2, 2)
    assert verdict.hole_mask.sum() == 300
    assert verdict.detached_share == pytest.approx(100 / (10_000 - 400 + 100))


def test_gaps_between_hairs_are_not_holes() -> None:
    """Gaps that are narrow compared with the band do not count."""
    matte = _square()
    matte[60:140, 110:114] = 0
    assert assess_matte(matte, band_width=0).hole_count == 1
    assert assess_matte(matte, band_width=12).hole_count == 0


def test_the_sides_that_cut_the_subject_are_named() -> None:
    """The cut share of the border is measured, too."""
    matte = _square()
    matte[150:, 120:180] = matte[100:110, 200:] = 1
    verdict = assess_matte(matte)
    assert verdict.cut_sides == ("right", "bottom")
    assert verdict.cut_share == pytest.approx(70 / 1000)


def test_an_empty_matte_is_measured_as_zero() -> None:
    """No share is divided by the empty subject's area."""
    verdict = assess_matte(np.zeros((20, 20), np.float32))
    assert (verdict.subject_share, verdict.unsure_share, verdict.hole_count, verdict.piece_count) == (0, 0, 0, 0)


def test_the_overlay_shows_each_fault_in_its_colour() -> None:
    """Uncertain pixels are magenta, holes blue and cut sides yellow; the subject stays grey, and the overlay is 1400 px wide."""
    matte = np.kron(_square(), np.ones((10, 10), np.float32))
    matte[500:700, 1000:2000] = 0.5
    matte[900:1000, 1400:1500] = 0
    matte[1500:, 1200:1800] = 1
    pixels = np.full((2000, 3000, 3), 0.5, np.float32)
    overlay = render_overlay(pixels, matte, assess_matte(matte))
    scale = 1400 / 3000
    assert overlay.shape == (round(2000 * scale), 1400, 3)
    colours = {name: overlay[round(y * scale), round(x * scale)] for name, (y, x) in _SPOTS.items()}
    assert colours["unsure"][0] > 0.7 > 0.3 > colours["unsure"][1]
    assert colours["hole"][2] > 0.7 > 0.3 > colours["hole"][0]
    assert colours["cut"] == pytest.approx([1, 0.85, 0], abs=0.01)
    assert colours["solid"] == pytest.approx([0.5] * 3, abs=0.01)
    assert colours["behind"] == pytest.approx([0.15] * 3, abs=0.01)


def test_the_blur_of_a_lens_is_not_uncertain() -> None:
    """A soft rim of two px is an edge; one of six px is uncertain."""
    for width, unsure in ((2, False), (6, True)):
        matte = _square()
        matte[50:150, 100 - width : 100] = 0.5
        assert (assess_matte(matte).unsure_share > 0) == unsure


def test_grey_areas_of_the_model_are_uncertain_even_if_the_final_edge_is_sharp() -> None:
    """A broad grey area in the model's matte counts; a soft edge as wide as the band does not."""
    model_matte = _square()
    model_matte[50:150, 150:200] = 0.5
    model_matte[50:150, 94:100] = 0.5
    doubtful = find_doubtful(model_matte, 8)
    assert doubtful[60:140, 155:195].all()
    assert not doubtful[:, :148].any()
    assert assess_matte(_square(), 8, doubtful).unsure_share == pytest.approx(0.5, abs=0.05)
    assert assess_matte(_square(), 8).unsure_share == 0
    assert not find_doubtful(_square(), 8).any()


def disc(radius: int, softness: float) -> np.ndarray:
    """Return the matte (h, w) of a disc whose rim is ``softness`` px soft."""
    down, across = np.mgrid[:400, :400]
    return np.asarray(np.clip((radius - np.hypot(down - 200, across - 200)) / softness + 0.5, 0, 1), np.float32)


def test_the_soft_rim_of_a_small_subject_is_certain_if_the_model_was() -> None:
    """The same rim counts if nobody knows what the model saw, or if it was in doubt elsewhere."""
    matte, nowhere = disc(30, 12.0), np.zeros((400, 400), np.bool_)
    assert assess_matte(matte, 12).unsure_share > 0.25
    assert assess_matte(matte, 12, nowhere).unsure_share == 0
    doubt = nowhere.copy()
    doubt[185:215, 185:215] = True
    assert assess_matte(matte, 12, doubt).unsure_share > 0.5


def test_what_is_soft_far_from_the_outline_is_uncertain() -> None:
    """A soft patch in the middle of a sharp disc counts, however sure the model was."""
    matte = disc(120, 6.0)
    matte[150:200, 150:200] = 0.6
    verdict = assess_matte(matte, 8, np.zeros((400, 400), np.bool_))
    assert 0.03 < verdict.unsure_share < 0.07
    assert verdict.unsure_mask[175, 175]
