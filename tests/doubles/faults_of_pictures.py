"""Photographs, and the faults that are built into them: bands, seams, clones, colours that part, halos."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage import data

from goldsmith.picture.colour import luma
from goldsmith.picture.picture import Pixels, Window
from goldsmith.picture.smoothing import gaussian_blur

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


def photograph(name: str) -> Pixels:
    """One of scikit-image's, (h, w, 3), 0..1 on codes of 8 bits."""
    return np.asarray(getattr(data, name)() / np.float32(255), np.float32)


def coded(pixels: Pixels) -> Pixels:
    """On codes of 8 bits."""
    return np.asarray(np.round(np.clip(pixels, 0, 1) * 255) / np.float32(255), np.float32)


def sky(height: int, width: int, codes: float = 24) -> Pixels:
    """A sky as it is before it is rounded: no noise, brighter towards the lower right in each colour at its own rate."""
    down, across = np.mgrid[:height, :width].astype(np.float32)
    slope = (0.8 * down / height + 0.3 * (across / width) ** 2) * np.float32(codes / 255)
    base, rate = np.array([0.35, 0.48, 0.7], np.float32), np.array([1.0, 0.8, 0.55], np.float32)
    return np.asarray(base + slope[:, :, None] * rate, np.float32)


def under_sky(name: str, rows: int, codes: float = 24) -> tuple[Pixels, Pixels]:
    """A photograph with a smooth sky in its upper rows, and the same rounded to codes of 8 bits, with its bands."""
    smooth = photograph(name).copy()
    smooth[:rows] = sky(rows, smooth.shape[1], codes)
    return smooth, coded(smooth)


def tiled(pixels: Pixels, side: int, codes: float, seed: int = 3) -> Pixels:
    """Each tile of that side a little lighter or darker than its neighbours, by up to ``codes`` of 255, as some enlargers leave it."""
    random = np.random.default_rng(seed)
    made = pixels.copy()
    for top in range(0, pixels.shape[0], side):
        for left in range(0, pixels.shape[1], side):
            sign = 1 if (top // side + left // side) % 2 else -1
            made[top : top + side, left : left + side] += np.float32(sign * codes * random.uniform(0.7, 1) / 2 / 255)
    return coded(made)


def cloned(pixels: Pixels, source: tuple[int, int], place: tuple[int, int], side: int) -> Pixels:
    """A round piece from ``source`` (row, column of its corner) again at ``place``, faded over a few px."""
    down, across = np.mgrid[:side, :side]
    far = np.hypot(down - side / 2, across - side / 2)
    share = np.clip((side / 2 - far) / 4, 0, 1).astype(np.float32)[:, :, None]
    made = pixels.copy()
    there, here = (np.s_[at[0] : at[0] + side, at[1] : at[1] + side] for at in (source, place))
    made[here] += (pixels[there] - pixels[here]) * share
    return coded(made)


def parted(pixels: Pixels, red: float, blue: float) -> Pixels:
    """Red and blue drawn larger by that part of the way from the middle."""
    import cv2

    height, width = pixels.shape[:2]
    made = pixels.copy()
    for channel, scale in ((0, red), (2, blue)):
        back = 1 / (1 + scale)
        matrix = np.array([[back, 0, (1 - back) * (width - 1) / 2], [0, back, (1 - back) * (height - 1) / 2]])
        plane = np.ascontiguousarray(pixels[:, :, channel])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        made[:, :, channel] = cv2.warpAffine(plane, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return coded(made)


def speckled(pixels: Pixels, sigma: float, blotch: float = 0.0) -> Pixels:
    """Noise of colour alone, of that deviation in red, green and blue before their luma is taken out; in blotches of ``blotch`` px."""
    noise = np.random.default_rng(1).standard_normal(pixels.shape, dtype=np.float32)
    if blotch:
        noise = gaussian_blur(noise, blotch)
        noise /= noise.std()
    return coded(pixels + np.float32(sigma) * (noise - luma(noise)[:, :, None]))


def sharpened(pixels: Pixels, amount: float, sigma: float = 1.6) -> Pixels:
    """By an unsharp mask without bounds."""
    return coded(pixels + np.float32(amount) * (pixels - gaussian_blur(pixels, sigma)))


def fringed(pixels: Pixels, place: Window, width: int = 3) -> Pixels:
    """A blown window in a dark wall at ``place``, with a purple rim round the light."""
    import cv2

    made = pixels.copy()
    rows, columns = place
    wall = np.s_[rows.start - 40 : rows.stop + 40, columns.start - 40 : columns.stop + 40]
    made[wall] = made[wall] * np.float32(0.25)
    light = np.zeros(made.shape[:2], np.float32)
    light[place] = 1
    shape = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    rim = gaussian_blur(cv2.dilate(light, shape) - light, 0.8)[:, :, None]
    made += rim * np.array([0.3, 0.0, 0.4], np.float32)
    made = np.maximum(made, gaussian_blur(light, 0.7)[:, :, None])
    return coded(made)


def overlap(one: Window, other: Window) -> float:
    """Intersection over union of two boxes."""
    high, wide = (min(a.stop, b.stop) - max(a.start, b.start) for a, b in zip(one, other, strict=True))
    shared = max(high, 0) * max(wide, 0)
    areas = [(place[0].stop - place[0].start) * (place[1].stop - place[1].start) for place in (one, other)]
    return shared / (sum(areas) - shared)


def changed(one: Pixels, other: Pixels) -> NDArray[np.bool_]:
    """Which pixels differ, (h, w)."""
    return np.asarray((one != other).any(axis=2))
