"""Write TIFF at 8 and 16 bits: deflate with horizontal predictor, in strips; readable by everything since 2002."""

from __future__ import annotations

import struct
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from goldsmith.picture.formats.image_info import Samples
from goldsmith.picture.formats.table import WriterOptions
from goldsmith.picture.metadata.exif_block import ExifBlock, ExifEntry, read_exif, with_byte_order
from goldsmith.picture.picture import Picture

_STRIP_BYTES = 1 << 20
# libdeflate's levels are 1 (fastest) to 12.
_FASTEST_LEVEL = 1
_SHORT, _LONG, _RATIONAL, _BYTE, _UNDEFINED = 3, 4, 5, 1, 7
_BLACK_IS_ZERO, _RGB, _SEPARATED = 1, 2, 5
# As in the reader: what describes the picture rather than its bytes.
_DESCRIPTIVE_TAGS = (269, 270, 271, 272, 305, 306, 315, 316, 18246, 18249, *range(40091, 40096), 33432)


def write(samples: Samples, picture: Picture, options: WriterOptions) -> bytes:
    """Return ``samples`` (h, w, 1-4; uint8 or uint16 codes, alpha last) as a little-endian TIFF with the picture's profile and metadata.

    Four channels without alpha are CMYK, 0 = no ink; ``picture`` then only gives profile, resolution and metadata.
    """
    height, width, channels = samples.shape
    rows = max(1, _STRIP_BYTES // (width * channels * samples.dtype.itemsize))
    with ThreadPoolExecutor(2) as pool:
        level = _FASTEST_LEVEL + options.effort
        strips = list(pool.map(lambda top: _compress_strip(samples[top : top + rows], level), range(0, height, rows)))
    offsets, next_offset = [], 0
    for strip in strips:
        offsets.append(next_offset)
        next_offset += len(strip) + len(strip) % 2
    if next_offset > 0xFFF00000:
        raise ValueError("the picture is too large for a TIFF of 4 GB")
    head = _build_head(samples, picture, rows, offsets, [len(strip) for strip in strips])
    return head + b"".join(strip + b"\0" * (len(strip) % 2) for strip in strips)


def _compress_strip(band: Samples, level: int) -> bytes:
    import imagecodecs

    differences = band.astype(f"<u{band.dtype.itemsize}")
    np.subtract(band[:, 1:], band[:, :-1], out=differences[:, 1:])
    rows: Any = differences
    return bytes(imagecodecs.deflate_encode(rows, level=level))


def _build_head(samples: Samples, picture: Picture, rows: int, offsets: list[int], sizes: list[int]) -> bytes:
    """Return the file's bytes up to the first strip: the directory with everything that it refers to."""
    exif = None if picture.metadata.exif is None else read_exif(picture.metadata.exif)
    block = ExifBlock() if exif is None else with_byte_order(exif, "<")
    block.image = {tag: entry for tag, entry in block.image.items() if tag in _DESCRIPTIVE_TAGS}
    block.image |= _picture_tags(samples, picture, rows)
    block.image[279] = _numbers("I", *sizes)
    block.image[273] = _numbers("I", *offsets)
    head_size = _padded_size(block.to_bytes())
    block.image[273] = _numbers("I", *(offset + head_size for offset in offsets))
    return (block.to_bytes() or b"").ljust(head_size, b"\0")


def _padded_size(data: bytes | None) -> int:
    size = len(data or b"")
    return size + size % 2


def _picture_tags(samples: Samples, picture: Picture, rows: int) -> dict[int, ExifEntry]:
    """Return the tags that describe the pixels, and the blocks that have a tag of their own."""
    height, width, channels = samples.shape
    colours = channels - (picture.alpha is not None)
    result = {
        256: _numbers("I", width),
        257: _numbers("I", height),
        258: _numbers("H", *[8 * samples.dtype.itemsize] * channels),
        259: _numbers("H", 8),
        262: _numbers("H", {1: _BLACK_IS_ZERO, 3: _RGB, 4: _SEPARATED}[colours]),
        274: _numbers("H", 1),
        277: _numbers("H", channels),
        278: _numbers("I", rows),
        284: _numbers("H", 1),
        317: _numbers("H", 2),
    }
    if picture.alpha is not None:
        result[338] = _numbers("H", 2)
    if colours == 4:
        result[332] = _numbers("H", 1)  # the inks are CMYK
    if picture.ppi:
        result |= {code: _rational(value) for code, value in zip((282, 283), picture.ppi, strict=True)}
        result[296] = _numbers("H", 2)
    for code, kind, data in ((700, _BYTE, picture.metadata.xmp), (33723, _BYTE, picture.metadata.iptc), (34675, _UNDEFINED, picture.icc)):
        if data:
            result[code] = ExifEntry(kind, len(data), data)
    return result


def _numbers(code: Literal["H", "I"], *values: int) -> ExifEntry:
    return ExifEntry({"H": _SHORT, "I": _LONG}[code], len(values), struct.pack(f"<{len(values)}{code}", *values))


def _rational(value: float) -> ExifEntry:
    fraction = Fraction(value).limit_denominator(10000)
    return ExifEntry(_RATIONAL, 1, struct.pack("<II", fraction.numerator, fraction.denominator))
