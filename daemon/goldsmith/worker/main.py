"""A worker process: ``python -m goldsmith.worker FD PARENT``. On a CPU it runs one job at a time. Each job has exactly one outcome.

On an accelerator several jobs may run in a batch, and while their results are encoded and written the next batch may use the engines.

The process ends when the daemon ends (the socket closes, or the kernel kills it with its parent), never by Ctrl-C or SIGTERM: the daemon
decides what happens to a running job. It puts up its fence (``worker.fence``) before it starts a thread and before it imports anything that
does; heavy libraries are imported only when a job needs them.
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

from goldsmith.errors import HostError
from goldsmith.jobs import job_faults
from goldsmith.jobs.job import Job, JobFault, JobProgress, KeptPart, Outcome, PartKept
from goldsmith.jobs.protocol import (
    TEMPORARY_FOLDER,
    BatchMessage,
    FrameDecoder,
    HelloMessage,
    MessageType,
    ModelsMessage,
    decode_message,
    encode_message,
    frame_message,
)
from goldsmith.picture.decoding_time import Decoding, set_decoding_watch
from goldsmith.worker.decoding_watchdog import DecodingWatchdog
from goldsmith.worker.fence import raise_fence

if TYPE_CHECKING:
    from goldsmith.worker.engine_provider import EngineProvider

_PR_SET_PDEATHSIG = 1
_PROGRESS_INTERVAL_SECONDS = 0.2
# The note of a cold start must not be lost; a note for every tile would be too many.
_MAX_UNTHROTTLED_NOTES = 5


def main(arguments: list[str]) -> None:
    """Run jobs until the daemon ends."""
    bind_to_parent(int(arguments[1]))
    Worker(socket.socket(fileno=int(arguments[0]))).serve()


def bind_to_parent(parent: int) -> None:
    """Die with the daemon, ignore its signals, write no core files, and be the first process killed when memory runs out."""
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
    """The worker's side of the socket. A thread receives messages, so that a cancellation arrives during a job; jobs run here."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        # What the record says of the fence; "" until it is up.
        self._fence = ""
        self._send_lock = Lock()
        self._jobs: SimpleQueue[tuple[Job, ...]] = SimpleQueue()
        self._cancelled: set[str] = set()
        # The jobs that let others go first as soon as they have finished a part.
        self._asked_to_give_way: set[str] = set()
        self._decoder = FrameDecoder()
        self._early_messages: list[tuple[MessageType, bytes]] = []
        self._watchdog = DecodingWatchdog(self._blame_slow_file)

    def serve(self) -> None:
        """Run jobs forever; ``_receive`` ends the process when the daemon closes the socket."""
        hello = self._receive_hello()
        self._fence = _enter_fence(hello)
        Thread(target=self._receive, name="receive", daemon=True).start()
        engine_provider = _create_engine_provider(
            hello, ModelsChangeFilter(lambda models: self._send(MessageType.MODELS, encode_message(models))).emit
        )
        set_decoding_watch(self._watchdog.watch)
        self._watchdog.start()
        self._send(MessageType.READY, self._fence.encode())
        while True:
            jobs = self._jobs.get()
            if hello.spec.device != "cpu":
                # Do not wait for the jobs: the daemon sends no others before these have released the engine.
                self._run_batch(jobs, hello, engine_provider)
                continue
            with _limit_memory(jobs):
                if len(jobs) == 1:
                    self._run_and_report(jobs[0], hello, engine_provider)
                else:
                    for thread in self._run_batch(jobs, hello, engine_provider):
                        thread.join()

    def _run_batch(self, jobs: Sequence[Job], hello: HelloMessage, engine_provider: EngineProvider) -> list[Thread]:
        """Start each job in a thread of its own; their calls of the same engine are combined. Return the threads."""
        from goldsmith.engines.batch import Batch

        batch = Batch(len(jobs))

        def work(job: Job) -> None:
            try:
                self._run_and_report(job, hello, engine_provider.for_batch(batch) if len(jobs) > 1 else engine_provider)
            except BaseException:  # noqa: BLE001 - the job would have no outcome: the process ends, as with one thread
                traceback.print_exc()
                os._exit(1)
            batch.leave()

        threads = [Thread(target=work, args=(job,), name=job.id, daemon=True) for job in jobs]
        for thread in threads:
            thread.start()
        return threads

    def _run_and_report(self, job: Job, hello: HelloMessage, engine_provider: EngineProvider) -> None:
        self._send(MessageType.STARTED, job.id.encode())
        outcome = self._run_job(job, hello, engine_provider)
        self._cancelled.discard(job.id)
        self._asked_to_give_way.discard(job.id)
        self._send(MessageType.OUTCOME, _encode_outcome(outcome))

    def _run_job(self, job: Job, hello: HelloMessage, engine_provider: EngineProvider) -> Outcome:
        """Run the job and return its outcome, whatever it raises."""
        from goldsmith.worker.finished_parts import PartChannel
        from goldsmith.worker.job_runner import run_job
        from goldsmith.worker.trace import run_environment

        started = monotonic()
        throttle = ProgressThrottle(lambda progress: self._send(MessageType.PROGRESS, encode_message(progress)))

        def release_engine() -> None:
            if hello.spec.device != "cpu":
                # Do not wait for the jobs: the daemon sends no others before these have released the engine.
                self._send(MessageType.ENGINE_RELEASED, job.id.encode())

        def send_part(part: KeptPart) -> None:
            self._send(MessageType.PART_KEPT, encode_message(PartKept(job_id=job.id, part=part)))

        try:
            with self._watchdog.job(job):
                outcome = run_job(
                    job,
                    engine_provider,
                    throttle.report,
                    lambda: job.id in self._cancelled,
                    on_engine_released=release_engine,
                    part_channel=PartChannel(send_part, lambda: job.id in self._asked_to_give_way),
                )
        except MemoryError:
            outcome = Outcome(job_id=job.id, fault=job_faults.out_of_memory(job))
        except Exception as error:  # noqa: BLE001 - an operation may raise anything; the next job must still run
            outcome = Outcome(job_id=job.id, fault=job_faults.unexpected_error(job, throttle.last_progress, error))
        environment = run_environment(hello.spec.device_title or hello.spec.device, hello.spec.threads, self._fence)
        return outcome.model_copy(update={"queue": hello.spec.queue, "seconds": monotonic() - started, "environment": environment})

    def _blame_slow_file(self, job: Job, decoding: Decoding) -> None:
        """Send the outcome of a job whose file takes too long to decode, and end the process: nothing else stops the decoder."""
        fault = job_faults.decoding_too_slow(job, decoding.name, decoding.max_seconds)
        self._send(MessageType.OUTCOME, _encode_outcome(Outcome(job_id=job.id, fault=fault)))
        os._exit(job_faults.REPORTED_EXIT_STATUS)

    def _receive_hello(self) -> HelloMessage:
        while True:
            data = self._connection.recv(65536)
            if not data:
                os._exit(0)
            messages = self._decoder.feed(data)
            if messages:
                self._early_messages = messages[1:]
                return decode_message(HelloMessage, messages[0][1])

    def _receive(self) -> None:
        """Receive jobs and cancellations. A worker that cannot receive is of no use, so its process ends with this thread."""
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
                elif kind is MessageType.GIVE_WAY:
                    self._asked_to_give_way.add(payload.decode())
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


def _enter_fence(hello: HelloMessage) -> str:
    """Put up the fence, create the folder for temporary files inside it, and return what the record says of the fence.

    If that fails, end the process: its last words are the reason for which the daemon pauses the queue.
    """
    temporary_folder = os.path.join(hello.scratch, TEMPORARY_FOLDER)
    try:
        fence = raise_fence(hello.scratch, hello.folders)
        os.mkdir(temporary_folder, 0o700)
    except HostError as error:
        sys.exit(error.sentence)
    except OSError as error:
        sys.exit(f"{temporary_folder} cannot be created: {error.strerror}.")
    os.environ["TMPDIR"] = temporary_folder
    return fence


def _create_engine_provider(hello: HelloMessage, emit: Callable[[ModelsMessage], None]) -> EngineProvider:
    """Import what every job needs, and return the engine provider.

    READY is sent afterwards: if a broken installation makes this fail, the queue is paused and no job is blamed.
    """
    import goldsmith.worker.job_runner  # noqa: F401 - imports what every job needs
    from goldsmith.worker.engine_provider import EngineProvider

    return EngineProvider(hello.config, hello.spec, emit)


class ModelsChangeFilter:
    """Passes on a message only if it differs from the last one."""

    def __init__(self, send: Callable[[ModelsMessage], None]) -> None:
        self._send = send
        self._last = ModelsMessage()

    def emit(self, models: ModelsMessage) -> None:
        if models != self._last:
            self._last = models
            self._send(models)


class ProgressThrottle:
    """Passes on about five reports a second, and immediately every new step and the first few notes of a step."""

    def __init__(self, send: Callable[[JobProgress], None], clock: Callable[[], float] = monotonic) -> None:
        self._send = send
        self._clock = clock
        self._sent_at = float("-inf")
        self._note_count = 0
        self.last_progress: JobProgress | None = None

    def report(self, progress: JobProgress) -> None:
        """Send the report, unless a similar one was sent a moment ago."""
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
    """Limit this process to the memory that it has plus what the jobs may use. Not for a GPU, whose address space has no such limit."""
    soft_limit, hard_limit = resource.getrlimit(resource.RLIMIT_DATA)
    with open("/proc/self/statm", "rb") as file:
        used_bytes = int(file.read().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (used_bytes + max(job.limits.max_memory_bytes for job in jobs), hard_limit))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft_limit, hard_limit))


def _encode_outcome(outcome: Outcome) -> bytes:
    """Return the encoded outcome. If a finding is not JSON, the job fails and the worker goes on."""
    try:
        return encode_message(outcome)
    except (TypeError, ValueError, RecursionError) as error:
        fault = JobFault(
            kind="crash",
            sentence=f"The result cannot be put on record: {error}.",
            detail=repr(outcome)[: job_faults.MAX_DETAIL_CHARS],
        )
        return encode_message(Outcome(job_id=outcome.job_id, fault=fault, queue=outcome.queue, seconds=outcome.seconds))
