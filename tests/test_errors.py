"""Errors are shown to people as whole sentences."""

from __future__ import annotations

import pytest

from goldsmith.errors import InputError, join_sentences


@pytest.mark.parametrize(
    ("sentences", "text"),
    [
        (("It is missing.", "Fetch it."), "It is missing. Fetch it."),
        (("Run: goldsmith models fetch migan", "It continues by itself."), "Run: goldsmith models fetch migan. It continues by itself."),
        (("It is missing.", "Run: goldsmith models fetch migan"), "It is missing. Run: goldsmith models fetch migan"),
        (("It is missing.", ""), "It is missing."),
        (("", ""), ""),
    ],
)
def test_a_sentence_ends_before_the_next_one_begins(sentences: tuple[str, str], text: str) -> None:
    """A command at the very end has no full stop, so that it can be copied."""
    assert join_sentences(*sentences) == text
    assert str(InputError(*sentences)) == text
