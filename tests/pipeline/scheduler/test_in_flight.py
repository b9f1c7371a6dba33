"""Work in progress: its places in the queue, and the checks that are due."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.share import Share
from goldsmith.files import FileSignature
from goldsmith.jobs.work_folder import WorkFolder
from goldsmith.pipeline.intake.bundle import BundleKey
from goldsmith.pipeline.scheduler.in_flight import InFlight, files_token
from goldsmith.pipeline.turns import FolderTurns, turn_of
from goldsmith.pipeline.workers.job_queue import QueuedJob

A, B, C = (BundleKey("inbox", "", f"{name}.png") for name in "abc")


@pytest.fixture
def in_flight(tmp_path: Path) -> Iterator[InFlight]:
    share = Share(tmp_path)
    with contextlib.closing(share.journal()) as journal:
        yield InFlight(journal, WorkFolder(share.root), FolderTurns(["inbox", "graded"]), [B, A])


def queue(in_flight: InFlight, key: BundleKey) -> QueuedJob:
    queued = QueuedJob(f"job-{key.name}", "cpu", turn_of("", 0), in_flight.take_number(key), origin=key)
    in_flight.add_queued(key, queued)
    return queued


def test_bundles_of_the_previous_daemon_keep_their_order_and_new_ones_stand_behind_them(in_flight: InFlight) -> None:
    """Each kept place is used once."""
    assert [in_flight.take_number(key) for key in (A, C, B, A)] == [2, 3, 1, 4]


def test_work_that_begins_again_has_the_place_that_it_had(in_flight: InFlight) -> None:
    """Unless the place is forgotten, because the bundle is held or gone."""
    number = queue(in_flight, C).number
    assert queue(in_flight, A).number < number
    in_flight.remove_queued(C)
    assert [key for key, _ in in_flight.queued()] == [A]
    assert in_flight.take_number(C) == number
    in_flight.add_queued(C, QueuedJob("again", "cpu", turn_of("", 0), number))
    in_flight.remove_queued(C)
    in_flight.forget_number(C)
    assert in_flight.take_number(C) > number


def test_queued_work_is_work_in_progress(in_flight: InFlight) -> None:
    """The daemon is not idle while something waits for a worker."""
    assert in_flight.is_empty
    queue(in_flight, A)
    assert (in_flight.is_empty, len(in_flight)) == (False, 1)


def test_due_checks_are_done_in_fair_turns_and_each_once(in_flight: InFlight) -> None:
    """The single bundle of another stage stands behind one of a flood."""
    flood = [BundleKey("inbox", "acme", f"{number}.png") for number in range(100)]
    single = BundleKey("graded", "", "hero.png")
    for number, key in enumerate(flood):
        in_flight.recheck_at(float(number), key)
    in_flight.recheck([flood[3]])
    in_flight.recheck_at(99.0, single)
    in_flight.recheck_at(100.0, C)
    in_flight.collect_due(99.0)
    assert in_flight.due_count == 101
    assert single in [in_flight.pop_due() for _ in range(2)]
    assert in_flight.next_due_at() == 100.0


def test_the_token_of_files_changes_with_their_bytes_and_their_set(tmp_path: Path) -> None:
    """A new ctime alone is no change: the daemon's own renames cause it."""
    (tmp_path / "a").write_bytes(b"a")
    sig = FileSignature.from_stat(os.stat(tmp_path / "a"))
    token = files_token({"a": sig})
    assert files_token({"a": sig._replace(ctime_ns=sig.ctime_ns + 1)}) == token
    changes = [{"a": sig._replace(mtime_ns=1)}, {"a": sig._replace(size=9)}, {"b": sig}, {"a": sig, "b": sig}, {}]
    assert token not in map(files_token, changes)
