"""Blend one face onto another: warped or generated, lit like the face it replaces, faded in from its outline. Nothing else changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from goldsmith.ops.face_swap.face_parts import FaceParts, face_box
from goldsmith.ops.face_swap.landmarks import FACE_POINT_COUNT, Landmarks
from goldsmith.ops.face_swap.occlusion import visibility_mask
from goldsmith.ops.face_swap.relighting import relight
from goldsmith.ops.face_swap.warp import WarpMap, apply_warp, build_warp_map, fit_affine, place_source_landmarks
from goldsmith.picture import colour
from goldsmith.picture.harmonisation import match_grain
from goldsmith.picture.linear_light import LinearLight
from goldsmith.picture.picture import Mask, Picture, PixelPatch, Pixels, quantise

# No pixel is used closer to the outline than this share of the face's size, because the mesh may lie beside the face there.
_OUTLINE_INSET = 0.01
# Width of a face's rim, as a share of its size.
_RIM_WIDTH = 0.06


@dataclass(frozen=True, eq=False, slots=True)
class SourceFace:
    """The face to use: the part of the picture that shows it, display-encoded in the target's profile, and its parts there."""

    pixels: Pixels
    parts: FaceParts
    visibility: Mask

    @property
    def hidden_share(self) -> float:
        """The hidden share of the face, 0..1."""
        return hidden_share(self.visibility, self.parts)


@dataclass(frozen=True, eq=False, slots=True)
class AlignedFace:
    """A face ready to be blended: its pixels in the target's box, how far they may be used, where its landmarks lie in the picture, and how
    many px of the source there were for one px.
    """

    pixels: Pixels
    coverage: Mask
    landmarks: Landmarks
    scale: float


@dataclass(frozen=True, slots=True)
class SwapOptions:
    """How to blend. ``strength`` and ``match`` are 0..1; ``feather`` is a share of the face's size."""

    strength: float
    match: float
    feather: float
    seed: int


@dataclass(frozen=True, eq=False, slots=True)
class SwapResult:
    """The new pixels of the box, how much grain was added, and how many px changed outside the editable region (always 0)."""

    patch: PixelPatch
    grain: float
    written_pixels: int
    outside_pixels: int
    outside_changed: int


def extract_source_face(picture: Picture, mesh: Landmarks, target: Picture) -> SourceFace:
    """Return the face of ``picture`` with that mesh, (468, 2) px, in the profile and channels of ``target``. The cost depends on the face,
    not on the picture.
    """
    box = face_box(mesh, picture.height, picture.width)
    local_mesh = mesh - np.array([box.left, box.top], np.float32)
    pixels = match_profile(picture.with_geometry(picture.pixels_in(box.window), lambda mask: mask[box.window]), target)
    height, width = pixels.shape[:2]
    parts = FaceParts(local_mesh, type(box)(0, 0, height, width))
    return SourceFace(pixels, parts, visibility_mask(pixels, parts, LinearLight(target.icc)))


def match_profile(picture: Picture, target: Picture) -> Pixels:
    """Return the picture's pixels, (h, w, c), 0..1, display-encoded in the profile of ``target``, grey or colour like the target."""
    pixels = colour.convert_profile(picture, target.icc or "srgb").pixels
    if target.channels == pixels.shape[2]:
        return pixels
    if target.channels == 3:
        return np.repeat(pixels, 3, axis=2)
    light = colour.luminance(colour.to_linear(pixels, None))[:, :, None]
    return np.clip(colour.from_linear(np.ascontiguousarray(light), target.icc), 0.0, 1.0)


def warp_source_face(source: SourceFace, target: FaceParts, own_shape: float, icc: bytes | None) -> AlignedFace:
    """Return the source face warped onto the target's mesh, in linear light; ``own_shape`` (0..1) is how far its features keep their own
    shape.
    """
    light = LinearLight(icc)
    mesh = place_source_landmarks(source.parts.mesh, target.mesh, own_shape)
    warp_map = build_warp_map(source.parts.mesh, mesh, target.box)
    warped = apply_warp(np.concatenate([light.to_linear(source.pixels), source.visibility[:, :, None]], axis=2), warp_map)
    coverage = np.where(warp_map.x > -1, warped[:, :, -1], 0).astype(np.float32)
    all_landmarks = np.vstack([mesh, target.mesh[FACE_POINT_COUNT:]]).astype(np.float32)
    return AlignedFace(light.from_linear(np.ascontiguousarray(warped[:, :, :-1])), coverage, all_landmarks, warp_map.scale)


def align_generated_face(face: Pixels, corners: Landmarks, target: FaceParts, channels: int) -> AlignedFace:
    """Return a generated face, (side, side, 3), 0..1, sRGB, whose corners (3, 2) lie at these px of the picture, brought into the target's
    box.
    """
    side = face.shape[0]
    known = np.array([(0, 0), (side, 0), (0, side)], np.float64)
    inverse = fit_affine(corners.astype(np.float64), known)
    box = target.box
    rows, columns = np.mgrid[box.top : box.bottom, box.left : box.right] + 0.5
    x, y = (columns * inverse[0, axis] + rows * inverse[1, axis] + inverse[2, axis] - 0.5 for axis in (0, 1))
    scale = float(side / max(np.linalg.norm(corners[1] - corners[0]), 1e-6))
    warped = apply_warp(face, WarpMap(x.astype(np.float32), y.astype(np.float32), scale))
    rim = np.minimum(np.minimum(x, y), side - 1 - np.maximum(x, y)) / max(0.03 * side, 1.0)
    pixels = warped if channels == 3 else colour.luma(warped)[:, :, None]
    return AlignedFace(pixels, np.clip(rim, 0, 1).astype(np.float32), target.mesh, scale)


def target_visibility(picture: Picture, parts: FaceParts) -> Mask:
    """Return the visibility of each pixel of the target's face, (h, w) of its box, 0..1."""
    return visibility_mask(picture.pixels_in(parts.box.window), parts, LinearLight(picture.icc))


def hidden_share(visibility: Mask, parts: FaceParts) -> float:
    """Return the hidden share of a face, 0..1, given its visibility (h, w), 0..1; the rim, which always has hair, does not count."""
    is_inner = parts.depth > _RIM_WIDTH * parts.size
    return 0.0 if not is_inner.any() else 1 - float(visibility[is_inner].mean())


def blend_face(
    picture: Picture, target: FaceParts, visibility: Mask, aligned: AlignedFace, options: SwapOptions, region: Mask | None
) -> SwapResult:
    """Return the picture's box with the face blended in where both faces are visible; outside ``region`` (h, w of the picture), 0..1, no
    code changes.
    """
    original, light = picture.pixels_in(target.box.window), LinearLight(picture.icc)
    aligned_parts = FaceParts(aligned.landmarks, target.box)
    coverage = visibility * aligned.coverage
    features = np.maximum(target.features, aligned_parts.features)
    visible = target.inside * coverage
    eyes = aligned_parts.eyes * visible, target.eyes * visible
    face = relight(aligned.pixels, original, visible * (1 - features), visible * features, light, target.size, options.match, eyes)
    weight = _feather_mask(target, options.feather) * coverage * np.float32(options.strength)
    weight = weight if region is None else weight * region[target.box.window]
    face, grain = match_grain(face, weight, original, options.seed)
    share = weight[:, :, None]
    patch = np.where(share > 0, original + share * (face - original), original).astype(np.float32)
    outside = weight <= 0
    differs = (quantise(patch, picture.depth) != quantise(original, picture.depth)).any(axis=2)
    total = picture.height * picture.width
    written = int(np.count_nonzero(~outside))
    return SwapResult((target.box.window, patch), grain, written, total - written, int(np.count_nonzero(differs & outside)))


def _feather_mask(parts: FaceParts, feather: float) -> Mask:
    """Return a mask that is 0 at the outline and 1 from that distance inside."""
    rise = np.clip((parts.depth - _OUTLINE_INSET * parts.size) / max(feather * parts.size, 0.5), 0, 1)
    return np.asarray(rise * rise * (3 - 2 * rise), np.float32)
