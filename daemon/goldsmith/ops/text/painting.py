"""A placed block painted on a plate: panel, shadow, stroke and letters, or a hole; and its contrast with what lies behind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.text.colours import Rgb, in_profile, room_for
from goldsmith.ops.text.contrast import Contrast, around, measured
from goldsmith.ops.text.coverage import covered, rimmed
from goldsmith.ops.text.flat_colour import (
    Coat,
    Ground,
    blurred,
    laid,
    rounded_box,
    shaded,
)
from goldsmith.ops.text.font import Typeface
from goldsmith.ops.text.layout import Box, Placed
from goldsmith.picture.picture import Mask, Plate, Window, frozen

_ROUND = 0.08
"""Contrast is measured under the letters and so many em round them."""


class Rim(NamedTuple):
    """A line round the letters, px wide."""

    width: float
    colour: Rgb
    opacity: float


class Shade(NamedTuple):
    """A shadow: how far it falls (right, down) and how soft it is (sigma), px."""

    offset: tuple[float, float]
    sigma: float
    colour: Rgb
    opacity: float


class Backing(NamedTuple):
    """A filled box: its room round the letters and the radius of its corners, px."""

    padding: float
    radius: float
    colour: Rgb
    opacity: float


class Inks(NamedTuple):
    """What the letters are painted with; ``hole``: they are cut out instead."""

    colour: Rgb
    opacity: float
    rim: Rim | None = None
    shade: Shade | None = None
    backing: Backing | None = None
    hole: bool = False


def painted(plate: Plate, faces: Sequence[Typeface], placed: Placed, inks: Inks) -> tuple[Plate, Contrast | None]:
    """The plate with the block on it, and how the letters stand out; None where they are a hole in the picture or have no ink.

    Outside the reach of what is painted every pixel is the very same memory. A grey plate takes colour where one is asked for.
    """
    window = _window(plate, placed, inks)
    if window is None:
        return plate, None
    wanted = [part.colour for part in (inks.rim, inks.shade, inks.backing) if part is not None]
    opened = room_for(plate, [*wanted, *([] if inks.hole else [inks.colour])])
    alpha = None if opened.alpha is None else opened.alpha[window]
    ground = Ground(opened.window(window), alpha, opened.icc)
    letters = covered(faces, placed, window)
    grown = rimmed(faces, placed, window, inks.rim.width) if inks.rim else letters
    under = _below(ground, placed, window, inks, letters, grown)
    contrast = _contrast(ground, under, inks, letters, grown, placed)
    channels = opened.channels
    coats = []
    if inks.rim is not None:
        coats.append(Coat(in_profile(inks.rim.colour, ground.icc, channels), inks.rim.opacity, np.clip(grown - letters, 0, 1)))
    if not inks.hole:
        coats.append(Coat(in_profile(inks.colour, ground.icc, channels), inks.opacity, letters))
    made = laid(under, coats) if coats else under
    if inks.hole and inks.backing is None:
        solid = np.ones(letters.shape, np.float32) if made.alpha is None else made.alpha
        made = made._replace(alpha=np.asarray(solid * (1 - letters), np.float32))
    return _put(opened, window, ground, made), contrast


def _put(plate: Plate, window: Window, before: Ground, after: Ground) -> Plate:
    """The plate with what was made of the window; a patch of it where the alpha is as it was."""
    same = after.alpha is None or (before.alpha is not None and np.array_equal(after.alpha, before.alpha))
    if same:
        return plate if after.pixels is before.pixels else plate.patched([(window, after.pixels)])
    alpha = np.ones((plate.height, plate.width), np.float32) if plate.alpha is None else plate.alpha.copy()
    alpha[window] = after.alpha
    if after.pixels is before.pixels:
        return replace(plate, alpha=frozen(alpha))
    pixels = plate.pixels.copy()
    pixels[window] = after.pixels
    return plate.with_pixels(pixels, alpha)


def _below(ground: Ground, placed: Placed, window: Window, inks: Inks, letters: Mask, grown: Mask) -> Ground:
    """What lies under the letters: the picture with panel and shadow."""
    channels = ground.pixels.shape[2]
    if inks.backing is not None:
        box = _around_block(placed, inks.backing.padding)
        centre = _centre(placed)
        upright = (centre[0] - box[2] / 2, centre[1] - box[3] / 2, box[2], box[3])
        radius = min(inks.backing.radius, box[2] / 2, box[3] / 2)
        shape = rounded_box(window, upright, radius, placed.rotate)
        if inks.hole:
            shape = np.asarray(np.clip(shape - letters, 0, 1), np.float32)
        ground = laid(ground, [Coat(in_profile(inks.backing.colour, ground.icc, channels), inks.backing.opacity, shape)])
    if inks.shade is not None:
        tint = in_profile(inks.shade.colour, ground.icc, channels)
        cast = blurred(_moved(grown, *inks.shade.offset), inks.shade.sigma)
        ground = shaded(ground, tint, np.clip(cast * np.float32(inks.shade.opacity), 0, 1))
    return ground


def _contrast(ground: Ground, under: Ground, inks: Inks, letters: Mask, grown: Mask, placed: Placed) -> Contrast | None:
    """Letters against what lies under and round them; with a stroke against the stroke; a hole in a panel against the panel."""
    channels = ground.pixels.shape[2]
    if inks.hole:
        seen = letters > 0.5
        if inks.backing is None or not seen.any():
            return None
        return measured(in_profile(inks.backing.colour, ground.icc, channels)[None], ground.pixels[seen], ground.icc)
    tint = in_profile(inks.colour, ground.icc, channels)
    where = around(letters, max(1.5, _ROUND * placed.size))
    if inks.rim is not None:
        band = (grown > 0.5) & (letters < 0.5)
        where = band if band.any() else grown > 0
    if not where.any():
        return None
    pixels = under.pixels[where]
    if inks.rim is not None:
        stroke = in_profile(inks.rim.colour, ground.icc, channels)
        pixels = pixels + (stroke - pixels) * (grown[where] * np.float32(inks.rim.opacity))[:, None]
    return measured(pixels + (tint - pixels) * np.float32(inks.opacity), pixels, ground.icc)


def _window(plate: Plate, placed: Placed, inks: Inks) -> Window | None:
    """The part of the picture that anything is painted on; None where that is nothing."""
    left, top, width, height = placed.ink
    if width <= 0 or height <= 0:
        return None
    margin = [2.0] * 4
    if inks.shade is not None:
        soft = 4 * inks.shade.sigma
        across, down = inks.shade.offset
        margin = [2 + max(0.0, reach) for reach in (soft - across, soft - down, soft + across, soft + down)]
    cols = max(0, math.floor(left - margin[0])), min(plate.width, math.ceil(left + width + margin[2]))
    rows = max(0, math.floor(top - margin[1])), min(plate.height, math.ceil(top + height + margin[3]))
    return (slice(*rows), slice(*cols)) if rows[0] < rows[1] and cols[0] < cols[1] else None


def _around_block(placed: Placed, padding: float) -> Box:
    """The box round the bare letters before they are turned, px, in the block's own place."""
    left, top, width, height = (value * placed.size for value in placed.block.bare)
    return left - padding, top - padding, width + 2 * padding, height + 2 * padding


def _centre(placed: Placed) -> tuple[float, float]:
    """Where the middle of the letters comes to lie in the picture, px."""
    left, top, width, height = (value * placed.size for value in placed.block.bare)
    x, y = left + width / 2, top + height / 2
    angle = math.radians(placed.rotate)
    cos, sin = math.cos(angle), math.sin(angle)
    return placed.origin[0] + x * cos - y * sin, placed.origin[1] + x * sin + y * cos


def _moved(shape: Mask, across: float, down: float) -> Mask:
    import cv2

    if not across and not down:
        return shape
    matrix: NDArray[np.float32] = np.array([[1, 0, across], [0, 1, down]], np.float32)
    return np.asarray(cv2.warpAffine(shape, matrix, shape.shape[::-1], flags=cv2.INTER_LINEAR), np.float32)
