"""Batches: similar jobs run together, and their calls of a generating engine are combined.

A device is not fully used by one small picture, and needs little more time for four. Each job keeps its own thread, progress, cancellation
and failure. It gets exactly what it asked for, and the other jobs do not affect its pictures, because each picture depends on its own seed
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Condition, Lock, Thread
from time import monotonic
from typing import Protocol, runtime_checkable

from goldsmith.engines import (
    EngineDescriptor,
    GenerationRequest,
    GenerationResult,
    Generator,
    OnProgress,
    ignore_progress,
)
from goldsmith.errors import HostError

# Seconds between two checks whether a waiting job was cancelled.
_POLL_SECONDS = 0.1
# Seconds that calls wait for the calls of the other jobs; a job that first decodes a very large picture is not waited for any longer.
GATHER_SECONDS = 5.0


# Return the open engine.
OpenGenerator = Callable[[], Generator]


@runtime_checkable
class SupportsBatching(Protocol):
    """A generator that takes requests with different words or pictures in one call; they have the same size and settings."""

    def generate_many(self, requests: Sequence[GenerationRequest], on_progress: OnProgress = ignore_progress) -> Sequence[GenerationResult]:
        """Return a result for each request, as ``generate`` does."""


def generate_many(
    generator: Generator, requests: Sequence[GenerationRequest], on_progress: OnProgress = ignore_progress
) -> list[GenerationResult]:
    """Return a result for each request: in one call if the generator can, as one request if only the seeds differ, else one by one."""
    if isinstance(generator, SupportsBatching) and len(requests) > 1:
        return list(generator.generate_many(requests, on_progress))
    if len(requests) > 1 and _differ_only_in_seeds(requests):
        seeds = tuple(seed for each in requests for seed in each.seeds)
        return _split_result(generator.generate(replace(requests[0], seeds=seeds), on_progress), requests)

    def share(done: int) -> OnProgress:
        return lambda fraction: on_progress((done + fraction) / len(requests))

    return [generator.generate(request, share(done)) for done, request in enumerate(requests)]


def _differ_only_in_seeds(requests: Sequence[GenerationRequest]) -> bool:
    """Return whether the requests differ only in their seeds."""
    first = requests[0]
    words_only = all(each.picture is None and each.hole is None and not each.references for each in requests)
    return words_only and all((each.options, each.width, each.height) == (first.options, first.width, first.height) for each in requests)


def _split_result(made: GenerationResult, requests: Sequence[GenerationRequest]) -> list[GenerationResult]:
    """Return the result of each request with its own pictures and seeds, and with the number of pictures per call if the engine does not
    say it.
    """
    pictures = list(made.pictures)
    shares = []
    for request in requests:
        own = {"seeds": list(request.seeds)} if "seeds" in made.facts else {}
        shares.append(GenerationResult(tuple(pictures[: len(request.seeds)]), {"batch": len(made.pictures), **made.facts, **own}))
        del pictures[: len(request.seeds)]
    return shares


def can_share_batch(first: GenerationRequest, second: GenerationRequest) -> bool:
    """Return whether two requests may share a call: everything is the same except words, seeds and the contents of the pictures."""
    return _batch_key(first) == _batch_key(second)


def _batch_key(request: GenerationRequest) -> tuple[object, ...]:
    options = replace(request.options, prompt="")
    return (
        options,
        request.width,
        request.height,
        len(request.seeds),
        request.picture is None,
        request.hole is None,
        len(request.references),
    )


@dataclass(eq=False, slots=True)
class _PendingCall:
    """The waiting call of one job."""

    # The name of the engine.
    name: str
    reopen: OpenGenerator
    request: GenerationRequest
    on_progress: OnProgress
    result: GenerationResult | None = None
    error: BaseException | None = None
    # True once the call runs in the engine.
    is_running: bool = False

    @property
    def is_done(self) -> bool:
        return self.result is not None or self.error is not None

    def report_progress(self, fraction: float) -> None:
        """Report progress to the call's job. If the job raises because it was cancelled, only its own waiting ends."""
        if self.error is None:
            try:
                self.on_progress(fraction)
            except BaseException as error:  # noqa: BLE001 - it is raised again where it belongs, in the job's own thread
                self.error = error


class Batch:
    """Some jobs that run together, each in its own thread. The engine runs in another thread, so that a cancelled job does not wait for the
    others.
    """

    def __init__(self, job_count: int, gather_seconds: float = GATHER_SECONDS) -> None:
        self._members = job_count
        self._gather = gather_seconds
        self._changed = Condition(Lock())
        self._waiting: list[_PendingCall] = []
        self._running = False

    def wrap(self, descriptor: EngineDescriptor, reopen: OpenGenerator) -> Generator:
        """Return a generator that combines this job's calls with those of the batch; ``reopen`` opens the engine again if it was closed to
        free memory.
        """
        return _BatchedGenerator(self, descriptor, reopen)

    @contextmanager
    def engine_idle(self) -> Iterator[None]:
        """Wait until no call runs in an engine, and keep it so: opening an engine may close another."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running)
            self._running = True
        try:
            yield
        finally:
            self._mark_idle()

    def leave(self) -> None:
        """Remove a job that has ended: the others no longer wait for its calls."""
        with self._changed:
            self._members -= 1
            self._changed.notify_all()

    def generate(self, name: str, reopen: OpenGenerator, request: GenerationRequest, on_progress: OnProgress) -> GenerationResult:
        """Return the result of one job's call, after waiting for the calls of the others. Raises only what concerns this job."""
        call = _PendingCall(name, reopen, request, on_progress)
        with self._changed:
            self._waiting.append(call)
            end = monotonic() + self._gather
            while not call.is_done:
                if not (call.is_running or self._running) and (self._all_jobs_called or monotonic() >= end):
                    self._start_group()
                self._changed.notify_all()
                self._changed.wait(_POLL_SECONDS)
                if not call.is_running:
                    call.report_progress(0.0)
            if call in self._waiting:
                self._waiting.remove(call)
        if call.error is not None:
            raise call.error
        if call.result is None:
            raise HostError("The engine brought nothing.")
        return call.result

    @property
    def _all_jobs_called(self) -> bool:
        """True if every job that is still in the batch has called."""
        return len(self._waiting) >= self._members

    def _start_group(self) -> None:
        """Start the first call together with all calls that can share it."""
        first = self._waiting[0]
        group = [call for call in self._waiting if call.name == first.name and can_share_batch(call.request, first.request)]
        for call in group:
            call.is_running = True
            self._waiting.remove(call)
        self._running = True
        Thread(target=self._run_group, args=(group,), name="engine", daemon=True).start()

    def _run_group(self, group: Sequence[_PendingCall]) -> None:
        try:
            _run_calls(group, self._notify)
        finally:
            self._mark_idle()

    def _mark_idle(self) -> None:
        with self._changed:
            self._running = False
            self._changed.notify_all()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


class _BatchedGenerator:
    """A ``Generator`` whose calls are combined with those of the other jobs."""

    def __init__(self, batch: Batch, descriptor: EngineDescriptor, reopen: OpenGenerator) -> None:
        self.descriptor = descriptor
        self._flight = batch
        self._again = reopen

    def generate(self, request: GenerationRequest, on_progress: OnProgress = ignore_progress) -> GenerationResult:
        return self._flight.generate(self.descriptor.name, self._again, request, on_progress)


class _AllCancelled(Exception):
    """All jobs of the call were cancelled."""


def _run_calls(group: Sequence[_PendingCall], on_change: Callable[[], None]) -> None:
    """Run the calls and store each one's own result. If the combined call fails, run them one by one, except after a device failure."""

    def hear(fraction: float) -> None:
        before = sum(call.is_done for call in group)
        for call in group:
            call.report_progress(fraction)
        if sum(call.is_done for call in group) > before:
            on_change()
        if all(call.is_done for call in group):
            raise _AllCancelled

    try:
        made = generate_many(group[0].reopen(), [call.request for call in group], hear)
    except _AllCancelled:
        return
    except BaseException as error:  # noqa: BLE001 - it is raised again in the thread of each job that it belongs to
        left = [call for call in group if not call.is_done]
        if isinstance(error, HostError) or len(group) == 1:
            for call in left:
                call.error = error
        else:
            for call in left:
                _run_calls([call], on_change)
        return
    for call, share in zip(group, made, strict=True):
        call.result = share if call.error is None else None
