"""ICC profiles as bytes: read their properties, and write the few that Goldsmith knows by name.

The written ones are ICC.1:2022 (v4) display profiles with a matrix and a parametric curve, some 500 bytes, always the same bytes.
"""

from __future__ import annotations

import re
import struct
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.errors import InputError

D50_WHITE = (0.9642, 1.0, 0.8249)
_D65_XY, _D50_XY = (0.3127, 0.3290), (0.3457, 0.3585)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_SRGB_PRIMARIES = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
SRGB_CURVE_PARAMETERS = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_CHROMATICITY_TOLERANCE = 0.002
_ICC_SIGNATURES = {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}
_MAX_TAGS = 200
# Some programs count the bytes that fill the last tag up to a multiple of four, and do not write them.
_TAG_PADDING = 3
# Processing elements of a floating-point table, and segments of a curve in it; a profile has three to five. Each costs time for every
# pixel: a profile of 17 kB with 2,000 of them took 14 s a megapixel.
_MAX_PROCESSING_STEPS = 64


class RgbSpace(NamedTuple):
    """An RGB space. primaries: x, y of red, green, blue; white: x, y; curve: gamma alone, or g a b c d of ICC's function type 3."""

    title: str
    primaries: tuple[float, ...]
    white: tuple[float, float]
    curve: tuple[float, ...]


_RGB_SPACES = {
    "srgb": RgbSpace("sRGB IEC61966-2.1", _SRGB_PRIMARIES, _D65_XY, SRGB_CURVE_PARAMETERS),
    "adobe-rgb": RgbSpace("Adobe RGB (1998) compatible", (0.64, 0.33, 0.21, 0.71, 0.15, 0.06), _D65_XY, (563 / 256,)),
    "display-p3": RgbSpace("Display P3", (0.680, 0.320, 0.265, 0.690, 0.150, 0.060), _D65_XY, SRGB_CURVE_PARAMETERS),
    "prophoto": RgbSpace("ProPhoto RGB (ROMM)", (0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001), _D50_XY, (1.8, 1.0, 0.0, 1 / 16, 1 / 32)),
    "rec709": RgbSpace("Rec. 709", _SRGB_PRIMARIES, _D65_XY, (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)),
}
# Names that a brief may use. ``rec709`` has the camera curve of ITU-R BT.709, as profiles of that name in picture programs have.
PROFILE_NAMES = tuple(_RGB_SPACES)


@cache
def builtin_profile(name: str) -> bytes:
    """Return the profile of that name (also ``linear-srgb`` and ``grey-srgb``, which briefs cannot name). Raises KeyError for an unknown
    name.
    """
    if name == "grey-srgb":
        return build_grey_profile("sRGB grey", SRGB_CURVE_PARAMETERS)
    if name == "linear-srgb":
        return build_rgb_profile(RgbSpace("Linear sRGB", _SRGB_PRIMARIES, _D65_XY, (1.0,)))
    return build_rgb_profile(_RGB_SPACES[name])


def builtin_colorants(name: str) -> NDArray[np.float64]:
    """Return the matrix (3, 3) from linear RGB, 0..1, of ``builtin_profile`` to XYZ at D50."""
    matrix = colorant_matrix(builtin_profile(name))
    assert matrix is not None  # noqa: S101 - written here
    return matrix


def profile_from_png_gamma(gamma: float, chromaticities: tuple[float, ...] | None, *, is_grey: bool) -> bytes | None:
    """Return the profile for PNG's gAMA (as stored: 0.45455 = display gamma 2.2) and cHRM (white, red, green, blue).

    None (sRGB) if they describe sRGB as nearly as the format can, or are invalid. With other primaries than those of sRGB, the gamma is
    what it says.
    """
    if not 0.1 <= gamma <= 2.0:
        return None
    is_srgb_gamma = abs(gamma - 0.45455) < 0.005
    if is_grey:
        return None if is_srgb_gamma else build_grey_profile(f"Grey, gamma {1 / gamma:.2f}", (1 / gamma,))
    chosen = chromaticities or (*_D65_XY, *_SRGB_PRIMARIES)
    if is_srgb_gamma and _is_space(chosen, _RGB_SPACES["srgb"]):
        return None
    if is_srgb_gamma and _is_space(chosen, _RGB_SPACES["adobe-rgb"]):
        return builtin_profile("adobe-rgb")
    try:
        return build_rgb_profile(RgbSpace(f"PNG gamma {1 / gamma:.2f}", chosen[2:], (chosen[0], chosen[1]), (1 / gamma,)))
    except (ArithmeticError, np.linalg.LinAlgError, struct.error):
        return None


def _is_space(chromaticities: tuple[float, ...], space: RgbSpace) -> bool:
    """Return whether PNG's chromaticities (white, red, green, blue) are those of a space, as nearly as programs write them."""
    return max(abs(a - b) for a, b in zip(chromaticities, (*space.white, *space.primaries), strict=True)) < _CHROMATICITY_TOLERANCE


def matches_channels(icc: bytes | None, channels: int) -> bool:
    """Return whether the profile is for pixels with that many channels (1 grey, 3 RGB, 4 CMYK)."""
    return icc is not None and len(icc) >= 132 and icc[36:40] == b"acsp" and icc[16:20] == _ICC_SIGNATURES.get(channels)


def profile_name(icc: bytes | None) -> str:
    """Return the profile's own description; "sRGB" for None."""
    if icc is None:
        return "sRGB"
    block = read_icc_tag(icc, b"desc")
    if block[:4] == b"mluc" and len(block) >= 28:
        size, offset = struct.unpack(">II", block[20:28])
        text = block[offset : offset + size].decode("utf-16-be", "replace")
    else:
        text = block[12:].partition(b"\0")[0].decode("latin-1")
    text = "".join(letter for letter in text if letter.isprintable()).strip()
    return text[:100] or "unnamed profile"


def read_icc_tag(icc: bytes, signature: bytes) -> bytes:
    """Return a tag's data, or nothing if the profile has no such tag or its offset is invalid."""
    count = int.from_bytes(icc[128:132], "big")
    for entry in range(min(count, _MAX_TAGS)):
        row = icc[132 + 12 * entry : 144 + 12 * entry]
        if row[:4] == signature and len(row) == 12:
            offset, size = struct.unpack(">II", row[4:])
            return icc[offset : offset + size]
    return b""


def is_cut_off(icc: bytes) -> bool:
    """Return whether a tag, or the list of tags, lies partly behind the end of the profile."""
    count = int.from_bytes(icc[128:132], "big")
    if count > _MAX_TAGS or 132 + 12 * count > len(icc):
        return True
    rows = (struct.unpack_from(">II", icc, 136 + 12 * entry) for entry in range(count))
    return any(offset + size > len(icc) + _TAG_PADDING for offset, size in rows)


def check_processing_steps(icc: bytes, label: str) -> None:
    """Raise InputError for a profile whose floating-point tables cost too much time for each pixel; ``label`` names the profile."""
    steps = _count_processing_steps(icc)
    if steps > _MAX_PROCESSING_STEPS:
        raise InputError(f"{label} has {steps:,} steps for each colour; the limit is {_MAX_PROCESSING_STEPS}.", "Use another profile.")


def _count_processing_steps(icc: bytes) -> int:
    """Return the elements of the longest floating-point table, or the segments of its longest curve (ICC.1:2022, 10.16); 0 = none."""
    steps = 0
    for entry in range(min(int.from_bytes(icc[128:132], "big"), _MAX_TAGS)):
        row = icc[132 + 12 * entry : 144 + 12 * entry]
        if len(row) < 12:
            break
        offset, size = struct.unpack(">II", row[4:])
        if icc[offset : offset + 4] == b"mpet":
            block = icc[offset : offset + size]
            curves = (int.from_bytes(block[match.end() + 4 : match.end() + 6], "big") for match in re.finditer(b"curf", block))
            steps = max(steps, int.from_bytes(block[12:16], "big"), *curves)
    return steps


def colorant_matrix(icc: bytes) -> NDArray[np.float64] | None:
    """Return the matrix (3, 3) from the profile's linear RGB, 0..1, to XYZ at D50; None if it has no invertible one."""
    columns = [read_icc_tag(icc, name) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    if any(len(column) < 20 for column in columns) or icc[20:24] != b"XYZ ":
        return None
    result = np.array([struct.unpack(">3i", column[8:20]) for column in columns]).T / 65536
    return result if abs(np.linalg.det(result)) > 1e-6 else None


def build_rgb_profile(space: RgbSpace) -> bytes:
    """Return the display profile of an RGB space. Raises ArithmeticError, LinAlgError or struct.error if its numbers make none."""
    corners = np.array(space.primaries, np.float64).reshape(3, 2)
    primaries = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in corners]).T
    white = np.array([space.white[0] / space.white[1], 1.0, (1 - sum(space.white)) / space.white[1]])
    chad = _bradford_adaptation(white)
    colorants = chad @ (primaries * np.linalg.solve(primaries, white))
    curve = _curve_tag(space.curve)
    tags = {b"chad": b"sf32\0\0\0\0" + _to_s15fixed16(chad)}
    for number, letter in enumerate((b"r", b"g", b"b")):
        tags[letter + b"XYZ"] = b"XYZ \0\0\0\0" + _to_s15fixed16(colorants[:, number])
        tags[letter + b"TRC"] = curve
    return _build_profile(b"RGB ", space.title, tags)


def build_grey_profile(title: str, curve: tuple[float, ...] | bytes) -> bytes:
    """Return the display profile of grey. ``curve``: as in ``RgbSpace``, or the bytes of a curve's tag."""
    return _build_profile(b"GRAY", title, {b"kTRC": curve if isinstance(curve, bytes) else _curve_tag(curve)})


def _bradford_adaptation(white: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the Bradford adaptation of ``white`` (XYZ) to ICC's D50."""
    ratio = (_BRADFORD @ np.array(D50_WHITE)) / (_BRADFORD @ white)
    return np.asarray(np.linalg.inv(_BRADFORD) @ np.diag(ratio) @ _BRADFORD)


def _to_s15fixed16(values: NDArray[np.float64] | tuple[float, ...]) -> bytes:
    numbers = np.rint(np.asarray(values, np.float64).ravel() * 65536).astype(int)
    return struct.pack(f">{len(numbers)}i", *numbers.tolist())


def _curve_tag(curve: tuple[float, ...]) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", 0 if len(curve) == 1 else 3, 0) + _to_s15fixed16(curve)


def _text_tag(text: str) -> bytes:
    coded = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(coded), 28) + coded


def _build_profile(space: bytes, title: str, tags: dict[bytes, bytes]) -> bytes:
    all_tags = {
        b"desc": _text_tag(title),
        b"cprt": _text_tag("Public domain"),
        b"wtpt": b"XYZ \0\0\0\0" + _to_s15fixed16(D50_WHITE),
        **tags,
    }
    offset = 132 + 12 * len(all_tags)
    table, body, offsets = b"", b"", dict[bytes, int]()
    for signature, block in all_tags.items():
        if block not in offsets:
            offsets[block] = offset + len(body)
            body += block + b"\0" * (-len(block) % 4)
        table += struct.pack(">4sII", signature, offsets[block], len(block))
    rest = struct.pack(">I", len(all_tags)) + table + body
    header = struct.pack(">I4sI4s4s4s6H4s", 128 + len(rest), b"\0" * 4, 0x04400000, b"mntr", space, b"XYZ ", 2020, 1, 1, 0, 0, 0, b"acsp")
    return (header + b"\0" * 28 + _to_s15fixed16(D50_WHITE)).ljust(128, b"\0") + rest
