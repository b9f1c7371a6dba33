"""A lane with several devices: one line for all, and a device that fails pauses by itself. Puppets for processes, and a held clock."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.jobs import GENEROUS, Event, Share, outcomes
from doubles.puppets import KILLED, Puppet, Stage, kinds
from goldsmith.jobs.job import Job, JobFault, JobRequeued
from goldsmith.jobs.protocol import MessageType
from goldsmith.pipeline.workers.device_health import INITIAL_PAUSE_SECONDS, MAX_EXCUSES, MAX_PAUSE_SECONDS
from goldsmith.pipeline.workers.worker_pools import WorkerSpec

ONE = (WorkerSpec(queue="gpu", device="cuda:0"), WorkerSpec(queue="cpu"))
TWO = (WorkerSpec(queue="gpu", device="cuda:0"), WorkerSpec(queue="gpu", device="cuda:1"), WorkerSpec(queue="cpu"))
DEAD = JobFault(kind="device", sentence="cuda:0 has failed: an illegal memory access.")
SHORT = GENEROUS.model_copy(update={"timeout_seconds": 10})


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage(specs=ONE)
    yield made
    made.end()


@pytest.fixture
def pair() -> Iterator[Stage]:
    made = Stage(specs=TWO)
    yield made
    made.end()


class Pictures:
    """Jobs of the lane ``gpu``, each on a picture of its own, with a generating model."""

    def __init__(self, share: Share) -> None:
        self.share = share

    def job(self, name: str, model: str = "flux", **more: object) -> Job:
        self.share.put(f"selected/{name}.png", b"x")
        return self.share.job(
            inputs=[self.share.given(f"selected/{name}.png")], queue="gpu", **{"models": (model,) if model else (), "limits": SHORT, **more}
        )


@pytest.fixture
def pictures(share: Share) -> Pictures:
    return Pictures(share)


def begun(stage: Stage, job: Job) -> Puppet:
    """The newest process is ready and begins with that job."""
    puppet = stage.ready()
    assert puppet.begin().id == job.id
    stage.collect()
    return puppet


def put_back(events: list[Event]) -> list[str]:
    return [event.job_id for event in events if isinstance(event, JobRequeued)]


def paused(stage: Stage) -> str:
    return stage.lanes.pause_reason("gpu") or ""


# --- one process a device


def test_there_is_a_process_on_each_device_and_one_line_for_all(pair: Stage, pictures: Pictures) -> None:
    """Each job goes to whichever is free."""
    jobs = [pictures.job(name) for name in "abc"]
    for job in jobs:
        pair.lanes.submit(job)
    assert sorted(puppet.device for puppet in pair.puppets) == ["cuda:0", "cuda:1"]
    for puppet in pair.puppets:
        puppet.say(MessageType.READY)
    pair.collect()
    first, second = (puppet.begin() for puppet in pair.puppets)
    assert [first, second] == jobs[:2]
    pair.puppets[1].answer(second)
    pair.collect()
    assert pair.puppets[1].begin() == jobs[2]


def test_a_lane_is_warmed_with_one_process(pair: Stage) -> None:
    """The others are started when there is work for them."""
    pair.lanes.prewarm()
    assert [puppet.device for puppet in pair.puppets] == ["cuda:0", "cpu"]


def test_a_job_goes_where_its_model_is_loaded(pair: Stage, pictures: Pictures) -> None:
    """Not to the device that stands first."""
    a, b = pictures.job("a", "sdxl"), pictures.job("b", "flux")
    for job in (a, b):
        pair.lanes.submit(job)
    for puppet, model in zip(pair.puppets, ("sdxl", "flux"), strict=True):
        puppet.say(MessageType.READY)
        pair.collect()
        job = puppet.begin()
        puppet.holds(loading=model)
        pair.collect()
        puppet.holds(model)
        puppet.answer(job)
        assert kinds(pair.collect()) == ["done"]
    c = pictures.job("c", "flux")
    pair.lanes.submit(c)
    assert pair.puppets[1].begin() == c


def test_the_place_in_line_is_the_one_it_will_have(stage: Stage, pictures: Pictures) -> None:
    """Jobs for the loaded model go first, and that is what is told."""
    stage.lanes.submit(pictures.job("now"))
    puppet = stage.ready()
    puppet.begin()
    puppet.holds("flux")
    stage.collect()
    other, same = pictures.job("other", "sdxl"), pictures.job("same", "flux")
    stage.lanes.submit(other)
    stage.lanes.submit(same)
    assert (stage.lanes.position(same.id), stage.lanes.position(other.id)) == (1, 2)
    assert stage.lanes.predict_order("gpu", 10) == [same.id, other.id]


def test_what_each_device_does_is_to_be_seen(stage: Stage, pictures: Pictures) -> None:
    """Its jobs, what it has loaded, and for how long it has been loading what it loads."""
    assert [(seat.spec.device, seat.jobs, seat.models.loaded) for seat in stage.lanes.worker_snapshots()] == [
        ("cuda:0", (), ()),
        ("cpu", (), ()),
    ]
    job = pictures.job("a")
    stage.lanes.submit(job)
    puppet = begun(stage, job)
    puppet.holds("sdxl", loading="flux")
    stage.collect()
    stage.later(7.0)
    seat = stage.lanes.worker_snapshots()[0]
    assert (seat.jobs, seat.models.loaded, seat.models.loading, seat.loading_seconds) == ((job,), ("sdxl",), "flux", 7.0)
    assert not seat.pause_reason


# --- a device that fails


def test_a_failed_device_pauses_and_its_job_waits_in_place(stage: Stage, pictures: Pictures) -> None:
    """No outcome, hence no attempt; the process is replaced, for it does not get over it; the sentence says when it is tried again."""
    first, second = pictures.job("a"), pictures.job("b")
    stage.lanes.submit(first)
    stage.lanes.submit(second)
    puppet = begun(stage, first)
    puppet.answer(first, DEAD)
    events = stage.collect()
    assert (outcomes(events), put_back(events), puppet.status) == ([], [first.id], KILLED)
    assert (stage.lanes.position(first.id), stage.lanes.position(second.id)) == (1, 2)
    sentence = paused(stage)
    assert re.fullmatch(
        r"The GPU cuda:0 has failed \(an illegal memory access\)\. "
        r"It is tried again at \d\d:\d\d:\d\d; its jobs wait in place\.",
        sentence,
    )
    assert stage.lanes.seconds_until_due(stage.now) == INITIAL_PAUSE_SECONDS
    stage.later(INITIAL_PAUSE_SECONDS - 0.1)
    assert len(stage.puppets) == 1
    stage.later(0.2)
    puppet = begun(stage, first)
    assert paused(stage) == ""
    puppet.answer(first)
    assert kinds(stage.collect()) == ["done"]


def test_the_other_lanes_and_devices_go_on(pair: Stage, pictures: Pictures) -> None:
    """What waited for the device goes to the other; the lane is not called paused while one is well."""
    job = pictures.job("a")
    pair.lanes.submit(job)
    begun(pair, job).answer(job, DEAD)
    pair.collect()
    assert pair.puppet.device == "cuda:1"
    assert begun(pair, job).device == "cuda:1"
    assert paused(pair) == ""
    assert [bool(seat.pause_reason) for seat in pair.lanes.worker_snapshots()] == [False, True, False]
    other = pictures.share.job()
    pair.lanes.submit(other)
    assert begun(pair, other).device == "cpu"


def test_it_is_tried_again_after_longer_and_longer(stage: Stage, pictures: Pictures) -> None:
    """Up to a bound, and from the beginning once it has been well."""
    job = pictures.job("a")
    stage.lanes.submit(job)
    waits = []
    for _ in range(9):
        begun(stage, job).answer(job, DEAD)
        stage.collect()
        waits.append(stage.lanes.seconds_until_due(stage.now) or 0.0)
        stage.later(waits[-1])
    assert waits[:4] == [10.0, 20.0, 40.0, 80.0]
    assert waits[-1] == MAX_PAUSE_SECONDS
    begun(stage, job).answer(job)
    assert kinds(stage.collect()) == ["done"]
    job = pictures.job("b")
    stage.lanes.submit(job)
    stage.puppet.begin()
    stage.puppet.answer(job, DEAD)
    stage.collect()
    assert stage.lanes.seconds_until_due(stage.now) == INITIAL_PAUSE_SECONDS


def test_a_picture_over_which_a_well_device_always_fails_is_to_blame(stage: Stage, pictures: Pictures) -> None:
    """The second time another goes first; if that comes through, the third time is the picture's own."""
    poison, good = pictures.job("poison"), pictures.job("good")
    stage.lanes.submit(poison)
    stage.lanes.submit(good)
    for _ in range(2):
        begun(stage, poison).answer(poison, DEAD)
        stage.collect()
        stage.later(stage.lanes.seconds_until_due(stage.now) or 0.0)
    puppet = begun(stage, good)
    puppet.answer(good)
    assert kinds(stage.collect()) == ["done"]
    assert puppet.begin() == poison
    puppet.answer(poison, DEAD)
    events = stage.collect()
    assert (kinds(events), put_back(events), paused(stage)) == (["crash"], [], "")
    assert "fails with poison.png and works with other pictures" in getattr(outcomes(events)[0].fault, "sentence", "")


def test_work_without_a_model_proves_nothing_of_a_device(stage: Stage, pictures: Pictures) -> None:
    """It may never have touched it: the picture that failed is still not to blame."""
    poison, plain = pictures.job("poison"), pictures.job("plain", "")
    stage.lanes.submit(poison)
    stage.lanes.submit(plain)
    for _ in range(2):
        begun(stage, poison).answer(poison, DEAD)
        stage.collect()
        stage.later(stage.lanes.seconds_until_due(stage.now) or 0.0)
    puppet = begun(stage, plain)
    puppet.answer(plain)
    stage.collect()
    assert puppet.begin() == poison
    puppet.answer(poison, DEAD)
    assert put_back(stage.collect()) == [poison.id]


def test_what_was_called_off_is_not_put_back(stage: Stage, pictures: Pictures) -> None:
    """It has its one outcome, however its device ends."""
    job = pictures.job("a")
    stage.lanes.submit(job)
    puppet = begun(stage, job)
    stage.lanes.cancel(job.id)
    puppet.answer(job, DEAD)
    events = stage.collect()
    assert (kinds(events), put_back(events)) == (["cancelled"], [])
    assert paused(stage)


def test_a_lane_that_begins_nothing_more_does_not_look_whether_its_device_is_back(stage: Stage, pictures: Pictures) -> None:
    """The daemon that is ending waits for what runs, and does not spin."""
    job = pictures.job("a")
    stage.lanes.submit(job)
    begun(stage, job).answer(job, DEAD)
    stage.collect()
    stage.lanes.drain()
    stage.later(INITIAL_PAUSE_SECONDS + 1)
    assert stage.lanes.seconds_until_due(stage.now) is None


def test_a_pause_can_be_ended_by_hand(stage: Stage, pictures: Pictures) -> None:
    """Then it is tried at once."""
    job = pictures.job("a")
    stage.lanes.submit(job)
    begun(stage, job).answer(job, DEAD)
    stage.collect()
    stage.lanes.resume("gpu")
    begun(stage, job)


# --- a device that hangs


def test_a_process_that_cannot_be_ended_is_its_device_s_fault(stage: Stage, pictures: Pictures) -> None:
    """It hangs in the driver: the job keeps its place, and nothing is begun on the device before the process has let go of it."""
    job = pictures.job("a")
    stage.lanes.submit(job)
    stuck = begun(stage, job)
    stuck.stuck = True
    stage.later(10.1)
    events = stage.later(5.1)
    assert (outcomes(events), put_back(events)) == ([], [job.id])
    assert "a process that was ended does not let go of it" in paused(stage)
    stage.later(stage.lanes.seconds_until_due(stage.now) or 0.0)
    assert len(stage.puppets) == 1
    assert paused(stage)
    stuck.end(KILLED)
    stage.later(stage.lanes.seconds_until_due(stage.now) or 0.0)
    begun(stage, job)
    assert paused(stage) == ""


def test_a_processor_does_not_hang(stage: Stage, share: Share) -> None:
    """There the job is told, and the lane goes on."""
    job = share.job(limits=SHORT)
    stage.lanes.submit(job)
    begun(stage, job).stuck = True
    stage.later(10.1)
    assert kinds(stage.later(5.1)) == ["timeout"]
    assert stage.lanes.pause_reason("cpu") is None


def run_out(stage: Stage, job: Job) -> list[Event]:
    """The job begins and its time goes by."""
    begun(stage, job)
    return stage.later(10.1)


def test_one_picture_that_takes_too_long_is_its_own_fault(stage: Stage, pictures: Pictures) -> None:
    """However often it is tried, as another job each time."""
    for _ in range(3):
        job = pictures.job("a")
        stage.lanes.submit(job)
        assert kinds(run_out(stage, job)) == ["timeout"]
    assert paused(stage) == ""


def test_two_pictures_running_that_take_too_long_make_the_device_suspect(stage: Stage, pictures: Pictures) -> None:
    """The second keeps its place, and the device is given a rest; if it is well then, all is forgotten."""
    first, second = pictures.job("a"), pictures.job("b")
    stage.lanes.submit(first)
    stage.lanes.submit(second)
    assert kinds(run_out(stage, first)) == ["timeout"]
    events = run_out(stage, second)
    assert (outcomes(events), put_back(events)) == ([], [second.id])
    assert "two pictures in a row failed on it; the last, b.png, took too long" in paused(stage)
    stage.later(INITIAL_PAUSE_SECONDS)
    begun(stage, second).answer(second)
    assert kinds(stage.collect()) == ["done"]
    third = pictures.job("c")
    stage.lanes.submit(third)
    stage.puppet.begin()
    stage.collect()
    assert kinds(stage.later(10.1)) == ["timeout"]


def test_a_suspected_device_does_not_excuse_a_picture_for_ever(stage: Stage, pictures: Pictures) -> None:
    """So often it is put back, and then told."""
    first, second = pictures.job("a"), pictures.job("b")
    stage.lanes.submit(first)
    stage.lanes.submit(second)
    run_out(stage, first)
    for _ in range(MAX_EXCUSES):
        assert put_back(run_out(stage, second)) == [second.id]
        stage.later(stage.lanes.seconds_until_due(stage.now) or 0.0)
    assert kinds(run_out(stage, second)) == ["timeout"]


def test_a_process_that_dies_counts_like_one_that_hangs(stage: Stage, pictures: Pictures) -> None:
    """Two pictures running; but work that runs no model, such as a hostile file that kills its decoder, is never the device's."""
    jobs = [pictures.job(name) for name in "ab"]
    for job in jobs:
        stage.lanes.submit(job)
    begun(stage, jobs[0]).end(-11)
    assert kinds(stage.collect()) == ["crash"]
    begun(stage, jobs[1]).end(-11)
    assert put_back(stage.collect()) == [jobs[1].id]
    stage.lanes.cancel(jobs[1].id)
    stage.later(INITIAL_PAUSE_SECONDS)
    for name in "cd":
        hostile = pictures.job(name, "")
        stage.lanes.submit(hostile)
        begun(stage, hostile).end(-11)
        assert kinds(stage.collect())[-1] == "crash"


# --- being called off


def test_a_job_with_a_model_gets_its_own_time_to_notice_that_it_was_called_off(stage: Stage, pictures: Pictures) -> None:
    """A step of a large model may take seconds, and a kill would throw the loaded model away; still it is bounded."""
    job = pictures.job("a", limits=GENEROUS.model_copy(update={"cancel_grace_seconds": 30.0}))
    stage.lanes.submit(job)
    puppet = begun(stage, job)
    stage.lanes.cancel(job.id)
    stage.later(29.9)
    assert puppet.status is None
    assert kinds(stage.later(0.2)) == ["cancelled"]
    assert puppet.status == KILLED
    assert stage.lanes.pause_reason("gpu") is None
