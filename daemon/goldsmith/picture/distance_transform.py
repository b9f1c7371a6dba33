"""The distance of each pixel to the outside of a shape: exact and reproducible."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Mask


def distance_transform(shape: NDArray[np.uint8] | NDArray[np.bool_]) -> Mask:
    """Return (h, w): for each pixel that is not 0, the distance in px to the nearest one that is; 0 elsewhere. At least one pixel must be
    0.

    The last bit of OpenCV's precise distances depends on the array's memory address. Their squares are whole numbers, so rounding makes
    them exact.
    """
    import cv2

    rough = cv2.distanceTransform(shape.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE).astype(np.float64)
    return np.asarray(np.sqrt(np.round(rough * rough)), np.float32)
