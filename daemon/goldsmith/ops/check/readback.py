"""A deliverable read back from the disk: what it is, its picture, and a thumbnail of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from goldsmith.picture import codec, colour
from goldsmith.picture.fitting import MOST_PIXELS, fitted
from goldsmith.picture.formats import pdf_read
from goldsmith.picture.formats.facts import Facts
from goldsmith.picture.picture import Plate, frozen
from goldsmith.picture.print.page_boxes import INCH
from goldsmith.picture.print.printing import highest_coverage
from goldsmith.picture.profiles import profile_name
from goldsmith.picture.resample import resized_plate

KILO = 1000
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

    def otherwise(self) -> list[str]:
        """Where it is not what the step says it wrote, in words."""
        facts = self.facts
        is_so = {"width": facts.width, "height": facts.height, "depth": facts.depth, "format": facts.format, "alpha": facts.alpha}
        return [
            f"{name} {value}, not {self.said[name]}"
            for name, value in {**is_so, "bytes": self.size}.items()
            if name in self.said and self.said[name] != value
        ]

    def lines(self) -> list[tuple[str, str]]:
        """(what, value) of it, for a report."""
        facts = self.facts
        mode = {1: "grey", 3: "RGB", _INKS: "CMYK"}[facts.channels] + (" with alpha" if facts.alpha else "")
        return [
            ("Format", facts.format.upper()),
            ("Pixels", f"{facts.width} x {facts.height}"),
            ("Colour", f"{mode}, {facts.depth} bits, {facts.icc or ('no profile' if facts.channels == _INKS else 'sRGB')}"),
            ("Size", kilo(self.size)),
            *([] if facts.ppi is None else [("Resolution", f"{min(facts.ppi):.0f} ppi")]),
            *([] if self.trim is None else [("Trim", f"{self.trim[0]:g} x {self.trim[1]:g} mm, bleed {self.bleed:g} mm")]),
            *([] if self.coverage is None else [("Ink", f"{self.coverage:.0f} % at most")]),
        ]


def kilo(size: int) -> str:
    """Bytes as a person reads them."""
    return f"{size / KILO:,.1f} kB"


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
