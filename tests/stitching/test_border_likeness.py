"""Likeness to what lies beside a hole: colour, structure and place count."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels
from goldsmith.stitching.border_likeness import BorderLikeness

SIDE = 120


def _hole() -> NDArray[np.bool_]:
    hole = np.zeros((SIDE, SIDE), dtype=np.bool_)
    hole[40:80, 40:80] = True
    return hole


def _likeness(pixels: Pixels) -> BorderLikeness:
    return BorderLikeness(pixels, _hole(), np.zeros((SIDE, SIDE), dtype=np.bool_), 10)


def _at(*places: tuple[int, int]) -> NDArray[np.intp]:
    return np.array(places, dtype=np.intp)


def test_a_colour_that_does_not_lie_beside_the_hole_is_unlike() -> None:
    """A blue corner is wholly unlike the grey wall, and the wall is like itself."""
    pixels = np.full((SIDE, SIDE, 3), 0.6, dtype=np.float32)
    pixels[:20, :20] = (0.1, 0.1, 0.8)
    assert _likeness(pixels).unlikeness(_at((5, 5), (5, 90))).tolist() == [1, 0]


def test_a_structure_that_does_not_lie_beside_the_hole_is_unlike() -> None:
    """Stripes of the wall's mean tone are told from the wall."""
    pixels = np.full((SIDE, SIDE, 3), 0.5, dtype=np.float32)
    pixels[:20, :20] = np.where((np.arange(20) // 2 % 2 == 0)[:, None, None], np.float32(0.2), np.float32(0.76))
    unlike = _likeness(pixels).unlikeness(_at((5, 5), (5, 90)))
    assert unlike[0] > 0.9
    assert unlike[1] == 0


def test_what_lies_on_the_other_side_of_the_hole_counts_as_less_like() -> None:
    """Dark ground lies below the hole alone: it is like the border there, and less so above."""
    pixels = np.full((SIDE, SIDE, 3), 0.7, dtype=np.float32)
    pixels[75:] = 0.2
    source = _at((100, 10), (100, 10))
    below, above = _likeness(pixels).unlikeness(source, _at((68, 55), (42, 55)))
    assert below < above


def test_without_a_border_nothing_is_unlike() -> None:
    """A hole that leaves no whole block beside it has nothing to be compared with."""
    hole = np.ones((30, 30), dtype=np.bool_)
    hole[:4] = False
    likeness = BorderLikeness(np.full((30, 30, 3), 0.5, dtype=np.float32), hole, np.zeros_like(hole), 10)
    assert likeness.unlikeness(_at((0, 0))).tolist() == [0]
