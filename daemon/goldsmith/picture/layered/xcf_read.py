"""Read GIMP documents, XCF versions 0 to 14 and later ones that use nothing new (GIMP's description of the XCF format).

A GIMP document stores no merged picture: it is composed from the layers. The pixels of the layers lie in tiles of 64 x 64. All codes become
8 or 16 bits: 32-bit integers and floating-point values become 16 bits.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.errors import InputError
from goldsmith.picture import colour
from goldsmith.picture.formats.image_info import (
    ImageHeader,
    check_metadata_size,
    check_size,
    damaged_error,
    describe_arrival,
    truncated_error,
)
from goldsmith.picture.formats.metadata import plausible_ppi
from goldsmith.picture.layered.composing import NORMAL, Blending, GroupJoin, LayerSource
from goldsmith.picture.layered.gimp_metadata import set_gimp_metadata
from goldsmith.picture.layered.gimp_modes import PASS_THROUGH, find_blending, mode_name, nearest_mode
from goldsmith.picture.layered.layered_document import (
    ChannelSource,
    LayeredDocument,
    check_layers_size,
    shorten,
)
from goldsmith.picture.layered.layered_file import MAX_GROUP_DEPTH, MAX_LAYERS, FileLayer, LayerBox, LayerGroup, LayerMask
from goldsmith.picture.picture import PixelCodes, quantise

_TILE = 64
_MAX_PROPERTIES = 1000
_MAX_NAME_BYTES = 4096
# How often all bytes of a file may be unpacked: a layer is read for the picture and as a mask. Tiles that share their bytes would take
# time that has nothing to do with the size of the file.
_MAX_READINGS, _SMALL_FILE_BYTES = 4, 1 << 20
# Values that are turned into codes at once.
_BAND_VALUES = 1 << 20
_WIDE_POINTERS_VERSION, _BIG_ENDIAN_VERSION, _EFFECTS_VERSION = 11, 12, 20
_RGB, _GREY, _INDEXED = 0, 1, 2
_UNCOMPRESSED, _RLE, _ZLIB = 0, 1, 2
# Properties of images, layers and channels.
_END, _COLOURMAP, _FLOATING, _OPACITY, _MODE, _VISIBLE = 0, 1, 5, 6, 7, 8
_APPLY_MASK, _OFFSETS, _COMPRESSION, _RESOLUTION, _PARASITES = 11, 15, 17, 19, 21
_GROUP, _ITEM_PATH, _FLOAT_OPACITY, _COMPOSITE_MODE, _COMPOSITE_SPACE, _BLEND_SPACE = 29, 30, 33, 35, 36, 37
_COLOUR_PROFILE, _METADATA = "icc-profile", ("gimp-image-metadata", "gimp-metadata")


class _Precision(NamedTuple):
    """How a channel of a pixel is stored; ``is_linear``: as linear light."""

    dtype: str
    is_linear: bool


# By the number in the file (version 7 and later); 4 to 6 are mapped onto them.
_PRECISIONS = {
    number + shift: _Precision(dtype, shift == 0)
    for number, dtype in ((100, "u1"), (200, "u2"), (300, "u4"), (500, "f2"), (600, "f4"), (700, "f8"))
    for shift in (0, 50, 75)
}
_OLD_PRECISIONS = {
    4: {0: 150, 1: 250, 2: 300, 3: 500, 4: 600},
    5: {100: 100, 150: 150, 200: 200, 250: 250, 300: 300, 350: 350, 400: 500, 450: 550, 500: 600, 550: 650},
}
_OLD_PRECISIONS[6] = _OLD_PRECISIONS[5]


@dataclass(slots=True)
class _Properties:
    """The properties of one item that are used."""

    opacity: float = 1.0
    mode: int = 0
    is_visible: bool = True
    is_mask_applied: bool = True
    offset: tuple[int, int] = (0, 0)
    is_group: bool = False
    is_floating: bool = False
    path: tuple[int, ...] = ()
    composite_mode: int = 0
    composite_space: int = 0
    blend_space: int = 0
    compression: int = _UNCOMPRESSED
    ppi: tuple[float, float] | None = None
    palette: bytes = b""
    parasites: dict[str, bytes] = field(default_factory=dict)


class _Drawable(NamedTuple):
    """The stored pixels of a layer, a mask or a channel: ``tiles`` are their offsets, row by row."""

    width: int
    height: int
    pixel_bytes: int
    tiles: NDArray[np.int64]


class _LayerRecord(NamedTuple):
    """A layer, a group or a channel as it is stored."""

    name: str
    width: int
    height: int
    kind: int
    properties: _Properties
    hierarchy: int
    mask: int
    has_effects: bool


@dataclass(slots=True)
class _File:
    """The file's bytes with the values of its header."""

    data: bytes
    name: str
    version: int
    max_pixels: int
    base_type: int = _RGB
    precision: _Precision = _PRECISIONS[150]
    compression: int = _RLE
    palette: bytes = b""
    # Values of linear light without a profile are encoded as sRGB.
    encodes_light: bool = False
    # Offset, unpacked bytes and bytes of a pixel of the tile that lies last in the file.
    last_tile: tuple[int, int, int] = (0, 0, 0)
    # Of all layers, masks and channels so far, and the packed bytes that were read.
    areas: list[int] = field(default_factory=list)
    unpacked_bytes: int = 0

    @property
    def depth(self) -> int:
        return 8 if self.precision.dtype == "u1" and not self.encodes_light else 16

    @property
    def is_wide(self) -> bool:
        return self.version >= _WIDE_POINTERS_VERSION

    def unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        """Return big-endian values. Raises IncompleteFileError behind the file's end."""
        size = struct.calcsize(">" + layout)
        if offset + size > len(self.data):
            raise truncated_error(self.name, describe_arrival(len(self.data), offset + size))
        return struct.unpack_from(">" + layout, self.data, offset)

    def pointer(self, offset: int) -> tuple[int, int]:
        """Return a pointer and where the next value begins."""
        return self.unpack("Q" if self.is_wide else "I", offset)[0], offset + (8 if self.is_wide else 4)

    def text(self, offset: int) -> tuple[str, int]:
        """Return a text and where the next value begins."""
        (length,) = self.unpack("I", offset)
        if length > _MAX_NAME_BYTES:
            raise damaged_error(self.name, "one of its names makes no sense")
        self.unpack(f"{length}x", offset + 4)
        return self.data[offset + 4 : offset + 4 + length].rstrip(b"\0").decode("utf-8", "replace"), offset + 4 + length


def open_document(data: bytes, name: str, max_pixels: int) -> LayeredDocument:
    """Return the document with its layers, not decoded."""
    file, offset = _read_start(data, name, max_pixels)
    width, height, base_type = file.unpack("3I", 14)
    check_size(name, width, height, 1, max_pixels)
    if base_type not in (_RGB, _GREY, _INDEXED):
        raise damaged_error(name, f"its header names an unknown kind of colours ({base_type})")
    file.base_type = base_type
    properties, offset = _read_properties(file, offset, has_parasites=True)
    file.compression, file.palette = properties.compression, properties.palette
    if file.compression not in (_UNCOMPRESSED, _RLE, _ZLIB):
        raise InputError(f"{name} is packed in a way that Goldsmith does not read ({file.compression}).", "Save it again in GIMP.")
    profile = properties.parasites.get(_COLOUR_PROFILE)
    file.encodes_light = file.precision.is_linear and profile is None
    layer_offsets, offset = _read_pointers(file, offset)
    channel_offsets, _ = _read_pointers(file, offset)
    header = ImageHeader("xcf", width, height, file.depth, 1 if base_type == _GREY else 3)
    header.max_code = 255.0 if file.depth == 8 else 65535.0
    header.icc, header.ppi = profile, properties.ppi
    for key in _METADATA:
        if key in properties.parasites and header.xmp is None:
            set_gimp_metadata(header, properties.parasites[key], name)
    if file.precision.dtype not in ("u1", "u2"):
        header.notes.append("its values have more than 16 bits and are read as 16 bits, from 0 to 1")
    document = LayeredDocument(header, layer_bytes=4 * np.dtype(file.precision.dtype).itemsize + 2 * 4 * (file.depth // 8))
    document.layers = _read_layers(file, layer_offsets)
    document.saved_channels = [_read_channel(file, channel) for channel in channel_offsets]
    _check_last_tile(file)
    return document


def _read_start(data: bytes, name: str, max_pixels: int) -> tuple[_File, int]:
    """Return the file with version and precision, and where the properties begin."""
    if len(data) < 30:
        raise truncated_error(name, f"it has {len(data)} bytes, not even a whole header")
    word = data[9:13]
    version = 0 if word == b"file" else int(word[1:]) if word[:1] == b"v" and word[1:].isdigit() else -1
    if version < 0:
        raise damaged_error(name, "its header names no version")
    file = _File(data, name, version, max_pixels)
    if version < 4:
        return file, 26
    (number,) = file.unpack("I", 26)
    number = _OLD_PRECISIONS.get(version, {}).get(number, number)
    if number not in _PRECISIONS:
        raise damaged_error(name, f"its header names an unknown precision ({number})")
    file.precision = _PRECISIONS[number]
    return file, 30


def _read_pointers(file: _File, offset: int) -> tuple[list[int], int]:
    """Return a list of pointers, which ends with 0, and where the next value begins."""
    result: list[int] = []
    while True:
        pointer, offset = file.pointer(offset)
        if not pointer:
            if len(set(result)) < len(result):
                raise damaged_error(file.name, "it has the same layer twice")
            return result, offset
        result.append(pointer)
        if len(result) > 2 * MAX_LAYERS:
            raise InputError(f"{file.name} has more than {2 * MAX_LAYERS:,} layers.", "Merge some of them.")


def _read_properties(file: _File, offset: int, *, has_parasites: bool = False) -> tuple[_Properties, int]:
    """Return the properties of an item, and where the next value begins. ``has_parasites``: the data attached to it are read too."""
    result = _Properties()
    for _ in range(_MAX_PROPERTIES):
        kind, length = file.unpack("2I", offset)
        start, offset = offset + 8, offset + 8 + length
        if kind == _END:
            return result, start
        if kind == _COLOURMAP:
            # Version 0 wrote a wrong length.
            count = min(file.unpack("I", start)[0], 256)
            result.palette, offset = file.data[start + 4 : start + 4 + 3 * count], start + 4 + 3 * count
            continue
        file.unpack("0s", offset)
        if kind != _PARASITES:
            _set_property(file, result, kind, start, length)
        elif has_parasites:
            _read_parasites(file, result, start, start + length)
    raise damaged_error(file.name, "the list of its properties does not end")


def _set_property(file: _File, result: _Properties, kind: int, start: int, length: int) -> None:
    if kind in _NUMBERS and length >= 4:
        _NUMBERS[kind](result, file.unpack("i", start)[0])
    elif kind == _FLOAT_OPACITY and length >= 4:
        (opacity,) = struct.unpack_from(">f", file.data, start)
        result.opacity = min(max(opacity, 0.0), 1.0) if opacity == opacity else 1.0
    elif kind == _OFFSETS and length >= 8:
        left, top = file.unpack("2i", start)
        result.offset = left, top
    elif kind == _COMPRESSION and length >= 1:
        result.compression = file.data[start]
    elif kind == _RESOLUTION and length >= 8:
        across, down = struct.unpack_from(">2f", file.data, start)
        result.ppi = plausible_ppi(round(across, 4), round(down, 4)) if across == across and down == down else None
    elif kind == _ITEM_PATH:
        result.path = file.unpack(f"{min(length // 4, 2 * MAX_GROUP_DEPTH)}I", start)
    elif kind in (_GROUP, _FLOATING):
        result.is_group, result.is_floating = result.is_group or kind == _GROUP, result.is_floating or kind == _FLOATING


def _set_opacity(result: _Properties, value: int) -> None:
    result.opacity = min(max(value, 0), 255) / 255


def _set_mode(result: _Properties, value: int) -> None:
    result.mode = value


def _set_visible(result: _Properties, value: int) -> None:
    result.is_visible = value != 0


def _set_apply_mask(result: _Properties, value: int) -> None:
    result.is_mask_applied = value != 0


def _set_composite_mode(result: _Properties, value: int) -> None:
    # A negative number is the mode's own choice, named for programs that do not know it.
    result.composite_mode = abs(value)


def _set_composite_space(result: _Properties, value: int) -> None:
    result.composite_space = abs(value)


def _set_blend_space(result: _Properties, value: int) -> None:
    result.blend_space = abs(value)


_NUMBERS = {
    _OPACITY: _set_opacity,
    _MODE: _set_mode,
    _VISIBLE: _set_visible,
    _APPLY_MASK: _set_apply_mask,
    _COMPOSITE_MODE: _set_composite_mode,
    _COMPOSITE_SPACE: _set_composite_space,
    _BLEND_SPACE: _set_blend_space,
}


def _read_parasites(file: _File, result: _Properties, offset: int, end: int) -> None:
    """Read the attached data: the profile and the metadata."""
    for _ in range(_MAX_PROPERTIES):
        if offset >= end:
            return
        name, offset = file.text(offset)
        _flags, size = file.unpack("2I", offset)
        offset += 8
        if offset + size > end:
            raise damaged_error(file.name, "the data attached to it make no sense")
        if name == _COLOUR_PROFILE or name in _METADATA:
            check_metadata_size(file.name, "colour profile" if name == _COLOUR_PROFILE else "metadata", size)
            result.parasites[name] = file.data[offset : offset + size]
        offset += size


# Layers


def _read_item(file: _File, offset: int, *, is_channel: bool = False) -> _LayerRecord:
    """Return a layer or a channel: sizes, name, properties and where its pixels are."""
    width, height = file.unpack("2I", offset)
    check_size(file.name, width, height, 1, max(10 * file.max_pixels, 1 << 20))
    file.areas.append(width * height)
    check_layers_size(file.name, file.areas, file.max_pixels)
    kind = 0 if is_channel else file.unpack("I", offset + 8)[0]
    name, offset = file.text(offset + (8 if is_channel else 12))
    properties, offset = _read_properties(file, offset)
    hierarchy, offset = file.pointer(offset)
    if is_channel:
        return _LayerRecord(name, width, height, kind, properties, hierarchy, 0, False)
    mask, offset = file.pointer(offset)
    has_effects = file.version >= _EFFECTS_VERSION and file.pointer(offset)[0] != 0
    return _LayerRecord(name, width, height, kind, properties, hierarchy, mask, has_effects)


def _read_layers(file: _File, offsets: list[int]) -> list[LayerSource]:
    """Return the layers, the lowest first. The file has the topmost first, and a group before its layers."""
    groups: dict[tuple[int, ...], tuple[tuple[LayerGroup, ...], tuple[GroupJoin, ...]]] = {(): ((), ())}
    sources: list[LayerSource] = []
    top_level = 0
    for offset in offsets:
        item = _read_item(file, offset)
        path = item.properties.path or (top_level,)
        top_level += not item.properties.path
        if path[:-1] not in groups:
            raise damaged_error(file.name, "a layer of it is in a group that it does not have")
        outer_groups, outer_joins = groups[path[:-1]]
        if item.properties.is_group:
            if len(outer_groups) >= MAX_GROUP_DEPTH:
                raise InputError(f"{file.name} has more than {MAX_GROUP_DEPTH} groups inside each other.", "Merge some of its groups.")
            group, join = _to_group(file, item)
            groups[path] = ((*outer_groups, group), (*outer_joins, join))
        else:
            sources.append(_to_source(file, item, outer_groups, outer_joins))
    return sources[::-1]


def _to_group(file: _File, item: _LayerRecord) -> tuple[LayerGroup, GroupJoin]:
    properties = item.properties
    blending = _find_blending(properties)
    passes_through = properties.mode == PASS_THROUGH
    mode = None if passes_through else nearest_mode(properties.mode)
    group = LayerGroup(item.name, properties.opacity, mode, properties.is_visible)
    load_mask = partial(_load_mask, file, item) if item.mask else None
    return group, GroupJoin(None if passes_through else blending or NORMAL, load_mask)


def _to_source(file: _File, item: _LayerRecord, groups: tuple[LayerGroup, ...], joins: tuple[GroupJoin, ...]) -> LayerSource:
    properties = item.properties
    left, top = properties.offset
    box = LayerBox(left, top, left + item.width, top + item.height)
    drawable = _read_hierarchy(file, item.hierarchy, item.width, item.height)
    fault = ""
    blending = _find_blending(properties)
    if properties.is_floating:
        fault = f"the floating selection “{shorten(item.name)}”"
    elif item.has_effects:
        fault = f"the filters of the layer “{shorten(item.name)}”"
    elif blending is None:
        fault = f"the mode “{mode_name(properties.mode)}” of the layer “{shorten(item.name)}”"
    return LayerSource(
        name=item.name,
        box=box,
        load=partial(_load_layer, file, item, drawable, box, groups),
        is_visible=properties.is_visible,
        groups=groups,
        blending=blending or NORMAL,
        group_joins=joins,
        fault=fault,
    )


def _read_channel(file: _File, offset: int) -> ChannelSource:
    item = _read_item(file, offset, is_channel=True)
    drawable = _read_hierarchy(file, item.hierarchy, item.width, item.height, max_channels=1)
    return ChannelSource(item.name, partial(_load_plane, file, drawable))


def _load_layer(file: _File, item: _LayerRecord, drawable: _Drawable, box: LayerBox, groups: tuple[LayerGroup, ...]) -> FileLayer:
    """Decode a layer with its mask."""
    properties = item.properties
    values = _read_tiles(file, drawable)
    has_alpha = item.kind % 2 == 1
    if file.base_type == _INDEXED:
        palette = np.frombuffer(file.palette.ljust(768, b"\0"), np.uint8).reshape(256, 3)
        pixels: PixelCodes = palette[values[:, :, 0]]
        alpha = _to_codes(file, values[:, :, 1], is_colour=False) if has_alpha else None
    else:
        pixels = _to_codes(file, values[:, :, : values.shape[2] - has_alpha], is_colour=True)
        alpha = _to_codes(file, values[:, :, -1], is_colour=False) if has_alpha else None
    mask = _load_mask(file, item) if item.mask else None
    mode = nearest_mode(properties.mode)
    return FileLayer(item.name, box, pixels, alpha, properties.opacity, mode, properties.is_visible, groups, mask)


def _load_mask(file: _File, item: _LayerRecord) -> LayerMask:
    """Decode the mask of a layer or a group, which lies where the layer does."""
    stored = _read_item(file, item.mask, is_channel=True)
    if (stored.width, stored.height) != (item.width, item.height):
        raise damaged_error(file.name, f"the mask of its layer “{shorten(item.name)}” is of another size than the layer")
    left, top = item.properties.offset
    box = LayerBox(left, top, left + stored.width, top + stored.height)
    drawable = _read_hierarchy(file, stored.hierarchy, stored.width, stored.height, max_channels=1)
    return LayerMask(box, _load_plane(file, drawable), 0, item.properties.is_mask_applied)


def _load_plane(file: _File, drawable: _Drawable) -> PixelCodes:
    """Decode a mask or a channel, (h, w)."""
    return _to_codes(file, _read_tiles(file, drawable)[:, :, 0], is_colour=False)


def _find_blending(properties: _Properties) -> Blending | None:
    return find_blending(properties.mode, properties.blend_space, properties.composite_space, properties.composite_mode)


# Pixels


def _read_hierarchy(file: _File, offset: int, width: int, height: int, max_channels: int = 4) -> _Drawable:
    """Return where the tiles of a drawable are. Only the first level of a hierarchy has pixels."""
    stored_width, stored_height, pixel_bytes = file.unpack("3I", offset)
    size = np.dtype(file.precision.dtype).itemsize
    if (stored_width, stored_height) != (width, height) or pixel_bytes % size or not 1 <= pixel_bytes // size <= max_channels:
        raise damaged_error(file.name, "the pixels of a layer are not of its size")
    level, _ = file.pointer(offset + 12)
    count = -(-width // _TILE) * -(-height // _TILE)
    start = level + 8
    pointer_type = ">u8" if file.is_wide else ">u4"
    end = start + count * np.dtype(pointer_type).itemsize
    if end > len(file.data):
        raise truncated_error(file.name, describe_arrival(len(file.data), end))
    tiles = np.frombuffer(file.data, pointer_type, count, start).astype(np.int64)
    highest = int(tiles.max())
    if not 0 < int(tiles.min()) <= highest < len(file.data):
        if highest >= len(file.data) and highest < 1 << 40:
            raise truncated_error(file.name, describe_arrival(len(file.data), highest + 1))
        raise damaged_error(file.name, "the tiles of a layer make no sense")
    drawable = _Drawable(width, height, pixel_bytes, tiles)
    if highest > file.last_tile[0]:
        position = int(tiles.argmax())
        tile_width, tile_height = _tile_size(drawable, position)
        file.last_tile = highest, tile_width * tile_height * pixel_bytes, pixel_bytes
    return drawable


def _tile_size(drawable: _Drawable, number: int) -> tuple[int, int]:
    """Return width and height of a tile; those at the right and at the bottom are smaller."""
    columns = -(-drawable.width // _TILE)
    return min(_TILE, drawable.width - number % columns * _TILE), min(_TILE, drawable.height - number // columns * _TILE)


def _check_last_tile(file: _File) -> None:
    """Raise IncompleteFileError if the tile at the end of the file, of whichever layer, is not all there."""
    offset, size, pixel_bytes = file.last_tile
    if offset:
        _unpack_tile(file, offset, size, pixel_bytes)


def _read_tiles(file: _File, drawable: _Drawable) -> NDArray[Any]:
    """Return the stored values of a drawable, (h, w, channels)."""
    dtype = np.dtype(file.precision.dtype).newbyteorder(">" if file.version >= _BIG_ENDIAN_VERSION else "<")
    channels = drawable.pixel_bytes // dtype.itemsize
    result = np.empty((drawable.height, drawable.width, drawable.pixel_bytes), np.uint8)
    columns = -(-drawable.width // _TILE)
    for number, offset in enumerate(drawable.tiles.tolist()):
        width, height = _tile_size(drawable, number)
        top, left = number // columns * _TILE, number % columns * _TILE
        tile = _unpack_tile(file, offset, width * height * drawable.pixel_bytes, drawable.pixel_bytes)
        result[top : top + height, left : left + width] = tile.reshape(height, width, drawable.pixel_bytes)
    return result.view(dtype).reshape(drawable.height, drawable.width, channels)


def _unpack_tile(file: _File, offset: int, size: int, pixel_bytes: int) -> NDArray[np.uint8]:
    """Return the bytes of a tile, pixel behind pixel."""
    packed = file.data[offset : offset + 2 * size + 4096]
    if file.compression == _RLE:
        planes, complete, used = _unpack_runs(packed, size // pixel_bytes, pixel_bytes)
        file.unpacked_bytes += used
        if file.unpacked_bytes > _MAX_READINGS * len(file.data) + _SMALL_FILE_BYTES:
            raise damaged_error(file.name, "its tiles share their pixels")
        unpacked = np.frombuffer(planes, np.uint8).reshape(pixel_bytes, -1).T.reshape(-1) if complete else None
    elif file.compression == _ZLIB:
        content = zlib.decompressobj().decompress(packed, size)
        unpacked = np.frombuffer(content, np.uint8) if len(content) == size else None
    else:
        unpacked = np.frombuffer(packed[:size], np.uint8) if len(packed) >= size else None
    if unpacked is None and offset + len(packed) >= len(file.data):
        raise truncated_error(file.name, describe_arrival(len(file.data)))
    if unpacked is None:
        raise damaged_error(file.name, "some of its pixels are missing")
    return unpacked


def _unpack_runs(packed: bytes, plane_size: int, planes: int) -> tuple[bytes, bool, int]:
    """Return the bytes of a tile, plane behind plane, whether all of them are there, and how many packed bytes they took.

    A code below 127 repeats the next byte, one above 128 copies bytes; 127 and 128 do so with a length of two bytes.
    """
    result = bytearray()
    offset, end = 0, len(packed)
    for plane in range(1, planes + 1):
        while len(result) < plane * plane_size:
            if offset + 2 > end:
                return bytes(result), False, offset
            code = packed[offset]
            if code in (127, 128):
                if offset + 4 > end:
                    return bytes(result), False, offset
                count = packed[offset + 1] << 8 | packed[offset + 2]
                offset += 3
            else:
                count = code + 1 if code < 127 else 256 - code
                offset += 1
            if code <= 127:
                result += packed[offset : offset + 1] * count
                offset += 1
            else:
                if offset + count > end:
                    return bytes(result), False, offset
                result += packed[offset : offset + count]
                offset += count
        if len(result) != plane * plane_size:
            return bytes(result), False, offset
    return bytes(result), True, offset


def _to_codes(file: _File, values: NDArray[Any], *, is_colour: bool) -> PixelCodes:
    """Return stored values as codes of the document's depth, of the same shape.

    ``is_colour``: they are encoded, if they are linear light without a profile.
    """
    dtype = values.dtype
    if dtype.kind == "u" and dtype.itemsize <= 2 and not (is_colour and file.encodes_light):
        codes = values.astype(np.uint8) if dtype.itemsize == 1 else values.astype(np.uint16)
        return codes if file.depth == 8 or dtype.itemsize == 2 else codes.astype(np.uint16) * np.uint16(257)
    result = np.empty(values.shape, np.uint16)
    rows = max(1, _BAND_VALUES // max(1, values[0].size if len(values) else 1))
    for top in range(0, len(values), rows):
        result[top : top + rows] = _to_deep_codes(values[top : top + rows], encodes_light=is_colour and file.encodes_light)
    return result


def _to_deep_codes(values: NDArray[Any], *, encodes_light: bool) -> PixelCodes:
    scale = 1.0 if values.dtype.kind == "f" else 1.0 / np.iinfo(values.dtype).max
    floats = np.nan_to_num(values.astype(np.float64) * scale, posinf=1.0, neginf=0.0)
    floats32 = np.clip(floats, 0.0, 1.0).astype(np.float32)
    return quantise(colour.from_linear(floats32, None) if encodes_light else floats32, 16)
