"""Steps as they are written: a list of tables, each of them one operation with its settings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from pydantic import ValidationError

from goldsmith.brief.parsing import BriefProblem, did_you_mean, library_name_error, quote_value
from goldsmith.brief.suggestions import Vocabulary
from goldsmith.brief.validation_messages import coercion_problems, validation_problems
from goldsmith.files import fold_name

if TYPE_CHECKING:  # it needs numpy; a step imports it with its own operation
    from goldsmith.operation import Operation

# The most steps one stage may have in a brief.
MAX_STEPS = 64

# The most pictures that may be made of one.
MAX_SET_SIZE = 100

OperationCatalogue: TypeAlias = "Mapping[str, type[Operation]]"


@dataclass(frozen=True, slots=True)
class Step:
    """One operation with its settings. ``settings`` is as written, ``operation`` the same, validated."""

    op: str
    operation: Operation
    settings: Mapping[str, object]
    # The step's place in its file: ``edit.1``.
    location: str = field(default="", compare=False)
    # The step's file; "" for the picture's own brief.
    source_file: str = field(default="", compare=False)


def takes_look(step: Step) -> bool:
    """Return whether the step has a setting for a look that is not set."""
    return "look" in type(step.operation).model_fields and "look" not in step.settings


def with_look(step: Step, look: str) -> Step:
    """Return the step with a look, given by its name, if it takes one."""
    if not takes_look(step):
        return step
    settings = {**step.settings, "look": look}
    return replace(step, settings=MappingProxyType(settings), operation=type(step.operation).model_validate(settings))


class StepReader:
    """Reads the steps of one file and collects their problems."""

    def __init__(
        self, catalogue: OperationCatalogue, problems: list[BriefProblem], source: str = "", vocabulary: Vocabulary | None = None
    ) -> None:
        self._catalogue = catalogue
        self._problems = problems
        self._source = source
        self._vocabulary = Vocabulary(catalogue) if vocabulary is None else vocabulary

    def read_steps(self, location: str, raw: object, allowed: Collection[str] | None) -> tuple[Step, ...]:
        """Return the valid steps in ``raw`` and add the problems of the others. ``allowed`` names the operations; None = all."""
        if not isinstance(raw, list) or not all(isinstance(table, dict) for table in raw):
            self._problems.append(self._vocabulary.not_a_list_problem(location, raw, self._allowed_names(allowed)))
            return ()
        if len(raw) > MAX_STEPS:
            self._problems.append(BriefProblem(location, f"has {len(raw)} steps; a stage has at most {MAX_STEPS}."))
            return ()
        steps = (self._read_step(f"{location}.{number}", table, allowed) for number, table in enumerate(raw, 1))
        valid = tuple(step for step in steps if step is not None)
        self._check_output_names(valid)
        return (
            self._with_closing_step(valid, allowed_ops=sorted(self._catalogue if allowed is None else allowed))
            if len(valid) == len(raw)
            else valid
        )

    def _check_output_names(self, steps: Sequence[Step]) -> None:
        """Add a problem for each output that has the same name as an earlier one."""
        from goldsmith.operation import FileOperation

        makers: dict[str, Step] = {}
        for step in steps:
            for tail in step.operation.tails() if isinstance(step.operation, FileOperation) else ():
                first = makers.setdefault(fold_name(tail), step)
                if first is not step:
                    self._problems.append(
                        BriefProblem(step.location, f"makes NAME{tail}, and so does {first.location}: give one of them another name.")
                    )

    def _with_closing_step(self, steps: tuple[Step, ...], allowed_ops: Sequence[str]) -> tuple[Step, ...]:
        """Return the steps, with a closing step behind a set that no step closes.

        Only one picture moves on, and the record must tell which one.
        """
        from goldsmith.operation import FileOperation, SetOperation

        for step in steps[:-1]:
            if step.operation.asks_person():
                sentence = "asks a person, so it must be the last step of its stage: put the steps behind it into the next stage."
                self._problems.append(BriefProblem(step.location, sentence))
                return steps
        opener, setting, count, position = None, "", 1, 0
        for number, step in enumerate(steps, 1):
            operation = step.operation
            if isinstance(operation, FileOperation) and count > 1:
                break
            if isinstance(operation, SetOperation):
                previous_count, count = count, operation.max_results(count)
                if count > MAX_SET_SIZE:
                    self._problems.append(BriefProblem(step.location, f"makes {count} pictures in all; the limit is {MAX_SET_SIZE}."))
                    return steps
                if count > previous_count:
                    opener, setting, position = step, "", number
                else:
                    setting = _setting_location(step.location, step.settings, count)
        if opener is None or count <= 1:
            return steps
        if setting:
            self._problems.append(BriefProblem(setting, f"leaves {count} pictures, but only 1 can move on."))
            return steps
        available = {op: self._catalogue[op] for op in allowed_ops if op in self._catalogue}
        closer = next((op for op, kind in available.items() if issubclass(kind, SetOperation) and kind.closes_set), None)
        if closer is None:
            self._problems.append(
                BriefProblem(opener.location, f"makes {count} pictures, and no operation that is allowed here chooses one: ask for 1.")
            )
            return steps
        added = Step(closer, available[closer](), MappingProxyType({}), location=opener.location, source_file=self._source)
        return (*steps[:position], added, *steps[position:])

    def _read_step(self, location: str, raw: dict[str, object], allowed: Collection[str] | None) -> Step | None:
        op = raw.get("op")
        problem = self._op_problem(location, op, raw, self._allowed_names(allowed))
        if problem is not None or not isinstance(op, str):
            self._problems.extend([problem] if problem is not None else [])
            return None
        settings = {key: value for key, value in raw.items() if key != "op"}
        operation = self._validate(location, self._catalogue[op], settings)
        if operation is None:
            return None
        return Step(op, operation, MappingProxyType(settings), location=location, source_file=self._source)

    def _allowed_names(self, allowed: Collection[str] | None) -> list[str]:
        return sorted(self._catalogue if allowed is None else set(allowed) & set(self._catalogue))

    def _op_problem(self, location: str, op: object, raw: dict[str, object], names: Sequence[str]) -> BriefProblem | None:
        """Return the problem of a step's ``op``; None if the stage allows it. ``names`` lists the operations that it allows."""
        if op is None:
            return self._vocabulary.missing_op_problem(location, raw, names)
        if not isinstance(op, str):
            sentence = f"has op = {quote_value(op)}, which is not a text: each step names its operation"
            return BriefProblem(location, f"{sentence}{did_you_mean('', names)}")
        if op not in self._catalogue:
            return self._vocabulary.unknown_op_problem(location, op, names)
        return None if op in names else self._vocabulary.misplaced_op_problem(location, op, names)

    def _validate(self, location: str, operation_type: type[Operation], settings: dict[str, object]) -> Operation | None:
        try:
            operation = operation_type.model_validate(settings)
        except ValidationError as error:
            self._problems.extend(validation_problems(error, settings, location, operation_type, self._vocabulary.stem))
            return None
        coerced = coercion_problems(settings, operation, location)
        if coerced:
            self._problems.extend(coerced)
            return None
        reasons = [(name, library_name_error(name)) for _, name, _ in operation.needs().library_files]
        self._problems.extend(
            BriefProblem(_setting_location(location, settings, name), f"is {quote_value(name)}: that {reason}.")
            for name, reason in reasons
            if reason
        )
        return operation if not any(reason for _, reason in reasons) else None


def _setting_location(location: str, settings: Mapping[str, object], value: object) -> str:
    """Return the location of the setting that has this value."""
    return next((f"{location}.{key}" for key, setting in settings.items() if setting == value), location)
