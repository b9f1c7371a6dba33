"""Faces of the library and the consent that must lie beside each: asked when a brief is read, and again where the face is used."""

from __future__ import annotations

import datetime
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from goldsmith.brief.parsing import MAX_FILE_BYTES
from goldsmith.errors import InputError
from goldsmith.files import open_input
from goldsmith.library.consent import Consent, read_consent
from goldsmith.library.library import Library

FACES_FOLDER = "faces"
_SUFFIXES = (".toml",)
_EXAMPLE_HINT = "docs/operations/face_swap.md shows what it says"


@dataclass(frozen=True, slots=True)
class ConsentFile:
    """A consent, the file it stands in and the sha256 (hex) of that file."""

    consent: Consent
    path: Path
    sha256: str

    def to_record(self) -> dict[str, object]:
        """What the record says of it: its text and its digest."""
        return {**self.consent.model_dump(mode="json", exclude_none=True), "sha256": self.sha256}


def local_today() -> datetime.date:
    """The day it is where this machine stands."""
    return datetime.datetime.now().astimezone().date()


def find_consent(library: Library, name: str, day: datetime.date) -> ConsentFile:
    """The consent for the face of that name. Raises InputError where there is none that holds."""
    found = library.find(FACES_FOLDER, name, _SUFFIXES)
    if found is None:
        raise InputError(
            f"library/{FACES_FOLDER}/{name}.toml is not there: nobody's consent to use this face is on file.",
            f"Write down there who agreed to what, and when; {_EXAMPLE_HINT}.",
        )
    with os.fdopen(open_input(found), "rb") as file:
        data = file.read(MAX_FILE_BYTES + 1)
    return ConsentFile(read_consent(data, f"library/{FACES_FOLDER}/{found.name}", day), found, hashlib.sha256(data).hexdigest())


def why_no_consent(library: Library, name: str, day: datetime.date) -> str:
    """Why that face may not be used, as whole sentences; "" where it may."""
    try:
        find_consent(library, name, day)
    except InputError as problem:
        return str(problem)
    except OSError as error:
        return f"library/{FACES_FOLDER}/{name}.toml cannot be read: {error.strerror}."
    return ""
