"""Blending: only where both faces are visible and in the region, in the target's profile; a generated square lies where it was cut out."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest

from doubles.faces import DARK, mesh_at, paint_faces
from goldsmith.ops.face_swap.blending import (
    AlignedFace,
    SwapOptions,
    align_generated_face,
    blend_face,
    extract_source_face,
    match_profile,
    warp_source_face,
)
from goldsmith.ops.face_swap.face_parts import FaceParts, face_box
from goldsmith.ops.face_swap.landmarks import FACE_POINT_COUNT
from goldsmith.picture.picture import Picture, freeze
from goldsmith.picture.profiles import builtin_profile

MESH = mesh_at(40, 40, 120)
PICTURE = paint_faces(240, 220, [MESH])
PARTS = FaceParts(MESH, face_box(MESH, 240, 220))
VISIBLE = np.ones((PARTS.box.height, PARTS.box.width), np.float32)
OPTIONS = SwapOptions(1.0, 0.0, 0.1, 0)


def _aligned_face(*colour: float, cover: float = 1.0) -> AlignedFace:
    pixels = np.broadcast_to(np.float32(colour), (*VISIBLE.shape, len(colour))).copy()
    return AlignedFace(pixels, cover * VISIBLE, MESH, 1.0)


def _share(patch: np.ndarray) -> np.ndarray:
    """Return how far each px of the box has become the aligned green face, measured in red."""
    before = PICTURE.pixels_in(PARTS.box.window)
    return np.asarray(((patch - before) / (np.float32((0, 1, 0)) - before))[:, :, 0])


def test_the_face_fades_in_from_the_outline() -> None:
    """The share is 0 at the outline and 1 inside; a larger feather widens the fade, which never leaves the outline."""
    widths = []
    for feather in (0.0, 0.1, 0.3):
        share = _share(blend_face(PICTURE, PARTS, VISIBLE, _aligned_face(0, 1, 0), SwapOptions(1, 0, feather, 0), None).patch[1])
        assert (share[PARTS.depth == 0] == 0).all()
        assert share.max() == pytest.approx(1, abs=0.01)
        widths.append(((share > 0.02) & (share < 0.98)).sum())
    assert widths == sorted(widths)
    assert widths[0] < 0.2 * widths[1]


@pytest.mark.parametrize("visible_share", [0.0, 0.4])
def test_parts_hidden_in_either_face_stay(visible_share: float) -> None:
    """The visible share of the target limits the blend as much as the usable share of the source."""
    partly_visible = blend_face(PICTURE, PARTS, visible_share * VISIBLE, _aligned_face(0, 1, 0), OPTIONS, None).patch[1]
    partly_covered = blend_face(PICTURE, PARTS, VISIBLE, _aligned_face(0, 1, 0, cover=visible_share), OPTIONS, None).patch[1]
    assert np.array_equal(partly_visible, partly_covered)
    assert _share(partly_visible).max() == pytest.approx(visible_share, abs=0.01)


def test_a_region_limits_the_blend_and_is_counted() -> None:
    """Outside the region no code changes; written and unwritten px add up to the picture."""
    region = np.zeros((240, 220), np.float32)
    region[:, :100] = 1
    result = blend_face(PICTURE, PARTS, VISIBLE, _aligned_face(0, 1, 0), OPTIONS, region)
    blended = PICTURE.with_patches([result.patch])
    assert np.array_equal(blended.to_codes()[:, 100:], PICTURE.to_codes()[:, 100:])
    assert result.written_pixels + result.outside_pixels == 240 * 220
    assert result.outside_changed == 0
    assert 0 < result.written_pixels < 100 * 240


def test_only_a_face_smoother_than_the_picture_gets_grain() -> None:
    """A face without noise gets the picture's grain, the same one each time."""
    grain = np.random.default_rng(0).normal(0, 0.05, PICTURE.pixels.shape[:2])[:, :, None]
    noisy = PICTURE.with_pixels(np.clip(PICTURE.pixels + grain, 0, 1).astype(np.float32))
    first, second = (blend_face(noisy, PARTS, VISIBLE, _aligned_face(0.6, 0.5, 0.4), OPTIONS, None) for _ in range(2))
    assert 0.02 < first.grain < 0.08
    assert np.array_equal(first.patch[1], second.patch[1])
    equally_noisy = AlignedFace(noisy.pixels_in(PARTS.box.window), VISIBLE, MESH, 1.0)
    assert blend_face(noisy, PARTS, VISIBLE, equally_noisy, OPTIONS, None).grain == 0


def test_the_source_face_is_cropped_from_a_large_picture() -> None:
    """Only the face and a margin are kept, the mesh moves with them, and masks of the picture do not matter."""
    large = Picture(
        freeze(np.pad(PICTURE.pixels, ((300, 0), (500, 0), (0, 0)))),
        masks=MappingProxyType({"mask": freeze(np.ones((540, 720), np.float32))}),
    )
    sitter = extract_source_face(large, MESH + np.float32((500, 300)), PICTURE)
    assert sitter.pixels.shape[0] < 200
    whole = extract_source_face(PICTURE, MESH, PICTURE)
    assert np.array_equal(sitter.pixels, whole.pixels)
    assert sitter.parts.mesh == pytest.approx(whole.parts.mesh, abs=1e-3)


def test_a_warped_face_has_the_sitter_s_colours_at_the_target_s_place() -> None:
    """The cheek lies on the cheek, and hardly any px outside the mesh is covered."""
    sitter = extract_source_face(paint_faces(400, 400, [mesh_at(90, 90, 200, turn=20)], DARK), mesh_at(90, 90, 200, turn=20), PICTURE)
    aligned = warp_source_face(sitter, PARTS, 1.0, None)
    x, y = (MESH[205] - [PARTS.box.left, PARTS.box.top]).round().astype(int)
    assert aligned.pixels[y, x] == pytest.approx(np.float32(DARK), abs=0.03)
    assert aligned.scale == pytest.approx(200 / 120, rel=0.01)
    assert not aligned.coverage[PARTS.depth == 0][::7].sum() > 0.05 * PARTS.inside.sum()
    assert aligned.landmarks.shape == (478, 2)
    assert np.array_equal(aligned.landmarks[FACE_POINT_COUNT:], MESH[FACE_POINT_COUNT:])


def test_a_generated_square_lies_at_its_corners() -> None:
    """At this angle and size, a mark in the square is found at its place in the picture; the square's rim is not used."""
    face = np.zeros((64, 64, 3), np.float32)
    face[30:34, 40:44] = 1
    turn = np.radians(25)
    along, down = 1.25 * np.array([np.cos(turn), np.sin(turn)]), 1.25 * np.array([-np.sin(turn), np.cos(turn)])
    corner = np.array([90.0, 60.0])
    aligned = align_generated_face(face, np.float32([corner, corner + 64 * along, corner + 64 * down]), PARTS, 3)
    x, y = corner + 42 * along + 32 * down - [PARTS.box.left, PARTS.box.top]
    rows, columns = np.nonzero(aligned.pixels[:, :, 0] > 0.5)
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((x, y), abs=0.6)
    assert aligned.scale == pytest.approx(1 / 1.25)
    outside = corner + 20 * down - 5 * along - [PARTS.box.left, PARTS.box.top]
    assert aligned.coverage[int(outside[1]), int(outside[0])] == 0


@pytest.mark.parametrize(("channels", "icc"), [(1, None), (3, None), (3, builtin_profile("adobe-rgb"))])
def test_pixels_are_converted_to_the_target_s_profile_and_channels(channels: int, icc: bytes | None) -> None:
    """Mid-grey stays mid-grey: the channels are equal, and the profile's own curve is used."""
    source = Picture(freeze(np.full((4, 5, 3), 0.5, np.float32)))
    target = Picture(freeze(np.zeros((4, 5, channels), np.float32)), icc=icc)
    pixels = match_profile(source, target)
    assert pixels.shape == (4, 5, channels)
    assert np.ptp(pixels) < 0.01
    assert pixels.mean() == pytest.approx(0.5, abs=0.02)
    grey = Picture(freeze(np.full((4, 5, 1), 0.5, np.float32)))
    assert match_profile(grey, target).shape == (4, 5, channels)
