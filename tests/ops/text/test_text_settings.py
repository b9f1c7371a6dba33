"""What a brief may write of type, read into what is meant."""

from __future__ import annotations

import pytest

from goldsmith.ops.text import text_settings


@pytest.mark.parametrize(("size", "px"), [("64px", 64), ("64 px", 64), ("7.5px", 7.5), ("8%", 40), ("100 %", 500)])
def test_a_size_in_px(size: str, px: float) -> None:
    """Per cent are of the picture's height."""
    assert text_settings.size_in_px(text_settings.check_size(size), 500) == pytest.approx(px)


@pytest.mark.parametrize(("given", "said"), [(64, "64px"), (7.5, "7.5px"), ("8%", "8%"), (True, True), (None, None)])
def test_a_number_alone_is_px(given: object, said: object) -> None:
    """Anything else is left for the check."""
    assert text_settings.normalise_size(given) == said


@pytest.mark.parametrize("size", ["", "0px", "0%", "101%", "20001px", "8", "-8%", "1e3px", "8%%"])
def test_what_is_no_size_is_told(size: str) -> None:
    """With what is."""
    with pytest.raises(ValueError, match="is no size: write px"):
        text_settings.check_size(size)


def test_features_as_harfbuzz_takes_them() -> None:
    """On, off, and which form."""
    assert text_settings.parse_features(("liga", "-kern", "+smcp", "ss01=2", "aalt=0")) == {
        "liga": 1,
        "kern": 0,
        "smcp": 1,
        "ss01": 2,
        "aalt": 0,
    }


def test_line_breaks_of_every_system_are_one() -> None:
    """A brief written on Windows sets the same lines."""
    assert text_settings.normalise_text("a\r\nb\rc\td") == "a\nb\nc d"
