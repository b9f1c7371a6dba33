"""Jobs that are worked on together: their calls of a generating engine meet, and those that are alike go through it as one.

A device that makes one small picture is not busy, and makes four in little more time. Each job keeps a thread, a progress, a cancel
and a failure of its own: what it asked for it gets, and nothing of the others' is seen in its pictures, since each picture depends
on its own seed alone.
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

# Seconds between two looks at whether a waiting job was called off.
_POLL_SECONDS = 0.1
# Seconds that calls wait for those of the other jobs; a job that decodes a very large picture first is not waited for longer.
GATHER_SECONDS = 5.0


# Gives the engine, open.
OpenGenerator = Callable[[], Generator]


@runtime_checkable
class SupportsBatching(Protocol):
    """A generator that takes requests with different words or pictures in one go; they are of one size and of the same settings."""

    def generate_many(self, requests: Sequence[GenerationRequest], on_progress: OnProgress = ignore_progress) -> Sequence[GenerationResult]:
        """As ``generate`` for each of them."""


def generate_many(
    generator: Generator, requests: Sequence[GenerationRequest], on_progress: OnProgress = ignore_progress
) -> list[GenerationResult]:
    """What each request asks for: in one go where the generator can, as one request where only seeds differ, else one by one."""
    if isinstance(generator, SupportsBatching) and len(requests) > 1:
        return list(generator.generate_many(requests, on_progress))
    if len(requests) > 1 and _differ_only_in_seeds(requests):
        seeds = tuple(seed for each in requests for seed in each.seeds)
        return _split_result(generator.generate(replace(requests[0], seeds=seeds), on_progress), requests)

    def share(done: int) -> OnProgress:
        return lambda fraction: on_progress((done + fraction) / len(requests))

    return [generator.generate(request, share(done)) for done, request in enumerate(requests)]


def _differ_only_in_seeds(requests: Sequence[GenerationRequest]) -> bool:
    """True for requests of the same words and nothing else."""
    first = requests[0]
    words_only = all(each.picture is None and each.hole is None and not each.references for each in requests)
    return words_only and all((each.options, each.width, each.height) == (first.options, first.width, first.height) for each in requests)


def _split_result(made: GenerationResult, requests: Sequence[GenerationRequest]) -> list[GenerationResult]:
    """Each request's own pictures; on record for each are its own seeds, and how many pictures were made in one call where the engine has
    not said so itself."""
    pictures = list(made.pictures)
    shares = []
    for request in requests:
        own = {"seeds": list(request.seeds)} if "seeds" in made.facts else {}
        shares.append(GenerationResult(tuple(pictures[: len(request.seeds)]), {"batch": len(made.pictures), **made.facts, **own}))
        del pictures[: len(request.seeds)]
    return shares


def can_share_batch(first: GenerationRequest, second: GenerationRequest) -> bool:
    """True where both may go through a pipeline in one go: everything is the same but words, seeds and what is in the pictures."""
    return _batch_key(first) == _batch_key(second)


def _batch_key(request: GenerationRequest) -> tuple[object, ...]:
    wish = replace(request.options, prompt="")
    return wish, request.width, request.height, len(request.seeds), request.picture is None, request.hole is None, len(request.references)


@dataclass(eq=False, slots=True)
class _PendingCall:
    """One job's call while it waits."""

    # The engine's.
    name: str
    reopen: OpenGenerator
    request: GenerationRequest
    on_progress: OnProgress
    result: GenerationResult | None = None
    error: BaseException | None = None
    # True once it goes through the engine.
    is_running: bool = False

    @property
    def is_done(self) -> bool:
        return self.result is not None or self.error is not None

    def report_progress(self, fraction: float) -> None:
        """Tell its job how far it is; what the job raises (it was called off) ends its own waiting and nobody else's."""
        if self.error is None:
            try:
                self.on_progress(fraction)
            except BaseException as error:  # noqa: BLE001 - it is raised again where it belongs, in the job's own thread
                self.error = error


class Batch:
    """So many jobs that are worked on together, each in a thread of its own. The engine runs in a further one, so that no job that is
    called off has to wait for the others."""

    def __init__(self, job_count: int, gather_seconds: float = GATHER_SECONDS) -> None:
        self._members = job_count
        self._gather = gather_seconds
        self._changed = Condition(Lock())
        self._waiting: list[_PendingCall] = []
        self._running = False

    def wrap(self, descriptor: EngineDescriptor, reopen: OpenGenerator) -> Generator:
        """A generator as a job of this flight sees it; ``again`` gives it, opening it anew where it was closed to make room."""
        return _BatchedGenerator(self, descriptor, reopen)

    @contextmanager
    def engine_idle(self) -> Iterator[None]:
        """Nothing goes through an engine meanwhile: to open one may close another."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running)
            self._running = True
        try:
            yield
        finally:
            self._mark_idle()

    def leave(self) -> None:
        """A job has come to its end, whichever: nobody waits for its calls any more."""
        with self._changed:
            self._members -= 1
            self._changed.notify_all()

    def generate(self, name: str, reopen: OpenGenerator, request: GenerationRequest, on_progress: OnProgress) -> GenerationResult:
        """One job's call: waits for the others', and raises what is this job's own to hear."""
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
        """True when every job that is still in the flight has called."""
        return len(self._waiting) >= self._members

    def _start_group(self) -> None:
        """Send the first call through the engine with all that are like it."""
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
    """Implements ``Generator``: one whose calls meet those of the other jobs."""

    def __init__(self, batch: Batch, descriptor: EngineDescriptor, reopen: OpenGenerator) -> None:
        self.descriptor = descriptor
        self._flight = batch
        self._again = reopen

    def generate(self, request: GenerationRequest, on_progress: OnProgress = ignore_progress) -> GenerationResult:
        return self._flight.generate(self.descriptor.name, self._again, request, on_progress)


class _AllCancelled(Exception):
    """Nobody wants the pictures any more."""


def _run_calls(group: Sequence[_PendingCall], on_change: Callable[[], None]) -> None:
    """Run the calls and leave with each what is its own. One that fails for all is tried again one by one, but for a dead device."""

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
