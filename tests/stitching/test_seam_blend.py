"""Seams between copied parts: steps in tone go, forms stay."""

from __future__ import annotations

import numpy as np

from goldsmith.stitching.seam_blend import KNOWN, blend_seams

SIDE = 80


def test_a_part_that_is_too_light_gets_the_tone_of_its_neighbours() -> None:
    """A copied square ten codes lighter than the wall round it becomes as dark; the wall itself stays bit for bit."""
    wall = np.full((SIDE, SIDE, 3), 0.5, dtype=np.float32)
    owners = np.full((SIDE, SIDE), KNOWN, dtype=np.int32)
    owners[20:60, 20:40], owners[20:60, 40:60] = 0, 1
    pixels = wall.copy()
    pixels[20:60, 20:40] += 10 / 255
    pixels[20:60, 40:60] -= 6 / 255
    blended = blend_seams(pixels, owners, 2)
    assert np.abs(blended - wall).max() < 1.5 / 255
    assert np.array_equal(blended[owners == KNOWN], pixels[owners == KNOWN])


def test_grain_within_a_part_is_kept() -> None:
    """The correction is smooth within a part, so its pixels keep their differences."""
    random = np.random.default_rng(3)
    pixels = np.clip(random.normal(0.5, 0.03, (SIDE, SIDE, 3)), 0, 1).astype(np.float32)
    owners = np.full((SIDE, SIDE), KNOWN, dtype=np.int32)
    owners[20:60, 20:60] = 0
    blended = blend_seams(pixels, owners, 2)
    inside = np.s_[24:56, 24:56]
    assert np.corrcoef(blended[inside].ravel(), pixels[inside].ravel())[0, 1] > 0.97


def test_two_forms_that_meet_are_not_mixed() -> None:
    """A black part beside a white one is no step in tone: both keep theirs."""
    pixels = np.full((SIDE, SIDE, 3), 0.95, dtype=np.float32)
    pixels[:, 40:] = 0.05
    owners = np.full((SIDE, SIDE), KNOWN, dtype=np.int32)
    owners[20:60, 30:40], owners[20:60, 40:50] = 0, 1
    assert np.abs(blend_seams(pixels, owners, 2) - pixels).max() < 4 / 255


def test_nothing_copied_changes_nothing() -> None:
    """The pixels come back as they are."""
    pixels = np.full((SIDE, SIDE, 3), 0.4, dtype=np.float32)
    assert blend_seams(pixels, np.full((SIDE, SIDE), KNOWN, dtype=np.int32), 3) is pixels
