"""The command ``goldsmith history``: every input that was processed, and its results."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goldsmith.cli.location import (
    ConfigOption,
    JsonOption,
    RootOption,
    candidate_paths,
    find_in_history,
    open_location,
)
from goldsmith.cli.output import is_terminal, print_heading, print_json, print_records
from goldsmith.errors import UsageError

if TYPE_CHECKING:
    from goldsmith.journal.journal import Journal
    from goldsmith.journal.records import HandledInput, HistoryRow
    from goldsmith.service.location import Location

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
        default = _DEFAULT_ROWS if file is None and is_terminal() and not as_json else 0
        rows = _select_rows(location, file, default if last is None else last, with_problems=problems or not as_json)
        if as_json:
            for row in rows:
                print_json(_row_as_json(row))
            return
        columns, headline = ("when", "file", "stage", "outcome", "seconds", "results", "steps"), ("when", "stage", "outcome", "seconds")
        if file is None:
            print_records(columns, (_table_row(row) for row in rows), headline)
            return
        selected = list(rows)
        print_records(columns, [_table_row(row) for row in selected], headline)
        engines = [cells for row in selected for cells in _engine_rows(row)]
        if engines:
            print_heading("Models")
            print_records(("step", "requested", "used", "revision", "device", "threads", "seeds", "weights"), engines, ("step", "used"))


def _select_rows(location: Location, file: Path | None, limit: int, *, with_problems: bool) -> Iterator[HistoryRow]:
    """Return the history of all files or of one file, the oldest row first; with a limit only the last rows."""
    if location.journal is None:
        raise location.journal_fault or UsageError("There is no journal.")
    if file is not None:
        return _related_rows(location.journal, location, file, limit, with_problems=with_problems)
    if limit:
        return iter(location.journal.last_rows(limit, with_problems=with_problems))
    return (row for row in location.journal.history() if with_problems or row.outcome != "problem")


def _related_rows(journal: Journal, location: Location, file: Path, limit: int, *, with_problems: bool) -> Iterator[HistoryRow]:
    """Return the jobs that consumed, made or archived the file, those that led to it, and those that used their results."""
    candidates = candidate_paths(location.root, file)
    last_path = find_in_history(location, file)
    names = dict.fromkeys([*candidates, *([last_path] if last_path is not None else [])])
    rows = journal.related_rows(names, limit or None, with_problems=with_problems)
    first = next(rows, None)
    if first is None:
        raise UsageError(f"Goldsmith never processed {file}.", location.explain().explain_file(candidates[0]))
    return chain([first], rows)


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
        "known_by": record.get("known_by"),
        **({"unsure_origin": record["unsure_origin"]} if "unsure_origin" in record else {}),
        **({"by_hand": record["by_hand"]} if "by_hand" in record else {}),
        **({"review": record["review"]} if "review" in record else {}),
        **({"problem": record.get("sentence")} if row.outcome == "problem" else {}),
    }


def _table_row(row: HistoryRow) -> tuple[str, ...]:
    record: dict[str, Any] = row.record
    by_hand = record.get("by_hand")
    steps = _hand_work_text(by_hand) if by_hand else ", ".join(_step_text(step) for step in record.get("steps", ()))
    steps = _decision_text(record["review"]) if "review" in record else steps
    steps = "; ".join(filter(None, [steps, *dict.fromkeys(map(_handling_text, row.inputs_by_person()))]))
    seconds = f"{record['seconds']:.2f}{' s' if is_terminal() else ''}" if "seconds" in record else ""
    results = ", ".join(row.results) or str(record.get("sentence", ""))
    return (time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.taken_at)), row.path, row.stage, row.outcome, seconds, results, steps)


_DECISION_WORDS = {"approve": "approved", "again": "made again", "reject": "rejected", "close": "no further candidate wanted"}


def _decision_text(review: dict[str, Any]) -> str:
    """Return what a person has decided about a result or about masks, with the person's words."""
    if review["decision"] == "name":
        return "known again after it was renamed"
    masks = review.get("masks", ())
    names = ", ".join(f"{mask['name']}{' (painted over)' if mask.get('painted') else ''}" for mask in masks)
    what = f"the {'mask' if len(masks) == 1 else 'masks'} {names} for {review['of']}" if masks else f"the result of {review['of']}"
    by = f", by {review['by']}" if review.get("by") else ""
    remark = f": “{review['remark']}”" if "remark" in review else ""
    return f"{_DECISION_WORDS.get(review['decision'], review['decision'])} {what}{by}{remark}"


def _handling_text(handled: HandledInput) -> str:
    """Return who has painted, written or dropped an input on the page."""
    name = f" {handled.name}" if handled.name not in ("", handled.role) else ""
    return f"{handled.role}{name} {handled.act} by {handled.by}"


def _step_text(step: dict[str, Any]) -> str:
    return f"{step['op']} (seed {step['seed']}, {step['seconds']:.2f} s)"


def _hand_work_text(by_hand: dict[str, Any]) -> str:
    program = by_hand.get("program") or "a program that does not say its name"
    return f"changed in {program}, saved {by_hand.get('saved_at')} (known by its {by_hand.get('known_by')})"


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
                ", ".join(requested) if isinstance(requested, list) else requested or "(default)",
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
