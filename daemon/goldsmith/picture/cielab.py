"""CIE Lab at D50 of a picture's own pixels, and the colour difference CIEDE2000."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture import profiles
from goldsmith.picture.linear_light import LinearLight
from goldsmith.picture.picture import Pixels

# (..., 3): L 0..100, a, b.
LabColours = NDArray[np.float64]

_EPSILON, _KAPPA = 216 / 24389, 24389 / 27
_D50_WHITE = np.array(profiles.D50_WHITE)


def pixels_to_lab(pixels: Pixels, light: LinearLight) -> LabColours:
    """Return display-encoded pixels (h, w, 3), 0..1, as CIE Lab (CIE 15:2018) at D50, (h, w, 3), L 0..100."""
    return linear_to_lab(light.to_linear(pixels).astype(np.float64), light)


def luminance_to_lightness(luminance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the CIE lightness 0..100 of luminance 0..1, of any shape (n, ...)."""
    return np.asarray(np.where(luminance > _EPSILON, 116 * np.cbrt(luminance) - 16, _KAPPA * luminance))


def lightness_to_luminance(lightness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the luminance 0..1 of CIE lightness 0..100, of any shape (n, ...)."""
    return np.asarray(np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / _KAPPA))


def linear_to_lab(linear: LabColours, light: LinearLight) -> LabColours:
    """Return linear light of the profile's primaries (..., 3), 0..1, as CIE Lab, L 0..100."""
    ratio = linear @ light.xyz_matrix.T / _D50_WHITE
    f = np.where(ratio > _EPSILON, np.cbrt(ratio), (_KAPPA * ratio + 16) / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def lab_to_linear(lab: LabColours, light: LinearLight) -> LabColours:
    """Return CIE Lab (..., 3), L 0..100, as linear light of the profile's primaries (..., 3), which may lie outside 0..1."""
    fy = (lab[..., 0] + 16) / 116
    f = np.stack([fy + lab[..., 1] / 500, fy, fy - lab[..., 2] / 200], axis=-1)
    ratio = np.where(f**3 > _EPSILON, f**3, (116 * f - 16) / _KAPPA)
    return np.asarray((ratio * _D50_WHITE) @ np.linalg.inv(light.xyz_matrix).T)


def ciede2000(first: LabColours, second: LabColours) -> NDArray[np.float64]:
    """Return the CIEDE2000 difference (CIE 142-2001) of Lab colours (..., 3), L 0..100, with kL = kC = kH = 1; as in Sharma, Wu and Dalal
    (2005).
    """
    l1, a1, b1 = np.moveaxis(np.asarray(first, np.float64), -1, 0)
    l2, a2, b2 = np.moveaxis(np.asarray(second, np.float64), -1, 0)
    c7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    stretch = 1 + 0.5 * (1 - np.sqrt(c7 / (c7 + 25.0**7)))
    c1, c2 = np.hypot(stretch * a1, b1), np.hypot(stretch * a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, stretch * a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    grey = c1 * c2 == 0
    turn = np.where(grey, 0.0, (h2 - h1 + 180) % 360 - 180)
    turn = np.where((turn == -180) & (h2 > h1), 180.0, turn)
    mean_h = np.where(grey, h1 + h2, (h1 + turn / 2) % 360)
    d_l, d_c, d_h = l2 - l1, c2 - c1, 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2
    s_l = 1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2)
    s_c = 1 + 0.045 * mean_c
    s_h = 1 + 0.015 * mean_c * _hue_weight(mean_h)
    mean_c7 = mean_c**7
    bend = -np.sin(np.radians(60 * np.exp(-(((mean_h - 275) / 25) ** 2)))) * 2 * np.sqrt(mean_c7 / (mean_c7 + 25.0**7))
    parts = d_l / s_l, d_c / s_c, d_h / s_h
    return np.asarray(np.sqrt(np.maximum(parts[0] ** 2 + parts[1] ** 2 + parts[2] ** 2 + bend * parts[1] * parts[2], 0.0)))


def _hue_weight(hue: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return T of CIEDE2000 for the mean hue in degrees."""
    terms = ((-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.20, 4, -63))
    result = np.ones_like(hue)
    for share, times, offset in terms:
        result += share * np.cos(np.radians(times * hue + offset))
    return result
