"""Collects what the steps of a stage change as layers, for a result in a format with layers.

Each step that changes pixels is one layer: the box that it has changed, with the step's mask. The layers over each other give the picture
to within one code of 8 bits. The flat picture in the file is the picture itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.layered.layered_file import FileLayer, LayerBox, LayerGroup, LayerMask
from goldsmith.picture.picture import BitDepth, Mask, Picture, PixelCodes, Pixels, Window, quantise
from goldsmith.picture.resample import resize

ORIGINAL_LAYER = "Original"
# Codes of the original, and those of the layers of one step, in bytes for each pixel, at most: four planes of 16 bits, packed and not.
BYTES_PER_PIXEL = 16
# Rows that are compared together: they stay in the processor's cache.
_BAND_ROWS = 64
# A step without a region gets a mask of what it has changed if that is less than this share of its box.
_SPARSE_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class StageLayerSet:
    """The layers of a picture, the lowest first. ``merged_by``: the step behind which no earlier layer is left; "" = none."""

    layers: tuple[FileLayer, ...]
    merged_by: str = ""


class StageLayers:
    """The layers of one stage, as far as its steps have come."""

    def __init__(self, stage: str, original: Picture | None) -> None:
        """``original``: the picture as it was read; None if a step makes it from words."""
        self._group = LayerGroup(stage)
        self._layers: list[FileLayer] = [] if original is None else [_whole_layer(ORIGINAL_LAYER, original)]
        self.merged_by = ""

    @property
    def layers(self) -> tuple[FileLayer, ...]:
        return tuple(self._layers)

    def add_step(self, name: str, before: Picture, after: Picture, mask: Mask | None, origin: tuple[int, int] | None) -> None:
        """Add the layer of a step that turned ``before`` into ``after``.

        mask:   where the step may change pixels, (h, w), 0..1; None = everywhere.
        origin: left and top of ``before`` in ``after``, in px, if the step has enlarged the canvas and kept the picture.
        """
        if (before.icc, before.depth) != (after.icc, after.depth):
            self.replace_all(name, after)
        elif origin is not None:
            self._layers = [_moved(layer, *origin) for layer in self._layers]
            self._layers.append(self._grouped(_whole_layer(name, after)))
        elif (before.width, before.height) != (after.width, after.height):
            self._scale(name, before, after)
        else:
            self._add_change(name, before, after, mask)

    def replace_all(self, name: str, picture: Picture) -> None:
        """Begin anew with a picture of another geometry or profile, into which the layers so far do not fit."""
        self.merged_by = name if self._layers else self.merged_by
        self._layers = [_whole_layer(name, picture)]

    def _grouped(self, layer: FileLayer) -> FileLayer:
        return replace(layer, groups=(self._group,))

    def _scale(self, name: str, before: Picture, after: Picture) -> None:
        ...

    def _add_change(self, name: str, before: Picture, after: Picture, mask: Mask | None) -> None:
        changed = changed_pixels(before, after)
        ...
