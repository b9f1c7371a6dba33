"""Lines into a block: wrapped, balanced, fitted into a box, aligned. Lengths in em until a size is known, then px, y downwards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.text.font import Typeface
from goldsmith.ops.text.line_breaking import opportunities
from goldsmith.ops.text.shaping import Glyph, Line, Manner, Paragraph, ink

Align = Literal["left", "center", "right", "justify"]
Valign = Literal["top", "middle", "bottom"]
Box = tuple[float, float, float, float]
"""Left, top, width and height, in px."""

_EPSILON = 1e-6
_STEPS = 30


class Span(NamedTuple):
    """One line: which paragraph, and from where to where."""

    paragraph: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Layout:
    """How lines stand together. leading: from baseline to baseline in em; rim: what is drawn round the ink, in em."""

    align: Align = "center"
    valign: Valign = "middle"
    leading: float = 1.2
    balance: bool = True
    rotate: float = 0.0
    """Degrees clockwise."""
    rim: float = 0.0


@dataclass(frozen=True, slots=True)
class Block:
    """A block of lines in em, x from its left edge, y downwards from the first baseline."""

    numbers: tuple[tuple[int, int], ...]
    """Which font and which of its glyphs, one by one."""
    places: NDArray[np.float64]
    """(n, 2): where each glyph's origin is."""
    frame: Box
    """What is aligned in the box: the lines' own room."""
    ink: Box
    """What is drawn, its rim included."""
    bare: Box
    """The letters alone."""
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """A block at its size: ``origin`` is where (0, 0) of the block comes to lie, px; ``ink`` the box that all of it keeps to."""

    block: Block
    size: float
    origin: tuple[float, float]
    rotate: float
    ink: Box


class Typesetter:
    """Text of several paragraphs, set at any size in the first of ``faces`` and, letter by letter, what it lacks in the others.

    The lines' room is the first font's. Raises Missing where none has a character.
    """

    def __init__(self, faces: Sequence[Typeface], text: str, manner: Manner, layout: Layout) -> None:
        self._faces = faces
        self._layout = layout
        self._paragraphs = [Paragraph(faces, line, manner) for line in text.split("\n")]
        self._cuts = [opportunities(paragraph.text) for paragraph in self._paragraphs]
        for paragraph in self._paragraphs:
            paragraph.line(0, len(paragraph.text))

    def at(self, size: float, box: Box, *, tight: bool = False) -> Placed | None:
        """The text at ``size`` px in ``box``, None where its ink does not go into it.

        ``tight`` aligns the ink itself; else the lines' own room, so that lines keep their place whatever letters they have.
        """
        return self._tried(size, box, tight, self._layout.balance and self._layout.align != "justify")

    def _tried(self, size: float, box: Box, tight: bool, balance: bool) -> Placed | None:
        lying = abs(math.cos(math.radians(self._layout.rotate))) > 0.5
        room = (box[2] if lying else box[3]) / size - 2 * self._layout.rim
        block = self._block(room, balance)
        if self._layout.align == "justify" and block.bare[2] > room:
            block = self._block(2 * room - block.bare[2], balance)
        outer = _turned(block.ink, self._layout.rotate)
        if outer[2] * size > box[2] + _EPSILON or outer[3] * size > box[3] + _EPSILON:
            return None
        frame = _turned(block.ink if tight else block.frame, self._layout.rotate)
        x = box[0] + _share(self._layout.align) * (box[2] - frame[2] * size) - frame[0] * size
        y = box[1] + _share(self._layout.valign) * (box[3] - frame[3] * size) - frame[1] * size
        x = min(max(x, box[0] - outer[0] * size), box[0] + box[2] - (outer[0] + outer[2]) * size)
        y = min(max(y, box[1] - outer[1] * size), box[1] + box[3] - (outer[1] + outer[3]) * size)
        placed = (x + outer[0] * size, y + outer[1] * size, outer[2] * size, outer[3] * size)
        return Placed(block, size, (x, y), self._layout.rotate, placed)

    def largest(self, box: Box, most: float) -> Placed | None:
        """The text at the largest size up to ``most`` px that goes into ``box``; None where not even a hundredth of a px does."""
        low, high = 0.01, most
        found = self.at(high, box, tight=True)
        if found is not None:
            return found
        found = self._tried(low, box, True, False)
        for _ in range(_STEPS if found is not None else 0):
            middle = math.sqrt(low * high)
            tried = self._tried(middle, box, True, False)
            low, high, found = (middle, high, tried) if tried is not None else (low, middle, found)
        return found and (self.at(found.size, box, tight=True) or found)

    def _wrapped(self, room: float) -> list[Span]:
        """Each paragraph broken where a line is full; a word that is too long for any line stands alone on one."""
        spans: list[Span] = []
        for number, (paragraph, cuts) in enumerate(zip(self._paragraphs, self._cuts, strict=True)):
            start = end = 0
            for cut in cuts:
                if end > start and not paragraph.goes(start, cut, room + _EPSILON):
                    spans.append(Span(number, start, end))
                    start = end
                end = cut
            spans.append(Span(number, start, end))
        return spans

    def _balanced(self, spans: list[Span], room: float) -> list[Span]:
        """The same number of lines, as even as they can be."""
        if len(spans) == len(self._paragraphs):
            return spans
        low, high = 0.0, room
        for _ in range(12):
            middle = (low + high) / 2
            tried = self._wrapped(middle)
            fits = len(tried) <= len(spans) and self._widest(tried) <= self._widest(spans) + _EPSILON
            low, high, spans = (low, middle, tried) if fits else (middle, high, spans)
        return spans

    def _lines(self, spans: Sequence[Span]) -> list[Line]:
        return [self._paragraphs[span.paragraph].line(span.start, span.end) for span in spans]

    def _widest(self, spans: Sequence[Span]) -> float:
        return max(line.width for line in self._lines(spans))

    def _block(self, room: float, balance: bool) -> Block:
        spans = self._wrapped(room)
        if balance:
            spans = self._balanced(spans, room)
        lines = self._lines(spans)
        widest = max(line.width for line in lines)
        width = max(room, widest) if self._layout.align == "justify" else widest
        glyphs: list[Glyph] = []
        for number, (span, line) in enumerate(zip(spans, lines, strict=True)):
            ends = number + 1 == len(spans) or spans[number + 1].paragraph != span.paragraph
            laid = line if ends or self._layout.align != "justify" else self._spread(span, line, width)
            share = line.level % 2 if self._layout.align == "justify" else _share(self._layout.align)
            left, down = share * (width - laid.width), number * self._layout.leading
            glyphs += [glyph._replace(x=glyph.x + left, y=glyph.y - down) for glyph in laid.glyphs]
        return self._as_block(glyphs, width, spans)

    def _as_block(self, glyphs: list[Glyph], width: float, spans: list[Span]) -> Block:
        last = (len(spans) - 1) * self._layout.leading
        face, middle = self._faces[0], self._layout.valign == "middle"
        top, bottom = (face.cap, 0.0) if middle else (face.ascent, -face.descent)
        drawn = ink(self._faces, tuple(glyphs))
        rim = self._layout.rim
        bare = box = (0.0, 0.0, 0.0, 0.0)
        if len(drawn):
            (left, low), (right, high) = drawn[:, :2].min(axis=0).tolist(), drawn[:, 2:].max(axis=0).tolist()
            bare = (left, -high, right - left, high - low)
            box = (left - rim, -high - rim, right - left + 2 * rim, high - low + 2 * rim)
        places = np.array([(glyph.x, -glyph.y) for glyph in glyphs], np.float64).reshape(-1, 2)
        texts = tuple(_as_seen(self._paragraphs[span.paragraph].text, span) for span in spans)
        return Block(
            tuple((glyph.face, glyph.number) for glyph in glyphs), places, (0.0, -top, width, top + last + bottom), box, bare, texts
        )

    def _spread(self, span: Span, line: Line, width: float) -> Line:
        """A line as wide as the block: what is wanting goes into its spaces, or where it has none between its characters."""
        text = self._paragraphs[span.paragraph].text
        gaps = [at for at in range(1, len(line.glyphs)) if text[line.glyphs[at - 1].place] in " \u3000"]
        gaps = gaps or [at for at in range(1, len(line.glyphs)) if line.glyphs[at].place != line.glyphs[at - 1].place]
        if not gaps:
            return line
        more = (width - line.width) / len(gaps)
        moved = tuple(glyph._replace(x=glyph.x + more * sum(gap <= at for gap in gaps)) for at, glyph in enumerate(line.glyphs))
        return Line(moved, width, line.level)


def _as_seen(text: str, span: Span) -> str:
    """The words of a line, with a hyphen where it ends with a soft one."""
    line = text[span.start : span.end].strip()
    return (line[:-1] + "-" if line.endswith("\u00ad") and span.end < len(text) else line).replace("\u00ad", "")


def _share(side: str) -> float:
    return {"left": 0.0, "top": 0.0, "justify": 0.0, "center": 0.5, "middle": 0.5}.get(side, 1.0)


def _turned(box: Box, degrees: float) -> Box:
    """The upright box round one that was turned clockwise about (0, 0)."""
    angle = math.radians(degrees)
    corners = [(box[0] + dx * box[2], box[1] + dy * box[3]) for dx in (0, 1) for dy in (0, 1)]
    points = [(x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)) for x, y in corners]
    left, top = min(x for x, _ in points), min(y for _, y in points)
    return left, top, max(x for x, _ in points) - left, max(y for _, y in points) - top
