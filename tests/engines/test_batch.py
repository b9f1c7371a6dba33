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
    """An engine that paints a flat picture for each seed in three steps. Seed 13 raises InputError; seed 66 raises DeviceError."""

    seeds_of_calls: list[tuple[int, ...]] = field(default_factory=list)
    # If set, the engine waits for this event after its first report of progress.
    go: Event | None = None
    descriptor: EngineDescriptor = field(default_factory=lambda: EngineDescriptor("flat", "generate", "CC0"))

    def generate(self, request: GenerationRequest, on_progress: OnProgress = ignore_progress) -> GenerationResult:
        self.seeds_of_calls.append(request.seeds)
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


Outcome = GenerationResult | BaseException


def run_jobs(engine: Engine, calls: Sequence[Callable[[Generator], GenerationResult]], gather: float = DEADLINE) -> list[Outcome]:
    """Run each call in its own thread, as a worker process does, and return the result or error of each."""
    batch = Batch(len(calls), gather)
    outcomes: list[Outcome] = [InputError("never returned")] * len(calls)

    def work(number: int) -> None:
        try:
            outcomes[number] = calls[number](batch.wrap(engine.descriptor, lambda: engine))
        except BaseException as error:  # noqa: BLE001 - the error is the outcome of the job
            outcomes[number] = error
        finally:
            batch.leave()

    threads = [Thread(target=work, args=(number,), daemon=True) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()
    return outcomes


def call_for(generation_request: GenerationRequest, step: OnProgress = ignore_progress) -> Callable[[Generator], GenerationResult]:
    """Return a call that generates these pictures."""
    return lambda generator: generator.generate(generation_request, step)


def painted_seeds(outcome: Outcome) -> list[float]:
    """Return the seeds of the pictures in a result."""
    assert isinstance(outcome, GenerationResult), outcome
    return [round(float(each[0, 0, 0]) * 100) for each in outcome.pictures]


def test_calls_with_the_same_prompt_run_as_one() -> None:
    """Check one call with all seeds; each job gets and records only its own pictures."""
    engine = Engine()
    outcomes = run_jobs(engine, [call_for(request(seed)) for seed in (5, 6, 7)])
    assert [painted_seeds(each) for each in outcomes] == [[5], [6], [7]]
    assert [sorted(seeds) for seeds in engine.seeds_of_calls] == [[5, 6, 7]]
    assert [each.facts for each in outcomes if isinstance(each, GenerationResult)] == [{"batch": 3, "seeds": [seed]} for seed in (5, 6, 7)]


def test_different_prompts_share_a_call_if_the_engine_can() -> None:
    """Check that an engine which takes one request runs them one by one, with the same pictures."""
    requests = [request(1, prompt="a hand"), request(2, prompt="a desk")]
    batcher, plain = Batcher(), Engine()
    for engine in (batcher, plain):
        assert [painted_seeds(each) for each in run_jobs(engine, list(map(call_for, requests)))] == [[1], [2]]
    assert sorted(batcher.together[0]) == ["a desk", "a hand"]
    assert sorted(plain.seeds_of_calls) == [(1,), (2,)]


@pytest.mark.parametrize("other", [request(1, width=16), request(1, guidance=2.0), request(1, 2)])
def test_calls_that_differ_in_more_than_prompts_and_seeds_run_separately(other: GenerationRequest) -> None:
    """Check size, settings and number of pictures."""
    assert can_share_batch(request(7, prompt="x"), request(8, prompt="y"))
    assert not can_share_batch(request(7), other)
    batcher = Batcher()
    assert [len(painted_seeds(each)) for each in run_jobs(batcher, [call_for(request(7)), call_for(other)])] == [1, len(other.seeds)]
    assert batcher.together == []


def test_a_failing_job_fails_alone() -> None:
    """Check that after the failure the calls run one by one and the others succeed."""
    engine = Engine()
    outcomes = run_jobs(engine, [call_for(request(1)), call_for(request(13)), call_for(request(2))])
    assert isinstance(outcomes[1], InputError)
    assert (painted_seeds(outcomes[0]), painted_seeds(outcomes[2])) == ([1], [2])


def test_a_failed_device_fails_all_jobs() -> None:
    """Check that no call is repeated."""
    engine = Engine()
    outcomes = run_jobs(engine, [call_for(request(1)), call_for(request(66))])
    assert [type(each) for each in outcomes] == [DeviceError, DeviceError]
    assert len(engine.seeds_of_calls) == 1


def test_a_cancelled_job_returns_at_once_and_the_others_get_their_pictures() -> None:
    """Check that the cancelled job does not wait for the end of the batch."""
    engine = Engine(go=Event())
    has_returned = Event()

    def on_progress(fraction: float) -> None:
        if engine.seeds_of_calls:
            raise JobCancelled

    def call_and_cancel(generator: Generator) -> GenerationResult:
        try:
            return generator.generate(request(1), on_progress)
        finally:
            has_returned.set()
            assert engine.go is not None
            engine.go.set()

    outcomes = run_jobs(engine, [call_and_cancel, call_for(request(2))])
    assert isinstance(outcomes[0], JobCancelled)
    assert painted_seeds(outcomes[1]) == [2]
    assert has_returned.is_set()


def test_the_engine_stops_if_all_jobs_are_cancelled() -> None:
    """Check that no further step runs."""
    steps: list[float] = []

    def on_progress(fraction: float) -> None:
        steps.append(fraction)
        if fraction > 0.5:
            raise JobCancelled

    outcomes = run_jobs(Engine(), [call_for(request(1), on_progress), call_for(request(2), on_progress)])
    assert [type(each) for each in outcomes] == [JobCancelled, JobCancelled]
    assert max(steps) < 1.0


def test_a_job_that_does_not_call_delays_no_other() -> None:
    """Check a job that ends before its call and a job that calls late."""
    engine = Engine()

    def fail(generator: Generator) -> GenerationResult:
        raise InputError("It cannot be decoded.")

    outcomes = run_jobs(engine, [call_for(request(1)), fail])
    assert painted_seeds(outcomes[0]) == [1]
    first_has_returned = Event()

    def call_late(generator: Generator) -> GenerationResult:
        assert first_has_returned.wait(DEADLINE)
        return generator.generate(request(2))

    def call_first(generator: Generator) -> GenerationResult:
        result = generator.generate(request(1))
        first_has_returned.set()
        return result

    assert [painted_seeds(each) for each in run_jobs(Engine(), [call_first, call_late], gather=0.01)] == [[1], [2]]


def test_a_job_can_be_cancelled_while_it_waits() -> None:
    """Check that the cancelled job gets no picture and delays no other job."""

    def on_progress(fraction: float) -> None:
        raise JobCancelled

    engine = Engine()
    outcomes = run_jobs(engine, [call_for(request(1), on_progress), call_for(request(2))])
    assert isinstance(outcomes[0], JobCancelled)
    assert painted_seeds(outcomes[1]) == [2]


def test_no_call_runs_while_an_engine_is_opened() -> None:
    """Check this because opening an engine may close another."""
    engine = Engine()
    batch = Batch(1, gather_seconds=0.0)
    order: list[str] = []
    opening, may_open = Event(), Event()

    def open_engine() -> None:
        with batch.engine_idle():
            opening.set()
            assert may_open.wait(DEADLINE)
            order.append("opened")

    opener = Thread(target=open_engine, daemon=True)
    opener.start()
    assert opening.wait(DEADLINE)

    def report(fraction: float) -> None:
        if engine.seeds_of_calls:
            order.append("ran")

    def call_engine() -> None:
        batch.wrap(engine.descriptor, lambda: engine).generate(request(1), report)

    caller = Thread(target=call_engine, daemon=True)
    caller.start()
    may_open.set()
    for thread in (opener, caller):
        thread.join(DEADLINE)
        assert not thread.is_alive()
    assert order[0] == "opened"
    assert "ran" in order


def test_generate_many_works_without_a_batch() -> None:
    """Check that several requests, one after the other, share one progress."""
    fractions: list[float] = []
    results = generate_many(Engine(), [request(1, prompt="x"), request(2, prompt="y")], fractions.append)
    assert [painted_seeds(each) for each in results] == [[1], [2]]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
