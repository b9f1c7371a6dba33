"""How far two files of one picture are apart. A step like any other, so that strangers' files are decoded in a lane and nowhere else."""

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
# What the delivered file is called among the inputs of a comparison: a layer of that name.
RECORDED_LAYER = "then"
COMPARISON_KEYS = ("incomparable", "identical", "same_profile", "mean", "max", "changed_share", "depth")
_BAND_ROWS = 64


class Compare(PictureOperation):
    """Put on record how far the picture is from the layer ``then``; nothing is changed."""

    max_pixels: Annotated[int, Field(ge=1)]
    """The largest picture that is read, as for every other file."""

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """The very picture; findings: ``unlike`` (why they cannot be laid on one another) or ``same``, mean, worst, share, depth."""
        from goldsmith.picture.codec import decode

        path = context.library.file("layers", RECORDED_LAYER, picture_suffixes())
        context.results.record(**measure_difference(decode(path.read_bytes(), path.name, self.max_pixels), picture))
        return picture


def catalogue() -> Mapping[str, type[Operation]]:
    """The operations, and the comparison, which no brief can name."""
    return {**ops.catalogue(), "compare": Compare}


def measure_difference(recorded: Picture, remade: Picture) -> dict[str, RecordValue]:
    """How far ``now`` is from ``then``, in codes at the depth of ``then``, alpha taken for one more channel.

    mean and worst: over every code of every pixel; share: the part of the pixels in which any code differs, 0..1.
    """
    reason = _incomparable_reason(recorded, remade)
    if reason:
        return {"incomparable": reason}
    worst, total, pixels = 0, 0, 0
    for top in range(0, recorded.height, _BAND_ROWS):
        off = _code_difference(recorded, remade, slice(top, top + _BAND_ROWS))
        worst = max(worst, int(off.max()))
        total += int(off.sum())
        pixels += int(np.count_nonzero(off.any(axis=2)))
    count = recorded.height * recorded.width
    channels = recorded.channels + (recorded.alpha is not None)
    profile = recorded.icc == remade.icc
    return {
        "identical": worst == 0 and profile,
        "same_profile": profile,
        "mean": total / (count * channels),
        "max": worst,
        "changed_share": pixels / count,
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
    """|then - now| in codes over a band of rows, (rows, w, channels and alpha)."""
    off: NDArray[np.int32] = np.abs(_to_codes(recorded.pixels[rows], recorded) - _to_codes(remade.pixels[rows], recorded))
    if recorded.alpha is None or remade.alpha is None:
        return off
    alpha = np.abs(_to_codes(recorded.alpha[rows, :, None], recorded) - _to_codes(remade.alpha[rows, :, None], recorded))
    return np.concatenate((off, alpha), axis=2)


def _to_codes(values: NDArray[np.float32], picture: Picture) -> NDArray[np.int32]:
    return quantise(values, picture.depth).astype(np.int32)
