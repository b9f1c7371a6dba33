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
    Descriptor,
    Generated,
    Generator,
    OnStep,
    Request,
    unheard,
)
from goldsmith.errors import MachineFault

_LOOK = 0.1
"""Seconds between two looks at whether a waiting job was called off."""
GATHER = 5.0
"""Seconds that calls wait for those of the other jobs; a job that decodes a very large picture first is not waited for longer."""


Open = Callable[[], Generator]
"""Gives the engine, open."""


@runtime_checkable
class Batching(Protocol):
    """A generator that takes requests with different words or pictures in one go; they are of one size and of the same settings."""

    def generate_many(self, requests: Sequence[Request], step: OnStep = unheard) -> Sequence[Generated]:
        """As ``generate`` for each of them."""


def generate_many(generator: Generator, requests: Sequence[Request], step: OnStep = unheard) -> list[Generated]:
    """What each request asks for: in one go where the generator can, as one request where only seeds differ, else one by one."""
    if isinstance(generator, Batching) and len(requests) > 1:
        return list(generator.generate_many(requests, step))
    if len(requests) > 1 and _differ_in_seeds(requests):
        seeds = tuple(seed for each in requests for seed in each.seeds)
        return _split(generator.generate(replace(requests[0], seeds=seeds), step), requests)

    def share(done: int) -> OnStep:
        return lambda fraction: step((done + fraction) / len(requests))

    return [generator.generate(request, share(done)) for done, request in enumerate(requests)]


def _differ_in_seeds(requests: Sequence[Request]) -> bool:
    """True for requests of the same words and nothing else."""
    first = requests[0]
    words_only = all(each.picture is None and each.hole is None and not each.references for each in requests)
    return words_only and all((each.wish, each.width, each.height) == (first.wish, first.width, first.height) for each in requests)


def _split(made: Generated, requests: Sequence[Request]) -> list[Generated]:
    """Each request's own pictures; on record for each are its own seeds, and how many pictures were made in one call where the engine has
    not said so itself."""
    pictures = list(made.pictures)
    shares = []
    for request in requests:
        own = {"seeds": list(request.seeds)} if "seeds" in made.facts else {}
        shares.append(Generated(tuple(pictures[: len(request.seeds)]), {"batch": len(made.pictures), **made.facts, **own}))
        del pictures[: len(request.seeds)]
    return shares


def alike(one: Request, other: Request) -> bool:
    """True where both may go through a pipeline in one go: everything is the same but words, seeds and what is in the pictures."""
    return _shape(one) == _shape(other)


def _shape(request: Request) -> tuple[object, ...]:
    wish = replace(request.wish, prompt="")
    return wish, request.width, request.height, len(request.seeds), request.picture is None, request.hole is None, len(request.references)


@dataclass(eq=False, slots=True)
class _Call:
    """One job's call while it waits."""

    name: str
    """The engine's."""
    again: Open
    request: Request
    step: OnStep
    made: Generated | None = None
    error: BaseException | None = None
    taken: bool = False
    """True once it goes through the engine."""

    @property
    def over(self) -> bool:
        return self.made is not None or self.error is not None

    def hear(self, fraction: float) -> None:
        """Tell its job how far it is; what the job raises (it was called off) ends its own waiting and nobody else's."""
        if self.error is None:
            try:
                self.step(fraction)
            except BaseException as error:  # noqa: BLE001 - it is raised again where it belongs, in the job's own thread
                self.error = error


class Flight:
    """So many jobs that are worked on together, each in a thread of its own. The engine runs in a further one, so that no job that is
    called off has to wait for the others."""

    def __init__(self, members: int, gather: float = GATHER) -> None:
        self._members = members
        self._gather = gather
        self._changed = Condition(Lock())
        self._waiting: list[_Call] = []
        self._running = False

    def around(self, descriptor: Descriptor, again: Open) -> Generator:
        """A generator as a job of this flight sees it; ``again`` gives it, opening it anew where it was closed to make room."""
        return _Met(self, descriptor, again)

    @contextmanager
    def still(self) -> Iterator[None]:
        """Nothing goes through an engine meanwhile: to open one may close another."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running)
            self._running = True
        try:
            yield
        finally:
            self._rest()

    def leave(self) -> None:
        """A job has come to its end, whichever: nobody waits for its calls any more."""
        with self._changed:
            self._members -= 1
            self._changed.notify_all()

    def generate(self, name: str, again: Open, request: Request, step: OnStep) -> Generated:
        """One job's call: waits for the others', and raises what is this job's own to hear."""
        call = _Call(name, again, request, step)
        with self._changed:
            self._waiting.append(call)
            end = monotonic() + self._gather
            while not call.over:
                if not (call.taken or self._running) and (self._complete or monotonic() >= end):
                    self._begin()
                self._changed.notify_all()
                self._changed.wait(_LOOK)
                if not call.taken:
                    call.hear(0.0)
            if call in self._waiting:
                self._waiting.remove(call)
        if call.error is not None:
            raise call.error
        if call.made is None:
            raise MachineFault("The engine brought nothing.")
        return call.made

    @property
    def _complete(self) -> bool:
        """True when every job that is still in the flight has called."""
        return len(self._waiting) >= self._members

    def _begin(self) -> None:
        """Send the first call through the engine with all that are like it."""
        first = self._waiting[0]
        group = [call for call in self._waiting if call.name == first.name and alike(call.request, first.request)]
        for call in group:
            call.taken = True
            self._waiting.remove(call)
        self._running = True
        Thread(target=self._run, args=(group,), name="engine", daemon=True).start()

    def _run(self, group: Sequence[_Call]) -> None:
        try:
            _through(group, self._told)
        finally:
            self._rest()

    def _rest(self) -> None:
        with self._changed:
            self._running = False
            self._changed.notify_all()

    def _told(self) -> None:
        with self._changed:
            self._changed.notify_all()


class _Met:
    """Implements ``Generator``: one whose calls meet those of the other jobs."""

    def __init__(self, flight: Flight, descriptor: Descriptor, again: Open) -> None:
        self.descriptor = descriptor
        self._flight = flight
        self._again = again

    def generate(self, request: Request, step: OnStep = unheard) -> Generated:
        return self._flight.generate(self.descriptor.name, self._again, request, step)


class _AllCalledOff(Exception):
    """Nobody wants the pictures any more."""


def _through(group: Sequence[_Call], told: Callable[[], None]) -> None:
    """Run the calls and leave with each what is its own. One that fails for all is tried again one by one, but for a dead device."""

    def hear(fraction: float) -> None:
        before = sum(call.over for call in group)
        for call in group:
            call.hear(fraction)
        if sum(call.over for call in group) > before:
            told()
        if all(call.over for call in group):
            raise _AllCalledOff

    try:
        made = generate_many(group[0].again(), [call.request for call in group], hear)
    except _AllCalledOff:
        return
    except BaseException as error:  # noqa: BLE001 - it is raised again in the thread of each job that it belongs to
        left = [call for call in group if not call.over]
        if isinstance(error, MachineFault) or len(group) == 1:
            for call in left:
                call.error = error
        else:
            for call in left:
                _through([call], told)
        return
    for call, share in zip(group, made, strict=True):
        call.made = share if call.error is None else None
