"""What a brief may write of type: sizes, features, axes and the words themselves. Each raises ValueError with what could be written."""

from __future__ import annotations

import re

from goldsmith.ops.text.named_colours import parse_colour

# px: larger type than any picture has room for.
MAX_SIZE_PX = 20000.0
_FEATURE = re.compile(r"([+-]?)([A-Za-z0-9]{4})(?:=(\d{1,2}))?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(px|%)")


def size_in_px(size: str, height: int) -> float:
    """A size that was found readable, in px of a picture of that height."""
    number, unit = size.rstrip("px% "), size[-1]
    return float(number) / 100 * height if unit == "%" else float(number)


def parse_features(features: tuple[str, ...]) -> dict[str, int]:
    """Features that were found readable, by tag: 0 off, 1 on, more = which form."""
    found = (_FEATURE.fullmatch(feature) for feature in features)
    return {match[2]: 0 if match[1] == "-" else int(match[3] or 1) for match in found if match}


def check_colour(value: str) -> str:
    """A colour, as it was."""
    parse_colour(value)
    return value


def normalise_size(value: object) -> object:
    """A number is px; the rest is written out as "64px" or "8%"."""
    return f"{value:g}px" if isinstance(value, int | float) and not isinstance(value, bool) else value


def check_size(value: str) -> str:
    """A size, as it was."""
    found = _SIZE.fullmatch(value)
    if not found or not 0 < float(found[1]) <= (MAX_SIZE_PX if found[2] == "px" else 100):
        raise ValueError(f'“{value[:20]}” is no size: write px (64 or "64px", up to 20000) or per cent of the height ("8%", up to 100)')
    return value


def normalise_text(value: str) -> str:
    """Text with line feeds for its line breaks and nothing else unseen."""
    value = value.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    unseen = next((letter for letter in value if ord(letter) < 32 and letter != "\n"), None)
    if unseen is not None:
        raise ValueError(f"the text holds a control character (U+{ord(unseen):04X})")
    if not value.strip():
        raise ValueError("the text is empty")
    return value


def check_feature(value: str) -> str:
    """An OpenType feature, as it was."""
    if not _FEATURE.fullmatch(value):
        raise ValueError(f'“{value[:20]}” is no OpenType feature: write "smcp", "-kern" or "ss01=2"')
    return value


def check_axes(axes: dict[str, float]) -> dict[str, float]:
    """Axes by their four letters, as they were."""
    for tag in axes:
        if len(tag) != 4 or not tag.isascii() or not tag.isprintable():
            raise ValueError(f'“{tag[:20]}” is no axis: its name has four letters, such as "wght"')
    return axes
