"""Find sensor dust, small dark soft spots of about equal shape on smooth ground, and lift each to the ground around it.

Dust on a sensor shades all colours alike, has no hard edge, and lies anywhere. A spot counts only if the ground around it is smooth, and
only beside others of its size: a single spot may be a bird or a mole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.correct.defect import MAX_8BIT_CODE, Defect, make_window
from goldsmith.picture.colour import luma
from goldsmith.picture.picture import Mask, Pixels, Window, freeze
from goldsmith.picture.smoothing import gaussian_blur, resize_values

# Sizes at which spots are searched: the picture is reduced by each divisor, and blurred by each of these.
_DIVISORS = (1, 2, 4, 8)
_SIGMAS = (1.6, 2.3)
_OUTER_SIGMA_RATIO = 1.6
_LEAST_SIDE = 128
# How much darker a spot must be than its ring in the blurred picture, in codes.
_MIN_RESPONSE = 0.6
# At these distances, in sigmas, the response must have fallen to this share: spots in texture are not alone.
_RING_SIGMAS = (4.0, 5.0)
_MAX_RING_SHARE = 0.35
_RING_POINTS = 12
_MAX_CANDIDATES = 1000
# px, from the middle to where half of the depth is left.
_MIN_RADIUS, _MAX_RADIUS = 2.0, 40.0
# Ground is measured between these distances, in radii; the correction ends at the first.
_GROUND_FROM, _GROUND_TO = 2.2, 3.4
# In codes, and as a share of the ground's value.
_MIN_DEPTH = 3.0
_MIN_SHADE, _MAX_SHADE = 0.02, 0.5
# The ground's standard deviation, smoothed over a third of the radius, as a share of the depth.
_MAX_GROUND_VARIATION = 0.12
# The same in codes.
_MAX_GROUND_CODES = 1.4
# How far the spot departs from a round one, as a share of the depth.
_MAX_ANISOTROPY = 0.14
# px, and radii, over which the shade falls from 80 to 20 per cent: drawn dots are harder.
_MIN_EDGE_WIDTH, _MIN_EDGE_RADII = 1.7, 0.22
# A colour's shade may differ by this share from that of all, and by so many codes more; moles are brown, and dust is grey.
_MAX_COLOUR_DIFFERENCE, _COLOUR_TOLERANCE = 0.25, 2.0
# Spots count in a group of at least so many, whose largest radius is at most so many times the smallest.
_LEAST_SPOTS = 3
_MAX_RADIUS_RATIO = 2.4
# If there are more light spots, as a share of the dark ones, the ground is structured.
_MAX_LIGHT_SHARE = 0.12
# Ground near white says nothing.
_MAX_GROUND = 0.985


@dataclass(frozen=True, slots=True)
class _Spot:
    """A spot: its middle and radius in px, and how much darker its middle is than its ground, in codes."""

    row: float
    column: float
    radius: float
    depth: float


def find(pixels: Pixels, strength: float = 1.0) -> list[Defect]:
    """Return the spots of dust in ``pixels``, (h, w, c), 0..1, display-encoded, deepest first, each with the pixels that correct it.

    The size of a defect is how much darker its middle is than its ground, in 8-bit codes.
    """
    if min(pixels.shape[:2]) < _LEAST_SIDE:
        return []
    spots = _alike(_find_spots(pixels))
    # Stones, craters and clouds have light spots as well as dark ones. Dust has dark ones alone.
    if spots and len(_find_spots(1 - luma(pixels)[:, :, None])) > _MAX_LIGHT_SHARE * len(spots):
        return []
    result = pixels.copy() if spots else pixels
    defects = []
    for spot in spots:
        window = _spot_window(spot.row, spot.column, _GROUND_FROM * spot.radius, pixels.shape)
        result[window] = corrected = _lift(result, spot, window, strength)
        after = _measure_depth(result, spot)
        defects.append(Defect(window, round(spot.depth, 2), round(after, 2), (window, freeze(corrected))))
    return defects


def _find_spots(pixels: Pixels) -> list[_Spot]:
    """Return the dark spots of pixels (h, w, c), 0..1, that are like dust, deepest first."""
    chosen: list[_Spot] = []
    spots = [spot for place in _candidates(luma(pixels)) if (spot := _measure_spot(pixels, *place)) is not None]
    for spot in sorted(spots, key=lambda spot: -spot.depth):
        if all(np.hypot(spot.row - other.row, spot.column - other.column) > spot.radius + other.radius for other in chosen):
            chosen.append(spot)
    return chosen


def _candidates(grey: Mask) -> list[tuple[float, float, float]]:
    """Return middle and expected radius, in px, of dark blobs that stand alone, strongest first."""
    import cv2

    peaks_by_size: list[tuple[float, float, float, float]] = []
    for divisor in _DIVISORS:
        height, width = (side // divisor for side in grey.shape)
        if min(height, width) < _LEAST_SIDE // 2:
            break
        small = np.ascontiguousarray(grey) if divisor == 1 else resize_values(grey[: height * divisor, : width * divisor], height, width)
        for sigma in _SIGMAS:
            response = (gaussian_blur(small, sigma * _OUTER_SIGMA_RATIO) - gaussian_blur(small, sigma)) * np.float32(MAX_8BIT_CODE)
            peaks = (response > _MIN_RESPONSE) & (response >= cv2.dilate(response, np.ones((3, 3), np.uint8)))
            rows, columns = np.nonzero(peaks)
            sizes = response[rows, columns]
            alone = _ring_maximum(response, rows, columns, sigma) < _MAX_RING_SHARE * sizes
            peaks_by_size += [
                (float(size), (row + 0.5) * divisor - 0.5, (column + 0.5) * divisor - 0.5, 1.4 * sigma * divisor)
                for size, row, column in zip(sizes[alone], rows[alone], columns[alone], strict=True)
            ]
    return [place for _, *place in sorted(peaks_by_size, reverse=True)[:_MAX_CANDIDATES]]  # type: ignore[misc]


def _ring_maximum(response: Mask, rows: NDArray[np.int_], columns: NDArray[np.int_], sigma: float) -> NDArray[np.float32]:
    """Return the largest absolute response on two rings round each place, (n,), in codes."""
    angles = np.arange(_RING_POINTS) * (2 * np.pi / _RING_POINTS)
    result = np.zeros(len(rows), np.float32)
    for distance in _RING_SIGMAS:
        for angle in angles:
            row = np.clip(np.rint(rows + distance * sigma * np.sin(angle)).astype(int), 0, response.shape[0] - 1)
            column = np.clip(np.rint(columns + distance * sigma * np.cos(angle)).astype(int), 0, response.shape[1] - 1)
            np.maximum(result, np.abs(response[row, column]), out=result)
    return result


def _spot_window(row: float, column: float, reach: float, shape: tuple[int, ...]) -> Window:
    """Return the box of ``reach`` px around a place, clipped to the picture."""
    top, left = max(0, int(np.floor(row - reach))), max(0, int(np.floor(column - reach)))
    bottom, right = min(shape[0], int(np.ceil(row + reach)) + 1), min(shape[1], int(np.ceil(column + reach)) + 1)
    return make_window(top, left, bottom - top, right - left)


def _distances(window: Window, row: float, column: float) -> Mask:
    """Return the distance of each pixel of a box from a place, (rows, columns), in px."""
    down, across = (np.arange(span.start, span.stop, dtype=np.float32) for span in window)
    return np.asarray(np.hypot(down[:, None] - np.float32(row), across[None, :] - np.float32(column)), np.float32)


def _fit_ground(part: Pixels, is_ground: NDArray[np.bool_]) -> Pixels:
    """Return the ground under a box, (rows, columns, c), 0..1: a quadratic surface for each channel, fitted where ``is_ground``."""
    height, width, channels = part.shape
    down, across = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(down), down, across, down * across, down**2, across**2], axis=2)
    solution = np.linalg.lstsq(terms[is_ground], part[is_ground].astype(np.float64), rcond=None)[0]
    return np.asarray((terms.reshape(-1, 6) @ solution).reshape(height, width, channels), np.float32)


def _measure_spot(pixels: Pixels, row: float, column: float, expected_radius: float) -> _Spot | None:
    """Return the spot at a candidate's place; None if it is not like dust."""
    radius = expected_radius
    for _ in range(2):
        window = _spot_window(row, column, _GROUND_TO * radius, pixels.shape)
        part, distance = pixels[window], _distances(window, row, column)
        is_ground = (distance > _GROUND_FROM * radius) & (distance < _GROUND_TO * radius)
        if is_ground.sum() < 40 or min(part.shape[:2]) < _GROUND_TO * radius:
            return None
        ground = _fit_ground(part, is_ground)
        dip = luma(ground - part) * np.float32(MAX_8BIT_CODE)
        profile = _radial_profile(dip, distance)
        measured = _radius_of(profile)
        if measured is None or not _MIN_RADIUS <= measured <= _MAX_RADIUS or not 0.4 < measured / expected_radius < 2.5:
            return None
        radius = measured
    depth = float(profile[0])
    if depth < _MIN_DEPTH or not _is_like_dust(part, ground, dip, profile, distance, radius):
        return None
    return _Spot(row, column, radius, depth)


def _radial_profile(dip: Mask, distance: Mask) -> NDArray[np.float32]:
    """Return the mean of ``dip``, in codes, at each whole distance in px; the two innermost together."""
    index = np.minimum(np.rint(distance), distance.max() - 1).astype(int).ravel()
    index = np.maximum(index - 1, 0)
    counts = np.bincount(index)
    sums = np.bincount(index, weights=dip.ravel().astype(np.float64))
    return np.asarray(sums / np.maximum(counts, 1), np.float32)


def _crossing(profile: NDArray[np.float32], share: float) -> float | None:
    """Return the distance in px at which a profile, in codes, falls to a share of its first value."""
    below = np.flatnonzero(profile < share * profile[0])
    if profile[0] <= 0 or not len(below):
        return None
    after = int(below[0])
    high, low = float(profile[after - 1]), float(profile[after])
    return after + (high - share * float(profile[0])) / max(high - low, 1e-6)


def _radius_of(profile: NDArray[np.float32]) -> float | None:
    return _crossing(profile, 0.5)


def _is_like_dust(part: Pixels, ground: Pixels, dip: Mask, profile: NDArray[np.float32], distance: Mask, radius: float) -> bool:
    """Return whether a spot is grey, round and soft, and its ground smooth."""
    depth = float(profile[0])
    wide, narrow = _crossing(profile, 0.2), _crossing(profile, 0.8)
    if wide is None or narrow is None or wide - narrow < max(_MIN_EDGE_WIDTH, _MIN_EDGE_RADII * radius):
        return False
    middle = distance < max(1.0, 0.5 * radius)
    level = ground[middle].mean(axis=0)
    dips = (ground[middle] - part[middle]).mean(axis=0)
    shade = float(dips.sum() / max(float(level.sum()), 0.02))
    if level.max() > _MAX_GROUND or not _MIN_SHADE <= shade <= _MAX_SHADE:
        return False
    if (np.abs(dips - shade * level) > _MAX_COLOUR_DIFFERENCE * shade * level + _COLOUR_TOLERANCE / MAX_8BIT_CODE).any():
        return False
    smooth = gaussian_blur(dip, max(0.8, radius / 3))
    round_dip = np.interp(distance, np.arange(len(profile)) + 1.0, profile).astype(np.float32)
    rest = gaussian_blur(dip - round_dip, max(0.8, radius / 3))
    around = (distance > _GROUND_FROM * radius) & (distance < _GROUND_TO * radius)
    variation = smooth[around].std()
    inside = distance < 1.6 * radius
    return bool(variation < min(_MAX_GROUND_VARIATION * depth, _MAX_GROUND_CODES) and rest[inside].std() < _MAX_ANISOTROPY * depth)


def _alike(spots: list[_Spot]) -> list[_Spot]:
    """Return the largest group of spots whose radii lie within the allowed ratio; none if there are too few."""
    groups = [[spot for spot in spots if low.radius <= spot.radius <= _MAX_RADIUS_RATIO * low.radius] for low in spots]
    largest = max(groups, key=len, default=[])
    return largest if len(largest) >= _LEAST_SPOTS else []


def _lift(pixels: Pixels, spot: _Spot, window: Window, strength: float) -> Pixels:
    """Return the pixels of the box with the spot as light as its ground; the grain stays."""
    around = _spot_window(spot.row, spot.column, _GROUND_TO * spot.radius, pixels.shape)
    part, distance = pixels[around], _distances(around, spot.row, spot.column)
    is_ground = (distance > _GROUND_FROM * spot.radius) & (distance < _GROUND_TO * spot.radius)
    dip = _fit_ground(part, is_ground) - part
    place = np.arange(int(distance.max())) + 1.0
    for channel in range(part.shape[2]):
        profile = _radial_profile(dip[:, :, channel], distance)
        round_dip = np.interp(distance, place[: len(profile)], profile[: len(place)]).astype(np.float32)
        dip[:, :, channel] = round_dip + gaussian_blur(dip[:, :, channel] - round_dip, max(1.0, spot.radius / 3))
    share = np.clip((_GROUND_FROM * spot.radius - distance) / (0.5 * spot.radius), 0, 1)[:, :, None] * np.float32(strength)
    lifted = np.where(share > 0, np.clip(part + dip * share, 0, 1), part)
    rows, columns = (slice(inner.start - outer.start, inner.stop - outer.start) for inner, outer in zip(window, around, strict=True))
    return np.asarray(lifted[rows, columns], np.float32)


def _measure_depth(pixels: Pixels, spot: _Spot) -> float:
    """Return how much darker the spot's middle is than its ground, in codes."""
    window = _spot_window(spot.row, spot.column, _GROUND_TO * spot.radius, pixels.shape)
    part, distance = pixels[window], _distances(window, spot.row, spot.column)
    is_ground = (distance > _GROUND_FROM * spot.radius) & (distance < _GROUND_TO * spot.radius)
    profile = _radial_profile(luma(_fit_ground(part, is_ground) - part) * np.float32(MAX_8BIT_CODE), distance)
    return max(0.0, float(profile[0]))
