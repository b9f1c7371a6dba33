"""The count of changed pixels outside the mask, at the picture's own bit depth."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.picture.picture import Picture, Pixels, Window, freeze
from goldsmith.worker.mask_proof import ChangeCount, count_original_changes, count_outside_changes, measure_changed_share


def _picture(height: int, width: int, channels: int, depth: Literal[8, 16], seed: int) -> Picture:
    rng = np.random.default_rng(seed)
    return Picture(
        freeze(rng.random((height, width, channels), np.float32)), alpha=freeze(rng.random((height, width), np.float32)), depth=depth
    )


@given(st.integers(1, 150), st.integers(1, 5), st.sampled_from([1, 3]), st.sampled_from([8, 16]), st.integers(0, 2**31), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_the_count_equals_a_comparison_of_every_code(
    height: int, width: int, channels: int, depth: Literal[8, 16], seed: int, share: float
) -> None:
    """The count includes colour and alpha in every band of rows."""
    rng = np.random.default_rng(seed)
    before = _picture(height, width, channels, depth, seed)
    after = _picture(height, width, channels, depth, seed + 1)
    same = rng.random((height, width)) < 0.7
    after = replace(
        after,
        pixels=freeze(np.where(same[:, :, None], before.pixels, after.pixels)),
        alpha=freeze(np.where(same, before.alpha, after.alpha)),  # type: ignore[arg-type]
    )
    mask = freeze((rng.random((height, width)) < share).astype(np.float32))
    alphas = [
        np.floor(np.float32(2**depth - 1) * picture.alpha + np.float32(0.5)) for picture in (before, after) if picture.alpha is not None
    ]
    changed = (before.to_codes() != after.to_codes()).any(axis=2) | (alphas[0] != alphas[1])
    assert count_outside_changes(before, after, mask) == ChangeCount(int((mask == 0).sum()), int((changed & (mask == 0)).sum()))


def test_less_than_half_a_code_is_no_change() -> None:
    """Only the written codes count. The faintest mask value still allows a change."""
    before = replace(_picture(4, 4, 3, 8, 0), pixels=freeze(np.full((4, 4, 3), 100 / 255)))
    after = before.with_pixels(before.pixels + np.float32(0.4 / 255))
    mask = np.zeros((4, 4), np.float32)
    assert count_outside_changes(before, after, mask) == ChangeCount(16, 0)
    assert count_outside_changes(replace(before, depth=16), replace(after, depth=16), mask).changed == 16
    mask[0] = 1e-6
    assert count_outside_changes(before, after, mask).pixels == 12


@pytest.mark.parametrize("change", [{"depth": 16}, {"icc": b"another"}, {"alpha": None}])
def test_another_depth_profile_or_alpha_counts_as_a_change_of_every_pixel(change: dict[str, object]) -> None:
    """The same codes then have another meaning."""
    before = _picture(4, 4, 3, 8, 0)
    assert count_outside_changes(before, replace(before, **change), np.zeros((4, 4), np.float32)) == ChangeCount(16, 16)  # type: ignore[arg-type]


def test_nan_counts_as_changed() -> None:
    """An engine may return NaN outside the mask."""
    before = _picture(2, 2, 3, 8, 0)
    pixels = before.pixels.copy()
    pixels[0, 0, 1] = np.nan
    with np.errstate(invalid="ignore"):
        assert count_outside_changes(before, before.with_pixels(pixels), np.zeros((2, 2), np.float32)).changed == 1


def _opaque(height: int, width: int) -> Picture:
    return replace(_picture(height, width, 3, 8, 3), alpha=None)


def test_patches_are_compared_in_their_boxes_pixel_by_pixel() -> None:
    """If two overlapping patches are partly covered by the mask, each pixel outside the mask is counted once."""
    before = _opaque(60, 50)
    mask = np.zeros((60, 50), np.float32)
    mask[10:20, 10:20] = 1
    black = np.zeros((10, 12, 3), np.float32)
    inside = before.with_patches([((slice(10, 20), slice(10, 20)), black[:, :10])])
    assert count_outside_changes(before, inside, mask) == ChangeCount(2900, 0)
    spilled = before.with_patches([((slice(10, 20), slice(10, 22)), black), ((slice(12, 22), slice(10, 22)), black)])
    assert count_outside_changes(before, spilled, mask) == ChangeCount(2900, 10 * 2 + 2 * 12)
    second = spilled.with_patches([((slice(10, 20), slice(10, 20)), black[:, :10])])
    assert count_outside_changes(spilled, second, mask) == ChangeCount(2900, 0)


def test_new_pixels_are_compared_everywhere() -> None:
    """A change of one code far from the mask is counted in a new array, also if a patch lies elsewhere."""
    before = _opaque(200, 50)
    mask = np.zeros((200, 50), np.float32)
    mask[:4, :4] = 1
    pixels = before.pixels.copy()
    pixels[150, 40, 2] = 1 - pixels[150, 40, 2]
    changed = before.with_pixels(pixels)
    assert count_outside_changes(before, changed, mask) == ChangeCount(9984, 1)
    assert (
        count_outside_changes(before, changed.with_patches([((slice(0, 4), slice(0, 4)), np.ones((4, 4, 3), np.float32))]), mask).changed
        == 1
    )
    assert count_outside_changes(before, before.with_pixels(before.pixels.copy()), mask).changed == 0


def test_new_alpha_is_compared_even_if_the_colours_are_shared() -> None:
    """A patch changes colours, and alpha differs in one pixel elsewhere."""
    before = _picture(80, 30, 3, 8, 1)
    assert before.alpha is not None
    alpha = before.alpha.copy()
    alpha[70, 3] = 1 - alpha[70, 3]
    mask = np.zeros((80, 30), np.float32)
    mask[0, 0] = 1
    patched = before.with_patches([((slice(0, 1), slice(0, 1)), np.ones((1, 1, 3), np.float32))])
    assert count_outside_changes(before, patched, mask).changed == 0
    assert count_outside_changes(before, replace(patched, alpha=freeze(alpha)), mask).changed == 1
    assert count_outside_changes(before, before.with_pixels(before.pixels, alpha), mask).changed == 1


def _framed(before: Picture, left: int, top: int) -> Picture:
    padding = ((top, 7), (left, 9))
    return before.with_geometry(np.pad(before.pixels, (*padding, (0, 0))), lambda mask: np.pad(mask, padding))


def test_an_enlarged_picture_is_compared_at_its_origin() -> None:
    """At the right origin no pixel has changed. One pixel beside it, nearly all have."""
    before = _picture(80, 30, 3, 16, 1)
    enlarged = _framed(before, 5, 11)
    assert count_original_changes(before, enlarged, (5, 11)) == ChangeCount(2400, 0)
    assert count_original_changes(before, enlarged, (6, 11)).changed > 2300


def test_one_changed_code_or_alpha_of_the_original_counts() -> None:
    """The change is in the farthest corner."""
    before = _picture(80, 30, 3, 8, 1)
    enlarged = _framed(before, 5, 11)
    pixels = enlarged.pixels.copy()
    pixels[11 + 79, 5 + 29, 2] = 1 - pixels[11 + 79, 5 + 29, 2]
    assert count_original_changes(before, replace(enlarged, pixels=freeze(pixels)), (5, 11)) == ChangeCount(2400, 1)
    assert enlarged.alpha is not None
    alpha = enlarged.alpha.copy()
    alpha[11, 5] = 1 - alpha[11, 5]
    assert count_original_changes(before, replace(enlarged, alpha=freeze(alpha)), (5, 11)) == ChangeCount(2400, 1)


@pytest.mark.parametrize("origin", [(-1, 0), (0, -1), (15, 0), (0, 19)])
def test_an_origin_outside_the_result_counts_every_pixel_as_changed(origin: tuple[int, int]) -> None:
    """At such an origin, the result does not contain the whole original."""
    before = _picture(80, 30, 3, 8, 1)
    assert count_original_changes(before, _framed(before, 5, 11), origin) == ChangeCount(2400, 2400)


# The share of a region that has changed


def _flat(height: int, width: int, code: float = 100) -> Picture:
    return Picture(freeze(np.full((height, width, 3), code / 255, np.float32)))


@pytest.mark.parametrize(("difference", "share"), [(0, 0.0), (2, 0.0), (2.9, 0.25), (-3, 0.25)])
def test_a_change_of_more_than_two_codes_counts(difference: float, share: float) -> None:
    """One channel is enough. Only the pixels under the mask count."""
    before, mask = _flat(8, 8), np.zeros((8, 8), np.float32)
    mask[2:6, 2:6] = 1
    pixels = before.pixels.copy()
    pixels[2:4, 2:4, 1] += np.float32(difference / 255)
    pixels[7] = 1
    assert measure_changed_share(before, before.with_pixels(pixels), mask) == share


def test_a_soft_mask_counts_from_one_half_and_a_faint_one_altogether() -> None:
    """Where less than half is asked for, a change may be small."""
    before, mask = _flat(4, 4), np.zeros((4, 4), np.float32)
    mask[0], mask[1] = 1, 0.4
    after = before.with_patches([((slice(0, 1), slice(0, 2)), np.ones((1, 2, 3), np.float32))])
    assert measure_changed_share(before, after, mask) == 0.5
    assert measure_changed_share(before, after, mask * np.float32(0.5)) == 0.25
    assert measure_changed_share(before, after, np.zeros((4, 4), np.float32)) is None


def test_a_large_region_is_sampled() -> None:
    """Of 4 million pixels 250 000 are compared, and the share is the same."""
    before, mask = _flat(2000, 2000), np.ones((2000, 2000), np.float32)
    reads = []

    class Counted(Picture):
        def pixels_in(self, window: Window) -> Pixels:
            reads.append(window)
            return super().pixels_in(window)

    after = Counted(freeze(np.concatenate([before.pixels[:500], before.pixels[500:] + np.float32(0.1)])))
    assert measure_changed_share(before, after, mask) == pytest.approx(0.75, abs=0.01)
    assert len(reads) <= 500
