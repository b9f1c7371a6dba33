"""A queue whose cluster is lost, and the whole daemon: everybody who asks is told the reason, the other queues go on, and it resumes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.commission import PIPELINE
from doubles.pictures import mask, png
from doubles.studio import Studio, studio_at
from doubles.worker_queues import pause_queue, resume_queue
from goldsmith.files import STATUS_FILE_NAME
from goldsmith.pipeline.notices.machine_conditions import GRACE_SECONDS, MachineConditions
from goldsmith.pipeline.status import folder_status
from goldsmith.pipeline.status.daemon_state import STATE_FILE, DaemonState
from goldsmith.service.location import Location, open_setup
from goldsmith.web.asset_board import read_board

TWO_QUEUES = PIPELINE.replace('folder = "selected"', 'folder = "selected"\nqueue = "gpu"')
REASON = "The cluster's head at 10.0.0.5:6379 does not answer (since 14:05). The jobs of queue gpu stay queued, and go on by themselves."
REFUSAL = "The node gpu2 has Python 3.12.1, and here it is 3.11.7. Use Python 3.11 there."


class NoRecord:
    """A record of notices in which nothing was told yet."""

    def open_keys(self, kind: str) -> dict[str, str]:
        return {}


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    """A studio with a queue of its own for models, whose status files are written at once."""
    monkeypatch.setattr(folder_status, "WRITE_INTERVAL_SECONDS", 0.0)
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(TWO_QUEUES)
        yield studio


def status_text(studio: Studio, folder: str) -> str:
    """Return a folder's status file on one line."""
    path = studio.at(f"{folder}/{STATUS_FILE_NAME}")
    return " ".join(path.read_text("utf-8-sig").split()) if path.exists() else ""


def write_state(studio: Studio, **changes: object) -> DaemonState:
    """Write the state file of the daemon, as its main loop does, with these changes."""
    assert studio.runtime is not None
    state = studio.runtime.state().model_copy(update=changes)
    (studio.journal.path.parent / STATE_FILE).write_bytes(state.to_json())
    return state


def test_a_lost_cluster_is_told_everywhere_and_other_queues_go_on(studio: Studio) -> None:
    """`status`, `why`, the page, the status file and the notices have the reason. Nothing is counted against the picture."""
    works = studio.start()
    studio.until_idle()
    pause_queue(works.workers, "gpu", REASON)
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.mask.png", mask())
    studio.until(lambda: REASON in status_text(studio, "selected"), "the reason in the status file")
    studio.put("masked/other.png", png())
    studio.put("masked/other.toml", '[[grade]]\nop = "grade"\nsaturation = 0.5\n')
    studio.until_event("committed", picture="masked/other.png")
    assert REASON not in status_text(studio, "masked")
    state = write_state(studio)
    with open_setup(works.setup) as location:
        assert location.explain().explain_file("selected/hero.png") == f"Waiting: {REASON}"
        assert f"The queue “gpu” is paused: {REASON}" in list(location.remarks())
        board = read_board(location)
    assert f"The queue “gpu” is paused: {REASON}" in board.remarks
    assert [asset.sentence for asset in board.assets if asset.path == "selected/hero.png"] == [f"Waiting: {REASON}"]
    assert [worker.activity for worker in board.workers if worker.title.startswith("gpu")] == [REASON]
    conditions = MachineConditions(str(studio.root))
    running = state.model_copy(update={"holder": "process 1 on atelier"})
    conditions.look(running, NoRecord(), time.time())  # type: ignore[arg-type]
    notices, _ = conditions.look(running, NoRecord(), time.time() + GRACE_SECONDS)  # type: ignore[arg-type]
    assert [notice.sentence for notice in notices] == [REASON]
    assert studio.note("selected/hero.png") == ""
    resume_queue(works.workers, "gpu")
    studio.until_idle()
    assert studio.folder("masked") == ["hero.png"]
    assert REASON not in status_text(studio, "selected")


def test_a_refused_node_is_told_once(studio: Studio) -> None:
    """If it was the last one, the pause of the queue says it already."""
    works = studio.start()
    write_state(studio, node_refusals=(REFUSAL,))

    def remarks() -> list[str]:
        with open_setup(works.setup) as location:
            assert isinstance(location, Location)
            return [sentence for sentence in location.remarks() if REFUSAL in sentence]

    assert remarks() == [f"A node of the cluster gets no jobs: {REFUSAL}"]
    write_state(studio, node_refusals=(REFUSAL,), queue_pauses={"gpu": f"No node of the cluster may work. {REFUSAL}"})
    assert remarks() == [f"The queue “gpu” is paused: No node of the cluster may work. {REFUSAL}"]
