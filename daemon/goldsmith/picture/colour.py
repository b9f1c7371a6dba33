"""Colour: linear light by a profile's own curve, conversion between profiles, luminance.

None as a profile means sRGB everywhere. "Linear" is the light of the profile's own primaries: only the curve is undone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from goldsmith.errors import InputError
from goldsmith.picture import profiles
from goldsmith.picture.curves import CurveFunction, profile_curves
from goldsmith.picture.formats.image_info import DECODER_ERRORS, Samples
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze, quantise
from goldsmith.picture.profiles import PROFILE_NAMES, profile_name
from goldsmith.picture.slab_processing import map_slabs

__all__ = [
    "PROFILE_NAMES",
    "REC709_WEIGHTS",
    "cmyk_to_srgb",
    "convert_profile",
    "from_linear",
    "luma",
    "luminance",
    "profile_name",
    "to_linear",
    "transform_codes",
]

# Weights of red, green and blue light of Rec. 709 / sRGB primaries in luminance.
REC709_WEIGHTS = (0.2126, 0.7152, 0.0722)
# lcms flags. Without the second, lcms uses a coarse table, with errors of up to 5 % even between matrix profiles.
_LCMS_BLACK_POINT, _LCMS_NO_OPTIMISATION = 0x2000, 0x0100
# ICC's rendering intents; relative and absolute are the colorimetric ones.
RenderingIntent = Literal["perceptual", "relative", "saturation", "absolute"]
_LCMS_INTENTS: dict[RenderingIntent, int] = {"perceptual": 0, "relative": 1, "saturation": 2, "absolute": 3}
# For at most this many pixels, threads cost more than they gain.
_SERIAL_MAX_PIXELS = 1 << 17


def to_linear(pixels: Pixels, icc: bytes | None) -> Pixels:
    """Return display-encoded pixels (h, w, c), 0..1, as linear light 0..1, by the curve in the profile.

    A table-based profile has no curve: its pixels are converted by lcms to linear light of Rec. 709 primaries, clipped to that gamut.
    """
    curves = profile_curves(icc, pixels.shape[2])
    if curves is None:
        return _convert_by_lcms(pixels, _profile_or_srgb(icc), _linear_srgb())
    return _apply_curves(pixels, [curve.to_linear for curve in curves])


def from_linear(pixels: Pixels, icc: bytes | None) -> Pixels:
    """Return the inverse of ``to_linear``, (h, w, c), 0..1, display-encoded: within 1/65535 of the original, if the profile's curve is
    invertible.
    """
    curves = profile_curves(icc, pixels.shape[2])
    if curves is None:
        return _convert_by_lcms(pixels, _linear_srgb(), _profile_or_srgb(icc))
    return _apply_curves(pixels, [curve.from_linear for curve in curves])


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
    if stays_grey and profile_curves(picture.icc, 1) is not None and profile_curves(stored_icc, 1) is not None:
        return replace(picture, pixels=freeze(from_linear(to_linear(picture.pixels, picture.icc), stored_icc)), icc=stored_icc)
    source = picture.pixels
    if picture.channels == 1 and picture.icc is None:
        source = np.repeat(source, 3, axis=2)
    result = _convert_by_matrix(source, picture.icc, icc)
    if result is None:
        result = _convert_by_lcms(source, _profile_or_srgb(picture.icc), icc)
    return replace(picture, pixels=freeze(result), icc=stored_icc)


def luminance(pixels: Pixels) -> Mask:
    """Return the luminance, (h, w), 0..1, of linear light (h, w, c), 0..1, of Rec. 709 primaries; a grey picture is its own luminance. For
    encoded values it is the luma.
    """
    return luma(pixels)


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


def _linear_srgb() -> bytes:
    return profiles.builtin_profile("linear-srgb")


def _convert_by_lcms(pixels: Pixels, source: bytes, target: bytes) -> Pixels:
    """Return the pixels converted by lcms with 16-bit integers, without its optimisations."""
    if not (profiles.matches_channels(target, 1) or profiles.matches_channels(target, 3)):
        raise InputError(f"A picture cannot be converted from {profile_name(source)} to {profile_name(target)}.", "Choose an RGB profile.")
    return transform_codes(quantise(pixels, 16), source, target)


def transform_codes(
    codes: Samples, source: bytes, target: bytes, intent: RenderingIntent = "relative", black_point_compensation: bool = True
) -> Pixels:
    """Return codes (h, w, 1, 3 or 4; uint8 or uint16), converted by lcms between profiles: (h, w, n), 0..1, CMYK with 0 = no ink.

    At 16 bits, without lcms's optimisations. Raises InputError for a profile that lcms cannot use or of an unknown kind.
    """
    import imagecodecs

    spaces = {b"GRAY": "gray", b"RGB ": "rgb", b"CMYK": "cmyk"}
    spaces_used = spaces.get(source[16:20]), spaces.get(target[16:20])
    if None in spaces_used:
        raise InputError(f"A picture cannot be converted from {profile_name(source)} to {profile_name(target)}.", "Choose an RGB profile.")
    flat_codes = codes[:, :, 0] if codes.shape[2] == 1 else codes
    try:
        result = imagecodecs.cms_transform(
            np.ascontiguousarray(flat_codes),
            source,
            target,
            colorspace=spaces_used[0],
            outcolorspace=spaces_used[1],
            outdtype="uint16",
            intent=_LCMS_INTENTS[intent],
            flags=(_LCMS_BLACK_POINT if black_point_compensation else 0) | _LCMS_NO_OPTIMISATION,
        )
    except DECODER_ERRORS as fault:
        raise InputError(
            f"The colour profile {profile_name(source)} or {profile_name(target)} cannot be used: it is damaged, or not made for pictures.",
            "Save the picture with another profile, such as sRGB, or name another profile of a press.",
        ) from fault
    return np.asarray(result.reshape(*codes.shape[:2], -1).astype(np.float32) / np.float32(65535))
