"""Lines into a block: wrapped, balanced, fitted into a box, aligned. Lengths in em until a size is known, then px, y downwards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.text.font import Typeface
from goldsmith.ops.text.line_breaking import break_opportunities
from goldsmith.ops.text.shaping import Glyph, Paragraph, ShapedLine, ShapingOptions, glyph_boxes

Align = Literal["left", "center", "right", "justify"]
Valign = Literal["top", "middle", "bottom"]
# Left, top, width and height, in px.
Rect = tuple[float, float, float, float]

_EPSILON = 1e-6
_SEARCH_STEPS = 30


class LineSpan(NamedTuple):
    """One line: which paragraph, and from where to where."""

    paragraph: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TextLayout:
    """How lines stand together. leading: from baseline to baseline in em; rim: what is drawn round the ink, in em."""

    align: Align = "center"
    valign: Valign = "middle"
    leading: float = 1.2
    balance: bool = True
    # Degrees clockwise.
    rotate: float = 0.0
    ink_margin: float = 0.0


@dataclass(frozen=True, slots=True)
class TextBlock:
    """A block of lines in em, x from its left edge, y downwards from the first baseline."""

    # Which font and which of its glyphs, one by one.
    glyph_ids: tuple[tuple[int, int], ...]
    # (n, 2): where each glyph's origin is.
    positions: NDArray[np.float64]
    # What is aligned in the box: the lines' own room.
    line_box: Rect
    # What is drawn, its rim included.
    ink_box: Rect
    # The letters alone.
    letters_box: Rect
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlacedText:
    """A block at its size: ``describe_origin`` is where (0, 0) of the block comes to lie, px; ``glyph_boxes`` the box that all of it keeps to."""

    block: TextBlock
    size: float
    origin: tuple[float, float]
    rotate: float
    ink_box: Rect


class Typesetter:
    """Text of several paragraphs, set at any size in the first of ``faces`` and, letter by letter, what it lacks in the others.

    The lines' room is the first font's. Raises Missing where none has a character.
    """

    def __init__(self, typefaces: Sequence[Typeface], text: str, options: ShapingOptions, layout: TextLayout) -> None:
        self._typefaces = typefaces
        self._layout = layout
        self._paragraphs = [Paragraph(typefaces, line, options) for line in text.split("\n")]
        self._breaks = [break_opportunities(paragraph.text) for paragraph in self._paragraphs]
        for paragraph in self._paragraphs:
            paragraph.shape_line(0, len(paragraph.text))

    def set_at_size(self, size: float, box: Rect, *, align_ink: bool = False) -> PlacedText | None:
        """The text at ``size`` px in ``box``, None where its ink does not go into it.

        ``tight`` aligns the ink itself; else the lines' own room, so that lines keep their place whatever letters they have.
        """
        return self._try_size(size, box, align_ink, self._layout.balance and self._layout.align != "justify")

    def _try_size(self, size: float, box: Rect, align_ink: bool, balance: bool) -> PlacedText | None:
        lying = abs(math.cos(math.radians(self._layout.rotate))) > 0.5
        room = (box[2] if lying else box[3]) / size - 2 * self._layout.ink_margin
        block = self._build_block(room, balance)
        if self._layout.align == "justify" and block.letters_box[2] > room:
            block = self._build_block(2 * room - block.letters_box[2], balance)
        outer = _rotated_bounds(block.ink_box, self._layout.rotate)
        if outer[2] * size > box[2] + _EPSILON or outer[3] * size > box[3] + _EPSILON:
            return None
        frame = _rotated_bounds(block.ink_box if align_ink else block.line_box, self._layout.rotate)
        x = box[0] + _alignment_fraction(self._layout.align) * (box[2] - frame[2] * size) - frame[0] * size
        y = box[1] + _alignment_fraction(self._layout.valign) * (box[3] - frame[3] * size) - frame[1] * size
        x = min(max(x, box[0] - outer[0] * size), box[0] + box[2] - (outer[0] + outer[2]) * size)
        y = min(max(y, box[1] - outer[1] * size), box[1] + box[3] - (outer[1] + outer[3]) * size)
        placed = (x + outer[0] * size, y + outer[1] * size, outer[2] * size, outer[3] * size)
        return PlacedText(block, size, (x, y), self._layout.rotate, placed)

    def set_largest(self, box: Rect, max_size: float) -> PlacedText | None:
        """The text at the largest size up to ``most`` px that goes into ``box``; None where not even a hundredth of a px does."""
        low, high = 0.01, max_size
        found = self.set_at_size(high, box, align_ink=True)
        if found is not None:
            return found
        found = self._try_size(low, box, True, False)
        for _ in range(_SEARCH_STEPS if found is not None else 0):
            middle = math.sqrt(low * high)
            tried = self._try_size(middle, box, True, False)
            low, high, found = (middle, high, tried) if tried is not None else (low, middle, found)
        return found and (self.set_at_size(found.size, box, align_ink=True) or found)

    def _wrap(self, max_width: float) -> list[LineSpan]:
        """Each paragraph broken where a line is full; a word that is too long for any line stands alone on one."""
        spans: list[LineSpan] = []
        for number, (paragraph, cuts) in enumerate(zip(self._paragraphs, self._breaks, strict=True)):
            start = end = 0
            for cut in cuts:
                if end > start and not paragraph.fits(start, cut, max_width + _EPSILON):
                    spans.append(LineSpan(number, start, end))
                    start = end
                end = cut
            spans.append(LineSpan(number, start, end))
        return spans

    def _balance_lines(self, spans: list[LineSpan], max_width: float) -> list[LineSpan]:
        """The same number of lines, as even as they can be."""
        if len(spans) == len(self._paragraphs):
            return spans
        low, high = 0.0, max_width
        for _ in range(12):
            middle = (low + high) / 2
            tried = self._wrap(middle)
            fits = len(tried) <= len(spans) and self._widest(tried) <= self._widest(spans) + _EPSILON
            low, high, spans = (low, middle, tried) if fits else (middle, high, spans)
        return spans

    def _shape_lines(self, spans: Sequence[LineSpan]) -> list[ShapedLine]:
        return [self._paragraphs[span.paragraph].shape_line(span.start, span.end) for span in spans]

    def _widest(self, spans: Sequence[LineSpan]) -> float:
        return max(line.width for line in self._shape_lines(spans))

    def _build_block(self, max_width: float, balance: bool) -> TextBlock:
        spans = self._wrap(max_width)
        if balance:
            spans = self._balance_lines(spans, max_width)
        lines = self._shape_lines(spans)
        widest = max(line.width for line in lines)
        width = max(max_width, widest) if self._layout.align == "justify" else widest
        glyphs: list[Glyph] = []
        for number, (span, line) in enumerate(zip(spans, lines, strict=True)):
            ends = number + 1 == len(spans) or spans[number + 1].paragraph != span.paragraph
            laid = line if ends or self._layout.align != "justify" else self._justify(span, line, width)
            share = line.base_level % 2 if self._layout.align == "justify" else _alignment_fraction(self._layout.align)
            left, down = share * (width - laid.width), number * self._layout.leading
            glyphs += [glyph._replace(x=glyph.x + left, y=glyph.y - down) for glyph in laid.glyphs]
        return self._assemble_block(glyphs, width, spans)

    def _assemble_block(self, glyphs: list[Glyph], width: float, spans: list[LineSpan]) -> TextBlock:
        last = (len(spans) - 1) * self._layout.leading
        face, middle = self._typefaces[0], self._layout.valign == "middle"
        top, bottom = (face.cap_height, 0.0) if middle else (face.ascent, -face.descent)
        drawn = glyph_boxes(self._typefaces, tuple(glyphs))
        rim = self._layout.ink_margin
        bare = box = (0.0, 0.0, 0.0, 0.0)
        if len(drawn):
            (left, low), (right, high) = drawn[:, :2].min(axis=0).tolist(), drawn[:, 2:].max(axis=0).tolist()
            bare = (left, -high, right - left, high - low)
            box = (left - rim, -high - rim, right - left + 2 * rim, high - low + 2 * rim)
        places = np.array([(glyph.x, -glyph.y) for glyph in glyphs], np.float64).reshape(-1, 2)
        texts = tuple(_display_text(self._paragraphs[span.paragraph].text, span) for span in spans)
        return TextBlock(
            tuple((glyph.typeface_index, glyph.glyph_id) for glyph in glyphs),
            places,
            (0.0, -top, width, top + last + bottom),
            box,
            bare,
            texts,
        )

    def _justify(self, span: LineSpan, line: ShapedLine, width: float) -> ShapedLine:
        """A line as wide as the block: what is wanting goes into its spaces, or where it has none between its characters."""
        text = self._paragraphs[span.paragraph].text
        gaps = [at for at in range(1, len(line.glyphs)) if text[line.glyphs[at - 1].character_index] in " \u3000"]
        gaps = gaps or [at for at in range(1, len(line.glyphs)) if line.glyphs[at].character_index != line.glyphs[at - 1].character_index]
        if not gaps:
            return line
        more = (width - line.width) / len(gaps)
        moved = tuple(glyph._replace(x=glyph.x + more * sum(gap <= at for gap in gaps)) for at, glyph in enumerate(line.glyphs))
        return ShapedLine(moved, width, line.base_level)


def _display_text(text: str, span: LineSpan) -> str:
    """The words of a line, with a hyphen where it ends with a soft one."""
    line = text[span.start : span.end].strip()
    return (line[:-1] + "-" if line.endswith("\u00ad") and span.end < len(text) else line).replace("\u00ad", "")


def _alignment_fraction(side: str) -> float:
    return {"left": 0.0, "top": 0.0, "justify": 0.0, "center": 0.5, "middle": 0.5}.get(side, 1.0)


def _rotated_bounds(box: Rect, degrees: float) -> Rect:
    """The upright box round one that was turned clockwise about (0, 0)."""
    angle = math.radians(degrees)
    corners = [(box[0] + dx * box[2], box[1] + dy * box[3]) for dx in (0, 1) for dy in (0, 1)]
    points = [(x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)) for x, y in corners]
    left, top = min(x for x, _ in points), min(y for _, y in points)
    return left, top, max(x for x, _ in points) - left, max(y for _, y in points) - top
