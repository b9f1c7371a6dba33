"""``goldsmith``, ended by SIGKILL at one of the calls that its commits make of the disk: ``dying.py NUMBER run --root ...``

From outside nobody can hit the few milliseconds between a plan's record and its tick with any certainty. A number above zero
counts the calls between the two; one below zero counts from the start, so that recovery is struck where there is something to recover.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

CALLS = (
    "rename_noreplace",
    "rename_flagged",
    "replace",
    "link",
    "unlink",
    "mkdir",
    "create",
    "open",
    "write",
    "fsync",
    "fsync_dir",
    "lstat",
)


class Fuse:
    """Counts calls while it is lit; at the last one the program is no more."""

    def __init__(self, number: int) -> None:
        self.left = abs(number)
        self.lit = number < 0

    def counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*words: Any, **more: Any) -> Any:
            self.burn()
            return call(*words, **more)

        return counting

    def burn(self) -> None:
        if self.lit:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def lighting(self, intend: Callable[..., Any]) -> Callable[..., Any]:
        def lit(*words: Any) -> Any:
            made = intend(*words)
            self.lit = True
            return made

        return lit

    def quenching(self, done: Callable[..., Any]) -> Callable[..., Any]:
        def quenched(*words: Any) -> Any:
            self.burn()
            made = done(*words)
            self.lit = False
            return made

        return quenched


def main() -> None:
    from goldsmith import cli
    from goldsmith.files import Filesystem
    from goldsmith.journal.journal import Journal

    fuse = Fuse(int(sys.argv.pop(1)))
    for name in CALLS:
        setattr(Filesystem, name, fuse.counted(getattr(Filesystem, name)))
    setattr(Journal, "record_plans", fuse.lighting(Journal.record_plans))  # noqa: B010 - mypy: a method is put in its place
    setattr(Journal, "complete_plans", fuse.quenching(Journal.complete_plans))  # noqa: B010 - as above
    cli.main()


if __name__ == "__main__":
    main()
