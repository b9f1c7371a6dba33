"""Faces with a known mesh: painted heads of any size, rotation and tone. The mesh is a result of the network for a photograph."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from goldsmith.engines.vision import Face, Points
from goldsmith.ops.face_swap.landmarks import (
    BROWS,
    EYES,
    FACE_POINT_COUNT,
    INNER_LIPS,
    LIPS,
    OUTLINE,
    five_landmarks,
)
from goldsmith.picture.outline_masks import convex_hull, outlines_to_mask
from goldsmith.picture.picture import BitDepth, Picture, Pixels, freeze

SKIN = (0.80, 0.60, 0.50)
DARK = (0.45, 0.30, 0.24)
WALL = (0.25, 0.35, 0.45)


@cache
def _unit() -> Points:
    """Return (478, 2): a face whose outline has an area of 1, with its upper left corner at 0."""
    points = np.loadtxt(Path(__file__).with_name("mesh.csv"), delimiter=",").astype(np.float32)
    points.flags.writeable = False
    return points


def mesh_at(left: float, top: float, size: float, turn: float = 0.0, aside: float = 0.0) -> Points:
    """Return the mesh, (478, 2) px, of a face of that size in px.

    turn:  rotation about its middle, in degrees clockwise.
    aside: shift of the nose to the right, relative to half the width; a turned head looks like this.
    """
    points = _unit().astype(np.float64).copy()
    middle = points[:FACE_POINT_COUNT].mean(axis=0)
    radius = np.linalg.norm((points - middle) / [0.48, 0.62], axis=1)
    points[:, 0] += 0.48 * aside * np.clip(1 - radius**2, 0, 1)
    angle = np.radians(turn)
    turned = (points - middle) @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) + middle
    return (turned * size + [left, top]).astype(np.float32)


def face_from_mesh(mesh: Points, score: float = 0.9) -> Face:
    """Return the face that a detector would find for a mesh, (478, 2) px."""
    (left, top), (right, bottom) = mesh[:FACE_POINT_COUNT].min(axis=0), mesh[:FACE_POINT_COUNT].max(axis=0)
    return Face((float(left), float(top), float(right - left), float(bottom - top)), five_landmarks(mesh), score)


def paint_faces(
    height: int,
    width: int,
    meshes: list[Points],
    skin: tuple[float, float, float] = SKIN,
    *,
    light: float = 0.0,
    depth: BitDepth = 8,
    seed: int = 0,
) -> Picture:
    """Return a picture (height, width, 3), 0..1, of heads before a wall, with brows, eyes and lips; meshes (478, 2) px each.

    light: how much brighter a face is on its right than on its left, 0..1.
    """
    random = np.random.default_rng(seed)
    pixels = np.broadcast_to(np.float32(WALL), (height, width, 3)).copy()
    for mesh in meshes:
        size = max(float(np.ptp(mesh[:FACE_POINT_COUNT, 0])), 1.0)
        across = (np.arange(width, dtype=np.float32)[None, :, None] + 0.5 - mesh[:FACE_POINT_COUNT, 0].mean()) / np.float32(size)
        lit = np.clip(np.float32(skin) * (1 + light * across), 0, 1)
        pixels = _paint_over(pixels, lit, [mesh[list(OUTLINE)]], 0.04 * size)
        for eye, brow in zip(EYES, BROWS, strict=True):
            pixels = _paint_over(pixels, np.float32((0.2, 0.13, 0.1)), [convex_hull(mesh[list(brow)])], 0.0)
            pixels = _paint_over(pixels, np.float32((0.9, 0.9, 0.9)), [mesh[list(eye)]], 0.0)
        pixels = _paint_over(pixels, np.float32((0.65, 0.3, 0.3)), [mesh[list(LIPS)]], 0.0)
        pixels = _paint_over(pixels, np.float32((0.3, 0.1, 0.1)), [mesh[list(INNER_LIPS)]], 0.0)
    noise = random.normal(0, 0.008, (height, width, 1)).astype(np.float32)
    levels = 2**depth - 1
    codes = np.round(np.clip(cv2.GaussianBlur(pixels, (0, 0), 0.7) + noise, 0, 1) * levels) / levels
    return Picture(freeze(codes.astype(np.float32)), depth=depth)


def _paint_over(pixels: Pixels, colour: Pixels, outlines: list[Points], grow: float) -> Pixels:
    mask = outlines_to_mask(*pixels.shape[:2], [(outline.astype(np.float32), grow, 1.0) for outline in outlines])[:, :, None]
    return np.asarray(pixels + mask * (colour - pixels), np.float32)
