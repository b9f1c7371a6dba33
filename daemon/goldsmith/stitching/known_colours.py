"""Give a fill the colours of its surroundings where a model has invented others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels
from goldsmith.picture.smoothing import gaussian_blur
from goldsmith.stitching.surroundings import COLOUR_BLUR, ColourCells, to_lab, window_of

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

    if not known.any() or not unknown.any():
        return pixels
    cells = ColourCells(to_lab(gaussian_blur(pixels, COLOUR_BLUR)[known]), TINT_CELL, LEAST_TINT_SHARE)
    window = window_of(unknown, round(4 * CHANGE_SIGMA))
    inside, part = unknown[window], pixels[window]
    for _ in range(PASSES):
        soft = np.clip(gaussian_blur(part, COLOUR_BLUR), 0, 1)
        lab = to_lab(soft[inside])
        is_strange = ~cells.are_usual(lab)
        if not is_strange.any():
            break
        lab[is_strange] = cells.nearest(lab[is_strange])
        strange = np.zeros_like(inside)
        strange[inside] = is_strange
        change = np.zeros_like(part)
        change[strange] = cv2.cvtColor(lab[is_strange][None], cv2.COLOR_Lab2RGB)[0] - soft[strange]
        weight = gaussian_blur(strange.astype(np.float32), CHANGE_SIGMA)
        even = gaussian_blur(change, CHANGE_SIGMA) / np.maximum(weight, 1e-3)[..., None]
        part = np.clip(part + even * (np.clip(2 * weight, 0, 1) * inside)[..., None], 0, 1).astype(np.float32)
    result = pixels.copy()
    result[window] = part
    return result
