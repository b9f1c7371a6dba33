"""Contact sheets: many pictures side by side on one page, each with its number and a caption."""

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
    """One picture of a sheet, with its caption lines below it, the first one larger. A selected picture is framed."""

    thumbnail: Thumbnail
    caption: tuple[str, ...]
    is_selected: bool = False


def thumbnail_side(count: int) -> int:
    """Return the side in px of the square for each picture, so that the sheet is about 2,000 px wide."""
    return min(480, 2000 // column_count(count) - _GAP)


def column_count(count: int) -> int:
    """Return the number of columns of a sheet with ``count`` pictures."""
    return min(9, max(1, ceil(sqrt(1.3 * count))))


def make_thumbnail(picture: Picture, side: int) -> Thumbnail:
    """Return the picture reduced to fit into a square, uint8 (h, w, 3), 0..255, in sRGB, with transparent parts on white.

    A small picture is not enlarged.
    """
    scale = min(1.0, side / max(picture.width, picture.height))
    small = resize_picture(picture, max(1, round(picture.height * scale)), max(1, round(picture.width * scale)))
    srgb = convert_profile(flatten(small), "srgb")
    pixels = np.repeat(srgb.pixels, 3, axis=2) if srgb.channels == 1 else srgb.pixels
    return np.asarray(np.round(np.clip(pixels, 0, 1) * 255), dtype=np.uint8)


def render_contact_sheet(cells: Sequence[ContactSheetCell], title: str) -> bytes:
    """Return the sheet as a JPEG: rows of cells under a title, in the given order."""
    return encode(draw_contact_sheet(cells, title), EncodingOptions(format="jpeg", quality=_QUALITY))


def draw_contact_sheet(cells: Sequence[ContactSheetCell], title: str) -> Picture:
    """Return the sheet as a picture, 8-bit sRGB: rows of cells under a title, in the given order."""
    from PIL import Image, ImageDraw

    side, columns = thumbnail_side(len(cells)), column_count(len(cells))
    width = columns * (side + _GAP) + _GAP
    blank = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    large, small = max(16, side // 17), max(13, side // 22)
    captions = [_caption_lines(blank, cell, large, small, side) for cell in cells]
    rows = [range(first, min(first + columns, len(cells))) for first in range(0, len(cells), columns)]
    row_heights = [max(cells[number].thumbnail.shape[0] for number in row) for row in rows]
    caption_heights = [max(sum(line.size + 4 for line in captions[number]) for number in row) for row in rows]
    page = Image.new(
        "RGB", (width, large * 3 + sum(row_heights) + sum(caption_heights) + len(rows) * (_GAP + 2 * _FRAME)), BACKGROUND_COLOUR
    )
    draw = ImageDraw.Draw(page)
    _CaptionLine(_truncate(blank, title, large, width - 2 * _GAP), large, TEXT_COLOUR).draw_at(draw, _GAP, large * 3 // 4)
    top = large * 3
    for row, row_height, caption_height in zip(rows, row_heights, caption_heights, strict=True):
        for column, number in enumerate(row):
            left = _GAP + column * (side + _GAP)
            _paste(page, draw, cells[number], left + (side - cells[number].thumbnail.shape[1]) // 2, top, row_height)
            baseline_top = top + row_height + _FRAME + 4
            for line in captions[number]:
                line.draw_at(draw, left, baseline_top)
                baseline_top += line.size + 4
        top += row_height + caption_height + _GAP + 2 * _FRAME
    pixels = np.asarray(page, dtype=np.float32) / np.float32(255)
    return Picture(freeze(pixels))


@dataclass(frozen=True, slots=True)
class _CaptionLine:
    """One line of text with its size in px and its colour."""

    text: str
    size: int
    colour: tuple[int, int, int]

    def draw_at(self, draw: ImageDraw, left: int, top: int) -> None:
        """Draw the line with its top left corner at (left, top), in px."""
        from PIL import ImageFont

        draw.text((left, top), self.text, fill=self.colour, font=ImageFont.load_default(self.size))


def _paste(page: Image, draw: ImageDraw, cell: ContactSheetCell, left: int, top: int, row_height: int) -> None:
    """Paste the picture on the row's lower edge, with a frame if it is selected."""
    from PIL import Image

    height, width = cell.thumbnail.shape[:2]
    above = top + row_height - height
    if cell.is_selected:
        draw.rectangle((left - _FRAME, above - _FRAME, left + width + _FRAME - 1, above + height + _FRAME - 1), fill=SELECTED_COLOUR)
    page.paste(Image.fromarray(cell.thumbnail), (left, above))


def _caption_lines(draw: ImageDraw, cell: ContactSheetCell, title_size: int, text_size: int, max_width: int) -> list[_CaptionLine]:
    """Return the cell's caption lines: the first one truncated, the others wrapped."""
    first, *others = cell.caption
    lines = [_CaptionLine(_truncate(draw, first, title_size, max_width), title_size, SELECTED_COLOUR if cell.is_selected else TEXT_COLOUR)]
    return lines + [
        _CaptionLine(part, text_size, MUTED_COLOUR) for other in others for part in _wrap_text(draw, other, text_size, max_width)
    ]


def _wrap_text(draw: ImageDraw, text: str, size: int, max_width: int) -> list[str]:
    """Return the text in lines of at most ``max_width`` px."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if _text_width(draw, longer, size) <= max_width:
            lines[-1] = longer
        else:
            lines.append(word)
    return [_truncate(draw, line, size, max_width) for line in lines if line]


def _truncate(draw: ImageDraw, text: str, size: int, max_width: int) -> str:
    """Return the text, shortened with an ellipsis if it is wider than ``max_width`` px."""
    if _text_width(draw, text, size) <= max_width:
        return text
    while text and _text_width(draw, text + "…", size) > max_width:
        text = text[:-1]
    return text + "…"


def _text_width(draw: ImageDraw, text: str, size: int) -> float:
    """Return the width of the text in px."""
    from PIL import ImageFont

    return draw.textlength(text, font=ImageFont.load_default(size))
