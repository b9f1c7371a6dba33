"""Room: a picture that is too large for a job's memory is told so, with the number and the setting, before anything is done."""

from __future__ import annotations

import pytest

from goldsmith.brief.settings import House
from goldsmith.errors import Problem
from goldsmith.picture.room import BESIDE, LEAST, PER_PIXEL, Room

GIB = 2**30


def test_it_fits_up_to_the_very_pixel() -> None:
    """The last picture that fits passes, and one px more does not."""
    room = Room(BESIDE + PER_PIXEL * 2_000_000)
    room.check("hero.png", 2000, 1000)
    with pytest.raises(Problem):
        room.check("hero.png", 2000, 1001)


def test_the_sentence_has_the_numbers_and_the_remedy_the_setting() -> None:
    """Someone who has never heard of lanes can act on it, and what it says to set is enough."""
    with pytest.raises(Problem) as caught:
        Room(4 * GIB).check("hero.jpg", 11600, 8700)
    assert caught.value.sentence == (
        "hero.jpg is 11600 x 8700 pixels (101 MP) large: work on it takes up to 5 GiB of memory, and a job may have 4 GiB."
    )
    assert caught.value.remedy == "Make it smaller, or set lane_memory_mb = 5200 or more in config/house.toml."
    Room(5200 << 20).check("hero.jpg", 11600, 8700)


def test_alpha_takes_a_third_more() -> None:
    """A plate of RGBA has four planes and not three."""
    room = Room(BESIDE + PER_PIXEL * 3_000_000)
    room.check("hero.png", 3000, 1000)
    room.check("hero.png", 2250, 1000, alpha=True)
    with pytest.raises(Problem):
        room.check("hero.png", 2251, 1000, alpha=True)


def test_a_step_that_takes_more_leaves_room_for_less() -> None:
    """What an operation says of itself counts."""
    memory = BESIDE + PER_PIXEL * 2_000_000
    Room(memory, PER_PIXEL).check("hero.png", 2000, 1000)
    with pytest.raises(Problem):
        Room(memory, PER_PIXEL + 1).check("hero.png", 2000, 1000)


def test_small_pictures_always_fit() -> None:
    """However little a job may have: a megapixel is nothing."""
    Room(1).check("hero.png", LEAST, 1)
    with pytest.raises(Problem):
        Room(1).check("hero.png", LEAST + 1, 1)


def test_the_house_lets_a_hundred_megapixels_through() -> None:
    """By its defaults, on a machine of 16 GB, and its limit of pixels is not below that either."""
    Room(8 * GIB).check("hero.jpg", 11600, 8700)
    assert House().max_pixels >= 11600 * 8700
