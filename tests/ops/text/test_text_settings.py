"""Checks of the text step's settings."""

from __future__ import annotations

import pytest

from goldsmith.brief.brief import read_brief
from goldsmith.brief.pipeline import read_pipeline
from goldsmith.files import resource_path
from goldsmith.ops.text import text_settings
from goldsmith.ops.text.operation import Text


@pytest.mark.parametrize(("size", "px"), [("64px", 64), ("64 px", 64), ("7.5px", 7.5), ("8%", 40), ("100 %", 500)])
def test_a_size_is_converted_to_px(size: str, px: float) -> None:
    """Per cent are of the picture's height."""
    assert text_settings.size_in_px(text_settings.check_size(size), 500) == pytest.approx(px)


@pytest.mark.parametrize(("value", "expected"), [(64, "64px"), (7.5, "7.5px"), ("64", "64px"), ("8%", "8%"), (True, True), (None, None)])
def test_a_number_is_a_size_in_px(value: object, expected: object) -> None:
    """Also as a text; other values are left to the check."""
    assert text_settings.normalise_size(value) == expected


@pytest.mark.parametrize("size", ["", "0px", "0%", "101%", "20001px", "8", "-8%", "1e3px", "8%%"])
def test_a_text_that_is_no_size_is_refused(size: str) -> None:
    """ValueError gives the accepted forms."""
    with pytest.raises(ValueError, match="is not a size: write px"):
        text_settings.check_size(size)


def test_features_become_harfbuzz_values() -> None:
    """Features are switched on or off, or choose a form."""
    assert text_settings.parse_features(("liga", "-kern", "+smcp", "ss01=2", "aalt=0")) == {
        "liga": 1,
        "kern": 0,
        "smcp": 1,
        "ss01": 2,
        "aalt": 0,
    }


def test_line_breaks_of_every_system_become_line_feeds() -> None:
    """Line breaks of Windows and old Macs become line feeds, tabs become spaces."""
    assert text_settings.normalise_text("a\r\nb\rc\td") == "a\nb\nc d"


@pytest.mark.parametrize(("written", "size"), [("64", "64px"), ('"64"', "64px"), ('"8%"', "8%")])
def test_a_size_in_a_brief_reaches_the_step(written: str, size: str) -> None:
    """A number without a unit, as a number or in quotes, is px, from the brief to the step that draws the text."""
    pipeline = read_pipeline(resource_path("config", "pipeline.toml").read_bytes(), "pipeline.toml")
    brief = read_brief(f'[[deliver]]\nop = "text"\nstring = "Sale"\nsize = {written}\n'.encode(), "hero.toml", pipeline)
    ((step,),) = brief.steps_by_stage.values()
    assert Text(**step.settings).size == size
