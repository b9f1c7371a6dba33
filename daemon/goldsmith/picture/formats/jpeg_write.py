"""Write JPEG: libjpeg-turbo through OpenCV, progressive with optimised tables, and our own application segments.

Pillow is not used: its buffer is too small for noisy pictures at high qualities, and then it raises.
"""

from __future__ import annotations

import struct

import numpy as np

from goldsmith.errors import InputError
from goldsmith.picture.formats.image_info import Samples
from goldsmith.picture.formats.metadata import photoshop_from_iptc, with_resolution
from goldsmith.picture.formats.table import WriterOptions
from goldsmith.picture.metadata.extended_xmp import EXTENSION_SIGNATURE, split_packet
from goldsmith.picture.metadata.selection import shorten_exif, shorten_iptc
from goldsmith.picture.picture import Picture

_MAX_SEGMENT_BYTES = 65533
_MAX_ICC_PART_BYTES = _MAX_SEGMENT_BYTES - 14
_XMP = b"http://ns.adobe.com/xap/1.0/\0"


def write(samples: Samples, picture: Picture, options: WriterOptions) -> bytes:
    """Return ``samples`` (h, w, 1 or 3; uint8 codes) as a JPEG with the picture's profile and metadata.

    XMP that is too large for JPEG's segments gets an extension; Exif and IPTC that are too large keep what "rights" keeps.
    """
    import cv2

    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444 if options.subsampling == "4:4:4" else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    parameters = [cv2.IMWRITE_JPEG_QUALITY, options.quality, cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    parameters += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    is_written, buffer = cv2.imencode(".jpg", np.ascontiguousarray(samples[:, :, ::-1]), parameters)
    if not is_written:
        raise InputError("The picture could not be written as JPEG.", "Choose another format.")
    result = bytes(buffer)
    rest_start = 2 + 2 + int.from_bytes(result[4:6], "big")  # OpenCV always begins with SOI and a JFIF segment; ours replaces it
    return b"\xff\xd8" + b"".join(_metadata_segments(picture)) + result[rest_start:]


def write_cmyk(samples: Samples, picture: Picture, quality: int) -> bytes:
    """Return CMYK ``samples`` (h, w, 4; uint8 codes, 0 = no ink) as a JPEG with the profile, resolution and metadata of ``picture``.

    Inverted, as Photoshop and all other programs write it, after an Adobe segment, with every ink separate and at full resolution: as YCCK,
    a sum of inks could come back much higher. Baseline, because not every RIP reads progressive files.
    """
    result = write_bare_cmyk(samples, quality)
    segments = _metadata_segments(picture, creates_exif=True)  # readers of CMYK look for the resolution in Exif: JFIF does not know inks
    return b"\xff\xd8" + b"".join(segments) + result[2:]


def write_bare_cmyk(samples: Samples, quality: int) -> bytes:
    """Return the same, (h, w, 4; uint8 codes), without profile, resolution and metadata: the Adobe segment comes first."""
    import imagecodecs

    inverted = np.ascontiguousarray(255 - samples)
    return bytes(imagecodecs.jpeg8_encode(inverted, level=quality, colorspace="cmyk", outcolorspace="cmyk", optimize=True))


def _metadata_segments(picture: Picture, creates_exif: bool = False) -> list[bytes]:
    across, down = (min(65535, max(1, round(value))) for value in picture.ppi) if picture.ppi else (1, 1)
    result = [_make_segment(0xE0, b"JFIF\0\x01\x01" + struct.pack(">BHHBB", 1 if picture.ppi else 0, across, down, 0, 0))]
    exif = with_resolution(picture.metadata.exif, picture.ppi, creates_exif=creates_exif)
    exif = None if exif is None else shorten_exif(exif, _MAX_SEGMENT_BYTES - 6)
    if exif:
        result.append(_make_segment(0xE1, b"Exif\0\0" + exif))
    xmp, extension = (None, []) if picture.metadata.xmp is None else split_packet(picture.metadata.xmp, _MAX_SEGMENT_BYTES - len(_XMP))
    if xmp:
        result.append(_make_segment(0xE1, _XMP + xmp))
    result += [_make_segment(0xE1, EXTENSION_SIGNATURE + part) for part in extension]
    iptc = None if picture.metadata.iptc is None else shorten_iptc(picture.metadata.iptc, _MAX_SEGMENT_BYTES - 28)
    if iptc:
        result.append(_make_segment(0xED, b"Photoshop 3.0\0" + photoshop_from_iptc(iptc)))
    icc = picture.icc or b""
    parts = [icc[at : at + _MAX_ICC_PART_BYTES] for at in range(0, len(icc), _MAX_ICC_PART_BYTES)]
    if len(parts) <= 255:
        result += [_make_segment(0xE2, b"ICC_PROFILE\0" + bytes((i + 1, len(parts))) + part) for i, part in enumerate(parts)]
    return result


def _make_segment(code: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, len(body) + 2) + body
