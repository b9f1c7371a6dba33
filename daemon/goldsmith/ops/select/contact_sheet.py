"""Contact sheets: many pictures side by side, each with its number and what is said of it, to be looked at as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.codec import EncodingOptions, encode, flatten
from goldsmith.picture.colour import convert_profile
from goldsmith.picture.picture import Picture, freeze
from goldsmith.picture.resample import resize_picture

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

# uint8, (h, w, 3), sRGB.
Thumbnail = NDArray[np.uint8]

BACKGROUND_COLOUR = (38, 38, 38)
TEXT_COLOUR = (232, 232, 232)
MUTED_COLOUR = (150, 150, 150)
SELECTED_COLOUR = (240, 178, 60)
_GAP, _FRAME, _QUALITY = 16, 5, 88


@dataclass(frozen=True, slots=True)
class ContactSheetCell:
    """One picture of a sheet; ``fit_colour_lines`` stand under it, the first one larger. ``chosen`` ones are framed."""

    thumbnail: Thumbnail
    caption: tuple[str, ...]
    is_selected: bool = False


def thumbnail_side(count: int) -> int:
    """The side in px of the square that each of so many pictures gets, so that the sheet stays about 2,000 px wide."""
    return min(480, 2000 // column_count(count) - _GAP)


def column_count(count: int) -> int:
    return min(9, max(1, ceil(sqrt(1.3 * count))))


def make_thumbnail(picture: Picture, side: int) -> Thumbnail:
    """The picture as it is seen, shrunk to go into a square; what is transparent lies on white. Small pictures are not enlarged."""
    scale = min(1.0, side / max(picture.width, picture.height))
    small = resize_picture(picture, max(1, round(picture.height * scale)), max(1, round(picture.width * scale)))
    seen = convert_profile(flatten(small), "srgb")
    pixels = np.repeat(seen.pixels, 3, axis=2) if seen.channels == 1 else seen.pixels
    return np.asarray(np.round(np.clip(pixels, 0, 1) * 255), dtype=np.uint8)


def render_contact_sheet(cells: Sequence[ContactSheetCell], title: str) -> bytes:
    """The sheet as a JPEG: rows of cells under a title, in the order they are given."""
    from PIL import Image, ImageDraw

    side, across = thumbnail_side(len(cells)), column_count(len(cells))
    width = across * (side + _GAP) + _GAP
    blank = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    large, small = max(16, side // 17), max(13, side // 22)
    legends = [_caption_lines(blank, cell, large, small, side) for cell in cells]
    rows = [range(first, min(first + across, len(cells))) for first in range(0, len(cells), across)]
    tall = [max(cells[number].thumbnail.shape[0] for number in row) for row in rows]
    under = [max(sum(line.size + 4 for line in legends[number]) for number in row) for row in rows]
    page = Image.new("RGB", (width, large * 3 + sum(tall) + sum(under) + len(rows) * (_GAP + 2 * _FRAME)), BACKGROUND_COLOUR)
    draw = ImageDraw.Draw(page)
    _CaptionLine(_truncate(blank, title, large, width - 2 * _GAP), large, TEXT_COLOUR).draw_at(draw, _GAP, large * 3 // 4)
    top = large * 3
    for row, high, low in zip(rows, tall, under, strict=True):
        for place, number in enumerate(row):
            left = _GAP + place * (side + _GAP)
            _paste(page, draw, cells[number], left + (side - cells[number].thumbnail.shape[1]) // 2, top, high)
            down = top + high + _FRAME + 4
            for line in legends[number]:
                line.draw_at(draw, left, down)
                down += line.size + 4
        top += high + low + _GAP + 2 * _FRAME
    pixels = np.asarray(page, dtype=np.float32) / np.float32(255)
    return encode(Picture(freeze(pixels)), EncodingOptions(format="jpeg", quality=_QUALITY))


@dataclass(frozen=True, slots=True)
class _CaptionLine:
    text: str
    size: int
    colour: tuple[int, int, int]

    def draw_at(self, draw: ImageDraw, left: int, top: int) -> None:
        from PIL import ImageFont

        draw.text((left, top), self.text, fill=self.colour, font=ImageFont.load_default(self.size))


def _paste(page: Image, draw: ImageDraw, cell: ContactSheetCell, left: int, top: int, row_height: int) -> None:
    """The picture, standing on the row's lower edge, framed where it was chosen."""
    from PIL import Image

    height, width = cell.thumbnail.shape[:2]
    above = top + row_height - height
    if cell.is_selected:
        draw.rectangle((left - _FRAME, above - _FRAME, left + width + _FRAME - 1, above + height + _FRAME - 1), fill=SELECTED_COLOUR)
    page.paste(Image.fromarray(cell.thumbnail), (left, above))


def _caption_lines(draw: ImageDraw, cell: ContactSheetCell, title_size: int, text_size: int, max_width: int) -> list[_CaptionLine]:
    """The cell's lines, the first one on one line, the others wrapped."""
    first, *others = cell.caption
    lines = [_CaptionLine(_truncate(draw, first, title_size, max_width), title_size, SELECTED_COLOUR if cell.is_selected else TEXT_COLOUR)]
    return lines + [
        _CaptionLine(part, text_size, MUTED_COLOUR) for other in others for part in _wrap_text(draw, other, text_size, max_width)
    ]


def _wrap_text(draw: ImageDraw, text: str, size: int, max_width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if _text_width(draw, longer, size) <= max_width:
            lines[-1] = longer
        else:
            lines.append(word)
    return [_truncate(draw, line, size, max_width) for line in lines if line]


def _truncate(draw: ImageDraw, text: str, size: int, max_width: int) -> str:
    """As much of the text as has room, with an ellipsis where that is not all."""
    if _text_width(draw, text, size) <= max_width:
        return text
    while text and _text_width(draw, text + "…", size) > max_width:
        text = text[:-1]
    return text + "…"


def _text_width(draw: ImageDraw, text: str, size: int) -> float:
    from PIL import ImageFont

    return draw.textlength(text, font=ImageFont.load_default(size))
