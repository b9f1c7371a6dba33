"""Find the reflection of a masked object: below it, the object upside down, weaker than the object itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.erase.cast_shadow import FoundShadow
from goldsmith.picture.crop_planning import CropBox
from goldsmith.picture.picture import Mask, Picture
from goldsmith.picture.smoothing import gaussian_blur, resize_values

# The longer side in px of the copy of the object that is compared.
COMPARED_SIDE = 160
# How far from the object's lowest pixel the mirror line may lie, as a share of its height.
MAX_LINE_SHIFT = 0.06
# A reflection is at least so alike to the object upside down (correlation), and at least this strong, as a share of the object's contrast.
LEAST_ALIKENESS = 0.6
LEAST_CONTRAST = 0.06
# An object with less contrast than this standard deviation, 0..1, is not told from its reflection.
LEAST_OBJECT_CONTRAST = 0.04
# At least this share of the object's height must lie in the picture below it.
LEAST_VISIBLE = 0.25
# The reflection ends where, row by row, it is no longer so alike.
LEAST_ROW_ALIKENESS = 0.25


def find_reflection(picture: Picture, mask: Mask, bounds: CropBox) -> FoundShadow | None:
    """Return the reflection under the object of ``mask`` (h, w), 0..1, whose non-zero box is ``bounds``; None if none is found."""
    height = min(bounds.height, picture.height - bounds.bottom)
    if height < max(LEAST_VISIBLE * bounds.height, 8):
        return None
    scale = min(1.0, COMPARED_SIDE / max(bounds.height, bounds.width))
    box = CropBox(bounds.top, bounds.left, bounds.bottom + height, bounds.right)
    size = max(round(box.height * scale), 8), max(round(box.width * scale), 8)
    light = resize_values(picture.pixels_in(box.window), *size).mean(axis=2)
    is_object = resize_values((mask[box.window] > 0).astype(np.float32), *size) > 0.5
    line = round(bounds.height * scale)
    best = max(
        (_compare(light, is_object, line + shift) for shift in _shifts(line)),
        key=lambda compared: compared[0],
        default=(0.0, np.zeros_like(is_object)),
    )
    if best[0] < LEAST_ALIKENESS or not best[1].any():
        return None
    soft = gaussian_blur(best[1].astype(np.float32), 1.5)
    full = (resize_values(soft, box.height, box.width) > 0.15) & ~(mask[box.window] > 0)
    return FoundShadow("reflection", box, full, round(best[0], 3), 90)


def _shifts(line: int) -> range:
    reach = max(round(MAX_LINE_SHIFT * line), 1)
    return range(-reach, reach + 1)


def _compare(light: NDArray[np.float32], is_object: NDArray[np.bool_], line: int) -> tuple[float, NDArray[np.bool_]]:
    """Return how alike what lies below row ``line`` is to the object mirrored there, and where (h, w) the mirrored object lies."""
    height = light.shape[0]
    rows = min(line, height - line)
    if rows < 8:
        return 0.0, np.zeros_like(is_object)
    above, below = light[line - rows : line][::-1], light[line : line + rows]
    mirrored = is_object[line - rows : line][::-1] & ~is_object[line : line + rows]
    if mirrored.sum() < 64:
        return 0.0, np.zeros_like(is_object)
    own, other = _high_pass(above, mirrored), _high_pass(below, mirrored)
    alike, gain, contrast = _correlate(own[mirrored], other[mirrored])
    if contrast < LEAST_OBJECT_CONTRAST or gain < LEAST_CONTRAST:
        return 0.0, np.zeros_like(is_object)
    place = np.zeros_like(is_object)
    place[line : line + _reflected_rows(own, other, mirrored)] = True
    whole = np.zeros_like(is_object)
    whole[line : line + rows] = mirrored
    return alike, whole & place


def _reflected_rows(own: NDArray[np.float32], other: NDArray[np.float32], mirrored: NDArray[np.bool_]) -> int:
    """Return after how many rows the reflection has faded, looked at in bands of an eighth."""
    rows = len(own)
    band = max(rows // 8, 4)
    last = 0
    for top in range(0, rows, band):
        part = np.s_[top : top + band]
        if mirrored[part].sum() >= 16 and _correlate(own[part][mirrored[part]], other[part][mirrored[part]])[0] >= LEAST_ROW_ALIKENESS:
            last = min(top + band, rows)
    return last


def _high_pass(values: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return values (h, w) without their slow changes over the part inside (h, w): the ground's own light and the fading."""
    weight = gaussian_blur(inside.astype(np.float32), max(len(values) / 6, 3.0))
    return np.asarray(values - gaussian_blur(values * inside, max(len(values) / 6, 3.0)) / np.maximum(weight, 1e-3), dtype=np.float32)


def _correlate(first: NDArray[np.float32], second: NDArray[np.float32]) -> tuple[float, float, float]:
    """Return the correlation of two arrays (n), how strong the second is in units of the first, and the first's standard deviation."""
    own, other = first - first.mean(), second - second.mean()
    power = float(np.square(own).mean())
    product = float((own * other).mean())
    if power <= 1e-8:
        return 0.0, 0.0, 0.0
    return product / float(np.sqrt(power * np.square(other).mean()) + 1e-8), product / power, power**0.5
