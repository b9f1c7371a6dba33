"""A pretended worker process: it speaks the protocol and runs the job honestly, and then a test decides what it says."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from doubles.fake_workers import FakeProcess
from goldsmith.jobs.job import Job, Outcome
from goldsmith.jobs.protocol import MessageType, WorkerConfig, WorkerSpec, decode_message, encode_message, frame_message
from goldsmith.worker.engine_provider import EngineProvider
from goldsmith.worker.job_runner import run_job

# Takes a job and its honest outcome, and returns the bytes that the worker sends.
Answer = Callable[[Job, Outcome], bytes]


def outcome_message(outcome: Outcome) -> bytes:
    """Return the message of an outcome, whatever it says."""
    return frame_message(MessageType.OUTCOME, encode_message(outcome))


@dataclass
class PretendedWorkers:
    """Starts pretended worker processes. ``answer`` falsifies their outcomes; without it they are honest."""

    answer: Answer | None = None
    processes: list[FakeProcess] = field(default_factory=list)
    # Every job that was received.
    jobs: list[Job] = field(default_factory=list)
    # What each process has not sent yet.
    _unsent: dict[FakeProcess, bytes] = field(default_factory=dict)

    def spawn(self, spec: WorkerSpec, socket_fd: int, stderr_fd: int) -> FakeProcess:
        process = FakeProcess(socket_fd, stderr_fd, spec.device)
        process.send(MessageType.READY)
        self.processes.append(process)
        return process

    def work(self) -> None:
        """Answer every job that the daemon has sent."""
        for process in self.processes:
            while process.status is None and select.select([process.connection], [], [], 0)[0]:
                for kind, payload in process.receive_available():
                    if kind is MessageType.JOB:
                        self._run(process, decode_message(Job, payload))
            self._send_rest(process)

    def _run(self, process: FakeProcess, job: Job) -> None:
        self.jobs.append(job)
        process.send(MessageType.STARTED, job.id.encode())
        provider = EngineProvider(WorkerConfig(), WorkerSpec(queue=job.queue), lambda models: None)
        outcome = run_job(job, provider, lambda progress: None, lambda: False)
        self._unsent[process] = outcome_message(outcome) if self.answer is None else self.answer(job, outcome)

    def _send_rest(self, process: FakeProcess) -> None:
        """Send as much as the socket takes: the daemon runs in the same thread and reads later."""
        rest = self._unsent.pop(process, b"")
        if rest and process.status is None:
            with suppress(BlockingIOError):
                rest = rest[process.connection.send(rest, socket.MSG_DONTWAIT) :]
            self._unsent[process] = rest
