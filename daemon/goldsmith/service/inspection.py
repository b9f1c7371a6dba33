"""Protection of a process from inspection by others of the same user."""

from __future__ import annotations

import ctypes

_PR_SET_DUMPABLE = 4


def refuse_inspection() -> None:
    """Keep other processes of this user, a taken-over worker for one, from tracing this one and from reading its memory and environment.

    See PR_SET_DUMPABLE in prctl(2). It also means that this process leaves no core dump.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
