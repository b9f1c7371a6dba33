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

from goldsmith.engines.batch import Flight
from goldsmith.jobs import faults
from goldsmith.jobs.job import Fault, Job, Outcome, Progress
from goldsmith.jobs.protocol import (
    FlightPlan,
    Frames,
    Hello,
    Kind,
    Models,
    framed,
    packed,
    unpacked,
)

if TYPE_CHECKING:
    from goldsmith.worker.engine_provider import Shop

_PR_SET_PDEATHSIG = 1
_PROGRESS_EVERY = 0.2
_NOTES_AT_ONCE = 5
"""A cold start's note must not be lost; one note a tile would be a flood."""


def main(arguments: list[str]) -> None:
    """Serve jobs until the daemon is gone."""
    _belong_to(int(arguments[1]))
    Lane(socket.socket(fileno=int(arguments[0]))).serve()


def _belong_to(parent: int) -> None:
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


class Lane:
    """The lane's side of the socket: a thread that hears (so that a cancel arrives during a job), and the work itself."""

    def __init__(self, wire: socket.socket) -> None:
        self._wire = wire
        self._speaking = Lock()
        self._jobs: SimpleQueue[tuple[Job, ...]] = SimpleQueue()
        self._cancelled: set[str] = set()
        self._frames = Frames()
        self._early: list[tuple[Kind, bytes]] = []

    def serve(self) -> None:
        """Work for ever; the process ends by ``_hear`` when the daemon lets go of the socket."""
        hello = self._hello()
        Thread(target=self._hear, name="hear", daemon=True).start()
        shop = _prepared(hello, Changes(lambda models: self._say(Kind.MODELS, packed(models))).tell)
        self._say(Kind.READY)
        while True:
            jobs = self._jobs.get()
            if hello.spec.device != "cpu":
                self._fly(jobs, hello, shop)  # nobody waits here for their end: the daemon sends no others before these have landed
                continue
            with _memory_of(jobs):
                if len(jobs) == 1:
                    self._work(jobs[0], hello, shop)
                else:
                    for thread in self._fly(jobs, hello, shop):
                        thread.join()

    def _fly(self, jobs: Sequence[Job], hello: Hello, shop: Shop) -> list[Thread]:
        """Jobs together: each in a thread of its own, and where they call the same engine they meet."""
        flight = Flight(len(jobs))

        def work(job: Job) -> None:
            try:
                self._work(job, hello, shop.flying(flight) if len(jobs) > 1 else shop)
            except BaseException:  # noqa: BLE001 - nobody would ever hear of the job: the process ends, as where it has one thread
                traceback.print_exc()
                os._exit(1)
            flight.leave()

        threads = [Thread(target=work, args=(job,), name=job.id, daemon=True) for job in jobs]
        for thread in threads:
            thread.start()
        return threads

    def _work(self, job: Job, hello: Hello, shop: Shop) -> None:
        self._say(Kind.BEGUN, job.id.encode())
        outcome = self._attempt(job, hello, shop)
        self._cancelled.discard(job.id)
        self._say(Kind.OUTCOME, _packed_outcome(outcome))

    def _attempt(self, job: Job, hello: Hello, shop: Shop) -> Outcome:
        """The job's outcome, whatever happens in this process short of its death."""
        from goldsmith.worker.job_runner import run_job
        from goldsmith.worker.trace import ran_with

        begun = monotonic()
        throttle = Throttle(lambda progress: self._say(Kind.PROGRESS, packed(progress)))

        def landed() -> None:
            if hello.spec.device != "cpu":
                self._say(Kind.LANDED, job.id.encode())

        try:
            outcome = run_job(job, shop, throttle.report, lambda: job.id in self._cancelled, landed=landed)
        except MemoryError:
            outcome = Outcome(job_id=job.id, fault=faults.too_much_memory(job))
        except Exception as error:  # noqa: BLE001 - the border: an operation may raise anything, and the next job is innocent
            outcome = Outcome(job_id=job.id, fault=faults.unforeseen(job, throttle.last, error))
        with_what = ran_with(hello.spec.title or hello.spec.device, hello.spec.threads)
        return outcome.model_copy(update={"lane": hello.spec.name, "seconds": monotonic() - begun, "ran_with": with_what})

    def _hello(self) -> Hello:
        while True:
            data = self._wire.recv(65536)
            if not data:
                os._exit(0)
            heard = self._frames.feed(data)
            if heard:
                self._early = heard[1:]
                return unpacked(Hello, heard[0][1])

    def _hear(self) -> None:
        """Take in jobs and cancels. A lane that has gone deaf is of no use, so its process ends with this thread."""
        try:
            self._hear_for_ever(self._early)
        finally:
            sys.stderr.flush()
            os._exit(1)

    def _hear_for_ever(self, heard: list[tuple[Kind, bytes]]) -> None:
        while True:
            for kind, payload in heard:
                if kind is Kind.JOB:
                    self._jobs.put((unpacked(Job, payload),))
                elif kind is Kind.FLIGHT:
                    self._jobs.put(unpacked(FlightPlan, payload).jobs)
                elif kind is Kind.CANCEL:
                    self._cancelled.add(payload.decode())
            data = self._wire.recv(65536)
            if not data:
                os._exit(0)
            heard = self._frames.feed(data)

    def _say(self, kind: Kind, payload: bytes = b"") -> None:
        try:
            with self._speaking:
                self._wire.sendall(framed(kind, payload))
        except OSError:
            os._exit(0)


def _prepared(hello: Hello, tell: Callable[[Models], None]) -> Shop:
    """The bench. READY is said after this: an installation too broken to open it pauses the lane, and is no job's fault."""
    import goldsmith.worker.job_runner  # noqa: F401 - all that a job needs at once
    from goldsmith.worker.engine_provider import Shop

    return Shop(hello.context, hello.spec, tell)


class Changes:
    """Lets through what differs from what was said last."""

    def __init__(self, send: Callable[[Models], None]) -> None:
        self._send = send
        self._last = Models()

    def tell(self, models: Models) -> None:
        if models != self._last:
            self._last = models
            self._send(models)


class Throttle:
    """Lets through about five reports a second, and at once every new step and the first few notes of a step."""

    def __init__(self, send: Callable[[Progress], None], clock: Callable[[], float] = monotonic) -> None:
        self._send = send
        self._clock = clock
        self._sent = float("-inf")
        self._notes = 0
        self.last: Progress | None = None

    def report(self, progress: Progress) -> None:
        """Send it, unless one much like it went out a moment ago."""
        now = self._clock()
        if self._is_news(progress) or now - self._sent >= _PROGRESS_EVERY:
            self._sent = now
            self._send(progress)
        self.last = progress

    def _is_news(self, progress: Progress) -> bool:
        if self.last is None or progress.step != self.last.step:
            self._notes = 0
            return True
        if not progress.note or progress.note == self.last.note:
            return False
        self._notes += 1
        return self._notes <= _NOTES_AT_ONCE


@contextmanager
def _memory_of(jobs: Sequence[Job]) -> Iterator[None]:
    """Let this process allocate what the jobs may use beside what it holds already; a GPU's address space knows no such limit."""
    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    with open("/proc/self/statm", "rb") as file:
        held = int(file.read().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (held + max(job.limits.memory_bytes for job in jobs), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))


def _packed_outcome(outcome: Outcome) -> bytes:
    """An outcome that cannot be said (a finding that is no JSON) is a failure of its own, not the end of the lane."""
    try:
        return packed(outcome)
    except (TypeError, ValueError, RecursionError) as error:
        fault = Fault(
            kind="crash", sentence=f"The program's result cannot be put on record: {error}.", detail=repr(outcome)[: faults.DETAIL]
        )
        return packed(Outcome(job_id=outcome.job_id, fault=fault, lane=outcome.lane, seconds=outcome.seconds))


if __name__ == "__main__":
    main(sys.argv[1:])
