"""Every form in which a setting can be written is read from a brief."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from pydantic import ValidationError

from doubles.operation_samples import examples
from goldsmith.brief.parsing import BriefProblem
from goldsmith.brief.steps import StepReader
from goldsmith.ops import catalogue

WORDS = list(catalogue())
# What people write for a size, a length, a share, a colour, a choice, a pair, a table or a switch.
PROBES: tuple[Any, ...] = (
    *(0, 1, 2, 8, 64, 0.5, 12.5, True, False),
    *("0", "1", "8", "64", "0.5", "12.5", "64px", "8%", "25 %", "3mm", "0.125in", "-8", "2x", "#ff0000", "red", "auto", "none", "true"),
    *("JPG", "Center", "top left", "subject", "GOLD", "16:9"),
    *([], [64], [64, 48], ["64", "48"], ["21cm", "8.5in"], [0.1, 0.1, 0.5, 0.5], ["GOLD"], [1.5, 1.0, 0.5]),
    *({}, {"amount": 0.5}, {"width": 64, "height": 48}),
)


@cache
def _bases(word: str) -> list[dict[str, Any]]:
    """Return the settings of the operation's examples, as they are written."""
    return [json.loads(operation.model_dump_json(exclude_defaults=True)) for operation in examples(word)]


def _written_settings(word: str) -> Iterator[dict[str, Any]]:
    """Yield the first example with each of its settings, and each setting of its tables, replaced by each probe."""
    for name in catalogue()[word].model_fields:
        base = next((settings for settings in _bases(word) if name in settings), _bases(word)[0])
        for probe in PROBES:
            yield {**base, name: probe}
        table = base.get(name)
        for inner in table if isinstance(table, dict) else ():
            for probe in PROBES:
                yield {**base, name: {**table, inner: probe}}


def _problems(word: str, settings: dict[str, Any]) -> list[BriefProblem]:
    """Return the problems of a brief's step with these settings."""
    problems: list[BriefProblem] = []
    StepReader(catalogue(), problems).read_steps("edit", [{"op": word, **settings}], None)
    return problems


def _is_valid_as_written(word: str, settings: dict[str, Any]) -> bool:
    """Return whether the operation takes the settings without a conversion other than the setting's own."""
    try:
        catalogue()[word].model_validate_json(json.dumps(settings), strict=True)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("word", WORDS)
def test_a_form_that_an_operation_accepts_is_accepted_in_a_brief(word: str) -> None:
    """A setting's own notation, such as a number of px for a size, is not taken for a wrong type."""
    refused = [
        problem
        for settings in _written_settings(word)
        if _is_valid_as_written(word, settings)
        for problem in _problems(word, settings)
        if "but must be" in problem.sentence
    ]
    assert refused == []


@pytest.mark.parametrize(("written", "size"), [("64", "64px"), ('"64"', "64px"), ("64.5", "64.5px"), ('"64 px"', "64 px"), ('"8%"', "8%")])
def test_a_size_of_text_is_read_as_the_manual_promises(written: str, size: str) -> None:
    """The number alone is px, with or without quotes."""
    problems: list[BriefProblem] = []
    raw = tomllib.loads(f'op = "text"\nstring = "GOLD"\nsize = {written}')
    (step,) = StepReader(catalogue(), problems).read_steps("deliver", [raw], None)
    assert problems == []
    assert step.operation.model_dump()["size"] == size
