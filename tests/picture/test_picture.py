"""The pixels of a picture are always read-only, and patches cost only their own size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.picture.codec import to_codes
from goldsmith.picture.picture import Picture, PixelPatch, freeze

HEIGHT, WIDTH = 24, 31


def _picture(seed: int = 0, channels: int = 3) -> Picture:
    return Picture(
        freeze(np.random.default_rng(seed).random((HEIGHT, WIDTH, channels), np.float32)), depth=16, icc=b"profile", ppi=(72, 72)
    )


def _patch(top: int, left: int, height: int, width: int, value: float, channels: int = 3) -> PixelPatch:
    window = slice(top, min(top + height, HEIGHT)), slice(left, min(left + width, WIDTH))
    high, wide = (part.stop - part.start for part in window)
    return window, np.full((high, wide, channels), value, np.float32)


_BOXES = st.lists(
    st.tuples(st.integers(0, HEIGHT - 1), st.integers(0, WIDTH - 1), st.integers(1, 20), st.integers(1, 20), st.floats(0, 1, width=32)),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(_BOXES, _BOXES, st.sampled_from([1, 3]), st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 20), st.integers(1, 20)))
def test_a_patched_picture_equals_one_with_the_boxes_painted_over(
    first: list[tuple[int, int, int, int, float]],
    second: list[tuple[int, int, int, int, float]],
    channels: int,
    view: tuple[int, int, int, int],
) -> None:
    """Pixels, windows and codes are compared for overlapping patches upon patches."""
    picture = _picture(1, channels)
    patches = [_patch(*box, channels) for box in first], [_patch(*box, channels) for box in second]
    result = picture.with_patches(patches[0]).with_patches(patches[1])
    expected_pixels = picture.pixels.copy()
    for window, pixels in (*patches[0], *patches[1]):
        expected_pixels[window] = pixels
    window = slice(view[0], min(view[0] + view[2], HEIGHT)), slice(view[1], min(view[1] + view[3], WIDTH))
    assert np.array_equal(result.pixels_in(window), expected_pixels[window])
    expected = replace(picture, pixels=freeze(expected_pixels))
    assert np.array_equal(result.to_codes(), expected.to_codes())
    assert np.array_equal(to_codes(result, 8), to_codes(expected, 8))
    assert np.array_equal(result.pixels, expected_pixels)
    assert (result.height, result.width, result.channels) == (HEIGHT, WIDTH, channels)


def test_patches_keep_everything_else_of_the_picture() -> None:
    """Profile, depth, resolution, masks, alpha and the original picture do not change."""
    picture = replace(_picture(), alpha=freeze(np.ones((HEIGHT, WIDTH), np.float32)))
    before = picture.pixels.copy()
    result = picture.with_patches([_patch(2, 3, 4, 5, 0.25)])
    assert all(getattr(result, name) is getattr(picture, name) for name in ("alpha", "depth", "icc", "ppi", "metadata", "masks"))
    assert np.array_equal(picture.pixels, before)


def test_pictures_that_share_memory_report_where_they_differ() -> None:
    """New patches count as differences; for separate pictures the result is None, even with equal pixels."""
    picture = _picture()
    once = picture.with_patches([_patch(2, 3, 4, 5, 0.25)])
    twice = once.with_patches([_patch(9, 9, 3, 3, 0.5)])
    assert picture.differing_windows(picture) == ()
    assert once.differing_windows(picture) == picture.differing_windows(once) == ((slice(2, 6), slice(3, 8)),)
    assert twice.differing_windows(once) == ((slice(9, 12), slice(9, 12)),)
    assert len(twice.differing_windows(picture) or ()) == 2
    assert picture.differing_windows(_picture()) is None
    assert once.with_pixels(once.pixels).differing_windows(once) is None


def test_new_pixels_replace_the_patches() -> None:
    """Patches are part of the new pixels and are not applied again."""
    result = _picture().with_patches([_patch(0, 0, 9, 9, 0.0)])
    bright = result.with_pixels(result.pixels * 0 + 1)
    assert bright.to_codes().min() == 65535
    assert bright.pixels_in((slice(0, 4), slice(0, 4))).min() == 1


def test_windows_of_unchanged_pixels_are_views() -> None:
    """Crops of a large picture cost no memory."""
    picture = _picture().with_patches([_patch(0, 0, 4, 4, 0.0)])
    assert np.shares_memory(
        picture.pixels_in((slice(8, 12), slice(8, 12))), picture.with_patches([]).pixels_in((slice(0, 24), slice(5, 31)))
    )


def test_pixels_cannot_be_made_writable_again() -> None:
    """Pictures share memory, so writing must be impossible."""
    source = np.zeros((4, 4, 3), np.float32)
    pixels = Picture(freeze(source)).pixels
    with pytest.raises(ValueError, match="read-only"):
        pixels[0, 0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        pixels.flags.writeable = True
    with pytest.raises(ValueError, match="read-only"):
        source[0, 0] = 1
    assert freeze(pixels) is pixels


def test_an_unknown_attribute_raises_attribute_error() -> None:
    """Attributes other than ``pixels`` are not computed on access."""
    with pytest.raises(AttributeError, match="colour"):
        _ = _picture().with_patches([]).colour  # type: ignore[attr-defined]
