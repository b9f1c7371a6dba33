"""Lettering on the picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from goldsmith.errors import InputError
from goldsmith.operation import PictureOperation, RecordValue, StepContext, StepNeeds, check_bare_name
from goldsmith.ops.text import painting, text_settings
from goldsmith.ops.text.bidi import Direction
from goldsmith.ops.text.font import FONT_SUFFIXES, MAX_FONT_BYTES, Typeface, open_font, require_features
from goldsmith.ops.text.layout import (
    Align,
    PlacedText,
    Rect,
    TextLayout,
    Typesetter,
    Valign,
)
from goldsmith.ops.text.named_colours import parse_colour
from goldsmith.ops.text.shaping import MissingGlyph, ShapingOptions
from goldsmith.ops.text.wcag_contrast import ContrastMeasure
from goldsmith.picture.picture import Picture

_CONFIG = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
# Fonts of the library that are looked into for what one lacks.
_MAX_FONTS_TRIED = 100
# WCAG 2.2's least for large text.
_MIN_LARGE_TEXT_CONTRAST = 3.0
# px: smaller letters cannot be read by anybody.
_MIN_LEGIBLE_PX = 6.0


ColourName = Annotated[str, Field(max_length=20), AfterValidator(text_settings.check_colour)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Fraction = Annotated[float, Field(ge=0, le=1)]
_Shift = Annotated[float, Field(ge=-200, le=200)]


class TextStroke(BaseModel):
    """A line round the letters."""

    model_config = _CONFIG

    width: float = Field(gt=0, le=50)
    """Per cent of the text's size, outside the letters (up to 50)."""
    colour: ColourName = "black"
    """Its colour."""
    opacity: _Share = 1.0
    """0 to 1."""

    def to_paint(self, px_per_percent: float) -> painting.StrokePaint:
        """It in px, where one per cent of the size is ``share`` px."""
        return painting.StrokePaint(self.width * px_per_percent, parse_colour(self.colour), self.opacity)


class TextShadow(BaseModel):
    """A shadow under the letters."""

    model_config = _CONFIG

    offset: tuple[_Shift, _Shift] = (3.0, 3.0)
    """[to the right, down], per cent of the text's size."""
    blur: float = Field(default=6.0, ge=0, le=200)
    """How soft, per cent of the text's size."""
    colour: ColourName = "black"
    """Its colour."""
    opacity: _Share = 0.6
    """0 to 1."""

    def to_paint(self, px_per_percent: float) -> painting.ShadowPaint:
        """It in px, where one per cent of the size is ``share`` px."""
        offset = self.offset[0] * px_per_percent, self.offset[1] * px_per_percent
        return painting.ShadowPaint(offset, self.blur * px_per_percent / 2, parse_colour(self.colour), self.opacity)


class TextPanel(BaseModel):
    """A filled box behind the letters."""

    model_config = _CONFIG

    colour: ColourName = "black"
    """Its colour."""
    opacity: _Share = 1.0
    """0 to 1."""
    padding: float = Field(default=35.0, ge=0, le=300)
    """Room round the letters, per cent of the text's size."""
    radius: float = Field(default=0.0, ge=0, le=300)
    """How round its corners are, per cent of the text's size."""

    def to_paint(self, px_per_percent: float) -> painting.PanelPaint:
        """It in px, where one per cent of the size is ``share`` px."""
        return painting.PanelPaint(self.padding * px_per_percent, self.radius * px_per_percent, parse_colour(self.colour), self.opacity)


class Text(PictureOperation):
    """Set type on the picture: shaped by HarfBuzz, wrapped and fitted, with contrast measured and missing letters refused."""

    string: Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(text_settings.normalise_text)]
    """What is written; a line break is a line break."""
    font: str = Field(default="Manrope-Bold", min_length=1, max_length=200)
    """A font by its name in library/fonts/ (.ttf, .otf, .ttc), or one that ships."""
    also: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(default=(), max_length=8)
    """Further fonts, in this order, for letters that the first one lacks."""
    axes: Annotated[dict[str, float], Field(max_length=16), AfterValidator(text_settings.check_axes)] = Field(default_factory=dict)
    """Axes of a variable font, such as { wght = 650 }."""
    face: int = Field(default=0, ge=0, le=255)
    """Which font of a collection (.ttc), from 0."""
    size: Annotated[
        str | None, BeforeValidator(text_settings.normalise_size), AfterValidator(lambda value: value and text_settings.check_size(value))
    ] = None
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
    features: Annotated[tuple[Annotated[str, AfterValidator(text_settings.check_feature)], ...], Field(max_length=40)] = ()
    """OpenType features: "smcp" on, "-kern" off, "ss01=2" the second form."""
    direction: Direction = "auto"
    """auto (by the first letter), ltr or rtl."""
    language: Annotated[str, Field(max_length=35, pattern=r"^([A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*)?$")] = ""
    """BCP 47, such as "ja" or "tr": fonts draw some letters differently by language."""
    colour: ColourName = "white"
    """"#rrggbb" in sRGB, or a name; brought into the picture's own profile."""
    opacity: _Share = 1.0
    """Of the letters themselves, 0 to 1."""
    stroke: TextStroke | None = None
    """A line round the letters."""
    shadow: TextShadow | None = None
    """A shadow under them."""
    panel: TextPanel | None = None
    """A filled box behind them."""
    knock_out: bool = False
    """Whether the letters are a hole: in the panel, or where there is none in the picture itself (its alpha)."""
    rotate: float = Field(default=0.0, ge=-360, le=360)
    """Degrees clockwise."""
    min_contrast: float | None = Field(default=None, ge=1, le=21)
    """The least contrast with what lies behind (WCAG ratio, 1 to 21); less is a problem. Left out: it is measured only."""

    @model_validator(mode="after")
    def _check_combination(self) -> Text:
        if self.box[2] <= 0 or self.box[3] <= 0 or self.box[0] + self.box[2] > 1.0001 or self.box[1] + self.box[3] > 1.0001:
            raise ValueError("box is [left, top, width, height] in fractions of the picture, and must lie within it")
        if self.knock_out and self.shadow is not None:
            raise ValueError("a hole throws no shadow: leave out either knock_out or shadow")
        for font in (self.font, *self.also):
            check_bare_name(font, "a font is named as it is called in library/fonts/, without its folder")
        return self

    def bytes_per_pixel(self) -> int:
        """More than others: type may fill the whole picture, with a shadow under it and a stroke round it."""
        return 64

    def needs(self) -> StepNeeds:
        return StepNeeds(library_files=tuple(("fonts", font, FONT_SUFFIXES) for font in (self.font, *self.also)))

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """The picture with the text on it; the picture itself where nothing of it would be seen."""
        if self._is_invisible:
            return picture
        faces = self._load_typefaces(context)
        placed = self._place_text(faces, picture, context)
        made, seen = painting.paint_text(picture, faces, placed, self._make_paint(placed.size))
        self._record_result(faces, placed, seen, context)
        if seen is not None and self.min_contrast is not None and seen.worst < self.min_contrast:
            raise InputError(
                f"The text “{self._excerpt}” has a contrast of {seen.worst:.2f} : 1 with what lies behind it; "
                f"{self.min_contrast:g} : 1 was asked for.",
                "Choose another colour or place, or give it a panel, a stroke or a shadow.",
            )
        return made

    @property
    def _is_invisible(self) -> bool:
        drawn = self.opacity > 0 or self.knock_out
        return not (drawn or self.panel is not None or self.stroke is not None or self.shadow is not None)

    @property
    def _excerpt(self) -> str:
        line = " ".join(self.string.split())
        return line if len(line) <= 40 else line[:39] + "…"

    def _load_typefaces(self, context: StepContext) -> list[Typeface]:
        """The font, and those for what it lacks."""
        face = self._open_font(context.library.file("fonts", self.font, FONT_SUFFIXES), self.axes, self.face)
        require_features(face, text_settings.parse_features(self.features))
        return [face, *(self._open_font(context.library.file("fonts", name, FONT_SUFFIXES)) for name in self.also)]

    def _open_font(self, path: Path, axes: Mapping[str, float] = MappingProxyType({}), index: int = 0) -> Typeface:
        if path.stat().st_size > MAX_FONT_BYTES:
            raise InputError(f"The font {path.name} has more than {MAX_FONT_BYTES >> 20} MiB.", "Choose a smaller font.")
        return open_font(path.read_bytes(), path.name, axes, index)

    def _make_typesetter(self, typefaces: list[Typeface], context: StepContext) -> Typesetter:
        rim = max(self.stroke.width if self.stroke else 0.0, self.panel.padding if self.panel else 0.0) / 100
        layout = TextLayout(self.align, self.valign, self.leading, self.balance, self.rotate, rim)
        manner = ShapingOptions(text_settings.parse_features(self.features), self.tracking / 1000, self.direction, self.language)
        try:
            return Typesetter(typefaces, self.string, manner, layout)
        except MissingGlyph as missing:
            told = ", ".join(f"“{letter}” (U+{ord(letter):04X})" for letter in missing.characters[:8])
            more = f" and {len(missing.characters) - 8} more" if len(missing.characters) > 8 else ""
            raise InputError(
                f"The font {' with '.join((self.font, *self.also))} has no {told}{more}.", self._suggest_fonts(missing.characters, context)
            ) from None

    def _suggest_fonts(self, letters: str, context: StepContext) -> str:
        """Which fonts of the library have all of them."""
        found: list[str] = []
        for name in context.library.names("fonts", FONT_SUFFIXES)[:_MAX_FONTS_TRIED]:
            try:
                face = self._open_font(context.library.file("fonts", name, FONT_SUFFIXES))
            except InputError:
                continue
            if all(face.has_visible_glyph(letter) for letter in letters):
                found.append(name)
        if not found:
            return "Put a font that has them into library/fonts/ and name it in the text step."
        upright = sorted(found, key=lambda name: name.endswith(("It", "Italic")))
        return f'{", ".join(upright[:3])} {"has" if len(found) == 1 else "have"} what is missing: say also = ["{upright[0]}"].'

    def _record_result(self, typefaces: list[Typeface], placed: PlacedText, contrast: ContrastMeasure | None, context: StepContext) -> None:
        told: dict[str, RecordValue] = {
            "fonts": [{"name": face.name, "version": face.version, "sha256": face.sha256} for face in typefaces],
            "size_px": round(placed.size, 3),
            "lines": list(placed.block.lines),
            "ink_box": [round(value, 2) for value in placed.ink_box],
        }
        if contrast is not None:
            told |= {"contrast": round(contrast.worst, 2), "contrast_median": round(contrast.median, 2)}
        remarks = []
        if contrast is not None and contrast.worst < _MIN_LARGE_TEXT_CONTRAST:
            remarks.append(f"the contrast is {contrast.worst:.2f} : 1, less than {_MIN_LARGE_TEXT_CONTRAST:g} : 1")
        if placed.size < _MIN_LEGIBLE_PX:
            remarks.append(f"letters of {placed.size:.2f} px cannot be read")
        if remarks:
            told["remark"] = "; ".join(remarks)
        context.results.record(**told)

    def _place_text(self, typefaces: list[Typeface], picture: Picture, context: StepContext) -> PlacedText:
        setter = self._make_typesetter(typefaces, context)
        area, most = self._available_box(picture), self._requested_size(picture)
        placed = setter.set_at_size(most, area) if self.size is not None or not self.fit else None
        if placed is None and self.fit:
            placed = setter.set_largest(area, most)
        if placed is None:
            smaller = setter.set_largest(area, most)
            room = f"{area[2]:.0f} x {area[3]:.0f} px"
            raise InputError(
                f"The text “{self._excerpt}” at {most:.4g} px does not go into its box of {room}"
                + (f" (the picture less {self.safe:g} % safe area along each edge)." if self.safe else "."),
                f"At {math.floor(smaller.size * 100) / 100:g} px it would: set that size, say fit = true, or give it more room."
                if smaller
                else "Give it more room.",
            )
        return placed

    def _requested_size(self, picture: Picture) -> float:
        """The size in px, or with ``fit`` and none given more than any picture has."""
        if self.size is None:
            return text_settings.MAX_SIZE_PX if self.fit else 0.08 * picture.height
        return text_settings.size_in_px(self.size, picture.height)

    def _available_box(self, picture: Picture) -> Rect:
        """The box in px, cut to the safe area."""
        margin = self.safe / 100
        left, top = max(self.box[0], margin), max(self.box[1], margin)
        right, bottom = min(self.box[0] + self.box[2], 1 - margin), min(self.box[1] + self.box[3], 1 - margin)
        if right <= left or bottom <= top:
            raise InputError(
                f"The box {list(self.box)} of the text “{self._excerpt}” lies wholly in the safe area of {self.safe:g} %.",
                "Move the box, or make `safe` smaller in the text step.",
            )
        return left * picture.width, top * picture.height, (right - left) * picture.width, (bottom - top) * picture.height

    def _make_paint(self, size: float) -> painting.TextPaint:
        share = size / 100
        return painting.TextPaint(
            parse_colour(self.colour),
            self.opacity,
            self.stroke.to_paint(share) if self.stroke else None,
            self.shadow.to_paint(share) if self.shadow else None,
            self.panel.to_paint(share) if self.panel else None,
            self.knock_out,
        )
