"""The whole daemon with a real diffusion pipeline on tiny weights, and faults in the middle of a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doubles import tiny
from doubles.deliveries import Delivery
from doubles.faulty_diffusion import Faults, arm
from doubles.pictures import png
from doubles.studio import Studio, studio_at
from doubles.worker_queues import pause_queue, resume_queue
from goldsmith.errors import HostError
from goldsmith.pipeline.workers import worker_pool

BRIEF = """prompt = "a red chair"
seed = 3
edit = []
grade = []
[[generate]]
op = "regenerate"
model = "premium"
strength = 0.9
steps = {steps}
[[deliver]]
op = "export"
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Studio, Faults]]:
    """Yield one studio for all tests, whose device pauses only briefly: most of the time goes into importing the libraries.

    The processor stands in for a device that can fail.
    """
    folder = tmp_path_factory.mktemp("daemon")
    with pytest.MonkeyPatch.context() as patch:
        faults = arm(folder / "faults", patch)
        patch.setattr(worker_pool, "_DEVICES_WITHOUT_FAULTS", frozenset())
        with studio_at(folder / "studio", retry_machine=0.5) as studio:
            studio.put("config/models.toml", tiny.models_toml({"premium": "sdxl"}))
            yield studio, faults


@pytest.fixture
def studio(daemon: tuple[Studio, Faults]) -> Studio:
    return daemon[0]


@pytest.fixture
def faults(daemon: tuple[Studio, Faults]) -> Faults:
    """Return the faults, with none injected and an empty log."""
    daemon[1].forget()
    return daemon[1]


def drop(studio: Studio, stem: str, steps: int = 2) -> None:
    """Add a picture that is generated anew and delivered."""
    studio.put(f"inbox/{stem}.png", png(1, 64, 64))
    studio.put(f"inbox/{stem}.toml", BRIEF.format(steps=steps))


def generation_facts(studio: Studio, stem: str) -> dict[str, Any]:
    """Return the facts of a generated picture from its manifest."""
    manifest = studio.manifest(f"delivered/{stem}.manifest.json")
    facts = manifest["stages"][0]["steps"][0]["findings"]["made"]
    assert isinstance(facts, dict)
    return facts


def test_out_of_memory_uses_a_fallback_that_the_manifest_names(studio: Studio, faults: Faults) -> None:
    """A decoder without enough memory is tiled, and the process goes on with its model."""
    faults.order("short")
    drop(studio, "short")
    studio.until_idle()
    assert (generation_facts(studio, "short")["memory_fallback"], generation_facts(studio, "short")["tiling"]) == ("tiled decoder", True)
    faults.mend("short")
    drop(studio, "next")
    studio.until_idle()
    assert (generation_facts(studio, "next")["memory_fallback"], generation_facts(studio, "next")["tiling"]) == ("as requested", False)
    (only,) = set(faults.noted("step 0"))
    assert faults.noted("short") == [only]
    assert faults.noted("load") in ([], [only])


@pytest.mark.parametrize("change", ["deleted", "saved over", "new brief"])
def test_outdated_work_is_cancelled_within_a_step_and_the_model_stays_loaded(studio: Studio, faults: Faults, change: str) -> None:
    """The picture is deleted or saved over, or its brief changes: the old work is cancelled at the next step and has no result."""
    stem = change.replace(" ", "-")
    drop(studio, f"before-{stem}")
    studio.until_idle()
    faults.forget()
    faults.shut()
    drop(studio, stem, steps=200)
    studio.until(lambda: faults.noted("step 2"), "the third step")
    works = studio.runtime
    assert works is not None
    (running,) = works.workers.running_jobs()
    if change == "deleted":
        studio.at(f"inbox/{stem}.png").unlink()
    if change == "saved over":
        studio.put(f"inbox/{stem}.png", png(2, 64, 64))
    if change != "deleted":
        studio.put(f"inbox/{stem}.toml", BRIEF.format(steps=2))
    studio.until(lambda: works.scheduler._in_flight.get_by_job(running).is_cancelled, "the cancellation")  # type: ignore[union-attr]
    faults.open()
    studio.until(lambda: running not in works.workers.running_jobs(), "the end of its job")
    assert 3 <= len([number for number in range(180) if faults.noted(f"step {number}")]) < 20
    studio.until_idle()
    delivered = [name for name in studio.folder("delivered") if name.startswith(stem)]
    assert len([name for name in delivered if name.endswith(".json")]) == (change != "deleted")
    drop(studio, f"after-{stem}")
    studio.until_event("committed", picture=f"inbox/after-{stem}.png")
    assert faults.noted("load") == []
    assert len(set(faults.noted("step 0"))) == 1


def test_a_picture_on_a_failed_device_is_generated_by_a_new_process(studio: Studio, faults: Faults) -> None:
    """The picture gets no note, and the new process loads the model again."""
    drop(studio, "before")
    studio.until_event("committed", picture="inbox/before.png")
    faults.order("dead")
    drop(studio, "dying")
    event = studio.until_event("requeued", picture="inbox/dying.png")
    assert event["sentence"] == "cpu has failed: CUDA error: unspecified launch failure"
    assert studio.note("inbox/dying.png") == ""
    (first,) = set(faults.noted("step 0"))
    faults.mend("dead")
    faults.forget()
    resume_queue(studio.runtime.workers, "gpu")  # type: ignore[union-attr]
    studio.until_idle()
    assert generation_facts(studio, "dying")["memory_fallback"] == "as requested"
    (second,) = faults.noted("load")
    assert second != first


STARVED = """
[models.NAME]
kind = "generate"
driver = "null"
licence = "CC0-1.0"
[models.NAME.diffusion]
family = "null"
can = ["text"]
pixels = 4096
multiple = 16
steps = 1
guidance = 0
memory_mb = 10
picture_mb = 1
"""


def test_a_job_for_another_model_is_skipped_at_most_eight_times(tmp_path: Path) -> None:
    """Nine of twenty jobs start before the second job: the first job, and eight that skip the second."""
    with studio_at(tmp_path / "studio") as studio:
        studio.put("config/models.toml", STARVED.replace("NAME", "one") + STARVED.replace("NAME", "two"))
        works = studio.start()
        pause_queue(works.workers, "gpu")
        for number in range(20):
            name = "two" if number == 1 else "one"
            studio.put(f"inbox/{number:02}.toml", f'prompt = "x"\n[[generate]]\nop = "regenerate"\nmodel = "{name}"\n')
            if number < 2:
                studio.until(lambda: works.workers.queue_length("gpu") > number, "the job in the queue")  # noqa: B023 - called at once
        studio.until(lambda: works.workers.queue_length("gpu") == 20, "all jobs in the queue")
        resume_queue(works.workers, "gpu")
        studio.until_idle()
        started = list(dict.fromkeys(event["picture"] for event in studio.events_of("progress")))
        assert (len(started), started[0], started.index("inbox/01.toml")) == (20, "inbox/00.toml", 9)


@pytest.mark.soak
def test_a_replay_on_a_failed_device_is_an_error(studio: Studio, faults: Faults) -> None:
    """The share stays unchanged. Once the device works, the replay is identical."""
    drop(studio, "again")
    studio.until_idle()
    delivery = Delivery(studio.root, "delivered/again.manifest.json")
    before = delivery.file_states()
    faults.order("dead")
    with pytest.raises(HostError, match="failed"):
        delivery.again()
    assert delivery.file_states() == before
    faults.mend("dead")
    assert [deliverable.verdict for deliverable in delivery.again().deliverables] == ["identical"]
    assert delivery.file_states() == before


@pytest.mark.soak
def test_a_replay_with_another_memory_fallback_names_it(studio: Studio, faults: Faults) -> None:
    """The delivery used a fallback, and the replay does not."""
    faults.order("short")
    drop(studio, "tight")
    studio.until_idle()
    faults.mend("short")
    report = Delivery(studio.root, "delivered/tight.manifest.json").again()
    causes = " ".join([*report.causes, *report.other_changes])
    assert "memory_fallback" in causes, causes
