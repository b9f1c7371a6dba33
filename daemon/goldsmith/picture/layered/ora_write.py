"""Write OpenRaster (ORA): a zip archive of PNG files and the list of the layers, with a merge of our own and a thumbnail.

Layout as in the OpenRaster 0.0.6 specification. The format has no masks: a mask is written into the alpha of its layer. It has no clipping
either: a layer with those that are clipped to it is written as a group in which they keep its alpha. Nor has it a profile: each PNG carries
that of the picture, and Krita 5.1 takes the layers for sRGB all the same.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import MappingProxyType
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.blend_modes import BlendMode
from goldsmith.picture.formats import png_write
from goldsmith.picture.formats.image_info import Samples
from goldsmith.picture.formats.png import make_chunk
from goldsmith.picture.formats.table import WriterOptions
from goldsmith.picture.layered.layered_file import FileLayer, LayerBox, LayeredFile, LayerGroup, LayerMask
from goldsmith.picture.layered.picture_layers import KeptFile
from goldsmith.picture.picture import Metadata, Picture, PixelCodes, freeze

# The name of the only layer of a picture that brings no layers.
PICTURE_LAYER = "Picture"
_MEDIA_TYPE = b"image/openraster"
_VERSION = "0.0.6"
_THUMBNAIL_SIDE = 256
# The same picture gives the same bytes: no file in the archive has the time of its writing.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_COMPOSITE_OPS: Mapping[BlendMode, str] = MappingProxyType(
    {
        "normal": "svg:src-over",
        "multiply": "svg:multiply",
        "screen": "svg:screen",
        "overlay": "svg:overlay",
        "soft-light": "svg:soft-light",
        "hard-light": "svg:hard-light",
        "add": "svg:plus",
        "darken": "svg:darken",
        "lighten": "svg:lighten",
        "difference": "svg:difference",
        "colour": "svg:color",
        "luminosity": "svg:luminosity",
    }
)
# The layer keeps the alpha of what lies below it in its group.
_ATOP = "svg:src-atop"
# Of a PNG, in bytes. A chunk behind it says that a picture without a profile is in sRGB, as OpenRaster has it.
_END_OF_IHDR = 33
_NO_METADATA = Metadata()


def write(samples: Samples, picture: Picture, options: WriterOptions) -> bytes:
    """Return ``samples`` (h, w, 1-4; uint8 or uint16 codes, alpha last) as a file of one layer with the picture's profile and metadata."""
    height, width = samples.shape[:2]
    colours = samples.shape[2] - (picture.alpha is not None)
    alpha = samples[:, :, -1] if picture.alpha is not None else None
    layer = FileLayer(PICTURE_LAYER, LayerBox(0, 0, width, height), samples[:, :, :colours], alpha)
    file = LayeredFile(
        *(width, height, options.depth, colours),
        layers=(layer,),
        merge=samples,
        icc=picture.icc,
        ppi=picture.ppi,
    )
    return _write_archive(file, picture.metadata)


def can_keep(kept: KeptFile, file: LayeredFile) -> bool:
    """Return False: an archive is always written anew, with the same pixels."""
    return False


def write_layers(file: LayeredFile, kept: KeptFile | None = None) -> bytes:
    """Return the file with its layers, and with its merge as the flat picture. What it says of itself is in the merge.

    Raises ValueError for a kept file: ``can_keep`` is False.
    """
    if kept is not None:
        raise ValueError("an OpenRaster file is written anew")
    return _write_archive(file, Metadata(exif=file.exif, xmp=file.xmp, iptc=file.iptc))


def _write_archive(file: LayeredFile, metadata: Metadata) -> bytes:
    merge = file.merge
    if merge is None:
        raise ValueError("a file with layers is written with its merge")
    file = replace(file, layers=tuple(_clip_in_groups(file.layers)))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, ThreadPoolExecutor(2) as pool:
        _add(archive, "mimetype", _MEDIA_TYPE)  # first and not compressed, so that the kind of file shows in its first bytes
        _add(archive, "stack.xml", _stack_xml(file), zipfile.ZIP_DEFLATED)
        for number, data in enumerate(pool.map(lambda layer: _encode_png(_layer_samples(layer), file), file.layers)):
            _add(archive, _layer_source(number), data)
        _add(archive, "mergedimage.png", _encode_png(merge, file, metadata))
        _add(archive, "Thumbnails/thumbnail.png", _thumbnail(file))
    return out.getvalue()


def _add(archive: zipfile.ZipFile, name: str, data: bytes, compression: int = zipfile.ZIP_STORED) -> None:
    archive.writestr(zipfile.ZipInfo(name, _NO_TIME), data, compression)


def _layer_source(number: int) -> str:
    return f"data/layer{number:04d}.png"


def _encode_png(samples: Samples, file: LayeredFile, metadata: Metadata = _NO_METADATA) -> bytes:
    described = Picture(freeze(np.zeros((1, 1, 1), np.float32)), icc=file.icc, ppi=file.ppi, metadata=metadata)
    data = png_write.write(np.ascontiguousarray(samples), described, WriterOptions(depth=file.depth))
    if file.icc is not None:
        return data
    return data[:_END_OF_IHDR] + make_chunk(b"sRGB", b"\0") + data[_END_OF_IHDR:]


def _clip_in_groups(layers: Sequence[FileLayer]) -> Iterator[FileLayer]:
    """Yield the layers so that each one that is clipped lies in a group with the layer to which it is clipped, and with nothing else."""
    start = 0
    while start < len(layers):
        end = start + 1
        while end < len(layers) and layers[end].is_clipped and layers[end].groups == layers[start].groups:
            end += 1
        base, clipped = layers[start], layers[start + 1 : end]
        if clipped and not _is_clipping_group(layers, start, end):
            group = LayerGroup(base.name, base.opacity, base.blend_mode, base.is_visible)
            base = replace(base, opacity=1.0, blend_mode="normal", is_visible=True, groups=(*base.groups, group))
        yield replace(base, is_clipped=False)
        for layer in clipped:
            layer = replace(layer, groups=base.groups)
            yield layer if layer.blend_mode == "normal" else _cut(layer, base)
        start = end


def _is_clipping_group(layers: Sequence[FileLayer], start: int, end: int) -> bool:
    """Return whether the layers from ``start`` to ``end`` already are all of a group, as ``_clip_in_groups`` makes it."""
    base = layers[start]
    if not base.groups or base.groups[-1].blend_mode is None or (base.opacity, base.blend_mode, base.is_visible) != (1.0, "normal", True):
        return False
    others = (*layers[:start], *layers[end:])
    return not any(group is base.groups[-1] for layer in others for group in layer.groups)


def _cut(layer: FileLayer, base: FileLayer) -> FileLayer:
    """Return a layer with the cover of another one in its alpha: OpenRaster has no word for a mode that is not normal and keeps alpha."""
    cover = _mask_in_box(LayerMask(base.box, _cover(base)), layer.box)
    return replace(layer, alpha=_product(_cover(layer), cover), mask=None, is_clipped=False)


def _layer_samples(layer: FileLayer) -> Samples:
    """Return the colours of a layer, and its alpha with its masks and those of its groups, as codes (h, w, 2 or 4)."""
    alpha = _cover(layer)
    for group in layer.groups:
        if group.mask is not None and group.mask.is_enabled:
            alpha = _product(alpha, _mask_in_box(group.mask, layer.box))
    return np.concatenate([layer.pixels, alpha[:, :, None]], axis=2)


def _cover(layer: FileLayer) -> PixelCodes:
    """Return the alpha of a layer with its own mask, as codes (h, w)."""
    alpha = np.full(layer.pixels.shape[:2], np.iinfo(layer.pixels.dtype).max, layer.pixels.dtype) if layer.alpha is None else layer.alpha
    return _product(alpha, _mask_in_box(layer.mask, layer.box)) if layer.mask is not None and layer.mask.is_enabled else alpha


def _product(alpha: PixelCodes, mask: PixelCodes) -> PixelCodes:
    """Return the product of two planes of codes, rounded half up."""
    max_code = np.iinfo(alpha.dtype).max
    product = (alpha.astype(np.uint32) * mask + max_code // 2) // max_code
    return product.astype(np.uint8) if alpha.dtype == np.uint8 else product.astype(np.uint16)


def _mask_in_box(mask: LayerMask, box: LayerBox) -> PixelCodes:
    """Return the codes of a mask in another box, (h, w)."""
    result = np.full((box.height, box.width), mask.outside_code, mask.codes.dtype)
    left, top = max(box.left, mask.box.left), max(box.top, mask.box.top)
    right, bottom = min(box.right, mask.box.right), min(box.bottom, mask.box.bottom)
    if left < right and top < bottom:
        inside = mask.codes[top - mask.box.top : bottom - mask.box.top, left - mask.box.left : right - mask.box.left]
        result[top - box.top : bottom - box.top, left - box.left : right - box.left] = inside
    return result


def _stack_xml(file: LayeredFile) -> bytes:
    """Return the list of the layers: the highest first, each group an element of its own."""
    root = ElementTree.Element("image", version=_VERSION, w=str(file.width), h=str(file.height))
    if file.ppi is not None:
        across, down = (str(max(1, round(value))) for value in file.ppi)
        root.attrib |= {"xres": across, "yres": down}
    parent_of: dict[int, ElementTree.Element] = {}
    stack = ElementTree.SubElement(root, "stack")
    previous: Sequence[LayerGroup] = ()
    for number, layer in reversed(list(enumerate(file.layers))):
        parent = stack
        for depth, group in enumerate(layer.groups):
            if depth >= len(previous) or any(a is not b for a, b in zip(previous[: depth + 1], layer.groups[: depth + 1], strict=True)):
                parent_of[id(group)] = ElementTree.SubElement(parent, "stack", dict(_group_attributes(group)))
            parent = parent_of[id(group)]
        previous = layer.groups
        ElementTree.SubElement(parent, "layer", dict(_layer_attributes(layer, number)))
    return bytes(ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True))


def _group_attributes(group: LayerGroup) -> Iterator[tuple[str, str]]:
    yield "name", _xml_text(group.name)
    yield "opacity", f"{group.opacity:.6g}"
    yield "visibility", "visible" if group.is_visible else "hidden"
    yield "composite-op", _COMPOSITE_OPS[group.blend_mode or "normal"]
    yield "isolation", "auto" if group.blend_mode is None else "isolate"


def _layer_attributes(layer: FileLayer, number: int) -> Iterator[tuple[str, str]]:
    yield "name", _xml_text(layer.name)
    yield "src", _layer_source(number)
    yield "x", str(layer.box.left)
    yield "y", str(layer.box.top)
    yield "opacity", f"{layer.opacity:.6g}"
    yield "visibility", "visible" if layer.is_visible else "hidden"
    yield "composite-op", _ATOP if layer.is_clipped else _COMPOSITE_OPS[layer.blend_mode]


def _xml_text(name: str) -> str:
    """Return the name without the characters that XML 1.0 cannot hold."""
    return "".join(letter for letter in name if letter.isprintable() or letter in "\t\n")


def _thumbnail(file: LayeredFile) -> bytes:
    """Return the merge as a PNG of at most 256 px a side, 8 bits."""
    import cv2

    assert file.merge is not None  # noqa: S101 - the caller has checked it
    scale = min(1.0, _THUMBNAIL_SIDE / max(file.width, file.height))
    size = max(1, round(file.width * scale)), max(1, round(file.height * scale))
    codes: NDArray[np.uint8] = (file.merge >> (file.depth - 8)).astype(np.uint8)
    small = np.asarray(cv2.resize(codes, size, interpolation=cv2.INTER_AREA), np.uint8)
    described = Picture(freeze(np.zeros((1, 1, 1), np.float32)), icc=file.icc)
    return png_write.write(small.reshape(size[1], size[0], codes.shape[2]), described, WriterOptions())
