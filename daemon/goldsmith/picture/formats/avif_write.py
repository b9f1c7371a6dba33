"""Writing AVIF at 8, 10 and 12 bits: imagecodecs encodes, and the file around it is written anew with profile, Exif and XMP.

Neither library at hand does both: Pillow writes 8 bits only, imagecodecs writes no profile.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

import numpy as np

from goldsmith.picture import profiles
from goldsmith.picture.formats.boxes import Box, boxes, found
from goldsmith.picture.formats.facts import Samples
from goldsmith.picture.formats.metadata import with_resolution
from goldsmith.picture.picture import Plate

_THREADS = 4
"""Always as many: libaom's bytes depend on it."""
_SRGB_CODES, _P3_CODES, _NO_CODES = (1, 13), (12, 13), (2, 2)
_BT601, _IDENTITY = 6, 0


@dataclass(frozen=True, slots=True)
class _Entry:
    """A picture or a block of metadata in the file: its number, what its ``infe`` says behind that, and its bytes."""

    number: int
    entry: bytes
    payload: bytes


def write(samples: Samples, plate: Plate, bits: int, quality: int, subsampling: Literal["4:4:4", "4:2:0"], effort: int) -> bytes:
    """``samples`` (h, w, 1-4; uint8, or uint16 codes of ``bits``; alpha last) as AVIF. Quality 100 is lossless.

    ``effort`` is 0 (quick) to 10. A grey picture is written as one (4:0:0).
    """
    import imagecodecs

    grey, lossless = plate.channels == 1, quality >= 100
    if grey and not lossless:  # given as one channel, imagecodecs writes it without loss whatever the quality
        samples = np.concatenate([np.repeat(samples[:, :, :1], 3, axis=2), samples[:, :, 1:]], axis=2)
    codes = _SRGB_CODES if plate.icc is None else _P3_CODES if plate.icc == profiles.named("display-p3") else _NO_CODES
    bare = imagecodecs.avif_encode(
        np.ascontiguousarray(samples[:, :, 0] if samples.shape[2] == 1 else samples),
        level=quality,
        speed=10 - effort,
        bitspersample=bits,
        pixelformat="yuv400" if grey else "yuv444" if lossless or subsampling == "4:4:4" else "yuv420",
        primaries=codes[0],
        transfer=codes[1],
        matrix=_IDENTITY if lossless and not grey else _BT601,
        numthreads=_THREADS,
    )
    return _with_extras(bytes(bare), plate)


def _with_extras(bare: bytes, plate: Plate) -> bytes:
    exif = with_resolution(plate.metadata.exif, plate.ppi, create=True)
    pictures = _pictures(bare)
    extras = []
    if exif:
        extras.append(_Entry(len(pictures) + 1, b"Exif\0", b"\0\0\0\0" + exif))
    if plate.metadata.xmp:
        extras.append(_Entry(len(pictures) + len(extras) + 1, b"mime\0application/rdf+xml\0", plate.metadata.xmp))
    parts = {box.kind: bare[box.at : box.end] for box in boxes(bare, found(bare, b"meta")[0].start + 4, found(bare, b"meta")[0].end)}
    every = [*pictures, *extras]
    properties = _properties(bare, plate.icc)
    references = _references(parts.get(b"iref"), pictures[0].number, extras)
    head = bare[: found(bare, b"meta")[0].at]

    def meta(first: int) -> bytes:
        return _box(
            b"meta", b"\0\0\0\0" + parts[b"hdlr"] + parts[b"pitm"] + _places(every, first) + _entries(every) + references + properties
        )

    size = len(head) + len(meta(0)) + 8
    return head + meta(size) + _box(b"mdat", b"".join(one.payload for one in every))


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def _pictures(bare: bytes) -> list[_Entry]:
    """The pictures in the file (colour, alpha), with their data. As libavif writes it: iloc version 0, 32-bit offsets, no bases."""
    place = found(bare, b"meta", b"iloc")[0]
    count = int.from_bytes(bare[place.start + 6 : place.start + 8], "big")
    entries = found(bare, b"meta", b"iinf")[0]
    infos = [box for box in boxes(bare, entries.start + 6, entries.end) if box.kind == b"infe"]
    made, at = [], place.start + 8
    for info in infos[:count]:
        number, _reference, extents = struct.unpack_from(">HHH", bare, at)
        spans = [struct.unpack_from(">II", bare, at + 6 + 8 * i) for i in range(extents)]
        payload = b"".join(bare[offset : offset + size] for offset, size in spans)
        made.append(_Entry(number, bare[info.start + 8 : info.end], payload))
        at += 6 + 8 * extents
    return made


def _places(every: list[_Entry], first: int) -> bytes:
    body = b"\0\0\0\0\x44\0" + struct.pack(">H", len(every))
    for one in every:
        body += struct.pack(">HHHII", one.number, 0, 1, first, len(one.payload))
        first += len(one.payload)
    return _box(b"iloc", body)


def _entries(every: list[_Entry]) -> bytes:
    rows = [_box(b"infe", struct.pack(">IHH", 0x02000000, one.number, 0) + one.entry) for one in every]
    return _box(b"iinf", b"\0\0\0\0" + struct.pack(">H", len(rows)) + b"".join(rows))


def _references(before: bytes | None, picture: int, extras: list[_Entry]) -> bytes:
    body = before[12:] if before else b""
    for extra in extras:
        body += _box(b"cdsc", struct.pack(">HHH", extra.number, 1, picture))
    return _box(b"iref", b"\0\0\0\0" + body) if body else b""


def _properties(bare: bytes, icc: bytes | None) -> bytes:
    """The file's properties, and the profile as one more that belongs to the picture (the first in the table)."""
    known = found(bare, b"meta", b"iprp", b"ipco")[0]
    table: Box = found(bare, b"meta", b"iprp", b"ipma")[0]
    whole, links = bare[known.start : known.end], bytearray(bare[table.start : table.end])
    if icc:
        number = sum(1 for _ in boxes(bare, known.start, known.end)) + 1
        whole += _box(b"colr", b"prof" + icc)
        count_at = 4 + 4 + 2
        links.insert(count_at + 1 + links[count_at], number)
        links[count_at] += 1
    return _box(b"iprp", _box(b"ipco", whole) + _box(b"ipma", bytes(links)))
