"""Inks that stay under the limit of coverage also where a JPEG shifts them: room is left in the blocks that need it, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.formats.facts import Samples
from goldsmith.picture.print.cmyk import lowered, summed

_BLOCK = 8
"""px: JPEG with inks at full resolution shifts each square of so many by itself, so that squares can be tried apart from the picture."""
_ABREAST = 1024
_ROUNDS = 16
_READERS = 4
"""Codes: one for each ink. Decoders may round by one otherwise than ours, and what they read must be under the limit, too."""


def held(codes: Samples, limit: float, read: Callable[[Samples], Samples]) -> Samples:
    """8-bit codes of inks (h, w, 4) of which what ``read`` gives back, too, has a sum of at most ``limit`` percent.

    ``read`` is the way into a JPEG and out again, at any size. In squares that come back above the limit the limit is lowered by what
    they were above it, until they do not. Codes come back as they are where they hold already; some may stay above at qualities
    at which a JPEG shifts codes by more than there is to take away.
    """
    most = int(limit * 255 / 100) - _READERS
    sums = summed(read(codes))
    if sums.max() <= most:
        return codes
    places, over = _above(sums, most)
    squares = codes[places]
    made, room = squares.copy(), np.zeros(len(squares), np.int64)
    wanted = np.arange(len(squares))
    for turn in range(_ROUNDS):
        if not len(wanted):
            break
        room[wanted] += over[wanted] + 2 * turn
        made[wanted] = _within(squares[wanted], most - room[wanted])
        over[wanted] = _highest(read, made[wanted]) - most
        wanted = wanted[over[wanted] > 0]
    whole = codes.copy()
    whole[places] = made
    return whole


def _above(sums: NDArray[np.int32], most: int) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64]]:
    """The squares that have a sum above ``most``: rows (n, 8, 1) and columns (n, 1, 8) of their pixels, and by how much.

    Where a square goes beyond the picture its last pixels are repeated, as encoders do.
    """
    height, width = sums.shape
    padded = np.pad(sums, ((0, -height % _BLOCK), (0, -width % _BLOCK)), mode="edge")
    highest = padded.reshape(padded.shape[0] // _BLOCK, _BLOCK, padded.shape[1] // _BLOCK, _BLOCK).max(axis=(1, 3))
    tops, lefts = np.nonzero(highest > most)
    steps = np.arange(_BLOCK)
    rows = np.minimum(tops[:, None] * _BLOCK + steps, height - 1)[:, :, None]
    columns = np.minimum(lefts[:, None] * _BLOCK + steps, width - 1)[:, None, :]
    return (rows, columns), highest[tops, lefts].astype(np.int64) - most


def _within(squares: Samples, most: NDArray[np.int64]) -> Samples:
    """Each square with its own limit, in codes: a low one takes all colours away and leaves the black."""
    flat = squares.reshape(len(squares), _BLOCK * _BLOCK, 4)
    return lowered(flat, np.maximum(most, 0)[:, None]).reshape(squares.shape)


def _highest(read: Callable[[Samples], Samples], squares: Samples) -> NDArray[np.int64]:
    """The highest sum in each square, as it is read back."""
    count = len(squares)
    rows = -(-count // _ABREAST)
    sheet = np.zeros((rows * _ABREAST, _BLOCK, _BLOCK, 4), squares.dtype)
    sheet[:count] = squares
    laid = sheet.reshape(rows, _ABREAST, _BLOCK, _BLOCK, 4).transpose(0, 2, 1, 3, 4).reshape(rows * _BLOCK, _ABREAST * _BLOCK, 4)
    sums = summed(read(np.ascontiguousarray(laid))).reshape(rows, _BLOCK, _ABREAST, _BLOCK)
    made: NDArray[np.int64] = sums.max(axis=(1, 3)).reshape(-1)[:count].astype(np.int64)
    return made
