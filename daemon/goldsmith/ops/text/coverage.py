"""A placed block as coverage: how much of every pixel the letters cover, and a rim of any width round them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.text.font import Typeface
from goldsmith.ops.text.layout import Placed
from goldsmith.picture.picture import Mask, Window

_SMALL, _FINE, _COARSE = 256.0, 4, 2
"""Letters up to so many px are drawn four times as fine as the picture, larger ones twice."""
_REACH = 20.0
"""No glyph is longer than so many em."""
_STRIP = 1 << 24
"""Fine pixels drawn at once."""


def covered(faces: Sequence[Typeface], placed: Placed, window: Window) -> Mask:
    """How much of each pixel of ``window`` (in the picture's px) the letters cover, (h, w), 0..1."""

    def letters(rows: slice, fine: int) -> Mask:
        return _drawn(faces, placed, rows, window[1], fine).astype(np.float32) / np.float32(255)

    return _in_strips(window, placed.size, 0, letters)


def rimmed(faces: Sequence[Typeface], placed: Placed, window: Window, rim: float) -> Mask:
    """The same for the letters grown by ``rim`` px all round, with round corners: never less than ``covered``."""
    import cv2

    def grown(rows: slice, fine: int) -> Mask:
        outside = np.where(_drawn(faces, placed, rows, window[1], fine) >= 128, np.uint8(0), np.uint8(1))
        if outside.all():
            return np.zeros(outside.shape, np.float32)
        away = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        return np.asarray(np.clip(rim * fine + 1.0 - away, 0.0, 1.0), np.float32)

    made = _in_strips(window, placed.size, math.ceil(rim) + 2, grown)
    return np.asarray(np.maximum(made, covered(faces, placed, window)))


def _in_strips(window: Window, size: float, margin: int, draw: Callable[[slice, int], Mask]) -> Mask:
    """``draw``, which makes some rows of the window finer than they are, brought to the window's own pixels strip by strip."""
    import cv2

    rows, cols = window
    height, width = rows.stop - rows.start, cols.stop - cols.start
    fine = _FINE if size <= _SMALL else _COARSE
    made = np.empty((height, width), np.float32)
    step = max(1, 2 * margin, _STRIP // (width * fine * fine))
    for top in range(rows.start, rows.stop, step):
        end = min(rows.stop, top + step)
        finer = draw(slice(top - margin, end + margin), fine)
        kept = finer[margin * fine : (margin + end - top) * fine]
        made[top - rows.start : end - rows.start] = cv2.resize(kept, (width, end - top), interpolation=cv2.INTER_AREA)
    return made


def _drawn(faces: Sequence[Typeface], placed: Placed, rows: slice, cols: slice, fine: int) -> NDArray[np.uint8]:
    """The letters on a grid ``fine`` times as fine as the picture's pixels: (h * fine, w * fine), 0..255."""
    import uharfbuzz as hb

    drawing = hb.RasterDraw()
    angle = math.radians(placed.rotate)
    cos, sin = math.cos(angle), math.sin(angle)
    high, wide = (rows.stop - rows.start) * fine, (cols.stop - cols.start) * fine
    reach = _REACH * placed.size * fine
    for (which, number), (x, y) in zip(placed.block.numbers, placed.block.places * placed.size, strict=True):
        across = (placed.origin[0] + cos * x - sin * y - cols.start) * fine
        up = high - (placed.origin[1] + sin * x + cos * y - rows.start) * fine
        if -reach < up < high + reach:
            scale = placed.size / faces[which].upem * fine
            drawing.transform = (scale * cos, -scale * sin, scale * sin, scale * cos, across, up)
            drawing.draw_glyph(faces[which].font, number)
    drawing.extents = hb.RasterExtents(0, 0, wide, high, 0)
    image = drawing.render()
    if image is None:
        return np.zeros((high, wide), np.uint8)
    stride = image.extents.stride
    return np.frombuffer(image.buffer, np.uint8).reshape(high, stride)[::-1, :wide]
