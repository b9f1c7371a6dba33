"""Steps as they are written: a list of tables, each one operation with its settings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from pydantic import ValidationError

from goldsmith.brief.reading import Fault, nearest, plain_name, shown
from goldsmith.brief.sentences import coerced, faults_of
from goldsmith.files import fold
from goldsmith.operation import FileOperation, Operation, SetOperation

MAX_STEPS = 64
"""The most steps one stage may have in a brief."""

MAX_SET = 100
"""The most pictures that may be made of one."""

Catalogue = Mapping[str, type[Operation]]


@dataclass(frozen=True, slots=True)
class Step:
    """One operation with its settings. ``settings`` is what was written, ``operation`` the same, checked."""

    op: str
    operation: Operation
    settings: Mapping[str, object]
    place: str = field(default="", compare=False)
    """Where it stands in its file: ``edit.1``."""
    source: str = field(default="", compare=False)
    """The file it was written in; "" where that is the picture's own brief."""


class StepReader:
    """Reads the steps of one file and gathers what is wrong with them."""

    def __init__(self, catalogue: Catalogue, faults: list[Fault], source: str = "") -> None:
        self._catalogue = catalogue
        self._faults = faults
        self._source = source

    def steps(self, place: str, written: object, allowed: Collection[str] | None) -> tuple[Step, ...]:
        """The steps in ``written`` that are right; what is wrong with the others is in the faults. ``allowed`` None = all."""
        if not isinstance(written, list) or not all(isinstance(one, dict) for one in written):
            self._faults.append(_no_list(place, written))
            return ()
        if len(written) > MAX_STEPS:
            self._faults.append(Fault(place, f"has {len(written)} steps; a stage has at most {MAX_STEPS}."))
            return ()
        steps = (self._step(f"{place}.{number}", one, allowed) for number, one in enumerate(written, 1))
        right = tuple(step for step in steps if step is not None)
        self._tell_names_apart(right)
        return self._closed(right, words=sorted(self._catalogue if allowed is None else allowed)) if len(right) == len(written) else right

    def _tell_names_apart(self, steps: Sequence[Step]) -> None:
        """Two files of one name would be one too few."""
        makers: dict[str, Step] = {}
        for step in steps:
            for tail in step.operation.tails() if isinstance(step.operation, FileOperation) else ():
                first = makers.setdefault(fold(tail), step)
                if first is not step:
                    self._faults.append(Fault(step.place, f"makes NAME{tail}, and so does {first.place}: give one of them another name."))

    def _closed(self, steps: tuple[Step, ...], words: Sequence[str]) -> tuple[Step, ...]:
        """The steps with one that chooses behind a set that nobody closes: only one picture goes on, and which one is to be on record."""
        opener, left, count, behind = None, "", 1, 0
        for number, step in enumerate(steps, 1):
            operation = step.operation
            if isinstance(operation, FileOperation) and count > 1:
                break
            if isinstance(operation, SetOperation):
                before, count = count, operation.leaves(count)
                if count > MAX_SET:
                    self._faults.append(Fault(step.place, f"makes {count} pictures in all; at most {MAX_SET} will do."))
                    return steps
                if count > before:
                    opener, left, behind = step, "", number
                else:
                    left = _where(step.place, step.settings, count)
        if opener is None or count <= 1:
            return steps
        if left:
            self._faults.append(Fault(left, f"leaves {count} pictures, but only 1 can go on."))
            return steps
        kinds = {word: self._catalogue[word] for word in words if word in self._catalogue}
        closer = next((word for word, kind in kinds.items() if issubclass(kind, SetOperation) and kind.closes), None)
        if closer is None:
            self._faults.append(Fault(opener.place, f"makes {count} pictures, and no step that is allowed here chooses one: ask for 1."))
            return steps
        added = Step(closer, kinds[closer](), MappingProxyType({}), place=opener.place, source=self._source)
        return (*steps[:behind], added, *steps[behind:])

    def _step(self, place: str, written: dict[str, object], allowed: Collection[str] | None) -> Step | None:
        op = written.get("op")
        words = sorted(self._catalogue if allowed is None else set(allowed) & set(self._catalogue))
        if not isinstance(op, str):
            told = "has no `op`" if op is None else f"says op = {shown(op)}, which is no text"
            self._faults.append(Fault(place, f"{told}: each step names its operation{nearest('', words)}"))
            return None
        if op not in self._catalogue:
            self._faults.append(Fault(f"{place}.op", f"is {shown(op)}, but there is no such operation{nearest(op, words)}"))
            return None
        if op not in words:
            self._faults.append(Fault(f"{place}.op", f"is {shown(op)}, which is not done in this stage{nearest('', words)}"))
            return None
        settings = {key: value for key, value in written.items() if key != "op"}
        operation = self._checked(place, self._catalogue[op], settings)
        if operation is None:
            return None
        return Step(op, operation, MappingProxyType(settings), place=place, source=self._source)

    def _checked(self, place: str, kind: type[Operation], settings: dict[str, object]) -> Operation | None:
        try:
            operation = kind.model_validate(settings)
        except ValidationError as error:
            self._faults.extend(faults_of(error, settings, place, kind))
            return None
        bent = coerced(settings, operation, place)
        if bent:
            self._faults.extend(bent)
            return None
        wrong = [(name, plain_name(name)) for _, name, _ in operation.needs().references]
        self._faults.extend(Fault(_where(place, settings, name), f"is {shown(name)}: that {why}.") for name, why in wrong if why)
        return operation if not any(why for _, why in wrong) else None


def _where(place: str, settings: Mapping[str, object], value: object) -> str:
    """The place of the setting that has this value."""
    return next((f"{place}.{key}" for key, written in settings.items() if written == value), place)


def _no_list(place: str, written: object) -> Fault:
    if isinstance(written, dict):
        return Fault(place, f"is written as [{place}]; a step starts with two brackets: [[{place}]].")
    if isinstance(written, str):
        return Fault(place, f"is {shown(written)}, but a stage is written as [[{place}]] with op = {shown(written)} on the next line.")
    return Fault(place, f'is {shown(written)}, but a stage is written as [[{place}]] with op = "…" on the next line.')
