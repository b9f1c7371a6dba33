"""The line as data: which folder each stage reads, which comes next, and what a stage does when a brief says nothing.

``config/line.toml``::

    [[stage]]
    name = "edit"
    folder = "selected"
    next = "masked"
    lane = "gpu"
    steps = ["inpaint", "erase", "upscale"]      # operations allowed here; "*" = all
    default = []                                 # run when a brief passes through without speaking of the stage
    with_mask = [{ op = "inpaint", where = "mask" }]   # run for a picture with a bare mask
"""

from __future__ import annotations

from dataclasses import dataclass

from goldsmith.operation import Operation


@dataclass(frozen=True, slots=True)
class Step:
    """One operation with its settings. ``settings`` is what was written, ``operation`` the same, checked."""

    op: str
    operation: Operation
    settings: dict[str, object]


@dataclass(frozen=True, slots=True)
class Stage:
    """One row of the line."""

    name: str
    folder: str
    next: str
    lane: str
    allowed: frozenset[str] | None
    """Words of the operations allowed here; None = all."""
    default: tuple[Step, ...] = ()
    with_mask: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """The stages in order. The last stage's ``next`` is where deliverables land."""

    stages: tuple[Stage, ...]

    def of_folder(self, folder: str) -> Stage | None:
        """The stage that works on what lies in ``folder``."""
        return next((stage for stage in self.stages if stage.folder == folder), None)

    def named(self, name: str) -> Stage | None:
        return next((stage for stage in self.stages if stage.name == name), None)

    @property
    def folders(self) -> tuple[str, ...]:
        """Every folder on the line, in order, the last one (where nothing more happens) included."""
        return (*(stage.folder for stage in self.stages), self.stages[-1].next)

    @property
    def last(self) -> str:
        """The folder at the end of the line."""
        return self.stages[-1].next
