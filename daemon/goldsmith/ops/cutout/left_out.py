"""Find parts that a matte left out of the subject: they continue its colours beyond the outline, where the picture shows no edge.

The picture is cut a second time, by colours and edges alone (Rother, Kolmogorov and Blake, "GrabCut", 2004), starting from the matte. A
model knows what a thing is, and colours do not, so the cut by colours is no better outline. But where it adds a broad part to the subject,
the model's outline runs through the middle of something.
"""

from __future__ import annotations

import numpy as np

from goldsmith.ops.cutout.laplacian import BoolMask
from goldsmith.picture.picture import Mask, Pixels

# px. Both are cut at this longer side: a part that was left out has no finer detail.
_CUT_SIDE = 320
_ITERATIONS = 3
# Narrower parts, as a share of the square root of the subject's area, are differences of the outline.
_MIN_WIDTH = 0.04


def find_left_out(pixels: Pixels, matte: Mask) -> tuple[BoolMask, float]:
    """Return where (h, w) the colours of the subject go on beside the matte (h, w), 0..1, and its share of both together.

    ``pixels`` (h, w, c): display-encoded, 0..1, with 1, 3 or 4 channels. Parts that do not touch the subject do not count.
    """
    import cv2

    height, width = matte.shape
    scale = min(1.0, _CUT_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    solid = cv2.resize(matte, size, interpolation=cv2.INTER_AREA) > 0.5
    area = int(np.count_nonzero(solid))
    if not area or area == solid.size:
        return np.zeros_like(matte, np.bool_), 0.0
    added = _cut_by_colour(cv2.resize(_three_channels(pixels), size, interpolation=cv2.INTER_AREA), solid) & ~solid
    disc_width = 2 * max(1, round(_MIN_WIDTH / 2 * area**0.5)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (disc_width, disc_width))
    broad = cv2.morphologyEx(added.astype(np.uint8), cv2.MORPH_OPEN, disc) > 0
    labels = cv2.connectedComponents(added.astype(np.uint8))[1]
    beside = np.unique(labels[cv2.dilate(solid.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0])
    left_out = broad & np.isin(labels, beside[beside > 0])
    full = cv2.resize(left_out.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    missing = int(np.count_nonzero(left_out))
    return np.asarray(full), missing / (area + missing)


def _three_channels(pixels: Pixels) -> Pixels:
    return np.repeat(pixels[:, :, :1], 3, axis=2) if pixels.shape[2] < 3 else np.ascontiguousarray(pixels[:, :, :3])


def _cut_by_colour(pixels: Pixels, solid: BoolMask) -> BoolMask:
    """Return the subject (h, w) by colours and edges, starting from ``solid`` (h, w); the same for the same picture."""
    import cv2

    codes = np.ascontiguousarray((np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8))
    labels = np.where(solid, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    cv2.setRNGSeed(0)
    cv2.grabCut(codes, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), _ITERATIONS, cv2.GC_INIT_WITH_MASK)
    return np.asarray((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))
