"""Writing JPEG: libjpeg-turbo through OpenCV, progressive and with optimised tables, and our own application segments.

Not through Pillow: its buffer is too small for noisy pictures at high qualities, and then it raises.
"""

from __future__ import annotations

import struct
from typing import Literal

import numpy as np

from goldsmith.errors import Problem
from goldsmith.picture.formats.facts import Samples
from goldsmith.picture.formats.metadata import photoshop_of_iptc, with_resolution
from goldsmith.picture.picture import Plate

_ROOM = 65533
_ICC_ROOM = _ROOM - 14
_XMP = b"http://ns.adobe.com/xap/1.0/\0"


def write(samples: Samples, plate: Plate, quality: int, subsampling: Literal["4:4:4", "4:2:0"]) -> bytes:
    """``samples`` (h, w, 1 or 3; uint8) as a JPEG with the plate's profile and metadata; blocks too large for JPEG are left out."""
    import cv2

    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444 if subsampling == "4:4:4" else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    how = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    how += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    written, buffer = cv2.imencode(".jpg", np.ascontiguousarray(samples[:, :, ::-1]), how)
    if not written:
        raise Problem("The picture could not be written as JPEG.", "Choose another format.")
    made = bytes(buffer)
    begin = 2 + 2 + int.from_bytes(made[4:6], "big")  # OpenCV always begins with SOI and a JFIF segment; ours takes its place.
    return b"\xff\xd8" + b"".join(_segments(plate)) + made[begin:]


def write_inks(samples: Samples, plate: Plate, quality: int) -> bytes:
    """CMYK ``samples`` (h, w, 4; uint8, 0 = no ink) as a JPEG with the profile, resolution and metadata of ``plate``.

    Inverted, as all programs have written it since Photoshop did, under an Adobe segment, every ink at full resolution and for itself:
    as YCCK a sum of inks could come back far higher than it went in. Baseline: not every RIP reads a progressive one.
    """
    made = bare_inks(samples, quality)
    segments = _segments(plate, create=True)  # readers of CMYK look for the resolution in Exif: JFIF knows no inks
    return b"\xff\xd8" + b"".join(segments) + made[2:]


def bare_inks(samples: Samples, quality: int) -> bytes:
    """The same without profile, resolution and metadata: the Adobe segment comes first."""
    import imagecodecs

    inverted = np.ascontiguousarray(255 - samples)
    return bytes(imagecodecs.jpeg8_encode(inverted, level=quality, colorspace="cmyk", outcolorspace="cmyk", optimize=True))


def _segments(plate: Plate, create: bool = False) -> list[bytes]:
    across, down = (min(65535, max(1, round(value))) for value in plate.ppi) if plate.ppi else (1, 1)
    made = [_segment(0xE0, b"JFIF\0\x01\x01" + struct.pack(">BHHBB", 1 if plate.ppi else 0, across, down, 0, 0))]
    exif = with_resolution(plate.metadata.exif, plate.ppi, create=create)
    if exif and len(exif) + 6 <= _ROOM:
        made.append(_segment(0xE1, b"Exif\0\0" + exif))
    if plate.metadata.xmp and len(_XMP + plate.metadata.xmp) <= _ROOM:
        made.append(_segment(0xE1, _XMP + plate.metadata.xmp))
    if plate.metadata.iptc and len(plate.metadata.iptc) + 28 <= _ROOM:
        made.append(_segment(0xED, b"Photoshop 3.0\0" + photoshop_of_iptc(plate.metadata.iptc)))
    icc = plate.icc or b""
    parts = [icc[at : at + _ICC_ROOM] for at in range(0, len(icc), _ICC_ROOM)]
    if len(parts) <= 255:
        made += [_segment(0xE2, b"ICC_PROFILE\0" + bytes((i + 1, len(parts))) + part) for i, part in enumerate(parts)]
    return made


def _segment(code: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, len(body) + 2) + body
