"""Exif as directories of entries: read every entry with limits, and write the block anew, without bytes that no entry refers to.

Exif 3.0 (CIPA DC-008) keeps its data in the directories of TIFF 6.0. The directory of the thumbnail (IFD1) and private directories are not
read, so a block that is written anew has none.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

ARTIST, COPYRIGHT, IMAGE_DESCRIPTION, ORIENTATION = 0x013B, 0x8298, 0x010E, 0x0112
MAKER_NOTE = 0x927C
_EXIF_POINTER, _GPS_POINTER, _INTEROPERABILITY_POINTER = 0x8769, 0x8825, 0xA005
_POINTERS = (_EXIF_POINTER, _GPS_POINTER, _INTEROPERABILITY_POINTER)
_ASCII, _SHORT, _LONG = 2, 3, 4
# Bytes of one value by its type (TIFF 6.0, page 15; 129 is the UTF-8 text of Exif 3.0).
_VALUE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}
# The 64-bit types of BigTIFF, which only pointers use.
_WIDE_KINDS = (16, 18)
# Bytes whose order the byte order decides; a rational is two numbers.
_UNIT_SIZES = {3: 2, 8: 2, 4: 4, 9: 4, 11: 4, 13: 4, 5: 4, 10: 4, 12: 8}
_MAX_ENTRIES = 4096
# Several entries may refer to the same bytes. All of them together have at most this many.
_MAX_VALUE_BYTES = 32 << 20
# A maker note that begins later does not keep its place: the gap before it would be larger than the rest.
_MAX_MAKER_NOTE_OFFSET = 32_768


class ExifEntry(NamedTuple):
    """The value of one tag: TIFF's type, the number of values, and their bytes in the byte order of the block."""

    kind: int
    value_count: int
    value: bytes


ExifDirectory = dict[int, ExifEntry]


class _Layout(NamedTuple):
    """How numbers are stored: the byte order, "<" or ">", and whether the file is a BigTIFF, whose counts and offsets have 64 bits."""

    byte_order: str
    is_bigtiff: bool


@dataclass(slots=True)
class ExifBlock:
    """The directories of an Exif block, by tag.

    image:             the first directory (IFD0): description, maker, artist, copyright.
    photo:             the Exif directory: dates, lens, exposure, maker note.
    gps:               where the picture was taken.
    interoperability:  which kind of DCF file it was in.
    maker_note_offset: where the maker note began. Some have offsets from the start of the block, so it stays there.
    dropped:           what was in the block and is not read, in words.
    """

    byte_order: str = "<"
    image: ExifDirectory = field(default_factory=dict)
    photo: ExifDirectory = field(default_factory=dict)
    gps: ExifDirectory = field(default_factory=dict)
    interoperability: ExifDirectory = field(default_factory=dict)
    maker_note_offset: int = 0
    dropped: list[str] = field(default_factory=list)

    def image_text(self, tag: int) -> str:
        """Return the text of a tag of the first directory; "" if there is none."""
        entry = self.image.get(tag)
        return "" if entry is None else decode_text(entry)

    def set_image_text(self, tag: int, text: str) -> None:
        """Set a text of the first directory. It is written as UTF-8, as the Metadata Working Group's guidelines 2.0 ask."""
        value = text.encode("utf-8", "replace") + b"\0"
        self.image[tag] = ExifEntry(_ASCII, len(value), value)

    def short_entry(self, number: int) -> ExifEntry:
        """Return the entry of one 16-bit number."""
        return ExifEntry(_SHORT, 1, struct.pack(self.byte_order + "H", number))

    def long_entry(self, number: int) -> ExifEntry:
        """Return the entry of one 32-bit number."""
        return ExifEntry(_LONG, 1, struct.pack(self.byte_order + "I", number))

    def to_bytes(self) -> bytes | None:
        """Return the block, from its byte order on; None if it is empty."""
        if not (self.image or self.photo or self.gps or self.interoperability):
            return None
        return _write_block(self)


def decode_text(entry: ExifEntry) -> str:
    """Return the text of an entry: UTF-8, or else Latin-1, to its first zero byte; "" if the entry is no text."""
    if entry.kind not in (_ASCII, 129):
        return ""
    text = entry.value.partition(b"\0")[0]
    try:
        return text.decode("utf-8").strip()
    except UnicodeDecodeError:
        return text.decode("latin-1").strip()


def read_exif(data: bytes) -> ExifBlock | None:
    """Return the directories of an Exif block without JPEG's prefix; None if its first directory cannot be read.

    Entries whose values lie outside the block are left out.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None or len(data) < 10:
        return None
    return _read_block(data, int(struct.unpack_from(order + "I", data, 4)[0]), _Layout(order, is_bigtiff=False))


def read_tiff_exif(data: bytes, tags: Collection[int], page_offset: int | None = None) -> ExifBlock | None:
    """Return these tags of a page of a TIFF or BigTIFF file as ``image``, with its Exif and GPS directories; None if unreadable.

    ``page_offset``: where the page's directory begins in the file; None = the first page.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 16:
        return None
    layout = _Layout(order, is_bigtiff=data[2:4] in (b"+\0", b"\0+"))
    first = struct.unpack_from(order + "Q", data, 8)[0] if layout.is_bigtiff else struct.unpack_from(order + "I", data, 4)[0]
    return _read_block(data, int(first) if page_offset is None else page_offset, layout, {*tags, *_POINTERS})


def _read_block(data: bytes, offset: int, layout: _Layout, tags: Collection[int] | None = None) -> ExifBlock | None:
    reader = _DirectoryReader(data, layout)
    image = reader.read(offset, tags)
    if image is None:
        return None
    result = ExifBlock(layout.byte_order, image)
    if reader.next_offset and tags is None:
        result.dropped.append("thumbnail")
    photo_offset, gps_offset = reader.pop_pointer(image, _EXIF_POINTER), reader.pop_pointer(image, _GPS_POINTER)
    reader.pop_pointer(image, _INTEROPERABILITY_POINTER)
    if photo_offset and photo_offset != offset:
        result.photo = reader.read(photo_offset) or {}
        result.maker_note_offset = reader.maker_note_offset
        interoperability_offset = reader.pop_pointer(result.photo, _INTEROPERABILITY_POINTER)
        if interoperability_offset and interoperability_offset not in (offset, photo_offset):
            result.interoperability = reader.read(interoperability_offset) or {}
    if gps_offset and gps_offset not in (offset, photo_offset):
        result.gps = reader.read(gps_offset) or {}
    for directory in (result.photo, result.gps, result.interoperability):
        for pointer in _POINTERS:
            directory.pop(pointer, None)
    return result


class _DirectoryReader:
    """Reads directories of one block and counts the bytes of their values."""

    def __init__(self, data: bytes, layout: _Layout) -> None:
        self._data = data
        self._order, self._is_bigtiff = layout
        self._bytes_left = min(_MAX_VALUE_BYTES, 2 * len(data))
        # Where the directory that was read last says that the next one is; 0 = nowhere.
        self.next_offset = 0
        self.maker_note_offset = 0

    def read(self, offset: int, tags: Collection[int] | None = None) -> ExifDirectory | None:
        """Return the entries of a directory, only these ``tags`` if they are set; None if there is no directory at that offset."""
        head, size = (8, 20) if self._is_bigtiff else (2, 12)
        if offset < 8 or offset + head > len(self._data):
            return None
        count = self._number(offset, head)
        if count > _MAX_ENTRIES or offset + head + size * count > len(self._data):
            return None
        result: ExifDirectory = {}
        for entry_offset in range(offset + head, offset + head + size * count, size):
            self._read_entry(entry_offset, result, tags)
        end, width = offset + head + size * count, 8 if self._is_bigtiff else 4
        self.next_offset = self._number(end, width) if end + width <= len(self._data) else 0
        return result

    def _read_entry(self, offset: int, directory: ExifDirectory, tags: Collection[int] | None) -> None:
        tag, kind = struct.unpack_from(self._order + "HH", self._data, offset)
        if tag in directory or (tags is not None and tag not in tags):
            return
        inline = 8 if self._is_bigtiff else 4
        count = self._number(offset + 4, inline)
        value_size = 8 if kind in _WIDE_KINDS else _VALUE_SIZES.get(kind, 0)
        size = value_size * count
        if not size:
            return
        start = offset + 4 + inline
        if size > inline:
            start = self._number(start, inline)
        if start + size > len(self._data) or size > self._bytes_left:
            return
        self._bytes_left -= size
        if tag == MAKER_NOTE:
            self.maker_note_offset = start if size > inline and not self._is_bigtiff else 0
        directory[tag] = ExifEntry(kind, count, self._data[start : start + size])

    def pop_pointer(self, directory: ExifDirectory, tag: int) -> int:
        """Remove the entry that points to another directory and return the offset; 0 if there is none."""
        entry = directory.pop(tag, None)
        if entry is None or entry.value_count != 1 or entry.kind not in (_LONG, 13, *_WIDE_KINDS):
            return 0
        return int(struct.unpack(self._order + ("Q" if entry.kind in _WIDE_KINDS else "I"), entry.value)[0])

    def _number(self, offset: int, size: int) -> int:
        return int(struct.unpack_from(self._order + {2: "H", 4: "I", 8: "Q"}[size], self._data, offset)[0])


def _write_block(block: ExifBlock) -> bytes:
    writer, nothing = _BlockWriter(block), block.long_entry(0)
    photo = block.photo | ({_INTEROPERABILITY_POINTER: nothing} if block.interoperability else {})
    directories = {tag: directory for tag, directory in ((_EXIF_POINTER, photo), (_GPS_POINTER, block.gps)) if directory}
    image = block.image | dict.fromkeys(directories, nothing)
    start = writer.add_directory(image)
    for tag, directory in directories.items():
        offset = writer.add_directory(directory)
        writer.set_pointer(image, start, tag, offset)
        if tag == _EXIF_POINTER and block.interoperability:
            writer.set_pointer(photo, offset, _INTEROPERABILITY_POINTER, writer.add_directory(block.interoperability))
    return writer.to_bytes()


class _BlockWriter:
    """Puts directories and values one behind the other, around the place that the maker note keeps."""

    def __init__(self, block: ExifBlock) -> None:
        self._order = block.byte_order
        self._data = bytearray({"<": b"II*\0", ">": b"MM\0*"}[block.byte_order] + struct.pack(block.byte_order + "I", 8))
        self._end = 8
        note = block.photo.get(MAKER_NOTE)
        keeps_place = note is not None and len(note.value) > 4 and 8 <= block.maker_note_offset <= _MAX_MAKER_NOTE_OFFSET
        self._note_start = block.maker_note_offset if keeps_place else 0
        self._note_end = self._note_start + len(note.value) if note is not None and keeps_place else 0
        if note is not None and keeps_place:
            self._write(self._note_start, note.value)

    def add_directory(self, directory: ExifDirectory) -> int:
        """Write a directory and its values, and return its offset."""
        entries = sorted((tag, entry) for tag, entry in directory.items() if entry.kind not in _WIDE_KINDS)
        start = self._allocate(2 + 12 * len(entries) + 4)
        rows = struct.pack(self._order + "H", len(entries))
        for tag, entry in entries:
            rows += struct.pack(self._order + "HHI", tag, entry.kind, entry.value_count)
            rows += entry.value.ljust(4, b"\0") if len(entry.value) <= 4 else struct.pack(self._order + "I", self._place(tag, entry.value))
        self._write(start, rows + b"\0\0\0\0")
        return start

    def set_pointer(self, directory: ExifDirectory, start: int, tag: int, offset: int) -> None:
        """Let an entry of the directory that was written at ``start`` point to ``offset``."""
        tags = sorted(tag for tag, entry in directory.items() if entry.kind not in _WIDE_KINDS)
        struct.pack_into(self._order + "I", self._data, start + 2 + 12 * tags.index(tag) + 8, offset)

    def to_bytes(self) -> bytes:
        return bytes(self._data)

    def _place(self, tag: int, value: bytes) -> int:
        if tag == MAKER_NOTE and self._note_start:
            return self._note_start
        offset = self._allocate(len(value))
        self._write(offset, value)
        return offset

    def _allocate(self, size: int) -> int:
        start = self._end + self._end % 2
        if start < self._note_end and start + size > self._note_start:
            start = self._note_end + self._note_end % 2
        self._end = start + size
        return start

    def _write(self, offset: int, data: bytes) -> None:
        self._data += b"\0" * (offset + len(data) - len(self._data))
        self._data[offset : offset + len(data)] = data


def with_byte_order(block: ExifBlock, byte_order: str) -> ExifBlock:
    """Return the block with its numbers in that byte order, "<" or ">". In another order the maker note keeps its bytes, not its place."""
    if block.byte_order == byte_order:
        return block
    image, photo, gps, interoperability = (
        {tag: entry._replace(value=_swap_bytes(entry)) for tag, entry in directory.items()}
        for directory in (block.image, block.photo, block.gps, block.interoperability)
    )
    return ExifBlock(byte_order, image, photo, gps, interoperability, 0, block.dropped)


def _swap_bytes(entry: ExifEntry) -> bytes:
    unit = _UNIT_SIZES.get(entry.kind, 1)
    return b"".join(entry.value[start : start + unit][::-1] for start in range(0, len(entry.value), unit))
