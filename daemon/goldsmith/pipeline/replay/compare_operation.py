"""The difference between two files of one picture. It is measured by a step, so that only workers decode untrusted files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from goldsmith import ops
from goldsmith.operation import Operation, PictureOperation, RecordValue, StepContext
from goldsmith.picture.formats.table import picture_suffixes
from goldsmith.picture.picture import Picture, quantise

CATALOGUE_ENTRY_POINT = "goldsmith.pipeline.replay.compare_operation:catalogue"
# The name of the delivered file among the inputs of a comparison: it is a layer.
RECORDED_LAYER = "recorded"
COMPARISON_KEYS = ("incomparable", "identical", "same_profile", "mean", "max", "changed_share", "depth")
_BAND_ROWS = 64


class Compare(PictureOperation):
    """Record the difference between the picture and the layer ``recorded``. The picture does not change."""

    max_pixels: Annotated[int, Field(ge=1)]
    """The largest picture that is read, in pixels."""

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """Return the same picture. Findings: those of ``measure_difference``."""
        from goldsmith.picture.codec import decode

        path = context.library.file("layers", RECORDED_LAYER, picture_suffixes())
        context.results.record(**measure_difference(decode(path.read_bytes(), path.name, self.max_pixels), picture))
        return picture


def catalogue() -> Mapping[str, type[Operation]]:
    """Return the operations with the comparison, which no brief can name."""
    return {**ops.catalogue(), "compare": Compare}


def measure_difference(recorded: Picture, remade: Picture) -> dict[str, RecordValue]:
    """Return the difference between two pictures in codes at the depth of ``recorded``. Alpha counts as a channel.

    ``mean`` and ``max`` are over every code of every pixel; ``changed_share`` is the share of pixels in which a code differs, 0..1;
    ``identical`` is True if codes and profiles agree. If the pictures cannot be compared, the only finding is ``incomparable``, the reason.
    """
    reason = _incomparable_reason(recorded, remade)
    if reason:
        return {"incomparable": reason}
    highest, total, changed = 0, 0, 0
    for top in range(0, recorded.height, _BAND_ROWS):
        difference = _code_difference(recorded, remade, slice(top, top + _BAND_ROWS))
        highest = max(highest, int(difference.max()))
        total += int(difference.sum())
        changed += int(np.count_nonzero(difference.any(axis=2)))
    count = recorded.height * recorded.width
    channels = recorded.channels + (recorded.alpha is not None)
    same_profile = recorded.icc == remade.icc
    return {
        "identical": highest == 0 and same_profile,
        "same_profile": same_profile,
        "mean": total / (count * channels),
        "max": highest,
        "changed_share": changed / count,
        "depth": recorded.depth,
    }


def _incomparable_reason(recorded: Picture, remade: Picture) -> str:
    if (recorded.width, recorded.height) != (remade.width, remade.height):
        return f"it was {recorded.width} x {recorded.height} px and is {remade.width} x {remade.height} px now"
    if recorded.channels != remade.channels:
        return f"it had {recorded.channels} channels and has {remade.channels} now"
    if (recorded.alpha is None) != (remade.alpha is None):
        return "it was opaque and is not now" if recorded.alpha is None else "it had transparency and has none now"
    return "" if recorded.depth == remade.depth else f"it had {recorded.depth} bits per channel and has {remade.depth} now"


def _code_difference(recorded: Picture, remade: Picture, rows: slice) -> NDArray[np.int32]:
    """Return |recorded - remade| in codes over a band of rows, (rows, width, channels and alpha)."""
    difference: NDArray[np.int32] = np.abs(_to_codes(recorded.pixels[rows], recorded) - _to_codes(remade.pixels[rows], recorded))
    if recorded.alpha is None or remade.alpha is None:
        return difference
    alpha = np.abs(_to_codes(recorded.alpha[rows, :, None], recorded) - _to_codes(remade.alpha[rows, :, None], recorded))
    return np.concatenate((difference, alpha), axis=2)


def _to_codes(values: NDArray[np.float32], picture: Picture) -> NDArray[np.int32]:
    return quantise(values, picture.depth).astype(np.int32)
