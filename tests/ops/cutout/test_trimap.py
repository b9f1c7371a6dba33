"""Trimaps: as wide as the matte is soft, and what somebody painted grey stays open."""

from __future__ import annotations

import numpy as np

from goldsmith.ops.cutout.trimap import trimap_from_mask, trimap_from_matte
from goldsmith.picture.picture import Mask


def _ramp(soft: int) -> Mask:
    made = np.clip((np.arange(400, dtype=np.float32) - 200) / soft + 0.5, 0, 1)
    return np.repeat(made[None, :], 300, axis=0)


def test_a_softer_matte_has_a_wider_band() -> None:
    """The band grows with the matte's own softness and holds all of it."""
    sharp, soft = trimap_from_matte(_ramp(2)), trimap_from_matte(_ramp(40))
    assert soft.band_width > sharp.band_width
    assert soft.unknown.sum() > 2 * sharp.unknown.sum()
    matte = _ramp(40)
    assert soft.unknown[(matte > 0.05) & (matte < 0.95)].all()


def test_sure_pixels_are_zero_and_one() -> None:
    """Outside the band there is no other value; inside the guess is the matte."""
    matte = _ramp(20)
    made = trimap_from_matte(matte, 10)
    assert set(np.unique(made.guess[~made.unknown])) == {0, 1}
    assert np.array_equal(made.guess[made.unknown], matte[made.unknown])


def test_a_hard_mask_is_open_along_its_outline() -> None:
    """So many px to each side and no farther; with 0 not at all."""
    mask = np.zeros((200, 200), np.float32)
    mask[:, 100:] = 1
    columns = np.flatnonzero(trimap_from_mask(mask, 6).unknown.any(axis=0))
    assert (columns[0], columns[-1]) == (95, 105)
    assert not trimap_from_mask(mask, 0).unknown.any()


def test_painted_grey_is_open_and_sets_its_own_width() -> None:
    """A broad grey brush is what is open there; no band is laid round it."""
    mask = np.zeros((200, 200), np.float32)
    mask[:, 120:], mask[:, 80:120] = 1, 0.5
    columns = np.flatnonzero(trimap_from_mask(mask, 6).unknown.any(axis=0))
    assert (columns[0], columns[-1]) == (80, 119)


def test_a_small_picture_keeps_something_sure() -> None:
    """However wide a band is asked for, it takes at most an eighth of the shorter side to each side."""
    mask = np.zeros((40, 40), np.float32)
    mask[10:30, 10:30] = 1
    made = trimap_from_mask(mask, 500)
    assert made.band_width == 5
    assert (made.guess[~made.unknown] == 1).any()
