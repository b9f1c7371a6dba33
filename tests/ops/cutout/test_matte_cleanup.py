"""Tidying a matte: ghosts become solid, crumbs go, holes and hairs stay."""

from __future__ import annotations

import numpy as np

from doubles.mattes import scene
from goldsmith.ops.cutout.matte_cleanup import clean_matte
from goldsmith.picture.picture import Mask


def _square() -> Mask:
    made = np.zeros((300, 400), np.float32)
    made[50:250, 100:300] = 1
    return made


def test_a_faint_place_inside_is_solid_and_a_hole_is_a_hole() -> None:
    """What is nowhere more than half open is a fault; what is open in its middle keeps its soft rim."""
    matte = _square()
    matte[100:120, 150:170] = 0.7
    matte[150:180, 150:180] = 0.6
    matte[155:175, 155:175] = 0
    made = clean_matte(matte)
    assert (made[100:120, 150:170] == 1).all()
    assert np.array_equal(made[150:180, 150:180], matte[150:180, 150:180])


def test_a_faint_place_at_the_edge_or_the_border_stays() -> None:
    """It is the subject's own softness, or goes on where nobody sees it."""
    matte = _square()
    matte[50:70, 100:120] = 0.7
    matte[:, 300:] = 1
    matte[280:, 350:] = 0.7
    assert clean_matte(matte) is matte


def test_crumbs_far_away_go() -> None:
    """One that lies by the subject may be a hair whose middle was not seen; a piece of some size is a second subject."""
    matte = _square()
    matte[10:13, 10:13] = 0.8
    matte[47:48, 200:203] = 0.5
    matte[20:40, 350:370] = 1
    made = clean_matte(matte)
    assert not made[10:13, 10:13].any()
    assert np.array_equal(made[20:], matte[20:])


def test_hair_is_not_tidied_away() -> None:
    """Not one pixel of a head of hair is another."""
    alpha = scene(240, 320).alpha
    assert np.abs(clean_matte(alpha) - alpha).sum() < 0.001 * alpha.sum()


def test_nothing_is_tidy() -> None:
    """And so is everything."""
    for value in (0, 1):
        matte = np.full((20, 30), value, np.float32)
        assert clean_matte(matte) is matte
