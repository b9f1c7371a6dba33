"""The delay of a commit: none for a single asset, a short and bounded one under load."""

from __future__ import annotations

from goldsmith.pipeline.scheduler.group_commit import GroupCommitDelay


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def delay_after_commits(cost: float) -> tuple[GroupCommitDelay, Clock]:
    """Return a delay whose last commits have each taken ``cost`` seconds, and its clock."""
    clock = Clock()
    delay = GroupCommitDelay(4, clock)
    for _ in range(20):
        clock.now += cost
        delay.record_commit(clock.now - cost)
    return delay, clock


def test_a_single_asset_is_committed_at_once() -> None:
    """No other work is in progress, so there is nothing to wait for."""
    delay, _ = delay_after_commits(0.02)
    assert delay.seconds_to_wait(1, lambda: None) == 0.0


def test_under_load_a_commit_waits_twice_its_own_cost() -> None:
    """The wait counts from the first call, not from a later call."""
    delay, clock = delay_after_commits(0.02)
    assert abs(delay.seconds_to_wait(1, lambda: 0.0) - 0.04) < 1e-9
    clock.now += 0.03
    assert abs(delay.seconds_to_wait(2, lambda: 0.0) - 0.01) < 1e-9
    clock.now += 0.011
    assert delay.seconds_to_wait(3, lambda: 0.0) == 0.0


def test_a_commit_does_not_wait_for_work_that_finishes_too_late() -> None:
    """If the next work finishes after the longest wait, the commit happens at once."""
    delay, _ = delay_after_commits(0.02)
    assert delay.seconds_to_wait(1, lambda: 0.05) == 0.0


def test_a_full_batch_is_committed_at_once() -> None:
    """The time until more work finishes is not computed."""
    delay, _ = delay_after_commits(0.02)
    assert delay.seconds_to_wait(4, lambda: 1 / 0) == 0.0


def test_the_wait_is_bounded_on_a_slow_disk() -> None:
    """The wait is at most 0.1 s, even if each of the last commits took 5 s."""
    delay, _ = delay_after_commits(5.0)
    assert delay.seconds_to_wait(1, lambda: 0.0) <= 0.1


def test_a_commit_resets_the_wait() -> None:
    """Work that finishes after a commit has its own wait."""
    delay, clock = delay_after_commits(0.02)
    delay.seconds_to_wait(1, lambda: 0.0)
    clock.now += 1.0
    delay.record_commit(clock.now - 0.01)
    assert abs(delay.seconds_to_wait(1, lambda: 0.0) - 0.02) < 1e-9


def test_one_slow_commit_hardly_raises_the_wait() -> None:
    """A single slow commit among fast ones changes the estimated cost only a little."""
    delay, clock = delay_after_commits(0.002)
    clock.now += 3.0
    delay.record_commit(clock.now - 3.0)
    assert 0.0 < delay.seconds_to_wait(1, lambda: 0.0) < 0.02
