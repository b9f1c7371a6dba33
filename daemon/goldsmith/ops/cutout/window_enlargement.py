"""Enlarge a window of a small picture, as if the whole was enlarged, so that the whole never is in memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels, Window


def enlarge_window(planes: Pixels, shape: tuple[int, ...], window: Window) -> Pixels:
    """Return a window (h, w, c) of ``planes``, in any unit, enlarged to ``shape`` (h, w) by linear interpolation."""
    (rows, columns), (height, width) = window, shape
    above, below, down = _neighbours_of(rows, planes.shape[0], height)
    left, right, across = _neighbours_of(columns, planes.shape[1], width)
    rows_between = planes[above] + down[:, None, None] * (planes[below] - planes[above])
    result: Pixels = rows_between[:, left] + across[:, None] * (rows_between[:, right] - rows_between[:, left])
    return result


def _neighbours_of(span: slice, source_side: int, side: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Return, for the px of a span of ``side`` px, the two source px on each side of it, and the share of the second, 0..1."""
    place = (np.arange(span.start, min(span.stop, side)) + 0.5) * (source_side / side) - 0.5
    first = np.floor(place).astype(np.intp)
    share = (place - first).astype(np.float32)
    return np.clip(first, 0, source_side - 1), np.clip(first + 1, 0, source_side - 1), share
