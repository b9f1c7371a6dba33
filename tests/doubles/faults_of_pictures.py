"""Photographs with known faults: JPEG blocks, bands, seams, clones, separated colours, halos."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from goldsmith.picture.colour import luma
from goldsmith.picture.picture import Pixels, Window
from goldsmith.picture.smoothing import gaussian_blur

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


def photograph(name: str) -> Pixels:
    """Return a photograph of scikit-image, (h, w, 3), 0..1 on codes of 8 bits."""
    return np.asarray(getattr(data, name)() / np.float32(255), np.float32)


def coded(pixels: Pixels) -> Pixels:
    """Return the pixels, (h, w, 3), 0..1, rounded to codes of 8 bits."""
    return np.asarray(np.round(np.clip(pixels, 0, 1) * 255) / np.float32(255), np.float32)


def sky(height: int, width: int, codes: float = 24) -> Pixels:
    """Return a sky before rounding, (h, w, 3), 0..1: without noise, brighter towards the lower right, with a rate of its own per colour."""
    down, across = np.mgrid[:height, :width].astype(np.float32)
    slope = (0.8 * down / height + 0.3 * (across / width) ** 2) * np.float32(codes / 255)
    base, rate = np.array([0.35, 0.48, 0.7], np.float32), np.array([1.0, 0.8, 0.55], np.float32)
    return np.asarray(base + slope[:, :, None] * rate, np.float32)


def under_sky(name: str, rows: int, codes: float = 24) -> tuple[Pixels, Pixels]:
    """Return a photograph with a smooth sky in its upper rows, and the same rounded to codes of 8 bits, which shows bands."""
    smooth = photograph(name).copy()
    smooth[:rows] = sky(rows, smooth.shape[1], codes)
    return smooth, coded(smooth)


def tiled(pixels: Pixels, side: int, codes: float, seed: int = 3) -> Pixels:
    """Return the picture with square tiles that are lighter or darker than their neighbours by up to ``codes`` of 255.

    Some enlargers leave such tiles.
    """
    random = np.random.default_rng(seed)
    result = pixels.copy()
    for top in range(0, pixels.shape[0], side):
        for left in range(0, pixels.shape[1], side):
            sign = 1 if (top // side + left // side) % 2 else -1
            result[top : top + side, left : left + side] += np.float32(sign * codes * random.uniform(0.7, 1) / 2 / 255)
    return coded(result)


def cloned(pixels: Pixels, source: tuple[int, int], place: tuple[int, int], side: int) -> Pixels:
    """Return the picture with a round copy of ``source`` at ``place``, faded over a few px; both are the (row, column) of a corner."""
    down, across = np.mgrid[:side, :side]
    far = np.hypot(down - side / 2, across - side / 2)
    share = np.clip((side / 2 - far) / 4, 0, 1).astype(np.float32)[:, :, None]
    result = pixels.copy()
    source_window, target_window = (np.s_[corner[0] : corner[0] + side, corner[1] : corner[1] + side] for corner in (source, place))
    result[target_window] += (pixels[source_window] - pixels[target_window]) * share
    return coded(result)


def parted(pixels: Pixels, red: float, blue: float) -> Pixels:
    """Return the picture with its red and its blue enlarged about the middle, each by a fraction."""
    import cv2

    height, width = pixels.shape[:2]
    result = pixels.copy()
    for channel, scale in ((0, red), (2, blue)):
        back = 1 / (1 + scale)
        matrix = np.array([[back, 0, (1 - back) * (width - 1) / 2], [0, back, (1 - back) * (height - 1) / 2]])
        plane = np.ascontiguousarray(pixels[:, :, channel])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        result[:, :, channel] = cv2.warpAffine(plane, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return coded(result)


def speckled(pixels: Pixels, sigma: float, blotch: float = 0.0) -> Pixels:
    """Return the picture with noise that has colour but no luma, in blotches of ``blotch`` px.

    sigma: the standard deviation in red, green and blue before the luma is removed.
    """
    noise = np.random.default_rng(1).standard_normal(pixels.shape, dtype=np.float32)
    if blotch:
        noise = gaussian_blur(noise, blotch)
        noise /= noise.std()
    return coded(pixels + np.float32(sigma) * (noise - luma(noise)[:, :, None]))


def sharpened(pixels: Pixels, amount: float, sigma: float = 1.6) -> Pixels:
    """Return the picture after an unsharp mask that does not limit halos."""
    return coded(pixels + np.float32(amount) * (pixels - gaussian_blur(pixels, sigma)))


def hair(height: int = 320, width: int = 480) -> Pixels:
    """Return light hair, lines 2 to 4 px wide that run out from the middle, before a smooth darker ground."""
    import cv2

    share = np.zeros((height, width), np.float32)
    middle = width // 2, height // 2
    for number, angle in enumerate(np.linspace(0, 2 * np.pi, 40, endpoint=False)):
        near, far = (
            (round(middle[0] + reach * np.cos(angle)), round(middle[1] + reach * np.sin(angle))) for reach in (60, 110 + 7 * (number % 6))
        )
        cv2.line(share, near, far, 1.0, 2 + number % 3, cv2.LINE_AA)
    share = gaussian_blur(share, 0.8)[:, :, None]
    ground = sky(height, width, 40) - np.float32(0.12)
    return coded(ground + share * np.float32(0.35) * (1 - ground))


def posterised(pixels: Pixels, step: float) -> Pixels:
    """Return the picture with values that are multiples of ``step`` codes of 255 alone, rounded to codes of 8 bits."""
    return coded(np.round(pixels * (255 / step)) * np.float32(step / 255))


def compressed(pixels: Pixels, quality: int, *, halves_chroma: bool = True) -> Pixels:
    """Return the picture, (h, w, 1 or 3), after a JPEG file of that quality; its chroma is stored at half the size or at full size."""
    file = io.BytesIO()
    codes = np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    picture = Image.fromarray(codes if pixels.shape[2] == 3 else codes[:, :, 0])
    picture.save(file, "JPEG", quality=quality, subsampling=2 if halves_chroma else 0)
    with Image.open(file) as decoded:
        return np.asarray(np.asarray(decoded).reshape(pixels.shape) / np.float32(255), np.float32)


def checkered(pixels: Pixels, codes: float) -> Pixels:
    """Return the picture with a checkerboard of single pixels, each lighter or darker by ``codes`` of 255."""
    height, width = pixels.shape[:2]
    is_odd = (np.arange(height)[:, None] + np.arange(width)) % 2
    return coded(pixels + np.float32(codes / 255) * (1 - 2 * is_odd)[:, :, None].astype(np.float32))


def lined(pixels: Pixels, codes: float, period: int = 8) -> Pixels:
    """Return the picture with lines of 1 px every ``period`` px down and across, lighter by ``codes`` of 255."""
    result = pixels.copy()
    result[::period] += np.float32(codes / 255)
    result[:, ::period] += np.float32(codes / 255)
    return coded(result)


def dusty(pixels: Pixels, places: Sequence[tuple[float, float]], radius: float = 4, shade: float = 0.12) -> Pixels:
    """Return the picture with soft dark spots at ``places``, (row, column) in px, of that radius, that take away ``shade`` of the value."""
    down, across = np.mgrid[: pixels.shape[0], : pixels.shape[1]].astype(np.float32)
    result = pixels.copy()
    for number, (row, column) in enumerate(places):
        size = radius * (0.85 + 0.3 * (number % 3) / 2)
        distance = np.hypot(down - row, across - column)
        result *= 1 - np.float32(shade) / (1 + np.exp(np.clip(4 * (distance - size) / size, -30, 30)))[:, :, None]
    return coded(result)


def fringed(pixels: Pixels, place: Window, width: int = 3) -> Pixels:
    """Return the picture with a blown-out window in a dark wall at ``place``, and a purple rim around the light."""
    import cv2

    result = pixels.copy()
    rows, columns = place
    wall = np.s_[rows.start - 40 : rows.stop + 40, columns.start - 40 : columns.stop + 40]
    result[wall] = result[wall] * np.float32(0.25)
    light = np.zeros(result.shape[:2], np.float32)
    light[place] = 1
    shape = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    rim = gaussian_blur(cv2.dilate(light, shape) - light, 0.8)[:, :, None]
    result += rim * np.array([0.3, 0.0, 0.4], np.float32)
    result = np.maximum(result, gaussian_blur(light, 0.7)[:, :, None])
    return coded(result)


def overlap(first: Window, second: Window) -> float:
    """Return the intersection over union of two boxes."""
    high, wide = (min(a.stop, b.stop) - max(a.start, b.start) for a, b in zip(first, second, strict=True))
    shared = max(high, 0) * max(wide, 0)
    areas = [(place[0].stop - place[0].start) * (place[1].stop - place[1].start) for place in (first, second)]
    return shared / (sum(areas) - shared)


def changed(first: Pixels, second: Pixels) -> NDArray[np.bool_]:
    """Return a mask, (h, w), of the pixels that differ."""
    return np.asarray((first != second).any(axis=2))
