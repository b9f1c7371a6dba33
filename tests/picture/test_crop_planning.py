"""How a mask becomes crops: all of it covered, none of it larger than needed."""

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
    """Whatever the mask: its pixels are shared out among the patches, each inside its patch's core and crop."""
    mask = solid.astype(np.float32)
    work = plan_crops(mask, side, context)
    claimed = np.zeros(mask.shape, dtype=int)
    for patch in work.fill_crops:
        own = np.isin(work.regions_in(patch.core), list(patch.regions)) & solid[patch.core.window]
        claimed[patch.core.window] += own
        assert patch.crop.union(patch.core) == patch.crop
        assert patch.crop.expand(0, *mask.shape) == patch.crop
    assert np.array_equal(claimed, solid.astype(int))


def test_a_small_hole_in_a_large_picture_is_shown_at_full_size() -> None:
    """The crop is the engine's own square, not the picture."""
    (patch,) = plan_crops(_mask(3000, 4000, (1000, 2000, 1100, 2100)), 512, 0.5).fill_crops
    assert (patch.crop.height, patch.crop.width) == (512, 512)


def test_a_large_hole_gets_its_share_of_surroundings() -> None:
    """A 512 px hole is shown with half its side around it, in a square of about a thousand px."""
    (patch,) = plan_crops(_mask(3000, 4000, (1008, 2000, 1520, 2512)), 512, 0.5).fill_crops
    assert (patch.crop.height, patch.crop.width) == (1024, 1024)


def test_a_crop_at_the_corner_is_moved_inwards() -> None:
    """There is no less to see for a hole at the border, only on the other side."""
    (patch,) = plan_crops(_mask(800, 900, (790, 0, 800, 12)), 512, 0.5).fill_crops
    assert patch.crop == CropBox(288, 0, 800, 512)


def test_holes_far_apart_are_filled_apart_and_near_ones_together() -> None:
    """Three spots, two of them neighbours: two crops."""
    work = plan_crops(_mask(2000, 2000, (100, 100, 120, 120), (160, 160, 180, 180), (1800, 1800, 1820, 1820)), 512, 0.5)
    assert len(work.fill_crops) == 2


def test_a_long_thin_hole_is_filled_piece_by_piece() -> None:
    """A wire across 4000 px is not shrunk to the engine's 512."""
    work = plan_crops(_mask(1500, 4000, (700, 0, 712, 4000)), 512, 0.5)
    assert len(work.fill_crops) > 8
    assert all(max(patch.crop.height, patch.crop.width) == 512 for patch in work.fill_crops)


def test_an_engine_of_any_size_gets_a_close_crop_of_small_holes_and_pieces_of_long_ones() -> None:
    """No square is needed; a wire is cut up all the same, or it would be shown with the whole picture."""
    (patch,) = plan_crops(_mask(1500, 4000, (704, 400, 720, 480)), 0, 0.5).fill_crops
    assert (patch.crop.height, patch.crop.width) == (16 + 80, 80 + 80)
    wire = plan_crops(_mask(1500, 4000, (700, 0, 712, 4000)), 0, 0.5).fill_crops
    assert len(wire) >= 4
    assert all(max(piece.crop.height, piece.crop.width) <= 1280 for piece in wire)


def test_a_thousand_specks_make_few_crops() -> None:
    """Dust all over a picture costs by area, not by the number of grains."""
    mask = _mask(2000, 2000)
    mask[np.random.default_rng(1).integers(0, 2000, 1000), np.random.default_rng(2).integers(0, 2000, 1000)] = 1
    assert len(plan_crops(mask, 512, 0.5).fill_crops) <= 80


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (37, 53)])
def test_pictures_smaller_than_the_engine_are_one_crop(shape: tuple[int, int]) -> None:
    """The crop never leaves the picture."""
    mask = np.zeros(shape, dtype=np.float32)
    mask[0, 0] = 1
    (patch,) = plan_crops(mask, 512, 0.5).fill_crops
    assert patch.crop == CropBox(0, 0, *shape)


def test_an_empty_mask_is_no_work() -> None:
    """Nothing to fill, no patches."""
    assert plan_crops(_mask(40, 40), 512, 0.5).fill_crops == ()


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=70)))
def test_the_extent_is_the_smallest_box_round_the_mask(solid: np.ndarray) -> None:
    """The same as looking at every pixel's place; None where there is none."""
    rows, columns = np.nonzero(solid)
    box = CropBox(rows.min(), columns.min(), rows.max() + 1, columns.max() + 1) if rows.size else None
    assert find_mask_bounds(solid.astype(np.float32) * np.float32(1e-3)) == box


def test_an_engine_that_works_at_one_size_only_is_shown_small_holes_in_small_crops() -> None:
    """They are enlarged for it, so that it paints at its own resolution; by four times at most."""
    mask = _mask(3000, 4000, (1008, 2000, 1088, 2080))
    (patch,) = plan_crops(mask, 1024, 0.5, enlarges=True).fill_crops
    assert (patch.crop.height, patch.crop.width) == (256, 256)
    (patch,) = plan_crops(_mask(3000, 4000, (1008, 2000, 1248, 2240)), 1024, 0.5, enlarges=True).fill_crops
    assert (patch.crop.height, patch.crop.width) == (480, 480)
    (patch,) = plan_crops(mask, 1024, 0.5).fill_crops
    assert (patch.crop.height, patch.crop.width) == (1024, 1024)
