"""All workers, by queue: jobs go in, and each job has exactly one outcome, whatever happens to its process.

No method blocks, except ``stop``, and nothing here touches pixels. A dead process is replaced for the next job. A queue whose processes
cannot start pauses with a reason, and its jobs stay queued.
"""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

from goldsmith.jobs.job import SIGNING_QUEUE, Job
from goldsmith.jobs.protocol import WorkerConfig, WorkerFolders, WorkerSpec
from goldsmith.pipeline.workers.job_queue import QueuedJob
from goldsmith.pipeline.workers.outcome_verifier import OutcomeVerifier
from goldsmith.pipeline.workers.runner import LocalRunner, Runner
from goldsmith.pipeline.workers.slot import WorkerSnapshot
from goldsmith.pipeline.workers.worker_pool import MEMORY_CHECK_SECONDS, Event, WorkerPool


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job that a worker process runs."""

    job: Job
    queue: str
    pid: int
    started_at: float


class WorkerPools:
    """The worker pools of all queues. Use one lasting thread for all calls: worker processes die with the thread that started them."""

    def __init__(
        self,
        specs: Sequence[WorkerSpec],
        config: WorkerConfig | Callable[[], WorkerConfig],
        folders: WorkerFolders,
        clock: Callable[[], float] = monotonic,
        runners: Mapping[str, Runner] | None = None,
        sign: Callable[[bytes], bytes] = lambda _: b"",
    ) -> None:
        """``config``: the configuration of every worker process, or a function that returns that of a process that starts now.

        ``runners``: what starts the processes, by the runner that their specs name; left out, all run on this host. They are closed with
        the pools. ``sign`` returns the signature of the studio's identity, for jobs that sign deliverables.
        """
        read_config = config if callable(config) else lambda: config
        # Returns the job of a queued one when a worker takes it, or None if it is not to be done any more. Set by the scheduler.
        self.build_job: Callable[[QueuedJob], Job | None] = lambda _: None
        self._clock = clock
        self._runners: Mapping[str, Runner] = runners or {"local": LocalRunner()}
        self._events: deque[Event] = deque()
        self._epoll = select.epoll()
        self._verifier = OutcomeVerifier()
        self._epoll.register(self._verifier.fd, select.EPOLLIN)
        specs_by_queue: dict[str, list[WorkerSpec]] = {}
        for spec in specs:
            specs_by_queue.setdefault(spec.queue, []).append(spec)
        self._pools = {
            queue: WorkerPool(
                own_specs,
                read_config,
                _readable_folders(folders, queue),
                self._runners[own_specs[0].runner],
                self._epoll,
                self._verifier,
                self._events.append,
                self._build_job,
                sign,
            )
            for queue, own_specs in specs_by_queue.items()
        }

    def submit(self, job: Job) -> None:
        """Queue a job. A job for a queue without workers goes to the first queue: without a GPU, the CPU does what it can."""
        pool = self._pool(job.queue)
        pool.queue.append(job)
        pool.dispatch(self._clock())

    def enqueue(self, queued: QueuedJob) -> None:
        """Queue a job that ``build_job`` builds when a worker takes it."""
        pool = self._pool(queued.queue)
        pool.queue.enqueue(queued)
        pool.dispatch(self._clock())

    def withdraw(self, queued: QueuedJob) -> None:
        """Remove a job that no worker has taken yet. It has no outcome."""
        self._pool(queued.queue).queue.remove(queued.id)

    def cancel(self, job_id: str) -> bool:
        """Cancel a job; its outcome is then ``cancelled``. Return False if there is no such job."""
        return any(pool.cancel(job_id, self._clock()) for pool in self._pools.values())

    def prewarm(self) -> None:
        """Start one process for each queue before the first job arrives. Only the end of the pipeline signs, so that one can wait."""
        for queue, pool in self._pools.items():
            if queue != SIGNING_QUEUE:
                pool.prewarm(self._clock())

    @property
    def queues(self) -> tuple[str, ...]:
        """The names of all queues with workers."""
        return tuple(self._pools)

    def pause_reason(self, queue: str) -> str | None:
        """Return why no job of this queue starts at the moment; None if jobs may start."""
        return self._pool(queue).pause_reason or None

    def predict_order(self, queue: str, limit: int) -> list[str]:
        """Return the ids of the next ``limit`` jobs of this queue, in order, as far as can be known."""
        return self._pool(queue).predict_order(self._clock(), limit)

    def worker_snapshots(self) -> list[WorkerSnapshot]:
        """Return the state of each worker process of each queue, and of each device without a process."""
        now = self._clock()
        return [snapshot for pool in self._pools.values() for snapshot in pool.worker_snapshots(now)]

    def running_jobs(self) -> Mapping[str, RunningJob]:
        """Return the jobs that worker processes run, by id."""
        return {
            run.job.id: RunningJob(run.job, queue, slot.process.pid, run.started_at)
            for queue, pool in self._pools.items()
            for slot, run in pool.running_jobs()
        }

    def queue_length(self, queue: str) -> int:
        """Return how many jobs of this queue have not started."""
        return len(self._pool(queue).queue)

    def readable_fds(self) -> list[int]:
        """Return the descriptors that become readable when ``collect`` has something to do; they never change."""
        return [self._epoll.fileno()]

    def seconds_until_due(self, now: float) -> float | None:
        """Return the seconds until ``collect`` has something to do although no descriptor becomes readable; None for never."""
        if self._events:
            return 0.0
        moments = [moment for pool in self._pools.values() for moment in pool.deadlines()]
        return max(0.0, min(moments) - now) if moments else None

    def collect(self, now: float) -> list[Event]:
        """Return the events since the last call, in order: progress (step 0: the job has started) and outcomes. Start queued jobs."""
        readable_fds = frozenset(fd for fd, _ in self._epoll.poll(0))
        if self._verifier.fd in readable_fds:
            self._verifier.clear_signal()
        for runner in self._runners.values():
            runner.collect()
        for pool in self._pools.values():
            pool.collect(readable_fds, now)
        return self._pop_events()

    @property
    def host_refusals(self) -> tuple[str, ...]:
        """For each host of a cluster that gets no jobs: which it is, why, and what to do."""
        return tuple(refusal for runner in self._runners.values() for refusal in runner.refusals)

    @property
    def is_held(self) -> bool:
        """True while no further job starts, whatever waits."""
        return any(pool.is_held for pool in self._pools.values())

    def hold(self, is_held: bool) -> None:
        """Start no further job until this is called with False; running jobs go on, and others may still be queued."""
        for pool in self._pools.values():
            pool.is_held = is_held

    def drain(self) -> None:
        """Start no more jobs; running jobs go on."""
        for pool in self._pools.values():
            pool.is_draining = True

    def stop(self, timeout: float) -> list[Event]:
        """Wait ``timeout`` seconds for running jobs, then kill all processes.

        Return the last events: each job without an outcome gets ``cancelled``.
        """
        self.drain()
        end = self._clock() + timeout
        events = self.collect(self._clock())
        while self.running_jobs() and (seconds_left := end - self._clock()) > 0:
            self._epoll.poll(min(seconds_left, MEMORY_CHECK_SECONDS))
            events += self.collect(self._clock())
        for pool in self._pools.values():
            pool.terminate()
        for runner in self._runners.values():
            runner.close()
        self._verifier.close()
        return events + self._pop_events()

    def _build_job(self, queued: QueuedJob) -> Job | None:
        return self.build_job(queued)

    def _pop_events(self) -> list[Event]:
        events = list(self._events)
        self._events.clear()
        return events

    def _pool(self, queue: str) -> WorkerPool:
        return self._pools.get(queue) or next(iter(self._pools.values()))


def _readable_folders(folders: WorkerFolders, queue: str) -> WorkerFolders:
    """Return the folders of a queue's processes: those that sign read the results of the others."""
    return folders if queue != SIGNING_QUEUE else folders.model_copy(update={"inputs": (*folders.inputs, folders.work)})
