"""The consent to use a face is complete, dated and not expired. It is checked when a brief is read and when the face is used."""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldsmith.brief.brief import Availability, availability_problems
from goldsmith.brief.steps import Step
from goldsmith.errors import InputError
from goldsmith.library.consent import Consent, find_consent, read_consent, why_no_consent
from goldsmith.library.library import Library
from goldsmith.operation import Operation, StepNeeds

TODAY = datetime.date(2026, 11, 21)
COMPLETE = """
person = "Anna Example"
consented_by = "Anna Example"
date = 2026-03-14
scope = "Spring campaign, web and print; her face in place of the model's"
"""
SHORT = 'person = "Anna"\nconsented_by = "Anna"\ndate = 2026-03-14\nscope = "web"\n'
FILE = "library/faces/anna.toml"


def _read(text: str) -> Consent:
    return read_consent(text.encode(), FILE, TODAY)


def test_a_complete_consent_is_read() -> None:
    """Read the four required settings, then the optional settings too."""
    consent = _read(COMPLETE)
    assert (consent.person, consent.date) == ("Anna Example", datetime.date(2026, 3, 14))
    assert (consent.expires, consent.document) == (None, "")
    with_options = _read(COMPLETE + 'expires = 2026-11-21\ndocument = "folder 7"\n')
    assert (with_options.expires, with_options.document) == (TODAY, "folder 7"), "a consent is valid on its last day"


@pytest.mark.parametrize("setting", ["person", "consented_by", "date", "scope"])
def test_a_missing_setting_is_named(setting: str) -> None:
    """Leave out one setting: the error names the file and the setting."""
    text = "\n".join(line for line in COMPLETE.splitlines() if not line.startswith(setting))
    with pytest.raises(InputError, match=rf"^{FILE}: {setting} is missing"):
        _read(text)


@pytest.mark.parametrize(
    ("date_line", "message"),
    [
        ('date = "2026-03-14"', r'date is "2026-03-14", but .*date'),
        ("date = 2026-03-14T10:00:00", "date is a date or time"),
        ("date = 20260314", "date is 20260314, but "),
        ("date = 2026-11-22", "date is 2026-11-22, which is in the future"),
        ("date = 2026-02-30", "this looks like a date but is not one"),
    ],
)
def test_the_date_must_be_a_day_in_the_past(date_line: str, message: str) -> None:
    """Refuse texts, numbers, times, impossible days and future days."""
    with pytest.raises(InputError, match=message):
        _read(COMPLETE.replace("date = 2026-03-14", date_line))


def test_an_expired_consent_is_refused() -> None:
    """Check that the error gives the day and the person to ask."""
    with pytest.raises(InputError, match=f"^{FILE}: expires is 2026-11-20, so the consent to use this face has ended") as caught:
        _read(COMPLETE + "expires = 2026-11-20\n")
    assert caught.value.remedy.startswith("Ask Anna Example again")


def test_a_consent_cannot_expire_before_its_date() -> None:
    """Refuse two dates in the wrong order."""
    with pytest.raises(InputError, match="expires is 2026-03-01, which is before the date of the consent, 2026-03-14"):
        _read(COMPLETE + "expires = 2026-03-01\n")


@pytest.mark.parametrize("name", ["person", "consented_by", "scope"])
@pytest.mark.parametrize("value", ['""', '"   "', "true", "7", '["Anna"]'])
def test_names_and_scope_must_be_texts(name: str, value: str) -> None:
    """Refuse empty texts, booleans, numbers and lists."""
    text = "\n".join(f"{name} = {value}" if line.startswith(name) else line for line in COMPLETE.splitlines())
    with pytest.raises(InputError, match=rf"{name} is "):
        _read(text)


def test_an_unknown_setting_is_refused_with_the_nearest_name() -> None:
    """Misspell `expires`: otherwise a consent would seem to have a limit that it does not have."""
    with pytest.raises(InputError, match="expire is not a setting here; did you mean expires"):
        _read(COMPLETE + "expire = 2027-01-01\n")


def test_every_problem_is_reported_at_once() -> None:
    """Write a consent with five problems: the error names all of them."""
    with pytest.raises(InputError) as caught:
        _read('person = ""\nage = 3\n')
    assert all(word in str(caught.value) for word in ("person", "consented_by", "date", "scope", "age"))


@given(st.binary(max_size=300))
def test_random_bytes_are_never_a_consent(data: bytes) -> None:
    """Check that random bytes raise InputError and nothing else."""
    with pytest.raises(InputError, match="anna"):
        read_consent(data, FILE, TODAY)


class Faces(Operation):
    """An operation that uses a face."""

    face: str = "anna"

    def needs(self) -> StepNeeds:
        return StepNeeds(library_files=(("faces", self.face, (".png",)),), consents=frozenset({self.face}))


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    folder = tmp_path / "library" / "faces"
    folder.mkdir(parents=True)
    return folder


def _library(faces: Path) -> Library:
    return Library(faces.parents[1])


def test_a_consent_is_found_by_the_name_of_its_face(faces: Path) -> None:
    """Check that case does not matter, and that the record has the consent's settings and hash."""
    (faces / "Anna.TOML").write_text(SHORT)
    consent = find_consent(_library(faces), "anna", TODAY)
    assert consent.sha256 == hashlib.sha256(SHORT.encode()).hexdigest()
    record = {"person": "Anna", "consented_by": "Anna", "date": "2026-03-14", "scope": "web", "document": "", "sha256": consent.sha256}
    assert consent.to_record() == record


def test_a_face_without_a_consent_is_refused(faces: Path) -> None:
    """Check that the error names the missing file, and the page with an example."""
    with pytest.raises(InputError, match=r"^library/faces/anna\.toml is missing: no consent") as caught:
        find_consent(_library(faces), "anna", TODAY)
    assert "docs/operations/face_swap.md" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "has 4 problems"), (SHORT + "expires = 2026-01-01", "before the date"), (SHORT + "expires = 2026-06-01", "has ended")],
)
def test_an_invalid_consent_is_explained(text: str, message: str, faces: Path) -> None:
    """Check an empty, an impossible and an expired consent."""
    (faces / "anna.toml").write_text(text)
    assert message in why_no_consent(_library(faces), "anna", TODAY)


def test_a_link_is_not_a_consent(faces: Path, tmp_path: Path) -> None:
    """Link to a valid consent: links are refused because their target could be replaced."""
    (tmp_path / "other.toml").write_text(SHORT)
    (faces / "anna.toml").symlink_to(tmp_path / "other.toml")
    assert "no consent" in why_no_consent(_library(faces), "anna", TODAY)


def test_a_valid_consent_needs_no_explanation(faces: Path) -> None:
    """Check that the explanation is empty on the last day of a consent."""
    (faces / "anna.toml").write_text(SHORT + "expires = 2026-11-21\n")
    assert why_no_consent(_library(faces), "anna", TODAY) == ""


def test_a_brief_is_refused_at_the_setting_that_names_the_face() -> None:
    """Check without a consent, without the picture, and with both."""
    step = Step("faces", Faces(face="anna"), {"face": "anna"}, location="edit.1")

    def problems(has_file: bool, reason: str) -> list[str]:
        return [
            str(problem)
            for problem in availability_problems(
                [step], Availability(None, lambda *_: has_file, lambda *_: [], why_no_consent=lambda name: reason)
            )
        ]

    assert problems(True, "no consent.") == ['edit.1.face is "anna": no consent.']
    assert problems(False, "no consent.") == ['edit.1.face is "anna", but library/faces/ has no such .png file; there is none yet.']
    assert problems(True, "") == []
