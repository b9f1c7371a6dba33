"""What Exif says about colour: the tag ColorSpace, and the interoperability index of cameras (Exif 3.0, 4.6.5 and 4.6.8; DCF 2.0)."""

from __future__ import annotations

import struct
from typing import NamedTuple

_EXIF_IFD, _COLOR_SPACE, _INTEROP_IFD, _INTEROP_INDEX = 0x8769, 0xA001, 0xA005, 0x0001
# 2 is in no standard, and has one meaning: Adobe RGB.
_SRGB, _ADOBE_RGB, _UNCALIBRATED = 1, 2, 65535
# DCF's basic file, which is sRGB, and its option file, which is Adobe RGB.
_SRGB_INDEX, _ADOBE_RGB_INDEX = b"R98\0", b"R03\0"
_MAX_ENTRIES = 4096


class _ExifColour(NamedTuple):
    """Byte order; the offsets of the Exif directory and of its entries for colour, 0 = none; their values."""

    byte_order: str
    directory: int
    color_space_at: int = 0
    color_space: int = 0
    interop_at: int = 0
    interop_index: bytes = b""


def is_adobe_rgb(exif: bytes | None) -> bool:
    """Return whether an Exif block says that pixels without a profile are Adobe RGB: index R03 and not sRGB, or colour space 2."""
    state = _read_colour(exif)
    return state is not None and (
        state.color_space == _ADOBE_RGB or (state.interop_index == _ADOBE_RGB_INDEX and state.color_space != _SRGB)
    )


def _read_colour(exif: bytes | None) -> _ExifColour | None:
    """Return the colour in the block; None if it has no Exif directory."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4]) if exif else None
    if exif is None or order is None or len(exif) < 10:
        return None
    first = _entry_offsets(exif, order, _read(exif, order + "I", 4))
    directory = _read(exif, order + "I", first[_EXIF_IFD] + 8) if _EXIF_IFD in first else 0
    entries = _entry_offsets(exif, order, directory)
    if not entries:
        return None
    color_space_at, interop_at = entries.get(_COLOR_SPACE, 0), entries.get(_INTEROP_IFD, 0)
    color_space = _read(exif, order + "H", color_space_at + 8) if color_space_at else 0
    interop = _entry_offsets(exif, order, _read(exif, order + "I", interop_at + 8)) if interop_at else {}
    index_at = interop.get(_INTEROP_INDEX)
    return _ExifColour(order, directory, color_space_at, color_space, interop_at, exif[index_at + 8 : index_at + 12] if index_at else b"")


def _read(exif: bytes | bytearray, kind: str, offset: int) -> int:
    return int(struct.unpack_from(kind, exif, offset)[0])


def _entry_offsets(exif: bytes, order: str, offset: int) -> dict[int, int]:
    """Return the offset of each entry of a directory by its tag; none if the directory is not in the block."""
    if offset < 8 or offset + 2 > len(exif):
        return {}
    count = _read(exif, order + "H", offset)
    if count > _MAX_ENTRIES or offset + 2 + 12 * count + 4 > len(exif) + 4:
        return {}
    return {_read(exif, order + "H", at): at for at in range(offset + 2, offset + 2 + 12 * count, 12)}
