"""Find parts that a matte left out of the subject: they continue its colours beyond the outline, where the picture shows no edge.

The picture is cut a second time, by colours and edges alone (Rother, Kolmogorov and Blake, "GrabCut", 2004), starting from the matte. A
model knows what a thing is, and colours do not, so the cut by colours is no better outline. But where it adds a broad part to the subject,
and the picture shows no edge between them, the model's outline runs through the middle of something.
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
# px of that size. The colours on both sides of a border are those within such a window, of which each side must fill this share.
_BORDER_WINDOW, _LEAST_SHARE = 9, 0.1
# An edge: CIE Lab difference of both sides, and how much faster the colours change than usual. On 18 well-cut subjects, five of seven
# things beside them that have their colours exceed both; of 108 parts that were cut off on purpose, 96 are found.
_EDGE_DIFFERENCE, _EDGE_STEEPNESS = 12.0, 1.8
# CIE Lab units for each px: less is grain.
_LEAST_STEEPNESS = 0.1


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
    small = np.ascontiguousarray(cv2.resize(_three_channels(pixels), size, interpolation=cv2.INTER_AREA), np.float32)
    added = _cut_by_colour(small, solid) & ~solid
    disc_width = 2 * max(1, round(_MIN_WIDTH / 2 * area**0.5)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (disc_width, disc_width))
    broad = cv2.morphologyEx(added.astype(np.uint8), cv2.MORPH_OPEN, disc) > 0
    labels = cv2.connectedComponents(added.astype(np.uint8))[1]
    beside = np.unique(labels[(cv2.dilate(solid.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0) & (labels > 0)])
    colours = np.asarray(cv2.cvtColor(np.clip(small, 0, 1), cv2.COLOR_RGB2LAB), np.float32)
    continued = [number for number in beside if (broad & (labels == number)).any() and not _has_edge(colours, solid, labels == number)]
    left_out = broad & np.isin(labels, continued)
    full = cv2.resize(left_out.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    missing = int(np.count_nonzero(left_out))
    return np.asarray(full), missing / (area + missing)


def _has_edge(colours: Pixels, solid: BoolMask, part: BoolMask) -> bool:
    """Return whether the picture shows an edge between the subject ``solid`` and a ``part`` beside it, both (h, w).

    ``colours`` (h, w, 3): CIE Lab. At an edge the colours of both sides differ and change faster than elsewhere in both.
    """
    import cv2

    (inner, inner_share), (outer, outer_share) = (_local_means(colours, where) for where in (solid, part))
    rim, beside = (cv2.dilate(where.astype(np.uint8), np.ones((width, width), np.uint8)) > 0 for where, width in ((solid, 3), (part, 5)))
    border = rim & ~solid & beside & (inner_share > _LEAST_SHARE) & (outer_share > _LEAST_SHARE)
    if not border.any():
        return False
    difference = float(np.median(np.linalg.norm(inner - outer, axis=2)[border]))
    smooth = cv2.GaussianBlur(colours, (0, 0), 1.0, borderType=cv2.BORDER_REFLECT)
    across, down = (cv2.Sobel(smooth, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
    steepness = np.sqrt((np.square(across) + np.square(down)).sum(axis=2))
    usual = max(float(np.median(steepness[solid | part])), _LEAST_STEEPNESS)
    return difference >= _EDGE_DIFFERENCE and float(np.median(steepness[border])) >= _EDGE_STEEPNESS * usual


def _local_means(colours: Pixels, where: BoolMask) -> tuple[Pixels, Mask]:
    """Return the mean colours (h, w, 3) of the pixels ``where`` (h, w) round each pixel, and their share there, 0..1."""
    import cv2

    window, weight = (_BORDER_WINDOW, _BORDER_WINDOW), where.astype(np.float32)
    share = np.asarray(cv2.blur(weight, window), np.float32)
    return np.asarray(cv2.blur(colours * weight[:, :, None], window) / np.maximum(share, 1e-4)[:, :, None], np.float32), share


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
