"""A second look at a subject: the model sees it again, larger, in a cut of its surroundings.

The model works at a few hundred px, so a small subject is a blur to it at first. Seen larger, its outline is found; and what is no subject,
but a part of a scene, looks different then. How far both looks agree tells the two apart.
"""

from __future__ import annotations

import numpy as np

from goldsmith.engines.vision import MatteEstimator
from goldsmith.picture.picture import Mask, Pixels, Window
from goldsmith.worker.guided_filter import refine_matte

# The part of a matte that counts as the subject, 0..1.
_HALF = 0.5
# The surroundings on each side, as a share of the subject's box.
_MARGIN = 0.35
# With a cut of a larger share of the picture, the second look would show what the first one showed.
_MAX_CUT_SHARE = 0.85
# With less agreement, 0..1, the matte is grey wherever the looks differ.
_MIN_AGREEMENT = 0.7


def look_again(engine: MatteEstimator, first_look: Mask, refined: Mask, pixels: Pixels, source_long_side: int) -> tuple[Mask, float | None]:
    """Return the matte (h, w), 0..1, after a second look, and how far both looks agree, 0..1; None if there was no second look.

    ``first_look`` is the model's matte of the picture ``pixels`` (h, w, c), 0..1, ``refined`` the same at the picture's edges, and
    ``source_long_side`` the px at which the model works. If the looks agree, the second one counts. If they do not, their mean does, which
    is uncertain wherever they differ.
    """
    window = _surroundings(first_look)
    if window is None:
        return refined, None
    cut = np.ascontiguousarray(pixels[window])
    second_look = engine.matte(np.repeat(cut, 3, axis=2) if cut.shape[2] == 1 else cut)
    agreement = measure_agreement(first_look[window], second_look)
    result = np.zeros_like(refined)
    result[window] = refine_matte(second_look, cut, source_long_side)
    if agreement < _MIN_AGREEMENT:
        result += refined
        result *= np.float32(0.5)
    return result, agreement


def _surroundings(matte: Mask) -> Window | None:
    """Return the subject's box with a margin; None if there is no subject, or if the box is nearly the whole picture."""
    spans = []
    for axis, side in ((1, matte.shape[0]), (0, matte.shape[1])):
        inside = np.flatnonzero((matte > _HALF).any(axis=axis))
        if not len(inside):
            return None
        first, last = int(inside[0]), int(inside[-1]) + 1
        margin = max(1, round(_MARGIN * (last - first)))
        spans.append(slice(max(0, first - margin), min(side, last + margin)))
    rows, columns = spans
    share = (rows.stop - rows.start) * (columns.stop - columns.start) / matte.size
    return None if share > _MAX_CUT_SHARE else (rows, columns)


def measure_agreement(first: Mask, second: Mask) -> float:
    """Return the common part of two mattes (h, w), 0..1, as a share of what either covers, 0..1."""
    common = float(np.minimum(first, second).sum(dtype=np.float64))
    either = float(np.maximum(first, second).sum(dtype=np.float64))
    return common / either if either else 0.0
