"""The colour codes of ITU-T H.273, which PNG (cICP), AVIF and HEIC (nclx) use in place of a profile."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

from goldsmith.picture.profiles import (
    SRGB_CURVE_PARAMETERS,
    RgbSpace,
    build_grey_profile,
    build_rgb_profile,
    builtin_profile,
    read_icc_tag,
)

# The transfer functions whose values are light for a brighter screen than that of a picture: ITU-R BT.2100.
HdrTransfer = Literal["PQ", "HLG"]

_HDR_TRANSFERS: dict[int, HdrTransfer] = {16: "PQ", 18: "HLG"}
_D65, _C_WHITE, _DCI_WHITE = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
# H.273 (07/2024), table 2: name; x, y of red, green, blue; white. Codes 6 and 7 have the same primaries.
_PRIMARIES: dict[int, tuple[str, tuple[float, ...], tuple[float, float]]] = {
    1: ("BT.709", (0.640, 0.330, 0.300, 0.600, 0.150, 0.060), _D65),
    4: ("BT.470 M", (0.670, 0.330, 0.210, 0.710, 0.140, 0.080), _C_WHITE),
    5: ("BT.470 BG", (0.640, 0.330, 0.290, 0.600, 0.150, 0.060), _D65),
    6: ("BT.601", (0.630, 0.340, 0.310, 0.595, 0.155, 0.070), _D65),
    7: ("BT.601", (0.630, 0.340, 0.310, 0.595, 0.155, 0.070), _D65),
    8: ("Film", (0.681, 0.319, 0.243, 0.692, 0.145, 0.049), _C_WHITE),
    9: ("BT.2020", (0.708, 0.292, 0.170, 0.797, 0.131, 0.046), _D65),
    11: ("DCI-P3", (0.680, 0.320, 0.265, 0.690, 0.150, 0.060), _DCI_WHITE),
    12: ("Display P3", (0.680, 0.320, 0.265, 0.690, 0.150, 0.060), _D65),
    22: ("EBU 3213", (0.630, 0.340, 0.295, 0.605, 0.155, 0.077), _D65),
}
_BT709_CURVE = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
# H.273, table 3, inverted: gamma alone, or g a b c d of ICC's function type 3. Within 0..1, codes 1, 6, 11, 12, 14 and 15 are one function.
_CURVES: dict[int, tuple[str, tuple[float, ...]]] = {
    **dict.fromkeys((1, 6, 11, 12, 14, 15), ("BT.709 curve", _BT709_CURVE)),
    4: ("gamma 2.2", (2.2,)),
    5: ("gamma 2.8", (2.8,)),
    7: ("SMPTE 240M curve", (1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 0.0912)),
    8: ("linear", (1.0,)),
    13: ("sRGB curve", SRGB_CURVE_PARAMETERS),
}
UNSPECIFIED = 2
# With the primaries of sRGB, programs write these for sRGB without meaning the curve of a camera.
_SRGB_TRANSFERS = (1, 6, 13)


class CodedColour(NamedTuple):
    """The colours that codes stand for. icc: the profile, None = sRGB; hdr: the transfer function of HDR values, which ``tone_mapping``
    turns into values of that profile.
    """

    icc: bytes | None
    hdr: HdrTransfer | None = None


@lru_cache(maxsize=32)
def colour_from_codes(primaries: int, transfer: int, *, is_grey: bool) -> CodedColour | None:
    """Return the colours that the codes for primaries and transfer function stand for; None for codes without a known meaning.

    Unspecified primaries are those of sRGB, and an unspecified transfer function is that of sRGB.
    """
    primaries = 1 if primaries == UNSPECIFIED else primaries
    transfer = 13 if transfer == UNSPECIFIED or (primaries == 1 and transfer in _SRGB_TRANSFERS) else transfer
    if primaries not in _PRIMARIES:
        return None
    hdr = _HDR_TRANSFERS.get(transfer)
    if hdr is not None:
        return CodedColour(_make_profile(primaries, 13, is_grey), hdr)
    return CodedColour(_make_profile(primaries, transfer, is_grey)) if transfer in _CURVES else None


def hdr_in_profile(icc: bytes) -> CodedColour | None:
    """Return the colours of a profile that says by its cicp tag (ICC.1:2022, 9.2.17) that its values are HDR; else None."""
    block = read_icc_tag(icc, b"cicp")
    if block[:4] != b"cicp" or len(block) < 12 or block[9] not in _HDR_TRANSFERS:
        return None
    return colour_from_codes(block[8], block[9], is_grey=icc[16:20] == b"GRAY")


def _make_profile(primaries: int, transfer: int, is_grey: bool) -> bytes | None:
    """Return the profile of known codes, None for sRGB."""
    name, corners, white = _PRIMARIES[primaries]
    curve_name, curve = _CURVES[transfer]
    if is_grey:
        return None if transfer == 13 else build_grey_profile(f"Grey, {curve_name}", curve)
    if transfer == 13 and primaries in (1, 12):
        return None if primaries == 1 else builtin_profile("display-p3")
    return build_rgb_profile(RgbSpace(f"{name}, {curve_name}", corners, white, curve))
