"""Whether the service of a root is healthy: the root is there, the daemon's loop turns, and the journal can be written."""

from __future__ import annotations

import os
from pathlib import Path

from goldsmith.files import hide_server_paths
from goldsmith.pipeline.monitoring.loop_probe import ask_loop
from goldsmith.pipeline.status.daemon_state import DaemonState

# The daemon's loop must answer within so many seconds. Its longest turns take a fraction of one.
ANSWER_SECONDS = 5.0


def find_fault(root: Path, journal_folder: Path, daemon: DaemonState, answer_seconds: float = ANSWER_SECONDS) -> str:
    """Return why the service is not healthy, as a sentence without paths of the server; "" if it is."""
    return hide_server_paths(_find_fault(root, journal_folder, daemon, answer_seconds), str(root), str(journal_folder))


def _find_fault(root: Path, journal_folder: Path, daemon: DaemonState, answer_seconds: float) -> str:
    if not os.path.isdir(root):
        return "The folder of the pictures is not there: is the share mounted?"
    if not daemon.holder:
        return "Goldsmith is not running on these folders."
    journal_fault = ask_loop(journal_folder, answer_seconds)
    if journal_fault is None:
        return (
            f"Goldsmith ({daemon.holder}) does not answer: its main loop has not turned for {answer_seconds:.0f} seconds, or it is still "
            "starting."
        )
    if journal_fault:
        return journal_fault
    return f"Everything waits: {daemon.pause_reason}" if daemon.pause_reason else ""
