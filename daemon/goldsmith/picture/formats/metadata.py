"""Exif as raw bytes: read the few relevant tags, set them in place, and turn pixels upright."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

ORIENTATION_TAG, X_RESOLUTION_TAG, Y_RESOLUTION_TAG, RESOLUTION_UNIT_TAG = 0x0112, 0x011A, 0x011B, 0x0128
_SHORT, _RATIONAL = 3, 5
_MAX_ENTRIES = 4096
_EMPTY_EXIF = b"II*\0\x08\0\0\0" + b"\0\0" + b"\0\0\0\0"

TagValue = int | Fraction


@dataclass(frozen=True, slots=True)
class _Ifd:
    """The first directory of an Exif block: ``entry_offsets`` maps a tag to the offset of its 12 bytes."""

    byte_order: str
    offset: int
    count: int
    entry_offsets: dict[int, int]


def strip_exif_prefix(block: bytes | None) -> bytes | None:
    """Return the block without JPEG's ``Exif`` prefix, or None if it is not Exif."""
    if not block:
        return None
    result = block[6:] if block[:6] in (b"Exif\0\0", b"Exif\0\xff") else block
    return result if _parse_ifd(result) is not None else None


def read_orientation(exif: bytes | None) -> int:
    """Return the Exif orientation 1..8; 1 if there is none or it is invalid."""
    value = read_exif_tag(exif, ORIENTATION_TAG)
    return int(value) if value is not None and 1 <= value <= 8 else 1


def read_resolution(exif: bytes | None) -> tuple[float, float] | None:
    """Return the pixels per inch in the block's first directory, or None."""
    across, down = read_exif_tag(exif, X_RESOLUTION_TAG), read_exif_tag(exif, Y_RESOLUTION_TAG)
    unit = read_exif_tag(exif, RESOLUTION_UNIT_TAG)
    if across is None or down is None or unit == 1:
        return None
    scale = 2.54 if unit == 3 else 1.0
    return plausible_ppi(float(across) * scale, float(down) * scale)


def plausible_ppi(horizontal: float, vertical: float) -> tuple[float, float] | None:
    """Return the pair, or None if it is implausible (zero, negative, beyond any printer)."""
    return (horizontal, vertical) if 0.01 <= horizontal <= 1e6 and 0.01 <= vertical <= 1e6 else None


def read_exif_tag(exif: bytes | None, tag: int) -> TagValue | None:
    """Return the first value of a SHORT, LONG or RATIONAL in the first directory, or None."""
    ifd = _parse_ifd(exif) if exif else None
    if exif is None or ifd is None or tag not in ifd.entry_offsets:
        return None
    entry_offset = ifd.entry_offsets[tag]
    kind, _count = struct.unpack_from(ifd.byte_order + "HI", exif, entry_offset + 2)
    if kind == _SHORT:
        return int(struct.unpack_from(ifd.byte_order + "H", exif, entry_offset + 8)[0])
    value_offset = int(struct.unpack_from(ifd.byte_order + "I", exif, entry_offset + 8)[0])
    if kind == _RATIONAL and value_offset + 8 <= len(exif):
        numerator, denominator = struct.unpack_from(ifd.byte_order + "II", exif, value_offset)
        return Fraction(numerator, denominator) if denominator else None
    return value_offset if kind == 4 else None


def reset_orientation(exif: bytes | None) -> bytes | None:
    """Return the block with its orientation, if any, set to 1: the pixels were turned."""
    return with_tags(exif, {ORIENTATION_TAG: 1}) if exif and read_exif_tag(exif, ORIENTATION_TAG) is not None else exif


def with_resolution(exif: bytes | None, ppi: tuple[float, float] | None, *, creates_exif: bool) -> bytes | None:
    """Return the block with that ``ppi``; ``creates_exif``: also if there was none (for formats without another place for it)."""
    if ppi is None or (not creates_exif and read_exif_tag(exif, X_RESOLUTION_TAG) is None):
        return exif
    across, down = (Fraction(value).limit_denominator(10000) for value in ppi)
    return with_tags(exif or _EMPTY_EXIF, {X_RESOLUTION_TAG: across, Y_RESOLUTION_TAG: down, RESOLUTION_UNIT_TAG: 2})


def with_tags(exif: bytes, values: Mapping[int, TagValue]) -> bytes:
    """Return the block with these tags of its first directory set; everything else keeps its offset, maker notes included."""
    result = bytearray(exif)
    missing: dict[int, TagValue] = {}
    for tag, value in values.items():
        if not _set_in_place(result, tag, value):
            missing[tag] = value
    return _with_new_entries(bytes(result), missing) if missing else bytes(result)


def _set_in_place(exif: bytearray, tag: int, value: TagValue) -> bool:
    ifd = _parse_ifd(exif)
    if ifd is None or tag not in ifd.entry_offsets:
        return False
    entry_offset = ifd.entry_offsets[tag]
    kind, _count = struct.unpack_from(ifd.byte_order + "HI", exif, entry_offset + 2)
    if kind == _SHORT and isinstance(value, int):
        struct.pack_into(ifd.byte_order + "HH", exif, entry_offset + 8, value, 0)
        return True
    value_offset = int(struct.unpack_from(ifd.byte_order + "I", exif, entry_offset + 8)[0])
    if kind == _RATIONAL and isinstance(value, Fraction) and value_offset + 8 <= len(exif):
        struct.pack_into(ifd.byte_order + "II", exif, value_offset, value.numerator, value.denominator)
        return True
    return False


def _with_new_entries(exif: bytes, values: Mapping[int, TagValue]) -> bytes:
    """Return a longer first directory, written after everything else so that no other offset moves."""
    ifd = _parse_ifd(exif)
    if ifd is None:
        return exif
    entries = {tag: exif[entry_offset : entry_offset + 12] for tag, entry_offset in ifd.entry_offsets.items()}
    next_ifd = exif[ifd.offset + 2 + 12 * ifd.count : ifd.offset + 6 + 12 * ifd.count].ljust(4, b"\0")
    body = exif + b"\0" * (len(exif) % 2)
    tail = b""
    start = len(body) + 2 + 12 * len(set(entries) | set(values)) + 4
    for tag, value in values.items():
        if isinstance(value, int):
            entries[tag] = struct.pack(ifd.byte_order + "HHIHH", tag, _SHORT, 1, value, 0)
        else:
            entries[tag] = struct.pack(ifd.byte_order + "HHII", tag, _RATIONAL, 1, start + len(tail))
            tail += struct.pack(ifd.byte_order + "II", value.numerator, value.denominator)
    result = body[:4] + struct.pack(ifd.byte_order + "I", len(body)) + body[8:]
    return result + struct.pack(ifd.byte_order + "H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + next_ifd + tail


def _parse_ifd(exif: bytes | bytearray) -> _Ifd | None:
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(exif[:4]))
    if order is None or len(exif) < 10:
        return None
    ifd_offset = int(struct.unpack_from(order + "I", exif, 4)[0])
    if ifd_offset + 2 > len(exif):
        return None
    count = int(struct.unpack_from(order + "H", exif, ifd_offset)[0])
    if count > _MAX_ENTRIES or ifd_offset + 2 + 12 * count > len(exif):
        return None
    offsets = range(ifd_offset + 2, ifd_offset + 2 + 12 * count, 12)
    return _Ifd(order, ifd_offset, count, {struct.unpack_from(order + "H", exif, offset)[0]: offset for offset in offsets})


def apply_orientation(samples: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return stored pixels, (h, w, n) codes, upright for Exif orientation 1..8; a view."""
    if orientation >= 5:
        samples = np.swapaxes(samples, 0, 1)
    flip_rows, flip_columns = {2: (0, 1), 3: (1, 1), 4: (1, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}.get(orientation, (0, 0))
    return samples[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


def iptc_from_photoshop(block: bytes) -> bytes | None:
    """Return the IPTC records inside Photoshop image resources (a run of ``8BIM`` parts; resource 0x0404), or None."""
    offset = 0
    while block[offset : offset + 4] == b"8BIM" and offset + 12 <= len(block):
        resource = int.from_bytes(block[offset + 4 : offset + 6], "big")
        name_length = block[offset + 6] + 1
        offset += 6 + name_length + name_length % 2
        size = int.from_bytes(block[offset : offset + 4], "big")
        if resource == 0x0404:
            return block[offset + 4 : offset + 4 + size] or None
        offset += 4 + size + size % 2
    return None


def photoshop_from_iptc(iptc: bytes) -> bytes:
    """Return the IPTC records as one Photoshop image resource."""
    return b"8BIM\x04\x04\0\0" + struct.pack(">I", len(iptc)) + iptc + b"\0" * (len(iptc) % 2)
