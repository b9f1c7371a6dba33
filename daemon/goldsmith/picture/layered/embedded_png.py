"""Read the PNG files inside OpenRaster and Krita documents."""

from __future__ import annotations

from typing import NamedTuple

from goldsmith.picture.formats import png
from goldsmith.picture.formats.image_info import ImageHeader, Samples, check_size, damaged_error
from goldsmith.picture.layered.zip_archive import ZipArchive, entry_title

# Of a PNG, in addition to eight bytes a pixel: its profile and metadata.
_MAX_EXTRA_BYTES = 64 << 20
_START_BYTES = 33


class EmbeddedPng(NamedTuple):
    """A PNG file of an archive: its bytes, its header and its name in a sentence."""

    data: bytes
    header: ImageHeader
    name: str

    def read_samples(self) -> Samples:
        """Return its codes (h, w, n), alpha last."""
        return png.read_samples(self.data, self.header, self.name)


def open_png(archive: ZipArchive, entry: str, name: str, max_pixels: int) -> EmbeddedPng:
    """Return the PNG ``entry`` of the document ``name``. Raises InputError if it is too large or damaged."""
    width, height = png_size(archive, entry, name)
    check_size(name, width, height, 1, max_pixels)
    data = archive.read(entry, 8 * width * height + height + _MAX_EXTRA_BYTES)
    title = f"{entry_title(entry)} of {name}"
    return EmbeddedPng(data, png.read_header(data, title, max_pixels), title)


def png_size(archive: ZipArchive, entry: str, name: str) -> tuple[int, int]:
    """Return width and height by the first bytes of a PNG."""
    start = archive.read_start(entry, _START_BYTES)
    if len(start) < _START_BYTES or not start.startswith(png.PNG_SIGNATURE):
        raise damaged_error(name, f"its part {entry_title(entry)} is no PNG")
    return int.from_bytes(start[16:20], "big"), int.from_bytes(start[20:24], "big")


def document_header(format_name: str, merged: ImageHeader) -> ImageHeader:
    """Return the header of a merged picture as that of its document."""
    result = ImageHeader(format_name, merged.width, merged.height, merged.depth, merged.channels, merged.has_alpha)
    result.max_code, result.black_code = merged.max_code, merged.black_code
    result.icc, result.hdr, result.states_colour = merged.icc, merged.hdr, merged.states_colour
    result.colour_fault, result.ppi, result.notes = merged.colour_fault, merged.ppi, merged.notes
    result.xmp, result.exif, result.iptc, result.text_chunks = merged.xmp, merged.exif, merged.iptc, merged.text_chunks
    return result
