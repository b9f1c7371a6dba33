"""The report of the daemon's state: the state file, systemd's status line, and the log when a queue or a folder changes."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from goldsmith.errors import error_text
from goldsmith.files import Filesystem, write_atomically
from goldsmith.pipeline.scheduler.host_health import OnEvent, traceback_text
from goldsmith.pipeline.status.daemon_state import DaemonState
from goldsmith.service.systemd_notify import SystemdNotifier

# The shortest interval between two writes of the state file.
_STATE_INTERVAL_SECONDS = 1.0


class StateReport:
    """Tells of the daemon's state: in the state file, in systemd's status, and in the log when a queue or a folder changes."""

    def __init__(self, file: Path, notify: SystemdNotifier, on_event: OnEvent, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = file
        self._notify = notify
        self._on_event = on_event
        self._clock = clock
        self._written = b""
        # Inode and times of the file as it was written: another daemon may replace it just before it notices that it has lost the root.
        self._written_stamp: tuple[int, int, int] | None = None
        self._next_at = 0.0
        self._is_due = False
        self._error = ""
        # What was last reported of each queue and folder, so that each change is reported once.
        self._queue_pauses: dict[str, str] = {}
        self._unavailable_folders: dict[str, str] = {}

    def seconds_until_due(self, longest: float) -> float:
        """Return the seconds until the next update is due, at most ``longest``: the last state always gets through."""
        return min(longest, max(0.0, self._next_at - self._clock())) if self._is_due else longest

    def update(self, read_state: Callable[[], DaemonState]) -> None:
        """Report the state if it or its file has changed, at most once a second. What falls into that second is reported at its end."""
        now = self._clock()
        self._is_due = now < self._next_at
        if self._is_due:
            return
        self._next_at = now + _STATE_INTERVAL_SECONDS
        try:
            state = read_state()
            self._report_changes(state)
            content = state.to_json()
            if content != self._written or _stamp(self._file) != self._written_stamp:
                self._notify.status(" ".join(_pause_sentences(state)) or "Watching the folders.")
                write_atomically(Filesystem(), self._file, content, replace=True)
                self._written = content
                self._written_stamp = _stamp(self._file)
            self._error = ""
        except Exception as error:  # noqa: BLE001 - the folders matter more than the report about them
            self._is_due = True
            self._report_failure(f"The state file {self._file} cannot be written: {error_text(error)}.", traceback_text(error))

    def remove(self) -> None:
        """Delete the state file: no daemon runs any more. A file that is left behind is ignored by its readers."""
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)

    def _report_failure(self, sentence: str, detail: str) -> None:
        if sentence != self._error:
            remedy = "Check the disk of the state folder. It is tried again by itself."
            self._on_event("state not written", sentence=sentence, remedy=remedy, detail=detail)
        self._error = sentence

    def _report_changes(self, state: DaemonState) -> None:
        pauses = {queue: reason for queue, reason in state.queue_pauses.items() if reason}
        for queue, sentence in pauses.items():
            if _without_numbers(self._queue_pauses.get(queue, "")) != _without_numbers(sentence):
                self._on_event("queue paused", queue=queue, sentence=sentence)
        for queue in self._queue_pauses.keys() - pauses.keys():
            self._on_event("queue resumed", queue=queue)
        self._queue_pauses = pauses
        for folder, sentence in state.unavailable_folders.items():
            if self._unavailable_folders.get(folder) != sentence:
                self._on_event("folder unavailable", folder=folder, sentence=sentence)
        for folder in self._unavailable_folders.keys() - state.unavailable_folders.keys():
            self._on_event("folder available", folder=folder)
        self._unavailable_folders = dict(state.unavailable_folders)


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """Return what changes when the file is replaced or rewritten; None if there is no file that can be read."""
    try:
        stat = os.stat(file)
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns


def _pause_sentences(state: DaemonState) -> list[str]:
    """Return why work waits, for systemd's status."""
    return [reason for reason in dict.fromkeys((state.pause_reason, *state.queue_pauses.values())) if reason]


def _without_numbers(sentence: str) -> str:
    """Return the sentence without its figures: the time of the next try alone is no change."""
    return re.sub(r"\d[\d.:]*", "", sentence)
