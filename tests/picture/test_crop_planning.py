"""Planning of crops: they cover the whole mask, and none is larger than necessary."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from goldsmith.picture.crop_planning import CropBox, find_mask_bounds, plan_crops
from goldsmith.picture.picture import Mask


def _mask(height: int, width: int, *boxes: tuple[int, int, int, int]) -> Mask:
    mask = np.zeros((height, width), dtype=np.float32)
    for box in boxes:
        mask[CropBox(*box).window] = 1
    return mask


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=90)), st.sampled_from([0, 32, 64]), st.floats(0.1, 2))
def test_every_masked_pixel_is_in_exactly_one_patch(solid: np.ndarray, side: int, context: float) -> None:
    """Each pixel of any mask (h, w), bool, belongs to one patch and lies inside the core and the crop of that patch."""
    mask = solid.astype(np.float32)
    plan = plan_crops(mask, side, context)
    claimed = np.zeros(mask.shape, dtype=int)
    for patch in plan.fill_crops:
        patch_pixels = np.isin(plan.regions_in(patch.core), list(patch.regions)) & solid[patch.core.window]
        claimed[patch.core.window] += patch_pixels
        assert patch.crop.union(patch.core) == patch.crop
        assert patch.crop.expand(0, *mask.shape) == patch.crop
    assert np.array_equal(claimed, solid.astype(int))


def test_a_small_hole_in_a_large_picture_is_shown_at_full_size() -> None:
    """Crops have the size of the engine's own square, not of the picture."""
    (patch,) = plan_crops(_mask(3000, 4000, (1000, 2000, 1100, 2100)), 512, 0.5).fill_crops
    assert (patch.crop.height, patch.crop.width) == (512, 512)


def test_a_large_hole_gets_proportional_surroundings() -> None:
    """Holes of 512 px get half their side around them, in a square of about a thousand px."""
    (patch,) = plan_crops(_mask(3000, 4000, (1008, 2000, 1520, 2512)), 512, 0.5).fill_crops
    assert (patch.crop.height, patch.crop.width) == (1024, 1024)


def test_a_crop_at_the_corner_is_moved_inwards() -> None:
    """Holes at the border get as many surroundings as others, on the inner side."""
    (patch,) = plan_crops(_mask(800, 900, (790, 0, 800, 12)), 512, 0.5).fill_crops
    assert patch.crop == CropBox(288, 0, 800, 512)


def test_distant_holes_get_separate_crops_and_near_ones_share_one() -> None:
    """Three spots, two of them neighbours, give two crops."""
    plan = plan_crops(_mask(2000, 2000, (100, 100, 120, 120), (160, 160, 180, 180), (1800, 1800, 1820, 1820)), 512, 0.5)
    assert len(plan.fill_crops) == 2


def test_a_long_thin_hole_is_filled_piece_by_piece() -> None:
    """Wires across 4000 px are not reduced to the engine's 512 px."""
    plan = plan_crops(_mask(1500, 4000, (700, 0, 712, 4000)), 512, 0.5)
    assert len(plan.fill_crops) > 8
    assert all(max(patch.crop.height, patch.crop.width) == 512 for patch in plan.fill_crops)


def test_an_engine_of_any_size_gets_small_crops_and_pieces_of_long_holes() -> None:
    """Long wires are divided although no square is required; otherwise the crop would be the whole picture."""
    (patch,) = plan_crops(_mask(1500, 4000, (704, 400, 720, 480)), 0, 0.5).fill_crops
    assert (patch.crop.height, patch.crop.width) == (16 + 80, 80 + 80)
    wire = plan_crops(_mask(1500, 4000, (700, 0, 712, 4000)), 0, 0.5).fill_crops
    assert len(wire) >= 4
    assert all(max(piece.crop.height, piece.crop.width) <= 1280 for piece in wire)


def test_a_thousand_specks_share_few_crops() -> None:
    """Dust all over a picture costs by area, not by the number of specks."""
    mask = _mask(2000, 2000)
    mask[np.random.default_rng(1).integers(0, 2000, 1000), np.random.default_rng(2).integers(0, 2000, 1000)] = 1
    assert len(plan_crops(mask, 512, 0.5).fill_crops) <= 80


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (37, 53)])
def test_pictures_smaller_than_the_engine_are_one_crop(shape: tuple[int, int]) -> None:
    """Crops never leave the picture."""
    mask = np.zeros(shape, dtype=np.float32)
    mask[0, 0] = 1
    (patch,) = plan_crops(mask, 512, 0.5).fill_crops
    assert patch.crop == CropBox(0, 0, *shape)


def test_an_empty_mask_gives_no_crops() -> None:
    """The plan has no crops."""
    assert plan_crops(_mask(40, 40), 512, 0.5).fill_crops == ()


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=70)))
def test_the_bounds_are_the_smallest_box_around_the_mask(solid: np.ndarray) -> None:
    """Bounds are compared with a search of all pixels of masks (h, w), bool; an empty mask gives None."""
    rows, columns = np.nonzero(solid)
    box = CropBox(rows.min(), columns.min(), rows.max() + 1, columns.max() + 1) if rows.size else None
    assert find_mask_bounds(solid.astype(np.float32) * np.float32(1e-3)) == box


def test_an_engine_of_one_size_gets_enlarged_crops_of_small_holes() -> None:
    """Such engines work only at their own resolution; crops are enlarged four times at most."""
    mask = _mask(3000, 4000, (1008, 2000, 1088, 2080))
    (patch,) = plan_crops(mask, 1024, 0.5, enlarges=True).fill_crops
    assert (patch.crop.height, patch.crop.width) == (256, 256)
    (patch,) = plan_crops(_mask(3000, 4000, (1008, 2000, 1248, 2240)), 1024, 0.5, enlarges=True).fill_crops
    assert (patch.crop.height, patch.crop.width) == (480, 480)
    (patch,) = plan_crops(mask, 1024, 0.5).fill_crops
    assert (patch.crop.height, patch.crop.width) == (1024, 1024)
