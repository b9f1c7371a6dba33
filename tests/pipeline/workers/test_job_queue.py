"""The order of jobs: jobs for one model go together, and no job is skipped for ever."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.jobs.job import Job, JobInput, ResourceLimits
from goldsmith.pipeline.turns import turn_of
from goldsmith.pipeline.workers.job_queue import MAX_SKIPPED_SECONDS, MAX_SKIPS, JobQueue, LoadedModels, QueuedJob, QueueEntry

A, B = frozenset({"a"}), frozenset({"b"})
NO_MODELS: LoadedModels = frozenset()


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
    indexed_job = queue.take_next(slots, now)
    assert indexed_job is not None
    return indexed_job


def order_of(queue: JobQueue, loaded: LoadedModels, now: float = 0.0) -> str:
    """Return the order in which one slot takes all jobs, loading models as it goes."""
    order = ""
    while queue:
        _, next_job = take(queue, [loaded], now)
        loaded = frozenset(next_job.models) or loaded
        order += next_job.id
    return order


def test_jobs_go_in_order_of_arrival() -> None:
    """Either no job has a model, or all jobs have the same model."""
    assert order_of(queue_of(*map(job, "abcdef")), NO_MODELS) == "abcdef"
    assert order_of(queue_of(*(job(name, "a") for name in "abc")), NO_MODELS) == "abc"


def test_all_jobs_for_the_loaded_model_go_first() -> None:
    """The model changes once instead of five times."""
    jobs = [job(name, "a" if name.isupper() else "b") for name in "aBcDeF"]
    assert order_of(queue_of(*jobs), A) == "BDFace"


def test_a_job_without_a_model_is_not_skipped() -> None:
    """A job without a model fits every slot and unloads no model."""
    assert order_of(queue_of(job("1"), job("b", "b"), job("2"), job("a", "a")), A) == "12ab"


def test_a_job_is_skipped_a_limited_number_of_times() -> None:
    """Eight later jobs go first. Then the skipped job goes, whichever model is loaded."""
    queue = queue_of(job("b", "b"), *(job(f"{number}", "a") for number in range(20)))
    order = [take(queue, [A])[1].id for _ in range(MAX_SKIPS + 1)]
    assert order == [*map(str, range(MAX_SKIPS)), "b"]


def test_a_job_is_skipped_for_a_limited_time() -> None:
    """The time counts from the first skip, not from the arrival, since a long queue is not a skip."""
    queue = queue_of(job("b", "b"), *(job(f"{number}", "a") for number in range(5)))
    assert take(queue, [A], 1000.0)[1].id == "0"
    assert take(queue, [A], 1000.0 + MAX_SKIPPED_SECONDS - 1)[1].id == "1"
    assert take(queue, [A], 1000.0 + MAX_SKIPPED_SECONDS)[1].id == "b"


def test_unloading_a_model_can_be_forbidden() -> None:
    """While another process is about to be ready, no model is unloaded. A job that fits still goes."""
    queue = queue_of(job("b", "b"), job("a", "a"))
    assert queue.take_next([A], 0.0, may_evict=False) == (0, job("a", "a"))
    assert queue.take_next([A], 0.0, may_evict=False) is None
    assert queue.take_next([A], 0.0) == (0, job("b", "b"))


def test_an_empty_slot_takes_the_first_job() -> None:
    """It unloads no model, so no job is skipped."""
    queue = queue_of(job("b", "b"), job("1"), job("a", "a"))
    assert queue.take_next([A, NO_MODELS], 0.0) == (1, job("b", "b"))
    assert take(queue, [A, NO_MODELS], 0.0)[1].id == "1"


def test_the_slot_with_the_model_gets_the_job() -> None:
    """If no free slot has the model, the slot with the fewest models gets the job."""
    assert take(queue_of(job("b", "b")), [A, B])[0] == 1
    assert take(queue_of(job("c", "c")), [A, NO_MODELS])[0] == 1
    queue = queue_of(job("b", "b"), *(job(f"{number}", "a") for number in range(MAX_SKIPS)))
    for _ in range(MAX_SKIPS):
        queue.take_next([A], 0.0)
    queue.append(job("x", "a"))
    assert queue.take_next([A, B], 0.0) == (1, job("b", "b"))


def test_requeued_jobs_go_to_the_front() -> None:
    """Several requeued jobs keep their order. ``position`` is the number of jobs that stay before them."""
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
    """A batch takes at most the given number of jobs, and no job from behind an overdue job."""
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


@pytest.mark.parametrize("loaded", [A, B, NO_MODELS])
def test_the_predicted_order_is_the_real_order(loaded: LoadedModels) -> None:
    """The prediction is exact for one slot, and it does not change the queue."""
    jobs = [job(f"{number:02d}", "ab"[number // 3 % 2]) for number in range(40)]
    queue = queue_of(*jobs)
    predicted = queue.predict_order([loaded], 0.0, 100)
    assert predicted == queue.predict_order([loaded], 0.0, 100)
    assert "".join(predicted) == order_of(queue, loaded)


def flooded(count: int, *models: str) -> JobQueue:
    """Return a queue of unbuilt jobs of the campaign acme in the first stage, whose jobs are built when they are taken."""
    queue = JobQueue(lambda queued: job(queued.id, *queued.models))
    for number in range(count):
        queue.enqueue(QueuedJob(f"acme{number}", "gpu", turn_of("acme", 0), number + 1, models))
    return queue


@pytest.mark.parametrize(
    ("models", "slots"), [((), [NO_MODELS]), (("a",), [A]), ((), [A])], ids=["no models", "all of one model", "loaded, not needed"]
)
def test_a_single_job_passes_a_flood_of_another_campaign(models: tuple[str, ...], slots: list[LoadedModels]) -> None:
    """Behind 20,000 jobs of one campaign, one job at most starts before the job of another; so says the prediction, too."""
    queue = flooded(20_000, *models)
    for _ in range(10):
        take(queue, slots)
    queue.enqueue(QueuedJob("single", "gpu", turn_of("", 3), 20_001, models))
    assert "single" in queue.predict_order(slots, 0.0, 2)
    assert "single" in [take(queue, slots)[1].id for _ in range(2)]


def test_jobs_are_built_when_a_worker_takes_them() -> None:
    """The queue holds no job before that. A job that is not to be done any more leaves the queue, and no slot gets it."""
    built: list[str] = []

    def build(queued: QueuedJob) -> Job | None:
        built.append(queued.id)
        return None if queued.id == "b" else job(queued.id)

    queue = JobQueue(build)
    for number, name in enumerate("abc", 1):
        queue.enqueue(QueuedJob(name, "gpu", turn_of("", 0), number))
    assert built == []
    assert take(queue, [NO_MODELS])[1].id == "a"
    assert queue.take_next([NO_MODELS], 0.0) is None
    assert take(queue, [NO_MODELS])[1].id == "c"
    assert built == ["a", "b", "c"]
    assert len(queue) == 0


def test_a_job_with_an_earlier_number_goes_first() -> None:
    """So a job that begins again has the place that it had."""
    queue = flooded(5)
    first = take(queue, [NO_MODELS])[1]
    queue.enqueue(QueuedJob(f"{first.id} again", "gpu", turn_of("acme", 0), 1))
    assert take(queue, [NO_MODELS])[1].id == "acme0 again"


def test_a_job_is_removed_from_anywhere_in_the_queue() -> None:
    """Also from among the jobs that were taken back, and only once."""
    queue = flooded(3)
    queue.requeue([job("x")])
    assert [queue.remove(name) is not None for name in ("acme1", "x", "x", "acme1")] == [True, True, False, False]
    assert [each.id for each in queue] == ["acme0", "acme2"]


def test_a_batch_takes_no_job_whose_settings_have_changed() -> None:
    """A brief may be edited while its job waits. The job that is built then is the next to start, alone."""
    queue = JobQueue(lambda queued: job(queued.id, "a", batch_key="edited" if queued.id == "2" else "x"))
    for number in range(1, 4):
        queue.enqueue(QueuedJob(f"{number}", "gpu", turn_of("", 0), number, ("a",), "x"))
    _, first = take(queue, [A])
    assert [other.id for other in queue.take_compatible(first, 5, lambda each: True, 0.0)] == ["3"]
    assert take(queue, [A])[1].batch_key == "edited"


@dataclass
class FakeSlot:
    loaded: LoadedModels = NO_MODELS
    busy: float = 0.0


@dataclass
class FakePool:
    """A queue with its own clock: slots take jobs as they become free, and every skip is recorded."""

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
        index, next_job = take(self.queue, [slot.loaded for slot in free], self.now)
        for name in before[: before.index(next_job.id)]:
            self.skips.setdefault(name, []).append(self.now)
        slot = free[index]
        if slot.loaded and not frozenset(next_job.models) <= slot.loaded:
            overdue = (
                len(self.skips.get(next_job.id, ())) >= MAX_SKIPS
                or self.now - min(self.skips.get(next_job.id, [self.now])) >= MAX_SKIPPED_SECONDS
            )
            assert not fitting or overdue, "a model was unloaded without need"
        slot.loaded = frozenset(next_job.models) or slot.loaded
        slot.busy = self.now + seconds


MODELS = st.sampled_from([(), ("a",), ("b",), ("c",), ("a", "b")])


@given(
    st.integers(1, 3),
    st.lists(st.tuples(MODELS, st.integers(0, 3), st.floats(0.1, 200.0)), min_size=1, max_size=60),
)
@settings(max_examples=300, deadline=None)
def test_no_job_starves_and_no_model_is_unloaded_without_need(slots: int, arrivals: list[tuple[tuple[str, ...], int, float]]) -> None:
    """No job is skipped more often or for longer than the limits allow, for any arrivals and any durations.

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
            _, next_job = take(pool.queue, [NO_MODELS], pool.now)
            pool.skips.pop(next_job.id, None)
            pool.queue.requeue([next_job])
    while pool.queue:
        pool.take(arrivals[0][2])
    for moments in pool.skips.values():
        assert len(moments) <= MAX_SKIPS
        assert moments[-1] - moments[0] < MAX_SKIPPED_SECONDS


def test_a_choice_looks_no_further_than_the_job_that_it_finds() -> None:
    """With a thousand jobs in the queue, a worker whose model the second one needs looks at two."""
    queue = flooded(1000, "big")
    queue.enqueue(QueuedJob("other", "gpu", turn_of("single", 1), 0, ("small",)))
    look_count = 0
    in_order = queue._in_order

    def counted() -> Iterator[QueueEntry]:
        nonlocal look_count
        for entry in in_order():
            look_count += 1
            yield entry

    queue._in_order = counted  # type: ignore[method-assign]
    queue.take_next([frozenset(["small"])], 0.0)
    assert len(queue) == 1000
    assert look_count <= 2


def test_of_two_overdue_jobs_the_one_that_was_skipped_first_goes_first() -> None:
    """The first was skipped as often as is allowed; the second waits for its time."""
    queue = queue_of(job("a", "x"), job("b", "y"), *(job(f"c{number}", "z") for number in range(MAX_SKIPS + 1)))
    loaded = [frozenset(["z"])]
    for _ in range(MAX_SKIPS):
        assert take(queue, loaded)[1].id.startswith("c")
    assert [take(queue, loaded)[1].id for _ in range(3)] == ["a", "b", f"c{MAX_SKIPS}"]
