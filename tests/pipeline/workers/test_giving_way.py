"""Long jobs of many parts: which are asked to let others go first, and what the daemon accepts from a worker about parts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.fake_workers import FakeWorkers, kinds
from doubles.jobs import Share, outcomes
from goldsmith.jobs.job import Job, JobFault, KeptPart, PartKept
from goldsmith.jobs.protocol import MessageType, WorkerFolders, encode_message
from goldsmith.pipeline.workers.process_folder import ProcessFolder
from goldsmith.pipeline.workers.worker_pool import GIVE_WAY_SECONDS, GIVE_WAY_TO_OTHER_MODELS_SECONDS

YIELDED = JobFault(kind="yielded", sentence="It lets others go first.")


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


@pytest.fixture
def workers() -> Iterator[FakeWorkers]:
    workers = FakeWorkers()
    yield workers
    workers.close()


def long_job(share: Share, model: str = "flux") -> Job:
    return share.job(keeps_parts=True, models=(model,))


def start(workers: FakeWorkers, job: Job) -> Job:
    """Return the job as the only process runs it, with its model loaded."""
    workers.pools.submit(job)
    started = workers.ready().start_job()
    workers.newest.report_models(*job.models)
    workers.collect()
    return started


def is_asked(workers: FakeWorkers) -> bool:
    """Return whether the process has been asked to give way since the last call."""
    workers.newest.connection.setblocking(False)
    try:
        return MessageType.GIVE_WAY in [kind for kind, _ in workers.newest.receive_available()]
    except BlockingIOError:
        return False
    finally:
        workers.newest.connection.settimeout(2)


@pytest.mark.parametrize(("model", "seconds"), [("flux", GIVE_WAY_SECONDS), ("sdxl", GIVE_WAY_TO_OTHER_MODELS_SECONDS)])
def test_a_long_job_gives_way_sooner_to_jobs_for_its_model(workers: FakeWorkers, share: Share, model: str, seconds: float) -> None:
    """It is asked once, when another job waits and it has worked for long; the waiting job is next, and no attempt is lost."""
    job = start(workers, long_job(share))
    workers.later(seconds + 1)
    assert not is_asked(workers), "nothing waits"
    waiting = share.job(models=(model,))
    workers.pools.submit(waiting)
    workers.later(1)
    assert is_asked(workers)
    workers.later(300)
    assert not is_asked(workers), "it was asked before"
    workers.newest.finish(job, YIELDED)
    assert kinds(workers.collect()) == ["yielded"]
    assert workers.newest.start_job().id == waiting.id


def test_a_job_that_has_just_started_or_keeps_no_parts_is_not_asked(workers: FakeWorkers, share: Share) -> None:
    """A job without parts would lose its work."""
    job = start(workers, long_job(share))
    workers.pools.submit(share.job(models=("sdxl",)))
    workers.later(GIVE_WAY_SECONDS + 1)
    assert not is_asked(workers), "a change of models would cost more than the wait"
    workers.newest.finish(job)
    workers.collect()
    workers.newest.start_job()
    workers.pools.submit(share.job(models=("sdxl",)))
    workers.later(1000)
    assert not is_asked(workers), "it keeps no parts"


def test_a_claim_to_have_given_way_unasked_is_refused(workers: FakeWorkers, share: Share) -> None:
    """Else a picture that has taken its process over could come again for ever."""
    job = start(workers, long_job(share))
    workers.newest.finish(job, YIELDED)
    (outcome,) = outcomes([*workers.collect(), *workers.later(10)])
    assert outcome.fault is not None
    assert (outcome.fault.kind, "nobody asked for that" in outcome.fault.sentence) == ("refused", True)


@pytest.mark.parametrize(
    "part",
    [
        KeptPart(key="../../../etc/passwd", sha256="a" * 64, size=5),
        KeptPart(key="a" * 31, sha256="a" * 64, size=5),
        KeptPart(key="a" * 32, sha256="a" * 63, size=5),
        KeptPart(key="a" * 32, sha256="a" * 64, size=0),
        KeptPart(key="a" * 32, sha256="a" * 64, size=1 << 60),
    ],
)
def test_a_part_that_no_honest_worker_reports_is_refused(workers: FakeWorkers, share: Share, part: KeptPart) -> None:
    """The process is ended, and the job counts as failed."""
    job = start(workers, long_job(share))
    workers.newest.send(MessageType.PART_KEPT, encode_message(PartKept(job_id=job.id, part=part)))
    assert kinds([*workers.collect(), *workers.later(10)]) == ["refused"]


def test_a_job_without_parts_may_report_none(workers: FakeWorkers, share: Share) -> None:
    """The same report of another job is accepted."""
    job = start(workers, share.job(models=("flux",)))
    part = KeptPart(key="a" * 32, sha256="a" * 64, size=5)
    workers.newest.send(MessageType.PART_KEPT, encode_message(PartKept(job_id=job.id, part=part)))
    assert kinds([*workers.collect(), *workers.later(10)]) == ["refused"]


@pytest.mark.parametrize("kind", ["file", "link", "folder", "other size", "missing"])
def test_only_an_ordinary_file_of_that_size_is_kept(share: Share, kind: str) -> None:
    """It is moved out of the folder of the process, which may then be removed."""
    share.put("secret", b"12345")
    (share.root / "kept").mkdir()
    folder = ProcessFolder(WorkerFolders(work=str(share.root / "work"), kept=str(share.root / "kept")))
    job = folder.with_scratch(long_job(share))
    os.mkdir(job.scratch)
    place = Path(job.scratch, "a" * 32)
    if kind == "link":
        place.symlink_to(share.root / "secret")
    elif kind == "folder":
        place.mkdir()
    elif kind != "missing":
        place.write_bytes(b"12345" if kind == "file" else b"123456")
    assert folder.keep_part(job, KeptPart(key="a" * 32, sha256="a" * 64, size=5)) == (kind == "file")
    assert os.listdir(share.root / "kept") == (["a" * 32] if kind == "file" else [])
