"""Tone curves of ICC profiles: read from the bytes of matrix and grey profiles (ICC.1:2022, 10.6 and 10.18), sampled from tables."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.icc_transforms import neutral_curve
from goldsmith.picture.profiles import SRGB_CURVE_PARAMETERS, read_icc_tag

CurveFunction = Callable[[NDArray[np.float32]], NDArray[np.float32]]
_PARAMETERS_BY_TYPE = {0: "g", 1: "gab", 2: "gabc", 3: "gabcd", 4: "gabcdef"}
_MAX_TABLE = 65536
# Up to one value in so many, single values are replaced faster than a whole array is computed for them.
_FEW = 16


@dataclass(frozen=True)
class ParametricCurve:
    """Y = (a X + b)^g + e where X >= d, else c X + f."""

    g: float
    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0
    e: float = 0.0
    f: float = 0.0

    def to_linear(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return linear light 0..1 of display-encoded values 0..1, of any shape (n, ...)."""
        upper = values * np.float32(self.a)
        upper += np.float32(self.b)
        upper = _raise_in_place(upper, self.g)
        if self.e:
            upper += np.float32(self.e)
        if self.d > 0:
            _replace_where(upper, values < np.float32(self.d), lambda low: low * np.float32(self.c) + np.float32(self.f), values)
        return upper

    def from_linear(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return display-encoded values 0..1 of linear light 0..1, of any shape (n, ...)."""
        upper = _raise_in_place(values - np.float32(self.e), 1 / self.g)
        if (self.a, self.b) != (1.0, 0.0):
            upper -= np.float32(self.b)
            upper *= np.float32(1 / self.a)
        if self.d <= 0:
            return upper
        turn = max(0.0, self.a * self.d + self.b) ** self.g + self.e
        scale = np.float32(1 / self.c if self.c else 0.0)
        _replace_where(upper, values < np.float32(turn), lambda low: (low - np.float32(self.f)) * scale, values)
        return upper


@dataclass(frozen=True)
class TableCurve:
    """Evenly spaced samples of Y over X 0..1, linearly interpolated."""

    samples: tuple[float, ...]

    def to_linear(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return linear light 0..1 of display-encoded values 0..1, of any shape (n, ...)."""
        table = self._table
        position = np.clip(values, 0, 1) * np.float32(len(table) - 1)
        index = np.minimum(position.astype(np.int32), len(table) - 2)
        position -= index
        result = table[index]
        result += (table[index + 1] - result) * position
        return result

    def from_linear(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return display-encoded values 0..1 of linear light 0..1, of any shape (n, ...)."""
        return np.interp(values, self._table, np.linspace(0, 1, len(self.samples))).astype(np.float32)

    @cached_property
    def _table(self) -> NDArray[np.float32]:
        return np.array(self.samples, np.float32)


IccCurve = ParametricCurve | TableCurve
SRGB_TRC = ParametricCurve(*SRGB_CURVE_PARAMETERS)


@lru_cache(maxsize=32)
def profile_curves(icc: bytes | None, channels: int) -> tuple[IccCurve, ...] | None:
    """Return the profile's curve for each channel; None if it is made of tables (or its curves cannot be inverted).

    The curve of a grey profile with a PCS of Lab gives lightness, not light: it counts as a table.
    """
    if icc is None:
        return (SRGB_TRC,) * channels
    if icc[20:24] != b"XYZ " or any(read_icc_tag(icc, name) for name in (b"A2B0", b"A2B1", b"D2B0", b"D2B1")):
        return None
    names = (b"kTRC",) if channels == 1 else (b"rTRC", b"gTRC", b"bTRC")
    curves = [_parse_curve(read_icc_tag(icc, name)) for name in names]
    return None if None in curves else tuple(curve for curve in curves if curve is not None)


@lru_cache(maxsize=8)
def light_curves(icc: bytes | None, channels: int) -> tuple[IccCurve, ...]:
    """Return a curve for each channel from display-encoded values to linear light: the profile's own, or that of its neutral colours.

    Raises InputError for a profile that lcms cannot use.
    """
    curves = profile_curves(icc, channels)
    if curves is not None or icc is None:
        return curves or ()
    return (TableCurve(neutral_curve(icc, channels)),) * channels


def _parse_curve(block: bytes) -> IccCurve | None:
    if block[:4] == b"para" and len(block) >= 12:
        return _parse_parametric(block)
    if block[:4] != b"curv" or len(block) < 12:
        return None
    count = int.from_bytes(block[8:12], "big")
    if count == 0:
        return ParametricCurve(1.0)
    if count > _MAX_TABLE or len(block) < 12 + 2 * count:
        return None
    numbers = struct.unpack(f">{count}H", block[12 : 12 + 2 * count])
    if count == 1:
        return ParametricCurve(numbers[0] / 256) if numbers[0] else None
    rising = all(low <= high for low, high in pairwise(numbers))
    return TableCurve(tuple(number / 65535 for number in numbers)) if rising and numbers[-1] > numbers[0] else None


def _parse_parametric(block: bytes) -> ParametricCurve | None:
    kind = int.from_bytes(block[8:10], "big")
    names = _PARAMETERS_BY_TYPE.get(kind)
    if names is None or len(block) < 12 + 4 * len(names):
        return None
    parameters = dict(
        zip(names, (value / 65536 for value in struct.unpack(f">{len(names)}i", block[12 : 12 + 4 * len(names)])), strict=True)
    )
    if parameters["g"] <= 0 or parameters.get("a", 1.0) <= 0:
        return None
    a, b = parameters.get("a", 1.0), parameters.get("b", 0.0)
    if kind in (1, 2):  # Y = (a X + b)^g + c where X >= -b/a, else c
        c = parameters.get("c", 0.0)
        return ParametricCurve(parameters["g"], a, b, 0.0, -b / a, c, c)
    return ParametricCurve(**parameters)


def _raise_in_place(values: NDArray[np.float32], exponent: float) -> NDArray[np.float32]:
    """Return the values, of any shape (n, ...), those below 0 as 0, raised to the exponent; their memory is used for the result."""
    import cv2

    result = np.clip(values, np.float32(0), None, out=values)  # twice as fast as maximum
    if exponent == 1.0 or not result.size:
        return result
    flat = result.reshape(-1)
    cv2.pow(flat, exponent, flat)  # several times as fast as numpy, and within 3e-7 of it
    return result


def _replace_where(result: NDArray[np.float32], where: NDArray[np.bool_], change: CurveFunction, values: NDArray[np.float32]) -> None:
    """Write ``change`` of ``values``, of the shape of ``result``, into it where ``where`` is true; most pictures are dark in few places."""
    count = np.count_nonzero(where)
    if _FEW * count > where.size:
        np.copyto(result, change(values), where=where)
    elif count:
        places = np.flatnonzero(where)
        result.reshape(-1)[places] = change(values.reshape(-1)[places])
