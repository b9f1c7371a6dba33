"""Trimaps: the unknown band is as wide as the matte is soft, and painted grey is unknown."""

from __future__ import annotations

import numpy as np

from goldsmith.ops.cutout.trimap import trimap_from_mask, trimap_from_matte
from goldsmith.picture.picture import Mask


def _ramp(width: int) -> Mask:
    row = np.clip((np.arange(400, dtype=np.float32) - 200) / width + 0.5, 0, 1)
    return np.repeat(row[None, :], 300, axis=0)


def test_a_softer_matte_has_a_wider_band() -> None:
    """The band grows with the matte's own softness and holds all soft pixels."""
    sharp, soft = trimap_from_matte(_ramp(2)), trimap_from_matte(_ramp(40))
    assert soft.band_width > sharp.band_width
    assert soft.unknown.sum() > 2 * sharp.unknown.sum()
    matte = _ramp(40)
    assert soft.unknown[(matte > 0.05) & (matte < 0.95)].all()


def test_pixels_outside_the_band_are_zero_or_one() -> None:
    """In the band, the guess is the matte."""
    matte = _ramp(20)
    trimap = trimap_from_matte(matte, 10)
    assert set(np.unique(trimap.guess[~trimap.unknown])) == {0, 1}
    assert np.array_equal(trimap.guess[trimap.unknown], matte[trimap.unknown])


def test_a_hard_mask_is_unknown_along_its_outline() -> None:
    """The band has the width on each side and no more; with a width of 0 there is none."""
    mask = np.zeros((200, 200), np.float32)
    mask[:, 100:] = 1
    columns = np.flatnonzero(trimap_from_mask(mask, 6).unknown.any(axis=0))
    assert (columns[0], columns[-1]) == (95, 105)
    assert not trimap_from_mask(mask, 0).unknown.any()


def test_painted_grey_is_unknown_and_gets_no_other_band() -> None:
    """A broad grey brush stroke is the band."""
    mask = np.zeros((200, 200), np.float32)
    mask[:, 120:], mask[:, 80:120] = 1, 0.5
    columns = np.flatnonzero(trimap_from_mask(mask, 6).unknown.any(axis=0))
    assert (columns[0], columns[-1]) == (80, 119)


def test_a_small_picture_keeps_certain_pixels() -> None:
    """However wide the band is set, it takes at most an eighth of the shorter side on each side."""
    mask = np.zeros((40, 40), np.float32)
    mask[10:30, 10:30] = 1
    trimap = trimap_from_mask(mask, 500)
    assert trimap.band_width == 5
    assert (trimap.guess[~trimap.unknown] == 1).any()
