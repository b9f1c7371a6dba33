"""What the values of a file mean in colour, decided once, where a file is read: by its profile, its colour codes, its Exif or its kind.

The rule for profiles: a profile is used as it is, replaced by an equal one, or refused. A profile that cannot be used says that the colours
are not sRGB, and not what they are. A guess would be a wrong colour that nobody notices, so the picture is held, in the first folder in
which it is read.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from goldsmith.errors import InputError
from goldsmith.picture import colour, profiles
from goldsmith.picture.colour_codes import hdr_in_profile
from goldsmith.picture.curves import profile_curves
from goldsmith.picture.exif_colour import is_adobe_rgb
from goldsmith.picture.formats.image_info import ImageHeader, Samples
from goldsmith.picture.icc_transforms import neutral_luminance, transform_codes
from goldsmith.picture.picture import BitDepth, Pixels, quantise
from goldsmith.picture.tone_mapping import tone_map

_HEADER_BYTES = 132
# A profile may have many MiB, and a cache keeps its bytes.
_CACHED_PROFILES = 8
_SPACE_NAMES = {b"GRAY": "grey", b"RGB ": "RGB", b"CMYK": "CMYK", b"Lab ": "Lab"}
_CHANNEL_NAMES = {1: "grey", 3: "RGB", 4: "CMYK"}
# Profiles of devices and spaces. Links, abstract profiles and named colours (ICC.1:2022, 7.2.5) do not describe the colours of pixels.
_PICTURE_CLASSES = (b"scnr", b"mntr", b"prtr", b"spac")
_INPUT_CLASS = b"scnr"
# The luminance of white less that of black, 1 = all. A profile below it gives no picture.
_MIN_RANGE = 0.1
# Beyond 0..1, values that a sharpening or resizing filter leaves in a floating-point file; they are clipped.
_FLOAT_OVERSHOOT = 0.1
# What programs write into floating-point files in place of 1.
_USUAL_RANGES = (255, 1023, 4095, 65535)


class _Finding(NamedTuple):
    # Completes "NAME has …"; "" = the profile can be used.
    fault: str = ""
    # Pixels cannot stay in a scanner's or camera's profile, nor in one that has no way back into it.
    must_convert: bool = False


def find_colours(header: ImageHeader, name: str, *, tone_maps: bool) -> None:
    """Complete the header's profile, with notes for people. Raises InputError if the colours are unknown, or HDR unless ``tone_maps``."""
    if header.icc is not None:
        profiles.check_processing_steps(header.icc, f"The colour profile in {name}")
        coded = hdr_in_profile(header.icc)
        header.icc, header.hdr = (header.icc, header.hdr) if coded is None else (coded.icc, coded.hdr or "")
    if header.icc is None and not header.states_colour and header.channels == 3 and is_adobe_rgb(header.exif):
        header.icc = profiles.builtin_profile("adobe-rgb")
        header.notes.append("it has no profile, and its Exif says that it is Adobe RGB: it is read as that")
    if header.hdr and not tone_maps:
        raise InputError(
            f"{name} is an HDR picture ({header.hdr}): its values mean light for a brighter screen than pictures are made for.",
            'Save it as SDR, or write hdr = "tonemap" at the top of its brief.',
        )
    if header.hdr:
        header.notes.append(f"its HDR values ({header.hdr}) were tone-mapped")
        return
    _apply_profile_rule(header, name)
    if header.channels == 4 and header.icc is None:
        header.notes.append("its inks have no profile: they are read by a plain formula, so its colours are approximate")


def scale_floats(samples: Samples, header: ImageHeader, name: str, float_range: float) -> Samples:
    """Return floating-point samples (h, w, n) divided by ``float_range``, the value that means 1.0; others unchanged.

    Values a little beyond 0..1 are noted, since they will be clipped. Raises InputError if they are further beyond.
    """
    if samples.dtype.kind != "f":
        return samples
    is_number = np.isfinite(samples)
    if not is_number.all():
        header.notes.append(f"{int((~is_number).sum()):,} of its values are no numbers: they are read as black, or white if infinite")
    if float_range != 1.0:
        has_unit_alpha = header.has_alpha and samples[:, :, -1].max(initial=0, where=is_number[:, :, -1]) <= 1
        scaled = samples.astype(np.float32) / np.float32(float_range)
        samples = np.concatenate([scaled[:, :, :-1], samples[:, :, -1:].astype(np.float32)], axis=2) if has_unit_alpha else scaled
    low, high = float(samples.min(initial=0, where=is_number)), float(samples.max(initial=0, where=is_number))
    if low < -_FLOAT_OVERSHOOT or high > 1 + _FLOAT_OVERSHOOT:
        white = high * float_range
        suggestion = next((usual for usual in _USUAL_RANGES if usual / 4 < white <= usual), float(np.ceil(white * 100) / 100))
        raise InputError(
            f"{name} holds floating-point values from {low * float_range:g} to {white:g}; Goldsmith reads 0 to {float_range:g}.",
            "Save it with values from 0 to 1, or write the value that means white at the top of its brief, "
            f"as in float_range = {suggestion:g}.",
        )
    if low < 0 or high > 1:
        header.notes.append(f"its values from {low * float_range:.3g} to {high * float_range:.3g} were clipped to 0 to {float_range:g}")
    return samples


def keeps_values(header: ImageHeader) -> bool:
    """Return whether ``to_profile_of_picture`` returns the file's grey or RGB as it is."""
    is_rgb_on_grey = header.channels == 1 and profiles.matches_channels(header.icc, 3)
    return header.channels in (1, 3) and not (header.hdr or is_rgb_on_grey or (header.must_convert and header.icc is not None))


def to_profile_of_picture(values: Samples, header: ImageHeader) -> tuple[Pixels, bytes | None, BitDepth]:
    """Return the file's values (h, w, 1, 3 or 4), 0..1, as pixels of a picture (h, w, 1 or 3), their profile, and their depth.

    Inks may also be the file's integer codes.

    Inks become sRGB; HDR becomes SDR of 16 bits with the same primaries; colours of a scanner or camera become Adobe RGB, or ProPhoto RGB
    of 16 bits if Adobe RGB does not hold them.
    """
    icc = header.icc
    depth: BitDepth = 8 if header.depth <= 8 else 16
    if header.channels == 4:
        codes, max_code = (quantise(values, 16), 65535.0) if values.dtype.kind == "f" else (values, header.max_code)
        return colour.cmyk_to_srgb(codes, max_code, icc), None, depth
    pixels: Pixels = values
    if header.hdr:
        return tone_map(pixels, header.hdr), icc, 16
    if pixels.shape[2] == 1 and profiles.matches_channels(icc, 3):
        pixels = np.repeat(pixels, 3, axis=2)
    if not header.must_convert or icc is None:
        return pixels, icc, depth
    if pixels.shape[2] == 1:
        header.notes.append(f"its grey was converted from the profile “{profiles.profile_name(icc)}” of a scanner or camera")
        return colour.from_linear(colour.to_linear(pixels, icc), None), None, depth
    pixels, target = colour.convert_to_wide_space(pixels, icc)
    header.notes.append(
        f"its colours were converted from the profile “{profiles.profile_name(icc)}”, which is one for reading only, to "
        f"{profiles.profile_name(profiles.builtin_profile(target))}"
    )
    return pixels, profiles.builtin_profile(target), 16 if target == "prophoto" else depth


def _apply_profile_rule(header: ImageHeader, name: str) -> None:
    """Check the embedded profile and set ``header.must_convert``. Raises InputError if the colours are unknown.

    Grey pixels with an RGB profile get the grey profile of its curve, if its channels have one curve; else they are equal red, green and
    blue.
    """
    icc = header.icc
    if icc is None:
        _require_known_colours(header.colour_fault, header, name)
        return
    is_rgb_on_grey = header.channels == 1 and profiles.matches_channels(icc, 3)
    finding = _examine(icc, 3 if is_rgb_on_grey else header.channels)
    _require_known_colours(finding.fault, header, name)
    header.must_convert = finding.must_convert
    if is_rgb_on_grey:
        header.notes.append(f"its grey has the RGB profile “{profiles.profile_name(icc)}” and is read by it")
        header.icc = (None if finding.must_convert else _grey_profile_from_rgb(icc)) or icc


def _require_known_colours(fault: str, header: ImageHeader, name: str) -> None:
    if fault:
        without = "its inks are read by a plain formula" if header.channels == 4 else "it is read as sRGB"
        raise InputError(
            f"{name} has {fault}, so its true colours are unknown.",
            f"Assign the right profile in a picture program and save it again, or save it without a profile: then {without}.",
        )


@lru_cache(maxsize=_CACHED_PROFILES)
def _examine(icc: bytes, channels: int) -> _Finding:
    """Return what becomes of a profile on pixels with that many channels."""
    fault = _find_fault(icc, channels)
    if fault or channels == 4:
        return _Finding(fault)
    return _Finding(must_convert=icc[12:16] == _INPUT_CLASS or not _is_invertible(icc, channels))


def _find_fault(icc: bytes, channels: int) -> str:
    """Return why a profile cannot be used; "" if it can."""
    if len(icc) < _HEADER_BYTES or icc[36:40] != b"acsp":
        return "a colour profile that is damaged"
    if icc[12:16] not in _PICTURE_CLASSES:
        return "a colour profile of a kind that does not describe the colours of a picture (a link, an effect or named colours)"
    if not profiles.matches_channels(icc, channels):
        space = _SPACE_NAMES.get(icc[16:20], "other")
        return f"{_CHANNEL_NAMES[channels]} pixels and a colour profile for {space} pixels (“{profiles.profile_name(icc)}”)"
    damage = f"a colour profile (“{profiles.profile_name(icc)}”) that is damaged"
    if profiles.is_cut_off(icc):
        size = int.from_bytes(icc[:4], "big")
        return f"a colour profile that is cut off: {len(icc):,} of {size:,} bytes are there" if size > len(icc) else damage
    try:
        if channels == 4:
            steps = np.array([[[0, 0, 0, 0], [65535] * 4]], np.uint16)
            ends = transform_codes(steps, icc, profiles.builtin_profile("srgb"))[0, :, 1]
            return "" if ends[0] - ends[1] > _MIN_RANGE else damage
        black, white = neutral_luminance(icc, channels, np.array([0.0, 1.0]))
    except InputError:
        return damage
    return "" if np.isfinite(white - black) and white - black > _MIN_RANGE else damage


def _is_invertible(icc: bytes, channels: int) -> bool:
    """Return whether colours can be converted into the profile, which lcms alone can do for tables."""
    if channels == 1 or profile_curves(icc, 3) is not None:
        return True
    try:
        transform_codes(np.zeros((1, 1, 3), np.uint16), profiles.builtin_profile("srgb"), icc)
    except InputError:
        return False
    return True


def _grey_profile_from_rgb(icc: bytes) -> bytes | None:
    """Return the grey profile with the curve of an RGB profile whose channels all have that curve; else None."""
    curves = profile_curves(icc, 3)
    if curves is None or any(curve != curves[0] for curve in curves):
        return None
    return profiles.build_grey_profile(f"Grey of {profiles.profile_name(icc)}", profiles.read_icc_tag(icc, b"rTRC"))
