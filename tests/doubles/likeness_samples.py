"""Pictures that are different, alike, and edited copies of each other, for the tests of known-by-looks."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from goldsmith.picture.codec import EncodingOptions, decode, encode
from goldsmith.picture.picture import Picture, freeze
from goldsmith.picture.resample import resize_picture

_SAMPLE = Path(__file__).parents[2] / "hotfolders" / "samples" / "astronaut.png"


@cache
def photograph() -> Picture:
    """Return a real photograph, 320 x 320 px."""
    return resize_picture(decode(_SAMPLE.read_bytes(), _SAMPLE.name, 10**7), 320, 320)


def scene(seed: int, side: int = 320) -> Picture:
    """Return a picture of things of many shapes and tones on a textured ground, as different from others as photographs are."""
    random = np.random.default_rng(seed)
    coarse = random.random((random.integers(4, 9), random.integers(4, 9), 3)).astype(np.float32)
    pixels = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    for _ in range(40):
        colour = tuple(float(value) for value in random.random(3))
        centre = tuple(int(value) for value in random.integers(0, side, 2))
        axes = tuple(int(value) for value in random.integers(4, side // 6, 2))
        if random.random() < 0.5:
            cv2.ellipse(pixels, centre, axes, float(random.integers(0, 180)), 0, 360, colour, -1)
        else:
            corners = np.asarray(centre) + random.integers(-side // 6, side // 6, (int(random.integers(3, 6)), 2))
            cv2.fillPoly(pixels, [corners.astype(np.int32)], colour)
    grain = random.normal(0, 0.03, (side, side, 1)).astype(np.float32)
    return Picture(freeze(np.clip(cv2.GaussianBlur(pixels, (0, 0), 0.8) + grain, 0, 1).astype(np.float32)))


def frame_of_series(number: int) -> Picture:
    """Return a frame of a series: the same photograph, a little shifted and turned, with other grain."""
    random = np.random.default_rng(number)
    base = photograph()
    turn = cv2.getRotationMatrix2D((160.0, 160.0), float(random.normal(0, 0.6)), 1.0)
    turn[:, 2] += random.normal(0, 2, 2)
    moved = cv2.warpAffine(base.pixels, turn, (320, 320), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    grain = random.normal(0, 0.015, moved.shape)
    return Picture(freeze(np.clip(moved + grain, 0, 1).astype(np.float32)))


def crop(picture: Picture, share: float) -> Picture:
    """Return the middle of a picture, with this share of its sides, a little to the left."""
    height, width = round(picture.height * share), round(picture.width * share)
    top, left = (picture.height - height) // 2, (picture.width - width) // 3
    return Picture(freeze(picture.pixels[top : top + height, left : left + width].copy()))


def with_paint(picture: Picture) -> Picture:
    """Return the picture with three flat strokes over about a seventh of it."""
    pixels = picture.pixels.copy()
    side = picture.width // 5
    for place, colour in ((0.1, 0.9), (0.45, 0.1), (0.7, 0.5)):
        left, top = round(picture.width * place), round(picture.height * (0.8 - place))
        pixels[top : top + side, left : left + side] = colour
    return Picture(freeze(pixels))


def halved(picture: Picture) -> Picture:
    return resize_picture(picture, picture.height // 2, picture.width // 2)


def as_jpeg(picture: Picture, quality: int = 80) -> bytes:
    """Return the picture as a JPEG without metadata."""
    return encode(Picture(picture.pixels), EncodingOptions(format="jpeg", quality=quality))


def after_jpeg(picture: Picture) -> Picture:
    return decode(as_jpeg(picture), "copy.jpg", 10**7)
