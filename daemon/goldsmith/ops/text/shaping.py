"""Words into glyphs: each run of one direction and script shaped by HarfBuzz, runs in the order in which they are seen."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.text import bidi
from goldsmith.ops.text.font import Typeface

# Scripts whose letters hang together: to space them apart would tear words.
_CURSIVE_SCRIPTS = frozenset({"Arab", "Syrc", "Mong", "Nkoo", "Mand", "Phlp", "Adlm", "Rohg", "Sogd", "Deva", "Beng", "Guru", "Ougr"})
# em: so much a line may differ from its part of the whole paragraph, by the space at its end and by kerning.
_WIDTH_TOLERANCE = 0.6
# A soft hyphen is seen where a line ends with it, and nowhere else.
_SOFT_HYPHEN, _HYPHENS = 0xAD, (0x2010, 0x2D)
_LIGATURE_FEATURES = ("liga", "clig")


class MissingGlyph(Exception):
    """Characters that a font has no glyph for, in the order in which they came."""

    def __init__(self, characters: str) -> None:
        super().__init__(characters)
        self.characters = characters


@dataclass(frozen=True, slots=True)
class ShapingOptions:
    """How text is shaped: features by tag (0 off, 1 on, more = which one), space between letters in em, direction, language (BCP 47)."""

    features: Mapping[str, int] = field(default_factory=dict)
    tracking: float = 0.0
    direction: bidi.Direction = "auto"
    language: str = ""


class Glyph(NamedTuple):
    """One glyph of a line, in em from the line's start on the baseline, y upwards."""

    glyph_id: int
    x: float
    y: float
    # The character it stands for, as a place in the paragraph.
    character_index: int
    # Which of the fonts it is of.
    typeface_index: int = 0


class ShapedLine(NamedTuple):
    """A shaped line: its glyphs from left to right, and its width in em without the space at its end."""

    glyphs: tuple[Glyph, ...]
    width: float
    # Even where the paragraph runs left to right.
    base_level: int


class Paragraph:
    """One paragraph, shaped line by line; every line is shaped once, however often it is asked for.

    Each character is set in the first of ``faces`` that has it.
    """

    def __init__(self, typefaces: Sequence[Typeface], text: str, options: ShapingOptions) -> None:
        self.text = text
        self._typefaces = typefaces
        self._options = options
        self._base_level = bidi.base_level(text, options.direction)
        self._levels = bidi.embedding_levels(text, self._base_level)
        self._scripts = _resolve_scripts(text)
        self._typeface_indices = _choose_typefaces(typefaces, text)
        self._empty_glyph_letters = {
            letter for letter, number in set(zip(text, self._typeface_indices, strict=True)) if typefaces[number].has_empty_glyph(letter)
        }
        self._lines: dict[tuple[int, int], ShapedLine] = {}
        self._advance_sums: NDArray[np.float64] | None = None

    def shape_line(self, start: int, end: int) -> ShapedLine:
        """``text[start:end]`` as a line of its own. Raises Missing."""
        while end > start and (self.text[end - 1].isspace() or self.text[end - 1] == "\u200b"):
            end -= 1
        if (start, end) not in self._lines:
            self._lines[start, end] = self._shape(start, end)
        return self._lines[start, end]

    def fits(self, start: int, end: int, max_width: float) -> bool:
        """True where that line is no wider than ``room``. Only a near thing is shaped: the rest is seen from the whole paragraph."""
        if self._advance_sums is None:
            self._advance_sums = self._measure_advances()
        about = float(self._advance_sums[end] - self._advance_sums[start]) - max_width
        return about < 0 if abs(about) > _WIDTH_TOLERANCE else self.shape_line(start, end).width <= max_width

    def _measure_advances(self) -> NDArray[np.float64]:
        """Where each character would begin if all stood on one line in the order in which they are read."""
        whole = self.shape_line(0, len(self.text))
        wide = np.diff([glyph.x for glyph in whole.glyphs], append=whole.width)
        advances = np.zeros(len(self.text))
        np.add.at(advances, [glyph.character_index for glyph in whole.glyphs], wide)
        return np.concatenate([[0.0], np.cumsum(advances)])

    def _shape(self, start: int, end: int) -> ShapedLine:
        glyphs: list[Glyph] = []
        x = 0.0
        missing = ""
        found = bidi.line_levels(self.text, self._levels, start, end, self._base_level)
        for first, last, level in bidi.visual_runs(found):
            parts = self._split_runs(start + first, start + last)
            for part in parts[::-1] if level % 2 else parts:
                made, advance, lost = self._shape_run(*part, bool(level % 2), start, end)
                glyphs += [glyph._replace(x=glyph.x + x) for glyph in made]
                x += advance
                missing += lost
        missing += "".join(letter for letter in self.text[start:end] if letter in self._empty_glyph_letters)
        if missing:
            raise MissingGlyph("".join(dict.fromkeys(missing)))
        return ShapedLine(tuple(glyphs), max(0.0, x - self._options.tracking * self._has_trailing_tracking(glyphs)), self._base_level)

    def _has_trailing_tracking(self, glyphs: list[Glyph]) -> bool:
        """True where there is tracking behind the last glyph, which is no width of the line."""
        return bool(glyphs) and self._scripts[glyphs[-1].character_index] not in _CURSIVE_SCRIPTS

    def _split_runs(self, start: int, end: int) -> list[tuple[int, int]]:
        """What is of one script and one font."""
        kinds = list(zip(self._scripts, self._typeface_indices, strict=True))
        cuts = [place for place in range(start + 1, end) if kinds[place] != kinds[place - 1]]
        return list(zip([start, *cuts], [*cuts, end], strict=True))

    def _shape_run(self, first: int, last: int, rtl: bool, start: int, end: int) -> tuple[list[Glyph], float, str]:
        import uharfbuzz as hb

        script = self._scripts[first]
        buffer = hb.Buffer()
        letters = [ord(letter) for letter in self.text[start:end]]
        if letters[-1] == _SOFT_HYPHEN and end < len(self.text):
            letters[-1] = next(
                (hyphen for hyphen in _HYPHENS if self._typefaces[self._typeface_indices[first]].has_visible_glyph(chr(hyphen))),
                _SOFT_HYPHEN,
            )
        buffer.add_codepoints(letters, first - start, last - first)
        buffer.direction = "rtl" if rtl else "ltr"
        buffer.script = script
        if self._options.language:
            buffer.language = self._options.language
        buffer.guess_segment_properties()
        tracking = 0.0 if script in _CURSIVE_SCRIPTS else self._options.tracking
        off = dict.fromkeys(_LIGATURE_FEATURES, 0) if tracking else {}
        hb.shape(self._typefaces[self._typeface_indices[first]].hb_font, buffer, {**off, **self._options.features})
        return self._position_glyphs(buffer, first, last, start, tracking)

    def _position_glyphs(self, buffer: object, first: int, last: int, start: int, tracking: float) -> tuple[list[Glyph], float, str]:
        """Glyphs in em, what they advance together, and the characters there is no glyph for."""
        infos, positions = buffer.glyph_infos, buffer.glyph_positions  # type: ignore[attr-defined]
        chosen = self._typeface_indices[first]
        face = self._typefaces[chosen]
        em = face.units_per_em
        clusters = [info.cluster + start for info in infos]
        ends = dict(zip(sorted(set(clusters)), [*sorted(set(clusters))[1:], last], strict=True))
        made: list[Glyph] = []
        x, missing = 0.0, ""
        for number, (info, position) in enumerate(zip(infos, positions, strict=True)):
            place = clusters[number]
            if info.codepoint == 0:
                letters = self.text[place : ends[place]]
                missing += "".join(letter for letter in letters if not face.has_visible_glyph(letter)) or letters
            made.append(Glyph(info.codepoint, x + position.x_offset / em, position.y_offset / em, place, chosen))
            x += position.x_advance / em
            if number + 1 == len(clusters) or clusters[number + 1] != place:
                x += tracking
        return made, x, missing


def glyph_boxes(typefaces: Sequence[Typeface], glyphs: tuple[Glyph, ...]) -> NDArray[np.float64]:
    """Left, bottom, right and top of every glyph that has any ink, (n, 4) in em, y upwards."""
    boxes = []
    for glyph in glyphs:
        face = typefaces[glyph.typeface_index]
        extents = face.hb_font.get_glyph_extents(glyph.glyph_id)
        if extents is not None and extents.width and extents.height:
            left, top = glyph.x + extents.x_bearing / face.units_per_em, glyph.y + extents.y_bearing / face.units_per_em
            boxes.append((left, top + extents.height / face.units_per_em, left + extents.width / face.units_per_em, top))
    return np.array(boxes, np.float64).reshape(-1, 4)


def _resolve_scripts(text: str) -> list[str]:
    """The script of every character (ISO 15924); signs and marks go with what stands before them, at the start with what follows."""
    found = [_script_of(letter) for letter in text]
    known = next((script for script in found if script), "Latn")
    for place, script in enumerate(found):
        known = script or known
        found[place] = known
    return found


def _choose_typefaces(typefaces: Sequence[Typeface], text: str) -> list[int]:
    """The number of each character's font; marks and what is not seen go with what stands before them, where that font has them."""
    found: list[int] = []
    for letter in text:
        able = [number for number, face in enumerate(typefaces) if face.has_visible_glyph(letter)]
        leans = unicodedata.category(letter) in ("Mn", "Mc", "Me", "Cf", "Zs")
        if leans and found and (found[-1] in able or not able):
            found.append(found[-1])
        else:
            found.append(able[0] if able else 0)
    return found


@cache
def _script_of(letter: str) -> str:
    """Empty for what belongs to all scripts."""
    import uharfbuzz as hb

    if unicodedata.category(letter) in ("Mn", "Me"):
        return ""
    buffer = hb.Buffer()
    buffer.add_codepoints([ord(letter)])
    buffer.guess_segment_properties()
    told = buffer.script
    return "" if told in (None, "Zyyy", "Zinh", "Zzzz") else str(told)
