"""Reading a deliverable back from the disk: its properties, its picture and a thumbnail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from goldsmith.ops.check import pdf_read
from goldsmith.picture import codec, colour
from goldsmith.picture.formats.image_info import ImageInfo
from goldsmith.picture.formats.table import FORMATS
from goldsmith.picture.picture import Picture, freeze
from goldsmith.picture.print.page_boxes import MM_PER_INCH
from goldsmith.picture.print.printing import max_coverage
from goldsmith.picture.profiles import profile_name
from goldsmith.picture.resample import resize_picture
from goldsmith.picture.size_fitting import MAX_PIXELS, fit_size
from goldsmith.picture.subject_crop import PixelBox

BYTES_PER_KB = 1000
_CMYK_CHANNELS = 4
_THUMBNAIL_SIDE = 560
_THUMBNAIL_MAX_BYTES = 40_000
_QUALITY = 82


@dataclass(frozen=True, slots=True)
class FileReadback:
    """A file as read from the disk.

    ``recorded``: what the export step recorded of it. ``ink_coverage``: the highest sum of inks in per cent, None without inks.
    ``trim_mm``: the size of the cut sheet, None if it has none. ``bleed_mm``: the bleed beyond the trim. A PDF holds both itself; for other
    formats they come from the record.
    """

    name: str
    byte_size: int
    facts: ImageInfo
    picture: Picture
    recorded: Mapping[str, object]
    ink_coverage: float | None
    trim_mm: tuple[float, float] | None
    bleed_mm: float

    @property
    def pixel_size(self) -> tuple[int, int]:
        """(width, height) in px."""
        return self.facts.width, self.facts.height

    @property
    def bleed_px(self) -> float:
        """Bleed on every side, in px."""
        return 0.0 if self.trim_mm is None else self.bleed_mm * self.facts.width / (self.trim_mm[0] + 2 * self.bleed_mm)

    def source_window(self) -> PixelBox | None:
        """Return the part of the picture that is left after the cut, in px of the picture; None if the export did not crop it."""
        crop = self.recorded.get("crop")
        if not isinstance(crop, list | tuple) or len(crop) != 4:
            return None
        left, top, width, height = (float(value) for value in crop)
        return left, top, width, height

    def mismatches(self) -> list[str]:
        """Return the properties that differ from the record, as phrases."""
        facts = self.facts
        actual = {"width": facts.width, "height": facts.height, "depth": facts.depth, "format": facts.format, "alpha": facts.alpha}
        return [
            f"{name} {value}, not {self.recorded[name]}"
            for name, value in {**actual, "bytes": self.byte_size}.items()
            if name in self.recorded and self.recorded[name] != value
        ]

    def describe_profile(self) -> str:
        """Return the file's profile for people, and whether it is in the file or only assumed."""
        if self.facts.icc is not None:
            return f"{self.facts.icc}, embedded"
        if self.facts.channels == _CMYK_CHANNELS:
            return "none"
        return "none, sRGB by its colour codes" if self.facts.states_colour else "none, sRGB assumed"

    def properties(self) -> list[tuple[str, str]]:
        """Return (name, value) pairs for a report."""
        facts = self.facts
        mode = {1: "grey", 3: "RGB", _CMYK_CHANNELS: "CMYK"}[facts.channels] + (" with alpha" if facts.alpha else "")
        return [
            ("Format", facts.format.upper()),
            ("Pixels", f"{facts.width} x {facts.height}"),
            ("Colour", f"{mode}, {facts.depth} bits"),
            ("Profile", self.describe_profile()),
            ("Size", format_kb(self.byte_size)),
            *([] if facts.ppi is None else [("Resolution", f"{min(facts.ppi):.0f} ppi")]),
            *([] if self.trim_mm is None else [("Trim", f"{self.trim_mm[0]:g} x {self.trim_mm[1]:g} mm, bleed {self.bleed_mm:g} mm")]),
            *([] if self.ink_coverage is None else [("Ink", f"{self.ink_coverage:.0f} % at most")]),
        ]


def format_kb(byte_size: int) -> str:
    """Return a size in kB as text."""
    return f"{byte_size / BYTES_PER_KB:,.1f} kB"


def read_back(path: Path, name: str, recorded: Mapping[str, object]) -> FileReadback:
    """Return the file, decoded completely. Raises InputError if it cannot be decoded."""
    data = path.read_bytes()
    if FORMATS["pdf"].matches(data):
        return _read_back_pdf(data, name, recorded)
    picture, facts = codec.decode_with_info(data, name, MAX_PIXELS)
    coverage = max_coverage(codec.decode_ink_codes(data, name, MAX_PIXELS)) if facts.channels == _CMYK_CHANNELS else None
    trim, bleed = recorded.get("trim_mm"), recorded.get("bleed_mm")
    trim_size = (float(trim[0]), float(trim[1])) if isinstance(trim, list | tuple) else None
    return FileReadback(
        name, len(data), facts, picture, recorded, coverage, trim_size, float(bleed) if isinstance(bleed, int | float) else 0.0
    )


def _read_back_pdf(data: bytes, name: str, recorded: Mapping[str, object]) -> FileReadback:
    """Return the picture of a PDF page with its boxes."""
    page = pdf_read.read_pdf(data, name, MAX_PIXELS)
    height, width, channels = page.samples.shape
    levels = float(np.iinfo(page.samples.dtype).max)
    ppi = (width / (page.sheet_mm[0] / MM_PER_INCH), height / (page.sheet_mm[1] / MM_PER_INCH))
    if channels == _CMYK_CHANNELS:
        picture = Picture(freeze(colour.cmyk_to_srgb(page.samples, levels, page.icc)), ppi=ppi)
    else:
        picture = Picture(
            freeze(page.samples.astype(np.float32) / np.float32(levels)), depth=8 if page.depth == 8 else 16, icc=page.icc, ppi=ppi
        )
    icc = None if page.icc is None else profile_name(page.icc)
    facts = ImageInfo("pdf", width, height, page.depth, channels, False, icc, 1, ppi)
    coverage = max_coverage(page.samples) if channels == _CMYK_CHANNELS else None
    return FileReadback(name, len(data), facts, picture, recorded, coverage, page.trim_mm, page.bleed_mm)


def shrink_to_side(picture: Picture, side: int) -> Picture:
    """Return the picture with its longer side at ``side`` px, averaged on display values as in a browser; a smaller picture unchanged."""
    width, height = fit_size((picture.width, picture.height), (side, side), can_enlarge=False)
    return resize_picture(replace(picture, masks={}), height, width, "area", in_linear_light=False)


def encode_thumbnail(picture: Picture) -> bytes:
    """Return a JPEG in sRGB of at most 560 px and 40 kB, with transparent parts on white."""
    thumbnail = colour.convert_profile(codec.flatten(shrink_to_side(picture, _THUMBNAIL_SIDE)), "srgb")
    plain = Picture(thumbnail.pixels, depth=8)
    return codec.encode_to_size_limit(plain, codec.EncodingOptions(format="jpeg", quality=_QUALITY), _THUMBNAIL_MAX_BYTES, lambda _: None)[
        0
    ]
