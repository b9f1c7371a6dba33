"""A dead GPU and the whole daemon: its pictures stay queued, no attempt is counted, and all other work goes on."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.commission import PIPELINE
from doubles.jobs import import_first_from
from doubles.pictures import mask, png
from doubles.studio import Studio, studio_at
from doubles.worker_queues import resume_queue
from goldsmith.pipeline.stage_work import fingerprint

TWO_QUEUES = PIPELINE.replace('folder = "selected"', 'folder = "selected"\nqueue = "gpu"')
# Worker processes read this as they start. The engine without weights stands for a model, and the file DEAD for the broken GPU.
BROKEN_DRIVER = """
    import os
    from goldsmith.engines.drivers import null
    from goldsmith.errors import DeviceError

    def fill(engine, pixels, hole, seed, on_progress=None):
        if os.path.exists(DEAD):
            raise DeviceError("cuda:0 has failed: unspecified launch failure.", "Look at it with nvidia-smi.")
        return original_fill(engine, pixels, hole, seed)

    original_fill = null.NullInpainter.fill
    null.NullInpainter.fill = fill
"""


@pytest.fixture
def death_marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a marker file. The GPU is dead while the file exists."""
    marker = tmp_path / "dead"
    marker.touch()
    (tmp_path / "driver").mkdir()
    (tmp_path / "driver" / "sitecustomize.py").write_text(f"DEAD = {str(marker)!r}\n{textwrap.dedent(BROKEN_DRIVER)}")
    import_first_from(tmp_path / "driver", monkeypatch)
    return marker


@pytest.fixture
def studio(tmp_path: Path, death_marker: Path) -> Iterator[Studio]:
    with studio_at(tmp_path / "studio", devices=("cuda:0",)) as studio:
        studio.write_pipeline(TWO_QUEUES)
        yield studio


def queue_pauses(studio: Studio) -> dict[str, str]:
    assert studio.runtime is not None
    return studio.runtime.state().queue_pauses


def test_pictures_wait_for_a_dead_gpu_and_the_other_queues_go_on(studio: Studio, death_marker: Path) -> None:
    """The pictures get no note and no attempt, and stay in place. A sentence gives the reason. The work is done once the GPU is back."""
    works = studio.start()
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.mask.png", mask())
    event = studio.until_event("requeued", picture="selected/hero.png")
    assert event["sentence"] == "cuda:0 has failed: unspecified launch failure."
    assert "The GPU cuda:0 has failed (unspecified launch failure). It is tried again at" in queue_pauses(studio)["gpu"]
    assert queue_pauses(studio)["cpu"] == ""
    studio.put("masked/other.png", png())
    studio.put("masked/other.toml", '[[grade]]\nop = "grade"\nsaturation = 0.5\n')
    studio.until_event("committed", picture="masked/other.png")
    assert studio.folder("selected") == ["hero.mask.png", "hero.png"]
    assert studio.note("selected/hero.png") == ""
    (active,) = studio.journal.active_jobs()
    assert (active.path, active.started_at) == ("selected/hero.png", None)
    sigs = {path: works.intake.state(path).sig for path in ("selected/hero.png", "selected/hero.mask.png")}
    assert studio.journal.attempt_count("selected/hero.png", fingerprint({path: sig for path, sig in sigs.items() if sig is not None})) == 0
    assert studio.events_of("paused") == []
    death_marker.unlink()
    resume_queue(works.workers, "gpu")
    studio.until_idle()
    assert studio.folder("masked") == ["hero.png"]
    assert queue_pauses(studio)["gpu"] == ""


def test_a_job_whose_mask_is_deleted_while_its_device_is_dead_is_withdrawn(studio: Studio) -> None:
    """A job that waits for a dead device is cancelled like any other job."""
    studio.start()
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.mask.png", mask())
    studio.until_event("requeued", picture="selected/hero.png")
    studio.at("selected/hero.mask.png").unlink()
    studio.until_idle()
    assert studio.folder("selected") == ["hero.png"]
    assert studio.journal.active_jobs() == []
