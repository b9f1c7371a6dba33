"""Flat colour composited over pixels through coverage. Edges mix in linear light, translucency in display values, as in design programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture import colour
from goldsmith.picture.picture import Mask, Pixels

# px. A blur wider than this is computed on a smaller copy: no detail of the pixels is left in it.
_MAX_FULL_SIZE_SIGMA = 6.0
# Pixels processed at a time.
_SLAB = 1 << 18

# One colour, (c,), display-encoded in the picture's profile.
PixelColour = NDArray[np.float32]


class Backdrop(NamedTuple):
    """The pixels to paint on: (h, w, c) with their straight alpha (h, w) or None, both 0..1, and the ICC profile."""

    pixels: Pixels
    alpha: Mask | None
    icc: bytes | None


class ColourFill(NamedTuple):
    """One colour, its opacity (0..1), and how much of each pixel it covers, (h, w) 0..1."""

    colour: PixelColour
    opacity: float
    coverage: Mask


def composite_fills(backdrop: Backdrop, fills: Sequence[ColourFill]) -> Backdrop:
    """Return the backdrop under fills that lie beside each other, not over each other: their coverages (h, w) add up to at most 1.

    Pixels are display-encoded in the backdrop's profile, 0..1. A pixel without coverage is copied. A pixel that an opaque fill covers
    wholly has exactly the fill's colour.
    """
    total_coverage = np.sum([fill.coverage for fill in fills], axis=0)
    is_partly_covered = total_coverage > 0
    if not is_partly_covered.any():
        return backdrop
    pixels = backdrop.pixels.copy()
    alpha = None if backdrop.alpha is None else backdrop.alpha.copy()
    for fill in fills:
        if fill.opacity >= 1:
            is_solid = fill.coverage >= 1
            pixels[is_solid] = fill.colour
            is_partly_covered &= ~is_solid
            if alpha is not None:
                alpha[is_solid] = 1
    if is_partly_covered.any():
        partial_fills = [fill._replace(coverage=fill.coverage[is_partly_covered]) for fill in fills]
        backdrop_alpha = np.ones(1, np.float32) if backdrop.alpha is None else backdrop.alpha[is_partly_covered]
        pixels[is_partly_covered], mixed_alpha = _composite_pixels(
            backdrop.pixels[is_partly_covered], backdrop_alpha, partial_fills, total_coverage[is_partly_covered], backdrop.icc
        )
        if alpha is not None:
            alpha[is_partly_covered] = mixed_alpha
    return Backdrop(pixels, alpha, backdrop.icc)


def _composite_pixels(
    backdrop: Pixels, alpha: Mask, fills: Sequence[ColourFill], total_coverage: Mask, icc: bytes | None
) -> tuple[Pixels, Mask]:
    """Return pixels (n, c) with alpha (n,) under fills of coverage (n,), and their new alpha (n,); all 0..1."""
    weights = [np.clip(1 - total_coverage, 0, 1) * alpha]
    parts = [backdrop]
    for fill in fills:
        opacity = np.broadcast_to(fill.opacity + alpha * (1 - fill.opacity), total_coverage.shape)
        share = np.divide(np.float32(fill.opacity), opacity, out=np.zeros(total_coverage.shape, np.float32), where=opacity > 0)[:, None]
        parts.append(backdrop + (fill.colour - backdrop) * share)
        weights.append(np.asarray(fill.coverage * opacity, np.float32))
    return _mix_in_linear_light(parts, weights, icc), np.asarray(np.clip(np.sum(weights, axis=0), 0, 1), np.float32)


def composite_shadow(backdrop: Backdrop, shadow_colour: PixelColour, shadow: Mask) -> Backdrop:
    """Return the backdrop under a soft shadow of one colour, coverage (h, w) 0..1, mixed in display values."""
    if not shadow.any():
        return backdrop
    alpha = backdrop.alpha
    share = shadow
    if alpha is not None:
        alpha = np.asarray(np.clip(shadow + alpha * (1 - shadow), 0, 1), np.float32)
        share = np.divide(shadow, alpha, out=np.zeros_like(shadow), where=alpha > 0)
    pixels = backdrop.pixels.copy()
    rows = max(1, _SLAB // max(1, shadow.shape[1]))
    for top in range(0, len(shadow), rows):
        slab = pixels[top : top + rows]
        slab += (shadow_colour - slab) * share[top : top + rows, :, None]
    return Backdrop(np.clip(pixels, 0, 1, out=pixels), alpha, backdrop.icc)


def rounded_box_coverage(
    window: tuple[slice, slice], box: tuple[float, float, float, float], radius: float, rotation_degrees: float
) -> Mask:
    """Return the coverage (h, w), 0..1, of a box with round corners in a window of the picture.

    ``box`` is (left, top, width, height) in px; the box is turned clockwise about its centre.
    """
    return np.asarray(np.clip(0.5 - _distance_to_box(window, box, radius, rotation_degrees), 0, 1), np.float32)


def soft_box_coverage(
    window: tuple[slice, slice], box: tuple[float, float, float, float], softness: float, rotation_degrees: float
) -> Mask:
    """Return the coverage (h, w), 0..1, of a box that fades out over ``softness`` px: 1 inside, 0 from that distance on.

    ``box`` is (left, top, width, height) in px; it is turned clockwise about its centre. The slope has no edge at either end (smoothstep).
    """
    rows, columns = window
    coverage = np.empty((rows.stop - rows.start, columns.stop - columns.start), np.float32)
    step = max(1, _SLAB // max(1, coverage.shape[1]))
    for top in range(rows.start, rows.stop, step):
        slab = slice(top, min(rows.stop, top + step))
        distance = _distance_to_box((slab, columns), box, 0.0, rotation_degrees)
        share = np.clip(1 - distance / np.float32(max(softness, 1e-3)), 0, 1)
        coverage[slab.start - rows.start : slab.stop - rows.start] = share * share * (3 - 2 * share)
    return coverage


def _distance_to_box(
    window: tuple[slice, slice], box: tuple[float, float, float, float], radius: float, rotation_degrees: float
) -> NDArray[np.float32]:
    """Return the distance (h, w) of each pixel's centre to the outline of the rounded box, in px, negative inside it."""
    rows, cols = window
    left, top, width, height = box
    angle = math.radians(rotation_degrees)
    y, x = np.ogrid[rows, cols]
    dx, dy = (x + 0.5 - left - width / 2).astype(np.float32), (y + 0.5 - top - height / 2).astype(np.float32)
    across = np.abs(dx * math.cos(angle) + dy * math.sin(angle)) - np.float32(width / 2 - radius)
    down = np.abs(dy * math.cos(angle) - dx * math.sin(angle)) - np.float32(height / 2 - radius)
    outside = np.hypot(np.maximum(across, 0), np.maximum(down, 0))
    return np.asarray(outside + np.minimum(np.maximum(across, down), 0) - np.float32(radius), np.float32)


def blur_coverage(coverage: Mask, sigma: float) -> Mask:
    """Return the coverage (h, w), 0..1, after a Gaussian blur of ``sigma`` px; outside the array it is 0. Sigma 0 returns the array itself.

    A wide blur is computed on a smaller copy.
    """
    import cv2

    if sigma <= 0:
        return coverage
    scale = max(1, int(sigma / _MAX_FULL_SIZE_SIGMA))
    height, width = coverage.shape
    padded = cv2.copyMakeBorder(coverage, 0, -height % scale, 0, -width % scale, cv2.BORDER_CONSTANT, value=0)
    if scale > 1:
        padded = cv2.resize(padded, (padded.shape[1] // scale, padded.shape[0] // scale), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(padded, (0, 0), sigma / scale, borderType=cv2.BORDER_CONSTANT)
    if scale > 1:
        blurred = cv2.resize(blurred, (blurred.shape[1] * scale, blurred.shape[0] * scale), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(blurred[:height, :width], 0, 1), np.float32)


def _mix_in_linear_light(parts: Sequence[Pixels], weights: Sequence[Mask], icc: bytes | None) -> Pixels:
    """Return the parts (n, c), 0..1, mixed by their weights (n,) in linear light. A pixel with one part only is copied bit for bit."""
    total = np.sum(weights, axis=0)
    mixed = parts[0].copy()
    for part, weight in zip(parts, weights, strict=True):
        is_only_part = (weight > 0) & (weight >= total)
        mixed[is_only_part] = part[is_only_part]
    is_mixed = np.count_nonzero(np.stack(weights) > 0, axis=0) > 1
    if is_mixed.any():
        light = np.zeros((int(is_mixed.sum()), parts[0].shape[1]), np.float32)
        for part, weight in zip(parts, weights, strict=True):
            light += colour.to_linear(part[is_mixed][None], icc)[0] * (weight[is_mixed] / total[is_mixed])[:, None]
        mixed[is_mixed] = np.clip(colour.from_linear(light[None], icc)[0], 0, 1)
    return np.clip(mixed, 0, 1)
