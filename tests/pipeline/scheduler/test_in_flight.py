from __future__ import annotations

from goldsmith.pipeline.scheduler.in_flight import GroupCommitDelay


class Clock:
    """A clock that is held."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def gathering(cost: float) -> tuple[GroupCommitDelay, Clock]:
    """One whose commits have taken so long for a while."""
    clock = Clock()
    made = GroupCommitDelay(4, clock)
    for _ in range(20):
        clock.now += cost
        made.record_commit(clock.now - cost)
    return made, clock


def test_what_comes_alone_is_committed_at_once() -> None:
    """Where nothing else is under way there is nothing to wait for."""
    made, _ = gathering(0.02)
    assert made.seconds_to_wait(1, lambda: None) == 0.0


def test_what_is_about_to_be_finished_is_waited_for_twice_a_commit() -> None:
    """Under load finished work waits as long as two commits take, counted from when it was first asked."""
    made, clock = gathering(0.02)
    assert abs(made.seconds_to_wait(1, lambda: 0.0) - 0.04) < 1e-9
    clock.now += 0.03
    assert abs(made.seconds_to_wait(2, lambda: 0.0) - 0.01) < 1e-9
    clock.now += 0.011
    assert made.seconds_to_wait(3, lambda: 0.0) == 0.0


def test_what_comes_too_late_is_not_waited_for() -> None:
    """Work that will be finished only after the wait does not begin one."""
    made, _ = gathering(0.02)
    assert made.seconds_to_wait(1, lambda: 0.05) == 0.0


def test_a_full_batch_waits_for_nothing() -> None:
    """As many plans as go into one commit go at once, and nobody is asked about more."""
    made, _ = gathering(0.02)
    assert made.seconds_to_wait(4, lambda: 1 / 0) == 0.0


def test_a_slow_disk_makes_nobody_wait_for_long() -> None:
    """However long the last commit took, the wait is a tenth of a second at most."""
    made, _ = gathering(5.0)
    assert made.seconds_to_wait(1, lambda: 0.0) <= 0.1


def test_every_commit_begins_anew() -> None:
    """What is finished after a commit waits its own time."""
    made, clock = gathering(0.02)
    made.seconds_to_wait(1, lambda: 0.0)
    clock.now += 1.0
    made.record_commit(clock.now - 0.01)
    assert abs(made.seconds_to_wait(1, lambda: 0.0) - 0.02) < 1e-9


def test_one_commit_that_the_disk_held_up_makes_nobody_wait_long() -> None:
    """A single slow commit among fast ones counts for little more than they do."""
    made, clock = gathering(0.002)
    clock.now += 3.0
    made.record_commit(clock.now - 3.0)
    assert 0.0 < made.seconds_to_wait(1, lambda: 0.0) < 0.02
