"""A real pipeline on tiny weights under the whole daemon, and what may befall it in the middle of a picture."""

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
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Studio, Faults]]:
    """One daemon for all of them, whose device pauses shortly: nearly all of a test's time is importing what runs the models."""
    place = tmp_path_factory.mktemp("house")
    with pytest.MonkeyPatch.context() as patch:
        faults = arm(place / "faults", patch)
        with studio_at(place / "studio", retry_machine=0.5) as made:
            made.put("config/models.toml", tiny.models_toml({"premium": "sdxl"}))
            yield made, faults


@pytest.fixture
def studio(house: tuple[Studio, Faults]) -> Studio:
    return house[0]


@pytest.fixture
def faults(house: tuple[Studio, Faults]) -> Faults:
    """Nothing is ordered, and nothing noted yet."""
    house[1].forget()
    return house[1]


def drop(studio: Studio, stem: str, steps: int = 2) -> None:
    """A picture that is drawn anew and delivered."""
    studio.put(f"inbox/{stem}.png", png(1, 64, 64))
    studio.put(f"inbox/{stem}.toml", BRIEF.format(steps=steps))


def made(studio: Studio, stem: str) -> dict[str, Any]:
    """How the picture was made, by its manifest."""
    manifest = studio.manifest(f"delivered/{stem}.manifest.json")
    found = manifest["stages"][0]["steps"][0]["findings"]["made"]
    assert isinstance(found, dict)
    return found


def test_out_of_memory_costs_no_picture_and_the_rung_is_in_the_manifest(studio: Studio, faults: Faults) -> None:
    """A decoder that finds no memory comes in tiles; the process and its model live on, and the next picture is made as asked."""
    faults.order("short")
    drop(studio, "short")
    studio.until_idle()
    assert (made(studio, "short")["memory_fallback"], made(studio, "short")["tiling"]) == ("tiled decoder", True)
    faults.mend("short")
    drop(studio, "next")
    studio.until_idle()
    assert (made(studio, "next")["memory_fallback"], made(studio, "next")["tiling"]) == ("as requested", False)
    (only,) = set(faults.noted("step 0"))
    assert faults.noted("short") == [only]
    assert faults.noted("load") in ([], [only])


@pytest.mark.parametrize("what", ["taken", "saved over", "asked otherwise"])
def test_work_on_what_is_no_longer_so_is_called_off_in_mid_denoise_and_the_model_stays_warm(
    studio: Studio, faults: Faults, what: str
) -> None:
    """Taken away, saved over, or its brief edited: at the next step, not at the picture's end. Nothing of it appears; what lies there then
    is made with the model that is loaded."""
    stem = what.replace(" ", "-")
    drop(studio, f"before-{stem}")
    studio.until_idle()
    faults.forget()
    faults.shut()
    drop(studio, stem, steps=200)
    studio.until(lambda: faults.noted("step 2"), "its third step")
    works = studio.works
    assert works is not None
    (running,) = works.workers.running_jobs()
    if what == "taken":
        studio.at(f"inbox/{stem}.png").unlink()
    if what == "saved over":
        studio.put(f"inbox/{stem}.png", png(2, 64, 64))
    if what != "taken":
        studio.put(f"inbox/{stem}.toml", BRIEF.format(steps=2))
    studio.until(lambda: works.scheduler._in_flight.get_by_job(running).is_cancelled, "that the lane is told")  # type: ignore[union-attr]
    faults.open()
    studio.until(lambda: running not in works.workers.running_jobs(), "the end of its job")
    assert 3 <= len([number for number in range(180) if faults.noted(f"step {number}")]) < 20
    studio.until_idle()
    delivered = [name for name in studio.folder("delivered") if name.startswith(stem)]
    assert len([name for name in delivered if name.endswith(".json")]) == (what != "taken")
    drop(studio, f"after-{stem}")
    studio.until_heard("committed", picture=f"inbox/after-{stem}.png")
    assert faults.noted("load") == []
    assert len(set(faults.noted("step 0"))) == 1


def test_a_device_that_dies_in_mid_picture_is_tried_again_with_a_new_process(studio: Studio, faults: Faults) -> None:
    """Neither note nor attempt; once it is well the picture is made by another process, which loads the model anew."""
    drop(studio, "before")
    studio.until_heard("committed", picture="inbox/before.png")
    faults.order("dead")
    drop(studio, "dying")
    told = studio.until_heard("requeued", picture="inbox/dying.png")
    assert told["sentence"] == "cpu has failed: CUDA error: unspecified launch failure"
    assert studio.note("inbox/dying.png") == ""
    (first,) = set(faults.noted("step 0"))
    faults.mend("dead")
    faults.forget()
    resume_queue(studio.works.workers, "gpu")  # type: ignore[union-attr]
    studio.until_idle()
    assert made(studio, "dying")["memory_fallback"] == "as requested"
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


def test_a_job_for_another_model_is_passed_over_by_eight_and_no_more(tmp_path: Path) -> None:
    """It stands second in a line of twenty; nine are begun before it: the first, and eight that pass it over."""
    with studio_at(tmp_path / "studio") as studio:
        studio.put("config/models.toml", STARVED.replace("NAME", "one") + STARVED.replace("NAME", "two"))
        works = studio.start()
        pause_queue(works.workers, "gpu")
        for number in range(20):
            name = "two" if number == 1 else "one"
            studio.put(f"inbox/{number:02}.toml", f'prompt = "x"\n[[generate]]\nop = "regenerate"\nmodel = "{name}"\n')
            if number < 2:
                studio.until(lambda: works.workers.queue_length("gpu") > number, "that it stands in line")  # noqa: B023 - called at once
        studio.until(lambda: works.workers.queue_length("gpu") == 20, "that all stand in line")
        resume_queue(works.workers, "gpu")
        studio.until_idle()
        begun = list(dict.fromkeys(told["picture"] for told in studio.heard("progress")))
        assert (len(begun), begun[0], begun.index("inbox/01.toml")) == (20, "inbox/00.toml", 9)


def test_a_replay_on_a_device_that_dies_says_so_and_on_a_sound_one_is_identical(studio: Studio, faults: Faults) -> None:
    """A replay never calls a failed device a difference, touches nothing on the share, and once the device is well paints the same."""
    drop(studio, "again")
    studio.until_idle()
    delivery = Delivery(studio.root, "delivered/again.manifest.json")
    before = delivery.lies()
    faults.order("dead")
    with pytest.raises(HostError, match="failed"):
        delivery.again()
    assert delivery.lies() == before
    faults.mend("dead")
    assert [deliverable.verdict for deliverable in delivery.again().deliverables] == ["identical"]
    assert delivery.lies() == before


def test_a_replay_by_an_engine_that_served_on_another_rung_names_the_rung(studio: Studio, faults: Faults) -> None:
    """Delivered where memory was short, done again where it is not: the record and the replay did not go the same way, and that is said."""
    faults.order("short")
    drop(studio, "tight")
    studio.until_idle()
    faults.mend("short")
    report = Delivery(studio.root, "delivered/tight.manifest.json").again()
    said = " ".join([*report.causes, *report.other_changes])
    assert "memory_fallback" in said, said
