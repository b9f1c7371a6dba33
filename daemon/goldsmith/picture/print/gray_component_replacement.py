"""Print greys in black ink alone: parts without colour are printed like a black-and-white job, at the same lightness.

Type and line art need this: four slightly misregistered inks give black letters coloured rims.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture import colour, profiles
from goldsmith.picture.picture import Picture, Pixels
from goldsmith.picture.print.cmyk import Inks
from goldsmith.picture.row_slabs import for_each_slab

# Red, green and blue this near to each other are the same 8-bit code.
_NEUTRAL_TOLERANCE = 0.5 / 255
# px. A grey that is narrower in one direction is a photograph's pixel by chance, and keeps its four inks.
_MIN_PATCH_SIDE = 3
# px around a patch: nearer pixels are the mixed pixels of its edge.
_RING = 2.0, 4.5
# Display values that differ by less merge into each other; a patch most of whose surroundings do is part of a photograph.
_SURROUND_TOLERANCE = 0.06
_RAMP_STEPS = 1024


def replace_greys_with_black(picture: Picture, inks: Inks, is_grey: NDArray[np.bool_], icc: bytes, black_point: bool) -> None:
    """Write black alone into the inks (h, w, 4), 0..1, where ``is_grey`` (h, w), bool, is True; a few rows at a time.

    The lightness relative to the paper is kept; with ``black_point`` the whole range from white to black is mapped to the range from paper
    to solid black ink, so that dark greys stay distinct.
    """
    ramp = black_ramp_luminance(icc)
    steps = np.linspace(0, 1, _RAMP_STEPS)

    def replace_rows(rows: slice) -> None:
        chosen = is_grey[rows]
        if not chosen.any():
            return
        light = colour.luminance(colour.to_linear(picture.pixels[rows][chosen][None], picture.icc))[0]
        if black_point:
            light = ramp[-1] + (1 - ramp[-1]) * light
        part = inks[rows]
        part[chosen] = 0
        part[chosen, 3] = np.interp(-light, -ramp, steps)

    for_each_slab(is_grey.shape, replace_rows)


def neutral_mask(picture: Picture) -> NDArray[np.bool_]:
    """Return where the picture is intentionally grey, (h, w), bool; everywhere for a grey picture.

    A grey has equal red, green and blue, in patches of at least 3 x 3 px that stand out from their surroundings: type and line art, not the
    shadows of a photograph or its accidental greys.
    """
    import cv2

    if picture.channels == 1:
        return np.ones((picture.height, picture.width), np.bool_)
    pixels = picture.pixels
    spread = np.maximum(np.maximum(pixels[:, :, 0], pixels[:, :, 1]), pixels[:, :, 2])
    spread -= np.minimum(np.minimum(pixels[:, :, 0], pixels[:, :, 1]), pixels[:, :, 2])
    is_neutral = np.asarray(spread < _NEUTRAL_TOLERANCE, np.uint8)
    del spread  # the search for patches needs its memory
    square = np.ones((_MIN_PATCH_SIDE, _MIN_PATCH_SIDE), np.uint8)
    opened = np.asarray(cv2.morphologyEx(is_neutral, cv2.MORPH_OPEN, square, borderType=cv2.BORDER_REPLICATE))
    return _isolated_patches(opened, pixels[:, :, 1], pixels)


def _isolated_patches(patches: NDArray[np.uint8], grey_level: NDArray[np.float32], pixels: Pixels) -> NDArray[np.bool_]:
    """Return the patches (1 in (h, w)) that differ from most of their surroundings; one that is the whole picture counts too."""
    import cv2

    count, patch_numbers = cv2.connectedComponents(patches, connectivity=8, ltype=cv2.CV_32S)
    if count == 1 or patches.all():
        return patches.astype(np.bool_)
    distance, nearest = cv2.distanceTransformWithLabels(1 - patches, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL)
    inside, ring = patches > 0, (distance >= _RING[0]) & (distance <= _RING[1])
    pixel_of_label = np.zeros(int(nearest.max()) + 1, np.int32)
    pixel_of_label[nearest[inside]] = np.flatnonzero(inside)
    nearest_pixels = pixel_of_label[nearest[ring]]
    is_similar = np.abs(pixels[ring] - grey_level.reshape(-1)[nearest_pixels][:, None]).max(axis=1) < _SURROUND_TOLERANCE
    ring_patches = patch_numbers.reshape(-1)[nearest_pixels]
    ring_sizes, similar_counts = (np.bincount(ring_patches, weights, count) for weights in (None, is_similar))
    is_isolated = similar_counts <= ring_sizes / 2
    is_isolated[0] = False
    result: NDArray[np.bool_] = is_isolated[patch_numbers]
    return result


def black_ramp_luminance(icc: bytes) -> NDArray[np.float64]:
    """Return the luminance (1024,), 0..1 with 1 = the paper, of 0 to 100 % of black ink alone on that press; never rising."""
    steps = np.zeros((1, _RAMP_STEPS, 4), np.uint16)
    steps[0, :, 3] = np.round(np.linspace(0, 65535, _RAMP_STEPS))
    wide = profiles.builtin_profile("prophoto")
    colorants = profiles.colorant_matrix(wide)
    assert colorants is not None  # noqa: S101 - it is one of our own
    light = colour.to_linear(colour.transform_codes(steps, icc, wide, "relative", black_point_compensation=False), wide)[0] @ colorants[1]
    result: NDArray[np.float64] = np.minimum.accumulate(light.astype(np.float64) / float(light[0]))
    return result
