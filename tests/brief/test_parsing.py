"""Untrusted TOML is read in bounded time; all problems are reported at once, in plain messages."""

from __future__ import annotations

import contextlib
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.brief.parsing import (
    MAX_FILE_BYTES,
    BriefError,
    BriefProblem,
    check_size,
    did_you_mean,
    library_name_error,
    quote_value,
    read_prompt,
    read_text,
    read_toml,
    truncate,
)

NEARLY_MAX_BYTES = MAX_FILE_BYTES - 100


def message(data: bytes) -> str:
    with pytest.raises(BriefError) as caught:
        read_toml(data, "hero.toml")
    return caught.value.sentence


def test_toml_is_read_into_plain_values() -> None:
    """Read texts, numbers, booleans, lists and tables."""
    assert read_toml(b'a = "x"\nb = [1, 2.5, true]\n[[c]]\nd = { e = 1 }\n', "f") == {"a": "x", "b": [1, 2.5, True], "c": [{"d": {"e": 1}}]}


def test_byte_order_marks_and_windows_line_ends_are_accepted() -> None:
    """Read a file as Notepad writes it."""
    assert read_toml(b'\xef\xbb\xbfa = 1\r\nb = """x\r\ny"""\r\n', "f") == {"a": 1, "b": "x\ny"}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_the_message_for_utf_16_names_the_encoding(encoding: str) -> None:
    """Check that the message has the remedy too."""
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    assert "UTF-16: save it as UTF-8" in message(mark + "title = 'x'".encode(encoding))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0", "hero.toml is a PNG picture, not plain text."),
        (b"a = 1\nb = '\xe4'", "hero.toml: line 2 has bytes that are not UTF-8"),
        (b'title = "x\n', "hero.toml: line 1, column 11: a text has no closing quote on its line"),
        (b"title = x", 'line 1: a text needs quotes: write title = "x" (“title = x”).'),
        (b"size = 1,5", "line 1: a number has a point and no comma: write size = 1.5 instead of 1,5"),
        (b"a = 1\na = 2", "line 2: this name occurs twice (“a = 2”)"),
        (b"a = [1, 2", "a [ has no closing ]"),
        (b"= 3", "this is neither `name = value` nor a [section]"),
        (b"a = { = 3 }", "a name is missing here"),
        (b"title 3", "the sign between a name and its value is =: write title = 3"),
        (b'path = "C:\\Users"', 'a \\ in "quotes" must be written \\\\'),
        (b"[edit]\nop = 'a'\n[edit]\nop = 'b'", "write each of several as [[edit]]"),
        (b"x = nan\ny = -inf", "x is nan, but must be a finite number"),
        (b"x = 1979-05-27", "x is a date or time (1979-05-27)"),
        (b'x = "\\u0007"', "x has control characters"),
        (b"x = 9223372036854775808", "no setting is that large"),
        (b"x = 1" + b"0" * 400, "a number of 401 digits"),
        (b"x = 0x" + b"f" * 5000, "no setting is that large"),
        (b'x = "' + b"y" * 5000 + b'"', "x is a text of 5000 characters"),
    ],
)
def test_each_syntax_error_has_a_plain_message(data: bytes, expected: str) -> None:
    """Check the location, the reason and the quoted text."""
    assert expected in message(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"a = " + b"[" * 10_000, id="arrays"),
        pytest.param(b"a = " + b"[" * 10_000 + b"]" * 10_000, id="closed arrays"),
        pytest.param(b"a = " + b"{a=" * 10_000, id="inline tables"),
        pytest.param(b"a." * 10_000 + b"a = 1", id="dotted key"),
        pytest.param(b"a . " * 10_000 + b"a = 1", id="dotted key with spaces"),
        pytest.param(b"'a'." * 10_000 + b"a = 1", id="quoted dotted key"),
        pytest.param(b"[" + b"a." * 10_000 + b"a]", id="table name"),
        pytest.param(b"[[" + b"a." * 10_000 + b"a]]", id="step name"),
        pytest.param(b"a = " + b"[[{b.c=" * 3 + b"1" + b"}]]" * 3 + b"\n" + b"[" * 30, id="mixed"),
        pytest.param(b"a = [{b.c.d.e.f.g.h.i = [{b.c.d.e.f.g.h.i.j = 1}]}]", id="mixed within each limit"),
    ],
)
def test_deep_nesting_is_refused(data: bytes) -> None:
    """Read ten thousand levels of each kind of nesting."""
    assert "is nested more than 16 levels deep" in message(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'a = """' + b'\\"' * (NEARLY_MAX_BYTES // 2), id="a text never closed"),
        pytest.param(b'a = """' + b'\\"' * (NEARLY_MAX_BYTES // 2) + b"\\", id="a text never closed, ending in a backslash"),
        pytest.param(b"a = '''" + b"'' " * (NEARLY_MAX_BYTES // 3), id="many quotes"),
        pytest.param(b"a." * (NEARLY_MAX_BYTES // 2) + b"a = 1", id="a dotted name"),
        pytest.param(b'"a' * (NEARLY_MAX_BYTES // 2) + b" = 1", id="quotes in a name"),
        pytest.param(b"a = " + b"9" * NEARLY_MAX_BYTES, id="digits"),
        pytest.param((b"1" * 299 + b"a") * (NEARLY_MAX_BYTES // 300), id="digits and letters"),
        pytest.param(b"[[edit]]\n" * (NEARLY_MAX_BYTES // 9), id="steps"),
        pytest.param(b"a = [" + b"[]," * (NEARLY_MAX_BYTES // 3) + b"]", id="lists"),
        pytest.param(b"".join(b"k%d=1\n" % number for number in range(25_000)), id="names"),
        pytest.param(b"".join(b"[a.k%d]\n" % number for number in range(20_000)), id="tables"),
        pytest.param(b"x" * NEARLY_MAX_BYTES + b" = [1,", id="a long name"),
    ],
)
def test_a_hostile_file_takes_little_time_and_memory(data: bytes) -> None:
    """Read the slowest inputs within the size limit."""
    tracemalloc.start()
    start = time.process_time()
    try:
        message(data)
        seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Tracing memory makes Python several times slower; without it the slowest input takes 0.2 s.
    assert seconds < 4
    assert peak < 64 * 2**20


def test_a_file_over_the_size_limit_is_refused() -> None:
    """Check a size before reading, and the bytes of a file."""
    with pytest.raises(BriefError, match=r"has 100\.0 MB; more than 256 KiB is not read"):
        check_size(100_000_000, "hero.toml")
    check_size(MAX_FILE_BYTES, "hero.toml")
    assert "263 KiB" in message(b"#" * 270_000)


def test_every_unsupported_value_is_reported_at_once() -> None:
    """Write three numbers that are not finite."""
    with pytest.raises(BriefError) as caught:
        read_toml(b"a = [nan, 1, inf]\nb = { c = nan }", "f")
    assert [fault.location for fault in caught.value.problems] == ["a.1", "a.3", "b.c"]


def test_hundreds_of_problems_are_counted_and_not_listed() -> None:
    """Report 300 problems: 20 are listed."""
    problem = BriefError("hero.toml", [BriefProblem(f"edit.{number}", "is wrong.") for number in range(300)])
    assert problem.sentence.count("\n") == 21
    assert problem.sentence.endswith("- and 280 more.")
    assert len(problem.problems) == 300


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400) | st.text(alphabet="[]{}=\"'.,\n\\#ab19_- ", max_size=400).map(str.encode))
def test_any_bytes_are_read_or_raise_a_brief_error(data: bytes) -> None:
    """Check that no other exception is raised."""
    with contextlib.suppress(BriefError):
        assert isinstance(read_toml(data, "hero.toml"), dict)


def test_a_prompt_has_no_surrounding_white_space() -> None:
    """Read a prompt with a byte order mark and several kinds of line ends."""
    assert read_prompt("\ufeff a hand\r\non the desk \r\n".encode(), "hero.txt") == "a hand\non the desk"


@pytest.mark.parametrize(
    ("data", "expected"), [(b"x" * 4001, "4001 characters"), (b"\x07", "control characters"), (b"\xff\xfea\0", "UTF-16")]
)
def test_an_invalid_prompt_is_refused(data: bytes, expected: str) -> None:
    """Refuse prompts that are too long or not plain text."""
    with pytest.raises(BriefError, match=expected):
        read_prompt(data, "hero.txt")


def test_text_is_refused_by_its_size_before_it_is_decoded() -> None:
    """Read a text of two megabytes."""
    with pytest.raises(BriefError, match=r"has 2\.0 MB"):
        read_text(b"x" * 2_000_000, "hero.txt")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, "true"),
        (10**400, "a number of more than 18 digits"),
        ("x\ny", '"x y"'),
        ([1, "a"], '[1, "a"]'),
        ({"a": 1.5}, "{ a = 1.5 }"),
    ],
)
def test_values_are_quoted_as_toml_writes_them(value: object, expected: str) -> None:
    """Quote values of each type."""
    assert quote_value(value) == expected


@given(st.text(max_size=200))
def test_truncated_text_is_short_and_on_one_line(text: str) -> None:
    """Truncate any text."""
    short = truncate(text)
    assert len(short) <= 60
    assert short.isprintable()


def test_a_misspelt_name_gets_the_nearest_known_name() -> None:
    """Check a similar name, a different one, and an empty list."""
    assert did_you_mean("upscal", ["upscale", "erase"]) == "; did you mean upscale?"
    assert did_you_mean("zzz", ["b", "a"]) == "; there is: a, b."
    assert did_you_mean("zzz", []) == "; there is none yet."


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "C:\\x", "~/x", "a/b", "a\\b", "http://x", ".hidden", "..", "", " ", "x" * 300])
def test_paths_and_addresses_are_not_library_names(name: str) -> None:
    """Refuse names that lead out of the library."""
    assert library_name_error(name)


@pytest.mark.parametrize("name", ["spring", "warm-amber", "Grün 2", "look.v2", "a..b"])
def test_ordinary_names_are_library_names(name: str) -> None:
    """Accept umlauts, spaces and points."""
    assert library_name_error(name) == ""
