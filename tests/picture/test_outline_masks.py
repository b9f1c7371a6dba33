"""Masks of outlines: position, growth, softness, and the border of the picture."""

from __future__ import annotations

import math

import numpy as np
import pytest

from goldsmith.picture.outline_masks import Outline, convex_hull, cover_whole_object, ellipse_outline, outlines_to_mask


def box(left: float, top: float, right: float, bottom: float) -> Outline:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)


def test_an_outline_without_growth_is_filled_exactly() -> None:
    """Exactly the px that the outline touches are filled."""
    result = outlines_to_mask(40, 60, [(box(10, 5, 30, 25), 0, 0)])
    assert result[5:25, 10:30].min() == 1
    assert result[:5].max() == result[:, :10].max() == result[26:].max() == result[:, 31:].max() == 0


def test_an_outline_grows_by_the_given_px() -> None:
    """Mask values are one half at the grown outline."""
    result = outlines_to_mask(80, 80, [(box(30, 30, 50, 50), 8, 4)])
    row = result[40]
    assert row[24] > 0.5 > row[20]
    assert row[55] > 0.5 > row[59]
    assert row[30:50].min() == 1


def test_the_soft_edge_has_the_given_width() -> None:
    """Values rise evenly from 0 to 1."""
    row = outlines_to_mask(80, 80, [(box(30, -50, 200, 200), 0, 10)])[40]
    assert np.count_nonzero((row > 0) & (row < 1)) == pytest.approx(10, abs=1)
    assert (np.diff(row) >= 0).all()
    assert np.diff(row[:40]).max() == pytest.approx(0.1, abs=0.02)
    assert row[40:].min() == 1


def test_several_outlines_are_joined() -> None:
    """Overlaps get the larger value."""
    first, second = (box(5, 5, 20, 20), 1, 4), (box(15, 15, 35, 35), 1, 4)
    assert np.array_equal(
        outlines_to_mask(40, 40, [first, second]), np.maximum(outlines_to_mask(40, 40, [first]), outlines_to_mask(40, 40, [second]))
    )


@pytest.mark.parametrize("corner", [(-20, -20), (30, 50), (-20, 50), (30, -20)])
def test_the_border_of_the_picture_makes_no_soft_edge(corner: tuple[int, int]) -> None:
    """Results equal a crop of a larger picture."""
    left, top = corner
    large = outlines_to_mask(160, 160, [(box(50 + left, 50 + top, 90 + left, 90 + top), 3, 6)])
    assert np.array_equal(outlines_to_mask(60, 60, [(box(left, top, left + 40, top + 40), 3, 6)]), large[50:110, 50:110])


def test_an_outline_outside_the_picture_gives_an_empty_mask() -> None:
    """Outlines need not touch the picture."""
    assert not outlines_to_mask(20, 20, [(box(100, 100, 120, 120), 2, 2), (box(-50, -50, -30, -30), 2, 2)]).any()


def test_no_outlines_give_an_empty_mask() -> None:
    """The mask has the requested shape."""
    assert outlines_to_mask(3, 4, []).shape == (3, 4)
    assert not outlines_to_mask(3, 4, []).any()


def test_a_hull_has_only_the_outermost_points_as_corners() -> None:
    """Points inside the hull are no corners."""
    points = np.array([(0, 0), (10, 0), (10, 10), (0, 10), (5, 5), (2, 7)], np.float32)
    assert sorted(map(tuple, convex_hull(points).tolist())) == [(0, 0), (0, 10), (10, 0), (10, 10)]


def test_an_ellipse_is_turned_clockwise() -> None:
    """Small angles turn the long axis down to the right."""
    upright = ellipse_outline((50, 50), (40, 10), 0)
    assert (np.ptp(upright[:, 0]), np.ptp(upright[:, 1])) == pytest.approx((80, 20), rel=0.01)
    turned = ellipse_outline((50, 50), (40, 10), math.pi / 6)
    tip = turned[np.argmax(turned[:, 0])]
    assert tip[1] > 55


def test_the_cover_of_an_object_is_larger_than_its_mask() -> None:
    """Covers include the soft rim and a little more; narrow gaps are closed, wide ones stay open."""
    mask = np.zeros((200, 300), np.float32)
    mask[50:150, 100:140] = mask[50:150, 143:200] = 1
    mask[50:150, 200:220] = 0.1
    result = cover_whole_object(mask)
    assert set(np.unique(result)) == {0, 1}
    assert result[60:140, 98:222].all()
    assert not result[:, :96].any()
    assert not result[:, 224:].any()
    mask[:, 110:210] = 0
    assert not cover_whole_object(mask)[100, 115:205].any()


def test_the_cover_of_an_empty_or_full_mask_is_the_same_mask() -> None:
    """The same array is returned, because neither can grow."""
    for value in (0, 1):
        mask = np.full((20, 30), value, np.float32)
        assert cover_whole_object(mask) is mask


def test_the_cover_of_an_object_reaches_the_border() -> None:
    """Pixels outside the picture do not count as background."""
    mask = np.zeros((100, 100), np.float32)
    mask[:, 60:] = 1
    assert cover_whole_object(mask)[:, 60:].all()
