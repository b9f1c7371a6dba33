"""Write TIFF at 8 and 16 bits: deflate with horizontal predictor, in strips; readable by everything since 2002."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import numpy as np

from goldsmith.picture.formats.image_info import Samples
from goldsmith.picture.formats.table import WriterOptions
from goldsmith.picture.picture import Picture

_STRIP_BYTES = 1 << 20
# libdeflate's levels are 1 (fastest) to 12.
_FASTEST_LEVEL = 1
_SHORT, _LONG, _RATIONAL, _BYTE, _UNDEFINED = 3, 4, 5, 1, 7
_BLACK_IS_ZERO, _RGB, _SEPARATED = 1, 2, 5
_DESCRIPTIVE_TAGS = (270, 271, 272, 305, 306, 315, 33432)
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825


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
    directory = _build_directory(samples, picture, rows, offsets, [len(strip) for strip in strips])
    head = b"II*\0\x08\0\0\0" + bytes(directory.tobytes(8))  # Pillow counts strip offsets from the directory's end
    return head + b"".join(strip + b"\0" * (len(strip) % 2) for strip in strips)


def _compress_strip(band: Samples, level: int) -> bytes:
    import imagecodecs

    differences = band.astype(f"<u{band.dtype.itemsize}")
    np.subtract(band[:, 1:], band[:, :-1], out=differences[:, 1:])
    rows: Any = differences
    return bytes(imagecodecs.deflate_encode(rows, level=level))


def _build_directory(samples: Samples, picture: Picture, rows: int, offsets: list[int], sizes: list[int]) -> Any:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    height, width, channels = samples.shape
    result = ImageFileDirectory_v2(b"II*\0\x08\0\0\0")
    alpha = picture.alpha is not None

    def add_tag(code: int, kind: int, value: Any) -> None:
        result.tagtype[code] = kind
        result[code] = value

    _copy_exif_tags(picture, result)
    add_tag(256, _LONG, width)
    add_tag(257, _LONG, height)
    add_tag(258, _SHORT, (8 * samples.dtype.itemsize,) * channels)
    add_tag(259, _SHORT, 8)
    colours = channels - alpha
    add_tag(262, _SHORT, {1: _BLACK_IS_ZERO, 3: _RGB, 4: _SEPARATED}[colours])
    add_tag(273, _LONG, tuple(offsets))
    add_tag(277, _SHORT, channels)
    add_tag(278, _LONG, rows)
    add_tag(279, _LONG, tuple(sizes))
    add_tag(284, _SHORT, 1)
    add_tag(317, _SHORT, 2)
    if alpha:
        add_tag(338, _SHORT, 2)
    if colours == 4:
        add_tag(332, _SHORT, 1)  # the inks are CMYK
    if picture.ppi:
        add_tag(282, _RATIONAL, Fraction(picture.ppi[0]).limit_denominator(10000))
        add_tag(283, _RATIONAL, Fraction(picture.ppi[1]).limit_denominator(10000))
        add_tag(296, _SHORT, 2)
    for code, kind, block in ((700, _BYTE, picture.metadata.xmp), (33723, _BYTE, picture.metadata.iptc), (34675, _UNDEFINED, picture.icc)):
        if block:
            add_tag(code, kind, block)
    return result


def _copy_exif_tags(picture: Picture, directory: Any) -> None:
    """Copy the descriptive tags of the Exif block, and its Exif and GPS directories."""
    from PIL import Image

    if not picture.metadata.exif:
        return
    exif = Image.Exif()
    exif.load(picture.metadata.exif)
    for code in _DESCRIPTIVE_TAGS:
        if code in exif:
            directory[code] = exif[code]
    for code in (_EXIF_IFD, _GPS_IFD):
        if code in exif:
            directory[code] = dict(exif.get_ifd(code))
