"""Say at which edges a copying engine has forms to continue: they bend, break off or appear twice, which a smooth ground does not show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Mask, Pixels
from goldsmith.picture.smoothing import resize_values
from goldsmith.stitching.smooth_ground import measure_smoothness
from goldsmith.stitching.surroundings import MAX_RING_PX, MIN_RING_PX

# Forms are looked for in a copy whose longer side is at most this, in px: nobody sees smaller ones in a whole picture.
MEASURED_SIDE = 1600


def edges_with_forms(pixels: Pixels, edges: Sequence[str], hidden: Mask | None = None) -> tuple[str, ...]:
    """Return those of the edges ("left", "right", "top", "bottom") beside which pixels (h, w, c), 0..1, have more than slopes and grain.

    hidden: (h, w), 0..1, what the engine does not see, so that it is not continued.
    """
    scale = min(1.0, MEASURED_SIDE / max(pixels.shape[:2]))
    high, wide = (max(round(side * scale), 1) for side in pixels.shape[:2])
    unseen = np.zeros(pixels.shape[:2], dtype=np.float32) if hidden is None else hidden
    if scale < 1:
        pixels, unseen = resize_values(pixels, high, wide), resize_values(unseen, high, wide)
    return tuple(edge for edge in edges if not _is_nearly_smooth(_inward_from(pixels, edge), _inward_from(unseen, edge) > 0))


def _inward_from(values: NDArray[np.float32], edge: str) -> NDArray[np.float32]:
    """Return the values so that this edge is the first row."""
    return {"top": values, "bottom": values[::-1], "left": values.swapaxes(0, 1), "right": values[:, ::-1].swapaxes(0, 1)}[edge]


def _is_nearly_smooth(pixels: Pixels, unseen: NDArray[np.bool_]) -> bool:
    strip = pixels[: 2 * MAX_RING_PX]
    strip = np.repeat(strip, 3, axis=2) if strip.shape[2] == 1 else strip
    beside = np.ascontiguousarray(np.pad(strip, ((MIN_RING_PX, 0), (0, 0), (0, 0)), mode="edge"))
    hidden = np.pad(unseen[: 2 * MAX_RING_PX], ((MIN_RING_PX, 0), (0, 0)))
    new = np.zeros(beside.shape[:2], dtype=np.bool_)
    new[:MIN_RING_PX] = True
    return measure_smoothness(beside, new, hidden).is_nearly_smooth
