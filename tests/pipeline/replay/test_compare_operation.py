"""The difference between two pictures, in codes at the depth of the delivered one."""

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
    most = 2**depth - 1
    return Picture(freeze((codes / most).astype(np.float32)), None if alpha is None else freeze((alpha / most).astype(np.float32)), depth)


def noise(depth: BitDepth = 8, height: int = 100, width: int = 20, channels: int = 3) -> NDArray[np.int64]:
    """Return random codes of that depth in bits, (height, width, channels)."""
    return np.random.default_rng(3).integers(0, 2**depth, (height, width, channels))


@pytest.mark.parametrize("depth", [8, 16])
def test_equal_pictures_are_identical(depth: BitDepth) -> None:
    """Compare equal pictures at both depths."""
    found = measure_difference(picture(noise(depth), depth), picture(noise(depth), depth))
    assert found == {"identical": True, "same_profile": True, "mean": 0.0, "max": 0, "changed_share": 0.0, "depth": depth}


@pytest.mark.parametrize("depth", [8, 16])
def test_the_mean_counts_codes_and_the_share_counts_pixels(depth: BitDepth) -> None:
    """Change two pixels of 2000, one of them in two channels."""
    then = np.full((100, 20, 3), 100)
    now = then.copy()
    now[0, 0, 0] += 7
    now[99, 19] += (-3, 0, 2)
    found = measure_difference(picture(then, depth), picture(now, depth))
    assert (found["max"], found["changed_share"], found["identical"]) == (7, 2 / 2000, False)
    assert found["mean"] == pytest.approx(12 / 6000)


def test_a_difference_below_half_a_code_does_not_count() -> None:
    """Change floats by less than half a code: the files hold the same codes."""
    then = picture(noise())
    now = replace(then, pixels=freeze(then.pixels + np.float32(0.4 / 255) * (then.pixels < 0.9)))
    assert measure_difference(then, now)["identical"]


def test_alpha_counts_as_a_channel() -> None:
    """Change only the alpha of one pixel."""
    then, now = np.full((100, 20), 255), np.full((100, 20), 255)
    now[50, 3] = 250
    found = measure_difference(picture(noise(), alpha=then), picture(noise(), alpha=now))
    assert (found["max"], found["changed_share"]) == (5, 1 / 2000)
    assert found["mean"] == pytest.approx(5 / 8000)


def test_equal_codes_with_another_profile_are_not_identical() -> None:
    """Change only the profile."""
    found = measure_difference(picture(noise()), replace(picture(noise()), icc=b"another"))
    assert (found["identical"], found["same_profile"], found["max"]) == (False, False, 0)


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (picture(noise(height=99)), "it was 20 x 100 px and is 20 x 99 px now"),
        (picture(noise(channels=1)), "it had 3 channels and has 1 now"),
        (picture(noise(), alpha=np.full((100, 20), 255)), "it was opaque and is not now"),
        (picture(noise(16), 16), "it had 8 bits per channel and has 16 now"),
    ],
    ids=["size", "channels", "alpha", "depth"],
)
def test_incomparable_pictures_have_a_reason_and_no_figures(now: Picture, reason: str) -> None:
    """Compare pictures of another size, depth, channel count and with alpha."""
    assert measure_difference(picture(noise()), now) == {"incomparable": reason}


def test_no_brief_can_name_the_comparison() -> None:
    """Check that only the catalogue of a replay's workers has it."""
    assert catalogue()["compare"] is Compare
    assert {**catalogue(), "compare": None} == {**operations(), "compare": None}
    assert "compare" not in operations()
