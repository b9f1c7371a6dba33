"""The facts that ``goldsmith status`` shows, collected in one pass. Their size is bounded, however many files there are."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from goldsmith.cli import worker_table
from goldsmith.cli.output import format_size
from goldsmith.cli.store_size import MAX_COUNT_SECONDS, MAX_COUNTED_FILES, archive_sentence
from goldsmith.files import is_ignored_file
from goldsmith.journal.damage import broken_journals
from goldsmith.journal.location import journal_bytes
from goldsmith.journal.records import ActiveJob
from goldsmith.pipeline.archive.archived_files import measure_archive
from goldsmith.pipeline.commit.manifest import MANIFEST_SUFFIX
from goldsmith.pipeline.intake.bundle import Bundle
from goldsmith.pipeline.intake.file_names import README_NAME, classify
from goldsmith.pipeline.status.explain import Explainer, generalise_sentence
from goldsmith.pipeline.status.sentences import progress_note, queue_title
from goldsmith.root_folder import RootFolder
from goldsmith.service.location import Location

# A group lists at most this many names.
_MAX_NAMES = 3
# At most this many problems are listed; the rest are only counted.
MAX_PROBLEMS = 1000


@dataclass(slots=True)
class FolderSummary:
    """The number of files and pictures in one folder of the pipeline."""

    folder: str
    # The stage that processes the folder; "" for the last folder.
    stage: str
    pictures: int = 0
    sidecars: int = 0
    others: int = 0
    working: int = 0
    queued: int = 0
    waiting: int = 0
    held: int = 0


@dataclass(slots=True)
class WaitingGroup:
    """The pictures of one folder that wait for the same reason."""

    folder: str
    sentence: str
    count: int = 0
    names: list[str] = field(default_factory=list)


@dataclass(slots=True)
class ProblemEntry:
    """One picture with a problem."""

    path: str
    sentence: str
    since: float | None


class NameEntry(NamedTuple):
    """A question about a name in a folder."""

    folder: str
    sentence: str


@dataclass(slots=True)
class Overview:
    """Everything that ``goldsmith status`` shows of the folders and jobs."""

    folders: list[FolderSummary]
    working: list[ActiveJob] = field(default_factory=list)
    # By queue.
    queued: dict[str, WaitingGroup] = field(default_factory=dict)
    waiting: list[WaitingGroup] = field(default_factory=list)
    problems: list[ProblemEntry] = field(default_factory=list)
    problem_count: int = 0
    # Questions about names that may be meant as something else, each with its folder. A long list is cut off.
    name_questions: list[NameEntry] = field(default_factory=list)
    name_question_count: int = 0

    @property
    def queue_lengths(self) -> dict[str, int]:
        """The number of waiting jobs by queue."""
        return {queue: group.count for queue, group in self.queued.items()}


def collect_overview(location: Location) -> Overview:
    """Return what the folders, the journal and the daemon show at the moment. Reads every folder of the pipeline once."""
    explainer, pipeline = location.explain(), location.setup.pipeline
    stages = {folder: pipeline.stage_of_folder(folder) for folder in pipeline.shared_folders}
    overview = Overview([FolderSummary(folder, stage.name if stage is not None else "") for folder, stage in stages.items()])
    groups: dict[tuple[str, str], WaitingGroup] = {}
    since = {hold.path: hold.since for hold in (location.journal.all_holds() if location.journal is not None else ())}
    for folder_summary in overview.folders:
        _count_files(location, folder_summary)
        if folder_summary.stage:
            _add_name_questions(overview, folder_summary, location, explainer)
            for bundle in explainer.bundles(folder_summary.folder):
                _add_bundle(overview, folder_summary, bundle, explainer, groups, since)
    _add_unseen_problems(overview, location.daemon.holds_without_note, since)
    for job in explainer.active_jobs:
        if job.started_at is not None:
            overview.working.append(job)
        else:
            _add_to_group(
                overview.queued.setdefault(job.queue, WaitingGroup("", f"Waiting for {queue_title(job.queue, location.daemon)}")), job.path
            )
    overview.waiting = sorted(groups.values(), key=lambda group: (pipeline.shared_folders.index(group.folder), -group.count))
    overview.problems.sort(key=lambda problem: (problem.since or 0.0, problem.path))
    return overview


def _add_bundle(
    summary: Overview,
    folder_summary: FolderSummary,
    bundle: Bundle,
    explainer: Explainer,
    groups: dict[tuple[str, str], WaitingGroup],
    since: dict[str, float],
) -> None:
    status, sentence = explainer.explain_bundle(bundle)
    setattr(folder_summary, status, getattr(folder_summary, status) + 1)
    path = bundle.asset or next(iter(bundle.files), bundle.note or bundle.stem)
    if status == "held":
        summary.problem_count += 1
        if len(summary.problems) < MAX_PROBLEMS:
            summary.problems.append(ProblemEntry(path, sentence, since.get(path)))
    elif status == "waiting":
        reason = generalise_sentence(bundle, sentence)
        _add_to_group(groups.setdefault((folder_summary.folder, reason), WaitingGroup(folder_summary.folder, reason)), path)


def _add_unseen_problems(summary: Overview, holds_without_note: dict[str, str], since: dict[str, float]) -> None:
    """Add the problems of pictures in folders that this user cannot read, and that take no note."""
    known = {problem.path for problem in summary.problems}
    for path, sentence in holds_without_note.items():
        if path not in known:
            summary.problem_count += 1
            summary.problems.append(ProblemEntry(path, sentence, since.get(path)))


def _add_name_questions(summary: Overview, folder_summary: FolderSummary, location: Location, explainer: Explainer) -> None:
    for path, _ in RootFolder(location.root).walk(folder_summary.folder):
        for question in explainer.questions(path).values():
            summary.name_question_count += 1
            if len(summary.name_questions) < MAX_PROBLEMS:
                summary.name_questions.append(NameEntry(path, question.sentence))


def _add_to_group(group: WaitingGroup, path: str) -> None:
    group.count += 1
    if len(group.names) < _MAX_NAMES:
        group.names.append(path)


def _count_files(location: Location, folder_summary: FolderSummary) -> None:
    """Count the files of a folder by kind. In the last folder, every file except a manifest counts as a picture."""
    for _, names in RootFolder(location.root).walk(folder_summary.folder):
        for name in names:
            if is_ignored_file(name) or name.casefold() == README_NAME:
                continue
            role = classify(name).role
            if not folder_summary.stage:
                role = "other" if name.endswith(MANIFEST_SUFFIX) else "picture"
            if role == "picture":
                folder_summary.pictures += 1
            elif role in ("other", "foreign"):
                folder_summary.others += 1
            elif role != "note":
                folder_summary.sidecars += 1


def as_json(location: Location, summary: Overview) -> dict[str, object]:
    """Return the overview for programs: the same facts with the same limits."""
    daemon, now = location.daemon, time.time()
    return {
        "root": str(location.root),
        "running": bool(daemon.holder),
        "daemon": daemon.holder,
        "paused": daemon.pause_reason,
        "workers": worker_table.as_json(daemon, summary.queue_lengths),
        "queues_paused": {queue: reason for queue, reason in daemon.queue_pauses.items() if reason},
        "node_refusals": list(daemon.node_refusals),
        "watch_modes": dict(daemon.watch_modes),
        "weak_quiet_folders": sorted(daemon.weak_quiet_folders),
        "unavailable_folders": dict(daemon.unavailable_folders),
        "permission_refusals": dict(daemon.permission_refusals),
        "holds_without_note": dict(daemon.holds_without_note),
        "status_file_refusals": dict(daemon.status_file_refusals),
        "watcher_error": daemon.watcher_error,
        "journal": str(location.journal_file),
        "journal_bytes": journal_bytes(location.journal_file),
        "archive": asdict(measure_archive(location.root, MAX_COUNTED_FILES, MAX_COUNT_SECONDS)),
        "journal_error": location.journal_error,
        "broken_journals": [str(kept) for kept in broken_journals(location.journal_file)],
        "folders": [_folder_as_json(folder_summary) for folder_summary in summary.folders],
        "working": [{**_job_as_json(job, now), "note": progress_note(job, daemon)} for job in summary.working],
        "queued": [{"queue": queue, "count": group.count, "examples": group.names} for queue, group in summary.queued.items()],
        "waiting": [
            {"folder": group.folder, "sentence": group.sentence, "count": group.count, "examples": group.names} for group in summary.waiting
        ],
        "name_question_count": summary.name_question_count,
        "name_questions": [entry._asdict() for entry in summary.name_questions],
        "problem_count": summary.problem_count,
        "problems": [{"path": problem.path, "sentence": problem.sentence, "since": problem.since} for problem in summary.problems],
    }


def _folder_as_json(folder_summary: FolderSummary) -> dict[str, object]:
    return {name: getattr(folder_summary, name) for name in FolderSummary.__slots__}


def _job_as_json(job: ActiveJob, now: float) -> dict[str, object]:
    seconds = round(now - (job.started_at or now), 1)
    keys = ("job_id", "stage", "queue", "path", "step", "op", "fraction", "note")
    return {**{key: getattr(job, key) for key in keys}, "started_at": job.started_at, "seconds": seconds}


def store_sentence(location: Location) -> str:
    """Return the size of the archive and of the journal as a sentence."""
    size = measure_archive(location.root, MAX_COUNTED_FILES, MAX_COUNT_SECONDS)
    return f"{archive_sentence(size)} The journal has {format_size(journal_bytes(location.journal_file))}."
