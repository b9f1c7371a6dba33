"""Find noise of luma and chroma. Unlike texture, it fades fast when the picture is reduced.

Noise of a sensor or a sampler is one or a few pixels wide: averaging 2 x 2 squares halves it. Grass, cloth and foliage stay.
"""

from __future__ import annotations

import numpy as np

from goldsmith.ops.correct.defect import Defect
from goldsmith.picture.picture import Mask, Pixels, freeze
from goldsmith.picture.quality_metrics import estimate_noise
from goldsmith.picture.slab_processing import map_strips
from goldsmith.picture.smoothing import resize_values
from goldsmith.picture.wavelet_denoise import CONTEXT_MARGIN, denoise_pixels, split_planes

# Standard deviation of the luma noise above which a picture is denoised; film and phones at night have less.
_MIN_LUMA_NOISE = 0.025
# More than this is a drawn pattern.
_MAX_LUMA_NOISE = 0.08
# At half the size, noise keeps less than this share of its deviation; texture keeps as much or more.
_MAX_HALF_SIZE_RATIO = 0.85
# The same for Cb and Cr, and for blotches in them at a quarter of the size; photographs have at most 0.0035 and 0.0074.
_MIN_CHROMA_NOISE, _MIN_CHROMA_BLOTCHES = 0.011, 0.0085
_SCALE_DIVISORS = (1, 2, 4)
_LEAST_SIDE = 128


def find(pixels: Pixels, strength: float = 1.0) -> list[Defect]:
    """Return the luma noise of ``pixels``, (h, w, c), 0..1, display-encoded, as one defect of the whole picture.

    The size is the standard deviation of the luma noise, in percent of full scale.
    """
    sigma, *colours = (estimate_noise(_centre_chroma(plane, number)) for number, plane in enumerate(split_planes(pixels)))
    if not _MIN_LUMA_NOISE <= sigma <= _MAX_LUMA_NOISE or _noise_at_scale(split_planes(pixels)[0], 2) > _MAX_HALF_SIZE_RATIO * sigma:
        return []
    return [_denoise(pixels, [strength * deviation for deviation in (sigma, *colours)], 0, sigma)]


def find_colour_noise(pixels: Pixels, strength: float = 1.0) -> list[Defect]:
    """Return the chroma noise of ``pixels``, (h, w, 3), 0..1, display-encoded, specks or blotches. Cb and Cr are denoised, the luma is
    kept.

    The size is the standard deviation of the noisier plane, in percent of full scale.
    """
    if pixels.shape[2] < 3 or min(pixels.shape[:2]) < _LEAST_SIDE:
        return []
    noise_by_plane = [
        [_noise_at_scale(_centre_chroma(plane, 1), divisor) for divisor in _SCALE_DIVISORS] for plane in split_planes(pixels)[1:]
    ]
    worst = max(range(2), key=lambda number: _equivalent_sigma(noise_by_plane[number]))
    if (
        not any(plane_noise[0] >= _MIN_CHROMA_NOISE or plane_noise[-1] >= _MIN_CHROMA_BLOTCHES for plane_noise in noise_by_plane)
        or _equivalent_sigma(noise_by_plane[worst]) > 2 * _MAX_LUMA_NOISE
    ):
        return []
    return [
        _denoise(
            pixels,
            [0.0, *(strength * _equivalent_sigma(plane_noise) for plane_noise in noise_by_plane)],
            1 + worst,
            _equivalent_sigma(noise_by_plane[worst]),
        )
    ]


def _equivalent_sigma(noise_by_scale: list[float]) -> float:
    """Return the deviation of per-pixel noise that would leave as much at each scale."""
    return max(noise * divisor for noise, divisor in zip(noise_by_scale, _SCALE_DIVISORS, strict=True))


def _centre_chroma(plane: Mask, plane_index: int) -> Mask:
    """Shift colour differences from about 0 to the middle of the range, so that none counts as clipped."""
    return np.asarray(plane + np.float32(0.5 * (plane_index > 0)), np.float32)


def _noise_at_scale(plane: Mask, divisor: int) -> float:
    height, width = plane.shape
    return estimate_noise(plane if divisor == 1 else resize_values(plane, max(1, height // divisor), max(1, width // divisor)))


def _denoise(pixels: Pixels, sigmas: list[float], measured_plane: int, before: float) -> Defect:
    """Return each plane denoised by its deviation; ``measured_plane`` is the plane whose size is recorded."""
    window = slice(0, pixels.shape[0]), slice(0, pixels.shape[1])
    result = map_strips(pixels, lambda strip: denoise_pixels(strip, sigmas), CONTEXT_MARGIN)
    plane = _centre_chroma(split_planes(result)[measured_plane], measured_plane)
    after = (
        _noise_at_scale(plane, 1)
        if measured_plane == 0
        else _equivalent_sigma([_noise_at_scale(plane, divisor) for divisor in _SCALE_DIVISORS])
    )
    return Defect(window, round(100 * before, 3), round(100 * after, 3), (window, freeze(result)))
