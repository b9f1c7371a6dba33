"""``goldsmith history``: everything that was ever taken, and what became of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goldsmith.cli.places import (
    AsJson,
    Config,
    Place,
    Root,
    looking_at,
    once_called,
    spellings,
)
from goldsmith.cli.screen import heading, say_json, table, terminal, wide
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

    Of one file also the models that worked on it. With --json, one line for each input ever taken, oldest first.

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
        if file is None:
            table(columns[:most], (_told(row)[:most] for row in shown))
            return
        way = list(shown)
        table(columns[:most], [_told(row)[:most] for row in way])
        engines = [cells for row in way for cells in _engines(row)]
        if engines:
            heading("Models")
            table(("step", "asked", "used", "revision", "device", "threads", "seeds", "weights"), engines)


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
        "ran_with": record.get("ran_with", {}),
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


def _engines(row: TakenRow) -> Iterator[tuple[str, ...]]:
    """One line for each engine that a stage's steps had at work: which was asked for, which it was, and all that its pixels hang on."""
    record: dict[str, Any] = row.record
    threads = str(record.get("ran_with", {}).get("threads", ""))
    for number, step in enumerate(record.get("steps", ()), 1):
        first = step.get("engine")
        for engine in (first, *first.get("also", ())) if first else ():
            asked = step["settings"].get("model") if engine is first else None
            yield (
                f"{row.stage}.{number} ({step['op']})",
                asked or "the house's choice",
                engine["name"],
                engine.get("revision", ""),
                engine.get("device", ""),
                str(engine.get("threads", threads)),
                _seeds(step, engine),
                ", ".join(f"{name} {sha256[:12]}" for name, sha256 in engine.get("weights", ())),
            )


def _seeds(step: dict[str, Any], engine: dict[str, Any]) -> str:
    """The seeds that an engine was given, as far as it told; else the step's own, which they come from."""
    candidates = [each["seed"] for each in step["findings"].get("candidates", ()) if isinstance(each, dict) and "seed" in each]
    fills = [seed for fill in engine.get("fills", ()) for seed in fill.get("seeds", ())]
    return ", ".join(map(str, fills or candidates or [step["seed"]]))
