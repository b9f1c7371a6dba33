"""Add fine detail to a part that was filled at a reduced size, from similar parts of the picture at full size."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels
from goldsmith.picture.smoothing import boost_detail, gaussian_blur

# Side of the blocks that are matched and transferred, in px of the reduced size; neighbours overlap by half.
BLOCK_SIDE = 16
# How far from its own row a block is searched, in px of the reduced size: textures differ by height, as grass and sky do.
MAX_ROW_OFFSET = 24
# Maximum gain of the detail where unrelated blocks were mixed: four blocks would need 2, and blur is less visible.
MAX_DETAIL_GAIN = 1.5


def transfer_detail(coarse: Pixels, fine: Pixels, seam_column: int, on_progress: Callable[[float], None]) -> Pixels:
    """Return fine detail for everything to the right of ``seam_column``, taken from the left of it; unbounded differences around 0.

    ``coarse``: (h, w, 3), 0..1, display-encoded, complete. ``fine``: (h * f, w * f, c), the difference of the picture from its coarse
    version, known left of ``seam_column * f``. ``seam_column``: the column of ``coarse`` where the known part ends. Returns (h * f, (w -
    seam_column) * f, c).
    """
    factor = fine.shape[0] // coarse.shape[0]
    height, width = coarse.shape[:2]
    side = min(BLOCK_SIDE, height, seam_column)
    grey = np.ascontiguousarray(coarse.mean(axis=2))
    window = _block_weights(side * factor)
    from_left = max(seam_column - side // 2, 0)
    shape = (height * factor, max(width, from_left + side) * factor - from_left * factor)
    total: Pixels = np.zeros((*shape, fine.shape[2]), dtype=np.float32)
    weight, strength = np.zeros((2, *shape), dtype=np.float32)
    power = np.square(fine).mean(axis=2)
    grey = np.pad(grey, ((0, 0), (0, max(from_left + side - width, 0))), mode="edge")
    rows = list(_block_starts(0, height, side))
    for number, row in enumerate(rows):
        on_progress(number / len(rows))
        low, high = max(row - MAX_ROW_OFFSET, 0), min(row + side + MAX_ROW_OFFSET, height)
        for column in _block_starts(from_left, max(width, from_left + side), side):
            block = grey[row : row + side, column : column + side]
            down, across = _find_best_match(grey[low:high, :seam_column], block)
            source = np.s_[(low + down) * factor :, across * factor :]
            target = np.s_[row * factor : (row + side) * factor, (column - from_left) * factor : (column - from_left + side) * factor]
            total[target] += fine[source][: side * factor, : side * factor] * window[:, :, None]
            strength[target] += power[source][: side * factor, : side * factor] * window
            weight[target] += window
    weight = np.maximum(weight, np.float32(1e-6))
    sigma = max(side * factor / 4, 1.0)
    detail = boost_detail(total / weight[:, :, None], gaussian_blur(strength / weight, sigma), sigma, MAX_DETAIL_GAIN)
    return np.asarray(detail[:, (seam_column - from_left) * factor :][:, : (width - seam_column) * factor], dtype=np.float32)


def _find_best_match(known: NDArray[np.float32], block: NDArray[np.float32]) -> tuple[int, int]:
    """Return the row and column in ``known`` that match the block best."""
    import cv2

    difference = cv2.matchTemplate(known, block, cv2.TM_SQDIFF)
    _, _, (across, down), _ = cv2.minMaxLoc(difference)
    return int(down), int(across)


def _block_starts(low: int, high: int, side: int) -> Iterator[int]:
    """Yield where blocks start so that neighbours overlap by half and the last one ends at ``high``."""
    step = max(side // 2, 1)
    yield from range(low, high - side, step)
    yield max(high - side, low)


def _block_weights(side: int) -> NDArray[np.float32]:
    """Return the weights of a block: highest in its middle."""
    rise = np.sin(np.pi * (np.arange(side, dtype=np.float32) + np.float32(0.5)) / side) ** 2
    return np.asarray(np.outer(rise, rise), dtype=np.float32)
