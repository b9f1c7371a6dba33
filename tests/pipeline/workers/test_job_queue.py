"""Who goes next: jobs keep together by model, and nobody is passed over for ever."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.jobs.job import Job, JobInput, ResourceLimits
from goldsmith.pipeline.workers.job_queue import MAX_SKIPPED_SECONDS, MAX_SKIPS, JobQueue, LoadedModels

A, B = frozenset({"a"}), frozenset({"b"})
COLD: LoadedModels = frozenset()


def job(name: str, *models: str, batch_key: str = "") -> Job:
    picture = JobInput.model_construct(role="picture", name="", path=f"inbox/{name}.png", sig=None, sha256="")
    limits = ResourceLimits(timeout_seconds=60, max_memory_bytes=2**30, max_pixels=10**6)
    return Job.model_construct(
        id=name,
        root="/",
        stage="edit",
        queue="gpu",
        stem=name,
        inputs=(picture,),
        steps=(),
        scratch="",
        limits=limits,
        models=models,
        batch_key=batch_key,
    )


def line(*jobs: Job) -> JobQueue:
    queue = JobQueue()
    for each in jobs:
        queue.append(each)
    return queue


def choice(queue: JobQueue, seats: list[LoadedModels], now: float = 0.0) -> tuple[int, Job]:
    chosen = queue.take_next(seats, now)
    assert chosen is not None
    return chosen


def drained(queue: JobQueue, loaded: LoadedModels, now: float = 0.0) -> str:
    """The order in which one seat takes everything that waits, loading as it goes."""
    order = ""
    while queue:
        _, chosen = choice(queue, [loaded], now)
        loaded = frozenset(chosen.models) or loaded
        order += chosen.id
    return order


def test_jobs_go_in_the_order_they_came() -> None:
    """Where none opens a model, and where all open the same."""
    assert drained(line(*map(job, "abcdef")), COLD) == "abcdef"
    assert drained(line(*(job(name, "a") for name in "abc")), COLD) == "abc"


def test_what_is_loaded_goes_first_and_then_the_other_in_one_go() -> None:
    """One swap where turn by turn would take five."""
    jobs = [job(name, "a" if name.isupper() else "b") for name in "aBcDeF"]
    assert drained(line(*jobs), A) == "BDFace"


def test_a_job_without_a_model_waits_for_nobody() -> None:
    """It fits every seat, and throws nothing out."""
    assert drained(line(job("1"), job("b", "b"), job("2"), job("a", "a")), A) == "12ab"


def test_a_job_is_passed_over_so_often_and_no_more() -> None:
    """Eight go first, then it is its turn whatever is loaded."""
    queue = line(job("b", "b"), *(job(f"{number}", "a") for number in range(20)))
    taken = [choice(queue, [A])[1].id for _ in range(MAX_SKIPS + 1)]
    assert taken == [*map(str, range(MAX_SKIPS)), "b"]


def test_a_job_is_passed_over_so_long_and_no_longer() -> None:
    """Counted from when the first went before it, not from when it came: a long line is nobody's passing over."""
    queue = line(job("b", "b"), *(job(f"{number}", "a") for number in range(5)))
    assert choice(queue, [A], 1000.0)[1].id == "0"
    assert choice(queue, [A], 1000.0 + MAX_SKIPPED_SECONDS - 1)[1].id == "1"
    assert choice(queue, [A], 1000.0 + MAX_SKIPPED_SECONDS)[1].id == "b"


def test_a_swap_can_be_put_off() -> None:
    """While another seat is about to be there, nothing is thrown out; what fits still goes."""
    queue = line(job("b", "b"), job("a", "a"))
    assert queue.take_next([A], 0.0, may_evict=False) == (0, job("a", "a"))
    assert queue.take_next([A], 0.0, may_evict=False) is None
    assert queue.take_next([A], 0.0) == (0, job("b", "b"))


def test_an_empty_seat_takes_whoever_came_first() -> None:
    """It throws nothing out, so nobody goes before."""
    queue = line(job("b", "b"), job("1"), job("a", "a"))
    assert queue.take_next([A, COLD], 0.0) == (1, job("b", "b"))
    assert choice(queue, [A, COLD], 0.0)[1].id == "1"


def test_whoever_has_the_model_gets_the_job() -> None:
    """Of two free seats; and where neither has it, the one that loses least."""
    assert choice(line(job("b", "b")), [A, B])[0] == 1
    assert choice(line(job("c", "c")), [A, COLD])[0] == 1
    queue = line(job("b", "b"), *(job(f"{number}", "a") for number in range(MAX_SKIPS)))
    for _ in range(MAX_SKIPS):
        queue.take_next([A], 0.0)
    queue.append(job("x", "a"))
    assert queue.take_next([A, B], 0.0) == (1, job("b", "b"))


def test_a_job_that_is_put_back_stands_in_front() -> None:
    """Several in their order; or behind so many others."""
    queue = line(job("3"), job("4"))
    queue.requeue([job("1"), job("2")])
    queue.requeue([job("x")], position=1)
    assert [each.id for each in queue] == ["1", "x", "2", "3", "4"]


def test_who_is_put_back_does_not_hide_who_has_waited() -> None:
    """Behind one that came to the front again stands one that must not be passed over any more."""
    queue = line(job("b", "b"), *(job(f"{number}", "a") for number in range(MAX_SKIPS + 3)))
    for _ in range(MAX_SKIPS):
        queue.take_next([A], 0.0)
    queue.requeue([job("x", "c")])
    assert choice(queue, [A])[1].id == "b"


def test_mates_are_such_as_are_alike_and_count_as_passing_over() -> None:
    """As many as are wanted; nobody who is overdue is passed for the sake of company."""
    queue = line(
        job("b", "b"),
        job("1", "a", batch_key="x"),
        job("2", "a", batch_key="y"),
        job("3", "a", batch_key="x"),
        job("4", "a", batch_key="x"),
    )
    _, first = choice(queue, [A])
    assert [mate.id for mate in queue.take_compatible(first, 2, lambda each: True, 0.0)] == ["3", "4"]
    queue = line(job("b", "b"), *(job(f"{number}", "a", batch_key="x") for number in range(20)))
    _, first = choice(queue, [A])
    assert len(queue.take_compatible(first, 19, lambda each: True, 0.0)) == MAX_SKIPS - 1
    assert choice(queue, [A], 0.0)[1].id == "b"


def test_company_is_not_forced_on_anybody() -> None:
    """A job of which a process may have died runs by itself."""
    queue = line(*(job(f"{number}", "a", batch_key="x") for number in range(4)))
    _, first = choice(queue, [A])
    assert [mate.id for mate in queue.take_compatible(first, 9, lambda each: each.id != "2", 0.0)] == ["1", "3"]


@pytest.mark.parametrize("loaded", [A, B, COLD])
def test_the_order_that_is_told_is_the_order_in_which_they_go(loaded: LoadedModels) -> None:
    """For one seat exactly; asking changes nothing."""
    jobs = [job(f"{number:02d}", "ab"[number // 3 % 2]) for number in range(40)]
    queue = line(*jobs)
    told = queue.predict_order([loaded], 0.0, 100)
    assert told == queue.predict_order([loaded], 0.0, 100)
    assert "".join(told) == drained(queue, loaded)


@dataclass
class Seat:
    loaded: LoadedModels = COLD
    busy: float = 0.0


@dataclass
class Shift:
    """A lane with a held clock: seats take jobs as they become free, and every passing over is written down."""

    seats: list[Seat]
    now: float = 0.0
    queue: JobQueue = field(default_factory=JobQueue)
    passed: dict[str, list[float]] = field(default_factory=dict)

    def take(self, seconds: float) -> None:
        free = [seat for seat in self.seats if seat.busy <= self.now]
        if not free:
            self.now = min(seat.busy for seat in self.seats)
            free = [seat for seat in self.seats if seat.busy <= self.now]
        before = [each.id for each in self.queue]
        fitting = [each for each in self.queue if any(frozenset(each.models) <= seat.loaded for seat in free)]
        at, chosen = choice(self.queue, [seat.loaded for seat in free], self.now)
        for name in before[: before.index(chosen.id)]:
            self.passed.setdefault(name, []).append(self.now)
        seat = free[at]
        if seat.loaded and not frozenset(chosen.models) <= seat.loaded:
            overdue = (
                len(self.passed.get(chosen.id, ())) >= MAX_SKIPS
                or self.now - min(self.passed.get(chosen.id, [self.now])) >= MAX_SKIPPED_SECONDS
            )
            assert not fitting or overdue, "a swap that was not needed"
        seat.loaded = frozenset(chosen.models) or seat.loaded
        seat.busy = self.now + seconds


MODELS = st.sampled_from([(), ("a",), ("b",), ("c",), ("a", "b")])


@given(
    st.integers(1, 3),
    st.lists(st.tuples(MODELS, st.integers(0, 3), st.floats(0.1, 200.0)), min_size=1, max_size=60),
)
@settings(max_examples=300, deadline=None)
def test_nobody_starves_and_no_swap_is_wasted(seats: int, arrivals: list[tuple[tuple[str, ...], int, float]]) -> None:
    """Whatever comes and however long it takes: no job is passed over by more than so many, nor by anybody so long after the first;
    a model is thrown out only if nothing fits what is loaded, or for somebody who has waited long enough."""
    shift = Shift([Seat() for _ in range(seats)])
    names = itertools.count()
    for models, taken, seconds in arrivals:
        shift.queue.append(job(f"{next(names)}", *models))
        for _ in range(taken):
            if shift.queue:
                shift.take(seconds)
        if seconds > 150 and shift.queue:  # a process dies, and its job stands in front again
            _, again = choice(shift.queue, [COLD], shift.now)
            shift.passed.pop(again.id, None)
            shift.queue.requeue([again])
    while shift.queue:
        shift.take(arrivals[0][2])
    for moments in shift.passed.values():
        assert len(moments) <= MAX_SKIPS
        assert moments[-1] - moments[0] < MAX_SKIPPED_SECONDS
