"""How far each pixel lies from the nearest one outside a shape: exact, and the same every time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Mask


def distance_transform(shape: NDArray[np.uint8] | NDArray[np.bool_]) -> Mask:
    """(h, w): of each pixel that is not 0 the distance in px to the nearest that is, 0 elsewhere; at least one pixel must be 0.

    OpenCV's own precise distances differ in their last bit with where the array happens to lie in memory. Their squares are whole
    numbers, so what is rounded there is exact.
    """
    import cv2

    rough = cv2.distanceTransform(shape.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE).astype(np.float64)
    return np.asarray(np.sqrt(np.round(rough * rough)), np.float32)
