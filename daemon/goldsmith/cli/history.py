"""``goldsmith history``: everything that was ever taken, and what became of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goldsmith.cli.location import (
    ConfigOption,
    JsonOption,
    Location,
    RootOption,
    candidate_paths,
    find_in_history,
    open_location,
)
from goldsmith.cli.output import is_terminal, is_wide, print_heading, print_json, print_table
from goldsmith.errors import UsageError

if TYPE_CHECKING:
    from goldsmith.journal.records import HistoryRow

# So many rows are shown on a terminal unless more are asked for.
_DEFAULT_ROWS = 50


def history(
    file: Annotated[
        Path | None, typer.Argument(help="Only what was done to this file, and to what it was made of.", metavar="FILE")
    ] = None,
    root: RootOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    last: Annotated[int | None, typer.Option("--last", "-n", min=0, help="Only the last so many (0 = all; 50 on a terminal).")] = None,
    problems: Annotated[bool, typer.Option("--problems", help="With --json: also what was found wanting and left where it lay.")] = False,
) -> None:
    """Show what was done to a file, or to all: when, in which stage, with which seeds, and what it became.

    Of one file also the models that worked on it. With --json, one line for each input ever taken, oldest first.

    Example: goldsmith history delivered/spring/hero_web.avif
    """
    with open_location(root, config, near=file) as place:
        rows = _select_rows(place, file)
        if as_json:
            rows = (row for row in rows if problems or row.outcome != "problem")
            for row in _last_rows(rows, last or 0):
                print_json(_row_as_json(row))
            return
        usual = _DEFAULT_ROWS if file is None and is_terminal() else 0
        shown = _last_rows(rows, usual if last is None else last)
        columns = ("when", "file", "stage", "outcome", "seconds", "became", "steps")
        most = len(columns) if is_wide() else len(columns) - 1
        if file is None:
            print_table(columns[:most], (_table_row(row)[:most] for row in shown))
            return
        way = list(shown)
        print_table(columns[:most], [_table_row(row)[:most] for row in way])
        engines = [cells for row in way for cells in _engine_rows(row)]
        if engines:
            print_heading("Models")
            print_table(("step", "asked", "used", "revision", "device", "threads", "seeds", "weights"), engines)


def _select_rows(location: Location, file: Path | None) -> Iterator[HistoryRow]:
    if location.journal is None:
        raise UsageError(location.journal_error)
    if file is None:
        return location.journal.history()
    wanted = _related_jobs(location, file)
    return (row for row in location.journal.history() if row.job_id in wanted)


def _related_jobs(location: Location, file: Path) -> set[str]:
    """Every job on the way of a file: those that took or made it, what made their inputs, and what was made of their results."""
    names = {*candidate_paths(location.root, file), find_in_history(location, file) or ""}
    jobs: set[str] = set()
    parents: dict[str, str] = {}
    for row in location.journal.history() if location.journal is not None else ():
        parents[row.job_id] = row.parent_job_id
        if not names.isdisjoint(_file_paths(row)) or row.parent_job_id in jobs:
            jobs.add(row.job_id)
    if not jobs:
        raise UsageError(f"Nothing was ever done to {file}.", location.explain().explain_file(candidate_paths(location.root, file)[0]))
    above = deque(jobs)
    while above:
        parent = parents.get(above.pop(), "")
        if parent and parent not in jobs:
            jobs.add(parent)
            above.append(parent)
    return jobs


def _file_paths(row: HistoryRow) -> Iterator[str]:
    yield row.path
    yield from row.results
    archived = row.record.get("archived")
    if isinstance(archived, dict):
        yield from (str(path) for path in archived.values())
    inputs: Any = row.record.get("inputs") or ()
    yield from (str(each["path"]) for each in inputs)


def _last_rows(rows: Iterator[HistoryRow], limit: int) -> Iterable[HistoryRow]:
    if not limit:
        return rows
    kept = deque(rows, maxlen=limit)
    return list(kept)


def _row_as_json(row: HistoryRow) -> dict[str, object]:
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
        "environment": record.get("environment", {}),
        "inputs": record.get("inputs", []),
        "archived": record.get("archived"),
        "job_id": row.job_id,
        "made_by": row.parent_job_id or None,
        **({"problem": record.get("sentence")} if row.outcome == "problem" else {}),
    }


def _table_row(row: HistoryRow) -> tuple[str, ...]:
    record: dict[str, Any] = row.record
    steps = ", ".join(_step_text(step) for step in record.get("steps", ()))
    seconds = f"{record['seconds']:.2f}" if "seconds" in record else ""
    became = ", ".join(row.results) or str(record.get("sentence", ""))
    return (time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.taken_at)), row.path, row.stage, row.outcome, seconds, became, steps)


def _step_text(step: dict[str, Any]) -> str:
    return f"{step['op']} (seed {step['seed']}, {step['seconds']:.2f} s)"


def _engine_rows(row: HistoryRow) -> Iterator[tuple[str, ...]]:
    """One line for each engine that a stage's steps had at work: which was asked for, which it was, and all that its pixels hang on."""
    record: dict[str, Any] = row.record
    threads = str(record.get("environment", {}).get("threads", ""))
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
                _seeds_text(step, engine),
                ", ".join(f"{name} {sha256[:12]}" for name, sha256 in engine.get("weights", ())),
            )


def _seeds_text(step: dict[str, Any], engine: dict[str, Any]) -> str:
    """The seeds that an engine was given, as far as it told; else the step's own, which they come from."""
    candidates = [each["seed"] for each in step["findings"].get("candidates", ()) if isinstance(each, dict) and "seed" in each]
    fills = [seed for fill in engine.get("fills", ()) for seed in fill.get("seeds", ())]
    return ", ".join(map(str, fills or candidates or [step["seed"]]))
