"""Colours as briefs write them, and in the picture's profile."""

from __future__ import annotations

import numpy as np
import pytest

from goldsmith.errors import InputError
from goldsmith.ops.text.named_colours import colour_in_profile, ensure_colour_channels, parse_colour
from goldsmith.picture import profiles
from goldsmith.picture.picture import Picture, freeze

GREY = Picture(freeze(np.full((2, 2, 1), 0.5, np.float32)))


@pytest.mark.parametrize(
    ("text", "rgb"), [("#0a141e", (10, 20, 30)), ("#0AF", (0, 170, 255)), ("Orange", (255, 165, 0)), (" white ", (255, 255, 255))]
)
def test_colours_are_read_as_written(text: str, rgb: tuple[int, int, int]) -> None:
    """Six digits, three digits and names are read."""
    assert parse_colour(text) == rgb


@pytest.mark.parametrize("text", ["", "#12", "#12345g", "rgb(1,2,3)", "blurple"])
def test_a_text_that_is_no_colour_is_refused(text: str) -> None:
    """ValueError gives the accepted forms."""
    with pytest.raises(ValueError, match="is not a colour: write"):
        parse_colour(text)


def test_a_colour_in_sRGB_keeps_its_codes() -> None:
    """Neutral colours on a grey picture are one value."""
    assert (colour_in_profile((10, 20, 30), None, 3) * 255).tolist() == pytest.approx([10, 20, 30])
    assert (colour_in_profile((77, 77, 77), None, 1) * 255).tolist() == pytest.approx([77])


def test_white_is_white_in_every_profile() -> None:
    """Conversion is relative colorimetric."""
    for name in ("adobe-rgb", "display-p3", "prophoto"):
        assert colour_in_profile((255, 255, 255), profiles.builtin_profile(name), 3) == pytest.approx(np.ones(3), abs=2e-4)


def test_a_grey_picture_becomes_rgb_only_for_a_colour() -> None:
    """Values are repeated in three channels; a picture with a grey profile is refused."""
    assert ensure_colour_channels(GREY, [(9, 9, 9)]) is GREY
    opened = ensure_colour_channels(GREY, [(9, 9, 9), (255, 0, 0)])
    assert (opened.pixels == np.float32(0.5)).all()
    assert opened.channels == 3
    with pytest.raises(InputError, match="is grey, with the profile"):
        ensure_colour_channels(Picture(GREY.pixels, icc=profiles.profile_from_png_gamma(0.55, None, is_grey=True)), [(255, 0, 0)])
