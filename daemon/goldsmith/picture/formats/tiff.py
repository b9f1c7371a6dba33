"""Read TIFF: the directories are checked before tifffile sees them, so that a truncated or invalid file is recognised.

The picture is the first page that is neither a preview nor a mask; scanners and archives put the preview first.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from goldsmith.errors import InputError
from goldsmith.picture.formats.decoding_limits import TextBudget
from goldsmith.picture.formats.image_info import (
    MAX_FRAMES,
    MAX_METADATA_BYTES,
    PROVENANCE_NOTE,
    ImageHeader,
    Samples,
    check_metadata_size,
    check_size,
    damaged_error,
    describe_arrival,
    truncated_error,
)
from goldsmith.picture.formats.jpeg_markers import check_stream
from goldsmith.picture.formats.lzw_codes import has_valid_codes
from goldsmith.picture.formats.metadata import iptc_from_photoshop, plausible_ppi
from goldsmith.picture.metadata.exif_block import read_tiff_exif

if TYPE_CHECKING:
    import tifffile

_ORIENTATION, _XMP, _IPTC, _PHOTOSHOP, _ICC = 274, 700, 33723, 34377, 34675
# C2PA 2.1, A.3.3.
_PROVENANCE = 0xCD41
# The JPEG stream of a strip or tile may be padded to this many times the strip's own pixels; the smallest have a fixed padding.
_JPEG_PADDING, _MIN_JPEG_PIXELS = 2, 1 << 16
# Tags that describe the picture rather than its bytes: the document's name, description, make, model, software, date, artist, host,
# rating, Windows' title, comment, author, keywords and subject, copyright.
_DESCRIPTIVE_TAGS = (269, 270, 271, 272, 305, 306, 315, 316, 18246, 18249, *range(40091, 40096), 33432)
_MAX_ENTRIES = 4096
# Of all pages together; a page has about twenty.
_MAX_TOTAL_ENTRIES = 65_536
# Values outside a directory may share their bytes, but all of them together are not much larger than the file.
_MAX_SHARED_BYTES = 16 << 20
# Strips or tiles of one page: one strip for each row and channel of a very high picture.
_MAX_PARTS = 1_000_000
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_COLOUR_CHANNELS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 3, _CMYK: 4, _YCBCR: 3}
_ASCII = 2
# Bits of NewSubfileType (TIFF 6.0, tag 254): a reduced copy of another page, and a transparency mask for one.
_REDUCED, _TRANSPARENCY_MASK = 1, 4
_LZW, _JPEG = 5, 7
# Compressions whose parts are JPEG streams: the old and the new one, and two of camera makers.
_JPEG_COMPRESSIONS = (6, _JPEG, 33007, 34892)
_PREMULTIPLIED, _STRAIGHT = 1, 2
# Colours that are not read, by their number (TIFF 6.0 and its supplements), as they complete "a TIFF with …".
_OTHER_COLOURS = {
    4: "a mask of transparency in place of a picture",
    8: "Lab colours",
    9: "Lab colours",
    10: "Lab colours",
    32803: "a camera's raw data",
    34892: "a camera's raw data",
    32844: "LogLuv colours",
    32845: "LogLuv colours",
}
_MAX_CHANNELS = 16
_SUPPORTED_REMEDY = "Save it as RGB or grey, 8 or 16 bits a channel, uncompressed or with LZW or ZIP."
# Below this share, nothing of a picture counts as there.
_MIN_SHARE = 0.005


def read_header(data: bytes, name: str, max_pixels: int) -> ImageHeader:
    """Return everything but the pixels, for the picture's page; the sizes of the other pages are checked too."""
    check_directories(data, name)
    with _open_file(data) as file:
        pages = list(file.pages)
        chosen = _picture_page(pages)
        unsupported = _describe_unsupported(chosen)
        if unsupported:
            raise InputError(f"{name} is a TIFF with {unsupported}, which Goldsmith does not read.", _SUPPORTED_REMEDY)
        for page in pages:
            _check_page(page, data, name, max_pixels)
        header = ImageHeader("tiff", chosen.imagewidth, chosen.imagelength, chosen.bitspersample, _COLOUR_CHANNELS[chosen.photometric])
        header.frame_count = max(1, sum(_is_picture(page) for page in pages))
        header.max_code = 1.0 if chosen.dtype.kind == "f" else 1.0 if chosen.dtype.kind == "b" else float(2**chosen.bitspersample - 1)
        header.total_pixels = sum(page.imagewidth * page.imagelength for page in pages)
        if not _is_picture(chosen):
            header.notes.append("every page of it says that it is a preview of another; the first is taken")
        _read_extra_channels(chosen, header)
        _read_tags(chosen, pages[0], data, name, header)
    if header.max_code == 1.0 and header.depth >= 16:
        header.notes.append("its floating-point values are taken as display-encoded, 0 to 1")
    return header


def read_samples(data: bytes, header: ImageHeader, name: str) -> Samples:
    """Return the picture's page as codes (h, w, n): colours, then alpha if any. A palette is resolved."""
    with _open_file(data) as file:
        return _decode(_picture_page(list(file.pages)), header, name)


def check_frames(data: bytes, header: ImageHeader, name: str) -> None:
    """Decode every other page of a supported kind, one at a time."""
    with _open_file(data) as file:
        pages = list(file.pages)
        chosen = _picture_page(pages)
        for page in pages:
            if page is not chosen and not _describe_unsupported(page):
                _read_page(page, name)


def _is_picture(page: Any) -> bool:
    """Return True if a page is neither a reduced copy nor a transparency mask of another page."""
    return not page.subfiletype & (_REDUCED | _TRANSPARENCY_MASK)


def _picture_page(pages: Sequence[Any]) -> Any:
    """Return the first page that is a picture; the first one of all if every page is a preview or a mask."""
    return next(filter(_is_picture, pages), pages[0])


def _open_file(data: bytes) -> tifffile.TiffFile:
    import logging

    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # its remarks about foreign files are of no use to users
    return tifffile.TiffFile(BytesIO(data))


@dataclass(slots=True)
class _DirectoryTotals:
    """What the directories of all pages have together."""

    texts: TextBudget
    entries: int = 0
    value_bytes: int = 0


def check_directories(data: bytes, name: str) -> None:
    """Follow the chain of directories: each one, and every value outside it, must lie inside the file."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    offset = _read_uint(data, 8 if big else 4, order, 8 if big else 4, name)
    visited: set[int] = set()
    totals = _DirectoryTotals(TextBudget(name))
    while offset:
        if offset in visited or len(visited) > MAX_FRAMES:
            raise damaged_error(name, "the list of its pages leads in a circle")
        visited.add(offset)
        count = _read_uint(data, offset, order, 8 if big else 2, name)
        if count > _MAX_ENTRIES:
            raise damaged_error(name, f"a page announces {count:,} properties")
        totals.entries += count
        if totals.entries > _MAX_TOTAL_ENTRIES:
            raise damaged_error(name, f"its pages have more than {_MAX_TOTAL_ENTRIES:,} properties")
        first_entry, entry_size = offset + (8 if big else 2), 20 if big else 12
        for entry_offset in range(first_entry, first_entry + count * entry_size, entry_size):
            _check_entry(data, entry_offset, order, big, name, totals)
        offset = _read_uint(data, first_entry + count * entry_size, order, 8 if big else 4, name)
    if not visited:
        raise damaged_error(name, "it has no page")


def _read_uint(data: bytes, offset: int, byte_order: str, size: int, name: str) -> int:
    if offset + size > len(data):
        raise truncated_error(name, describe_arrival(len(data), offset + size))
    return int(struct.unpack_from(byte_order + {2: "H", 4: "I", 8: "Q"}[size], data, offset)[0])


def _check_entry(data: bytes, entry_offset: int, byte_order: str, is_bigtiff: bool, name: str, totals: _DirectoryTotals) -> None:
    inline = 8 if is_bigtiff else 4
    kind = _read_uint(data, entry_offset + 2, byte_order, 2, name)
    count = _read_uint(data, entry_offset + 4, byte_order, inline, name)
    size = count * _TYPE_SIZES.get(kind, 1)
    offset = _read_uint(data, entry_offset + 4 + inline, byte_order, inline, name)
    if size > inline and offset + size > len(data):
        raise truncated_error(name, describe_arrival(len(data), offset + size))
    if kind == _ASCII:
        totals.texts.add(size)
    totals.value_bytes += size if size > inline else 0
    if totals.value_bytes > len(data) + _MAX_SHARED_BYTES:
        raise damaged_error(name, "its header announces more than the file holds")


def _check_page(page: Any, data: bytes, name: str, max_pixels: int) -> None:
    width, height = page.imagewidth, page.imagelength
    check_size(name, width, height, 1, max_pixels)
    if page.is_tiled and page.tilewidth * page.tilelength > max(max_pixels, 1 << 20):
        raise damaged_error(name, f"its header announces tiles of {page.tilewidth} x {page.tilelength} pixels")
    end = max((offset + size for offset, size in zip(page.dataoffsets, page.databytecounts, strict=False)), default=0)
    if end > len(data):
        raise truncated_error(name, _describe_present_share(page, len(data)))
    if not end:
        raise damaged_error(name, "it does not say where its picture is")
    if len(page.dataoffsets) > _MAX_PARTS:
        raise damaged_error(name, f"a page is cut into more than {_MAX_PARTS:,} parts")
    if page.compression in _JPEG_COMPRESSIONS:
        part_pixels = page.tilewidth * page.tilelength if page.is_tiled else width * min(page.rowsperstrip, height)
        for offset, size in zip(page.dataoffsets, page.databytecounts, strict=False):
            check_stream(data[offset : offset + size], name, min(max_pixels, _JPEG_PADDING * part_pixels + _MIN_JPEG_PIXELS))

    if page.compression == _LZW and not all(has_valid_codes(data[at : at + size]) for at, size in _parts(page)):
        raise damaged_error(name, "the data of its picture makes no sense")


def _parts(page: Any) -> Iterator[tuple[int, int]]:
    """Yield offset and size of each strip or tile that has data."""
    return ((offset, size) for offset, size in zip(page.dataoffsets, page.databytecounts, strict=False) if size)


def _describe_unsupported(page: Any) -> str:
    """Return the property of a page that is not supported, as people name it; "" if all are."""
    import tifffile

    colours = _COLOUR_CHANNELS.get(page.photometric)
    if colours is None:
        return _OTHER_COLOURS.get(int(page.photometric), f"a rare kind of colours (number {int(page.photometric)})")
    if page.photometric == _YCBCR and page.compression != _JPEG:
        return "YCbCr colours"
    if page.imagedepth != 1:
        return f"{page.imagedepth} layers in depth"
    if page.samplesperpixel > _MAX_CHANNELS or page.samplesperpixel < (1 if page.photometric == _PALETTE else colours):
        return f"{page.samplesperpixel} channel{'s' if page.samplesperpixel != 1 else ''} where {colours} belong"
    if page.dtype is None or page.dtype.kind not in "ubf":
        kind = {"i": "signed numbers", "c": "complex numbers"}.get(page.dtype.kind if page.dtype is not None else "", "values")
        return f"{kind} of {page.bitspersample} bits"
    return "" if page.compression in tifffile.TIFF.DECOMPRESSORS else "a compression of its own"


def _describe_present_share(page: Any, size: int) -> str:
    """Return how much of a page's picture lies within a file of ``size`` bytes."""
    parts = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    share = sum(min(count, max(0, size - offset)) for offset, count in parts) / max(1, sum(count for _, count in parts))
    return f"about {share:.0%} of its picture is there" if share >= _MIN_SHARE else "its picture is missing"


def _read_extra_channels(page: Any, header: ImageHeader) -> None:
    if page.photometric == _PALETTE:
        header.channels = 3
        return
    extra = page.samplesperpixel - header.channels
    if extra > 0 and page.extrasamples and page.extrasamples[0] in (_PREMULTIPLIED, _STRAIGHT):
        header.has_alpha = True
        header.is_premultiplied = page.extrasamples[0] == _PREMULTIPLIED
        extra -= 1
    if extra > 0:
        header.notes.append(f"{extra} extra channel{'s' if extra > 1 else ''} that {'are' if extra > 1 else 'is'} no alpha went unread")


def _read_tags(page: Any, first_page: Any, data: bytes, name: str, header: ImageHeader) -> None:
    """Read profile, metadata, orientation and resolution of a page. Metadata that it lacks is that of the file's first page."""
    for label, code in (("colour profile", _ICC), ("XMP block", _XMP), ("IPTC block", _IPTC)):
        tag = page.tags.get(code)
        check_metadata_size(name, label, 0 if tag is None else tag.count * _TYPE_SIZES.get(int(tag.dtype), 1))
    header.icc = _read_bytes_tag(page, _ICC)
    for source in (page, first_page):
        header.xmp = header.xmp or _read_bytes_tag(source, _XMP)
        header.iptc = header.iptc or _read_bytes_tag(source, _IPTC) or iptc_from_photoshop(_read_bytes_tag(source, _PHOTOSHOP) or b"")
    orientation = page.tags.valueof(_ORIENTATION, 1)
    header.orientation = int(orientation) if isinstance(orientation, int) and 1 <= orientation <= 8 else 1
    unit = {2: 1.0, 3: 2.54}.get(int(page.resolutionunit or 0))
    across, down = page.resolution
    if unit and across and down and (across, down) != (1, 1):
        header.ppi = plausible_ppi(float(across) * unit, float(down) * unit)
    header.exif = _build_exif(page, data, header) or (None if page is first_page else _build_exif(first_page, data, header))
    if _PROVENANCE in page.tags:
        header.notes.append(PROVENANCE_NOTE)


def _read_bytes_tag(page: Any, code: int) -> bytes | None:
    value = page.tags.valueof(code)
    if isinstance(value, str):
        value = value.encode("utf-8")
    if isinstance(value, tuple):  # some programs write IPTC as 32-bit numbers
        value = struct.pack(f"{page.parent.byteorder}{len(value)}I", *value)
    return value if isinstance(value, bytes) and 0 < len(value) <= MAX_METADATA_BYTES else None


def _build_exif(page: Any, data: bytes, header: ImageHeader) -> bytes | None:
    """Return a page's descriptive tags, with its Exif and GPS directories, as an Exif block; None if it has none."""
    block = read_tiff_exif(data, _DESCRIPTIVE_TAGS, page.offset)
    if block is None:
        header.notes.append("its Exif could not be read")
        return None
    return block.to_bytes()


def _read_page(page: Any, name: str) -> Samples:
    result: Samples = np.asarray(page.asarray())
    if page.planarconfig == 2 and result.ndim == 3:
        result = np.moveaxis(result, 0, 2)
    if result.shape[:2] != (page.imagelength, page.imagewidth):
        raise damaged_error(name, "its picture is of another size than its header says")
    return result.reshape(page.imagelength, page.imagewidth, -1)


def _decode(page: Any, header: ImageHeader, name: str) -> Samples:
    result = _read_page(page, name)
    if page.photometric == _PALETTE:
        palette = page.colormap.T
        if not (palette & 0xFF).any():  # written by shifting 8-bit codes up
            palette = (palette >> 8) * 257
        header.max_code = 65535.0
        return np.ascontiguousarray(palette[result[:, :, 0]])
    result = result[:, :, : header.channels + header.has_alpha]
    if page.photometric == _WHITE_IS_ZERO:
        result = result.copy()
        result[:, :, 0] = ~result[:, :, 0] if result.dtype.kind == "b" else type(result[0, 0, 0])(header.max_code) - result[:, :, 0]
    return result
