"""The lanes as the daemon sees them: jobs go in, exactly one outcome comes back for each, whatever becomes of the process.

Nothing here blocks (but ``stop``) and nothing touches pixels. A dead process is replaced for the next job; a lane whose
processes cannot even start is paused with a sentence, and its jobs wait in line.
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

from goldsmith.jobs.job import Job
from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
from goldsmith.pipeline.workers.slot import WorkerSnapshot
from goldsmith.pipeline.workers.worker_pool import MEMORY_CHECK_SECONDS, Event, WorkerPool
from goldsmith.pipeline.workers.worker_process import SpawnWorker, spawn_worker

__all__ = ["Event", "RunningJob", "WorkerConfig", "WorkerPools", "WorkerSnapshot", "WorkerSpec"]


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job that a lane process is at work on."""

    job: Job
    queue: str
    pid: int
    started_at: float


class WorkerPools:
    """All lanes of a house. Lane processes die with the thread that makes this object's calls, so that must be a lasting one."""

    def __init__(
        self, specs: Sequence[WorkerSpec], context: WorkerConfig, clock: Callable[[], float] = monotonic, spawn: SpawnWorker = spawn_worker
    ) -> None:
        self._clock = clock
        self._events: deque[Event] = deque()
        self._epoll = select.epoll()
        named: dict[str, list[WorkerSpec]] = {}
        for spec in specs:
            named.setdefault(spec.queue, []).append(spec)
        self._pools = {name: WorkerPool(lane, context, spawn, self._epoll, self._events.append) for name, lane in named.items()}

    def submit(self, job: Job) -> None:
        """Put a job in line. A lane the house does not have means its first one (no GPU: what can be done is done without)."""
        pool = self._pool(job.queue)
        pool.queue.append(job)
        pool.dispatch(self._clock())

    def cancel(self, job_id: str) -> bool:
        """Call a job off; its outcome is then ``cancelled``. False where no such job is here."""
        return any(pool.cancel(job_id, self._clock()) for pool in self._pools.values())

    def prewarm(self) -> None:
        """Start one process a lane before the first job asks for it."""
        for pool in self._pools.values():
            pool.prewarm(self._clock())

    def pause(self, name: str, sentence: str, until: float | None = None) -> None:
        """Begin no more jobs in this lane, until then or until ``resume``; what runs goes on."""
        pool = self._pool(name)
        pool.requested_pause, pool.paused_until = sentence, until

    def resume(self, name: str) -> None:
        """End a pause, the lane's own too."""
        pool = self._pool(name)
        pool.resume()
        pool.dispatch(self._clock())

    def pause_reason(self, queue: str) -> str | None:
        """Why the lane begins nothing at the moment; None when it does."""
        return self._pool(queue).pause_reason or None

    def position(self, job_id: str) -> int | None:
        """0 for a job that runs, else its place in line, from 1, as the line will go from here on; None for no such job."""
        if job_id in self.running_jobs():
            return 0
        now = self._clock()
        lines = (pool.predict_order(now, len(pool.queue)) for pool in self._pools.values() if any(job.id == job_id for job in pool.queue))
        return next((line.index(job_id) + 1 for line in lines), None)

    def predict_order(self, queue: str, limit: int) -> list[str]:
        """The ids of the jobs in this lane's line that go next, ``most`` of them, as far as that can be known."""
        return self._pool(queue).predict_order(self._clock(), limit)

    def worker_snapshots(self) -> list[WorkerSnapshot]:
        """Every device of every lane: what it does and has loaded, or why nothing is begun on it."""
        now = self._clock()
        return [seated for pool in self._pools.values() for seated in pool.worker_snapshots(now)]

    def running_jobs(self) -> Mapping[str, RunningJob]:
        """The jobs that lane processes work on, by id."""
        return {
            run.job.id: RunningJob(run.job, name, place.process.pid, run.started_at)
            for name, pool in self._pools.items()
            for place, run in pool.running_jobs()
        }

    def queue_length(self, queue: str) -> int:
        """How many jobs stand in this lane's line."""
        return len(self._pool(queue).queue)

    def readable_fds(self) -> list[int]:
        """Descriptors that are readable when ``collect`` has something to do; always the same."""
        return [self._epoll.fileno()]

    def seconds_until_due(self, now: float) -> float | None:
        """Seconds until ``collect`` has something to do although nothing became readable; None: never."""
        if self._events:
            return 0.0
        moments = [moment for pool in self._pools.values() for moment in pool.deadlines()]
        return max(0.0, min(moments) - now) if moments else None

    def collect(self, now: float) -> list[Event]:
        """All that has happened since: progress (step 0 = begun) and outcomes, in order. Starts what can be started."""
        talkative = frozenset(ear for ear, _ in self._epoll.poll(0))
        for pool in self._pools.values():
            pool.collect(talkative, now)
        return self._pop_events()

    def drain(self) -> None:
        """Begin no more jobs anywhere; what runs goes on."""
        for pool in self._pools.values():
            pool.is_draining = True

    def stop(self, timeout: float) -> list[Event]:
        """Let what runs finish for so long, then end everything. Every job that has no outcome yet gets ``cancelled``."""
        self.drain()
        end = self._clock() + timeout
        events = self.collect(self._clock())
        while self.running_jobs() and (left := end - self._clock()) > 0:
            self._epoll.poll(min(left, MEMORY_CHECK_SECONDS))
            events += self.collect(self._clock())
        for pool in self._pools.values():
            pool.terminate()
        return events + self._pop_events()

    def _pop_events(self) -> list[Event]:
        events = list(self._events)
        self._events.clear()
        return events

    def _pool(self, queue: str) -> WorkerPool:
        return self._pools.get(queue) or next(iter(self._pools.values()))
