"""Resize as sharply as Lanczos, without the dark rims that it leaves around light lettering in linear light."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType

import numpy as np

from goldsmith.picture import colour
from goldsmith.picture.curves import light_curves
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze
from goldsmith.picture.reduction import reduce_pixels
from goldsmith.picture.resample import MIN_ALPHA, resize
from goldsmith.picture.row_slabs import for_each_slab
from goldsmith.picture.slab_processing import OnProgress, map_slabs_with_row

# Pixels per band when neighbourhoods are examined.
_BAND = 1 << 18


def resize_without_ringing(picture: Picture, height: int, width: int, on_progress: OnProgress = lambda _: None) -> Picture:
    """Return the picture at another size in px, with alpha and masks; the same picture if it has that size.

    Lanczos in linear light, each value limited to the range of the area means around it, so that nothing over- or undershoots. A result of
    at most half the pixels is made strip by strip; for others one channel is processed after the other to save memory. ``on_progress``
    receives 0..1 of the strips and may raise to cancel.
    """
    if (picture.height, picture.width) == (height, width):
        return picture
    alpha = None if picture.alpha is None else _ResizedAlpha(picture.alpha, height, width)
    is_small = 2 * height * width <= picture.height * picture.width
    result = np.empty((height, width, picture.channels), np.float32)
    if alpha is None and is_small and height <= picture.height and width <= picture.width:
        area_mean = np.empty_like(result)
        columns = slice(0, picture.width)

        def read_light(rows: slice) -> Pixels:
            return colour.to_linear(picture.pixels_in((rows, columns)), picture.icc)

        reduce_pixels((picture.height, picture.width, picture.channels), read_light, height, width, result, area_mean, on_progress)
        _clamp_to_local_range(result, area_mean, 3, result)
    else:
        _resize_by_channel(picture, alpha, is_small, result)
    map_slabs_with_row(result, lambda slab, _: np.clip(colour.from_linear(slab, picture.icc), 0.0, 1.0), out=result)
    masks = {name: freeze(np.clip(resize(mask, height, width), 0.0, 1.0)) for name, mask in picture.masks.items()}
    return picture.with_planes(result, None if alpha is None else np.clip(alpha.lanczos, 0.0, 1.0), MappingProxyType(masks))


def _resize_by_channel(picture: Picture, alpha: _ResizedAlpha | None, is_small: bool, result: Pixels) -> None:
    """Write linear light at the size of ``result`` (h, w, c), 0..1, one channel after the other, two at once if ``is_small``."""
    height, width = result.shape[:2]
    light = _LinearPlanes(picture, is_small)
    side = 2 * max(1, math.ceil(max(height / picture.height, width / picture.width))) + 1

    def run(channel: int) -> None:
        lanczos, area_mean = _resize_lanczos_and_area([light.pop(channel)], alpha, height, width)
        _clamp_to_local_range(lanczos, area_mean, side, result[:, :, channel])

    with ThreadPoolExecutor(2 if is_small else 1) as pool:
        list(pool.map(run, range(picture.channels)))


class _ResizedAlpha:
    """The alpha that weights the colours, and its results at the new size: by Lanczos and by area means."""

    def __init__(self, alpha: Mask, height: int, width: int) -> None:
        self.source = alpha
        self.lanczos = resize(alpha, height, width, "lanczos")
        self.area_mean = resize(alpha, height, width, "area")
        self.has_transparent = bool((self.lanczos <= MIN_ALPHA).any() or (self.area_mean <= MIN_ALPHA).any())


class _LinearPlanes:
    """The linear light of a picture, plane by plane: each plane is computed when it is taken, or all at once, which is faster."""

    def __init__(self, picture: Picture, at_once: bool) -> None:
        self._picture = picture
        self._planes = self._linearise_all() if at_once else {}

    def pop(self, channel: int) -> Mask:
        """Return one plane, (h, w), 0..1, linear light, and give it up: the caller owns it."""
        return self._planes.pop(channel) if channel in self._planes else self._linearise_channel(channel)

    def _linearise_channel(self, channel: int) -> Mask:
        pixels, result = self._picture.pixels, self._empty_plane()
        curve = light_curves(self._picture.icc, self._picture.channels)[channel]

        def run(rows: slice) -> None:
            result[rows] = curve.to_linear(np.ascontiguousarray(pixels[rows, :, channel]))

        for_each_slab(result.shape, run)
        return result

    def _linearise_all(self) -> dict[int, Mask]:
        pixels, icc = self._picture.pixels, self._picture.icc
        result = {channel: self._empty_plane() for channel in range(self._picture.channels)}

        def run(rows: slice) -> None:
            linear = colour.to_linear(pixels[rows], icc)
            for channel, plane in result.items():
                plane[rows] = linear[:, :, channel]

        for_each_slab(pixels.shape[:2], run)
        return result

    def _empty_plane(self) -> Mask:
        return np.empty((self._picture.height, self._picture.width), np.float32)


def _resize_lanczos_and_area(light: list[Mask], alpha: _ResizedAlpha | None, height: int, width: int) -> tuple[Mask, Mask]:
    """Return the only plane of ``light`` at the new size, by Lanczos and by area means, both weighted with alpha.

    The plane is removed from the list and overwritten, so that its memory is free as early as possible.
    """
    plane = light.pop()
    if alpha is None:
        area_mean = _resize_area(plane, height, width)
        return _clip_to_unit(resize(plane, height, width, "lanczos")), area_mean
    fallback = resize(plane, height, width, "linear") if alpha.has_transparent else None
    np.multiply(plane, alpha.source, out=plane)
    planes = [resize(plane, height, width, method) for method in ("lanczos", "area")]
    del plane
    for weighted, coverage in zip(planes, (alpha.lanczos, alpha.area_mean), strict=True):
        _unpremultiply(weighted, coverage, fallback)
    return planes[0], planes[1]


def _resize_area(plane: Mask, height: int, width: int) -> Mask:
    import cv2

    if height > plane.shape[0] or width > plane.shape[1]:
        return _clip_to_unit(resize(plane, height, width, "area"))
    result = cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)  # the same result as Pillow, several times as fast
    return np.asarray(result, np.float32).reshape(height, width)


def _clip_to_unit(plane: Mask) -> Mask:
    return np.clip(plane, 0.0, 1.0, out=plane)


def _unpremultiply(weighted: Mask, coverage: Mask, fallback: Mask | None) -> None:
    """Divide by the coverage, in place; use ``fallback`` where the coverage is zero."""

    def run(rows: slice) -> None:
        is_covered = coverage[rows] > MIN_ALPHA
        result = weighted[rows] / np.maximum(coverage[rows], MIN_ALPHA)
        weighted[rows] = np.clip(result if fallback is None else np.where(is_covered, result, fallback[rows]), 0.0, 1.0)

    for_each_slab(weighted.shape, run)


def _clamp_to_local_range(lanczos: Pixels, area_mean: Pixels, side: int, into: Pixels) -> None:
    """Limit ``lanczos``, (h, w) or (h, w, c), to the minimum and maximum of ``area_mean`` in the square of ``side`` px around each pixel;
    ``into`` may be ``lanczos`` itself.
    """
    import cv2

    height, width = area_mean.shape[:2]
    square, margin = np.ones((side, side), np.uint8), side // 2
    rows = max(4 * margin, _BAND // width, 1)
    for top in range(0, height, rows):
        first, last = max(0, top - margin), min(height, top + rows + margin)
        surroundings, core = area_mean[first:last], slice(top - first, min(top + rows, height) - first)
        low, high = (search(surroundings, square).reshape(surroundings.shape)[core] for search in (cv2.erode, cv2.dilate))
        into[top : top + rows] = np.clip(lanczos[top : top + rows], low, high)
