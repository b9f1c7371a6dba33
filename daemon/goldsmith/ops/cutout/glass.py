"""Extract glass, which is partly transparent all over: as opaque as it was painted, with its reflections and rims as opaque as they look.

A picture does not show how clear a pane is, so a person paints its opacity. If the background is even, the picture shows where
the glass is more opaque: its colour there cannot result from the background and glass of the painted opacity.

Smith and Blinn, "Blue Screen Matting" (1996), known backing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from goldsmith.ops.cutout.laplacian import BoolMask
from goldsmith.ops.cutout.window_enlargement import enlarge_window
from goldsmith.picture.picture import Mask, Pixels
from goldsmith.picture.row_slabs import for_each_slab
from goldsmith.picture.smoothing import pull_push_fill, resize_values

# px of the longer side at which the background is continued under the glass, which works only for an even background.
_WORKING_SIDE = 512
# Paint fainter than this is not glass.
_MIN_OPACITY = 0.02
# px. Within this distance, the soft edge of a brush does not mean thinner glass.
_BRUSH_EDGE_PX = 9
# A colour may differ this much, 0..1, from the background by noise alone.
_NOISE_TOLERANCE = 0.03
# How far around the glass the background is examined, as a share of the picture's longer side.
_NEIGHBOURHOOD = 0.08


class Glass(NamedTuple):
    """Extracted glass.

    mask:       (h, w): where it is.
    alpha:      (h, w), 0..1: its opacity; elsewhere that of the subject.
    unevenness: how far the background deviates from its own mean around the glass, 0..1; None if no background is visible.
    background: (h, w, c), 0..1, of a smaller size: the background, continued under the glass; None if it is not visible.
    """

    mask: BoolMask
    alpha: Mask
    unevenness: float | None
    background: Pixels | None

    def put_colours(self, pixels: Pixels, target: Pixels) -> None:
        """Write the glass's own colours into ``target`` (h, w, c), in place, where the glass is; ``pixels`` (h, w, c) are the picture's.

        Both are 0..1, display-encoded. Without a visible background its colours are unknown, and the picture's stay.
        """

        def put(rows: slice) -> None:
            colours = pixels[rows]
            if self.background is not None:
                behind = _background_rows(self.background, self.mask.shape, rows)
                opacity = np.maximum(self.alpha[rows], np.float32(_MIN_OPACITY))[:, :, None]
                colours = np.clip(behind + (colours - behind) / opacity, 0, 1)
            np.copyto(target[rows], colours, where=self.mask[rows][:, :, None])

        for_each_slab(self.mask.shape, put)


def extract_glass(pixels: Pixels, matte: Mask, painted_opacity: Mask) -> Glass:
    """Return the glass of ``pixels`` (h, w, c), 0..1, display-encoded, given its matte and the painted opacity, both (h, w), 0..1."""
    import cv2

    mask = painted_opacity > _MIN_OPACITY
    brush_opacity = np.asarray(cv2.dilate(painted_opacity, np.ones((_BRUSH_EDGE_PX, _BRUSH_EDGE_PX), np.uint8)), np.float32)
    background, unevenness = _estimate_background(pixels, matte, mask)
    alpha = np.where(mask, brush_opacity, matte)
    if background is None:
        return Glass(mask, alpha, None, None)

    def add_reflections(rows: slice) -> None:
        behind = _background_rows(background, mask.shape, rows)
        least = np.where(mask[rows], _least_opacity(pixels[rows], behind), np.float32(0))
        np.clip(np.maximum(alpha[rows], least), 0, 1, out=alpha[rows])

    for_each_slab(mask.shape, add_reflections)
    return Glass(mask, alpha, unevenness, background)


def _least_opacity(pixels: Pixels, background: Pixels) -> Mask:
    """Return the least opacity (h, w), 0..1, with which a layer over ``background`` can have the colours ``pixels``, both (h, w, c)."""
    difference = pixels - background
    largest = np.where(difference > 0, 1 - background, background)
    excess = np.maximum(np.abs(difference) - _NOISE_TOLERANCE, 0)
    return np.asarray((excess / np.maximum(largest - _NOISE_TOLERANCE, np.float32(_NOISE_TOLERANCE))).max(axis=2), np.float32)


def _background_rows(background: Pixels, shape: tuple[int, ...], rows: slice) -> Pixels:
    """Return some rows (h, w, c) of the background at the picture's size, ``shape`` (h, w)."""
    return np.clip(enlarge_window(background, shape, (rows, slice(0, shape[1]))), 0, 1)


def _estimate_background(pixels: Pixels, matte: Mask, glass_mask: BoolMask) -> tuple[Pixels | None, float | None]:
    """Return the background at the working size, continued smoothly under the subject, and how uneven it is near the glass."""
    import cv2

    height, width = matte.shape
    scale = min(1.0, _WORKING_SIDE / max(height, width))
    high, wide = max(1, round(height * scale)), max(1, round(width * scale))
    small = resize_values(pixels, high, wide).reshape(high, wide, -1)
    is_background = resize_values(((matte <= 0) & ~glass_mask).astype(np.float32), high, wide) > 0.999
    glass = resize_values(glass_mask.astype(np.float32), high, wide) > 0
    distance = cv2.distanceTransform((~glass).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    reach = _NEIGHBOURHOOD * max(high, wide)
    is_near = is_background & (distance < reach)
    if not is_near.any():
        return None, None
    known = is_near.astype(np.float32)
    mean = _blur(small * known[:, :, None], reach / 2) / np.maximum(_blur(known[:, :, None], reach / 2), np.float32(1e-6))
    unevenness = float(np.abs(small - mean)[is_near].mean(axis=0).max())
    return np.clip(pull_push_fill(np.ascontiguousarray(mean), known), 0, 1), unevenness


def _blur(planes: Pixels, sigma: float) -> Pixels:
    import cv2

    blurred = cv2.GaussianBlur(planes, (0, 0), max(sigma, 1.0), borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float32).reshape(planes.shape)
