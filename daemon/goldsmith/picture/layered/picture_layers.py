"""The layers under a picture: those that its steps have made, and those of the file it came in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from goldsmith.picture.layered.layered_file import FileLayer, LayerBox, LayerGroup, LayerMask
from goldsmith.picture.layered.named_layers import NamedRole, role_of
from goldsmith.picture.picture import PixelCodes, quantise


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file whose layers stay below those of the steps.

    data, name, format: its bytes, its name in messages, and its word in the table of formats.
    max_pixels:         the limit with which it is read.
    max_bytes:          the memory that its decoded layers may take.
    left_out:           its masks that steps have used, and its layers for ``composite``: they do not go on in it.
    keeps_remarks:      what else the file says of itself goes on: guides, slices, metadata of single layers. False for deliverables.
    """

    data: bytes
    name: str
    format: str
    max_pixels: int
    max_bytes: int
    left_out: frozenset[NamedRole] = frozenset()
    keeps_remarks: bool = True


@dataclass(frozen=True, slots=True)
class PictureLayers:
    """The layers over which a picture lies, the lowest first. ``kept``: a file whose layers lie below ``layers``."""

    layers: tuple[FileLayer, ...] = ()
    kept: KeptFile | None = None


def is_part(name: str) -> bool:
    """Return whether a layer of this name is a mask or a layer for ``composite``, which stands beside the picture."""
    return role_of(name) is not None


def map_layers(
    layers: Sequence[FileLayer], map_box: Callable[[LayerBox], LayerBox], map_codes: Callable[[PixelCodes, LayerBox], PixelCodes]
) -> tuple[FileLayer, ...]:
    """Return the layers and their groups, with every plane, masks too, in the box and with the codes that the functions give.

    ``map_codes`` receives codes, (h, w) or (h, w, c), and their new box. Layers of one group still share it.
    """
    groups: dict[int, LayerGroup] = {}

    def map_mask(mask: LayerMask | None) -> LayerMask | None:
        if mask is None:
            return None
        box = map_box(mask.box)
        codes = map_codes(mask.codes, box)
        return replace(mask, box=box, codes=codes, outside_code=int(np.iinfo(codes.dtype).max) if mask.outside_code else 0)

    def map_group(group: LayerGroup) -> LayerGroup:
        if id(group) not in groups:
            groups[id(group)] = replace(group, mask=map_mask(group.mask))
        return groups[id(group)]

    def map_layer(layer: FileLayer) -> FileLayer:
        box = map_box(layer.box)
        alpha = None if layer.alpha is None else map_codes(layer.alpha, box)
        in_groups = tuple(map_group(group) for group in layer.groups)
        return replace(layer, box=box, pixels=map_codes(layer.pixels, box), alpha=alpha, mask=map_mask(layer.mask), groups=in_groups)

    return tuple(map_layer(layer) for layer in layers)


def with_depth(layers: Sequence[FileLayer], depth: int) -> tuple[FileLayer, ...]:
    """Return the layers with codes of a depth: the same layers if they have it."""
    if all(layer.pixels.dtype.itemsize * 8 == depth for layer in layers):
        return tuple(layers)
    return map_layers(layers, lambda box: box, lambda codes, _: _codes_with_depth(codes, depth))


def _codes_with_depth(codes: PixelCodes, depth: int) -> PixelCodes:
    return quantise(codes.astype(np.float32) / np.float32(2 ** (8 * codes.dtype.itemsize) - 1), depth)
