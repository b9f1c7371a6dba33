"""Read OpenRaster documents (the OpenRaster specification, version 0.0.6): a zip archive of PNG files and a list of them in XML.

The picture is ``mergedimage.png``, which every document has to have.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from xml.etree.ElementTree import Element

import numpy as np

from goldsmith.errors import InputError
from goldsmith.picture.blend_modes import BlendMode, blend_function
from goldsmith.picture.formats.image_info import ImageHeader, check_size, damaged_error
from goldsmith.picture.formats.metadata import plausible_ppi
from goldsmith.picture.layered.composing import Blending, GroupJoin, LayerSource
from goldsmith.picture.layered.embedded_png import document_header, open_png, png_size
from goldsmith.picture.layered.layered_document import (
    LayeredDocument,
    shorten,
    to_depth,
)
from goldsmith.picture.layered.layered_file import MAX_GROUP_DEPTH, FileLayer, LayerBox, LayerGroup
from goldsmith.picture.layered.xml_tree import parse_xml, read_number
from goldsmith.picture.layered.zip_archive import ZipArchive

_STACK, _MERGED = "stack.xml", "mergedimage.png"
_MAX_STACK_BYTES = 8 << 20
_BLEND_MODES: dict[str, BlendMode] = {
    "svg:src-over": "normal",
    "svg:multiply": "multiply",
    "svg:screen": "screen",
    "svg:overlay": "overlay",
    "svg:soft-light": "soft-light",
    "svg:hard-light": "hard-light",
    "svg:plus": "add",
    "svg:darken": "darken",
    "svg:lighten": "lighten",
    "svg:difference": "difference",
    "svg:color": "colour",
    "svg:luminosity": "luminosity",
}
# The normal mode with the alpha of what lies below in the group: how Krita and others store a layer that is clipped.
_ATOP = "svg:src-atop"


def open_document(data: bytes, name: str, max_pixels: int) -> LayeredDocument:
    """Return the document with its layers, not decoded."""
    archive = ZipArchive(data, name)
    image = parse_xml(archive.read(_STACK, _MAX_STACK_BYTES), name, "list of layers (stack.xml)")
    width, height = int(read_number(image, "w")), int(read_number(image, "h"))
    check_size(name, width, height, 1, max_pixels)
    merged = open_png(archive, _MERGED, name, max_pixels) if _MERGED in archive else None
    header = ImageHeader("ora", width, height, 8, 3) if merged is None else document_header("ora", merged.header)
    if (header.width, header.height) != (width, height):
        raise damaged_error(name, "its merged picture is of another size than its canvas")
    header.ppi = header.ppi or plausible_ppi(read_number(image, "xres"), read_number(image, "yres"))
    document = LayeredDocument(header, composed_channels=3)
    reader = _OraReader(archive, name, max_pixels, 8 if header.max_code <= 255 else 16)
    for stack in image:
        if stack.tag == "stack":
            document.layers = list(reader.layers_of(stack, (), (), (0, 0)))[::-1]
    if merged is None:
        document.merge_fault = "it has no merged picture (mergedimage.png)"
    else:
        # Read again when it is decoded: nothing but the file itself is kept in memory until then.
        document.merge = lambda: open_png(archive, _MERGED, name, max_pixels).read_samples()
    if not header.states_colour and header.icc is None:
        header.notes.append("it does not say what its colours are: they are taken for sRGB")
    return document


class _OraReader:
    """Reads the layers of one archive; all of them get codes of ``depth`` bits."""

    def __init__(self, archive: ZipArchive, name: str, max_pixels: int, depth: int) -> None:
        self._archive, self._name, self._max_pixels, self._depth = archive, name, max_pixels, depth

    def layers_of(
        self, stack: Element, groups: tuple[LayerGroup, ...], joins: tuple[GroupJoin, ...], origin: tuple[int, int]
    ) -> Iterator[LayerSource]:
        """Yield the layers of a stack, the topmost first, as the list has them."""
        if len(groups) > MAX_GROUP_DEPTH:
            raise InputError(f"{self._name} has more than {MAX_GROUP_DEPTH} groups inside each other.", "Merge some of its groups.")
        for item in stack:
            place = origin[0] + int(read_number(item, "x")), origin[1] + int(read_number(item, "y"))
            if item.tag == "stack":
                group, join = _read_group(item)
                yield from self.layers_of(item, (*groups, group), (*joins, join), place)
            elif item.tag == "layer":
                yield self._source(item, groups, joins, place)

    def _source(self, item: Element, groups: tuple[LayerGroup, ...], joins: tuple[GroupJoin, ...], place: tuple[int, int]) -> LayerSource:
        title, entry = item.get("name", ""), posixpath.normpath(item.get("src", ""))
        operator = item.get("composite-op", "svg:src-over")
        mode = _BLEND_MODES.get(operator, "normal")
        width, height = png_size(self._archive, entry, self._name)
        box = LayerBox(place[0], place[1], place[0] + width, place[1] + height)
        opacity = min(max(read_number(item, "opacity", 1.0), 0.0), 1.0)
        is_visible = item.get("visibility", "visible") != "hidden"
        is_clipped = operator == _ATOP
        fault = "" if is_clipped or operator in _BLEND_MODES else f"the blend mode “{shorten(operator)}” of the layer “{shorten(title)}”"
        layer = FileLayer(title, box, np.zeros((0, 0, 3), np.uint8), None, opacity, mode, is_visible, groups, is_clipped=is_clipped)
        # Not as a clipped layer, which shows only in the one layer below it.
        blending = Blending(blend_function(mode), clips_to_backdrop=is_clipped)
        load = partial(self._load, entry, layer)
        return LayerSource(title, box, load, is_visible, groups, blending=blending, group_joins=joins, fault=fault)

    def _load(self, entry: str, layer: FileLayer) -> FileLayer:
        image = open_png(self._archive, entry, self._name, self._max_pixels)
        codes = to_depth(image.read_samples(), self._depth)
        alpha = codes[:, :, -1] if image.header.has_alpha else None
        pixels = codes[:, :, :-1] if image.header.has_alpha else codes
        return replace(layer, pixels=pixels, alpha=alpha)


def _read_group(item: Element) -> tuple[LayerGroup, GroupJoin]:
    """Return a group. One that is not isolated and neither faded nor blended passes through (section 3.3.3 of the specification)."""
    mode = _BLEND_MODES.get(item.get("composite-op", "svg:src-over"), "normal")
    opacity = min(max(read_number(item, "opacity", 1.0), 0.0), 1.0)
    passes_through = item.get("isolation", "auto") != "isolate" and opacity >= 1 and mode == "normal"
    is_visible = item.get("visibility", "visible") != "hidden"
    group = LayerGroup(item.get("name", ""), opacity, None if passes_through else mode, is_visible)
    return group, GroupJoin(None if passes_through else Blending(blend_function(mode)))
