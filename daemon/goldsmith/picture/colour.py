"""Colour: linear light by a profile's own curve, conversion between profiles, luminance.

None as a profile means sRGB everywhere. "Linear" is the light of the profile's own primaries: only the curve is undone.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Literal

import numpy as np

from goldsmith.errors import InputError
from goldsmith.picture import profiles
from goldsmith.picture.curves import CurveFunction, light_curves, profile_curves
from goldsmith.picture.formats.image_info import Samples
from goldsmith.picture.icc_transforms import RenderingIntent, transform_codes, transform_floats
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze, quantise
from goldsmith.picture.profiles import PROFILE_NAMES, profile_name
from goldsmith.picture.slab_processing import map_slabs

__all__ = [
    "PROFILE_NAMES",
    "REC709_WEIGHTS",
    "RenderingIntent",
    "cmyk_to_srgb",
    "convert_profile",
    "convert_to_wide_space",
    "embed_profile",
    "from_linear",
    "known_space",
    "luma",
    "luminance",
    "profile_name",
    "to_linear",
    "transform_codes",
]

# Weights of red, green and blue light of Rec. 709 / sRGB primaries in luminance.
REC709_WEIGHTS = (0.2126, 0.7152, 0.0722)
# A colour is outside a gamut if a channel of its light is so far below 0 or above 1. A few such pixels may be noise.
_GAMUT_TOLERANCE, _GAMUT_SHARE = 0.004, 0.001
# Between profiles of one space by different makers, in the numbers of the matrix and in light.
_SAME_MATRIX, _SAME_CURVE = 0.003, 0.004
# For at most this many pixels, threads cost more than they gain.
_SERIAL_MAX_PIXELS = 1 << 17


def to_linear(pixels: Pixels, icc: bytes | None) -> Pixels:
    """Return display-encoded pixels (h, w, c), 0..1, as linear light 0..1 of the profile's own primaries, by the curve in the profile.

    The curve of a profile made of tables is that of its neutral colours. No colour is clipped to another gamut.
    """
    return _apply_curves(pixels, [curve.to_linear for curve in light_curves(icc, pixels.shape[2])])


def from_linear(pixels: Pixels, icc: bytes | None) -> Pixels:
    """Return the inverse of ``to_linear``, (h, w, c), 0..1, display-encoded: within 1/65535 of the original, if the profile's curve is
    invertible.
    """
    return _apply_curves(pixels, [curve.from_linear for curve in light_curves(icc, pixels.shape[2])])


def convert_profile(picture: Picture, target_profile: str | bytes) -> Picture:
    """Return the picture in another profile, given by its name in ``PROFILE_NAMES`` or its bytes: relative colorimetric with black point
    compensation.

    sRGB is stored as None. A grey picture stays grey for a grey profile or sRGB and becomes RGB for others. The same picture is returned if
    it is already in that profile. Raises InputError for a profile that lcms cannot use, KeyError for an unknown name.
    """
    icc = target_profile if isinstance(target_profile, bytes) else profiles.builtin_profile(target_profile)
    if icc == (picture.icc or profiles.builtin_profile("srgb")):
        return picture
    stored_icc = None if icc == profiles.builtin_profile("srgb") else icc
    stays_grey = picture.channels == 1 and (stored_icc is None or profiles.matches_channels(icc, 1))
    if stays_grey:
        return replace(picture, pixels=freeze(from_linear(to_linear(picture.pixels, picture.icc), stored_icc)), icc=stored_icc)
    source = picture.pixels
    if picture.channels == 1 and picture.icc is None:
        source = np.repeat(source, 3, axis=2)
    result = _convert_by_matrix(source, picture.icc, icc)
    if result is None:
        result = _convert_by_lcms(source, _profile_or_srgb(picture.icc), icc)
    return replace(picture, pixels=freeze(result), icc=stored_icc)


def embed_profile(picture: Picture) -> Picture:
    """Return the picture with the profile of its sRGB in place of None, so that a file of it says so; other pictures unchanged."""
    if picture.icc is not None:
        return picture
    return replace(picture, icc=profiles.builtin_profile("grey-srgb" if picture.channels == 1 else "srgb"))


def convert_to_wide_space(pixels: Pixels, icc: bytes) -> tuple[Pixels, Literal["adobe-rgb", "prophoto"]]:
    """Return pixels (h, w, 3), 0..1, of any RGB profile in the narrowest of two built-in profiles that holds their colours, and its name.

    Relative colorimetric with black point compensation. Raises InputError for a profile that lcms cannot use.
    """
    linear = profiles.builtin_profile("linear-srgb")
    light = map_slabs(pixels, lambda slab: transform_floats(slab, icc, linear))
    in_adobe_rgb = _convert_light(light, "adobe-rgb")
    is_outside = (in_adobe_rgb < -_GAMUT_TOLERANCE) | (in_adobe_rgb > 1 + _GAMUT_TOLERANCE)
    name: Literal["adobe-rgb", "prophoto"] = "prophoto" if is_outside.any(axis=2).mean() > _GAMUT_SHARE else "adobe-rgb"
    result = in_adobe_rgb if name == "adobe-rgb" else _convert_light(light, name)
    return np.clip(from_linear(np.clip(result, 0.0, 1.0), profiles.builtin_profile(name)), 0.0, 1.0), name


def _convert_light(light: Pixels, name: str) -> Pixels:
    """Return linear light of sRGB primaries (h, w, 3) as linear light of a built-in profile; outside its gamut below 0 or above 1."""
    matrix = np.linalg.solve(profiles.builtin_colorants(name), profiles.builtin_colorants("linear-srgb"))
    result: Pixels = light @ matrix.T.astype(np.float32)
    return result


def luminance(pixels: Pixels) -> Mask:
    """Return the luminance, (h, w), 0..1, of linear light (h, w, c), 0..1, of Rec. 709 primaries; a grey picture is its own luminance. For
    encoded values it is the luma.
    """
    return luma(pixels)


@lru_cache(maxsize=32)
def known_space(icc: bytes | None) -> str | None:
    """Return the name in ``PROFILE_NAMES`` of the space that a profile describes, whoever made the profile; None for another space."""
    if icc is None or icc == profiles.builtin_profile("grey-srgb"):
        return "srgb"
    matrix, curves = profiles.colorant_matrix(icc), profile_curves(icc, 3)
    if matrix is None or curves is None:
        return None
    ramp = np.linspace(0, 1, 33, dtype=np.float32)
    for name in PROFILE_NAMES:
        (expected, *_) = profile_curves(profiles.builtin_profile(name), 3) or curves
        differences = [np.abs(curve.to_linear(ramp) - expected.to_linear(ramp)).max() for curve in curves]
        if np.abs(matrix - profiles.builtin_colorants(name)).max() < _SAME_MATRIX and max(differences) < _SAME_CURVE:
            return name
    return None


def luma(pixels: Pixels) -> Mask:
    """Return the weighted sum of the channels (Rec. 709 weights), (h, w, c) -> (h, w), 0..1."""
    if pixels.shape[2] == 1:
        return pixels[:, :, 0]
    result: Mask = pixels @ np.asarray(REC709_WEIGHTS, np.float32)
    return result


def cmyk_to_srgb(codes: Samples, max_code: float, icc: bytes | None) -> Pixels:
    """Return CMYK codes (h, w, 4), 0 = no ink, as sRGB (h, w, 3), 0..1: through the profile if there is one, otherwise R = (1 - C)(1 - K)
    and so on.
    """
    if icc is None:
        paper = 1 - codes.astype(np.float32) / np.float32(max_code)
        return np.asarray(paper[:, :, :3] * paper[:, :, 3:], dtype=np.float32)
    inks = np.ascontiguousarray(codes if max_code in (255, 65535) else np.round(codes * (65535 / max_code)).astype(np.uint16))
    return transform_codes(inks, icc, profiles.builtin_profile("srgb"))


def _apply_curves(pixels: Pixels, curves: list[CurveFunction]) -> Pixels:
    if pixels.shape[0] * pixels.shape[1] > _SERIAL_MAX_PIXELS:
        return map_slabs(pixels, lambda slab: _apply_curves_serial(slab, curves))
    return _apply_curves_serial(pixels, curves)


def _apply_curves_serial(pixels: Pixels, curves: list[CurveFunction]) -> Pixels:
    if all(curve == curves[0] for curve in curves):
        return curves[0](pixels)
    result = np.empty_like(pixels)
    for channel, curve in enumerate(curves):
        result[:, :, channel] = curve(np.ascontiguousarray(pixels[:, :, channel]))
    return result


def _profile_or_srgb(icc: bytes | None) -> bytes:
    return profiles.builtin_profile("srgb") if icc is None else icc


def _convert_by_matrix(pixels: Pixels, source: bytes | None, target: bytes) -> Pixels | None:
    """Return the pixels converted between matrix profiles in floats, clipped to the target's gamut; None if one is not a matrix profile.

    The result equals that of lcms, several times faster. Matrix profiles have their black at zero: no black point needs compensation.
    """
    matrices = profiles.colorant_matrix(_profile_or_srgb(source)), profiles.colorant_matrix(target)
    if pixels.shape[2] != 3 or matrices[0] is None or matrices[1] is None:
        return None
    source_curves, target_curves = profile_curves(source, 3), profile_curves(target, 3)
    if source_curves is None or target_curves is None:
        return None
    matrix = np.linalg.solve(matrices[1], matrices[0]).T.astype(np.float32)
    undo: list[CurveFunction] = [curve.to_linear for curve in source_curves]
    encode: list[CurveFunction] = [curve.from_linear for curve in target_curves]

    def convert(slab: Pixels) -> Pixels:
        light = np.clip(_apply_curves_serial(slab, undo) @ matrix, 0.0, 1.0)
        return np.clip(_apply_curves_serial(light, encode), 0.0, 1.0)

    return map_slabs(pixels, convert)


def _convert_by_lcms(pixels: Pixels, source: bytes, target: bytes) -> Pixels:
    """Return the pixels converted by lcms with 16-bit integers, without its optimisations."""
    if not (profiles.matches_channels(target, 1) or profiles.matches_channels(target, 3)):
        raise InputError(f"A picture cannot be converted from {profile_name(source)} to {profile_name(target)}.", "Choose an RGB profile.")
    return transform_codes(quantise(pixels, 16), source, target)
