"""A layer made to belong: its tone brought towards the plate's, its grain made up to the plate's, the plate's light round its edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.assess import noise
from goldsmith.picture.colour import luma
from goldsmith.picture.picture import Mask, Pixels
from goldsmith.picture.smooth import softened
from goldsmith.picture.strips import in_placed_slabs, in_slabs

_SEEN = 256
"""Longest side, in px, at which tones are measured."""
_LEAST, _MOST = 0.6, 1.6
"""How far contrast and colourfulness may be brought down or up: more turns an object into another one."""
_FURTHEST = np.array([18.0, 14.0, 14.0], np.float32)
"""How far the means of L*, a* and b* may be moved."""
_SOFTEST = 64
"""A blur of more px than this is worked out at a smaller size."""


def toned(layer: Pixels, cover: Mask, ground: Pixels, amount: float) -> Pixels:
    """The layer (h, w, c) with means and deviations brought by ``amount`` (0..1) towards those of ``ground`` (any size, c).

    Reinhard et al., "Color Transfer between Images" (2001), in CIE L*a*b*: x' = (x - mean) s / s0 + mean'. Both deviations' ratio
    and the way of the means are bounded, so that a red box stays a red box. Only what ``cover`` (h, w) shows is measured.
    """
    if cover.max() <= 0:
        return layer
    (mean, spread), (wanted, wide) = _tones(layer, cover), _tones(ground, np.ones(ground.shape[:2], np.float32))
    gain = 1 + (np.clip((wide + 1) / (spread + 1), _LEAST, _MOST) - 1) * np.float32(amount)
    shift = np.clip(wanted - mean, -_FURTHEST, _FURTHEST) * np.float32(amount)
    return in_slabs(layer, lambda slab: _from_lab((_lab(slab) - mean) * gain + mean + shift, slab.shape[2]))


def grained(layer: Pixels, cover: Mask, ground: Pixels, seed: int) -> tuple[Pixels, float]:
    """The layer as grainy as ``ground``, and the deviation of the noise that was added, 0..1; never smoother than it was.

    The noise is measured in the quiet parts of both (``assess.noise``) and is the same in all channels. What is nearly black or
    white gets less of it, as film and sensors give it.
    """
    shade = luma(layer)
    shown = np.where(cover > 0.98, shade, np.float32(0.0))  # tiles with black in them are not measured
    wanted, had = noise(luma(ground)), noise(np.ascontiguousarray(shown))
    lacking = float(max(wanted * wanted - had * had, 0.0)) ** 0.5
    if lacking * 1024 < 1:
        return layer, 0.0
    grain = np.random.default_rng(seed).standard_normal(layer.shape[:2], dtype=np.float32)

    def slab(piece: Pixels, top: int) -> Pixels:
        rows = slice(top, top + len(piece))
        room = np.sqrt(np.maximum(shade[rows] * (1 - shade[rows]), np.float32(0)))
        room = np.clip(4 * room, 0.25, 1.0) * grain[rows] * np.float32(lacking)
        piece += room[:, :, None]
        return np.clip(piece, 0.0, 1.0, out=piece)

    return in_placed_slabs(layer, slab), lacking


def wrapped(laid: Pixels, ground: Pixels, cover: Mask, amount: float, radius: float) -> Pixels:
    """What was laid, with the light of the ground behind it running over its edge from outside; all of one size.

    The weight is cover x (1 - blurred cover), strongest at the very edge and gone ``radius`` px further in; there the blurred
    ground is screened over the layer. Nothing outside the layer changes.
    """
    inside = _soft(cover, radius)
    light = _soft(ground, radius * 1.5)

    def slab(piece: Pixels, top: int) -> Pixels:
        rows = slice(top, top + len(piece))
        weight = np.clip(2 * np.float32(amount) * cover[rows] * (1 - inside[rows]), 0.0, 1.0)
        if not weight.any():
            return piece
        lit = weight[:, :, None] * light[rows]
        lit *= 1 - piece
        piece += lit  # + 0 where nothing weighs: the same bits
        return piece

    return in_placed_slabs(laid, slab)


def _soft(values: NDArray[np.float32], radius: float) -> NDArray[np.float32]:
    import cv2

    if radius <= 0.3:
        return values
    shrink = max(1, round(radius / _SOFTEST * 4))
    height, width = values.shape[:2]
    if shrink == 1:
        return softened(values, radius)
    small = softened(_smaller(values, max(1, height // shrink), max(1, width // shrink)), radius / shrink)
    made: NDArray[np.float32] = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return made.reshape(values.shape)


def _smaller(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """(h, w[, c]) by area; many times as fast as plane by plane."""
    import cv2

    made: NDArray[np.float32] = cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA)
    return made.reshape(height, width, *values.shape[2:])


def _tones(pixels: Pixels, cover: Mask) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of L*, a* and b*, weighted with cover, seen small."""
    height, width = cover.shape
    shrink = min(1.0, _SEEN / max(height, width))
    size = max(1, round(height * shrink)), max(1, round(width * shrink))
    weight = _smaller(cover, *size)[:, :, None]
    whole = float(cover.min()) == 1.0
    colours = _smaller(pixels if whole else pixels * cover[:, :, None], *size) / np.maximum(weight, np.float32(1e-6))
    lab = _lab(np.clip(colours, 0.0, 1.0))
    total = max(float(weight.sum()), 1e-6)
    mean = (lab * weight).sum(axis=(0, 1)) / total
    spread = np.sqrt((np.square(lab - mean) * weight).sum(axis=(0, 1)) / total)
    return mean.astype(np.float32), spread.astype(np.float32)


def _lab(pixels: Pixels) -> Pixels:
    import cv2

    colours = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    made: Pixels = cv2.cvtColor(np.ascontiguousarray(colours, np.float32), cv2.COLOR_RGB2LAB)
    return made


def _from_lab(lab: Pixels, channels: int) -> Pixels:
    import cv2

    made: Pixels = np.clip(cv2.cvtColor(np.ascontiguousarray(lab, np.float32), cv2.COLOR_LAB2RGB), 0.0, 1.0)
    return made if channels == 3 else luma(made)[:, :, None]
