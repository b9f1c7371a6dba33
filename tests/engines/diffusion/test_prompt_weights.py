"""Weights in prompts: round and square brackets, numbers, backslashes and BREAK, as A1111 reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldsmith.engines.diffusion.prompt_weights import PromptPart, has_numbered_weight, is_plain, parse_prompt, plain_text
from goldsmith.errors import InputError


def read(prompt: str) -> list[tuple[str, float]]:
    return [(part.text, round(part.weight, 4)) for part in parse_prompt(prompt)]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a cat", [("a cat", 1.0)]),
        ("an (important) word", [("an ", 1.0), ("important", 1.1), (" word", 1.0)]),
        ("((very)) much", [("very", 1.21), (" much", 1.0)]),
        ("a [faint] word", [("a ", 1.0), ("faint", 0.9091), (" word", 1.0)]),
        ("a (castle:1.3)", [("a ", 1.0), ("castle", 1.3)]),
        ("a (castle: .5 ) here", [("a ", 1.0), ("castle", 0.5), (" here", 1.0)]),
        ("a (((castle:1.3)) [on] a (hill:0.5), sun, (((sky))).",
         [("a ", 1.0), ("castle", 1.573), (" ", 1.1), ("on", 1.0), (" a ", 1.1), ("hill", 0.55), (", sun, ", 1.1), ("sky", 1.4641),
          (".", 1.1)]),
        (r"\(literal\) \[text\] \\", [("(literal) [text] \\", 1.0)]),
        ("(unclosed", [("unclosed", 1.1)]),
        ("unopened)", [("unopened)", 1.0)]),
        ("at 10:30 ) now", [("at 10:30 ) now", 1.0)]),
        ("[word:1.3]", [("word:1.3", 0.9091)]),
        ("", []),
    ],
)  # fmt: skip
def test_brackets_weigh_the_words_in_them(prompt: str, expected: list[tuple[str, float]]) -> None:
    """Check nesting, numbers, escapes and missing partners; the long example is the one that A1111's own source documents."""
    assert read(prompt) == expected


def test_break_begins_a_new_chunk() -> None:
    """Check that the word itself and the spaces around it are gone, and that it is a word of its own."""
    assert parse_prompt("a cat BREAK (a dog BREAK a sea)") == (
        PromptPart("a cat"),
        PromptPart("", 1.0, starts_chunk=True),
        PromptPart("a dog", 1.1),
        PromptPart("a sea", 1.1, starts_chunk=True),
    )
    assert read("BREAKFAST") == [("BREAKFAST", 1.0)]


@pytest.mark.parametrize("prompt", ["(cat:11)", "(cat:-11)", "(" * 40 + "cat" + ")" * 40])
def test_a_weight_out_of_range_is_refused(prompt: str) -> None:
    """Check a large, a negative, and a nested weight."""
    with pytest.raises(InputError, match="“cat” the weight"):
        parse_prompt(prompt)


@given(st.text(alphabet="ab ,.:'\"0123456789-;äß漢", max_size=60))
def test_text_without_brackets_is_plain(text: str) -> None:
    """Check any text without a bracket, a backslash and BREAK: it is used unchanged."""
    assert is_plain(text)
    assert not has_numbered_weight(text)


@given(st.text(alphabet="ab (:[1.])\\ BREAK", max_size=60))
def test_the_words_survive_any_brackets(text: str) -> None:
    """Check that every letter that is neither a bracket, a number of a weight nor BREAK is kept."""
    try:
        words = "".join(part.text for part in parse_prompt(text))
    except InputError:
        return
    assert [letter for letter in words if letter in "ab"] == [letter for letter in text if letter in "ab"]


def test_the_words_alone_have_no_brackets() -> None:
    """Check weights, BREAK and escapes, and which prompts have a weight with a number."""
    assert plain_text(r"a (cat:1.3) BREAK on a \(red\) mat") == "a cat on a (red) mat"
    assert [has_numbered_weight(text) for text in ("(a:1.3)", "(a)", "a:1.3", "(a:1.1)")] == [True, False, False, False]
