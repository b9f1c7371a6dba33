"""Lines into a block: broken where they are full, even, as large as goes in, at the side that was asked for, turned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from doubles.fonts import typeface
from goldsmith.ops.text.layout import PlacedText, TextLayout, Typesetter
from goldsmith.ops.text.shaping import Paragraph, ShapingOptions

BOLD = typeface("Manrope-Bold.ttf")
WORDS = "The long way up is the short way home for all of us"


def placed(text: str, size: float, box: tuple[float, float, float, float], layout: TextLayout | None = None) -> PlacedText:
    found = Typesetter([BOLD], text, ShapingOptions(), layout or TextLayout()).set_at_size(size, box)
    assert found is not None
    return found


def rows(found: PlacedText) -> list[list[float]]:
    """The x of every glyph's origin, line by line, in px from the left of the picture."""
    made: dict[float, list[float]] = {}
    for x, y in found.block.positions * found.size + np.array(found.origin):
        made.setdefault(round(float(y), 3), []).append(float(x))
    return [made[y] for y in sorted(made)]


def test_a_line_is_broken_where_the_next_word_would_not_go_in() -> None:
    """Greedy without balance: each line with its next word would be wider than the box."""
    found = placed(WORDS, 20, (0, 0, 200, 200), TextLayout(balance=False))
    assert " ".join(found.block.lines) == WORDS
    words = WORDS.split()
    taken = 0
    for line in found.block.lines:
        assert Paragraph([BOLD], line, ShapingOptions()).shape_line(0, len(line)).width * 20 <= 200
        taken += len(line.split())
        if taken < len(words):
            longer = f"{line} {words[taken]}"
            assert Paragraph([BOLD], longer, ShapingOptions()).shape_line(0, len(longer)).width * 20 > 200


def test_balanced_lines_are_as_many_and_more_even() -> None:
    """The widest line becomes narrower; none is added."""
    box = (0.0, 0.0, 260.0, 300.0)
    plain, even = (placed(WORDS, 20, box, TextLayout(balance=balance)).block for balance in (False, True))
    assert len(even.lines) == len(plain.lines)
    assert even.ink_box[2] < plain.ink_box[2]


def test_a_written_line_break_is_kept_and_an_empty_line_takes_room() -> None:
    """Three lines, the middle one empty: two leadings from first baseline to last."""
    found = placed("A\n\nA", 10, (0, 0, 100, 100), TextLayout(leading=1.5))
    assert found.block.lines == ("A", "", "A")
    ys = found.block.positions[:, 1] * 10
    assert ys[-1] - ys[0] == pytest.approx(30)


def test_chinese_is_broken_between_characters() -> None:
    """Here with letters of full width that the font has none of, so by the places alone."""
    from goldsmith.ops.text.line_breaking import break_opportunities

    assert break_opportunities("漢字漢字") == [1, 2, 3, 4]


@pytest.mark.parametrize(("align", "share"), [("left", 0.0), ("center", 0.5), ("right", 1.0)])
def test_lines_are_aligned_by_their_advance(align: str, share: float) -> None:
    """The short line begins at that share of what the long one is longer."""
    found = placed("HHHH\nH", 20, (0, 0, 300, 100), TextLayout(align=align))  # type: ignore[arg-type]
    long, short = rows(found)
    width = (
        Paragraph([BOLD], "HHHH", ShapingOptions()).shape_line(0, 4).width - Paragraph([BOLD], "H", ShapingOptions()).shape_line(0, 1).width
    )
    assert short[0] - long[0] == pytest.approx(share * width * 20)


def test_justified_lines_end_at_the_box_but_for_the_last() -> None:
    """The ink of every line goes from edge to edge, within a bearing."""
    found = placed(WORDS, 20, (10, 0, 200, 200), TextLayout(align="justify"))
    assert found.ink_box[0] == pytest.approx(10, abs=2)
    assert found.ink_box[0] + found.ink_box[2] == pytest.approx(210, abs=2)
    assert found.ink_box[0] + found.ink_box[2] <= 210 + 1e-6
    firsts = [row[0] for row in rows(found)]
    assert max(firsts) - min(firsts) < 0.01


@pytest.mark.parametrize("rotate", [0.0, 30.0, -90.0, 180.0])
def test_the_largest_size_just_goes_into_the_box(rotate: float) -> None:
    """The turned ink lies in the box; at a thousandth more it would not."""
    setter = Typesetter([BOLD], "GOLD Rush", ShapingOptions(), TextLayout(rotate=rotate))
    box = (20.0, 30.0, 300.0, 200.0)
    found = setter.set_largest(box, 1000)
    assert found is not None
    assert found.ink_box[0] >= 20 - 1e-3 and found.ink_box[0] + found.ink_box[2] <= 320 + 1e-3  # noqa: PT018
    assert found.ink_box[1] >= 30 - 1e-3 and found.ink_box[1] + found.ink_box[3] <= 230 + 1e-3  # noqa: PT018
    assert setter.set_at_size(found.size * 1.001, box, align_ink=True) is None


def test_no_more_than_the_most() -> None:
    """Even where more would go in."""
    found = Typesetter([BOLD], "A", ShapingOptions(), TextLayout()).set_largest((0, 0, 1000, 1000), 12)
    assert found is not None
    assert found.size == 12


def test_a_word_too_long_for_its_box_is_not_cut() -> None:
    """It is told that it does not go in."""
    assert Typesetter([BOLD], "Donaudampfschiff", ShapingOptions(), TextLayout()).set_at_size(40, (0, 0, 100, 300)) is None


def test_capitals_stand_in_the_middle_and_lines_keep_their_place() -> None:
    """With letters above and below the baseline is the same as without; the ink is moved only where it would leave the box."""
    box = (0.0, 0.0, 300.0, 100.0)
    for valign in ("top", "middle", "bottom"):
        ys = {placed(text, 30, box, TextLayout(valign=valign)).origin[1] for text in ("GOLD", "gypsum", "Ångström")}
        assert len({round(y, 6) for y in ys}) == 1
    caps = placed("GOLD", 30, box).origin[1]
    assert caps - BOLD.cap_height * 30 / 2 == pytest.approx(50)
    low = placed("gypsum", 30, (0, 0, 300, 30), TextLayout())
    assert low.ink_box[1] + low.ink_box[3] <= 30 + 1e-6


def test_a_rim_takes_room_of_the_box() -> None:
    """A stroke or panel round the letters stays in it, too, and lines are broken earlier."""
    box = (0.0, 0.0, 200.0, 100.0)
    bare, rimmed = (
        Typesetter([BOLD], "GOLD", ShapingOptions(), replace(TextLayout(), stroke=rim)).set_largest(box, 999) for rim in (0.0, 0.2)
    )
    assert bare is not None
    assert rimmed is not None
    assert rimmed.size < bare.size
    assert rimmed.ink_box[2] <= 200 + 1e-3


def test_a_soft_hyphen_divides_a_word_that_does_not_go_in() -> None:
    """The line ends with a hyphen that is counted in its width, and on record it is one; where there is room there is none."""
    text = "Donau\u00addampf\u00adschiff"
    narrow, wide = (placed(text, 20, (0, 0, room, 200), TextLayout(balance=False)) for room in (130, 400))
    assert narrow.block.lines == ("Donau-", "dampfschiff")
    assert wide.block.lines == ("Donaudampfschiff",)
    assert narrow.ink_box[2] <= 130


def test_a_sign_that_is_spaced_off_never_begins_a_line() -> None:
    """French spaces are spaces to a designer: wherever the box ends, no line is a sign alone, nor a number without its unit."""
    for room in range(40, 400, 7):
        found = Typesetter([BOLD], "Vraiment ? 25 % pour 99 € !", ShapingOptions(), TextLayout(balance=False)).set_at_size(
            10, (0, 0, room, 400)
        )
        if found is not None:
            assert not any(line.startswith(("?", "%", "€", "!")) for line in found.block.lines)
