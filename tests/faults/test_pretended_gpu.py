"""The whole daemon on a GPU that is only pretended: batches, shortages, a second model, a card that fails; and what is told of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from doubles import tiny
from doubles.commission import LINE
from doubles.faulty_diffusion import Faults, arm
from doubles.pretended_gpu import TITLE, TOTAL_MB, Pretended, machine
from doubles.studio import Studio, studio_at
from doubles.worker_queues import pause_queue, resume_queue

BRIEF = 'prompt = "{words}"\nseed = {seed}\n[[generate]]\nop = "regenerate"\nmodel = "{model}"\n'


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Studio, Faults, Pretended]]:
    """One daemon with one lane on the card for all of them: nearly all of a test's time is importing what runs the models."""
    place = tmp_path_factory.mktemp("house")
    with pytest.MonkeyPatch.context() as patch:
        faults = arm(place / "faults", patch)
        card = machine(place / "faults", patch, lanes=True)
        with studio_at(place / "studio", devices=("cuda:0",), together=4) as studio:
            studio.line(LINE.replace('next = "selected"', 'next = "selected"\nqueue = "gpu"'))
            studio.put("config/models.toml", tiny.models_toml({"first": "sdxl", "second": "flux"}, memory_mb=1000))
            yield studio, faults, card


def drop(studio: Studio, stem: str, seed: int = 7, words: str = "a red chair", model: str = "first") -> None:
    studio.put(f"inbox/{stem}.toml", BRIEF.format(words=words, seed=seed, model=model))


def made(studio: Studio, stem: str) -> dict[str, Any]:
    """How the picture was made, by the record."""
    (row,) = [row for row in studio.history() if row.path == f"inbox/{stem}.toml" and row.outcome == "passed"]
    step = row.record["steps"][0]  # type: ignore[index,call-overload]
    found = step["findings"]["made"]  # type: ignore[index,call-overload]
    assert isinstance(found, dict)
    return found


def test_equal_jobs_are_made_four_at_a_time_and_the_next_four_while_those_are_put_down(house: tuple[Studio, Faults, Pretended]) -> None:
    """Nine wait: all come through on the card, in half precision, and the record says with how many others each was made."""
    studio, _, _ = house
    works = studio.start()
    pause_queue(works.workers, "gpu")
    for number in range(9):
        drop(studio, f"equal{number}", seed=number, words=f"chair {number}")
    studio.until(lambda: works.workers.queue_length("gpu") == 9, "that all stand in line")
    resume_queue(works.workers, "gpu")
    studio.until_idle()
    facts = [made(studio, f"equal{number}") for number in range(9)]
    assert sorted(each["batch"] for each in facts)[-4:] == [4, 4, 4, 4]  # on a machine that has other things to do, not all may meet
    assert {(each["device"], each["device_title"], each["precision"], each["offload"]) for each in facts} == {
        ("cuda:0", TITLE, "bfloat16", "none")
    }
    assert len({studio.read(f"selected/equal{number}.png") for number in range(9)}) == 9


def test_a_shortage_on_the_card_costs_no_picture(house: tuple[Studio, Faults, Pretended]) -> None:
    """The decoder comes in tiles, and unused memory is given back before it is tried again."""
    studio, faults, card = house
    before = card.given_back
    faults.order("short")
    drop(studio, "short")
    studio.until_idle()
    faults.mend("short")
    assert made(studio, "short")["memory_fallback"] == "tiled decoder"
    assert card.given_back > before


def test_a_model_makes_room_for_another_where_the_card_is_full(house: tuple[Studio, Faults, Pretended]) -> None:
    """What is free is asked of the card each time; the second is laid out by it, in parts where not all of it fits."""
    studio, _, card = house
    drop(studio, "warm")
    studio.until_idle()
    card.free(900)
    drop(studio, "other", model="second")
    studio.until_idle()
    card.free(TOTAL_MB - 500)
    assert made(studio, "other")["offload"] in ("model", "group")
    works = studio.works
    assert works is not None
    (status,) = [worker for worker in works.state().workers if worker.queue == "gpu"]
    assert (status.device, status.device_title, status.device_memory_mb, status.loaded) == ("cuda:0", TITLE, TOTAL_MB, ("second",))


def test_a_card_that_fails_pauses_and_its_picture_waits_in_place(house: tuple[Studio, Faults, Pretended]) -> None:
    """No note and no attempt; another process makes it once the card is well."""
    studio, faults, _ = house
    works = studio.works or studio.start()
    faults.order("dead")
    drop(studio, "dead")
    told = studio.until_heard("requeued", picture="inbox/dead.toml")
    assert told["sentence"] == "cuda:0 has failed: CUDA error: unspecified launch failure"
    assert str(works.workers.pause_reason("gpu")).startswith("The GPU cuda:0 has failed (CUDA error: unspecified launch failure).")
    assert studio.note("inbox/dead.toml") == ""
    faults.mend("dead")
    resume_queue(works.workers, "gpu")
    studio.until_idle()
    assert made(studio, "dead")["memory_fallback"] == "as requested"
