"""Pixels that are computed when they are read: a run of rows at a time while they are in the CPU's cache, or all at once."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.bit_sums import BitSums
from goldsmith.picture.row_slabs import for_each_slab


class LazyPixels:
    """The pixels (h, w, c) of a picture, float32, 0..1, display-encoded, read-only.

    ``compute_rows`` returns the rows of a slice, the same each time, and may be called on several threads. It is dropped, with the memory
    that it refers to, once all pixels have been put together.
    """

    def __init__(self, shape: tuple[int, ...], compute_rows: Callable[[slice], NDArray[np.float32]], *, sums_bits: bool = False) -> None:
        """``sums_bits``: sum the bits of each row when it is computed, so that no other pass is needed for them."""
        self.shape = shape
        self.bit_sums = BitSums(shape) if sums_bits else None
        self._compute_rows: Callable[[slice], NDArray[np.float32]] | None = compute_rows
        self._array: NDArray[np.float32] | None = None
        self._lock = Lock()

    @property
    def is_computed(self) -> bool:
        """Whether all pixels have been put together."""
        return self._array is not None

    def read(self, rows: slice) -> NDArray[np.float32]:
        """Return some rows, (rows, w, c), 0..1, display-encoded; both ends of the slice lie inside the picture."""
        compute = self._compute_rows
        if compute is None:
            return self.array()[rows]
        result = compute(rows)
        if self.bit_sums is not None:
            self.bit_sums.add(rows.start, result)
        result.flags.writeable = False
        return result

    def array(self, on_progress: Callable[[float], None] = lambda _: None) -> NDArray[np.float32]:
        """Return all pixels, (h, w, c), 0..1, display-encoded, put together at the first call, on two threads.

        ``on_progress`` receives 0..1 and may raise to cancel.
        """
        with self._lock:
            if self._array is None:
                result = np.empty(self.shape, np.float32)

                def run(rows: slice) -> None:
                    result[rows] = self.read(rows)

                for_each_slab(self.shape[:2], run, on_progress)
                result.flags.writeable = False
                self._array = np.asarray(result.data)  # numpy gives no write access to memory whose owner has none
                self._compute_rows = None
            return self._array
