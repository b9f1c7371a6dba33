"""Batches: which jobs run together, and that each job keeps its own outcome, cancel and fault."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.fake_workers import KILLED, FakeWorkers, kinds
from doubles.jobs import GENEROUS, Share, outcomes
from doubles.worker_queues import pause_queue, queue_position, resume_queue
from goldsmith.jobs.job import Job, JobFault, JobProgress, JobRequeued
from goldsmith.jobs.protocol import MessageType, WorkerSpec, encode_message
from goldsmith.pipeline.workers.slot import batch_size

LARGE_GPU = WorkerSpec(queue="gpu", device="cuda:0", device_memory_mb=40_000, max_batch=8)


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


@pytest.fixture
def workers() -> Iterator[FakeWorkers]:
    workers = FakeWorkers(specs=(LARGE_GPU,))
    yield workers
    workers.close()


def compatible_jobs(share: Share, count: int, batch_key: str = "x", seconds: float = 10.0) -> list[Job]:
    limits = GENEROUS.model_copy(update={"timeout_seconds": seconds, "cancel_grace_seconds": 5.0})
    facts = {"queue": "gpu", "models": ("flux",), "batch_key": batch_key, "weights_mb": 20_000, "pictures_mb": 4_000, "limits": limits}
    steps: list[tuple[str, dict[str, object]]] = [("outpaint", {}), ("select", {})]
    return [share.job(*steps, **facts) for _ in range(count)]  # type: ignore[arg-type]


def ids(jobs: tuple[Job, ...] | list[Job]) -> list[str]:
    return [job.id for job in jobs]


def start_batch_of(workers: FakeWorkers, jobs: list[Job]) -> tuple[Job, ...]:
    """Queue these jobs before the process is ready, and return the batch that it starts."""
    for job in jobs:
        workers.pools.submit(job)
    batch = workers.ready().start_batch()
    workers.collect()
    return batch


def test_the_batch_size_follows_from_the_memory_figures_of_the_model(share: Share) -> None:
    """The weights once and each job's pictures must fit in most of the device's memory; without figures a batch is one job."""
    (job,) = compatible_jobs(share, 1)
    assert batch_size(LARGE_GPU, job) == 3  # (0.85 * 40 000 - 20 000) / 4 000
    assert batch_size(LARGE_GPU.model_copy(update={"device_memory_mb": 143_000}), job) == 8
    assert batch_size(LARGE_GPU.model_copy(update={"device_memory_mb": 143_000, "max_batch": 1}), job) == 1
    assert batch_size(LARGE_GPU.model_copy(update={"device_memory_mb": 16_000}), job) == 1
    assert batch_size(WorkerSpec(queue="gpu", max_batch=8), job) == 1
    assert batch_size(LARGE_GPU, job.model_copy(update={"batch_key": ""})) == 1


def test_compatible_jobs_are_sent_as_one_batch(workers: FakeWorkers, share: Share) -> None:
    """Each job has its progress and its outcome, in any order, and the next job waits for the last outcome."""
    jobs = compatible_jobs(share, 2)
    other = compatible_jobs(share, 1, batch_key="y")
    batch = start_batch_of(workers, [jobs[0], *other, jobs[1]])
    assert ids(batch) == ids(jobs)
    assert set(workers.pools.running_jobs()) == set(ids(jobs))
    process = workers.newest
    process.finish(jobs[1])
    assert [outcome.job_id for outcome in outcomes(workers.collect())] == [jobs[1].id]
    assert queue_position(workers.pools, other[0].id) == 1
    process.finish(jobs[0])
    workers.collect()
    assert process.start_job().id == other[0].id


def test_queued_jobs_are_shared_among_the_devices(share: Share) -> None:
    """Two free devices share four compatible jobs two and two, not three and one."""
    workers = FakeWorkers(specs=(LARGE_GPU, LARGE_GPU.model_copy(update={"device": "cuda:1"})))
    pause_queue(workers.pools, "gpu")
    for job in compatible_jobs(share, 4):
        workers.pools.submit(job)
    resume_queue(workers.pools, "gpu")
    for process in workers.processes:
        process.send(MessageType.READY)
    workers.collect()
    assert [len(process.start_batch()) for process in workers.processes] == [2, 2]
    workers.close()


def test_a_cancelled_or_failed_job_leaves_the_rest_of_its_batch_alone(workers: FakeWorkers, share: Share) -> None:
    """Three jobs in one process have three different outcomes."""
    first, second, third = start_batch_of(workers, compatible_jobs(share, 3))
    workers.pools.cancel(second.id)
    assert workers.newest.receive() == (MessageType.CANCEL, second.id.encode())
    workers.newest.finish(second)
    workers.newest.finish(first, JobFault(kind="problem", sentence="The picture is black."))
    workers.newest.finish(third)
    assert kinds(workers.collect()) == ["cancelled", "problem", "done"]
    assert workers.newest.status is None


def test_an_ignored_cancel_requeues_the_rest_of_the_batch(workers: FakeWorkers, share: Share) -> None:
    """The process is killed; the other jobs are queued again, and may form a batch again."""
    first, second, third = start_batch_of(workers, compatible_jobs(share, 3))
    workers.pools.cancel(second.id)
    events = workers.later(5.1)
    assert (kinds(events), workers.processes[0].status) == (["cancelled"], KILLED)
    assert [event.job_id for event in events if isinstance(event, JobRequeued)] == [first.id, third.id]
    assert ids(workers.ready().start_batch()) == [first.id, third.id]


def test_after_a_crash_each_job_of_the_batch_runs_alone(workers: FakeWorkers, share: Share) -> None:
    """The job at fault then crashes alone, and only that job gets the outcome."""
    first, second = start_batch_of(workers, compatible_jobs(share, 2))
    workers.newest.exit(-11)
    events = workers.collect()
    assert (kinds(events), [event.job_id for event in events if isinstance(event, JobRequeued)]) == ([], [first.id, second.id])
    assert workers.ready().start_job().id == first.id
    workers.collect()
    workers.newest.exit(-11)
    assert kinds(workers.collect()) == ["crash"]
    assert workers.ready().start_job().id == second.id
    workers.newest.finish(second)
    assert kinds(workers.collect()) == ["done"]


def test_a_batch_may_take_as_long_as_all_its_jobs_together(workers: FakeWorkers, share: Share) -> None:
    """No job of a batch has the device to itself."""
    batch = start_batch_of(workers, compatible_jobs(share, 3))
    assert workers.later(29.9) == []
    events = workers.later(0.2)
    assert (kinds(events), workers.processes[0].status) == ([], KILLED)
    assert [event.job_id for event in events if isinstance(event, JobRequeued)] == ids(batch)
    assert workers.ready().start_job().id == batch[0].id


def test_a_failed_device_requeues_the_whole_batch(workers: FakeWorkers, share: Share) -> None:
    """The jobs keep their order and may form a batch again, because no job was at fault."""
    batch = start_batch_of(workers, compatible_jobs(share, 3))
    workers.newest.finish(batch[1], JobFault(kind="device", sentence="Gone."))
    events = workers.collect()
    assert (kinds(events), [event.job_id for event in events if isinstance(event, JobRequeued)]) == ([], ids(batch))
    workers.later(workers.pools.seconds_until_due(workers.now) or 0.0)
    assert ids(workers.ready().start_batch()) == ids(batch)


def test_a_device_that_fails_in_a_second_batch_gets_each_of_its_jobs_alone(workers: FakeWorkers, share: Share) -> None:
    """So a picture that makes its process say so cannot hide among the others."""
    batch = start_batch_of(workers, compatible_jobs(share, 3))
    for _ in range(2):
        workers.newest.finish(batch[1], JobFault(kind="device", sentence="Gone."))
        workers.collect()
        workers.later(workers.pools.seconds_until_due(workers.now) or 0.0)
        process = workers.ready()
        if len(workers.processes) == 2:
            process.start_batch()
            workers.collect()
    assert process.start_job().id == batch[0].id


def test_the_next_batch_starts_while_the_last_one_is_written(workers: FakeWorkers, share: Share) -> None:
    """The next batch is sent once every job of the first has released the engine, and not before; all of them count as running."""
    jobs = compatible_jobs(share, 7)
    first = start_batch_of(workers, jobs)
    assert len(first) == 3
    process = workers.newest
    process.release_engine(first[0], first[1])
    process.finish(first[2], JobFault(kind="problem", sentence="The picture is black."))
    process.send(MessageType.PROGRESS, encode_message(JobProgress(job_id=first[1].id, step=2, op="select", fraction=0.5)))
    assert kinds(workers.collect()) == ["problem"]
    second = process.start_batch()
    assert ids(second) == ids(jobs[3:6])
    workers.collect()
    assert set(workers.pools.running_jobs()) == set(ids([*first[:2], *second]))
    process.release_engine(*second[:2])
    process.finish(first[0])
    process.finish(first[1])
    assert kinds(workers.collect()) == ["done", "done"]
    process.release_engine(second[2])
    workers.collect()
    assert process.start_job().id == jobs[6].id


def test_no_job_starts_while_the_disk_cannot_keep_up(workers: FakeWorkers, share: Share) -> None:
    """While nine jobs are being written, no other job starts. When one of the nine is done, the next batch starts."""
    jobs = compatible_jobs(share, 13)
    started = list(start_batch_of(workers, jobs))
    process = workers.newest
    for _ in range(2):
        process.release_engine(*started[-3:])
        workers.collect()
        started += process.start_batch()
        workers.collect()
    process.release_engine(*started[-3:])
    workers.collect()
    assert (len(started), workers.pools.queue_length("gpu")) == (9, 4)
    process.finish(started[0])
    workers.collect()
    assert ids(process.start_batch()) == ids(jobs[9:12])


def test_a_process_with_much_memory_writes_its_results_first(workers: FakeWorkers, share: Share) -> None:
    """A process with more than half of a job's memory gets no further job before the outcomes of its jobs."""
    jobs = [
        job.model_copy(update={"limits": job.limits.model_copy(update={"max_memory_bytes": 1 << 20})}) for job in compatible_jobs(share, 4)
    ]
    first = start_batch_of(workers, jobs)
    workers.newest.release_engine(*first)
    workers.collect()
    assert (workers.pools.queue_length("gpu"), len(workers.pools.running_jobs())) == (1, 3)


def test_after_a_death_with_jobs_being_written_each_job_runs_alone(workers: FakeWorkers, share: Share) -> None:
    """All jobs are queued again. Until the job at fault is known, no job starts beside another."""
    jobs = compatible_jobs(share, 4)
    first = start_batch_of(workers, jobs)
    workers.newest.release_engine(*first)
    workers.collect()
    workers.newest.start_job()
    workers.collect()
    workers.newest.exit(-11)
    events = workers.collect()
    assert [event.job_id for event in events if isinstance(event, JobRequeued)] == ids(jobs)
    process = workers.ready()
    for job in jobs:
        assert process.start_job().id == job.id
        process.release_engine(job)
        workers.collect()
        assert list(workers.pools.running_jobs()) == [job.id]
        process.finish(job)
        workers.collect()


def test_progress_restarts_the_timeout_of_a_job_with_a_model(workers: FakeWorkers, share: Share) -> None:
    """A picture of forty windows may take forty times as long; a job that reports no new progress is killed."""
    (job,) = compatible_jobs(share, 1)
    workers.pools.submit(job)
    workers.ready().start_job()
    workers.collect()

    def report(fraction: float) -> None:
        workers.newest.send(MessageType.PROGRESS, encode_message(JobProgress(job_id=job.id, step=1, op="outpaint", fraction=fraction)))
        workers.collect()

    for window in range(1, 6):
        assert kinds(workers.later(9.0)) == []
        report(window / 40)
    workers.later(9.0)
    report(5 / 40)
    assert kinds(workers.later(0.9)) == []
    assert kinds(workers.later(0.2)) == ["timeout"]


def test_progress_does_not_restart_the_timeout_of_a_job_without_a_model(workers: FakeWorkers, share: Share) -> None:
    """The limit of such a job is known beforehand."""
    job = share.job(("denoise", {}), limits=GENEROUS.model_copy(update={"timeout_seconds": 10.0}), queue="gpu")
    workers.pools.submit(job)
    workers.ready().start_job()
    workers.collect()
    workers.later(9.0)
    workers.newest.send(MessageType.PROGRESS, encode_message(JobProgress(job_id=job.id, step=1, op="denoise", fraction=0.5)))
    assert kinds(workers.later(0.9)) == []
    assert kinds(workers.later(0.2)) == ["timeout"]
