"""A picture's pixels: read-only for good, and patched at the cost of the patch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.picture.codec import to_codes
from goldsmith.picture.picture import Picture, PixelPatch, freeze

HEIGHT, WIDTH = 24, 31


def _plate(seed: int = 0, channels: int = 3) -> Picture:
    return Picture(
        freeze(np.random.default_rng(seed).random((HEIGHT, WIDTH, channels), np.float32)), depth=16, icc=b"profile", ppi=(72, 72)
    )


def _patch(top: int, left: int, height: int, width: int, value: float, channels: int = 3) -> PixelPatch:
    window = slice(top, min(top + height, HEIGHT)), slice(left, min(left + width, WIDTH))
    high, wide = (part.stop - part.start for part in window)
    return window, np.full((high, wide, channels), value, np.float32)


_boxes = st.lists(
    st.tuples(st.integers(0, HEIGHT - 1), st.integers(0, WIDTH - 1), st.integers(1, 20), st.integers(1, 20), st.floats(0, 1, width=32)),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(_boxes, _boxes, st.sampled_from([1, 3]), st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 20), st.integers(1, 20)))
def test_a_patched_plate_is_what_painting_the_boxes_over_makes(
    first: list[tuple[int, int, int, int, float]],
    second: list[tuple[int, int, int, int, float]],
    channels: int,
    seen: tuple[int, int, int, int],
) -> None:
    """Patches upon patches, overlapping as they like: pixels, windows and codes are those of the whole array painted over."""
    picture = _plate(1, channels)
    laid = [_patch(*box, channels) for box in first], [_patch(*box, channels) for box in second]
    made = picture.with_patches(laid[0]).with_patches(laid[1])
    whole = picture.pixels.copy()
    for window, pixels in (*laid[0], *laid[1]):
        whole[window] = pixels
    window = slice(seen[0], min(seen[0] + seen[2], HEIGHT)), slice(seen[1], min(seen[1] + seen[3], WIDTH))
    assert np.array_equal(made.pixels_in(window), whole[window])
    expected = replace(picture, pixels=freeze(whole))
    assert np.array_equal(made.to_codes(), expected.to_codes())
    assert np.array_equal(to_codes(made, 8), to_codes(expected, 8))
    assert np.array_equal(made.pixels, whole)
    assert (made.height, made.width, made.channels) == (HEIGHT, WIDTH, channels)


def test_everything_else_of_the_plate_stays() -> None:
    """Profile, depth, resolution, masks and alpha; and the picture that was given stays what it was."""
    picture = replace(_plate(), alpha=freeze(np.ones((HEIGHT, WIDTH), np.float32)))
    before = picture.pixels.copy()
    made = picture.with_patches([_patch(2, 3, 4, 5, 0.25)])
    assert all(getattr(made, name) is getattr(picture, name) for name in ("alpha", "depth", "icc", "ppi", "metadata", "masks"))
    assert np.array_equal(picture.pixels, before)


def test_the_boxes_in_which_two_plates_can_differ_are_known_from_what_they_share() -> None:
    """Only new patches of one memory; nothing is known of pictures that were made apart, even from equal pixels."""
    picture = _plate()
    once = picture.with_patches([_patch(2, 3, 4, 5, 0.25)])
    twice = once.with_patches([_patch(9, 9, 3, 3, 0.5)])
    assert picture.differing_windows(picture) == ()
    assert once.differing_windows(picture) == picture.differing_windows(once) == ((slice(2, 6), slice(3, 8)),)
    assert twice.differing_windows(once) == ((slice(9, 12), slice(9, 12)),)
    assert len(twice.differing_windows(picture) or ()) == 2
    assert picture.differing_windows(_plate()) is None
    assert once.with_pixels(once.pixels).differing_windows(once) is None


def test_other_pixels_leave_no_patches_behind() -> None:
    """What was laid in is part of the new pixels, and not laid over them once more."""
    made = _plate().with_patches([_patch(0, 0, 9, 9, 0.0)])
    bright = made.with_pixels(made.pixels * 0 + 1)
    assert bright.to_codes().min() == 65535
    assert bright.pixels_in((slice(0, 4), slice(0, 4))).min() == 1


def test_windows_of_what_nobody_changed_are_no_copies() -> None:
    """So a crop of a large picture costs nothing until it is written."""
    picture = _plate().with_patches([_patch(0, 0, 4, 4, 0.0)])
    assert np.shares_memory(
        picture.pixels_in((slice(8, 12), slice(8, 12))), picture.with_patches([]).pixels_in((slice(0, 24), slice(5, 31)))
    )


def test_pixels_cannot_be_made_writable_again() -> None:
    """Plates share memory, so nobody may scribble into it, not even who means to."""
    drawn = np.zeros((4, 4, 3), np.float32)
    pixels = Picture(freeze(drawn)).pixels
    with pytest.raises(ValueError, match="read-only"):
        pixels[0, 0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        pixels.flags.writeable = True
    with pytest.raises(ValueError, match="read-only"):
        drawn[0, 0] = 1
    assert freeze(pixels) is pixels


def test_what_a_plate_does_not_have_is_an_error_as_everywhere() -> None:
    """Only the pixels of a patched picture are put together late."""
    with pytest.raises(AttributeError, match="colour"):
        _ = _plate().with_patches([]).colour  # type: ignore[attr-defined]
