"""How far two files of one picture are apart. A step like any other, so that strangers' files are decoded in a lane and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from goldsmith import ops
from goldsmith.operation import Bench, Finding, Operation, PlateOperation
from goldsmith.picture.picture import Plate, quantised

CATALOGUE = "goldsmith.pipeline.replay.compare:catalogue"
THEN = "then"
"""What the delivered file is called among the inputs of a comparison: a layer of that name."""
FINDINGS = ("unlike", "same", "profile", "mean", "worst", "share", "depth")
_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".avif", ".heic", ".heif")
_BAND = 64


class Compare(PlateOperation):
    """Put on record how far the picture is from the layer ``then``; nothing is changed."""

    pixels: Annotated[int, Field(ge=1)]
    """The largest picture that is read, as for every other file."""

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        """The very plate; findings: ``unlike`` (why they cannot be laid on one another) or ``same``, mean, worst, share, depth."""
        from goldsmith.picture.codec import decode

        path = bench.reference("layers", THEN, _SUFFIXES)
        bench.record(**difference(decode(path.read_bytes(), path.name, self.pixels), plate))
        return plate


def catalogue() -> Mapping[str, type[Operation]]:
    """The operations, and the comparison, which no brief can name."""
    return {**ops.catalogue(), "compare": Compare}


def difference(then: Plate, now: Plate) -> dict[str, Finding]:
    """How far ``now`` is from ``then``, in codes at the depth of ``then``, alpha taken for one more channel.

    mean and worst: over every code of every pixel; share: the part of the pixels in which any code differs, 0..1.
    """
    unlike = _unlike(then, now)
    if unlike:
        return {"unlike": unlike}
    worst, total, pixels = 0, 0, 0
    for top in range(0, then.height, _BAND):
        off = _apart(then, now, slice(top, top + _BAND))
        worst = max(worst, int(off.max()))
        total += int(off.sum())
        pixels += int(np.count_nonzero(off.any(axis=2)))
    count = then.height * then.width
    channels = then.channels + (then.alpha is not None)
    profile = then.icc == now.icc
    return {
        "same": worst == 0 and profile,
        "profile": profile,
        "mean": total / (count * channels),
        "worst": worst,
        "share": pixels / count,
        "depth": then.depth,
    }


def _unlike(then: Plate, now: Plate) -> str:
    if (then.width, then.height) != (now.width, now.height):
        return f"it was {then.width} x {then.height} px and is {now.width} x {now.height} px now"
    if then.channels != now.channels:
        return f"it had {then.channels} channels and has {now.channels} now"
    if (then.alpha is None) != (now.alpha is None):
        return "it was opaque and is not now" if then.alpha is None else "it had transparency and has none now"
    return "" if then.depth == now.depth else f"it had {then.depth} bits per channel and has {now.depth} now"


def _apart(then: Plate, now: Plate, rows: slice) -> NDArray[np.int32]:
    """|then - now| in codes over a band of rows, (rows, w, channels and alpha)."""
    off: NDArray[np.int32] = np.abs(_codes(then.pixels[rows], then) - _codes(now.pixels[rows], then))
    if then.alpha is None or now.alpha is None:
        return off
    alpha = np.abs(_codes(then.alpha[rows, :, None], then) - _codes(now.alpha[rows, :, None], then))
    return np.concatenate((off, alpha), axis=2)


def _codes(values: NDArray[np.float32], plate: Plate) -> NDArray[np.int32]:
    return quantised(values, plate.depth).astype(np.int32)
