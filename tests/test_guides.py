"""The settings ``control`` and ``reference_strength`` of regenerate and inpaint, and edges drawn from the picture itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from goldsmith.guides import Control, draw_edges
from goldsmith.operation import StepInputs
from goldsmith.ops.inpaint import Inpaint
from goldsmith.ops.regenerate.operation import Regenerate


def test_a_word_alone_is_the_kind() -> None:
    """Check that it means the same as a table with the kind, and that other words and an empty range are refused."""
    assert Regenerate.model_validate({"control": "depth"}) == Regenerate.model_validate({"control": {"kind": "depth"}})
    with pytest.raises(ValidationError, match="'depth', 'edges', 'pose' or 'tile'"):
        Regenerate.model_validate({"control": "normals"})
    with pytest.raises(ValidationError, match=r"start = 0.6 must be less than end = 0.5"):
        Regenerate.model_validate({"control": {"kind": "depth", "start": 0.6, "end": 0.5}})


@pytest.mark.parametrize(
    ("kind", "inputs", "is_problem"),
    [
        ("depth", StepInputs(controls=frozenset({"depth"})), False),
        ("depth", StepInputs(controls=frozenset({""})), False),
        ("depth", StepInputs(controls=frozenset({"pose"})), True),
        ("depth", StepInputs(), True),
        ("edges", StepInputs(), False),
        ("tile", StepInputs(), False),
    ],
)
def test_a_missing_control_picture_is_named(kind: str, inputs: StepInputs, is_problem: bool) -> None:
    """Check a picture of the kind, one without a kind, one of another kind, and edges, which need none."""
    setting, sentence = Regenerate.model_validate({"control": kind}).input_problem(inputs)
    assert (setting == "control") is is_problem
    assert ("NAME.control.depth.png" in sentence) is is_problem


def test_the_step_needs_a_control_model_for_its_kind() -> None:
    """Check the need, by name and as a default."""
    needs = [Regenerate.model_validate({"control": {"kind": "pose", "model": name}}).needs().engines for name in ("own", None)]
    assert [(need.kind.name, need.model, need.control) for engines in needs for need in engines if need.kind.name == "control"] == [
        ("control", "own", "pose"),
        ("control", None, "pose"),
    ]


def test_edges_are_white_lines_where_the_picture_changes() -> None:
    """Check a square on black: lines along its sides, and nothing inside or far away."""
    square = np.zeros((64, 64, 3), np.float32)
    square[16:48, 16:48] = 1
    lines = draw_edges(square)
    assert (lines.shape, lines.dtype, set(np.unique(lines))) == (square.shape, np.float32, {0.0, 1.0})
    assert lines[14:18, 20:44].max(axis=0).min() == 1
    assert lines[22:42, 22:42].max() == 0
    assert lines[:10].max() == 0


def test_a_tile_is_the_picture_itself() -> None:
    """Check that only edges are drawn."""
    pixels = np.linspace(0, 1, 16 * 16 * 3, dtype=np.float32).reshape(16, 16, 3)
    assert Control(kind="tile").make(pixels) is pixels
    assert not np.array_equal(Control(kind="edges").make(pixels), pixels)


@pytest.mark.parametrize("operation", [Regenerate, Inpaint])
def test_a_reference_strength_needs_a_reference_picture(operation: type[Regenerate | Inpaint]) -> None:
    """Check the sentence without one, and none with one."""
    step = operation.model_validate({"reference_strength": 0.6})
    assert step.input_problem(StepInputs()) == (
        "reference_strength",
        "is 0.6, but there is no reference picture beside the brief, such as NAME.ref.png: put one there.",
    )
    assert step.input_problem(StepInputs(has_references=True)) == ("", "")


@pytest.mark.parametrize(
    ("operation", "settings", "sentence"),
    [
        (Regenerate, {"reference_model": "own"}, "reference_model needs reference_strength"),
        (Inpaint, {"reference_model": "own"}, "reference_model needs reference_strength"),
        (Regenerate, {"reference_strength": 0.5, "references": False}, "give reference_strength or references = false, not both"),
        (Regenerate, {"control": {"kind": "tile", "refine": True}}, "the step has no second pass"),
        (Inpaint, {"control": {"kind": "tile", "refine": True}}, "only regenerate has a second pass"),
        (Regenerate, {"reference_strength": 1.5}, "less than or equal to 1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(operation: Any, settings: dict[str, object], sentence: str) -> None:
    """Check a model without a strength, a strength for pictures that are ignored, and a second pass that there is not."""
    with pytest.raises(ValidationError, match=sentence):
        operation.model_validate(settings)


def test_with_a_reference_strength_the_step_has_a_strength_too() -> None:
    """Check that the model starts from the picture, and that without it the strength is refused."""
    inputs = StepInputs(has_references=True)
    with_adapter = Regenerate.model_validate({"strength": 0.5, "reference_strength": 0.6})
    assert with_adapter.input_problem(inputs) == ("", "")
    [generator, adapter] = with_adapter.needs_beside(inputs).engines
    assert (generator.can, generator.referenced, adapter.kind.name, adapter.guides) == ({"image"}, {"image"}, "reference", generator)
    setting, sentence = Regenerate.model_validate({"strength": 0.5}).input_problem(inputs)
    assert setting == "strength"
    assert "write reference_strength" in sentence


@pytest.mark.parametrize(
    ("settings", "inputs", "controlled"),
    [
        ({"control": "edges"}, StepInputs(), {"image"}),
        ({"control": "depth"}, StepInputs(has_picture=False), {"text"}),
        ({"control": {"kind": "tile", "refine": True}, "refine": 2}, StepInputs(has_picture=False), {"text", "image"}),
        ({"control": "edges", "model": "one"}, StepInputs(), {"image"}),
        ({"refine": 2}, StepInputs(), set()),
    ],
)
def test_the_need_for_a_model_says_what_it_must_follow(settings: dict[str, object], inputs: StepInputs, controlled: set[str]) -> None:
    """Check words alone, a picture, the second pass, a named model, and a step without a control picture."""
    assert Regenerate.model_validate(settings).needs_beside(inputs).engines[0].controlled == controlled


def test_inpaint_needs_a_model_that_fills_holes_under_its_guides() -> None:
    """Check the model, the control model and the adapter; references alone need a model that looks at them."""
    [model, control, adapter] = Inpaint.model_validate({"control": "depth", "reference_strength": 0.5}).needs().engines
    assert (model.needs_prompt, model.controlled, model.referenced) == (True, {"inpaint"}, {"inpaint"})
    assert [(need.kind.name, need.guides) for need in (control, adapter)] == [("control", model), ("reference", model)]
    assert Inpaint(references=True).needs().engines[0].can == {"inpaint", "references"}
