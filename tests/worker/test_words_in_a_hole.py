"""A worker fills a hole from a prompt with a tiny model of every family that fills holes, and proves that other pixels are unchanged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doubles import tiny
from doubles.jobs import Share, picture, png
from goldsmith.jobs.job import JobProgress, Outcome
from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
from goldsmith.picture.codec import decode
from goldsmith.worker.engine_provider import EngineProvider
from goldsmith.worker.job_runner import run_job

HEIGHT, WIDTH = 90, 200
# These load a language model with each test.
LARGE = ("qwen-image-edit", "qwen-image-edit-plus", "longcat-image-edit", "joy-image-edit")
FILLING = [family for family in tiny.FAMILIES if "inpaint" in tiny.CAN[family]]


def _two_holes() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[20:40, 10:30] = 1
    mask[50:60, 170:190] = 0.5
    return mask


def _run(
    folder: Path,
    family: str,
    step: dict[str, Any],
    reports: list[JobProgress],
    cancelled: Callable[[], bool] = lambda: False,
    references: Sequence[bytes] = (),
) -> Outcome:
    share = Share(folder)
    share.put("inbox/hero.png", png(picture(HEIGHT, WIDTH, 16), 16))
    share.put("inbox/hero.mask.png", png(_two_holes()))
    models = share.put("models.toml", tiny.models_toml({"words": family}).encode())
    provider = EngineProvider(WorkerConfig(models_file=str(models), weights_folder=str(folder)), WorkerSpec(queue="cpu", threads=1))
    inputs = [share.job_input("inbox/hero.png"), share.job_input("inbox/hero.mask.png", "mask", "mask")]
    for number, data in enumerate(references, 1):
        share.put(f"inbox/hero.ref{number}.png", data)
        inputs.append(share.job_input(f"inbox/hero.ref{number}.png", "ref"))
    return run_job(share.job(("inpaint", step), inputs=inputs), provider, reports.append, cancelled)


@pytest.mark.parametrize("family", [pytest.param(each, marks=pytest.mark.soak) if each in LARGE else each for each in FILLING])
def test_outside_the_mask_no_code_changes_with_any_family(tmp_path: Path, family: str) -> None:
    """Two regions of a 16-bit picture are filled at the model's own size. The test compares the files once more."""
    reports: list[JobProgress] = []
    outcome = _run(tmp_path, family, {"prompt": "moss on stone"}, reports)
    assert outcome.fault is None
    findings = outcome.steps[0].findings
    outside = _two_holes() == 0
    assert (findings["outside_pixels"], findings["outside_changed"]) == (int(outside.sum()), 0)
    assert (findings["regions"], findings["prompt_used"]) == (2, True)
    files = tmp_path / "inbox/hero.png", Path(outcome.outputs[0].path)
    before, after = (decode(file.read_bytes(), "hero.png", 10**6).to_codes() for file in files)
    assert np.array_equal(before[outside], after[outside])
    assert (before[~outside] != after[~outside]).any(axis=1).mean() > 0.9
    assert len({progress.fraction for progress in reports if progress.op == "inpaint"}) > 2


@pytest.mark.soak
def test_several_reference_pictures_change_the_fill_of_a_hole(tmp_path: Path) -> None:
    """Qwen-Image-Edit-Plus looks at two of them itself: another second one gives another fill, and nothing changes outside."""
    fills = []
    for name, second in (("first", 5), ("second", 6)):
        step = {"prompt": "moss on stone", "references": True}
        outcome = _run(
            tmp_path / name, "qwen-image-edit-plus", step, [], references=[png(picture(64, 64, 8)), png(picture(64, 64, 8, second))]
        )
        assert outcome.fault is None
        assert outcome.steps[0].findings["outside_changed"] == 0
        fills.append(decode(Path(outcome.outputs[0].path).read_bytes(), "hero.png", 10**6).to_codes())
    assert not np.array_equal(*fills)


def test_a_cancelled_job_stops_between_two_steps_of_a_region(tmp_path: Path) -> None:
    """The cancellation comes after the first step of the first of two regions, and the job ends before the region is finished."""
    reports: list[JobProgress] = []
    outcome = _run(tmp_path, "sdxl", {"prompt": "moss", "steps": 6}, reports, lambda: any(0 < each.fraction < 0.5 for each in reports))
    assert outcome.fault is not None
    assert outcome.fault.kind == "cancelled"
    assert max(each.fraction for each in reports) < 0.5


def test_a_step_with_a_prompt_is_refused_if_no_model_takes_a_prompt(tmp_path: Path) -> None:
    """Only the engine without weights is available. A prompt of the brief, not of the step, leads to a fill without the prompt."""
    share = Share(tmp_path)
    share.put("inbox/hero.png", png(picture(HEIGHT, WIDTH)))
    share.put("inbox/hero.mask.png", png(_two_holes()))
    table = '[defaults]\ninpaint = ["plain"]\n[models.plain]\nkind = "inpaint"\ndriver = "patchmatch"\nlicence = "MIT"\n'
    models = share.put("models.toml", table.encode())
    provider = EngineProvider(WorkerConfig(models_file=str(models), weights_folder=str(tmp_path)), WorkerSpec(queue="cpu", threads=1))
    inputs = [share.job_input("inbox/hero.png"), share.job_input("inbox/hero.mask.png", "mask", "mask")]
    refused = run_job(share.job(("inpaint", {"prompt": "moss"}), inputs=inputs), provider, lambda progress: None, lambda: False)
    assert refused.fault is not None
    assert refused.fault.kind == "problem"
    assert "plain uses the surroundings alone and cannot use prompt" in refused.fault.sentence
    filled = run_job(share.job(("inpaint", {}), inputs=inputs, prompt="moss"), provider, lambda progress: None, lambda: False)
    assert filled.fault is None
    assert (filled.steps[0].findings["prompt"], filled.steps[0].findings["prompt_used"]) == ("moss", False)
