"""Batches: similar jobs run together, and their calls of a generating engine are combined.

One small picture does not use a device fully; four take little more time. Each job keeps its own thread, progress, cancellation and
failure. A job's pictures do not depend on the other jobs, because each picture depends only on its own seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Condition, Lock, Thread
from time import monotonic
from typing import Protocol, runtime_checkable

from goldsmith.engines.protocols import EngineDescriptor, GenerationRequest, GenerationResult, Generator, OnProgress, ignore_progress
from goldsmith.errors import HostError

# Seconds between two checks whether a waiting job was cancelled.
_POLL_SECONDS = 0.1
# Seconds that a call waits for the calls of the other jobs. A job that first decodes a very large picture may miss the batch.
GATHER_SECONDS = 5.0

# Returns the open engine.
OpenGenerator = Callable[[], Generator]


@runtime_checkable
class SupportsBatching(Protocol):
    """A generator that takes several requests in one call; they share size and settings, but not prompts and pictures."""

    def generate_many(self, requests: Sequence[GenerationRequest], on_progress: OnProgress = ignore_progress) -> Sequence[GenerationResult]:
        """Return a result for each request, as ``generate`` does."""


def generate_many(
    generator: Generator, requests: Sequence[GenerationRequest], on_progress: OnProgress = ignore_progress
) -> list[GenerationResult]:
    """Return a result for each request: from one call if the generator can, from one request if only seeds differ, else one by one."""
    if isinstance(generator, SupportsBatching) and len(requests) > 1:
        return list(generator.generate_many(requests, on_progress))
    if len(requests) > 1 and _differ_only_in_seeds(requests):
        seeds = tuple(seed for request in requests for seed in request.seeds)
        return _split_result(generator.generate(replace(requests[0], seeds=seeds), on_progress), requests)

    def report_after(done: int) -> OnProgress:
        return lambda fraction: on_progress((done + fraction) / len(requests))

    return [generator.generate(request, report_after(done)) for done, request in enumerate(requests)]


def _differ_only_in_seeds(requests: Sequence[GenerationRequest]) -> bool:
    """Return whether the requests differ only in their seeds."""
    first = requests[0]
    without_pictures = all(request.picture is None and request.hole is None and not request.references for request in requests)
    return without_pictures and all(
        (request.options, request.width, request.height) == (first.options, first.width, first.height) for request in requests
    )


def _split_result(result: GenerationResult, requests: Sequence[GenerationRequest]) -> list[GenerationResult]:
    """Return the result of each request: its own pictures and seeds, and the size of the call if the engine does not report it."""
    pictures = list(result.pictures)
    results = []
    for request in requests:
        own_facts = {"seeds": list(request.seeds)} if "seeds" in result.facts else {}
        results.append(
            GenerationResult(tuple(pictures[: len(request.seeds)]), {"batch": len(result.pictures), **result.facts, **own_facts})
        )
        del pictures[: len(request.seeds)]
    return results


def can_share_batch(first: GenerationRequest, second: GenerationRequest) -> bool:
    """Return whether two requests may share a call: they differ only in prompts, seeds and the contents of their pictures."""
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
        """Report progress to the call's job. If the job raises because it is cancelled, only this call ends."""
        if self.error is None:
            try:
                self.on_progress(fraction)
            except BaseException as error:  # noqa: BLE001 - generate raises it again in the job's own thread
                self.error = error


class Batch:
    """Jobs that run together, each in its own thread. The engine has another thread, so a cancelled job does not wait for the others."""

    def __init__(self, job_count: int, gather_seconds: float = GATHER_SECONDS) -> None:
        self._job_count = job_count
        self._gather_seconds = gather_seconds
        self._changed = Condition(Lock())
        self._waiting: list[_PendingCall] = []
        self._running = False

    def wrap(self, descriptor: EngineDescriptor, reopen: OpenGenerator) -> Generator:
        """Return a generator that combines this job's calls with those of the other jobs.

        reopen: opens the engine again if it was closed to free memory.
        """
        return _BatchedGenerator(self, descriptor, reopen)

    @contextmanager
    def engine_idle(self) -> Iterator[None]:
        """Wait until no call runs in an engine, and start none within the block: opening an engine may close another."""
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
            self._job_count -= 1
            self._changed.notify_all()

    def generate(self, name: str, reopen: OpenGenerator, request: GenerationRequest, on_progress: OnProgress) -> GenerationResult:
        """Return the result of one job's call, after waiting for the calls of the other jobs. Raises only errors of this job."""
        call = _PendingCall(name, reopen, request, on_progress)
        with self._changed:
            self._waiting.append(call)
            end = monotonic() + self._gather_seconds
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
            raise HostError("The engine returned no result.")
        return call.result

    @property
    def _all_jobs_called(self) -> bool:
        """Whether every job in the batch has a waiting call."""
        return len(self._waiting) >= self._job_count

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
    """A ``Generator`` that combines its calls with those of the other jobs in the batch."""

    def __init__(self, batch: Batch, descriptor: EngineDescriptor, reopen: OpenGenerator) -> None:
        self.descriptor = descriptor
        self._batch = batch
        self._reopen = reopen

    def generate(self, request: GenerationRequest, on_progress: OnProgress = ignore_progress) -> GenerationResult:
        return self._batch.generate(self.descriptor.name, self._reopen, request, on_progress)


class _AllCancelled(Exception):
    """All jobs of the call were cancelled."""


def _run_calls(group: Sequence[_PendingCall], on_change: Callable[[], None]) -> None:
    """Run the calls and store the result or error of each. If the combined call fails, run them one by one, except after a HostError."""

    def report(fraction: float) -> None:
        before = sum(call.is_done for call in group)
        for call in group:
            call.report_progress(fraction)
        if sum(call.is_done for call in group) > before:
            on_change()
        if all(call.is_done for call in group):
            raise _AllCancelled

    try:
        results = generate_many(group[0].reopen(), [call.request for call in group], report)
    except _AllCancelled:
        return
    except BaseException as error:  # noqa: BLE001 - generate raises it again in the thread of each job
        unfinished = [call for call in group if not call.is_done]
        if isinstance(error, HostError) or len(group) == 1:
            for call in unfinished:
                call.error = error
        else:
            for call in unfinished:
                _run_calls([call], on_change)
        return
    for call, result in zip(group, results, strict=True):
        call.result = result if call.error is None else None
