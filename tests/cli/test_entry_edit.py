"""Numbers of an entry in models.toml are changed; comments and all other settings stay as they are."""

from __future__ import annotations

import tomllib

import pytest

from goldsmith.cli.entry_edit import change_diffusion_numbers
from goldsmith.errors import UsageError

TEXT = """# our models
[models.own]
kind = "generate"      # memory_mb = 1
[models.own.diffusion]  # how it runs
family = "sdxl"
memory_mb = 7_000      # the weights
seconds = 300.5

# another one
[models.other.diffusion]
memory_mb = 5
"""


def test_numbers_are_changed_and_comments_stay() -> None:
    """Check the whole text: a number with underscores, one with a point, and one that is added."""
    changed = change_diffusion_numbers(TEXT, "own", {"memory_mb": 123, "seconds": 60, "picture_mb": 9})
    assert changed == TEXT.replace("7_000      #", "123      #").replace("300.5\n", "60\npicture_mb = 9\n")


@pytest.mark.parametrize("heading", ['[models."own".diffusion]', "[ models.own.diffusion ]", "[models.'own'.diffusion] # x"])
def test_a_heading_may_be_written_in_other_ways(heading: str) -> None:
    """Check quotes, spaces and a comment, and a file that ends without a line break."""
    text = f"{heading}\nmemory_mb = 5"
    changed = tomllib.loads(change_diffusion_numbers(text, "own", {"memory_mb": 6, "seconds": 70}))
    assert changed == {"models": {"own": {"diffusion": {"memory_mb": 6, "seconds": 70}}}}


@pytest.mark.parametrize(
    "text",
    [
        "[models.own]\ndiffusion = { memory_mb = 5 }\n",
        "[models.own.diffusion]\nmemory_mb = 0x05\n",
        '[models.own.diffusion]\nabout = """\nmemory_mb = 5\n"""\nmemory_mb = 7\n',
    ],
)
def test_an_entry_that_cannot_be_changed_safely_is_refused(text: str) -> None:
    """Check an inline table, a number of another base, and a text that looks like the setting."""
    with pytest.raises(UsageError, match="nothing was written"):
        change_diffusion_numbers(text, "own", {"memory_mb": 6})
