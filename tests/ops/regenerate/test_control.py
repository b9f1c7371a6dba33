"""The setting ``control`` of regenerate, and edges drawn from the picture itself."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from goldsmith.operation import StepInputs
from goldsmith.ops.regenerate.control import draw_edges
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
