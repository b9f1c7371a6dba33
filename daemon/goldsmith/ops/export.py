"""Deliverables: one file of the picture for the client."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from goldsmith.errors import Problem
from goldsmith.operation import Bench, Deliverable, FileOperation, Finding
from goldsmith.plate import codec, colour
from goldsmith.plate.craft.dither import dithered
from goldsmith.plate.craft.fitting import LONGEST_SIDE, fitted
from goldsmith.plate.craft.ringless import resized_ringless
from goldsmith.plate.plate import Plate

_DEPTHS: dict[codec.Format, tuple[int, ...]] = {"jpeg": (8,), "webp": (8,), "png": (8, 16), "tiff": (8, 16), "avif": (8, 10, 12)}
_ALIASES = {"jpg": "jpeg", "tif": "tiff"}
_QUALITY = {"jpeg": 90, "webp": 88, "avif": 75}
_KILO = 1000


def _word(value: object) -> object:
    """A format however it is written; an unknown one gets the nearest."""
    if not isinstance(value, str):
        return value
    word = value.lower().removeprefix(".")
    word = _ALIASES.get(word, word)
    if word not in codec.FORMATS:
        near = difflib.get_close_matches(word, [*codec.FORMATS, *_ALIASES], n=1, cutoff=0.4)
        hint = f"; the nearest is “{_ALIASES.get(near[0], near[0])}”" if near else ""
        raise ValueError(f"“{value[:40]}” is not one of {', '.join(codec.FORMATS)}{hint}")
    return word


class Export(FileOperation):
    """Write the picture as a deliverable: ``hero_NAME.jpg``, .png, .tif, .webp or .avif.

    The picture that goes on is not changed. Give each export of a brief its own name.
    """

    name: str = Field(default="", max_length=64)
    """What follows the picture's name and "_" in the file's name: letters, digits, - _ and . (hero_web.avif). Empty: nothing."""
    format: Annotated[codec.Format, BeforeValidator(_word)] = "png"
    """jpeg, png, tiff, webp or avif."""
    depth: Literal[8, 10, 12, 16] | None = None
    """Bits per channel: 8 everywhere, 16 in png and tiff, 10 or 12 in avif. Unset: the picture's own, as far as the format goes."""
    size: tuple[Annotated[int, Field(ge=1, le=LONGEST_SIDE)], Annotated[int, Field(ge=1, le=LONGEST_SIDE)]] | None = None
    """[width, height] in px of the box it fits into, each 1 to 30000; a smaller picture is not enlarged. Unset: its own size."""
    ppi: float | None = Field(default=None, ge=1, le=10000)
    """Resolution in pixels per inch that is written into the file (1 to 10000). Unset: the picture's own."""
    quality: int | None = Field(default=None, ge=1, le=100)
    """Quality of jpeg, webp and avif (1 to 100). Unset: 90 for jpeg, 88 for webp, 75 for avif."""
    max_kb: int | None = Field(default=None, ge=1, le=1_000_000)
    """Largest size of a jpeg, webp or avif in kB of 1000 bytes (1 to 1000000): quality is lowered just as far as it takes."""
    profile: Literal["srgb", "adobe-rgb", "display-p3", "prophoto", "rec709"] | None = None
    """Colour profile it is converted to: srgb, adobe-rgb, display-p3, prophoto or rec709. Unset: the picture's own."""
    background: str | None = None
    """Colour, as "#rrggbb", that transparent parts are laid on. Unset: white for jpeg; elsewhere they stay transparent."""

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        if value and not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", value):
            raise ValueError(f"“{value}” cannot be part of a file's name: use letters, digits, - _ and . between them")
        return value

    @field_validator("background")
    @classmethod
    def _colour(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"#[0-9A-Fa-f]{6}", value):
            raise ValueError(f"“{value[:40]}” is not a colour: write it as #rrggbb, for example #ffffff")
        return value

    @model_validator(mode="after")
    def _possible(self) -> Export:
        if self.depth is not None and self.depth not in _DEPTHS[self.format]:
            can = " or ".join(map(str, _DEPTHS[self.format]))
            raise ValueError(f"{self.format} holds {can} bits per channel, not {self.depth}")
        for setting in ("quality", "max_kb"):
            if self.format in codec.LOSSLESS and getattr(self, setting) is not None:
                raise ValueError(f"{self.format} is written without loss and has no {setting}; use jpeg, webp or avif for it")
        return self

    def tails(self) -> tuple[str, ...]:
        """The one file's."""
        return (self._tail + codec.SUFFIXES[self.format],)

    @property
    def _tail(self) -> str:
        return f"_{self.name}" if self.name else ""

    def make(self, plate: Plate, bench: Bench) -> Sequence[Deliverable]:
        """The one file. Raises Problem where not even the lowest quality fits into ``max_kb``."""
        bench.progress(0.0, "sizing")
        made = self._prepared(plate)
        depth = self._depth(made)
        if depth == 8:
            made = made.with_pixels(dithered(made.pixels, 8, bench.seed))
        how = codec.Encoding(format=self.format, depth=depth, quality=self.quality or _QUALITY.get(self.format, 100))
        data, quality = self._written(made, how, bench)
        facts: dict[str, Finding] = {
            "name": self.name,
            "format": self.format,
            "width": made.width,
            "height": made.height,
            "depth": depth,
            "ppi": None if made.ppi is None else list(made.ppi),
            "profile": colour.profile_name(made.icc),
            "alpha": made.alpha is not None,
            "bytes": len(data),
            "quality": None if self.format in codec.LOSSLESS else quality,
        }
        return [Deliverable(self._tail, codec.SUFFIXES[self.format], data, facts)]

    def _written(self, plate: Plate, how: codec.Encoding, bench: Bench) -> tuple[bytes, int]:
        """The file and the quality it has: the highest up to the one asked for that fits into ``max_kb``."""
        bench.progress(0.3, f"writing {how.format}")
        if self.max_kb is None:
            return codec.encode(plate, how), how.quality
        allowed = self.max_kb * _KILO
        data, quality = codec.encode_within(
            plate, how, allowed, lambda done: bench.progress(0.3 + 0.6 * done, f"fitting into {self.max_kb} kB")
        )
        if len(data) > allowed:
            raise Problem(
                f"As {how.format} at the lowest quality the {plate.width} x {plate.height} px picture takes {len(data) / _KILO:,.0f} kB; "
                f"export “{self.name}” allows {self.max_kb:,} kB.",
                "Give the export a smaller size or a larger max_kb.",
            )
        return data, quality

    def _prepared(self, plate: Plate) -> Plate:
        """Sized in its own profile's linear light, then converted, then flattened where that is asked or needed."""
        made = plate
        if self.size is not None:
            width, height = fitted((made.width, made.height), self.size, enlarge=False)
            made = resized_ringless(made, height, width)
        if self.profile is not None:
            made = colour.converted(made, self.profile)
        if self.background is not None or self.format not in codec.KEEPS_ALPHA:
            code = self.background or "#ffffff"
            red, green, blue = (int(code[place : place + 2], 16) / 255 for place in (1, 3, 5))
            made = codec.flattened(made, (red, green, blue))
        return made if self.ppi is None else replace(made, ppi=(self.ppi, self.ppi))

    def _depth(self, plate: Plate) -> Literal[8, 10, 12, 16]:
        if self.depth is not None:
            return self.depth
        if plate.depth == 8 or self.format in ("jpeg", "webp"):
            return 8
        return 10 if self.format == "avif" else 16
