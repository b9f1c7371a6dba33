"""The command line as tests call it: arguments in, output and exit code out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class CommandResult:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """The lines of the output, split at tabs, as a program in a pipe would split them."""
        return [line.split("\t") for line in self.out.splitlines()]


# ``goldsmith("why", "inbox/hero.png")``
Goldsmith = Callable[..., CommandResult]
# ``running(pause_reason="The disk is full.")``: rewrites the state file of the running daemon with these fields.
WriteState = Callable[..., None]
