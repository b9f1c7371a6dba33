"""What ``goldsmith status`` knows: gathered in one pass over the folders, in bounded size however many files lie there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from goldsmith.cli import worker_table
from goldsmith.cli.location import Location
from goldsmith.files import is_ignored_file
from goldsmith.journal.records import ActiveJob
from goldsmith.pipeline.commit.manifest import MANIFEST_SUFFIX as MANIFEST
from goldsmith.pipeline.intake.bundle import Bundle
from goldsmith.pipeline.intake.file_names import README_NAME, classify
from goldsmith.pipeline.status.explain import Explainer, generalise_sentence, walk_folder
from goldsmith.pipeline.status.sentences import progress_note

# So many names stand for a group.
_MAX_NAMES = 3
# So many problems are told one by one; the rest are counted.
MAX_PROBLEMS = 1000


@dataclass(slots=True)
class FolderSummary:
    """What lies in one folder of the line."""

    folder: str
    # What is done to the pictures in it; "" at the end of the line.
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
    """Everything in one folder that waits for the same reason."""

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


@dataclass(slots=True)
class Overview:
    """All of it."""

    folders: list[FolderSummary]
    working: list[ActiveJob] = field(default_factory=list)
    # By lane.
    queued: dict[str, WaitingGroup] = field(default_factory=dict)
    waiting: list[WaitingGroup] = field(default_factory=list)
    problems: list[ProblemEntry] = field(default_factory=list)
    problem_count: int = 0

    @property
    def queue_lengths(self) -> dict[str, int]:
        return {lane: group.count for lane, group in self.queued.items()}


def collect_overview(location: Location) -> Overview:
    """Look at every folder of the line once."""
    explain, line = location.explain(), location.setup.pipeline
    made = Overview([FolderSummary(folder, stage.name if (stage := line.stage_of_folder(folder)) else "") for folder in line.folders])
    groups: dict[tuple[str, str], WaitingGroup] = {}
    since = {held.path: held.since for held in (location.journal.all_holds() if location.journal is not None else ())}
    for lying in made.folders:
        _count_files(location, lying)
        if lying.stage:
            for bundle in explain.bundles(lying.folder):
                _add_bundle(made, lying, bundle, explain, groups, since)
    for job in explain.active_jobs:
        if job.started_at is not None:
            made.working.append(job)
        else:
            _add_to_group(made.queued.setdefault(job.queue, WaitingGroup("", f"Waiting for the {job.queue.upper()}")), job.path)
    made.waiting = sorted(groups.values(), key=lambda group: (line.folders.index(group.folder), -group.count))
    made.problems.sort(key=lambda trouble: (trouble.since or 0.0, trouble.path))
    return made


def _add_bundle(
    summary: Overview,
    folder_summary: FolderSummary,
    bundle: Bundle,
    explain: Explainer,
    groups: dict[tuple[str, str], WaitingGroup],
    since: dict[str, float],
) -> None:
    standing, sentence = explain.explain_bundle(bundle)
    setattr(folder_summary, standing, getattr(folder_summary, standing) + 1)
    path = bundle.asset or next(iter(bundle.files), bundle.note or bundle.stem)
    if standing == "held":
        summary.problem_count += 1
        if len(summary.problems) < MAX_PROBLEMS:
            summary.problems.append(ProblemEntry(path, sentence, since.get(path)))
    elif standing == "waiting":
        said = generalise_sentence(bundle, sentence)
        _add_to_group(groups.setdefault((folder_summary.folder, said), WaitingGroup(folder_summary.folder, said)), path)


def _add_to_group(group: WaitingGroup, path: str) -> None:
    group.count += 1
    if len(group.names) < _MAX_NAMES:
        group.names.append(path)


def _count_files(location: Location, folder_summary: FolderSummary) -> None:
    """How many files of which kind lie there; at the end of the line whatever is no manifest counts as a picture."""
    for _, names in walk_folder(location.root, folder_summary.folder):
        for name in names:
            if is_ignored_file(name) or name.casefold() == README_NAME:
                continue
            role = classify(name).role
            if not folder_summary.stage:
                role = "other" if name.endswith(MANIFEST) else "picture"
            if role == "picture":
                folder_summary.pictures += 1
            elif role in ("other", "foreign"):
                folder_summary.others += 1
            elif role != "note":
                folder_summary.sidecars += 1


def as_json(location: Location, summary: Overview) -> dict[str, object]:
    """The overview for programs: the same facts, in the same bounds."""
    daemon, now = location.daemon, time.time()
    return {
        "root": str(location.root),
        "running": bool(daemon.holder),
        "daemon": daemon.holder,
        "paused": daemon.pause_reason,
        "lanes": worker_table.as_json(daemon, summary.queue_lengths),
        "lanes_paused": {lane: why for lane, why in daemon.queue_pauses.items() if why},
        "hints": dict(daemon.watch_modes),
        "weak_rule": sorted(daemon.weak_quiet_folders),
        "missing": dict(daemon.unavailable_folders),
        "trouble": daemon.watcher_error,
        "journal": str(location.journal_file),
        "no_journal": location.journal_error,
        "folders": [_folder_as_json(lying) for lying in summary.folders],
        "working": [{**_job_as_json(job, now), "note": progress_note(job, daemon)} for job in summary.working],
        "queued": [{"lane": lane, "count": group.count, "first": group.names} for lane, group in summary.queued.items()],
        "waiting": [{"folder": one.folder, "sentence": one.sentence, "count": one.count, "first": one.names} for one in summary.waiting],
        "problems_in_all": summary.problem_count,
        "problems": [{"path": one.path, "sentence": one.sentence, "since": one.since} for one in summary.problems],
    }


def _folder_as_json(folder_summary: FolderSummary) -> dict[str, object]:
    return {name: getattr(folder_summary, name) for name in FolderSummary.__slots__}


def _job_as_json(job: ActiveJob, now: float) -> dict[str, object]:
    seconds = round(now - (job.started_at or now), 1)
    keys = ("job_id", "stage", "lane", "path", "step", "op", "fraction", "note")
    return {**{key: getattr(job, key) for key in keys}, "started_at": job.started_at, "seconds": seconds}


def remarks(location: Location) -> Iterator[str]:
    """How the daemon hears of files, and everything that keeps it from its usual work, a sentence each."""
    daemon = location.daemon
    if daemon.pause_reason:
        yield f"Everything waits: {daemon.pause_reason}"
    yield from (f"The {lane.upper()} lane pauses: {why}" for lane, why in daemon.queue_pauses.items() if why)
    yield from daemon.unavailable_folders.values()
    if daemon.watcher_error:
        yield daemon.watcher_error
    polled = [f"{folder}/" for folder, mode in daemon.watch_modes.items() if mode == "polling"]
    if polled:
        yield f"No events come from {', '.join(polled)}: polling, they are read again every {location.setup.settings.poll:g} s."
    elif daemon.watch_modes:
        yield "Events arrive from every folder: a new file is seen at once."
    if daemon.weak_quiet_folders:
        named = ", ".join(f"{folder}/" for folder in sorted(daemon.weak_quiet_folders))
        yield (
            f"In {named} it cannot be asked whether somebody is still writing: files must be quiet for "
            f"{location.setup.settings.weak_quiet:g} s there (the weaker rule)."
        )
