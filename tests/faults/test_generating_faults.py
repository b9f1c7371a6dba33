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
from goldsmith.errors import MachineFault

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


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Faults:
    return arm(tmp_path / "faults", monkeypatch)


@pytest.fixture
def studio(tmp_path: Path, faults: Faults) -> Iterator[Studio]:
    with studio_at(tmp_path / "studio") as made:
        made.put("config/models.toml", tiny.models_toml({"premium": "sdxl"}))
        yield made


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
    drop(studio, "hero")
    studio.until_idle()
    assert (made(studio, "hero")["rung"], made(studio, "hero")["tiling"]) == ("tiled decoder", True)
    faults.mend("short")
    drop(studio, "next")
    studio.until_idle()
    assert (made(studio, "next")["rung"], made(studio, "next")["tiling"]) == ("as asked", False)
    (loaded,) = faults.noted("load")
    assert faults.noted("short") == [loaded]
    assert set(faults.noted("step 0")) == {loaded}


def test_a_picture_taken_away_in_mid_denoise_is_called_off_and_the_model_stays_warm(studio: Studio, faults: Faults) -> None:
    """At the next step, not at the picture's end; nothing of it appears; the next one finds the model loaded."""
    faults.shut()
    drop(studio, "hero", steps=200)
    studio.until(lambda: faults.noted("step 2"), "its third step")
    works = studio.works
    assert works is not None
    (running,) = works.lanes.running()
    studio.at("inbox/hero.png").unlink()
    studio.until(lambda: works.foreman._slate.of_job(running).cancelled, "that the lane is told")  # type: ignore[union-attr]
    faults.open()
    studio.until(lambda: running not in works.lanes.running(), "the end of its job")
    assert 3 <= len([number for number in range(180) if faults.noted(f"step {number}")]) < 20
    assert studio.folder("selected") == []
    drop(studio, "next")
    studio.until_heard("committed", picture="inbox/next.png")
    assert len(faults.noted("load")) == 1


def test_a_device_that_dies_in_mid_picture_is_tried_again_with_a_new_process(tmp_path: Path, faults: Faults) -> None:
    """Neither note nor attempt; once it is well the picture is made by another process, which loads the model anew."""
    with studio_at(tmp_path / "studio", retry_machine=0.5) as studio:
        studio.put("config/models.toml", tiny.models_toml({"premium": "sdxl"}))
        faults.order("dead")
        drop(studio, "hero")
        told = studio.until_heard("put back", picture="inbox/hero.png")
        assert told["sentence"] == "cpu has failed: CUDA error: unspecified launch failure"
        assert studio.note("inbox/hero.png") == ""
        faults.mend("dead")
        studio.works.lanes.resume("gpu")  # type: ignore[union-attr]
        studio.until_idle()
        assert made(studio, "hero")["rung"] == "as asked"
        first, second = faults.noted("load")
        assert first != second


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
        works.lanes.pause("gpu", "The test is not ready.")
        for number in range(20):
            name = "two" if number == 1 else "one"
            studio.put(f"inbox/{number:02}.toml", f'prompt = "x"\n[[generate]]\nop = "regenerate"\nmodel = "{name}"\n')
            if number < 2:
                studio.until(lambda: works.lanes.waiting("gpu") > number, "that it stands in line")  # noqa: B023 - called at once
        studio.until(lambda: works.lanes.waiting("gpu") == 20, "that all stand in line")
        works.lanes.resume("gpu")
        studio.until_idle()
        begun = list(dict.fromkeys(told["picture"] for told in studio.heard("progress")))
        assert (len(begun), begun[0], begun.index("inbox/01.toml")) == (20, "inbox/00.toml", 9)


def test_a_replay_on_a_device_that_dies_says_so_and_on_a_sound_one_is_identical(studio: Studio, faults: Faults) -> None:
    """A replay never calls a failed device a difference, touches nothing on the share, and once the device is well paints the same."""
    drop(studio, "hero")
    studio.until_idle()
    delivery = Delivery(studio.root, "delivered/hero.manifest.json")
    before = delivery.lies()
    faults.order("dead")
    with pytest.raises(MachineFault, match="failed"):
        delivery.again()
    assert delivery.lies() == before
    faults.mend("dead")
    assert [deliverable.verdict for deliverable in delivery.again().deliverables] == ["identical"]
    assert delivery.lies() == before


def test_a_replay_by_an_engine_that_served_on_another_rung_names_the_rung(studio: Studio, faults: Faults) -> None:
    """Delivered where memory was short, done again where it is not: the record and the replay did not go the same way, and that is said."""
    faults.order("short")
    drop(studio, "hero")
    studio.until_idle()
    faults.mend("short")
    report = Delivery(studio.root, "delivered/hero.manifest.json").again()
    said = " ".join([*report.why, *report.other])
    assert "rung" in said, said
