"""Lanes without a lane process: a puppet sits at the other end of the socket, and the clock is held."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from doubles.jobs import Event, outcomes
from goldsmith.jobs.job import Fault, Job, Outcome
from goldsmith.jobs.protocol import (
    FlightPlan,
    Frames,
    Kind,
    Models,
    framed,
    packed,
    unpacked,
)
from goldsmith.pipeline.workers.queues import LaneContext, Lanes, LaneSpec

KILLED = -9


class Puppet:
    """A lane process that does what the test says. Its memory is the test's own."""

    def __init__(self, wire: int, grumbles: int, device: str = "cpu") -> None:
        self.device = device
        self.pid = os.getpid()
        self.wire = socket.socket(fileno=os.dup(wire))
        self.wire.settimeout(2)
        self.mouth = os.dup(grumbles)
        self.status: int | None = None
        self.stuck = False
        self._frames = Frames()
        self._heard: list[tuple[Kind, bytes]] = []

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

    def say(self, kind: Kind, payload: bytes = b"") -> None:
        self.wire.sendall(framed(kind, payload))

    def hear(self) -> tuple[Kind, bytes]:
        """The next message from the daemon after its greeting."""
        while not self._heard:
            told = self._frames.feed(self.wire.recv(65536))
            self._heard += [(kind, payload) for kind, payload in told if kind is not Kind.HELLO]
        return self._heard.pop(0)

    def begin(self) -> Job:
        """Take the next job and say so."""
        kind, payload = self.hear()
        assert kind is Kind.JOB
        job = unpacked(Job, payload)
        self.say(Kind.BEGUN, job.id.encode())
        return job

    def begin_together(self) -> tuple[Job, ...]:
        """Take the next flight and say so."""
        kind, payload = self.hear()
        assert kind is Kind.FLIGHT
        jobs = unpacked(FlightPlan, payload).jobs
        for job in jobs:
            self.say(Kind.BEGUN, job.id.encode())
        return jobs

    def answer(self, job: Job, fault: Fault | None = None) -> None:
        self.say(Kind.OUTCOME, packed(Outcome(job_id=job.id, fault=fault)))

    def land(self, *jobs: Job) -> None:
        """Say of these that they need no engine any more."""
        for job in jobs:
            self.say(Kind.LANDED, job.id.encode())

    def holds(self, *loaded: str, loading: str = "") -> None:
        """Say what is loaded."""
        self.say(Kind.MODELS, packed(Models(loaded=loaded, loading=loading)))


@dataclass
class Stage:
    """Lanes on a held clock, with every puppet that was started."""

    now: float = 1000.0
    count: int = 1
    refuses: bool = False
    specs: Sequence[LaneSpec] = ()
    puppets: list[Puppet] = field(default_factory=list)

    def __post_init__(self) -> None:
        specs = self.specs or [LaneSpec(name="cpu", count=self.count)]
        self.lanes = Lanes(specs, LaneContext(), lambda: self.now, self.spawn)

    def spawn(self, spec: LaneSpec, wire: int, grumbles: int) -> Puppet:
        if self.refuses:
            raise OSError(12, os.strerror(12))
        puppet = Puppet(wire, grumbles, spec.device)
        self.puppets.append(puppet)
        return puppet

    @property
    def puppet(self) -> Puppet:
        return self.puppets[-1]

    def ready(self) -> Puppet:
        """The newest puppet says that it is ready, and is heard."""
        self.puppet.say(Kind.READY)
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
