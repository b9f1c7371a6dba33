"""The step that makes a preview. It runs in a worker process, because it decodes files from a share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from goldsmith import ops
from goldsmith.operation import Deliverable, FileOperation, Operation, StepContext
from goldsmith.ops.select.contact_sheet import Thumbnail, make_thumbnail
from goldsmith.picture.codec import EncodingOptions, encode
from goldsmith.picture.picture import Picture, freeze

CATALOGUE_ENTRY_POINT = "goldsmith.pipeline.previews.preview_operation:catalogue"
MEAN_COLOUR = "mean_lab"
_QUALITY = 82


class PreviewOperation(FileOperation):
    """Write the picture as a small JPEG in sRGB, and record its mean colour."""

    side: Annotated[int, Field(ge=16, le=4096)]
    """The JPEG fits into a square of this side, in px."""

    def make_files(self, picture: Picture, context: StepContext) -> Sequence[Deliverable]:
        """Return the JPEG. Findings: ``mean_lab``, the mean colour as CIE Lab at D50."""
        small = make_thumbnail(picture, self.side)
        pixels = freeze(small.astype(np.float32) / np.float32(255))
        context.results.record(**{MEAN_COLOUR: mean_lab(small)})
        return (Deliverable("_preview", ".jpg", encode(Picture(pixels), EncodingOptions(format="jpeg", quality=_QUALITY))),)


def mean_lab(thumbnail: Thumbnail) -> list[float]:
    """Return the mean colour of codes (h, w, 3), 0..255, in sRGB, as CIE Lab at D50: L 0..100, a, b."""
    from goldsmith.picture.cielab import pixels_to_lab
    from goldsmith.picture.linear_light import LinearLight

    lab = pixels_to_lab(np.ascontiguousarray(thumbnail, np.float32) / np.float32(255), LinearLight(None))
    return [round(float(value), 3) for value in lab.reshape(-1, 3).mean(axis=0)]


def catalogue() -> Mapping[str, type[Operation]]:
    """Return the operations with the preview, which no brief can name."""
    return {**ops.catalogue(), "preview": PreviewOperation}
