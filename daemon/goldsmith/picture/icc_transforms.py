"""Transforms between ICC profiles by lcms, and what is sampled from profiles whose tables have no formula."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from goldsmith.errors import InputError
from goldsmith.picture import profiles
from goldsmith.picture.formats.image_info import DECODER_ERRORS, Samples
from goldsmith.picture.picture import Pixels
from goldsmith.picture.profiles import profile_name

# lcms flags. Without the second, lcms uses a coarse table, with errors of up to 5 % even between matrix profiles.
_LCMS_BLACK_POINT, _LCMS_NO_OPTIMISATION = 0x2000, 0x0100
# ICC's rendering intents; relative and absolute are the colorimetric ones.
RenderingIntent = Literal["perceptual", "relative", "saturation", "absolute"]
_LCMS_INTENTS: dict[RenderingIntent, int] = {"perceptual": 0, "relative": 1, "saturation": 2, "absolute": 3}
_SPACES = {b"GRAY": "gray", b"RGB ": "rgb", b"CMYK": "cmyk"}
# Samples of a neutral ramp. Between them the curve is a straight line, and its inverse is exact.
_RAMP_STEPS = 4096
# A share of a straight line in a sampled curve: where a table is flat, at its black or white, different codes stay different.
_STRAIGHT_SHARE = 1e-4
# Levels of each channel from which the colorants of a table are estimated, and the weight of white.
_GRID_LEVELS, _WHITE_WEIGHT = 6, 1e3


def transform_codes(
    codes: Samples, source: bytes, target: bytes, intent: RenderingIntent = "relative", black_point_compensation: bool = True
) -> Pixels:
    """Return codes (h, w, 1, 3 or 4; uint8 or uint16), converted by lcms between profiles: (h, w, n), 0..1, CMYK with 0 = no ink.

    At 16 bits, without lcms's optimisations. Raises InputError for a profile that lcms cannot use or of an unknown kind.
    """
    result = _transform(codes, source, target, "uint16", intent, black_point_compensation)
    return np.asarray(result.astype(np.float32) / np.float32(65535))


def transform_floats(pixels: Pixels, source: bytes, target: bytes, black_point_compensation: bool = True) -> Pixels:
    """Return display-encoded grey or RGB (h, w, 1 or 3), 0..1, in another RGB profile: (h, w, 3), relative colorimetric.

    Nothing is clipped: if the target is a matrix profile, a colour outside its gamut has values below 0 or above 1. Raises InputError for a
    profile that lcms cannot use.
    """
    result = _transform(np.asarray(pixels, np.float32), source, target, "float32", "relative", black_point_compensation)
    return np.asarray(result, np.float32)


def _transform(
    values: Samples, source: bytes, target: bytes, dtype: str, intent: RenderingIntent, black_point_compensation: bool
) -> NDArray[np.float32] | NDArray[np.uint16]:
    import imagecodecs

    spaces = _SPACES.get(source[16:20]), _SPACES.get(target[16:20])
    if None in spaces:
        raise InputError(f"A picture cannot be converted from {profile_name(source)} to {profile_name(target)}.", "Choose an RGB profile.")
    flat_values = values[:, :, 0] if values.shape[2] == 1 else values
    try:
        result = imagecodecs.cms_transform(
            np.ascontiguousarray(flat_values),
            source,
            target,
            colorspace=spaces[0],
            outcolorspace=spaces[1],
            outdtype=dtype,
            intent=_LCMS_INTENTS[intent],
            flags=(_LCMS_BLACK_POINT if black_point_compensation else 0) | _LCMS_NO_OPTIMISATION,
        )
    except DECODER_ERRORS as fault:
        raise InputError(
            f"The colour profile {profile_name(source)} or {profile_name(target)} cannot be used: it is damaged, or not made for pictures.",
            "Save the picture with another profile, such as sRGB, or name another profile of a press.",
        ) from fault
    return np.asarray(result.reshape(*values.shape[:2], -1))


@lru_cache(maxsize=32)
def neutral_curve(icc: bytes, channels: int) -> tuple[float, ...]:
    """Return evenly spaced samples of the luminance, 0..1, of the profile's neutral colours: grey, or equal red, green and blue.

    The samples rise strictly, so that the curve can be inverted. Raises InputError for a profile that lcms cannot use.
    """
    ramp = np.linspace(0, 1, _RAMP_STEPS)
    light = np.maximum.accumulate(np.clip(neutral_luminance(icc, channels, ramp), 0, 1))
    return tuple(((1 - _STRAIGHT_SHARE) * light + _STRAIGHT_SHARE * ramp).tolist())


def neutral_luminance(icc: bytes, channels: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the luminance, 1 = the white of ICC, of neutral display-encoded values (n,), 0..1. Raises InputError as ``neutral_curve``."""
    ramp = np.repeat(values.reshape(1, -1, 1), channels, axis=2)
    return _to_xyz(ramp, icc)[0, :, 1]


@lru_cache(maxsize=32)
def sampled_colorants(icc: bytes) -> NDArray[np.float64]:
    """Return the matrix (3, 3) from linear light by ``neutral_curve``, 0..1, to XYZ at D50 that fits an RGB profile of tables best.

    Least squares over a grid of colours; white is exact. Raises InputError for a profile that lcms cannot use.
    """
    levels = np.linspace(0, 1, _GRID_LEVELS)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(1, -1, 3)
    curve = neutral_curve(icc, 3)
    light = np.vstack([np.interp(grid[0], np.linspace(0, 1, len(curve)), curve), np.full(3, _WHITE_WEIGHT)])
    xyz = np.vstack([_to_xyz(grid, icc)[0], _WHITE_WEIGHT * np.array(profiles.D50_WHITE)])
    solution, *_ = np.linalg.lstsq(light, xyz, rcond=None)
    return np.asarray(solution.T)


def _to_xyz(pixels: NDArray[np.float64], icc: bytes) -> NDArray[np.float64]:
    """Return XYZ at D50, (h, w, 3), of display-encoded pixels (h, w, 1 or 3), 0..1."""
    light = transform_floats(pixels.astype(np.float32), icc, profiles.builtin_profile("linear-srgb"))
    return np.asarray(light.astype(np.float64) @ profiles.builtin_colorants("linear-srgb").T)
