"""Scenes with a known matte: a head with drawn hair, and a pane of glass, composited over a background."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Mask, Pixels

_FINE = 4


@dataclass(frozen=True, eq=False, slots=True)
class Scene:
    """``pixels`` = alpha x ``front`` + (1 - alpha) x background, quantised to 8 bits.

    coarse: the matte that a network might find. near: the pixels that may have hair.
    """

    pixels: Pixels
    alpha: Mask
    front: Pixels
    coarse: Mask
    near: NDArray[np.bool_]


def scene(height: int, width: int, seed: int = 0, hairs: int = 120) -> Scene:
    """Return a brown head before a blue and uneven wall."""
    alpha = _head(height, width, seed, hairs)
    random = np.random.default_rng(seed)
    wall, skin = (_clouds(random, height, width) for _ in range(2))
    behind = np.array([0.15, 0.3, 0.55], np.float32) + np.float32(0.25) * wall
    front = np.array([0.75, 0.45, 0.2], np.float32) + np.float32(0.2) * skin
    mixed = alpha[:, :, None] * front + (1 - alpha[:, :, None]) * behind
    soft = max(1.0, width / 60)
    reach = 2 * round(0.06 * width) + 1
    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    near = (cv2.dilate(alpha, shape) > 0.02) & (cv2.erode(alpha, shape) < 0.98)
    coarse = np.clip(cv2.GaussianBlur(alpha, (0, 0), soft), 0, 1)
    codes = np.round(np.clip(mixed, 0, 1) * 255) / np.float32(255)
    return Scene(codes.astype(np.float32), alpha, front.astype(np.float32), coarse.astype(np.float32), near)


def _head(height: int, width: int, seed: int, hairs: int) -> Mask:
    random = np.random.default_rng(seed)
    canvas = np.zeros((height * _FINE, width * _FINE), np.uint8)
    x, y, radius = width * _FINE * 0.5, height * _FINE * 0.52, min(height, width) * _FINE * 0.27
    cv2.circle(canvas, (int(x), int(y)), int(radius), 255, -1)
    for _ in range(hairs):
        angle, long, bend = random.uniform(0, 2 * np.pi), random.uniform(0.1, 0.5) * radius, random.normal(0, 0.5)
        along = np.linspace(0, 1, 20)
        away, turned = 0.98 * radius + long * along, angle + 0.5 * bend * along**2
        points = np.stack([x + away * np.cos(turned), y + away * np.sin(turned)], axis=1).astype(np.int32)
        cv2.polylines(canvas, [points], False, 255, int(random.integers(2, 9)), cv2.LINE_AA)
    return np.asarray(cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)


def _clouds(random: np.random.Generator, height: int, width: int) -> Pixels:
    small = random.uniform(-1, 1, (6, 8, 3)).astype(np.float32)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


@dataclass(frozen=True, eq=False, slots=True)
class Pane:
    """A pane of glass on a red foot: ``pixels`` = alpha x ``front`` + (1 - alpha) x background.

    foot: the solid part, 1 on the pane too. brush_matte: the pane as a person would paint it, in one grey with the soft edge of a brush.
    """

    pixels: Pixels
    alpha: Mask
    front: Pixels
    foot: Mask
    brush_matte: Mask


def pane(*, busy: bool = False) -> Pane:
    """Return green glass with a reflection and a dark rim, before an even or a chequered wall."""
    down, across = np.mgrid[:200, :250].astype(np.float32)
    random = np.random.default_rng(1)
    behind = np.stack([0.75 + 0.0004 * across, 0.7 + 0.0006 * down, np.full_like(down, 0.6)], axis=2)
    behind = behind - 0.5 * ((across // 9 + down // 9) % 2)[:, :, None] * busy + random.normal(0, 0.008, behind.shape)
    glass = (np.abs(across - 125) < 55) & (np.abs(down - 100) < 75)
    shine = np.exp(-(((across - 100) / 4) ** 2)) * glass * (np.abs(down - 85) < 45)
    rim = glass & ~((np.abs(across - 125) < 51) & (np.abs(down - 100) < 71))
    foot = (np.abs(across - 125) < 65) & (np.abs(down - 182) < 10)
    front = np.where(rim[:, :, None], np.array([0.1, 0.25, 0.22], np.float32), np.array([0.35, 0.6, 0.55], np.float32))
    front = np.where(foot[:, :, None], np.array([0.5, 0.2, 0.1], np.float32), front + shine[:, :, None] * (1 - front))
    alpha = np.where(foot, 1, np.maximum(np.where(rim, 0.6, 0.18) * glass, 0.85 * shine)).astype(np.float32)
    mixed = np.clip(alpha[:, :, None] * front + (1 - alpha[:, :, None]) * behind, 0, 1)
    codes = (np.round(mixed * 255) / 255).astype(np.float32)
    brush_matte = np.asarray(cv2.blur((0.18 * glass).astype(np.float32), (3, 3)), np.float32)
    return Pane(codes, alpha, front.astype(np.float32), (foot | glass).astype(np.float32), np.where(foot, np.float32(0), brush_matte))
