"""What ``goldsmith status`` knows: gathered in one pass over the folders, in bounded size however many files lie there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from goldsmith.cli import lanes
from goldsmith.cli.places import Place
from goldsmith.files import is_litter
from goldsmith.journal.records import LiveJob
from goldsmith.pipeline.commit.manifest import SUFFIX as MANIFEST
from goldsmith.pipeline.intake.bundle import Bundle
from goldsmith.pipeline.intake.names import README, classify
from goldsmith.pipeline.status.explain import Explain, general, walk
from goldsmith.pipeline.status.sentences import note_of

_NAMES = 3
"""So many names stand for a group."""
PROBLEMS = 1000
"""So many problems are told one by one; the rest are counted."""


@dataclass(slots=True)
class Lying:
    """What lies in one folder of the line."""

    folder: str
    stage: str
    """What is done to the pictures in it; "" at the end of the line."""
    pictures: int = 0
    sidecars: int = 0
    others: int = 0
    working: int = 0
    queued: int = 0
    waiting: int = 0
    held: int = 0


@dataclass(slots=True)
class Group:
    """Everything in one folder that waits for the same reason."""

    folder: str
    sentence: str
    count: int = 0
    names: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Trouble:
    """One picture with a problem."""

    path: str
    sentence: str
    since: float | None


@dataclass(slots=True)
class Overview:
    """All of it."""

    folders: list[Lying]
    working: list[LiveJob] = field(default_factory=list)
    queued: dict[str, Group] = field(default_factory=dict)
    """By lane."""
    waiting: list[Group] = field(default_factory=list)
    problems: list[Trouble] = field(default_factory=list)
    problems_in_all: int = 0

    @property
    def queued_in_lane(self) -> dict[str, int]:
        return {lane: group.count for lane, group in self.queued.items()}


def overview(place: Place) -> Overview:
    """Look at every folder of the line once."""
    explain, line = place.explain(), place.setup.line
    made = Overview([Lying(folder, stage.name if (stage := line.of_folder(folder)) else "") for folder in line.folders])
    groups: dict[tuple[str, str], Group] = {}
    since = {held.path: held.since for held in (place.journal.all_held() if place.journal is not None else ())}
    for lying in made.folders:
        _count(place, lying)
        if lying.stage:
            for bundle in explain.bundles(lying.folder):
                _stand(made, lying, bundle, explain, groups, since)
    for job in explain.live:
        if job.started_at is not None:
            made.working.append(job)
        else:
            _add(made.queued.setdefault(job.lane, Group("", f"Waiting for the {job.lane.upper()}")), job.path)
    made.waiting = sorted(groups.values(), key=lambda group: (line.folders.index(group.folder), -group.count))
    made.problems.sort(key=lambda trouble: (trouble.since or 0.0, trouble.path))
    return made


def _stand(
    made: Overview, lying: Lying, bundle: Bundle, explain: Explain, groups: dict[tuple[str, str], Group], since: dict[str, float]
) -> None:
    standing, sentence = explain.of_bundle(bundle)
    setattr(lying, standing, getattr(lying, standing) + 1)
    path = bundle.asset or next(iter(bundle.files), bundle.note or bundle.stem)
    if standing == "held":
        made.problems_in_all += 1
        if len(made.problems) < PROBLEMS:
            made.problems.append(Trouble(path, sentence, since.get(path)))
    elif standing == "waiting":
        said = general(bundle, sentence)
        _add(groups.setdefault((lying.folder, said), Group(lying.folder, said)), path)


def _add(group: Group, path: str) -> None:
    group.count += 1
    if len(group.names) < _NAMES:
        group.names.append(path)


def _count(place: Place, lying: Lying) -> None:
    """How many files of which kind lie there; at the end of the line whatever is no manifest counts as a picture."""
    for _, names in walk(place.root, lying.folder):
        for name in names:
            if is_litter(name) or name.casefold() == README:
                continue
            role = classify(name).role
            if not lying.stage:
                role = "other" if name.endswith(MANIFEST) else "picture"
            if role == "picture":
                lying.pictures += 1
            elif role in ("other", "foreign"):
                lying.others += 1
            elif role != "note":
                lying.sidecars += 1


def as_json(place: Place, seen: Overview) -> dict[str, object]:
    """The overview for programs: the same facts, in the same bounds."""
    daemon, now = place.daemon, time.time()
    return {
        "root": str(place.root),
        "running": bool(daemon.runs),
        "daemon": daemon.runs,
        "paused": daemon.paused,
        "lanes": lanes.as_json(daemon, seen.queued_in_lane),
        "lanes_paused": {lane: why for lane, why in daemon.lanes.items() if why},
        "hints": dict(daemon.folders),
        "weak_rule": sorted(daemon.weak),
        "missing": dict(daemon.missing),
        "trouble": daemon.trouble,
        "journal": str(place.journal_file),
        "no_journal": place.no_journal,
        "folders": [_lying(lying) for lying in seen.folders],
        "working": [{**_job(job, now), "note": note_of(job, daemon)} for job in seen.working],
        "queued": [{"lane": lane, "count": group.count, "first": group.names} for lane, group in seen.queued.items()],
        "waiting": [{"folder": one.folder, "sentence": one.sentence, "count": one.count, "first": one.names} for one in seen.waiting],
        "problems_in_all": seen.problems_in_all,
        "problems": [{"path": one.path, "sentence": one.sentence, "since": one.since} for one in seen.problems],
    }


def _lying(lying: Lying) -> dict[str, object]:
    return {name: getattr(lying, name) for name in Lying.__slots__}


def _job(job: LiveJob, now: float) -> dict[str, object]:
    seconds = round(now - (job.started_at or now), 1)
    keys = ("job_id", "stage", "lane", "path", "step", "op", "fraction", "note")
    return {**{key: getattr(job, key) for key in keys}, "started_at": job.started_at, "seconds": seconds}


def remarks(place: Place) -> Iterator[str]:
    """How the daemon hears of files, and everything that keeps it from its usual work, a sentence each."""
    daemon = place.daemon
    if daemon.paused:
        yield f"Everything waits: {daemon.paused}"
    yield from (f"The {lane.upper()} lane pauses: {why}" for lane, why in daemon.lanes.items() if why)
    yield from daemon.missing.values()
    if daemon.trouble:
        yield daemon.trouble
    polled = [f"{folder}/" for folder, mode in daemon.folders.items() if mode == "polling"]
    if polled:
        yield f"No events come from {', '.join(polled)}: polling, they are read again every {place.setup.house.poll:g} s."
    elif daemon.folders:
        yield "Events arrive from every folder: a new file is seen at once."
    if daemon.weak:
        named = ", ".join(f"{folder}/" for folder in sorted(daemon.weak))
        yield (
            f"In {named} it cannot be asked whether somebody is still writing: files must be quiet for "
            f"{place.setup.house.weak_quiet:g} s there (the weaker rule)."
        )
