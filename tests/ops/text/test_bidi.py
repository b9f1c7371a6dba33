"""Which way each character runs, and in which order a line is seen: cases of UAX #9, its rules one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.ops.text.bidi import Direction, base_level, embedding_levels, line_levels, visual_runs

A, B, C = "\u05d0", "\u05d1", "\u05d2"
AL = "\u0634"


def seen(text: str, direction: Direction = "auto") -> str:
    """The characters as they stand from left to right."""
    base = base_level(text, direction)
    found = line_levels(text, embedding_levels(text, base), 0, len(text), base)
    parts = [text[start:end][:: -1 if level % 2 else 1] for start, end, level in visual_runs(found)]
    return "".join(parts)


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
def test_a_line_is_seen_in_the_right_order(text: str, direction: Direction, expected: str) -> None:
    """Letters, numbers, signs, brackets and marks among scripts of both ways."""
    assert seen(text, direction) == expected


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
def test_embeddings_overrides_and_isolates(text: str, base: int, expected: list[int]) -> None:
    """X1 to X10: the invisible signs are honoured, also those that were never closed."""
    assert embedding_levels(text, base) == expected


def test_the_first_letter_decides_and_what_is_isolated_does_not_count() -> None:
    """P2 and P3."""
    assert [base_level(text, "auto") for text in ("12 a", f"12 {A}", f"\u2067{A}\u2069 a", "...", "")] == [0, 1, 0, 0, 0]


def test_space_at_the_end_of_a_line_runs_as_the_paragraph_does() -> None:
    """L1: otherwise a broken line would begin with a space."""
    text = f"a {A} {B}"
    assert line_levels(text, embedding_levels(text, 0), 0, 4, 0) == [0, 0, 1, 0]


def test_more_embeddings_than_there_may_be_are_counted_off() -> None:
    """A text of nothing but openers ends, at 125 at most, and what follows their closers is as before."""
    text = "\u202b" * 400 + "a" + "\u202c" * 400 + "b"
    found = embedding_levels(text, 0)
    assert max(found) <= 126
    assert found[-1] == 0


UNICODES_OWN = Path("/usr/share/unicode/BidiCharacterTest.txt")


@pytest.mark.skipif(not UNICODES_OWN.exists(), reason="BidiCharacterTest.txt (Debian's unicode-data) is not here")
def test_unicodes_own_cases_come_out_as_unicode_says() -> None:
    """Levels and order of every fifth of the 90,000 cases that come with the standard (all of them were run once)."""
    cases = [line for line in UNICODES_OWN.read_text("utf-8").splitlines() if line and not line.startswith("#")][::5]
    assert len(cases) > 15_000
    for case in cases:
        codes, way, paragraph, wanted, order = case.split(";")
        text = "".join(chr(int(code, 16)) for code in codes.split())
        base = base_level(text, {"0": "ltr", "1": "rtl", "2": "auto"}[way])  # type: ignore[arg-type]
        found = line_levels(text, embedding_levels(text, base), 0, len(text), base)
        kept = [place for place, level in enumerate(wanted.split()) if level != "x"]
        assert (base, [found[place] for place in kept]) == (int(paragraph), [int(level) for level in wanted.split() if level != "x"]), case
        runs = [(start, end)[:: -1 if level % 2 else 1] for start, end, level in visual_runs(found)]
        places = [place for start, end in runs for place in (range(start, end) if start < end else range(start - 1, end - 1, -1))]
        assert [place for place in places if place in set(kept)] == [int(place) for place in order.split()], case
