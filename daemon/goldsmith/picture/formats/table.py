"""The table of file formats, one row a format. To add a format, add a row and the modules that the row names.

Everything that depends on the set of formats follows from the table: detection by content, the names of pictures, masks and layers, the
choices of ``export`` and ``check``, the dispatch to readers and writers, the comparison of deliverables in a replay, the manual's table.

The watcher imports this module. It therefore needs the standard library only; a row names its reader and writer, and the codec imports them
when it needs them.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

MetadataKind = Literal["icc", "exif", "xmp", "iptc", "ppi", "text"]
# The formats in which pictures are put down between the folders; a test holds them beside the table.
WorkingFormat = Literal["png", "tiff", "psd", "ora"]

# Bytes at the start of a file that are enough to detect its format.
DETECTION_BYTES = 512
# A file with fewer bytes has no brand.
_MIN_BRAND_BYTES = 16


@dataclass(frozen=True, slots=True)
class FileFormat:
    """One file format: how it is detected, which modules read and write it, and what a file of it can hold.

    name:             its word in briefs and in ``ImageInfo.format``.
    suffixes:         of the files that the stages take, in lower case; the first one is that of written files.
    media_type:       as registered with IANA.
    matches:          returns True if a file that starts with these bytes has this format.
    reader:           the module that reads it (``codec.FormatReader``); "" = it is not read as a picture.
    writer:           the module that writes it (``codec.FormatWriter``); "" = the codec does not write it.
    is_print_page:    it is a page for print, which only ``export`` writes (``picture.print.pdf_write``).
    other_suffixes:   further suffixes of files that the stages take; ``export`` does not know the format by them.
    can_be_picture:   stages take files with its suffixes as pictures; False for a format that is read for masks only.
    can_be_mask:      ``hero_mask.png`` with this suffix is a mask.
    can_be_layer:     layers, faces and heroes may have this format. If two files have the same name, the earlier row wins.
    has_layers:       a file may hold layers, and among them masks and layers for ``composite``.
    depths:           bits per channel that can be written, in ascending order.
    deep_depth:       bits per channel that are written for a picture of more than 8 bits if the brief names no depth.
    is_lossy:         it is written with a quality.
    default_quality:  of ``export``, 1..100; None = lossless unless the brief names a quality.
    default_effort:   of the encoder, 0 (fast) to 10 (small).
    holds_alpha, holds_grey, holds_cmyk: what a written file can hold besides opaque RGB; a format without grey gets grey as RGB.
    metadata:         what a written file keeps (for a format that is only read: what is read).
    holds_credentials: it can have content credentials (C2PA).
    large_suffix, large_magic: suffix and first bytes of written files that are too large for the format's own kind.
    """

    name: str
    suffixes: tuple[str, ...]
    media_type: str
    matches: Callable[[bytes], bool]
    reader: str = ""
    writer: str = ""
    is_print_page: bool = False
    other_suffixes: tuple[str, ...] = ()
    can_be_picture: bool = True
    can_be_mask: bool = False
    can_be_layer: bool = False
    has_layers: bool = False
    depths: tuple[int, ...] = ()
    deep_depth: int = 8
    is_lossy: bool = False
    default_quality: int | None = None
    default_effort: int = 0
    holds_alpha: bool = False
    holds_grey: bool = False
    holds_cmyk: bool = False
    metadata: frozenset[MetadataKind] = frozenset()
    holds_credentials: bool = False
    large_suffix: str = ""
    large_magic: bytes = b""

    @property
    def suffix(self) -> str:
        """The suffix of written files."""
        return self.suffixes[0]

    @property
    def written_suffixes(self) -> tuple[str, ...]:
        """Every suffix of written files."""
        return (self.suffix, self.large_suffix) if self.large_suffix else (self.suffix,)

    def suffix_of(self, data: bytes) -> str:
        """Return the suffix of a written file."""
        return self.large_suffix if self.large_suffix and data.startswith(self.large_magic) else self.suffix

    @property
    def can_be_exported(self) -> bool:
        return bool(self.writer) or self.is_print_page

    def accepts_suffix(self, suffix: str) -> bool:
        """Return True if the name of a file of this format may end in ``suffix``, which is in lower case."""
        return suffix in self.suffixes or suffix in self.other_suffixes

    @property
    def all_suffixes(self) -> tuple[str, ...]:
        """Every suffix of files that the stages take; the first one is that of written files."""
        return self.suffixes + self.other_suffixes

    def written_depth(self, requested: int | None, picture_depth: int) -> int:
        """Return the bits per channel of a written file: the smallest depth that holds the requested one, or else the largest depth.

        Without a request, a picture of 8 bits keeps them and a deeper picture gets ``deep_depth``.
        """
        min_depth = requested or (8 if picture_depth == 8 else self.deep_depth)
        return next((depth for depth in self.depths if depth >= min_depth), self.depths[-1])


@dataclass(frozen=True, slots=True)
class WriterOptions:
    """How a format's writer encodes codes; the codec has filled in every default.

    quality:     1..100, for lossy formats.
    lossless:    without loss, for lossy formats that can.
    subsampling: of chroma.
    effort:      0 (fast) to 10 (small).
    """

    depth: int = 8
    quality: int = 90
    lossless: bool = False
    subsampling: Literal["4:4:4", "4:2:0"] = "4:4:4"
    effort: int = 0


@dataclass(frozen=True, slots=True)
class UnreadableFormat:
    """A kind of file that people mistake for a picture that Goldsmith reads.

    description: completes "it starts like …".
    magics:      first bytes, in lower case.
    suffixes:    of files that a note reports if there is no picture of the same name.
    """

    description: str
    magics: tuple[bytes, ...] = ()
    suffixes: tuple[str, ...] = ()

    @property
    def is_picture(self) -> bool:
        """True for a picture or a drawing, which can be saved in another format."""
        return bool(self.suffixes)


def _starts_with(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda data: data.startswith(magics)


def _has_mimetype_entry(*media_types: bytes) -> Callable[[bytes], bool]:
    """Return a test for a zip archive whose first entry, not packed, is called ``mimetype`` and says what the archive is."""
    return lambda data: data[:4] == b"PK\3\4" and data[30:38] == b"mimetype" and data[38:80].startswith(media_types)


def _is_webp(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP"


def _is_bmp(data: bytes) -> bool:
    """Return whether a file starts as a BMP with a header of Windows: any text may begin with its two letters."""
    return data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in (40, 52, 56, 64, 108, 124)


def _has_brand(*brands: bytes) -> Callable[[bytes], bool]:
    """Return a test for the major and compatible brands of an ISO base media file (ISO/IEC 14496-12, 4.3)."""

    def matches(data: bytes) -> bool:
        if data[4:8] != b"ftyp" or len(data) < _MIN_BRAND_BYTES:
            return False
        size = min(int.from_bytes(data[:4], "big"), DETECTION_BYTES)
        return any(brand in brands for brand in (data[8:12], *(data[at : at + 4] for at in range(16, size, 4))))

    return matches


def _layered_format(
    name: str,
    media_type: str,
    matches: Callable[[bytes], bool],
    metadata: frozenset[MetadataKind],
    *,
    reader: str,
    writer: str = "",
    large: tuple[str, bytes] = ("", b""),
) -> FileFormat:
    """Return the row of a format with layers: its suffix is its name. ``large``: suffix and magic of large files."""
    large_suffix, large_magic = large
    return FileFormat(
        name=name,
        suffixes=(f".{name}",),
        other_suffixes=(large_suffix,) if large_suffix else (),
        media_type=media_type,
        matches=matches,
        reader=reader,
        writer=writer,
        can_be_mask=True,
        can_be_layer=True,
        has_layers=True,
        depths=(8, 16) if writer else (),
        deep_depth=16 if writer else 8,
        holds_alpha=bool(writer),
        holds_grey=bool(writer),
        metadata=metadata,
        large_suffix=large_suffix,
        large_magic=large_magic,
    )


_ROWS = (
    FileFormat(
        name="png",
        suffixes=(".png",),
        other_suffixes=(".apng",),
        media_type="image/png",
        matches=_starts_with(b"\x89PNG\r\n\x1a\n"),
        reader="goldsmith.picture.formats.png",
        writer="goldsmith.picture.formats.png_write",
        can_be_mask=True,
        can_be_layer=True,
        depths=(8, 16),
        deep_depth=16,
        holds_alpha=True,
        holds_grey=True,
        metadata=frozenset({"icc", "exif", "xmp", "iptc", "ppi", "text"}),
        holds_credentials=True,
    ),
    FileFormat(
        name="tiff",
        suffixes=(".tif", ".tiff"),
        media_type="image/tiff",
        matches=_starts_with(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        reader="goldsmith.picture.formats.tiff",
        writer="goldsmith.picture.formats.tiff_write",
        can_be_mask=True,
        can_be_layer=True,
        depths=(8, 16),
        deep_depth=16,
        holds_alpha=True,
        holds_grey=True,
        holds_cmyk=True,
        metadata=frozenset({"icc", "exif", "xmp", "iptc", "ppi"}),
        holds_credentials=True,
    ),
    FileFormat(
        name="webp",
        suffixes=(".webp",),
        media_type="image/webp",
        matches=_is_webp,
        reader="goldsmith.picture.formats.webp",
        writer="goldsmith.picture.formats.webp_write",
        can_be_mask=True,
        can_be_layer=True,
        depths=(8,),
        is_lossy=True,
        default_quality=88,
        default_effort=4,
        holds_alpha=True,
        metadata=frozenset({"icc", "exif", "xmp", "ppi"}),
        holds_credentials=True,
    ),
    # AVIF is before HEIC, because an AVIF file may also have HEIC's brand mif1.
    FileFormat(
        name="avif",
        suffixes=(".avif",),
        media_type="image/avif",
        matches=_has_brand(b"avif", b"avis"),
        reader="goldsmith.picture.formats.avif",
        writer="goldsmith.picture.formats.avif_write",
        can_be_layer=True,
        depths=(8, 10, 12),
        deep_depth=10,
        is_lossy=True,
        default_quality=75,
        default_effort=3,
        holds_alpha=True,
        holds_grey=True,
        metadata=frozenset({"icc", "exif", "xmp", "ppi"}),
        holds_credentials=True,
    ),
    FileFormat(
        name="jpeg",
        suffixes=(".jpg", ".jpeg"),
        other_suffixes=(".jpe", ".jfif", ".mpo"),
        media_type="image/jpeg",
        matches=_starts_with(b"\xff\xd8\xff"),
        reader="goldsmith.picture.formats.jpeg",
        writer="goldsmith.picture.formats.jpeg_write",
        can_be_mask=True,
        can_be_layer=True,
        depths=(8,),
        is_lossy=True,
        default_quality=90,
        holds_grey=True,
        holds_cmyk=True,
        metadata=frozenset({"icc", "exif", "xmp", "iptc", "ppi"}),
        holds_credentials=True,
    ),
    FileFormat(
        name="heic",
        suffixes=(".heic", ".heif"),
        other_suffixes=(".hif",),
        media_type="image/heic",
        matches=_has_brand(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
        reader="goldsmith.picture.formats.heic",
        can_be_layer=True,
        metadata=frozenset({"icc", "exif", "xmp", "ppi"}),
        holds_credentials=True,
    ),
    _layered_format(
        "psd",
        "image/vnd.adobe.photoshop",
        _starts_with(b"8BPS\0\1", b"8BPS\0\2"),
        frozenset({"icc", "exif", "xmp", "iptc", "ppi"}),
        reader="goldsmith.picture.layered.psd_read",
        writer="goldsmith.picture.layered.psd_write",
        large=(".psb", b"8BPS\0\2"),
    ),
    _layered_format(
        "ora",
        "image/openraster",
        _has_mimetype_entry(b"image/openraster"),
        frozenset({"icc", "exif", "xmp", "iptc", "ppi"}),
        reader="goldsmith.picture.layered.ora_read",
        writer="goldsmith.picture.layered.ora_write",
    ),
    _layered_format(
        "kra",
        "application/x-krita",
        _has_mimetype_entry(b"application/x-krita", b"application/x-kra"),
        frozenset({"icc", "ppi"}),
        reader="goldsmith.picture.layered.kra_read",
    ),
    _layered_format(
        "xcf",
        "image/x-xcf",
        _starts_with(b"gimp xcf "),
        frozenset({"icc", "xmp", "ppi"}),
        reader="goldsmith.picture.layered.xcf_read",
    ),
    FileFormat(
        name="gif",
        suffixes=(".gif",),
        media_type="image/gif",
        matches=_starts_with(b"GIF87a", b"GIF89a"),
        reader="goldsmith.picture.formats.gif",
        can_be_picture=False,
        can_be_mask=True,
    ),
    FileFormat(
        name="bmp",
        suffixes=(".bmp",),
        media_type="image/bmp",
        matches=_is_bmp,
        reader="goldsmith.picture.formats.bmp",
        can_be_picture=False,
        can_be_mask=True,
    ),
    FileFormat(
        name="pdf",
        suffixes=(".pdf",),
        media_type="application/pdf",
        matches=_starts_with(b"%PDF-"),
        is_print_page=True,
        depths=(8, 16),
        is_lossy=True,
        holds_grey=True,
        holds_cmyk=True,
        metadata=frozenset({"icc"}),
        holds_credentials=True,
    ),
)

# Name -> format, in the order of detection and of preference among layers of the same name.
FORMATS: dict[str, FileFormat] = {row.name: row for row in _ROWS}

FORMATS_WITH_LAYERS = frozenset(row.name for row in _ROWS if row.has_layers)

# In the order of detection.
UNREADABLE_FORMATS = (
    UnreadableFormat("an HTML page", (b"<!doctype html", b"<html", b"<head", b"<body")),
    UnreadableFormat("an SVG drawing or XML", (b"<?xml", b"<svg"), (".svg",)),
    UnreadableFormat("a PDF", (b"%pdf",), (".pdf",)),
    UnreadableFormat("an Illustrator or PostScript drawing", (), (".ai", ".eps")),
    UnreadableFormat("a Photoshop document of an unknown version", (b"8bps",)),
    UnreadableFormat("a GIF", (b"gif8",), (".gif",)),
    UnreadableFormat("a BMP picture", (b"bm",), (".bmp",)),
    UnreadableFormat("a Targa picture", (), (".tga",)),
    UnreadableFormat("a zip archive", (b"pk\x03\x04",)),
    UnreadableFormat("a RAR archive", (b"rar!",)),
    UnreadableFormat("a 7-Zip archive", (b"7z\xbc\xaf",)),
    UnreadableFormat("a gzip archive", (b"\x1f\x8b",)),
    UnreadableFormat("a program", (b"\x7felf",)),
    UnreadableFormat("a Windows program", (b"mz",)),
    UnreadableFormat("a Matroska or WebM film", (b"\x1a\x45\xdf\xa3",)),
    UnreadableFormat("a sound or film", (b"riff",)),
    UnreadableFormat("a sound", (b"id3", b"ogg")),
    UnreadableFormat("an OpenEXR picture", (b"v/1\x01",), (".exr",)),
    UnreadableFormat("a Radiance picture", (), (".hdr",)),
    UnreadableFormat("a JPEG XL picture", (b"\xff\x0a", b"\0\0\0\x0cjxl "), (".jxl",)),
    UnreadableFormat("a JPEG 2000 picture", (b"\0\0\0\x0cjp  ",), (".jp2",)),
    UnreadableFormat("a camera's raw file", (), (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2")),
    UnreadableFormat("a Git LFS pointer, not the file it stands for", (b"version https://git-lfs",)),
    UnreadableFormat("JSON text", (b"{",)),
)
_UNREADABLE_SUFFIXES = frozenset(suffix for row in UNREADABLE_FORMATS for suffix in row.suffixes)


def detect_by_content(start: bytes, *, is_mask: bool = False) -> FileFormat | None:
    """Return the format of a picture file that starts with these bytes (``DETECTION_BYTES`` are enough); None if Goldsmith reads no such
    format. ``is_mask``: the file is a mask, and may have a format that is read for masks only.
    """
    rows = (row for row in FORMATS.values() if row.reader and (row.can_be_picture or (is_mask and row.can_be_mask)))
    return next((row for row in rows if row.matches(start)), None)


def find_unreadable(start: bytes) -> UnreadableFormat | None:
    """Return the kind of a file that is not a picture Goldsmith reads, by its first bytes in lower case; None if unknown."""
    return next((row for row in UNREADABLE_FORMATS if start.startswith(row.magics)), None)


def format_claimed_by(suffix: str) -> FileFormat | None:
    """Return the picture format that a suffix in lower case stands for, or None."""
    return next((row for row in FORMATS.values() if row.reader and row.can_be_picture and row.accepts_suffix(suffix)), None)


def signable_format(suffix: str) -> FileFormat | None:
    """Return the format that written files with this suffix, in lower case, have, if they can have content credentials; else None."""
    return next((row for row in FORMATS.values() if row.can_be_exported and row.holds_credentials and suffix in row.suffixes), None)


def matching_suffix(format_name: str, suffix: str) -> str:
    """Return the suffix that a file of this format gets when it moves on: its own one, unless that stands for something else.

    ``format_name`` may be "" or unknown; ``suffix`` may be in upper case.
    """
    row = FORMATS.get(format_name)
    return suffix if row is None or row.accepts_suffix(suffix.lower()) else row.suffix


def is_picture_suffix(suffix: str) -> bool:
    """Return True if the stages take a file with this suffix, in lower case, as a picture."""
    return format_claimed_by(suffix) is not None


def format_order(suffix: str) -> int:
    """Return the place of a suffix, in lower case, among those of all pictures; a suffix of no picture is behind them."""
    suffixes = picture_suffixes()
    return suffixes.index(suffix) if suffix in suffixes else len(suffixes)


def is_mask_suffix(suffix: str) -> bool:
    """Return True if ``hero_mask`` with this suffix, in lower case, is a mask."""
    return any(row.can_be_mask and row.accepts_suffix(suffix) for row in FORMATS.values())


def is_unreadable_suffix(suffix: str) -> bool:
    """Return True if a file with this suffix, in lower case, is a picture or a drawing that Goldsmith does not read."""
    return suffix in _UNREADABLE_SUFFIXES


def describe_suffix(suffix: str) -> str:
    """Return the description of an unreadable file by its suffix, in lower case: "a Photoshop document"; "a file" if it is unknown."""
    return next((row.description for row in UNREADABLE_FORMATS if suffix in row.suffixes), "a file")


def may_have_layers(suffix: str) -> bool:
    """Return True if a file with this suffix, in lower case, may hold masks and layers of its own."""
    file_format = format_claimed_by(suffix)
    return file_format is not None and file_format.has_layers


def picture_suffixes() -> tuple[str, ...]:
    """Return the suffixes of all pictures that Goldsmith reads."""
    return tuple(suffix for row in FORMATS.values() if row.reader and row.can_be_picture for suffix in row.all_suffixes)


def layer_suffixes() -> tuple[str, ...]:
    """Return the suffixes of layers, the preferred ones first."""
    return tuple(suffix for row in FORMATS.values() if row.can_be_layer for suffix in row.all_suffixes)


def export_formats() -> tuple[str, ...]:
    """Return the names of all formats that ``export`` writes."""
    return tuple(row.name for row in FORMATS.values() if row.can_be_exported)


def join_names(rows: Iterable[FileFormat]) -> str:
    """Return the names of formats as in a sentence: "tiff, jpeg or pdf"."""
    *names, last = [row.name for row in rows]
    return f"{', '.join(names)} or {last}" if names else last


def parse_format_name(value: object) -> object:
    """Return the name of an export format for any usual spelling (``JPG``, ``.tif``); a value that is not text is returned unchanged.

    Raises ValueError, with the nearest name, if there is no such format.
    """
    if not isinstance(value, str):
        return value
    word = value.lower().removeprefix(".")
    known = {
        spelling: row.name
        for row in FORMATS.values()
        if row.can_be_exported
        for spelling in (row.name, *(suffix[1:] for suffix in row.suffixes))
    }
    if word not in known:
        near = difflib.get_close_matches(word, known, n=1, cutoff=0.7)
        hint = f"; the nearest is “{known[near[0]]}”" if near else ""
        raise ValueError(f"“{value[:40]}” is not one of {', '.join(export_formats())}{hint}")
    return known[word]
