"""Memory budget: a picture that needs more memory than a job may use is refused, with the numbers and the setting, before any work."""

from __future__ import annotations

import pytest

from goldsmith.brief.settings import Settings
from goldsmith.errors import InputError
from goldsmith.picture.memory_budget import ALWAYS_ALLOWED_PIXELS, BYTES_PER_PIXEL, OVERHEAD_BYTES, MemoryBudget

GIB = 2**30


def test_the_limit_is_exact_to_the_pixel() -> None:
    """A picture of the largest size passes; one more row is refused."""
    budget = MemoryBudget(OVERHEAD_BYTES + BYTES_PER_PIXEL * 2_000_000)
    budget.check_size("hero.png", 2000, 1000)
    with pytest.raises(InputError):
        budget.check_size("hero.png", 2000, 1001)


def test_the_message_has_the_numbers_and_the_remedy_has_the_setting() -> None:
    """Setting the memory to the value in the remedy is sufficient."""
    with pytest.raises(InputError) as caught:
        MemoryBudget(4 * GIB).check_size("hero.jpg", 11600, 8700)
    assert caught.value.sentence == (
        "hero.jpg is 11600 x 8700 pixels (101 MP) large: work on it takes up to 5 GiB of memory, and a job may have 4 GiB."
    )
    assert caught.value.remedy == "Make it smaller, or set worker_memory_mb = 5200 or more in config/goldsmith.toml."
    MemoryBudget(5200 << 20).check_size("hero.jpg", 11600, 8700)


def test_alpha_takes_a_third_more() -> None:
    """RGBA has four planes instead of three."""
    budget = MemoryBudget(OVERHEAD_BYTES + BYTES_PER_PIXEL * 3_000_000)
    budget.check_size("hero.png", 3000, 1000)
    budget.check_size("hero.png", 2250, 1000, has_alpha=True)
    with pytest.raises(InputError):
        budget.check_size("hero.png", 2251, 1000, has_alpha=True)


def test_an_operation_that_needs_more_memory_allows_smaller_pictures() -> None:
    """Operations declare their memory per pixel."""
    memory = OVERHEAD_BYTES + BYTES_PER_PIXEL * 2_000_000
    MemoryBudget(memory, BYTES_PER_PIXEL).check_size("hero.png", 2000, 1000)
    with pytest.raises(InputError):
        MemoryBudget(memory, BYTES_PER_PIXEL + 1).check_size("hero.png", 2000, 1000)


def test_small_pictures_always_fit() -> None:
    """Pictures up to a fixed size pass, whatever the limit is."""
    MemoryBudget(1).check_size("hero.png", ALWAYS_ALLOWED_PIXELS, 1)
    with pytest.raises(InputError):
        MemoryBudget(1).check_size("hero.png", ALWAYS_ALLOWED_PIXELS + 1, 1)


def test_the_default_settings_allow_a_hundred_megapixels() -> None:
    """Neither the default memory of a machine with 16 GB nor ``max_pixels`` is below a hundred megapixels."""
    MemoryBudget(8 * GIB).check_size("hero.jpg", 11600, 8700)
    assert Settings().max_pixels >= 11600 * 8700
