"""Painting a placed block on a picture: panel, shadow, stroke and letters, or a hole; and its contrast with the background."""

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

# em. Contrast is measured under the letters and this far round them.
_CONTRAST_MARGIN_EM = 0.08


class StrokePaint(NamedTuple):
    """An outline round the letters; the width is in px."""

    width: float
    colour: SrgbColour
    opacity: float


class ShadowPaint(NamedTuple):
    """A shadow: its offset (right, down) and its blur (sigma), in px."""

    offset: tuple[float, float]
    sigma: float
    colour: SrgbColour
    opacity: float


class PanelPaint(NamedTuple):
    """A filled box: its padding round the letters and the radius of its corners, in px."""

    padding: float
    radius: float
    colour: SrgbColour
    opacity: float


class TextPaint(NamedTuple):
    """How the letters are painted; ``knock_out`` cuts them out instead."""

    colour: SrgbColour
    opacity: float
    stroke: StrokePaint | None = None
    shadow: ShadowPaint | None = None
    panel: PanelPaint | None = None
    knock_out: bool = False


def paint_text(
    picture: Picture, typefaces: Sequence[Typeface], placed: PlacedText, paint: TextPaint
) -> tuple[Picture, ContrastMeasure | None]:
    """Return the picture with the block on it, and the contrast of the letters.

    The contrast is None if the letters are a hole in the picture or have no ink. Outside the painted window the picture's pixels are
    shared, not copied. A grey picture becomes RGB if one of the colours is not neutral.
    """
    window = _painted_window(picture, placed, paint)
    if window is None:
        return picture, None
    colours = [part.colour for part in (paint.stroke, paint.shadow, paint.panel) if part is not None]
    canvas = ensure_colour_channels(picture, [*colours, *([] if paint.knock_out else [paint.colour])])
    alpha = None if canvas.alpha is None else canvas.alpha[window]
    backdrop = Backdrop(canvas.pixels_in(window), alpha, canvas.icc)
    letters = letter_coverage(typefaces, placed, window)
    stroked = stroked_coverage(typefaces, placed, window, paint.stroke.width) if paint.stroke else letters
    below = _paint_below(backdrop, placed, window, paint, letters, stroked)
    contrast = _measure_contrast(backdrop, below, paint, letters, stroked, placed)
    channels = canvas.channels
    fills = []
    if paint.stroke is not None:
        fills.append(
            ColourFill(
                colour_in_profile(paint.stroke.colour, backdrop.icc, channels), paint.stroke.opacity, np.clip(stroked - letters, 0, 1)
            )
        )
    if not paint.knock_out:
        fills.append(ColourFill(colour_in_profile(paint.colour, backdrop.icc, channels), paint.opacity, letters))
    result = composite_fills(below, fills) if fills else below
    if paint.knock_out and paint.panel is None:
        opaque = np.ones(letters.shape, np.float32) if result.alpha is None else result.alpha
        result = result._replace(alpha=np.asarray(opaque * (1 - letters), np.float32))
    return _put_back(canvas, window, backdrop, result), contrast


def _put_back(picture: Picture, window: Window, before: Backdrop, after: Backdrop) -> Picture:
    """Return the picture with the painted window; the pixels become a patch if the alpha is unchanged."""
    is_alpha_unchanged = after.alpha is None or (before.alpha is not None and np.array_equal(after.alpha, before.alpha))
    if is_alpha_unchanged:
        return picture if after.pixels is before.pixels else picture.with_patches([(window, after.pixels)])
    alpha = np.ones((picture.height, picture.width), np.float32) if picture.alpha is None else picture.alpha.copy()
    alpha[window] = after.alpha
    if after.pixels is before.pixels:
        return replace(picture, alpha=freeze(alpha))
    pixels = picture.pixels.copy()
    pixels[window] = after.pixels
    return picture.with_pixels(pixels, alpha)


def _paint_below(ground: Backdrop, placed: PlacedText, window: Window, paint: TextPaint, letters: Mask, stroked: Mask) -> Backdrop:
    """Return the backdrop of the letters: the window with panel and shadow."""
    channels = ground.pixels.shape[2]
    if paint.panel is not None:
        box = _panel_box(placed, paint.panel.padding)
        centre = _letters_centre(placed)
        panel = (centre[0] - box[2] / 2, centre[1] - box[3] / 2, box[2], box[3])
        radius = min(paint.panel.radius, box[2] / 2, box[3] / 2)
        shape = rounded_box_coverage(window, panel, radius, placed.rotate)
        if paint.knock_out:
            shape = np.asarray(np.clip(shape - letters, 0, 1), np.float32)
        ground = composite_fills(
            ground, [ColourFill(colour_in_profile(paint.panel.colour, ground.icc, channels), paint.panel.opacity, shape)]
        )
    if paint.shadow is not None:
        shadow_colour = colour_in_profile(paint.shadow.colour, ground.icc, channels)
        blurred = blur_coverage(_translate(stroked, *paint.shadow.offset), paint.shadow.sigma)
        ground = composite_shadow(ground, shadow_colour, np.clip(blurred * np.float32(paint.shadow.opacity), 0, 1))
    return ground


def _measure_contrast(
    ground: Backdrop, below: Backdrop, paint: TextPaint, letters: Mask, stroked: Mask, placed: PlacedText
) -> ContrastMeasure | None:
    """Return the contrast of the letters with the pixels under and round them.

    With a stroke it is the contrast with the stroke; for a hole in a panel, the contrast of picture and panel.
    """
    channels = ground.pixels.shape[2]
    if paint.knock_out:
        is_hole = letters > 0.5
        if paint.panel is None or not is_hole.any():
            return None
        return measure_contrast(colour_in_profile(paint.panel.colour, ground.icc, channels)[None], ground.pixels[is_hole], ground.icc)
    text_colour = colour_in_profile(paint.colour, ground.icc, channels)
    is_near = dilate_coverage(letters, max(1.5, _CONTRAST_MARGIN_EM * placed.size))
    if paint.stroke is not None:
        is_stroke = (stroked > 0.5) & (letters < 0.5)
        is_near = is_stroke if is_stroke.any() else stroked > 0
    if not is_near.any():
        return None
    pixels = below.pixels[is_near]
    if paint.stroke is not None:
        stroke = colour_in_profile(paint.stroke.colour, ground.icc, channels)
        pixels = pixels + (stroke - pixels) * (stroked[is_near] * np.float32(paint.stroke.opacity))[:, None]
    return measure_contrast(pixels + (text_colour - pixels) * np.float32(paint.opacity), pixels, ground.icc)


def _painted_window(picture: Picture, placed: PlacedText, paint: TextPaint) -> Window | None:
    """Return the part of the picture that is painted on, or None if nothing is."""
    left, top, width, height = placed.ink_box
    if width <= 0 or height <= 0:
        return None
    margin = [2.0] * 4
    if paint.shadow is not None:
        blur_reach = 4 * paint.shadow.sigma
        across, down = paint.shadow.offset
        margin = [2 + max(0.0, reach) for reach in (blur_reach - across, blur_reach - down, blur_reach + across, blur_reach + down)]
    cols = max(0, math.floor(left - margin[0])), min(picture.width, math.ceil(left + width + margin[2]))
    rows = max(0, math.floor(top - margin[1])), min(picture.height, math.ceil(top + height + margin[3]))
    return (slice(*rows), slice(*cols)) if rows[0] < rows[1] and cols[0] < cols[1] else None


def _panel_box(placed: PlacedText, padding: float) -> Rect:
    """Return the box round the letters before rotation, in px from the block's origin."""
    left, top, width, height = (value * placed.size for value in placed.block.letters_box)
    return left - padding, top - padding, width + 2 * padding, height + 2 * padding


def _letters_centre(placed: PlacedText) -> tuple[float, float]:
    """Return the centre of the letters in the picture, in px."""
    left, top, width, height = (value * placed.size for value in placed.block.letters_box)
    x, y = left + width / 2, top + height / 2
    angle = math.radians(placed.rotate)
    cos, sin = math.cos(angle), math.sin(angle)
    return placed.origin[0] + x * cos - y * sin, placed.origin[1] + x * sin + y * cos


def _translate(shape: Mask, across: float, down: float) -> Mask:
    """Return the coverage (h, w), 0..1, moved by ``across`` px to the right and ``down`` px."""
    import cv2

    if not across and not down:
        return shape
    matrix: NDArray[np.float32] = np.array([[1, 0, across], [0, 1, down]], np.float32)
    return np.asarray(cv2.warpAffine(shape, matrix, shape.shape[::-1], flags=cv2.INTER_LINEAR), np.float32)
