"""Work on a picture in slabs of rows that stay in a core's cache, on two threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

# With a few temporary arrays of floats, a slab of so many pixels fits into a core's cache.
_SLAB_PIXELS = 1 << 15
_THREADS = 2


def for_each_slab(
    shape: tuple[int, ...],
    process_rows: Callable[[slice], None],
    on_progress: Callable[[float], None] = lambda _: None,
    min_rows: int = 1,
) -> None:
    """Call ``process_rows`` with slabs of at least ``min_rows`` rows that together make up a picture (h, w), on two threads.

    ``on_progress`` receives 0..1 and may raise to cancel.
    """
    height, width = shape
    rows = max(min_rows, _SLAB_PIXELS // width)
    pool = ThreadPoolExecutor(_THREADS)
    try:
        tops = range(0, height, rows)
        for number, _ in enumerate(pool.map(lambda top: process_rows(slice(top, min(top + rows, height))), tops)):
            on_progress((number + 1) / len(tops))
    finally:
        pool.shutdown(cancel_futures=True)  # if ``on_progress`` cancelled the work, no further slab starts
