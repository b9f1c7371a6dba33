"""Read Krita documents: a zip archive with a list of layers in XML, their pixels in tiles, and the merged picture as a PNG.

The picture is the merged one. Krita stores it with 8 bits and without a profile if the document has more bits: then the picture is composed
from the layers, if they use nothing that only Krita can draw.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from xml.etree.ElementTree import Element

import numpy as np

from goldsmith.errors import InputError
from goldsmith.picture.blend_modes import BlendMode, blend_function
from goldsmith.picture.formats.image_info import MAX_METADATA_BYTES, ImageHeader, check_size, damaged_error
from goldsmith.picture.formats.metadata import plausible_ppi
from goldsmith.picture.layered.composing import Blending, GroupJoin, LayerSource
from goldsmith.picture.layered.embedded_png import document_header, open_png
from goldsmith.picture.layered.layered_document import (
    LayeredDocument,
    shorten,
)
from goldsmith.picture.layered.layered_file import MAX_GROUP_DEPTH, FileLayer, LayerBox, LayerGroup
from goldsmith.picture.layered.xml_tree import parse_xml, read_number
from goldsmith.picture.layered.zip_archive import ZipArchive
from goldsmith.picture.picture import PixelCodes

_LIST, _MERGED = "maindoc.xml", "mergedimage.png"
_MAX_LIST_BYTES = 16 << 20
# Channels with alpha, and bytes of a channel, by Krita's name of the colour space.
_COLOUR_SPACES = {"RGBA": (4, 1), "RGBA16": (4, 2), "GRAYA": (2, 1), "GRAYA16": (2, 2)}
_BLEND_MODES: dict[str, BlendMode] = {
    "normal": "normal",
    "multiply": "multiply",
    "screen": "screen",
    "overlay": "overlay",
    "soft_light_svg": "soft-light",
    "hard_light": "hard-light",
    "add": "add",
    "linear_dodge": "add",
    "darken": "darken",
    "lighten": "lighten",
    "diff": "difference",
}
_NODE_NAMES = {
    "adjustmentlayer": "filter layer",
    "generatorlayer": "fill layer",
    "shapelayer": "vector layer",
    "filelayer": "file layer",
    "clonelayer": "clone layer",
}
_MAX_LINE = 80
_COMPRESSED = 1


def open_document(data: bytes, name: str, max_pixels: int) -> LayeredDocument:
    """Return the document with its layers, not decoded."""
    archive = ZipArchive(data, name)
    root = parse_xml(archive.read(_LIST, _MAX_LIST_BYTES), name, "list of layers (maindoc.xml)")
    image = next((child for child in root if child.tag == "IMAGE"), None)
    if image is None:
        raise damaged_error(name, "its list of layers (maindoc.xml) has no picture")
    width, height = int(read_number(image, "width")), int(read_number(image, "height"))
    check_size(name, width, height, 1, max_pixels)
    space = image.get("colorspacename", "")
    reader = _KraReader(archive, name, LayerBox(0, 0, width, height), space)
    layers = list(reader.layers_of(image, (), ()))[::-1]
    merged = open_png(archive, _MERGED, name, max_pixels) if _MERGED in archive else None
    if merged is not None and (merged.header.width, merged.header.height) != (width, height):
        raise damaged_error(name, "its merged picture is of another size than its canvas")
    is_deep = space not in ("RGBA", "GRAYA")
    if space in _COLOUR_SPACES and (merged is None or (is_deep and not any(layer.fault for layer in layers if layer.is_shown))):
        channels, size = _COLOUR_SPACES[space]
        header = ImageHeader("kra", width, height, 8 * size, channels - 1, max_code=float(2 ** (8 * size) - 1))
        header.icc = reader.profile()
        document = LayeredDocument(
            header, layers, merge_fault="its merged picture has only 8 bits" if merged else "it has no merged picture"
        )
    elif merged is None:
        raise InputError(f"{name} has no merged picture, and colours ({shorten(space)}) that Goldsmith does not read.", _REMEDY)
    else:
        header = document_header("kra", merged.header)
        document = LayeredDocument(header, layers, merged.read_samples)
        if is_deep:
            header.notes.append("its merged picture has 8 bits a channel and no profile, and the document has more: it is taken for sRGB")
    header.ppi = plausible_ppi(read_number(image, "x-res"), read_number(image, "y-res"))
    return document


_REMEDY = "Save it with 8 or 16 bits a channel in RGB or grey, or export it as PNG or TIFF."


class _KraReader:
    """Reads the layers of one archive."""

    def __init__(self, archive: ZipArchive, name: str, canvas: LayerBox, space: str) -> None:
        self._archive, self._name, self._canvas, self._space = archive, name, canvas, space
        self._folder = next((entry.partition("/")[0] for entry in archive.names() if "/layers/" in entry), "")

    def profile(self) -> bytes | None:
        """Return the profile of the document."""
        entry = f"{self._folder}/annotations/icc"
        return self._archive.read(entry, MAX_METADATA_BYTES) if entry in self._archive else None

    def layers_of(self, parent: Element, groups: tuple[LayerGroup, ...], joins: tuple[GroupJoin, ...]) -> Iterator[LayerSource]:
        """Yield the layers below an element of the list, the topmost first, as the list has them."""
        if len(groups) > MAX_GROUP_DEPTH:
            raise InputError(f"{self._name} has more than {MAX_GROUP_DEPTH} groups inside each other.", "Merge some of its groups.")
        for item in (item for layers in parent if layers.tag.lower() == "layers" for item in layers if item.tag.lower() == "layer"):
            if item.get("nodetype") == "grouplayer":
                group, join = _read_group(item)
                yield from self.layers_of(item, (*groups, group), (*joins, join))
            else:
                yield self._source(item, groups, joins)

    def _source(self, item: Element, groups: tuple[LayerGroup, ...], joins: tuple[GroupJoin, ...]) -> LayerSource:
        title = item.get("name", "")
        mode = _BLEND_MODES.get(item.get("compositeop", "normal"), "normal")
        empty = np.zeros((0, 0, 3), np.uint8)
        opacity = min(max(read_number(item, "opacity", 255), 0), 255) / 255
        layer = FileLayer(title, LayerBox(0, 0, 0, 0), empty, None, opacity, mode, _is_visible(item), groups)
        return LayerSource(
            name=title,
            box=self._canvas,
            load=partial(self._load, item, layer),
            is_visible=layer.is_visible,
            groups=groups,
            blending=Blending(blend_function(mode)),
            group_joins=joins,
            fault=self._describe_fault(item, title),
        )

    def _describe_fault(self, item: Element, title: str) -> str:
        """Return what only Krita can show of a layer; "" if nothing."""
        node, operator = item.get("nodetype", ""), item.get("compositeop", "normal")
        if node != "paintlayer":
            return f"the {_NODE_NAMES.get(node, 'layer of another kind')} “{shorten(title)}”"
        if operator not in _BLEND_MODES:
            return f"the blend mode “{shorten(operator)}” of the layer “{shorten(title)}”"
        if any(child.tag == "masks" and len(child) for child in item):
            return f"the masks of the layer “{shorten(title)}”"
        if item.get("channelflags") or item.get("layerstyle"):
            return f"the style of the layer “{shorten(title)}”"
        return "" if item.get("colorspacename", self._space) == self._space else f"the colour space of the layer “{shorten(title)}”"

    def _load(self, item: Element, layer: FileLayer) -> FileLayer:
        """Decode the tiles of a layer inside the canvas; a layer of another kind than paint has none."""
        entry = f"{self._folder}/layers/{item.get('filename', '')}"
        channels, size = _COLOUR_SPACES.get(item.get("colorspacename", self._space), (0, 0))
        if item.get("nodetype") != "paintlayer" or not channels or entry not in self._archive:
            return layer
        pixel_bytes, canvas = channels * size, self._canvas
        fill = self._archive.read(f"{entry}.defaultpixel", 64) if f"{entry}.defaultpixel" in self._archive else b""
        values = np.empty((canvas.height, canvas.width, pixel_bytes), np.uint8)
        values[...] = np.frombuffer(fill[:pixel_bytes].ljust(pixel_bytes, b"\0"), np.uint8)
        # Packed tiles that are larger than their pixels are stored as they are; tiles may lie outside the canvas.
        max_bytes = 4 * values.nbytes + (64 << 20)
        origin = int(read_number(item, "x")), int(read_number(item, "y"))
        _draw_tiles(self._archive.read(entry, max_bytes), values, origin, self._name)
        codes: PixelCodes = values if size == 1 else values.view("<u2").astype(np.uint16)
        # Krita stores blue, green, red.
        pixels = codes[:, :, 2::-1] if channels == 4 else codes[:, :, :1]
        return replace(layer, box=canvas, pixels=pixels.copy(), alpha=codes[:, :, -1].copy())


def _is_visible(item: Element) -> bool:
    return item.get("visible", "1") != "0"


def _read_group(item: Element) -> tuple[LayerGroup, GroupJoin]:
    mode = _BLEND_MODES.get(item.get("compositeop", "normal"), "normal")
    passes_through = item.get("passthrough") == "1"
    opacity = min(max(read_number(item, "opacity", 255), 0), 255) / 255
    group = LayerGroup(item.get("name", ""), opacity, None if passes_through else mode, _is_visible(item))
    return group, GroupJoin(None if passes_through else Blending(blend_function(mode)))


def _draw_tiles(data: bytes, values: PixelCodes, origin: tuple[int, int], name: str) -> None:
    """Draw the tiles of a layer into ``values``, (h, w, bytes of a pixel) of the canvas."""
    header, offset = _read_tile_header(data, name)
    width, height, pixel_bytes = header["TILEWIDTH"], header["TILEHEIGHT"], header["PIXELSIZE"]
    if not 1 <= width <= 1024 or not 1 <= height <= 1024 or pixel_bytes != values.shape[2]:
        raise damaged_error(name, "the tiles of a layer make no sense")
    places: set[tuple[int, int]] = set()
    for _ in range(header["DATA"]):
        line, offset = _read_line(data, offset, name)
        parts = line.split(",")
        if len(parts) != 4 or not all(part.lstrip("-").isdigit() for part in (parts[0], parts[1], parts[3])):
            raise damaged_error(name, "the tiles of a layer make no sense")
        place, size = (int(parts[0]), int(parts[1])), int(parts[3])
        # Each tile of the grid is there once. Otherwise a small file could have the canvas drawn thousands of times.
        if place in places or place[0] % width or place[1] % height:
            raise damaged_error(name, "the tiles of a layer make no sense")
        places.add(place)
        left, top = place[0] + origin[0], place[1] + origin[1]
        packed = data[offset : offset + size]
        offset += size
        if len(packed) < max(size, 1):
            raise damaged_error(name, "some tiles of a layer are missing")
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + width, values.shape[1]), min(top + height, values.shape[0])
        if x0 >= x1 or y0 >= y1:
            continue
        tile = _unpack_tile(packed, width * height * pixel_bytes, name).reshape(pixel_bytes, height, width)
        values[y0:y1, x0:x1] = np.moveaxis(tile, 0, 2)[y0 - top : y1 - top, x0 - left : x1 - left]


def _read_tile_header(data: bytes, name: str) -> tuple[dict[str, int], int]:
    """Return the numbers at the start of a layer's data, and where the tiles begin."""
    values: dict[str, int] = {}
    offset = 0
    for key in ("VERSION", "TILEWIDTH", "TILEHEIGHT", "PIXELSIZE", "DATA"):
        line, offset = _read_line(data, offset, name)
        word, _, number = line.partition(" ")
        if word != key or not number.isdigit():
            raise damaged_error(name, "the tiles of a layer make no sense")
        values[key] = int(number)
    if values["DATA"] > len(data):
        raise damaged_error(name, "some tiles of a layer are missing")
    return values, offset


def _read_line(data: bytes, offset: int, name: str) -> tuple[str, int]:
    end = data.find(b"\n", offset, offset + _MAX_LINE)
    if end < 0:
        raise damaged_error(name, "some tiles of a layer are missing")
    return data[offset:end].decode("latin-1"), end + 1


def _unpack_tile(packed: bytes, size: int, name: str) -> PixelCodes:
    """Return the bytes of a tile, plane behind plane."""
    import imagecodecs

    unpacked = bytes(imagecodecs.lzf_decode(packed[1:], out=size)) if packed[0] == _COMPRESSED else packed[1:]
    if len(unpacked) != size:
        raise damaged_error(name, "some of its pixels are missing")
    return np.frombuffer(unpacked, np.uint8)
