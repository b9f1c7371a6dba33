"""The scratch folder of a worker process: private, known to the daemon, and removed once nothing in it waits for a commit."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.fake_workers import FakeWorkers, kinds
from doubles.jobs import Share, outcomes
from goldsmith.jobs.folder_removal import wait_for_removals
from goldsmith.jobs.job import Job, Outcome
from goldsmith.jobs.protocol import MessageType, WorkerFolders, encode_message
from goldsmith.pipeline.workers.process_folder import ProcessFolder


@pytest.fixture
def workers() -> Iterator[FakeWorkers]:
    workers = FakeWorkers()
    yield workers
    workers.close()


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


def left_in(workers: FakeWorkers) -> list[str]:
    return sorted(os.listdir(workers.folder.name))


def started_job(workers: FakeWorkers, job: Job) -> Job:
    """Return the job as a new process gets it, with something written to its scratch folder."""
    workers.pools.submit(job)
    received = workers.ready().start_job()
    workers.collect()
    Path(received.scratch).mkdir()
    Path(received.scratch, "000.png").write_bytes(b"result")
    return received


def test_only_the_service_user_can_enter_a_new_folder(tmp_path: Path) -> None:
    """No folder has the name of another."""
    folders = [ProcessFolder(WorkerFolders(work=str(tmp_path / "work"))) for _ in range(2)]
    assert [os.stat(folder.path).st_mode & 0o777 for folder in folders] == [0o700, 0o700]
    assert folders[0].path != folders[1].path


def test_a_folder_is_outdated_once_a_path_names_another_folder(tmp_path: Path) -> None:
    """A mount that comes back, models that are fetched later, and a scratch folder that somebody deleted."""
    (tmp_path / "inbox").mkdir()
    folders = WorkerFolders(work=str(tmp_path / "work"), inputs=(str(tmp_path / "inbox"),), models=(str(tmp_path / "models"),))
    folder = ProcessFolder(folders)
    assert folder.is_current()
    (tmp_path / "inbox").rename(tmp_path / "old")
    (tmp_path / "inbox").mkdir()
    assert not folder.is_current()
    folder = ProcessFolder(folders)
    (tmp_path / "models").mkdir()
    assert not folder.is_current()
    folder = ProcessFolder(folders)
    os.rmdir(folder.path)
    assert not folder.is_current()


@pytest.mark.parametrize("link", [".goldsmith", ".goldsmith/work"])
def test_no_scratch_folder_is_made_behind_a_link(tmp_path: Path, link: str) -> None:
    """A member of the group may be able to put one in the place of the service's folder, at any moment."""
    (tmp_path / "victim/work").mkdir(parents=True)
    (tmp_path / "root/.goldsmith").mkdir(parents=True)
    target = tmp_path / ("victim" if link == ".goldsmith" else "victim/work")
    if link == ".goldsmith":
        (tmp_path / "root/.goldsmith").rmdir()
    (tmp_path / "root" / link).symlink_to(target)
    with pytest.raises(OSError, match="takes no folder for a worker"):
        ProcessFolder(WorkerFolders(work=str(tmp_path / "root/.goldsmith/work"), inputs=()))
    assert [path.name for path in (tmp_path / "victim").rglob("*")] == ["work"]


def test_a_job_gets_a_scratch_folder_in_that_of_its_process(workers: FakeWorkers, share: Share) -> None:
    """The outcome names it, whatever the worker says."""
    received = started_job(workers, share.job())
    assert os.path.dirname(os.path.dirname(received.scratch)) == workers.folder.name
    workers.newest.send(MessageType.OUTCOME, encode_message(Outcome(job_id=received.id, scratch="/etc")))
    assert [outcome.scratch for outcome in outcomes(workers.collect())] == [received.scratch]


def test_a_dead_process_leaves_nothing_behind(workers: FakeWorkers, share: Share) -> None:
    """A job that is tried again gets the scratch folder of another process."""
    first = started_job(workers, share.job())
    workers.newest.exit(-11)
    assert kinds(workers.collect()) == ["crash"]
    assert first.scratch.split("/")[-2] not in left_in(workers)


def test_folders_without_end_in_a_scratch_folder_are_removed_too(workers: FakeWorkers, share: Share) -> None:
    """A worker may nest them deeper than Python recurses."""
    received = started_job(workers, share.job())
    fd = os.open(received.scratch, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("a", dir_fd=fd)
        inner = os.open("a", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    workers.newest.exit(-11)
    assert kinds(workers.collect()) == ["crash"]
    assert received.scratch.split("/")[-2] not in left_in(workers)
    wait_for_removals()
    assert [name for name in left_in(workers) if not name.startswith("worker-")] == []


def test_the_results_of_a_dead_process_stay_until_they_are_committed(workers: FakeWorkers, share: Share) -> None:
    """Its folder is removed when a later process ends."""
    received = started_job(workers, share.job())
    process_name = received.scratch.split("/")[-2]
    workers.newest.finish(received)
    workers.collect()
    workers.newest.exit(0)
    workers.collect()
    assert sorted(os.listdir(received.scratch)) == ["000.png", "original"]
    shutil.rmtree(received.scratch)
    started_job(workers, share.job())
    workers.newest.exit(-11)
    workers.collect()
    assert process_name not in left_in(workers)


def test_an_idle_process_with_an_outdated_fence_is_replaced_before_it_gets_a_job(workers: FakeWorkers, share: Share) -> None:
    """Without a fence the process sees every folder and goes on."""
    workers.pools.prewarm()
    unfenced = workers.ready("none")
    os.mkdir(f"{workers.folder.name}/inbox")
    first = share.job()
    workers.pools.submit(first)
    assert unfenced.start_job().id == first.id
    unfenced.exit(-11)
    workers.collect()

    workers.pools.submit(share.job())
    fenced = workers.ready("landlock 7")
    fenced.finish(fenced.start_job())
    workers.collect()
    os.rename(f"{workers.folder.name}/inbox", f"{workers.folder.name}/old")
    os.mkdir(f"{workers.folder.name}/inbox")
    job = share.job()
    workers.pools.submit(job)
    workers.later(0.1)
    assert fenced.status is not None
    assert workers.ready("landlock 7").start_job().id == job.id


def test_a_process_whose_folder_cannot_be_created_pauses_its_queue(workers: FakeWorkers, share: Share) -> None:
    """The disk is full or read-only: no picture is blamed."""
    workers.folder.cleanup()
    Path(workers.folder.name).write_bytes(b"in the way")
    workers.pools.submit(share.job())
    assert f"{workers.folder.name} takes no folder" in (workers.pools.pause_reason("cpu") or "")
    assert workers.processes == []
    Path(workers.folder.name).unlink()
