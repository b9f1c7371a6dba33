"""Matte cleanup: faint areas become solid and specks go; holes and hairs stay."""

from __future__ import annotations

import numpy as np

from doubles.mattes import scene
from goldsmith.ops.cutout.matte_cleanup import clean_matte
from goldsmith.picture.picture import Mask


def _square() -> Mask:
    matte = np.zeros((300, 400), np.float32)
    matte[50:250, 100:300] = 1
    return matte


def test_a_faint_area_inside_becomes_solid_and_a_hole_stays() -> None:
    """An area that is nowhere more than half transparent is a fault; a hole with a transparent middle keeps its soft rim."""
    matte = _square()
    matte[100:120, 150:170] = 0.7
    matte[150:180, 150:180] = 0.6
    matte[155:175, 155:175] = 0
    cleaned = clean_matte(matte)
    assert (cleaned[100:120, 150:170] == 1).all()
    assert np.array_equal(cleaned[150:180, 150:180], matte[150:180, 150:180])


def test_a_faint_area_at_the_edge_or_the_border_stays() -> None:
    """It is the subject's own softness, or continues outside the picture."""
    matte = _square()
    matte[50:70, 100:120] = 0.7
    matte[:, 300:] = 1
    matte[280:, 350:] = 0.7
    assert clean_matte(matte) is matte


def test_specks_far_from_the_subject_go() -> None:
    """A speck close to the subject may be a hair whose middle was not found, and a larger piece is a second subject."""
    matte = _square()
    matte[10:13, 10:13] = 0.8
    matte[47:48, 200:203] = 0.5
    matte[20:40, 350:370] = 1
    cleaned = clean_matte(matte)
    assert not cleaned[10:13, 10:13].any()
    assert np.array_equal(cleaned[20:], matte[20:])


def test_hair_stays() -> None:
    """Cleanup changes less than a thousandth of the alpha of a head of hair."""
    alpha = scene(240, 320).alpha
    assert np.abs(clean_matte(alpha) - alpha).sum() < 0.001 * alpha.sum()


def test_an_empty_and_a_full_matte_are_returned_themselves() -> None:
    """Neither has anything to clean."""
    for value in (0, 1):
        matte = np.full((20, 30), value, np.float32)
        assert clean_matte(matte) is matte
