"""Worker pools with fake processes, on a clock that moves only in tests."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doubles.fake_workers import KILLED, FakeWorkers, kinds, unchanged_outcome
from doubles.jobs import GENEROUS, Share, outcomes
from doubles.worker_queues import queue_position
from goldsmith.engines.open_weights import FileStamp
from goldsmith.engines.registry.hash_notes import HashNote
from goldsmith.jobs.job import JobProgress, Outcome
from goldsmith.jobs.protocol import (
    FrameDecoder,
    HelloMessage,
    MessageType,
    ProtocolError,
    WorkerConfig,
    WorkerFolders,
    WorkerSpec,
    decode_message,
    encode_message,
    frame_message,
)
from goldsmith.pipeline.workers.runner import LocalRunner
from goldsmith.pipeline.workers.worker_pools import WorkerPools
from goldsmith.worker.main import ProgressThrottle


@pytest.fixture
def workers() -> Iterator[FakeWorkers]:
    workers = FakeWorkers()
    yield workers
    workers.close()


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


def test_jobs_of_a_queue_run_one_at_a_time_in_order(workers: FakeWorkers, share: Share) -> None:
    """The predicted order of the queue is right throughout."""
    jobs = [share.job() for _ in range(3)]
    for job in jobs:
        workers.pools.submit(job)
    process = workers.ready()
    assert [queue_position(workers.pools, job.id) for job in jobs] == [0, 1, 2]
    for at, job in enumerate(jobs):
        assert process.start_job().id == job.id
        assert workers.collect() == [JobProgress(job_id=job.id, step=0, op="", fraction=0.0)]
        process.finish(job)
        assert kinds(workers.collect()) == ["done"]
        assert [queue_position(workers.pools, job.id) for job in jobs[at + 1 :]] == list(range(2 - at))
    assert (queue_position(workers.pools, "unknown"), len(workers.processes)) == (None, 1)


def test_submit_sends_a_job_to_a_ready_process(workers: FakeWorkers, share: Share) -> None:
    """The job does not wait for the next turn of the main loop."""
    workers.pools.prewarm()
    process = workers.ready()
    job = share.job()
    workers.pools.submit(job)
    assert process.start_job().id == job.id
    assert workers.pools.running_jobs()[job.id].queue == "cpu"


def test_a_queue_starts_no_more_processes_than_it_has_jobs(share: Share) -> None:
    """Processes cost memory, so they are started as they are needed, up to the count."""
    workers = FakeWorkers(count=3)
    workers.pools.prewarm()
    workers.pools.submit(share.job())
    assert len(workers.processes) == 1
    for _ in range(9):
        workers.pools.submit(share.job())
    assert len(workers.processes) == 3
    workers.close()


def test_a_job_for_an_unknown_queue_goes_to_the_first_queue(workers: FakeWorkers, share: Share) -> None:
    """Without a GPU, the CPU does the work."""
    job = share.job(queue="gpu")
    workers.pools.submit(job)
    assert workers.ready().start_job().id == job.id


def test_a_queued_job_is_cancelled_at_once(workers: FakeWorkers, share: Share) -> None:
    """The job never reaches a process."""
    first, second = share.job(), share.job()
    workers.pools.submit(first)
    workers.pools.submit(second)
    assert workers.pools.cancel(second.id)
    assert workers.pools.seconds_until_due(workers.now) == 0
    assert kinds(workers.collect()) == ["cancelled"]
    assert queue_position(workers.pools, second.id) is None
    assert not workers.pools.cancel(second.id)


def test_the_result_of_a_cancelled_job_is_ignored(workers: FakeWorkers, share: Share) -> None:
    """The process is told to cancel, and stays alive if it does."""
    job = share.job()
    workers.pools.submit(job)
    process = workers.ready()
    process.start_job()
    workers.pools.cancel(job.id)
    assert process.receive() == (MessageType.CANCEL, job.id.encode())
    process.finish(job)
    assert kinds(workers.collect()) == ["cancelled"]
    assert process.status is None


def test_a_process_that_ignores_a_cancel_is_killed(workers: FakeWorkers, share: Share) -> None:
    """The kill comes after two seconds, and the job has one outcome."""
    job = share.job()
    workers.pools.submit(job)
    process = workers.ready()
    process.start_job()
    workers.pools.cancel(job.id)
    workers.later(1.99)
    assert process.status is None
    assert kinds(workers.later(0.02)) == ["cancelled"]
    assert process.status == KILLED


def test_a_job_that_times_out_kills_its_process(workers: FakeWorkers, share: Share) -> None:
    """The time counts from the start of the job, not from its arrival, and the main loop gets the time of the next check."""
    job = share.job(limits=GENEROUS.model_copy(update={"timeout_seconds": 10}))
    workers.pools.submit(job)
    workers.now += 30
    process = workers.ready()
    process.start_job()
    workers.collect()
    assert 0 < (workers.pools.seconds_until_due(workers.now) or 0) <= 10
    assert kinds(workers.later(9.9)) == []
    assert kinds(workers.later(0.2)) == ["timeout"]
    assert process.status == KILLED


def test_a_job_with_too_much_memory_kills_its_process(workers: FakeWorkers, share: Share) -> None:
    """The sentence gives the limit."""
    workers.pools.submit(share.job(limits=GENEROUS.model_copy(update={"max_memory_bytes": 2**20})))
    workers.ready().start_job()
    events = workers.later(0.3)
    assert kinds(events) == ["memory"]
    assert "0.000977 GiB" in getattr(outcomes(events)[0].fault, "sentence", "")


def test_a_process_that_keeps_its_memory_is_replaced_before_the_next_job(workers: FakeWorkers, share: Share) -> None:
    """The next job must not pay for the memory of an earlier one."""
    job = share.job(limits=GENEROUS.model_copy(update={"max_memory_bytes": 2**20}))
    workers.pools.submit(job)
    process = workers.ready()
    process.start_job()
    process.finish(job)
    assert kinds(workers.collect()) == ["done"]
    assert process.status == KILLED
    workers.pools.submit(share.job())
    assert len(workers.processes) == 2


def test_a_process_may_keep_its_models(workers: FakeWorkers, share: Share) -> None:
    """A process with loaded models may rest with more memory than a process without."""
    for loaded in (True, False):
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        job = share.job(limits=GENEROUS.model_copy(update={"max_memory_bytes": int(resident / 0.82)}))
        workers.pools.submit(job)
        process = workers.ready()
        process.start_job()
        process.report_models(*["flux"] if loaded else [])
        process.finish(job)
        assert kinds(workers.collect()) == ["done"]
        assert (process.status is None) == loaded
        process.exit(0)
        workers.collect()


def test_a_job_moves_to_the_next_process_if_its_process_dies_before_the_start(workers: FakeWorkers, share: Share) -> None:
    """After three such deaths the job is at fault."""
    job = share.job()
    workers.pools.submit(job)
    for _ in range(2):
        workers.ready().exit(KILLED)
        assert workers.collect() == []
        assert queue_position(workers.pools, job.id) == 1
    assert len(workers.processes) == 3
    workers.ready().exit(-11)
    events = workers.collect()
    assert kinds(events) == ["crash"]
    assert "signal 11, segmentation fault" in getattr(outcomes(events)[0].fault, "sentence", "")


def test_a_death_during_a_job_is_a_crash_with_the_end_of_stderr(workers: FakeWorkers, share: Share) -> None:
    """The end of stderr is for the log; the rest is not kept."""
    workers.pools.submit(share.job())
    process = workers.ready()
    process.start_job()
    for _ in range(4):
        os.write(process.stderr, b"x" * 10_000)
    os.write(process.stderr, b"the end")
    process.exit(3)
    events = workers.collect()
    fault = outcomes(events)[0].fault
    assert kinds(events) == ["crash"]
    assert fault is not None
    assert fault.sentence == "The program died while working on hero.png (exit status 3)."
    assert (len(fault.detail), fault.detail[-8:]) == (4096, "xthe end")


def test_an_outcome_counts_if_its_process_has_ended(workers: FakeWorkers, share: Share) -> None:
    """The process sends the outcome and ends before the outcome is read."""
    job = share.job()
    workers.pools.submit(job)
    process = workers.ready()
    process.start_job()
    process.finish(job)
    process.exit(0)
    assert kinds(workers.collect()) == ["done"]


def test_a_process_stuck_in_the_kernel_does_not_keep_its_job(workers: FakeWorkers, share: Share) -> None:
    """Five seconds after the kill, the job gets its outcome and the slot is free for another process."""
    workers.pools.submit(share.job(limits=GENEROUS.model_copy(update={"timeout_seconds": 1})))
    process = workers.ready()
    process.is_stuck = True
    process.start_job()
    workers.collect()
    assert kinds(workers.later(1.1)) == []
    assert kinds(workers.later(4.8)) == []
    assert kinds(workers.later(0.3)) == ["timeout"]
    workers.pools.submit(share.job())
    assert len(workers.processes) == 2


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 64,
        frame_message(MessageType.OUTCOME, b"{"),
        frame_message(MessageType.HELLO),
        frame_message(MessageType.OUTCOME, encode_message(Outcome(job_id="another"))),
    ],
)
def test_a_process_that_sends_an_invalid_message_is_killed(workers: FakeWorkers, share: Share, data: bytes) -> None:
    """Its results cannot be trusted; its job gets one outcome."""
    workers.pools.submit(share.job())
    process = workers.ready()
    process.start_job()
    process.connection.sendall(data)
    assert kinds(workers.collect()) == ["crash"]
    assert process.status == KILLED


def test_half_a_message_does_not_block_the_daemon(workers: FakeWorkers, share: Share) -> None:
    """The daemon reads the rest of the message when it arrives."""
    workers.pools.submit(share.job())
    process = workers.ready()
    job = process.start_job()
    whole = frame_message(MessageType.OUTCOME, encode_message(unchanged_outcome(job)))
    process.connection.sendall(whole[:9])
    assert kinds(workers.collect()) == []
    process.connection.sendall(whole[9:])
    assert kinds(workers.collect()) == ["done"]


def test_a_queue_whose_processes_cannot_start_pauses_and_its_jobs_wait(workers: FakeWorkers, share: Share) -> None:
    """Each pause is longer; the sentence gives the reason, and the pause ends once a process starts."""
    job = share.job()
    workers.pools.submit(job)
    for seconds in (0.5, 1.0, 2.0):
        os.write(workers.newest.stderr, b"Traceback\nModuleNotFoundError: No module named 'numpy'\n")
        workers.newest.exit(1)
        assert workers.collect() == []
        sentence = workers.pools.pause_reason("cpu") or ""
        assert "exit status 1: ModuleNotFoundError: No module named 'numpy'" in sentence
        assert f"within {seconds:g} s" in sentence
        assert (queue_position(workers.pools, job.id), workers.pools.seconds_until_due(workers.now)) == (1, seconds)
        workers.later(seconds)
    workers.ready().start_job()
    assert workers.pools.pause_reason("cpu") is None


def test_the_reason_of_a_failed_start_stays_until_a_process_is_ready(share: Share) -> None:
    """The next try does not hide it, so that people do not read of a recovery with every try."""
    workers = FakeWorkers(refuses=True)
    workers.pools.submit(share.job())
    workers.refuses = False
    workers.later(1.0)
    assert len(workers.processes) == 1
    assert "cannot start (Cannot allocate memory)" in (workers.pools.pause_reason("cpu") or "")
    workers.ready()
    assert workers.pools.pause_reason("cpu") is None
    workers.close()


def test_a_message_that_cannot_be_sent_ends_the_process(workers: FakeWorkers, share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its job would wait for ever for a worker that has never heard of it. The next process gets it."""
    workers.pools.prewarm()
    process = workers.ready()

    def refuse(connection: socket.socket, data: bytes) -> int:
        raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "send", refuse)
        workers.pools.submit(job := share.job())
    assert process.status == KILLED
    assert workers.later(0.1) + workers.later(0.1) == []
    assert workers.ready().start_job().id == job.id


def test_a_failed_spawn_pauses_the_queue_too(share: Share) -> None:
    """Too little memory for a process is the machine's fault, not the job's."""
    workers = FakeWorkers(refuses=True)
    workers.pools.submit(share.job())
    assert "Cannot allocate memory" in (workers.pools.pause_reason("cpu") or "")
    workers.refuses = False
    workers.later(0.6)
    workers.ready()
    assert (workers.pools.pause_reason("cpu"), len(workers.processes)) == (None, 1)
    workers.close()


def test_a_process_that_never_gets_ready_is_replaced(workers: FakeWorkers, share: Share) -> None:
    """It is killed after a minute, and the job waits for the next process."""
    job = share.job()
    workers.pools.submit(job)
    workers.later(60.1)
    workers.later(1.0)
    assert workers.processes[0].status == KILLED
    assert workers.ready().start_job().id == job.id


def test_output_on_stderr_does_not_keep_the_loop_awake(workers: FakeWorkers) -> None:
    """One turn drains the pipe of an idle process; a pipe that stays readable would make the main loop spin."""
    workers.pools.prewarm()
    process = workers.ready()
    for _ in range(3):
        os.write(process.stderr, b"a warning\n" * 1000)
        assert select.select(workers.pools.readable_fds(), [], [], 5)[0]
        assert workers.collect() == []
        assert not select.select(workers.pools.readable_fds(), [], [], 0)[0]
        assert workers.pools.seconds_until_due(workers.now) is None


def test_stop_lets_running_jobs_finish_and_cancels_the_rest(workers: FakeWorkers, share: Share) -> None:
    """Each job has one outcome."""
    first, second = share.job(), share.job()
    workers.pools.submit(first)
    workers.pools.submit(second)
    process = workers.ready()
    process.start_job()
    process.finish(first)
    events = workers.pools.stop(10)
    assert [(outcome.job_id, outcome.fault and outcome.fault.kind) for outcome in outcomes(events)] == [
        (first.id, None),
        (second.id, "cancelled"),
    ]
    assert process.status == KILLED
    assert workers.pools.stop(0) == []


def test_idle_pools_ask_for_no_turn_of_the_loop(workers: FakeWorkers) -> None:
    """The daemon sleeps until a message arrives."""
    workers.pools.prewarm()
    workers.ready()
    assert workers.pools.seconds_until_due(workers.now) is None


@given(st.lists(st.tuples(st.sampled_from(list(MessageType)), st.binary(max_size=50)), max_size=8), st.integers(1, 7))
@settings(max_examples=50, deadline=None)
def test_messages_that_are_cut_at_any_place_are_read_completely(messages: list[tuple[MessageType, bytes]], cut: int) -> None:
    """The socket may split the stream of bytes at any place."""
    stream = b"".join(frame_message(kind, payload) for kind, payload in messages)
    frames = FrameDecoder()
    received = [message for start in range(0, len(stream), cut) for message in frames.feed(stream[start : start + cut])]
    assert received == messages


def test_messages_keep_names_that_are_not_unicode() -> None:
    """Undecodable bytes travel as surrogates; a message of another type is refused."""
    outcome = Outcome(job_id="a", consumed_files=(os.fsdecode(b"h\xff.png"), "ü"))
    assert decode_message(Outcome, encode_message(outcome)) == outcome
    for bad in (b"", b"[]", b"[" * 100_000, b'{"job_id": 3}', b"\xff"):
        with pytest.raises(ProtocolError):
            decode_message(Outcome, bad)
    hello = HelloMessage(spec=WorkerSpec(queue="cpu"), config=WorkerConfig(), folders=WorkerFolders(work="/w"), scratch="/w/a")
    assert decode_message(HelloMessage, encode_message(hello)) == hello


def test_the_notes_of_weights_reach_the_worker_process() -> None:
    """The first message has a copy of the daemon's notes."""
    note = HashNote("0" * 64, FileStamp(1, 2, 3, 4, 5), 6)
    config = WorkerConfig(weights_notes={os.fsdecode(b"/m/h\xff.onnx"): note})
    hello = HelloMessage(spec=WorkerSpec(queue="cpu"), config=config, folders=WorkerFolders(work="/w"), scratch="/w/a")
    received = decode_message(HelloMessage, encode_message(hello))
    assert received == hello
    assert isinstance(received.config.weights_notes[os.fsdecode(b"/m/h\xff.onnx")].stamp, FileStamp)


def test_each_worker_process_gets_the_configuration_of_its_start(tmp_path: Path) -> None:
    """The configuration is read when a process starts, because weights may have been fetched since the last one."""
    catalogues = iter(["first", "second"])
    workers = FakeWorkers()
    specs, folders = [WorkerSpec(queue="cpu")], WorkerFolders(work=str(tmp_path))
    pools = WorkerPools(
        specs, lambda: WorkerConfig(catalogue=next(catalogues)), folders, lambda: workers.now, {"local": LocalRunner(workers.spawn)}
    )
    for expected in ("first", "second"):
        pools.prewarm()
        ((kind, payload),) = FrameDecoder().feed(workers.newest.connection.recv(65536))
        assert (kind, decode_message(HelloMessage, payload).config.catalogue) == (MessageType.HELLO, expected)
        workers.newest.send(MessageType.READY)
        pools.collect(workers.now)
        workers.newest.exit(0)
        pools.collect(workers.now)
    pools.stop(0)
    workers.close()


def test_progress_is_sent_about_five_times_a_second() -> None:
    """A new step or note is sent at once."""
    now, sent = [0.0], []
    throttle = ProgressThrottle(sent.append, lambda: now[0])
    for number in range(100):
        now[0] = number / 100
        throttle.report(JobProgress(job_id="a", step=1, op="x", fraction=number / 100))
    assert len(sent) == 5
    throttle.report(JobProgress(job_id="a", step=1, op="x", fraction=1.0, note="loading"))
    throttle.report(JobProgress(job_id="a", step=2, op="y", fraction=0.0))
    assert [(progress.step, progress.note) for progress in sent[5:]] == [(1, "loading"), (2, "")]
    for number in range(100):
        throttle.report(JobProgress(job_id="a", step=2, op="y", fraction=0.5, note=f"tile {number}"))
    assert len(sent) == 12
