"""Worker pools without a worker process: a fake process is at the other end of the socket, and the clock moves only in tests."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from doubles.jobs import Event, outcomes
from goldsmith.jobs.job import InputRead, Job, JobFault, Outcome, StepResult
from goldsmith.jobs.protocol import (
    BatchMessage,
    FrameDecoder,
    MessageType,
    ModelsMessage,
    WorkerConfig,
    WorkerFolders,
    WorkerSpec,
    decode_message,
    encode_message,
    frame_message,
)
from goldsmith.pipeline.workers.runner import LocalRunner, Runner, SpawnWorker
from goldsmith.pipeline.workers.worker_pools import WorkerPools

KILLED = -9


class FakeProcess:
    """A worker process that does what the test wants. Its memory is that of the test's own process."""

    def __init__(self, socket_fd: int, stderr_fd: int, device: str = "cpu") -> None:
        self.device = device
        self.pid = os.getpid()
        self.connection = socket.socket(fileno=os.dup(socket_fd))
        self.connection.settimeout(2)
        self.stderr = os.dup(stderr_fd)
        self.status: int | None = None
        # True for a process that hangs in a driver and cannot be killed.
        self.is_stuck = False
        # The jobs that were received, by id, with their scratch folders.
        self.jobs: dict[str, Job] = {}
        self._decoder = FrameDecoder()
        self._received: list[tuple[MessageType, bytes]] = []

    def poll(self) -> int | None:
        return self.status

    def kill(self) -> None:
        if not self.is_stuck:
            self.exit(KILLED)

    def wait(self, timeout: float | None = None) -> int:
        return self.status or 0

    def exit(self, status: int) -> None:
        """End: close the socket and stderr."""
        if self.status is None:
            self.status = status
            self.connection.close()
            os.close(self.stderr)

    def send(self, kind: MessageType, payload: bytes = b"") -> None:
        """Send a message to the daemon."""
        self.connection.sendall(frame_message(kind, payload))

    def receive(self) -> tuple[MessageType, bytes]:
        """Return the next message from the daemon after its greeting."""
        while not self._received:
            messages = self._decoder.feed(self.connection.recv(65536))
            self._received += [(kind, payload) for kind, payload in messages if kind is not MessageType.HELLO]
        return self._received.pop(0)

    def receive_available(self) -> list[tuple[MessageType, bytes]]:
        """Return the messages that the daemon has sent so far; end the process if the daemon has closed the socket."""
        data = self.connection.recv(1 << 20)
        if not data:
            self.exit(0)
        return self._decoder.feed(data)

    def start_job(self) -> Job:
        """Receive the next job and report that it has started."""
        kind, payload = self.receive()
        assert kind is MessageType.JOB
        job = decode_message(Job, payload)
        self.jobs[job.id] = job
        self.send(MessageType.STARTED, job.id.encode())
        return job

    def start_batch(self) -> tuple[Job, ...]:
        """Receive the next batch and report that its jobs have started."""
        kind, payload = self.receive()
        assert kind is MessageType.BATCH
        jobs = decode_message(BatchMessage, payload).jobs
        for job in jobs:
            self.jobs[job.id] = job
            self.send(MessageType.STARTED, job.id.encode())
        return jobs

    def finish(self, job: Job, fault: JobFault | None = None) -> None:
        """Send the outcome of a job: the fault, or the result of an honest worker that changed no pixel."""
        outcome = unchanged_outcome(self.jobs[job.id]) if fault is None else Outcome(job_id=job.id, fault=fault)
        self.send(MessageType.OUTCOME, encode_message(outcome))

    def release_engine(self, *jobs: Job) -> None:
        """Report that these jobs need no engine any more."""
        for job in jobs:
            self.send(MessageType.ENGINE_RELEASED, job.id.encode())

    def report_models(self, *loaded: str, loading: str = "") -> None:
        """Report which models are loaded, and which is being loaded."""
        self.send(MessageType.MODELS, encode_message(ModelsMessage(loaded=loaded, loading=loading)))


@dataclass
class FakeWorkers:
    """Worker pools on a clock of their own, with every fake process that was started."""

    now: float = 1000.0
    count: int = 1
    refuses: bool = False
    specs: Sequence[WorkerSpec] = ()
    # Makes the runner of a function that starts a process.
    make_runner: Callable[[SpawnWorker], Runner] = LocalRunner
    processes: list[FakeProcess] = field(default_factory=list)
    # What the identity of the studio was asked to sign.
    signed: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        specs = self.specs or [WorkerSpec(queue="cpu", process_count=self.count)]
        self.folder = TemporaryDirectory(prefix="fake-workers-")
        folders = WorkerFolders(work=self.folder.name, inputs=(f"{self.folder.name}/inbox",))
        self.pools = WorkerPools(specs, WorkerConfig(), folders, lambda: self.now, {"local": self.make_runner(self.spawn)}, self._sign)

    def _sign(self, data: bytes) -> bytes:
        self.signed.append(data)
        return b"signature"

    def spawn(self, spec: WorkerSpec, socket_fd: int, stderr_fd: int) -> FakeProcess:
        if self.refuses:
            raise OSError(12, os.strerror(12))
        process = FakeProcess(socket_fd, stderr_fd, spec.device)
        self.processes.append(process)
        return process

    @property
    def newest(self) -> FakeProcess:
        """The process that was started last."""
        return self.processes[-1]

    def ready(self, fence: str = "none") -> FakeProcess:
        """Let the newest process report that it is ready, and its fence, and collect that."""
        self.newest.send(MessageType.READY, fence.encode())
        self.pools.collect(self.now)
        return self.newest

    def close(self) -> None:
        """Stop the pools and all processes."""
        self.pools.stop(0)
        for process in self.processes:
            process.exit(0)
        self.folder.cleanup()

    def later(self, seconds: float) -> list[Event]:
        """Move the clock, and return the events."""
        self.now += seconds
        return self.pools.collect(self.now)

    def collect(self) -> list[Event]:
        """Return the events without moving the clock."""
        return self.later(0.0)


def unchanged_outcome(job: Job) -> Outcome:
    """Read the job's inputs, copy its picture into scratch, and return the outcome in which no pixel was changed."""
    data = {source.path: Path(job.root, source.path).read_bytes() for source in job.inputs}
    copy = Path(job.scratch, "original")
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(data[job.asset.path])
    return Outcome(
        job_id=job.id,
        reads=tuple(InputRead(path=each.path, sig=each.sig, sha256=sha256(data[each.path]).hexdigest()) for each in job.inputs),
        is_unchanged=True,
        original_copy=str(copy),
        steps=tuple(StepResult(op=step.op, settings=step.settings, seed=0, seconds=0.0, findings={}) for step in job.steps),
    )


def kinds(events: Sequence[Event]) -> list[str]:
    """Return the kind of fault of each outcome, or "done"."""
    return [outcome.fault.kind if outcome.fault else "done" for outcome in outcomes(events)]
