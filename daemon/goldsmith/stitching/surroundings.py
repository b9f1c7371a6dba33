"""Where the surroundings of a hole are measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# The ring round a hole is a quarter of its longer side wide, within these px.
MIN_RING_PX = 16
MAX_RING_PX = 96


def ring_width(hole: NDArray[np.bool_]) -> int:
    """Return the width in px of the ring round the hole (h, w)."""
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    if not rows.size:
        return MIN_RING_PX
    longer = max(int(rows[-1] - rows[0]), int(columns[-1] - columns[0])) + 1
    return int(np.clip(longer // 4, MIN_RING_PX, MAX_RING_PX))


def find_ring(hole: NDArray[np.bool_], hidden: NDArray[np.bool_], width: int | None = None) -> NDArray[np.bool_]:
    """Return the pixels (h, w) within ``width`` px outside the hole that are not hidden; by default within ``ring_width``."""
    return (distance_from(hole) <= (ring_width(hole) if width is None else width)) & ~hole & ~hidden


def distance_from(hole: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the distance (h, w) in px of each pixel from the hole; 0 inside it."""
    import cv2

    return np.asarray(cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, 5), dtype=np.float32)
