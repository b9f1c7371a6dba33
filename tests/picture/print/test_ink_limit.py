"""JPEG adds ink at edges: the affected squares get less ink, and no others change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.picture.formats import jpeg, jpeg_write
from goldsmith.picture.formats.image_info import Samples
from goldsmith.picture.print.cmyk import code_sums, limit_code_coverage
from goldsmith.picture.print.ink_limit import limit_ink_through_jpeg


def round_trip(quality: int, codes: Samples) -> Samples:
    """Return codes (h, w, 4) after JPEG compression and decompression."""
    data = jpeg_write.write_bare_cmyk(codes, quality)
    return jpeg.read_samples(data, jpeg.read_header(data, "inks", 10**8), "inks")


def percent(codes: Samples) -> float:
    """Return the highest sum of inks of codes (h, w, 4) in percent."""
    return float(code_sums(codes).max()) / 2.55


def edges(height: int = 61, width: int = 83) -> Samples:
    """Return codes (h, w, 4) of blocks, like letters, with up to 300 % of ink on bare paper; the size is no multiple of 8."""
    codes = np.zeros((height, width, 4), np.uint8)
    codes[5:50, 9:40] = (200, 190, 180, 195)
    codes[20:30, 44:80] = (100, 255, 155, 255)
    return limit_code_coverage(codes, 300)


@pytest.mark.parametrize("quality", [1, 10, 40, 75, 90, 100])
def test_decoded_jpegs_are_within_the_limit(quality: int) -> None:
    """Hard edges would exceed it; one code per ink is reserved for decoders that round differently."""
    codes = edges()
    result = limit_ink_through_jpeg(codes, 300, lambda reduced: round_trip(quality, reduced))
    assert result.shape == codes.shape
    assert percent(round_trip(quality, result)) <= 300 - 4 / 2.55 + 0.01
    if quality < 90:
        assert percent(round_trip(quality, codes)) > 300


def test_black_is_kept_and_other_squares_are_not_changed() -> None:
    """Colours are reduced, and only in squares of 8 px that exceeded the limit."""
    codes = edges()
    codes[56:, 72:] = (90, 80, 70, 60)
    result = limit_ink_through_jpeg(codes, 300, lambda reduced: round_trip(60, reduced))
    assert (result[:, :, 3] == codes[:, :, 3]).all()
    assert (result <= codes).all()
    assert (result != codes).any()
    assert (result[56:] == codes[56:]).all()
    assert (result[:8, :8] == codes[:8, :8]).all()


def test_the_search_takes_few_rounds() -> None:
    """Lowering each square by its own excess keeps the number of encodings of a large picture small."""
    encoded_heights: list[int] = []

    def counting_round_trip(reduced: Samples) -> Samples:
        encoded_heights.append(len(reduced))
        return round_trip(40, reduced)

    limit_ink_through_jpeg(edges(), 300, counting_round_trip)
    assert len(encoded_heights) <= 6


def test_codes_within_the_limit_are_returned_unchanged() -> None:
    """Round trips that add no ink give back the same array."""
    thin = np.full((20, 20, 4), 60, np.uint8)
    assert limit_ink_through_jpeg(thin, 300, lambda reduced: round_trip(50, reduced)) is thin


def test_the_search_ends_if_the_limit_cannot_be_met() -> None:
    """Round trips that always add ink end the search after some rounds; the affected squares have no colour left."""
    full = np.full((16, 16, 4), 180, np.uint8)

    def fill_with_ink(reduced: Samples) -> Samples:
        return np.full(reduced.shape, 255, np.uint8)

    result = limit_ink_through_jpeg(full, 280, fill_with_ink)
    assert result.shape == full.shape
    assert (result[:, :, 3] == 180).all()
    assert not result[:, :, :3].any()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    quality=st.integers(1, 100),
    limit=st.integers(150, 390),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_noise_is_within_the_limit(seed: int, quality: int, limit: int, size: tuple[int, int]) -> None:
    """Noise is the worst case: at any quality, limit and size the result is within the limit, and black never shrinks."""
    codes = limit_code_coverage(np.random.default_rng(seed).integers(0, 256, (*size, 4)).astype(np.uint8), limit)
    result = limit_ink_through_jpeg(codes, limit, lambda reduced: round_trip(quality, reduced))
    assert percent(round_trip(quality, result)) <= limit
    assert (result[:, :, 3] == codes[:, :, 3]).all()
