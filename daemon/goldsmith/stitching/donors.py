"""Tell what round a hole must not be copied into it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.crop_planning import CropBox
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze
from goldsmith.picture.smoothing import resize_values
from goldsmith.stitching.border_likeness import LEAST_UNLIKENESS, BorderLikeness
from goldsmith.stitching.offset_labels import BLOCK_SIDE, window_counts
from goldsmith.stitching.surroundings import find_ring, reduce_by, reduction

# Returns the masks (h, w), 0..1, of the objects in a picture that are not copied into a hole beside them.
FindObjects = Callable[[Picture], Sequence[Mask]]

# An object is not copied into a hole if it is less than this share of what lies beside the hole, within at least so many px; its soft parts
# down to ``LEAST_BARRED`` count.
MAX_BARRED_SHARE = 0.5
MIN_BESIDE_PX = 6
LEAST_BARRED = 0.1
HALF_OBJECT = 0.5
# Objects are looked for in a copy whose longer side is at most this, in px.
DETECTION_SIDE = 480
# The places that are unlike the border are found every so many px of the reduced copy.
UNLIKE_STEP = 2
# At most so many blocks of an object are compared.
_COMPARED_BLOCKS = 500


def find_barred(picture: Picture, mask: Mask, box: CropBox, grow: int, find_objects: FindObjects) -> NDArray[np.bool_]:
    """Return the objects in the box (h, w of the box) that must not be copied into the hole of ``mask`` (h, w of the picture), 0..1.

    A person beside the hole is one. A wall that the hole lies in is none, nor is an object that is like what lies beside the hole.
    grow: how many px round the hole may be a rest of what is removed.
    """
    unknown = mask[box.window] > 0
    pixels = picture.pixels_in(box.window)
    scale = min(1.0, DETECTION_SIDE / max(box.height, box.width))
    small = resize_values(pixels, max(round(box.height * scale), 1), max(round(box.width * scale), 1))
    masks = find_objects(Picture(freeze(np.clip(small, 0, 1)), icc=picture.icc))
    beside = find_ring(unknown, np.zeros_like(unknown), max(grow, MIN_BESIDE_PX))
    barred = np.zeros_like(unknown)
    if not beside.any():
        return barred
    for matte in (resize_values(each, box.height, box.width) for each in masks):
        if float((matte > HALF_OBJECT)[beside].mean()) < MAX_BARRED_SHARE:
            barred |= _unlike_objects(pixels, unknown, matte)
    return barred


def find_unlike(pixels: Pixels, hole: NDArray[np.bool_], hidden: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the places (h, w) whose surroundings are unlike everything that lies beside the hole; none that touches the hole is.

    pixels: (h, w, 3), 0..1, display-encoded. hole, hidden: (h, w); what is hidden is not looked at.
    """
    factor = reduction(hole)
    small, small_hole, small_hidden = (reduce_by(each.astype(np.float32, copy=False), factor) for each in (pixels, hole, hidden))
    blocked = (small_hole > 0) | (small_hidden > 0)
    likeness = BorderLikeness(small, small_hole > 0, (small_hidden > 0) & ~(small_hole > 0), BLOCK_SIDE)
    is_free = window_counts(blocked, likeness.side)[::UNLIKE_STEP, ::UNLIKE_STEP] == 0
    unlike = np.zeros(is_free.shape, dtype=np.bool_)
    unlike[is_free] = likeness.unlikeness(np.argwhere(is_free) * UNLIKE_STEP) > LEAST_UNLIKENESS
    rows, columns = (
        np.clip((np.arange(length) // factor - likeness.side // 2) // UNLIKE_STEP, 0, count - 1)
        for length, count in zip(hole.shape, unlike.shape, strict=True)
    )
    return np.asarray(unlike[np.ix_(rows, columns)])


def _unlike_objects(pixels: Pixels, unknown: NDArray[np.bool_], matte: Mask) -> NDArray[np.bool_]:
    """Return the separate objects (h, w) of ``matte``, 0..1, that are unlike what lies beside the hole."""
    import cv2

    factor = reduction(unknown)
    rgb = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    small_unknown = reduce_by(unknown.astype(np.float32), factor) > 0
    likeness = BorderLikeness(reduce_by(rgb, factor), small_unknown, np.zeros_like(small_unknown), BLOCK_SIDE)
    last = np.array(small_unknown.shape) - likeness.side
    count, labels = cv2.connectedComponents((matte > LEAST_BARRED).astype(np.uint8))
    objects = np.zeros_like(unknown)
    for label in range(1, count):
        solid = (labels == label) & (matte > HALF_OBJECT) & ~unknown
        places = np.argwhere(solid[::factor, ::factor]) - likeness.side // 2
        places = places[((places >= 0) & (places <= last)).all(axis=1)]
        places = places[:: max(len(places) // _COMPARED_BLOCKS, 1)]
        if len(places) and float(likeness.unlikeness(places).mean()) > LEAST_UNLIKENESS:
            objects |= labels == label
    return objects
