"""Jobs whose host is lost: they are queued again, no attempt is counted, and what their processes still write is removed."""

from __future__ import annotations

import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.fake_workers import FakeWorkers, kinds
from doubles.jobs import Share, outcomes
from goldsmith.jobs.job import JobRequeued
from goldsmith.jobs.protocol import WorkerSpec
from goldsmith.pipeline.workers.failure_policy import MAX_HOST_LOSSES
from goldsmith.pipeline.workers.process_folder import ProcessFolder
from goldsmith.pipeline.workers.ray_runner import LOST_STATUS
from goldsmith.pipeline.workers.runner import HostUnavailable, LocalProcess, LocalRunner

LOST = "The node gpu2 is lost."


class DistantProcess(LocalProcess):
    """A process that is on another host, as far as the pools can tell."""

    host = "gpu2"


class DistantHosts(LocalRunner):
    """A runner whose hosts can be lost, or be out of reach."""

    processes: list[DistantProcess]
    unavailable = ""

    def start(self, spec: WorkerSpec, socket_fd: int, stderr_fd: int) -> LocalProcess:
        if self.unavailable:
            raise HostUnavailable(self.unavailable)
        self.processes = [*getattr(self, "processes", []), DistantProcess(self._spawn(spec, socket_fd, stderr_fd), spec.device)]
        return self.processes[-1]


@pytest.fixture
def hosts() -> list[DistantHosts]:
    return []


@pytest.fixture
def workers(hosts: list[DistantHosts]) -> Iterator[FakeWorkers]:
    def make(spawn: object) -> DistantHosts:
        hosts.append(DistantHosts(spawn))  # type: ignore[arg-type]
        return hosts[0]

    specs = [WorkerSpec(queue="cpu"), WorkerSpec(queue="cpu")]
    workers = FakeWorkers(specs=specs, make_runner=make)
    yield workers
    workers.close()


@pytest.fixture
def share(workers: FakeWorkers) -> Share:
    return Share(Path(workers.folder.name))


def lose(workers: FakeWorkers, hosts: list[DistantHosts]) -> None:
    """Lose the host of the newest process."""
    hosts[0].processes[-1].host_failure = LOST
    workers.newest.exit(LOST_STATUS)


def test_a_job_that_loses_its_host_is_queued_again(workers: FakeWorkers, hosts: list[DistantHosts], share: Share) -> None:
    """People read why; the other worker of the queue takes the job at once, and its outcome is the only one."""
    job = share.job()
    workers.pools.submit(job)
    workers.ready().start_job()
    lose(workers, hosts)
    events = workers.collect()
    assert [event.sentence for event in events if isinstance(event, JobRequeued)] == [LOST]
    assert outcomes(events) == []
    assert workers.pools.pause_reason("cpu") is None
    workers.later(0.1)
    process = workers.ready()
    process.finish(process.start_job())
    select.select(workers.pools.readable_fds(), [], [], 60)
    events = workers.later(0.1)
    while not outcomes(events):  # a thread hashes the files
        select.select(workers.pools.readable_fds(), [], [], 60)
        events += workers.collect()
    assert kinds(events) == ["done"]


def test_what_a_lost_process_still_writes_is_removed(
    workers: FakeWorkers, hosts: list[DistantHosts], share: Share, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may write while its folder is removed: what is left goes when the next process ends."""
    workers.pools.submit(share.job())
    job = workers.ready().start_job()
    late = Path(job.scratch)
    late.mkdir(parents=True)
    (late / "late").write_bytes(b"late")
    lose(workers, hosts)
    with monkeypatch.context() as patch:
        patch.setattr(ProcessFolder, "remove_scratch", lambda self, jobs: None)
        workers.collect()
    assert late.exists()
    workers.later(1.0)
    workers.ready().start_job()
    lose(workers, hosts)
    workers.collect()
    assert not late.parent.exists()


def test_a_picture_that_brings_down_each_host_gets_a_note_in_the_end(workers: FakeWorkers, hosts: list[DistantHosts], share: Share) -> None:
    """The sentence says that each computer was lost, and why the last one was."""
    workers.pools.submit(share.job())
    events = []
    for _ in range(MAX_HOST_LOSSES + 1):
        workers.ready().start_job()
        lose(workers, hosts)
        events += workers.collect()
        events += workers.later(6.0)
    fault = outcomes(events)[0].fault
    assert fault is not None
    assert (fault.kind, LOST in fault.sentence) == ("crash", True)


def test_a_queue_waits_for_hosts_that_cannot_be_reached(workers: FakeWorkers, hosts: list[DistantHosts], share: Share) -> None:
    """The reason is a sentence, stays while the next start is tried, and goes when a process is ready."""
    hosts[0].unavailable = "The cluster's head at 10.0.0.1:6379 does not answer (since 14:05)."
    workers.pools.submit(share.job())
    workers.collect()
    for seconds in (0.0, 1.0, 5.0, 5.0):
        workers.later(seconds)
        assert workers.pools.pause_reason("cpu") == (f"{hosts[0].unavailable} The jobs of queue cpu stay queued, and go on by themselves.")
    hosts[0].unavailable = ""
    workers.later(5.0)
    workers.ready().start_job()
    assert workers.pools.pause_reason("cpu") is None


def test_an_idle_queue_tells_when_its_hosts_are_back(workers: FakeWorkers, hosts: list[DistantHosts]) -> None:
    """No job has to come before people read the present reason, or that there is none any more."""
    hosts[0].unavailable = "The cluster is being connected."
    workers.pools.prewarm()
    workers.collect()
    assert "being connected" in (workers.pools.pause_reason("cpu") or "")
    hosts[0].unavailable = "No node of the cluster has 1 GPU left for another worker."
    assert workers.pools.seconds_until_due(workers.now) is not None
    workers.later(6.0)
    workers.collect()
    assert workers.pools.pause_reason("cpu") == f"{hosts[0].unavailable} The jobs of queue cpu stay queued, and go on by themselves."
    hosts[0].unavailable = ""
    workers.later(6.0)
    workers.ready()
    assert workers.pools.pause_reason("cpu") is None
    lose(workers, hosts)
    workers.collect()
    workers.later(6.0)
    assert len(hosts[0].processes) == 2


def test_a_reason_that_is_a_part_of_another_is_said_once(workers: FakeWorkers, hosts: list[DistantHosts], share: Share) -> None:
    """One device has lost its host, and another finds none for the same reason."""
    workers.pools.submit(share.job())
    workers.ready().start_job()
    hosts[0].unavailable = f"No node of the cluster may work. {LOST}"
    lose(workers, hosts)
    workers.collect()
    workers.collect()
    assert workers.pools.pause_reason("cpu") == f"{hosts[0].unavailable} The jobs of queue cpu stay queued, and go on by themselves."
