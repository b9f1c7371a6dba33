"""The ``text`` operation: lettering on the picture."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from goldsmith.engines.kinds import FACE_DETECTOR
from goldsmith.engines.protocols import EngineNeed
from goldsmith.errors import InputError
from goldsmith.operation import SUBJECT_OR_NOTHING, PictureOperation, RecordValue, StepContext, StepNeeds, check_bare_name, region_needs
from goldsmith.ops.text import auto_placement, painting, text_settings
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
from goldsmith.picture.picture import Picture

_CONFIG = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, defer_build=True)
# How many fonts of the library are searched for a missing letter.
_MAX_FONTS_TRIED = 100
# The minimum of WCAG 2.2 for large text.
_MIN_LARGE_TEXT_CONTRAST = 3.0
# px. Smaller letters are illegible.
_MIN_LEGIBLE_PX = 6.0


ColourName = Annotated[str, Field(max_length=20), AfterValidator(text_settings.check_colour)]
OptionalColour = Annotated[str, Field(max_length=20), AfterValidator(text_settings.check_colour_or_auto)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Fraction = Annotated[float, Field(ge=0, le=1)]
_Shift = Annotated[float, Field(ge=-200, le=200)]


class TextStroke(BaseModel):
    """An outline round the letters."""

    model_config = _CONFIG

    width: float = Field(gt=0, le=50)
    """Per cent of the text's size, outside the letters (up to 50)."""
    colour: ColourName = "black"
    """The colour."""
    opacity: _Share = 1.0
    """The opacity, 0 to 1."""

    def to_paint(self, px_per_percent: float) -> painting.StrokePaint:
        """Return the stroke in px, where one per cent of the text's size is ``px_per_percent`` px."""
        return painting.StrokePaint(self.width * px_per_percent, parse_colour(self.colour), self.opacity)


class TextShadow(BaseModel):
    """A shadow under the letters."""

    model_config = _CONFIG

    offset: tuple[_Shift, _Shift] = (3.0, 3.0)
    """[to the right, down], per cent of the text's size."""
    blur: float = Field(default=6.0, ge=0, le=200)
    """Softness, per cent of the text's size."""
    colour: ColourName = "black"
    """The colour."""
    opacity: _Share = 0.6
    """The opacity, 0 to 1."""

    def to_paint(self, px_per_percent: float) -> painting.ShadowPaint:
        """Return the shadow in px, where one per cent of the text's size is ``px_per_percent`` px."""
        offset = self.offset[0] * px_per_percent, self.offset[1] * px_per_percent
        return painting.ShadowPaint(offset, self.blur * px_per_percent / 2, parse_colour(self.colour), self.opacity)


class TextPanel(BaseModel):
    """A filled box behind the letters."""

    model_config = _CONFIG

    colour: ColourName = "black"
    """The colour."""
    opacity: _Share = 1.0
    """The opacity, 0 to 1."""
    padding: float = Field(default=35.0, ge=0, le=300)
    """Room round the letters, per cent of the text's size."""
    radius: float = Field(default=0.0, ge=0, le=300)
    """Radius of the corners, per cent of the text's size."""

    def to_paint(self, px_per_percent: float) -> painting.PanelPaint:
        """Return the panel in px, where one per cent of the text's size is ``px_per_percent`` px."""
        return painting.PanelPaint(self.padding * px_per_percent, self.radius * px_per_percent, parse_colour(self.colour), self.opacity)


class TextScrim(BaseModel):
    """A soft veil behind the letters that gives them contrast."""

    model_config = _CONFIG

    colour: OptionalColour = text_settings.AUTO
    """The colour; auto: black under light letters, white under dark ones."""
    opacity: _Share | None = None
    """The opacity, 0 to 1. Left out: the least that gives 4.5 : 1, or ``min_contrast`` if that is more; none if the contrast suffices."""
    padding: float = Field(default=20.0, ge=0, le=300)
    """Room round the letters at full strength, per cent of the text's size."""
    softness: float = Field(default=120.0, ge=0, le=1000)
    """The width over which it fades out, per cent of the text's size."""

    def to_paint(self, px_per_percent: float) -> painting.ScrimPaint:
        """Return the scrim in px, where one per cent of the text's size is ``px_per_percent`` px."""
        colour = text_settings.colour_unless_auto(self.colour)
        return painting.ScrimPaint(self.padding * px_per_percent, self.softness * px_per_percent, colour, self.opacity)


class Text(PictureOperation):
    """Set type on the picture: shaped by HarfBuzz, wrapped and fitted, with contrast measured and missing letters refused."""

    credential_action: ClassVar[str] = "c2pa.drawing"
    paints_ink: ClassVar[bool] = True
    also_called: ClassVar[str] = "title caption headline type typography label write-text add-text copy"
    settings_also_called: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "string": "text content words copy caption",
            "font": "font-family typeface bold",
            "size": "font-size fontsize",
            "colour": "color fill",
            "tracking": "letter-spacing",
            "leading": "line-height",
            "align": "alignment",
            "valign": "vertical-align position",
            "stroke": "outline border",
            "panel": "background box",
            "scrim": "veil gradient vignette",
            "anchor": "placement",
            "axes": "weight",
        }
    )

    string: Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(text_settings.normalise_text)]
    """The text; its line breaks are kept."""
    font: str = Field(default="Manrope-Bold", min_length=1, max_length=200)
    """A font by its name in library/fonts/ (.ttf, .otf, .ttc), or one that ships with Goldsmith."""
    also: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(default=(), max_length=8)
    """More fonts, in this order, for letters that the first one lacks."""
    axes: Annotated[dict[str, float], Field(max_length=16), AfterValidator(text_settings.check_axes)] = Field(default_factory=dict)
    """Axes of a variable font, such as { wght = 650 }."""
    face: int = Field(default=0, ge=0, le=255)
    """Which font of a collection (.ttc), from 0."""
    size: Annotated[
        str | None, BeforeValidator(text_settings.normalise_size), AfterValidator(lambda value: value and text_settings.check_size(value))
    ] = None
    """px (64 or "64px") or per cent of the picture's height ("8%"); with ``fit`` the largest size. Default: 8 %, or as large as fits."""
    fit: bool = False
    """Whether to take the largest size that fits into the box."""
    box: tuple[_Fraction, _Fraction, _Fraction, _Fraction] = (0.0, 0.0, 1.0, 1.0)
    """[left, top, width, height] in fractions of the picture: the area for the text."""
    safe: float = Field(default=5.0, ge=0, le=45)
    """Per cent of the picture's width and height that stay free along each edge; the box is cut to this area."""
    align: Align = "center"
    """left, center, right or justify."""
    valign: Valign = "middle"
    """top, middle or bottom of the box."""
    anchor: Literal["box", "auto"] = "box"
    """box: ``align`` and ``valign`` place the text in its box. auto: it goes beside the subject, never over a face, on calm ground."""
    tracking: float = Field(default=0.0, ge=-200, le=2000)
    """Space between letters in thousandths of an em."""
    leading: float = Field(default=1.2, ge=0.5, le=5)
    """Distance between lines, as a multiple of the size."""
    balance: bool = True
    """Whether to make lines as equal in width as possible."""
    features: Annotated[tuple[Annotated[str, AfterValidator(text_settings.check_feature)], ...], Field(max_length=40)] = ()
    """OpenType features: "smcp" on, "-kern" off, "ss01=2" the second form."""
    direction: Direction = "auto"
    """auto (by the first letter), ltr or rtl."""
    language: Annotated[str, Field(max_length=35, pattern=r"^([A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*)?$")] = ""
    """BCP 47, such as "ja" or "tr": fonts draw some letters differently by language."""
    colour: OptionalColour = text_settings.AUTO
    """"#rrggbb" in sRGB, or a name; converted to the picture's profile. auto: white if legible, else the better of white and black."""
    opacity: _Share = 1.0
    """Opacity of the letters, 0 to 1."""
    stroke: TextStroke | None = None
    """An outline round the letters."""
    shadow: TextShadow | None = None
    """A shadow under the letters."""
    panel: TextPanel | None = None
    """A filled box behind the letters."""
    scrim: TextScrim | None = None
    """A soft veil behind the letters, as strong as their contrast needs."""
    knock_out: bool = False
    """Whether the letters are a hole in the panel or, without a panel, in the picture's alpha."""
    rotate: float = Field(default=0.0, ge=-360, le=360)
    """Degrees clockwise."""
    min_contrast: float = Field(default=_MIN_LARGE_TEXT_CONTRAST, ge=1, le=21)
    """The lowest contrast allowed with the background (WCAG ratio, 1 to 21); less holds the picture. 1: contrast is only measured."""

    @model_validator(mode="after")
    def _check_combination(self) -> Text:
        if self.knock_out and self.shadow is not None:
            raise ValueError("a hole casts no shadow: leave out either knock_out or shadow")
        if self.scrim is not None and (self.panel is not None or self.knock_out):
            other = "knock_out" if self.knock_out else "panel"
            raise ValueError(f"a scrim is for letters on the picture: leave out either scrim or {other}")
        return self

    @field_validator("font", "also")
    @classmethod
    def _check_fonts(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for font in (value,) if isinstance(value, str) else value:
            check_bare_name(font, "give the font's name in library/fonts/, without the folder")
        return value

    @field_validator("box")
    @classmethod
    def _check_box(cls, value: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        if value[2] <= 0 or value[3] <= 0 or value[0] + value[2] > 1.0001 or value[1] + value[3] > 1.0001:
            raise ValueError("box is [left, top, width, height] in fractions of the picture, and must lie within it")
        return value

    def layer_detail(self) -> str:
        """Return the first words of the text."""
        return self._excerpt

    def bytes_per_pixel(self) -> int:
        """Return more than the default: type may fill the whole picture, with a shadow and a stroke."""
        return 64

    def needs(self) -> StepNeeds:
        """Return the fonts of the library that the step reads, and the engines that find the subject and faces."""
        engines = (*region_needs(SUBJECT_OR_NOTHING).engines, EngineNeed(FACE_DETECTOR)) if self.anchor == "auto" else ()
        return StepNeeds(library_files=tuple(("fonts", font, FONT_SUFFIXES) for font in (self.font, *self.also)), engines=engines)

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """Return the picture with the text on it, or the picture itself if none of the text is visible."""
        if self._is_invisible:
            return picture
        typefaces = self._load_typefaces(context)
        placed, remarks = self._place_text(typefaces, picture, context)
        lettering = painting.paint_text(picture, typefaces, placed, self._make_paint(placed.size))
        self._record_result(typefaces, placed, lettering, remarks, context)
        contrast = lettering.contrast
        if contrast is not None and contrast.worst < self.min_contrast:
            raise InputError(
                f"The text “{self._excerpt}” has a contrast of {contrast.worst:.2f} : 1 with what lies behind it; "
                f"at least {self.min_contrast:g} : 1 is required.",
                self._contrast_remedy,
            )
        return lettering.picture

    @property
    def _contrast_remedy(self) -> str:
        """What to change in the step for more contrast; what it has already is not named."""
        ways = [] if self.colour == text_settings.AUTO or self.knock_out else ['set colour = "auto"']
        ways += ["lay a veil behind it with scrim = {}"] if self.scrim is None and self.panel is None and not self.knock_out else []
        ways += ["lay a panel behind it with panel = {}"] if self.panel is None and self.scrim is None else []
        ways += ['let it find a calmer place with anchor = "auto"' if self.anchor != "auto" else "give it another box"]
        return f"In the text step, {', or '.join(ways)}; min_contrast = 1 delivers it as it is."

    @property
    def _is_invisible(self) -> bool:
        has_letters = self.opacity > 0 or self.knock_out
        return not (has_letters or any(part is not None for part in (self.panel, self.stroke, self.shadow, self.scrim)))

    @property
    def _excerpt(self) -> str:
        line = " ".join(self.string.split())
        return line if len(line) <= 40 else line[:39] + "…"

    def _load_typefaces(self, context: StepContext) -> list[Typeface]:
        """Return the typeface of ``font``, and those of ``also``."""
        typeface = self._open_font(context.library.file("fonts", self.font, FONT_SUFFIXES), self.axes, self.face)
        require_features(typeface, text_settings.parse_features(self.features))
        return [typeface, *(self._open_font(context.library.file("fonts", name, FONT_SUFFIXES)) for name in self.also)]

    def _open_font(self, path: Path, axes: Mapping[str, float] = MappingProxyType({}), index: int = 0) -> Typeface:
        """Return the typeface in a font file. Raises InputError if the file is too large or is no font."""
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_FONT_BYTES:
                raise InputError(
                    f"The font {path.name} has {size / 2**20:,.0f} MiB; a font has at most {MAX_FONT_BYTES >> 20} MiB.",
                    "Choose a smaller font.",
                )
            data = file.read(size)
        return open_font(data, path.name, axes, index)

    def _make_typesetter(self, typefaces: list[Typeface], context: StepContext) -> Typesetter:
        """Return the typesetter of the text. Raises InputError if no font has one of its characters."""
        margin = max(self.stroke.width if self.stroke else 0.0, self.panel.padding if self.panel else 0.0) / 100
        layout = TextLayout(self.align, self.valign, self.leading, self.balance, self.rotate, margin)
        options = ShapingOptions(text_settings.parse_features(self.features), self.tracking / 1000, self.direction, self.language)
        try:
            return Typesetter(typefaces, self.string, options, layout)
        except MissingGlyph as missing:
            listed = ", ".join(f"“{letter}” (U+{ord(letter):04X})" for letter in missing.characters[:8])
            more = f" and {len(missing.characters) - 8} more" if len(missing.characters) > 8 else ""
            raise InputError(
                f"The font {' with '.join((self.font, *self.also))} has no {listed}{more}.",
                self._suggest_fonts(missing.characters, context),
            ) from None

    def _suggest_fonts(self, letters: str, context: StepContext) -> str:
        """Return a remedy that names the fonts of the library with all the letters, at most three."""
        suitable: list[str] = []
        for name in context.library.names("fonts", FONT_SUFFIXES)[:_MAX_FONTS_TRIED]:
            try:
                typeface = self._open_font(context.library.file("fonts", name, FONT_SUFFIXES))
            except InputError:
                continue
            if all(typeface.has_visible_glyph(letter) for letter in letters):
                suitable.append(name)
        if not suitable:
            return "Put a font that has them into library/fonts/ and name it in `also` of the text step."
        upright = sorted(suitable, key=lambda name: name.endswith(("It", "Italic")))
        return f'{", ".join(upright[:3])} {"has" if len(suitable) == 1 else "have"} the missing letters: set also = ["{upright[0]}"].'

    def _record_result(
        self, typefaces: list[Typeface], placed: PlacedText, lettering: painting.Lettering, remarks: list[str], context: StepContext
    ) -> None:
        """Record fonts, size, lines, ink box, colour and contrast, the remarks, and one more if the text is hard to read."""
        contrast = lettering.contrast
        record: dict[str, RecordValue] = {
            "fonts": [{"name": face.name, "version": face.version, "sha256": face.sha256} for face in typefaces],
            "size_px": round(placed.size, 3),
            "lines": list(placed.block.lines),
            "ink_box": [round(value, 2) for value in placed.ink_box],
        }
        if contrast is not None:
            record |= {"contrast": round(contrast.worst, 2), "contrast_median": round(contrast.median, 2)}
        if not self.knock_out:
            record["colour"] = "#" + bytes(lettering.colour).hex()
        if self.scrim is not None:
            record["scrim_opacity"] = round(lettering.scrim_opacity, 2)
        remarks = [*remarks]
        if contrast is not None and contrast.worst < _MIN_LARGE_TEXT_CONTRAST:
            remarks.append(f"the contrast is {contrast.worst:.2f} : 1, less than {_MIN_LARGE_TEXT_CONTRAST:g} : 1")
        if placed.size < _MIN_LEGIBLE_PX:
            remarks.append(f"letters of {placed.size:.2f} px cannot be read")
        if remarks:
            record["remark"] = "; ".join(remarks)
        context.results.record(**record)

    def _place_text(self, typefaces: list[Typeface], picture: Picture, context: StepContext) -> tuple[PlacedText, list[str]]:
        """Return the text at its size and place, and remarks on the place. Raises InputError if it does not fit into its box."""
        typesetter = self._make_typesetter(typefaces, context)
        box, max_size = self._available_box(picture), self._requested_size(picture)
        is_largest = self.fit and self.size is None
        placed = None if is_largest else typesetter.set_at_size(max_size, box)
        remarks: list[str] = []
        if self.anchor == "auto":
            placement = self._place_beside_subject(typesetter, box, None if placed is None else placed.ink_box, picture, context)
            placed = None if placement is None else placement.text
            if placement is not None and placement.subject_covered > auto_placement.MAX_UNTOLD_SUBJECT:
                remarks.append(f"there is no room beside the subject: {placement.subject_covered:.0%} of the text lies on it")
        elif placed is None and self.fit:
            placed = typesetter.set_largest(box, max_size)
        if placed is None:
            raise self._does_not_fit(typesetter.set_largest(box, max_size), box, max_size)
        return placed, remarks

    def _does_not_fit(self, smaller: PlacedText | None, box: Rect, size: float) -> InputError:
        room = f"{box[2]:.0f} x {box[3]:.0f} px"
        return InputError(
            f"The text “{self._excerpt}” at {size:.4g} px does not fit into its box of {room}"
            + (f" (the picture less {self.safe:g} % safe area along each edge)." if self.safe else "."),
            f"At {math.floor(smaller.size * 100) / 100:g} px it fits: set that size, set fit = true, or enlarge the box."
            if smaller
            else "Enlarge the box.",
        )

    def _place_beside_subject(
        self, typesetter: Typesetter, box: Rect, preferred: Rect | None, picture: Picture, context: StepContext
    ) -> auto_placement.TextPlacement | None:
        """Return the text at the best place of the box, None if it does not fit; ``preferred``: where it is without ``anchor``, in px.

        Raises InputError if every place in the box covers a face.
        """
        subject, faces = context.detect.region(SUBJECT_OR_NOTHING, picture), context.detect.faces(picture)
        colour = text_settings.colour_unless_auto(self.colour)
        lights = [painting.luminance_of(each) for each in ([painting.WHITE, painting.BLACK] if colour is None else [colour])]
        has_own_ground = any(part is not None for part in (self.scrim, self.panel, self.stroke))
        maps = auto_placement.make_ground_maps(picture, subject, faces, lights, 0.0 if has_own_ground else self.min_contrast)
        max_size = self._requested_size(picture)
        placement = None
        if self.size is not None or not self.fit:
            placement = auto_placement.place_beside_subject(typesetter, maps, box, preferred or box, max_size)
        if self.fit and (placement is None or placement.face_covered or placement.subject_covered > auto_placement.MAX_SUBJECT_COVERED):
            placement = auto_placement.place_largest_beside_subject(typesetter, maps, box, preferred or box, max_size)
        if placement is None:
            return None
        if placement.face_covered:
            raise InputError(
                f"The text “{self._excerpt}” at {placement.text.size:.4g} px finds no place in its box without covering a face.",
                "In the text step, set a smaller size, set fit = true, or give it another box.",
            )
        record: dict[str, RecordValue] = {"subject_covered": round(placement.subject_covered, 3), "faces_avoided": len(faces)}
        context.results.record(placed=record)
        return placement

    def _requested_size(self, picture: Picture) -> float:
        """Return the size in px, or the largest possible one if ``fit`` is set without a size."""
        if self.size is None:
            return text_settings.MAX_SIZE_PX if self.fit else 0.08 * picture.height
        return text_settings.size_in_px(self.size, picture.height)

    def _available_box(self, picture: Picture) -> Rect:
        """Return the box in px, cut to the safe area. Raises InputError if nothing is left of it."""
        margin = self.safe / 100
        left, top = max(self.box[0], margin), max(self.box[1], margin)
        right, bottom = min(self.box[0] + self.box[2], 1 - margin), min(self.box[1] + self.box[3], 1 - margin)
        if right <= left or bottom <= top:
            raise InputError(
                f"The box {list(self.box)} of the text “{self._excerpt}” lies entirely in the safe margin of {self.safe:g} %.",
                "Move the box, or reduce `safe` in the text step.",
            )
        return left * picture.width, top * picture.height, (right - left) * picture.width, (bottom - top) * picture.height

    def _make_paint(self, size: float) -> painting.TextPaint:
        """Return colours, stroke, shadow and panel in px for text of ``size`` px."""
        px_per_percent = size / 100
        return painting.TextPaint(
            text_settings.colour_unless_auto(self.colour),
            self.opacity,
            self.stroke.to_paint(px_per_percent) if self.stroke else None,
            self.shadow.to_paint(px_per_percent) if self.shadow else None,
            self.panel.to_paint(px_per_percent) if self.panel else None,
            self.scrim.to_paint(px_per_percent) if self.scrim else None,
            self.knock_out,
            max(painting.GOOD_CONTRAST, self.min_contrast),
        )
