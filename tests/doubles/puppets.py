"""Lanes without a lane process: a puppet sits at the other end of the socket, and the clock is held."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from doubles.jobs import Event, outcomes
from goldsmith.jobs.job import Job, JobFault, Outcome
from goldsmith.jobs.protocol import (
    BatchMessage,
    FrameDecoder,
    MessageType,
    ModelsMessage,
    decode_message,
    encode_message,
    frame_message,
)
from goldsmith.pipeline.workers.worker_pools import WorkerConfig, WorkerPools, WorkerSpec

KILLED = -9


class Puppet:
    """A lane process that does what the test says. Its memory is the test's own."""

    def __init__(self, socket_fd: int, stderr_fd: int, device: str = "cpu") -> None:
        self.device = device
        self.pid = os.getpid()
        self.wire = socket.socket(fileno=os.dup(socket_fd))
        self.wire.settimeout(2)
        self.mouth = os.dup(stderr_fd)
        self.status: int | None = None
        self.stuck = False
        self._frames = FrameDecoder()
        self._heard: list[tuple[MessageType, bytes]] = []

    def poll(self) -> int | None:
        return self.status

    def kill(self) -> None:
        if not self.stuck:
            self.end(KILLED)

    def wait(self, timeout: float | None = None) -> int:
        return self.status or 0

    def end(self, status: int) -> None:
        """Let go of everything, as a process that ends."""
        if self.status is None:
            self.status = status
            self.wire.close()
            os.close(self.mouth)

    def say(self, kind: MessageType, payload: bytes = b"") -> None:
        self.wire.sendall(frame_message(kind, payload))

    def hear(self) -> tuple[MessageType, bytes]:
        """The next message from the daemon after its greeting."""
        while not self._heard:
            told = self._frames.feed(self.wire.recv(65536))
            self._heard += [(kind, payload) for kind, payload in told if kind is not MessageType.HELLO]
        return self._heard.pop(0)

    def begin(self) -> Job:
        """Take the next job and say so."""
        kind, payload = self.hear()
        assert kind is MessageType.JOB
        job = decode_message(Job, payload)
        self.say(MessageType.STARTED, job.id.encode())
        return job

    def begin_together(self) -> tuple[Job, ...]:
        """Take the next flight and say so."""
        kind, payload = self.hear()
        assert kind is MessageType.BATCH
        jobs = decode_message(BatchMessage, payload).jobs
        for job in jobs:
            self.say(MessageType.STARTED, job.id.encode())
        return jobs

    def answer(self, job: Job, fault: JobFault | None = None) -> None:
        self.say(MessageType.OUTCOME, encode_message(Outcome(job_id=job.id, fault=fault)))

    def land(self, *jobs: Job) -> None:
        """Say of these that they need no engine any more."""
        for job in jobs:
            self.say(MessageType.ENGINE_RELEASED, job.id.encode())

    def holds(self, *loaded: str, loading: str = "") -> None:
        """Say what is loaded."""
        self.say(MessageType.MODELS, encode_message(ModelsMessage(loaded=loaded, loading=loading)))


@dataclass
class Stage:
    """Lanes on a held clock, with every puppet that was started."""

    now: float = 1000.0
    count: int = 1
    refuses: bool = False
    specs: Sequence[WorkerSpec] = ()
    puppets: list[Puppet] = field(default_factory=list)

    def __post_init__(self) -> None:
        specs = self.specs or [WorkerSpec(queue="cpu", process_count=self.count)]
        self.lanes = WorkerPools(specs, WorkerConfig(), lambda: self.now, self.spawn)

    def spawn(self, spec: WorkerSpec, socket_fd: int, stderr_fd: int) -> Puppet:
        if self.refuses:
            raise OSError(12, os.strerror(12))
        puppet = Puppet(socket_fd, stderr_fd, spec.device)
        self.puppets.append(puppet)
        return puppet

    @property
    def puppet(self) -> Puppet:
        return self.puppets[-1]

    def ready(self) -> Puppet:
        """The newest puppet says that it is ready, and is heard."""
        self.puppet.say(MessageType.READY)
        self.lanes.collect(self.now)
        return self.puppet

    def end(self) -> None:
        """Let everything go."""
        self.lanes.stop(0)
        for puppet in self.puppets:
            puppet.end(0)

    def later(self, seconds: float) -> list[Event]:
        self.now += seconds
        return self.lanes.collect(self.now)

    def collect(self) -> list[Event]:
        return self.later(0.0)


def kinds(events: Sequence[Event]) -> list[str]:
    return [outcome.fault.kind if outcome.fault else "done" for outcome in outcomes(events)]
