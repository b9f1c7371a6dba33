"""``goldsmith status``: what lies where, what is being done, what waits and why, and what is wrong."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

from goldsmith.cli.places import (
    AsJson,
    Config,
    Place,
    Root,
    looking_at,
    some,
)
from goldsmith.cli.screen import (
    bar,
    heading,
    say,
    say_json,
    table,
    terminal,
)

if TYPE_CHECKING:
    from goldsmith.cli.overview import Group, Lying, Overview
    from goldsmith.journal.records import LiveJob

_ROWS = 20
"""So many rows of a kind are printed; the rest are counted."""


def status(root: Root = None, config: Config = None, as_json: AsJson = False) -> None:
    """Show what lies in each folder, what is being worked on, what waits and why, and what is wrong.

    Example: goldsmith status --root ~/hotfolders
    """
    from goldsmith.cli import overview

    with looking_at(root, config) as place:
        seen = overview.overview(place)
        if as_json:
            say_json(overview.as_json(place, seen))
        else:
            _print(place, seen)


def _print(place: Place, seen: Overview) -> None:
    from goldsmith.cli.overview import remarks

    _who(place)
    for sentence in remarks(place):
        say(sentence)
    say()
    table(("folder", "pictures", "sidecars", "other", "next", "working", "waiting", "problems"), [_row(one) for one in seen.folders])
    _lanes(place, seen)
    _working(place, seen)
    _waiting(seen)
    _problems(seen)


def _who(place: Place) -> None:
    daemon = place.daemon
    if not daemon.runs:
        say(f"{place.root}: Goldsmith is not running here. Start it with: goldsmith run --root {shlex.quote(str(place.root))}")
        return
    say(f"{place.root}: Goldsmith is running ({daemon.runs}).")
    if not daemon.told and not place.barred:
        say(f"Its journal is not at {place.journal_file}: name its folder with GOLDSMITH_STATE_DIR, or ask as the service's user.")
    elif place.no_journal:
        say(place.no_journal)


def _row(one: Lying) -> tuple[str, ...]:
    numbers = (one.pictures, one.sidecars, one.others)
    doing = (one.working, one.waiting + one.queued, one.held) if one.stage else ("", "", "")
    return (f"{one.folder}/", *map(_number, numbers), one.stage or "(finished)", *map(_number, doing))


def _number(count: int | str) -> str:
    return str(count) if count or not terminal() else ""


def _lanes(place: Place, seen: Overview) -> None:
    from goldsmith.cli import lanes

    rows = list(lanes.rows(place.daemon, seen.working, seen.queued_in_lane))
    if rows:
        heading("Lanes")
        table(lanes.HEADINGS, rows)


def _step(place: Place, job: LiveJob) -> str:
    from goldsmith.pipeline.status.sentences import note_of

    note = note_of(job, place.daemon)
    return f"{job.step}. {job.op}{f': {note}' if note else ''}" if job.step else "reading"


def _working(place: Place, seen: Overview) -> None:
    if seen.working:
        heading("Being worked on")
        now = time.time()
        rows = [
            (
                job.path,
                job.stage,
                _step(place, job),
                bar(job.fraction),
                f"{now - (job.started_at or now):.0f} s",
            )
            for job in seen.working[:_ROWS]
        ]
        table(("picture", "stage", "step", "progress", "for"), rows)
        _more(len(seen.working))


def _waiting(seen: Overview) -> None:
    groups: list[Group] = [*seen.queued.values(), *seen.waiting]
    if groups:
        heading("Waiting")
        table(("pictures", "why", "for example"), [(str(one.count), one.sentence, some_of(one)) for one in groups[:_ROWS]])
        _more(len(groups))


def some_of(group: Group) -> str:
    """The first names of a group; an ellipsis where there are more."""
    return some([*group.names, *[""] * (group.count - len(group.names))], len(group.names))


def _problems(seen: Overview) -> None:
    if seen.problems:
        heading("Problems (change a file, or: goldsmith retry FILE)")
        table(("picture", "what is wrong"), [(one.path, " ".join(one.sentence.split("\n"))) for one in seen.problems[:_ROWS]])
        _more(seen.problems_in_all)


def _more(count: int) -> None:
    if count > _ROWS:
        say(f"and {count - _ROWS} more")
