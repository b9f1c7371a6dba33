"""The state of the host: healthy, paused after a failure until the next trial, or on trial."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Literal, Protocol

from goldsmith.errors import GoldsmithError, HostError
from goldsmith.files import display_text

# What the daemon was doing when the host failed: a commit, a worker's job, a problem note, or anything else in a turn of the main loop.
Activity = Literal["commit", "job", "note", "turn"]

# Lines of a traceback in the log: a RecursionError has a thousand.
_TRACEBACK_LIMIT = 20


class OnEvent(Protocol):
    """Receives events for people who watch the daemon: the log, the status page, a progress bar."""

    def __call__(self, event: str, /, **facts: object) -> None: ...


class HostHealth:
    """Knows whether the host is healthy. While it is paused, nothing starts, nothing is committed and every file stays in place (law 5).

    A pause ends in two steps. When its time is over, a trial begins: work goes on, and the reason of the pause stays. When what had failed
    goes well, or a commit does, the host is healthy again. A failure during the trial pauses once more, without a second event.
    """

    def __init__(self, retry_seconds: float, clock: Callable[[], float], on_event: OnEvent) -> None:
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._on_event = on_event
        # A sentence for people; empty while the host is healthy. It stays during a trial.
        self.pause_reason = ""
        # Monotonic time of the next trial.
        self.retry_at = 0.0
        self.is_on_trial = False
        self._failed_activity: Activity = "turn"
        # The sentences that this pause has already had, so that each is reported once.
        self._reported: set[str] = set()

    @property
    def is_unhealthy(self) -> bool:
        """True while nothing may start: during a pause, but not during a trial."""
        return bool(self.pause_reason) and not self.is_on_trial

    def report_failure(self, error: Exception, activity: Activity) -> None:
        """Pause because of a failure of the host, and schedule the next trial."""
        sentence = _failure_sentence(error)
        if sentence not in self._reported:
            self._reported.add(sentence)
            self._on_event("paused", sentence=sentence)
        self.pause_reason = sentence
        self.retry_at = self._clock() + self._retry_seconds
        self.is_on_trial = False
        self._failed_activity = activity

    def begin_trial(self) -> None:
        """Let work go on, to see whether the host has recovered."""
        self.is_on_trial = bool(self.pause_reason)

    def report_success(self, activity: Activity) -> None:
        """End the pause if this is a trial and the success shows that the failure is over: the same has gone well, or a commit has."""
        if self.is_on_trial and activity in (self._failed_activity, "commit"):
            self.end_pause()

    def end_pause(self) -> None:
        """End the pause or the trial: the host is healthy."""
        after, self.pause_reason, self.is_on_trial = self.pause_reason, "", False
        self._reported.clear()
        if after:
            self._on_event("resumed", after=after)


def is_mistake(error: BaseException) -> bool:
    """Return whether an exception is none that the disk, the memory or a person causes, and so a mistake in this program."""
    return not isinstance(error, GoldsmithError | OSError | RecursionError | MemoryError)


def mistake_sentence(error: BaseException) -> str:
    """Return a sentence that names a mistake in this program."""
    text = display_text(str(error)).partition("\n")[0]
    return f"Goldsmith met an error that it does not know: {type(error).__name__}{f': {text}' if text else ''}."


def traceback_text(error: BaseException) -> str:
    """Return the last lines of the traceback of an exception that is no plain fault of the host; "" of any other."""
    if isinstance(error, GoldsmithError | OSError):
        return ""
    return "".join(traceback.format_exception(error, limit=_TRACEBACK_LIMIT))


def _failure_sentence(error: Exception) -> str:
    if isinstance(error, HostError) or not isinstance(error, OSError):
        return str(error)
    where = f" ({error.filename})" if isinstance(error.filename, str) else ""
    return f"The disk failed: {error.strerror or error}{where}."
