"""Measure a picture's sharpness, noise and clipping. Nothing here changes a pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.colour import luma
from goldsmith.picture.picture import Mask, Picture

_NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_NOISE_TILE = 16
# Pixels measured at once.
_BAND_PIXELS = 1 << 20
_LOW_QUANTILE = 0.2
# The quantile of pure noise, measured on Gaussian noise with this tile size; the estimate is divided by it.
_LOW_QUANTILE_BIAS = 0.93
_SHARPNESS_TILE = 64
_BLUR_TAPS = 9
# Steps below this many sigma of the noise do not count as sharpness.
_NOISE_GATE_SIGMAS = 6.0
_MIN_STEP = 0.01
# A tile with a smaller share of edge pixels is not used for sharpness.
_MIN_EDGE_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Assessment:
    """The measurements of one picture.

    sharpness:           0..100, of the sharpest parts (a blurred background does not count); None if there is no edge.
                         About 50 and more is crisp, under 30 is soft.
    noise_percent:       standard deviation of the luma noise in percent of full scale.
    clipped_highlights:  percent of the pixels at the highest code, for each channel.
    clipped_shadows:     percent of the pixels at code 0, for each channel.
    clipped_black:       percent of the pixels at code 0 in every channel.
    """

    width: int
    height: int
    sharpness: float | None
    noise_percent: float
    clipped_highlights: tuple[float, ...]
    clipped_shadows: tuple[float, ...]
    clipped_black: float

    @property
    def max_clipped_highlights(self) -> float:
        """Percent of clipped highlights in the channel that has the most."""
        return max(self.clipped_highlights)


def assess(picture: Picture) -> Assessment:
    """Return the measurements of ``picture``; completely transparent pixels do not count as clipped."""
    plane = luma(picture.pixels)
    sigma = estimate_noise(plane)
    highlights, shadows, black = measure_clipping(picture)
    return Assessment(picture.width, picture.height, measure_sharpness(plane, sigma), 100.0 * sigma, highlights, shadows, black)


def estimate_noise(plane: Mask) -> float:
    """Return the standard deviation of the noise in a plane (h, w), 0..1.

    Immerkær, "Fast Noise Variance Estimation" (CVIU 1996), over tiles of 16 x 16; the quiet tiles represent the picture, so that texture
    and edges do not count as noise. Tiles with clipped pixels are left out. 0 if the picture is too small.
    """

    return estimate_noise_by_rows(plane.shape, lambda rows: plane[rows])


def estimate_noise_by_rows(shape: tuple[int, ...], read_rows: Callable[[slice], Mask]) -> float:
    """Return the same for a plane (h, w), 0..1, that is never complete in memory: ``read_rows`` returns rows of it."""
    rows, cols = shape[0] // _NOISE_TILE, shape[1] // _NOISE_TILE
    if not rows or not cols:
        return 0.0
    responses, clipped = np.empty((rows, cols), np.float32), np.empty((rows, cols), np.float32)
    step = max(1, _BAND_PIXELS // (_NOISE_TILE * shape[1]))
    for first in range(0, rows, step):
        tiles = slice(first, min(first + step, rows))
        responses[tiles], clipped[tiles] = _tile_responses(read_rows, tiles, rows, cols)
    usable = clipped < 0.02
    if not usable.any():
        return 0.0
    sigmas = responses[usable] * np.sqrt(np.pi / 2) / 6.0
    return float(np.quantile(sigmas, _LOW_QUANTILE) / _LOW_QUANTILE_BIAS)


def _tile_responses(
    read_rows: Callable[[slice], Mask], tiles: slice, rows: int, cols: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean response of each tile to the filter and its share of clipped pixels, for some rows of tiles."""
    import cv2

    top, bottom = tiles.start * _NOISE_TILE, tiles.stop * _NOISE_TILE
    before, after = int(top > 0), int(tiles.stop < rows)
    band = np.ascontiguousarray(read_rows(slice(top - before, bottom + after))[:, : cols * _NOISE_TILE])
    response = cv2.absdiff(cv2.filter2D(band, cv2.CV_32F, _NOISE_KERNEL, borderType=cv2.BORDER_REFLECT), 0.0)
    core = slice(before, before + bottom - top)
    is_clipped = ((band[core] <= 0.0) | (band[core] >= 1.0)).astype(np.float32)
    count = tiles.stop - tiles.start
    return _tile_means(np.ascontiguousarray(response[core]), count, cols), _tile_means(is_clipped, count, cols)


def measure_sharpness(plane: Mask, noise_sigma: float = 0.0) -> float | None:
    """Return the sharpness, 0..100: how much of its steps a plane (h, w), 0..1, loses in a blur, in the tenth of its tiles that lose most.

    Crété-Roffet et al., "The Blur Effect" (SPIE 2007): a soft picture loses little. Steps that noise of standard deviation ``noise_sigma``
    could cause do not count. None if no tile has an edge.
    """
    import cv2

    rows, cols = max(1, plane.shape[0] // _SHARPNESS_TILE), max(1, plane.shape[1] // _SHARPNESS_TILE)
    steps, losses, edges = (np.zeros((rows, cols), np.float32) for _ in range(3))
    for axis in (0, 1):
        ksize = (1, _BLUR_TAPS) if axis == 0 else (_BLUR_TAPS, 1)
        step = _absolute_gradient(plane, axis)
        edge = step > max(_MIN_STEP, _NOISE_GATE_SIGMAS * noise_sigma)
        edges += _tile_means(edge.astype(np.float32), rows, cols)
        step *= edge
        del edge
        steps += _tile_means(step, rows, cols)
        step -= _absolute_gradient(cv2.blur(plane, ksize, borderType=cv2.BORDER_REFLECT), axis)
        losses += _tile_means(np.clip(step, 0.0, None, out=step), rows, cols)
    usable = edges > _MIN_EDGE_SHARE
    if not usable.any():
        return None
    return float(100.0 * np.quantile(losses[usable] / steps[usable], 0.9))


def _absolute_gradient(plane: Mask, axis: int) -> Mask:
    """Return the absolute difference to the next row or column; same shape, the last one 0."""
    result = np.zeros_like(plane)
    inner = result[:-1] if axis == 0 else result[:, :-1]
    np.subtract(*((plane[1:], plane[:-1]) if axis == 0 else (plane[:, 1:], plane[:, :-1])), out=inner)
    return np.abs(result, out=result)


def _tile_means(plane: Mask, rows: int, cols: int) -> NDArray[np.float32]:
    import cv2

    result: NDArray[np.float32] = cv2.resize(plane, (cols, rows), interpolation=cv2.INTER_AREA)
    return result


def measure_clipping(picture: Picture) -> tuple[tuple[float, ...], tuple[float, ...], float]:
    """Return highlights, shadows and black, as in ``Assessment``."""
    half_code = 0.5 / picture.max_code
    is_visible = None if picture.alpha is None else picture.alpha > 0.0
    count = picture.width * picture.height if is_visible is None else int(np.count_nonzero(is_visible))
    if not count:
        return (0.0,) * picture.channels, (0.0,) * picture.channels, 0.0

    def share(where: NDArray[np.bool_]) -> float:
        return 100.0 * float(np.count_nonzero(where if is_visible is None else where & is_visible)) / count

    planes = [picture.pixels[:, :, channel] for channel in range(picture.channels)]
    low = [plane < half_code for plane in planes]
    highlights = tuple(share(plane > 1.0 - half_code) for plane in planes)
    return highlights, tuple(share(plane) for plane in low), share(np.logical_and.reduce(low))
