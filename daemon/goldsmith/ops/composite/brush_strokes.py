"""Strokes and specks drawn analytically: no jagged edges, any sub-pixel position, and thin strokes as faint as they are thin."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Mask

# px. The smallest sigma drawn: a thinner stroke would flicker between pixels.
_MIN_SIGMA = 0.5
_CUTOFF_SIGMAS = 3.0
# Share of a stroke's length over which the lower end fades if it has a tail.
_HEAD_FADE_SHARE = 0.16
_MIN_OPACITY = 0.5 / 255 / 4


@dataclass(frozen=True, slots=True)
class BrushStroke:
    """One stroke. Lengths and positions are in px.

    ``x``, ``y``: its centre. ``lean_degrees``: its lean, the lower end to the right for positive values (0 is upright). ``sigma``: its
    half-width, of a Gaussian. ``flatness``: 0 has a Gaussian's profile, 1 a disc's with a soft edge, like an out-of-focus highlight.
    ``tail_fade``: how much the upper end fades relative to the lower one, which then ends softly. ``curvature``: sideways shift of its
    centre, as a share of its length.
    """

    x: float
    y: float
    length: float
    lean_degrees: float
    sigma: float
    opacity: float
    flatness: float = 0.0
    tail_fade: float = 0.0
    curvature: float = 0.0

    def widen(self, width_factor: float, opacity_factor: float) -> BrushStroke:
        """Return the stroke with its width and opacity multiplied by the factors."""
        return replace(self, sigma=self.sigma * width_factor, opacity=self.opacity * opacity_factor)

    def scale(self, x_scale: float, y_scale: float) -> BrushStroke:
        """Return the stroke on a canvas of another size."""
        return replace(self, x=self.x * x_scale, y=self.y * y_scale, length=self.length * y_scale, sigma=self.sigma * y_scale)


class StrokeCanvas:
    """A plane of coverage, 0..1, to which strokes are added like panes of glass: a = a + s - a s."""

    def __init__(self, height: int, width: int) -> None:
        # The share of light that passes all strokes so far.
        self._transmittance = np.ones((height, width), np.float32)

    def draw_stroke(self, stroke: BrushStroke) -> None:
        """Draw one stroke; a stroke outside the canvas, or too faint to be visible, is skipped."""
        sigma = max(stroke.sigma, _MIN_SIGMA)
        length = max(stroke.length, 1e-3)
        thinness = min(1.0, stroke.sigma / _MIN_SIGMA)
        shortness = min(1.0, (length + 2.5 * stroke.sigma) / (length + 2.5 * sigma))  # short ones lose in both directions
        value = min(1.0, stroke.opacity) * thinness * shortness
        if value < _MIN_OPACITY:
            return
        lean = math.radians(stroke.lean_degrees)
        right, down = math.sin(lean), math.cos(lean)
        reach = sigma * _CUTOFF_SIGMAS + abs(stroke.curvature) * length
        window = self._clip_window(stroke.x, stroke.y, abs(right) * length / 2 + reach, abs(down) * length / 2 + reach)
        if window is None:
            return
        rows, columns = window
        y = (np.arange(rows.start, rows.stop, dtype=np.float32) + np.float32(0.5 - stroke.y))[:, None]
        x = (np.arange(columns.start, columns.stop, dtype=np.float32) + np.float32(0.5 - stroke.x))[None, :]
        along, aside = x * np.float32(right) + y * np.float32(down), x * np.float32(down) - y * np.float32(right)
        self._transmittance[window] *= 1 - np.float32(value) * _stroke_profile(along, aside, length, sigma, stroke)

    def coverage(self) -> Mask:
        """Return the coverage (h, w), 0..1, of all strokes."""
        return 1 - self._transmittance

    def coverage_behind_veil(self, veil: Mask) -> Mask:
        """Return the coverage (h, w), 0..1, of all strokes behind a veil (h, w)."""
        return 1 - self._transmittance * (1 - veil)

    def _clip_window(self, x: float, y: float, across: float, down: float) -> tuple[slice, slice] | None:
        """Return the window round (x, y) inside the canvas, or None if it lies outside."""
        height, width = self._transmittance.shape
        top, bottom = max(0, math.floor(y - down)), min(height, math.ceil(y + down))
        left, right = max(0, math.floor(x - across)), min(width, math.ceil(x + across))
        return (slice(top, bottom), slice(left, right)) if top < bottom and left < right else None


def _stroke_profile(
    along: NDArray[np.float32], aside: NDArray[np.float32], length: float, sigma: float, stroke: BrushStroke
) -> NDArray[np.float32]:
    """Return the profile (h, w), 0..1, by the distance from the stroke's centre line; ``along`` rises towards its lower end."""
    half = np.float32(length / 2)
    if stroke.curvature:
        aside = aside - np.float32(stroke.curvature * length) * (1 - np.square(np.clip(along / half, -1, 1)))
    past_end = np.maximum(np.abs(along) - half, 0)
    squared_distance = (aside * aside + past_end * past_end) / np.float32(sigma * sigma)
    shape = np.exp(np.float32(-0.5) * squared_distance)
    if stroke.flatness and sigma > 1:
        disc = 1 / (1 + np.exp((np.sqrt(squared_distance) - np.float32(1.6)) * np.float32(2.2 + 1.6 * min(sigma, 4))))
        shape = shape + (disc - shape) * np.float32(stroke.flatness * min(1.0, sigma - 1))
    if stroke.tail_fade:
        position = np.clip(along / np.float32(length) + np.float32(0.5), 0, 1)
        shape = (
            shape
            * (1 - np.float32(stroke.tail_fade) * (1 - _smoothstep(position / np.float32(0.6))))
            * _smoothstep((1 - position) / np.float32(_HEAD_FADE_SHARE))
        )
    return np.asarray(shape, np.float32)


def _smoothstep(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 3 x^2 - 2 x^3 of values limited to at most 1."""
    limited = np.minimum(values, 1)
    return np.asarray(limited * limited * (3 - 2 * limited), np.float32)
