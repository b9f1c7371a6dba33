"""Lines of text in a map of where text is likely, cut out upright and put in order; what the nets read is held in tests/contracts."""

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
    """In whatever order they come."""
    assert np.array_equal(_order_corners(np.roll(CORNERS, first, axis=0)), CORNERS)
    assert np.array_equal(_order_corners(np.roll(CORNERS[::-1], first, axis=0)), CORNERS)


def test_a_core_is_a_line_that_reaches_beyond_it() -> None:
    """By its area over its circumference, 1.6 times; a faint core and a speck are none."""
    likely = np.zeros((200, 300), np.float32)
    likely[50:60, 40:140] = 0.9
    likely[100:110, 40:140] = 0.4
    likely[150:152, 150:152] = 0.9
    [corners] = _line_boxes(likely)
    beyond = 1.6 * 100 * 10 / 220
    assert corners[0] == pytest.approx((40 - beyond, 50 - beyond), abs=1.2)
    assert corners[2] == pytest.approx((140 + beyond, 60 + beyond), abs=1.2)


def test_a_slanted_core_is_a_slanted_line() -> None:
    """Its corners are turned with it."""
    likely = np.zeros((200, 300), np.float32)
    cv2.line(likely, (50, 60), (250, 120), 0.9, 12)
    [corners] = _line_boxes(likely)
    slope = (corners[1] - corners[0]) / np.linalg.norm(corners[1] - corners[0])
    assert slope == pytest.approx(np.array([200, 60]) / np.hypot(200, 60), abs=0.03)


def test_a_line_is_cut_out_upright() -> None:
    """A slanted bar comes out level and whole; one that stands is laid on its side."""
    pixels = np.zeros((200, 300, 3), np.float32)
    cv2.line(pixels, (50, 60), (250, 120), (1, 1, 1), 21)
    across = np.array([200, 60]) / np.hypot(200, 60)
    down = np.array([-across[1], across[0]])
    start, end = np.array([60, 63]) + 0.5, np.array([240, 117]) + 0.5
    corners = np.array([start - 8 * down, end - 8 * down, end + 8 * down, start + 8 * down], np.float32)
    line = _crop_upright(pixels, corners)
    assert line.shape[:2] == (16, 188)
    assert line[2:-2, 2:-2].min() > 0.9
    standing = _crop_upright(pixels, np.array([(10, 10), (30, 10), (30, 110), (10, 110)], np.float32))
    assert standing.shape[:2] == (20, 100)


def test_lines_are_told_as_they_are_read() -> None:
    """From the top; what stands about level from the left."""

    def line(text: str, x: float, y: float) -> TextLine:
        return TextLine(np.array([(x, y), (x + 50, y), (x + 50, y + 20), (x, y + 20)], np.float32), text, 0.9)

    told = _reading_order([line("d", 0, 60), line("b", 100, 4), line("c", 200, 0), line("a", 0, 6)])
    assert [each.text for each in told] == ["a", "b", "c", "d"]


def test_a_model_needs_both_nets(tmp_path: Path) -> None:
    """One that finds and one that reads, told by their names."""
    model = Model(kind="reader", driver="pp_ocr", licence="Apache-2.0")
    with pytest.raises(InputError, match="one file with '_det' in its name, 0 are listed"):
        open_engine("own", model, ModelFiles({"own_rec.onnx": tmp_path / "own_rec.onnx"}, tmp_path), Device())
