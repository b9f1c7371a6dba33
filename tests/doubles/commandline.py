"""The command line as tests call it: words in, what it said and how it ended out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Told:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """The lines of its output, split as a program in a pipe would."""
        return [line.split("\t") for line in self.out.splitlines()]


# ``goldsmith("why", "inbox/hero.png")``
Goldsmith = Callable[..., Told]
# ``running(paused="The disk is full.")``: what a running daemon tells of itself from now on.
Tell = Callable[..., None]
