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
    soft_box_coverage,
)
from goldsmith.ops.text.font import Typeface
from goldsmith.ops.text.layout import PlacedText, Rect
from goldsmith.ops.text.named_colours import SrgbColour, colour_in_profile, ensure_colour_channels
from goldsmith.ops.text.rasterising import letter_coverage, stroked_coverage
from goldsmith.ops.text.wcag_contrast import ContrastMeasure, dilate_coverage, measure_contrast, relative_luminance, sample_mask
from goldsmith.picture.picture import Mask, Picture, Window, freeze

WHITE: SrgbColour = (255, 255, 255)
BLACK: SrgbColour = (0, 0, 0)
# WCAG 2.2's minimum for text of any size.
GOOD_CONTRAST = 4.5
# The opacity of a scrim is a multiple of 1 / this.
_SCRIM_STEPS = 50
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


class ScrimPaint(NamedTuple):
    """A soft veil behind the letters: the room round them and the width of its fading, in px.

    ``colour``: None = black under light letters, white under dark ones. ``opacity``: None = the least that gives the contrast wanted.
    """

    padding: float
    softness: float
    colour: SrgbColour | None
    opacity: float | None


class TextPaint(NamedTuple):
    """How the letters are painted; ``knock_out`` cuts them out instead.

    ``colour``: None = white if it has the ``target_contrast``, a WCAG ratio, else the better of white and black.
    """

    colour: SrgbColour | None
    opacity: float
    stroke: StrokePaint | None = None
    shadow: ShadowPaint | None = None
    panel: PanelPaint | None = None
    scrim: ScrimPaint | None = None
    knock_out: bool = False
    target_contrast: float = GOOD_CONTRAST


class Lettering(NamedTuple):
    """The picture with the text; its contrast, None if the letters are a hole in the picture or have no ink; and what was chosen.

    ``scrim_opacity``: 0 without a scrim.
    """

    picture: Picture
    contrast: ContrastMeasure | None
    colour: SrgbColour
    scrim_opacity: float = 0.0


class _Shapes(NamedTuple):
    """A painted window: the coverage of the letters and of the letters with their stroke, (h, w), 0..1."""

    window: Window
    placed: PlacedText
    letters: Mask
    stroked: Mask


class _Trial(NamedTuple):
    """A colour of the letters, the colour and opacity of the scrim, and the contrast that they give."""

    colour: SrgbColour
    contrast: ContrastMeasure | None
    scrim_colour: SrgbColour = BLACK
    scrim_opacity: float = 0.0


def paint_text(picture: Picture, typefaces: Sequence[Typeface], placed: PlacedText, paint: TextPaint) -> Lettering:
    """Return the picture with the block on it, and the contrast of the letters.

    Outside the painted window the picture's pixels are shared, not copied. A grey picture becomes RGB if one of the colours is not neutral.
    """
    window = _painted_window(picture, placed, paint)
    if window is None:
        return Lettering(picture, None, paint.colour or WHITE)
    parts = (paint.stroke, paint.shadow, paint.panel, paint.scrim)
    colours = [part.colour for part in parts if part is not None and part.colour is not None]
    canvas = ensure_colour_channels(picture, [*colours, *([] if paint.knock_out or paint.colour is None else [paint.colour])])
    alpha = None if canvas.alpha is None else canvas.alpha[window]
    backdrop = Backdrop(canvas.pixels_in(window), alpha, canvas.icc)
    letters = letter_coverage(typefaces, placed, window)
    stroked = stroked_coverage(typefaces, placed, window, paint.stroke.width) if paint.stroke else letters
    shapes = _Shapes(window, placed, letters, stroked)
    chosen = _choose_paint(backdrop, paint, shapes)
    result = _paint_letters(_paint_below(backdrop, paint, shapes, chosen.scrim_opacity, chosen.scrim_colour), chosen.colour, paint, shapes)
    if paint.knock_out and paint.panel is None:
        opaque = np.ones(letters.shape, np.float32) if result.alpha is None else result.alpha
        result = result._replace(alpha=np.asarray(opaque * (1 - letters), np.float32))
    return Lettering(_put_back(canvas, window, backdrop, result), chosen.contrast, chosen.colour, chosen.scrim_opacity)


def _paint_letters(below: Backdrop, colour: SrgbColour, paint: TextPaint, shapes: _Shapes) -> Backdrop:
    """Return the backdrop with stroke and letters."""
    channels, fills = below.pixels.shape[2], []
    if paint.stroke is not None:
        stroke_colour = colour_in_profile(paint.stroke.colour, below.icc, channels)
        fills.append(ColourFill(stroke_colour, paint.stroke.opacity, np.clip(shapes.stroked - shapes.letters, 0, 1)))
    if not paint.knock_out:
        fills.append(ColourFill(colour_in_profile(colour, below.icc, channels), paint.opacity, shapes.letters))
    return composite_fills(below, fills) if fills else below


def _choose_paint(backdrop: Backdrop, paint: TextPaint, shapes: _Shapes) -> _Trial:
    """Return the colour of the letters and the opacity of the scrim.

    Of the colours that are allowed, the first that reaches a good contrast counts, else the one with the highest. With a scrim it is the
    colour whose scrim changes the picture least.
    """
    trials = [_try_colour(backdrop, paint, shapes, colour) for colour in ((WHITE, BLACK) if paint.colour is None else (paint.colour,))]
    measured = [(trial.contrast.worst, trial) for trial in trials if trial.contrast is not None]
    if len(measured) < 2:
        return trials[0]
    good = [trial for worst, trial in measured if worst >= paint.target_contrast]
    if good:
        return min(good, key=lambda trial: _scrim_visibility(backdrop, paint, shapes, trial))
    return max(measured, key=lambda pair: pair[0])[1]


def _scrim_visibility(backdrop: Backdrop, paint: TextPaint, shapes: _Shapes, trial: _Trial) -> float:
    """Return the mean change that the scrim makes to the backdrop, 0..1, display-encoded; 0 without one.

    The opacity does not tell it: a faint white veil on black water is seen at once, and a dense black one is not.
    """
    if trial.scrim_opacity == 0:
        return 0.0
    bare, veiled = (_paint_below(backdrop, paint, shapes, opacity, trial.scrim_colour).pixels for opacity in (0.0, trial.scrim_opacity))
    return float(np.abs(veiled - bare).mean(dtype=np.float64))


def _try_colour(backdrop: Backdrop, paint: TextPaint, shapes: _Shapes, colour: SrgbColour) -> _Trial:
    """Return the letters in that colour, with the scrim as weak as its setting allows."""

    def at_opacity(opacity: float, scrim_colour: SrgbColour = BLACK) -> _Trial:
        below = _paint_below(backdrop, paint, shapes, opacity, scrim_colour)
        return _Trial(colour, _measure_contrast(backdrop, below, paint, colour, shapes), scrim_colour, opacity)

    if paint.scrim is None:
        return at_opacity(0.0)
    scrim_colour = paint.scrim.colour or (BLACK if _is_light(colour) else WHITE)
    if paint.scrim.opacity is not None:
        return at_opacity(paint.scrim.opacity, scrim_colour)
    low, high, weakest = -1, _SCRIM_STEPS, at_opacity(1.0, scrim_colour)
    if not _reaches_target(weakest, paint):
        return weakest
    while high - low > 1:
        middle = (low + high) // 2
        trial = at_opacity(middle / _SCRIM_STEPS, scrim_colour)
        low, high, weakest = (low, middle, trial) if _reaches_target(trial, paint) else (middle, high, weakest)
    return weakest


def _reaches_target(trial: _Trial, paint: TextPaint) -> bool:
    return trial.contrast is None or trial.contrast.worst >= paint.target_contrast


def luminance_of(rgb: SrgbColour) -> float:
    """Return WCAG's relative luminance of an sRGB colour, 0..1."""
    return float(relative_luminance(colour_in_profile(rgb, None, 3)[None], None)[0])


def _is_light(rgb: SrgbColour) -> bool:
    """Return whether black gives more contrast with the colour than white."""
    light = luminance_of(rgb)
    return (light + 0.05) / 0.05 > 1.05 / (light + 0.05)


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


def _paint_below(ground: Backdrop, paint: TextPaint, shapes: _Shapes, scrim_opacity: float, scrim_colour: SrgbColour) -> Backdrop:
    """Return the backdrop of the letters: the window with scrim, panel and shadow."""
    channels, placed = ground.pixels.shape[2], shapes.placed
    if paint.scrim is not None and scrim_opacity > 0:
        shape = soft_box_coverage(shapes.window, _box_in_picture(placed, paint.scrim.padding), paint.scrim.softness, placed.rotate)
        shape *= np.float32(scrim_opacity)
        ground = composite_shadow(ground, colour_in_profile(scrim_colour, ground.icc, channels), shape)
    if paint.panel is not None:
        panel = _box_in_picture(placed, paint.panel.padding)
        radius = min(paint.panel.radius, panel[2] / 2, panel[3] / 2)
        shape = rounded_box_coverage(shapes.window, panel, radius, placed.rotate)
        if paint.knock_out:
            shape = np.asarray(np.clip(shape - shapes.letters, 0, 1), np.float32)
        ground = composite_fills(
            ground, [ColourFill(colour_in_profile(paint.panel.colour, ground.icc, channels), paint.panel.opacity, shape)]
        )
    if paint.shadow is not None:
        shadow_colour = colour_in_profile(paint.shadow.colour, ground.icc, channels)
        blurred = blur_coverage(_translate(shapes.stroked, *paint.shadow.offset), paint.shadow.sigma)
        ground = composite_shadow(ground, shadow_colour, np.clip(blurred * np.float32(paint.shadow.opacity), 0, 1))
    return ground


def _measure_contrast(
    ground: Backdrop, below: Backdrop, paint: TextPaint, letters_colour: SrgbColour, shapes: _Shapes
) -> ContrastMeasure | None:
    """Return the contrast of the letters with the pixels under and round them.

    With a stroke it is the contrast with the stroke; for a hole in a panel, the contrast of picture and panel.
    """
    channels, (_, placed, letters, stroked) = ground.pixels.shape[2], shapes
    if paint.knock_out:
        is_hole = letters > 0.5
        if paint.panel is None or not is_hole.any():
            return None
        return measure_contrast(colour_in_profile(paint.panel.colour, ground.icc, channels)[None], ground.pixels[is_hole], ground.icc)
    text_colour = colour_in_profile(letters_colour, ground.icc, channels)
    is_near = dilate_coverage(letters, max(1.5, _CONTRAST_MARGIN_EM * placed.size))
    if paint.stroke is not None:
        is_stroke = (stroked > 0.5) & (letters < 0.5)
        is_near = is_stroke if is_stroke.any() else stroked > 0
    if not is_near.any():
        return None
    is_near = sample_mask(is_near)
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
    if paint.scrim is not None:
        margin = [max(side, 2 + paint.scrim.padding + paint.scrim.softness) for side in margin]
    cols = max(0, math.floor(left - margin[0])), min(picture.width, math.ceil(left + width + margin[2]))
    rows = max(0, math.floor(top - margin[1])), min(picture.height, math.ceil(top + height + margin[3]))
    return (slice(*rows), slice(*cols)) if rows[0] < rows[1] and cols[0] < cols[1] else None


def _box_in_picture(placed: PlacedText, padding: float) -> Rect:
    """Return the box round the letters before it is turned about its centre, with ``padding`` px round it, in px of the picture."""
    _, _, width, height = (value * placed.size for value in placed.block.letters_box)
    x, y = _letters_centre(placed)
    return x - width / 2 - padding, y - height / 2 - padding, width + 2 * padding, height + 2 * padding


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
