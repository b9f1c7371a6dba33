"""The state of the host: healthy, or paused after a failure until the next retry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from goldsmith.errors import HostError


class OnEvent(Protocol):
    """Receives events for people who watch the daemon: the log, the status page, a progress bar."""

    def __call__(self, event: str, /, **facts: object) -> None: ...


class HostHealth:
    """Knows whether the host is healthy. While it is not, nothing starts, nothing is committed and every file stays in place (law 5)."""

    def __init__(self, retry_seconds: float, clock: Callable[[], float], on_event: OnEvent) -> None:
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._on_event = on_event
        # A sentence for people; empty while the host is healthy.
        self.pause_reason = ""
        # Monotonic time of the next retry.
        self.retry_at = 0.0

    @property
    def is_unhealthy(self) -> bool:
        return bool(self.pause_reason)

    def report_failure(self, error: Exception) -> None:
        """Pause because of a failure of the host, and schedule the next retry."""
        sentence = str(error) if isinstance(error, HostError) else f"The disk failed: {error}."
        if sentence != self.pause_reason:
            self._on_event("paused", sentence=sentence)
        self.pause_reason = sentence
        self.retry_at = self._clock() + self._retry_seconds

    def mark_recovered(self) -> None:
        """End the pause for a retry. A failure of the retry pauses again."""
        if self.pause_reason:
            self._on_event("resumed", after=self.pause_reason)
        self.pause_reason = ""
