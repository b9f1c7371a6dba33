"""A face of the library is used with a consent beside it or not at all: told as the brief is read, and asked again in the lane."""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path

import pytest

from goldsmith.brief.brief import Availability, availability_problems
from goldsmith.brief.steps import Step
from goldsmith.errors import InputError
from goldsmith.library.consents import find_consent, why_no_consent
from goldsmith.library.library import Library
from goldsmith.operation import Operation, StepNeeds

TODAY = datetime.date(2026, 11, 21)
WHOLE = 'person = "Anna"\nconsented_by = "Anna"\ndate = 2026-03-14\nscope = "web"\n'


class Faces(Operation):
    """Uses a face."""

    face: str = "anna"
    """Whose."""

    def needs(self) -> StepNeeds:
        return StepNeeds(library_files=(("faces", self.face, (".png",)),), consents=frozenset({self.face}))


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    folder = tmp_path / "library" / "faces"
    folder.mkdir(parents=True)
    return folder


def _library(faces: Path) -> Library:
    return Library(faces.parents[1])


def test_a_consent_is_found_by_the_name_of_its_face_with_its_digest(faces: Path) -> None:
    """As people write names: case is no matter. What goes on record is its text and its hash."""
    (faces / "Anna.TOML").write_text(WHOLE)
    signed = find_consent(_library(faces), "anna", TODAY)
    assert signed.sha256 == hashlib.sha256(WHOLE.encode()).hexdigest()
    record = {"person": "Anna", "consented_by": "Anna", "date": "2026-03-14", "scope": "web", "document": "", "sha256": signed.sha256}
    assert signed.to_record() == record


def test_a_face_without_a_consent_is_refused_with_what_to_write(faces: Path) -> None:
    """The sentence names the file that is to be there, the remedy the page that shows it."""
    with pytest.raises(InputError, match=r"^library/faces/anna\.toml is not there: nobody's consent") as caught:
        find_consent(_library(faces), "anna", TODAY)
    assert "docs/operations/face_swap.md" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "has 4 faults"), (WHOLE + "expires = 2026-01-01", "before the date"), (WHOLE + "expires = 2026-06-01", "has ended")],
)
def test_a_consent_that_does_not_hold_is_told_in_words(text: str, said: str, faces: Path) -> None:
    """Whatever is wrong with it."""
    (faces / "anna.toml").write_text(text)
    assert said in why_no_consent(_library(faces), "anna", TODAY)


def test_a_link_is_no_consent(faces: Path, tmp_path: Path) -> None:
    """What lies somewhere else may be exchanged there."""
    (tmp_path / "other.toml").write_text(WHOLE)
    (faces / "anna.toml").symlink_to(tmp_path / "other.toml")
    assert "nobody's consent" in why_no_consent(_library(faces), "anna", TODAY)


def test_one_that_holds_is_no_reason(faces: Path) -> None:
    """Nothing to say."""
    (faces / "anna.toml").write_text(WHOLE + "expires = 2026-11-21\n")
    assert why_no_consent(_library(faces), "anna", TODAY) == ""


def test_a_brief_is_refused_early_at_the_setting_that_names_the_face() -> None:
    """Before anything runs, with its place; where the picture is missing that is told instead; where both are there, nothing."""
    step = Step("faces", Faces(face="anna"), {"face": "anna"}, location="edit.1")

    def told(has: bool, why: str) -> list[str]:
        return [
            str(fault)
            for fault in availability_problems([step], Availability(None, lambda *_: has, lambda *_: [], why_no_consent=lambda name: why))
        ]

    assert told(True, "no consent.") == ['edit.1.face is "anna": no consent.']
    assert told(False, "no consent.") == ['edit.1.face is "anna", but library/faces/ has no such .png file; there is none yet.']
    assert told(True, "") == []
