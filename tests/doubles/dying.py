"""``goldsmith``, ended by SIGKILL at a call of the filesystem: ``dying.py NUMBER run --root ...``

A signal from outside cannot hit the few milliseconds between the record and the completion of a plan reliably. A positive number
counts the calls between the two. A negative number counts the calls from the start, so that recovery is killed if there is a plan to
recover.
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
    """Counts calls while it is lit, and kills the process at the last one."""

    def __init__(self, number: int) -> None:
        self.left = abs(number)
        self.lit = number < 0

    def counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **kwargs: Any) -> Any:
            self.burn()
            return call(*args, **kwargs)

        return counting

    def burn(self) -> None:
        if self.lit:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def lighting(self, intend: Callable[..., Any]) -> Callable[..., Any]:
        def lit(*args: Any) -> Any:
            result = intend(*args)
            self.lit = True
            return result

        return lit

    def quenching(self, done: Callable[..., Any]) -> Callable[..., Any]:
        def quenched(*args: Any) -> Any:
            self.burn()
            result = done(*args)
            self.lit = False
            return result

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
