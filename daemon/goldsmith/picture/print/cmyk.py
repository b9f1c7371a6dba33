"""Separate a picture into inks by a press profile, limit the sum of the inks, and soft-proof the print."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from goldsmith.errors import InputError
from goldsmith.picture import colour, profiles
from goldsmith.picture.formats.image_info import Samples
from goldsmith.picture.picture import Mask, Picture, Pixels, quantise
from goldsmith.picture.slab_processing import OnProgress

# float32 (h, w, 4): cyan, magenta, yellow, black, each 0 (none) to 1 (solid).
Inks = NDArray[np.float32]

BandT = TypeVar("BandT", bound="NDArray[Any]")

# A JPEG has no room for a larger profile, and press profiles have a tenth of this.
MAX_PROFILE_BYTES = 16_000_000
_BAND_PIXELS = 1 << 18
_THREADS = 2
# How far below the limit of coverage the reduction starts, so that no edge shows where the limit is reached.
_KNEE = np.float32(0.1)
# CIE 1976 difference from which a colour counts as out of the press's gamut, as in lcms' own gamut check.
_VISIBLE_DELTA_E = 5.0
_MAX_SAMPLES = 1 << 19
_D50 = np.array(profiles.D50_WHITE, np.float32)


def validate_cmyk_profile(icc: bytes, label: str) -> bytes:
    """Return the profile. Raises InputError if it is not for CMYK inks; ``label`` is its name in the sentence."""
    if icc[36:40] != b"acsp" or len(icc) < 132:
        raise InputError(f"{label} is not an ICC profile.", "Replace it with the profile from the printer.")
    if len(icc) > MAX_PROFILE_BYTES:
        raise InputError(
            f"{label} has more than {MAX_PROFILE_BYTES // 10**6} MB, more than any press's profile.",
            "Set cmyk to the profile of the press.",
        )
    profiles.check_processing_steps(icc, label)
    if not profiles.matches_channels(icc, 4):
        space = icc[16:20].decode("latin-1").strip()
        raise InputError(
            f"{label} is a profile for {space} ({profiles.profile_name(icc)}), not for CMYK.", "Set cmyk to the profile of the press."
        )
    if icc[12:16] != b"prtr":
        kind = icc[12:16].decode("latin-1").strip()
        raise InputError(
            f"{label} is not the profile of a printing device (its class is “{kind}”).", "Set cmyk to the profile of the press."
        )
    if not profiles.read_icc_tag(icc, b"B2A0"):
        raise InputError(
            f"{label} ({profiles.profile_name(icc)}) has no table from colours to inks.", "Set cmyk to the profile of the press."
        )
    return icc


def convert_to_inks(
    picture: Picture, icc: bytes, intent: colour.RenderingIntent, black_point: bool, on_progress: OnProgress = lambda _: None
) -> Inks:
    """Return the picture's colours (without alpha) as inks (h, w, 4), 0..1, of that press, by lcms at 16 bits without its optimisations."""
    source, pixels = picture.icc or profiles.builtin_profile("srgb"), picture.pixels
    if picture.channels == 1 and picture.icc is None:
        pixels = np.repeat(pixels, 3, axis=2)
    return _map_bands(pixels, 4, lambda part: colour.transform_codes(quantise(part, 16), source, icc, intent, black_point), on_progress)


def soft_proof(codes: Samples, icc: bytes, simulate_paper: bool) -> Pixels:
    """Return the print of inks, codes (h, w, 4), as sRGB (h, w, 3), 0..1, with its own paper as white, or with ``simulate_paper`` as it
    looks on a white table.

    The first is relative colorimetric with black point compensation, the second absolute: tinted paper, and black as deep as the ink.
    """
    screen = profiles.builtin_profile("srgb")
    intent: colour.RenderingIntent = "absolute" if simulate_paper else "relative"

    def proof(part: Samples) -> Pixels:
        inks = part.astype(np.float32) / np.float32(np.iinfo(part.dtype).max)
        return colour.transform_codes(quantise(inks, 16), icc, screen, intent, not simulate_paper)

    return _map_bands(codes, 3, proof)


def ink_coverage(inks: Inks) -> Mask:
    """Return the sum of the four inks (h, w, 4), 0..1, in percent, (h, w): 0 to 400."""
    result: Mask = inks @ np.full(4, 100, np.float32)
    return result


def limit_coverage(inks: Inks, limit_percent: float) -> Inks:
    """Return the inks (h, w, 4), 0..1, with a sum of at most ``limit_percent``; the same array if none comes near it.

    Equal parts of cyan, magenta and yellow, their grey, are reduced, and black takes over as much of their weight as it has room for: black
    is never reduced, and the hue stays. If there is too little grey, all three are reduced together. From ten percent below the limit on,
    the sum bends towards it, so that shadows keep their detail.
    """
    max_total, total = np.float32(limit_percent / 100), ink_coverage(inks) / np.float32(100)
    is_near_limit = total > max_total - _KNEE
    if not is_near_limit.any():
        return inks
    result = inks.copy()
    result[is_near_limit] = _reduce_to_limit(inks[is_near_limit], total[is_near_limit, None], max_total)
    return result


def _reduce_to_limit(inks: Inks, total: NDArray[np.float32], max_total: np.float32) -> Inks:
    """Return inks (n, 4) whose sum ``total`` (n, 1) is bent to stay under ``max_total``."""
    bend = max_total - _KNEE
    target = bend + _KNEE * (1 - np.exp((bend - total) / _KNEE))
    colours, black = inks[:, :3], inks[:, 3:]
    black_room = 1 - black
    grey = np.clip((total - target) / (3 - black_room), 0, colours.min(axis=1, keepdims=True))
    colours, black = colours - grey, black + black_room * grey
    colour_total = colours.sum(axis=1, keepdims=True)
    colours = colours * np.clip((target - black) / np.maximum(colour_total, np.float32(1e-6)), 0, 1)
    result: Inks = np.concatenate([colours, black], axis=1)
    return result


def limit_code_coverage(codes: Samples, limit_percent: float) -> Samples:
    """Return integer codes of inks (h, w, 4) without the excess over the limit from rounding and dither: a code or two of the three
    colours.
    """
    return reduce_code_sums(codes, np.int64(limit_percent * np.iinfo(codes.dtype).max / 100))


def reduce_code_sums(codes: Samples, max_sums: NDArray[np.int64] | np.int64) -> Samples:
    """Return integer codes of inks (h, w, 4) whose sums are at most ``max_sums`` codes, one number or (h, w), as far as the colours allow.

    Cyan, magenta and yellow are reduced equally; if one reaches zero, the others are reduced more. Black is never reduced.
    """
    excess = code_sums(codes) - max_sums
    is_over = excess > 0
    if not is_over.any():
        return codes
    result = codes.copy()
    inks, remaining = result[is_over].astype(np.int64), excess[is_over]
    for share, ink in ((3, 0), (2, 1), (1, 2), (1, 0), (1, 1), (1, 2)):
        reduction = np.minimum(inks[:, ink], -(-remaining // share))
        inks[:, ink] -= reduction
        remaining = remaining - reduction
    result[is_over] = inks.astype(codes.dtype)
    return result


def code_sums(codes: Samples) -> NDArray[np.int32]:
    """Return the sum of the four inks' codes (h, w, 4), as (h, w)."""
    result: NDArray[np.int32] = codes[:, :, 0].astype(np.int32)
    for ink in (1, 2, 3):
        result += codes[:, :, ink]
    return result


def out_of_gamut_share(picture: Picture, icc: bytes) -> float:
    """Return the share of the picture (0..1) whose colours the press cannot print, estimated from at most half a million pixels.

    There and back, relative colorimetric with black point compensation: a colour that differs by more than 5 in CIE 1976 is out of gamut.
    """
    step = max(1, int(np.ceil(np.sqrt(picture.width * picture.height / _MAX_SAMPLES))))
    small = Picture(np.ascontiguousarray(picture.pixels[::step, ::step]), icc=picture.icc)
    wide = profiles.builtin_profile("prophoto")
    printed = colour.transform_codes(quantise(convert_to_inks(small, icc, "relative", True), 16), icc, wide)
    difference = _to_lab(printed) - _to_lab(colour.convert_profile(_to_rgb(small), "prophoto").pixels)
    return float((np.sqrt((difference**2).sum(axis=2)) > _VISIBLE_DELTA_E).mean())


def _to_rgb(picture: Picture) -> Picture:
    """Return a grey picture as sRGB with three channels."""
    if picture.channels == 3:
        return picture
    grey = picture.pixels if picture.icc is None else colour.from_linear(colour.to_linear(picture.pixels, picture.icc), None)
    return Picture(np.repeat(grey, 3, axis=2))


def _to_lab(pixels: Pixels) -> Pixels:
    """Return CIE Lab, relative to D50, of ProPhoto RGB."""
    wide = profiles.builtin_profile("prophoto")
    colorants = profiles.colorant_matrix(wide)
    assert colorants is not None  # noqa: S101 - it is one of our own
    ratio = colour.to_linear(pixels, wide) @ colorants.T.astype(np.float32) / _D50
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = root[:, :, 0], root[:, :, 1], root[:, :, 2]
    result: Pixels = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=2)
    return result


def _map_bands(
    pixels: BandT, channels: int, change: Callable[[BandT], Pixels], on_progress: OnProgress = lambda _: None
) -> NDArray[np.float32]:
    """Return ``change`` applied to bands of rows of pixels (h, w, c), 0..1 or codes, on two threads: (h, w, channels)."""
    height, width = pixels.shape[:2]
    rows = max(1, _BAND_PIXELS // width)
    result = np.empty((height, width, channels), np.float32)

    def run(top: int) -> None:
        result[top : top + rows] = change(cast("BandT", pixels[top : top + rows]))

    pool = ThreadPoolExecutor(_THREADS)
    try:
        tops = range(0, height, rows)
        for number, _ in enumerate(pool.map(run, tops)):
            on_progress((number + 1) / len(tops))
    finally:
        pool.shutdown(cancel_futures=True)
    return result
