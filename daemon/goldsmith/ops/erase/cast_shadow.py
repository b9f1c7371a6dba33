"""Find the cast shadow of a masked object.

It lies beside the mask, is darker than the ground, has the ground's hue and texture, and ends in the ground.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.operation import RecordValue
from goldsmith.picture.crop_planning import CropBox
from goldsmith.picture.picture import Mask, Picture, Pixels
from goldsmith.picture.smoothing import gaussian_blur, resize_values

# The longer side in px of the copy on which a shadow is looked for.
SEARCHED_SIDE = 360
# How far round the object it is looked for, as a share of the object's longer side, and at least so many px.
REACH_SHARE = 1.25
LEAST_REACH = 24
# The exponent that turns display-encoded values into light, near enough for ratios of one picture.
GAMMA = 2.2
# Light that is added before the logarithm, so that noise in the dark does not count.
LEAST_LIGHT = 0.004
# A shadow is darker than the ground by at least this in the natural logarithm of light, and by so many deviations of the ground's texture.
LEAST_DARKENING = 0.2
TEXTURE_DEVIATIONS = 4.0
# A shadow is looked for at these darkenings, the deepest first: at a shallow one it runs together with the ground's own dark parts.
DEPTHS = (1.2, 0.9, 0.7, 0.5, 0.35, 0.25, 0.2)
# A darker part than this is an object of its own.
MAX_DARKENING = 2.2
# How far the hue of a shadow may differ from the ground's: a fixed part, and a part of its darkening (the sky lights a shadow bluish).
HUE_TOLERANCE = (0.12, 0.35)
# The standard deviation in px of the reduced copy of the blur in which a shadow is looked for: the ground's texture is no shadow.
SOFT_SIGMA = 4.0
# A shadow fills at least this share of its convex hull.
LEAST_SOLIDITY = 0.65
# The soft edge of a shadow reaches to this share of its darkening.
PENUMBRA_SHARE = 0.25
# The least and the greatest area of a shadow, as shares of the object's, and the most that its darkening varies, as a share of its mean.
AREA_SHARES = (0.03, 2.5)
MAX_VARIATION = 0.6
# The texture in a shadow goes on, as a share of the ground's: below or above, it is another surface.
TEXTURE_RATIOS = (0.35, 2.5)
# A shadow lies on one side of its object: the length of the mean direction of its pixels, 1 = all in one direction.
LEAST_DIRECTEDNESS = 0.45
# At least so many px of the reduced copy of a shadow touch the object.
LEAST_CONTACT = 5
_FIT_ROUNDS = 8


@dataclass(frozen=True, slots=True, eq=False)
class FoundShadow:
    """A shadow or a reflection beside a mask: ``box`` in px of the picture, ``mask`` (h, w) of the box, and facts for the record.

    kind:      "cast" or "reflection".
    strength:  for a shadow the share of the ground's light that it takes away, for a reflection how alike it is to the object, 0..1.
    direction: from the object to it, degrees, 0 = right, 90 = down.
    """

    kind: str
    box: CropBox
    mask: NDArray[np.bool_]
    strength: float
    direction: int

    def findings(self) -> dict[str, RecordValue]:
        """Return the facts for the record, as plain JSON."""
        box = [self.box.left, self.box.top, self.box.width, self.box.height]
        return {"kind": self.kind, "box": box, "pixels": int(self.mask.sum()), "strength": self.strength, "direction": self.direction}


def find_cast_shadow(picture: Picture, mask: Mask, bounds: CropBox) -> FoundShadow | None:
    """Return the cast shadow of the object under ``mask`` (h, w), 0..1, whose non-zero box is ``bounds``; None if there is no sure one."""
    longer = max(bounds.height, bounds.width)
    box = bounds.expand(max(round(REACH_SHARE * longer), LEAST_REACH), picture.height, picture.width)
    scale = min(1.0, SEARCHED_SIDE / max(box.height, box.width))
    size = max(round(box.height * scale), 1), max(round(box.width * scale), 1)
    if min(size) < 4 * LEAST_CONTACT:
        return None
    pixels = resize_values(_to_rgb(picture.pixels_in(box.window)), *size)
    is_object = resize_values((mask[box.window] > 0).astype(np.float32), *size) > 0.02
    shadow = _ShadowSearch(np.clip(pixels, 0, 1), is_object).find()
    if shadow is None:
        return None
    soft = gaussian_blur(shadow.pixels.astype(np.float32), 0.7)
    full = (resize_values(soft, box.height, box.width) > 0.25) & ~(mask[box.window] > 0)
    return FoundShadow("cast", box, full, round(1 - float(np.exp(shadow.darkening)), 3), shadow.direction)


def _to_rgb(pixels: Pixels) -> Pixels:
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


@dataclass(frozen=True, slots=True, eq=False)
class _SmallShadow:
    """A shadow on the reduced copy: (h, w), the mean logarithm of its darkening, and its direction in degrees."""

    pixels: NDArray[np.bool_]
    darkening: float
    direction: int


class _ShadowSearch:
    """The search in pixels (h, w, 3), 0..1, beside the object (h, w)."""

    def __init__(self, pixels: Pixels, is_object: NDArray[np.bool_]) -> None:
        self._object = _dilate(is_object, 1)
        log_light = np.log(np.power(pixels, np.float32(GAMMA)) + np.float32(LEAST_LIGHT))
        self._fine = log_light.mean(axis=2) - gaussian_blur(log_light.mean(axis=2), 1.5)
        self._difference = log_light - _fit_ground(log_light, ~self._object)
        soft = gaussian_blur(np.where(self._object[..., None], 0, self._difference).astype(np.float32), SOFT_SIGMA)
        weight = gaussian_blur((~self._object).astype(np.float32), SOFT_SIGMA)
        self._soft = soft / np.maximum(weight, 0.05)[..., None]
        # How much lighter than the ground, (h, w).
        self._light = self._soft.mean(axis=2)

    def find(self) -> _SmallShadow | None:
        """Return the deepest darkening beside the object that has all marks of a shadow, or None."""
        lit = ~self._object & (self._light > -LEAST_DARKENING)
        if lit.mean() < 0.15:
            return None
        deviation = 1.4826 * float(np.median(np.abs(self._light[lit] - np.median(self._light[lit]))))
        limit = max(LEAST_DARKENING, TEXTURE_DEVIATIONS * deviation)
        hue = np.abs(self._soft - self._light[..., None]).max(axis=2)
        alike = ~self._object & (self._light > -MAX_DARKENING) & (hue < HUE_TOLERANCE[0] + HUE_TOLERANCE[1] * np.abs(self._light))
        for depth in (depth for depth in DEPTHS if depth >= limit):
            accepted = self._dark_parts(alike & (self._light < -depth), lit)
            share = float(accepted.sum()) / float(self._object.sum())
            if not AREA_SHARES[0] <= share <= AREA_SHARES[1]:
                continue
            direction, directedness = self._direction(accepted)
            if directedness >= LEAST_DIRECTEDNESS:
                darkening = float(self._light[accepted].mean())
                return _SmallShadow(self._with_penumbra(accepted, darkening), darkening, direction)
        return None

    def _dark_parts(self, dark: NDArray[np.bool_], lit: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the dark parts (h, w) beside the object that can be its shadow."""
        import cv2

        opened = cv2.morphologyEx(dark.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        count, labels = cv2.connectedComponents(opened)
        near = _dilate(self._object, 3)
        accepted = np.zeros_like(self._object)
        for label in range(1, count):
            part = labels == label
            if int((part & near).sum()) >= LEAST_CONTACT and self._ends_in_ground(part) and self._is_shadow(part, lit):
                accepted |= part
        return accepted

    def _ends_in_ground(self, part: NDArray[np.bool_]) -> bool:
        """Return whether the part does not run out of what was searched, except beside an object that does so too."""
        edges = zip((part[0], part[-1], part[:, 0], part[:, -1]), self._edges_of_object(), strict=True)
        return not any(edge.any() and not object_edge.any() for edge, object_edge in edges)

    def _edges_of_object(self) -> tuple[NDArray[np.bool_], ...]:
        return self._object[0], self._object[-1], self._object[:, 0], self._object[:, -1]

    def _is_shadow(self, part: NDArray[np.bool_], lit: NDArray[np.bool_]) -> bool:
        """Return whether the part is evenly dark and has the ground's texture."""
        if not self._is_solid(part):
            return False
        inner = part & ~_dilate(~part & ~self._object, 3)
        inner = inner if inner.sum() >= LEAST_CONTACT else part
        values = self._light[inner]
        if float(values.std()) > MAX_VARIATION * float(-values.mean()):
            return False
        floor = 0.01
        ratio = (float(np.abs(self._fine[inner]).mean()) + floor) / (float(np.abs(self._fine[lit & ~_dilate(part, 2)]).mean()) + floor)
        return TEXTURE_RATIOS[0] <= ratio <= TEXTURE_RATIOS[1]

    def _is_solid(self, part: NDArray[np.bool_]) -> bool:
        """Return whether the part fills most of its convex hull, as far as the object does not cover it."""
        import cv2

        points = np.argwhere(part)[:, ::-1].astype(np.int32)
        hull = cv2.fillConvexPoly(np.zeros(part.shape, np.uint8), cv2.convexHull(points), 1) > 0
        return float(part.sum()) >= LEAST_SOLIDITY * float((hull & ~self._object).sum())

    def _direction(self, part: NDArray[np.bool_]) -> tuple[int, float]:
        """Return the mean direction from the object's middle to the pixels, in degrees, and how much they agree, 0..1."""
        middle = np.argwhere(self._object).mean(axis=0)
        apart = np.argwhere(part) - middle
        units = apart / np.maximum(np.linalg.norm(apart, axis=1, keepdims=True), 1e-6)
        down, across = units.mean(axis=0)
        return round(float(np.degrees(np.arctan2(down, across)))), float(np.hypot(down, across))

    def _with_penumbra(self, part: NDArray[np.bool_], darkening: float) -> NDArray[np.bool_]:
        """Return the part with its soft edge: what is darker than the ground and lies beside it."""
        reach = 2 + round(0.04 * max(part.shape))
        soft = (self._light < PENUMBRA_SHARE * darkening) & _dilate(part, reach) & ~self._object
        return _dilate(part | soft, 1) & ~self._object


def outline_of(part: NDArray[np.bool_], px: int) -> NDArray[np.bool_]:
    """Return the ``px`` px just outside the part, (h, w)."""
    return _dilate(part, px) & ~part


def _dilate(part: NDArray[np.bool_], px: int) -> NDArray[np.bool_]:
    import cv2

    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * px + 1, 2 * px + 1))
    return np.asarray(cv2.dilate(part.astype(np.uint8), kernel) > 0)


def _fit_ground(values: Pixels, known: NDArray[np.bool_]) -> Pixels:
    """Return a curved surface (h, w, c) through the known values (h, w, c): quadratic, least squares; darker outliers lose their weight."""
    height, width = known.shape
    down, across = (axis.astype(np.float64) for axis in np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j])
    terms = np.stack([np.ones_like(down), down, across, down * across, down * down, across * across], axis=2)
    rows, columns = np.nonzero(known)
    step = max(len(rows) // 20_000, 1)
    rows, columns = rows[::step], columns[::step]
    basis, targets = terms[rows, columns], values[rows, columns].astype(np.float64)
    weight = np.ones(len(rows))
    coefficients = np.zeros((basis.shape[1], values.shape[2]))
    for _ in range(_FIT_ROUNDS):
        root = np.sqrt(weight)[:, None]
        coefficients = np.linalg.lstsq(basis * root, targets * root, rcond=None)[0]
        residual = (targets - basis @ coefficients).mean(axis=1)
        spread = max(1.4826 * float(np.median(np.abs(residual[weight > 0.5]))) if (weight > 0.5).any() else 0.0, 0.02)
        weight = 1 / (1 + np.square(residual / np.where(residual < 0, 1.5 * spread, 3 * spread)) ** 2)
    return np.asarray(terms @ coefficients, dtype=np.float32)
