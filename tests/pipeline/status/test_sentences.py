"""The words for jobs, apart from where they are asked for."""

from __future__ import annotations

import pytest

from goldsmith.journal.records import ActiveJob
from goldsmith.pipeline.status.daemon_state import DaemonState
from goldsmith.pipeline.status.sentences import expired_lease_sentence, format_time, ordinal, progress_note, working_sentence

JOB = ActiveJob("one", "edit", "gpu", "selected/hero.png", 10.0, 20.0, 86_400.0 * 40, 2, "upscale", 0.25, "tile 3 of 12")


def test_work_is_told_with_its_step_and_how_far_it_is() -> None:
    """Step, stage, per cent and what the step said last; before the first step the picture is being read."""
    assert working_sentence(JOB, progress_note(JOB, DaemonState("x"))) == "Being worked on: upscale (step 2 of edit), 25%, tile 3 of 12."
    assert working_sentence(JOB, "") == "Being worked on: upscale (step 2 of edit), 25%."
    assert working_sentence(JOB._replace(step=0), "") == "Being read for edit."


def test_a_lapsed_job_is_told_with_the_moment_and_the_remedy() -> None:
    """Until when it was believed, who holds the root, and what to look at; a row without a lease says when it was queued."""
    said = expired_lease_sentence(JOB, "process 1 on atelier")
    assert f"by {format_time(86_400.0 * 40)} at the latest" in said
    assert "(process 1 on atelier)" in said
    assert "`systemctl status goldsmith`" in said
    assert f"by {format_time(10.0)} at the latest" in expired_lease_sentence(JOB._replace(lease_until=None), "x")


@pytest.mark.parametrize(("number", "said"), [(1, "1st"), (2, "2nd"), (11, "11th"), (22, "22nd"), (111, "111th"), (113, "113th")])
def test_places_are_said_as_people_say_them(number: int, said: str) -> None:
    """Hundreds too."""
    assert ordinal(number) == said
