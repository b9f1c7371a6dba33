"""A deliverable read back from the disk: what it is, its picture, and a thumbnail of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from goldsmith.plate import codec, colour
from goldsmith.plate.craft.fitting import MOST_PIXELS, fitted
from goldsmith.plate.craft.sheet import INCH
from goldsmith.plate.formats import pdf_read
from goldsmith.plate.formats.facts import Facts
from goldsmith.plate.plate import Plate, frozen
from goldsmith.plate.printing import highest_coverage
from goldsmith.plate.profiles import profile_name
from goldsmith.plate.resample import resized_plate

_INKS = 4
_SIDE = 560
_LARGEST = 40_000
_QUALITY = 82


@dataclass(frozen=True, slots=True)
class Reread:
    """A file as it lies on the disk.

    size: bytes; said: what the step that made it says of it; coverage: highest sum of inks in percent, None where it is not in inks;
    trim: mm of the cut sheet, None where it has none; bleed: mm beyond it. A PDF says these itself, of others the step says them.
    """

    name: str
    size: int
    facts: Facts
    plate: Plate
    said: Mapping[str, object]
    coverage: float | None
    trim: tuple[float, float] | None
    bleed: float

    @property
    def pixels(self) -> tuple[int, int]:
        return self.facts.width, self.facts.height

    @property
    def edge(self) -> float:
        """Bleed on every side, in px."""
        return 0.0 if self.trim is None else self.bleed * self.facts.width / (self.trim[0] + 2 * self.bleed)


def reread(path: Path, name: str, said: Mapping[str, object]) -> Reread:
    """The file decoded to its end. Raises Problem where it cannot be."""
    data = path.read_bytes()
    if data.startswith(b"%PDF-"):
        return _page(data, name, said)
    plate, facts = codec.decoded(data, name, MOST_PIXELS)
    coverage = highest_coverage(codec.inks(data, name, MOST_PIXELS)) if facts.channels == _INKS else None
    trim, bleed = said.get("trim_mm"), said.get("bleed_mm")
    sheet = (float(trim[0]), float(trim[1])) if isinstance(trim, list | tuple) else None
    return Reread(name, len(data), facts, plate, said, coverage, sheet, float(bleed) if isinstance(bleed, int | float) else 0.0)


def _page(data: bytes, name: str, said: Mapping[str, object]) -> Reread:
    page = pdf_read.read(data, name, MOST_PIXELS)
    height, width, channels = page.samples.shape
    levels = float(np.iinfo(page.samples.dtype).max)
    ppi = (width / (page.sheet[0] / INCH), height / (page.sheet[1] / INCH))
    if channels == _INKS:
        plate = Plate(frozen(colour.from_cmyk(page.samples, levels, page.icc)), ppi=ppi)
    else:
        plate = Plate(
            frozen(page.samples.astype(np.float32) / np.float32(levels)), depth=8 if page.depth == 8 else 16, icc=page.icc, ppi=ppi
        )
    icc = None if page.icc is None else profile_name(page.icc)
    facts = Facts("pdf", width, height, page.depth, channels, False, icc, 1, ppi)
    coverage = highest_coverage(page.samples) if channels == _INKS else None
    return Reread(name, len(data), facts, plate, said, coverage, page.trim, page.bleed)


def shrunk(plate: Plate, side: int) -> Plate:
    """The plate with its longer side at ``side`` px, as a browser would show it: by area, display-encoded; itself where it is smaller."""
    width, height = fitted((plate.width, plate.height), (side, side), enlarge=False)
    return resized_plate(replace(plate, masks={}), height, width, "area", linear=False)


def thumbnail(plate: Plate) -> bytes:
    """A JPEG in sRGB, 560 px at most and 40 kB at most, transparent parts laid on white."""
    small = colour.converted(codec.flattened(shrunk(plate, _SIDE)), "srgb")
    bare = Plate(small.pixels, depth=8)
    return codec.encode_within(bare, codec.Encoding(format="jpeg", quality=_QUALITY), _LARGEST, lambda done: None)[0]
