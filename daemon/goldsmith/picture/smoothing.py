"""Fields of values: resize them, smooth them, or extend them into unknown parts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Mask, Pixels
from goldsmith.picture.resample import resize


def resize_values(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Return values, (h, w) or (h, w, c), any unit, at another size in px: by area when reduced, bicubic when enlarged."""
    is_reduction = height <= values.shape[0] and width <= values.shape[1]
    return resize(values, height, width, "area" if is_reduction else "cubic")


def gaussian_blur(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Return values, (h, w) or (h, w, c), any unit, blurred by a Gaussian of ``sigma`` px, mirrored at the border."""
    import cv2

    result = cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    return np.asarray(result.reshape(values.shape), dtype=np.float32)


def detail_power(detail: Pixels, sigma: float) -> Mask:
    """Return the strength (h, w) of detail (h, w, c), in units of 0..1, around each pixel, over ``sigma`` px."""
    return gaussian_blur(np.square(detail).mean(axis=2), sigma)


def boost_detail(detail: Pixels, target_power: Mask, sigma: float, max_gain: float) -> Pixels:
    """Return detail (h, w, c), in units of 0..1, amplified to the target power (h, w); never weaker, at most by ``max_gain``."""
    gain = np.sqrt(target_power / np.maximum(detail_power(detail, sigma), np.float32(1e-9)))
    return np.asarray(detail * np.clip(gain, 1, max_gain)[:, :, None], dtype=np.float32)


def pull_push_fill(values: Pixels, confidence: Mask) -> Pixels:
    """Return ``values`` (h, w, c), in any unit, where the confidence (h, w), 0..1, is high, smoothly extended into all other parts
    (pull-push; Gortler et al., The Lumigraph, 1996).
    """
    height, width = confidence.shape
    if height <= 2 and width <= 2:
        mean = (values * confidence[..., None]).sum(axis=(0, 1)) / max(float(confidence.sum()), 1e-6)
        return np.asarray(mean + (values - mean) * confidence[..., None], dtype=np.float32)
    padding = ((0, height % 2), (0, width % 2))
    weight = np.pad(confidence, padding)
    weighted = np.pad(values, (*padding, (0, 0))) * weight[..., None]
    total = _sum_2x2(weight)
    means = _sum_2x2(weighted) / np.maximum(total, np.float32(1e-6))[..., None]
    coarse = pull_push_fill(means.astype(np.float32, copy=False), np.minimum(total, 1))
    extended = gaussian_blur(resize_values(coarse, *weight.shape)[:height, :width], 1.1)
    return extended + (values - extended) * confidence[..., None]


def _sum_2x2(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the sums of 2 x 2."""
    return np.asarray(values[::2, ::2] + values[1::2, ::2] + values[::2, 1::2] + values[1::2, 1::2], dtype=np.float32)
