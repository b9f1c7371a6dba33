"""The delay of a commit, which lets several finished jobs share one commit."""

from __future__ import annotations

from collections.abc import Callable

# Seconds. A commit that takes more than half of this comes from a slow disk, and a longer wait would not make it cheaper.
_MAX_COMMIT_DELAY = 0.1
# Seconds. The first measured cost is capped at this; every later one at twice the previous cost plus this.
_FIRST_COMMIT_COST = 0.002


class GroupCommitDelay:
    """Decides when finished work is committed: at once if nothing else is in progress, else after a short wait, as one batch.

    A commit costs a dozen fsyncs, however many plans are in it. The wait is twice the duration of the last commit: batches grow under
    load, and a single asset is not delayed noticeably.
    """

    def __init__(self, max_batch_size: int, clock: Callable[[], float]) -> None:
        self._max_batch_size = max_batch_size
        self._clock = clock
        self._commit_cost = 0.0
        self._waiting_since: float | None = None

    def seconds_to_wait(self, ready_count: int, seconds_to_more: Callable[[], float | None]) -> float:
        """Return the seconds to wait before ``ready_count`` finished jobs are committed; 0 = commit now.

        ``seconds_to_more`` returns the seconds until another job may finish, or None if no other job is in progress.
        """
        now = self._clock()
        if self._waiting_since is None:
            self._waiting_since = now
        seconds_left = self._waiting_since + min(_MAX_COMMIT_DELAY, 2 * self._commit_cost) - now
        if ready_count >= self._max_batch_size or seconds_left <= 0:
            return 0.0
        more = seconds_to_more()
        return seconds_left if more is not None and more < seconds_left else 0.0

    def record_commit(self, started_at: float) -> None:
        """Record the cost of a commit that started at ``started_at`` and ends now. One slow commit raises the estimate only a little."""
        self._commit_cost = min(self._clock() - started_at, 2 * self._commit_cost + _FIRST_COMMIT_COST)
        self._waiting_since = None
