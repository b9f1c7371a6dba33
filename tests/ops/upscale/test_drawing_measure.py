"""Drawings and photographs are told apart by their neighbouring pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from goldsmith.ops.upscale.drawing_measure import measure_drawing
from goldsmith.picture.picture import Picture, freeze


def _picture(codes: NDArray[np.uint8], alpha: NDArray[np.float32] | None = None) -> Picture:
    planes = codes[:, :, None] if codes.ndim == 2 else codes
    return Picture(freeze(planes.astype(np.float32) / np.float32(255)), alpha=None if alpha is None else freeze(alpha))


def _as_jpeg(codes: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", codes, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_UNCHANGED), np.uint8)


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket", "camera", "coins", "page"])
@pytest.mark.parametrize("quality", [100, 60])
def test_photographs_are_photographs(name: str, quality: int) -> None:
    """Photographs of scikit-image, also as a coarse JPEG, are not taken for drawings."""
    assert not measure_drawing(_picture(_as_jpeg(getattr(data, name)(), quality))).is_drawing


def test_a_product_on_pure_white_is_a_photograph() -> None:
    """White round a photograph does not count, nor do transparent pixels."""
    codes = np.full((600, 600, 3), 255, np.uint8)
    codes[200:400, 200:400] = data.coffee()[100:300, 200:400]
    assert not measure_drawing(_picture(codes)).is_drawing
    hidden = np.zeros((600, 600, 3), np.uint8)
    hidden[200:400, 200:400] = data.coffee()[100:300, 200:400]
    alpha = np.zeros((600, 600), np.float32)
    alpha[200:400, 200:400] = 1
    assert not measure_drawing(_picture(hidden, alpha)).is_drawing


def test_flat_colours_and_line_art_are_drawings() -> None:
    """Flat shapes, a logo's silhouette, and lines on white as PNG and as JPEG."""
    shapes = np.full((400, 400, 3), (250, 240, 220), np.uint8)
    for radius, colour in ((150, (200, 60, 50)), (110, (40, 90, 160)), (60, (250, 200, 40))):
        cv2.circle(shapes, (200, 200), radius, colour, -1, cv2.LINE_AA)
    assert measure_drawing(_picture(shapes)).is_drawing
    assert measure_drawing(_picture((~data.horse()).astype(np.uint8) * 255)).is_drawing
    lines = np.full((500, 500, 3), 255, np.uint8)
    random = np.random.default_rng(2)
    for _ in range(40):
        (x0, y0, x1, y1), width = random.integers(0, 500, 4).tolist(), int(random.integers(1, 5))
        cv2.line(lines, (x0, y0), (x1, y1), (0, 0, 0), width, cv2.LINE_AA)
    assert measure_drawing(_picture(lines)).is_drawing
    assert measure_drawing(_picture(_as_jpeg(lines, 90))).is_drawing


def test_one_colour_and_nothing_are_no_photograph() -> None:
    """A picture of one colour, and one without a visible pixel, count as drawings."""
    assert measure_drawing(_picture(np.full((50, 50, 3), 90, np.uint8))).is_drawing
    assert measure_drawing(_picture(np.full((50, 50, 3), 90, np.uint8), np.zeros((50, 50), np.float32))).is_drawing
