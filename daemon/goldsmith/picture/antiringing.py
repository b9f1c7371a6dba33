"""Another size as sharp as Lanczos and without the dark rims it leaves round light lettering in linear light."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType

import numpy as np

from goldsmith.picture import colour
from goldsmith.picture.curves import curves_of
from goldsmith.picture.picture import Mask, Pixels, Plate, frozen
from goldsmith.picture.resample import LEAST_ALPHA, resized
from goldsmith.picture.strips import by_slabs, in_placed_slabs

_BAND = 1 << 18
"""Pixels worked on at once where surroundings are looked at."""


def resized_ringless(plate: Plate, height: int, width: int) -> Plate:
    """The plate at another size, alpha and masks with it; itself where it has that size already.

    Lanczos in linear light, each value kept between the darkest and the lightest of what lies there by plain means of area:
    nothing over- or undershoots its surroundings. One channel after the other, so that it takes no more than the plate, its light,
    what is made and a plane or two; two at once where what is made is small.
    """
    if (plate.height, plate.width) == (height, width):
        return plate
    alpha = None if plate.alpha is None else _Cover(plate.alpha, height, width)
    small = 2 * height * width <= plate.height * plate.width
    light = _Light(plate, small)
    made = np.empty((height, width, plate.channels), np.float32)
    side = 2 * max(1, math.ceil(max(height / plate.height, width / plate.width))) + 1

    def run(channel: int) -> None:
        sharp, plain = _both([light.taken(channel)], alpha, height, width)
        _bounded(sharp, plain, side, made[:, :, channel])

    with ThreadPoolExecutor(2 if small else 1) as pool:
        list(pool.map(run, range(plate.channels)))
    in_placed_slabs(made, lambda slab, _: np.clip(colour.from_linear(slab, plate.icc), 0.0, 1.0), into=made)
    masks = {name: frozen(np.clip(resized(mask, height, width), 0.0, 1.0)) for name, mask in plate.masks.items()}
    return plate.resized_to(made, None if alpha is None else np.clip(alpha.sharp, 0.0, 1.0), MappingProxyType(masks))


class _Cover:
    """Alpha, by which colours are weighted, and what comes of it at the new size: by Lanczos and by means of area."""

    def __init__(self, alpha: Mask, height: int, width: int) -> None:
        self.given = alpha
        self.sharp = resized(alpha, height, width, "lanczos")
        self.plain = resized(alpha, height, width, "area")
        self.clear = bool((self.sharp <= LEAST_ALPHA).any() or (self.plain <= LEAST_ALPHA).any())


class _Light:
    """The linear light of a plate, plane by plane: each is worked out when it is taken, or all of them at once, which is quicker."""

    def __init__(self, plate: Plate, at_once: bool) -> None:
        self._plate = plate
        self._planes = self._every() if at_once or curves_of(plate.icc, plate.channels) is None else {}

    def taken(self, channel: int) -> Mask:
        """One of them, which is the caller's alone from now on."""
        return self._planes.pop(channel) if channel in self._planes else self._one(channel)

    def _one(self, channel: int) -> Mask:
        pixels, curves = self._plate.pixels, curves_of(self._plate.icc, self._plate.channels)
        assert curves is not None  # noqa: S101 - else there is every plane already
        curve, made = curves[channel], self._empty()

        def run(rows: slice) -> None:
            made[rows] = curve.linear(np.ascontiguousarray(pixels[rows, :, channel]))

        by_slabs(made.shape, run)
        return made

    def _every(self) -> dict[int, Mask]:
        pixels, icc = self._plate.pixels, self._plate.icc
        made = {channel: self._empty() for channel in range(self._plate.channels)}

        def run(rows: slice) -> None:
            linear = colour.to_linear(pixels[rows], icc)
            for channel, plane in made.items():
                plane[rows] = linear[:, :, channel]

        by_slabs(pixels.shape[:2], run)
        return made

    def _empty(self) -> Mask:
        return np.empty((self._plate.height, self._plate.width), np.float32)


def _both(light: list[Mask], alpha: _Cover | None, height: int, width: int) -> tuple[Mask, Mask]:
    """The only plane of ``light``, by Lanczos and by the mean of what each new pixel covers, both weighted with alpha.

    It is taken out of the list and written into, so that it is gone as soon as it can be.
    """
    plane = light.pop()
    if alpha is None:
        plain = _plain(plane, height, width)
        return _held(resized(plane, height, width, "lanczos")), plain
    bare = resized(plane, height, width, "linear") if alpha.clear else None
    np.multiply(plane, alpha.given, out=plane)
    found = [resized(plane, height, width, how) for how in ("lanczos", "area")]
    del plane
    for weighted, cover in zip(found, (alpha.sharp, alpha.plain), strict=True):
        _unweighted(weighted, cover, bare)
    return found[0], found[1]


def _plain(plane: Mask, height: int, width: int) -> Mask:
    import cv2

    if height > plane.shape[0] or width > plane.shape[1]:
        return _held(resized(plane, height, width, "area"))
    made = cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)  # the same as by Pillow, several times as fast
    return np.asarray(made, np.float32).reshape(height, width)


def _held(plane: Mask) -> Mask:
    return np.clip(plane, 0.0, 1.0, out=plane)


def _unweighted(weighted: Mask, cover: Mask, bare: Mask | None) -> None:
    """Divided by what covers it, in place; where nothing does, ``bare`` is taken."""

    def run(rows: slice) -> None:
        least = cover[rows] > LEAST_ALPHA
        made = weighted[rows] / np.maximum(cover[rows], LEAST_ALPHA)
        weighted[rows] = np.clip(made if bare is None else np.where(least, made, bare[rows]), 0.0, 1.0)

    by_slabs(weighted.shape, run)


def _bounded(sharp: Mask, plain: Mask, side: int, into: Pixels) -> None:
    """``sharp``, held between the least and the greatest of ``plain`` in the square of ``side`` px round each pixel."""
    import cv2

    height, width = plain.shape
    square, margin = np.ones((side, side), np.uint8), side // 2
    rows = max(4 * margin, _BAND // width, 1)
    for top in range(0, height, rows):
        first, last = max(0, top - margin), min(height, top + rows + margin)
        seen, core = plain[first:last], slice(top - first, min(top + rows, height) - first)
        low, high = cv2.erode(seen, square)[core], cv2.dilate(seen, square)[core]
        into[top : top + rows] = np.clip(sharp[top : top + rows], low, high)
