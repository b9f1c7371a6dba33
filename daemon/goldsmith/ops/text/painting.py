"""A placed block painted on a picture: panel, shadow, stroke and letters, or a hole; and its contrast with what lies behind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.text.colour_fill import (
    Backdrop,
    ColourFill,
    blur_coverage,
    composite_fills,
    composite_shadow,
    rounded_box_coverage,
)
from goldsmith.ops.text.font import Typeface
from goldsmith.ops.text.layout import PlacedText, Rect
from goldsmith.ops.text.named_colours import SrgbColour, colour_in_profile, ensure_colour_channels
from goldsmith.ops.text.rasterising import letter_coverage, stroked_coverage
from goldsmith.ops.text.wcag_contrast import ContrastMeasure, dilate_coverage, measure_contrast
from goldsmith.picture.picture import Mask, Picture, Window, freeze

# Contrast is measured under the letters and so many em round them.
_CONTRAST_MARGIN_EM = 0.08


class StrokePaint(NamedTuple):
    """A line round the letters, px wide."""

    width: float
    colour: SrgbColour
    opacity: float


class ShadowPaint(NamedTuple):
    """A shadow: how far it falls (right, down) and how soft it is (sigma), px."""

    offset: tuple[float, float]
    sigma: float
    colour: SrgbColour
    opacity: float


class PanelPaint(NamedTuple):
    """A filled box: its room round the letters and the radius of its corners, px."""

    padding: float
    radius: float
    colour: SrgbColour
    opacity: float


class TextPaint(NamedTuple):
    """What the letters are painted with; ``hole``: they are cut out instead."""

    colour: SrgbColour
    opacity: float
    stroke: StrokePaint | None = None
    shadow: ShadowPaint | None = None
    panel: PanelPaint | None = None
    knock_out: bool = False


def paint_text(
    picture: Picture, typefaces: Sequence[Typeface], placed: PlacedText, paint: TextPaint
) -> tuple[Picture, ContrastMeasure | None]:
    """The picture with the block on it, and how the letters stand out; None where they are a hole in the picture or have no ink.

    Outside the reach of what is painted every pixel is the very same memory. A grey picture takes colour where one is asked for.
    """
    window = _painted_window(picture, placed, paint)
    if window is None:
        return picture, None
    wanted = [part.colour for part in (paint.stroke, paint.shadow, paint.panel) if part is not None]
    opened = ensure_colour_channels(picture, [*wanted, *([] if paint.knock_out else [paint.colour])])
    alpha = None if opened.alpha is None else opened.alpha[window]
    ground = Backdrop(opened.pixels_in(window), alpha, opened.icc)
    letters = letter_coverage(typefaces, placed, window)
    grown = stroked_coverage(typefaces, placed, window, paint.stroke.width) if paint.stroke else letters
    under = _paint_below(ground, placed, window, paint, letters, grown)
    contrast = _measure_contrast(ground, under, paint, letters, grown, placed)
    channels = opened.channels
    coats = []
    if paint.stroke is not None:
        coats.append(
            ColourFill(colour_in_profile(paint.stroke.colour, ground.icc, channels), paint.stroke.opacity, np.clip(grown - letters, 0, 1))
        )
    if not paint.knock_out:
        coats.append(ColourFill(colour_in_profile(paint.colour, ground.icc, channels), paint.opacity, letters))
    made = composite_fills(under, coats) if coats else under
    if paint.knock_out and paint.panel is None:
        solid = np.ones(letters.shape, np.float32) if made.alpha is None else made.alpha
        made = made._replace(alpha=np.asarray(solid * (1 - letters), np.float32))
    return _put_back(opened, window, ground, made), contrast


def _put_back(picture: Picture, window: Window, before: Backdrop, after: Backdrop) -> Picture:
    """The picture with what was made of the window; a patch of it where the alpha is as it was."""
    same = after.alpha is None or (before.alpha is not None and np.array_equal(after.alpha, before.alpha))
    if same:
        return picture if after.pixels is before.pixels else picture.with_patches([(window, after.pixels)])
    alpha = np.ones((picture.height, picture.width), np.float32) if picture.alpha is None else picture.alpha.copy()
    alpha[window] = after.alpha
    if after.pixels is before.pixels:
        return replace(picture, alpha=freeze(alpha))
    pixels = picture.pixels.copy()
    pixels[window] = after.pixels
    return picture.with_pixels(pixels, alpha)


def _paint_below(ground: Backdrop, placed: PlacedText, window: Window, paint: TextPaint, letters: Mask, stroked: Mask) -> Backdrop:
    """What lies under the letters: the picture with panel and shadow."""
    channels = ground.pixels.shape[2]
    if paint.panel is not None:
        box = _panel_box(placed, paint.panel.padding)
        centre = _letters_centre(placed)
        upright = (centre[0] - box[2] / 2, centre[1] - box[3] / 2, box[2], box[3])
        radius = min(paint.panel.radius, box[2] / 2, box[3] / 2)
        shape = rounded_box_coverage(window, upright, radius, placed.rotate)
        if paint.knock_out:
            shape = np.asarray(np.clip(shape - letters, 0, 1), np.float32)
        ground = composite_fills(
            ground, [ColourFill(colour_in_profile(paint.panel.colour, ground.icc, channels), paint.panel.opacity, shape)]
        )
    if paint.shadow is not None:
        tint = colour_in_profile(paint.shadow.colour, ground.icc, channels)
        cast = blur_coverage(_translate(stroked, *paint.shadow.offset), paint.shadow.sigma)
        ground = composite_shadow(ground, tint, np.clip(cast * np.float32(paint.shadow.opacity), 0, 1))
    return ground


def _measure_contrast(
    ground: Backdrop, under: Backdrop, paint: TextPaint, letters: Mask, stroked: Mask, placed: PlacedText
) -> ContrastMeasure | None:
    """Letters against what lies under and round them; with a stroke against the stroke; a hole in a panel against the panel."""
    channels = ground.pixels.shape[2]
    if paint.knock_out:
        seen = letters > 0.5
        if paint.panel is None or not seen.any():
            return None
        return measure_contrast(colour_in_profile(paint.panel.colour, ground.icc, channels)[None], ground.pixels[seen], ground.icc)
    tint = colour_in_profile(paint.colour, ground.icc, channels)
    where = dilate_coverage(letters, max(1.5, _CONTRAST_MARGIN_EM * placed.size))
    if paint.stroke is not None:
        band = (stroked > 0.5) & (letters < 0.5)
        where = band if band.any() else stroked > 0
    if not where.any():
        return None
    pixels = under.pixels[where]
    if paint.stroke is not None:
        stroke = colour_in_profile(paint.stroke.colour, ground.icc, channels)
        pixels = pixels + (stroke - pixels) * (stroked[where] * np.float32(paint.stroke.opacity))[:, None]
    return measure_contrast(pixels + (tint - pixels) * np.float32(paint.opacity), pixels, ground.icc)


def _painted_window(picture: Picture, placed: PlacedText, paint: TextPaint) -> Window | None:
    """The part of the picture that anything is painted on; None where that is nothing."""
    left, top, width, height = placed.ink_box
    if width <= 0 or height <= 0:
        return None
    margin = [2.0] * 4
    if paint.shadow is not None:
        soft = 4 * paint.shadow.sigma
        across, down = paint.shadow.offset
        margin = [2 + max(0.0, reach) for reach in (soft - across, soft - down, soft + across, soft + down)]
    cols = max(0, math.floor(left - margin[0])), min(picture.width, math.ceil(left + width + margin[2]))
    rows = max(0, math.floor(top - margin[1])), min(picture.height, math.ceil(top + height + margin[3]))
    return (slice(*rows), slice(*cols)) if rows[0] < rows[1] and cols[0] < cols[1] else None


def _panel_box(placed: PlacedText, padding: float) -> Rect:
    """The box round the bare letters before they are turned, px, in the block's own place."""
    left, top, width, height = (value * placed.size for value in placed.block.letters_box)
    return left - padding, top - padding, width + 2 * padding, height + 2 * padding


def _letters_centre(placed: PlacedText) -> tuple[float, float]:
    """Where the middle of the letters comes to lie in the picture, px."""
    left, top, width, height = (value * placed.size for value in placed.block.letters_box)
    x, y = left + width / 2, top + height / 2
    angle = math.radians(placed.rotate)
    cos, sin = math.cos(angle), math.sin(angle)
    return placed.origin[0] + x * cos - y * sin, placed.origin[1] + x * sin + y * cos


def _translate(shape: Mask, across: float, down: float) -> Mask:
    import cv2

    if not across and not down:
        return shape
    matrix: NDArray[np.float32] = np.array([[1, 0, across], [0, 1, down]], np.float32)
    return np.asarray(cv2.warpAffine(shape, matrix, shape.shape[::-1], flags=cv2.INTER_LINEAR), np.float32)
