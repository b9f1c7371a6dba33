"""Colours as they are written."""

from __future__ import annotations

import numpy as np
import pytest

from goldsmith.errors import Problem
from goldsmith.ops.text.colours import in_profile, rgb_of, room_for
from goldsmith.picture import profiles
from goldsmith.picture.picture import Plate, frozen

GREY = Plate(frozen(np.full((2, 2, 1), 0.5, np.float32)))


@pytest.mark.parametrize(
    ("said", "rgb"), [("#0a141e", (10, 20, 30)), ("#0AF", (0, 170, 255)), ("Orange", (255, 165, 0)), (" white ", (255, 255, 255))]
)
def test_written_colours(said: str, rgb: tuple[int, int, int]) -> None:
    """Six digits, three, or a name."""
    assert rgb_of(said) == rgb


@pytest.mark.parametrize("said", ["", "#12", "#12345g", "rgb(1,2,3)", "blurple"])
def test_what_is_no_colour_is_told(said: str) -> None:
    """With what could be written."""
    with pytest.raises(ValueError, match="is no colour: write"):
        rgb_of(said)


def test_a_colour_in_sRGB_is_its_codes() -> None:
    """And grey on a grey plate is one value."""
    assert (in_profile((10, 20, 30), None, 3) * 255).tolist() == pytest.approx([10, 20, 30])
    assert (in_profile((77, 77, 77), None, 1) * 255).tolist() == pytest.approx([77])


def test_white_is_white_in_every_profile() -> None:
    """Relative colorimetric."""
    for name in ("adobe-rgb", "display-p3", "prophoto"):
        assert in_profile((255, 255, 255), profiles.named(name), 3) == pytest.approx(np.ones(3), abs=2e-4)


def test_a_grey_plate_opens_only_for_a_colour() -> None:
    """Its values are the same in all channels; one with a profile of its own cannot."""
    assert room_for(GREY, [(9, 9, 9)]) is GREY
    opened = room_for(GREY, [(9, 9, 9), (255, 0, 0)])
    assert (opened.pixels == np.float32(0.5)).all()
    assert opened.channels == 3
    with pytest.raises(Problem, match="is grey, with the profile"):
        room_for(Plate(GREY.pixels, icc=profiles.of_png_gamma(0.55, None, grey=True)), [(255, 0, 0)])
