"""The pipeline as data: the folder that each stage reads, the next folder, and the default steps.

``config/pipeline.toml``::

    [[stage]]
    name = "edit"
    folder = "selected"
    next = "masked"
    queue = "gpu"
    steps = ["inpaint", "erase", "upscale"]      # operations allowed here; "*" = all
    default = []                                 # run if a brief goes further and does not mention the stage
    with_mask = [{ op = "inpaint", where = "mask" }]   # run for a picture with a mask and no brief
    with_look = [{ op = "grade" }]               # run after the default steps for a picture with a look of its own and no brief
    review = true                                # the results wait in review/ until a person has looked at them; ["mask", "result"]:
                                                 # first the masks that its steps find by themselves, then the results
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Annotated, Literal, overload

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from goldsmith.brief.parsing import (
    BriefError,
    BriefProblem,
    ConfigError,
    did_you_mean,
    quote_value,
    read_toml,
)
from goldsmith.brief.steps import OperationCatalogue, Step, StepReader, takes_look
from goldsmith.brief.validation_messages import validation_problems
from goldsmith.files import fold_name, is_ignored_file, is_ignored_folder
from goldsmith.ops import catalogue as all_operations
from goldsmith.picture.formats.table import WorkingFormat

RESERVED_FOLDERS = frozenset({"library", "archive", "review", "config", ".goldsmith"})
# Results that wait for a person lie here. A picture that is dragged into one of its trays is decided upon.
REVIEW_FOLDER = "review"
APPROVE, AGAIN, REJECT = "approve", "again", "reject"
REVIEW_TRAYS = (APPROVE, AGAIN, REJECT)
RESERVED_STAGE_NAMES = frozenset(
    {"title", "prompt", "recipe", "seed", "working", "hdr", "float_range", "mask", "resolved", "stage", "review", "in_review"}
)

_Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the pipeline."""

    name: str
    folder: str
    next_folder: str
    queue: str
    # Names of the allowed operations; None = all.
    allowed_ops: frozenset[str] | None
    default_steps: Sequence[Step] = ()
    mask_steps: Sequence[Step] = ()
    look_steps: Sequence[Step] = ()
    # True if a person must approve its results.
    is_reviewed: bool = False
    # True if a person must approve the masks that its steps find, before the steps run.
    reviews_masks: bool = False
    # Format of its results, for pictures whose brief names none.
    working: WorkingFormat = "png"


class _UnreadSteps(Sequence[Step]):
    """Steps of a stage that are read when the first of them is needed, because that imports their operations, and numpy with these.

    Whether there are any is known before. Reading them raises ConfigError with every problem.
    """

    def __init__(self, raw: Sequence[object], read: Callable[[list[BriefProblem]], tuple[Step, ...]], file: str) -> None:
        self._raw = raw
        self._read = read
        self._file = file

    @cached_property
    def _steps(self) -> tuple[Step, ...]:
        problems: list[BriefProblem] = []
        steps = self._read(problems)
        if problems:
            raise ConfigError(self._file, problems)
        return steps

    def __bool__(self) -> bool:
        return bool(self._raw)

    def __len__(self) -> int:
        return len(self._steps) if self._raw else 0

    @overload
    def __getitem__(self, index: int) -> Step: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Step]: ...

    def __getitem__(self, index: int | slice) -> Step | Sequence[Step]:
        return self._steps[index]


# Stands for the stage of the pictures in review/, whose work is a person's decision. Its next folder follows from the decision.
REVIEW_STAGE = Stage("review", REVIEW_FOLDER, "", "cpu", frozenset())


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The stages in order. The last stage's next folder receives the deliverables."""

    stages: tuple[Stage, ...]

    def stage_of_folder(self, folder: str) -> Stage | None:
        """Return the stage that reads ``folder``, or None. That of review/ is ``REVIEW_STAGE``."""
        if folder == REVIEW_FOLDER:
            return REVIEW_STAGE
        return next((stage for stage in self.stages if stage.folder == folder), None)

    def index_of(self, name: str) -> int:
        """Return the stage's place in the pipeline, from 0; -1 if there is no such stage."""
        return next((number for number, stage in enumerate(self.stages) if stage.name == name), -1)

    def moves_with_mask(self, stage: Stage) -> bool:
        """Return whether a mask alone is an instruction in ``stage.folder``: this stage or a later one has steps for a mask."""
        return any(each.mask_steps for each in self.stages[self.index_of(stage.name) :])

    def uses_prompt_after(self, stage: Stage) -> bool:
        """Return whether a later stage has steps of its own that read a prompt: then words beside a picture travel on to it."""
        later = self.stages[self.index_of(stage.name) + 1 :]
        return any(step.operation.uses_brief_prompt() for each in later for step in (*each.default_steps, *each.mask_steps))

    @property
    def folders(self) -> tuple[str, ...]:
        """Every folder of the pipeline in order, with the last one, which no stage reads."""
        return (*(stage.folder for stage in self.stages), self.stages[-1].next_folder)

    @property
    def watched_folders(self) -> tuple[str, ...]:
        """The folders in which pictures wait for work or for a person: those of the stages in order, then review/."""
        return (*(stage.folder for stage in self.stages), REVIEW_FOLDER)

    @property
    def shared_folders(self) -> tuple[str, ...]:
        """Every folder of the pipeline in order, and review/."""
        return (*self.folders, REVIEW_FOLDER)

    @property
    def final_folder(self) -> str:
        """The last folder of the pipeline."""
        return self.stages[-1].next_folder


def missing_mask_sentence(stage: str, steps: Collection[Step], mask_names: Collection[str]) -> str:
    """Return a sentence about the first mask that a stage's steps lack; "" if ``mask_names`` has all of them."""
    present = {fold_name(name) for name in mask_names}
    for number, step in enumerate(steps, 1):
        missing = sorted(name for name in step.operation.needs().masks if fold_name(name) not in present)
        if missing:
            mask = "a mask" if missing[0] == "mask" else f"the mask “{missing[0]}”"
            return f"waiting for {mask} (step {number} of {stage} needs {'one' if missing[0] == 'mask' else 'it'})"
    return ""


def missing_layer(stage: str, steps: Collection[Step], has_layer: Callable[[str], bool]) -> tuple[str, str]:
    """Return the first layer that a stage's steps lack and a sentence about it; ("", "") if there are all."""
    for number, step in enumerate(steps, 1):
        for name in sorted(step.operation.needs().layers):
            if not has_layer(name):
                return name, f"waiting for the layer “{name}” (step {number} of {stage} needs it)"
    return "", ""


class _StageRow(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: _Identifier
    folder: str
    next: str
    queue: _Identifier = "cpu"
    steps: tuple[str, ...] | str = "*"
    default: list[dict[str, object]] = []
    with_mask: list[dict[str, object]] = []
    with_look: list[dict[str, object]] = []
    review: bool | list[Literal["mask", "result"]] = False
    working: WorkingFormat = "png"


def read_pipeline(data: bytes, file: str, catalogue: OperationCatalogue | None = None, *, reads_steps: bool = True) -> Pipeline:
    """Return the pipeline in a TOML file called ``file``. Raises ConfigError with every problem.

    Without ``reads_steps``, the steps of the stages are read when they are needed, and their problems are raised then.
    """
    known = all_operations() if catalogue is None else catalogue
    try:
        values = read_toml(data, file)
    except BriefError as error:
        raise ConfigError(file, error.problems) from None
    problems: list[BriefProblem] = [
        BriefProblem(key, f"is not a setting here{did_you_mean(key, ['stage'])}") for key in values if key != "stage"
    ]
    rows = _read_rows(values.get("stage", []), problems)
    stages = tuple(_read_stage(f"stage.{number}", row, known, problems, "" if reads_steps else file) for number, row in rows.items())
    if not problems:
        _check_order(stages, problems)
    if problems:
        raise ConfigError(file, problems)
    return Pipeline(stages)


def _read_rows(raw: object, problems: list[BriefProblem]) -> dict[int, _StageRow]:
    if not isinstance(raw, list) or not raw or not all(isinstance(row, dict) for row in raw):
        problems.append(BriefProblem("stage", "is missing: write each stage as [[stage]] with its name, folder and next folder."))
        return {}
    rows: dict[int, _StageRow] = {}
    for number, row in enumerate(raw, 1):
        try:
            rows[number] = _StageRow.model_validate(row)
        except ValidationError as error:
            problems += validation_problems(error, row, f"stage.{number}", _StageRow)
    return rows


def _read_stage(location: str, row: _StageRow, catalogue: OperationCatalogue, problems: list[BriefProblem], unread_file: str) -> Stage:
    """Return a stage, and add its problems. ``unread_file``: the file whose steps are read later; "" = they are read now."""
    if row.name in RESERVED_STAGE_NAMES:
        problems.append(BriefProblem(f"{location}.name", f"is {quote_value(row.name)}, which already has another meaning in a brief."))
    for key, folder in (("folder", row.folder), ("next", row.next)):
        reason = _folder_name_error(folder)
        if reason:
            problems.append(BriefProblem(f"{location}.{key}", f"is {quote_value(folder)}: {reason}."))
    if isinstance(row.steps, str) and row.steps != "*":
        problems.append(
            BriefProblem(f"{location}.steps", f'is {quote_value(row.steps)}, but must be a list of operations, or "*" for all.')
        )
    allowed = None if isinstance(row.steps, str) else frozenset(row.steps)
    for word in sorted(allowed or ()):
        if word not in catalogue:
            problems.append(
                BriefProblem(f"{location}.steps", f"has {quote_value(word)}, but there is no such operation{did_you_mean(word, catalogue)}")
            )
    steps: list[Sequence[Step]] = []
    for key, raw in (("default", row.default), ("with_mask", row.with_mask), ("with_look", row.with_look)):
        read = partial(_read_steps, f"{location}.{key}", raw, allowed, catalogue)
        steps.append(_UnreadSteps(raw, read, unread_file) if unread_file else read(problems))
    default, with_mask, with_look = steps
    review, reviews_masks = _read_review(row.review)
    return Stage(row.name, row.folder, row.next, row.queue, allowed, default, with_mask, with_look, review, reviews_masks, row.working)


def _read_steps(
    location: str,
    raw: list[dict[str, object]],
    allowed: frozenset[str] | None,
    catalogue: OperationCatalogue,
    problems: list[BriefProblem],
) -> tuple[Step, ...]:
    """Return the steps of a stage that ``location`` names, and add their problems."""
    steps = StepReader(catalogue, problems, source="config/pipeline.toml").read_steps(location, raw, allowed)
    if location.endswith(".with_look") and steps and not any(takes_look(step) for step in steps):
        problems.append(BriefProblem(location, "has no step with a setting `look`, so the look would do nothing."))
    return steps


def _read_review(review: bool | list[Literal["mask", "result"]]) -> tuple[bool, bool]:
    """Return whether a person must approve the results, and whether the masks that the steps find."""
    return (review, False) if isinstance(review, bool) else ("result" in review, "mask" in review)


def masks_of(stage: str) -> str:
    """Return the word in ``review`` for the masks that the steps of a stage find: ``edit.mask``."""
    return f"{stage}.mask"


def review_of_last_stage(stages: Sequence[Stage]) -> str:
    """Return why the results of the last stage cannot be reviewed, as the end of a sentence that begins with the setting."""
    earlier = f": review {stages[-2].name} instead" if len(stages) > 1 else ""
    return f"cannot be for {stages[-1].name}, which makes the files for the client from a picture that is finished{earlier}."


def _folder_name_error(folder: str) -> str:
    """Return why no stage can use the folder; "" if one can."""
    if not folder.strip() or folder != folder.strip() or len(folder.encode()) > 200 or not folder.isprintable():
        return "that cannot be the name of a folder"
    if "/" in folder or "\\" in folder or ":" in folder:
        return "a stage's folder is directly in the root, so its name has no slashes"
    if folder.startswith(".") or is_ignored_file(folder) or is_ignored_folder(folder):
        return "files in such a folder are ignored"
    return "that folder has another meaning" if fold_name(folder) in RESERVED_FOLDERS else ""


def _check_order(stages: tuple[Stage, ...], problems: list[BriefProblem]) -> None:
    """Add a problem for each name or folder that occurs twice, for each next folder that the next stage does not read, and for a review
    of the deliverables."""
    if stages and stages[-1].is_reviewed:
        problems.append(BriefProblem(f"stage.{len(stages)}.review", review_of_last_stage(stages)))
    numbers_by_key: dict[str, Mapping[str, int]] = {"name": {}, "folder": {}}
    for number, stage in enumerate(stages, 1):
        for key, value in (("name", stage.name), ("folder", stage.folder)):
            first_number = numbers_by_key[key].get(fold_name(value))
            if first_number is not None:
                problems.append(BriefProblem(f"stage.{number}.{key}", f"is {quote_value(value)}, which stage.{first_number} already has."))
            numbers_by_key[key] = {fold_name(value): number, **numbers_by_key[key]}
    numbers_by_folder = {fold_name(stage.folder): number for number, stage in reversed(list(enumerate(stages, 1)))}
    for number, (stage, follower) in enumerate(zip(stages, [*stages[1:], None], strict=True), 1):
        earlier = numbers_by_folder.get(fold_name(stage.next_folder))
        if earlier is not None and earlier <= number:
            sentence = f"is {quote_value(stage.next_folder)}, which stage.{earlier} reads: the pipeline would run in a circle."
            problems.append(BriefProblem(f"stage.{number}.next", sentence))
        elif follower is not None and stage.next_folder != follower.folder:
            sentence = f"is {quote_value(stage.next_folder)}, but the stage below it reads {quote_value(follower.folder)}."
            problems.append(BriefProblem(f"stage.{number}.next", sentence))
