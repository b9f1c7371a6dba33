"""Lines in a probability map are cropped upright and put in reading order. tests/contracts checks the networks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from goldsmith.engines.drivers.pp_ocr import _crop_upright, _line_boxes, _order_corners, _reading_order, open_engine
from goldsmith.engines.protocols import Device, ModelFiles
from goldsmith.engines.registry.models import Model
from goldsmith.engines.vision import TextLine
from goldsmith.errors import InputError

CORNERS = np.array([(10, 20), (110, 20), (110, 40), (10, 40)], np.float32)


@pytest.mark.parametrize("first", range(4))
def test_corners_go_clockwise_from_the_upper_left(first: int) -> None:
    """Check every first corner, clockwise and anticlockwise."""
    assert np.array_equal(_order_corners(np.roll(CORNERS, first, axis=0)), CORNERS)
    assert np.array_equal(_order_corners(np.roll(CORNERS[::-1], first, axis=0)), CORNERS)


def test_a_line_extends_beyond_its_core() -> None:
    """Check 1.6 times area over perimeter; a faint core and a speck give no line."""
    probability = np.zeros((200, 300), np.float32)
    probability[50:60, 40:140] = 0.9
    probability[100:110, 40:140] = 0.4
    probability[150:152, 150:152] = 0.9
    [corners] = _line_boxes(probability)
    margin = 1.6 * 100 * 10 / 220
    assert corners[0] == pytest.approx((40 - margin, 50 - margin), abs=1.2)
    assert corners[2] == pytest.approx((140 + margin, 60 + margin), abs=1.2)


def test_a_slanted_core_gives_a_slanted_line() -> None:
    """Check its rotated corners."""
    probability = np.zeros((200, 300), np.float32)
    cv2.line(probability, (50, 60), (250, 120), 0.9, 12)
    [corners] = _line_boxes(probability)
    slope = (corners[1] - corners[0]) / np.linalg.norm(corners[1] - corners[0])
    assert slope == pytest.approx(np.array([200, 60]) / np.hypot(200, 60), abs=0.03)


def test_a_line_is_cropped_upright() -> None:
    """Check that a slanted bar is level and complete, and that a vertical one is rotated."""
    pixels = np.zeros((200, 300, 3), np.float32)
    cv2.line(pixels, (50, 60), (250, 120), (1, 1, 1), 21)
    across = np.array([200, 60]) / np.hypot(200, 60)
    down = np.array([-across[1], across[0]])
    start, end = np.array([60, 63]) + 0.5, np.array([240, 117]) + 0.5
    corners = np.array([start - 8 * down, end - 8 * down, end + 8 * down, start + 8 * down], np.float32)
    line = _crop_upright(pixels, corners)
    assert line.shape[:2] == (16, 188)
    assert line[2:-2, 2:-2].min() > 0.9
    vertical = _crop_upright(pixels, np.array([(10, 10), (30, 10), (30, 110), (10, 110)], np.float32))
    assert vertical.shape[:2] == (20, 100)


def test_lines_are_in_reading_order() -> None:
    """Check the order from the top, and from the left at about the same height."""

    def text_line(text: str, x: float, y: float) -> TextLine:
        return TextLine(np.array([(x, y), (x + 50, y), (x + 50, y + 20), (x, y + 20)], np.float32), text, 0.9)

    lines = _reading_order([text_line("d", 0, 60), text_line("b", 100, 4), text_line("c", 200, 0), text_line("a", 0, 6)])
    assert [each.text for each in lines] == ["a", "b", "c", "d"]


def test_a_model_needs_both_nets(tmp_path: Path) -> None:
    """Check detection and recognition, found by their names."""
    model = Model(kind="reader", driver="pp_ocr", licence="Apache-2.0")
    with pytest.raises(InputError, match="one file with '_det' in its name, 0 are listed"):
        open_engine("own", model, ModelFiles({"own_rec.onnx": tmp_path / "own_rec.onnx"}, tmp_path), Device())
