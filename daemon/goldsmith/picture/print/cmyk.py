"""Inks: a picture separated for a press by its profile, the sum of the inks held under a limit, and how the print will look."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from goldsmith.errors import InputError
from goldsmith.picture import colour, profiles
from goldsmith.picture.formats.image_info import Samples
from goldsmith.picture.picture import Mask, Picture, Pixels, quantise
from goldsmith.picture.slab_processing import OnProgress

# float32 (h, w, 4): cyan, magenta, yellow, black, each 0 (none) to 1 (solid).
Inks = NDArray[np.float32]

# No profile may be larger: a JPEG has no room for more, and presses' have a tenth of it.
MAX_PROFILE_BYTES = 16_000_000
_BAND_PIXELS = 1 << 18
_THREADS = 2
# How far below the limit of coverage the inks begin to give way, so that no edge shows where it is reached.
_KNEE = np.float32(0.1)
# CIE 1976 difference from which a colour counts as one that the press cannot print, as lcms' own gamut check takes it.
_VISIBLE_DELTA_E = 5.0
_MAX_SAMPLES = 1 << 19
_D50 = np.array(profiles.D50_WHITE, np.float32)


def validate_cmyk_profile(icc: bytes, label: str) -> bytes:
    """The profile itself. Raises InputError where it is none of CMYK inks; ``called`` is what it goes by in sentences."""
    if icc[36:40] != b"acsp" or len(icc) < 132:
        raise InputError(f"{label} is no ICC profile.", "Put the profile that the printer gave you there.")
    if len(icc) > MAX_PROFILE_BYTES:
        raise InputError(
            f"{label} has more than {MAX_PROFILE_BYTES // 10**6} MB, more than any press's profile.", "Name the profile of the press."
        )
    if not profiles.matches_channels(icc, 4):
        space = icc[16:20].decode("latin-1").strip()
        raise InputError(
            f"{label} is a profile for {space} ({profiles.profile_name(icc)}), not for CMYK.", "Name the profile of the press."
        )
    if icc[12:16] != b"prtr":
        kind = icc[12:16].decode("latin-1").strip()
        raise InputError(f"{label} is no profile of a printing device (its class is “{kind}”).", "Name the profile of the press.")
    if not profiles.read_icc_tag(icc, b"B2A0"):
        raise InputError(f"{label} ({profiles.profile_name(icc)}) has no table from colours to inks.", "Name the profile of the press.")
    return icc


def convert_to_inks(
    picture: Picture, icc: bytes, intent: colour.RenderingIntent, black_point: bool, on_progress: OnProgress = lambda _: None
) -> Inks:
    """The picture's colours (alpha is not looked at) as the inks of that press, by lcms at 16 bits without short cuts."""
    source, pixels = picture.icc or profiles.builtin_profile("srgb"), picture.pixels
    if picture.channels == 1 and picture.icc is None:
        pixels = np.repeat(pixels, 3, axis=2)
    return _map_bands(quantise(pixels, 16), 4, lambda codes: colour.transform_codes(codes, source, icc, intent, black_point), on_progress)


def soft_proof(inks: Inks, icc: bytes, simulate_paper: bool) -> Pixels:
    """The print as sRGB (h, w, 3): beside its own paper as white, or, with ``paper``, as it lies on a white table.

    The first is relative colorimetric with black point compensation, the second absolute: tinted paper, and black no deeper than ink.
    """
    screen = profiles.builtin_profile("srgb")
    intent: colour.RenderingIntent = "absolute" if simulate_paper else "relative"
    return _map_bands(quantise(inks, 16), 3, lambda codes: colour.transform_codes(codes, icc, screen, intent, not simulate_paper))


def ink_coverage(inks: Inks) -> Mask:
    """The sum of the four inks in percent, (h, w): 0 to 400."""
    made: Mask = inks @ np.full(4, 100, np.float32)
    return made


def limit_coverage(inks: Inks, limit_percent: float) -> Inks:
    """The inks with a sum of at most ``limit`` percent; themselves where none comes near it.

    Equal parts of cyan, magenta and yellow, the grey in them, give way, and black takes over as much of their weight as there is
    white left in it: no black is ever taken away, and the hue stays. Where there is not enough grey, all three shrink together.
    From ten percent below the limit on the sum bends towards it, so that shadows stay drawn.
    """
    most, total = np.float32(limit_percent / 100), ink_coverage(inks) / np.float32(100)
    over = total > most - _KNEE
    if not over.any():
        return inks
    made = inks.copy()
    made[over] = _reduce_to_limit(inks[over], total[over, None], most)
    return made


def _reduce_to_limit(inks: Inks, total: NDArray[np.float32], max_total: np.float32) -> Inks:
    """Inks (n, 4) whose sum ``total`` (n, 1) is bent under ``most``."""
    bend = max_total - _KNEE
    wanted = bend + _KNEE * (1 - np.exp((bend - total) / _KNEE))
    colours, black = inks[:, :3], inks[:, 3:]
    takes_over = 1 - black
    grey = np.clip((total - wanted) / (3 - takes_over), 0, colours.min(axis=1, keepdims=True))
    colours, black = colours - grey, black + takes_over * grey
    left = colours.sum(axis=1, keepdims=True)
    colours = colours * np.clip((wanted - black) / np.maximum(left, np.float32(1e-6)), 0, 1)
    made: Inks = np.concatenate([colours, black], axis=1)
    return made


def limit_code_coverage(codes: Samples, limit_percent: float) -> Samples:
    """Integer codes of inks (h, w, 4) without what rounding and dither put above the limit: a code or two of the three colours."""
    return reduce_code_sums(codes, np.int64(limit_percent * np.iinfo(codes.dtype).max / 100))


def reduce_code_sums(codes: Samples, max_sums: NDArray[np.int64] | np.int64) -> Samples:
    """Integer codes of inks (h, w, 4) whose sums are at most ``most`` codes, one number or (h, w) of them, as far as colours can give it.

    Cyan, magenta and yellow give equal parts; where one has none left the others give more. No black is taken away.
    """
    over = code_sums(codes) - max_sums
    where = over > 0
    if not where.any():
        return codes
    made = codes.copy()
    inks, rest = made[where].astype(np.int64), over[where]
    for share, ink in ((3, 0), (2, 1), (1, 2), (1, 0), (1, 1), (1, 2)):
        taken = np.minimum(inks[:, ink], -(-rest // share))
        inks[:, ink] -= taken
        rest = rest - taken
    made[where] = inks.astype(codes.dtype)
    return made


def code_sums(codes: Samples) -> NDArray[np.int32]:
    """The sum of the four inks' codes, (h, w)."""
    made: NDArray[np.int32] = codes[:, :, 0].astype(np.int32)
    for ink in (1, 2, 3):
        made += codes[:, :, ink]
    return made


def out_of_gamut_share(picture: Picture, icc: bytes) -> float:
    """The share of the picture (0..1) whose colours the press cannot print, looked for in at most half a million pixels.

    There and back, relative colorimetric with black point compensation: what does not come back within 5 of CIE 1976 is beyond it.
    """
    step = max(1, int(np.ceil(np.sqrt(picture.width * picture.height / _MAX_SAMPLES))))
    small = Picture(np.ascontiguousarray(picture.pixels[::step, ::step]), icc=picture.icc)
    wide = profiles.builtin_profile("prophoto")
    back = colour.transform_codes(quantise(convert_to_inks(small, icc, "relative", True), 16), icc, wide)
    off = _to_lab(back) - _to_lab(colour.convert_profile(_to_rgb(small), "prophoto").pixels)
    return float((np.sqrt((off**2).sum(axis=2)) > _VISIBLE_DELTA_E).mean())


def _to_rgb(picture: Picture) -> Picture:
    """A grey picture as sRGB of three channels."""
    if picture.channels == 3:
        return picture
    grey = picture.pixels if picture.icc is None else colour.from_linear(colour.to_linear(picture.pixels, picture.icc), None)
    return Picture(np.repeat(grey, 3, axis=2))


def _to_lab(pixels: Pixels) -> Pixels:
    """CIE Lab, relative to D50, of ProPhoto RGB."""
    wide = profiles.builtin_profile("prophoto")
    colorants = profiles.colorant_matrix(wide)
    assert colorants is not None  # noqa: S101 - it is one of our own
    ratio = colour.to_linear(pixels, wide) @ colorants.T.astype(np.float32) / _D50
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = root[:, :, 0], root[:, :, 1], root[:, :, 2]
    made: Pixels = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=2)
    return made


def _map_bands(codes: Samples, channels: int, change: Callable[[Samples], Pixels], on_progress: OnProgress = lambda _: None) -> Pixels:
    """``change`` done to bands of rows on two threads."""
    height, width = codes.shape[:2]
    rows = max(1, _BAND_PIXELS // width)
    made = np.empty((height, width, channels), np.float32)

    def run(top: int) -> None:
        made[top : top + rows] = change(codes[top : top + rows])

    pool = ThreadPoolExecutor(_THREADS)
    try:
        tops = range(0, height, rows)
        for number, _ in enumerate(pool.map(run, tops)):
            on_progress((number + 1) / len(tops))
    finally:
        pool.shutdown(cancel_futures=True)
    return made
