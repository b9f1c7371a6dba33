"""Process a picture piece by piece: slabs of rows on two threads, strips with context, and only under a mask."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from goldsmith.picture.picture import Mask, Pixels, Window
from goldsmith.picture.row_slabs import for_each_slab

# Takes pixels (rows, w, c) and returns as many; it may write into its input.
PixelChange = Callable[[Pixels], Pixels]

# Receives the progress 0..1; it may raise to cancel.
OnProgress = Callable[[float], None]

# Pixels of a strip, as far as its margin allows: a strip has at least 4 rows for each row of its margin, because what lies in margins is
# computed twice, and no more than 24, because small strips stay in the cache.
_STRIP_PIXELS = 1 << 20


def map_slabs(pixels: Pixels, change: PixelChange, on_progress: OnProgress = lambda _: None, *, out: Pixels | None = None) -> Pixels:
    """Return ``change`` applied to every slab of rows of ``pixels`` (h, w, c), 0..1, display-encoded, on two threads; ``out`` as below.

    ``on_progress`` receives 0..1 and may raise to cancel.
    """
    return map_slabs_with_row(pixels, lambda slab, _: change(slab), on_progress, out=out)


def map_slabs_with_row(
    pixels: Pixels, change: Callable[[Pixels, int], Pixels], on_progress: OnProgress = lambda _: None, *, out: Pixels | None = None
) -> Pixels:
    """Return the same as ``map_slabs``, (h, w, c), 0..1; ``change`` also receives the first row of its slab.

    out: the array for the result, which may be ``pixels`` itself if no other code uses it; default: a new one.
    """
    result = np.empty_like(pixels) if out is None else out

    def run(rows: slice) -> None:
        result[rows] = change(pixels[rows].copy(), rows.start)

    for_each_slab(pixels.shape[:2], run, on_progress)
    return result


def apply_through_mask(pixels: Pixels, mask: Mask | None, change: PixelChange, margin: int = 0) -> Pixels | None:
    """Return ``change`` applied to ``pixels`` (h, w, c), 0..1, through ``mask`` (h, w), 0..1; None if the mask is zero everywhere.

    ``change`` sees the mask's box and ``margin`` px around it, so the cost is that of the box; it returns new pixels and does not change
    its input. A pixel whose mask is zero is copied, never computed. Without a mask, the whole picture is processed.
    """
    return apply_through_mask_with_window(pixels, mask, lambda part, _: change(part), margin)


def apply_through_mask_with_window(
    pixels: Pixels, mask: Mask | None, change: Callable[[Pixels, Window], Pixels], margin: int = 0
) -> Pixels | None:
    """Return the same as ``apply_through_mask``, (h, w, c), 0..1; ``change`` also receives its box in ``pixels``."""
    if mask is None:
        return change(pixels, np.s_[0 : pixels.shape[0], 0 : pixels.shape[1]])
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    top, left = max(0, int(rows[0]) - margin), max(0, int(cols[0]) - margin)
    bottom, right = min(mask.shape[0], int(rows[-1]) + 1 + margin), min(mask.shape[1], int(cols[-1]) + 1 + margin)
    window = np.s_[top:bottom, left:right]
    changed = change(pixels[window], window)
    result = pixels.copy()
    target = result[window]

    def mix(part: slice) -> None:
        before, share = target[part], mask[window][part][:, :, None]
        mixed = changed[part] - before
        mixed *= share
        mixed += before
        target[part] = np.where(share > 0, mixed, before)

    for_each_slab(target.shape[:2], mix)
    return result


def map_strips(pixels: Pixels, change: PixelChange, margin: int, on_progress: OnProgress = lambda _: None) -> Pixels:
    """Return ``change`` applied to strips of ``pixels`` (h, w, c), 0..1, each with ``margin`` rows of context above and below.

    The result equals that for the whole picture if ``change`` looks no further than ``margin``; the memory is that of two strips, which are
    worked on by two threads.
    """
    height, width = pixels.shape[:2]
    result = np.empty_like(pixels)

    def run(rows: slice) -> None:
        start = max(0, rows.start - margin)
        strip = change(pixels[start : rows.stop + margin].copy())
        result[rows] = strip[rows.start - start : rows.stop - start]

    rows = max(4 * margin, min(24 * margin, _STRIP_PIXELS // width), 1)
    for_each_slab((height, width), run, on_progress, min_rows=rows)
    return result
