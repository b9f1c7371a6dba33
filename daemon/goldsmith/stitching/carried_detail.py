"""Give a fill that is too soft the fine detail of places in the picture that look like it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels
from goldsmith.picture.smoothing import detail_power, gaussian_blur, resize_values
from goldsmith.stitching.offset_labels import window_counts

# The standard deviation in px of the blur that separates detail from form, for each factor of the fill's enlargement.
DETAIL_SIGMA = 1.2
# The standard deviation in px over which the strength of detail is compared.
POWER_SIGMA = 10.0
# The standard deviation in px of the blur that separates the detail that is lifted, and the largest factor: more would look sharpened.
LIFT_SIGMA = 1.5
MAX_LIFT = 1.3
# Side in px of the blocks whose detail is carried over; they overlap by half.
BLOCK_SIDE = 32
# Blocks are compared on a copy that is reduced by this factor; sources start every so many px of it.
REDUCTION = 4
# A block whose best match differs by this root mean square, 0..1, gets half of its detail: the edges in it lie elsewhere.
ALIKE_DIFFERENCE = 0.05
SOURCE_STEP = 2
_COMPARED_AT_ONCE = 1024


def carry_detail(pixels: Pixels, unknown: NDArray[np.bool_], enlargement: float, barred: NDArray[np.bool_] | None = None) -> Pixels:
    """Return ``pixels`` with more detail in the unknown part, which was filled and is too soft.

    pixels: (h, w, 3), 0..1, display-encoded. unknown: (h, w). enlargement: how far the fill was enlarged, 1 = made at full size. barred:
    (h, w), what lends no detail, such as a subject. Nothing is added where the fill has as much detail as the places that look like it. The
    same pixels are returned if there is no such place.
    """
    if min(unknown.shape) < 2 * BLOCK_SIDE:
        return pixels
    sigma = DETAIL_SIGMA * max(enlargement, 1.0)
    own = pixels - gaussian_blur(pixels, sigma)
    carried = _carried(pixels, own, unknown, unknown if barred is None else unknown | barred)
    if carried is None:
        return pixels
    other, other_power = carried
    missing = np.sqrt(np.clip(1 - detail_power(own, POWER_SIGMA) / np.maximum(other_power, 1e-9), 0, 1))
    return np.where(unknown[..., None], np.clip(pixels + other * missing[..., None], 0, 1), pixels).astype(np.float32)


def lift_detail(pixels: Pixels, unknown: NDArray[np.bool_], ratio: float) -> Pixels:
    """Return ``pixels`` with the fine detail of the unknown part made as strong as it is elsewhere, by a factor of at most ``MAX_LIFT``.

    pixels: (h, w, 3), 0..1, display-encoded. unknown: (h, w). ratio: the detail there, as a multiple of what it is elsewhere.
    """
    gain = min(1 / max(ratio, 1e-3), MAX_LIFT)
    lifted = pixels + np.float32(gain - 1) * (pixels - gaussian_blur(pixels, LIFT_SIGMA))
    return np.where(unknown[..., None], np.clip(lifted, 0, 1), pixels).astype(np.float32)


def _carried(
    pixels: Pixels, detail: Pixels, unknown: NDArray[np.bool_], blocked: NDArray[np.bool_]
) -> tuple[Pixels, NDArray[np.float32]] | None:
    """Return the detail of alike blocks (h, w, 3), in units of 0..1 around 0, and its strength (h, w) over ``POWER_SIGMA``."""
    side = BLOCK_SIDE // REDUCTION
    height, width = (edge // REDUCTION for edge in unknown.shape)
    cut = np.s_[: height * REDUCTION, : width * REDUCTION]
    small = resize_values(np.ascontiguousarray(pixels[cut]), height, width)
    is_open, is_blocked = (resize_values(each[cut].astype(np.float32), height, width) > 0 for each in (unknown, blocked))
    places = np.argwhere(window_counts(is_blocked, side) == 0)
    places = places[(places % SOURCE_STEP == 0).all(axis=1)]
    if not len(places):
        return None
    views = np.lib.stride_tricks.sliding_window_view(small, (side, side), axis=(0, 1))
    open_places = [
        (row, column)
        for row in _starts(height, side)
        for column in _starts(width, side)
        if is_open[row : row + side, column : column + side].any()
    ]
    best, differences = _most_alike(views, places, np.array(open_places, dtype=np.intp).reshape(-1, 2))
    window = np.sin(np.pi * (np.arange(BLOCK_SIDE, dtype=np.float32) + 0.5) / BLOCK_SIDE)
    weights = np.outer(window, window).astype(np.float32)
    power = np.square(detail).mean(axis=2)
    total, total_power = np.zeros_like(pixels), np.zeros(unknown.shape, dtype=np.float32)
    square_sum = np.full(unknown.shape, 1e-6, dtype=np.float32)
    for (row, column), (top, left), difference in zip(open_places, places[best] * REDUCTION, differences, strict=True):
        trust = np.float32(1 / (1 + (difference / ALIKE_DIFFERENCE**2) ** 2))
        target = np.s_[row * REDUCTION : row * REDUCTION + BLOCK_SIDE, column * REDUCTION : column * REDUCTION + BLOCK_SIDE]
        source = np.s_[top : top + BLOCK_SIDE, left : left + BLOCK_SIDE]
        total[target] += trust * detail[source] * weights[..., None]
        total_power[target] += trust * power[source] * np.square(weights)
        square_sum[target] += np.square(weights)
    mixed: Pixels = (total / np.sqrt(square_sum)[..., None]).astype(np.float32)
    return mixed, gaussian_blur(total_power / square_sum, POWER_SIGMA)


def _most_alike(
    views: NDArray[np.float32], sources: NDArray[np.intp], targets: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return for each of ``targets`` (n, 2), top and left, the number of the most alike of ``sources`` (m, 2), and their mean square
    difference, 0..1. views: (h, w, 3, side, side), the block at each place.
    """
    blocks = views[targets[:, 0], targets[:, 1]].reshape(len(targets), -1)
    best = np.zeros(len(targets), dtype=np.intp)
    least = np.full(len(targets), np.inf, dtype=np.float32)
    # All blocks of a hole are compared at once with a part of the sources that stays in the cache.
    for start in range(0, len(sources), _COMPARED_AT_ONCE):
        part = sources[start : start + _COMPARED_AT_ONCE]
        compared = views[part[:, 0], part[:, 1]].reshape(len(part), -1)
        errors = np.square(compared).sum(axis=1)[None] - 2 * (blocks @ compared.T)
        nearest = errors.argmin(axis=1)
        error = errors[np.arange(len(targets)), nearest]
        best = np.where(error < least, start + nearest, best)
        least = np.minimum(error, least)
    return best, np.maximum(least + np.square(blocks).sum(axis=1), 0) / max(blocks.shape[1], 1)


def _starts(length: int, side: int) -> list[int]:
    return [*range(0, length - side, side // 2), length - side]
