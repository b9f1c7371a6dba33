"""Denoise luma and chroma with undecimated wavelets, each coefficient weighted by its neighbourhood."""

from __future__ import annotations

from functools import partial

import numpy as np

from goldsmith.picture.colour import REC709_WEIGHTS, luma
from goldsmith.picture.picture import Mask, Pixels
from goldsmith.picture.quality_metrics import estimate_noise_by_rows

_TAPS = np.array([1, 4, 6, 4, 1], np.float32) / 16
# Standard deviation that noise of 1 leaves in each scale of the B3 transform (Starck and Murtagh 1998).
_NOISE_PER_SCALE = (0.8891, 0.2001, 0.0855, 0.0412)
_WINDOW = 7
# px around a part of a picture that influence its result.
CONTEXT_MARGIN = 2 * sum(2**scale for scale in range(len(_NOISE_PER_SCALE))) + _WINDOW
_KR, _KG, _KB = REC709_WEIGHTS


def denoise_pixels(pixels: Pixels, sigmas: list[float]) -> Pixels:
    """Return pixels (h, w, c), 0..1, display-encoded, without noise of those standard deviations, one for each of ``split_planes``; 0
    leaves a plane unchanged.
    """
    planes = [denoise_plane(plane, sigma) if sigma else plane for plane, sigma in zip(split_planes(pixels), sigmas, strict=True)]
    if len(planes) == 1:
        result = planes[0][:, :, None]
        return np.clip(result, 0.0, 1.0, out=result)
    grey, blue, red = planes
    red *= np.float32(2 * (1 - _KR))
    blue *= np.float32(2 * (1 - _KB))
    green = (grey - np.float32(_KR) * (grey + red) - np.float32(_KB) * (grey + blue)) / np.float32(_KG)
    result = np.stack([grey + red, green, grey + blue], axis=2)
    return np.clip(result, 0.0, 1.0, out=result)


def estimate_plane_noise(pixels: Pixels) -> list[float]:
    """Return the noise in each of ``split_planes`` of pixels (h, w, c), 0..1, without keeping the planes in memory."""

    def plane(number: int, rows: slice) -> Mask:
        result = split_planes(pixels[rows])[number]
        return result + np.float32(0.5) if number else result  # colour differences lie around 0

    return [estimate_noise_by_rows(pixels.shape[:2], partial(plane, number)) for number in range(pixels.shape[2])]


def split_planes(pixels: Pixels) -> list[Mask]:
    """Return Y', Cb, Cr (Rec. 709) of RGB (h, w, 3), 0..1, each as a (h, w) array; the only plane of a grey picture."""
    if pixels.shape[2] == 1:
        return [np.ascontiguousarray(pixels[:, :, 0])]
    grey = luma(pixels)
    blue = (pixels[:, :, 2] - grey) * np.float32(0.5 / (1 - _KB))
    red = (pixels[:, :, 0] - grey) * np.float32(0.5 / (1 - _KR))
    return [grey, blue, red]


def denoise_plane(plane: Mask, sigma: float) -> Mask:
    """Return a plane (h, w), 0..1, without noise of standard deviation ``sigma``.

    The undecimated B3 wavelet transform ("à trous"), each coefficient weighted by the local Wiener rule of Mıhçak et al., "Low-Complexity
    Image Denoising Based on Statistical Modeling of Wavelet Coefficients" (IEEE SPL 1999): all float, no blocks.
    """
    import cv2

    result, rest = np.zeros_like(plane), plane
    for scale, share in enumerate(_NOISE_PER_SCALE):
        taps = np.zeros(4 * 2**scale + 1, np.float32)
        taps[:: 2**scale] = _TAPS
        smoother = cv2.sepFilter2D(rest, cv2.CV_32F, taps, taps, borderType=cv2.BORDER_REFLECT_101)
        detail = rest - smoother
        power = cv2.blur(detail * detail, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REFLECT_101)
        result += detail * (np.maximum(power - np.float32((sigma * share) ** 2), 0.0) / (power + np.float32(1e-12)))
        rest = smoother
    result += rest
    return result
