"""``goldsmith history``: everything that was ever taken, and what became of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goldsmith.cli.places import AsJson, Config, Place, Root, looking_at, once_called, spellings
from goldsmith.cli.screen import say_json, table, terminal, wide
from goldsmith.errors import UsageFault

if TYPE_CHECKING:
    from goldsmith.journal.records import TakenRow

_ROWS = 50
"""So many rows are shown on a terminal unless more are asked for."""


def history(
    file: Annotated[
        Path | None, typer.Argument(help="Only what was done to this file, and to what it was made of.", metavar="FILE")
    ] = None,
    root: Root = None,
    config: Config = None,
    as_json: AsJson = False,
    last: Annotated[int | None, typer.Option("--last", "-n", min=0, help="Only the last so many (0 = all; 50 on a terminal).")] = None,
    problems: Annotated[bool, typer.Option("--problems", help="With --json: also what was found wanting and left where it lay.")] = False,
) -> None:
    """Show what was done to a file, or to all: when, in which stage, with which seeds, and what it became.

    With --json, one line for each input ever taken, oldest first.

    Example: goldsmith history delivered/spring/hero_web.avif
    """
    with looking_at(root, config, near=file) as place:
        rows = _rows(place, file)
        if as_json:
            rows = (row for row in rows if problems or row.outcome != "problem")
            for row in _tail(rows, last or 0):
                say_json(_plain(row))
            return
        usual = _ROWS if file is None and terminal() else 0
        shown = _tail(rows, usual if last is None else last)
        columns = ("when", "file", "stage", "outcome", "seconds", "became", "steps")
        most = len(columns) if wide() else len(columns) - 1
        table(columns[:most], (_told(row)[:most] for row in shown))


def _rows(place: Place, file: Path | None) -> Iterator[TakenRow]:
    if place.journal is None:
        raise UsageFault(place.no_journal)
    if file is None:
        return place.journal.history()
    wanted = _jobs_of(place, file)
    return (row for row in place.journal.history() if row.job_id in wanted)


def _jobs_of(place: Place, file: Path) -> set[str]:
    """Every job on the way of a file: those that took or made it, what made their inputs, and what was made of their results."""
    names = {*spellings(place.root, file), once_called(place, file) or ""}
    jobs: set[str] = set()
    parents: dict[str, str] = {}
    for row in place.journal.history() if place.journal is not None else ():
        parents[row.job_id] = row.lineage
        if not names.isdisjoint(_files(row)) or row.lineage in jobs:
            jobs.add(row.job_id)
    if not jobs:
        raise UsageFault(f"Nothing was ever done to {file}.", place.explain().why(spellings(place.root, file)[0]))
    above = deque(jobs)
    while above:
        parent = parents.get(above.pop(), "")
        if parent and parent not in jobs:
            jobs.add(parent)
            above.append(parent)
    return jobs


def _files(row: TakenRow) -> Iterator[str]:
    yield row.path
    yield from row.results
    archived = row.record.get("archived")
    if isinstance(archived, dict):
        yield from (str(path) for path in archived.values())
    inputs: Any = row.record.get("inputs") or ()
    yield from (str(each["path"]) for each in inputs)


def _tail(rows: Iterator[TakenRow], last: int) -> Iterable[TakenRow]:
    if not last:
        return rows
    kept = deque(rows, maxlen=last)
    return list(kept)


def _plain(row: TakenRow) -> dict[str, object]:
    record: dict[str, Any] = row.record
    return {
        "path": row.path,
        "sha256": row.sha256,
        "taken_at": row.taken_at,
        "stage": row.stage,
        "outcome": row.outcome,
        "result": list(row.results),
        "started_at": row.started_at,
        "seconds": record.get("seconds"),
        "seed": record.get("seed"),
        "steps": record.get("steps", []),
        "inputs": record.get("inputs", []),
        "archived": record.get("archived"),
        "job_id": row.job_id,
        "made_by": row.lineage or None,
        **({"problem": record.get("sentence")} if row.outcome == "problem" else {}),
    }


def _told(row: TakenRow) -> tuple[str, ...]:
    record: dict[str, Any] = row.record
    steps = ", ".join(_step(step) for step in record.get("steps", ()))
    seconds = f"{record['seconds']:.2f}" if "seconds" in record else ""
    became = ", ".join(row.results) or str(record.get("sentence", ""))
    return (time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.taken_at)), row.path, row.stage, row.outcome, seconds, became, steps)


def _step(step: dict[str, Any]) -> str:
    return f"{step['op']} (seed {step['seed']}, {step['seconds']:.2f} s)"
