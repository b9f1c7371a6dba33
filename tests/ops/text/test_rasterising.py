"""Rasterising: letters are where their outlines are, to a fraction of a pixel, and a stroke has its width."""

from __future__ import annotations

import numpy as np
import pytest

from doubles.fonts import typeface
from goldsmith.ops.text import rasterising
from goldsmith.ops.text.font import Typeface
from goldsmith.ops.text.layout import PlacedText, TextLayout, Typesetter
from goldsmith.ops.text.rasterising import letter_coverage, stroked_coverage
from goldsmith.ops.text.shaping import ShapingOptions
from goldsmith.picture.picture import Mask

BOLD = typeface("Manrope-Bold.ttf")
WINDOW = (slice(0, 200), slice(0, 320))


def place_text(text: str, size: float, *, rotate: float = 0.0, face: Typeface = BOLD) -> PlacedText:
    result = Typesetter([face], text, ShapingOptions(), TextLayout(rotate=rotate)).set_at_size(size, (0.0, 0.0, 320.0, 200.0))
    assert result is not None
    return result


def edges(values: np.ndarray) -> tuple[float, float]:
    """Return where a bar of coverage (n,), 0..1, begins and ends, to a fraction of a pixel."""
    full = np.flatnonzero(values >= 0.999)
    return full[0] - float(values[: full[0]].sum()), full[-1] + 1 + float(values[full[-1] + 1 :].sum())


@pytest.mark.parametrize("size", [60.0, 97.3, 300.0])
def test_a_stem_lies_where_the_outline_says(size: float) -> None:
    """Sides and ends of a capital I are exact at small and large sizes."""
    result = place_text("I", min(size, 190.0) if size < 300 else 190.0)
    shape = letter_coverage([BOLD], result, WINDOW)
    left, top, width, height = result.ink_box
    assert edges(shape[int(top + height / 2)]) == pytest.approx((left, left + width), abs=0.03)
    assert edges(shape[:, int(left + width / 2)]) == pytest.approx((top, top + height), abs=0.03)


def test_overlapping_contours_are_covered_once() -> None:
    """Overlapping contours of a heavy variable font leave no holes, and no coverage above 1."""
    face = typeface("Manrope.ttf", wght=800)
    shape = letter_coverage([face], place_text("AQ&", 150, face=face), WINDOW)
    assert shape.max() == 1
    static = letter_coverage([typeface("Manrope-Bold.ttf")], place_text("AQ&", 150), WINDOW)
    assert 0.9 < shape.sum() / static.sum() < 1.3


def test_a_quarter_turn_rotates_the_letters() -> None:
    """Rotation is clockwise: the top of the letters comes to the right."""
    upright, turned = (letter_coverage([BOLD], place_text("R", 100, rotate=rotate), WINDOW) for rotate in (0.0, 90.0))
    rows, cols = (np.flatnonzero(upright.any(axis=axis)) for axis in (1, 0))
    letter = np.rot90(upright[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1], -1)
    rows, cols = (np.flatnonzero(turned.any(axis=axis)) for axis in (1, 0))
    rotated = turned[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    height, width = min(letter.shape[0], rotated.shape[0]), min(letter.shape[1], rotated.shape[1])
    assert abs(float(letter.sum()) - float(rotated.sum())) < 5
    assert np.abs(letter[:height, :width] - rotated[:height, :width]).mean() < 0.05


def test_a_window_shows_its_part_of_the_letters() -> None:
    """Windows that cut through letters have the same pixels as the whole."""
    result = place_text("GOLD", 100)
    whole = letter_coverage([BOLD], result, WINDOW)
    part = letter_coverage([BOLD], result, (slice(70, 133), slice(55, 171)))
    assert np.array_equal(part, whole[70:133, 55:171])


def test_strips_join_seamlessly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text rendered in many strips equals text rendered in one."""

    result = place_text("GOLD", 100)
    whole: list[Mask] = [letter_coverage([BOLD], result, WINDOW), stroked_coverage([BOLD], result, WINDOW, 5.0)]
    monkeypatch.setattr(rasterising, "_STRIP", 320 * 16 * 11)
    assert np.abs(letter_coverage([BOLD], result, WINDOW) - whole[0]).max() < 1 / 255
    assert np.abs(stroked_coverage([BOLD], result, WINDOW, 5.0) - whole[1]).max() < 1 / 64


@pytest.mark.parametrize("stroke_width", [0.7, 3.0, 8.25])
def test_a_stroke_has_its_width(stroke_width: float) -> None:
    """Stems grow by the stroke's width on both sides, within an eighth of a pixel; corners are round."""
    block = place_text("I", 120)
    letters, stroked = letter_coverage([BOLD], block, WINDOW), stroked_coverage([BOLD], block, WINDOW, stroke_width)
    left, top, width, height = block.ink_box
    row = int(top + height / 2)
    assert edges(stroked[row]) == pytest.approx((left - stroke_width, left + width + stroke_width), abs=0.13)
    assert (stroked >= letters).all()
    area = width * height + 2 * stroke_width * (width + height) + np.pi * stroke_width**2
    assert float(stroked.sum()) == pytest.approx(area, rel=0.02)


def test_a_window_without_letters_has_no_coverage() -> None:
    """Pixels without letters have no coverage."""
    assert letter_coverage([BOLD], place_text(". ", 20), (slice(0, 20), slice(0, 20))).max() == 0
