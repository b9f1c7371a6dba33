"""What crosses the border between a program and the process that makes a preview."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from goldsmith.files import FileSignature

# fit: the whole picture, reduced to fit into a square, as JPEG. tile: a part at 100 %, as PNG. mask, mask_tile: the same of a mask, in red
# and as transparent as the mask is dark, as PNG. facts: no pixels.
PreviewKind = Literal["fit", "tile", "mask", "mask_tile", "facts"]

LabNumber = Annotated[float, Field(ge=-1000, le=1000, allow_inf_nan=False)]

TILE_SIDE = 512
# The sides in px of the previews that the page asks for: a few, so that the cache holds few of each picture.
FIT_SIDES = (160, 480, 1600, 2560)
MAX_MESSAGE_BYTES = 64 * 1024


def version_of(signature: FileSignature) -> str:
    """Return a short text that changes whenever the file does."""
    return hashlib.sha256(repr(tuple(signature)).encode()).hexdigest()[:16]


class PreviewRequest(BaseModel):
    """One preview. The file itself is sent with it, as an open descriptor, and a second one for the result."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    kind: PreviewKind
    # The file's name, for the sentences about it.
    name: str = ""
    # fit, mask: the square's side in px.
    side: int = 0
    # tile, mask_tile: the column and the row of the tile.
    column: int = 0
    row: int = 0
    # fit: the quality of the JPEG, and whether the mean colour is measured.
    quality: int = 90
    measures_colour: bool = False

    @property
    def media_type(self) -> str:
        """The type of the result."""
        return {"fit": "image/jpeg", "facts": "application/json"}.get(self.kind, "image/png")

    @property
    def cache_name(self) -> str:
        """What tells two previews of one file apart."""
        return f"{self.kind}-{self.side}-{self.column}-{self.row}"


class PreviewFacts(BaseModel):
    """What a preview says about its picture. It comes from a process that decodes strangers' files, so each field has a limit."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    format: Annotated[str, Field(max_length=20)] = ""
    # In px, upright.
    width: Annotated[int, Field(ge=1, le=2**31)] = 1
    height: Annotated[int, Field(ge=1, le=2**31)] = 1
    depth: Annotated[int, Field(ge=1, le=64)] = 8
    has_alpha: bool = False
    # The name of its profile; "" = it has none, and counts as sRGB.
    profile: Annotated[str, Field(max_length=200)] = ""
    # Whether its colours were converted for the preview, which is in sRGB.
    is_converted: bool = False
    # The mean colour as CIE Lab at D50, if it was asked for.
    mean_lab: tuple[LabNumber, LabNumber, LabNumber] | None = None
    # What was not read as it is written, as sentences.
    remarks: tuple[Annotated[str, Field(max_length=1000)], ...] = Field(default=(), max_length=20)


class PreviewReply(BaseModel):
    """The answer: facts if the result was written, else a sentence. ``fault``: a bug's traceback, for the log."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    facts: PreviewFacts | None = None
    sentence: Annotated[str, Field(max_length=2000)] = ""
    remedy: Annotated[str, Field(max_length=2000)] = ""
    fault: Annotated[str, Field(max_length=8000)] = ""
