"""Masks as people and programs make them, and files that people lay beside a picture instead of a mask. Codes (h, w), 0..255."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from doubles.mattes import pane, scene

Codes = NDArray[np.uint8]


def to_codes(values: NDArray[Any]) -> Codes:
    """Return values, 0..1, as codes of 8 bits."""
    return np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)


def as_jpeg(codes: Codes, quality: int) -> Codes:
    """Return codes after JPEG compression."""
    out = io.BytesIO()
    Image.fromarray(codes).save(out, "JPEG", quality=quality)
    return np.asarray(Image.open(out))


def box(height: int, width: int, white: int = 255, ground: int = 0) -> Codes:
    """Return a box in the middle, a quarter of the picture."""
    mask = np.full((height, width), ground, np.uint8)
    mask[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = white
    return mask


def disc(height: int, width: int, softness: float) -> Codes:
    """Return a disc whose edge fades over ``softness`` (0..1) of its radius on each side."""
    down, across = np.mgrid[0:height, 0:width]
    distance = np.hypot(down / height - 0.5, across / width - 0.5) / 0.3
    return to_codes(1 / (1 + np.exp((distance - 1) * 4 / max(softness, 0.01))))


def gradient(height: int, width: int, start: float = 0.0, end: float = 1.0, noise: float = 0.0) -> Codes:
    """Return a gradient from left to right; ``noise`` is the standard deviation in codes."""
    values = np.broadcast_to(np.linspace(start, end, width), (height, width))
    return to_codes(values + np.random.default_rng(0).normal(0, noise / 255, values.shape))


def airbrush(height: int, width: int) -> Codes:
    """Return 150 dabs of a soft brush with 30 % flow."""
    random, values = np.random.default_rng(1), np.zeros((300, 300), np.float32)
    down, across = np.mgrid[0:300, 0:300].astype(np.float32)
    for _ in range(150):
        x, y, radius = random.uniform(60, 240), random.uniform(60, 240), random.uniform(9, 30)
        values += (1 - values) * np.float32(0.3) * np.exp(-((across - x) ** 2 + (down - y) ** 2) / radius**2)
    return to_codes(cv2.resize(values, (width, height), interpolation=cv2.INTER_CUBIC))


def segmenter(height: int, width: int) -> Codes:
    """Return a network's mask of 320 px with an uncertain edge and remainders of 1 to 3 codes, enlarged."""
    small = disc(320, 320, 0.15).astype(np.float32) / 255
    small += np.random.default_rng(2).uniform(0, 3 / 255, small.shape)
    return to_codes(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))


def fur(side: int) -> Codes:
    """Return a disc with 4000 hairs in many greys, out of focus."""
    random, canvas = np.random.default_rng(3), np.zeros((side, side), np.uint8)
    cv2.ellipse(canvas, (side // 2, side // 2), (round(0.25 * side), round(0.3 * side)), 0, 0, 360, 255, -1)
    for _ in range(4000):
        angle, length = random.uniform(0, 2 * np.pi), random.uniform(0.02, 0.22) * side
        turned = angle + random.normal(0, 0.4)
        start = side * (0.5 + 0.25 * np.cos(angle)), side * (0.5 + 0.3 * np.sin(angle))
        end = start[0] + length * np.cos(turned), start[1] + length * np.sin(turned)
        cv2.line(canvas, np.int32(start).tolist(), np.int32(end).tolist(), int(random.integers(80, 255)), 1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), 1.5), np.uint8)


@cache
def legitimate() -> dict[str, Codes]:
    """Return masks by their kind: all of them are to be obeyed."""
    masks = {}
    for height, width in ((300, 200), (600, 512), (1100, 1400)):
        size = f"{width} x {height}"
        plain = {
            "box": box(height, width),
            "hard disc": disc(height, width, 0),
            "feathered disc": disc(height, width, 0.3),
            "large soft brush": disc(height, width, 1.2),
            "gradient": gradient(height, width),
            "partial gradient": gradient(height, width, 0.2, 0.8),
            "noisy gradient": gradient(height, width, noise=4),
            "very noisy gradient": gradient(height, width, noise=8),
            "airbrush": airbrush(height, width),
            "segmenter": segmenter(height, width),
        }
        masks |= {f"{kind}, {size}": mask for kind, mask in plain.items()}
        for quality in (30, 60, 90):
            soft = ("hard disc", "feathered disc", "large soft brush", "gradient", "airbrush")
            masks |= {f"{kind} as JPEG {quality}, {size}": as_jpeg(plain[kind], quality) for kind in soft}
    return {**masks, **_mattes()}


def _mattes() -> dict[str, Codes]:
    head = scene(300, 256, hairs=1500)
    hair = to_codes(head.alpha)
    large = cv2.resize(hair, (512, 600), interpolation=cv2.INTER_CUBIC)
    return {
        "hair": hair,
        "fur": fur(512),
        "enlarged hair": large,
        "soft hair": cv2.GaussianBlur(large, (0, 0), 2.5),
        "coarse matte": to_codes(head.coarse),
        "glass": to_codes(pane(busy=True).alpha),
    }
