"""Letters as coverage: where the outlines are, exact to a fraction of a pixel, and a rim of the width asked for."""

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


def placed(text: str, size: float, *, rotate: float = 0.0, face: Typeface = BOLD) -> PlacedText:
    found = Typesetter([face], text, ShapingOptions(), TextLayout(rotate=rotate)).set_at_size(size, (0.0, 0.0, 320.0, 200.0))
    assert found is not None
    return found


def edges(values: np.ndarray) -> tuple[float, float]:
    """Where a bar of coverage begins and ends, to a fraction of a pixel."""
    full = np.flatnonzero(values >= 0.999)
    return full[0] - float(values[: full[0]].sum()), full[-1] + 1 + float(values[full[-1] + 1 :].sum())


@pytest.mark.parametrize("size", [60.0, 97.3, 300.0])
def test_a_stem_lies_where_the_outline_says(size: float) -> None:
    """The sides and ends of a capital I, at small sizes and large ones."""
    found = placed("I", min(size, 190.0) if size < 300 else 190.0)
    shape = letter_coverage([BOLD], found, WINDOW)
    left, top, width, height = found.ink_box
    assert edges(shape[int(top + height / 2)]) == pytest.approx((left, left + width), abs=0.03)
    assert edges(shape[:, int(left + width / 2)]) == pytest.approx((top, top + height), abs=0.03)


def test_what_overlaps_in_a_variable_font_is_covered_once() -> None:
    """Its contours lie over each other; a heavy A has no holes where they do, and is never more than whole."""
    face = typeface("Manrope.ttf", wght=800)
    shape = letter_coverage([face], placed("AQ&", 150, face=face), WINDOW)
    assert shape.max() == 1
    static = letter_coverage([typeface("Manrope-Bold.ttf")], placed("AQ&", 150), WINDOW)
    assert 0.9 < shape.sum() / static.sum() < 1.3


def test_a_quarter_turn_is_the_letters_turned() -> None:
    """Clockwise: what was above is on the right."""
    upright, turned = (letter_coverage([BOLD], placed("R", 100, rotate=rotate), WINDOW) for rotate in (0.0, 90.0))
    rows, cols = (np.flatnonzero(upright.any(axis=axis)) for axis in (1, 0))
    letter = np.rot90(upright[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1], -1)
    rows, cols = (np.flatnonzero(turned.any(axis=axis)) for axis in (1, 0))
    other = turned[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    height, width = min(letter.shape[0], other.shape[0]), min(letter.shape[1], other.shape[1])
    assert abs(float(letter.sum()) - float(other.sum())) < 5
    assert np.abs(letter[:height, :width] - other[:height, :width]).mean() < 0.05


def test_a_window_shows_its_part_of_the_letters() -> None:
    """Cut anywhere, also through a letter: the parts are the same pixels as the whole."""
    found = placed("GOLD", 100)
    whole = letter_coverage([BOLD], found, WINDOW)
    part = letter_coverage([BOLD], found, (slice(70, 133), slice(55, 171)))
    assert np.array_equal(part, whole[70:133, 55:171])


def test_strips_join_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large text is drawn piece by piece; nobody sees where."""

    found = placed("GOLD", 100)
    whole: list[Mask] = [letter_coverage([BOLD], found, WINDOW), stroked_coverage([BOLD], found, WINDOW, 5.0)]
    monkeypatch.setattr(rasterising, "_STRIP", 320 * 16 * 11)
    assert np.abs(letter_coverage([BOLD], found, WINDOW) - whole[0]).max() < 1 / 255
    assert np.abs(stroked_coverage([BOLD], found, WINDOW, 5.0) - whole[1]).max() < 1 / 64


@pytest.mark.parametrize("rim", [0.7, 3.0, 8.25])
def test_a_rim_is_as_wide_as_asked(rim: float) -> None:
    """On a stem both sides move out by it, within an eighth of a pixel; the corners are round; the letters stay covered."""
    found = placed("I", 120)
    bare, grown = letter_coverage([BOLD], found, WINDOW), stroked_coverage([BOLD], found, WINDOW, rim)
    left, top, width, height = found.ink_box
    row = int(top + height / 2)
    assert edges(grown[row]) == pytest.approx((left - rim, left + width + rim), abs=0.13)
    assert (grown >= bare).all()
    area = width * height + 2 * rim * (width + height) + np.pi * rim**2
    assert float(grown.sum()) == pytest.approx(area, rel=0.02)


def test_no_letters_no_coverage() -> None:
    """Spaces have no ink."""
    assert letter_coverage([BOLD], placed(". ", 20), (slice(0, 20), slice(0, 20))).max() == 0
