"""The sentences about queued and running jobs."""

from __future__ import annotations

import pytest

from goldsmith.journal.records import ActiveJob
from goldsmith.pipeline.status.daemon_state import DaemonState
from goldsmith.pipeline.status.sentences import expired_lease_sentence, format_time, ordinal, progress_note, working_sentence

JOB = ActiveJob("one", "edit", "gpu", "selected/hero.png", 10.0, 20.0, 86_400.0 * 40, 2, "upscale", 0.25, "tile 3 of 12")


def test_a_running_job_is_described_by_step_and_progress() -> None:
    """The sentence has step, stage, per cent and the step's own note. Before the first step the picture is being read."""
    assert (
        working_sentence(JOB, progress_note(JOB, DaemonState(holder="x")))
        == "Being worked on: upscale (step 2 of edit), 25%, tile 3 of 12."
    )
    assert working_sentence(JOB, "") == "Being worked on: upscale (step 2 of edit), 25%."
    assert working_sentence(JOB._replace(step=0), "") == "Being read for edit."


def test_an_expired_job_is_described_by_its_deadline_and_the_remedy() -> None:
    """The sentence names the end of the lease (or the time of queueing), the daemon's process and the command to check it."""
    sentence = expired_lease_sentence(JOB, "process 1 on atelier")
    assert f"by {format_time(86_400.0 * 40)} and has" in sentence
    assert "(process 1 on atelier)" in sentence
    assert "`systemctl status goldsmith`" in sentence
    assert f"by {format_time(10.0)} and has" in expired_lease_sentence(JOB._replace(lease_until=None), "x")


@pytest.mark.parametrize(("number", "expected"), [(1, "1st"), (2, "2nd"), (11, "11th"), (22, "22nd"), (111, "111th"), (113, "113th")])
def test_ordinals_have_their_english_suffix(number: int, expected: str) -> None:
    """11, 12 and 13 end in th, also after a hundred."""
    assert ordinal(number) == expected
