"""Reading AVIF: 8 bits and animations through Pillow, 10 and 12 bits through imagecodecs; libavif does the work in both."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from goldsmith.picture import profiles
from goldsmith.picture.formats.boxes import check_whole, colour_codes, found
from goldsmith.picture.formats.facts import Header, Samples, check_size
from goldsmith.picture.formats.metadata import bare_exif, orientation, resolution

if TYPE_CHECKING:
    from PIL.AvifImagePlugin import AvifImageFile


def read_header(data: bytes, name: str, max_pixels: int) -> Header:
    """Everything but the pixels. libavif's parser is bounded by itself and decodes nothing yet."""
    check_whole(data, name)
    image = _opened(data)
    width, height = image.size
    frames = getattr(image, "n_frames", 1)
    check_size(name, width, height, frames, max_pixels)
    depth, grey = _coding(data)
    header = Header("avif", width, height, depth, 1 if grey else 3, frames=frames)
    header.alpha = image.mode in ("RGBA", "LA")
    header.icc = image.info.get("icc_profile")
    header.exif = bare_exif(image.info.get("exif"))
    header.orientation = orientation(header.exif)  # Pillow writes what the file's own irot and imir say into the Exif
    header.ppi = resolution(header.exif)
    header.xmp = image.info.get("xmp")
    if header.icc is None:
        read_codes(data, header)
    return header


def read_codes(data: bytes, header: Header) -> None:
    """The colour space by its codes, where the file embeds no profile."""
    codes = colour_codes(data)
    if codes is None:
        return
    known, header.icc = profiles.of_cicp(*codes)
    if header.channels == 1:
        header.icc = None
    if not known:
        header.notes.append(f"its colour code ({codes[0]}/{codes[1]}) is none that Goldsmith knows; it is taken as sRGB")


def read_samples(data: bytes, header: Header, name: str) -> Samples:
    """The picture, or an animation's first frame (8 bits, whatever its depth)."""
    import imagecodecs

    if header.depth == 8 or header.frames > 1:
        image = _opened(data)
        made: Samples = np.asarray(image)
        header.levels = 255.0
    else:
        made = imagecodecs.avif_decode(data)
        header.levels = float(2**header.depth - 1)
    made = made.reshape(header.height, header.width, -1)
    header.alpha = made.shape[2] in (2, 4)
    if header.channels == 1 and made.shape[2] >= 3:
        made = made[:, :, [0, 3]] if header.alpha else made[:, :, :1]
    return made


def check_frames(data: bytes, header: Header, name: str) -> None:
    """Decode every further frame, one at a time."""
    image = _opened(data)
    for frame in range(1, header.frames):
        image.seek(frame)
        image.load()


def _opened(data: bytes) -> AvifImageFile:
    """By the plugin itself: ``Image.open`` would apply Pillow's own pixel limit on top of the house's."""
    from PIL.AvifImagePlugin import AvifImageFile

    return AvifImageFile(BytesIO(data))


def _coding(data: bytes) -> tuple[int, bool]:
    """Bits per channel, and whether it is grey, by the first av1C box (AV1 codec configuration, section 2.3)."""
    for box in found(data, b"meta", b"iprp", b"ipco", b"av1C"):
        flags = data[box.start + 2] if box.end - box.start >= 3 else 0
        return (12 if flags & 0x20 else 10) if flags & 0x40 else 8, bool(flags & 0x10)
    return 8, False
