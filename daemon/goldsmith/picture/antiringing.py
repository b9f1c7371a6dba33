"""Another size as sharp as Lanczos and without the dark rims it leaves round light lettering in linear light."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType

import numpy as np

from goldsmith.picture import colour
from goldsmith.picture.curves import profile_curves
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze
from goldsmith.picture.resample import MIN_ALPHA, resize
from goldsmith.picture.slab_processing import for_each_slab, map_slabs_with_row

# Pixels worked on at once where surroundings are looked at.
_BAND = 1 << 18


def resize_without_ringing(picture: Picture, height: int, width: int) -> Picture:
    """The picture at another size, alpha and masks with it; itself where it has that size already.

    Lanczos in linear light, each value kept between the darkest and the lightest of what lies there by plain means of area:
    nothing over- or undershoots its surroundings. One channel after the other, so that it takes no more than the picture, its light,
    what is made and a plane or two; two at once where what is made is small.
    """
    if (picture.height, picture.width) == (height, width):
        return picture
    alpha = None if picture.alpha is None else _ResizedAlpha(picture.alpha, height, width)
    small = 2 * height * width <= picture.height * picture.width
    light = _LinearPlanes(picture, small)
    made = np.empty((height, width, picture.channels), np.float32)
    side = 2 * max(1, math.ceil(max(height / picture.height, width / picture.width))) + 1

    def run(channel: int) -> None:
        sharp, plain = _resize_lanczos_and_area([light.pop(channel)], alpha, height, width)
        _clamp_to_local_range(sharp, plain, side, made[:, :, channel])

    with ThreadPoolExecutor(2 if small else 1) as pool:
        list(pool.map(run, range(picture.channels)))
    map_slabs_with_row(made, lambda slab, _: np.clip(colour.from_linear(slab, picture.icc), 0.0, 1.0), out=made)
    masks = {name: freeze(np.clip(resize(mask, height, width), 0.0, 1.0)) for name, mask in picture.masks.items()}
    return picture.with_planes(made, None if alpha is None else np.clip(alpha.lanczos, 0.0, 1.0), MappingProxyType(masks))


class _ResizedAlpha:
    """Alpha, by which colours are weighted, and what comes of it at the new size: by Lanczos and by means of area."""

    def __init__(self, alpha: Mask, height: int, width: int) -> None:
        self.source = alpha
        self.lanczos = resize(alpha, height, width, "lanczos")
        self.area_mean = resize(alpha, height, width, "area")
        self.has_transparent = bool((self.lanczos <= MIN_ALPHA).any() or (self.area_mean <= MIN_ALPHA).any())


class _LinearPlanes:
    """The linear light of a picture, plane by plane: each is worked out when it is taken, or all of them at once, which is quicker."""

    def __init__(self, picture: Picture, at_once: bool) -> None:
        self._plate = picture
        self._planes = self._linearise_all() if at_once or profile_curves(picture.icc, picture.channels) is None else {}

    def pop(self, channel: int) -> Mask:
        """One of them, which is the caller's alone from now on."""
        return self._planes.pop(channel) if channel in self._planes else self._linearise_channel(channel)

    def _linearise_channel(self, channel: int) -> Mask:
        pixels, curves = self._plate.pixels, profile_curves(self._plate.icc, self._plate.channels)
        assert curves is not None  # noqa: S101 - else there is every plane already
        curve, made = curves[channel], self._empty_plane()

        def run(rows: slice) -> None:
            made[rows] = curve.to_linear(np.ascontiguousarray(pixels[rows, :, channel]))

        for_each_slab(made.shape, run)
        return made

    def _linearise_all(self) -> dict[int, Mask]:
        pixels, icc = self._plate.pixels, self._plate.icc
        made = {channel: self._empty_plane() for channel in range(self._plate.channels)}

        def run(rows: slice) -> None:
            linear = colour.to_linear(pixels[rows], icc)
            for channel, plane in made.items():
                plane[rows] = linear[:, :, channel]

        for_each_slab(pixels.shape[:2], run)
        return made

    def _empty_plane(self) -> Mask:
        return np.empty((self._plate.height, self._plate.width), np.float32)


def _resize_lanczos_and_area(light: list[Mask], alpha: _ResizedAlpha | None, height: int, width: int) -> tuple[Mask, Mask]:
    """The only plane of ``light``, by Lanczos and by the mean of what each new pixel covers, both weighted with alpha.

    It is taken out of the list and written into, so that it is gone as soon as it can be.
    """
    plane = light.pop()
    if alpha is None:
        plain = _resize_area(plane, height, width)
        return _clip_to_unit(resize(plane, height, width, "lanczos")), plain
    bare = resize(plane, height, width, "linear") if alpha.has_transparent else None
    np.multiply(plane, alpha.source, out=plane)
    found = [resize(plane, height, width, how) for how in ("lanczos", "area")]
    del plane
    for weighted, cover in zip(found, (alpha.lanczos, alpha.area_mean), strict=True):
        _unpremultiply(weighted, cover, bare)
    return found[0], found[1]


def _resize_area(plane: Mask, height: int, width: int) -> Mask:
    import cv2

    if height > plane.shape[0] or width > plane.shape[1]:
        return _clip_to_unit(resize(plane, height, width, "area"))
    made = cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)  # the same as by Pillow, several times as fast
    return np.asarray(made, np.float32).reshape(height, width)


def _clip_to_unit(plane: Mask) -> Mask:
    return np.clip(plane, 0.0, 1.0, out=plane)


def _unpremultiply(weighted: Mask, coverage: Mask, fallback: Mask | None) -> None:
    """Divided by what covers it, in place; where nothing does, ``bare`` is taken."""

    def run(rows: slice) -> None:
        least = coverage[rows] > MIN_ALPHA
        made = weighted[rows] / np.maximum(coverage[rows], MIN_ALPHA)
        weighted[rows] = np.clip(made if fallback is None else np.where(least, made, fallback[rows]), 0.0, 1.0)

    for_each_slab(weighted.shape, run)


def _clamp_to_local_range(lanczos: Mask, area_mean: Mask, side: int, into: Pixels) -> None:
    """``sharp``, held between the least and the greatest of ``plain`` in the square of ``side`` px round each pixel."""
    import cv2

    height, width = area_mean.shape
    square, margin = np.ones((side, side), np.uint8), side // 2
    rows = max(4 * margin, _BAND // width, 1)
    for top in range(0, height, rows):
        first, last = max(0, top - margin), min(height, top + rows + margin)
        seen, core = area_mean[first:last], slice(top - first, min(top + rows, height) - first)
        low, high = cv2.erode(seen, square)[core], cv2.dilate(seen, square)[core]
        into[top : top + rows] = np.clip(lanczos[top : top + rows], low, high)
