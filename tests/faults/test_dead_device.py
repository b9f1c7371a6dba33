"""A dead GPU under the whole daemon: its pictures wait in place, nothing is held against them, and everybody else goes on."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.commission import LINE
from doubles.pictures import mask, png
from doubles.studio import Studio, studio_at
from goldsmith.pipeline.scheduler.stage_work import fingerprint

TWO_LANES = LINE.replace('folder = "selected"', 'folder = "selected"\nqueue = "gpu"')
# Lane processes read this as they start: the engine that needs no weights stands for a model, and a file for the broken card.
BROKEN_DRIVER = """
    import os
    from goldsmith.engines.drivers import null
    from goldsmith.errors import DeviceError

    def fill(engine, pixels, hole, seed, on_progress=None):
        if os.path.exists(DEAD):
            raise DeviceError("cuda:0 has failed: unspecified launch failure.", "Look at it with nvidia-smi.")
        return whole(engine, pixels, hole, seed)

    whole = null.NullInpainter.fill
    null.NullInpainter.fill = fill
"""


@pytest.fixture
def dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """While this file is there, the GPU is dead."""
    found = tmp_path / "dead"
    found.touch()
    (tmp_path / "driver").mkdir()
    (tmp_path / "driver" / "sitecustomize.py").write_text(f"DEAD = {str(found)!r}\n{textwrap.dedent(BROKEN_DRIVER)}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "driver"))
    return found


@pytest.fixture
def studio(tmp_path: Path, dead: Path) -> Iterator[Studio]:
    with studio_at(tmp_path / "studio", devices=("cuda:0",)) as made:
        made.line(TWO_LANES)
        yield made


def lanes(studio: Studio) -> dict[str, str]:
    assert studio.works is not None
    told = studio.works.state()["lanes"]
    assert isinstance(told, dict)
    return told


def test_pictures_wait_in_place_for_a_dead_gpu_and_the_other_lanes_go_on(studio: Studio, dead: Path) -> None:
    """No note, no attempt, the inputs where they lay; a sentence says why; and when the card is back the work is done."""
    works = studio.start()
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.mask.png", mask())
    told = studio.until_heard("requeued", picture="selected/hero.png")
    assert told["sentence"] == "cuda:0 has failed: unspecified launch failure."
    assert "The GPU cuda:0 has failed (unspecified launch failure). It is tried again at" in lanes(studio)["gpu"]
    assert lanes(studio)["cpu"] == ""
    studio.put("masked/other.png", png())
    studio.put("masked/other.toml", '[[grade]]\nop = "grade"\nsaturation = 0.5\n')
    studio.until_heard("committed", picture="masked/other.png")
    assert studio.folder("selected") == ["hero.mask.png", "hero.png"]
    assert studio.note("selected/hero.png") == ""
    (live,) = studio.journal.active_jobs()
    assert (live.path, live.started_at) == ("selected/hero.png", None)
    sigs = {path: works.intake.state(path).sig for path in ("selected/hero.png", "selected/hero.mask.png")}
    assert studio.journal.attempt_count("selected/hero.png", fingerprint({path: sig for path, sig in sigs.items() if sig is not None})) == 0
    assert studio.heard("paused") == []
    dead.unlink()
    works.workers.resume("gpu")
    studio.until_idle()
    assert studio.folder("masked") == ["hero.png"]
    assert lanes(studio)["gpu"] == ""


def test_what_is_changed_or_taken_away_while_its_device_is_dead_is_left_alone(studio: Studio) -> None:
    """A job that waits is called off like any other."""
    studio.start()
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.mask.png", mask())
    studio.until_heard("requeued", picture="selected/hero.png")
    studio.at("selected/hero.mask.png").unlink()
    studio.until_idle()
    assert studio.folder("selected") == ["hero.png"]
    assert studio.journal.active_jobs() == []
