"""What is common to all formats with layers: which picture a file stands for, its masks and its layers for ``composite``.

The picture is the flat picture that the file stores. It is composed from the layers if the file has none, or if a layer that shows in it is
a mask or a layer for ``composite``. Nothing is decoded before it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from goldsmith.errors import InputError
from goldsmith.files import display_name
from goldsmith.picture.formats.decoding_limits import MAX_FRAMES_SHARE
from goldsmith.picture.formats.image_info import ImageHeader, Samples
from goldsmith.picture.layered.composing import LayerSource, compose, measure_composing
from goldsmith.picture.layered.layered_file import MAX_LAYERS, FileLayer, LayerBox, LayeredFile, LayerGroup, SavedChannel
from goldsmith.picture.layered.named_layers import NamedRole, role_of
from goldsmith.picture.picture import PixelCodes, quantise

# Names that a remark lists; the rest is counted.
_MAX_LISTED = 3
_MAX_NAME_LENGTH = 40


class ChannelSource(NamedTuple):
    """A saved selection that is not decoded yet; ``load`` returns its codes (h, w) of the canvas."""

    name: str
    load: Callable[[], PixelCodes]


@dataclass(slots=True)
class LayeredDocument:
    """A file with layers, opened and not decoded.

    header:          everything but the pixels; its channels, depth, profile and notes are those of the picture.
    layers:          the lowest first.
    merge:           decodes the flat picture that the file stores, as codes (h, w, channels), alpha last; None = there is none.
    merge_fault:     why there is none or it is not used, such as "it was saved without its merged picture"; "" if it is used, and
                     for formats that never store one.
    saved_channels:  the saved selections.
    composed_channels: colour channels of a composed picture; 0 = those of the header.
    layer_bytes:     that decoding a layer takes for each of its pixels; 0 = those of planes with the depth of the header.
    """

    header: ImageHeader
    layers: list[LayerSource] = field(default_factory=list)
    merge: Callable[[], Samples] | None = None
    merge_fault: str = ""
    saved_channels: list[ChannelSource] = field(default_factory=list)
    composed_channels: int = 0
    layer_bytes: int = 0


@dataclass(frozen=True, slots=True)
class LayeredDocumentReader:
    """The readers' protocol for a format with layers; ``open_document`` is all that its module has of its own."""

    open_document: Callable[[bytes, str, int], LayeredDocument]

    def read_header(self, data: bytes, name: str, max_pixels: int) -> ImageHeader:
        """Return everything but the pixels of the picture that the file stands for."""
        return _finish_header(self.open_document(data, name, max_pixels), name, max_pixels)

    def read_samples(self, _data: bytes, header: ImageHeader, _name: str) -> Samples:
        """Return the picture as codes (h, w, n), alpha last if a pixel of it is not opaque."""
        return _read_samples(header)

    def check_frames(self, _data: bytes, _header: ImageHeader, _name: str) -> None:
        """Do nothing: a document has one picture."""

    def read_parts(self, header: ImageHeader) -> list[FilePart]:
        """Return the masks and the layers for ``composite`` that the file holds."""
        return _read_parts(header)

    def read_layers(self, header: ImageHeader, name: str, max_bytes: int) -> LayeredFile:
        """Return the file with all its layers decoded, which may take ``max_bytes`` of memory."""
        return _read_layers(header, name, max_bytes)


def _finish_header(document: LayeredDocument, name: str, max_pixels: int) -> ImageHeader:
    """Return the header of the picture that the file stands for, with remarks. Raises InputError if it cannot be made."""
    header = document.header
    header.reader_state = document
    if len(document.layers) > MAX_LAYERS:
        raise InputError(f"{name} has {len(document.layers):,} layers; the limit is {MAX_LAYERS:,}.", "Merge some of them.")
    check_layers_size(name, [source.box.area for source in document.layers], max_pixels)
    _note_layers(document)
    if _is_composed(document):
        _require_composable(document, name)
        header.has_alpha = True
        header.channels = document.composed_channels or header.channels
        layers = _picture_layers(document)
        work = measure_composing(layers, header.width, header.height)
        largest = max(source.box.area for source in layers)
        header.reading_bytes = work.canvas_bytes + largest * (document.layer_bytes or _layer_bytes(header))
        header.total_pixels = header.width * header.height + sum(source.box.area for source in layers) + work.group_pixels
        if header.total_pixels > (limit := MAX_FRAMES_SHARE * max_pixels):
            raise InputError(
                f"{name} has groups and layers of together {header.total_pixels / 1e6:,.0f} MP; the limit is {limit / 1e6:,.0f} MP.",
                "Merge some of its groups.",
            )
    return header


def check_layers_size(name: str, areas: Sequence[int], max_pixels: int) -> None:
    """Raise InputError if a layer of a file, or all of them together, have too many pixels. ``areas``: of each, in px."""
    limit = MAX_FRAMES_SHARE * max_pixels
    if sum(areas) > limit:
        raise InputError(
            f"{name} has layers of together {sum(areas) / 1e6:,.0f} MP; the limit is {limit / 1e6:,.0f} MP.", "Merge or crop some of them."
        )
    if max(areas, default=0) > max_pixels:
        raise InputError(
            f"{name} has a layer of {max(areas) / 1e6:,.0f} MP; the limit is {max_pixels / 1e6:,.0f} MP.",
            "Crop it, or raise max_pixels in config/goldsmith.toml.",
        )


def _layer_bytes(header: ImageHeader) -> int:
    """Return the bytes that decoding a layer takes for each pixel: its planes with alpha and mask, and all of them together."""
    return 2 * (header.channels + 2) * (1 if header.max_code <= 255 else 2)


def _read_samples(header: ImageHeader) -> Samples:
    """Return the picture of a finished header as codes (h, w, n), alpha last if a pixel of it is not opaque."""
    document: LayeredDocument = header.reader_state
    if not _is_composed(document) and document.merge is not None:
        merged = document.merge()
        header.has_alpha = header.has_alpha and bool((merged[:, :, -1] < header.max_code).any())
        return merged[:, :, : header.channels + header.has_alpha]
    bits = 8 if header.max_code <= 255 else 16
    composed = compose(_picture_layers(document), header.width, header.height, header.channels, header.icc)
    alpha = quantise(composed.alpha, bits)
    header.max_code = float(2**bits - 1)
    header.has_alpha = bool((alpha < header.max_code).any())
    colours = quantise(composed.pixels, bits)
    return stack_planes([colours, alpha]) if header.has_alpha else colours


def to_depth(codes: Samples, depth: int) -> PixelCodes:
    """Return 8- or 16-bit codes at a depth of 8 or 16 bits."""
    if depth == 8:
        return codes if codes.dtype == np.uint8 else (codes >> 8).astype(np.uint8)
    return codes if codes.dtype == np.uint16 else codes.astype(np.uint16) * np.uint16(257)


def stack_planes(planes: Sequence[PixelCodes]) -> PixelCodes:
    """Return planes (h, w) or (h, w, n) as one array (h, w, sum of n)."""
    deep = [plane if plane.ndim == 3 else plane[:, :, None] for plane in planes]
    result: PixelCodes = np.empty((*deep[0].shape[:2], sum(plane.shape[2] for plane in deep)), deep[0].dtype)
    return np.concatenate(deep, axis=2, out=result)


def _read_layers(header: ImageHeader, name: str, max_bytes: int) -> LayeredFile:
    """Return the file of a finished header with all its layers decoded. Layers in CMYK are left out.

    Raises InputError if the layers take more than ``max_bytes`` of memory.
    """
    document: LayeredDocument = header.reader_state
    groups: dict[int, LayerGroup] = {}
    for source in document.layers:
        for group, join in zip(source.groups, source.group_joins, strict=True):
            if id(group) not in groups:
                groups[id(group)] = group if join.load_mask is None else replace(group, mask=join.load_mask())
    layers: list[FileLayer] = []
    size = sum(group.mask.codes.nbytes for group in groups.values() if group.mask is not None)
    for source in document.layers if header.channels in (1, 3) else []:
        layer = source.load()
        size += (
            layer.pixels.nbytes
            + (0 if layer.alpha is None else layer.alpha.nbytes)
            + (0 if layer.mask is None else layer.mask.codes.nbytes)
        )
        if size > max_bytes:
            raise InputError(
                f"The layers of {name} take more than {max_bytes / 2**20:,.0f} MiB of memory.",
                "Merge some of its layers, or raise worker_memory_mb in config/goldsmith.toml.",
            )
        layers.append(replace(layer, groups=tuple(groups[id(group)] for group in source.groups)))
    return LayeredFile(
        width=header.width,
        height=header.height,
        depth=8 if header.max_code <= 255 else 16,
        channels=header.channels,
        layers=tuple(layers),
        merge=None if document.merge is None or document.merge_fault else document.merge(),
        saved_channels=tuple(SavedChannel(channel.name, channel.load()) for channel in document.saved_channels),
        icc=header.icc,
        ppi=header.ppi,
        xmp=header.xmp,
        exif=header.exif,
        iptc=header.iptc,
        notes=tuple(header.notes),
    )


class FilePart(NamedTuple):
    """A layer or a saved channel that stands beside the picture: its role, and its name in a sentence.

    load: decodes it, as codes (h, w, 1 or 3) or, with alpha, (h, w, 2 or 4) of the whole canvas.
    """

    role: NamedRole
    title: str
    load: Callable[[], PixelCodes]


def _read_parts(header: ImageHeader) -> list[FilePart]:
    """Return the masks and the layers for ``composite`` that the file of a finished header holds."""
    document: LayeredDocument = header.reader_state
    parts = [
        FilePart(role, f"the layer “{shorten(source.name)}”", partial(_load_on_canvas, source, header))
        for source in document.layers
        if (role := part_role(source)) is not None
    ]
    for channel in document.saved_channels:
        role = role_of(channel.name)
        if role is not None and role.kind == "mask":
            parts.append(FilePart(role, f"the saved channel “{shorten(channel.name)}”", partial(_load_channel, channel)))
    return parts


def part_role(source: LayerSource) -> NamedRole | None:
    """Return what a layer is beside the picture. A mask may be hidden; a hidden layer for ``composite`` is none."""
    role = role_of(source.name)
    return role if role is not None and (role.kind == "mask" or source.is_shown) else None


def shorten(name: str) -> str:
    """Return a layer's name for use in a sentence."""
    text = "".join(letter if letter.isprintable() else "�" for letter in display_name(name))
    return text if len(text) <= _MAX_NAME_LENGTH else text[: _MAX_NAME_LENGTH - 1] + "…"


def list_names(names: Sequence[str]) -> str:
    """Return names as in a sentence: "“a”, “b” and 2 more"."""
    listed = [f"“{shorten(name)}”" for name in names[:_MAX_LISTED]]
    rest = len(names) - len(listed)
    if rest:
        return f"{', '.join(listed)} and {rest} more"
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"


def _load_channel(channel: ChannelSource) -> PixelCodes:
    """Decode a saved channel as grey (h, w, 1)."""
    return channel.load()[:, :, None]


def _load_on_canvas(source: LayerSource, header: ImageHeader) -> PixelCodes:
    """Decode a layer as colours and alpha of the whole canvas, transparent where the layer has no pixels."""
    layer = source.load()
    channels, max_code = layer.pixels.shape[2], np.iinfo(layer.pixels.dtype).max
    canvas = LayerBox(0, 0, header.width, header.height)
    box = layer.box.intersect(canvas)
    if box == canvas and layer.alpha is None:
        return layer.pixels[canvas.window_in(layer.box)]
    result = np.zeros((header.height, header.width, channels + 1), layer.pixels.dtype)
    if box is not None:
        inside, outside = box.window_in(layer.box), box.window_in(canvas)
        result[outside][:, :, :channels] = layer.pixels[inside]
        result[outside][:, :, channels] = max_code if layer.alpha is None else layer.alpha[inside]
    return result


def _picture_layers(document: LayeredDocument) -> list[LayerSource]:
    return [source for source in document.layers if part_role(source) is None]


def _is_composed(document: LayeredDocument) -> bool:
    """Return whether the picture is composed from the layers."""
    if document.merge is None or document.merge_fault:
        return True
    return any(source.is_shown and part_role(source) is not None for source in document.layers)


def _note_layers(document: LayeredDocument) -> None:
    """Add the remarks about what the layers do to the picture."""
    notes = document.header.notes
    parts = [source for source in document.layers if part_role(source) is not None]
    taken_out = [source.name for source in parts if source.is_shown]
    if taken_out:
        what = f"its layers {list_names(taken_out)} are" if len(taken_out) > 1 else f"its layer {list_names(taken_out)} is"
        notes.append(f"{what} beside the picture and not in it: the picture was composed from the other layers")
    elif document.merge_fault:
        notes.append(f"{document.merge_fault}: the picture was composed from its layers")
    hidden = [source.name for source in document.layers if not source.is_shown and part_role(source) is None]
    if hidden:
        what = f"{len(hidden)} hidden layers" if len(hidden) > 1 else "a hidden layer"
        notes.append(f"it has {what} ({list_names(hidden)}), which the picture is without")
    faults = [source.fault for source in document.layers if source.fault and source.is_shown]
    if faults and not _is_composed(document):
        more = f" and {len(faults) - _MAX_LISTED} more" if len(faults) > _MAX_LISTED else ""
        notes.append(f"its merged picture is taken with everything that shows in it ({', '.join(faults[:_MAX_LISTED])}{more})")


def _require_composable(document: LayeredDocument, name: str) -> None:
    """Raise InputError if the picture must be composed, and a layer needs the program that made it."""
    layers = _picture_layers(document)
    if not any(source.is_shown for source in layers):
        raise InputError(f"{name} has no visible layer that is a part of the picture.", "Show the picture's layers and save it again.")
    faults = [source.fault for source in layers if source.fault and source.is_shown]
    if not faults:
        return
    more = f" and {len(faults) - _MAX_LISTED} more" if len(faults) > _MAX_LISTED else ""
    needs = f"{', '.join(faults[:_MAX_LISTED])}{more}"
    if document.merge is None or document.merge_fault:
        reason = document.merge_fault or "a file of its kind stores no merged picture"
        remedy = "Save it with its merged picture (Photoshop: “Maximize Compatibility”), or merge these layers, or save it as PNG or TIFF."
        raise InputError(f"{name} cannot be composed from its layers as its program shows them, and {reason}: {needs}.", remedy)
    parts = [source.name for source in document.layers if part_role(source) is not None and source.is_shown]
    raise InputError(
        f"{name} shows {list_names(parts)}, and without that it cannot be composed as its program shows it: {needs}.",
        "Hide the layers that are masks or layers for composite before saving, or merge the layers that are named here.",
    )
