"""Inks that stay under the limit of coverage also where a JPEG shifts them: room is left in the blocks that need it, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from goldsmith.plate.craft.press import lowered, summed
from goldsmith.plate.formats.facts import Samples

_BLOCK = 8
"""px: JPEG with inks at full resolution shifts each square of so many by itself, so that squares can be tried apart from the picture."""
_ABREAST = 256
_ROUNDS = 16
_READERS = 4
"""Codes: one for each ink. Decoders may round by one otherwise than ours, and what they read must be under the limit, too."""


def held(codes: Samples, limit: float, read: Callable[[Samples], Samples]) -> Samples:
    """8-bit codes of inks (h, w, 4) of which what ``read`` gives back, too, has a sum of at most ``limit`` percent.

    ``read`` is the way into a JPEG and out again, at any size. In squares that come back above the limit the limit is lowered by what
    they were above it, until they do not. Codes come back as they are where they hold already; some may stay above at qualities
    at which a JPEG shifts codes by more than there is to take away.
    """
    height, width = codes.shape[:2]
    most = int(limit * 255 / 100) - _READERS
    if summed(read(codes)).max() <= most:
        return codes
    squares = _cut(codes)
    made = squares.copy()
    over = _highest(read, squares) - most
    wanted = np.flatnonzero(over > 0)
    room = np.zeros(len(squares), np.int64)
    for turn in range(_ROUNDS):
        if not len(wanted):
            break
        room[wanted] += over[wanted] + 2 * turn
        made[wanted] = _within(squares[wanted], most - room[wanted])
        over[wanted] = _highest(read, made[wanted]) - most
        wanted = wanted[over[wanted] > 0]
    return _joined(made, height, width)


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


def _cut(codes: Samples) -> Samples:
    """The squares (n, 8, 8, 4) of a picture, row by row; its last pixels are repeated where they go beyond it, as encoders do."""
    height, width = codes.shape[:2]
    padded = np.pad(codes, ((0, -height % _BLOCK), (0, -width % _BLOCK), (0, 0)), mode="edge")
    rows, columns = padded.shape[0] // _BLOCK, padded.shape[1] // _BLOCK
    return padded.reshape(rows, _BLOCK, columns, _BLOCK, 4).transpose(0, 2, 1, 3, 4).reshape(-1, _BLOCK, _BLOCK, 4).copy()


def _joined(squares: Samples, height: int, width: int) -> Samples:
    rows, columns = -(-height // _BLOCK), -(-width // _BLOCK)
    whole = squares.reshape(rows, columns, _BLOCK, _BLOCK, 4).transpose(0, 2, 1, 3, 4).reshape(rows * _BLOCK, columns * _BLOCK, 4)
    return np.ascontiguousarray(whole[:height, :width])
