"""The result of a replay, as data: a verdict on each deliverable, the first difference, and its causes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from goldsmith.files import display_name
from goldsmith.jobs.job import Outcome
from goldsmith.pipeline.replay import causes
from goldsmith.pipeline.replay.manifest_reader import OutputRecord, StageRecord

# identical: the same bytes; same pixels: another encoding of the same picture (metadata, the encoder's version).
ReplayVerdict = Literal["identical", "same pixels", "differs"]


@dataclass(frozen=True, slots=True)
class ComparedDeliverable:
    """One deliverable as it was recorded and as it was remade."""

    file: str
    verdict: ReplayVerdict
    recorded_sha256: str
    # "" if the replay does not make it.
    remade_sha256: str
    # ``mean`` and ``max`` (codes at ``depth`` bits), ``changed_share`` of pixels (0..1); or ``incomparable``, the reason.
    difference: dict[str, JsonValue] = field(default_factory=dict)
    # A sentence if the delivered file was changed, renamed or removed.
    location_note: str = ""


@dataclass(frozen=True, slots=True)
class FirstDifference:
    """The first place at which the replay differs from the record."""

    stage: str
    # Counted from 1; 0 if every step made the same picture and only the stage's files differ.
    step: int
    op: str = ""

    @property
    def label(self) -> str:
        """The place for a message: ``grade.1 (grade)``."""
        return f"{self.stage}.{self.step} ({self.op})" if self.step else f"the files of {self.stage}"


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """The complete result of a replay."""

    deliverables: tuple[ComparedDeliverable, ...]
    first_difference: FirstDifference | None
    # The recorded conditions that differ in that place.
    causes: tuple[str, ...]
    # The recorded conditions that differ elsewhere.
    other_changes: tuple[str, ...]
    # A sentence for each work by hand between two stages: its result was taken from the archive.
    hand_work: tuple[str, ...] = ()

    @property
    def is_same(self) -> bool:
        """Whether every deliverable has its recorded pixels."""
        return all(deliverable.verdict != "differs" for deliverable in self.deliverables)


@dataclass(frozen=True, slots=True)
class StageRerun:
    """One stage as it was recorded and as it ran now."""

    recorded: StageRecord
    outcome: Outcome
    # The new outputs.
    outputs: tuple[OutputRecord, ...]

    def first_changed_step(self) -> FirstDifference | None:
        """Return the first step whose picture differs, or None."""
        pairs = enumerate(zip(self.recorded.steps, self.outcome.steps, strict=False), 1)
        number = next(
            (number for number, (recorded, rerun) in pairs if recorded.picture_hash and recorded.picture_hash != rerun.picture_hash), 0
        )
        return FirstDifference(self.recorded.stage, number, self.recorded.steps[number - 1].op) if number else None

    def changed_outputs(self) -> FirstDifference | None:
        """Return the stage as the difference if its files differ although its steps agree, or None."""
        return FirstDifference(self.recorded.stage, 0) if self.recorded.outputs != self.outputs else None

    def causes(self, step: int) -> list[str]:
        """Return a sentence for each difference in a step (0: in no step) and in the stage as a whole."""
        return [*(self.step_causes(step) if step else ()), *causes.stage_causes(self.recorded, self.outcome.environment)]

    def step_causes(self, step: int) -> list[str]:
        """Return a sentence for each difference in a step, counted from 1."""
        recorded = self.recorded.steps[step - 1]
        return causes.step_causes(recorded, self.outcome.steps[step - 1], f"{self.recorded.stage}.{step} ({recorded.op})")

    def all_causes(self) -> list[str]:
        """Return a sentence for each difference in all steps and in the stage as a whole."""
        steps = range(1, min(len(self.recorded.steps), len(self.outcome.steps)) + 1)
        return [*(reason for step in steps for reason in self.step_causes(step)), *self.causes(0)]


def build_report(
    reruns: Sequence[StageRerun], deliverables: Sequence[ComparedDeliverable], hand_stages: Sequence[StageRecord] = ()
) -> ReplayReport:
    """Return the report. The first difference is at the first step whose picture differs.

    If none does but a deliverable is not identical, it is at the first stage whose files differ. ``hand_stages``: the work of persons.
    """
    first = next(((rerun, difference) for rerun in reruns if (difference := rerun.first_changed_step())), None)
    if first is None and any(deliverable.verdict != "identical" for deliverable in deliverables):
        first = next(((rerun, difference) for rerun in reruns if (difference := rerun.changed_outputs())), None)
    reasons = first[0].causes(first[1].step) if first else []
    all_reasons = dict.fromkeys(reason for rerun in reruns for reason in rerun.all_causes())
    other = [reason for reason in all_reasons if reason not in reasons]
    hand_work = tuple(map(_hand_work_sentence, hand_stages))
    return ReplayReport(tuple(deliverables), first[1] if first else None, tuple(reasons), tuple(other), hand_work)


def _hand_work_sentence(stage: StageRecord) -> str:
    work = stage.by_hand
    details = [] if work is None else [display_name(text) for text in (work.program, work.saved_at) if text]
    how = f" ({', '.join(details)})" if details else ""
    return f"{display_name(stage.inputs[0].path)} was changed by hand{how}; the result of that is taken from the archive"
