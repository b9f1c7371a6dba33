"""Laying out lines: broken where they are full, balanced, as large as fits, aligned and rotated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from doubles.fonts import typeface
from goldsmith.ops.text.layout import PlacedText, TextLayout, Typesetter
from goldsmith.ops.text.shaping import Paragraph, ShapingOptions

BOLD = typeface("Manrope-Bold.ttf")
WORDS = "The long way up is the short way home for all of us"


def place_text(text: str, size: float, box: tuple[float, float, float, float], layout: TextLayout | None = None) -> PlacedText:
    result = Typesetter([BOLD], text, ShapingOptions(), layout or TextLayout()).set_at_size(size, box)
    assert result is not None
    return result


def rows(result: PlacedText) -> list[list[float]]:
    """Return the x of every glyph's origin, line by line, in px from the left of the picture."""
    by_line: dict[float, list[float]] = {}
    for x, y in result.block.positions * result.size + np.array(result.origin):
        by_line.setdefault(round(float(y), 3), []).append(float(x))
    return [by_line[y] for y in sorted(by_line)]


def test_a_line_is_broken_where_the_next_word_does_not_fit() -> None:
    """Without balance, each line with the next line's first word would be wider than the box."""
    result = place_text(WORDS, 20, (0, 0, 200, 200), TextLayout(balance=False))
    assert " ".join(result.block.lines) == WORDS
    words = WORDS.split()
    word_count = 0
    for line in result.block.lines:
        assert Paragraph([BOLD], line, ShapingOptions()).shape_line(0, len(line)).width * 20 <= 200
        word_count += len(line.split())
        if word_count < len(words):
            longer = f"{line} {words[word_count]}"
            assert Paragraph([BOLD], longer, ShapingOptions()).shape_line(0, len(longer)).width * 20 > 200


def test_balancing_keeps_the_number_of_lines() -> None:
    """Balancing makes the widest line narrower and adds no line."""
    box = (0.0, 0.0, 260.0, 300.0)
    plain, even = (place_text(WORDS, 20, box, TextLayout(balance=balance)).block for balance in (False, True))
    assert len(even.lines) == len(plain.lines)
    assert even.ink_box[2] < plain.ink_box[2]


def test_line_breaks_are_kept_and_an_empty_line_has_its_height() -> None:
    """Three lines with an empty one in the middle are two leadings high, from first baseline to last."""
    result = place_text("A\n\nA", 10, (0, 0, 100, 100), TextLayout(leading=1.5))
    assert result.block.lines == ("A", "", "A")
    ys = result.block.positions[:, 1] * 10
    assert ys[-1] - ys[0] == pytest.approx(30)


@pytest.mark.parametrize(("align", "share"), [("left", 0.0), ("center", 0.5), ("right", 1.0)])
def test_lines_are_aligned_by_their_advance(align: str, share: float) -> None:
    """Alignment moves the short line by its share of the difference in width."""
    result = place_text("HHHH\nH", 20, (0, 0, 300, 100), TextLayout(align=align))  # type: ignore[arg-type]
    long, short = rows(result)
    width = (
        Paragraph([BOLD], "HHHH", ShapingOptions()).shape_line(0, 4).width - Paragraph([BOLD], "H", ShapingOptions()).shape_line(0, 1).width
    )
    assert short[0] - long[0] == pytest.approx(share * width * 20)


def test_all_justified_lines_but_the_last_end_at_the_box() -> None:
    """Ink of every justified line reaches from edge to edge, within a side bearing."""
    result = place_text(WORDS, 20, (10, 0, 200, 200), TextLayout(align="justify"))
    assert result.ink_box[0] == pytest.approx(10, abs=2)
    assert result.ink_box[0] + result.ink_box[2] == pytest.approx(210, abs=2)
    assert result.ink_box[0] + result.ink_box[2] <= 210 + 1e-6
    firsts = [row[0] for row in rows(result)]
    assert max(firsts) - min(firsts) < 0.01


@pytest.mark.parametrize("rotate", [0.0, 30.0, -90.0, 180.0])
def test_the_largest_size_just_fits_into_the_box(rotate: float) -> None:
    """Rotated ink lies in the box; at a thousandth more it does not fit."""
    typesetter = Typesetter([BOLD], "GOLD Rush", ShapingOptions(), TextLayout(rotate=rotate))
    box = (20.0, 30.0, 300.0, 200.0)
    result = typesetter.set_largest(box, 1000)
    assert result is not None
    assert result.ink_box[0] >= 20 - 1e-3 and result.ink_box[0] + result.ink_box[2] <= 320 + 1e-3  # noqa: PT018
    assert result.ink_box[1] >= 30 - 1e-3 and result.ink_box[1] + result.ink_box[3] <= 230 + 1e-3  # noqa: PT018
    assert typesetter.set_at_size(result.size * 1.001, box, align_ink=True) is None


def test_the_maximum_size_is_kept() -> None:
    """Text that would fit at a larger size keeps the largest size allowed."""
    result = Typesetter([BOLD], "A", ShapingOptions(), TextLayout()).set_largest((0, 0, 1000, 1000), 12)
    assert result is not None
    assert result.size == 12


def test_a_word_too_long_for_its_box_is_not_cut() -> None:
    """Typesetting returns None for it."""
    assert Typesetter([BOLD], "Donaudampfschiff", ShapingOptions(), TextLayout()).set_at_size(40, (0, 0, 100, 300)) is None


def test_capitals_are_centred_and_baselines_do_not_depend_on_the_letters() -> None:
    """Baselines do not depend on ascenders and descenders; ink is moved only if it would leave the box."""
    box = (0.0, 0.0, 300.0, 100.0)
    for valign in ("top", "middle", "bottom"):
        ys = {place_text(text, 30, box, TextLayout(valign=valign)).origin[1] for text in ("GOLD", "gypsum", "Ångström")}
        assert len({round(y, 6) for y in ys}) == 1
    caps = place_text("GOLD", 30, box).origin[1]
    assert caps - BOLD.cap_height * 30 / 2 == pytest.approx(50)
    low = place_text("gypsum", 30, (0, 0, 300, 30), TextLayout())
    assert low.ink_box[1] + low.ink_box[3] <= 30 + 1e-6


def test_the_ink_margin_stays_in_the_box() -> None:
    """Stroke and panel stay in the box too, so the text is smaller."""
    box = (0.0, 0.0, 200.0, 100.0)
    bare, with_margin = (
        Typesetter([BOLD], "GOLD", ShapingOptions(), replace(TextLayout(), ink_margin=margin)).set_largest(box, 999)
        for margin in (0.0, 0.2)
    )
    assert bare is not None
    assert with_margin is not None
    assert with_margin.size < bare.size
    assert with_margin.ink_box[2] <= 200 + 1e-3


def test_a_soft_hyphen_divides_a_word_that_does_not_fit() -> None:
    """Divided lines end with a hyphen, which counts for their width and stands on record; undivided ones have none."""
    text = "Donau\u00addampf\u00adschiff"
    narrow, wide = (place_text(text, 20, (0, 0, room, 200), TextLayout(balance=False)) for room in (130, 400))
    assert narrow.block.lines == ("Donau-", "dampfschiff")
    assert wide.block.lines == ("Donaudampfschiff",)
    assert narrow.ink_box[2] <= 130


def test_a_spaced_sign_never_begins_a_line() -> None:
    """French spaces signs off; still no line begins with such a sign, or with a unit without its number, at any width."""
    for room in range(40, 400, 7):
        result = Typesetter([BOLD], "Vraiment ? 25 % pour 99 € !", ShapingOptions(), TextLayout(balance=False)).set_at_size(
            10, (0, 0, room, 400)
        )
        if result is not None:
            assert not any(line.startswith(("?", "%", "€", "!")) for line in result.block.lines)
