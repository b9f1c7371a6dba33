"""Sums of the bits of floats along the rows and columns of a picture, by which two runs are compared."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

import numpy as np
from numpy.typing import NDArray

# Rows summed together: they stay in the CPU cache for the second sum.
_BAND_ROWS = 16


class BitSums:
    """The sums of one picture (h, w, c), modulo 2**64. Rows are added in any order, from any thread, and each counts once."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        height, values = shape[0], int(np.prod(shape[1:]))
        self._dtype = np.dtype(np.uint64 if values % 2 == 0 else np.uint32)
        self._rows = np.zeros(height, np.uint64)
        self._columns = np.zeros(values * 4 // self._dtype.itemsize, np.uint64)
        self._is_added = np.zeros(height, np.bool_)
        self._lock = Lock()

    def add(self, top: int, pixels: NDArray[np.float32]) -> None:
        """Add the rows of ``pixels`` (rows, w, ...), any unit, of which the first is the row ``top``, without those that were added."""
        for start in range(0, len(pixels), _BAND_ROWS):
            self._add_band(top + start, pixels[start : start + _BAND_ROWS])

    def _add_band(self, top: int, band: NDArray[np.float32]) -> None:
        rows = slice(top, top + len(band))
        with self._lock:
            is_new = ~self._is_added[rows]
            self._is_added[rows] = True
        if not is_new.any():
            return
        band = band if is_new.all() else band[is_new]
        bits = np.ascontiguousarray(band).reshape(len(band), -1).view(self._dtype)
        self._rows[rows][is_new] = np.add.reduce(bits, axis=1, dtype=np.uint64)
        columns = np.add.reduce(bits, axis=0, dtype=np.uint64)
        with self._lock:
            self._columns += columns

    @property
    def is_complete(self) -> bool:
        """Whether every row was added."""
        return bool(self._is_added.all())

    def feed(self, update: Callable[[bytes], None]) -> None:
        """Give the sums of all rows, then those of all columns, to the ``update`` of a hash."""
        update(self._rows.tobytes())
        update(self._columns.tobytes())
