"""Copied patches: the fill is made of the picture's own pixels, and patterns go on."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels
from goldsmith.picture.smoothing import gaussian_blur
from goldsmith.stitching.carried_detail import carry_detail, lift_detail
from goldsmith.stitching.offset_labels import BlockGrids, find_offsets
from goldsmith.stitching.patch_copy import copy_patches
from goldsmith.stitching.surroundings import distance_from

SIDE = 150


def _hole() -> NDArray[np.bool_]:
    hole = np.zeros((SIDE, SIDE), dtype=np.bool_)
    hole[55:95, 50:100] = True
    return hole


def _tiles() -> Pixels:
    """Return tiles of 25 x 18 px with dark joints, each pixel of a tile with its own tone."""
    tile = np.random.default_rng(4).uniform(0.5, 0.9, (18, 25, 3)).astype(np.float32)
    tile[:3], tile[:, :3] = 0.1, 0.1
    return np.tile(tile, (9, 6, 1))[:SIDE, :SIDE]


def test_a_pattern_goes_on() -> None:
    """Tiles repeat, so each hidden tile is copied from another; its tone is nearly that of the tile that was hidden."""
    pixels = np.where(_hole()[..., None], 1, _tiles()).astype(np.float32)
    filled = copy_patches(pixels, _hole())
    assert filled is not None
    assert np.abs(filled.pixels - _tiles()).max() < 12 / 255
    assert np.abs(filled.pixels - _tiles())[_hole()].mean() < 3 / 255
    assert filled.joins < 0.03


def test_the_offsets_are_those_of_the_pattern() -> None:
    """They are multiples of the tile's sides."""
    offsets = find_offsets(_tiles(), _hole())
    assert offsets is not None
    assert (offsets[:5] % [18, 25] == 0).all()


def test_a_texture_keeps_its_strength_and_gets_no_pixel_of_the_hole() -> None:
    """The grain inside is as strong as outside, and the old content of the hole is nowhere."""
    noise = np.random.default_rng(2).normal(0, 1, (SIDE, SIDE, 3)).astype(np.float32)
    texture = np.clip(0.5 + 0.5 * gaussian_blur(noise, 1.5), 0, 1).astype(np.float32)
    filled = copy_patches(np.where(_hole()[..., None], np.float32([1, 0, 0]), texture).astype(np.float32), _hole())
    assert filled is not None
    assert filled.pixels[_hole()].std() == pytest.approx(texture[_hole()].std(), rel=0.15)
    assert not (filled.pixels[..., 0] - filled.pixels[..., 1] > 0.7).any()
    assert np.array_equal(filled.pixels[~_hole()], texture[~_hole()])


def test_what_is_barred_is_not_copied() -> None:
    """The wall goes on, although a red stripe right beside the hole is known; without a bar the stripe is continued."""
    wall = np.full((SIDE, SIDE, 3), 0.6, dtype=np.float32)
    wall += np.random.default_rng(5).normal(0, 0.02, wall.shape).astype(np.float32)
    wall[:, 100:115] = (0.9, 0.1, 0.1)
    red = wall[..., 0] - wall[..., 1] > 0.4
    filled = copy_patches(np.where(_hole()[..., None], np.float32(0), wall), _hole(), red)
    assert filled is not None
    assert not (filled.pixels[..., 0] - filled.pixels[..., 1] > 0.4)[_hole()].any()


def test_an_object_is_not_copied_for_the_sake_of_its_seams() -> None:
    """Far from the hole lies a disc; nothing beside the hole looks like it, so none of it is copied."""
    pixels = np.full((SIDE, SIDE, 3), 0.6, dtype=np.float32)
    pixels += gaussian_blur(np.random.default_rng(6).normal(0, 0.05, pixels.shape).astype(np.float32), 1.0)
    down, across = np.mgrid[:SIDE, :SIDE]
    disc = (down - 25) ** 2 + (across - 25) ** 2 < 18**2
    pixels[disc] = (0.1, 0.2, 0.8)
    filled = copy_patches(np.where(_hole()[..., None], np.float32(0), pixels), _hole())
    assert filled is not None
    assert not (filled.pixels[..., 2] - filled.pixels[..., 0] > 0.3)[_hole()].any()


@pytest.mark.parametrize(("least", "is_sought"), [(0.25, False), (-1.0, True)])
def test_objects_are_looked_for_if_a_block_is_unlike_the_border(monkeypatch: pytest.MonkeyPatch, least: float, is_sought: bool) -> None:
    """A wall is filled without a search; if there is one, what it finds is kept out."""
    monkeypatch.setattr("goldsmith.stitching.patch_copy.LEAST_UNLIKENESS", least)
    wall = np.full((SIDE, SIDE, 3), 0.6, dtype=np.float32)
    wall += np.random.default_rng(5).normal(0, 0.02, wall.shape).astype(np.float32)
    lamp = np.zeros((SIDE, SIDE), dtype=np.bool_)
    lamp[:, 100:115] = is_sought
    wall[lamp] = (0.9, 0.1, 0.1)
    searches: list[int] = []

    def find_objects() -> NDArray[np.bool_]:
        searches.append(1)
        return lamp

    filled = copy_patches(np.where(_hole()[..., None], np.float32(0), wall), _hole(), find_objects=find_objects)
    assert filled is not None
    assert len(searches) == int(is_sought)
    assert not (filled.pixels[..., 0] - filled.pixels[..., 1] > 0.4)[_hole()].any()


def test_a_second_copy_into_the_same_hole_searches_no_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the same as without the first one; another picture is searched again."""
    searches: list[int] = []

    def search(*arrays: NDArray[np.bool_]) -> NDArray[np.intp] | None:
        searches.append(1)
        return find_offsets(*arrays)

    monkeypatch.setattr("goldsmith.stitching.offset_labels.find_offsets", search)
    grids = BlockGrids()
    pixels = np.where(_hole()[..., None], 1, _tiles()).astype(np.float32)
    copy_patches(pixels, _hole(), grids=grids)
    second = copy_patches(pixels, _hole(), keeps_detail=True, grids=grids)
    assert len(searches) == 1
    alone = copy_patches(pixels, _hole(), keeps_detail=True)
    assert second is not None
    assert alone is not None
    assert np.array_equal(second.pixels, alone.pixels)
    copy_patches(1 - pixels, _hole(), grids=grids)
    assert len(searches) == 3


def test_an_even_ground_shows_no_arc_at_the_border() -> None:
    """Blocks of other tones are shifted to that of their place; within 2 px of the border the tone is right by 2 codes in the mean."""
    down, across = np.mgrid[:SIDE, :SIDE, :1][:2]
    waves = 0.5 + 0.3 * np.sin(across / 40 + down / 60) + np.random.default_rng(3).normal(0, 0.5 / 255, (SIDE, SIDE, 3))
    filled = copy_patches(np.where(_hole()[..., None], 0, waves).astype(np.float32), _hole())
    assert filled is not None
    near = _hole() & (distance_from(~_hole()) <= 2)
    assert float(np.abs(filled.pixels - waves)[near].mean()) < 2 / 255


def test_joins_that_jump_are_measured() -> None:
    """Where left and right of the hole have nothing in common, the blocks cannot meet unseen."""
    pixels = np.where(np.arange(SIDE)[None, :, None] < 75, np.float32(0.1), np.float32(0.9)) + np.zeros((SIDE, SIDE, 3), np.float32)
    pixels[:, :75] += np.where((np.arange(SIDE) // 6 % 2 == 0)[:, None, None], np.float32(0.3), np.float32(0))
    hole = np.zeros((SIDE, SIDE), dtype=np.bool_)
    hole[40:110, 40:110] = True
    barred = np.zeros_like(hole)
    barred[:, 68:82] = True
    filled = copy_patches(np.where(hole[..., None], np.float32(0), pixels).astype(np.float32), hole, barred)
    assert filled is not None
    assert filled.joins > 0.06


def test_too_small_surroundings_are_refused() -> None:
    """There is no whole block beside the hole."""
    hole = np.ones((40, 40), dtype=np.bool_)
    hole[:4] = False
    assert copy_patches(np.full((40, 40, 3), 0.5, dtype=np.float32), hole) is None


def test_a_soft_fill_gets_the_detail_of_alike_places() -> None:
    """Left is grainy and dark, right is clean and light: the soft fill becomes grainy on its left alone."""
    pixels = np.where(np.arange(SIDE)[None, :, None] < 75, np.float32(0.3), np.float32(0.7)) + np.zeros((SIDE, SIDE, 3), np.float32)
    pixels[:, :75] += np.random.default_rng(1).normal(0, 0.05, (SIDE, 75, 3))
    soft = pixels.copy()
    soft[55:95, 50:75], soft[55:95, 75:100] = 0.3, 0.7
    detailed = carry_detail(soft, _hole(), 1.0)
    assert detailed[60:90, 53:66].std() == pytest.approx(0.05, rel=0.45)
    assert detailed[60:90, 85:97].std() < 0.01
    assert np.array_equal(detailed[~_hole()], soft[~_hole()])


def test_blocks_with_detail_do_not_fill_the_hole_with_the_smooth_part() -> None:
    """Smooth patches differ least from everything. Stars on black, with black gaps to copy from, go on as stars."""
    random = np.random.default_rng(6)
    noise = random.normal(0, 1, (2 * SIDE, 2 * SIDE, 1)).astype(np.float32)
    stars = np.clip(gaussian_blur(noise, 2.0) * 6 - 0.4, 0, 1)[..., None] * np.ones(3, np.float32)
    stars = stars.reshape(2 * SIDE, 2 * SIDE, 3)
    stars[:, : SIDE // 3] *= 0.1
    hole = np.zeros((2 * SIDE, 2 * SIDE), dtype=np.bool_)
    hole[110:210, 90:210] = True
    pixels = np.where(hole[..., None], 0, stars).astype(np.float32)
    filled = [copy_patches(pixels, hole, keeps_detail=keeps_detail) for keeps_detail in (False, True)]
    assert filled[0] is not None
    assert filled[1] is not None
    smooth, detailed = (float(each.pixels[hole].std()) for each in filled if each is not None)
    expected = float(stars[~hole].std())
    assert detailed == pytest.approx(expected, rel=0.25)
    assert detailed >= smooth


def test_detail_is_lifted_inside_alone_and_by_no_more_than_the_limit() -> None:
    """A fill with 0.8 times the detail gets all of it; one with half of it gets 1.3 times its own."""
    noise = np.random.default_rng(2).normal(0, 0.05, (SIDE, SIDE, 3)).astype(np.float32)
    pixels = np.clip(0.5 + gaussian_blur(noise, 0.6), 0, 1).astype(np.float32)
    deep = np.s_[62:88, 57:93]

    def fine(values: Pixels) -> float:
        return float((values - gaussian_blur(values, 1.5))[deep].std())

    for ratio, gain in ((0.8, 1.25), (0.5, 1.3)):
        lifted = lift_detail(pixels, _hole(), ratio)
        assert fine(lifted) / fine(pixels) == pytest.approx(gain, rel=0.05)
        assert np.array_equal(lifted[~_hole()], pixels[~_hole()])
