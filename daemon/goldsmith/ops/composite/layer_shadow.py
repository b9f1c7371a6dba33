"""The shadow of a layer on the backdrop, from its coverage: the contact shadow under its feet, and the shadow cast on the ground."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from goldsmith.picture.linear_light import LinearLight
from goldsmith.picture.picture import Mask, Pixels, Window
from goldsmith.picture.slab_processing import map_slabs_with_row

ShadowKind = Literal["contact", "cast"]

# px. A longer side is drawn smaller: a shadow has no finer detail.
_DRAWN_SIDE = 1200
# Coverage from which a pixel belongs to the thing; rows with fewer px are hair, not feet.
_SOLID = 0.5
# Share of the layer's height, above its lowest point, that touches the ground.
_CONTACT_HEIGHT = 0.12
# The ground is seen at a slant: a contact shadow is this much flatter than the foot that throws it.
_CONTACT_FLATNESS = 0.3
# The light that the whole body keeps from the ground below it: the body laid this flat, and its share of the darkness.
_POOL_FLATNESS, _POOL_SHARE = 0.12, 0.8
# Share of the layer's height that a foot is wide: feet at different heights are joined over this distance.
_FOOT_WIDTH = 0.03
# A shadow straight to the side would be a line without width: it has at least this share of its length in depth.
_LEAST_DEPTH = 0.12
# Blur as a share of the layer's height: at the feet, and at the far end for a softness of 1.
_NEAR_BLUR, _FAR_BLUR = 0.006, 0.12
# Share of its length at which a cast shadow is drawn with a third, middle blur.
_MIDDLE = 0.35
# How much of its darkness a cast shadow loses on its way to the far end.
_FADE = 0.5


class ShadowSettings(BaseModel):
    """The shadow of a layer, drawn on the picture below it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    kind: ShadowKind = "contact"
    """contact: the dark line where the layer stands; cast: the shadow that falls on the ground, with the contact shadow."""
    angle: float | None = Field(default=None, ge=-360, le=360)
    """cast: where the shadow falls, in degrees clockwise from the top; by default away from the light of the picture."""
    length: float | None = Field(default=None, gt=0, le=4)
    """Length of the shadow in heights of the layer (up to 4); default 0.6 for cast, 0.05 for contact."""
    softness: float = Field(default=0.4, ge=0, le=1)
    """How soft the shadow's edge becomes with distance (0 to 1)."""
    opacity: float = Field(default=0.6, ge=0, le=1)
    """How much of the light the shadow takes away (0 to 1)."""


class DrawnShadow(NamedTuple):
    """A shadow at its place: its window in the picture, and the share of light (rows, columns), 0..1, that it takes away there."""

    window: Window
    darkness: Mask


class _Ground(NamedTuple):
    """A layer and the canvas on which its shadow is drawn.

    upright: (h, w), 0..1, the layer with the feet of all columns moved down to one row. feet: (w,), the row of each column's foot before.
    foot, height: px of the layer. offset: of the layer on the canvas, right and down, in px of the picture. canvas: its width and height.
    scale: px of the canvas for one px of the picture.
    """

    upright: Mask
    feet: NDArray[np.float32]
    foot: int
    height: int
    offset: tuple[int, int]
    canvas: tuple[int, int]
    scale: float

    def project(self, values: Mask, across: float, along: float) -> NDArray[np.float32]:
        """Return ``values`` (h, w), 0..1, laid on the ground, on the canvas.

        A point u px above its foot moves ``across`` u px to the right of its place and lies ``along`` u px above that foot (below if
        negative).
        """
        import cv2

        right, down = self.offset
        matrix = self.scale * np.array([[1.0, -across, right + across * self.foot], [0.0, along, down + self.foot - along * self.foot]])
        projected = cv2.warpAffine(np.ascontiguousarray(values), matrix, self.canvas, borderMode=cv2.BORDER_CONSTANT)
        x, y = np.meshgrid(np.arange(self.canvas[0], dtype=np.float32), np.arange(self.canvas[1], dtype=np.float32))
        above = np.clip((down + self.foot - y / self.scale) / along, 0.0, self.height)
        column = np.clip(x / self.scale - right - across * above, 0, len(self.feet) - 1)
        raised = (self.foot - np.interp(column, np.arange(len(self.feet)), self.feet)) * self.scale
        rows = y + raised.astype(np.float32)
        return np.asarray(cv2.remap(projected, x, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.float32)


def stands_on_ground(coverage: Mask, window: Window, picture_height: int) -> bool:
    """Return whether the layer (h, w), 0..1, ends above the picture's bottom edge, so that its feet can be seen."""
    return bool((coverage > _SOLID).any()) and window[0].start + _foot_row(coverage) < picture_height - 1


def draw_shadow(coverage: Mask, window: Window, size: tuple[int, int], settings: ShadowSettings, angle: float) -> DrawnShadow | None:
    """Return the shadow of a layer, ``coverage`` (h, w), 0..1, at ``window`` in a picture of ``size`` (height, width).

    ``angle``: where a cast shadow falls, in degrees clockwise from the top of the picture. None if none of it lies in the picture.
    """
    import cv2

    foot, height = _foot_row(coverage), _height(coverage)
    is_cast = settings.kind == "cast"
    reach = settings.length if settings.length is not None else (0.6 if is_cast else 0.05)
    margin = math.ceil(height * (reach + 3 * _FAR_BLUR * settings.softness + 3 * _NEAR_BLUR)) + 4
    rows, columns = window
    top, left = max(0, rows.start - margin), max(0, columns.start - margin)
    bottom, right = min(size[0], rows.start + foot + margin), min(size[1], columns.stop + margin)
    if top >= bottom or left >= right:
        return None
    scale = min(1.0, _DRAWN_SIDE / max(bottom - top, right - left))
    canvas = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
    feet = _foot_of_columns(coverage, foot, height)
    ground = _Ground(_stand_on_one_row(coverage, feet, foot), feet, foot, height, (columns.start - left, rows.start - top), canvas, scale)
    darkness = _contact(ground, 0.05 if is_cast else min(reach, 0.3), settings.softness)
    if is_cast:
        darkness = np.maximum(darkness, _cast(ground, reach, angle, settings.softness))
    full = np.asarray(cv2.resize(darkness, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR), np.float32)
    full = np.where(full < 1 / 1024, np.float32(0.0), np.clip(full, 0.0, 1.0)) * np.float32(settings.opacity)
    return DrawnShadow(np.s_[top:bottom, left:right], full)


def apply_shadow(pixels: Pixels, darkness: Mask, light: LinearLight) -> Pixels:
    """Return the backdrop (h, w, c), 0..1, display-encoded, with ``darkness`` (h, w), 0..1, taken from its linear light.

    A pixel with no darkness keeps its bits.
    """

    def slab(piece: Pixels, top: int) -> Pixels:
        share = darkness[top : top + len(piece), :, None]
        return np.where(share > 0, light.from_linear(light.to_linear(piece) * (1.0 - share)), piece)

    return map_slabs_with_row(pixels, slab)


def _foot_row(coverage: Mask) -> int:
    """Return the lowest row of the layer that is more than a few px wide."""
    counts = (coverage > _SOLID).sum(axis=1)
    solid = np.flatnonzero(counts >= max(1, round(0.02 * counts.max())))
    return int(solid[-1]) if len(solid) else coverage.shape[0] - 1


def _height(coverage: Mask) -> int:
    """Return the height of the layer in px, from its highest solid row to its foot; at least 1."""
    solid = np.flatnonzero((coverage > _SOLID).any(axis=1))
    return max(1, _foot_row(coverage) - int(solid[0])) if len(solid) else 1


def _foot_of_columns(coverage: Mask, foot: int, height: int) -> NDArray[np.float32]:
    """Return the row (w,) on which each column of the layer stands: its own foot if it has one near the lowest, else one between those."""
    import cv2

    rows = coverage.shape[0] - 1 - np.argmax(coverage[::-1] > _SOLID, axis=0)
    is_foot = (coverage > _SOLID).any(axis=0) & (rows >= foot - _CONTACT_HEIGHT * height) & (rows <= foot)
    if not is_foot.any():
        return np.full(coverage.shape[1], foot, np.float32)
    lowest = np.where(is_foot, rows, 0).astype(np.float32)[None]
    reach = max(1, round(_FOOT_WIDTH * height))
    lowest = np.asarray(cv2.dilate(lowest, np.ones((1, 2 * reach + 1), np.uint8)), np.float32)[0]
    columns = np.flatnonzero(lowest > 0)
    between = np.interp(np.arange(coverage.shape[1]), columns, lowest[columns]).astype(np.float32)
    return np.asarray(_blurred(between[None], float(reach))[0], np.float32)


def _stand_on_one_row(coverage: Mask, feet: NDArray[np.float32], foot: int) -> Mask:
    """Return the layer (h, w) with each column moved down so that its foot lies on ``foot``, and nothing below that row."""
    import cv2

    x, y = np.meshgrid(np.arange(coverage.shape[1], dtype=np.float32), np.arange(coverage.shape[0], dtype=np.float32))
    moved = cv2.remap(np.ascontiguousarray(coverage), x, y - (foot - feet)[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(moved * (y <= foot), np.float32)


def _contact(ground: _Ground, reach: float, softness: float) -> NDArray[np.float32]:
    """Return the contact shadow on the canvas: the feet laid flat and blurred, darkest where they touch the ground."""
    rows = np.arange(ground.upright.shape[0], dtype=np.float32)
    above = (ground.foot - rows) / max(1.0, _CONTACT_HEIGHT * ground.height)
    feet = ground.upright * np.clip(1.0 - above, 0.0, 1.0).astype(np.float32)[:, None]
    flat, pool = (
        ground.project(part, 0.0, flatness) + ground.project(part, 0.0, -flatness)
        for part, flatness in ((feet, _CONTACT_FLATNESS), (ground.upright, _POOL_FLATNESS))
    )
    size = ground.scale * ground.height
    near = _blurred(flat, size * _NEAR_BLUR)
    wide = _blurred(flat, size * reach * (0.2 + 0.4 * softness))
    pool = _blurred(np.minimum(pool, np.float32(1.0)), size * reach * (0.3 + softness))
    return np.asarray(np.clip(np.maximum(np.maximum(near, 2.0 * wide), _POOL_SHARE * pool), 0.0, 1.0), np.float32)


def _cast(ground: _Ground, reach: float, angle: float, softness: float) -> NDArray[np.float32]:
    """Return the cast shadow on the canvas: the layer laid on the ground, softer and fainter with its distance."""
    across, along = reach * math.sin(math.radians(angle)), reach * math.cos(math.radians(angle))
    along = math.copysign(max(abs(along), _LEAST_DEPTH * reach), along)
    shape = ground.project(ground.upright, across, along)
    blurs = [ground.scale * ground.height * (_NEAR_BLUR + share * softness * _FAR_BLUR) for share in (0.0, _MIDDLE, 1.0)]
    near, middle, far = (_blurred(shape, sigma) for sigma in blurs)
    rows = np.arange(ground.canvas[1], dtype=np.float32) / np.float32(ground.scale)
    distance = np.clip((ground.offset[1] + ground.foot - rows) / np.float32(along * ground.height), 0.0, 1.0)[:, None]
    low, high = np.clip(distance / _MIDDLE, 0.0, 1.0), np.clip((distance - _MIDDLE) / (1.0 - _MIDDLE), 0.0, 1.0)
    mixed = (near * (1 - low) + middle * low) * (1 - high) + far * high
    return np.asarray(mixed * (1.0 - _FADE * distance), np.float32)


def _blurred(plane: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Return the plane (h, w) after a Gaussian blur of ``sigma`` px."""
    import cv2

    if sigma < 0.3:
        return plane
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)
