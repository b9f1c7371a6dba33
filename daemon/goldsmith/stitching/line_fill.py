"""Fill a hole that straight parallel lines cross, such as cables, blinds or a horizon: each is drawn on from its end to its other end.

Every pixel of the hole is interpolated between the two known pixels that lie before and behind it in the direction of the lines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels
from goldsmith.picture.smoothing import gaussian_blur
from goldsmith.stitching.smooth_ground import copy_grain
from goldsmith.stitching.surroundings import reduce_by, reduction

# Directions are tried every so many degrees on a copy whose hole is about 50 px long; then, on one twice as large, so many times as densely
# beside the best.
COARSE_REDUCTION = 2
COARSE_STEP = 2.0
FINER = 4
# How many px of a line are averaged before and behind the hole, so that its grain makes no streaks.
LINE_SAMPLE_PX = 12
# The standard deviation in px of the blur across the lines before their slopes are compared.
SLOPE_BLUR = 1.0
# The lines before the hole agree with those behind it by at least this, 0..1, and they are at least so strong: the root mean square of the
# steps between neighbouring px, 0..1. Petals and a round back agree by 0.81, with steps of 2.3 codes of 8 bits; cables and planks by more.
LEAST_AGREEMENT = 0.8
LEAST_STRENGTH = 3 / 255
# If they agree less on a reduced copy, no direction is sought on a larger one.
LEAST_COARSE_AGREEMENT = 0.55
# Grain departs from a line by at most so many standard deviations.
MAX_GRAIN_DEVIATIONS = 3.0


@dataclass(frozen=True, slots=True)
class LineDirection:
    """The direction of lines in degrees, 0 = across, 45 = down to the right; how far both ends agree, 0..1; their strength, 0..1 a px."""

    angle: float
    agreement: float
    strength: float

    @property
    def is_clear(self) -> bool:
        """True if lines cross the hole in this direction, beyond doubt."""
        return self.agreement >= LEAST_AGREEMENT and self.strength >= LEAST_STRENGTH


def find_direction(pixels: Pixels, unknown: NDArray[np.bool_]) -> LineDirection:
    """Return the direction in which what lies before a hole (h, w) agrees best with what lies behind it.

    pixels: (h, w, 3), 0..1, display-encoded; in the hole they are not looked at.
    """
    light = pixels.mean(axis=2, keepdims=True)
    angles, step, factor = np.arange(0, 180, COARSE_STEP), COARSE_STEP, COARSE_REDUCTION * reduction(unknown)
    while True:
        best = _best_of(reduce_by(light, factor), reduce_by(unknown.astype(np.float32), factor) > 0, angles)
        if factor == 1 or best.agreement < LEAST_COARSE_AGREEMENT or best.strength < LEAST_STRENGTH:
            return best
        factor = max(factor // 2, 1)
        finer = step / FINER
        angles, step = best.angle + np.arange(-step, step + finer / 2, finer), finer


def fill_along(pixels: Pixels, unknown: NDArray[np.bool_], angle: float, seed: int) -> Pixels:
    """Return ``pixels`` with the lines of that direction drawn through the unknown part, with the grain of the surroundings.

    pixels: (h, w, 3), 0..1, display-encoded. unknown: (h, w). angle: in degrees. The same seed gives the same grain.
    """
    surface = _Turned(pixels, unknown, angle, is_whole=True).smoothed()
    # What departs from its line by more than grain is a form.
    grain = pixels - surface
    limit = MAX_GRAIN_DEVIATIONS * 1.4826 * np.median(np.abs(grain[~unknown]))
    filled = surface + copy_grain(surface + np.clip(grain, -limit, limit), surface, unknown, seed)
    return np.where(unknown[..., None], np.clip(filled, 0, 1), pixels).astype(np.float32)


def _best_of(pixels: Pixels, unknown: NDArray[np.bool_], angles: NDArray[np.float64]) -> LineDirection:
    directions = [_Turned(pixels, unknown, float(angle)).direction() for angle in angles]
    return max(directions, key=lambda direction: (direction.strength >= LEAST_STRENGTH, direction.agreement))


class _Turned:
    """A picture turned so that the lines of one direction run along its rows; by default only the rows that meet the hole are kept."""

    def __init__(self, pixels: Pixels, unknown: NDArray[np.bool_], angle: float, *, is_whole: bool = False) -> None:
        import cv2

        self._angle = angle
        height, width = unknown.shape
        side = int(np.ceil(np.hypot(height, width))) + 2
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1)
        matrix[:, 2] += (side - width) / 2, (side - height) / 2
        self._matrix, self._size = matrix, (width, height)
        known = cv2.warpAffine((~unknown).astype(np.float32), matrix, (side, side), flags=cv2.INTER_LINEAR)
        hole = cv2.warpAffine(unknown.astype(np.uint8), matrix, (side, side), flags=cv2.INTER_NEAREST)
        rows = np.flatnonzero(hole.any(axis=1))
        kept = np.s_[:] if is_whole else np.s_[max(int(rows[0]) - 2, 0) : int(rows[-1]) + 3]
        turned = cv2.warpAffine(pixels, matrix, (side, side), flags=cv2.INTER_CUBIC)[kept]
        self._pixels = turned.reshape(*turned.shape[:2], -1)
        self._known = known[kept] > 0.999
        self._hole = ~self._known & (cv2.dilate(hole, np.ones((3, 3), np.uint8))[kept] > 0)

    def _ends(self) -> tuple[NDArray[np.intp], NDArray[np.intp], Pixels, Pixels]:
        """Return for each pixel the column of the last known one before it (-1 = none) and of the next one behind it (width = none),
        (h, w), and the means of the line there, (h, w, 3).
        """
        import cv2

        column = np.arange(self._known.shape[1])[None, :]
        before = np.maximum.accumulate(np.where(self._known, column, -1), axis=1)
        behind = np.minimum.accumulate(np.where(self._known, column, self._known.shape[1])[:, ::-1], axis=1)[:, ::-1]
        weight = self._known.astype(np.float32)
        means = []
        for anchor in (LINE_SAMPLE_PX - 1, 0):
            total, share = (
                cv2.boxFilter(each, cv2.CV_32F, (LINE_SAMPLE_PX, 1), anchor=(anchor, 0), borderType=cv2.BORDER_CONSTANT)
                for each in (self._pixels * weight[..., None], weight)
            )
            means.append(total.reshape(self._pixels.shape) / np.maximum(share, 1e-3)[..., None])
        return before, behind, means[0], means[1]

    def direction(self) -> LineDirection:
        """Return how well the ends of the lines agree."""
        before, behind, first, second = self._ends()
        starts = self._hole & ~np.pad(self._hole, ((0, 0), (1, 0)))[:, :-1]
        rows, columns = np.nonzero(starts & (before >= 0) & (behind < self._known.shape[1]))
        if len(rows) < 8:
            return LineDirection(self._angle, 0.0, 0.0)
        slopes = [np.diff(ends[rows, at[rows, columns]], axis=0) for ends, at in ((first, before), (second, behind))]
        # A blur across the lines forgives a fraction of a px, where a line is not quite parallel to the others.
        first_slope, second_slope = (gaussian_blur(slope[:, None].astype(np.float32), SLOPE_BLUR)[:, 0] for slope in slopes)
        power = float(np.square(first_slope).sum()), float(np.square(second_slope).sum())
        agreement = float((first_slope * second_slope).sum()) / max((power[0] * power[1]) ** 0.5, 1e-9)
        return LineDirection(self._angle, agreement, (min(power) / slopes[0].size) ** 0.5)

    def smoothed(self) -> Pixels:
        """Return the whole picture (h, w, 3), averaged along the lines, with the hole interpolated between both ends of each line."""
        import cv2

        before, behind, first, second = self._ends()
        width = self._known.shape[1]
        row = np.arange(len(before))[:, None]
        column = np.arange(width)[None, :]
        # The nearer end counts more; an end outside the picture does not count.
        to_first, to_second = 1 / np.maximum(column - before, 1), 1 / np.maximum(behind - column, 1)
        nearness = np.where(before >= 0, to_first, 0), np.where(behind < width, to_second, 0)
        share = (nearness[1] / np.maximum(nearness[0] + nearness[1], 1e-9))[..., None]
        inside = first[row, np.maximum(before, 0)] * (1 - share) + second[row, np.minimum(behind, width - 1)] * share
        lines = np.where(self._known[..., None], (first + second) / 2, inside).astype(np.float32)
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(lines, self._matrix, self._size, flags=flags), dtype=np.float32)
