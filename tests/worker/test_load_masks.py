"""Masks that are obviously wrong are refused before any work is done with them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from goldsmith.errors import InputError
from goldsmith.worker.load_masks import check_mask

SIZE = (40, 60)


def mask_with_boxes(*boxes: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """Return a black mask (h, w) with white boxes (top, bottom, left, right)."""
    mask = np.zeros(SIZE, np.float32)
    for top, bottom, left, right in boxes:
        mask[top:bottom, left:right] = 1
    return mask


def test_a_good_mask_is_returned_unchanged() -> None:
    """The result is the same array."""
    mask = mask_with_boxes((5, 20, 10, 30))
    assert check_mask(mask, SIZE, "m.png") is mask


@pytest.mark.parametrize(("value", "message"), [(0.0, "all black"), (1.0, "all white"), (1 / 1024, "all black")])
def test_uniform_masks_are_refused(value: float, message: str) -> None:
    """All black (or less than one code above it) and all white select nothing in particular."""
    with pytest.raises(InputError, match=f"m.png is {message}"):
        check_mask(np.full(SIZE, value, np.float32), SIZE, "m.png")


def test_a_large_mask_that_touches_every_edge_is_probably_inverted() -> None:
    """The mask covers the whole picture except a box."""
    with pytest.raises(InputError, match="covers 94% of the picture and touches all four edges: it is probably inverted"):
        check_mask(1 - mask_with_boxes((10, 20, 10, 25)), SIZE, "m.png")


def test_a_mask_that_only_covers_most_or_only_touches_every_edge_is_accepted() -> None:
    """The examples are a large mask with a margin and a thin frame."""
    assert check_mask(mask_with_boxes((1, 39, 1, 60)), SIZE, "m.png") is not None
    assert check_mask(1 - mask_with_boxes((1, 39, 1, 59)), SIZE, "m.png") is not None


def test_a_keep_file_may_cover_most_of_the_picture() -> None:
    """White means keep, so the file is not taken for an inverted mask. An all-black file is still refused."""
    mask = 1 - mask_with_boxes((10, 20, 10, 25))
    assert check_mask(mask, SIZE, "hero.keep.png", is_keep_mask=True) is mask
    with pytest.raises(InputError, match="all black"):
        check_mask(mask_with_boxes(), SIZE, "hero.keep.png", is_keep_mask=True)


@pytest.mark.parametrize(("size", "has_other_aspect"), [((20, 30), False), ((60, 40), True), ((40, 59), False)])
def test_another_size_is_refused_with_both_sizes(size: tuple[int, int], has_other_aspect: bool) -> None:
    """The sentence also says if the aspect ratio differs. The remedy names the setting."""
    mask = np.zeros(size, np.float32)
    mask[2:5, 2:5] = 1
    with pytest.raises(InputError) as error:
        check_mask(mask, SIZE, "m.png")
    assert f"{size[1]} x {size[0]} px" in error.value.sentence
    assert "60 x 40" in error.value.sentence
    assert ("another aspect ratio" in error.value.sentence) == has_other_aspect
    assert 'mask.fit = "scale"' in error.value.remedy


def test_scale_resizes_smoothly() -> None:
    """A mask of half the size is enlarged to the picture's, with its content in the same place."""
    mask = np.zeros((20, 30), np.float32)
    mask[5:10, 5:10] = 1
    scaled = check_mask(mask, SIZE, "m.png", "scale")
    assert scaled.shape == SIZE
    assert scaled[15, 15] == 1
    assert scaled[30, 40] == 0
    assert 0 <= scaled.min() <= scaled.max() <= 1
