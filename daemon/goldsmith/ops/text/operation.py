"""Lettering on the picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from goldsmith.errors import Problem
from goldsmith.operation import Bench, Finding, Needs, PlateOperation, bare_name
from goldsmith.ops.text import painting, values
from goldsmith.ops.text.bidi import Direction
from goldsmith.ops.text.colours import rgb_of
from goldsmith.ops.text.contrast import Contrast
from goldsmith.ops.text.font import MOST_BYTES, SUFFIXES, Typeface, check_features, opened
from goldsmith.ops.text.layout import (
    Align,
    Box,
    Layout,
    Placed,
    Typesetter,
    Valign,
)
from goldsmith.ops.text.shaping import Manner, Missing
from goldsmith.picture.picture import Plate

_CONFIG = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
_MOST_TRIED = 100
"""Fonts of the library that are looked into for what one lacks."""
_LEAST_CONTRAST = 3.0
"""WCAG 2.2's least for large text."""
_SMALLEST_READ = 6.0
"""px: smaller letters cannot be read by anybody."""


Tinted = Annotated[str, Field(max_length=20), AfterValidator(values.known_colour)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Fraction = Annotated[float, Field(ge=0, le=1)]
_Shift = Annotated[float, Field(ge=-200, le=200)]


class Stroke(BaseModel):
    """A line round the letters."""

    model_config = _CONFIG

    width: float = Field(gt=0, le=50)
    """Per cent of the text's size, outside the letters (up to 50)."""
    colour: Tinted = "black"
    """Its colour."""
    opacity: _Share = 1.0
    """0 to 1."""

    def of(self, share: float) -> painting.Rim:
        """It in px, where one per cent of the size is ``share`` px."""
        return painting.Rim(self.width * share, rgb_of(self.colour), self.opacity)


class Shadow(BaseModel):
    """A shadow under the letters."""

    model_config = _CONFIG

    offset: tuple[_Shift, _Shift] = (3.0, 3.0)
    """[to the right, down], per cent of the text's size."""
    blur: float = Field(default=6.0, ge=0, le=200)
    """How soft, per cent of the text's size."""
    colour: Tinted = "black"
    """Its colour."""
    opacity: _Share = 0.6
    """0 to 1."""

    def of(self, share: float) -> painting.Shade:
        """It in px, where one per cent of the size is ``share`` px."""
        offset = self.offset[0] * share, self.offset[1] * share
        return painting.Shade(offset, self.blur * share / 2, rgb_of(self.colour), self.opacity)


class Panel(BaseModel):
    """A filled box behind the letters."""

    model_config = _CONFIG

    colour: Tinted = "black"
    """Its colour."""
    opacity: _Share = 1.0
    """0 to 1."""
    padding: float = Field(default=35.0, ge=0, le=300)
    """Room round the letters, per cent of the text's size."""
    radius: float = Field(default=0.0, ge=0, le=300)
    """How round its corners are, per cent of the text's size."""

    def of(self, share: float) -> painting.Backing:
        """It in px, where one per cent of the size is ``share`` px."""
        return painting.Backing(self.padding * share, self.radius * share, rgb_of(self.colour), self.opacity)


class Text(PlateOperation):
    """Set type on the picture: shaped by HarfBuzz, wrapped and fitted, with contrast measured and missing letters refused."""

    string: Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(values.printable)]
    """What is written; a line break is a line break."""
    font: str = Field(default="Manrope-Bold", min_length=1, max_length=200)
    """A font by its name in library/fonts/ (.ttf, .otf, .ttc), or one that ships."""
    also: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(default=(), max_length=8)
    """Further fonts, in this order, for letters that the first one lacks."""
    axes: Annotated[dict[str, float], Field(max_length=16), AfterValidator(values.axis)] = Field(default_factory=dict)
    """Axes of a variable font, such as { wght = 650 }."""
    face: int = Field(default=0, ge=0, le=255)
    """Which font of a collection (.ttc), from 0."""
    size: Annotated[str | None, BeforeValidator(values.sized), AfterValidator(lambda value: value and values.readable_size(value))] = None
    """px (64 or "64px") or per cent of the picture's height ("8%"); with ``fit`` the most it may be. Left out: 8 %, or whatever fits."""
    fit: bool = False
    """Whether to take the largest size that goes into the box."""
    box: tuple[_Fraction, _Fraction, _Fraction, _Fraction] = (0.0, 0.0, 1.0, 1.0)
    """[left, top, width, height] in fractions of the picture: where the text stands."""
    safe: float = Field(default=5.0, ge=0, le=45)
    """Per cent of the picture's width and height along each edge that stay free: the box is cut to that."""
    align: Align = "center"
    """left, center, right or justify."""
    valign: Valign = "middle"
    """top, middle or bottom of the box."""
    tracking: float = Field(default=0.0, ge=-200, le=2000)
    """Space between letters in thousandths of an em."""
    leading: float = Field(default=1.2, ge=0.5, le=5)
    """From line to line, times the size."""
    balance: bool = True
    """Whether lines are made as even as they can be."""
    features: Annotated[tuple[Annotated[str, AfterValidator(values.feature)], ...], Field(max_length=40)] = ()
    """OpenType features: "smcp" on, "-kern" off, "ss01=2" the second form."""
    direction: Direction = "auto"
    """auto (by the first letter), ltr or rtl."""
    language: Annotated[str, Field(max_length=35, pattern=r"^([A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*)?$")] = ""
    """BCP 47, such as "ja" or "tr": fonts draw some letters differently by language."""
    colour: Tinted = "white"
    """"#rrggbb" in sRGB, or a name; brought into the picture's own profile."""
    opacity: _Share = 1.0
    """Of the letters themselves, 0 to 1."""
    stroke: Stroke | None = None
    """A line round the letters."""
    shadow: Shadow | None = None
    """A shadow under them."""
    panel: Panel | None = None
    """A filled box behind them."""
    knock_out: bool = False
    """Whether the letters are a hole: in the panel, or where there is none in the picture itself (its alpha)."""
    rotate: float = Field(default=0.0, ge=-360, le=360)
    """Degrees clockwise."""
    min_contrast: float | None = Field(default=None, ge=1, le=21)
    """The least contrast with what lies behind (WCAG ratio, 1 to 21); less is a problem. Left out: it is measured only."""

    @model_validator(mode="after")
    def _possible(self) -> Text:
        if self.box[2] <= 0 or self.box[3] <= 0 or self.box[0] + self.box[2] > 1.0001 or self.box[1] + self.box[3] > 1.0001:
            raise ValueError("box is [left, top, width, height] in fractions of the picture, and must lie within it")
        if self.knock_out and self.shadow is not None:
            raise ValueError("a hole throws no shadow: leave out either knock_out or shadow")
        for font in (self.font, *self.also):
            bare_name(font, "a font is named as it is called in library/fonts/, without its folder")
        return self

    def weighs(self) -> int:
        """More than others: type may fill the whole picture, with a shadow under it and a stroke round it."""
        return 64

    def needs(self) -> Needs:
        return Needs(references=tuple(("fonts", font, SUFFIXES) for font in (self.font, *self.also)))

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        """The plate with the text on it; the plate itself where nothing of it would be seen."""
        if self._unseen:
            return plate
        faces = self._typefaces(bench)
        placed = self._placed(faces, plate, bench)
        made, seen = painting.painted(plate, faces, placed, self._inks(placed.size))
        self._recorded(faces, placed, seen, bench)
        if seen is not None and self.min_contrast is not None and seen.worst < self.min_contrast:
            raise Problem(
                f"The text “{self._short}” has a contrast of {seen.worst:.2f} : 1 with what lies behind it; "
                f"{self.min_contrast:g} : 1 was asked for.",
                "Choose another colour or place, or give it a panel, a stroke or a shadow.",
            )
        return made

    @property
    def _unseen(self) -> bool:
        drawn = self.opacity > 0 or self.knock_out
        return not (drawn or self.panel is not None or self.stroke is not None or self.shadow is not None)

    @property
    def _short(self) -> str:
        line = " ".join(self.string.split())
        return line if len(line) <= 40 else line[:39] + "…"

    def _typefaces(self, bench: Bench) -> list[Typeface]:
        """The font, and those for what it lacks."""
        face = self._opened(bench.reference("fonts", self.font, SUFFIXES), self.axes, self.face)
        check_features(face, values.values(self.features))
        return [face, *(self._opened(bench.reference("fonts", name, SUFFIXES)) for name in self.also)]

    def _opened(self, path: Path, axes: Mapping[str, float] = MappingProxyType({}), number: int = 0) -> Typeface:
        if path.stat().st_size > MOST_BYTES:
            raise Problem(f"The font {path.name} has more than {MOST_BYTES >> 20} MiB.", "Choose a smaller font.")
        return opened(path.read_bytes(), path.name, axes, number)

    def _typesetter(self, faces: list[Typeface], bench: Bench) -> Typesetter:
        rim = max(self.stroke.width if self.stroke else 0.0, self.panel.padding if self.panel else 0.0) / 100
        layout = Layout(self.align, self.valign, self.leading, self.balance, self.rotate, rim)
        manner = Manner(values.values(self.features), self.tracking / 1000, self.direction, self.language)
        try:
            return Typesetter(faces, self.string, manner, layout)
        except Missing as missing:
            told = ", ".join(f"“{letter}” (U+{ord(letter):04X})" for letter in missing.letters[:8])
            more = f" and {len(missing.letters) - 8} more" if len(missing.letters) > 8 else ""
            raise Problem(
                f"The font {' with '.join((self.font, *self.also))} has no {told}{more}.", self._others(missing.letters, bench)
            ) from None

    def _others(self, letters: str, bench: Bench) -> str:
        """Which fonts of the library have all of them."""
        found: list[str] = []
        for name in bench.names("fonts", SUFFIXES)[:_MOST_TRIED]:
            try:
                face = self._opened(bench.reference("fonts", name, SUFFIXES))
            except Problem:
                continue
            if all(face.has(letter) for letter in letters):
                found.append(name)
        if not found:
            return "Put a font that has them into library/fonts/ and name it in the text step."
        upright = sorted(found, key=lambda name: name.endswith(("It", "Italic")))
        return f'{", ".join(upright[:3])} {"has" if len(found) == 1 else "have"} what is missing: say also = ["{upright[0]}"].'

    def _recorded(self, faces: list[Typeface], placed: Placed, seen: Contrast | None, bench: Bench) -> None:
        told: dict[str, Finding] = {
            "fonts": [{"name": face.name, "version": face.version, "sha256": face.sha256} for face in faces],
            "size_px": round(placed.size, 3),
            "lines": list(placed.block.lines),
            "ink_box": [round(value, 2) for value in placed.ink],
        }
        if seen is not None:
            told |= {"contrast": round(seen.worst, 2), "contrast_median": round(seen.median, 2)}
        remarks = []
        if seen is not None and seen.worst < _LEAST_CONTRAST:
            remarks.append(f"the contrast is {seen.worst:.2f} : 1, less than {_LEAST_CONTRAST:g} : 1")
        if placed.size < _SMALLEST_READ:
            remarks.append(f"letters of {placed.size:.2f} px cannot be read")
        if remarks:
            told["remark"] = "; ".join(remarks)
        bench.record(**told)

    def _placed(self, faces: list[Typeface], plate: Plate, bench: Bench) -> Placed:
        setter = self._typesetter(faces, bench)
        area, most = self._area(plate), self._asked(plate)
        placed = setter.at(most, area) if self.size is not None or not self.fit else None
        if placed is None and self.fit:
            placed = setter.largest(area, most)
        if placed is None:
            smaller = setter.largest(area, most)
            room = f"{area[2]:.0f} x {area[3]:.0f} px"
            raise Problem(
                f"The text “{self._short}” at {most:.4g} px does not go into its box of {room}"
                + (f" (the picture less {self.safe:g} % safe area along each edge)." if self.safe else "."),
                f"At {math.floor(smaller.size * 100) / 100:g} px it would: set that size, say fit = true, or give it more room."
                if smaller
                else "Give it more room.",
            )
        return placed

    def _asked(self, plate: Plate) -> float:
        """The size in px, or with ``fit`` and none given more than any picture has."""
        if self.size is None:
            return values.LARGEST if self.fit else 0.08 * plate.height
        return values.in_px(self.size, plate.height)

    def _area(self, plate: Plate) -> Box:
        """The box in px, cut to the safe area."""
        margin = self.safe / 100
        left, top = max(self.box[0], margin), max(self.box[1], margin)
        right, bottom = min(self.box[0] + self.box[2], 1 - margin), min(self.box[1] + self.box[3], 1 - margin)
        if right <= left or bottom <= top:
            raise Problem(
                f"The box {list(self.box)} of the text “{self._short}” lies wholly in the safe area of {self.safe:g} %.",
                "Move the box, or make `safe` smaller in the text step.",
            )
        return left * plate.width, top * plate.height, (right - left) * plate.width, (bottom - top) * plate.height

    def _inks(self, size: float) -> painting.Inks:
        share = size / 100
        return painting.Inks(
            rgb_of(self.colour),
            self.opacity,
            self.stroke.of(share) if self.stroke else None,
            self.shadow.of(share) if self.shadow else None,
            self.panel.of(share) if self.panel else None,
            self.knock_out,
        )
