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

    def wrap_call(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def count_and_call(*args: Any, **kwargs: Any) -> Any:
            self.burn()
            return call(*args, **kwargs)

        return count_and_call

    def burn(self) -> None:
        if self.lit:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def wrap_start(self, record_plans: Callable[..., Any]) -> Callable[..., Any]:
        def call_and_light(*args: Any) -> Any:
            result = record_plans(*args)
            self.lit = True
            return result

        return call_and_light

    def wrap_end(self, complete_plans: Callable[..., Any]) -> Callable[..., Any]:
        def call_and_quench(*args: Any) -> Any:
            self.burn()
            result = complete_plans(*args)
            self.lit = False
            return result

        return call_and_quench


def main() -> None:
    from goldsmith import cli
    from goldsmith.files import Filesystem
    from goldsmith.journal.journal import Journal

    fuse = Fuse(int(sys.argv.pop(1)))
    for name in CALLS:
        setattr(Filesystem, name, fuse.wrap_call(getattr(Filesystem, name)))
    setattr(Journal, "record_plans", fuse.wrap_start(Journal.record_plans))  # noqa: B010 - mypy: a method is put in its place
    setattr(Journal, "complete_plans", fuse.wrap_end(Journal.complete_plans))  # noqa: B010 - as above
    cli.main()


if __name__ == "__main__":
    main()
