"""Objects before a face are found by their colour and their contact with the face's edge; light and features do not count as hair."""

from __future__ import annotations

import numpy as np
import pytest

from doubles.faces import DARK, SKIN, mesh_at, paint_faces
from goldsmith.ops.face_swap.blending import hidden_share
from goldsmith.ops.face_swap.face_parts import FaceParts, face_box
from goldsmith.ops.face_swap.occlusion import visibility_mask
from goldsmith.picture.linear_light import LinearLight
from goldsmith.picture.picture import Mask, Picture, Pixels

HAIR = (0.1, 0.07, 0.05)


def _parts(size: float) -> FaceParts:
    mesh = mesh_at(0.4 * size, 0.3 * size, size)
    return FaceParts(mesh, face_box(mesh, round(2 * size), round(2 * size)))


def _visibility(pixels: Pixels, parts: FaceParts) -> Mask:
    return visibility_mask(pixels[parts.box.window], parts, LinearLight(None))


def _head(size: float, skin: tuple[float, float, float] = SKIN, light: float = 0.0) -> tuple[Pixels, FaceParts]:
    parts = _parts(size)
    picture: Picture = paint_faces(round(2 * size), round(2 * size), [parts.mesh], skin, light=light)
    return picture.pixels.copy(), parts


@pytest.mark.parametrize("skin", [SKIN, DARK, (0.25, 0.16, 0.12), (0.95, 0.8, 0.72)])
@pytest.mark.parametrize("light", [0.0, 0.3, -0.3])
def test_a_bare_face_is_visible(skin: tuple[float, float, float], light: float) -> None:
    """This holds for any skin and any light; eyes, brows and lips do not count as hair."""
    pixels, parts = _head(150, skin, light)
    assert hidden_share(_visibility(pixels, parts), parts) < 0.02


@pytest.mark.parametrize("size", [60, 150, 500])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_fringe_is_found_at_any_size_and_in_grey(size: int, channels: int) -> None:
    """At least three quarters of the hair are found, and little else; the hidden share is the painted one."""
    pixels, parts = _head(size)
    top = parts.box.top + round(0.28 * parts.box.height)
    pixels[:top] = HAIR
    visibility = _visibility(np.ascontiguousarray(pixels[:, :, :channels]), parts)
    hair = np.zeros_like(visibility, bool)
    hair[: top - parts.box.top] = True
    inner = parts.depth > 0.06 * parts.size
    bare_hair = hair & inner & (parts.features == 0)
    assert visibility[bare_hair].mean() < 0.25
    assert visibility[inner & ~hair & (parts.depth > 0.15 * parts.size)].mean() > 0.9
    assert hidden_share(visibility, parts) == pytest.approx(bare_hair.sum() / inner.sum(), abs=0.08)


def test_a_spot_that_does_not_reach_the_edge_belongs_to_the_face() -> None:
    """A mole or a beauty spot on the cheek is visible."""
    pixels, parts = _head(150)
    x, y = parts.mesh[205].round().astype(int)
    pixels[y - 6 : y + 6, x - 6 : x + 6] = HAIR
    assert _visibility(pixels, parts)[y - parts.box.top, x - parts.box.left] > 0.9


def test_a_scarf_over_the_chin_hides_the_face() -> None:
    """Its blue, up to the height of the mouth, is not skin."""
    pixels, parts = _head(150)
    chin = round(float(parts.mesh[152, 1]))
    pixels[chin - 30 :] = (0.1, 0.2, 0.7)
    visibility = _visibility(pixels, parts)
    x = round(float(parts.mesh[152, 0])) - parts.box.left
    assert visibility[chin - 12 - parts.box.top, x] < 0.2


def test_a_face_of_one_px_is_visible() -> None:
    """One px shows no object before the face."""
    mesh = mesh_at(0, 0, 0.5)
    parts = FaceParts(mesh, face_box(mesh, 1, 1))
    visibility = _visibility(np.full((1, 1, 3), 0.5, np.float32), parts)
    assert (visibility == 1).all()
    assert hidden_share(visibility, parts) == 0
