"""Checks of the text step's settings: sizes, features, axes and the text itself. Each raises ValueError with the accepted form."""

from __future__ import annotations

import re

from goldsmith.ops.text.named_colours import SrgbColour, parse_colour

# The value of a setting that the picture decides.
AUTO = "auto"
# px. Larger than any picture.
MAX_SIZE_PX = 20000.0
_FEATURE = re.compile(r"([+-]?)([A-Za-z0-9]{4})(?:=(\d{1,2}))?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(px|%)")
_BARE_NUMBER = re.compile(r"\d+(?:\.\d+)?")


class TextSize(str):
    """A size with its unit. Its own type tells the reader of a brief that a number is one of the ways to write it."""

    __slots__ = ()


def size_in_px(size: str, height: int) -> float:
    """Return a checked size in px, for a picture of ``height`` px."""
    number, unit = size.rstrip("px% "), size[-1]
    return float(number) / 100 * height if unit == "%" else float(number)


def parse_features(features: tuple[str, ...]) -> dict[str, int]:
    """Return checked features by tag: 0 off, 1 on, more: the number of the form."""
    matches = (_FEATURE.fullmatch(feature) for feature in features)
    return {match[2]: 0 if match[1] == "-" else int(match[3] or 1) for match in matches if match}


def check_colour(value: str) -> str:
    """Return the colour unchanged. Raises ValueError if it is not a colour."""
    parse_colour(value)
    return value


def check_colour_or_auto(value: str) -> str:
    """Return the colour, or ``auto``, unchanged. Raises ValueError if it is neither."""
    return value if value == AUTO else check_colour(value)


def colour_unless_auto(value: str) -> SrgbColour | None:
    """Return a checked colour, or None for ``auto``."""
    return None if value == AUTO else parse_colour(value)


def normalise_size(value: object) -> object:
    """Return a number, or a text that is only a number, as text in px, such as "64px"; any other value unchanged."""
    if isinstance(value, str):
        return f"{value.strip()}px" if _BARE_NUMBER.fullmatch(value.strip()) else value
    return f"{value:g}px" if isinstance(value, int | float) and not isinstance(value, bool) else value


def check_size(value: str) -> TextSize:
    """Return the size. Raises ValueError if it is not a size in px or per cent."""
    match = _SIZE.fullmatch(value)
    if not match or not 0 < float(match[1]) <= (MAX_SIZE_PX if match[2] == "px" else 100):
        raise ValueError(f'“{value[:20]}” is not a size: write px (64 or "64px", up to 20000) or per cent of the height ("8%", up to 100)')
    return TextSize(value)


def normalise_text(value: str) -> str:
    """Return the text with line feeds for its line breaks and spaces for tabs.

    Raises ValueError if it holds another control character or is empty.
    """
    value = value.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    control = next((letter for letter in value if ord(letter) < 32 and letter != "\n"), None)
    if control is not None:
        raise ValueError(f"the text holds a control character (U+{ord(control):04X})")
    if not value.strip():
        raise ValueError("the text is empty")
    return value


def check_feature(value: str) -> str:
    """Return the OpenType feature unchanged. Raises ValueError if it is not one."""
    if not _FEATURE.fullmatch(value):
        raise ValueError(f'“{value[:20]}” is not an OpenType feature: write "smcp", "-kern" or "ss01=2"')
    return value


def check_axes(axes: dict[str, float]) -> dict[str, float]:
    """Return the axes unchanged. Raises ValueError if a tag does not have four letters."""
    for tag in axes:
        if len(tag) != 4 or not tag.isascii() or not tag.isprintable():
            raise ValueError(f'“{tag[:20]}” is not an axis: its name has four letters, such as "wght"')
    return axes
