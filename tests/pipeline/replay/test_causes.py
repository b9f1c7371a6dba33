"""Why a replay came out differently: every part of the record that is other here is a sentence, whatever somebody wrote into it."""

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


def test_a_step_that_had_all_it_had_gives_no_reason() -> None:
    """Timings do not count."""
    engine = {"name": "migan", "weights": [["a", SHA]], "device": "cpu", "why": "asked for by name"}
    assert step_causes(then(engine=engine), now(engine={**engine, "why": "the house's first choice"}), "edit.1 (grade)") == []


@pytest.mark.parametrize(
    ("before", "after", "told"),
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
        ({"findings": {"made": {"memory_fallback": "smaller"}}}, {"findings": {}}, "rung was smaller, here it is none"),
        (
            {"engine": {"name": "a", "fills": [{"batch": 4, "steps": 8}]}},
            {"engine": {"name": "a", "fills": [{"batch": 1, "steps": 8}]}},
            "batch was 4, here it is 1",
        ),
    ],
)
def test_each_part_of_the_record_is_a_sentence(before: dict[str, Any], after: dict[str, Any], told: str) -> None:
    """What it was, what it is here, and in which step."""
    assert step_causes(then(**before), now(**after), "edit.1 (grade)") == [f"edit.1 (grade): {told}"]


@pytest.mark.parametrize("weights", [None, 3, "x", [1], [["a"]], [["a", "b", "c"]], [[["deep"], {"er": 1}]], {"a": "b"}])
def test_whatever_somebody_wrote_for_weights_breaks_nothing(weights: object) -> None:
    """A manifest is not to be trusted."""
    told = step_causes(then(engine={"name": "a", "weights": weights}), now(engine={"name": "a"}), "edit.1")
    assert isinstance(told, list)


def test_words_of_the_record_cannot_paint_on_a_terminal_nor_fill_it() -> None:
    """Control characters are shown with their stand-in, and long values are cut."""
    told = "".join(step_causes(then(engine={"name": "\x1b[31m" + "x" * 10_000}), now(), "edit.1"))
    assert "\x1b" not in told
    assert len(told) < 300


def test_the_ways_part_at_the_first_step_whose_picture_is_another_one() -> None:
    """Not where the file of an earlier stage was only written otherwise."""
    first = rerun(stage("edit", step(picture_hash="a"), outputs="cd" * 32), now(picture_hash="a"))
    second = rerun(
        stage("grade", step(picture_hash="b"), step(picture_hash="c"), numpy="1"), now(picture_hash="b"), now(picture_hash="x"), numpy="2"
    )
    found = build_report([first, second], [OFF])
    assert found.first_difference is not None
    assert (found.first_difference.stage, found.first_difference.step, found.first_difference.op) == ("grade", 2, "grade")
    assert found.causes == ("numpy was 1, here it is 2",)
    assert not found.is_same


def test_where_all_pictures_agree_it_is_the_file_that_was_written_otherwise() -> None:
    """The stage, and no step of it."""
    found = build_report([rerun(stage("edit", step()), now()), rerun(stage("deliver", step(), outputs="cd" * 32), now())], [OFF])
    assert found.first_difference is not None
    assert found.first_difference.label == "what deliver wrote"


def test_files_in_between_do_not_matter_where_the_deliverables_agree() -> None:
    """Another compression of what a stage handed on is no parting."""
    found = build_report([rerun(stage("edit", step(), outputs="cd" * 32, numpy="1"), now(), numpy="2")], [SAME])
    assert (found.first_difference, found.causes, found.is_same) == (None, (), True)
    assert found.other_changes == ("numpy was 1, here it is 2",)


def test_a_stage_that_no_lane_ran_says_nothing_of_versions() -> None:
    """A file that was handed on as it lay was not run with anything."""
    assert rerun(stage("edit"), numpy="2").all_causes() == []


def test_the_same_reason_in_several_stages_is_said_once() -> None:
    """One sentence for one update."""
    reruns = [rerun(stage(name, step(), numpy="1"), now(), numpy="2") for name in ("edit", "grade", "deliver")]
    assert build_report(reruns, [SAME]).other_changes == ("numpy was 1, here it is 2",)
