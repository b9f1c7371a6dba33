"""The search for hands covers the picture and returns each hand once. tests/contracts checks the networks on photographs."""

from __future__ import annotations

import numpy as np
import pytest

from goldsmith.engines.drivers._tflite import RotatedSquare
from goldsmith.engines.drivers.hand_landmarks import _anchors, _is_already_found, _remove_duplicates, _search_squares
from goldsmith.engines.vision import Hand, Points


def box(left: float, top: float, right: float, bottom: float) -> Points:
    """Return the corners of a box, (4, 2) px."""
    return np.array([(left, top), (right, bottom), (left, bottom), (right, top)], np.float32)


def test_the_anchors_are_on_two_grids() -> None:
    """Check 2016 anchors: two for each cell of 24 x 24, row by row, then six of 12 x 12."""
    anchors = _anchors()
    assert anchors.shape == (2016, 2)
    assert anchors[0] == pytest.approx((0.5 / 24, 0.5 / 24))
    assert np.array_equal(anchors[0], anchors[1])
    assert anchors[2] == pytest.approx((1.5 / 24, 0.5 / 24))
    assert anchors[24 * 2] == pytest.approx((0.5 / 24, 1.5 / 24))
    assert anchors[24 * 24 * 2 + 6] == pytest.approx((1.5 / 12, 0.5 / 12))
    assert anchors[-1] == pytest.approx((11.5 / 12, 11.5 / 12))


@pytest.mark.parametrize(("height", "width"), [(853, 1280), (1280, 720), (1280, 1280), (301, 1280)])
def test_the_search_covers_every_pixel(height: int, width: int) -> None:
    """Check the whole picture first, then parts of half the longer side; each pixel is well inside one part."""
    whole, *parts = _search_squares(height, width)
    assert whole == RotatedSquare(width / 2, height / 2, max(height, width), 0.0)
    assert all(part.side == max(height, width) / 2 for part in parts)
    down, across = np.mgrid[0:height:20, 0:width:20]
    depth = np.zeros(down.shape)
    for part in parts:
        margin = np.minimum(part.side / 2 - np.abs(across - part.x), part.side / 2 - np.abs(down - part.y))
        depth = np.maximum(depth, margin)
    inner = depth[3:-3, 3:-3]
    assert inner.min() > 50


def test_a_small_picture_is_searched_once() -> None:
    """Check that the search has no parts."""
    assert list(_search_squares(200, 300)) == [RotatedSquare(150, 100, 300, 0.0)]


def test_a_hand_found_twice_is_returned_once() -> None:
    """Check that the higher score stays and that hands side by side are two."""
    first, duplicate, neighbour = Hand(box(100, 100, 200, 200), 0.9), Hand(box(110, 95, 205, 190), 0.8), Hand(box(190, 100, 290, 200), 0.7)
    assert _remove_duplicates([first, duplicate, neighbour]) == [first, neighbour]


def test_a_hand_inside_a_larger_one_is_a_duplicate() -> None:
    """Check half a hand at the edge of a part."""
    assert _remove_duplicates([Hand(box(100, 100, 200, 200), 0.9), Hand(box(120, 120, 160, 160), 0.8)])[0].score == 0.9
    assert len(_remove_duplicates([Hand(box(100, 100, 200, 200), 0.9), Hand(box(120, 120, 160, 160), 0.8)])) == 1


def test_a_palm_of_a_known_hand_is_skipped() -> None:
    """Check a palm inside a hand of similar size; a palm of another size at the same place is another hand."""
    points = box(100, 100, 200, 200)
    assert _is_already_found(points, RotatedSquare(150, 140, 180, 0.3))
    assert not _is_already_found(points, RotatedSquare(350, 140, 180, 0.3))
    assert not _is_already_found(points, RotatedSquare(150, 140, 600, 0.3))
