"""The command ``goldsmith history``: every input that was processed, and its results."""

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

# The number of rows on a terminal, unless --last says otherwise.
_DEFAULT_ROWS = 50


def history(
    file: Annotated[Path | None, typer.Argument(help="Only the history of this file and of its inputs.", metavar="FILE")] = None,
    root: RootOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    last: Annotated[
        int | None, typer.Option("--last", "-n", min=0, help="Only the last rows (0 = all; default: 50 on a terminal).")
    ] = None,
    problems: Annotated[bool, typer.Option("--problems", help="With --json: also inputs that were rejected with a problem.")] = False,
) -> None:
    """Show when each input was processed, in which stage, with which seeds, and its results.

    For one file, also show the models that worked on it. With --json, print one line for each input, oldest first.

    Example: goldsmith history delivered/spring/hero_web.avif
    """
    with open_location(root, config, near=file) as location:
        rows = _select_rows(location, file)
        if as_json:
            rows = (row for row in rows if problems or row.outcome != "problem")
            for row in _last_rows(rows, last or 0):
                print_json(_row_as_json(row))
            return
        default = _DEFAULT_ROWS if file is None and is_terminal() else 0
        last_rows = _last_rows(rows, default if last is None else last)
        columns = ("when", "file", "stage", "outcome", "seconds", "results", "steps")
        width = len(columns) if is_wide() else len(columns) - 1
        if file is None:
            print_table(columns[:width], (_table_row(row)[:width] for row in last_rows))
            return
        selected = list(last_rows)
        print_table(columns[:width], [_table_row(row)[:width] for row in selected])
        engines = [cells for row in selected for cells in _engine_rows(row)]
        if engines:
            print_heading("Models")
            print_table(("step", "requested", "used", "revision", "device", "threads", "seeds", "weights"), engines)


def _select_rows(location: Location, file: Path | None) -> Iterator[HistoryRow]:
    if location.journal is None:
        raise UsageError(location.journal_error)
    if file is None:
        return location.journal.history()
    job_ids = _related_jobs(location, file)
    return (row for row in location.journal.history() if row.job_id in job_ids)


def _related_jobs(location: Location, file: Path) -> set[str]:
    """Return the ids of the jobs that consumed or made the file, that made their inputs, and that used their results."""
    names = {*candidate_paths(location.root, file), find_in_history(location, file) or ""}
    jobs: set[str] = set()
    parents: dict[str, str] = {}
    for row in location.journal.history() if location.journal is not None else ():
        parents[row.job_id] = row.parent_job_id
        if not names.isdisjoint(_file_paths(row)) or row.parent_job_id in jobs:
            jobs.add(row.job_id)
    if not jobs:
        raise UsageError(f"Goldsmith never processed {file}.", location.explain().explain_file(candidate_paths(location.root, file)[0]))
    pending = deque(jobs)
    while pending:
        parent = parents.get(pending.pop(), "")
        if parent and parent not in jobs:
            jobs.add(parent)
            pending.append(parent)
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
    return list(deque(rows, maxlen=limit))


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
    results = ", ".join(row.results) or str(record.get("sentence", ""))
    return (time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.taken_at)), row.path, row.stage, row.outcome, seconds, results, steps)


def _step_text(step: dict[str, Any]) -> str:
    return f"{step['op']} (seed {step['seed']}, {step['seconds']:.2f} s)"


def _engine_rows(row: HistoryRow) -> Iterator[tuple[str, ...]]:
    """Yield a row for each engine of a job's steps: the requested and the used model, and everything that influences its pixels."""
    record: dict[str, Any] = row.record
    threads = str(record.get("environment", {}).get("threads", ""))
    for number, step in enumerate(record.get("steps", ()), 1):
        first = step.get("engine")
        for engine in (first, *first.get("other_engines", ())) if first else ():
            requested = step["settings"].get("model") if engine is first else None
            yield (
                f"{row.stage}.{number} ({step['op']})",
                requested or "(default)",
                engine["name"],
                engine.get("revision", ""),
                engine.get("device", ""),
                str(engine.get("threads", threads)),
                _seeds_text(step, engine),
                ", ".join(f"{name} {sha256[:12]}" for name, sha256 in engine.get("weights", ())),
            )


def _seeds_text(step: dict[str, Any], engine: dict[str, Any]) -> str:
    """Return the seeds that an engine used. If the record has none, return the step's seed, from which they are derived."""
    candidates = [each["seed"] for each in step["findings"].get("candidates", ()) if isinstance(each, dict) and "seed" in each]
    fills = [seed for fill in engine.get("fills", ()) for seed in fill.get("seeds", ())]
    return ", ".join(map(str, fills or candidates or [step["seed"]]))
