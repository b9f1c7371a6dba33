"""The account of a campaign is what its history says: times of machines and people, models, decisions, deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from doubles.history_rows import history_row
from goldsmith.brief.pipeline import read_pipeline
from goldsmith.files import resource_path
from goldsmith.journal.records import HistoryRow
from goldsmith.pipeline.campaign_report.account import CampaignAccount, ModelTimes, take_account

PIPELINE = read_pipeline(resource_path("config", "pipeline.toml").read_bytes(), "pipeline.toml")


def account_of(*rows: HistoryRow) -> CampaignAccount:
    by_id = {row.job_id: row for row in rows}
    return take_account("acme", PIPELINE, rows, by_id.get)


def job(stage: str, began: float, ended: float, parent: str = "", **record: Any) -> HistoryRow:
    return history_row(f"{stage}/acme/a.png", stage=stage, started_at=began, taken_at=ended, parent_job_id=parent, record=record)


def model_step(name: str, seconds: float) -> dict[str, Any]:
    return {"op": "regenerate", "seconds": seconds, "engine": {"name": name, "licence": "Apache-2.0"}}


def test_the_work_of_each_stage_and_its_wait_add_up() -> None:
    """Stages are in the order of the pipeline; a stage that did nothing is left out."""
    first = job("generate", 100, 110, seconds=8.0)
    second = job("edit", 130, 150, first.job_id, seconds=20.0)
    third = job("edit", 160, 170, first.job_id, seconds=5.0)
    problem = history_row("selected/acme/x.png", stage="edit", outcome="problem", record={"sentence": "It is empty."})
    account = account_of(second, first, third, problem)
    assert list(account.stages) == ["generate", "edit"]
    edit = account.stages["edit"]
    assert (edit.jobs, edit.problems, edit.work_seconds, edit.wait_seconds) == (2, 1, 25.0, 20.0 + 50.0)
    assert (account.work_seconds, account.wait_seconds) == (33.0, 70.0)
    assert (account.first_at, account.gpu_seconds) == (100, 0.0)


def test_gpu_seconds_are_the_steps_that_ran_a_model_on_a_gpu() -> None:
    """The same model on the CPU costs none, and neither does a step without a model."""
    on_gpu = {"environment": {"device": "NVIDIA L40S"}, "seconds": 60.0}
    account = account_of(
        job("generate", 100, 200, steps=[model_step("premium", 30.0), {"op": "select", "seconds": 9.0}], **on_gpu),
        job("generate", 100, 200, steps=[model_step("premium", 4.0), model_step("migan", 1.0)]),
    )
    assert account.models == {"premium": ModelTimes("Apache-2.0", 2, 34.0, 30.0), "migan": ModelTimes("Apache-2.0", 1, 1.0, 0.0)}
    assert account.gpu_seconds == account.stages["generate"].gpu_seconds == 30.0


def test_the_wait_for_eyes_ends_with_the_decision() -> None:
    """What is made again follows from the original, so the result that waited is named in the record."""
    original = job("generate", 100, 110)
    result = job("edit", 120, 200, original.job_id)
    decisions = [
        job("review", 260, 261, result.job_id, review={"decision": "approve", "result_of": result.job_id}),
        job("review", 300, 301, original.job_id, review={"decision": "again", "result_of": result.job_id}),
        job("review", 230, 231, result.job_id, review={"decision": "reject"}),
        job("review", 240, 241, result.job_id, review={"decision": "close"}),
    ]
    eyes = account_of(original, result, *decisions).eyes
    assert (eyes.approved, eyes.again, eyes.rejected) == (1, 1, 2)
    assert (eyes.wait_seconds, eyes.longest_seconds) == (60.0 + 100.0 + 30.0 + 40.0, 100.0)
    assert "review" not in account_of(original, result, *decisions).stages


def test_work_by_hand_is_counted_by_program_and_bounded_by_its_time() -> None:
    """It took at most from the moment at which the picture lay there until it was saved."""
    result = job("edit", 100, 200)
    by_hand = job("by-hand", 1400, 1500, result.job_id, by_hand={"program": "GIMP 3.2"})
    unknown = job("by-hand", 100, 1500, by_hand={"program": ""})
    account = account_of(result, by_hand, unknown)
    assert {name: (work.pictures, work.seconds) for name, work in account.hands.items()} == {"GIMP 3.2": (1, 1200.0), "": (1, 0.0)}
    assert account.hand_seconds == 1200.0


def test_a_delivery_has_its_files_and_its_time_from_the_first_job() -> None:
    """The manifest is no deliverable; the first picture stands for the delivery."""
    first = job("generate", 100, 110)
    middle = job("edit", 120, 200, first.job_id)
    outputs = [{"tail": "_web.jpg", "sha256": "ab"}, {"tail": "_print.pdf", "sha256": "cd"}]
    delivered = history_row(
        "graded/acme/a.png",
        *("delivered/acme/a_print.pdf", "delivered/acme/a_web.jpg", "delivered/acme/a.manifest.json"),
        stage="deliver",
        outcome="delivered",
        started_at=300,
        taken_at=400,
        parent_job_id=middle.job_id,
        record={"outputs": outputs, "steps": [{"op": "export", "findings": {"remark": "it is small"}}]},
    )
    (delivery,) = account_of(first, middle, delivered).deliveries
    assert (delivery.seconds, delivery.delivered_at, delivery.shown_path) == (300.0, 400, "delivered/acme/a_web.jpg")
    assert [(file.path, file.sha256) for file in delivery.files] == [
        ("delivered/acme/a_print.pdf", "cd"),
        ("delivered/acme/a_web.jpg", "ab"),
    ]
    assert delivery.remarks == ("export: it is small.",)


@pytest.mark.parametrize("record", [{}, {"steps": "x", "outputs": 3, "environment": None, "seconds": "x"}, {"steps": [1, {"engine": {}}]}])
def test_a_record_of_another_version_ends_nothing(record: dict[str, Any]) -> None:
    """What it does not have counts as nothing."""
    rows: Sequence[HistoryRow] = [
        history_row("graded/acme/a.png", "delivered/acme/a.jpg", stage="deliver", outcome="delivered", record=record),
        history_row("review/acme/a.png", stage="review", record=record),
        history_row("review/acme/a.png", stage="by-hand", record=record),
        history_row("x/acme/a.png", stage="of another pipeline", record=record),
    ]
    account = account_of(*rows)
    assert len(account.deliveries) == 1
    assert list(account.stages) == ["deliver", "of another pipeline"]
