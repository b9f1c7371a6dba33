"""Refines a coarse matte to the edges of its picture."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Mask, Pixels

# The longer side, in px, at which edges are searched for; the result is applied at full resolution.
_WORKING_SIDE = 1024
# Variance of display-encoded values above which the picture counts as having an edge.
_REGULARISATION = 4e-4
# Matte values closer than this to 0 or 1 become 0 or 1.
_CLIP_MARGIN = 0.04
_STRIP_PIXELS = 1 << 21


def refine_matte(matte: Mask, pixels: Pixels, source_long_side: int) -> Mask:
    """Return the matte (h, w), 0..1, with its edges moved to those of ``pixels`` (h, w, c), display-encoded 0..1.

    ``source_long_side`` is the longer side, in px, of the picture that the matte was computed from: edges may be off by a few of its px.
    If the matte is almost 0 or almost 1 in a whole neighbourhood, it becomes 0 or 1 there: texture is no edge.
    Source: the fast guided filter with a colour guide, He and Sun, "Fast Guided Filter" (2015).
    """
    import cv2

    height, width = matte.shape
    scale = min(1.0, _WORKING_SIDE / max(height, width))
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    guide = pixels if scale == 1 else cv2.resize(pixels, (new_width, new_height), interpolation=cv2.INTER_AREA)
    guide = np.ascontiguousarray(guide.reshape(new_height, new_width, -1), dtype=np.float32)
    reduced = np.asarray(matte if scale == 1 else cv2.resize(matte, (new_width, new_height), interpolation=cv2.INTER_AREA), np.float32)
    radius = max(2, math.ceil(2 * max(new_width, new_height) / source_long_side))
    slope, offset = _fit_local_linear(guide, reduced, radius)
    # The result is closer to the edges than the input, so the second pass uses a smaller radius.
    sharper = _stretch_ends(np.einsum("hwc,hwc->hw", slope, guide) + offset)
    slope, offset = _fit_local_linear(guide, sharper, max(2, radius // 2))
    neighbourhood = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (4 * radius + 1,) * 2)
    lowest, highest = cv2.erode(reduced, neighbourhood), cv2.dilate(reduced, neighbourhood)
    refined = np.empty_like(matte)
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = np.s_[top : min(height, top + rows)]
        full = (_upsample_rows(plane, strip, height, width) for plane in (*np.moveaxis(slope, 2, 0), offset, lowest, highest))
        *slopes, base, low, high_ = full
        values = base
        for channel, factor in enumerate(slopes):
            values += factor * pixels[strip, :, channel]
        values = _stretch_ends(values)
        values[high_ < _CLIP_MARGIN] = 0
        values[low > 1 - _CLIP_MARGIN] = 1
        refined[strip] = values
    return refined


def _stretch_ends(matte: Mask) -> Mask:
    """Return the matte stretched so that values close to 0 or 1 become 0 or 1."""
    return np.asarray(np.clip((matte - _CLIP_MARGIN) / (1 - 2 * _CLIP_MARGIN), 0.0, 1.0), np.float32)


def _fit_local_linear(guide: Pixels, matte: Mask, radius: int) -> tuple[Pixels, Mask]:
    """Fit matte = slope . guide + offset around each pixel; return both averaged over its window: (h, w, c) and (h, w)."""

    def mean(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        import cv2

        return np.asarray(cv2.blur(plane, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT), np.float32).reshape(plane.shape)

    channels = guide.shape[2]
    guide_mean, matte_mean = mean(guide), mean(matte)
    covariances = np.empty((*matte.shape, channels, channels), np.float32)
    for first in range(channels):
        for second in range(first, channels):
            covariance = mean(guide[:, :, first] * guide[:, :, second]) - guide_mean[:, :, first] * guide_mean[:, :, second]
            covariances[:, :, first, second] = covariances[:, :, second, first] = covariance
    covariances += np.float32(_REGULARISATION) * np.eye(channels, dtype=np.float32)
    cross_covariance = np.stack([mean(guide[:, :, each] * matte) - guide_mean[:, :, each] * matte_mean for each in range(channels)], axis=2)
    slope = np.linalg.solve(covariances, cross_covariance[..., None])[..., 0].astype(np.float32)
    offset = matte_mean - (slope * guide_mean).sum(axis=2)
    return mean(np.ascontiguousarray(slope)), mean(offset)


def _upsample_rows(plane: Mask, row_slice: slice, height: int, width: int) -> Mask:
    """Return rows of a small plane (h, w) enlarged to full size by linear interpolation."""
    import cv2

    if plane.shape == (height, width):
        return plane[row_slice].copy()
    down = (np.arange(row_slice.start, row_slice.stop, dtype=np.float32) + 0.5) * (plane.shape[0] / height) - 0.5
    across = (np.arange(width, dtype=np.float32) + 0.5) * (plane.shape[1] / width) - 0.5
    maps = np.broadcast_to(across, (len(down), width)).copy(), np.broadcast_to(down[:, None], (len(down), width)).copy()
    return np.asarray(cv2.remap(np.ascontiguousarray(plane), *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)
