"""Estimate the subject's own colours at its edge, where the picture shows them mixed with the background.

Germer, Uelwer, Conrad and Harmeling, "Fast Multi-Level Foreground Estimation" (2020): colours F and B such that alpha F + (1 - alpha) B is
the picture and both are smooth where alpha is not; solved at a small size first, then at each size twice as large.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from goldsmith.ops.cutout.laplacian import BoolMask
from goldsmith.ops.cutout.window_enlargement import enlarge_window
from goldsmith.picture.picture import Mask, Pixels, Window
from goldsmith.picture.slab_processing import OnProgress

# How similar neighbours are to be where alpha does not change.
_REGULARISATION = 1e-5
_SMALL_SIDE, _SMALL_ITERATIONS, _ITERATIONS = 32, 10, 3
_TILE = 256


def estimate_foreground(pixels: Pixels, alpha: Mask, where: BoolMask, on_progress: OnProgress = lambda _: None) -> Pixels:
    """Return the subject's colours (h, w, c), 0..1, display-encoded, at the pixels ``where`` (h, w), bool, is True; elsewhere ``pixels``
    unchanged.

    ``alpha`` is (h, w), 0..1. ``on_progress`` may raise to cancel.
    """
    height, width = alpha.shape
    levels = max(1, math.ceil(math.log2(max(height, width))) - 2)
    front = background = pixels[:1, :1]
    for level in range(levels, -1, -1):
        size = (max(1, width >> level), max(1, height >> level))
        rounds = _SMALL_ITERATIONS if max(size) <= _SMALL_SIDE else _ITERATIONS
        if not level:
            break
        level_pixels, level_alpha = _resize(pixels, size), _resize(alpha[:, :, None], size)[:, :, 0]
        front, background = _relax(level_pixels, level_alpha, _resize(front, size), _resize(background, size), rounds)
        on_progress(4.0**-level)
    result = _refine_in_tiles(pixels, alpha, (front, background), where, rounds)
    on_progress(1.0)
    return result


def _resize(planes: Pixels, size: tuple[int, int]) -> Pixels:
    import cv2

    if planes.shape[1::-1] == size:
        return planes
    interpolation = cv2.INTER_AREA if size[0] * size[1] < planes.shape[0] * planes.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(planes, size, interpolation=interpolation), np.float32).reshape(size[1], size[0], -1)


def _refine_in_tiles(pixels: Pixels, alpha: Mask, colours: tuple[Pixels, Pixels], where: BoolMask, iterations: int) -> Pixels:
    """Return the foreground colours ``where`` they are asked for, else ``pixels``; ``colours``: both at half the size.

    They are computed only in tiles that need them: identical to the whole, because each pixel depends on ``iterations`` px around it.
    """
    result = pixels.copy()
    for core, window in _tiles(where, iterations):
        front, background = (enlarge_window(plane, alpha.shape, window) for plane in colours)
        part = _relax(pixels[window], alpha[window], front, background, iterations)[0]
        top, left = core[0].start - window[0].start, core[1].start - window[1].start
        inner = part[top : top + core[0].stop - core[0].start, left : left + core[1].stop - core[1].start]
        np.copyto(result[core], inner, where=where[core][:, :, None])
    return result


def _tiles(where: BoolMask, margin: int) -> Iterator[tuple[Window, Window]]:
    height, width = where.shape
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            bottom, right = min(height, top + _TILE), min(width, left + _TILE)
            if where[top:bottom, left:right].any():
                rows, columns = slice(max(0, top - margin), bottom + margin), slice(max(0, left - margin), right + margin)
                yield (slice(top, bottom), slice(left, right)), (rows, columns)


def _relax(pixels: Pixels, alpha: Mask, front: Pixels, background: Pixels, iterations: int) -> tuple[Pixels, Pixels]:
    """Return both colours after that many iterations in which every pixel adapts to its four neighbours."""
    padded = np.pad(alpha, 1, mode="edge")
    neighbours = [padded[1 + y : padded.shape[0] - 1 + y, 1 + x : padded.shape[1] - 1 + x] for y, x in _NEIGHBOURS]
    weights = [(np.float32(_REGULARISATION) + np.abs(alpha - neighbour))[:, :, None] for neighbour in neighbours]
    total = sum(weights[1:], weights[0])
    share, rest = alpha[:, :, None], 1 - alpha[:, :, None]
    front_weight, shared, background_weight = share * share + total, share * rest, rest * rest + total
    scale = 1 / (front_weight * background_weight - shared * shared)
    for _ in range(iterations):
        first = share * pixels + _weighted_neighbour_sum(front, weights)
        second = rest * pixels + _weighted_neighbour_sum(background, weights)
        front = np.clip((background_weight * first - shared * second) * scale, 0.0, 1.0)
        background = np.clip((front_weight * second - shared * first) * scale, 0.0, 1.0)
    return front, background


_NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1))


def _weighted_neighbour_sum(colours: Pixels, weights: list[Pixels]) -> Pixels:
    padded = np.pad(colours, ((1, 1), (1, 1), (0, 0)), mode="edge")
    total = np.zeros_like(colours)
    for (y, x), weight in zip(_NEIGHBOURS, weights, strict=True):
        total += weight * padded[1 + y : padded.shape[0] - 1 + y, 1 + x : padded.shape[1] - 1 + x]
    return total
