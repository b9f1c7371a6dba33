"""Preflight: a word is found in any spelling of a reader, and another word is not taken for it."""

from __future__ import annotations

import pytest

from goldsmith.ops.check.preflight import (
    CheckedFile,
    PreflightCheck,
    allowed_misreads,
    describe_checks,
    find_nearest_text,
    is_same_profile,
    ppi_at,
    worst_result,
)


@pytest.mark.parametrize(
    ("word", "lines", "distance", "indices"),
    [
        ("GOLD", ["gold"], 0, (0,)),
        ("GOLD", ["G 0 L D!"], 0, (0,)),
        ("Gold", ["summer", "OLD GOLD RUSH"], 0, (1,)),
        ("Spring Sale", ["SPRING", "SALE 20 %"], 0, (0, 1)),
        ("Spring Sale", ["x", "SPRINGSALE"], 0, (1,)),
        ("GOLD", ["COLD"], 1, (0,)),
        ("GOLD", ["GLD"], 1, (0,)),
        ("GOLD", ["GOOLD"], 1, (0,)),
        ("50 %", ["SO"], 0, (0,)),
        ("ＧＯＬＤ", ["GOLD"], 0, (0,)),
        ("GOLD", ["GOLX", "GOLD"], 0, (1,)),
        ("GOLD", ["GOLD", "GOLD"], 0, (0,)),
        ("GOLD", [], 4, ()),
        ("GOLD", ["", "...", "GOLD"], 0, (2,)),
    ],
)
def test_a_word_is_found_where_it_is_read_best(word: str, lines: list[str], distance: int, indices: tuple[int, ...]) -> None:
    """Case, spaces, signs and lookalikes do not count; letters deleted, inserted or changed do; a word may span two lines."""
    assert find_nearest_text(word, lines) == (distance, indices)


@pytest.mark.parametrize(
    ("word", "distance", "letters"), [("GOLD", 1, 0), ("SPRIN", 1, 1), ("SPRING", 0, 0), ("A very long line", 9, 2), ("Sale!", 3, 0)]
)
def test_one_letter_in_five_may_be_misread(word: str, distance: int, letters: int) -> None:
    """Limits are never exceeded, and signs are no letters."""
    assert allowed_misreads(word, distance) == letters


@pytest.mark.parametrize(
    ("expected", "actual", "is_same"),
    [
        ("srgb", None, True),
        ("srgb", "sRGB IEC61966-2.1", True),
        ("srgb", "sRGB built-in", True),
        ("srgb", "Linear sRGB", False),
        ("SRGB", "Display P3", False),
        ("display-p3", "display p3 ", True),
        ("display-p3", None, False),
        ("PSO Coated v3", "PSO Coated V3", True),
        ("PSO Coated v3", "PSO Uncoated v3", False),
    ],
)
def test_profiles_are_compared_by_word_or_name(expected: str, actual: str | None, is_same: bool) -> None:
    """Built-in words and a profile's own name are equal; None means sRGB, whichever sRGB it is."""
    assert is_same_profile(expected, actual) is is_same


def test_the_coarser_direction_gives_the_ppi() -> None:
    """Pictures cover their sheet, so the coarser direction counts."""
    assert ppi_at((600, 300), (50.8, 50.8)) == pytest.approx(150)
    assert ppi_at((300, 600), (25.4, 25.4)) == pytest.approx(300)


def test_a_fault_outweighs_remarks() -> None:
    """Remarks never hide a fault, and each file has one clause."""
    met, remark, fault = (
        PreflightCheck("a", "1", "1", True, True),
        PreflightCheck("b", "1", "2", False, True),
        PreflightCheck("c", "1", "2", False),
    )
    assert [worst_result(checks) for checks in ([], [met], [met, remark], [remark, fault, met])] == ["pass", "pass", "warn", "fail"]
    files = [CheckedFile("x.png", "x", (), (fault, remark, fault)), CheckedFile("y.png", "y", (), (remark,))]
    assert describe_checks(files, "fail") == ["x.png: c 2 instead of 1, c 2 instead of 1"]
    assert describe_checks(files, "warn") == ["x.png: b 2 instead of 1", "y.png: b 2 instead of 1"]
