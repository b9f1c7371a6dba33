"""Calls that meet: what is alike goes through the engine as one, and each job keeps what is its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Event, Thread

import numpy as np
import pytest

from goldsmith.engines.batch import Batch, can_share_batch, generate_many
from goldsmith.engines.protocols import (
    EngineDescriptor,
    GenerationOptions,
    GenerationRequest,
    GenerationResult,
    Generator,
    OnProgress,
    ignore_progress,
)
from goldsmith.errors import DeviceError, InputError, JobCancelled
from goldsmith.picture.picture import Pixels

DEADLINE = 600.0


def picture(seed: int) -> Pixels:
    return np.full((8, 8, 3), seed / 100, np.float32)


def request(*seeds: int, prompt: str = "a hand", width: int = 8, guidance: float | None = None) -> GenerationRequest:
    return GenerationRequest(GenerationOptions(prompt, guidance=guidance), seeds, width, 8)


@dataclass
class Engine:
    """Makes a flat picture of each seed, in three steps, and keeps what it was asked. Fails for seed 13 and, dead, for seed 66."""

    asked: list[tuple[int, ...]] = field(default_factory=list)
    # Waited for after the first step, where there is one.
    go: Event | None = None
    descriptor: EngineDescriptor = field(default_factory=lambda: EngineDescriptor("flat", "generate", "CC0"))

    def generate(self, request: GenerationRequest, on_progress: OnProgress = ignore_progress) -> GenerationResult:
        self.asked.append(request.seeds)
        on_progress(0.0)
        if self.go is not None:
            assert self.go.wait(DEADLINE)
        for fraction in (1 / 3, 2 / 3, 1.0):
            on_progress(fraction)
        if 13 in request.seeds:
            raise InputError("The picture is black.")
        if 66 in request.seeds:
            raise DeviceError("cuda:0 is gone.")
        return GenerationResult(tuple(map(picture, request.seeds)), {"batch": len(request.seeds), "seeds": list(request.seeds)})


@dataclass
class Batcher(Engine):
    """One that takes several requests at once."""

    together: list[list[str]] = field(default_factory=list)

    def generate_many(self, requests: Sequence[GenerationRequest], on_progress: OnProgress = ignore_progress) -> Sequence[GenerationResult]:
        self.together.append([each.options.prompt for each in requests])
        return [self.generate(each, on_progress) for each in requests]


Done = GenerationResult | BaseException


def fly(engine: Engine, calls: Sequence[Callable[[Generator], GenerationResult]], gather: float = DEADLINE) -> list[Done]:
    """Each call in a thread of its own, as a lane does it; what came of each."""
    flight = Batch(len(calls), gather)
    done: list[Done] = [InputError("never came back")] * len(calls)

    def work(number: int) -> None:
        try:
            done[number] = calls[number](flight.wrap(engine.descriptor, lambda: engine))
        except BaseException as error:  # noqa: BLE001 - it is what came of it
            done[number] = error
        finally:
            flight.leave()

    threads = [Thread(target=work, args=(number,), daemon=True) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()
    return done


def asking(wanted: GenerationRequest, step: OnProgress = ignore_progress) -> Callable[[Generator], GenerationResult]:
    return lambda generator: generator.generate(wanted, step)


def made(done: Done) -> list[float]:
    assert isinstance(done, GenerationResult), done
    return [round(float(each[0, 0, 0]) * 100) for each in done.pictures]


def test_calls_of_the_same_words_go_through_as_one() -> None:
    """The engine is called once with everybody's seeds; each gets the pictures of its own, and only those are on its record."""
    engine = Engine()
    done = fly(engine, [asking(request(seed)) for seed in (5, 6, 7)])
    assert [made(each) for each in done] == [[5], [6], [7]]
    assert [sorted(seeds) for seeds in engine.asked] == [[5, 6, 7]]
    assert [each.facts for each in done if isinstance(each, GenerationResult)] == [{"batch": 3, "seeds": [seed]} for seed in (5, 6, 7)]


def test_other_words_are_taken_together_where_the_engine_can() -> None:
    """Else one after the other, with the same pictures."""
    wanted = [request(1, prompt="a hand"), request(2, prompt="a desk")]
    batcher, plain = Batcher(), Engine()
    for engine in (batcher, plain):
        assert [made(each) for each in fly(engine, list(map(asking, wanted)))] == [[1], [2]]
    assert sorted(batcher.together[0]) == ["a desk", "a hand"]
    assert sorted(plain.asked) == [(1,), (2,)]


@pytest.mark.parametrize("other", [request(1, width=16), request(1, guidance=2.0), request(1, 2)])
def test_calls_that_differ_in_more_than_words_and_seeds_do_not_meet(other: GenerationRequest) -> None:
    """Size, settings, number of pictures."""
    assert can_share_batch(request(7, prompt="x"), request(8, prompt="y"))
    assert not can_share_batch(request(7), other)
    batcher = Batcher()
    assert [len(made(each)) for each in fly(batcher, [asking(request(7)), asking(other)])] == [1, len(other.seeds)]
    assert batcher.together == []


def test_one_that_fails_fails_alone() -> None:
    """The batch is tried again one by one, so that the others come through."""
    engine = Engine()
    done = fly(engine, [asking(request(1)), asking(request(13)), asking(request(2))])
    assert isinstance(done[1], InputError)
    assert (made(done[0]), made(done[2])) == ([1], [2])


def test_a_dead_device_is_everybody_s() -> None:
    """Nothing is tried again on it."""
    engine = Engine()
    done = fly(engine, [asking(request(1)), asking(request(66))])
    assert [type(each) for each in done] == [DeviceError, DeviceError]
    assert len(engine.asked) == 1


def test_one_that_is_called_off_goes_at_once_and_the_others_get_their_pictures() -> None:
    """It does not even wait for the end of the batch."""
    engine = Engine(go=Event())
    gone = Event()

    def heard(fraction: float) -> None:
        if engine.asked:
            raise JobCancelled

    def called_off(generator: Generator) -> GenerationResult:
        try:
            return generator.generate(request(1), heard)
        finally:
            gone.set()
            assert engine.go is not None
            engine.go.set()

    done = fly(engine, [called_off, asking(request(2))])
    assert isinstance(done[0], JobCancelled)
    assert made(done[1]) == [2]
    assert gone.is_set()


def test_where_all_are_called_off_the_engine_stops() -> None:
    """Nobody wants the pictures any more."""
    steps: list[float] = []

    def heard(fraction: float) -> None:
        steps.append(fraction)
        if fraction > 0.5:
            raise JobCancelled

    done = fly(Engine(), [asking(request(1), heard), asking(request(2), heard)])
    assert [type(each) for each in done] == [JobCancelled, JobCancelled]
    assert max(steps) < 1.0


def test_a_job_that_never_calls_is_not_waited_for() -> None:
    """It ended before it came to it, or it takes too long over something else."""
    engine = Engine()

    def fails(generator: Generator) -> GenerationResult:
        raise InputError("It cannot be decoded.")

    done = fly(engine, [asking(request(1)), fails])
    assert made(done[0]) == [1]
    later = Event()

    def comes_late(generator: Generator) -> GenerationResult:
        assert later.wait(DEADLINE)
        return generator.generate(request(2))

    def first(generator: Generator) -> GenerationResult:
        found = generator.generate(request(1))
        later.set()
        return found

    assert [made(each) for each in fly(Engine(), [first, comes_late], gather=0.01)] == [[1], [2]]


def test_one_that_is_called_off_while_it_waits_for_the_others_goes() -> None:
    """Nothing is made for it, and nobody waits for it."""

    def heard(fraction: float) -> None:
        raise JobCancelled

    engine = Engine()
    done = fly(engine, [asking(request(1), heard), asking(request(2))])
    assert isinstance(done[0], JobCancelled)
    assert made(done[1]) == [2]


def test_nothing_runs_while_an_engine_is_opened() -> None:
    """To make room for another may close the one that is at work."""
    engine = Engine()
    flight = Batch(1, gather_seconds=0.0)
    order: list[str] = []
    opening, may_open = Event(), Event()

    def opens() -> None:
        with flight.engine_idle():
            opening.set()
            assert may_open.wait(DEADLINE)
            order.append("opened")

    opener = Thread(target=opens, daemon=True)
    opener.start()
    assert opening.wait(DEADLINE)

    def calls() -> None:
        flight.wrap(engine.descriptor, lambda: engine).generate(request(1), lambda fraction: order.append("ran") if engine.asked else None)

    caller = Thread(target=calls, daemon=True)
    caller.start()
    may_open.set()
    for thread in (opener, caller):
        thread.join(DEADLINE)
        assert not thread.is_alive()
    assert order[0] == "opened"
    assert "ran" in order


def test_requests_alone_need_no_batch() -> None:
    """One request goes as it is; progress of several in turn is told as one."""
    heard: list[float] = []
    found = generate_many(Engine(), [request(1, prompt="x"), request(2, prompt="y")], heard.append)
    assert [made(each) for each in found] == [[1], [2]]
    assert heard == sorted(heard)
    assert heard[-1] == 1.0
