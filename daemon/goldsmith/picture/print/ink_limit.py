"""Keep inks under the coverage limit after JPEG compression: reduce only the blocks that need it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.formats.image_info import Samples
from goldsmith.picture.print.cmyk import code_sums, reduce_code_sums

# px. JPEG with inks at full resolution changes each square of this size by itself, so squares can be tried separately.
_BLOCK_SIDE = 8
_BLOCKS_PER_ROW = 1024
_MAX_ROUNDS = 16
# Codes: one for each ink. Decoders may round differently by one, and their result must be under the limit too.
_DECODER_TOLERANCE = 4


def limit_ink_through_jpeg(codes: Samples, limit_percent: float, jpeg_round_trip: Callable[[Samples], Samples]) -> Samples:
    """Return 8-bit codes of inks (h, w, 4) whose result after ``jpeg_round_trip`` also has a sum of at most ``limit_percent``.

    ``jpeg_round_trip`` encodes and decodes a JPEG of any size. In squares above the limit, the limit is lowered by the excess until they
    stay below it. Codes that already comply stay unchanged; some squares may stay above at qualities where JPEG changes codes by more than
    there is to reduce.
    """
    max_sum = int(limit_percent * 255 / 100) - _DECODER_TOLERANCE
    sums = code_sums(jpeg_round_trip(codes))
    if sums.max() <= max_sum:
        return codes
    block_index, excess = _blocks_over_limit(sums, max_sum)
    squares = codes[block_index]
    result, margin = squares.copy(), np.zeros(len(squares), np.int64)
    pending = np.arange(len(squares))
    for round_number in range(_MAX_ROUNDS):
        if not len(pending):
            break
        margin[pending] += excess[pending] + 2 * round_number
        result[pending] = _limit_blocks(squares[pending], max_sum - margin[pending])
        excess[pending] = _max_sum_per_block(jpeg_round_trip, result[pending]) - max_sum
        pending = pending[excess[pending] > 0]
    limited = codes.copy()
    limited[block_index] = result
    return limited


def _blocks_over_limit(sums: NDArray[np.int32], max_sum: int) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64]]:
    """Return the squares with a sum above ``max_sum``: rows (n, 8, 1) and columns (n, 1, 8) of their pixels, and the excess.

    Where a square extends beyond the picture, its last pixels are repeated, as encoders do.
    """
    height, width = sums.shape
    padded = np.pad(sums, ((0, -height % _BLOCK_SIDE), (0, -width % _BLOCK_SIDE)), mode="edge")
    highest = padded.reshape(padded.shape[0] // _BLOCK_SIDE, _BLOCK_SIDE, padded.shape[1] // _BLOCK_SIDE, _BLOCK_SIDE).max(axis=(1, 3))
    tops, lefts = np.nonzero(highest > max_sum)
    steps = np.arange(_BLOCK_SIDE)
    rows = np.minimum(tops[:, None] * _BLOCK_SIDE + steps, height - 1)[:, :, None]
    columns = np.minimum(lefts[:, None] * _BLOCK_SIDE + steps, width - 1)[:, None, :]
    return (rows, columns), highest[tops, lefts].astype(np.int64) - max_sum


def _limit_blocks(blocks: Samples, max_sums: NDArray[np.int64]) -> Samples:
    """Return each square limited to its own sum, in codes: a low limit removes all colours and keeps the black."""
    flat = blocks.reshape(len(blocks), _BLOCK_SIDE * _BLOCK_SIDE, 4)
    return reduce_code_sums(flat, np.maximum(max_sums, 0)[:, None]).reshape(blocks.shape)


def _max_sum_per_block(jpeg_round_trip: Callable[[Samples], Samples], blocks: Samples) -> NDArray[np.int64]:
    """Return the highest sum in each square after the round trip."""
    count = len(blocks)
    rows = -(-count // _BLOCKS_PER_ROW)
    sheet = np.zeros((rows * _BLOCKS_PER_ROW, _BLOCK_SIDE, _BLOCK_SIDE, 4), blocks.dtype)
    sheet[:count] = blocks
    sheet_image = (
        sheet.reshape(rows, _BLOCKS_PER_ROW, _BLOCK_SIDE, _BLOCK_SIDE, 4)
        .transpose(0, 2, 1, 3, 4)
        .reshape(rows * _BLOCK_SIDE, _BLOCKS_PER_ROW * _BLOCK_SIDE, 4)
    )
    sums = code_sums(jpeg_round_trip(np.ascontiguousarray(sheet_image))).reshape(rows, _BLOCK_SIDE, _BLOCKS_PER_ROW, _BLOCK_SIDE)
    result: NDArray[np.int64] = sums.max(axis=(1, 3)).reshape(-1)[:count].astype(np.int64)
    return result
