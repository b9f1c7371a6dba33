"""Rasterising a placed block: how much of every pixel the letters cover, and the letters with a stroke."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.text.font import Typeface
from goldsmith.ops.text.layout import PlacedText
from goldsmith.picture.picture import Mask, Window

# Letters up to this size in px are oversampled four times, larger ones twice.
_FINE_UP_TO_PX, _FINE_OVERSAMPLING, _COARSE_OVERSAMPLING = 256.0, 4, 2
# em. No glyph is longer.
_MAX_GLYPH_EM = 20.0
# Oversampled pixels rendered at a time.
_STRIP = 1 << 24


def letter_coverage(typefaces: Sequence[Typeface], placed: PlacedText, window: Window) -> Mask:
    """Return how much of each pixel of ``window`` (px of the picture) the letters cover: (h, w), 0..1."""

    def letters(rows: slice, oversampling: int) -> Mask:
        return _rasterise_glyphs(typefaces, placed, rows, window[1], oversampling).astype(np.float32) / np.float32(255)

    return _render_in_strips(window, placed.size, 0, letters)


def stroked_coverage(typefaces: Sequence[Typeface], placed: PlacedText, window: Window, stroke_width: float) -> Mask:
    """Return the coverage (h, w), 0..1, of the letters grown by ``stroke_width`` px with round corners.

    No pixel has less coverage than in ``letter_coverage``.
    """
    import cv2

    def grown(rows: slice, oversampling: int) -> Mask:
        outside = np.where(_rasterise_glyphs(typefaces, placed, rows, window[1], oversampling) >= 128, np.uint8(0), np.uint8(1))
        if outside.all():
            return np.zeros(outside.shape, np.float32)
        distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        return np.asarray(np.clip(stroke_width * oversampling + 1.0 - distance, 0.0, 1.0), np.float32)

    coverage = _render_in_strips(window, placed.size, math.ceil(stroke_width) + 2, grown)
    return np.asarray(np.maximum(coverage, letter_coverage(typefaces, placed, window)))


def _render_in_strips(window: Window, size: float, margin: int, draw: Callable[[slice, int], Mask]) -> Mask:
    """Return the coverage (h, w), 0..1, of the window, strip by strip: ``draw`` renders some rows oversampled, and they are reduced."""
    import cv2

    rows, cols = window
    height, width = rows.stop - rows.start, cols.stop - cols.start
    oversampling = _FINE_OVERSAMPLING if size <= _FINE_UP_TO_PX else _COARSE_OVERSAMPLING
    coverage = np.empty((height, width), np.float32)
    step = max(1, 2 * margin, _STRIP // (width * oversampling * oversampling))
    for top in range(rows.start, rows.stop, step):
        end = min(rows.stop, top + step)
        rendered = draw(slice(top - margin, end + margin), oversampling)
        trimmed = rendered[margin * oversampling : (margin + end - top) * oversampling]
        coverage[top - rows.start : end - rows.start] = cv2.resize(trimmed, (width, end - top), interpolation=cv2.INTER_AREA)
    return coverage


def _rasterise_glyphs(typefaces: Sequence[Typeface], placed: PlacedText, rows: slice, cols: slice, oversampling: int) -> NDArray[np.uint8]:
    """Return the letters on a grid ``oversampling`` times as fine as the picture's pixels: (h * oversampling, w * oversampling), 0..255."""
    import uharfbuzz as hb

    drawing = hb.RasterDraw()
    angle = math.radians(placed.rotate)
    cos, sin = math.cos(angle), math.sin(angle)
    height, width = (rows.stop - rows.start) * oversampling, (cols.stop - cols.start) * oversampling
    reach = _MAX_GLYPH_EM * placed.size * oversampling
    for (typeface_index, glyph_id), (x, y) in zip(placed.block.glyph_ids, placed.block.positions * placed.size, strict=True):
        across = (placed.origin[0] + cos * x - sin * y - cols.start) * oversampling
        up = height - (placed.origin[1] + sin * x + cos * y - rows.start) * oversampling
        if -reach < up < height + reach:
            scale = placed.size / typefaces[typeface_index].units_per_em * oversampling
            drawing.transform = (scale * cos, -scale * sin, scale * sin, scale * cos, across, up)
            drawing.draw_glyph(typefaces[typeface_index].hb_font, glyph_id)
    drawing.extents = hb.RasterExtents(0, 0, width, height, 0)
    image = drawing.render()
    if image is None:
        return np.zeros((height, width), np.uint8)
    stride = image.extents.stride
    return np.frombuffer(image.buffer, np.uint8).reshape(height, stride)[::-1, :width]
