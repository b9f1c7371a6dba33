"""Faces of the library and the consent that must lie beside each: asked when a brief is read, and again where the face is used."""

from __future__ import annotations

import datetime
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from goldsmith.brief.reading import MAX_BYTES
from goldsmith.errors import Problem
from goldsmith.files import open_input
from goldsmith.library.consent import Consent, read_consent
from goldsmith.library.library import Library

SHELF = "faces"
_SUFFIXES = (".toml",)
_EXAMPLE = "docs/operations/face_swap.md shows what it says"


@dataclass(frozen=True, slots=True)
class Signed:
    """A consent, the file it stands in and the sha256 (hex) of that file."""

    consent: Consent
    file: Path
    sha256: str

    def record(self) -> dict[str, object]:
        """What the record says of it: its text and its digest."""
        return {**self.consent.model_dump(mode="json", exclude_none=True), "sha256": self.sha256}


def today() -> datetime.date:
    """The day it is where this machine stands."""
    return datetime.datetime.now().astimezone().date()


def consent_of(library: Library, name: str, day: datetime.date) -> Signed:
    """The consent for the face of that name. Raises Problem where there is none that holds."""
    found = library.find(SHELF, name, _SUFFIXES)
    if found is None:
        raise Problem(
            f"library/{SHELF}/{name}.toml is not there: nobody's consent to use this face is on file.",
            f"Write down there who agreed to what, and when; {_EXAMPLE}.",
        )
    with os.fdopen(open_input(found), "rb") as file:
        data = file.read(MAX_BYTES + 1)
    return Signed(read_consent(data, f"library/{SHELF}/{found.name}", day), found, hashlib.sha256(data).hexdigest())


def why_not(library: Library, name: str, day: datetime.date) -> str:
    """Why that face may not be used, as whole sentences; "" where it may."""
    try:
        consent_of(library, name, day)
    except Problem as problem:
        return str(problem)
    except OSError as error:
        return f"library/{SHELF}/{name}.toml cannot be read: {error.strerror}."
    return ""
