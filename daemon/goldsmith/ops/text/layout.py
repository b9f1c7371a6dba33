"""Laying out lines: wrapped, balanced, fitted into a box and aligned. Lengths are em until the size is known, then px, y downwards."""

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
    """One line: the number of its paragraph, and its first and last character index (end excluded)."""

    paragraph: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TextLayout:
    """How lines are laid out."""

    align: Align = "center"
    valign: Valign = "middle"
    # From baseline to baseline, in em.
    leading: float = 1.2
    balance: bool = True
    # Degrees clockwise.
    rotate: float = 0.0
    # Room round the letters for a stroke or a panel, in em.
    ink_margin: float = 0.0


@dataclass(frozen=True, slots=True)
class TextBlock:
    """A block of lines in em, x from its left edge, y downwards from the first baseline."""

    # (number of the typeface, glyph id) of each glyph.
    glyph_ids: tuple[tuple[int, int], ...]
    # (n, 2): the origin of each glyph.
    positions: NDArray[np.float64]
    # The box of the lines: from the first line's top to the last line's bottom. It is aligned in the given box.
    line_box: Rect
    # All that is drawn, with ``ink_margin``.
    ink_box: Rect
    # The letters without ``ink_margin``.
    letters_box: Rect
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlacedText:
    """A block at its size. ``origin`` is the position of the block's (0, 0) in the picture, in px; ``ink_box`` holds all that is drawn."""

    block: TextBlock
    size: float
    origin: tuple[float, float]
    rotate: float
    ink_box: Rect


class Typesetter:
    """Sets text of several paragraphs at any size: in the first typeface and, for characters that it lacks, in the others.

    The first typeface gives the height of the lines. Raises MissingGlyph if no typeface has a character.
    """

    def __init__(self, typefaces: Sequence[Typeface], text: str, options: ShapingOptions, layout: TextLayout) -> None:
        self._typefaces = typefaces
        self._layout = layout
        self._paragraphs = [Paragraph(typefaces, line, options) for line in text.split("\n")]
        self._breaks = [break_opportunities(paragraph.text) for paragraph in self._paragraphs]
        for paragraph in self._paragraphs:
            paragraph.shape_line(0, len(paragraph.text))

    def set_at_size(self, size: float, box: Rect, *, align_ink: bool = False) -> PlacedText | None:
        """Return the text at ``size`` px in ``box``, or None if its ink does not fit.

        ``align_ink`` aligns the ink itself. Otherwise the lines' boxes are aligned, so that the baseline does not depend on the letters.
        """
        return self._try_size(size, box, align_ink, self._layout.balance and self._layout.align != "justify")

    def _try_size(self, size: float, box: Rect, align_ink: bool, balance: bool) -> PlacedText | None:
        """Return the text at ``size`` px in ``box``, or None if its ink does not fit."""
        is_horizontal = abs(math.cos(math.radians(self._layout.rotate))) > 0.5
        max_width = (box[2] if is_horizontal else box[3]) / size - 2 * self._layout.ink_margin
        block = self._build_block(max_width, balance)
        if self._layout.align == "justify" and block.letters_box[2] > max_width:
            block = self._build_block(2 * max_width - block.letters_box[2], balance)
        ink_bounds = _rotated_bounds(block.ink_box, self._layout.rotate)
        if ink_bounds[2] * size > box[2] + _EPSILON or ink_bounds[3] * size > box[3] + _EPSILON:
            return None
        aligned_bounds = _rotated_bounds(block.ink_box if align_ink else block.line_box, self._layout.rotate)
        x = box[0] + _alignment_fraction(self._layout.align) * (box[2] - aligned_bounds[2] * size) - aligned_bounds[0] * size
        y = box[1] + _alignment_fraction(self._layout.valign) * (box[3] - aligned_bounds[3] * size) - aligned_bounds[1] * size
        x = min(max(x, box[0] - ink_bounds[0] * size), box[0] + box[2] - (ink_bounds[0] + ink_bounds[2]) * size)
        y = min(max(y, box[1] - ink_bounds[1] * size), box[1] + box[3] - (ink_bounds[1] + ink_bounds[3]) * size)
        ink_box = (x + ink_bounds[0] * size, y + ink_bounds[1] * size, ink_bounds[2] * size, ink_bounds[3] * size)
        return PlacedText(block, size, (x, y), self._layout.rotate, ink_box)

    def set_largest(self, box: Rect, max_size: float) -> PlacedText | None:
        """Return the text at the largest size up to ``max_size`` px that fits into ``box``; None if not even 0.01 px fits."""
        low, high = 0.01, max_size
        placed = self.set_at_size(high, box, align_ink=True)
        if placed is not None:
            return placed
        placed = self._try_size(low, box, True, False)
        for _ in range(_SEARCH_STEPS if placed is not None else 0):
            middle = math.sqrt(low * high)
            attempt = self._try_size(middle, box, True, False)
            low, high, placed = (middle, high, attempt) if attempt is not None else (low, middle, placed)
        return placed and (self.set_at_size(placed.size, box, align_ink=True) or placed)

    def _wrap(self, max_width: float) -> list[LineSpan]:
        """Return the lines of each paragraph, broken where a line is full; a word that is longer than any line gets its own line."""
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
        """Return the same number of lines, as equal in width as possible."""
        if len(spans) == len(self._paragraphs):
            return spans
        low, high = 0.0, max_width
        for _ in range(12):
            middle = (low + high) / 2
            attempt = self._wrap(middle)
            fits = len(attempt) <= len(spans) and self._widest(attempt) <= self._widest(spans) + _EPSILON
            low, high, spans = (low, middle, attempt) if fits else (middle, high, spans)
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
            is_last = number + 1 == len(spans) or spans[number + 1].paragraph != span.paragraph
            aligned = line if is_last or self._layout.align != "justify" else self._justify(span, line, width)
            fraction = line.base_level % 2 if self._layout.align == "justify" else _alignment_fraction(self._layout.align)
            left, baseline = fraction * (width - aligned.width), number * self._layout.leading
            glyphs += [glyph._replace(x=glyph.x + left, y=glyph.y - baseline) for glyph in aligned.glyphs]
        return self._assemble_block(glyphs, width, spans)

    def _assemble_block(self, glyphs: list[Glyph], width: float, spans: list[LineSpan]) -> TextBlock:
        last = (len(spans) - 1) * self._layout.leading
        face, middle = self._typefaces[0], self._layout.valign == "middle"
        top, bottom = (face.cap_height, 0.0) if middle else (face.ascent, -face.descent)
        boxes = glyph_boxes(self._typefaces, tuple(glyphs))
        margin = self._layout.ink_margin
        letters_box = ink_box = (0.0, 0.0, 0.0, 0.0)
        if len(boxes):
            (left, low), (right, high) = boxes[:, :2].min(axis=0).tolist(), boxes[:, 2:].max(axis=0).tolist()
            letters_box = (left, -high, right - left, high - low)
            ink_box = (left - margin, -high - margin, right - left + 2 * margin, high - low + 2 * margin)
        positions = np.array([(glyph.x, -glyph.y) for glyph in glyphs], np.float64).reshape(-1, 2)
        texts = tuple(_display_text(self._paragraphs[span.paragraph].text, span) for span in spans)
        return TextBlock(
            tuple((glyph.typeface_index, glyph.glyph_id) for glyph in glyphs),
            positions,
            (0.0, -top, width, top + last + bottom),
            ink_box,
            letters_box,
            texts,
        )

    def _justify(self, span: LineSpan, line: ShapedLine, width: float) -> ShapedLine:
        """Return a line as wide as the block: the missing width is added to its spaces, or between its characters if it has no spaces."""
        text = self._paragraphs[span.paragraph].text
        gaps = [index for index in range(1, len(line.glyphs)) if text[line.glyphs[index - 1].character_index] in " \u3000"]
        gaps = gaps or [
            index for index in range(1, len(line.glyphs)) if line.glyphs[index].character_index != line.glyphs[index - 1].character_index
        ]
        if not gaps:
            return line
        added = (width - line.width) / len(gaps)
        glyphs = tuple(glyph._replace(x=glyph.x + added * sum(gap <= index for gap in gaps)) for index, glyph in enumerate(line.glyphs))
        return ShapedLine(glyphs, width, line.base_level)


def _display_text(text: str, span: LineSpan) -> str:
    """Return the words of a line, with a hyphen if the line ends with a soft one."""
    line = text[span.start : span.end].strip()
    return (line[:-1] + "-" if line.endswith("\u00ad") and span.end < len(text) else line).replace("\u00ad", "")


def _alignment_fraction(side: str) -> float:
    """Return the share of the free room that lies before the text, 0..1."""
    return {"left": 0.0, "top": 0.0, "justify": 0.0, "center": 0.5, "middle": 0.5}.get(side, 1.0)


def _rotated_bounds(box: Rect, degrees: float) -> Rect:
    """Return the upright box round a box that is turned clockwise about (0, 0)."""
    angle = math.radians(degrees)
    corners = [(box[0] + dx * box[2], box[1] + dy * box[3]) for dx in (0, 1) for dy in (0, 1)]
    points = [(x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)) for x, y in corners]
    left, top = min(x for x, _ in points), min(y for _, y in points)
    return left, top, max(x for x, _ in points) - left, max(y for _, y in points) - top
