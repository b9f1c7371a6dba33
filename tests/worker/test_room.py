"""A worker refuses a picture, a mask, a layer or a step's result that is too large for its memory, before it starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from doubles.jobs import GENEROUS, Share, open_pools, outcome_of, png
from goldsmith.jobs.job import Job, Outcome, ResourceLimits
from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
from goldsmith.ops import catalogue
from goldsmith.picture import codec
from goldsmith.picture.memory_budget import BYTES_PER_PIXEL, OVERHEAD_BYTES
from goldsmith.pipeline.workers.worker_pools import WorkerPools
from goldsmith.worker.engine_provider import EngineProvider
from goldsmith.worker.job_runner import run_job

PROVIDER = EngineProvider(WorkerConfig(), WorkerSpec(queue="cpu"))
SIZE = 1000, 1200
PIXELS = SIZE[0] * SIZE[1]


@pytest.fixture
def share(tmp_path: Path) -> Share:
    share = Share(tmp_path)
    share.put("inbox/hero.png", png(np.full((*SIZE, 1), 0.5, np.float32)))
    return share


def limits(pixels: int) -> ResourceLimits:
    """Return limits with memory for exactly that many pixels."""
    return GENEROUS.model_copy(update={"max_memory_bytes": OVERHEAD_BYTES + BYTES_PER_PIXEL * pixels})


def run(job: Job) -> Outcome:
    return run_job(job, PROVIDER, lambda progress: None, lambda: False)


def refusal(outcome: Outcome) -> str:
    """Return the sentence and the remedy of a refused job."""
    assert outcome.fault is not None
    assert outcome.fault.kind == "problem"
    return f"{outcome.fault.sentence} {outcome.fault.remedy}"


def test_a_picture_too_large_for_the_memory_is_refused_unread(share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size is read from its header, and no pixel is decoded. The note has the picture, the figures and the setting."""
    monkeypatch.setattr(codec, "_to_picture", lambda *_: pytest.fail("the picture was decoded"))
    message = refusal(run(share.job(("sharpen", {}), limits=limits(PIXELS - 1))))
    assert message.startswith("hero.png is 1200 x 1000 pixels (1 MP) large: work on it takes up to 0.55 GiB of memory")
    assert "worker_memory_mb = 600" in message


def test_a_picture_that_just_fits_is_accepted(share: Share) -> None:
    """The limit is exact."""
    assert run(share.job(("sharpen", {}), limits=limits(PIXELS))).fault is None


def test_the_step_that_needs_most_memory_counts(share: Share) -> None:
    """A CMYK export needs more memory than sharpening."""
    export = ("export", {"format": "tiff", "cmyk": "press"})
    assert "of memory" in refusal(run(share.job(("sharpen", {}), export, limits=limits(PIXELS))))


def test_a_mask_too_large_for_the_memory_is_refused_by_its_own_name(share: Share) -> None:
    """A mask may be a decompression bomb too."""
    share.put("inbox/hero.mask.png", png(np.zeros((1500, 2000, 1), np.float32)))
    inputs = [share.job_input("inbox/hero.png"), share.job_input("inbox/hero.mask.png", "mask", "mask")]
    job = share.job(("grade", {"exposure": 1, "where": "mask"}), inputs=inputs, limits=limits(PIXELS))
    assert refusal(run(job)).startswith("hero.mask.png is 2000 x 1500 pixels")


def test_a_layer_too_large_for_the_memory_is_refused_by_its_own_name(share: Share) -> None:
    """The layer is in memory together with the picture."""
    share.put("inbox/hero.layer.sky.png", png(np.zeros((1500, 2000, 1), np.float32)))
    inputs = [share.job_input("inbox/hero.png"), share.job_input("inbox/hero.layer.sky.png", "layer", "sky")]
    settings = {"layers": [{"from": "sky"}]}
    bytes_per_pixel = catalogue()["composite"].model_validate(settings).bytes_per_pixel()
    job = share.job(("composite", settings), inputs=inputs, limits=limits(PIXELS * bytes_per_pixel // BYTES_PER_PIXEL))
    assert "hero.layer.sky.png is 2000 x 1500 pixels" in refusal(run(job))


def test_a_result_too_large_for_the_memory_is_refused_before_it_is_made(share: Share) -> None:
    """The sentence names the step."""
    job = share.job(("resize", {"factor": 2, "enlarge": True}), limits=limits(2 * PIXELS))
    assert "edit.1 (resize): What this step would make of it is 2400 x 2000 pixels" in refusal(run(job))


def test_a_job_without_steps_needs_no_memory_for_its_picture(share: Share) -> None:
    """The file is not decoded."""
    assert run(share.job(limits=limits(PIXELS // 10))).fault is None


@pytest.fixture
def pools(share: Share) -> Iterator[WorkerPools]:
    pools = open_pools(share.root, [WorkerSpec(queue="cpu", threads=2)], WorkerConfig())
    yield pools
    pools.stop(5)


def test_the_stated_memory_is_enough_in_a_real_worker(share: Share, pools: WorkerPools) -> None:
    """A worker process that the kernel limits to exactly the stated memory finishes a delivery."""
    steps = [("grade", {"exposure": 0.2, "grain": {"amount": 20}}), ("resize", {"percent": 90}), ("sharpen", {})]
    exports = [("export", {"name": word, "format": word}) for word in ("jpeg", "png", "tiff")]
    random = np.random.default_rng(1)
    share.put("inbox/hero.png", png(random.integers(0, 256, (*SIZE, 3)).astype(np.float32) / 255))
    outcome = outcome_of(pools, share.job(*steps, *exports, limits=limits(PIXELS), deliver=True))
    assert outcome.fault is None
    assert len(outcome.outputs) == 3
