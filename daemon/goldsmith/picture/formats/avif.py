"""Read AVIF: 8 bits and animations through Pillow, 10 and 12 bits through imagecodecs; both use libavif."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from goldsmith.picture.formats.coded_colour import set_coded_colour
from goldsmith.picture.formats.image_info import PROVENANCE_NOTE, ImageHeader, Samples, check_size
from goldsmith.picture.formats.iso_boxes import check_complete, find_boxes, has_provenance, read_cicp
from goldsmith.picture.formats.metadata import read_orientation, read_resolution, strip_exif_prefix

if TYPE_CHECKING:
    from PIL.AvifImagePlugin import AvifImageFile


def read_header(data: bytes, name: str, max_pixels: int) -> ImageHeader:
    """Return everything but the pixels. libavif's parser has its own limits and decodes nothing here."""
    check_complete(data, name)
    image = _open_image(data)
    width, height = image.size
    frames = getattr(image, "n_frames", 1)
    check_size(name, width, height, frames, max_pixels)
    depth, grey = _read_av1_config(data)
    header = ImageHeader("avif", width, height, depth, 1 if grey else 3, frame_count=frames)
    header.has_alpha = image.mode in ("RGBA", "LA")
    header.icc = image.info.get("icc_profile")
    header.exif = strip_exif_prefix(image.info.get("exif"))
    header.orientation = read_orientation(header.exif)  # Pillow writes the file's own irot and imir into the Exif
    header.ppi = read_resolution(header.exif)
    header.xmp = image.info.get("xmp")
    if header.icc is None:
        read_cicp_profile(data, header)
    if has_provenance(data):
        header.notes.append(PROVENANCE_NOTE)
    return header


def read_cicp_profile(data: bytes, header: ImageHeader) -> None:
    """Set the profile from the colour codes, for a file that embeds none."""
    codes = read_cicp(data)
    if codes is not None:
        set_coded_colour(header, *codes)


def read_samples(data: bytes, header: ImageHeader, name: str) -> Samples:
    """Return the picture, or an animation's first frame (8 bits at any depth), as codes (h, w, n)."""
    import imagecodecs

    if header.depth == 8 or header.frame_count > 1:
        image = _open_image(data)
        result: Samples = np.asarray(image)
        header.max_code = 255.0
    else:
        result = imagecodecs.avif_decode(data)
        header.max_code = float(2**header.depth - 1)
    result = result.reshape(*result.shape[:2], -1)
    header.has_alpha = result.shape[2] in (2, 4)
    if header.channels == 1 and result.shape[2] >= 3:
        result = result[:, :, [0, 3]] if header.has_alpha else result[:, :, :1]
    return result


def check_frames(data: bytes, header: ImageHeader, name: str) -> None:
    """Decode every further frame, one at a time."""
    image = _open_image(data)
    for frame in range(1, header.frame_count):
        image.seek(frame)
        image.load()


def _open_image(data: bytes) -> AvifImageFile:
    """Open the file with the plugin itself: ``Image.open`` would apply Pillow's own pixel limit in addition."""
    from PIL.AvifImagePlugin import AvifImageFile

    return AvifImageFile(BytesIO(data))


def _read_av1_config(data: bytes) -> tuple[int, bool]:
    """Return the bits per channel, and whether it is grey, from the first av1C box (AV1 codec configuration, section 2.3)."""
    for box in find_boxes(data, b"meta", b"iprp", b"ipco", b"av1C"):
        flags = data[box.content_start + 2] if box.content_end - box.content_start >= 3 else 0
        return (12 if flags & 0x20 else 10) if flags & 0x40 else 8, bool(flags & 0x10)
    return 8, False
