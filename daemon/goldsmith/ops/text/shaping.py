"""Shaping: HarfBuzz turns each run of one direction and one script into glyphs, and the runs stand in the order in which they are seen."""

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

# Scripts whose letters are joined: tracking would tear their words apart.
_CURSIVE_SCRIPTS = frozenset({"Arab", "Syrc", "Mong", "Nkoo", "Mand", "Phlp", "Adlm", "Rohg", "Sogd", "Deva", "Beng", "Guru", "Ougr"})
# em. A line may differ this much from its part of the whole paragraph, because of trailing space and kerning.
_WIDTH_TOLERANCE = 0.6
# A soft hyphen is visible only at the end of a line.
_SOFT_HYPHEN, _HYPHENS = 0xAD, (0x2010, 0x2D)
_LIGATURE_FEATURES = ("liga", "clig")


class MissingGlyph(Exception):
    """Raised for characters that no typeface has a glyph for, in the order in which they occur."""

    def __init__(self, characters: str) -> None:
        super().__init__(characters)
        self.characters = characters


@dataclass(frozen=True, slots=True)
class ShapingOptions:
    """How text is shaped: features by tag (0 off, 1 on, more: the form), tracking in em, direction, and language (BCP 47)."""

    features: Mapping[str, int] = field(default_factory=dict)
    tracking: float = 0.0
    direction: bidi.Direction = "auto"
    language: str = ""


class Glyph(NamedTuple):
    """One glyph of a line, in em from the line's start on the baseline, y upwards."""

    glyph_id: int
    x: float
    y: float
    # Index in the paragraph of the character that it stands for.
    character_index: int
    # Number of its typeface.
    typeface_index: int = 0


class ShapedLine(NamedTuple):
    """A shaped line: its glyphs from left to right, and its width in em without trailing space."""

    glyphs: tuple[Glyph, ...]
    width: float
    # Embedding level of the paragraph: even if it runs left to right.
    base_level: int


class Paragraph:
    """One paragraph, shaped line by line. Each line is shaped once and then remembered.

    Each character is set in the first of the typefaces that has it.
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
        """Return ``text[start:end]`` as a line of its own. Raises MissingGlyph if no typeface has a character."""
        while end > start and (self.text[end - 1].isspace() or self.text[end - 1] == "\u200b"):
            end -= 1
        if (start, end) not in self._lines:
            self._lines[start, end] = self._shape(start, end)
        return self._lines[start, end]

    def fits(self, start: int, end: int, max_width: float) -> bool:
        """Return whether that line is at most ``max_width`` em wide.

        The width is estimated from the whole paragraph; the line is shaped only if the estimate is close to the limit.
        """
        if self._advance_sums is None:
            self._advance_sums = self._measure_advances()
        margin = float(self._advance_sums[end] - self._advance_sums[start]) - max_width
        return margin < 0 if abs(margin) > _WIDTH_TOLERANCE else self.shape_line(start, end).width <= max_width

    def _measure_advances(self) -> NDArray[np.float64]:
        """Return where each character would begin if all stood on one line in reading order: (n + 1,) in em."""
        line = self.shape_line(0, len(self.text))
        widths = np.diff([glyph.x for glyph in line.glyphs], append=line.width)
        advances = np.zeros(len(self.text))
        np.add.at(advances, [glyph.character_index for glyph in line.glyphs], widths)
        return np.concatenate([[0.0], np.cumsum(advances)])

    def _shape(self, start: int, end: int) -> ShapedLine:
        """Return ``text[start:end]``, without trailing space, as glyphs from left to right. Raises MissingGlyph."""
        glyphs: list[Glyph] = []
        x = 0.0
        missing = ""
        levels = bidi.line_levels(self.text, self._levels, start, end, self._base_level)
        for first, last, level in bidi.visual_runs(levels):
            parts = self._split_runs(start + first, start + last)
            for part in parts[::-1] if level % 2 else parts:
                run_glyphs, advance, run_missing = self._shape_run(*part, bool(level % 2), start, end)
                glyphs += [glyph._replace(x=glyph.x + x) for glyph in run_glyphs]
                x += advance
                missing += run_missing
        missing += "".join(letter for letter in self.text[start:end] if letter in self._empty_glyph_letters)
        if missing:
            raise MissingGlyph("".join(dict.fromkeys(missing)))
        return ShapedLine(tuple(glyphs), max(0.0, x - self._options.tracking * self._has_trailing_tracking(glyphs)), self._base_level)

    def _has_trailing_tracking(self, glyphs: list[Glyph]) -> bool:
        """Return whether tracking follows the last glyph. It does not count for the line's width."""
        return bool(glyphs) and self._scripts[glyphs[-1].character_index] not in _CURSIVE_SCRIPTS

    def _split_runs(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return the parts (start, end) of the text that are of one script and one typeface."""
        kinds = list(zip(self._scripts, self._typeface_indices, strict=True))
        cuts = [index for index in range(start + 1, end) if kinds[index] != kinds[index - 1]]
        return list(zip([start, *cuts], [*cuts, end], strict=True))

    def _shape_run(self, first: int, last: int, rtl: bool, start: int, end: int) -> tuple[list[Glyph], float, str]:
        """Return the glyphs of one run of the line ``start`` to ``end``, their total advance in em, and the characters without a glyph."""
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
        defaults = dict.fromkeys(_LIGATURE_FEATURES, 0) if tracking else {}
        hb.shape(self._typefaces[self._typeface_indices[first]].hb_font, buffer, {**defaults, **self._options.features})
        return self._position_glyphs(buffer, first, last, start, tracking)

    def _position_glyphs(self, buffer: object, first: int, last: int, start: int, tracking: float) -> tuple[list[Glyph], float, str]:
        """Return the glyphs in em, their total advance in em, and the characters without a glyph."""
        infos, positions = buffer.glyph_infos, buffer.glyph_positions  # type: ignore[attr-defined]
        typeface_index = self._typeface_indices[first]
        face = self._typefaces[typeface_index]
        em = face.units_per_em
        clusters = [info.cluster + start for info in infos]
        ends = dict(zip(sorted(set(clusters)), [*sorted(set(clusters))[1:], last], strict=True))
        glyphs: list[Glyph] = []
        x, missing = 0.0, ""
        for index, (info, position) in enumerate(zip(infos, positions, strict=True)):
            character_index = clusters[index]
            if info.codepoint == 0:
                letters = self.text[character_index : ends[character_index]]
                missing += "".join(letter for letter in letters if not face.has_visible_glyph(letter)) or letters
            glyphs.append(Glyph(info.codepoint, x + position.x_offset / em, position.y_offset / em, character_index, typeface_index))
            x += position.x_advance / em
            if index + 1 == len(clusters) or clusters[index + 1] != character_index:
                x += tracking
        return glyphs, x, missing


def glyph_boxes(typefaces: Sequence[Typeface], glyphs: tuple[Glyph, ...]) -> NDArray[np.float64]:
    """Return left, bottom, right and top of every glyph that has ink: (n, 4) in em, y upwards."""
    boxes = []
    for glyph in glyphs:
        face = typefaces[glyph.typeface_index]
        extents = face.hb_font.get_glyph_extents(glyph.glyph_id)
        if extents is not None and extents.width and extents.height:
            left, top = glyph.x + extents.x_bearing / face.units_per_em, glyph.y + extents.y_bearing / face.units_per_em
            boxes.append((left, top + extents.height / face.units_per_em, left + extents.width / face.units_per_em, top))
    return np.array(boxes, np.float64).reshape(-1, 4)


def _resolve_scripts(text: str) -> list[str]:
    """Return the script (ISO 15924) of every character.

    Common characters and marks take the script of the character before them; at the start, of the first character that has one.
    """
    scripts = [_script_of(letter) for letter in text]
    known = next((script for script in scripts if script), "Latn")
    for index, script in enumerate(scripts):
        known = script or known
        scripts[index] = known
    return scripts


def _choose_typefaces(typefaces: Sequence[Typeface], text: str) -> list[int]:
    """Return the typeface number of every character.

    Marks, spaces and invisible characters stay in the typeface of the character before them if it has them.
    """
    chosen: list[int] = []
    for letter in text:
        candidates = [number for number, face in enumerate(typefaces) if face.has_visible_glyph(letter)]
        follows = unicodedata.category(letter) in ("Mn", "Mc", "Me", "Cf", "Zs")
        if follows and chosen and (chosen[-1] in candidates or not candidates):
            chosen.append(chosen[-1])
        else:
            chosen.append(candidates[0] if candidates else 0)
    return chosen


@cache
def _script_of(letter: str) -> str:
    """Return the script of a character (ISO 15924), or "" if scripts share it."""
    import uharfbuzz as hb

    if unicodedata.category(letter) in ("Mn", "Me"):
        return ""
    buffer = hb.Buffer()
    buffer.add_codepoints([ord(letter)])
    buffer.guess_segment_properties()
    script = buffer.script
    return "" if script in (None, "Zyyy", "Zinh", "Zzzz") else str(script)
