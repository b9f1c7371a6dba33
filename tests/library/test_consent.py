"""Consent to the use of a face: whole, dated, not run out; whatever is wrong is said with the file and the place."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldsmith.errors import InputError
from goldsmith.library.consent import Consent, read_consent

TODAY = datetime.date(2026, 11, 21)
WHOLE = """
person = "Anna Example"
consented_by = "Anna Example"
date = 2026-03-14
scope = "Spring campaign, web and print; her face in place of the model's"
"""
FILE = "library/faces/anna.toml"


def _read(text: str) -> Consent:
    return read_consent(text.encode(), FILE, TODAY)


def test_a_whole_consent_is_read() -> None:
    """Four things are needed; the others may be left out."""
    consent = _read(WHOLE)
    assert (consent.person, consent.date) == ("Anna Example", datetime.date(2026, 3, 14))
    assert (consent.expires, consent.document) == (None, "")
    more = _read(WHOLE + 'expires = 2026-11-21\ndocument = "folder 7"\n')
    assert (more.expires, more.document) == (TODAY, "folder 7"), "on its last day it holds"


@pytest.mark.parametrize("piece", ["person", "consented_by", "date", "scope"])
def test_a_missing_piece_is_said(piece: str) -> None:
    """With the file and its name."""
    text = "\n".join(line for line in WHOLE.splitlines() if not line.startswith(piece))
    with pytest.raises(InputError, match=rf"^{FILE}: {piece} is missing"):
        _read(text)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('date = "2026-03-14"', r'date is "2026-03-14", but .*date'),
        ("date = 2026-03-14T10:00:00", "date is a date or time"),
        ("date = 20260314", "date is 20260314, but "),
        ("date = 2026-11-22", "date is 2026-11-22, and that day is yet to come"),
        ("date = 2026-02-30", "this looks like a date, and is none"),
    ],
)
def test_a_date_is_a_day_that_has_been(written: str, said: str) -> None:
    """No text, no number, no moment, no day to come."""
    with pytest.raises(InputError, match=said):
        _read(WHOLE.replace("date = 2026-03-14", written))


def test_an_expired_consent_is_refused_with_the_day_and_whom_to_ask() -> None:
    """The sentence and what to do about it."""
    with pytest.raises(InputError, match=f"^{FILE}: expires is 2026-11-20, so the consent to use this face has ended") as caught:
        _read(WHOLE + "expires = 2026-11-20\n")
    assert caught.value.remedy.startswith("Ask Anna Example again")


def test_a_consent_does_not_end_before_it_was_given() -> None:
    """A slip of the pen is no consent."""
    with pytest.raises(InputError, match="expires is 2026-03-01, and that is before the date of the consent, 2026-03-14"):
        _read(WHOLE + "expires = 2026-03-01\n")


@pytest.mark.parametrize("name", ["person", "consented_by", "scope"])
@pytest.mark.parametrize("value", ['""', '"   "', "true", "7", '["Anna"]'])
def test_names_and_scope_say_something(name: str, value: str) -> None:
    """An empty line, a tick or a number is no name."""
    text = "\n".join(f"{name} = {value}" if line.startswith(name) else line for line in WHOLE.splitlines())
    with pytest.raises(InputError, match=rf"{name} is "):
        _read(text)


def test_a_word_that_is_not_known_is_refused_with_the_nearest() -> None:
    """Whoever writes `expire` must not believe that it ends."""
    with pytest.raises(InputError, match="expire is no setting here; did you mean expires"):
        _read(WHOLE + "expire = 2027-01-01\n")


def test_everything_wrong_is_said_at_once() -> None:
    """One round, not four."""
    with pytest.raises(InputError) as caught:
        _read('person = ""\nage = 3\n')
    assert all(word in str(caught.value) for word in ("person", "consented_by", "date", "scope", "age"))


@given(st.binary(max_size=300))
def test_whatever_lies_there_it_is_a_consent_or_a_sentence(data: bytes) -> None:
    """Noise never gets through, and never raises anything else."""
    with pytest.raises(InputError, match="anna"):
        read_consent(data, FILE, TODAY)
