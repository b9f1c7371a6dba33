"""Masks of outlines: where they are, grown and soft as asked, whole at the picture's edge."""

from __future__ import annotations

import math

import numpy as np
import pytest

from goldsmith.picture.outline_masks import Outline, convex_hull, cover_whole_object, ellipse_outline, outlines_to_mask


def box(left: float, top: float, right: float, bottom: float) -> Outline:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)


def test_an_outline_is_filled_and_nothing_else() -> None:
    """Every px that the outline touches, where it is neither grown nor soft."""
    made = outlines_to_mask(40, 60, [(box(10, 5, 30, 25), 0, 0)])
    assert made[5:25, 10:30].min() == 1
    assert made[:5].max() == made[:, :10].max() == made[26:].max() == made[:, 31:].max() == 0


def test_it_is_grown_by_so_many_px() -> None:
    """The edge is half at the grown outline."""
    made = outlines_to_mask(80, 80, [(box(30, 30, 50, 50), 8, 4)])
    row = made[40]
    assert row[24] > 0.5 > row[20]
    assert row[55] > 0.5 > row[59]
    assert row[30:50].min() == 1


def test_its_edge_is_as_wide_as_asked() -> None:
    """From 0 to 1 over so many px, evenly."""
    row = outlines_to_mask(80, 80, [(box(30, -50, 200, 200), 0, 10)])[40]
    assert np.count_nonzero((row > 0) & (row < 1)) == pytest.approx(10, abs=1)
    assert (np.diff(row) >= 0).all()
    assert np.diff(row[:40]).max() == pytest.approx(0.1, abs=0.02)
    assert row[40:].min() == 1


def test_several_are_one_region() -> None:
    """The larger value where they overlap."""
    one, other = (box(5, 5, 20, 20), 1, 4), (box(15, 15, 35, 35), 1, 4)
    assert np.array_equal(
        outlines_to_mask(40, 40, [one, other]), np.maximum(outlines_to_mask(40, 40, [one]), outlines_to_mask(40, 40, [other]))
    )


@pytest.mark.parametrize("corner", [(-20, -20), (30, 50), (-20, 50), (30, -20)])
def test_what_reaches_beyond_the_picture_is_cut_off_without_an_edge(corner: tuple[int, int]) -> None:
    """As if the picture had been cut out of a larger one."""
    left, top = corner
    large = outlines_to_mask(160, 160, [(box(50 + left, 50 + top, 90 + left, 90 + top), 3, 6)])
    assert np.array_equal(outlines_to_mask(60, 60, [(box(left, top, left + 40, top + 40), 3, 6)]), large[50:110, 50:110])


def test_what_lies_wholly_outside_is_nowhere() -> None:
    """And no fault."""
    assert not outlines_to_mask(20, 20, [(box(100, 100, 120, 120), 2, 2), (box(-50, -50, -30, -30), 2, 2)]).any()


def test_nothing_is_nowhere() -> None:
    """An empty union."""
    assert outlines_to_mask(3, 4, []).shape == (3, 4)
    assert not outlines_to_mask(3, 4, []).any()


def test_a_hull_holds_every_point() -> None:
    """With no more corners than it needs."""
    points = np.array([(0, 0), (10, 0), (10, 10), (0, 10), (5, 5), (2, 7)], np.float32)
    assert sorted(map(tuple, convex_hull(points).tolist())) == [(0, 0), (0, 10), (10, 0), (10, 10)]


def test_an_ellipse_is_turned_clockwise() -> None:
    """Its long axis points down to the right for a small turn."""
    upright = ellipse_outline((50, 50), (40, 10), 0)
    assert (np.ptp(upright[:, 0]), np.ptp(upright[:, 1])) == pytest.approx((80, 20), rel=0.01)
    turned = ellipse_outline((50, 50), (40, 10), math.pi / 6)
    tip = turned[np.argmax(turned[:, 0])]
    assert tip[1] > 55


def test_all_of_a_found_thing_is_more_than_its_mask() -> None:
    """Its soft rim to the end and a little beyond, solid; a gap narrower than that is closed, a wide one stays."""
    mask = np.zeros((200, 300), np.float32)
    mask[50:150, 100:140] = mask[50:150, 143:200] = 1
    mask[50:150, 200:220] = 0.1
    made = cover_whole_object(mask)
    assert set(np.unique(made)) == {0, 1}
    assert made[60:140, 98:222].all()
    assert not made[:, :96].any()
    assert not made[:, 224:].any()
    mask[:, 110:210] = 0
    assert not cover_whole_object(mask)[100, 115:205].any()


def test_nothing_and_everything_stay_what_they_are() -> None:
    """There is nothing to be grown."""
    for value in (0, 1):
        mask = np.full((20, 30), value, np.float32)
        assert cover_whole_object(mask) is mask


def test_a_thing_at_the_border_is_all_of_it_to_the_border() -> None:
    """What lies outside the picture is no background."""
    mask = np.zeros((100, 100), np.float32)
    mask[:, 60:] = 1
    assert cover_whole_object(mask)[:, 60:].all()
