"""Consent to the use of a person's face: the file ``library/faces/NAME.toml`` beside the picture of the face.

It is checked when a brief is read, and again when the face is used.
"""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from goldsmith.brief.parsing import MAX_FILE_BYTES, BriefError, BriefProblem, read_toml
from goldsmith.brief.validation_messages import validation_problems
from goldsmith.errors import InputError
from goldsmith.library.library import Library

FACES_FOLDER = "faces"
_SUFFIXES = (".toml",)
_EXAMPLE_HINT = "docs/operations/face_swap.md shows an example"


def _require_text(value: str) -> str:
    if not value.strip():
        raise ValueError("it is empty")
    return value.strip()


_ShortText = Annotated[str, Field(max_length=200), AfterValidator(_require_text)]


class Consent(BaseModel):
    """A consent as it is written: who agreed to which use. Dates are TOML dates: 2026-03-14, without quotes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    person: _ShortText
    """Whose face it is."""
    consented_by: _ShortText
    """Who agreed: the person, or somebody who may decide for them."""
    date: datetime.date
    """The day of the consent."""
    scope: Annotated[str, Field(max_length=2000), AfterValidator(_require_text)]
    """What the consent covers: the campaign, the media, the changes that may be made."""
    expires: datetime.date | None = None
    """The last day on which the consent is valid. Left out, it is valid until it is withdrawn."""
    document: Annotated[str, Field(max_length=500)] = ""
    """The place of the signed paper."""


def read_consent(data: bytes, file: str, today: datetime.date) -> Consent:
    """Return the consent in ``data``, which must be valid on ``today``. ``file`` is its name in messages.

    Raises InputError with every problem: a missing or malformed setting, a date in the future, an expired consent.
    """
    values = read_toml(data, file, allow_dates=True)
    try:
        consent = Consent.model_validate(values)
    except ValidationError as error:
        raise BriefError(file, validation_problems(error, values, "", Consent)) from None
    if consent.date > today:
        raise BriefError(file, [BriefProblem("date", f"is {consent.date}, which is in the future.")])
    if consent.expires is not None and consent.expires < consent.date:
        raise BriefError(file, [BriefProblem("expires", f"is {consent.expires}, which is before the date of the consent, {consent.date}.")])
    if consent.expires is not None and consent.expires < today:
        raise InputError(
            f"{file}: expires is {consent.expires}, so the consent to use this face has ended.",
            f"Ask {consent.consented_by} again and write the new dates, or remove the step.",
        )
    return consent


@dataclass(frozen=True, slots=True)
class ConsentFile:
    """A consent, its file and the SHA-256 (hex) of that file."""

    consent: Consent
    path: Path
    sha256: str

    def to_record(self) -> dict[str, object]:
        """Return the consent for the record: its settings and its hash."""
        return {**self.consent.model_dump(mode="json", exclude_none=True), "sha256": self.sha256}


def local_today() -> datetime.date:
    """Return today's date in the machine's time zone."""
    return datetime.datetime.now().astimezone().date()


def find_consent(library: Library, name: str, day: datetime.date) -> ConsentFile:
    """Return the consent for the face ``name``. Raises InputError if no valid one is on file."""
    path = library.find(FACES_FOLDER, name, _SUFFIXES)
    if path is None:
        raise InputError(
            f"library/{FACES_FOLDER}/{name}.toml is missing: no consent to use this face is on file.",
            f"Write that file with who agreed to which use, and when; {_EXAMPLE_HINT}.",
        )
    data = library.read_file(path, MAX_FILE_BYTES)
    return ConsentFile(read_consent(data, f"library/{FACES_FOLDER}/{path.name}", day), path, hashlib.sha256(data).hexdigest())


def why_no_consent(library: Library, name: str, day: datetime.date) -> str:
    """Return why the face may not be used, as complete sentences; "" if it may."""
    try:
        find_consent(library, name, day)
    except InputError as problem:
        return str(problem)
    except OSError as error:
        return f"library/{FACES_FOLDER}/{name}.toml cannot be read: {error.strerror}."
    return ""
