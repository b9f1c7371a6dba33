"""How far two pictures are apart, in codes at the depth of the one that was delivered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from goldsmith.ops import catalogue as operations
from goldsmith.picture.picture import BitDepth, Picture, freeze
from goldsmith.pipeline.replay.compare_operation import Compare, catalogue, measure_difference


def picture(codes: NDArray[np.int64], depth: BitDepth = 8, alpha: NDArray[np.int64] | None = None) -> Picture:
    most = 2**depth - 1
    return Picture(freeze((codes / most).astype(np.float32)), None if alpha is None else freeze((alpha / most).astype(np.float32)), depth)


def noise(depth: BitDepth = 8, height: int = 100, width: int = 20, channels: int = 3) -> NDArray[np.int64]:
    return np.random.default_rng(3).integers(0, 2**depth, (height, width, channels))


@pytest.mark.parametrize("depth", [8, 16])
def test_the_same_pixels_are_the_same(depth: BitDepth) -> None:
    """At both depths, whatever else the files hold."""
    found = measure_difference(picture(noise(depth), depth), picture(noise(depth), depth))
    assert found == {"identical": True, "same_profile": True, "mean": 0.0, "max": 0, "changed_share": 0.0, "depth": depth}


@pytest.mark.parametrize("depth", [8, 16])
def test_mean_worst_and_share_are_counted_in_codes_and_pixels(depth: BitDepth) -> None:
    """Two pixels of 2000 off, one of them in two channels: the share counts pixels, the mean every code."""
    then = np.full((100, 20, 3), 100)
    now = then.copy()
    now[0, 0, 0] += 7
    now[99, 19] += (-3, 0, 2)
    found = measure_difference(picture(then, depth), picture(now, depth))
    assert (found["max"], found["changed_share"], found["identical"]) == (7, 2 / 2000, False)
    assert found["mean"] == pytest.approx(12 / 6000)


def test_a_difference_below_half_a_code_is_none() -> None:
    """What is compared is what the files hold, not what floats lie between."""
    then = picture(noise())
    now = replace(then, pixels=freeze(then.pixels + np.float32(0.4 / 255) * (then.pixels < 0.9)))
    assert measure_difference(then, now)["identical"]


def test_alpha_counts_as_a_channel() -> None:
    """A pixel whose transparency alone is another one differs."""
    then, now = np.full((100, 20), 255), np.full((100, 20), 255)
    now[50, 3] = 250
    found = measure_difference(picture(noise(), alpha=then), picture(noise(), alpha=now))
    assert (found["max"], found["changed_share"]) == (5, 1 / 2000)
    assert found["mean"] == pytest.approx(5 / 8000)


def test_another_profile_makes_another_picture_of_the_same_codes() -> None:
    """The codes agree, the colours do not."""
    found = measure_difference(picture(noise()), replace(picture(noise()), icc=b"another"))
    assert (found["identical"], found["same_profile"], found["max"]) == (False, False, 0)


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (picture(noise(height=99)), "it was 20 x 100 px and is 20 x 99 px now"),
        (picture(noise(channels=1)), "it had 3 channels and has 1 now"),
        (picture(noise(), alpha=np.full((100, 20), 255)), "it was opaque and is not now"),
        (picture(noise(16), 16), "it had 8 bits per channel and has 16 now"),
    ],
    ids=["size", "channels", "alpha", "depth"],
)
def test_what_cannot_be_laid_side_by_side_is_said(now: Picture, told: str) -> None:
    """Instead of figures that mean nothing."""
    assert measure_difference(picture(noise()), now) == {"incomparable": told}


def test_no_brief_can_ask_for_a_comparison() -> None:
    """It is in the catalogue of a replay's lanes and in no other."""
    assert catalogue()["compare"] is Compare
    assert {**catalogue(), "compare": None} == {**operations(), "compare": None}
    assert "compare" not in operations()
