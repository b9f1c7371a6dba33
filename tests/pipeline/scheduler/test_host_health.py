"""The health of the host: what pauses it, when a trial begins, and what ends the pause."""

from __future__ import annotations

import errno
import os

import pytest

from goldsmith.errors import HostError
from goldsmith.pipeline.scheduler.host_health import HostHealth

FULL = HostError("The disk is full.", "Free some space.")


@pytest.fixture
def events() -> list[str]:
    return []


@pytest.fixture
def health(events: list[str]) -> HostHealth:
    return HostHealth(10.0, lambda: 100.0, lambda event, /, **facts: events.append(event))


def test_a_failure_pauses_until_a_trial(health: HostHealth, events: list[str]) -> None:
    """During the trial work may start, and the reason stays for whoever reads the state."""
    health.report_failure(FULL, "commit")
    assert (health.is_unhealthy, health.retry_at, health.pause_reason) == (True, 110.0, "The disk is full. Free some space.")
    health.begin_trial()
    assert (health.is_unhealthy, health.is_on_trial, health.pause_reason) == (False, True, "The disk is full. Free some space.")
    assert events == ["paused"]


def test_resumed_is_said_when_the_same_went_well(health: HostHealth, events: list[str]) -> None:
    """A job that succeeds does not show that commits work again, and nothing counts before the trial."""
    health.report_failure(FULL, "commit")
    health.report_success("commit")
    assert health.is_unhealthy
    health.begin_trial()
    health.report_success("job")
    assert (health.is_on_trial, events) == (True, ["paused"])
    health.report_success("commit")
    assert (health.is_on_trial, health.pause_reason, events) == (False, "", ["paused", "resumed"])


def test_a_commit_shows_that_every_failure_is_over(health: HostHealth, events: list[str]) -> None:
    """It has written to the journal and to the folders."""
    health.report_failure(FULL, "turn")
    health.begin_trial()
    health.report_success("commit")
    assert (health.pause_reason, events) == ("", ["paused", "resumed"])


def test_ten_failed_trials_are_one_pause(health: HostHealth, events: list[str]) -> None:
    """Each sentence of a pause is reported once; the next pause reports it again."""
    for _ in range(10):
        health.report_failure(FULL, "commit")
        health.begin_trial()
    health.report_failure(OSError(errno.EIO, os.strerror(errno.EIO), "inbox/hero.png"), "commit")
    assert (health.pause_reason, events) == ("The disk failed: Input/output error (inbox/hero.png).", ["paused", "paused"])
    health.begin_trial()
    health.report_success("commit")
    health.report_failure(FULL, "commit")
    assert events == ["paused", "paused", "resumed", "paused"]
