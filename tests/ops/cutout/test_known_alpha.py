"""From a network's matte to the final edge, on composites of photographs with a known alpha."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest
from skimage import data

from goldsmith.ops.cutout.closed_form import solve_matte
from goldsmith.ops.cutout.trimap import trimap_from_mask, trimap_from_matte
from goldsmith.picture.picture import Mask, Pixels
from goldsmith.worker.guided_filter import refine_matte

_HEIGHT, _WIDTH, _FINE = 300, 400, 4


@cache
def _photograph(name: str) -> Pixels:
    whole = getattr(data, name)()[:, :, :3].astype(np.float32) / np.float32(255)
    return np.asarray(cv2.resize(whole, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA), np.float32)


def _strokes(count: int, shortest: float, longest: float) -> Mask:
    random = np.random.default_rng(3)
    canvas = np.zeros((_HEIGHT * _FINE, _WIDTH * _FINE), np.uint8)
    x, y, radius = _WIDTH * _FINE / 2, _HEIGHT * _FINE / 2, 0.28 * _HEIGHT * _FINE
    cv2.circle(canvas, (int(x), int(y)), int(radius), 255, -1)
    for _ in range(count):
        along, bend = np.linspace(0, 1, 20), random.normal(0, 0.25)
        angles = random.uniform(0, 2 * np.pi) + bend * along**2
        away = (0.97 + random.uniform(shortest, longest) * along) * radius
        points = np.stack([x + away * np.cos(angles), y + away * np.sin(angles)], axis=1).astype(np.int32)
        cv2.polylines(canvas, [points], False, 255, int(random.integers(2, 7)), cv2.LINE_AA)
    return _reduce(canvas)


def _reduce(canvas: np.ndarray) -> Mask:
    return np.asarray(cv2.resize(canvas, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)


def _letters() -> Mask:
    canvas = np.zeros((_HEIGHT * _FINE, _WIDTH * _FINE), np.uint8)
    cv2.putText(canvas, "Gold", (110, 760), cv2.FONT_HERSHEY_DUPLEX, 17, 255, 40, cv2.LINE_AA)
    return _reduce(canvas)


def _disc() -> Mask:
    down, across = np.mgrid[:_HEIGHT, :_WIDTH].astype(np.float32)
    return np.clip((0.33 * _HEIGHT - np.hypot(across - _WIDTH / 2, down - _HEIGHT / 2)) / 14 + 0.5, 0, 1)


def _errors(estimate: Mask, known: Mask) -> tuple[float, float]:
    """Return the sum of absolute differences in thousands of px and the squared difference of the slopes, as the public benchmarks do."""

    def slope(matte: Mask) -> Mask:
        soft = cv2.GaussianBlur(matte, (0, 0), 1.4)
        return np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)) / np.float32(8)

    return float(np.abs(estimate - known).sum()) / 1000, float(((slope(estimate) - slope(known)) ** 2).sum()) / 10


def _composite(alpha: Mask, front: str, behind: str) -> Pixels:
    mixed = alpha[:, :, None] * _photograph(front) + (1 - alpha[:, :, None]) * _photograph(behind)
    return (np.round(mixed * 255) / 255).astype(np.float32)


HAIR, FUR = _strokes(140, 0.1, 0.5), _strokes(900, 0.03, 0.14)


@pytest.mark.parametrize(
    ("alpha", "front", "behind"),
    [(HAIR, "chelsea", "rocket"), (FUR, "chelsea", "coffee"), (_disc(), "coffee", "rocket"), (_letters(), "astronaut", "rocket")],
    ids=["hair", "fur", "soft disc", "letters"],
)
def test_the_edge_is_found_in_a_broad_grey_brush_stroke(alpha: Mask, front: str, behind: str) -> None:
    """At most an eighth of the brush stroke's error is left, and a tenth of the error of its slopes."""
    pixels, brush = _composite(alpha, front, behind), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13))
    near = (cv2.dilate(alpha, brush) > 0.02) & (cv2.erode(alpha, brush) < 0.98)
    trimap = trimap_from_mask(np.where(near, np.float32(0.5), np.round(alpha)), 0)
    before, after = (_errors(matte, alpha) for matte in (trimap.guess, solve_matte(pixels, trimap.guess, trimap.unknown)))
    assert after[0] < 0.125 * before[0]
    assert after[1] < 0.1 * before[1]


@pytest.mark.parametrize(
    ("alpha", "front", "behind", "sums", "slopes"),
    [(HAIR, "chelsea", "rocket", 0.45, 0.4), (FUR, "chelsea", "coffee", 0.75, 1.0)],
    ids=["hair", "fur"],
)
def test_the_matte_of_a_network_is_improved(alpha: Mask, front: str, behind: str, sums: float, slopes: float) -> None:
    """The matte of 320 px is first fitted to the picture's edges; at most these shares of its errors are left."""
    pixels, reduced = _composite(alpha, front, behind), cv2.resize(alpha, (320, 240), interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(cv2.GaussianBlur(reduced, (0, 0), 1.2), (_WIDTH, _HEIGHT), interpolation=cv2.INTER_LINEAR)
    trimap = trimap_from_matte(refine_matte(np.asarray(np.clip(coarse, 0, 1), np.float32), pixels, 320))
    before, after = (_errors(matte, alpha) for matte in (trimap.guess, solve_matte(pixels, trimap.guess, trimap.unknown)))
    assert after[0] < sums * before[0]
    assert after[1] < slopes * before[1]
