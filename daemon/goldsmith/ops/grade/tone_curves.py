"""Tone curves per channel: contrast, curves by points, lift, gamma and gain, combined into one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.grade.grading_changes import look_change
from goldsmith.ops.grade.look_files import CubeLut, LutTable
from goldsmith.picture.slab_processing import PixelChange

Float64Array = NDArray[np.float64]
# Maps values of one channel, 0..1, to 0..1.
ToneCurve = Callable[[Float64Array], Float64Array]

# One entry per 16-bit code, so that 8- and 16-bit values hit an entry exactly; linear in between.
_TABLE_SIZE = 65536


def tone_curve_change(channel_curves: Sequence[Sequence[ToneCurve]]) -> PixelChange:
    """Return three lists of curves (one per channel, in order) as one change: a table that OpenColorIO applies."""
    steps = np.linspace(0.0, 1.0, _TABLE_SIZE)
    table = np.empty((_TABLE_SIZE, 3), np.float32)
    for channel, tones in enumerate(channel_curves):
        values = steps
        for tone in tones:
            values = np.clip(tone(values), 0.0, 1.0)
        table[:, channel] = values
    return look_change(CubeLut((LutTable(table),)), 1.0)


def contrast_curve(amount: float, pivot: float) -> ToneCurve:
    """Return a smooth S-curve round ``pivot`` (0..1) for ``amount`` -1..1; black, white and the pivot stay.

    C. Schlick's gain ("Fast alternatives to Perlin's bias and gain functions", Graphics Gems IV, 1994) with a pivot at any value:
    the slope is 4 ** amount at the pivot and its inverse at both ends, so -amount undoes amount and no part becomes flat.
    """
    slope = 4.0**amount

    def tone(values: Float64Array) -> Float64Array:
        low = values / pivot
        high = (1.0 - values) / (1.0 - pivot)
        dark = pivot * low / (slope - (slope - 1.0) * np.minimum(low, 1.0))
        light = 1.0 - (1.0 - pivot) * high / (slope - (slope - 1.0) * np.minimum(high, 1.0))
        return np.asarray(np.where(values < pivot, dark, light))

    return tone


def lift_gamma_gain_curve(lift: float, gamma: float, gain: float) -> ToneCurve:
    """Return out = (gain * (in + lift * (1 - in))) ** (1 / gamma): lift moves black and keeps white, gain moves white and keeps black."""

    def tone(values: Float64Array) -> Float64Array:
        return np.asarray(np.clip(gain * (values + lift * (1.0 - values)), 0.0, 1.0) ** (1.0 / gamma))

    return tone


def point_curve(points: Sequence[tuple[float, float]]) -> ToneCurve:
    """Return the curve through the points (x rising), flat before the first and after the last."""
    x, y = (np.array(column, np.float64) for column in zip(*points, strict=True))

    def tone(values: Float64Array) -> Float64Array:
        return monotone_cubic(x, y, values)

    return tone


def monotone_cubic(x: Float64Array, y: Float64Array, values: Float64Array) -> Float64Array:
    """Return cubic interpolation that is monotone wherever the points are: F. N. Fritsch and R. E. Carlson, SIAM J. Numer. Anal. 17 (1980).

    x: (n,) rising, n >= 2; y: (n,); values: any shape, same units as x. Flat outside the points.
    """
    slopes = _monotone_slopes(x, y)
    index = np.clip(np.searchsorted(x, values, "right") - 1, 0, len(x) - 2)
    width = x[index + 1] - x[index]
    t = np.clip((values - x[index]) / width, 0.0, 1.0)
    rest = 1.0 - t
    result = y[index] * (1 + 2 * t) * rest**2 + y[index + 1] * t**2 * (3 - 2 * t)
    result += width * t * rest * (slopes[index] * rest - slopes[index + 1] * t)
    return np.asarray(result)


def _monotone_slopes(x: Float64Array, y: Float64Array) -> Float64Array:
    """Return the slope at each point (n,): the mean of its secants, limited to the circle of radius 3 within which a cubic is monotone."""
    secants = np.diff(y) / np.diff(x)
    slopes = np.concatenate([secants[:1], (secants[:-1] + secants[1:]) / 2, secants[-1:]])
    turns = np.flatnonzero(secants[:-1] * secants[1:] <= 0) + 1
    slopes[turns] = 0.0
    for index, secant in enumerate(secants):
        if secant == 0.0:
            slopes[index : index + 2] = 0.0
            continue
        reach = np.hypot(slopes[index], slopes[index + 1]) / abs(secant)
        if reach > 3.0:
            slopes[index : index + 2] *= 3.0 / reach
    return slopes
