"""Exposure and white balance as a camera would apply them, in linear light of the picture's own profile."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture import colour, profiles
from goldsmith.picture.curves import profile_curves
from goldsmith.picture.icc_transforms import sampled_colorants
from goldsmith.picture.picture import Pixels
from goldsmith.picture.slab_processing import PixelChange
from goldsmith.picture.soft_limits import compress_gamut, roll_off_light

Float64Array = NDArray[np.float64]

# XYZ to the sharpened cone responses of Lam (1985), as in ICC.1:2022, annex E, and CIE 160:2004.
BRADFORD_MATRIX = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_DAYLIGHT_KELVIN = 6504.0
# The range of temperature and of tint at 100. The temperature then stays within 4000 to 25000 K, where CIE defines daylight.
_MAX_MIRED_SHIFT, _MAX_DUV = 95.0, 0.03
_MAX_CONE_RATIO = 8.0


class LinearLight:
    """Linear light and XYZ (D50) of the pixels of one profile, three channels or one. A grey profile's curve serves three equally."""

    def __init__(self, icc: bytes | None) -> None:
        self._icc = icc
        self._grey = icc is not None and profiles.matches_channels(icc, 1)

    def to_linear(self, pixels: Pixels) -> Pixels:
        """Return display-encoded pixels (h, w, c), 0..1, as linear light of the profile's own primaries."""
        if self._grey and pixels.shape[2] == 3:
            return np.repeat(colour.to_linear(np.ascontiguousarray(pixels[:, :, :1]), self._icc), 3, axis=2)
        return colour.to_linear(pixels, self._icc)

    def from_linear(self, linear: Pixels) -> Pixels:
        """Return linear light (h, w, c) as display-encoded pixels, clipped to 0..1."""
        clipped = np.clip(linear, 0.0, 1.0)
        if self._grey and linear.shape[2] == 3:
            return np.repeat(colour.from_linear(np.ascontiguousarray(clipped[:, :, :1]), self._icc), 3, axis=2)
        return np.clip(colour.from_linear(clipped, self._icc), 0.0, 1.0)

    @cached_property
    def xyz_matrix(self) -> Float64Array:
        """The matrix (3, 3) from linear light 0..1 to XYZ at D50: the profile's own, or the one that fits its tables best.

        A grey profile is read as Rec. 709 light.
        """
        if self._icc is None or self._grey:
            return profiles.builtin_colorants("srgb")
        matrix = None if profile_curves(self._icc, 3) is None else profiles.colorant_matrix(self._icc)
        return sampled_colorants(self._icc) if matrix is None else matrix

    def linearise_colour(self, colour_values: tuple[float, float, float]) -> Float64Array:
        """Return one display-encoded colour, 0..1, as linear light, (3,)."""
        return self.to_linear(np.array(colour_values, np.float32).reshape(1, 1, 3)).reshape(3).astype(np.float64)


def exposure_change(
    light: LinearLight, stops: float, white_balance: Float64Array | None = None, shoulder: float = 0.0, gamut: float = 0.0
) -> PixelChange:
    """Return the change that multiplies linear light by 2 ** stops, after ``white_balance`` (3, 3), in units of light; one matrix, so that
    nothing is clipped in between.

    ``shoulder``: 0..1 of the display range, below white, into which light above white is compressed; 0 clips it. ``gamut``: 0..1 of the
    way from grey to the gamut's edge, at the edge, into which the white balance compresses colours outside the gamut; 0 clips them.
    """
    matrix = (2.0**stops * (np.eye(3) if white_balance is None else white_balance)).T.astype(np.float32)
    limits = None if white_balance is None or not gamut else _gamut_distances(white_balance)
    peak = 2.0**stops
    knee = float(light.linearise_colour((1.0 - shoulder,) * 3).mean()) if shoulder and peak > 1.0 else 1.0

    def change(pixels: Pixels) -> Pixels:
        linear = light.to_linear(pixels)
        linear = linear @ matrix if white_balance is not None else linear * np.float32(peak)
        if limits is not None:
            linear = compress_gamut(linear, 1.0 - gamut, limits)
        if knee < 1.0:
            linear = roll_off_light(linear, knee, peak)
        return light.from_linear(linear)

    return change


def _gamut_distances(matrix: Float64Array) -> NDArray[np.float32]:
    """Return the largest distance from grey (3,) that each channel of a colour of the gamut gets through ``matrix`` (3, 3); 1 or more.

    Distances as in ``compress_gamut``, measured on the three faces of the cube where one channel is zero.
    """
    steps = np.linspace(0.0, 1.0, 33)
    across, down = (plane.ravel() for plane in np.meshgrid(steps, steps))
    zero = np.zeros_like(across)
    edge = np.concatenate([np.stack(face, axis=1) for face in ((zero, across, down), (across, zero, down), (across, down, zero))])
    moved = edge @ matrix.T
    largest = moved.max(axis=1, keepdims=True)
    inside = largest[:, 0] > 1e-6
    distances = (largest[inside] - moved[inside]) / largest[inside]
    return np.asarray(np.maximum(distances.max(axis=0), 1.0), np.float32)


def white_balance_from_neutral(light: LinearLight, white: Float64Array) -> Float64Array | None:
    """Return the matrix (3, 3) on linear light that makes ``white`` (3,), 0..1, neutral and keeps its brightness: Bradford adaptation.

    None if it cannot be a white: black, or a single colour.
    """
    xyz = light.xyz_matrix @ np.asarray(white, np.float64)
    if xyz[1] < 1e-3:
        return None
    return _adaptation_in_linear(light, xyz / xyz[1], np.array(profiles.D50_WHITE))


def white_balance_from_temperature(light: LinearLight, temperature: float, tint: float) -> Float64Array:
    """Return the matrix (3, 3) on linear light for -1..1 each: temperature (amber +) along CIE daylight in mired, tint (magenta +) across
    it.

    The picture is assumed to be lit by daylight that was bluer (amber) or yellower than 6504 K by up to 95 mired; daylight by CIE 15:2018,
    green and magenta at right angles to it in CIE 1960 u, v, up to 0.03.
    """
    daylight = _daylight_xyz(0.0, 0.0)
    to_d50 = bradford_adaptation(daylight, np.array(profiles.D50_WHITE))
    result = _adaptation_in_linear(light, to_d50 @ _daylight_xyz(temperature, tint), np.array(profiles.D50_WHITE))
    return np.eye(3) if result is None else result


def bradford_adaptation(source: Float64Array, target: Float64Array) -> Float64Array:
    """Return Bradford's matrix (3, 3) on XYZ from the white ``source`` to the white ``target``, each (3,) in units of Y = 1."""
    ratio = (BRADFORD_MATRIX @ target) / (BRADFORD_MATRIX @ source)
    return np.asarray(np.linalg.inv(BRADFORD_MATRIX) @ np.diag(ratio) @ BRADFORD_MATRIX)


def _adaptation_in_linear(light: LinearLight, source: Float64Array, target: Float64Array) -> Float64Array | None:
    cones = BRADFORD_MATRIX @ source
    ratios = BRADFORD_MATRIX @ target / cones
    if cones.min() <= 0 or not 1 / _MAX_CONE_RATIO <= ratios.min() <= ratios.max() <= _MAX_CONE_RATIO:
        return None
    return np.asarray(np.linalg.solve(light.xyz_matrix, bradford_adaptation(source, target) @ light.xyz_matrix))


def _daylight_xyz(temperature: float, tint: float) -> Float64Array:
    """Return XYZ (Y = 1) of CIE daylight: above 0 bluer than 6504 K; tint above 0 greener, because green is to be removed."""
    u, v = _daylight_uv(temperature)
    before, after = _daylight_uv(temperature - 0.01), _daylight_uv(temperature + 0.01)
    along = np.array(after) - np.array(before)
    across = np.array([along[1], -along[0]]) / np.hypot(*along)
    across = across if across[1] > 0 else -across  # towards green, where v is larger
    u, v = np.array([u, v]) + across * tint * _MAX_DUV
    x, y = 3 * u / (2 * u - 8 * v + 4), 2 * v / (2 * u - 8 * v + 4)
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _daylight_uv(temperature: float) -> tuple[float, float]:
    """Return CIE 1960 u, v of daylight (CIE 15:2018, equations 4.1 to 4.3)."""
    kelvin = 1e6 / (1e6 / _DAYLIGHT_KELVIN - temperature * _MAX_MIRED_SHIFT)
    if kelvin <= 7000:
        x = 0.244063 + 0.09911e3 / kelvin + 2.9678e6 / kelvin**2 - 4.6070e9 / kelvin**3
    else:
        x = 0.237040 + 0.24748e3 / kelvin + 1.9018e6 / kelvin**2 - 2.0064e9 / kelvin**3
    y = -3.000 * x**2 + 2.870 * x - 0.275
    bottom = -2 * x + 12 * y + 3
    return 4 * x / bottom, 6 * y / bottom
