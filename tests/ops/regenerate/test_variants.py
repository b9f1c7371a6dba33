"""Lists of settings, choices in braces and wildcards: which pictures a step makes, and what tells them apart."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from doubles.operation_samples import picture
from doubles.step_context import EnginesDouble, FinishedPart, NullGenerator, PartsDouble, StepContextDouble
from goldsmith.errors import InputError
from goldsmith.ops.regenerate.operation import Regenerate
from goldsmith.ops.regenerate.sizing import candidate_seed
from goldsmith.ops.regenerate.variants import expand_choices, fill_prompt, wildcard_names
from goldsmith.picture.picture import Picture

GRID = {"prompts": ("a chair", "a table"), "guidance": (3, 7), "candidates": 2}


def regenerate(context: StepContextDouble | None = None, pictures: tuple[Picture, ...] = (), **settings: Any) -> list[Picture]:
    """Return the candidates of a step with these settings."""
    return list(Regenerate(**settings).apply_set(pictures, context or StepContextDouble(seed=3, prompt="the brief's")))


def wildcard_context(tmp_path: Path, prompt: str = "", generator: NullGenerator | None = None, **files: str) -> StepContextDouble:
    """Return a context whose library has these wildcards."""
    references = {}
    for name, text in files.items():
        references["wildcards", name] = tmp_path / f"{name}.txt"
        (tmp_path / f"{name}.txt").write_text(text)
    return StepContextDouble(seed=3, prompt=prompt, references=references, generator=generator)


def test_every_combination_is_made_with_the_same_seeds() -> None:
    """Two prompts, two guidances and two candidates are eight pictures with numbers of their own; only their settings tell them apart."""
    engine = NullGenerator()
    context = StepContextDouble(seed=3, generator=engine)
    results = regenerate(context, **GRID)
    assert [result.record_values["number"] for result in results] == list(range(1, 9))
    assert [result.record_values["seed"] for result in results] == [candidate_seed(3, 1), candidate_seed(3, 2)] * 4
    assert [(call.options.prompt, call.options.guidance) for call in engine.calls] == [
        ("a chair", 3),
        ("a chair", 7),
        ("a table", 3),
        ("a table", 7),
    ]
    assert [dict(result.variation) for result in results[1:3]] == [
        {"prompt": "a chair", "guidance": 3},
        {"prompt": "a chair", "guidance": 7},
    ]
    recorded = context.results.findings["candidates"]
    assert isinstance(recorded, list)
    assert recorded[7] == {"number": 8, "seed": candidate_seed(3, 2), "prompt": "a table", "guidance": 7}
    assert context.results.findings["prompt"] == ["a chair", "a table"]
    assert Regenerate(**GRID).max_results(1) == 8


def test_the_line_under_a_picture_makes_it_again() -> None:
    """Its seed and its settings alone give the same picture."""
    results = regenerate(StepContextDouble(seed=3), pictures=(picture(64, 64),), prompt="x", strength=(0.2, 0.8), candidates=2)
    fourth = results[3]
    assert fourth.variation == {"strength": 0.8}
    (again,) = regenerate(pictures=(picture(64, 64),), prompt="x", seeds=(fourth.record_values["seed"],), **fourth.variation)
    assert np.array_equal(again.pixels, fourth.pixels)


def test_a_list_with_one_value_is_that_value() -> None:
    """Nothing is written under the pictures for it."""
    (result,) = regenerate(guidance=(3,), steps=(4,), model=("one",), prompts=("x",))
    assert result.variation == {}
    assert Regenerate(model=("one",)).needs().engines[0].model == "one"


def test_pictures_are_grouped_by_model() -> None:
    """Each model is opened once, in its turn, and is needed before the step starts."""
    engines = EnginesDouble()
    context = StepContextDouble(seed=3, engines=engines)
    results = regenerate(context, prompts=("x", "y"), model=("one", "two"))
    assert engines.models == ["one", "two"]
    assert [result.variation["model"] for result in results] == ["one", "one", "two", "two"]
    step = Regenerate(model=("one", "two"))
    assert [need.model for need in step.needs().engines] == ["one", "two"]


def test_a_grid_goes_on_behind_its_finished_pictures() -> None:
    """What was kept is not made again."""
    kept: dict[str, FinishedPart] = {}
    expected = regenerate(StepContextDouble(seed=3, parts=PartsDouble(kept)), **GRID)
    del kept["candidate 6"]
    engine = NullGenerator()
    results = regenerate(StepContextDouble(seed=3, parts=PartsDouble(kept), generator=engine), **GRID)
    assert [(call.options.prompt, call.options.guidance) for call in engine.calls] == [("a table", 3)]
    assert all(np.array_equal(result.pixels, before.pixels) for result, before in zip(results, expected, strict=True))
    assert [dict(result.variation) for result in results] == [dict(before.variation) for before in expected]


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("a {red|blue} chair", ["a red chair", "a blue chair"]),
        ("{red|blue} {chair|table}", ["red chair", "red table", "blue chair", "blue table"]),
        ("{a {big|small}|no} chair", ["a big chair", "no chair", "a small chair"]),
        ("a {very |}red chair", ["a veryred chair", "a red chair"]),
        ("a { old | } chair", ["a old chair", "a chair"]),
        ("{same|same} chair", ["same chair"]),
        ("a {masterpiece} chair, {", ["a {masterpiece} chair, {"]),
        ("a chair", ["a chair"]),
    ],
)
def test_braces_stand_for_a_prompt_for_each_choice(prompt: str, prompts: list[str]) -> None:
    """Choices may be nested; braces without a bar, and single ones, are left as they are."""
    assert sorted(expand_choices(prompt, 100)) == sorted(prompts)
    assert [result.variation.get("prompt", prompts[0]) for result in regenerate(prompt=prompt)] == list(expand_choices(prompt, 100))


@given(st.text(alphabet="{}|ab ", max_size=40))
def test_choices_always_end(prompt: str) -> None:
    """Whatever the braces, there is a limited number of prompts without choices, or a refusal."""
    try:
        prompts = expand_choices(prompt, 20)
    except ValueError:
        return
    assert 1 <= len(prompts) <= 20
    assert all(expand_choices(each, 20) == (each,) for each in prompts)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompt": "x", "prompts": ("y",)}, "give prompt or prompts"),
        ({"guidance": (3, 3)}, "guidance has 3.* twice"),
        ({"guidance": (3, 7), "number": 2}, "give number or lists"),
        ({"guidance": (3, 7), "candidates": 51}, "2 combinations, 51 of each, are more than 100 pictures"),
        ({"prompt": "{a|b}{a|b}{a|b}{a|b}{a|b}{a|b}{a|b}"}, "more than 100"),
        ({"prompt": "{a|b}" * 300}, "more than 100"),
        ({"guidance": ()}, "guidance is a list of 0 values"),
        ({"steps": (3, 500)}, "less than or equal to 200"),
        ({"model": tuple(map(str, range(21)))}, "model is a list of 21 values; it may have 1 to 20"),
        ({"prompts": ("x", "")}, "at least 1"),
    ],
)
def test_lists_that_contradict_or_make_too_much_are_refused(settings: dict[str, Any], message: str) -> None:
    """Before anything is drawn."""
    with pytest.raises(ValidationError, match=message):
        Regenerate(**settings)


def test_a_wildcard_is_a_line_of_its_file_chosen_by_the_seed(tmp_path: Path) -> None:
    """Comments and empty lines are no choices. The same seed gives the same words, which are on record; each picture has its own call."""
    engine = NullGenerator()
    files = {"colour": "# colours\nred\n\n  blue \ngreen\n", "thing": "chair\n{old|new} __colour__ table\n"}
    context = wildcard_context(tmp_path, generator=engine, **files)
    results = regenerate(context, prompt="a __colour__ __thing__", candidates=20)
    words = [str(result.variation["prompt"]) for result in results]
    assert all(not set(text) & set("_{|}#") for text in words)
    assert len(Counter(text.split()[1] for text in words)) == 3
    assert any("old" in text or "new" in text for text in words)
    assert [prompt for call in engine.calls for prompt in [call.options.prompt] * len(call.seeds)] == words
    (again,) = regenerate(wildcard_context(tmp_path, **files), prompt="a __colour__ __thing__", seeds=(results[7].record_values["seed"],))
    assert again.variation == results[7].variation
    assert context.results.findings["prompt"] == "a __colour__ __thing__"
    assert Regenerate(prompt="a __colour__ __thing__").needs().library_files == (
        ("wildcards", "colour", (".txt",)),
        ("wildcards", "thing", (".txt",)),
    )


def test_the_brief_s_prompt_may_have_wildcards_and_choices(tmp_path: Path) -> None:
    """The brief's prompt is for all its steps, so its braces are no list: the seed chooses for each candidate."""
    context = wildcard_context(tmp_path, "a {big|small} __colour__ chair", colour="red\nblue")
    results = regenerate(context, candidates=12)
    assert len(results) == 12
    assert {str(result.variation["prompt"]) for result in results} == {
        f"a {size} {colour} chair" for size in ("big", "small") for colour in ("red", "blue")
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__loop__ x", "more than 100 wildcards"),
        ("# nothing\n\n", "no lines to choose from"),
        ("x" * 5000, "more than 4000 characters"),
        ("x\n" * 10_001, "at most 10000 are read"),
    ],
)
def test_a_wildcard_that_cannot_be_used_is_a_problem(tmp_path: Path, text: str, message: str) -> None:
    """A circle, an empty file, and too much text."""
    engine = NullGenerator()
    with pytest.raises(InputError, match=message):
        regenerate(wildcard_context(tmp_path, generator=engine, loop=text), prompt="a __loop__")
    assert engine.calls == []


def test_a_missing_or_unreadable_wildcard_is_a_problem(tmp_path: Path) -> None:
    """Before the first picture."""
    with pytest.raises(InputError, match="no 'color' in library/wildcards"):
        regenerate(wildcard_context(tmp_path, prompt="a __color__", colour="red"))
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\x00")
    context = StepContextDouble(prompt="a __bad__", references={("wildcards", "bad"): tmp_path / "bad.txt"})
    with pytest.raises(InputError, match="not UTF-8"):
        regenerate(context)


def test_names_of_wildcards() -> None:
    """They are names of files, and underscores in words are none."""
    assert wildcard_names(["__a__, __B-2 c.d__ __a__", "a__b", "___", "____", "__ x__", "snake_case_name"]) == ("a", "B-2 c.d")
    assert fill_prompt("plain, __ and {x}", 1, lambda name: []) == "plain, __ and {x}"
