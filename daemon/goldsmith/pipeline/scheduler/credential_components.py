"""The other pictures that went into a delivery: layers that were laid over it, and pictures that a step looked at.

Its content credentials name each with its hash (C2PA 2.4, 18.16.3): ``componentOf`` if the delivery is composed of it, which an action
``c2pa.placed`` says too; ``inputTo`` if it only went into a computation.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from typing import Literal, NamedTuple

from pydantic import JsonValue

from goldsmith.files import display_name
from goldsmith.library.consent import FACES_FOLDER
from goldsmith.operation import LAYER_FOLDERS
from goldsmith.picture.formats.table import format_claimed_by

# A look is a table of colours, even where it is stored as a picture.
_LOOK_ROLE, _LOOKS_FOLDER = "look", "looks"
# The file of a face has the name of a person, which no client is told.
_PORTRAIT_TITLE = "a portrait"
_LABEL_CHARS = 16


class Component(NamedTuple):
    """A picture that went into another one: a part that can be seen in it, or only an input of a step."""

    title: str
    media_type: str
    sha256: str
    relationship: Literal["componentOf", "inputTo"]

    @property
    def label(self) -> str:
        """The name of the ingredient, by which actions refer to it: the same file has the same label."""
        return f"{self.relationship}-{self.sha256[:_LABEL_CHARS]}"

    def to_description(self) -> dict[str, JsonValue]:
        """Return the ingredient as c2pa takes it."""
        return {
            "title": self.title,
            "format": self.media_type,
            "instance_id": f"urn:sha256:{self.sha256}",
            "relationship": self.relationship,
            "label": self.label,
        }


def components_of(step: Mapping[str, JsonValue], roles: Mapping[str, str]) -> list[Component]:
    """Return the pictures that a recorded step read beside the picture it worked on. ``roles``: those of its job's inputs, by SHA-256."""
    findings = step.get("findings")
    references = findings.get("references") if isinstance(findings, dict) else None
    components = []
    for name, sha256 in (references if isinstance(references, dict) else {}).items():
        folder, title = posixpath.split(name)
        role = "" if folder else roles.get(str(sha256), "")
        row = format_claimed_by(os.path.splitext(title)[1].lower())
        if row is None or role == _LOOK_ROLE or folder == _LOOKS_FOLDER:
            continue
        is_seen = role == "layer" or folder in LAYER_FOLDERS
        title = _PORTRAIT_TITLE if folder == FACES_FOLDER else display_name(title)
        components.append(Component(title, row.media_type, str(sha256), "componentOf" if is_seen else "inputTo"))
    return components
