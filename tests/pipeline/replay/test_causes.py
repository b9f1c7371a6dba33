"""The causes of a different replay: each difference from the record is a sentence, for any content of the manifest."""

from __future__ import annotations

from typing import Any

import pytest

from goldsmith.jobs.job import Outcome, StepResult
from goldsmith.pipeline.replay.causes import stage_causes, step_causes
from goldsmith.pipeline.replay.manifest_reader import OutputRecord, StageRecord, StepRecord
from goldsmith.pipeline.replay.report import ComparedDeliverable, StageRerun, build_report

SHA = "ab" * 32


def step(**values: Any) -> dict[str, Any]:
    return {"op": "grade", "settings": {}, "seed": 1, "findings": {}, "engine": None, "picture_hash": "t1", **values}


def step_record(**values: Any) -> StepRecord:
    return StepRecord.model_validate(step(**values))


def step_result(**values: Any) -> StepResult:
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
            "mask_from": "files",
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
    output = OutputRecord(role="picture", tail=".png", sha256=outputs)
    return StageRerun(record, Outcome(job_id="1", steps=steps, environment=environment), (output,))


DIFFERENT = ComparedDeliverable("hero.png", "differs", SHA, "cd" * 32)
IDENTICAL = ComparedDeliverable("hero.png", "identical", SHA, SHA)


def test_an_unchanged_step_has_no_causes() -> None:
    """Durations and the reason for the choice of an engine are ignored."""
    engine = {"name": "migan", "weights": [["a", SHA]], "device": "cpu", "why": "named by the step"}
    assert step_causes(step_record(engine=engine), step_result(engine={**engine, "why": "the default"}), "edit.1 (grade)") == []


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
            {"engine": {"name": "a", "other_engines": [{"name": "x2", "revision": "r"}]}},
            {"engine": {"name": "a", "other_engines": [{"name": "x2", "revision": "s"}]}},
            "the model's revision was r, here it is s",
        ),
        ({"engine": {"name": "a", "other_engines": [{"name": "x2"}]}}, {"engine": {"name": "a"}}, "the model was x2, here it is none"),
        ({"findings": {"made": {"memory_fallback": "smaller"}}}, {"findings": {}}, "memory_fallback was smaller, here it is none"),
        (
            {"engine": {"name": "a", "fills": [{"batch": 4, "steps": 8}]}},
            {"engine": {"name": "a", "fills": [{"batch": 1, "steps": 8}]}},
            "batch was 4, here it is 1",
        ),
    ],
)
def test_each_difference_is_a_sentence(before: dict[str, Any], after: dict[str, Any], sentence: str) -> None:
    """The sentence gives the step and both values."""
    assert step_causes(step_record(**before), step_result(**after), "edit.1 (grade)") == [f"edit.1 (grade): {sentence}"]


@pytest.mark.parametrize("weights", [None, 3, "x", [1], [["a"]], [["a", "b", "c"]], [[["deep"], {"er": 1}]], {"a": "b"}])
def test_invalid_weights_in_a_record_cause_no_error(weights: object) -> None:
    """The recorded weights have wrong types."""
    causes = step_causes(step_record(engine={"name": "a", "weights": weights}), step_result(engine={"name": "a"}), "edit.1")
    assert isinstance(causes, list)


def test_recorded_values_are_shown_safely_and_shortened() -> None:
    """The recorded name is long and has an escape sequence."""
    text = "".join(step_causes(step_record(engine={"name": "\x1b[31m" + "x" * 10_000}), step_result(), "edit.1"))
    assert "\x1b" not in text
    assert len(text) < 300


def test_the_first_difference_is_at_the_first_step_whose_picture_differs() -> None:
    """A file of an earlier stage with the same picture does not count."""
    first = rerun(stage("edit", step(picture_hash="a"), outputs="cd" * 32), step_result(picture_hash="a"))
    second = rerun(
        stage("grade", step(picture_hash="b"), step(picture_hash="c"), numpy="1"),
        step_result(picture_hash="b"),
        step_result(picture_hash="x"),
        numpy="2",
    )
    report = build_report([first, second], [DIFFERENT])
    assert report.first_difference is not None
    assert (report.first_difference.stage, report.first_difference.step, report.first_difference.op) == ("grade", 2, "grade")
    assert report.causes == ("numpy was 1, here it is 2",)
    assert not report.is_same


def test_the_first_difference_is_in_the_files_if_all_pictures_agree() -> None:
    """The label names the stage and no step."""
    report = build_report(
        [rerun(stage("edit", step()), step_result()), rerun(stage("deliver", step(), outputs="cd" * 32), step_result())], [DIFFERENT]
    )
    assert report.first_difference is not None
    assert report.first_difference.label == "the files of deliver"


def test_intermediate_files_do_not_matter_if_the_deliverables_agree() -> None:
    """The file of a stage differs, but no deliverable does."""
    report = build_report([rerun(stage("edit", step(), outputs="cd" * 32, numpy="1"), step_result(), numpy="2")], [IDENTICAL])
    assert (report.first_difference, report.causes, report.is_same) == (None, (), True)
    assert report.other_changes == ("numpy was 1, here it is 2",)


def test_a_stage_without_a_worker_has_no_causes() -> None:
    """The stage passed its file on unchanged."""
    assert rerun(stage("edit"), numpy="2").all_causes() == []


def test_the_same_cause_in_several_stages_is_reported_once() -> None:
    """One version differs in three stages."""
    reruns = [rerun(stage(name, step(), numpy="1"), step_result(), numpy="2") for name in ("edit", "grade", "deliver")]
    assert build_report(reruns, [IDENTICAL]).other_changes == ("numpy was 1, here it is 2",)


def test_the_fence_of_a_worker_is_no_cause() -> None:
    """No pixel depends on it, and records from before it have none."""
    recorded = stage("edit", step(), threads=2)
    assert stage_causes(recorded, {"threads": 2, "fence": "landlock 7"}) == []
    assert len(stage_causes(recorded, {"threads": 3, "fence": "none"})) == 1
