"""Warp a picture from one face mesh to another: one affine map for each triangle, one resampling for all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.face_swap.landmarks import FACE_POINT_COUNT, OUTLINE, Landmarks, face_size
from goldsmith.picture.crop_planning import CropBox
from goldsmith.picture.picture import Pixels
from goldsmith.picture.resample import resize

# Subpixel bits of the drawn triangles.
_SUBPIXEL_BITS = 4
# From this distance inside the outline, as a share of the face's size, features may keep their full shape.
_FULL_SHAPE_INSET = 0.2


@dataclass(frozen=True, eq=False, slots=True)
class WarpMap:
    """For each pixel of a box, (h, w): its source position as array indices; far outside where there is no mesh."""

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    # Mean px of the source for one px of the result.
    scale: float


def place_source_landmarks(source: Landmarks, target: Landmarks, own_shape: float) -> Landmarks:
    """Return where the source's landmarks (468, 2) px go in the target's picture: onto the target's (``own_shape`` = 0), or between these
    and their own shape and expression at the target's position and pose (1). At the outline they always lie on the target's.
    """
    source_points, target_points = source[:FACE_POINT_COUNT].astype(np.float64), target[:FACE_POINT_COUNT].astype(np.float64)
    fitted = np.hstack([source_points, np.ones((FACE_POINT_COUNT, 1))]) @ fit_affine(source_points, target_points)
    rim = target_points[list(OUTLINE)]
    distance = np.sqrt(np.square(target_points[:, None] - rim[None]).sum(axis=2)).min(axis=1)
    share = np.clip(distance / (_FULL_SHAPE_INSET * face_size(target)), 0, 1)
    share = own_shape * (share * share * (3 - 2 * share))
    return np.asarray(target_points + share[:, None] * (fitted - target_points), np.float32)


def fit_affine(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (3, 2) affine map that brings the source points, (n, 2) px, nearest to the target points, by least squares."""
    return np.asarray(np.linalg.lstsq(np.hstack([source, np.ones((len(source), 1))]), target, rcond=None)[0], np.float64)


def build_warp_map(source: Landmarks, target: Landmarks, box: CropBox) -> WarpMap:
    """Return the map from each pixel of ``box`` to the source, (468, 2) px: piecewise affine on the Delaunay triangles of ``target``."""
    from scipy.spatial import Delaunay

    triangles = np.asarray(Delaunay(target.astype(np.float64)).simplices)
    numbers = _rasterise_triangles(target[triangles] - np.array([box.left, box.top]), box.height, box.width)
    maps = _triangle_maps(target[triangles].astype(np.float64), source[:FACE_POINT_COUNT][triangles].astype(np.float64))
    rows, columns = np.mgrid[box.top : box.bottom, box.left : box.right].astype(np.float32) + np.float32(0.5)
    is_inside = numbers >= 0
    chosen = maps.astype(np.float32)[np.maximum(numbers, 0)]
    x, y = (chosen[..., 0, axis] * columns + chosen[..., 1, axis] * rows + chosen[..., 2, axis] - 0.5 for axis in (0, 1))
    outside = np.float32(-1e4)
    x, y = (np.where(is_inside, each, outside).astype(np.float32) for each in (x, y))
    return WarpMap(x, y, face_size(source) / max(face_size(target), 1e-6))


def _rasterise_triangles(corners: NDArray[np.float32], height: int, width: int) -> NDArray[np.int32]:
    """Return the triangle of each pixel, (h, w), or -1 outside; at a shared edge, either triangle is right."""
    import cv2

    triangle_indices = np.full((height, width), -1, np.int32)
    exact = np.round((corners - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32)
    for number, triangle in enumerate(exact):
        cv2.fillConvexPoly(triangle_indices, triangle, number, lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)
    return triangle_indices


def _triangle_maps(target: NDArray[np.float64], source: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n, 3, 2): for each triangle the affine map from its target position to its source position."""
    corners = np.concatenate([target, np.ones((len(target), 3, 1))], axis=2)
    flat = np.abs(np.linalg.det(corners)) < 1e-6
    corners[flat] = np.eye(3)
    maps = np.linalg.solve(corners, source)
    maps[flat] = 0
    maps[flat, 2] = source[flat, 0]
    return np.asarray(maps)


def apply_warp(pixels: Pixels, warp_map: WarpMap) -> Pixels:
    """Return the source's pixels (h, w, c), 0..1, linear light, at the mapped positions; reductions are averaged, not sampled."""
    import cv2

    shrink = max(1.0, warp_map.scale)
    height, width = pixels.shape[:2]
    high, wide = max(1, math.ceil(height / shrink)), max(1, math.ceil(width / shrink))
    small = resize(pixels, high, wide, "area") if shrink > 1 else pixels
    x, y = ((each + 0.5) * (reduced / full) - 0.5 for each, reduced, full in ((warp_map.x, wide, width), (warp_map.y, high, height)))
    warped = cv2.remap(small, x.astype(np.float32), y.astype(np.float32), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.clip(np.asarray(warped, np.float32).reshape(*warp_map.x.shape, pixels.shape[2]), 0.0, 1.0)
