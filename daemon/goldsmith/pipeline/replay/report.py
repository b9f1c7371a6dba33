"""What came of a replay, as data: each deliverable's verdict, where the ways part, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from goldsmith.jobs.job import Outcome
from goldsmith.pipeline.replay import reasons
from goldsmith.pipeline.replay.record import OutputRecord, StageRecord

Verdict = Literal["identical", "same pixels", "differs"]
"""identical: the same bytes; same pixels: another wrapping of the same picture (metadata, the encoder's version)."""


@dataclass(frozen=True, slots=True)
class Deliverable:
    """One deliverable, then and now."""

    file: str
    verdict: Verdict
    sha256_then: str
    sha256_now: str
    """"" where it was not made again."""
    apart: dict[str, JsonValue] = field(default_factory=dict)
    """How far off: ``mean``, ``worst`` (codes at ``depth`` bits), ``share`` of pixels (0..1); or ``unlike``, why that cannot be told."""
    lies: str = ""
    """A sentence, where what lies there now is not what was delivered."""


@dataclass(frozen=True, slots=True)
class Parting:
    """The first place where the replay left the recorded way."""

    stage: str
    step: int
    """1-based; 0 where every step left the same, and only what the stage wrote of it is other."""
    op: str = ""

    @property
    def place(self) -> str:
        return f"{self.stage}.{self.step} ({self.op})" if self.step else f"what {self.stage} wrote"


@dataclass(frozen=True, slots=True)
class Report:
    """All of it."""

    deliverables: tuple[Deliverable, ...]
    parting: Parting | None
    why: tuple[str, ...]
    """What was other in that place, as far as the record tells."""
    other: tuple[str, ...]
    """What else was other than it is here, and made no difference of its own."""

    @property
    def same(self) -> bool:
        """True where every deliverable has the pixels that it had."""
        return all(deliverable.verdict != "differs" for deliverable in self.deliverables)


@dataclass(frozen=True, slots=True)
class Rerun:
    """One stage, as it was recorded and as it was run now."""

    then: StageRecord
    now: Outcome
    outputs: tuple[OutputRecord, ...]
    """What it left now."""

    def parting(self) -> Parting | None:
        """The first step whose picture is another one."""
        pairs = enumerate(zip(self.then.steps, self.now.steps, strict=False), 1)
        found = next((number for number, (then, now) in pairs if then.trace and then.trace != now.trace), 0)
        return Parting(self.then.stage, found, self.then.steps[found - 1].op) if found else None

    def wrote_other(self) -> Parting | None:
        """Where the steps left the same and the files are other ones all the same."""
        return Parting(self.then.stage, 0) if self.then.outputs != self.outputs else None

    def reasons(self, step: int) -> list[str]:
        """What was other in a step (0: none in particular) and in the stage as a whole."""
        return [*(self.reasons_of(step) if step else ()), *reasons.of_stage(self.then, self.now.ran_with)]

    def reasons_of(self, step: int) -> list[str]:
        then, now = self.then.steps[step - 1], self.now.steps[step - 1]
        return reasons.of_step(then, now, f"{self.then.stage}.{step} ({then.op})")

    def all_reasons(self) -> list[str]:
        steps = range(1, min(len(self.then.steps), len(self.now.steps)) + 1)
        return [*(reason for step in steps for reason in self.reasons_of(step)), *self.reasons(0)]


def report(reruns: Sequence[Rerun], deliverables: Sequence[Deliverable]) -> Report:
    """Where the ways part: at the first picture that is another one; else, where files are, at the first that was written otherwise."""
    parted = next(((rerun, parting) for rerun in reruns if (parting := rerun.parting())), None)
    if parted is None and any(deliverable.verdict != "identical" for deliverable in deliverables):
        parted = next(((rerun, parting) for rerun in reruns if (parting := rerun.wrote_other())), None)
    why = parted[0].reasons(parted[1].step) if parted else []
    every = dict.fromkeys(reason for rerun in reruns for reason in rerun.all_reasons())
    other = [reason for reason in every if reason not in why]
    return Report(tuple(deliverables), parted[1] if parted else None, tuple(why), tuple(other))
