"""A queue with several devices: a device that fails pauses alone. Fake processes, and a clock that moves only in tests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.fake_workers import KILLED, FakeProcess, FakeWorkers, kinds
from doubles.jobs import GENEROUS, Event, Share, outcomes
from doubles.worker_queues import queue_position
from goldsmith.jobs.job import Job, JobFault, JobRequeued
from goldsmith.jobs.protocol import MessageType, WorkerSpec
from goldsmith.pipeline.workers.device_health import INITIAL_PAUSE_SECONDS, MAX_EXCUSES, MAX_PAUSE_SECONDS
from goldsmith.pipeline.workers.failure_policy import MAX_DEVICE_CLAIMS

ONE_GPU = (WorkerSpec(queue="gpu", device="cuda:0"), WorkerSpec(queue="cpu"))
TWO_GPUS = (WorkerSpec(queue="gpu", device="cuda:0"), WorkerSpec(queue="gpu", device="cuda:1"), WorkerSpec(queue="cpu"))
DEVICE_FAULT = JobFault(kind="device", sentence="cuda:0 has failed: an illegal memory access.")
SHORT_LIMITS = GENEROUS.model_copy(update={"timeout_seconds": 10})


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


@pytest.fixture
def workers() -> Iterator[FakeWorkers]:
    workers = FakeWorkers(specs=ONE_GPU)
    yield workers
    workers.close()


@pytest.fixture
def two_gpus() -> Iterator[FakeWorkers]:
    two_gpus = FakeWorkers(specs=TWO_GPUS)
    yield two_gpus
    two_gpus.close()


class Pictures:
    """Jobs of the queue ``gpu``, each on a picture of its own, with a generating model."""

    def __init__(self, share: Share) -> None:
        self.share = share

    def job(self, name: str, model: str = "flux", **fields: object) -> Job:
        self.share.put(f"selected/{name}.png", b"x")
        return self.share.job(
            inputs=[self.share.job_input(f"selected/{name}.png")],
            queue="gpu",
            **{"models": (model,) if model else (), "limits": SHORT_LIMITS, **fields},
        )


@pytest.fixture
def pictures(share: Share) -> Pictures:
    return Pictures(share)


def start(workers: FakeWorkers, job: Job) -> FakeProcess:
    """Let the newest process become ready and start this job, and return the process."""
    process = workers.ready()
    assert process.start_job().id == job.id
    workers.collect()
    return process


def requeued(events: list[Event]) -> list[str]:
    return [event.job_id for event in events if isinstance(event, JobRequeued)]


def pause_reason(workers: FakeWorkers) -> str:
    return workers.pools.pause_reason("gpu") or ""


# --- one process for each device


def test_each_device_has_a_process_and_all_share_one_queue(two_gpus: FakeWorkers, pictures: Pictures) -> None:
    """Each job goes to a free device."""
    jobs = [pictures.job(name) for name in "abc"]
    for job in jobs:
        two_gpus.pools.submit(job)
    assert sorted(process.device for process in two_gpus.processes) == ["cuda:0", "cuda:1"]
    for process in two_gpus.processes:
        process.send(MessageType.READY)
    two_gpus.collect()
    first, second = (process.start_job() for process in two_gpus.processes)
    assert [first.id, second.id] == [job.id for job in jobs[:2]]
    two_gpus.processes[1].finish(second)
    two_gpus.collect()
    assert two_gpus.processes[1].start_job().id == jobs[2].id


def test_prewarm_starts_one_process_for_each_queue(two_gpus: FakeWorkers) -> None:
    """The other processes are started when there are jobs for them."""
    two_gpus.pools.prewarm()
    assert [process.device for process in two_gpus.processes] == ["cuda:0", "cpu"]


def test_a_job_goes_to_the_device_with_its_model(two_gpus: FakeWorkers, pictures: Pictures) -> None:
    """The model counts more than the order of the devices."""
    a, b = pictures.job("a", "sdxl"), pictures.job("b", "flux")
    for job in (a, b):
        two_gpus.pools.submit(job)
    for process, model in zip(two_gpus.processes, ("sdxl", "flux"), strict=True):
        process.send(MessageType.READY)
        two_gpus.collect()
        job = process.start_job()
        process.report_models(loading=model)
        two_gpus.collect()
        process.report_models(model)
        process.finish(job)
        assert kinds(two_gpus.collect()) == ["done"]
    c = pictures.job("c", "flux")
    two_gpus.pools.submit(c)
    assert two_gpus.processes[1].start_job().id == c.id


def test_the_predicted_order_puts_jobs_for_the_loaded_model_first(workers: FakeWorkers, pictures: Pictures) -> None:
    """The prediction shows the order in which the jobs will start."""
    workers.pools.submit(pictures.job("now"))
    process = workers.ready()
    process.start_job()
    process.report_models("flux")
    workers.collect()
    other, same = pictures.job("other", "sdxl"), pictures.job("same", "flux")
    workers.pools.submit(other)
    workers.pools.submit(same)
    assert (queue_position(workers.pools, same.id), queue_position(workers.pools, other.id)) == (1, 2)
    assert workers.pools.predict_order("gpu", 10) == [same.id, other.id]


def test_the_snapshots_show_what_each_device_does(workers: FakeWorkers, pictures: Pictures) -> None:
    """They give the device's jobs, its loaded models, and how long it has been loading a model."""
    assert [(snapshot.spec.device, snapshot.jobs, snapshot.models.loaded) for snapshot in workers.pools.worker_snapshots()] == [
        ("cuda:0", (), ()),
        ("cpu", (), ()),
    ]
    job = pictures.job("a")
    workers.pools.submit(job)
    process = start(workers, job)
    process.report_models("sdxl", loading="flux")
    workers.collect()
    workers.later(7.0)
    snapshot = workers.pools.worker_snapshots()[0]
    assert [each.id for each in snapshot.jobs] == [job.id]
    assert (snapshot.models.loaded, snapshot.models.loading, snapshot.loading_seconds) == (("sdxl",), "flux", 7.0)
    assert not snapshot.pause_reason


# --- a device that fails


def test_a_failed_device_pauses_and_its_job_keeps_its_place(workers: FakeWorkers, pictures: Pictures) -> None:
    """The job has no outcome, so no attempt is counted. The process is replaced, and the sentence gives the time of the next try."""
    first, second = pictures.job("a"), pictures.job("b")
    workers.pools.submit(first)
    workers.pools.submit(second)
    process = start(workers, first)
    process.finish(first, DEVICE_FAULT)
    events = workers.collect()
    assert (outcomes(events), requeued(events), process.status) == ([], [first.id], KILLED)
    assert (queue_position(workers.pools, first.id), queue_position(workers.pools, second.id)) == (1, 2)
    sentence = pause_reason(workers)
    assert re.fullmatch(
        r"The GPU cuda:0 has failed \(an illegal memory access\)\. "
        r"It is tried again at \d\d:\d\d:\d\d; its jobs stay queued\.",
        sentence,
    )
    assert workers.pools.seconds_until_due(workers.now) == INITIAL_PAUSE_SECONDS
    workers.later(INITIAL_PAUSE_SECONDS - 0.1)
    assert len(workers.processes) == 1
    workers.later(0.2)
    process = start(workers, first)
    assert pause_reason(workers) == ""
    process.finish(first)
    assert kinds(workers.collect()) == ["done"]


def test_the_other_queues_and_devices_go_on(two_gpus: FakeWorkers, pictures: Pictures) -> None:
    """Jobs for the failed device go to the other device. The queue does not count as paused while one device is healthy."""
    job = pictures.job("a")
    two_gpus.pools.submit(job)
    start(two_gpus, job).finish(job, DEVICE_FAULT)
    two_gpus.collect()
    assert two_gpus.newest.device == "cuda:1"
    assert start(two_gpus, job).device == "cuda:1"
    assert pause_reason(two_gpus) == ""
    assert [bool(snapshot.pause_reason) for snapshot in two_gpus.pools.worker_snapshots()] == [False, True, False]
    other = pictures.share.job()
    two_gpus.pools.submit(other)
    assert start(two_gpus, other).device == "cpu"


def test_a_failed_device_is_tried_again_after_longer_and_longer_pauses(workers: FakeWorkers, pictures: Pictures) -> None:
    """The pauses have an upper bound, and start from the shortest again after a success."""
    job = pictures.job("a")
    workers.pools.submit(job)
    waits = []
    for _ in range(9):
        start(workers, job).finish(job, DEVICE_FAULT)
        workers.collect()
        waits.append(workers.pools.seconds_until_due(workers.now) or 0.0)
        workers.later(waits[-1])
    assert waits[:4] == [10.0, 20.0, 40.0, 80.0]
    assert waits[-1] == MAX_PAUSE_SECONDS
    start(workers, job).finish(job)
    assert kinds(workers.collect()) == ["done"]
    job = pictures.job("b")
    workers.pools.submit(job)
    workers.newest.start_job()
    workers.newest.finish(job, DEVICE_FAULT)
    workers.collect()
    assert workers.pools.seconds_until_due(workers.now) == INITIAL_PAUSE_SECONDS


def test_a_picture_on_which_a_healthy_device_always_fails_is_to_blame(workers: FakeWorkers, pictures: Pictures) -> None:
    """After the second failure another job goes first. If that job succeeds, the third failure is the fault of the picture."""
    bad, good = pictures.job("poison"), pictures.job("good")
    workers.pools.submit(bad)
    workers.pools.submit(good)
    for _ in range(2):
        start(workers, bad).finish(bad, DEVICE_FAULT)
        workers.collect()
        workers.later(workers.pools.seconds_until_due(workers.now) or 0.0)
    process = start(workers, good)
    process.finish(good)
    assert kinds(workers.collect()) == ["done"]
    assert process.start_job().id == bad.id
    process.finish(bad, DEVICE_FAULT)
    events = workers.collect()
    assert (kinds(events), requeued(events), pause_reason(workers)) == (["crash"], [], "")
    assert "fails with poison.png and works with other pictures" in getattr(outcomes(events)[0].fault, "sentence", "")


def test_a_picture_on_which_the_device_fails_without_end_counts_an_attempt(workers: FakeWorkers, pictures: Pictures) -> None:
    """If no other picture shows whether the device works, the claims of a process that a picture has taken over must end some time."""
    job = pictures.job("lone")
    workers.pools.submit(job)
    for _ in range(MAX_DEVICE_CLAIMS):
        start(workers, job).finish(job, DEVICE_FAULT)
        assert requeued(workers.collect()) == [job.id]
        workers.later(workers.pools.seconds_until_due(workers.now) or 0.0)
    start(workers, job).finish(job, DEVICE_FAULT)
    events = workers.collect()
    assert (kinds(events), requeued(events), pause_reason(workers)) == (["crash"], [], "")
    assert "fails with lone.png again and again" in getattr(outcomes(events)[0].fault, "sentence", "")


def test_a_cpu_cannot_be_the_device_that_failed(workers: FakeWorkers, pictures: Pictures) -> None:
    """The claim would cost no attempt, so it is refused."""
    job = pictures.share.job()
    workers.pools.submit(job)
    start(workers, job).finish(job, DEVICE_FAULT)
    assert kinds(workers.collect()) == ["refused"]


def test_a_job_without_a_model_proves_nothing_about_a_device(workers: FakeWorkers, pictures: Pictures) -> None:
    """Such a job may never have touched the device, so the failed picture is still not to blame."""
    bad, plain = pictures.job("poison"), pictures.job("plain", "")
    workers.pools.submit(bad)
    workers.pools.submit(plain)
    for _ in range(2):
        start(workers, bad).finish(bad, DEVICE_FAULT)
        workers.collect()
        workers.later(workers.pools.seconds_until_due(workers.now) or 0.0)
    process = start(workers, plain)
    process.finish(plain)
    workers.collect()
    assert process.start_job().id == bad.id
    process.finish(bad, DEVICE_FAULT)
    assert requeued(workers.collect()) == [bad.id]


def test_a_cancelled_job_is_not_requeued(workers: FakeWorkers, pictures: Pictures) -> None:
    """The job has exactly one outcome, although its device fails."""
    job = pictures.job("a")
    workers.pools.submit(job)
    process = start(workers, job)
    workers.pools.cancel(job.id)
    process.finish(job, DEVICE_FAULT)
    events = workers.collect()
    assert (kinds(events), requeued(events)) == (["cancelled"], [])
    assert pause_reason(workers)


def test_a_draining_queue_does_not_try_its_device_again(workers: FakeWorkers, pictures: Pictures) -> None:
    """A daemon that is stopping waits for the running jobs only, and does not spin."""
    job = pictures.job("a")
    workers.pools.submit(job)
    start(workers, job).finish(job, DEVICE_FAULT)
    workers.collect()
    workers.pools.drain()
    workers.later(INITIAL_PAUSE_SECONDS + 1)
    assert workers.pools.seconds_until_due(workers.now) is None


# --- a device that hangs


def test_a_process_that_cannot_be_killed_is_the_fault_of_its_device(workers: FakeWorkers, pictures: Pictures) -> None:
    """The process hangs in the driver: the job keeps its place, and no job starts on the device before the process has released it."""
    job = pictures.job("a")
    workers.pools.submit(job)
    stuck = start(workers, job)
    stuck.is_stuck = True
    workers.later(10.1)
    events = workers.later(5.1)
    assert (outcomes(events), requeued(events)) == ([], [job.id])
    assert "a killed process does not release it" in pause_reason(workers)
    workers.later(workers.pools.seconds_until_due(workers.now) or 0.0)
    assert len(workers.processes) == 1
    assert pause_reason(workers)
    stuck.exit(KILLED)
    workers.later(workers.pools.seconds_until_due(workers.now) or 0.0)
    start(workers, job)
    assert pause_reason(workers) == ""


def test_a_cpu_is_not_blamed_for_a_process_that_cannot_be_killed(workers: FakeWorkers, share: Share) -> None:
    """The job gets its outcome, and the queue goes on."""
    job = share.job(limits=SHORT_LIMITS)
    workers.pools.submit(job)
    start(workers, job).is_stuck = True
    workers.later(10.1)
    assert kinds(workers.later(5.1)) == ["timeout"]
    assert workers.pools.pause_reason("cpu") is None


def start_and_time_out(workers: FakeWorkers, job: Job) -> list[Event]:
    """Start the job and let it time out."""
    start(workers, job)
    return workers.later(10.1)


def test_a_single_picture_that_times_out_is_at_fault_itself(workers: FakeWorkers, pictures: Pictures) -> None:
    """This holds for each new attempt at the picture."""
    for _ in range(3):
        job = pictures.job("a")
        workers.pools.submit(job)
        assert kinds(start_and_time_out(workers, job)) == ["timeout"]
    assert pause_reason(workers) == ""


def test_two_timeouts_in_a_row_on_two_pictures_make_the_device_suspect(workers: FakeWorkers, pictures: Pictures) -> None:
    """The second picture keeps its place and the device pauses; if the device then works, its failures are forgotten."""
    first, second = pictures.job("a"), pictures.job("b")
    workers.pools.submit(first)
    workers.pools.submit(second)
    assert kinds(start_and_time_out(workers, first)) == ["timeout"]
    events = start_and_time_out(workers, second)
    assert (outcomes(events), requeued(events)) == ([], [second.id])
    assert "two pictures in a row failed on it; the last, b.png, took too long" in pause_reason(workers)
    workers.later(INITIAL_PAUSE_SECONDS)
    start(workers, second).finish(second)
    assert kinds(workers.collect()) == ["done"]
    third = pictures.job("c")
    workers.pools.submit(third)
    workers.newest.start_job()
    workers.collect()
    assert kinds(workers.later(10.1)) == ["timeout"]


def test_a_suspected_device_excuses_a_picture_a_limited_number_of_times(workers: FakeWorkers, pictures: Pictures) -> None:
    """After MAX_EXCUSES excuses the picture gets its outcome."""
    first, second = pictures.job("a"), pictures.job("b")
    workers.pools.submit(first)
    workers.pools.submit(second)
    start_and_time_out(workers, first)
    for _ in range(MAX_EXCUSES):
        assert requeued(start_and_time_out(workers, second)) == [second.id]
        workers.later(workers.pools.seconds_until_due(workers.now) or 0.0)
    assert kinds(start_and_time_out(workers, second)) == ["timeout"]


def test_a_process_that_dies_counts_like_a_timeout(workers: FakeWorkers, pictures: Pictures) -> None:
    """Two pictures in a row make the device suspect. A job without a model, such as a hostile file that kills its decoder, never does."""
    jobs = [pictures.job(name) for name in "ab"]
    for job in jobs:
        workers.pools.submit(job)
    start(workers, jobs[0]).exit(-11)
    assert kinds(workers.collect()) == ["crash"]
    start(workers, jobs[1]).exit(-11)
    assert requeued(workers.collect()) == [jobs[1].id]
    workers.pools.cancel(jobs[1].id)
    workers.later(INITIAL_PAUSE_SECONDS)
    for name in "cd":
        hostile = pictures.job(name, "")
        workers.pools.submit(hostile)
        start(workers, hostile).exit(-11)
        assert kinds(workers.collect())[-1] == "crash"


# --- cancel


def test_a_job_with_a_model_gets_its_own_time_to_react_to_a_cancel(workers: FakeWorkers, pictures: Pictures) -> None:
    """A step of a large model may take seconds, and a kill would throw the loaded model away. The time is bounded all the same."""
    job = pictures.job("a", limits=GENEROUS.model_copy(update={"cancel_grace_seconds": 30.0}))
    workers.pools.submit(job)
    process = start(workers, job)
    workers.pools.cancel(job.id)
    workers.later(29.9)
    assert process.status is None
    assert kinds(workers.later(0.2)) == ["cancelled"]
    assert process.status == KILLED
    assert workers.pools.pause_reason("gpu") is None
