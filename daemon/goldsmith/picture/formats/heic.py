"""Read HEIC through pillow-heif, if it is installed (``goldsmith[heic]``): libheif turns the picture upright by itself."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np

from goldsmith.errors import InputError
from goldsmith.picture.formats.avif import read_cicp_profile
from goldsmith.picture.formats.image_info import PROVENANCE_NOTE, ImageHeader, Samples, check_size
from goldsmith.picture.formats.iso_boxes import check_complete, has_provenance
from goldsmith.picture.formats.metadata import read_resolution, reset_orientation, strip_exif_prefix


def read_header(data: bytes, name: str, max_pixels: int) -> ImageHeader:
    """Return everything but the pixels."""
    check_complete(data, name)
    file = _open_file(data, name)
    for image in file:
        check_size(name, image.size[0], image.size[1], len(file), max_pixels)
    total_pixels = sum(image.size[0] * image.size[1] for image in file)
    first = file[file.primary_index]
    grey, alpha = first.mode.startswith("L"), first.mode.partition(";")[0].endswith("A")
    width, height = first.size
    header = ImageHeader(
        "heic", width, height, int(first.info.get("bit_depth", 8)), 1 if grey else 3, has_alpha=alpha, frame_count=len(file)
    )
    header.total_pixels = total_pixels
    header.max_code = 65535.0 if ";16" in first.mode else 255.0
    header.icc = first.info.get("icc_profile")
    header.exif = reset_orientation(strip_exif_prefix(first.info.get("exif")))
    header.ppi = read_resolution(header.exif)
    header.xmp = first.info.get("xmp")
    if header.icc is None:
        read_cicp_profile(data, header)
    if has_provenance(data):
        header.notes.append(PROVENANCE_NOTE)
    return header


def read_samples(data: bytes, header: ImageHeader, name: str) -> Samples:
    """Return the primary picture as codes (h, w, n)."""
    file = _open_file(data, name)
    result: Samples = np.asarray(file[file.primary_index])
    result = result.reshape(*result.shape[:2], -1)
    if header.max_code == 65535.0:  # libheif shifts; filling the low bits again makes white 65535
        result = result | (result >> header.depth)
    return result


def check_frames(data: bytes, header: ImageHeader, name: str) -> None:
    """Decode every picture in the file."""
    for image in _open_file(data, name):
        image.load()


def _open_file(data: bytes, name: str) -> Any:
    try:
        import pillow_heif
    except ImportError:
        raise InputError(
            f"{name} is a HEIC picture, and this installation cannot read those.",
            "Install the extra goldsmith[heic], or save the picture as JPEG or PNG.",
        ) from None
    return pillow_heif.open_heif(BytesIO(data), convert_hdr_to_8bit=False)
