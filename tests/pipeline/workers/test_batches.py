"""Jobs that are worked on together: who flies with whom, and that each keeps its own outcome, cancel and fault."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.jobs import GENEROUS, Share, outcomes
from doubles.puppets import KILLED, Stage, kinds
from goldsmith.jobs.job import Job, JobFault, JobProgress, JobRequeued
from goldsmith.jobs.protocol import MessageType, encode_message
from goldsmith.pipeline.workers.slot import batch_size
from goldsmith.pipeline.workers.worker_pools import WorkerSpec

ROOMY = WorkerSpec(queue="gpu", device="cuda:0", device_memory_mb=40_000, max_batch=8)


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage(specs=(ROOMY,))
    yield made
    made.end()


def equal(share: Share, count: int, alike: str = "x", seconds: float = 10.0) -> list[Job]:
    limits = GENEROUS.model_copy(update={"timeout_seconds": seconds, "cancel_grace_seconds": 5.0})
    facts = {"queue": "gpu", "models": ("flux",), "batch_key": alike, "weights_mb": 20_000, "pictures_mb": 4_000, "limits": limits}
    return [share.job(**facts) for _ in range(count)]  # type: ignore[arg-type]


def ids(jobs: tuple[Job, ...] | list[Job]) -> list[str]:
    return [job.id for job in jobs]


def flying(stage: Stage, jobs: list[Job]) -> tuple[Job, ...]:
    """All of these wait when the process gets ready; those that it takes together have begun."""
    for job in jobs:
        stage.lanes.submit(job)
    flight = stage.ready().begin_together()
    stage.collect()
    return flight


def test_so_many_fly_together_as_the_models_entry_says_fit(share: Share) -> None:
    """Weights once, and each job's pictures, in most of the device's memory; one where nobody knows."""
    (job,) = equal(share, 1)
    assert batch_size(ROOMY, job) == 3  # (0.85 * 40 000 - 20 000) / 4 000
    assert batch_size(ROOMY.model_copy(update={"device_memory_mb": 143_000}), job) == 8
    assert batch_size(ROOMY.model_copy(update={"device_memory_mb": 143_000, "max_batch": 1}), job) == 1
    assert batch_size(ROOMY.model_copy(update={"device_memory_mb": 16_000}), job) == 1
    assert batch_size(WorkerSpec(queue="gpu", max_batch=8), job) == 1
    assert batch_size(ROOMY, job.model_copy(update={"batch_key": ""})) == 1


def test_equal_jobs_are_given_to_a_seat_together(stage: Stage, share: Share) -> None:
    """Those that are like the first; each has its progress and its outcome, in any order, and the next flight waits for the last."""
    jobs = equal(share, 2)
    other = equal(share, 1, alike="y")
    flight = flying(stage, [jobs[0], *other, jobs[1]])
    assert ids(flight) == ids(jobs)
    assert set(stage.lanes.running_jobs()) == set(ids(jobs))
    puppet = stage.puppet
    puppet.answer(jobs[1])
    assert [outcome.job_id for outcome in outcomes(stage.collect())] == [jobs[1].id]
    assert stage.lanes.position(other[0].id) == 1
    puppet.answer(jobs[0])
    stage.collect()
    assert puppet.begin() == other[0]


def test_what_waits_is_divided_among_the_devices(share: Share) -> None:
    """Two free devices and four equal jobs: two each, not three and one."""
    stage = Stage(specs=(ROOMY, ROOMY.model_copy(update={"device": "cuda:1"})))
    stage.lanes.pause("gpu", "Wait.")
    for job in equal(share, 4):
        stage.lanes.submit(job)
    stage.lanes.resume("gpu")
    for puppet in stage.puppets:
        puppet.say(MessageType.READY)
    stage.collect()
    assert [len(puppet.begin_together()) for puppet in stage.puppets] == [2, 2]
    stage.end()


def test_one_that_is_called_off_or_fails_does_not_take_the_others_along(stage: Stage, share: Share) -> None:
    """Three outcomes of three kinds from one process."""
    one, two, three = flying(stage, equal(share, 3))
    stage.lanes.cancel(two.id)
    assert stage.puppet.hear() == (MessageType.CANCEL, two.id.encode())
    stage.puppet.answer(two)
    stage.puppet.answer(one, JobFault(kind="problem", sentence="The picture is black."))
    stage.puppet.answer(three)
    assert kinds(stage.collect()) == ["cancelled", "problem", "done"]
    assert stage.puppet.status is None


def test_a_cancel_that_is_not_heeded_costs_the_others_nothing(stage: Stage, share: Share) -> None:
    """The process must end; they stand in line again, and may fly again."""
    one, two, three = flying(stage, equal(share, 3))
    stage.lanes.cancel(two.id)
    events = stage.later(5.1)
    assert (kinds(events), stage.puppets[0].status) == (["cancelled"], KILLED)
    assert [event.job_id for event in events if isinstance(event, JobRequeued)] == [one.id, three.id]
    assert ids(stage.ready().begin_together()) == [one.id, three.id]


def test_after_a_crash_each_runs_by_itself(stage: Stage, share: Share) -> None:
    """Nobody knows whose it was; then it shows, and only that one is told."""
    one, two = flying(stage, equal(share, 2))
    stage.puppet.end(-11)
    events = stage.collect()
    assert (kinds(events), [event.job_id for event in events if isinstance(event, JobRequeued)]) == ([], [one.id, two.id])
    assert stage.ready().begin() == one
    stage.collect()
    stage.puppet.end(-11)
    assert kinds(stage.collect()) == ["crash"]
    assert stage.ready().begin() == two
    stage.puppet.answer(two)
    assert kinds(stage.collect()) == ["done"]


def test_a_flight_may_take_as_long_as_all_of_its_jobs_together(stage: Stage, share: Share) -> None:
    """None has the device to itself."""
    flight = flying(stage, equal(share, 3))
    assert stage.later(29.9) == []
    events = stage.later(0.2)
    assert (kinds(events), stage.puppets[0].status) == ([], KILLED)
    assert [event.job_id for event in events if isinstance(event, JobRequeued)] == ids(flight)
    assert stage.ready().begin() == flight[0]


def test_a_failed_device_puts_the_whole_flight_back(stage: Stage, share: Share) -> None:
    """In its order, and it may fly again: it was nobody's fault."""
    flight = flying(stage, equal(share, 3))
    stage.puppet.answer(flight[1], JobFault(kind="device", sentence="Gone."))
    events = stage.collect()
    assert (kinds(events), [event.job_id for event in events if isinstance(event, JobRequeued)]) == ([], ids(flight))
    stage.later(stage.lanes.seconds_until_due(stage.now) or 0.0)
    assert stage.ready().begin_together() == flight


def test_while_one_flight_is_written_the_next_one_draws(stage: Stage, share: Share) -> None:
    """It is sent once every job of the first has landed, whichever way, and not before; all of them count as running."""
    jobs = equal(share, 7)
    first = flying(stage, jobs)
    assert len(first) == 3
    puppet = stage.puppet
    puppet.land(first[0], first[1])
    puppet.answer(first[2], JobFault(kind="problem", sentence="The picture is black."))
    puppet.say(MessageType.PROGRESS, encode_message(JobProgress(job_id=first[1].id, step=2, op="select", fraction=0.5)))
    assert kinds(stage.collect()) == ["problem"]
    second = puppet.begin_together()
    assert ids(second) == ids(jobs[3:6])
    stage.collect()
    assert set(stage.lanes.running_jobs()) == set(ids([*first[:2], *second]))
    puppet.land(*second[:2])
    puppet.answer(first[0])
    puppet.answer(first[1])
    assert kinds(stage.collect()) == ["done", "done"]
    puppet.land(second[2])
    stage.collect()
    assert puppet.begin() == jobs[6]


def test_no_more_is_begun_where_the_disk_cannot_keep_up(stage: Stage, share: Share) -> None:
    """Nine that are being written are enough; when one of them is done the next begins."""
    jobs = equal(share, 13)
    flown = list(flying(stage, jobs))
    puppet = stage.puppet
    for _ in range(2):
        puppet.land(*flown[-3:])
        stage.collect()
        flown += puppet.begin_together()
        stage.collect()
    puppet.land(*flown[-3:])
    stage.collect()
    assert (len(flown), stage.lanes.queue_length("gpu")) == (9, 4)
    puppet.answer(flown[0])
    stage.collect()
    assert ids(puppet.begin_together()) == ids(jobs[9:12])


def test_a_process_that_holds_much_is_emptied_first(stage: Stage, share: Share) -> None:
    """What it makes next would come on top: more than half of a job's memory, and it is waited for the outcomes."""
    jobs = [job.model_copy(update={"limits": job.limits.model_copy(update={"max_memory_bytes": 1 << 20})}) for job in equal(share, 4)]
    first = flying(stage, jobs)
    stage.puppet.land(*first)
    stage.collect()
    assert (stage.lanes.queue_length("gpu"), len(stage.lanes.running_jobs())) == (1, 3)


def test_one_that_dies_while_others_are_written_is_found_out_alone(stage: Stage, share: Share) -> None:
    """All stand in line again; until it is known whose doing it was, nothing is begun beside another job."""
    jobs = equal(share, 4)
    first = flying(stage, jobs)
    stage.puppet.land(*first)
    stage.collect()
    stage.puppet.begin()
    stage.collect()
    stage.puppet.end(-11)
    events = stage.collect()
    assert [event.job_id for event in events if isinstance(event, JobRequeued)] == ids(jobs)
    puppet = stage.ready()
    for job in jobs:
        assert puppet.begin() == job
        puppet.land(job)
        stage.collect()
        assert list(stage.lanes.running_jobs()) == [job.id]
        puppet.answer(job)
        stage.collect()


def test_the_time_of_a_model_at_work_begins_anew_with_each_part_of_the_way(stage: Stage, share: Share) -> None:
    """A picture of forty windows may take forty times as long; what says the same again, or nothing, is ended as ever."""
    (job,) = equal(share, 1)
    stage.lanes.submit(job)
    stage.ready().begin()
    stage.collect()

    def tell(fraction: float) -> None:
        stage.puppet.say(MessageType.PROGRESS, encode_message(JobProgress(job_id=job.id, step=1, op="outpaint", fraction=fraction)))
        stage.collect()

    for window in range(1, 6):
        assert kinds(stage.later(9.0)) == []
        tell(window / 40)
    stage.later(9.0)
    tell(5 / 40)
    assert kinds(stage.later(0.9)) == []
    assert kinds(stage.later(0.2)) == ["timeout"]


def test_the_time_of_a_job_without_such_a_model_does_not(stage: Stage, share: Share) -> None:
    """It knows beforehand how long it may take."""
    job = share.job(limits=GENEROUS.model_copy(update={"timeout_seconds": 10.0}), queue="gpu")
    stage.lanes.submit(job)
    stage.ready().begin()
    stage.collect()
    stage.later(9.0)
    stage.puppet.say(MessageType.PROGRESS, encode_message(JobProgress(job_id=job.id, step=1, op="denoise", fraction=0.5)))
    assert kinds(stage.later(0.9)) == []
    assert kinds(stage.later(0.2)) == ["timeout"]
