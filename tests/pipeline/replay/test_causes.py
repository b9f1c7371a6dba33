"""The causes of a different replay: each difference from the record is a sentence, whatever the manifest holds."""

from __future__ import annotations

from typing import Any

import pytest

from goldsmith.jobs.job import Outcome, StepResult
from goldsmith.pipeline.replay.causes import step_causes
from goldsmith.pipeline.replay.manifest_reader import OutputRecord, StageRecord, StepRecord
from goldsmith.pipeline.replay.report import ComparedDeliverable, StageRerun, build_report

SHA = "ab" * 32


def step(**values: Any) -> dict[str, Any]:
    return {"op": "grade", "settings": {}, "seed": 1, "findings": {}, "engine": None, "picture_hash": "t1", **values}


def then(**values: Any) -> StepRecord:
    return StepRecord.model_validate(step(**values))


def now(**values: Any) -> StepResult:
    return StepResult.model_validate({**step(**values), "seconds": 0.1})


def stage(name: str, *steps: dict[str, Any], outputs: str = SHA, **environment: Any) -> StageRecord:
    return StageRecord.model_validate(
        {
            "stage": name,
            "queue": "cpu",
            "stem": "hero",
            "seed": 1,
            "prompt": "",
            "mask_fit": "refuse",
            "working": "png",
            "deliver": False,
            "inputs": [{"role": "picture", "name": "", "path": "inbox/hero.png", "sha256": SHA}],
            "steps": list(steps),
            "outputs": [{"role": "picture", "tail": ".png", "sha256": outputs}],
            "archived": {},
            "environment": environment,
        }
    )


def rerun(record: StageRecord, *steps: StepResult, outputs: str = SHA, **environment: Any) -> StageRerun:
    made = OutputRecord(role="picture", tail=".png", sha256=outputs)
    return StageRerun(record, Outcome(job_id="1", steps=steps, environment=environment), (made,))


OFF = ComparedDeliverable("hero.png", "differs", SHA, "cd" * 32)
SAME = ComparedDeliverable("hero.png", "identical", SHA, SHA)


def test_an_unchanged_step_has_no_causes() -> None:
    """Check that durations and the reason for the choice of an engine are ignored."""
    engine = {"name": "migan", "weights": [["a", SHA]], "device": "cpu", "why": "named by the step"}
    assert step_causes(then(engine=engine), now(engine={**engine, "why": "the default"}), "edit.1 (grade)") == []


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ({"seed": 1}, {"seed": 2}, "the seed was 1, here it is 2"),
        ({"engine": {"name": "a"}}, {"engine": {"name": "b"}}, "the model was a, here it is b"),
        ({"engine": {"name": "a"}}, {}, "the model was a, here it is none"),
        ({"engine": {"name": "a", "revision": "r"}}, {"engine": {"name": "a"}}, "the model's revision was r, here it is none"),
        (
            {"engine": {"name": "a", "device": "cuda:0"}},
            {"engine": {"name": "a", "device": "cpu"}},
            "the model's device and precision was cuda:0, here it is cpu",
        ),
        (
            {"engine": {"name": "a", "weights": [["w", SHA]]}},
            {"engine": {"name": "a", "weights": [["w", "cd" * 32]]}},
            "the weights w was abababababab, here it is cdcdcdcdcdcd",
        ),
        (
            {"findings": {"references": {"looks/x.cube": SHA}}},
            {"findings": {"references": {"looks/x.cube": "cd" * 32}}},
            "library/looks/x.cube was changed (sha256 recorded abababababab…, now cdcdcdcdcdcd…)",
        ),
        (
            {"findings": {"references": {"hero.cube": SHA}}},
            {},
            "hero.cube was changed (sha256 recorded abababababab…, now not used)",
        ),
        (
            {"findings": {"made": {"precision": "bfloat16", "torch": "1", "seeds": [1]}}},
            {"findings": {"made": {"precision": "float32", "torch": "2", "seeds": [2]}}},
            "precision was bfloat16, here it is float32",
        ),
        (
            {"engine": {"name": "a", "also": [{"name": "x2", "revision": "r"}]}},
            {"engine": {"name": "a", "also": [{"name": "x2", "revision": "s"}]}},
            "the model's revision was r, here it is s",
        ),
        ({"engine": {"name": "a", "also": [{"name": "x2"}]}}, {"engine": {"name": "a"}}, "the model was x2, here it is none"),
        ({"findings": {"made": {"memory_fallback": "smaller"}}}, {"findings": {}}, "memory_fallback was smaller, here it is none"),
        (
            {"engine": {"name": "a", "fills": [{"batch": 4, "steps": 8}]}},
            {"engine": {"name": "a", "fills": [{"batch": 1, "steps": 8}]}},
            "batch was 4, here it is 1",
        ),
    ],
)
def test_each_difference_is_a_sentence(before: dict[str, Any], after: dict[str, Any], sentence: str) -> None:
    """Check that the sentence gives the step and both values."""
    assert step_causes(then(**before), now(**after), "edit.1 (grade)") == [f"edit.1 (grade): {sentence}"]


@pytest.mark.parametrize("weights", [None, 3, "x", [1], [["a"]], [["a", "b", "c"]], [[["deep"], {"er": 1}]], {"a": "b"}])
def test_invalid_weights_in_a_record_cause_no_error(weights: object) -> None:
    """Record weights of wrong types."""
    told = step_causes(then(engine={"name": "a", "weights": weights}), now(engine={"name": "a"}), "edit.1")
    assert isinstance(told, list)


def test_recorded_values_are_shown_safely_and_shortened() -> None:
    """Record a long name with an escape sequence."""
    told = "".join(step_causes(then(engine={"name": "\x1b[31m" + "x" * 10_000}), now(), "edit.1"))
    assert "\x1b" not in told
    assert len(told) < 300


def test_the_first_difference_is_at_the_first_step_whose_picture_differs() -> None:
    """Check that a file of an earlier stage with the same picture does not count."""
    first = rerun(stage("edit", step(picture_hash="a"), outputs="cd" * 32), now(picture_hash="a"))
    second = rerun(
        stage("grade", step(picture_hash="b"), step(picture_hash="c"), numpy="1"), now(picture_hash="b"), now(picture_hash="x"), numpy="2"
    )
    found = build_report([first, second], [OFF])
    assert found.first_difference is not None
    assert (found.first_difference.stage, found.first_difference.step, found.first_difference.op) == ("grade", 2, "grade")
    assert found.causes == ("numpy was 1, here it is 2",)
    assert not found.is_same


def test_the_first_difference_is_in_the_files_if_all_pictures_agree() -> None:
    """Check that the label names the stage and no step."""
    found = build_report([rerun(stage("edit", step()), now()), rerun(stage("deliver", step(), outputs="cd" * 32), now())], [OFF])
    assert found.first_difference is not None
    assert found.first_difference.label == "the files of deliver"


def test_intermediate_files_do_not_matter_if_the_deliverables_agree() -> None:
    """Change the file of a stage, but no deliverable."""
    found = build_report([rerun(stage("edit", step(), outputs="cd" * 32, numpy="1"), now(), numpy="2")], [SAME])
    assert (found.first_difference, found.causes, found.is_same) == (None, (), True)
    assert found.other_changes == ("numpy was 1, here it is 2",)


def test_a_stage_without_a_worker_has_no_causes() -> None:
    """Check a stage that passed its file on unchanged."""
    assert rerun(stage("edit"), numpy="2").all_causes() == []


def test_the_same_cause_in_several_stages_is_reported_once() -> None:
    """Change one version in three stages."""
    reruns = [rerun(stage(name, step(), numpy="1"), now(), numpy="2") for name in ("edit", "grade", "deliver")]
    assert build_report(reruns, [SAME]).other_changes == ("numpy was 1, here it is 2",)
