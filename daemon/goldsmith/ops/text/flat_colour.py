"""Flat colour laid over pixels through coverage: edges mix in linear light, translucency in display values as design programs do it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture import colour
from goldsmith.picture.picture import Mask, Pixels

_FINE_SIGMA = 6.0
"""px: a blur this wide shows nothing of the pixels that it was made of."""
_SLAB = 1 << 18
"""Pixels worked on at once."""

Tint = NDArray[np.float32]
"""One colour, (c,), display-encoded in the plate's profile."""


class Ground(NamedTuple):
    """What is painted on: pixels (h, w, c), their straight alpha (h, w) or None, and the profile."""

    pixels: Pixels
    alpha: Mask | None
    icc: bytes | None


class Coat(NamedTuple):
    """One colour, how opaque it is (0..1), and how much of each pixel it covers (h, w)."""

    tint: Tint
    opacity: float
    coverage: Mask


def laid(ground: Ground, coats: Sequence[Coat]) -> Ground:
    """The ground with coats that lie beside each other, not over: their coverages add up to no more than 1.

    A pixel that none covers is copied. One that a coat covers wholly and opaquely has exactly its colour.
    """
    whole = np.sum([coat.coverage for coat in coats], axis=0)
    touched = whole > 0
    if not touched.any():
        return ground
    pixels = ground.pixels.copy()
    opacity = None if ground.alpha is None else ground.alpha.copy()
    for coat in coats:
        if coat.opacity >= 1:
            solid = coat.coverage >= 1
            pixels[solid] = coat.tint
            touched &= ~solid
            if opacity is not None:
                opacity[solid] = 1
    if touched.any():
        rest = [coat._replace(coverage=coat.coverage[touched]) for coat in coats]
        bare = np.ones(1, np.float32) if ground.alpha is None else ground.alpha[touched]
        pixels[touched], weight = _coated(ground.pixels[touched], bare, rest, whole[touched], ground.icc)
        if opacity is not None:
            opacity[touched] = weight
    return Ground(pixels, opacity, ground.icc)


def _coated(under: Pixels, alpha: Mask, coats: Sequence[Coat], whole: Mask, icc: bytes | None) -> tuple[Pixels, Mask]:
    """Pixels (n, c) with their alpha (n,) under coats whose coverage is (n,): what they become, and their new alpha."""
    weights = [np.clip(1 - whole, 0, 1) * alpha]
    parts = [under]
    for coat in coats:
        opaque = np.broadcast_to(coat.opacity + alpha * (1 - coat.opacity), whole.shape)
        share = np.divide(np.float32(coat.opacity), opaque, out=np.zeros(whole.shape, np.float32), where=opaque > 0)[:, None]
        parts.append(under + (coat.tint - under) * share)
        weights.append(np.asarray(coat.coverage * opaque, np.float32))
    return _mixed(parts, weights, icc), np.asarray(np.clip(np.sum(weights, axis=0), 0, 1), np.float32)


def shaded(ground: Ground, tint: Tint, shade: Mask) -> Ground:
    """The ground with a soft shade (h, w, 0..1) of one colour on it, mixed in display values."""
    if not shade.any():
        return ground
    alpha = ground.alpha
    share = shade
    if alpha is not None:
        alpha = np.asarray(np.clip(shade + alpha * (1 - shade), 0, 1), np.float32)
        share = np.divide(shade, alpha, out=np.zeros_like(shade), where=alpha > 0)
    pixels = ground.pixels.copy()
    rows = max(1, _SLAB // max(1, shade.shape[1]))
    for top in range(0, len(shade), rows):
        slab = pixels[top : top + rows]
        slab += (tint - slab) * share[top : top + rows, :, None]
    return Ground(np.clip(pixels, 0, 1, out=pixels), alpha, ground.icc)


def rounded_box(window: tuple[slice, slice], box: tuple[float, float, float, float], radius: float, centre_angle: float) -> Mask:
    """Coverage of a box (left, top, width, height, px) with round corners in a window, turned clockwise about its centre by degrees."""
    rows, cols = window
    left, top, width, height = box
    angle = math.radians(centre_angle)
    y, x = np.ogrid[rows, cols]
    dx, dy = (x + 0.5 - left - width / 2).astype(np.float32), (y + 0.5 - top - height / 2).astype(np.float32)
    across = np.abs(dx * math.cos(angle) + dy * math.sin(angle)) - np.float32(width / 2 - radius)
    down = np.abs(dy * math.cos(angle) - dx * math.sin(angle)) - np.float32(height / 2 - radius)
    away = np.hypot(np.maximum(across, 0), np.maximum(down, 0)) + np.minimum(np.maximum(across, down), 0) - np.float32(radius)
    return np.asarray(np.clip(0.5 - away, 0, 1), np.float32)


def blurred(shape: Mask, sigma: float) -> Mask:
    """The shape out of focus, Gaussian of ``sigma`` px, nothing beyond its border; the shape itself for 0. A wide blur works small."""
    import cv2

    if sigma <= 0:
        return shape
    smaller = max(1, int(sigma / _FINE_SIGMA))
    height, width = shape.shape
    padded = cv2.copyMakeBorder(shape, 0, -height % smaller, 0, -width % smaller, cv2.BORDER_CONSTANT, value=0)
    if smaller > 1:
        padded = cv2.resize(padded, (padded.shape[1] // smaller, padded.shape[0] // smaller), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(padded, (0, 0), sigma / smaller, borderType=cv2.BORDER_CONSTANT)
    if smaller > 1:
        soft = cv2.resize(soft, (soft.shape[1] * smaller, soft.shape[0] * smaller), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(soft[:height, :width], 0, 1), np.float32)


def _mixed(parts: Sequence[Pixels], weights: Sequence[Mask], icc: bytes | None) -> Pixels:
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
