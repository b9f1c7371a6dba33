"""Masks for the page, made by a step, so that only worker processes decode the files of a share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from goldsmith import ops
from goldsmith.engines.kinds import MATTE_ESTIMATOR
from goldsmith.engines.protocols import EngineNeed
from goldsmith.errors import InputError
from goldsmith.operation import Deliverable, Operation, PictureOperation, StepContext, StepNeeds, region_needs
from goldsmith.picture.formats.table import FORMATS
from goldsmith.picture.picture import Mask, Picture, freeze, quantise
from goldsmith.web.painting.mask_tiles import encode_header, encode_tile, tile_boxes

CATALOGUE_ENTRY_POINT = "goldsmith.web.painting.mask_operation:catalogue"
# The tail of the file with the tiles of the mask.
TILES_TAIL = ".mask-tiles"
OPEN_MASKS, PROPOSE_MASK, PROPOSE_OBJECT = "open-masks", "propose-mask", "propose-object"

# Regions that the page proposes as a mask.
ProposedRegion = Literal["subject", "face", "hands", "text"]
# The engine that finds the object at a point.
OBJECT_NEEDS = StepNeeds(engines=(EngineNeed(MATTE_ESTIMATOR),))


class OpenMasks(PictureOperation):
    """Write the union of the masks beside the picture as tiles. The picture does not change."""

    layers: tuple[str, ...]
    """The names by which the job's inputs have the masks."""
    max_pixels: Annotated[int, Field(ge=1)]
    """The largest mask that is read, in pixels."""

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """Return the same picture. Raises InputError if a mask has another size, or cannot be read."""
        from goldsmith.picture.codec import decode_mask

        union = np.zeros((picture.height, picture.width), np.float32)
        suffixes = tuple(suffix for row in FORMATS.values() if row.can_be_mask for suffix in row.all_suffixes)
        for name in self.layers:
            path = context.library.file("layers", name, suffixes)
            mask = decode_mask(path.read_bytes(), path.name, self.max_pixels)
            if mask.shape != union.shape:
                raise InputError(
                    f"The mask {path.name} is {mask.shape[1]} x {mask.shape[0]} px; its picture is {picture.width} x {picture.height} px.",
                    "Take it away to paint a new one, or save it at the size of the picture.",
                )
            union = np.maximum(union, mask)
        context.results.archive(tiles_file(freeze(union)))
        return picture


class ProposeMask(PictureOperation):
    """Write a detected region as tiles. The picture does not change."""

    region: ProposedRegion

    def needs(self) -> StepNeeds:
        """Return the engines for the region."""
        return region_needs(self.region)

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """Return the same picture. Raises InputError if the picture has no such region."""
        mask = context.detect.find(self.region, picture)
        if mask is None:
            raise InputError(f"Nothing was found for “{self.region}” in the picture.", "Paint the mask by hand.")
        context.results.archive(tiles_file(mask))
        return picture


class ProposeObject(PictureOperation):
    """Write the object at a point as tiles. The picture does not change."""

    x: Annotated[int, Field(ge=0)]
    """From the left edge, in px."""
    y: Annotated[int, Field(ge=0)]
    """From the upper edge, in px."""

    def needs(self) -> StepNeeds:
        """Return the engine that finds objects."""
        return OBJECT_NEEDS

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """Return the same picture. Raises InputError if the point is outside, or nothing stands out there."""
        from goldsmith.web.painting.clicked_object import find_object

        if self.x >= picture.width or self.y >= picture.height:
            raise InputError("This place is outside the picture.", "Click on the picture.")
        mask = find_object(context.engines.get(OBJECT_NEEDS.engines[0]), picture, self.x, self.y)
        if mask is None:
            raise InputError("No object that stands out was found there.", "Click on the middle of the object, or paint the mask by hand.")
        context.results.archive(tiles_file(mask))
        return picture


def catalogue() -> Mapping[str, type[Operation]]:
    """Return the operations with those of the page, which no brief can name."""
    return {**ops.catalogue(), OPEN_MASKS: OpenMasks, PROPOSE_MASK: ProposeMask, PROPOSE_OBJECT: ProposeObject}


def tiles_file(mask: Mask) -> Deliverable:
    """Return the tiles of a mask (h, w), 0..1, at 8 bits, as a file."""
    height, width = mask.shape
    parts = [encode_header(width, height)]
    parts += [encode_tile(quantise(mask[rows, columns], 8).tobytes()) for rows, columns in tile_boxes(width, height)]
    return Deliverable("", TILES_TAIL, b"".join(parts))
