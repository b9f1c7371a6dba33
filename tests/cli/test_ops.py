"""``goldsmith ops``: every operation and every setting, from the operations themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from doubles.commandline import Goldsmith
from goldsmith.cli.ops import setting_rows
from goldsmith.operation import Operation
from goldsmith.ops import catalogue


def test_every_operation_is_listed_with_its_stages_and_its_summary(goldsmith: Goldsmith, root: Path) -> None:
    """The summary is the first line of its docstring; the stages are those of this root's line."""
    line = root / "config" / "pipeline.toml"
    line.write_text(line.read_text().replace('steps = ["select", ', 'steps = ["select", "sharpen", '))
    rows = {row[0]: row[1:] for row in goldsmith("ops", "-r", root).rows[1:]}
    assert list(rows) == list(catalogue())
    assert rows["sharpen"] == [
        "generate, edit, grade, deliver",
        "Sharpen the luma by an unsharp mask whose halos are limited; hue is kept.",
    ]
    assert rows["export"][0] == "deliver"


@pytest.mark.parametrize("word", sorted(catalogue()))
def test_every_setting_has_a_type_a_default_and_a_sentence(word: str) -> None:
    """Nothing is left to be guessed."""
    for name, kind, _, default, what in setting_rows(catalogue()[word]):
        assert name
        assert kind
        assert default
        assert what.endswith((".", "…"))
        assert "<" not in kind + default
        assert "typing" not in kind


def test_one_operation_is_shown_with_all_its_settings(goldsmith: Goldsmith, root: Path) -> None:
    """Those of tables within it too."""
    told = goldsmith("ops", "grade", "-r", root)
    names = [row[0] for row in told.rows if len(row) == 5][1:]
    assert {"slope", "shadows", "shadows.temperature", "highlights.saturation", "look"} <= set(names)
    assert ["slope", "3 numbers in [ ]", "0 to 16", "[1.0, 1.0, 1.0]"] in [row[:4] for row in told.rows]


class _Zone(Operation):
    """A table."""

    warmth: Annotated[int, Field(gt=0, lt=9)] = 3
    """Warm."""


class _Made(Operation):
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


def test_types_ranges_and_defaults_are_said_in_words() -> None:
    """As somebody would say them who has never heard of types."""
    assert [row[:4] for row in setting_rows(_Made)] == [
        ("must", "whole number", "", "(must be given)"),
        ("many", "numbers in [ ]", "0 to 1", "[0.5]"),
        ("box", "2 whole numbers in [ ]", "", "(unset)"),
        ("way", "up | down", "", '"up"'),
        ("text", "text", "at most 9 characters", '""'),
        ("floor", "number", "at least 1", "2"),
        ("zone", "table in { }", "", "(each its own)"),
        ("zone.warmth", "whole number", "over 0 to under 9", "3"),
        ("on", "true or false", "", "true"),
        ("rows", "whole numbers in [ ]", "at most 4 entries", "[]"),
        ("from", "text", "", '""'),
    ]


def test_an_unknown_operation_gets_the_nearest(goldsmith: Goldsmith, root: Path) -> None:
    """Exit code 2."""
    told = goldsmith("ops", "sharpn", "-r", root)
    assert told.code == 2
    assert "did you mean sharpen?" in told.err


def test_no_root_is_needed(goldsmith: Goldsmith, monkeypatch: pytest.MonkeyPatch) -> None:
    """What travels with the program answers."""
    assert goldsmith("ops", "export").code == 0
