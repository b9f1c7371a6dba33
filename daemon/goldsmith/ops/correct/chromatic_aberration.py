"""Find lateral chromatic aberration: red or blue is slightly larger or smaller than green, which leaves coloured rims towards the corners.

If the red of a tile is green moved outwards by d px, then red = a * green - a * d * (outward slope of green), each without its local mean.
A least-squares fit in each tile with edges gives d. Most tiles agree on one scale; it is that of the picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.correct.defect import Defect, make_window
from goldsmith.picture.picture import Mask, Pixels, freeze
from goldsmith.picture.smoothing import gaussian_blur, resize_values

_TILE = 48
# Minimum standard deviation of green without its local mean, for a tile to be measured.
_MIN_EDGE_DEVIATION = 0.02
# Minimum correlation of the other colour with green, for a tile to be measured: coloured objects say nothing about the lens.
_MIN_CORRELATION = 0.97
_LEAST_TILES = 24
# So few tiles are enough if they agree twice as well and lie in three quadrants of the picture.
_FEW_TILES = 12
# Minimum power of the slopes relative to the detail, for a tile to be measured: out-of-focus tiles give no precise shift.
_MIN_SHARPNESS = 0.04
# px in the corner. A smaller shift is not visible.
_MIN_CORNER_SHIFT = 0.9
# The middle half of the tiles may differ by less than this share of the scale.
_MAX_DISAGREEMENT = 0.5
_MAX_SCALE = 0.016
_MAX_ROUNDS = 3
# The dissimilarity of the two colours must fall to this share; otherwise coloured objects were mistaken for lens errors.
_MAX_DISSIMILARITY_RATIO = 0.86
# Starting points of the fit, which is only accurate for shifts of about one px.
_SCALE_CANDIDATES = np.arange(-8, 9) * 0.0018
# Number of pixels at which the candidates are tried.
_SEARCH_PIXELS = 300_000
_MAX_REMAINING_SHARE = 0.8
_MIN_TILES_PER_QUADRANT = 4
# Tiles of a strip of rows, and rows round it that influence its detail: the reach of the wider blur, and of a slope.
_STRIP_TILES = 8
_CONTEXT = 26


@dataclass(frozen=True, slots=True)
class ChannelScales:
    """How much larger red and blue are than green (0.001 = one px in a thousand from the centre), and the resulting shift in the corner."""

    red: float
    blue: float
    corner_shift_px: float


@dataclass(frozen=True, slots=True)
class _TileShifts:
    """For some tiles: how many px a colour lies further out than green, the tile's distance from the centre in px, and its quadrant (0 to
    3).
    """

    shift_px: NDArray[np.float64]
    radius_px: NDArray[np.float64]
    quadrant: NDArray[np.int_]


def measure_scales(pixels: Pixels) -> ChannelScales:
    """Return the scales that the tiles of ``pixels``, (h, w, 3), 0..1, display-encoded, agree on; 0 for a colour without agreement."""
    height, width = pixels.shape[:2]
    reach = float(np.hypot(height, width)) / 2
    red, blue = (_estimate_scale(pixels, channel, reach) for channel in (0, 2))
    return ChannelScales(red, blue, max(abs(red), abs(blue)) * reach)


def find(pixels: Pixels, strength: float = 1.0) -> list[Defect]:
    """Return the whole picture, resampled, as one defect if red or blue has another scale than green; nothing if that would not at least
    halve the error.

    ``pixels`` is (h, w, 3), 0..1, display-encoded. The size of the defect is the shift of the colours in the corner, in px.
    """
    height, width, channels = pixels.shape
    if channels < 3 or min(height, width) < 2 * _TILE:
        return []
    before = measure_scales(pixels)
    if before.corner_shift_px < _MIN_CORNER_SHIFT:
        return []
    result = pixels.copy()
    for channel, scale in ((0, before.red), (2, before.blue)):
        if scale:
            result[:, :, channel] = _rescale(pixels[:, :, channel], scale * strength)
    window = make_window(0, 0, height, width)
    after = measure_scales(result).corner_shift_px
    if after > before.corner_shift_px * (1 - strength / 2) or not _is_improved(pixels, result, 1 - (1 - _MAX_REMAINING_SHARE) * strength):
        return []
    return [Defect(window, round(before.corner_shift_px, 3), round(after, 3), (window, freeze(result)))]


def _is_improved(original: Pixels, result: Pixels, max_remaining_share: float) -> bool:
    """Return whether the colours are closer in every quadrant. A lens whose centre is elsewhere fails this and is left alone."""
    shifts_before, shifts_after = (
        [_measure_tile_shifts(image[:, :, channel], image[:, :, 1]) for channel in (0, 2)] for image in (original, result)
    )
    for quadrant in range(4):
        before, after = (sum(_median_shift(shifts, quadrant) for shifts in channels) for channels in (shifts_before, shifts_after))
        if before and after > max_remaining_share * before + 1e-9:
            return False
    return True


def _median_shift(shifts: _TileShifts, quadrant: int) -> float:
    """Return the median shift of two colours in a quadrant, in px; 0 if there are hardly any tiles."""
    distances = np.abs(shifts.shift_px[shifts.quadrant == quadrant])
    return float(np.median(distances)) if len(distances) >= _MIN_TILES_PER_QUADRANT else 0.0


def _estimate_scale(pixels: Pixels, channel: int, half_diagonal: float) -> float:
    """Return the scale of a channel, refined over several rounds, because a fit of slopes is only accurate for small shifts."""
    green, plane = np.ascontiguousarray(pixels[:, :, 1]), np.ascontiguousarray(pixels[:, :, channel])
    total = _best_candidate_scale(plane, green)
    for _ in range(_MAX_ROUNDS):
        correction = _consensus_scale(plane if total == 0 else _rescale(plane, total), green, half_diagonal)
        if correction is None:
            break
        total += correction
        if abs(correction) * half_diagonal < 0.05:
            break
    if not _MIN_CORNER_SHIFT / 2 <= abs(total) * half_diagonal <= _MAX_SCALE * half_diagonal:
        return 0.0
    return total if _dissimilarity(plane, green, total) < _MAX_DISSIMILARITY_RATIO * _dissimilarity(plane, green, 0.0) else 0.0


def _best_candidate_scale(plane: Mask, green: Mask) -> float:
    """Return the candidate scale at which the colour's detail is most similar to green's, at a reduced size."""
    shrink = max(1.0, (green.size / _SEARCH_PIXELS) ** 0.5)
    height, width = (round(side / shrink) for side in green.shape)
    small_plane, small_green = resize_values(plane, height, width), resize_values(green, height, width)
    known = [_green_detail(small_green, rows, context) for rows, context in _strips_with_context(height)]
    return float(min(_SCALE_CANDIDATES, key=lambda scale: (_dissimilarity(small_plane, small_green, float(scale), known), abs(scale))))


def _dissimilarity(plane: Mask, green: Mask, scale: float, known: Sequence[Mask] = ()) -> float:
    """Return how little the detail of a colour at that scale has in common with green's, away from the centre: 0 = identical.

    ``known``: green's detail in each strip, if there is memory for it; otherwise it is computed.
    """
    height = green.shape[0]
    scaled_plane = _rescale(plane, scale) if scale else plane
    common, powers = 0.0, np.zeros(2)
    for number, (rows, context) in enumerate(_strips_with_context(height)):
        green_detail = known[number] if known else _green_detail(green, rows, context)
        colour_detail = _strip_detail(scaled_plane, rows, context)
        is_used = green_detail != 0
        powers += [float(np.square(each[is_used], dtype=np.float64).sum()) for each in (green_detail, colour_detail)]
        common += float((green_detail * colour_detail).sum(dtype=np.float64))
    return 1 - common / math.sqrt(max(float(powers[0] * powers[1]), 1e-18))


def _green_detail(green: Mask, rows: slice, context: slice) -> Mask:
    """Return green's detail in a strip, zero round the centre of the picture, where no scale shows."""
    height, width = green.shape
    detail = _strip_detail(green, rows, context)
    middle = slice(max(0, height // 3 - rows.start), max(0, height - height // 3 - rows.start))
    detail[middle, width // 3 : -(width // 3)] = 0
    return detail


def _strip_detail(plane: Mask, rows: slice, context: slice) -> Mask:
    return _detail(plane[context])[rows.start - context.start :][: rows.stop - rows.start]


def _detail(plane: Mask) -> Mask:
    """Return a plane (h, w) without its local mean and its noise, in its own units."""
    return gaussian_blur(plane, 0.7) - gaussian_blur(plane, 6)


def _strips_with_context(height: int) -> list[tuple[slice, slice]]:
    """Return strips of whole tiles of rows, the last with the rows left over, each also with the rows that influence its detail."""
    tops = range(0, height, _STRIP_TILES * _TILE)
    strips = [slice(top, min(top + _STRIP_TILES * _TILE, height)) for top in tops]
    return [(rows, slice(max(0, rows.start - _CONTEXT), min(height, rows.stop + _CONTEXT))) for rows in strips]


def _consensus_scale(plane: Mask, green: Mask, half_diagonal: float) -> float | None:
    """Return the scale that most tiles agree on, or None if there are too few tiles."""
    tiles = _measure_tile_shifts(plane, green)
    radius_px = tiles.radius_px
    is_few = len(radius_px) < _LEAST_TILES
    if is_few and (len(radius_px) < _FEW_TILES or len(np.unique(tiles.quadrant)) < 3):
        return None
    scales = tiles.shift_px / radius_px
    order = np.argsort(scales)
    share = np.cumsum(radius_px[order] ** 2)
    low, middle, high = (float(scales[order][np.searchsorted(share, part * share[-1])]) for part in (0.25, 0.5, 0.75))
    if abs(middle) * half_diagonal > 0.1 and high - low > max(_MAX_DISAGREEMENT * abs(middle), 0.25 / half_diagonal) / (1 + is_few):
        return None
    return middle


def _measure_tile_shifts(plane: Mask, green: Mask) -> _TileShifts:
    """Return the shift of each tile that has edges."""
    height, width = green.shape
    rows, columns = height // _TILE, width // _TILE
    parts = [_tile_moments(plane, green, strip, context) for strip, context in _strips_with_context(height) if strip.start < rows * _TILE]
    gg, ss, gs, og, os, oo, tile_radius = np.concatenate(parts, axis=1)
    rest = np.maximum(gg * ss - gs * gs, 1e-18)
    size, along = (og * ss - os * gs) / rest, (os * gg - og * gs) / rest
    explained = (size * og + along * os) / np.maximum(oo, 1e-12)
    is_usable = (np.sqrt(gg) > _MIN_EDGE_DEVIATION) & (size > 0.3) & (explained > _MIN_CORRELATION**2)
    is_usable &= (ss > _MIN_SHARPNESS * gg) & (tile_radius > np.hypot(height, width) / 8)
    quadrant = (2 * (np.arange(rows)[:, None] >= rows / 2) + (np.arange(columns) >= columns / 2)).ravel()
    return _TileShifts(-along[is_usable] / size[is_usable], tile_radius[is_usable], quadrant[is_usable])


def _tile_moments(plane: Mask, green: Mask, strip: slice, context: slice) -> NDArray[np.float64]:
    """Return the tiles' mean products of green's detail, its outward slope and the colour's detail, and the tiles' mean distance from the
    centre in px, (7, n), for the tiles of a strip of rows.
    """
    import cv2

    height, width = green.shape
    rows, columns = (strip.stop - strip.start) // _TILE, width // _TILE
    inner = slice(strip.start - context.start, strip.start - context.start + rows * _TILE)
    down = np.arange(context.start, context.stop, dtype=np.float32)[:, None] - np.float32((height - 1) / 2)
    across = np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2)
    radius = np.hypot(down, across) + np.float32(1e-3)
    green_detail, colour_detail = _detail(green[context]), _detail(plane[context])
    slope = cv2.Scharr(green_detail, cv2.CV_32F, 1, 0, scale=1 / 32) * (across / radius)
    slope += cv2.Scharr(green_detail, cv2.CV_32F, 0, 1, scale=1 / 32) * (down / radius)

    def tile_means(values: NDArray[np.float32]) -> NDArray[np.float64]:
        part = np.ascontiguousarray(values[inner, : columns * _TILE])
        return np.asarray(cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA), np.float64).ravel()

    products = (
        (green_detail, green_detail),
        (slope, slope),
        (green_detail, slope),
        (colour_detail, green_detail),
        (colour_detail, slope),
        (colour_detail, colour_detail),
    )
    return np.stack([*(tile_means(first * second) for first, second in products), tile_means(radius)])


def _rescale(plane: Mask, scale: float) -> Mask:
    """Return the plane reduced by 1 + scale about its centre (Lanczos), with the border pixels repeated beyond the border."""
    import cv2

    height, width = plane.shape
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    matrix = np.array([[1 + scale, 0, -scale * middle[0]], [0, 1 + scale, -scale * middle[1]]])
    flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    resampled = cv2.warpAffine(np.ascontiguousarray(plane), matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(np.clip(resampled, 0, 1), np.float32)
