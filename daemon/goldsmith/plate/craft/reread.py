"""A deliverable read back from the disk: what it is, its picture, and a thumbnail of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from goldsmith.plate import codec, colour
from goldsmith.plate.craft.fitting import MOST_PIXELS, fitted
from goldsmith.plate.formats.facts import Facts
from goldsmith.plate.plate import Plate
from goldsmith.plate.resample import resized_plate

_SIDE = 560
_LARGEST = 40_000
_QUALITY = 82


@dataclass(frozen=True, slots=True)
class Reread:
    """A file as it lies on the disk. size: bytes; said: what the step that made it says of it."""

    name: str
    size: int
    facts: Facts
    plate: Plate
    said: Mapping[str, object]

    @property
    def pixels(self) -> tuple[int, int]:
        return self.facts.width, self.facts.height

    @property
    def edge(self) -> int:
        """Bleed on every side, in px."""
        told = self.said.get("bleed_px")
        return told if isinstance(told, int) else 0

    @property
    def bleed(self) -> float:
        """Bleed on every side, in mm."""
        told = self.said.get("bleed_mm")
        return float(told) if isinstance(told, int | float) else 0.0


def reread(path: Path, name: str, said: Mapping[str, object]) -> Reread:
    """The file decoded to its end. Raises Problem where it cannot be."""
    data = path.read_bytes()
    plate, facts = codec.decoded(data, name, MOST_PIXELS)
    return Reread(name, len(data), facts, plate, said)


def shrunk(plate: Plate, side: int) -> Plate:
    """The plate with its longer side at ``side`` px, as a browser would show it: by area, display-encoded; itself where it is smaller."""
    width, height = fitted((plate.width, plate.height), (side, side), enlarge=False)
    return resized_plate(replace(plate, masks={}), height, width, "area", linear=False)


def thumbnail(plate: Plate) -> bytes:
    """A JPEG in sRGB, 560 px at most and 40 kB at most, transparent parts laid on white."""
    small = colour.converted(codec.flattened(shrunk(plate, _SIDE)), "srgb")
    bare = Plate(small.pixels, depth=8)
    return codec.encode_within(bare, codec.Encoding(format="jpeg", quality=_QUALITY), _LARGEST, lambda done: None)[0]
