"""``goldsmith ops`` lists every operation and every setting, from the operations' classes."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from doubles.commandline import Goldsmith
from goldsmith.cli.ops import setting_rows
from goldsmith.operation import Operation
from goldsmith.ops import catalogue


def test_every_operation_is_listed_with_stages_and_summary(goldsmith: Goldsmith, root: Path) -> None:
    """The summary is the first line of the docstring; the stages are those of the root's pipeline."""
    pipeline = root / "config" / "pipeline.toml"
    pipeline.write_text(pipeline.read_text().replace('steps = ["select", ', 'steps = ["select", "sharpen", '))
    rows = {row[0]: row[1:] for row in goldsmith("ops", "-r", root).rows[1:]}
    assert list(rows) == list(catalogue())
    summary = (inspect.getdoc(catalogue()["sharpen"]) or "").partition("\n")[0]
    assert rows["sharpen"] == ["generate, edit, grade, deliver", summary]
    assert summary.startswith("Sharpen ")
    assert rows["export"][0] == "deliver"


@pytest.mark.parametrize("word", sorted(catalogue()))
def test_every_setting_has_a_type_a_default_and_a_description(word: str) -> None:
    """Types and defaults contain no Python syntax."""
    for name, kind, _, default, description in setting_rows(catalogue()[word]):
        assert name
        assert kind
        assert default
        assert description.endswith((".", "…"))
        assert "<" not in kind + default
        assert "typing" not in kind


def test_one_operation_is_shown_with_all_its_settings(goldsmith: Goldsmith, root: Path) -> None:
    """The settings of nested tables are shown too."""
    result = goldsmith("ops", "grade", "-r", root)
    names = [row[0] for row in result.rows if len(row) == 5][1:]
    assert {"slope", "shadows", "shadows.temperature", "highlights.saturation", "look"} <= set(names)
    assert ["slope", "3 numbers in [ ]", "0 to 16", "[1.0, 1.0, 1.0]"] in [row[:4] for row in result.rows]


class _Zone(Operation):
    """A table."""

    warmth: Annotated[int, Field(gt=0, lt=9)] = 3
    """Warm."""


class _Example(Operation):
    """Does things."""

    must: int
    """Given."""
    many: tuple[Annotated[float, Field(ge=0, le=1)], ...] = (0.5,)
    """Many."""
    box: tuple[int, int] | None = None
    """Box."""
    way: Literal["up", "down"] = "up"
    """Way."""
    text: Annotated[str, Field(max_length=9)] = ""
    """Text."""
    floor: float = Field(default=2.0, ge=1)
    """Floor."""
    zone: _Zone = _Zone()
    """Zone."""
    on: bool = True
    """On."""
    rows: Annotated[tuple[int, ...], Field(max_length=4)] = ()
    """Rows."""
    source: str = Field(default="", alias="from")
    """From."""


def test_types_ranges_and_defaults_are_in_plain_words() -> None:
    """Readers who do not program understand the words."""
    assert [row[:4] for row in setting_rows(_Example)] == [
        ("must", "whole number", "", "(required)"),
        ("many", "numbers in [ ]", "0 to 1", "[0.5]"),
        ("box", "2 whole numbers in [ ]", "", "(unset)"),
        ("way", "up | down", "", '"up"'),
        ("text", "text", "at most 9 characters", '""'),
        ("floor", "number", "at least 1", "2"),
        ("zone", "table in { }", "", "(see below)"),
        ("zone.warmth", "whole number", "over 0 to under 9", "3"),
        ("on", "true or false", "", "true"),
        ("rows", "whole numbers in [ ]", "at most 4 entries", "[]"),
        ("from", "text", "", '""'),
    ]


def test_an_unknown_operation_is_an_error_with_the_nearest_name(goldsmith: Goldsmith, root: Path) -> None:
    """The exit code is 2."""
    result = goldsmith("ops", "sharpn", "-r", root)
    assert result.code == 2
    assert "did you mean sharpen?" in result.err


def test_ops_needs_no_root(goldsmith: Goldsmith, monkeypatch: pytest.MonkeyPatch) -> None:
    """The supplied pipeline is used."""
    assert goldsmith("ops", "export").code == 0
