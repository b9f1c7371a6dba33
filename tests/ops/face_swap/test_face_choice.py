"""The choice of a face: by a word, by its number from the left or because it is clearly the main one; and a picture with all numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldsmith.ops.face_swap.face_choice import FaceRect, boxes_in_region, choose_face, draw_numbered_boxes, left_to_right

SIDES = st.floats(1, 300)
BOXES = st.lists(st.tuples(st.floats(-50, 900), st.floats(-50, 900), SIDES, SIDES), min_size=1, max_size=8)
MIDDLE = (500.0, 500.0)
THREE: list[FaceRect] = [(600, 10, 50, 60), (100, 10, 80, 90), (350, 470, 60, 60)]


@given(BOXES)
def test_numbers_go_from_left_to_right(boxes: list[FaceRect]) -> None:
    """Each face has a number, in the order of the middles."""
    order = left_to_right(boxes)
    middles = [boxes[number][0] + boxes[number][2] / 2 for number in order]
    assert sorted(order) == list(range(len(boxes)))
    assert middles == sorted(middles)
    assert [choose_face(boxes, number, MIDDLE) for number in range(1, len(boxes) + 1)] == order
    assert choose_face(boxes, len(boxes) + 1, MIDDLE) is None


def test_each_word_chooses_its_face() -> None:
    """The center is the face closest to the picture's middle."""
    assert [choose_face(THREE, word, MIDDLE) for word in ("largest", "leftmost", "rightmost", "center")] == [1, 1, 0, 2]  # type: ignore[arg-type]


@given(BOXES)
def test_without_a_choice_only_the_clearly_main_face_is_chosen(boxes: list[FaceRect]) -> None:
    """It is the only face, or four times as large as the next."""
    areas = sorted((box[2] * box[3] for box in boxes), reverse=True)
    chosen = choose_face(boxes, None, MIDDLE)
    clear = len(areas) == 1 or areas[0] >= 4 * areas[1]
    assert (chosen is not None) == clear
    assert chosen is None or boxes[chosen][2] * boxes[chosen][3] == areas[0]


@pytest.mark.parametrize("which", [None, 1, "largest", "center"])
def test_without_faces_none_is_chosen(which: object) -> None:
    """Neither a number nor a word chooses a face from an empty list."""
    assert choose_face([], which, MIDDLE) is None  # type: ignore[arg-type]


def test_a_face_is_in_a_region_if_half_of_its_box_is() -> None:
    """Less than half is not enough, and parts outside the picture do not count."""
    region = np.zeros((100, 100), np.float32)
    region[:, :50] = 1
    boxes = [
        (10.0, 10.0, 20.0, 20.0),
        (40.0, 10.0, 20.0, 20.0),
        (41.0, 10.0, 20.0, 20.0),
        (80.0, 80.0, 40.0, 40.0),
        (-10.0, 0.0, 20.0, 9.0),
    ]
    assert boxes_in_region(boxes, region) == [0, 1, 4]


def test_every_face_gets_a_frame_and_a_number() -> None:
    """Frames and numbers are magenta; the rest of a small picture stays, and a large picture is reduced."""
    pixels = np.full((300, 400, 3), 0.5, np.float32)
    boxes = [(50.0, 50.0, 100.0, 120.0), (250.0, 100.0, 90.0, 100.0)]
    numbered = draw_numbered_boxes(pixels, boxes)
    marked = np.abs(numbered - np.float32([1, 0, 1])).max(axis=2) < 0.01
    for x, y, wide, high in boxes:
        inner = marked[int(y) + 5 : int(y + high) - 5, int(x) + 5 : int(x + wide) - 5]
        assert marked[int(y), int(x) : int(x + wide)].all()
        assert inner.sum() > 50
    assert np.abs(numbered[:40] - 0.5).max() < 0.005
    assert draw_numbered_boxes(np.zeros((2000, 4000, 3), np.float32), boxes).shape == (800, 1600, 3)
