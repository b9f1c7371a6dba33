"""The form of an operation follows from the schema of its settings: for every operation there is, and for one that nobody knows yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from doubles.operation_samples import examples
from goldsmith.operation import Operation
from goldsmith.ops import catalogue
from goldsmith.web.asking.settings_form import SettingField, form_of, has_texts, read_settings, row_numbers, write_texts

OPERATIONS = catalogue()


def all_fields(fields: tuple[SettingField, ...]) -> Iterator[SettingField]:
    """Yield the fields and those of their tables and rows."""
    for field in fields:
        yield field
        yield from all_fields(field.fields)


class Curl(BaseModel):
    """A table."""

    radius: Annotated[float, Field(ge=0, le=9)] = 1.0
    from_: Annotated[str, Field(alias="from")] = ""


class Fold(Operation):
    """Fold the picture."""

    edge: Literal["left", "right"]
    """The edge that is folded."""
    amount: Annotated[float, Field(gt=0, le=2)] = 0.5
    twice: bool = True
    size: tuple[int, int] | None = None
    words: tuple[str, ...] = ()
    prompt: Annotated[str, Field(max_length=4000)] = ""
    depth: Literal[8, 16] | None = None
    strength: Literal["auto"] | float = "auto"
    curl: Curl | None = None
    curls: tuple[Curl, ...] = ()


FOLD = form_of(Fold)


@pytest.mark.parametrize("word", OPERATIONS)
def test_every_setting_of_every_operation_has_its_field(word: str) -> None:
    """With its description, and nothing besides."""
    operation = OPERATIONS[word]
    fields = {field.name: field for field in form_of(operation)}
    infos = {info.alias or name: info for name, info in operation.model_fields.items()}
    assert fields.keys() == infos.keys()
    assert all(fields[name].is_required for name, info in infos.items() if info.is_required())
    assert all(field.hint for field in fields.values())
    assert all(field.fields for field in all_fields(tuple(fields.values())) if field.kind in ("table", "rows"))


@pytest.mark.parametrize("word", OPERATIONS)
def test_the_settings_of_the_manual_go_through_the_form_unchanged(word: str) -> None:
    """What a brief says, the form shows; what the form shows, is the same brief."""
    fields = form_of(OPERATIONS[word])
    for operation in examples(word):
        settings = operation.model_dump(mode="json", by_alias=True, exclude_unset=True)
        written = read_settings(fields, write_texts(fields, settings))
        assert OPERATIONS[word].model_validate(written) == OPERATIONS[word].model_validate(settings)


@pytest.mark.parametrize("word", OPERATIONS)
def test_an_empty_form_writes_no_setting(word: str) -> None:
    """Defaults are not written, so that they follow the program."""
    assert read_settings(form_of(OPERATIONS[word]), {}) == {}


def test_a_new_operation_has_its_form_by_itself() -> None:
    """The kinds of its fields follow from the types of its settings; the required one comes first."""
    assert [(field.name, field.kind) for field in FOLD] == [
        ("edge", "choice"),
        ("amount", "number"),
        ("twice", "flag"),
        ("size", "value"),
        ("words", "lines"),
        ("prompt", "words"),
        ("depth", "choice"),
        ("strength", "value"),
        ("curl", "table"),
        ("curls", "rows"),
    ]
    by_name = {field.name: field for field in FOLD}
    assert (by_name["edge"].hint, by_name["edge"].choices, by_name["edge"].is_required) == (
        "The edge that is folded.",
        ("left", "right"),
        True,
    )
    assert (by_name["amount"].default, by_name["amount"].limits, by_name["twice"].default) == ("0.5", "0 to 2", "yes")
    assert (by_name["strength"].choices, by_name["strength"].default) == (("auto",), "auto")
    assert [field.name for field in by_name["curl"].fields] == ["radius", "from"]


@pytest.mark.parametrize(
    ("texts", "settings"),
    [
        ({"amount": ".5"}, {"amount": 0.5}),
        ({"amount": " 1 "}, {"amount": 1}),
        ({"twice": "no"}, {"twice": False}),
        ({"size": "800, 600"}, {"size": [800, 600]}),
        ({"size": "[800, 600]"}, {"size": [800, 600]}),
        ({"words": "one\n\n two "}, {"words": ["one", "two"]}),
        ({"prompt": "two\nlines"}, {"prompt": "two\nlines"}),
        ({"depth": "16"}, {"depth": 16}),
        ({"strength": "auto"}, {"strength": "auto"}),
        ({"strength": "0.25"}, {"strength": 0.25}),
        ({"curl": "yes"}, {"curl": {}}),
        ({"curl.radius": "3", "curl": "yes"}, {"curl": {"radius": 3}}),
        ({"curls.4.from": "b", "curls.1.radius": "2", "curls.2.radius": " "}, {"curls": [{"radius": 2}, {"from": "b"}]}),
    ],
)
def test_what_people_type_becomes_the_value_that_they_mean(texts: dict[str, str], settings: dict[str, object]) -> None:
    """Each in the way in which people write it."""
    assert read_settings(FOLD, texts) == settings


@pytest.mark.parametrize(
    ("name", "text"), [("amount", "much"), ("amount", "2,5"), ("amount", "nan"), ("twice", "perhaps"), ("edge", "up"), ("size", "x = 1")]
)
def test_what_is_no_value_of_the_kind_is_passed_on_for_the_check_to_name(name: str, text: str) -> None:
    """The check of the brief has the sentence."""
    assert read_settings(FOLD, {name: text}) == {name: text}


@pytest.mark.parametrize("text", ["1\ny = 2", "[" * 5000, '"unclosed', "2026-11-30", "1e999"])
def test_odd_texts_are_no_values(text: str) -> None:
    """A text cannot smuggle in a second setting, a deep nesting or a date."""
    assert read_settings(FOLD, {"strength": text}) == {"strength": text.strip()}


def test_a_text_that_looks_like_another_value_keeps_its_quotation_marks() -> None:
    """Else it would come back as a number."""
    texts = write_texts(FOLD, {"strength": "5", "size": "none", "prompt": "5"})
    assert texts == {"strength": '"5"', "size": "none", "prompt": "5"}
    assert read_settings(FOLD, texts) == {"strength": "5", "size": "none", "prompt": "5"}


def test_a_form_has_as_many_rows_as_it_needs() -> None:
    """Names that are no numbers, and numbers without end, are no rows."""
    texts = {"curls.2.radius": "1", "curls.x.radius": "1", "curls.99999999999.radius": "1", "curls.0.from": "a", "curly.1.from": "a"}
    assert row_numbers("curls", texts) == [0, 2]
    assert (has_texts(texts, "curls"), has_texts(texts, "curl"), has_texts({"curl": "yes"}, "curl")) == (True, False, True)
