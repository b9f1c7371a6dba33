"""Pixels that are computed when they are read are the same, whether they are read row by row or all at once."""

from __future__ import annotations

import weakref
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from goldsmith.errors import JobCancelled
from goldsmith.picture import codec, row_slabs
from goldsmith.picture.antiringing import resize_without_ringing
from goldsmith.picture.bit_sums import BitSums
from goldsmith.picture.codec import EncodingOptions
from goldsmith.picture.lazy_pixels import LazyPixels
from goldsmith.picture.picture import Picture, Pixels, freeze


def _values(height: int = 90, width: int = 70) -> Pixels:
    return np.random.default_rng(5).random((height, width, 3), dtype=np.float32)


def _darker(pixels: Pixels) -> Pixels:
    pixels *= np.float32(0.7)
    return pixels


def _as_floats(codes: NDArray[np.uint8], rows: slice) -> Pixels:
    return codes[rows].astype(np.float32)


def test_a_changed_picture_has_the_pixels_of_the_change() -> None:
    """A window and the whole show the change, and the picture before it stays as it was."""
    before = Picture(freeze(_values()))
    after = before.with_change(_darker)
    window = np.s_[10:20, 5:50]
    assert np.array_equal(after.pixels_in(window), _darker(_values())[window])
    assert np.array_equal(after.pixels, _darker(_values()))
    assert np.array_equal(before.pixels, _values())
    assert after.differing_windows(before) is None


def test_a_changed_picture_gives_the_same_codes_before_and_after_it_is_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The codes are made slab by slab, without the floats of the whole picture."""
    monkeypatch.setattr(row_slabs, "_SLAB_PIXELS", 200)
    after = Picture(freeze(_values())).with_change(_darker)
    codes = after.to_codes()
    assert after.lazy_pixels is not None
    assert not after.lazy_pixels.is_computed
    _ = after.pixels
    assert np.array_equal(after.to_codes(), codes)
    assert np.array_equal(codes, Picture(freeze(_darker(_values()))).to_codes())


def test_patches_lie_over_lazy_pixels() -> None:
    """A patch over pixels that are still to be computed counts, and only its box differs."""
    patch = freeze(np.full((4, 4, 3), 0.25, np.float32))
    changed = Picture(freeze(_values())).with_change(_darker)
    patched = changed.with_patches([(np.s_[2:6, 3:7], patch)])
    expected = _darker(_values())
    expected[2:6, 3:7] = 0.25
    assert np.array_equal(patched.pixels_in(np.s_[0:9, 0:9]), expected[:9, :9])
    assert patched.differing_windows(changed) == (np.s_[2:6, 3:7],)
    assert np.array_equal(patched.pixels, expected)


def test_pictures_with_the_same_base_put_it_together_once() -> None:
    """A copy with other masks shares the pixels."""
    changed = Picture(freeze(_values())).with_change(_darker)
    other = changed.with_masks({"mask": freeze(np.ones((90, 70), np.float32))})
    assert changed.pixels is other.pixels


def test_nothing_can_be_written_into_pixels_that_are_read() -> None:
    """Neither a window nor the whole can be written to."""
    changed = Picture(freeze(_values())).with_change(_darker)
    for pixels in (changed.pixels_in(np.s_[0:3, 0:70]), changed.pixels):
        with pytest.raises(ValueError, match="read-only"):
            pixels[0] = 0


@pytest.mark.parametrize("depth", [8, 16])
def test_a_file_stays_codes_until_its_floats_are_read(depth: int) -> None:
    """A decoded file gives its codes back without a copy in floats."""
    codes = np.random.default_rng(1).integers(0, 2**depth, (40, 30, 3)).astype(np.uint8 if depth == 8 else np.uint16)
    source = Picture(freeze(codes / np.float32(2**depth - 1)), depth=8 if depth == 8 else 16)
    picture = codec.decode(codec.encode(source, EncodingOptions(format="png")), "a.png", 10**6)
    assert picture.lazy_pixels is not None
    assert np.array_equal(picture.to_codes(), codes)
    assert not picture.lazy_pixels.is_computed
    assert np.array_equal(picture.pixels, codes.astype(np.float32) / np.float32(2**depth - 1))


def test_reducing_row_by_row_gives_what_reducing_the_whole_gives() -> None:
    """The reduction reads rows, and no pixel of the picture is put together."""
    changed = Picture(freeze(_values(300, 200))).with_change(_darker)
    result = resize_without_ringing(changed, 100, 66)
    assert changed.lazy_pixels is not None
    assert not changed.lazy_pixels.is_computed
    expected = resize_without_ringing(Picture(freeze(_darker(_values(300, 200)))), 100, 66)
    assert np.array_equal(result.pixels, expected.pixels)


def test_work_that_is_cancelled_can_be_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancelled computation leaves nothing half done."""
    monkeypatch.setattr(row_slabs, "_SLAB_PIXELS", 200)

    def cancel(_: float) -> None:
        raise JobCancelled

    pixels = LazyPixels((90, 70, 3), lambda rows: _values()[rows], sums_bits=True)
    with pytest.raises(JobCancelled):
        pixels.array(cancel)
    assert np.array_equal(pixels.array(), _values())


@pytest.mark.parametrize("width", [70, 71])
def test_each_row_counts_once_in_the_sums_whatever_the_order(width: int) -> None:
    """Rows that are added twice, or in another order, give the same sums."""
    values, digests = _values(90, width), []
    for cuts in ([0, 90], [0, 7, 50, 90], [40, 90, 40, 0, 90]):
        sums, parts = BitSums(values.shape), list[bytes]()
        for start, stop in (sorted(pair) for pair in pairwise(cuts)):
            sums.add(start, values[start:stop])
        assert sums.is_complete
        sums.feed(parts.append)
        digests.append(b"".join(parts))
    assert len(set(digests)) == 1
    assert not BitSums(values.shape).is_complete


def test_what_pixels_are_computed_from_is_dropped_once_they_are_put_together() -> None:
    """The codes of a file do not stay in memory beside the floats."""
    codes = np.zeros((90, 70, 3), np.uint8)
    kept = weakref.ref(codes)
    pixels = LazyPixels(codes.shape, partial(_as_floats, codes))
    del codes
    assert kept() is not None
    pixels.array()
    assert kept() is None
