"""Colour: linear light by a profile's own curve, conversion between profiles, luminance.

None for a profile means sRGB everywhere. "Linear" is the light of the profile's own primaries: only the curve is undone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from goldsmith.errors import Problem
from goldsmith.picture import profiles
from goldsmith.picture.curves import Curve, curves_of
from goldsmith.picture.formats.facts import DECODER_FAULTS, Samples
from goldsmith.picture.picture import Mask, Pixels, Plate, frozen
from goldsmith.picture.profiles import PROFILES, profile_name
from goldsmith.picture.strips import in_slabs

__all__ = ["PROFILES", "REC709", "converted", "from_cmyk", "from_linear", "luma", "luminance", "profile_name", "to_linear", "transformed"]

REC709 = (0.2126, 0.7152, 0.0722)
"""What red, green and blue light of Rec. 709 / sRGB primaries weigh in luminance."""
_BLACK_POINT, _EXACT = 0x2000, 0x0100
"""lcms' flags; without the second it replaces the way by a coarse table, off by up to 5 % even between matrix profiles."""
Intent = Literal["perceptual", "relative", "saturation", "absolute"]
"""ICC's rendering intents; relative and absolute are the colorimetric ones."""
_INTENTS: dict[Intent, int] = {"perceptual": 0, "relative": 1, "saturation": 2, "absolute": 3}
_SMALL = 1 << 17
"""Up to so many pixels threads cost more than they bring."""


def to_linear(pixels: Pixels, icc: bytes | None) -> Pixels:
    """Display-encoded (h, w, c) 0..1 as linear light 0..1, by the curve in the profile.

    A profile of tables has no curve: its pixels come out as linear light of Rec. 709 primaries through lcms, clipped to that gamut.
    """
    curves = curves_of(icc, pixels.shape[2])
    if curves is None:
        return _by_lcms(pixels, _bytes_of(icc), _linear_srgb())
    return _each(pixels, [curve.linear for curve in curves])


def from_linear(pixels: Pixels, icc: bytes | None) -> Pixels:
    """The inverse of ``to_linear``: within 1/65535 of what it was given, where the profile's curve can be inverted."""
    curves = curves_of(icc, pixels.shape[2])
    if curves is None:
        return _by_lcms(pixels, _linear_srgb(), _bytes_of(icc))
    return _each(pixels, [curve.encoded for curve in curves])


def converted(plate: Plate, target: str | bytes) -> Plate:
    """The plate in another profile, by its name in ``PROFILES`` or its bytes: relative colorimetric with black point compensation.

    sRGB is kept as None. A grey plate stays grey for a grey profile or sRGB and becomes RGB for the others. The plate itself comes
    back where it is in that profile already. Raises Problem for a profile lcms cannot use, KeyError for an unknown name.
    """
    icc = target if isinstance(target, bytes) else profiles.named(target)
    if icc == (plate.icc or profiles.named("srgb")):
        return plate
    kept = None if icc == profiles.named("srgb") else icc
    stays_grey = plate.channels == 1 and (kept is None or profiles.fits(icc, 1))
    if stays_grey and curves_of(plate.icc, 1) is not None and curves_of(kept, 1) is not None:
        return replace(plate, pixels=frozen(from_linear(to_linear(plate.pixels, plate.icc), kept)), icc=kept)
    source = plate.pixels
    if plate.channels == 1 and plate.icc is None:
        source = np.repeat(source, 3, axis=2)
    made = _by_matrix(source, plate.icc, icc)
    if made is None:
        made = _by_lcms(source, _bytes_of(plate.icc), icc)
    return replace(plate, pixels=frozen(made), icc=kept)


def luminance(pixels: Pixels) -> Mask:
    """Luminance of linear light (h, w, c) of Rec. 709 primaries -> (h, w); a grey picture's is itself. On encoded values: luma."""
    return luma(pixels)


def luma(pixels: Pixels) -> Mask:
    """Weighted sum of the channels (Rec. 709 weights), (h, w, c) -> (h, w)."""
    if pixels.shape[2] == 1:
        return pixels[:, :, 0]
    made: Mask = pixels @ np.asarray(REC709, np.float32)
    return made


def from_cmyk(codes: Samples, levels: float, icc: bytes | None) -> Pixels:
    """CMYK (h, w, 4), 0 = no ink, as sRGB 0..1: through the profile where there is one, else R = (1 - C)(1 - K) and so on."""
    if icc is None:
        paper = 1 - codes.astype(np.float32) / np.float32(levels)
        return np.asarray(paper[:, :, :3] * paper[:, :, 3:], dtype=np.float32)
    inks = np.ascontiguousarray(codes if levels in (255, 65535) else np.round(codes * (65535 / levels)).astype(np.uint16))
    return transformed(inks, icc, profiles.named("srgb"))


def _each(pixels: Pixels, curves: list[Curve]) -> Pixels:
    if pixels.shape[0] * pixels.shape[1] > _SMALL:
        return in_slabs(pixels, lambda slab: _each_small(slab, curves))
    return _each_small(pixels, curves)


def _each_small(pixels: Pixels, curves: list[Curve]) -> Pixels:
    if all(curve == curves[0] for curve in curves):
        return curves[0](pixels)
    made = np.empty_like(pixels)
    for channel, curve in enumerate(curves):
        made[:, :, channel] = curve(np.ascontiguousarray(pixels[:, :, channel]))
    return made


def _bytes_of(icc: bytes | None) -> bytes:
    return profiles.named("srgb") if icc is None else icc


def _by_matrix(pixels: Pixels, source: bytes | None, target: bytes) -> Pixels | None:
    """From one matrix profile to another in floats, clipped to the target's gamut; None where one of them is no such profile.

    The same as lcms makes of it, and several times faster. Matrix profiles are black at zero: no black point to compensate.
    """
    matrices = profiles.colorants(_bytes_of(source)), profiles.colorants(target)
    if pixels.shape[2] != 3 or matrices[0] is None or matrices[1] is None:
        return None
    given, wanted = curves_of(source, 3), curves_of(target, 3)
    if given is None or wanted is None:
        return None
    matrix = np.linalg.solve(matrices[1], matrices[0]).T.astype(np.float32)
    undo: list[Curve] = [curve.linear for curve in given]
    encode: list[Curve] = [curve.encoded for curve in wanted]

    def convert(slab: Pixels) -> Pixels:
        light = np.clip(_each_small(slab, undo) @ matrix, 0.0, 1.0)
        return np.clip(_each_small(light, encode), 0.0, 1.0)

    return in_slabs(pixels, convert)


def _linear_srgb() -> bytes:
    return profiles.named("linear-srgb")


def _by_lcms(pixels: Pixels, source: bytes, target: bytes) -> Pixels:
    """Through 16-bit integers, without short cuts."""
    codes = np.clip(pixels, 0.0, 1.0) * np.float32(65535)
    codes += np.float32(0.5)
    if not (profiles.fits(target, 1) or profiles.fits(target, 3)):
        raise Problem(f"A picture cannot be converted from {profile_name(source)} to {profile_name(target)}.", "Choose an RGB profile.")
    return transformed(codes.astype(np.uint16), source, target)


def transformed(codes: Samples, source: bytes, target: bytes, intent: Intent = "relative", black_point: bool = True) -> Pixels:
    """Codes (h, w, 1, 3 or 4; uint8 or uint16) through lcms from one profile to another: 0..1, CMYK with 0 = no ink.

    Without short cuts, at 16 bits. Raises Problem for a profile that lcms cannot use or of an unknown kind.
    """
    import imagecodecs

    spaces = {b"GRAY": "gray", b"RGB ": "rgb", b"CMYK": "cmyk"}
    spaces_used = spaces.get(source[16:20]), spaces.get(target[16:20])
    if None in spaces_used:
        raise Problem(f"A picture cannot be converted from {profile_name(source)} to {profile_name(target)}.", "Choose an RGB profile.")
    given = codes[:, :, 0] if codes.shape[2] == 1 else codes
    try:
        made = imagecodecs.cms_transform(
            np.ascontiguousarray(given),
            source,
            target,
            colorspace=spaces_used[0],
            outcolorspace=spaces_used[1],
            outdtype="uint16",
            intent=_INTENTS[intent],
            flags=(_BLACK_POINT if black_point else 0) | _EXACT,
        )
    except DECODER_FAULTS as fault:
        raise Problem(f"The colour profile {profile_name(source)} or {profile_name(target)} cannot be used ({fault}).") from fault
    return np.asarray(made.reshape(*codes.shape[:2], -1).astype(np.float32) / np.float32(65535))
