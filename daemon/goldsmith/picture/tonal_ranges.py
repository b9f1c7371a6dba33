"""Shadows, midtones and highlights: how much a luma value belongs to each of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Mask


def zone_weights(luma_plane: Mask) -> tuple[Mask, Mask, Mask]:
    """Return how much each luma value (h, w), 0..1, belongs to shadows, midtones and highlights: (h, w) each, 0..1, their sum is 1.

    Smoothsteps: shadows fall from 1 at black to 0 at one half, highlights rise from 0 at one half to 1 at white, midtones are the rest.
    """
    shadows = 1.0 - smoothstep(luma_plane * 2.0)
    highlights = smoothstep(luma_plane * 2.0 - 1.0)
    return shadows, 1.0 - shadows - highlights, highlights


def smoothstep(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 3 x^2 - 2 x^3 of values of any shape (n, ...), clipped to 0..1."""
    inside = np.clip(values, 0.0, 1.0)
    result: NDArray[np.float32] = inside * inside * (3.0 - 2.0 * inside)
    return result
