"""Colours as a brief writes them: "#rrggbb", "#rgb" or one of eighteen common names."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from goldsmith.errors import InputError
from goldsmith.picture import colour
from goldsmith.picture.picture import Picture, freeze

_NAMED_COLOURS = {
    "black": "000000",
    "silver": "c0c0c0",
    "gray": "808080",
    "grey": "808080",
    "white": "ffffff",
    "maroon": "800000",
    "red": "ff0000",
    "purple": "800080",
    "fuchsia": "ff00ff",
    "green": "008000",
    "lime": "00ff00",
    "olive": "808000",
    "yellow": "ffff00",
    "navy": "000080",
    "blue": "0000ff",
    "teal": "008080",
    "aqua": "00ffff",
    "orange": "ffa500",
}
_HEX = re.compile(r"#([0-9a-fA-F]{6}|[0-9a-fA-F]{3})")

# Red, green and blue in sRGB, 0..255.
SrgbColour = tuple[int, int, int]


def parse_colour(text: str) -> SrgbColour:
    """Return the sRGB colour that the text names. Raises ValueError, with the accepted forms, if it names none."""
    match = _HEX.fullmatch(text)
    code = match[1] if match else _NAMED_COLOURS.get(text.strip().lower(), "")
    if not code:
        raise ValueError(f'“{text[:20]}” is not a colour: write "#rrggbb" or one of {", ".join(sorted(_NAMED_COLOURS))}')
    if len(code) == 3:
        code = "".join(letter * 2 for letter in code)
    return int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)


def is_neutral(rgb: SrgbColour) -> bool:
    """Return whether the colour is black, white or a grey."""
    return len(set(rgb)) == 1


def colour_in_profile(rgb: SrgbColour, icc: bytes | None, channels: int) -> NDArray[np.float32]:
    """Return an sRGB colour as display-encoded values (channels,), 0..1, in the profile; on a grey picture it must be neutral."""
    values = np.array(rgb, np.float32)[None, None] / np.float32(255)
    converted = colour.convert_profile(Picture(freeze(values[:, :, :channels])), icc).pixels if icc is not None else values[:, :, :channels]
    return np.asarray(converted[0, 0], np.float32)


def ensure_colour_channels(picture: Picture, colours: list[SrgbColour]) -> Picture:
    """Return the picture, with three channels if it is grey and one of the colours is not.

    Raises InputError if the picture has a grey profile.
    """
    if picture.channels == 3 or all(is_neutral(rgb) for rgb in colours):
        return picture
    if picture.icc is not None:
        raise InputError(
            f"The picture is grey, with the profile {colour.profile_name(picture.icc)}, and cannot take a colour.",
            "Use white, black or a grey, or convert the picture to RGB first.",
        )
    return picture.with_pixels(np.repeat(picture.pixels, 3, axis=2))
