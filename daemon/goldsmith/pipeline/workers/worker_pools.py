"""All queues and their worker processes: each job gets exactly one outcome, whatever happens to its process.

Nothing here blocks (except ``stop``) and nothing touches pixels. A dead process is replaced for the next job; a queue whose processes
cannot start is paused with a sentence, and its jobs stay queued.
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
    """A job that a worker process runs."""

    job: Job
    queue: str
    pid: int
    started_at: float


class WorkerPools:
    """All queues. Worker processes die with the thread that calls this object, so it must be a lasting one."""

    def __init__(
        self, specs: Sequence[WorkerSpec], context: WorkerConfig, clock: Callable[[], float] = monotonic, spawn: SpawnWorker = spawn_worker
    ) -> None:
        self._clock = clock
        self._events: deque[Event] = deque()
        self._epoll = select.epoll()
        named: dict[str, list[WorkerSpec]] = {}
        for spec in specs:
            named.setdefault(spec.queue, []).append(spec)
        self._pools = {
            name: WorkerPool(specs_of_queue, context, spawn, self._epoll, self._events.append) for name, specs_of_queue in named.items()
        }

    def submit(self, job: Job) -> None:
        """Queue a job. A job for an unknown queue goes to the first one (without a GPU, everything possible runs without it)."""
        pool = self._pool(job.queue)
        pool.queue.append(job)
        pool.dispatch(self._clock())

    def cancel(self, job_id: str) -> bool:
        """Cancel a job; its outcome is then ``cancelled``. Return False if there is no such job."""
        return any(pool.cancel(job_id, self._clock()) for pool in self._pools.values())

    def prewarm(self) -> None:
        """Start one process in each queue before the first job."""
        for pool in self._pools.values():
            pool.prewarm(self._clock())

    def pause(self, name: str, sentence: str, until: float | None = None) -> None:
        """Start no more jobs in this queue, until then or until ``resume``; running jobs go on."""
        pool = self._pool(name)
        pool.requested_pause, pool.paused_until = sentence, until

    def resume(self, name: str) -> None:
        """End a pause of the queue, whatever its cause."""
        pool = self._pool(name)
        pool.resume()
        pool.dispatch(self._clock())

    def pause_reason(self, queue: str) -> str | None:
        """Return why no job starts in the queue; None if jobs start."""
        return self._pool(queue).pause_reason or None

    def position(self, job_id: str) -> int | None:
        """Return 0 for a running job, else its place in the queue, from 1, as jobs will run; None for an unknown job."""
        if job_id in self.running_jobs():
            return 0
        now = self._clock()
        lines = (pool.predict_order(now, len(pool.queue)) for pool in self._pools.values() if any(job.id == job_id for job in pool.queue))
        return next((line.index(job_id) + 1 for line in lines), None)

    def predict_order(self, queue: str, limit: int) -> list[str]:
        """Return the ids of the next ``limit`` jobs of this queue, as far as that is known."""
        return self._pool(queue).predict_order(self._clock(), limit)

    def worker_snapshots(self) -> list[WorkerSnapshot]:
        """Return the state of every device of every queue: its jobs and models, or why no job starts on it."""
        now = self._clock()
        return [seated for pool in self._pools.values() for seated in pool.worker_snapshots(now)]

    def running_jobs(self) -> Mapping[str, RunningJob]:
        """Return the running jobs by id."""
        return {
            run.job.id: RunningJob(run.job, name, place.process.pid, run.started_at)
            for name, pool in self._pools.items()
            for place, run in pool.running_jobs()
        }

    def queue_length(self, queue: str) -> int:
        """Return how many jobs wait in this queue."""
        return len(self._pool(queue).queue)

    def readable_fds(self) -> list[int]:
        """Return the descriptors that are readable when ``collect`` has work; always the same."""
        return [self._epoll.fileno()]

    def seconds_until_due(self, now: float) -> float | None:
        """Return the seconds until ``collect`` has work without a readable descriptor; None: never."""
        if self._events:
            return 0.0
        moments = [moment for pool in self._pools.values() for moment in pool.deadlines()]
        return max(0.0, min(moments) - now) if moments else None

    def collect(self, now: float) -> list[Event]:
        """Return all events since the last call: progress (step 0 = started) and outcomes, in order. Start every job that can start."""
        talkative = frozenset(ear for ear, _ in self._epoll.poll(0))
        for pool in self._pools.values():
            pool.collect(talkative, now)
        return self._pop_events()

    def drain(self) -> None:
        """Start no more jobs; running jobs go on."""
        for pool in self._pools.values():
            pool.is_draining = True

    def stop(self, timeout: float) -> list[Event]:
        """Let running jobs finish for ``timeout`` seconds, then end everything. Every job without an outcome gets ``cancelled``."""
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
