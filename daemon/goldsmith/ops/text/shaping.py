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

_JOINED = frozenset({"Arab", "Syrc", "Mong", "Nkoo", "Mand", "Phlp", "Adlm", "Rohg", "Sogd", "Deva", "Beng", "Guru", "Ougr"})
"""Scripts whose letters hang together: to space them apart would tear words."""
_NEAR = 0.6
"""em: so much a line may differ from its part of the whole paragraph, by the space at its end and by kerning."""
_SOFT, _HYPHENS = 0xAD, (0x2010, 0x2D)
"""A soft hyphen is seen where a line ends with it, and nowhere else."""
_NOT_WITH_TRACKING = ("liga", "clig")


class Missing(Exception):
    """Characters that a font has no glyph for, in the order in which they came."""

    def __init__(self, letters: str) -> None:
        super().__init__(letters)
        self.letters = letters


@dataclass(frozen=True, slots=True)
class Manner:
    """How text is shaped: features by tag (0 off, 1 on, more = which one), space between letters in em, direction, language (BCP 47)."""

    features: Mapping[str, int] = field(default_factory=dict)
    tracking: float = 0.0
    direction: bidi.Direction = "auto"
    language: str = ""


class Glyph(NamedTuple):
    """One glyph of a line, in em from the line's start on the baseline, y upwards."""

    number: int
    x: float
    y: float
    place: int
    """The character it stands for, as a place in the paragraph."""
    face: int = 0
    """Which of the fonts it is of."""


class Line(NamedTuple):
    """A shaped line: its glyphs from left to right, and its width in em without the space at its end."""

    glyphs: tuple[Glyph, ...]
    width: float
    level: int
    """Even where the paragraph runs left to right."""


class Paragraph:
    """One paragraph, shaped line by line; every line is shaped once, however often it is asked for.

    Each character is set in the first of ``faces`` that has it.
    """

    def __init__(self, faces: Sequence[Typeface], text: str, manner: Manner) -> None:
        self.text = text
        self._faces = faces
        self._manner = manner
        self._base = bidi.base_level(text, manner.direction)
        self._levels = bidi.levels(text, self._base)
        self._scripts = _scripts(text)
        self._chosen = _chosen(faces, text)
        self._hollow = {letter for letter, number in set(zip(text, self._chosen, strict=True)) if faces[number].hollow(letter)}
        self._lines: dict[tuple[int, int], Line] = {}
        self._ends: NDArray[np.float64] | None = None

    def line(self, start: int, end: int) -> Line:
        """``text[start:end]`` as a line of its own. Raises Missing."""
        while end > start and (self.text[end - 1].isspace() or self.text[end - 1] == "\u200b"):
            end -= 1
        if (start, end) not in self._lines:
            self._lines[start, end] = self._shaped(start, end)
        return self._lines[start, end]

    def goes(self, start: int, end: int, room: float) -> bool:
        """True where that line is no wider than ``room``. Only a near thing is shaped: the rest is seen from the whole paragraph."""
        if self._ends is None:
            self._ends = self._measured()
        about = float(self._ends[end] - self._ends[start]) - room
        return about < 0 if abs(about) > _NEAR else self.line(start, end).width <= room

    def _measured(self) -> NDArray[np.float64]:
        """Where each character would begin if all stood on one line in the order in which they are read."""
        whole = self.line(0, len(self.text))
        wide = np.diff([glyph.x for glyph in whole.glyphs], append=whole.width)
        advances = np.zeros(len(self.text))
        np.add.at(advances, [glyph.place for glyph in whole.glyphs], wide)
        return np.concatenate([[0.0], np.cumsum(advances)])

    def _shaped(self, start: int, end: int) -> Line:
        glyphs: list[Glyph] = []
        x = 0.0
        missing = ""
        found = bidi.line_levels(self.text, self._levels, start, end, self._base)
        for first, last, level in bidi.visual_runs(found):
            parts = self._parts(start + first, start + last)
            for part in parts[::-1] if level % 2 else parts:
                made, advance, lost = self._run(*part, bool(level % 2), start, end)
                glyphs += [glyph._replace(x=glyph.x + x) for glyph in made]
                x += advance
                missing += lost
        missing += "".join(letter for letter in self.text[start:end] if letter in self._hollow)
        if missing:
            raise Missing("".join(dict.fromkeys(missing)))
        return Line(tuple(glyphs), max(0.0, x - self._manner.tracking * self._spaced(glyphs)), self._base)

    def _spaced(self, glyphs: list[Glyph]) -> bool:
        """True where there is tracking behind the last glyph, which is no width of the line."""
        return bool(glyphs) and self._scripts[glyphs[-1].place] not in _JOINED

    def _parts(self, start: int, end: int) -> list[tuple[int, int]]:
        """What is of one script and one font."""
        kinds = list(zip(self._scripts, self._chosen, strict=True))
        cuts = [place for place in range(start + 1, end) if kinds[place] != kinds[place - 1]]
        return list(zip([start, *cuts], [*cuts, end], strict=True))

    def _run(self, first: int, last: int, rtl: bool, start: int, end: int) -> tuple[list[Glyph], float, str]:
        import uharfbuzz as hb

        script = self._scripts[first]
        buffer = hb.Buffer()
        letters = [ord(letter) for letter in self.text[start:end]]
        if letters[-1] == _SOFT and end < len(self.text):
            letters[-1] = next((hyphen for hyphen in _HYPHENS if self._faces[self._chosen[first]].has(chr(hyphen))), _SOFT)
        buffer.add_codepoints(letters, first - start, last - first)
        buffer.direction = "rtl" if rtl else "ltr"
        buffer.script = script
        if self._manner.language:
            buffer.language = self._manner.language
        buffer.guess_segment_properties()
        tracking = 0.0 if script in _JOINED else self._manner.tracking
        off = dict.fromkeys(_NOT_WITH_TRACKING, 0) if tracking else {}
        hb.shape(self._faces[self._chosen[first]].font, buffer, {**off, **self._manner.features})
        return self._placed(buffer, first, last, start, tracking)

    def _placed(self, buffer: object, first: int, last: int, start: int, tracking: float) -> tuple[list[Glyph], float, str]:
        """Glyphs in em, what they advance together, and the characters there is no glyph for."""
        infos, positions = buffer.glyph_infos, buffer.glyph_positions  # type: ignore[attr-defined]
        chosen = self._chosen[first]
        face = self._faces[chosen]
        em = face.upem
        clusters = [info.cluster + start for info in infos]
        ends = dict(zip(sorted(set(clusters)), [*sorted(set(clusters))[1:], last], strict=True))
        made: list[Glyph] = []
        x, missing = 0.0, ""
        for number, (info, position) in enumerate(zip(infos, positions, strict=True)):
            place = clusters[number]
            if info.codepoint == 0:
                letters = self.text[place : ends[place]]
                missing += "".join(letter for letter in letters if not face.has(letter)) or letters
            made.append(Glyph(info.codepoint, x + position.x_offset / em, position.y_offset / em, place, chosen))
            x += position.x_advance / em
            if number + 1 == len(clusters) or clusters[number + 1] != place:
                x += tracking
        return made, x, missing


def ink(faces: Sequence[Typeface], glyphs: tuple[Glyph, ...]) -> NDArray[np.float64]:
    """Left, bottom, right and top of every glyph that has any ink, (n, 4) in em, y upwards."""
    boxes = []
    for glyph in glyphs:
        face = faces[glyph.face]
        extents = face.font.get_glyph_extents(glyph.number)
        if extents is not None and extents.width and extents.height:
            left, top = glyph.x + extents.x_bearing / face.upem, glyph.y + extents.y_bearing / face.upem
            boxes.append((left, top + extents.height / face.upem, left + extents.width / face.upem, top))
    return np.array(boxes, np.float64).reshape(-1, 4)


def _scripts(text: str) -> list[str]:
    """The script of every character (ISO 15924); signs and marks go with what stands before them, at the start with what follows."""
    found = [_script(letter) for letter in text]
    known = next((script for script in found if script), "Latn")
    for place, script in enumerate(found):
        known = script or known
        found[place] = known
    return found


def _chosen(faces: Sequence[Typeface], text: str) -> list[int]:
    """The number of each character's font; marks and what is not seen go with what stands before them, where that font has them."""
    found: list[int] = []
    for letter in text:
        able = [number for number, face in enumerate(faces) if face.has(letter)]
        leans = unicodedata.category(letter) in ("Mn", "Mc", "Me", "Cf", "Zs")
        if leans and found and (found[-1] in able or not able):
            found.append(found[-1])
        else:
            found.append(able[0] if able else 0)
    return found


@cache
def _script(letter: str) -> str:
    """Empty for what belongs to all scripts."""
    import uharfbuzz as hb

    if unicodedata.category(letter) in ("Mn", "Me"):
        return ""
    buffer = hb.Buffer()
    buffer.add_codepoints([ord(letter)])
    buffer.guess_segment_properties()
    told = buffer.script
    return "" if told in (None, "Zyyy", "Zinh", "Zzzz") else str(told)
