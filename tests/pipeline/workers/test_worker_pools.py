"""Lanes without a lane process: a puppet sits at the other end of the socket, and the clock is held."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doubles.jobs import GENEROUS, Share, outcomes
from doubles.puppets import KILLED, Stage, kinds
from goldsmith.jobs.job import JobProgress, Outcome
from goldsmith.jobs.protocol import (
    FrameDecoder,
    HelloMessage,
    MessageType,
    ProtocolError,
    decode_message,
    encode_message,
    frame_message,
)
from goldsmith.pipeline.workers.worker_pools import WorkerConfig, WorkerSpec
from goldsmith.worker.main import ProgressThrottle


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.lanes.stop(0)
    for puppet in made.puppets:
        puppet.end(0)


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


def test_jobs_of_a_lane_run_one_at_a_time_in_the_order_they_came(stage: Stage, share: Share) -> None:
    """The place in line is known all the while."""
    jobs = [share.job() for _ in range(3)]
    for job in jobs:
        stage.lanes.submit(job)
    puppet = stage.ready()
    assert [stage.lanes.position(job.id) for job in jobs] == [0, 1, 2]
    for at, job in enumerate(jobs):
        assert puppet.begin() == job
        assert stage.collect() == [JobProgress(job_id=job.id, step=0, op="", fraction=0.0)]
        puppet.answer(job)
        assert kinds(stage.collect()) == ["done"]
        assert [stage.lanes.position(job.id) for job in jobs[at + 1 :]] == list(range(2 - at))
    assert (stage.lanes.position("never heard of"), len(stage.puppets)) == (None, 1)


def test_a_job_for_a_ready_seat_is_sent_within_submit(stage: Stage, share: Share) -> None:
    """Nothing waits for the next turn of the loop."""
    stage.lanes.prewarm()
    puppet = stage.ready()
    job = share.job()
    stage.lanes.submit(job)
    assert puppet.begin() == job
    assert stage.lanes.running_jobs()[job.id].queue == "cpu"


def test_a_lane_opens_no_more_seats_than_it_has_jobs(share: Share) -> None:
    """Processes cost memory: they are started as they are needed, up to the count."""
    stage = Stage(count=3)
    stage.lanes.prewarm()
    stage.lanes.submit(share.job())
    assert len(stage.puppets) == 1
    for _ in range(9):
        stage.lanes.submit(share.job())
    assert len(stage.puppets) == 3
    stage.lanes.stop(0)


def test_a_lane_the_house_does_not_have_means_its_first(stage: Stage, share: Share) -> None:
    """Without a GPU the work is done on what there is."""
    job = share.job(queue="gpu")
    stage.lanes.submit(job)
    assert stage.ready().begin() == job


def test_a_job_in_line_is_called_off_at_once(stage: Stage, share: Share) -> None:
    """It never reaches a lane."""
    first, second = share.job(), share.job()
    stage.lanes.submit(first)
    stage.lanes.submit(second)
    assert stage.lanes.cancel(second.id)
    assert stage.lanes.seconds_until_due(stage.now) == 0
    assert kinds(stage.collect()) == ["cancelled"]
    assert stage.lanes.position(second.id) is None
    assert not stage.lanes.cancel(second.id)


def test_what_a_called_off_job_still_brings_is_not_taken(stage: Stage, share: Share) -> None:
    """The lane is told, and its process lives when it heeds that."""
    job = share.job()
    stage.lanes.submit(job)
    puppet = stage.ready()
    puppet.begin()
    stage.lanes.cancel(job.id)
    assert puppet.hear() == (MessageType.CANCEL, job.id.encode())
    puppet.answer(job)
    assert kinds(stage.collect()) == ["cancelled"]
    assert puppet.status is None


def test_a_cancel_that_is_not_heeded_ends_the_process(stage: Stage, share: Share) -> None:
    """After two seconds, and with one outcome."""
    job = share.job()
    stage.lanes.submit(job)
    puppet = stage.ready()
    puppet.begin()
    stage.lanes.cancel(job.id)
    stage.later(1.99)
    assert puppet.status is None
    assert kinds(stage.later(0.02)) == ["cancelled"]
    assert puppet.status == KILLED


def test_a_job_past_its_time_ends_the_process(stage: Stage, share: Share) -> None:
    """Counted from when it began, not from when it came; the loop is told when to look."""
    job = share.job(limits=GENEROUS.model_copy(update={"timeout_seconds": 10}))
    stage.lanes.submit(job)
    stage.now += 30
    puppet = stage.ready()
    puppet.begin()
    stage.collect()
    assert 0 < (stage.lanes.seconds_until_due(stage.now) or 0) <= 10
    assert kinds(stage.later(9.9)) == []
    assert kinds(stage.later(0.2)) == ["timeout"]
    assert puppet.status == KILLED


def test_a_job_that_outgrows_its_memory_ends_the_process(stage: Stage, share: Share) -> None:
    """The sentence says how much there was."""
    stage.lanes.submit(share.job(limits=GENEROUS.model_copy(update={"max_memory_bytes": 2**20})))
    stage.ready().begin()
    events = stage.later(0.3)
    assert kinds(events) == ["memory"]
    assert "0.000977 GiB" in getattr(outcomes(events)[0].fault, "sentence", "")


def test_a_seat_that_keeps_its_memory_is_replaced_before_the_next_job(stage: Stage, share: Share) -> None:
    """The next job is innocent."""
    job = share.job(limits=GENEROUS.model_copy(update={"max_memory_bytes": 2**20}))
    stage.lanes.submit(job)
    puppet = stage.ready()
    puppet.begin()
    puppet.answer(job)
    assert kinds(stage.collect()) == ["done"]
    assert puppet.status == KILLED
    stage.lanes.submit(share.job())
    assert len(stage.puppets) == 2


def test_a_seat_may_keep_its_models(stage: Stage, share: Share) -> None:
    """To hold a model is what it is there for: it may rest with more of its memory in use than one that holds none."""
    for loaded in (True, False):
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        job = share.job(limits=GENEROUS.model_copy(update={"max_memory_bytes": int(resident / 0.82)}))
        stage.lanes.submit(job)
        puppet = stage.ready()
        puppet.begin()
        puppet.holds(*["flux"] if loaded else [])
        puppet.answer(job)
        assert kinds(stage.collect()) == ["done"]
        assert (puppet.status is None) == loaded
        puppet.end(0)
        stage.collect()


def test_a_death_before_the_job_began_costs_it_nothing(stage: Stage, share: Share) -> None:
    """It goes to the next process; only after three such deaths it is suspected."""
    job = share.job()
    stage.lanes.submit(job)
    for _ in range(2):
        stage.ready().end(KILLED)
        assert stage.collect() == []
        assert stage.lanes.position(job.id) == 1
    assert len(stage.puppets) == 3
    stage.ready().end(-11)
    events = stage.collect()
    assert kinds(events) == ["crash"]
    assert "signal 11, segmentation fault" in getattr(outcomes(events)[0].fault, "sentence", "")


def test_a_death_in_mid_job_is_a_crash_with_its_last_words(stage: Stage, share: Share) -> None:
    """The words are for the log, and only the last of them are kept."""
    stage.lanes.submit(share.job())
    puppet = stage.ready()
    puppet.begin()
    for _ in range(4):
        os.write(puppet.mouth, b"x" * 10_000)
    os.write(puppet.mouth, b"the end")
    puppet.end(3)
    events = stage.collect()
    fault = outcomes(events)[0].fault
    assert kinds(events) == ["crash"]
    assert fault is not None
    assert fault.sentence == "The program died while working on hero.png (exit status 3)."
    assert (len(fault.detail), fault.detail[-8:]) == (4096, "xthe end")


def test_what_was_said_before_the_end_still_counts(stage: Stage, share: Share) -> None:
    """An outcome that was sent is an outcome, even if the process is gone when it is read."""
    job = share.job()
    stage.lanes.submit(job)
    puppet = stage.ready()
    puppet.begin()
    puppet.answer(job)
    puppet.end(0)
    assert kinds(stage.collect()) == ["done"]


def test_a_process_stuck_in_the_kernel_does_not_keep_its_job(stage: Stage, share: Share) -> None:
    """Killed and still there after five seconds: the job is told, the seat is given up."""
    stage.lanes.submit(share.job(limits=GENEROUS.model_copy(update={"timeout_seconds": 1})))
    puppet = stage.ready()
    puppet.stuck = True
    puppet.begin()
    stage.collect()
    assert kinds(stage.later(1.1)) == []
    assert kinds(stage.later(4.8)) == []
    assert kinds(stage.later(0.3)) == ["timeout"]
    stage.lanes.submit(share.job())
    assert len(stage.puppets) == 2


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\xff" * 64,
        frame_message(MessageType.OUTCOME, b"{"),
        frame_message(MessageType.HELLO),
        frame_message(MessageType.OUTCOME, encode_message(Outcome(job_id="another"))),
    ],
)
def test_a_lane_that_talks_nonsense_is_stopped(stage: Stage, share: Share, nonsense: bytes) -> None:
    """What it holds is not to be trusted; its job gets its one outcome."""
    stage.lanes.submit(share.job())
    puppet = stage.ready()
    puppet.begin()
    puppet.wire.sendall(nonsense)
    assert kinds(stage.collect()) == ["crash"]
    assert puppet.status == KILLED


def test_half_a_message_holds_nobody_up(stage: Stage, share: Share) -> None:
    """The daemon goes on, and reads the rest when it comes."""
    job = share.job()
    stage.lanes.submit(job)
    puppet = stage.ready()
    puppet.begin()
    whole = frame_message(MessageType.OUTCOME, encode_message(Outcome(job_id=job.id)))
    puppet.wire.sendall(whole[:9])
    assert kinds(stage.collect()) == []
    puppet.wire.sendall(whole[9:])
    assert kinds(stage.collect()) == ["done"]


def test_a_lane_that_cannot_start_is_paused_and_its_jobs_wait(stage: Stage, share: Share) -> None:
    """Longer every time; the sentence says why, and all is well once it starts."""
    job = share.job()
    stage.lanes.submit(job)
    for seconds in (0.5, 1.0, 2.0):
        os.write(stage.puppet.mouth, b"Traceback\nModuleNotFoundError: No module named 'numpy'\n")
        stage.puppet.end(1)
        assert stage.collect() == []
        sentence = stage.lanes.pause_reason("cpu") or ""
        assert "exit status 1: ModuleNotFoundError: No module named 'numpy'" in sentence
        assert f"within {seconds:g} s" in sentence
        assert (stage.lanes.position(job.id), stage.lanes.seconds_until_due(stage.now)) == (1, seconds)
        stage.later(seconds)
    stage.ready().begin()
    assert stage.lanes.pause_reason("cpu") is None


def test_a_spawn_that_fails_pauses_the_lane_too(share: Share) -> None:
    """No memory for a process is the machine's fault, not the job's."""
    stage = Stage(refuses=True)
    stage.lanes.submit(share.job())
    assert "Cannot allocate memory" in (stage.lanes.pause_reason("cpu") or "")
    stage.refuses = False
    stage.later(0.6)
    assert (stage.lanes.pause_reason("cpu"), len(stage.puppets)) == (None, 1)
    stage.lanes.stop(0)


def test_a_process_that_never_gets_ready_is_replaced(stage: Stage, share: Share) -> None:
    """After a minute; the job waits for the next."""
    job = share.job()
    stage.lanes.submit(job)
    stage.later(60.1)
    stage.later(1.0)
    assert stage.puppets[0].status == KILLED
    assert stage.ready().begin() == job


def test_a_paused_lane_begins_nothing_until_it_is_resumed(stage: Stage, share: Share) -> None:
    """Its sentence is there to be shown."""
    stage.lanes.pause("cpu", "The disk is full.")
    stage.lanes.submit(share.job())
    assert (stage.lanes.pause_reason("cpu"), stage.lanes.queue_length("cpu"), stage.puppets) == ("The disk is full.", 1, [])
    stage.lanes.resume("cpu")
    assert len(stage.puppets) == 1


def test_stopping_lets_what_runs_finish_and_calls_the_rest_off(stage: Stage, share: Share) -> None:
    """One outcome for each job, whatever had become of it."""
    first, second = share.job(), share.job()
    stage.lanes.submit(first)
    stage.lanes.submit(second)
    puppet = stage.ready()
    puppet.begin()
    puppet.answer(first)
    events = stage.lanes.stop(10)
    assert [(outcome.job_id, outcome.fault and outcome.fault.kind) for outcome in outcomes(events)] == [
        (first.id, None),
        (second.id, "cancelled"),
    ]
    assert puppet.status == KILLED
    assert stage.lanes.stop(0) == []


def test_idle_lanes_ask_for_no_turn(stage: Stage) -> None:
    """The daemon sleeps until somebody says something."""
    stage.lanes.prewarm()
    stage.ready()
    assert stage.lanes.seconds_until_due(stage.now) is None


@given(st.lists(st.tuples(st.sampled_from(list(MessageType)), st.binary(max_size=50)), max_size=8), st.integers(1, 7))
@settings(max_examples=50, deadline=None)
def test_messages_survive_being_cut_anywhere(messages: list[tuple[MessageType, bytes]], cut: int) -> None:
    """However the socket splits them."""
    stream = b"".join(frame_message(kind, payload) for kind, payload in messages)
    frames = FrameDecoder()
    heard = [message for at in range(0, len(stream), cut) for message in frames.feed(stream[at : at + cut])]
    assert heard == messages


def test_messages_keep_names_that_are_no_unicode() -> None:
    """Undecodable bytes travel as surrogates; what is no message of that kind is refused."""
    outcome = Outcome(job_id="a", consumed_files=(os.fsdecode(b"h\xff.png"), "ü"))
    assert decode_message(Outcome, encode_message(outcome)) == outcome
    for bad in (b"", b"[]", b"[" * 100_000, b'{"job_id": 3}', b"\xff"):
        with pytest.raises(ProtocolError):
            decode_message(Outcome, bad)
    hello = HelloMessage(spec=WorkerSpec(queue="cpu"), config=WorkerConfig())
    assert decode_message(HelloMessage, encode_message(hello)) == hello


def test_progress_is_told_about_five_times_a_second() -> None:
    """A new step or note goes at once."""
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
