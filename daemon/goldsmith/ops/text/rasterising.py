"""A placed block as coverage: how much of every pixel the letters cover, and a rim of any width round them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.text.font import Typeface
from goldsmith.ops.text.layout import PlacedText
from goldsmith.picture.picture import Mask, Window

# Letters up to so many px are drawn four times as fine as the picture, larger ones twice.
_FINE_UP_TO_PX, _FINE_OVERSAMPLING, _COARSE_OVERSAMPLING = 256.0, 4, 2
# No glyph is longer than so many em.
_MAX_GLYPH_EM = 20.0
# Fine pixels drawn at once.
_STRIP = 1 << 24


def letter_coverage(typefaces: Sequence[Typeface], placed: PlacedText, window: Window) -> Mask:
    """How much of each pixel of ``window`` (in the picture's px) the letters cover, (h, w), 0..1."""

    def letters(rows: slice, fine: int) -> Mask:
        return _rasterise_glyphs(typefaces, placed, rows, window[1], fine).astype(np.float32) / np.float32(255)

    return _render_in_strips(window, placed.size, 0, letters)


def stroked_coverage(typefaces: Sequence[Typeface], placed: PlacedText, window: Window, stroke_width: float) -> Mask:
    """The same for the letters grown by ``rim`` px all round, with round corners: never less than ``letter_coverage``."""
    import cv2

    def grown(rows: slice, fine: int) -> Mask:
        outside = np.where(_rasterise_glyphs(typefaces, placed, rows, window[1], fine) >= 128, np.uint8(0), np.uint8(1))
        if outside.all():
            return np.zeros(outside.shape, np.float32)
        away = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        return np.asarray(np.clip(stroke_width * fine + 1.0 - away, 0.0, 1.0), np.float32)

    made = _render_in_strips(window, placed.size, math.ceil(stroke_width) + 2, grown)
    return np.asarray(np.maximum(made, letter_coverage(typefaces, placed, window)))


def _render_in_strips(window: Window, size: float, margin: int, draw: Callable[[slice, int], Mask]) -> Mask:
    """``draw``, which makes some rows of the window finer than they are, brought to the window's own pixels strip by strip."""
    import cv2

    rows, cols = window
    height, width = rows.stop - rows.start, cols.stop - cols.start
    fine = _FINE_OVERSAMPLING if size <= _FINE_UP_TO_PX else _COARSE_OVERSAMPLING
    made = np.empty((height, width), np.float32)
    step = max(1, 2 * margin, _STRIP // (width * fine * fine))
    for top in range(rows.start, rows.stop, step):
        end = min(rows.stop, top + step)
        finer = draw(slice(top - margin, end + margin), fine)
        kept = finer[margin * fine : (margin + end - top) * fine]
        made[top - rows.start : end - rows.start] = cv2.resize(kept, (width, end - top), interpolation=cv2.INTER_AREA)
    return made


def _rasterise_glyphs(typefaces: Sequence[Typeface], placed: PlacedText, rows: slice, cols: slice, oversampling: int) -> NDArray[np.uint8]:
    """The letters on a grid ``fine`` times as fine as the picture's pixels: (h * fine, w * fine), 0..255."""
    import uharfbuzz as hb

    drawing = hb.RasterDraw()
    angle = math.radians(placed.rotate)
    cos, sin = math.cos(angle), math.sin(angle)
    high, wide = (rows.stop - rows.start) * oversampling, (cols.stop - cols.start) * oversampling
    reach = _MAX_GLYPH_EM * placed.size * oversampling
    for (which, number), (x, y) in zip(placed.block.glyph_ids, placed.block.positions * placed.size, strict=True):
        across = (placed.origin[0] + cos * x - sin * y - cols.start) * oversampling
        up = high - (placed.origin[1] + sin * x + cos * y - rows.start) * oversampling
        if -reach < up < high + reach:
            scale = placed.size / typefaces[which].units_per_em * oversampling
            drawing.transform = (scale * cos, -scale * sin, scale * sin, scale * cos, across, up)
            drawing.draw_glyph(typefaces[which].hb_font, number)
    drawing.extents = hb.RasterExtents(0, 0, wide, high, 0)
    image = drawing.render()
    if image is None:
        return np.zeros((high, wide), np.uint8)
    stride = image.extents.stride
    return np.frombuffer(image.buffer, np.uint8).reshape(high, stride)[::-1, :wide]
