"""Contact sheets: many pictures side by side, each with its number and what is said of it, to be looked at as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.codec import Encoding, encode, flattened
from goldsmith.picture.colour import converted
from goldsmith.picture.picture import Plate, frozen
from goldsmith.picture.resample import resized_plate

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

Thumb = NDArray[np.uint8]
"""uint8, (h, w, 3), sRGB."""

GROUND = (38, 38, 38)
TEXT = (232, 232, 232)
QUIET = (150, 150, 150)
CHOSEN = (240, 178, 60)
_GAP, _FRAME, _QUALITY = 16, 5, 88


@dataclass(frozen=True, slots=True)
class Cell:
    """One picture of a sheet; ``lines`` stand under it, the first one larger. ``chosen`` ones are framed."""

    picture: Thumb
    lines: tuple[str, ...]
    chosen: bool = False


def thumb_side(count: int) -> int:
    """The side in px of the square that each of so many pictures gets, so that the sheet stays about 2,000 px wide."""
    return min(480, 2000 // columns(count) - _GAP)


def columns(count: int) -> int:
    return min(9, max(1, ceil(sqrt(1.3 * count))))


def thumbnail(plate: Plate, side: int) -> Thumb:
    """The plate as it is seen, shrunk to go into a square; what is transparent lies on white. Small pictures are not enlarged."""
    scale = min(1.0, side / max(plate.width, plate.height))
    small = resized_plate(plate, max(1, round(plate.height * scale)), max(1, round(plate.width * scale)))
    seen = converted(flattened(small), "srgb")
    pixels = np.repeat(seen.pixels, 3, axis=2) if seen.channels == 1 else seen.pixels
    return np.asarray(np.round(np.clip(pixels, 0, 1) * 255), dtype=np.uint8)


def sheet(cells: Sequence[Cell], title: str) -> bytes:
    """The sheet as a JPEG: rows of cells under a title, in the order they are given."""
    from PIL import Image, ImageDraw

    side, across = thumb_side(len(cells)), columns(len(cells))
    width = across * (side + _GAP) + _GAP
    blank = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    large, small = max(16, side // 17), max(13, side // 22)
    legends = [_legend(blank, cell, large, small, side) for cell in cells]
    rows = [range(first, min(first + across, len(cells))) for first in range(0, len(cells), across)]
    tall = [max(cells[number].picture.shape[0] for number in row) for row in rows]
    under = [max(sum(line.size + 4 for line in legends[number]) for number in row) for row in rows]
    page = Image.new("RGB", (width, large * 3 + sum(tall) + sum(under) + len(rows) * (_GAP + 2 * _FRAME)), GROUND)
    draw = ImageDraw.Draw(page)
    _Line(_cut(blank, title, large, width - 2 * _GAP), large, TEXT).write(draw, _GAP, large * 3 // 4)
    top = large * 3
    for row, high, low in zip(rows, tall, under, strict=True):
        for place, number in enumerate(row):
            left = _GAP + place * (side + _GAP)
            _paste(page, draw, cells[number], left + (side - cells[number].picture.shape[1]) // 2, top, high)
            down = top + high + _FRAME + 4
            for line in legends[number]:
                line.write(draw, left, down)
                down += line.size + 4
        top += high + low + _GAP + 2 * _FRAME
    pixels = np.asarray(page, dtype=np.float32) / np.float32(255)
    return encode(Plate(frozen(pixels)), Encoding(format="jpeg", quality=_QUALITY))


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    size: int
    tone: tuple[int, int, int]

    def write(self, draw: ImageDraw, left: int, top: int) -> None:
        from PIL import ImageFont

        draw.text((left, top), self.text, fill=self.tone, font=ImageFont.load_default(self.size))


def _paste(page: Image, draw: ImageDraw, cell: Cell, left: int, top: int, high: int) -> None:
    """The picture, standing on the row's lower edge, framed where it was chosen."""
    from PIL import Image

    height, width = cell.picture.shape[:2]
    above = top + high - height
    if cell.chosen:
        draw.rectangle((left - _FRAME, above - _FRAME, left + width + _FRAME - 1, above + height + _FRAME - 1), fill=CHOSEN)
    page.paste(Image.fromarray(cell.picture), (left, above))


def _legend(draw: ImageDraw, cell: Cell, large: int, small: int, room: int) -> list[_Line]:
    """The cell's lines, the first one on one line, the others wrapped."""
    first, *others = cell.lines
    lines = [_Line(_cut(draw, first, large, room), large, CHOSEN if cell.chosen else TEXT)]
    return lines + [_Line(part, small, QUIET) for other in others for part in _wrapped(draw, other, small, room)]


def _wrapped(draw: ImageDraw, text: str, size: int, room: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if _length(draw, longer, size) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return [_cut(draw, line, size, room) for line in lines if line]


def _cut(draw: ImageDraw, text: str, size: int, room: int) -> str:
    """As much of the text as has room, with an ellipsis where that is not all."""
    if _length(draw, text, size) <= room:
        return text
    while text and _length(draw, text + "…", size) > room:
        text = text[:-1]
    return text + "…"


def _length(draw: ImageDraw, text: str, size: int) -> float:
    from PIL import ImageFont

    return draw.textlength(text, font=ImageFont.load_default(size))
