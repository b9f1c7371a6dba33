"""Discrete cosine transforms of all 8 x 8 px blocks of a plane at once, and the quantisation tables of JPEG."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Mask

BLOCK = 8
# (n, 64): one block a row; element 8 * v + u is the pixel in row v and column u, or the coefficient of v cycles down and u across.
Blocks = NDArray[np.float32]
# (64,): the quantisation step of each coefficient.
QuantisationTable = NDArray[np.float32]

# ITU-T T.81 (1992), tables K.1 and K.2: the luma and the chroma table that libjpeg scales to its quality settings.
LUMA_TABLE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
).ravel()
CHROMA_TABLE = np.pad(
    np.array([[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]], np.float32), (0, 4), constant_values=99
).ravel()


def to_blocks(plane: Mask) -> Blocks:
    """Return the 8 x 8 blocks of a plane (8 a, 8 b), any unit, row by row, as (a * b, 64)."""
    rows, columns = plane.shape[0] // BLOCK, plane.shape[1] // BLOCK
    return np.ascontiguousarray(plane.reshape(rows, BLOCK, columns, BLOCK).transpose(0, 2, 1, 3)).reshape(-1, BLOCK * BLOCK)


def from_blocks(blocks: Blocks, shape: tuple[int, int]) -> Mask:
    """Return the plane of that shape (8 a, 8 b) from its blocks, (a * b, 64), any unit, row by row."""
    rows, columns = shape[0] // BLOCK, shape[1] // BLOCK
    return np.asarray(blocks.reshape(rows, columns, BLOCK, BLOCK).transpose(0, 2, 1, 3).reshape(shape), np.float32)


def transform_blocks(blocks: Blocks) -> Blocks:
    """Return the orthonormal cosine transform (DCT-II) of each block, (n, 64)."""
    return np.asarray(blocks @ _cosine_matrix().T, np.float32)


def invert_blocks(coefficients: Blocks) -> Blocks:
    """Return the blocks of those coefficients, (n, 64)."""
    return np.asarray(coefficients @ _cosine_matrix(), np.float32)


@cache
def _cosine_matrix() -> NDArray[np.float32]:
    """Return the matrix (64, 64) whose rows are the cosine patterns."""
    place = np.arange(BLOCK)
    cosines = np.sqrt(2 / BLOCK) * np.cos(np.pi * (2 * place[None, :] + 1) * place[:, None] / (2 * BLOCK))
    cosines[0] /= np.sqrt(2)
    return np.kron(cosines, cosines).astype(np.float32)
