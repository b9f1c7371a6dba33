"""Batches: similar calls run as one, and each job keeps its own pictures, progress and failure."""

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
    """Return a flat picture (8, 8, 3), 0..1, of a seed."""
    return np.full((8, 8, 3), seed / 100, np.float32)


def request(*seeds: int, prompt: str = "a hand", width: int = 8, guidance: float | None = None) -> GenerationRequest:
    return GenerationRequest(GenerationOptions(prompt, guidance=guidance), seeds, width, 8)


@dataclass
class Engine:
    """An engine that paints a flat picture for each seed in three steps. Seed 13 fails; seed 66 fails as a device."""

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
    """An engine that takes several requests in one call."""

    together: list[list[str]] = field(default_factory=list)

    def generate_many(self, requests: Sequence[GenerationRequest], on_progress: OnProgress = ignore_progress) -> Sequence[GenerationResult]:
        self.together.append([each.options.prompt for each in requests])
        return [self.generate(each, on_progress) for each in requests]


Done = GenerationResult | BaseException


def run_jobs(engine: Engine, calls: Sequence[Callable[[Generator], GenerationResult]], gather: float = DEADLINE) -> list[Done]:
    """Run each call in its own thread, as a worker process does, and return the result or error of each."""
    batch = Batch(len(calls), gather)
    done: list[Done] = [InputError("never returned")] * len(calls)

    def work(number: int) -> None:
        try:
            done[number] = calls[number](batch.wrap(engine.descriptor, lambda: engine))
        except BaseException as error:  # noqa: BLE001 - it is what came of it
            done[number] = error
        finally:
            batch.leave()

    threads = [Thread(target=work, args=(number,), daemon=True) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()
    return done


def generating(wanted: GenerationRequest, step: OnProgress = ignore_progress) -> Callable[[Generator], GenerationResult]:
    """Return a call that generates these pictures."""
    return lambda generator: generator.generate(wanted, step)


def painted_seeds(done: Done) -> list[float]:
    """Return the seeds of the pictures in a result."""
    assert isinstance(done, GenerationResult), done
    return [round(float(each[0, 0, 0]) * 100) for each in done.pictures]


def test_calls_with_the_same_prompt_run_as_one() -> None:
    """Check one call with all seeds; each job gets and records only its own pictures."""
    engine = Engine()
    done = run_jobs(engine, [generating(request(seed)) for seed in (5, 6, 7)])
    assert [painted_seeds(each) for each in done] == [[5], [6], [7]]
    assert [sorted(seeds) for seeds in engine.asked] == [[5, 6, 7]]
    assert [each.facts for each in done if isinstance(each, GenerationResult)] == [{"batch": 3, "seeds": [seed]} for seed in (5, 6, 7)]


def test_different_prompts_share_a_call_if_the_engine_can() -> None:
    """Check that they otherwise run one by one, with the same pictures."""
    wanted = [request(1, prompt="a hand"), request(2, prompt="a desk")]
    batcher, plain = Batcher(), Engine()
    for engine in (batcher, plain):
        assert [painted_seeds(each) for each in run_jobs(engine, list(map(generating, wanted)))] == [[1], [2]]
    assert sorted(batcher.together[0]) == ["a desk", "a hand"]
    assert sorted(plain.asked) == [(1,), (2,)]


@pytest.mark.parametrize("other", [request(1, width=16), request(1, guidance=2.0), request(1, 2)])
def test_calls_that_differ_in_more_than_prompts_and_seeds_run_separately(other: GenerationRequest) -> None:
    """Check size, settings and number of pictures."""
    assert can_share_batch(request(7, prompt="x"), request(8, prompt="y"))
    assert not can_share_batch(request(7), other)
    batcher = Batcher()
    assert [len(painted_seeds(each)) for each in run_jobs(batcher, [generating(request(7)), generating(other)])] == [1, len(other.seeds)]
    assert batcher.together == []


def test_a_failing_job_fails_alone() -> None:
    """Check that the calls then run one by one and that the others succeed."""
    engine = Engine()
    done = run_jobs(engine, [generating(request(1)), generating(request(13)), generating(request(2))])
    assert isinstance(done[1], InputError)
    assert (painted_seeds(done[0]), painted_seeds(done[2])) == ([1], [2])


def test_a_failed_device_fails_all_jobs() -> None:
    """Check that no call is repeated."""
    engine = Engine()
    done = run_jobs(engine, [generating(request(1)), generating(request(66))])
    assert [type(each) for each in done] == [DeviceError, DeviceError]
    assert len(engine.asked) == 1


def test_a_cancelled_job_returns_at_once_and_the_others_get_their_pictures() -> None:
    """Check that it does not wait for the end of the batch."""
    engine = Engine(go=Event())
    gone = Event()

    def on_progress(fraction: float) -> None:
        if engine.asked:
            raise JobCancelled

    def cancelled(generator: Generator) -> GenerationResult:
        try:
            return generator.generate(request(1), on_progress)
        finally:
            gone.set()
            assert engine.go is not None
            engine.go.set()

    done = run_jobs(engine, [cancelled, generating(request(2))])
    assert isinstance(done[0], JobCancelled)
    assert painted_seeds(done[1]) == [2]
    assert gone.is_set()


def test_the_engine_stops_if_all_jobs_are_cancelled() -> None:
    """Check that no further step runs."""
    steps: list[float] = []

    def on_progress(fraction: float) -> None:
        steps.append(fraction)
        if fraction > 0.5:
            raise JobCancelled

    done = run_jobs(Engine(), [generating(request(1), on_progress), generating(request(2), on_progress)])
    assert [type(each) for each in done] == [JobCancelled, JobCancelled]
    assert max(steps) < 1.0


def test_a_job_that_does_not_call_delays_no_other() -> None:
    """Check a job that ends before its call and a job that calls late."""
    engine = Engine()

    def fails(generator: Generator) -> GenerationResult:
        raise InputError("It cannot be decoded.")

    done = run_jobs(engine, [generating(request(1)), fails])
    assert painted_seeds(done[0]) == [1]
    later = Event()

    def comes_late(generator: Generator) -> GenerationResult:
        assert later.wait(DEADLINE)
        return generator.generate(request(2))

    def first(generator: Generator) -> GenerationResult:
        found = generator.generate(request(1))
        later.set()
        return found

    assert [painted_seeds(each) for each in run_jobs(Engine(), [first, comes_late], gather=0.01)] == [[1], [2]]


def test_a_job_can_be_cancelled_while_it_waits() -> None:
    """Check that it gets no picture and delays no other job."""

    def on_progress(fraction: float) -> None:
        raise JobCancelled

    engine = Engine()
    done = run_jobs(engine, [generating(request(1), on_progress), generating(request(2))])
    assert isinstance(done[0], JobCancelled)
    assert painted_seeds(done[1]) == [2]


def test_no_call_runs_while_an_engine_is_opened() -> None:
    """Check this because opening an engine may close another."""
    engine = Engine()
    batch = Batch(1, gather_seconds=0.0)
    order: list[str] = []
    opening, may_open = Event(), Event()

    def opens() -> None:
        with batch.engine_idle():
            opening.set()
            assert may_open.wait(DEADLINE)
            order.append("opened")

    opener = Thread(target=opens, daemon=True)
    opener.start()
    assert opening.wait(DEADLINE)

    def calls() -> None:
        batch.wrap(engine.descriptor, lambda: engine).generate(request(1), lambda fraction: order.append("ran") if engine.asked else None)

    caller = Thread(target=calls, daemon=True)
    caller.start()
    may_open.set()
    for thread in (opener, caller):
        thread.join(DEADLINE)
        assert not thread.is_alive()
    assert order[0] == "opened"
    assert "ran" in order


def test_generate_many_works_without_a_batch() -> None:
    """Check that several requests in turn report one progress."""
    fractions: list[float] = []
    found = generate_many(Engine(), [request(1, prompt="x"), request(2, prompt="y")], fractions.append)
    assert [painted_seeds(each) for each in found] == [[1], [2]]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
