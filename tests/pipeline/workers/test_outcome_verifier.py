"""Large results are verified in a thread: the loop goes on, and the job counts as running until its outcome is there."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event as Gate

import pytest

from doubles.fake_workers import KILLED, FakeProcess, FakeWorkers, kinds, unchanged_outcome
from doubles.jobs import DEADLINE, Event, Share, outcomes
from goldsmith.jobs.job import Job, Outcome
from goldsmith.jobs.protocol import MAX_WORKER_PAYLOAD_BYTES, MessageType, ModelsMessage, WorkerSpec, encode_message, frame_message
from goldsmith.pipeline.workers import outcome_files, outcome_verifier

JPEG = b"\xff\xd8\xff\xe0 a picture"


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


@pytest.fixture
def workers() -> Iterator[FakeWorkers]:
    workers = FakeWorkers()
    yield workers
    workers.close()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Every result is large, and its hash is not finished before the gate is open."""
    gate, hash_file = Gate(), outcome_files._hash
    monkeypatch.setattr(outcome_verifier, "MAX_IMMEDIATE_BYTES", 0)

    def hash_behind_gate(*arguments: object) -> str:
        assert gate.wait(DEADLINE)
        return hash_file(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(outcome_files, "_hash", hash_behind_gate)
    yield gate
    gate.set()


@pytest.mark.parametrize("make", ["link", "pipe", "large", "no_jpeg", "second_name", "nothing"])
def test_a_preview_is_a_plain_jpeg_of_a_limited_size(share: Share, make: str) -> None:
    """Whatever replaces it after the outcome is not read, and a pipe does not block."""
    job = share.job()
    path = Path(job.scratch, "shown.jpg")
    path.parent.mkdir(parents=True)
    path.write_bytes(JPEG)
    assert outcome_files.read_preview(job, str(path)) == JPEG
    path.unlink()
    if make == "link":
        path.symlink_to("/dev/zero")
    elif make == "pipe":
        os.mkfifo(path)
    elif make == "second_name":
        os.link(share.put("secret", JPEG), path)
    elif make != "nothing":
        path.write_bytes(JPEG if make == "large" else b"a private key")
        os.truncate(path, outcome_files.MAX_PREVIEW_BYTES + 1 if make == "large" else 10)
    assert outcome_files.read_preview(job, str(path)) == b""
    assert outcome_files.read_preview(job, "/etc/passwd") == b""


@pytest.mark.parametrize("known", [False, True])
def test_an_input_that_changes_after_it_was_read_is_not_the_workers_fault(workers: FakeWorkers, share: Share, known: bool) -> None:
    """The job starts again; its process lives. A file that the daemon placed is not read again."""
    job = share.job()
    outcome = unchanged_outcome(job)
    if known:
        asset = job.asset.model_copy(update={"sha256": outcome.reads[0].sha256})
        job = job.model_copy(update={"inputs": (asset,)})
    workers.pools.submit(job)
    process = workers.ready()
    job = process.start_job()
    outcome = unchanged_outcome(job)
    share.put("inbox/hero.png", b"saved over")
    process.send(MessageType.OUTCOME, encode_message(outcome))
    assert (kinds(workers.collect()), process.status) == (["done"] if known else ["changed"], None)


def test_a_result_that_is_still_open_for_writing_is_refused(workers: FakeWorkers, share: Share) -> None:
    """Its hash says nothing about the bytes that are published later."""
    workers.pools.submit(share.job())
    process = workers.ready()
    outcome = unchanged_outcome(process.start_job())
    with open(outcome.original_copy, "r+b"):
        process.send(MessageType.OUTCOME, encode_message(outcome))
        assert kinds(workers.collect()) == ["refused"]


def test_nothing_is_read_from_a_process_after_a_lie(workers: FakeWorkers, share: Share) -> None:
    """A correct outcome behind the lie does not undo it."""
    workers.pools.submit(share.job())
    process = workers.ready()
    honest = unchanged_outcome(process.start_job())
    process.send(MessageType.OUTCOME, encode_message(honest.model_copy(update={"reads": ()})))
    process.send(MessageType.OUTCOME, encode_message(honest))
    assert kinds(workers.collect()) == ["refused"]


def test_a_lie_about_one_job_of_a_batch_does_not_blame_the_others(share: Share) -> None:
    """The others run again, without a counted attempt and without running alone."""
    workers = FakeWorkers(specs=(WorkerSpec(queue="gpu", device="cuda:0", max_batch=8, device_memory_mb=40_000),))
    facts = {"queue": "gpu", "models": ("flux",), "batch_key": "x", "weights_mb": 20_000, "pictures_mb": 4_000}
    jobs = [share.job(**facts) for _ in range(3)]  # type: ignore[arg-type]
    for job in jobs:
        workers.pools.submit(job)
    process = workers.ready()
    process.start_batch()
    process.send(MessageType.OUTCOME, encode_message(Outcome(job_id=jobs[1].id)))
    events = workers.collect()
    assert (kinds(events), [outcome.job_id for outcome in outcomes(events)]) == (["refused"], [jobs[1].id])
    assert [job.id for job in workers.ready().start_batch()] == [jobs[0].id, jobs[2].id]
    workers.close()


def test_a_message_that_is_too_large_is_refused_by_its_header(workers: FakeWorkers, share: Share) -> None:
    """The daemon does not collect it in memory first."""
    workers.pools.submit(share.job())
    process = workers.ready()
    process.start_job()
    process.connection.sendall(frame_message(MessageType.OUTCOME, bytes(MAX_WORKER_PAYLOAD_BYTES + 1))[:5])
    assert (kinds(workers.collect()), process.status) == (["crash"], KILLED)


def test_a_job_that_starts_twice_ends_its_process(workers: FakeWorkers, share: Share) -> None:
    """Each start would put off the timeout, so that a process that was taken over could keep its place for ever."""
    workers.pools.submit(share.job())
    process = workers.ready()
    job = process.start_job()
    process.send(MessageType.STARTED, job.id.encode())
    assert (kinds(workers.collect()), process.status) == (["crash"], KILLED)


@pytest.mark.parametrize("is_busy", [True, False])
def test_a_process_that_sends_messages_without_end_is_replaced(workers: FakeWorkers, share: Share, is_busy: bool) -> None:
    """Each message costs the daemon time. A job that it runs has failed; without one, nobody is blamed."""
    workers.pools.submit(share.job())
    process = workers.ready()
    job = process.start_job()
    if not is_busy:
        process.finish(job)
        assert kinds(workers.collect()) == ["done"]
    flood = frame_message(MessageType.MODELS, encode_message(ModelsMessage())) * 1000
    process.connection.settimeout(0)
    events: list[Event] = []
    while process.status is None:
        workers.now += 0.05
        with suppress(BlockingIOError):
            process.connection.send(flood)
        events += workers.collect()
    assert kinds(events) == (["crash"] if is_busy else [])


def sent_result(workers: FakeWorkers, share: Share) -> tuple[FakeProcess, Job]:
    """Let a process send the outcome of a job, and collect the message."""
    workers.pools.submit(share.job())
    process = workers.ready()
    job = process.start_job()
    process.finish(job)
    workers.collect()
    return process, job


def verified(workers: FakeWorkers, gate: Gate) -> list[Event]:
    """Open the gate and return the events once the descriptor of the pools says that there are some."""
    gate.set()
    events: list[Event] = []
    while not outcomes(events):
        assert select.select(workers.pools.readable_fds(), [], [], DEADLINE)[0]
        events += workers.collect()
    return events


def test_the_loop_goes_on_while_a_result_is_hashed(workers: FakeWorkers, share: Share, gate: Gate) -> None:
    """The job counts as running, and its process takes the next job meanwhile."""
    process, job = sent_result(workers, share)
    assert kinds(workers.later(1.0)) == []
    assert set(workers.pools.running_jobs()) == {job.id}
    workers.pools.submit(share.job())
    workers.collect()
    assert process.start_job().id != job.id
    events = verified(workers, gate)
    assert [(outcome.job_id, outcome.fault, outcome.scratch) for outcome in outcomes(events)] == [(job.id, None, job.scratch)]
    (outcome,) = outcomes(events)
    assert list(outcome.verified_sigs) == [outcome.original_copy]


def test_a_false_hash_ends_the_process_and_costs_its_next_job_nothing(workers: FakeWorkers, share: Share, gate: Gate) -> None:
    """The job with the false hash has failed; the other one is queued again."""
    workers.pools.submit(share.job())
    process = workers.ready()
    job = process.start_job()
    outcome = unchanged_outcome(job)
    Path(outcome.original_copy).write_bytes(bytes(job.asset.sig.size))
    process.send(MessageType.OUTCOME, encode_message(outcome))
    workers.collect()
    other = share.job()
    workers.pools.submit(other)
    workers.collect()
    process.start_job()
    events = verified(workers, gate)
    assert [(each.job_id, each.fault.kind) for each in outcomes(events) if each.fault] == [(job.id, "refused")]
    assert process.status == KILLED
    workers.collect()
    assert workers.ready().start_job().id == other.id


def test_a_result_that_vanishes_while_it_waits_is_lost(workers: FakeWorkers, share: Share, gate: Gate) -> None:
    """The thread has a result before it in its queue; the process is not at fault."""
    process, _ = sent_result(workers, share)
    workers.pools.submit(share.job())
    workers.collect()
    second = process.start_job()
    process.finish(second)
    os.unlink(unchanged_outcome(second).original_copy)
    workers.collect()
    events = verified(workers, gate)
    while len(outcomes(events)) < 2:
        events += workers.collect()
    assert kinds(events) == ["done", "lost"]
    assert process.status is None


def test_a_job_can_be_cancelled_while_its_result_is_hashed(workers: FakeWorkers, share: Share, gate: Gate) -> None:
    """It has one outcome, also after the hash is there."""
    process, job = sent_result(workers, share)
    assert workers.pools.cancel(job.id)
    assert kinds(workers.collect()) == ["cancelled"]
    gate.set()
    workers.pools.submit(share.job())
    workers.collect()
    process.finish(process.start_job())
    assert kinds(verified(workers, gate)) == ["done"]


def test_a_result_counts_if_its_process_dies_while_it_is_hashed(workers: FakeWorkers, share: Share, gate: Gate) -> None:
    """The result is complete in the scratch folder, which stays."""
    process, _ = sent_result(workers, share)
    process.exit(KILLED)
    workers.collect()
    assert kinds(verified(workers, gate)) == ["done"]


def test_the_end_of_the_daemon_waits_for_a_hash_and_then_cancels(workers: FakeWorkers, share: Share, gate: Gate) -> None:
    """A hash that does not end in time gives a cancelled job."""
    sent_result(workers, share)
    assert kinds(workers.pools.stop(0)) == ["cancelled"]


@pytest.mark.parametrize("limit", [0, outcome_verifier.MAX_IMMEDIATE_BYTES], ids=["in the thread", "at once"])
def test_an_unexpected_error_becomes_a_refusal(share: Share, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """The memory is exhausted during the verification: the job gets an outcome all the same, and the thread goes on."""

    def exhaust_memory(*_: object) -> Outcome:
        raise MemoryError

    monkeypatch.setattr(outcome_verifier, "MAX_IMMEDIATE_BYTES", limit - 1)
    monkeypatch.setattr(outcome_verifier, "check_files", exhaust_memory)
    verifier = outcome_verifier.OutcomeVerifier()
    for _ in range(2):
        verification = verifier.begin(share.job(), Outcome(job_id="job"))
        if not limit:
            assert select.select([verifier.fd], [], [], DEADLINE)[0]
            verifier.clear_signal()
        assert verification.is_done
        assert verification.refusal is not None
        assert verification.refusal.detail == "MemoryError()"
    verifier.close()
