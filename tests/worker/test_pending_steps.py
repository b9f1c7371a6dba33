"""A step whose pixels the next step computes leaves the same pixels and the same record as one that is computed by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from doubles.jobs import Share, picture, png
from goldsmith.jobs.job import Outcome
from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
from goldsmith.ops.resize import Resize
from goldsmith.worker.engine_provider import EngineProvider
from goldsmith.worker.job_runner import run_job


def _outcome(share: Share, *steps: tuple[str, dict[str, object]]) -> Outcome:
    models = share.put("models.toml", b"")
    provider = EngineProvider(WorkerConfig(models_file=str(models), weights_folder=str(share.root)), WorkerSpec(queue="cpu", threads=1))
    share.put("inbox/hero.png", png(picture(120, 90)))
    outcome = run_job(share.job(*steps, inputs=[share.job_input("inbox/hero.png")]), provider, lambda progress: None, lambda: False)
    assert outcome.fault is None
    return outcome


GRADE = ("grade", {"saturation": 1.3, "power": 1.2})


@pytest.mark.parametrize("size", [[60, 45], [100, 80], [500, 500]])
def test_the_record_and_the_pixels_are_those_of_steps_that_are_computed_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: list[int]
) -> None:
    """The box is a reduction in strips, one of the other kind, and none."""
    outcomes = []
    for number, reads_rows in enumerate((True, False)):
        monkeypatch.setattr(Resize, "reads_rows", reads_rows)
        outcomes.append(_outcome(Share(tmp_path / str(number)), GRADE, ("resize", {"size": size})))
    hashes = [[step.picture_hash for step in outcome.steps] for outcome in outcomes]
    assert hashes[0] == hashes[1]
    assert all(hashes[0])
    first, second = (Path(outcome.outputs[0].path).read_bytes() for outcome in outcomes)
    assert len(first) == len(second)


@pytest.mark.parametrize("steps", [[GRADE], [GRADE, GRADE], [GRADE, ("sharpen", {})], [GRADE, ("export", {"name": "web"})]])
def test_every_step_has_its_trace_and_time(tmp_path: Path, steps: list[tuple[str, dict[str, object]]]) -> None:
    """A step whose pixels the next one computes is on record like any other."""
    outcome = _outcome(Share(tmp_path), *steps)
    assert [step.op for step in outcome.steps] == [op for op, _ in steps]
    assert all(step.picture_hash and step.seconds > 0 for step in outcome.steps)
