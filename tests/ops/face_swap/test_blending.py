"""Laid in: where both faces lie open and the reach allows it, in the target's profile; a net's square comes to lie where it was cut."""

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
PLATE = paint_faces(240, 220, [MESH])
PARTS = FaceParts(MESH, face_box(MESH, 240, 220))
OPEN = np.ones((PARTS.box.height, PARTS.box.width), np.float32)
MANNER = SwapOptions(1.0, 0.0, 0.1, 0)


def _offered(*colour: float, cover: float = 1.0) -> AlignedFace:
    pixels = np.broadcast_to(np.float32(colour), (*OPEN.shape, len(colour))).copy()
    return AlignedFace(pixels, cover * OPEN, MESH, 1.0)


def _share(patch: np.ndarray) -> np.ndarray:
    """How far the green of a box has become the offered face's."""
    before = PLATE.pixels_in(PARTS.box.window)
    return np.asarray(((patch - before) / (np.float32((0, 1, 0)) - before))[:, :, 0])


def test_it_fades_in_from_the_outline() -> None:
    """0 there, 1 so far inside; wider where more is asked; never outside."""
    widths = []
    for feather in (0.0, 0.1, 0.3):
        share = _share(blend_face(PLATE, PARTS, OPEN, _offered(0, 1, 0), SwapOptions(1, 0, feather, 0), None).patch[1])
        assert (share[PARTS.depth == 0] == 0).all()
        assert share.max() == pytest.approx(1, abs=0.01)
        widths.append(((share > 0.02) & (share < 0.98)).sum())
    assert widths == sorted(widths)
    assert widths[0] < 0.2 * widths[1]


@pytest.mark.parametrize("open_", [0.0, 0.4])
def test_what_is_hidden_in_either_face_stays(open_: float) -> None:
    """By the share that lies open of the one and may be used of the other."""
    one = blend_face(PLATE, PARTS, open_ * OPEN, _offered(0, 1, 0), MANNER, None).patch[1]
    other = blend_face(PLATE, PARTS, OPEN, _offered(0, 1, 0, cover=open_), MANNER, None).patch[1]
    assert np.array_equal(one, other)
    assert _share(one).max() == pytest.approx(open_, abs=0.01)


def test_a_reach_bounds_it_and_is_counted() -> None:
    """Outside of it not one code; what is written and what is not add up to the picture."""
    reach = np.zeros((240, 220), np.float32)
    reach[:, :100] = 1
    done = blend_face(PLATE, PARTS, OPEN, _offered(0, 1, 0), MANNER, reach)
    made = PLATE.with_patches([done.patch])
    assert np.array_equal(made.to_codes()[:, 100:], PLATE.to_codes()[:, 100:])
    assert done.written_pixels + done.outside_pixels == 240 * 220
    assert done.outside_changed == 0
    assert 0 < done.written_pixels < 100 * 240


def test_a_picture_as_smooth_as_the_other_gets_no_grain_and_a_smoother_one_does() -> None:
    """The picture's own noise on a face that has none."""
    noisy = np.clip(PLATE.pixels + np.random.default_rng(0).normal(0, 0.05, PLATE.pixels.shape[:2])[:, :, None], 0, 1)
    done = blend_face(PLATE.with_pixels(noisy.astype(np.float32)), PARTS, OPEN, _offered(0.6, 0.5, 0.4), MANNER, None)
    assert 0.02 < done.grain < 0.08
    again = blend_face(PLATE.with_pixels(noisy.astype(np.float32)), PARTS, OPEN, _offered(0.6, 0.5, 0.4), MANNER, None)
    assert np.array_equal(done.patch[1], again.patch[1])


def test_a_sitter_is_cut_out_of_a_large_picture() -> None:
    """Only the face and a little more is kept; its mesh goes along; masks of the picture are no matter."""
    large = Picture(
        freeze(np.pad(PLATE.pixels, ((300, 0), (500, 0), (0, 0)))),
        masks=MappingProxyType({"mask": freeze(np.ones((540, 720), np.float32))}),
    )
    sitter = extract_source_face(large, MESH + np.float32((500, 300)), PLATE)
    assert sitter.pixels.shape[0] < 200
    whole = extract_source_face(PLATE, MESH, PLATE)
    assert np.array_equal(sitter.pixels, whole.pixels)
    assert sitter.parts.mesh == pytest.approx(whole.parts.mesh, abs=1e-3)


def test_a_warped_face_shows_the_sitter_s_colours_at_the_target_s_place() -> None:
    """Cheek on cheek; and nothing is offered outside the mesh."""
    sitter = extract_source_face(paint_faces(400, 400, [mesh_at(90, 90, 200, turn=20)], DARK), mesh_at(90, 90, 200, turn=20), PLATE)
    offered = warp_source_face(sitter, PARTS, 1.0, None)
    x, y = (MESH[205] - [PARTS.box.left, PARTS.box.top]).round().astype(int)
    assert offered.pixels[y, x] == pytest.approx(np.float32(DARK), abs=0.03)
    assert offered.scale == pytest.approx(200 / 120, rel=0.01)
    assert not offered.coverage[PARTS.depth == 0][::7].sum() > 0.05 * PARTS.inside.sum()
    assert offered.landmarks.shape == (478, 2)
    assert np.array_equal(offered.landmarks[FACE_POINT_COUNT:], MESH[FACE_POINT_COUNT:])


def test_a_net_s_square_lies_where_its_corners_say() -> None:
    """At any turn and size: a mark in the square is found at its place in the picture; its rim is not used."""
    face = np.zeros((64, 64, 3), np.float32)
    face[30:34, 40:44] = 1
    turn = np.radians(25)
    along, down = 1.25 * np.array([np.cos(turn), np.sin(turn)]), 1.25 * np.array([-np.sin(turn), np.cos(turn)])
    corner = np.array([90.0, 60.0])
    offered = align_generated_face(face, np.float32([corner, corner + 64 * along, corner + 64 * down]), PARTS, 3)
    x, y = corner + 42 * along + 32 * down - [PARTS.box.left, PARTS.box.top]
    rows, columns = np.nonzero(offered.pixels[:, :, 0] > 0.5)
    assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((x, y), abs=0.6)
    assert offered.scale == pytest.approx(1 / 1.25)
    away = corner + 20 * down - 5 * along - [PARTS.box.left, PARTS.box.top]
    assert offered.coverage[int(away[1]), int(away[0])] == 0


@pytest.mark.parametrize(("channels", "icc"), [(1, None), (3, None), (3, builtin_profile("adobe-rgb"))])
def test_pixels_come_in_the_target_s_profile_and_channels(channels: int, icc: bytes | None) -> None:
    """A mid grey is a mid grey in each: channels agree, and the profile's own curve is used."""
    source = Picture(freeze(np.full((4, 5, 3), 0.5, np.float32)))
    target = Picture(freeze(np.zeros((4, 5, channels), np.float32)), icc=icc)
    made = match_profile(source, target)
    assert made.shape == (4, 5, channels)
    assert np.ptp(made) < 0.01
    assert made.mean() == pytest.approx(0.5, abs=0.02)
    grey = Picture(freeze(np.full((4, 5, 1), 0.5, np.float32)))
    assert match_profile(grey, target).shape == (4, 5, channels)
