"""The direction of each character and the visual order of a line, by cases and examples of UAX #9 and by an independent program."""

from __future__ import annotations

import random
import unicodedata
from pathlib import Path

import pytest
from bidi import get_base_level, get_display

from goldsmith.ops.text.bidi import Direction, base_level, embedding_levels, line_levels, visual_runs

A, B, C, D = "\u05d0", "\u05d1", "\u05d2", "\u05d3"
AL = "\u0634"

# Characters of every class of UAX #9 except B, which ends a paragraph. "brackets" are of the class ON; U+2329 and U+3008 are equivalent.
CHARACTERS = {
    "L": "abcdefgh",
    "R": "\u05d0\u05d1\u05d2\u05d3\u05d4\u05d5",
    "AL": "\u0627\u0628\u062a\u062b\u062c\u062d",
    "EN": "0123456789",
    "AN": "\u0660\u0661\u0662\u0663",
    "ES": "+-",
    "ET": "#$%\u20ac",
    "CS": ",./:",
    "NSM": "\u0300\u0301\u05b0\u064b",
    "ON": "!&*;?@",
    "brackets": "()[]{}\u2329\u232a\u3008\u3009\u298d\u2990\u2045\u2046",
    "WS": " \u2003\u3000",
    "S": "\t\x1f",
    "BN": "\u200b\u00ad\u2060",
    "LRE": "\u202a",
    "RLE": "\u202b",
    "LRO": "\u202d",
    "RLO": "\u202e",
    "PDF": "\u202c",
    "LRI": "\u2066",
    "RLI": "\u2067",
    "FSI": "\u2068",
    "PDI": "\u2069",
}
REMOVED_BY_X9 = ("LRE", "RLE", "LRO", "RLO", "PDF", "BN")


def visual_order(text: str, direction: Direction = "auto") -> str:
    """Return the characters as they stand from left to right, brackets not mirrored."""
    base = base_level(text, direction)
    levels = line_levels(text, embedding_levels(text, base), 0, len(text), base)
    return "".join(text[start:end][:: -1 if level % 2 else 1] for start, end, level in visual_runs(levels))


def without_removed(text: str) -> str:
    """Return the text without the characters that X9 removes: the standard gives them no place."""
    return "".join(letter for letter in text if unicodedata.bidirectional(letter) not in REMOVED_BY_X9)


@pytest.mark.parametrize(
    ("text", "direction", "expected"),
    [
        ("abc", "auto", "abc"),
        (A + B + C, "auto", C + B + A),
        (f"a {A}{B} c", "auto", f"a {B}{A} c"),
        (f"{A}{B} a {C}", "auto", f"{C} a {B}{A}"),
        (f"a {A}{B}.", "ltr", f"a {B}{A}."),
        (f"a {A}{B}.", "rtl", f".{B}{A} a"),
        (f"{A} 12 {B}", "auto", f"{B} 12 {A}"),
        (f"{A} 1-2", "auto", f"1-2 {A}"),
        (f"{A} 1,2 {B}", "auto", f"{B} 1,2 {A}"),
        (f"{AL} 1-2", "auto", f"2-1 {AL}"),
        (f"{A} -5%", "auto", f"5%- {A}"),
        (f"a ({A}{B}) c", "auto", f"a ({B}{A}) c"),
        (f"{A} (b) {C}", "auto", f"{C} )b( {A}"),
        (f"{A}\u0301{B}", "auto", f"{B}\u0301{A}"),
    ],
)
def test_a_line_is_in_visual_order(text: str, direction: Direction, expected: str) -> None:
    """Letters, numbers, signs, brackets and marks stand in order among scripts of both directions."""
    assert visual_order(text, direction) == expected


@pytest.mark.parametrize(
    ("text", "base", "expected"),
    [
        (f"\u202e{A}bc\u202c d", 0, [0, 1, 1, 1, 1, 0, 0]),
        (f"\u202dabc{A}\u202c", 1, [1, 2, 2, 2, 2, 2]),
        (f"a \u2067b {A}\u2069 c", 0, [0, 0, 0, 2, 1, 1, 0, 0, 0]),
        (f"{A} \u2066b {A}\u2069 c", 1, [1, 1, 1, 2, 2, 3, 1, 1, 2]),
        (f"a \u2068{A} b\u2069 c", 0, [0, 0, 0, 1, 1, 2, 0, 0, 0]),
        (f"{A}\u202a{B}\u202c 1 2", 0, [1, 1, 3, 3, 0, 0, 0, 0]),
    ],
)
def test_embeddings_overrides_and_isolates_nest(text: str, base: int, expected: list[int]) -> None:
    """X1 to X10: invisible controls set the levels, also where the text never closes them."""
    assert embedding_levels(text, base) == expected


@pytest.mark.parametrize(
    ("text", "base", "expected"),
    [
        # The three examples that the standard gives with N0; its capitals stand for letters that run right to left.
        (f"{A}{B}({C}{D}[&ef]!)gh", 1, [1, 1, 1, 1, 1, 1, 1, 2, 2, 1, 1, 1, 2, 2]),
        (f"sm (fa {A}{B}) {C}{D}", 1, [2, 2, 1, 1, 2, 2, 1, 1, 1, 1, 1, 1, 1]),
        (f"{A}{B} book(s)", 1, [1, 1, 1, 2, 2, 2, 2, 2, 2, 2]),
        # N0 b: a strong character in the paragraph's direction decides, whatever stands beside the pair.
        (f"{A} (b{C}) {D}", 0, [1, 0, 0, 0, 1, 0, 0, 1]),
        # N0 c1: only the opposite direction stands within the pair and before it.
        (f"a {B}({C})d", 0, [0, 0, 1, 1, 1, 1, 0]),
        # N0 c2: only the opposite direction stands within the pair, and the paragraph's own before it.
        (f"a({B}){C}", 0, [0, 0, 1, 0, 1]),
        # N0 d: nothing strong stands within the pair, so N1 resolves each bracket by its neighbours.
        (f"{A}(.){B}c", 0, [1, 1, 1, 1, 1, 0]),
        # A number within the pair counts as right to left, unless W7 made it a letter of a left-to-right word.
        (f"{A}(1){B}", 0, [1, 1, 2, 1, 1]),
        (f"{A}b(1){C}", 1, [1, 2, 2, 2, 2, 1]),
        # Marks on a bracket take its direction.
        (f"{A}b(c)\u0301{D}", 1, [1, 2, 2, 2, 2, 2, 1]),
        # Equivalent brackets form a pair; different ones, and those in the wrong order, do not.
        (f"{A}b\u2329c\u3009{D}", 1, [1, 2, 2, 2, 2, 1]),
        (f"{A}b(c]{D}", 1, [1, 2, 2, 2, 1, 1]),
        (f"{A}b)c({D}", 1, [1, 2, 2, 2, 1, 1]),
        # A pair does not reach from within an isolate to outside it.
        (f"{A}b(\u2066c)\u2069{D}", 1, [1, 2, 1, 1, 2, 2, 1, 1]),
    ],
)
def test_a_pair_of_brackets_takes_one_direction(text: str, base: int, expected: list[int]) -> None:
    """N0: both brackets of a pair get the level that its content and the text before it ask for."""
    assert embedding_levels(text, base) == expected


def test_more_than_63_open_brackets_pair_none() -> None:
    """BD16: the stack holds 63 opening brackets; one more ends the search."""
    for depth, level in ((63, 2), (64, 1)):
        levels = embedding_levels(f"{A}b{'(' * depth}c{')' * depth}{D}", 1)
        assert (levels[2], levels[-2]) == (2, level)


def test_the_first_letter_outside_isolates_sets_the_direction() -> None:
    """P2 and P3: numbers and isolated letters do not count, and a text without letters runs left to right."""
    assert [base_level(text, "auto") for text in ("12 a", f"12 {A}", f"\u2067{A}\u2069 a", "...", "")] == [0, 1, 0, 0, 0]


def test_space_at_the_end_of_a_line_runs_as_the_paragraph_does() -> None:
    """L1: otherwise a broken line would begin with a space."""
    text = f"a {A} {B}"
    assert line_levels(text, embedding_levels(text, 0), 0, 4, 0) == [0, 0, 1, 0]


def test_embeddings_beyond_the_maximum_depth_are_counted_off() -> None:
    """Levels stay within 126, and text after as many closers as openers has the paragraph's level again."""
    text = "\u202b" * 400 + "a" + "\u202c" * 400 + "b"
    levels = embedding_levels(text, 0)
    assert max(levels) <= 126
    assert levels[-1] == 0


def test_the_characters_are_of_their_classes() -> None:
    """Each class of the random strings holds only characters of that class."""
    for name, letters in CHARACTERS.items():
        assert {unicodedata.bidirectional(letter) for letter in letters} == {"ON" if name == "brackets" else name}


# Which classes the random strings draw from: all alike, or mostly brackets with what N0 looks at within them and before them.
ALL_CLASSES = list(CHARACTERS)
BRACKETED = [*["brackets"] * 8, *["L", "R"] * 2, "AL", "EN", "AN", "NSM", "ON", "WS", "LRO", "RLO", "RLI", "PDI"]


@pytest.mark.parametrize("classes", [ALL_CLASSES, BRACKETED], ids=["all classes", "brackets"])
@pytest.mark.parametrize(("direction", "base_dir"), [("auto", None), ("ltr", "L"), ("rtl", "R")])
def test_random_strings_are_in_the_order_of_python_bidi(direction: Direction, base_dir: str | None, classes: list[str]) -> None:
    """2,000 strings have the same direction and the same visual order in the unicode-bidi library."""
    generator = random.Random(f"{direction} {len(classes)}")
    compared = 0
    for _ in range(2000):
        text = "".join(generator.choice(CHARACTERS[generator.choice(classes)]) for _ in range(generator.randrange(1, 25)))
        base = get_base_level(text) if direction == "auto" else int(direction == "rtl")
        assert base_level(text, direction) == base, ascii(text)
        expected = get_display(text, base_dir=base_dir)
        # python-bidi skips L1 and returns the text unchanged if no level before L1 is odd; only a right-to-left paragraph shows it.
        if expected == text and base == 1:
            continue
        assert without_removed(visual_order(text, direction)) == without_removed(expected), ascii(text)
        compared += 1
    assert compared > 1800


UNICODES_CASES = Path("/usr/share/unicode/BidiCharacterTest.txt")


@pytest.mark.skipif(not UNICODES_CASES.exists(), reason="BidiCharacterTest.txt (Debian's unicode-data) is not here")
def test_the_conformance_cases_of_unicode_pass() -> None:
    """Levels and order are right in every fifth of the 90,000 cases that come with the standard; all of them were run once."""
    cases = [line for line in UNICODES_CASES.read_text("utf-8").splitlines() if line and not line.startswith("#")][::5]
    assert len(cases) > 15_000
    for case in cases:
        codes, direction, paragraph, expected, order = case.split(";")
        text = "".join(chr(int(code, 16)) for code in codes.split())
        base = base_level(text, {"0": "ltr", "1": "rtl", "2": "auto"}[direction])  # type: ignore[arg-type]
        levels = line_levels(text, embedding_levels(text, base), 0, len(text), base)
        kept = [index for index, level in enumerate(expected.split()) if level != "x"]
        kept_levels = [int(level) for level in expected.split() if level != "x"]
        assert (base, [levels[index] for index in kept]) == (int(paragraph), kept_levels), case
        indices = [index for start, end, level in visual_runs(levels) for index in range(start, end)[:: -1 if level % 2 else 1]]
        assert [index for index in indices if index in set(kept)] == [int(index) for index in order.split()], case
