"""A lane process: ``python -m goldsmith.worker.main FD PARENT``. One job at a time on a CPU, and exactly one outcome for each.

On an accelerator several jobs may fly together, and while what they made is encoded and written the next may use the engines.

It ends when the daemon does (the socket closes, or the kernel kills it with its parent), never by Ctrl-C or SIGTERM:
what is to become of a running job is the daemon's to say. Nothing heavy is imported before a job asks for it.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from threading import Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING

from goldsmith.engines.batch import Batch
from goldsmith.jobs import job_faults
from goldsmith.jobs.job import Job, JobFault, JobProgress, Outcome
from goldsmith.jobs.protocol import (
    BatchMessage,
    FrameDecoder,
    HelloMessage,
    MessageType,
    ModelsMessage,
    decode_message,
    encode_message,
    frame_message,
)

if TYPE_CHECKING:
    from goldsmith.worker.engine_provider import EngineProvider

_PR_SET_PDEATHSIG = 1
_PROGRESS_INTERVAL_SECONDS = 0.2
# A cold start's note must not be lost; one note a tile would be a flood.
_MAX_UNTHROTTLED_NOTES = 5


def main(arguments: list[str]) -> None:
    """Serve jobs until the daemon is gone."""
    _bind_to_parent(int(arguments[1]))
    Worker(socket.socket(fileno=int(arguments[0]))).serve()


def _bind_to_parent(parent: int) -> None:
    """Die with the daemon, leave signals to it, leave no core files, and be the first to go when memory runs out."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("500")


class Worker:
    """The lane's side of the socket: a thread that hears (so that a cancel arrives during a job), and the work itself."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._send_lock = Lock()
        self._jobs: SimpleQueue[tuple[Job, ...]] = SimpleQueue()
        self._cancelled: set[str] = set()
        self._decoder = FrameDecoder()
        self._early_messages: list[tuple[MessageType, bytes]] = []

    def serve(self) -> None:
        """Work for ever; the process ends by ``_hear`` when the daemon lets go of the socket."""
        hello = self._receive_hello()
        Thread(target=self._receive, name="hear", daemon=True).start()
        shop = _create_engine_provider(
            hello, ModelsChangeFilter(lambda models: self._send(MessageType.MODELS, encode_message(models))).emit
        )
        self._send(MessageType.READY)
        while True:
            jobs = self._jobs.get()
            if hello.spec.device != "cpu":
                self._run_batch(jobs, hello, shop)  # nobody waits here for their end: the daemon sends no others before these have landed
                continue
            with _limit_memory(jobs):
                if len(jobs) == 1:
                    self._run_and_report(jobs[0], hello, shop)
                else:
                    for thread in self._run_batch(jobs, hello, shop):
                        thread.join()

    def _run_batch(self, jobs: Sequence[Job], hello: HelloMessage, engine_provider: EngineProvider) -> list[Thread]:
        """Jobs together: each in a thread of its own, and where they call the same engine they meet."""
        flight = Batch(len(jobs))

        def work(job: Job) -> None:
            try:
                self._run_and_report(job, hello, engine_provider.for_batch(flight) if len(jobs) > 1 else engine_provider)
            except BaseException:  # noqa: BLE001 - nobody would ever hear of the job: the process ends, as where it has one thread
                traceback.print_exc()
                os._exit(1)
            flight.leave()

        threads = [Thread(target=work, args=(job,), name=job.id, daemon=True) for job in jobs]
        for thread in threads:
            thread.start()
        return threads

    def _run_and_report(self, job: Job, hello: HelloMessage, engine_provider: EngineProvider) -> None:
        self._send(MessageType.STARTED, job.id.encode())
        outcome = self._run_job(job, hello, engine_provider)
        self._cancelled.discard(job.id)
        self._send(MessageType.OUTCOME, _encode_outcome(outcome))

    def _run_job(self, job: Job, hello: HelloMessage, engine_provider: EngineProvider) -> Outcome:
        """The job's outcome, whatever happens in this process short of its death."""
        from goldsmith.worker.job_runner import run_job
        from goldsmith.worker.trace import run_environment

        begun = monotonic()
        throttle = ProgressThrottle(lambda progress: self._send(MessageType.PROGRESS, encode_message(progress)))

        def landed() -> None:
            if hello.spec.device != "cpu":
                self._send(MessageType.ENGINE_RELEASED, job.id.encode())

        try:
            outcome = run_job(job, engine_provider, throttle.report, lambda: job.id in self._cancelled, on_engine_released=landed)
        except MemoryError:
            outcome = Outcome(job_id=job.id, fault=job_faults.out_of_memory(job))
        except Exception as error:  # noqa: BLE001 - the border: an operation may raise anything, and the next job is innocent
            outcome = Outcome(job_id=job.id, fault=job_faults.unexpected_error(job, throttle.last_progress, error))
        with_what = run_environment(hello.spec.device_title or hello.spec.device, hello.spec.threads)
        return outcome.model_copy(update={"queue": hello.spec.queue, "seconds": monotonic() - begun, "environment": with_what})

    def _receive_hello(self) -> HelloMessage:
        while True:
            data = self._connection.recv(65536)
            if not data:
                os._exit(0)
            heard = self._decoder.feed(data)
            if heard:
                self._early_messages = heard[1:]
                return decode_message(HelloMessage, heard[0][1])

    def _receive(self) -> None:
        """Take in jobs and cancels. A lane that has gone deaf is of no use, so its process ends with this thread."""
        try:
            self._receive_forever(self._early_messages)
        finally:
            sys.stderr.flush()
            os._exit(1)

    def _receive_forever(self, messages: list[tuple[MessageType, bytes]]) -> None:
        while True:
            for kind, payload in messages:
                if kind is MessageType.JOB:
                    self._jobs.put((decode_message(Job, payload),))
                elif kind is MessageType.BATCH:
                    self._jobs.put(decode_message(BatchMessage, payload).jobs)
                elif kind is MessageType.CANCEL:
                    self._cancelled.add(payload.decode())
            data = self._connection.recv(65536)
            if not data:
                os._exit(0)
            messages = self._decoder.feed(data)

    def _send(self, kind: MessageType, payload: bytes = b"") -> None:
        try:
            with self._send_lock:
                self._connection.sendall(frame_message(kind, payload))
        except OSError:
            os._exit(0)


def _create_engine_provider(hello: HelloMessage, emit: Callable[[ModelsMessage], None]) -> EngineProvider:
    """The bench. READY is said after this: an installation too broken to open it pauses the lane, and is no job's fault."""
    import goldsmith.worker.job_runner  # noqa: F401 - all that a job needs at once
    from goldsmith.worker.engine_provider import EngineProvider

    return EngineProvider(hello.config, hello.spec, emit)


class ModelsChangeFilter:
    """Lets through what differs from what was said last."""

    def __init__(self, send: Callable[[ModelsMessage], None]) -> None:
        self._send = send
        self._last = ModelsMessage()

    def emit(self, models: ModelsMessage) -> None:
        if models != self._last:
            self._last = models
            self._send(models)


class ProgressThrottle:
    """Lets through about five reports a second, and at once every new step and the first few notes of a step."""

    def __init__(self, send: Callable[[JobProgress], None], clock: Callable[[], float] = monotonic) -> None:
        self._send = send
        self._clock = clock
        self._sent_at = float("-inf")
        self._note_count = 0
        self.last_progress: JobProgress | None = None

    def report(self, progress: JobProgress) -> None:
        """Send it, unless one much like it went out a moment ago."""
        now = self._clock()
        if self._is_significant(progress) or now - self._sent_at >= _PROGRESS_INTERVAL_SECONDS:
            self._sent_at = now
            self._send(progress)
        self.last_progress = progress

    def _is_significant(self, progress: JobProgress) -> bool:
        if self.last_progress is None or progress.step != self.last_progress.step:
            self._note_count = 0
            return True
        if not progress.note or progress.note == self.last_progress.note:
            return False
        self._note_count += 1
        return self._note_count <= _MAX_UNTHROTTLED_NOTES


@contextmanager
def _limit_memory(jobs: Sequence[Job]) -> Iterator[None]:
    """Let this process allocate what the jobs may use beside what it holds already; a GPU's address space knows no such limit."""
    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    with open("/proc/self/statm", "rb") as file:
        held = int(file.read().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (held + max(job.limits.max_memory_bytes for job in jobs), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))


def _encode_outcome(outcome: Outcome) -> bytes:
    """An outcome that cannot be said (a finding that is no JSON) is a failure of its own, not the end of the lane."""
    try:
        return encode_message(outcome)
    except (TypeError, ValueError, RecursionError) as error:
        fault = JobFault(
            kind="crash",
            sentence=f"The program's result cannot be put on record: {error}.",
            detail=repr(outcome)[: job_faults.MAX_DETAIL_CHARS],
        )
        return encode_message(Outcome(job_id=outcome.job_id, fault=fault, queue=outcome.queue, seconds=outcome.seconds))


if __name__ == "__main__":
    main(sys.argv[1:])
