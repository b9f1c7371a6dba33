"""Write AVIF at 8, 10 and 12 bits: imagecodecs encodes, and the container is written anew with profile, Exif and XMP.

No available library does both: Pillow writes 8 bits only, imagecodecs writes no profile.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from goldsmith.picture import profiles
from goldsmith.picture.formats.image_info import Samples
from goldsmith.picture.formats.iso_boxes import IsoBox, find_boxes, iter_boxes
from goldsmith.picture.formats.metadata import with_resolution
from goldsmith.picture.formats.table import WriterOptions
from goldsmith.picture.picture import Picture

# A constant number, because libaom's bytes depend on it.
_THREADS = 4
_SRGB_CODES, _P3_CODES, _UNSPECIFIED_CODES = (1, 13), (12, 13), (2, 2)
_BT601, _IDENTITY = 6, 0


@dataclass(frozen=True, slots=True)
class _IsoItem:
    """A picture or a metadata block in the file: its number, the rest of its ``infe``, and its bytes."""

    item_id: int
    infe_body: bytes
    payload: bytes


def write(samples: Samples, picture: Picture, options: WriterOptions) -> bytes:
    """Return ``samples`` (h, w, 1-4; uint8, or uint16 codes of ``options.depth`` bits; alpha last) as AVIF.

    A grey picture is written as grey (4:0:0).
    """
    import imagecodecs

    grey, lossless = picture.channels == 1, options.lossless
    if grey and not lossless:  # imagecodecs writes a single channel losslessly whatever the quality
        samples = np.concatenate([np.repeat(samples[:, :, :1], 3, axis=2), samples[:, :, 1:]], axis=2)
    is_srgb = picture.icc in (None, profiles.builtin_profile("srgb"), profiles.builtin_profile("grey-srgb"))
    is_p3 = picture.icc == profiles.builtin_profile("display-p3")
    codes = _SRGB_CODES if is_srgb else _P3_CODES if is_p3 else _UNSPECIFIED_CODES
    bare = imagecodecs.avif_encode(
        np.ascontiguousarray(samples[:, :, 0] if samples.shape[2] == 1 else samples),
        level=100 if lossless else min(options.quality, 99),  # 100 means lossless to libavif
        speed=10 - options.effort,
        bitspersample=options.depth,
        pixelformat="yuv400" if grey else "yuv444" if lossless or options.subsampling == "4:4:4" else "yuv420",
        primaries=codes[0],
        transfer=codes[1],
        matrix=_IDENTITY if lossless and not grey else _BT601,
        numthreads=_THREADS,
    )
    return _add_metadata(bytes(bare), picture)


def _add_metadata(bare: bytes, picture: Picture) -> bytes:
    exif = with_resolution(picture.metadata.exif, picture.ppi, creates_exif=True)
    pictures = _read_image_items(bare)
    extras = []
    if exif:
        extras.append(_IsoItem(len(pictures) + 1, b"Exif\0", b"\0\0\0\0" + exif))
    if picture.metadata.xmp:
        extras.append(_IsoItem(len(pictures) + len(extras) + 1, b"mime\0application/rdf+xml\0", picture.metadata.xmp))
    parts = {
        box.kind: bare[box.box_start : box.content_end]
        for box in iter_boxes(bare, find_boxes(bare, b"meta")[0].content_start + 4, find_boxes(bare, b"meta")[0].content_end)
    }
    items = [*pictures, *extras]
    properties = _make_iprp(bare, picture.icc)
    references = _make_iref(parts.get(b"iref"), pictures[0].item_id, extras)
    head = bare[: find_boxes(bare, b"meta")[0].box_start]

    def meta(first: int) -> bytes:
        return _make_box(
            b"meta", b"\0\0\0\0" + parts[b"hdlr"] + parts[b"pitm"] + _make_iloc(items, first) + _make_iinf(items) + references + properties
        )

    size = len(head) + len(meta(0)) + 8
    return head + meta(size) + _make_box(b"mdat", b"".join(item.payload for item in items))


def _make_box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def _read_image_items(bare: bytes) -> list[_IsoItem]:
    """Return the pictures in the file (colour, alpha) with their data, as libavif writes them: iloc version 0, 32-bit offsets, no bases."""
    iloc = find_boxes(bare, b"meta", b"iloc")[0]
    count = int.from_bytes(bare[iloc.content_start + 6 : iloc.content_start + 8], "big")
    iinf = find_boxes(bare, b"meta", b"iinf")[0]
    infos = [box for box in iter_boxes(bare, iinf.content_start + 6, iinf.content_end) if box.kind == b"infe"]
    result, position = [], iloc.content_start + 8
    for info in infos[:count]:
        number, _reference, extents = struct.unpack_from(">HHH", bare, position)
        spans = [struct.unpack_from(">II", bare, position + 6 + 8 * i) for i in range(extents)]
        payload = b"".join(bare[offset : offset + size] for offset, size in spans)
        result.append(_IsoItem(number, bare[info.content_start + 8 : info.content_end], payload))
        position += 6 + 8 * extents
    return result


def _make_iloc(items: list[_IsoItem], first_offset: int) -> bytes:
    body = b"\0\0\0\0\x44\0" + struct.pack(">H", len(items))
    for item in items:
        body += struct.pack(">HHHII", item.item_id, 0, 1, first_offset, len(item.payload))
        first_offset += len(item.payload)
    return _make_box(b"iloc", body)


def _make_iinf(items: list[_IsoItem]) -> bytes:
    rows = [_make_box(b"infe", struct.pack(">IHH", 0x02000000, item.item_id, 0) + item.infe_body) for item in items]
    return _make_box(b"iinf", b"\0\0\0\0" + struct.pack(">H", len(rows)) + b"".join(rows))


def _make_iref(existing_iref: bytes | None, image_item_id: int, metadata_items: list[_IsoItem]) -> bytes:
    body = existing_iref[12:] if existing_iref else b""
    for extra in metadata_items:
        body += _make_box(b"cdsc", struct.pack(">HHH", extra.item_id, 1, image_item_id))
    return _make_box(b"iref", b"\0\0\0\0" + body) if body else b""


def _make_iprp(bare: bytes, icc: bytes | None) -> bytes:
    """Return the file's properties with the profile as an additional one of the picture (the first in the table)."""
    property_boxes = find_boxes(bare, b"meta", b"iprp", b"ipco")[0]
    table: IsoBox = find_boxes(bare, b"meta", b"iprp", b"ipma")[0]
    properties, links = (
        bare[property_boxes.content_start : property_boxes.content_end],
        bytearray(bare[table.content_start : table.content_end]),
    )
    if icc:
        number = sum(1 for _ in iter_boxes(bare, property_boxes.content_start, property_boxes.content_end)) + 1
        properties += _make_box(b"colr", b"prof" + icc)
        count_position = 4 + 4 + 2
        links.insert(count_position + 1 + links[count_position], number)
        links[count_position] += 1
    return _make_box(b"iprp", _make_box(b"ipco", properties) + _make_box(b"ipma", bytes(links)))
