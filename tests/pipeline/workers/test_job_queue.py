"""The order of jobs: jobs for one model go together, and no job is skipped for ever."""

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


def queue_of(*jobs: Job) -> JobQueue:
    queue = JobQueue()
    for job in jobs:
        queue.append(job)
    return queue


def take(queue: JobQueue, slots: list[LoadedModels], now: float = 0.0) -> tuple[int, Job]:
    taken = queue.take_next(slots, now)
    assert taken is not None
    return taken


def order_of(queue: JobQueue, loaded: LoadedModels, now: float = 0.0) -> str:
    """Return the order in which one slot takes all jobs, loading models as it goes."""
    order = ""
    while queue:
        _, taken = take(queue, [loaded], now)
        loaded = frozenset(taken.models) or loaded
        order += taken.id
    return order


def test_jobs_go_in_order_of_arrival() -> None:
    """This holds for jobs without a model, and for jobs with the same model."""
    assert order_of(queue_of(*map(job, "abcdef")), COLD) == "abcdef"
    assert order_of(queue_of(*(job(name, "a") for name in "abc")), COLD) == "abc"


def test_all_jobs_for_the_loaded_model_go_first() -> None:
    """The model changes once instead of five times."""
    jobs = [job(name, "a" if name.isupper() else "b") for name in "aBcDeF"]
    assert order_of(queue_of(*jobs), A) == "BDFace"


def test_a_job_without_a_model_is_not_skipped() -> None:
    """It fits every slot and unloads no model."""
    assert order_of(queue_of(job("1"), job("b", "b"), job("2"), job("a", "a")), A) == "12ab"


def test_a_job_is_skipped_only_so_often() -> None:
    """Eight later jobs go first; then it is its turn, whatever is loaded."""
    queue = queue_of(job("b", "b"), *(job(f"{number}", "a") for number in range(20)))
    taken = [take(queue, [A])[1].id for _ in range(MAX_SKIPS + 1)]
    assert taken == [*map(str, range(MAX_SKIPS)), "b"]


def test_a_job_is_skipped_only_for_so_long() -> None:
    """The time counts from the first skip, not from the arrival: a long queue is not a skip."""
    queue = queue_of(job("b", "b"), *(job(f"{number}", "a") for number in range(5)))
    assert take(queue, [A], 1000.0)[1].id == "0"
    assert take(queue, [A], 1000.0 + MAX_SKIPPED_SECONDS - 1)[1].id == "1"
    assert take(queue, [A], 1000.0 + MAX_SKIPPED_SECONDS)[1].id == "b"


def test_unloading_a_model_can_be_forbidden() -> None:
    """While another process is about to be ready no model is unloaded; a job that fits still goes."""
    queue = queue_of(job("b", "b"), job("a", "a"))
    assert queue.take_next([A], 0.0, may_evict=False) == (0, job("a", "a"))
    assert queue.take_next([A], 0.0, may_evict=False) is None
    assert queue.take_next([A], 0.0) == (0, job("b", "b"))


def test_an_empty_slot_takes_the_first_job() -> None:
    """It unloads no model, so no job is skipped."""
    queue = queue_of(job("b", "b"), job("1"), job("a", "a"))
    assert queue.take_next([A, COLD], 0.0) == (1, job("b", "b"))
    assert take(queue, [A, COLD], 0.0)[1].id == "1"


def test_the_slot_with_the_model_gets_the_job() -> None:
    """If no free slot has the model, the slot with the fewest models gets the job."""
    assert take(queue_of(job("b", "b")), [A, B])[0] == 1
    assert take(queue_of(job("c", "c")), [A, COLD])[0] == 1
    queue = queue_of(job("b", "b"), *(job(f"{number}", "a") for number in range(MAX_SKIPS)))
    for _ in range(MAX_SKIPS):
        queue.take_next([A], 0.0)
    queue.append(job("x", "a"))
    assert queue.take_next([A, B], 0.0) == (1, job("b", "b"))


def test_requeued_jobs_go_to_the_front() -> None:
    """Several keep their order; a position puts them behind so many others."""
    queue = queue_of(job("3"), job("4"))
    queue.requeue([job("1"), job("2")])
    queue.requeue([job("x")], position=1)
    assert [each.id for each in queue] == ["1", "x", "2", "3", "4"]


def test_a_requeued_job_does_not_hide_an_overdue_job() -> None:
    """The overdue job stands behind the requeued one, and still goes first."""
    queue = queue_of(job("b", "b"), *(job(f"{number}", "a") for number in range(MAX_SKIPS + 3)))
    for _ in range(MAX_SKIPS):
        queue.take_next([A], 0.0)
    queue.requeue([job("x", "c")])
    assert take(queue, [A])[1].id == "b"


def test_a_batch_takes_compatible_jobs_and_counts_as_a_skip() -> None:
    """It takes at most the given number, and no job from behind an overdue one."""
    queue = queue_of(
        job("b", "b"),
        job("1", "a", batch_key="x"),
        job("2", "a", batch_key="y"),
        job("3", "a", batch_key="x"),
        job("4", "a", batch_key="x"),
    )
    _, first = take(queue, [A])
    assert [other.id for other in queue.take_compatible(first, 2, lambda each: True, 0.0)] == ["3", "4"]
    queue = queue_of(job("b", "b"), *(job(f"{number}", "a", batch_key="x") for number in range(20)))
    _, first = take(queue, [A])
    assert len(queue.take_compatible(first, 19, lambda each: True, 0.0)) == MAX_SKIPS - 1
    assert take(queue, [A], 0.0)[1].id == "b"


def test_a_job_that_must_run_alone_joins_no_batch() -> None:
    """A process may have died of this job."""
    queue = queue_of(*(job(f"{number}", "a", batch_key="x") for number in range(4)))
    _, first = take(queue, [A])
    assert [other.id for other in queue.take_compatible(first, 9, lambda each: each.id != "2", 0.0)] == ["1", "3"]


@pytest.mark.parametrize("loaded", [A, B, COLD])
def test_the_predicted_order_is_the_real_order(loaded: LoadedModels) -> None:
    """It is exact for one slot, and a prediction changes nothing."""
    jobs = [job(f"{number:02d}", "ab"[number // 3 % 2]) for number in range(40)]
    queue = queue_of(*jobs)
    predicted = queue.predict_order([loaded], 0.0, 100)
    assert predicted == queue.predict_order([loaded], 0.0, 100)
    assert "".join(predicted) == order_of(queue, loaded)


@dataclass
class FakeSlot:
    loaded: LoadedModels = COLD
    busy: float = 0.0


@dataclass
class FakePool:
    """A queue on a clock of its own: slots take jobs as they become free, and every skip is noted."""

    slots: list[FakeSlot]
    now: float = 0.0
    queue: JobQueue = field(default_factory=JobQueue)
    skips: dict[str, list[float]] = field(default_factory=dict)

    def take(self, seconds: float) -> None:
        free = [slot for slot in self.slots if slot.busy <= self.now]
        if not free:
            self.now = min(slot.busy for slot in self.slots)
            free = [slot for slot in self.slots if slot.busy <= self.now]
        before = [each.id for each in self.queue]
        fitting = [each for each in self.queue if any(frozenset(each.models) <= slot.loaded for slot in free)]
        index, taken = take(self.queue, [slot.loaded for slot in free], self.now)
        for name in before[: before.index(taken.id)]:
            self.skips.setdefault(name, []).append(self.now)
        slot = free[index]
        if slot.loaded and not frozenset(taken.models) <= slot.loaded:
            overdue = (
                len(self.skips.get(taken.id, ())) >= MAX_SKIPS
                or self.now - min(self.skips.get(taken.id, [self.now])) >= MAX_SKIPPED_SECONDS
            )
            assert not fitting or overdue, "a model was unloaded without need"
        slot.loaded = frozenset(taken.models) or slot.loaded
        slot.busy = self.now + seconds


MODELS = st.sampled_from([(), ("a",), ("b",), ("c",), ("a", "b")])


@given(
    st.integers(1, 3),
    st.lists(st.tuples(MODELS, st.integers(0, 3), st.floats(0.1, 200.0)), min_size=1, max_size=60),
)
@settings(max_examples=300, deadline=None)
def test_no_job_starves_and_no_model_is_unloaded_without_need(slots: int, arrivals: list[tuple[tuple[str, ...], int, float]]) -> None:
    """No job is skipped more often or for longer than the limits allow, whatever arrives and however long jobs take.

    A model is unloaded only if no job fits the loaded models, or for a job that is overdue.
    """
    pool = FakePool([FakeSlot() for _ in range(slots)])
    names = itertools.count()
    for models, count, seconds in arrivals:
        pool.queue.append(job(f"{next(names)}", *models))
        for _ in range(count):
            if pool.queue:
                pool.take(seconds)
        if seconds > 150 and pool.queue:  # a process dies, and its job goes to the front again
            _, again = take(pool.queue, [COLD], pool.now)
            pool.skips.pop(again.id, None)
            pool.queue.requeue([again])
    while pool.queue:
        pool.take(arrivals[0][2])
    for moments in pool.skips.values():
        assert len(moments) <= MAX_SKIPS
        assert moments[-1] - moments[0] < MAX_SKIPPED_SECONDS
