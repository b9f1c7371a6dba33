"""Shaping: kerning, ligatures and other features, tracking, several fonts and scripts, both directions."""

from __future__ import annotations

import pytest

from doubles.fonts import typeface
from goldsmith.ops.text.font import Typeface
from goldsmith.ops.text.shaping import MissingGlyph, Paragraph, ShapedLine, ShapingOptions, glyph_boxes

BOLD = typeface("Manrope-Bold.ttf")
SOURCE = typeface("SourceSansPro-Regular.otf")


def line(text: str, options: ShapingOptions | None = None, *faces: Typeface) -> ShapedLine:
    return Paragraph(faces or (BOLD,), text, options or ShapingOptions()).shape_line(0, len(text))


def test_kerning_brings_a_pair_closer() -> None:
    """AV is narrower than A and V, and as wide as both with kerning off."""
    apart = line("A").width + line("V").width
    assert line("AV").width < apart - 0.03
    assert line("AV", ShapingOptions({"kern": 0})).width == pytest.approx(apart)


def test_tracking_separates_ligatures() -> None:
    """Source Sans joins f and t; tracked letters are joined only if `liga` is set."""
    assert len(line("ft", None, SOURCE).glyphs) == 1
    assert len(line("ft", ShapingOptions({"liga": 0}), SOURCE).glyphs) == 2
    assert len(line("ft", ShapingOptions(tracking=0.1), SOURCE).glyphs) == 2
    assert len(line("ft", ShapingOptions({"liga": 1}, 0.1), SOURCE).glyphs) == 1


def test_a_feature_chooses_other_glyphs() -> None:
    """Small capitals are other glyphs than small letters."""
    plain, small = (line("gold", ShapingOptions(features), SOURCE).glyphs for features in ({}, {"smcp": 1}))
    assert {glyph.glyph_id for glyph in plain}.isdisjoint(glyph.glyph_id for glyph in small)


@pytest.mark.parametrize("tracking", [-0.05, 0.12, 2.0])
def test_tracking_is_exact(tracking: float) -> None:
    """Tracking widens a line of n letters n - 1 times: it does not follow the last letter."""
    assert line("HAND", ShapingOptions(tracking=tracking)).width == pytest.approx(line("HAND").width + 3 * tracking)
    assert line("H", ShapingOptions(tracking=tracking)).width == pytest.approx(line("H").width)


def test_tracking_keeps_a_mark_with_its_letter() -> None:
    """Tracking does not separate a combining accent from its letter."""
    base = line("e\u0301b", None, SOURCE).width
    assert line("e\u0301b", ShapingOptions(tracking=1), SOURCE).width == pytest.approx(base + 1)


def test_an_override_reverses_letters() -> None:
    """Letters under an override are reversed, and the glyphs still come from left to right."""
    reversed_glyphs = line("\u202eABC\u202c").glyphs
    order = [glyph.character_index for glyph in sorted(reversed_glyphs, key=lambda glyph: glyph.x) if glyph.character_index in (1, 2, 3)]
    assert order == [3, 2, 1]
    numbers = {glyph.character_index: glyph.glyph_id for glyph in reversed_glyphs}
    assert [numbers[place] for place in (1, 2, 3)] == [glyph.glyph_id for glyph in line("ABC").glyphs]


def test_brackets_are_mirrored_in_right_to_left_text() -> None:
    """Opening brackets open towards their content."""
    glyphs = line("\u202e(A\u202c").glyphs
    closing = line(")").glyphs[0].glyph_id
    assert next(glyph.glyph_id for glyph in glyphs if glyph.character_index == 1) == closing


def test_each_missing_letter_is_named_once() -> None:
    """Missing letters are listed once each, in the order in which they occur."""
    with pytest.raises(MissingGlyph) as caught:
        line("漢 a 字 漢")
    assert caught.value.characters == "漢字"


def test_a_letter_that_one_font_lacks_comes_from_the_next() -> None:
    """Source Sans supplies a letter that Manrope lacks; the others stay in Manrope."""
    lacking = next(
        chr(code) for code in range(0x370, 0x2100) if SOURCE.has_visible_glyph(chr(code)) and not BOLD.has_visible_glyph(chr(code))
    )
    mixed = line(f"A {lacking} B", None, BOLD, SOURCE)
    assert [glyph.typeface_index for glyph in mixed.glyphs] == [0, 0, 1, 1, 0]
    assert mixed.glyphs[2].glyph_id == line(lacking, None, SOURCE).glyphs[0].glyph_id


def test_a_soft_hyphen_is_visible_only_at_the_end_of_a_line() -> None:
    """Within a line and at the end of the text it is invisible; at the end of a line it is the font's hyphen."""
    paragraph = Paragraph((BOLD,), "Gold\u00adschmied", ShapingOptions())
    hyphen = line("-").glyphs[0].glyph_id
    assert paragraph.shape_line(0, 12).width == pytest.approx(line("Goldschmied").width, abs=0.02)
    divided = paragraph.shape_line(0, 5)
    assert divided.glyphs[-1].glyph_id == hyphen
    assert divided.width > line("Gold").width + 0.1
    assert Paragraph((BOLD,), "Gold\u00ad", ShapingOptions()).shape_line(0, 5).width == pytest.approx(line("Gold").width)


def test_trailing_space_has_no_width() -> None:
    """Lines that were broken at a space are aligned by their letters."""
    assert line("HAND  ").width == line("HAND").width
    assert line("   ").width == 0


def test_widths_of_a_variable_font_follow_its_axis() -> None:
    """Heavier letters are wider."""
    widths = [line("gold", None, typeface("Manrope.ttf", wght=weight)).width for weight in (200, 400, 800)]
    assert widths == sorted(widths)
    assert widths[0] < widths[2]


def test_ink_is_where_the_outlines_are() -> None:
    """H stands on its baseline and is as high as capitals are; a space has no box."""
    (box,) = glyph_boxes((BOLD,), line("H ").glyphs)
    assert box[1] == 0
    assert box[3] == pytest.approx(BOLD.cap_height)
    assert 0 < box[0] < box[2] < line("H").width
