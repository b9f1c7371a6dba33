"""Flat colour laid over pixels through coverage: edges mix in linear light, translucency in display values as design programs do it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.plate import colour
from goldsmith.plate.plate import Mask, Pixels

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
    under = ground.pixels[touched]
    alpha = np.ones(len(under), np.float32) if ground.alpha is None else ground.alpha[touched]
    weights = [np.clip(1 - whole[touched], 0, 1) * alpha]
    parts = [under]
    for coat in coats:
        opaque = coat.opacity + alpha * (1 - coat.opacity)
        share = np.divide(np.float32(coat.opacity), opaque, out=np.zeros_like(opaque), where=opaque > 0)[:, None]
        parts.append(under + (coat.tint - under) * share)
        weights.append(coat.coverage[touched] * opaque)
    pixels = ground.pixels.copy()
    pixels[touched] = _mixed(parts, weights, ground.icc)
    if ground.alpha is None:
        return Ground(pixels, None, ground.icc)
    opacity = ground.alpha.copy()
    opacity[touched] = np.clip(np.sum(weights, axis=0), 0, 1)
    return Ground(pixels, opacity, ground.icc)


def shaded(ground: Ground, tint: Tint, shade: Mask) -> Ground:
    """The ground with a soft shade (h, w, 0..1) of one colour on it, mixed in display values."""
    touched = shade > 0
    if not touched.any():
        return ground
    pixels, alpha = ground.pixels.copy(), ground.alpha
    share: Mask = shade[touched]
    if alpha is not None:
        opaque = share + alpha[touched] * (1 - share)
        alpha = alpha.copy()
        alpha[touched] = np.clip(opaque, 0, 1)
        share = np.asarray(share / opaque, np.float32)
    pixels[touched] += (tint - pixels[touched]) * share[:, None]
    return Ground(np.clip(pixels, 0, 1), alpha, ground.icc)


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
    """The shape out of focus, Gaussian of ``sigma`` px; the shape itself for 0."""
    import cv2

    return shape if sigma <= 0 else np.asarray(cv2.GaussianBlur(shape, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT), np.float32)


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
