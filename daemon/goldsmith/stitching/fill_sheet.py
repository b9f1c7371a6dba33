"""A sheet of the fills that were compared for one hole, so that a person can judge the choice."""

from __future__ import annotations

import io
from collections.abc import Mapping
from math import ceil

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.colour import convert_profile
from goldsmith.picture.picture import Picture, Pixels, freeze

# The longest side in px of one fill on the sheet; smaller ones are shown at 100 %.
MAX_CELL_SIDE = 900
_GAP, _CAPTION_HEIGHT, _QUALITY = 12, 60, 92
_BACKGROUND, _TEXT, _CHOSEN = (38, 38, 38), (232, 232, 232), (240, 178, 60)


def encode_sheet(sheet: NDArray[np.uint8]) -> bytes:
    """Return a sheet (h, w, 3), sRGB codes 0..255, as a JPEG."""
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(sheet).save(data, "JPEG", quality=_QUALITY)
    return data.getvalue()


def draw_fill_sheet(fills: Mapping[str, Pixels], captions: Mapping[str, str], picture: Picture) -> NDArray[np.uint8]:
    """Return a sheet (h, w, 3), sRGB codes 0..255, with the fills (h, w, c), 0..1, side by side at 100 %, each with its caption.

    The first is framed. picture: gives the profile of the fills' pixels.
    """
    from PIL import Image, ImageDraw, ImageFont

    cells = [(name, _to_srgb(pixels, picture)) for name, pixels in fills.items()]
    height, width = cells[0][1].shape[:2]
    font = ImageFont.load_default(13)
    column = max(width, *(ceil(font.getlength(line)) for caption in captions.values() for line in caption.splitlines()))
    sheet = Image.new("RGB", ((column + _GAP) * len(cells) + _GAP, height + _CAPTION_HEIGHT + 2 * _GAP), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for number, (name, pixels) in enumerate(cells):
        left = _GAP + number * (column + _GAP)
        if number == 0:
            draw.rectangle((left - 4, _GAP - 4, left + width + 3, _GAP + height + 3), fill=_CHOSEN)
        sheet.paste(Image.fromarray(pixels), (left, _GAP))
        draw.text((left, _GAP + height + 8), captions[name], fill=_TEXT if number else _CHOSEN, font=font)
    return np.asarray(sheet, dtype=np.uint8)


def _to_srgb(pixels: Pixels, picture: Picture) -> NDArray[np.uint8]:
    """Return the middle of the pixels (h, w, c), 0..1, as sRGB codes, uint8 (h, w, 3), at most ``MAX_CELL_SIDE`` px long."""
    top, left = (max((edge - MAX_CELL_SIDE) // 2, 0) for edge in pixels.shape[:2])
    part = pixels[top : top + MAX_CELL_SIDE, left : left + MAX_CELL_SIDE]
    srgb = convert_profile(Picture(freeze(part), icc=picture.icc), "srgb").pixels
    codes = np.round(np.clip(srgb, 0, 1) * 255).astype(np.uint8)
    return np.repeat(codes, 3, axis=2) if codes.shape[2] == 1 else codes
