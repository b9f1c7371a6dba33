"""Scripts of the world in Debian's Noto fonts: joined letters, marks, conjuncts, forms by language, and both directions in one line.

A test is skipped, with the package's name, if its font is not installed.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from doubles.fonts import typeface
from goldsmith.ops.text.font import Typeface, open_font
from goldsmith.ops.text.layout import TextLayout, Typesetter
from goldsmith.ops.text.shaping import MissingGlyph, Paragraph, ShapedLine, ShapingOptions, glyph_boxes

MANROPE = typeface("Manrope-Bold.ttf")
_FOLDER = Path("/usr/share/fonts")


@cache
def noto(name: str, package: str = "fonts-noto-core") -> Typeface:
    """Return a Noto font, or skip the test if it is not installed."""
    files = sorted(_FOLDER.rglob(name))
    if not files:
        pytest.skip(f"{name} (Debian's {package}) is not installed")
    return open_font(files[0].read_bytes(), name)


def line(text: str, *faces: Typeface, **options: object) -> ShapedLine:
    """Return the text as one shaped line."""
    return Paragraph(faces, text, ShapingOptions(**options)).shape_line(0, len(text))  # type: ignore[arg-type]


def visual_order(shaped: ShapedLine) -> list[int]:
    """Return the indices of the characters from left to right."""
    return [glyph.character_index for glyph in sorted(shaped.glyphs, key=lambda glyph: glyph.x)]


def test_arabic_letters_join() -> None:
    """Beh has its own form at the start, in the middle and at the end of a word; lam and alef form a ligature."""
    arabic = noto("NotoNaskhArabic-Bold.ttf")
    alone = line("\u0628", arabic).glyphs
    joined = line("\u0628\u0628\u0628", arabic).glyphs
    bases = [{glyph.glyph_id for glyph in joined if glyph.character_index == place} for place in range(3)]
    assert all(bases[first] != bases[second] for first, second in ((0, 1), (1, 2), (0, 2)))
    assert {glyph.glyph_id for glyph in alone} not in bases
    pair = {glyph.glyph_id for glyph in line("\u0644\u0627", arabic).glyphs}
    assert pair.isdisjoint(glyph.glyph_id for letter in "\u0644\u0627" for glyph in line(letter, arabic).glyphs)


def test_tracking_never_tears_joined_letters() -> None:
    """Tracking widens Hebrew, whose letters stand apart, but not Arabic or Devanagari."""
    for name, word in (
        ("NotoNaskhArabic-Bold.ttf", "\u0645\u0631\u062d\u0628\u0627"),
        ("NotoSansDevanagari-Bold.ttf", "\u0928\u092e\u0938\u094d\u0924\u0947"),
    ):
        assert line(word, noto(name), tracking=0.2).width == line(word, noto(name)).width
    hebrew = noto("NotoSansHebrew-Bold.ttf")
    assert line("\u05d0\u05d1\u05d2", hebrew, tracking=0.2).width == pytest.approx(line("\u05d0\u05d1\u05d2", hebrew).width + 0.4)


def test_arabic_with_numbers_latin_and_brackets_is_in_visual_order() -> None:
    """Words run from the right, the year and the brand from the left, and a bracket opens towards its content."""
    arabic, text = noto("NotoNaskhArabic-Bold.ttf"), "\u0627\u0628 2026 GOLD (\u062c)"
    shaped = line(text, arabic, MANROPE)
    order = visual_order(shaped)
    assert [place for place in order if text[place].isdigit()] == [3, 4, 5, 6]
    assert [place for place in order if text[place] in "GOLD"] == [8, 9, 10, 11]
    assert order.index(3) > order.index(8) > order.index(14)
    assert order[-1] == 0
    brackets = {text[glyph.character_index]: glyph for glyph in shaped.glyphs if text[glyph.character_index] in "()"}
    assert brackets[")"].x < brackets["("].x
    closing = line(")", MANROPE).glyphs[0].glyph_id
    assert brackets["("].glyph_id == closing
    assert {glyph.typeface_index for glyph in shaped.glyphs if text[glyph.character_index] in "GOLD"} == {1}


def test_hebrew_prices_keep_their_sign_and_order() -> None:
    """Prices in Hebrew text run from the left; the sentence's exclamation mark stands at its left end."""
    hebrew, text = noto("NotoSansHebrew-Bold.ttf"), "\u05e8\u05e7 99.90!"
    order = visual_order(line(text, hebrew, MANROPE))
    assert [text[place] for place in order] == list("!99.90 \u05e7\u05e8")


def test_devanagari_forms_conjuncts_and_reorders_vowels() -> None:
    """Ka, virama and ssa form one glyph; the short i stands before its consonant though it is written after it."""
    devanagari = noto("NotoSansDevanagari-Bold.ttf")
    assert len(line("\u0915\u094d\u0937", devanagari).glyphs) == 1
    syllable = line("\u0915\u093f", devanagari).glyphs
    plain = line("\u0915", devanagari).glyphs[0].glyph_id
    assert len(syllable) == 2
    assert next(glyph.x for glyph in syllable if glyph.glyph_id == plain) > 0.1


def test_thai_marks_have_no_width_and_words_are_not_divided() -> None:
    """Vowel and tone marks have no width of their own; a phrase is broken only at a space or U+200B."""
    thai = noto("NotoSansThai-Bold.ttf")
    assert line("\u0e17\u0e35\u0e48", thai).width == pytest.approx(line("\u0e17", thai).width)
    phrase = "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u200b\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01"
    placed = Typesetter([thai], phrase, ShapingOptions(), TextLayout()).set_at_size(20, (0, 0, 100, 100))
    assert placed is not None
    assert [text.strip("\u200b") for text in placed.block.lines] == phrase.split("\u200b")


def test_chinese_and_japanese_have_their_own_forms_and_rules() -> None:
    """Characters are drawn by their language; no line begins with a full stop or ends with an opening bracket."""
    cjk = noto("NotoSansCJK-Bold.ttc", "fonts-noto-cjk")
    forms = {line("\u76f4", cjk, language=language).glyphs[0].glyph_id for language in ("ja", "zh-Hans")}
    assert len(forms) == 2
    text = "「春の新作」が、ついに登場。ぎゃくてんホームラン！価格は¥1,980（税込）です。"
    for room in range(60, 500, 11):
        placed = Typesetter([cjk], text, ShapingOptions(language="ja"), TextLayout(balance=False)).set_at_size(20, (0, 0, room, 2000))
        if placed is None:
            continue
        lines = placed.block.lines
        assert "".join(lines) == text
        assert not any(line_text[0] in "」、。！）ゃーッ" for line_text in lines)
        assert not any(line_text[-1] in "「（¥" for line_text in lines)


def test_a_second_font_supplies_missing_scripts() -> None:
    """Han is missing from a Hebrew font; with a second font every letter has ink."""
    hebrew, cjk = noto("NotoSansHebrew-Bold.ttf"), noto("NotoSansCJK-Bold.ttc", "fonts-noto-cjk")
    with pytest.raises(MissingGlyph) as caught:
        line("\u05d0 \u91d1\u5320", hebrew)
    assert caught.value.characters == "\u91d1\u5320"
    shaped = line("\u05d0\u91d1\u5320", hebrew, cjk)
    boxes = glyph_boxes((hebrew, cjk), shaped.glyphs)
    assert len(boxes) == 3
    assert np.all(boxes[:, 2] - boxes[:, 0] > 0.2)
