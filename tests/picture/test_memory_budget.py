"""Room: a picture that is too large for a job's memory is told so, with the number and the setting, before anything is done."""

from __future__ import annotations

import pytest

from goldsmith.brief.settings import Settings
from goldsmith.errors import InputError
from goldsmith.picture.memory_budget import ALWAYS_ALLOWED_PIXELS, BYTES_PER_PIXEL, OVERHEAD_BYTES, MemoryBudget

GIB = 2**30


def test_it_fits_up_to_the_very_pixel() -> None:
    """The last picture that fits passes, and one px more does not."""
    room = MemoryBudget(OVERHEAD_BYTES + BYTES_PER_PIXEL * 2_000_000)
    room.check_size("hero.png", 2000, 1000)
    with pytest.raises(InputError):
        room.check_size("hero.png", 2000, 1001)


def test_the_sentence_has_the_numbers_and_the_remedy_the_setting() -> None:
    """Someone who has never heard of lanes can act on it, and what it says to set is enough."""
    with pytest.raises(InputError) as caught:
        MemoryBudget(4 * GIB).check_size("hero.jpg", 11600, 8700)
    assert caught.value.sentence == (
        "hero.jpg is 11600 x 8700 pixels (101 MP) large: work on it takes up to 5 GiB of memory, and a job may have 4 GiB."
    )
    assert caught.value.remedy == "Make it smaller, or set worker_memory_mb = 5200 or more in config/goldsmith.toml."
    MemoryBudget(5200 << 20).check_size("hero.jpg", 11600, 8700)


def test_alpha_takes_a_third_more() -> None:
    """A picture of RGBA has four planes and not three."""
    room = MemoryBudget(OVERHEAD_BYTES + BYTES_PER_PIXEL * 3_000_000)
    room.check_size("hero.png", 3000, 1000)
    room.check_size("hero.png", 2250, 1000, has_alpha=True)
    with pytest.raises(InputError):
        room.check_size("hero.png", 2251, 1000, has_alpha=True)


def test_a_step_that_takes_more_leaves_room_for_less() -> None:
    """What an operation says of itself counts."""
    memory = OVERHEAD_BYTES + BYTES_PER_PIXEL * 2_000_000
    MemoryBudget(memory, BYTES_PER_PIXEL).check_size("hero.png", 2000, 1000)
    with pytest.raises(InputError):
        MemoryBudget(memory, BYTES_PER_PIXEL + 1).check_size("hero.png", 2000, 1000)


def test_small_pictures_always_fit() -> None:
    """However little a job may have: a megapixel is nothing."""
    MemoryBudget(1).check_size("hero.png", ALWAYS_ALLOWED_PIXELS, 1)
    with pytest.raises(InputError):
        MemoryBudget(1).check_size("hero.png", ALWAYS_ALLOWED_PIXELS + 1, 1)


def test_the_house_lets_a_hundred_megapixels_through() -> None:
    """By its defaults, on a machine of 16 GB, and its limit of pixels is not below that either."""
    MemoryBudget(8 * GIB).check_size("hero.jpg", 11600, 8700)
    assert Settings().max_pixels >= 11600 * 8700
