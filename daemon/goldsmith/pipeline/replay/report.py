"""What came of a replay, as data: each deliverable's verdict, where the ways part, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from goldsmith.jobs.job import Outcome
from goldsmith.pipeline.replay import causes
from goldsmith.pipeline.replay.manifest_reader import OutputRecord, StageRecord

# identical: the same bytes; same pixels: another wrapping of the same picture (metadata, the encoder's version).
ReplayVerdict = Literal["identical", "same pixels", "differs"]


@dataclass(frozen=True, slots=True)
class ComparedDeliverable:
    """One deliverable, then and now."""

    file: str
    verdict: ReplayVerdict
    recorded_sha256: str
    # "" where it was not made again.
    remade_sha256: str
    # How far off: ``mean``, ``worst_result`` (codes at ``depth`` bits), ``share`` of pixels (0..1); or ``unlike``, why that cannot be told.
    difference: dict[str, JsonValue] = field(default_factory=dict)
    # A sentence, where what lies there now is not what was delivered.
    location_note: str = ""


@dataclass(frozen=True, slots=True)
class FirstDifference:
    """The first place where the replay left the recorded way."""

    stage: str
    # 1-based; 0 where every step left the same, and only what the stage wrote of it is other.
    step: int
    op: str = ""

    @property
    def label(self) -> str:
        return f"{self.stage}.{self.step} ({self.op})" if self.step else f"what {self.stage} wrote"


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """All of it."""

    deliverables: tuple[ComparedDeliverable, ...]
    first_difference: FirstDifference | None
    # What was other in that place, as far as the record tells.
    causes: tuple[str, ...]
    # What else was other than it is here, and made no difference of its own.
    other_changes: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        """True where every deliverable has the pixels that it had."""
        return all(deliverable.verdict != "differs" for deliverable in self.deliverables)


@dataclass(frozen=True, slots=True)
class StageRerun:
    """One stage, as it was recorded and as it was run now."""

    recorded: StageRecord
    outcome: Outcome
    # What it left now.
    outputs: tuple[OutputRecord, ...]

    def first_changed_step(self) -> FirstDifference | None:
        """The first step whose picture is another one."""
        pairs = enumerate(zip(self.recorded.steps, self.outcome.steps, strict=False), 1)
        found = next((number for number, (then, now) in pairs if then.picture_hash and then.picture_hash != now.picture_hash), 0)
        return FirstDifference(self.recorded.stage, found, self.recorded.steps[found - 1].op) if found else None

    def changed_outputs(self) -> FirstDifference | None:
        """Where the steps left the same and the files are other ones all the same."""
        return FirstDifference(self.recorded.stage, 0) if self.recorded.outputs != self.outputs else None

    def causes(self, step: int) -> list[str]:
        """What was other in a step (0: none in particular) and in the stage as a whole."""
        return [*(self.step_causes(step) if step else ()), *causes.stage_causes(self.recorded, self.outcome.environment)]

    def step_causes(self, step: int) -> list[str]:
        then, now = self.recorded.steps[step - 1], self.outcome.steps[step - 1]
        return causes.step_causes(then, now, f"{self.recorded.stage}.{step} ({then.op})")

    def all_causes(self) -> list[str]:
        steps = range(1, min(len(self.recorded.steps), len(self.outcome.steps)) + 1)
        return [*(reason for step in steps for reason in self.step_causes(step)), *self.causes(0)]


def build_report(reruns: Sequence[StageRerun], deliverables: Sequence[ComparedDeliverable]) -> ReplayReport:
    """Where the ways part: at the first picture that is another one; else, where files are, at the first that was written otherwise."""
    parted = next(((rerun, parting) for rerun in reruns if (parting := rerun.first_changed_step())), None)
    if parted is None and any(deliverable.verdict != "identical" for deliverable in deliverables):
        parted = next(((rerun, parting) for rerun in reruns if (parting := rerun.changed_outputs())), None)
    why = parted[0].causes(parted[1].step) if parted else []
    every = dict.fromkeys(reason for rerun in reruns for reason in rerun.all_causes())
    other = [reason for reason in every if reason not in why]
    return ReplayReport(tuple(deliverables), parted[1] if parted else None, tuple(why), tuple(other))
