"""The difference between two pictures, in codes at the depth of the delivered picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from goldsmith.ops import catalogue as operations
from goldsmith.picture.picture import BitDepth, Picture, freeze
from goldsmith.pipeline.replay.compare_operation import Compare, catalogue, measure_difference


def picture(codes: NDArray[np.int64], depth: BitDepth = 8, alpha: NDArray[np.int64] | None = None) -> Picture:
    """Return a picture from codes, (height, width, channels), and alpha codes, (height, width), of that depth in bits."""
    maximum = 2**depth - 1
    return Picture(
        freeze((codes / maximum).astype(np.float32)), None if alpha is None else freeze((alpha / maximum).astype(np.float32)), depth
    )


def noise(depth: BitDepth = 8, height: int = 100, width: int = 20, channels: int = 3) -> NDArray[np.int64]:
    """Return random codes of that depth in bits, (height, width, channels)."""
    return np.random.default_rng(3).integers(0, 2**depth, (height, width, channels))


@pytest.mark.parametrize("depth", [8, 16])
def test_equal_pictures_are_identical(depth: BitDepth) -> None:
    """This holds at both depths."""
    difference = measure_difference(picture(noise(depth), depth), picture(noise(depth), depth))
    assert difference == {"identical": True, "same_profile": True, "mean": 0.0, "max": 0, "changed_share": 0.0, "depth": depth}


@pytest.mark.parametrize("depth", [8, 16])
def test_the_mean_counts_codes_and_the_share_counts_pixels(depth: BitDepth) -> None:
    """Two pixels of 2000 differ, one of them in two channels."""
    before = np.full((100, 20, 3), 100)
    after = before.copy()
    after[0, 0, 0] += 7
    after[99, 19] += (-3, 0, 2)
    difference = measure_difference(picture(before, depth), picture(after, depth))
    assert (difference["max"], difference["changed_share"], difference["identical"]) == (7, 2 / 2000, False)
    assert difference["mean"] == pytest.approx(12 / 6000)


def test_a_difference_below_half_a_code_does_not_count() -> None:
    """If floats differ by less than half a code, the files hold the same codes."""
    before = picture(noise())
    after = replace(before, pixels=freeze(before.pixels + np.float32(0.4 / 255) * (before.pixels < 0.9)))
    assert measure_difference(before, after)["identical"]


def test_alpha_counts_as_a_channel() -> None:
    """Only the alpha of one pixel differs."""
    before, after = np.full((100, 20), 255), np.full((100, 20), 255)
    after[50, 3] = 250
    difference = measure_difference(picture(noise(), alpha=before), picture(noise(), alpha=after))
    assert (difference["max"], difference["changed_share"]) == (5, 1 / 2000)
    assert difference["mean"] == pytest.approx(5 / 8000)


def test_equal_codes_with_another_profile_are_not_identical() -> None:
    """Only the profile differs."""
    difference = measure_difference(picture(noise()), replace(picture(noise()), icc=b"another"))
    assert (difference["identical"], difference["same_profile"], difference["max"]) == (False, False, 0)


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (picture(noise(height=99)), "it was 20 x 100 px and is 20 x 99 px now"),
        (picture(noise(channels=1)), "it had 3 channels and has 1 now"),
        (picture(noise(), alpha=np.full((100, 20), 255)), "it was opaque and is not now"),
        (picture(noise(16), 16), "it had 8 bits per channel and has 16 now"),
    ],
    ids=["size", "channels", "alpha", "depth"],
)
def test_incomparable_pictures_have_a_reason_and_no_figures(after: Picture, reason: str) -> None:
    """Size, depth, channel count or the presence of alpha differs."""
    assert measure_difference(picture(noise()), after) == {"incomparable": reason}


def test_no_brief_can_name_the_comparison() -> None:
    """Only the catalogue of a replay's workers has the operation."""
    assert catalogue()["compare"] is Compare
    assert {**catalogue(), "compare": None} == {**operations(), "compare": None}
    assert "compare" not in operations()
