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
# px. A blur before the measurement, so that grain and the blocks of a JPEG do not count as edges; and the window round each pixel.
_EDGE_SIGMA = 1.0
_EDGE_WINDOW = 11
# The contrast, 0..1, in the window from which it has an edge; and the same in sigmas of the noise.
_MIN_CONTRAST = 0.1
_NOISE_GATE_SIGMAS = 2.5
# A pixel is on an edge if its gradient is at least this share of the steepest in its window.
_ON_EDGE = 0.9
# Steepness, as a share of the contrast in the window for each px: of a ramp through all of it, and of a perfect edge after the blur.
_RAMP_STEEPNESS, _EDGE_STEEPNESS = 0.1, 0.34
# A tile with a smaller share of edge pixels is not used for sharpness.
_MIN_EDGE_SHARE = 0.001
# The quantile of the tiles that represents the picture, so that a small subject on a blurred background counts.
_SHARP_QUANTILE = 0.98


@dataclass(frozen=True, slots=True)
class Assessment:
    """The measurements of one picture.

    sharpness:           0..100, of the sharpest parts (a blurred background does not count); None if there is no edge.
                         60 is crisp, under 30 is soft.
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
    """Return the sharpness, 0..100, of a plane (h, w), 0..1: how steep its edges are for their contrast, in its sharpest tiles.

    A perfect edge has more than 90, one blurred with a sigma of 1, 2 and 4 px about 60, 30 and 10. Contrast that noise of deviation
    ``noise_sigma`` could cause does not count. None if no tile has an edge.
    """
    import cv2

    window = np.ones((_EDGE_WINDOW, _EDGE_WINDOW), np.uint8)
    smooth = cv2.GaussianBlur(plane, (0, 0), _EDGE_SIGMA, borderType=cv2.BORDER_REFLECT)
    contrast = np.asarray(cv2.dilate(smooth, window), np.float32)
    contrast -= cv2.erode(smooth, window)
    steepness = _gradient(smooth)
    del smooth
    is_edge = steepness >= np.float32(_ON_EDGE) * cv2.dilate(steepness, window)
    is_edge &= contrast > max(_MIN_CONTRAST, _NOISE_GATE_SIGMAS * noise_sigma)
    contrast *= is_edge
    steepness *= is_edge
    rows, cols = max(1, plane.shape[0] // _SHARPNESS_TILE), max(1, plane.shape[1] // _SHARPNESS_TILE)
    usable = _tile_means(is_edge.astype(np.float32), rows, cols) > _MIN_EDGE_SHARE
    if not usable.any():
        return None
    steepest = np.quantile(_tile_means(steepness, rows, cols)[usable] / _tile_means(contrast, rows, cols)[usable], _SHARP_QUANTILE)
    return float(np.clip(100 * (steepest - _RAMP_STEEPNESS) / (_EDGE_STEEPNESS - _RAMP_STEEPNESS), 0, 100))


def _gradient(plane: Mask) -> Mask:
    """Return the length of the gradient of a plane (h, w), for each px."""
    import cv2

    difference, unit = np.array([[-0.5, 0.0, 0.5]], np.float32), np.ones((1, 1), np.float32)
    across = cv2.sepFilter2D(plane, cv2.CV_32F, difference, unit, borderType=cv2.BORDER_REFLECT)
    down = cv2.sepFilter2D(plane, cv2.CV_32F, unit, difference, borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.magnitude(across, down, across), np.float32)


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
