"""Flat colour laid over pixels through coverage: edges mix in linear light, translucency in display values as design programs do it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture import colour
from goldsmith.picture.picture import Mask, Pixels

# px: a blur this wide shows nothing of the pixels that it was made of.
_MAX_FULL_SIZE_SIGMA = 6.0
# Pixels worked on at once.
_SLAB = 1 << 18

# One colour, (c,), display-encoded in the picture's profile.
PixelColour = NDArray[np.float32]


class Backdrop(NamedTuple):
    """What is painted on: pixels (h, w, c), their straight alpha (h, w) or None, and the profile."""

    pixels: Pixels
    alpha: Mask | None
    icc: bytes | None


class ColourFill(NamedTuple):
    """One colour, how opaque it is (0..1), and how much of each pixel it covers (h, w)."""

    colour: PixelColour
    opacity: float
    coverage: Mask


def composite_fills(backdrop: Backdrop, fills: Sequence[ColourFill]) -> Backdrop:
    """The ground with coats that lie beside each other, not over: their coverages add up to no more than 1.

    A pixel that none covers is copied. One that a coat covers wholly and opaquely has exactly its colour.
    """
    whole = np.sum([coat.coverage for coat in fills], axis=0)
    touched = whole > 0
    if not touched.any():
        return backdrop
    pixels = backdrop.pixels.copy()
    opacity = None if backdrop.alpha is None else backdrop.alpha.copy()
    for coat in fills:
        if coat.opacity >= 1:
            solid = coat.coverage >= 1
            pixels[solid] = coat.colour
            touched &= ~solid
            if opacity is not None:
                opacity[solid] = 1
    if touched.any():
        rest = [coat._replace(coverage=coat.coverage[touched]) for coat in fills]
        bare = np.ones(1, np.float32) if backdrop.alpha is None else backdrop.alpha[touched]
        pixels[touched], weight = _composite_pixels(backdrop.pixels[touched], bare, rest, whole[touched], backdrop.icc)
        if opacity is not None:
            opacity[touched] = weight
    return Backdrop(pixels, opacity, backdrop.icc)


def _composite_pixels(
    backdrop: Pixels, alpha: Mask, fills: Sequence[ColourFill], total_coverage: Mask, icc: bytes | None
) -> tuple[Pixels, Mask]:
    """Pixels (n, c) with their alpha (n,) under coats whose coverage is (n,): what they become, and their new alpha."""
    weights = [np.clip(1 - total_coverage, 0, 1) * alpha]
    parts = [backdrop]
    for coat in fills:
        opaque = np.broadcast_to(coat.opacity + alpha * (1 - coat.opacity), total_coverage.shape)
        share = np.divide(np.float32(coat.opacity), opaque, out=np.zeros(total_coverage.shape, np.float32), where=opaque > 0)[:, None]
        parts.append(backdrop + (coat.colour - backdrop) * share)
        weights.append(np.asarray(coat.coverage * opaque, np.float32))
    return _mix_in_linear_light(parts, weights, icc), np.asarray(np.clip(np.sum(weights, axis=0), 0, 1), np.float32)


def composite_shadow(backdrop: Backdrop, shadow_colour: PixelColour, shadow: Mask) -> Backdrop:
    """The ground with a soft shade (h, w, 0..1) of one colour on it, mixed in display values."""
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
    """Coverage of a box (left, top, width, height, px) with round corners in a window, turned clockwise about its centre by degrees."""
    rows, cols = window
    left, top, width, height = box
    angle = math.radians(rotation_degrees)
    y, x = np.ogrid[rows, cols]
    dx, dy = (x + 0.5 - left - width / 2).astype(np.float32), (y + 0.5 - top - height / 2).astype(np.float32)
    across = np.abs(dx * math.cos(angle) + dy * math.sin(angle)) - np.float32(width / 2 - radius)
    down = np.abs(dy * math.cos(angle) - dx * math.sin(angle)) - np.float32(height / 2 - radius)
    away = np.hypot(np.maximum(across, 0), np.maximum(down, 0)) + np.minimum(np.maximum(across, down), 0) - np.float32(radius)
    return np.asarray(np.clip(0.5 - away, 0, 1), np.float32)


def blur_coverage(coverage: Mask, sigma: float) -> Mask:
    """The shape out of focus, Gaussian of ``sigma`` px, nothing beyond its border; the shape itself for 0. A wide blur works small."""
    import cv2

    if sigma <= 0:
        return coverage
    smaller = max(1, int(sigma / _MAX_FULL_SIZE_SIGMA))
    height, width = coverage.shape
    padded = cv2.copyMakeBorder(coverage, 0, -height % smaller, 0, -width % smaller, cv2.BORDER_CONSTANT, value=0)
    if smaller > 1:
        padded = cv2.resize(padded, (padded.shape[1] // smaller, padded.shape[0] // smaller), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(padded, (0, 0), sigma / smaller, borderType=cv2.BORDER_CONSTANT)
    if smaller > 1:
        soft = cv2.resize(soft, (soft.shape[1] * smaller, soft.shape[0] * smaller), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(soft[:height, :width], 0, 1), np.float32)


def _mix_in_linear_light(parts: Sequence[Pixels], weights: Sequence[Mask], icc: bytes | None) -> Pixels:
    """The parts (n, c) by their weights (n,), in linear light; what one part has alone is that part, bit for bit."""
    total = np.sum(weights, axis=0)
    made = parts[0].copy()
    for part, weight in zip(parts, weights, strict=True):
        alone = (weight > 0) & (weight >= total)
        made[alone] = part[alone]
    partly = np.count_nonzero(np.stack(weights) > 0, axis=0) > 1
    if partly.any():
        light = np.zeros((int(partly.sum()), parts[0].shape[1]), np.float32)
        for part, weight in zip(parts, weights, strict=True):
            light += colour.to_linear(part[partly][None], icc)[0] * (weight[partly] / total[partly])[:, None]
        made[partly] = np.clip(colour.from_linear(light[None], icc)[0], 0, 1)
    return np.clip(made, 0, 1)
