"""Split a Photoshop document, PSD or PSB, into its parts, as bytes: a writer keeps those that it does not change.

The document was read before. A part that does not fit its file raises ValueError all the same. Layout as in Adobe's "Photoshop File Formats
Specification".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

# Blocks with a length of 8 bytes in PSB files.
LONG_BLOCKS = frozenset(b"LMsk Lr16 Lr32 Layr Mt16 Mt32 Mtrn Alph FMsk lnk2 lnk3 lnkE FEid FXid PxSD pths extd extn cinf artd".split())
DEEP_LAYERS = b"Lr16"
_BLOCK_SIGNATURES = (b"8BIM", b"8B64")
_UNICODE_NAME, _LAYER_METADATA = b"luni", b"shmd"
# Image resources: the names of the saved selections in Mac OS Roman and in Unicode.
CHANNEL_NAMES, UNICODE_CHANNEL_NAMES = 1006, 1045
_HIDDEN = 2
_MAX_LAYERS = 10_000
_HEADER_BYTES = 26


class LayerPart(NamedTuple):
    """A layer, or one end of a group: its name, its record and its packed planes."""

    name: str
    record: bytes
    planes: memoryview


@dataclass(slots=True)
class DocumentParts:
    """A document in parts.

    is_big:     it is a PSB.
    channels:   planes of the merge, those of saved selections too.
    mode:       the number of its colour model.
    resources:  (number, all bytes) of each image resource.
    layers:     the lowest first.
    mask_info:  the global layer mask info, with its length.
    blocks:     (key, all bytes) of each block behind it that holds no layers.
    has_alpha:  the first plane of the merge behind the colours is its transparency.
    merge:      the packed planes of the merge, with the number of their packing.
    """

    is_big: bool
    channels: int
    width: int
    height: int
    depth: int
    mode: int
    resources: list[tuple[int, bytes]] = field(default_factory=list)
    layers: list[LayerPart] = field(default_factory=list)
    mask_info: bytes = b"\0\0\0\0"
    blocks: list[tuple[bytes, bytes]] = field(default_factory=list)
    has_alpha: bool = False
    merge: memoryview = field(default_factory=lambda: memoryview(b""))


class _Cursor:
    """Reads big-endian values of a part of the bytes, and never beyond its end."""

    def __init__(self, data: bytes, start: int, end: int) -> None:
        self.data, self.at, self.end = data, start, end

    def unpack(self, layout: str) -> int:
        size = struct.calcsize(">" + layout)
        return int(struct.unpack_from(">" + layout, self.data, self.part(size).at)[0])

    def skip(self, size: int) -> None:
        self.part(size)

    def part(self, size: int) -> _Cursor:
        """Return a cursor for the next ``size`` bytes, and go on behind them."""
        if self.at + size > self.end:
            raise ValueError("a part of the document is longer than the document")
        part = _Cursor(self.data, self.at, self.at + size)
        self.at += size
        return part

    @property
    def rest(self) -> int:
        return self.end - self.at


class _Block(NamedTuple):
    """A tagged block: its key, its content, and where all its bytes are."""

    key: bytes
    content: _Cursor
    start: int
    end: int


def split_document(data: bytes) -> DocumentParts:
    """Return the parts of a document. Raises ValueError if they do not fit."""
    cursor = _Cursor(data, 0, len(data))
    version, channels, height, width, depth, mode = struct.unpack_from(">4xH6xHIIHH", data, cursor.part(_HEADER_BYTES).at)
    parts = DocumentParts(version == 2, channels, width, height, depth, mode)
    length = "Q" if parts.is_big else "I"
    cursor.skip(cursor.unpack("I"))
    _split_resources(cursor.part(cursor.unpack("I")), parts)
    section = cursor.part(cursor.unpack(length))
    parts.merge = memoryview(data)[cursor.at :]
    if not section.rest:
        return parts
    _split_layers(section.part(section.unpack(length)), parts)
    if section.rest >= 4 and data[section.at : section.at + 4] not in _BLOCK_SIGNATURES:
        start = section.at
        section.skip(section.unpack("I"))
        parts.mask_info = data[start : section.at]
    for block in _split_blocks(section, parts.is_big, padding=4):
        if block.key == DEEP_LAYERS:
            _split_layers(block.content, parts)
        else:
            parts.blocks.append((block.key, data[block.start : block.end]))
    return parts


def without_metadata(layer: LayerPart, is_big: bool) -> LayerPart:
    """Return the layer without the metadata that its program has added to it."""
    cursor = _open_extra(layer.record, is_big)
    start = cursor.at
    _skip_to_blocks(cursor)
    kept = [layer.record[start : cursor.at]]
    kept += [layer.record[block.start : block.end] for block in _split_blocks(cursor, is_big) if block.key != _LAYER_METADATA]
    extra = b"".join([*kept, layer.record[cursor.at :]])
    return layer._replace(record=layer.record[: start - 4] + struct.pack(">I", len(extra)) + extra)


def is_hidden(layer: LayerPart, is_big: bool) -> bool:
    """Return whether the layer's own eye is closed."""
    return bool(layer.record[_flags_offset(layer.record, is_big)] & _HIDDEN)


def hide(layer: LayerPart, is_big: bool) -> LayerPart:
    """Return the layer with its eye closed."""
    at, record = _flags_offset(layer.record, is_big), layer.record
    return layer._replace(record=record[:at] + bytes([record[at] | _HIDDEN]) + record[at + 1 :])


def _flags_offset(record: bytes, is_big: bool) -> int:
    return 18 + int.from_bytes(record[16:18], "big") * (10 if is_big else 6) + 10


def saved_channel_names(parts: DocumentParts, count: int) -> list[str]:
    """Return the names of the last ``count`` planes of the merge, the saved selections; "" where the document has none."""
    names: list[str] = []
    for number, data in parts.resources:
        cursor = _open_resource(data)
        if number == UNICODE_CHANNEL_NAMES:
            names = []
            while cursor.rest >= 4:
                text = cursor.part(min(2 * cursor.unpack("I"), cursor.rest))
                names.append(data[text.at : text.end].decode("utf-16-be", "replace").rstrip("\0"))
            break
        if number == CHANNEL_NAMES:
            while cursor.rest:
                text = cursor.part(min(cursor.unpack("B"), cursor.rest))
                names.append(data[text.at : text.end].decode("macroman"))
    return ([""] * count + names)[-count:] if count else []


def make_resource(number: int, content: bytes) -> bytes:
    """Return an image resource without a name."""
    return struct.pack(">4sHHI", b"8BIM", number, 0, len(content)) + content + b"\0" * (len(content) % 2)


def _open_resource(data: bytes) -> _Cursor:
    cursor = _Cursor(data, 6, len(data))
    name_length = cursor.unpack("B")
    cursor.skip(name_length + (name_length + 1) % 2)
    return cursor.part(cursor.unpack("I"))


def _split_resources(cursor: _Cursor, parts: DocumentParts) -> None:
    while cursor.rest >= 12:
        start = cursor.at
        cursor.skip(4)
        number, name_length = cursor.unpack("H"), cursor.unpack("B")
        cursor.skip(name_length + (name_length + 1) % 2)
        size = cursor.unpack("I")
        cursor.skip(size)
        cursor.skip(min(size % 2, cursor.rest))
        parts.resources.append((number, cursor.data[start : cursor.at] + b"\0" * ((cursor.at - start) % 2)))


def _split_layers(cursor: _Cursor, parts: DocumentParts) -> None:
    if cursor.rest < 2:
        return
    signed_count = cursor.unpack("h")
    count, parts.has_alpha = abs(signed_count), parts.has_alpha or signed_count < 0
    if count > _MAX_LAYERS:
        raise ValueError("the document has too many layers")
    records = [_split_record(cursor, parts.is_big) for _ in range(count)]
    for record, size in records:
        planes = cursor.part(size)
        parts.layers.append(LayerPart(_name_of(record, parts.is_big), record, memoryview(cursor.data)[planes.at : planes.end]))


def _split_record(cursor: _Cursor, is_big: bool) -> tuple[bytes, int]:
    """Return the bytes of a record, and the size of its planes."""
    start, size = cursor.at, 0
    cursor.skip(16)
    for _ in range(cursor.unpack("H")):
        cursor.skip(2)
        size += cursor.unpack("Q" if is_big else "I")
    cursor.skip(12)
    cursor.skip(cursor.unpack("I"))
    return cursor.data[start : cursor.at], size


def _name_of(record: bytes, is_big: bool) -> str:
    """Return the name in Unicode, without the NUL that Krita adds, else the old one in Mac OS Roman."""
    cursor = _open_extra(record, is_big)
    short_name = _skip_to_blocks(cursor)
    for block in _split_blocks(cursor, is_big):
        if block.key == _UNICODE_NAME:
            text = block.content.part(2 * block.content.unpack("I"))
            return record[text.at : text.end].decode("utf-16-be", "replace").rstrip("\0")
    return short_name.decode("macroman")


def _open_extra(record: bytes, is_big: bool) -> _Cursor:
    """Return the last part of a record: mask, blending ranges, name and blocks."""
    cursor = _Cursor(record, 0, len(record))
    cursor.skip(16)
    cursor.skip(cursor.unpack("H") * (10 if is_big else 6) + 12)
    return cursor.part(cursor.unpack("I"))


def _skip_to_blocks(cursor: _Cursor) -> bytes:
    """Return the short name of a record, and go on to its blocks."""
    for _ in range(2):
        cursor.skip(cursor.unpack("I"))
    name = cursor.part(cursor.unpack("B"))
    cursor.skip(min(-(name.rest + 1) % 4, cursor.rest))
    return cursor.data[name.at : name.end]


def _split_blocks(cursor: _Cursor, is_big: bool, padding: int = 1) -> Iterator[_Block]:
    """Yield the blocks up to the end, or up to what is no block: then it is padding."""
    while cursor.rest >= 12 and cursor.data[cursor.at : cursor.at + 4] in _BLOCK_SIGNATURES:
        start = cursor.at
        cursor.skip(8)
        key = cursor.data[start + 4 : cursor.at]
        content = cursor.part(cursor.unpack("Q" if is_big and key in LONG_BLOCKS else "I"))
        cursor.skip(min(-content.rest % padding, cursor.rest))
        yield _Block(key, content, start, cursor.at)
