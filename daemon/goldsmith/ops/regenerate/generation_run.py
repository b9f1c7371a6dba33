"""What a generating step keeps while it runs: its model and guides, its candidates, and the facts of the model's calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from goldsmith.engines.protocols import ControlGuide, ControlNet, GenerationOptions, Generator, OnProgress, ReferenceGuide
from goldsmith.operation import RecordValue, StepContext, StepInputs
from goldsmith.ops.regenerate.variants import WildcardFiles
from goldsmith.picture.picture import Picture, Pixels
from goldsmith.picture.size_fitting import Size


@dataclass(frozen=True, eq=False, slots=True)
class CandidateGroup:
    """The candidates of one call of the engine; ``size`` is the model's, in px."""

    numbered_seeds: Sequence[tuple[int, int]]
    options: GenerationOptions
    start_pixels: Pixels | None
    size: Size
    guide: ControlGuide | None = None


@dataclass(slots=True)
class CallFacts:
    """The facts of an engine's calls: those of the first call, and of each other call that ran in another way."""

    calls: list[dict[str, RecordValue]] = field(default_factory=list)

    def add(self, facts: Mapping[str, object]) -> None:
        """Add the facts of a call. Calls that differ only in their seeds are one entry with the seeds of all."""
        call = cast("dict[str, RecordValue]", dict(facts))
        seeds = call.pop("seeds", [])
        for known in self.calls:
            if {name: value for name, value in known.items() if name != "seeds"} == call:
                known["seeds"] = [*_as_list(known["seeds"]), *_as_list(seeds)]
                return
        self.calls.append({**call, "seeds": seeds})

    def any_call(self, name: str) -> bool:
        """Return whether this fact is true of any call."""
        return any(bool(call.get(name)) for call in self.calls)


def _as_list(value: RecordValue) -> list[RecordValue]:
    return list(value) if isinstance(value, list | tuple) else []


@dataclass(slots=True)
class GenerationRun:
    """The facts that are the same for every candidate, the model in use, and the findings so far."""

    context: StepContext
    engine: Generator
    # Its name in the step, or None.
    model: str | None
    inputs: StepInputs
    references: tuple[Pixels, ...]
    loras: tuple[tuple[Path, float], ...]
    candidate_count: int
    embeddings: tuple[Path, ...] = ()
    control_net: ControlNet | None = None
    likeness: ReferenceGuide | None = None
    # None also if it is made from the picture itself.
    control_picture: Picture | None = None
    # How many candidates are made, found, or being made.
    done_count: int = 0
    # By number, what wildcards have made of the prompt of a candidate.
    filled: dict[int, dict[str, str]] = field(default_factory=dict)
    wildcards: WildcardFiles = field(init=False)
    findings: dict[str, RecordValue] = field(default_factory=dict)
    first_pass: CallFacts = field(default_factory=CallFacts)
    second_pass: CallFacts = field(default_factory=CallFacts)
    # How many candidates an earlier attempt had finished.
    restored: int = 0
    # True once a part was finished behind which the job may stop, until it has been asked.
    may_give_way: bool = False

    def __post_init__(self) -> None:
        self.wildcards = WildcardFiles(self.context)

    def add_part(self, facts: Mapping[str, RecordValue]) -> None:
        """Add the facts of a finished candidate's second pass, if it had one."""
        if "refined" in facts:
            self.add_findings(refined=facts["refined"])
        for call in _as_list(facts.get("second_pass")):
            self.second_pass.add(cast("dict[str, RecordValue]", call))

    def keep(self, name: str, picture: Picture, facts: Mapping[str, RecordValue]) -> None:
        """Keep a finished part of many, so that none is made twice; a single picture is made again as fast as it is found."""
        if self.candidate_count > 1:
            self.context.parts.keep(name, picture, facts)

    def give_way(self) -> None:
        """Let other jobs go first, if something was finished since the last time: else a job could give way for ever."""
        if self.may_give_way and self.candidate_count > 1:
            self.may_give_way = False
            self.context.parts.give_way()

    def all_findings(self) -> dict[str, RecordValue]:
        """Return the findings with the facts of every call: ``made`` for the first call, ``made_otherwise`` for calls that ran in another
        way, ``refined_by`` for the calls of the second pass.
        """
        first, *others = self.first_pass.calls or [{}]
        otherwise: dict[str, RecordValue] = {"made_otherwise": others} if others else {}
        refined_by: dict[str, RecordValue] = {"refined_by": self.second_pass.calls} if self.second_pass.calls else {}
        return {**self.findings, "made": first, **otherwise, **refined_by}

    def progress_callback(self, start: float, share: float, note: str) -> OnProgress:
        """Return a callback that reports the progress of one part of the work over all candidates; it raises JobCancelled if the job was
        cancelled.
        """

        def step(fraction: float) -> None:
            self.context.progress.report((start + share * min(1.0, max(0.0, fraction))) / self.candidate_count, note)

        return step

    def add_findings(self, **findings: object) -> None:
        self.findings.update(findings)  # type: ignore[arg-type]
