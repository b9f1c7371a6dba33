"""A worker process that somebody else kills: the kernel when memory runs out, or a person. Its picture is not blamed at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from doubles.fake_workers import KILLED, FakeWorkers, kinds
from doubles.jobs import Event, Share, outcomes
from doubles.worker_queues import queue_position
from goldsmith.jobs.job import JobFault, JobRequeued
from goldsmith.pipeline.workers import failure_policy, worker_pool
from goldsmith.pipeline.workers.device_health import INITIAL_PAUSE_SECONDS
from goldsmith.pipeline.workers.failure_policy import MAX_EXCUSED_KILLS
from goldsmith.pipeline.workers.memory_kills import read_memory_kill_count


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return the kernel's count of the processes that it has ended for want of memory, which tests change."""
    kernel = SimpleNamespace(kills=7)
    for module in (worker_pool, failure_policy):
        monkeypatch.setattr(module, "read_memory_kill_count", lambda: kernel.kills)
    return kernel


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


@pytest.fixture
def workers(kernel: SimpleNamespace) -> Iterator[FakeWorkers]:
    workers = FakeWorkers()
    yield workers
    workers.close()


def requeued(events: list[Event]) -> list[str]:
    return [event.sentence for event in events if isinstance(event, JobRequeued)]


def fault(events: list[Event]) -> JobFault:
    (outcome,) = outcomes(events)
    assert outcome.fault is not None
    return outcome.fault


def test_a_process_that_the_kernel_ends_for_want_of_memory_pauses_its_queue(
    workers: FakeWorkers, share: Share, kernel: SimpleNamespace
) -> None:
    """The job keeps its place, no attempt is counted, and the pause says what happened and what to do."""
    job = share.job()
    workers.pools.submit(job)
    process = workers.ready()
    process.start_job()
    workers.collect()
    kernel.kills += 1
    process.exit(KILLED)
    events = workers.collect()
    assert (kinds(events), requeued(events)) == ([], ["This computer ran out of memory, and the kernel ended a worker process."])
    assert queue_position(workers.pools, job.id) == 1
    reason = workers.pools.pause_reason("cpu") or ""
    assert "ran out of memory, and the kernel ended a worker process. The next job of queue cpu starts within 10 s." in reason
    assert "lower cpu_workers or worker_memory_mb" in reason
    workers.later(INITIAL_PAUSE_SECONDS)
    process = workers.ready()
    process.start_job()
    process.finish(job)
    assert kinds(workers.collect()) == ["done"]
    assert workers.pools.pause_reason("cpu") is None


def test_a_job_for_which_memory_runs_out_each_time_fails_with_that_reason(
    workers: FakeWorkers, share: Share, kernel: SimpleNamespace
) -> None:
    """Then each further time counts as an attempt."""
    workers.pools.submit(share.job())
    for number in range(MAX_EXCUSED_KILLS + 1):
        process = workers.ready()
        process.start_job()
        workers.collect()
        kernel.kills += 1
        process.exit(KILLED)
        events = workers.collect()
        assert bool(outcomes(events)) == (number == MAX_EXCUSED_KILLS)
        workers.later(INITIAL_PAUSE_SECONDS)
    assert fault(events).kind == "memory"
    assert fault(events).sentence == "Each time, this computer ran out of memory during the work on hero.png."


def test_a_kill_without_evidence_costs_no_attempt_at_first(workers: FakeWorkers, share: Share) -> None:
    """Nobody knows who it was, so nothing pauses; but a picture may end its own process in this way, so that it ends some time."""
    workers.pools.submit(share.job())
    for _ in range(MAX_EXCUSED_KILLS):
        process = workers.ready()
        process.start_job()
        workers.collect()
        process.exit(KILLED)
        events = workers.collect()
        assert (kinds(events), requeued(events)) == ([], ["Its process was killed from outside."])
        assert workers.pools.pause_reason("cpu") is None
    process = workers.ready()
    process.start_job()
    workers.collect()
    process.exit(KILLED)
    events = workers.collect()
    assert fault(events).kind == "crash"
    assert "(signal 9, killed from outside)" in fault(events).sentence


def test_a_crash_is_no_kill(workers: FakeWorkers, share: Share, kernel: SimpleNamespace) -> None:
    """A segmentation fault counts at once, also while memory is short."""
    workers.pools.submit(share.job())
    process = workers.ready()
    process.start_job()
    workers.collect()
    kernel.kills += 1
    process.exit(-11)
    assert kinds(workers.collect()) == ["crash"]


def test_a_process_that_the_daemon_kills_has_its_own_reason(workers: FakeWorkers, share: Share) -> None:
    """A job that takes too long is killed with the same signal."""
    job = share.job()
    workers.pools.submit(job)
    workers.ready().start_job()
    workers.collect()
    assert kinds(workers.later(job.limits.timeout_seconds + 1)) == ["timeout"]


def test_the_count_is_that_of_the_service_s_control_group(tmp_path: Path) -> None:
    """Without one, it is that of the machine; without that, there is no evidence."""
    (tmp_path / "cgroup").write_text("1:cpu:/\n0::/system.slice/goldsmith.service\n")
    (tmp_path / "fs/system.slice/goldsmith.service").mkdir(parents=True)
    (tmp_path / "vmstat").write_text("nr_free_pages 1\noom_kill 5\n")

    def count() -> int:
        return read_memory_kill_count(tmp_path / "cgroup", tmp_path / "fs", tmp_path / "vmstat")

    assert count() == 5
    (tmp_path / "fs/system.slice/goldsmith.service/memory.events").write_text("low 0\noom 3\noom_kill 2\noom_group_kill 0\n")
    assert count() == 2
    (tmp_path / "cgroup").unlink()
    (tmp_path / "vmstat").unlink()
    assert count() == 0
    assert read_memory_kill_count() >= 0
