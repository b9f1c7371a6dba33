"""A broken journal stops nothing: it is set aside, everybody is told, and what lies in the folders is finished once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.broken_journal import break_open_journal
from doubles.commission import PIPELINE, SHARPEN, WHOLE
from doubles.pictures import png
from doubles.studio import Daemon, Studio, studio_at
from doubles.worker_queues import pause_queue, resume_queue
from goldsmith.journal.damage import broken_journals

DELIVERED = ["hero.manifest.json", "hero_print.png", "hero_web.jpg"]


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        yield studio


def _break(path: Path) -> None:
    path.write_bytes(b"noise" * 5000)


def test_a_journal_that_is_broken_at_the_start_is_replaced(studio: Studio) -> None:
    """A picture that was half way through is finished once, with one event for the log."""
    studio.put("inbox/hero.png", png())
    studio.put("inbox/hero.toml", WHOLE)
    studio.until(lambda: studio.events_of("committed"))
    studio.stop()
    _break(studio.journal_path)
    studio.start()
    (event,) = studio.events_of("journal replaced")
    (kept,) = broken_journals(studio.journal_path)
    assert "file is not a database" in event["sentence"]
    assert str(kept) in event["remedy"]
    studio.until_idle()
    assert studio.folders() == {"delivered": DELIVERED}


def test_a_journal_that_breaks_while_it_runs_is_replaced(studio: Studio) -> None:
    """Work goes on without a restart: a picture in work, a new one, and a hold are known to the new journal. Nothing is delivered twice."""
    studio.put("inbox/hero.png", png())
    studio.put("inbox/hero.toml", WHOLE)
    studio.put("inbox/bad.png", b"not a picture")
    studio.put("inbox/bad.toml", WHOLE)
    studio.until(lambda: studio.note("inbox/bad.png"), "the note")
    studio.until(lambda: studio.events_of("committed"))
    break_open_journal(studio.journal_path)
    studio.put("inbox/next.png", png(3))
    studio.put("inbox/next.toml", WHOLE)
    studio.until(lambda: studio.events_of("journal replaced"), "a new journal")
    studio.until_idle()
    (kept,) = broken_journals(studio.journal_path)
    assert len(studio.events_of("journal replaced")) == 1
    assert str(kept) in studio.events_of("journal replaced")[0]["remedy"]
    assert studio.folder("delivered") == sorted([*DELIVERED, *(name.replace("hero", "next") for name in DELIVERED)])
    assert [hold.path for hold in studio.journal.all_holds()] == ["inbox/bad.png"]
    assert [row.path for row in studio.history() if row.path.startswith("inbox/next")] == ["inbox/next.png"]


def test_running_jobs_are_in_the_new_journal(studio: Studio) -> None:
    """`status` shows a job that runs while the journal is replaced."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    works = studio.start()
    studio.until(lambda: studio.events_of("started"))
    before = [job.job_id for job in studio.journal.active_jobs()]
    break_open_journal(studio.journal_path)
    works.scheduler.run_once()
    studio.until(lambda: studio.events_of("journal replaced"), "a new journal")
    assert before
    assert {job.job_id for job in studio.journal.active_jobs()} <= set(before)
    studio.until_idle()
    assert studio.folder("masked") == ["hero.png", "hero.toml"]


def test_queued_jobs_are_in_the_new_journal(studio: Studio) -> None:
    """Pictures that wait for a worker keep their rows, so that `why` goes on to tell their places."""
    works = studio.start()
    pause_queue(works.workers, "cpu")
    for name in "ab":
        studio.put(f"selected/{name}.png", png())
        studio.put(f"selected/{name}.toml", SHARPEN)
    studio.until(lambda: works.workers.queue_length("cpu") == 2, "the queue")
    break_open_journal(studio.journal_path)
    studio.put("selected/c.png", png())
    studio.put("selected/c.toml", SHARPEN)
    studio.until_event("journal replaced")
    studio.until(lambda: works.workers.queue_length("cpu") == 3, "the third")
    assert sorted(job.path for job in studio.journal.active_jobs()) == [f"selected/{name}.png" for name in "abc"]
    resume_queue(works.workers, "cpu")
    studio.until(lambda: len(studio.folder("masked")) == 6, "the results")


def test_a_full_disk_sets_no_journal_aside(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite says that the disk is full: the daemon waits, and goes on in the same journal."""
    studio.start()
    real = studio.journal._connection
    assert real is not None

    class FullDisk:
        """The connection, without room for another record."""

        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:
            """Run a statement that only reads."""
            if sql.startswith(("INSERT", "UPDATE", "DELETE", "COMMIT", "BEGIN")):
                error = sqlite3.OperationalError("database or disk is full")
                error.sqlite_errorcode = sqlite3.SQLITE_FULL
                raise error
            return real.execute(sql, *parameters)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(studio.journal, "_connection", FullDisk())
        studio.put("inbox/hero.png", png())
        studio.put("inbox/hero.toml", WHOLE)
        studio.until(lambda: studio.events_of("paused"), "a pause")
    studio.until_idle()
    assert studio.folders() == {"delivered": DELIVERED}
    assert broken_journals(studio.journal_path) == []
    assert not studio.events_of("journal replaced")


def test_the_service_starts_beside_a_broken_journal_and_logs_it(studio: Studio) -> None:
    """The log has one error with the file that was kept; the service works."""
    path = studio.journal_path
    path.write_bytes(b"")
    studio.put("inbox/hero.png", png())
    studio.put("inbox/hero.toml", WHOLE)
    with Daemon(studio) as daemon:
        daemon.until_ready()
        daemon.until(lambda: len(studio.folder("delivered")) == len(DELIVERED), "the delivery")
        (entry,) = daemon.events_of("journal replaced")
        assert daemon.end() == 0
    assert (entry["level"], "it is empty" in entry["sentence"]) == ("error", True)
    assert str(broken_journals(path)[0]) in entry["remedy"]


def test_the_service_finds_the_journal_of_a_moved_root(studio: Studio, tmp_path: Path) -> None:
    """The history goes on in the same journal, and the log says where the root was."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    with Daemon(studio) as daemon:
        daemon.until_ready()
        daemon.until(lambda: "hero.png" in studio.folder("masked"), "the first picture")
        daemon.end()
    journal_file = studio.journal_path
    old_root = studio.root
    studio.root = studio.root.rename(tmp_path / "moved")
    studio.put("selected/next.png", png(3))
    studio.put("selected/next.toml", SHARPEN)
    with Daemon(studio) as daemon:
        daemon.until_ready()
        daemon.until(lambda: "next.png" in studio.folder("masked"), "the picture")
        (entry,) = daemon.events_of("root recognised")
        daemon.end()
    assert f"was at {old_root} before" in entry["sentence"]
    assert studio.journal_path == journal_file
    assert [row.path for row in studio.history()] == ["selected/hero.png", "selected/next.png"]
