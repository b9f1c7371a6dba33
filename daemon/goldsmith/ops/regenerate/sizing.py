"""Sizes and seeds of candidates: the size that a model draws, and how its pixels come into the picture's size, profile and depth."""

from __future__ import annotations

import hashlib

import numpy as np

from goldsmith.engines.protocols import EngineDescriptor
from goldsmith.picture import colour
from goldsmith.picture.dither import dither
from goldsmith.picture.picture import Picture, Pixels, freeze, quantise
from goldsmith.picture.resample import resize_picture
from goldsmith.picture.size_fitting import Size, anchor_offset, fill_size


def candidate_seed(seed: int, number: int) -> int:
    """Return the seed of a step's candidate (1-based), 31 bits of SHA-256: independent of the number of candidates."""
    digest = hashlib.sha256(f"{seed}/candidate/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def native_size(ratio: float, descriptor: EngineDescriptor) -> Size:
    """Return the width and height nearest to the model's native number of pixels at that ratio, both multiples of its step."""
    step, count = descriptor.multiple, max(descriptor.native_pixels, descriptor.multiple**2)
    wide = max(step, round((count * ratio) ** 0.5 / step) * step)
    return wide, max(step, round(wide / ratio / step) * step)


def crop_and_resize(picture: Picture, size: Size) -> Picture:
    """Return the centre of the picture, scaled to exactly that (width, height); masks and alpha follow."""
    return resize_picture(centre_crop(picture, size), size[1], size[0])


def centre_crop(picture: Picture, size: Size) -> Picture:
    """Return the largest centred crop with the ratio of ``size``; the same picture if it has that ratio."""
    part, _ = fill_size((picture.width, picture.height), size, can_enlarge=True)
    left, top = anchor_offset((picture.width, picture.height), part, "center")
    rows, cols = slice(top, top + part[1]), slice(left, left + part[0])
    if part == (picture.width, picture.height):
        return picture
    return picture.with_geometry(picture.pixels[rows, cols], lambda mask: mask[rows, cols])


def fit_into_base(base: Picture, pixels: Pixels, seed: int) -> Picture:
    """Return the model's pixels (h, w, 3), 0..1, sRGB, at the base picture's size, in its profile, channels and depth, with its alpha,
    masks and metadata.
    """
    result = crop_and_resize(Picture(freeze(pixels)), (base.width, base.height))
    if base.channels == 1:
        result = result.with_pixels(colour.luma(result.pixels)[:, :, None])
    if base.icc is not None:
        result = colour.convert_profile(result, base.icc)
    if base.depth == 16:
        final = dither(result.pixels, 16, seed)
    else:
        final = quantise(result.pixels, 8).astype(np.float32) / np.float32(255)
    return base.with_pixels(final)
