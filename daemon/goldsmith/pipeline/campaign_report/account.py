"""The account of a campaign, from the rows of the history: deliveries, times, models and decisions."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from goldsmith.brief.pipeline import REVIEW_FOLDER, Pipeline
from goldsmith.jobs.job import BY_HAND
from goldsmith.journal.records import HistoryRow
from goldsmith.picture.formats.table import is_picture_suffix
from goldsmith.pipeline.commit.manifest import MANIFEST_SUFFIX

_CPU = "cpu"


@dataclass(slots=True)
class StageTimes:
    """What one stage has taken, in seconds."""

    jobs: int = 0
    problems: int = 0
    work_seconds: float = 0.0
    # Of the work, the steps that ran a model on a GPU.
    gpu_seconds: float = 0.0
    # From a picture's arrival in the stage's folder until a worker took it; of pictures that the service itself put there.
    wait_seconds: float = 0.0


@dataclass(slots=True)
class ModelTimes:
    """What one model has done."""

    licence: str = ""
    steps: int = 0
    seconds: float = 0.0
    gpu_seconds: float = 0.0


@dataclass(slots=True)
class EyeTimes:
    """The decisions of people about results in review/, and how long the results have waited for them, in seconds."""

    approved: int = 0
    again: int = 0
    rejected: int = 0
    wait_seconds: float = 0.0
    longest_seconds: float = 0.0


@dataclass(slots=True)
class SavedByHand:
    """Pictures that people have saved over between two jobs with one program.

    ``seconds``: from the moment at which the picture lay there until it was saved; the work took at most that long.
    """

    pictures: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class DeliveredFile:
    """A file that was put into the last folder, and its hash; "" if the record has none."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery of one picture. ``seconds``: from the first job on the picture to the delivery."""

    # The picture before its last stage.
    path: str
    # Unix seconds.
    delivered_at: float
    seconds: float
    files: tuple[DeliveredFile, ...]
    remarks: tuple[str, ...]

    @property
    def shown_path(self) -> str:
        """The file that stands for the delivery on the contact sheet: its first picture, or "" if it has none."""
        return next((each.path for each in self.files if is_picture_suffix(posixpath.splitext(each.path)[1].lower())), "")


@dataclass(slots=True)
class CampaignAccount:
    """Everything that the report says, but for the pictures."""

    campaign: str
    # Unix seconds of the first and the last job; 0.0 if there is none.
    first_at: float = 0.0
    last_at: float = 0.0
    deliveries: list[Delivery] = field(default_factory=list)
    # In the order of the pipeline.
    stages: dict[str, StageTimes] = field(default_factory=dict)
    models: dict[str, ModelTimes] = field(default_factory=dict)
    eyes: EyeTimes = field(default_factory=EyeTimes)
    # By program; "" = the file does not name it.
    hands: dict[str, SavedByHand] = field(default_factory=dict)

    @property
    def work_seconds(self) -> float:
        return sum(stage.work_seconds for stage in self.stages.values())

    @property
    def gpu_seconds(self) -> float:
        return sum(stage.gpu_seconds for stage in self.stages.values())

    @property
    def wait_seconds(self) -> float:
        return sum(stage.wait_seconds for stage in self.stages.values())

    @property
    def hand_seconds(self) -> float:
        return sum(work.seconds for work in self.hands.values())


def take_account(
    campaign: str, pipeline: Pipeline, rows: Iterable[HistoryRow], find_row: Callable[[str], HistoryRow | None]
) -> CampaignAccount:
    """Return the account of a campaign. ``rows``: its history, the oldest first; ``find_row`` returns the row of a job, or None."""
    account = CampaignAccount(campaign, stages={stage.name: StageTimes() for stage in pipeline.stages})
    began_at: dict[str, float] = {}
    for row in rows:
        parent = find_row(row.parent_job_id) if row.parent_job_id else None
        account.first_at = min(account.first_at or row.started_at, row.started_at)
        account.last_at = max(account.last_at, row.taken_at)
        began_at[row.job_id] = began_at.get(row.parent_job_id, parent.started_at if parent is not None else row.started_at)
        if row.stage == BY_HAND:
            _add_hand_work(account, row, parent)
        elif row.stage == REVIEW_FOLDER:
            _add_decision(account.eyes, row, parent, find_row)
        else:
            _add_stage(account, row, parent)
        if row.outcome == "delivered":
            files = tuple(_delivered_files(row))
            seconds = row.taken_at - began_at[row.job_id]
            account.deliveries.append(Delivery(row.path, row.taken_at, seconds, files, tuple(row.remarks())))
    account.stages = {name: times for name, times in account.stages.items() if times.jobs or times.problems}
    return account


def _add_stage(account: CampaignAccount, row: HistoryRow, parent: HistoryRow | None) -> None:
    times = account.stages.setdefault(row.stage, StageTimes())
    if row.outcome == "problem":
        times.problems += 1
        return
    times.jobs += 1
    times.work_seconds += _number(row.record.get("seconds"))
    if parent is not None:
        times.wait_seconds += max(0.0, row.started_at - parent.taken_at)
    environment = row.record.get("environment")
    is_on_gpu = isinstance(environment, dict) and environment.get("device", _CPU) != _CPU
    for step in _steps(row):
        engine = step.get("engine")
        if isinstance(engine, dict) and isinstance(engine.get("name"), str):
            use = account.models.setdefault(str(engine["name"]), ModelTimes(str(engine.get("licence", ""))))
            seconds = _number(step.get("seconds"))
            use.steps, use.seconds = use.steps + 1, use.seconds + seconds
            if is_on_gpu:
                use.gpu_seconds += seconds
                times.gpu_seconds += seconds


def _add_decision(eyes: EyeTimes, row: HistoryRow, parent: HistoryRow | None, find_row: Callable[[str], HistoryRow | None]) -> None:
    """Count what a person has decided, and how long the result has waited for that."""
    review = row.record.get("review")
    facts = review if isinstance(review, dict) else {}
    decision, made_by = facts.get("decision"), facts.get("result_of")
    eyes.approved += decision == "approve"
    eyes.again += decision == "again"
    eyes.rejected += decision in ("reject", "close")
    result = find_row(made_by) if isinstance(made_by, str) else parent
    if result is not None:
        waited = max(0.0, row.started_at - result.taken_at)
        eyes.wait_seconds += waited
        eyes.longest_seconds = max(eyes.longest_seconds, waited)


def _add_hand_work(account: CampaignAccount, row: HistoryRow, parent: HistoryRow | None) -> None:
    by_hand = row.record.get("by_hand")
    program = str(by_hand.get("program", "")) if isinstance(by_hand, dict) else ""
    work = account.hands.setdefault(program, SavedByHand())
    work.pictures += 1
    if parent is not None:
        work.seconds += max(0.0, row.started_at - parent.taken_at)


def _delivered_files(row: HistoryRow) -> Iterator[DeliveredFile]:
    """Yield the pictures and other files of a delivery, without its manifest."""
    outputs = row.record.get("outputs")
    entries = [entry for entry in (outputs if isinstance(outputs, list) else ()) if isinstance(entry, dict)]
    for path in row.results:
        if not path.endswith(MANIFEST_SUFFIX):
            entry = next((entry for entry in entries if path.endswith(str(entry.get("tail")))), {})
            yield DeliveredFile(path, str(entry.get("sha256", "")))


def _steps(row: HistoryRow) -> Sequence[dict[str, JsonValue]]:
    steps = row.record.get("steps")
    return [step for step in (steps if isinstance(steps, list) else ()) if isinstance(step, dict)]


def _number(value: JsonValue | None) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
