"""The whole daemon with a simulated GPU: batches, shortages, a second model, a failed device, and the reported state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from doubles import tiny
from doubles.commission import PIPELINE
from doubles.faulty_diffusion import Faults, arm
from doubles.pretended_gpu import TITLE, TOTAL_MB, Pretended, machine
from doubles.studio import Studio, studio_at
from doubles.worker_queues import pause_queue, resume_queue

BRIEF = 'prompt = "{words}"\nseed = {seed}\n[[generate]]\nop = "regenerate"\nmodel = "{model}"\n'


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Studio, Faults, Pretended]]:
    """Yield one daemon with one GPU worker for all tests: most of the time goes into importing the libraries."""
    folder = tmp_path_factory.mktemp("daemon")
    with pytest.MonkeyPatch.context() as patch:
        faults = arm(folder / "faults", patch)
        card = machine(folder / "faults", patch, workers=True)
        with studio_at(folder / "studio", devices=("cuda:0",), together=4) as studio:
            studio.write_pipeline(PIPELINE.replace('next = "selected"', 'next = "selected"\nqueue = "gpu"'))
            studio.put("config/models.toml", tiny.models_toml({"first": "sdxl", "second": "flux"}, memory_mb=1000))
            yield studio, faults, card


def drop(studio: Studio, stem: str, seed: int = 7, words: str = "a red chair", model: str = "first") -> None:
    """Add a brief for one generated picture."""
    studio.put(f"inbox/{stem}.toml", BRIEF.format(words=words, seed=seed, model=model))


def generation_facts(studio: Studio, stem: str) -> dict[str, Any]:
    """Return the facts of a generated picture from the journal."""
    (row,) = [row for row in studio.history() if row.path == f"inbox/{stem}.toml" and row.outcome == "passed"]
    step = row.record["steps"][0]  # type: ignore[index,call-overload]
    facts = step["findings"]["made"]  # type: ignore[index,call-overload]
    assert isinstance(facts, dict)
    return facts


def test_similar_jobs_run_in_batches_of_four(daemon: tuple[Studio, Faults, Pretended]) -> None:
    """Nine jobs run in half precision, and the record has the size of each batch."""
    studio, _, _ = daemon
    works = studio.start()
    pause_queue(works.workers, "gpu")
    for number in range(9):
        drop(studio, f"equal{number}", seed=number, words=f"chair {number}")
    studio.until(lambda: works.workers.queue_length("gpu") == 9, "all jobs in the queue")
    resume_queue(works.workers, "gpu")
    studio.until_idle()
    facts = [generation_facts(studio, f"equal{number}") for number in range(9)]
    assert sorted(each["batch"] for each in facts)[-4:] == [4, 4, 4, 4]  # on a busy machine, some batches may be smaller
    assert {(each["device"], each["device_title"], each["precision"], each["offload"]) for each in facts} == {
        ("cuda:0", TITLE, "bfloat16", "none")
    }
    assert len({studio.read(f"selected/equal{number}.png") for number in range(9)}) == 9


def test_a_shortage_on_the_gpu_uses_a_fallback(daemon: tuple[Studio, Faults, Pretended]) -> None:
    """The decoder is tiled, and unused memory is released first."""
    studio, faults, card = daemon
    before = card.release_count
    faults.order("short")
    drop(studio, "short")
    studio.until_idle()
    faults.mend("short")
    assert generation_facts(studio, "short")["memory_fallback"] == "tiled decoder"
    assert card.release_count > before


def test_a_model_is_closed_for_another_on_a_full_gpu(daemon: tuple[Studio, Faults, Pretended]) -> None:
    """The free memory is measured each time and decides the layout of the second model."""
    studio, _, card = daemon
    drop(studio, "warm")
    studio.until_idle()
    card.free(900)
    drop(studio, "other", model="second")
    studio.until_idle()
    card.free(TOTAL_MB - 500)
    assert generation_facts(studio, "other")["offload"] in ("model", "group")
    works = studio.runtime
    assert works is not None
    (status,) = [worker for worker in works.state().workers if worker.queue == "gpu"]
    assert (status.device, status.device_title, status.device_memory_mb, status.loaded) == ("cuda:0", TITLE, TOTAL_MB, ("second",))


@pytest.mark.soak
def test_a_failed_gpu_pauses_and_its_picture_waits(daemon: tuple[Studio, Faults, Pretended]) -> None:
    """The picture gets no note, and another process generates it once the GPU works again."""
    studio, faults, _ = daemon
    works = studio.runtime or studio.start()
    faults.order("dead")
    drop(studio, "dead")
    event = studio.until_event("requeued", picture="inbox/dead.toml")
    assert event["sentence"] == "cuda:0 has failed: CUDA error: unspecified launch failure"
    assert str(works.workers.pause_reason("gpu")).startswith("The GPU cuda:0 has failed (CUDA error: unspecified launch failure).")
    assert studio.note("inbox/dead.toml") == ""
    faults.mend("dead")
    resume_queue(works.workers, "gpu")
    studio.until_idle()
    assert generation_facts(studio, "dead")["memory_fallback"] == "as requested"
