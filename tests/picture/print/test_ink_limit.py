"""Room under the limit of coverage where a JPEG needs it, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.picture.formats import jpeg, jpeg_write
from goldsmith.picture.formats.image_info import Samples
from goldsmith.picture.print.cmyk import code_sums, limit_code_coverage
from goldsmith.picture.print.ink_limit import limit_ink_through_jpeg


def through(quality: int, codes: Samples) -> Samples:
    """Into a JPEG and out again."""
    data = jpeg_write.write_bare_cmyk(codes, quality)
    return jpeg.read_samples(data, jpeg.read_header(data, "inks", 10**8), "inks")


def percent(codes: Samples) -> float:
    return float(code_sums(codes).max()) / 2.55


def edges(height: int = 61, width: int = 83) -> Samples:
    """Letters-like blocks of all inks up to 300 % on bare paper, of a size that is no multiple of 8."""
    codes = np.zeros((height, width, 4), np.uint8)
    codes[5:50, 9:40] = (200, 190, 180, 195)
    codes[20:30, 44:80] = (100, 255, 155, 255)
    return limit_code_coverage(codes, 300)


@pytest.mark.parametrize("quality", [1, 10, 40, 75, 90, 100])
def test_what_comes_out_of_a_jpeg_is_within_the_limit(quality: int) -> None:
    """At hard edges it would be above it; a code for each ink stays free for decoders that round otherwise."""
    codes = edges()
    made = limit_ink_through_jpeg(codes, 300, lambda some: through(quality, some))
    assert made.shape == codes.shape
    assert percent(through(quality, made)) <= 300 - 4 / 2.55 + 0.01
    if quality < 90:
        assert percent(through(quality, codes)) > 300


def test_black_is_kept_and_far_squares_are_as_they_were() -> None:
    """Only colours give way, and only in squares of 8 px that came back above the limit."""
    codes = edges()
    codes[56:, 72:] = (90, 80, 70, 60)
    made = limit_ink_through_jpeg(codes, 300, lambda some: through(60, some))
    assert (made[:, :, 3] == codes[:, :, 3]).all()
    assert (made <= codes).all()
    assert (made != codes).any()
    assert (made[56:] == codes[56:]).all()
    assert (made[:8, :8] == codes[:8, :8]).all()


def test_it_is_found_in_a_few_turns() -> None:
    """Each square is lowered by what it was above, not by feeling its way: a large picture is not written twenty times."""
    turns: list[int] = []

    def noting(some: Samples) -> Samples:
        turns.append(len(some))
        return through(40, some)

    limit_ink_through_jpeg(edges(), 300, noting)
    assert len(turns) <= 6


def test_what_holds_already_comes_back_itself() -> None:
    """The very array; a way that shifts nothing needs no room."""
    thin = np.full((20, 20, 4), 60, np.uint8)
    assert limit_ink_through_jpeg(thin, 300, lambda some: through(50, some)) is thin


def test_a_way_that_cannot_be_held_ends() -> None:
    """One that adds ink whatever it is given is given up after some rounds, with all colours taken from those squares."""
    full = np.full((16, 16, 4), 180, np.uint8)

    def adding(some: Samples) -> Samples:
        return np.full(some.shape, 255, np.uint8)

    made = limit_ink_through_jpeg(full, 280, adding)
    assert made.shape == full.shape
    assert (made[:, :, 3] == 180).all()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    quality=st.integers(1, 100),
    limit=st.integers(150, 390),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
def test_noise_is_held_too(seed: int, quality: int, limit: int, size: tuple[int, int]) -> None:
    """The worst there is for a JPEG, at any quality, limit and size: what the export delivers is held, and black never shrinks."""
    codes = limit_code_coverage(np.random.default_rng(seed).integers(0, 256, (*size, 4)).astype(np.uint8), limit)
    made = limit_ink_through_jpeg(codes, limit, lambda some: through(quality, some))
    assert percent(through(quality, made)) <= limit
    assert (made[:, :, 3] == codes[:, :, 3]).all()
