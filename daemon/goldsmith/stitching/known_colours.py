"""Give a fill the colours of its surroundings where a model has invented others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels
from goldsmith.picture.smoothing import gaussian_blur
from goldsmith.stitching.surroundings import COLOUR_BLUR, ColourCells

# The sides of a cell of colours in L, a and b, and the share of the surroundings from which on it counts. Both are stricter than where
# fills are measured: on a grey wall a viewer sees a weak tint that is nothing among foliage, and a colour that is moved so little loses
# nothing.
TINT_CELL = (5.0, 2.0, 2.0)
LEAST_TINT_SHARE = 3e-4
# The standard deviation in px over which the change of colour is evened out.
CHANGE_SIGMA = 3.0
# The change is made again, as the evening-out leaves a part of it.
PASSES = 3


def keep_known_colours(pixels: Pixels, unknown: NDArray[np.bool_], known: NDArray[np.bool_]) -> Pixels:
    """Return ``pixels`` with each colour of the unknown part that the known part does not have moved to the nearest one that it has.

    pixels: (h, w, 3), 0..1, display-encoded; unknown, known: (h, w). Colours are compared and moved after a blur of ``COLOUR_BLUR`` px, so
    that fine detail stays. The known part stays as it is.
    """
    import cv2

    if not known.any():
        return pixels
    result = pixels
    for _ in range(PASSES):
        soft = np.clip(gaussian_blur(result, COLOUR_BLUR), 0, 1)
        lab = cv2.cvtColor(soft, cv2.COLOR_RGB2Lab)
        cells = ColourCells(lab, known, TINT_CELL, LEAST_TINT_SHARE)
        strange = unknown & ~cells.usual
        if not strange.any():
            break
        moved = lab.copy()
        moved[strange] = cells.nearest(lab[strange])
        change = (cv2.cvtColor(moved, cv2.COLOR_Lab2RGB) - soft) * strange[..., None]
        weight = gaussian_blur(strange.astype(np.float32), CHANGE_SIGMA)
        even = gaussian_blur(change, CHANGE_SIGMA) / np.maximum(weight, 1e-3)[..., None]
        share = (np.clip(2 * weight, 0, 1) * unknown)[..., None]
        result = np.clip(result + even * share, 0, 1).astype(np.float32)
    return result
