"""What people wait for in a journal of a million jobs: ``why`` and ``history``, pruning's longest step, and the size."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from pydantic import JsonValue

from bench.rig import fresh_root
from bench.row import Row
from goldsmith.brief.pipeline import read_pipeline
from goldsmith.files import resource_path
from goldsmith.journal.history_table import insert_row
from goldsmith.journal.journal import Journal
from goldsmith.journal.location import prepare_journal_folder
from goldsmith.journal.records import HistoryRow
from goldsmith.pipeline.archive.pruning import Pruning

_BENCHMARK = "journal"
_ROWS = 1_000_000
_STAGES = (("inbox", "selected"), ("selected", "masked"), ("masked", "graded"), ("graded", "delivered"))
# Seconds that a person may wait for an answer.
_TARGET_MS = 200.0
_REPEATS = 5
_ROWS_PER_TRANSACTION = 20_000
# A step with its settings and findings has some hundred bytes; a job has a few steps.
_STEP: JsonValue = {
    "op": "grade",
    "settings": {"exposure": 0.3, "curve": [0.0, 0.1] * 40},
    "seed": 7,
    "seconds": 0.5,
    "findings": {},
    "engine": None,
}


def measure(place: Path, rows: int = _ROWS) -> list[Row]:
    """Fill a journal, ask it as the commands do, and run the commands themselves."""
    place.mkdir(parents=True, exist_ok=True)
    root = fresh_root(place)
    os.environ["GOLDSMITH_STATE_DIR"] = str(place / "state")
    try:
        path, seconds = _fill(root, place / "state", rows)
        title = f"{rows:,} rows"
        return [
            Row(_BENCHMARK, f"{title}: size", path.stat().st_size / 1e6, "MB", note=f"{path.stat().st_size / rows:.0f} bytes a row"),
            Row(_BENCHMARK, f"{title}: to write one row", 1e6 * seconds / rows, "us"),
            *_queries(path, rows, title),
            *_commands(root, rows, title),
            _longest_step(root, path, title),
        ]
    finally:
        del os.environ["GOLDSMITH_STATE_DIR"]


def _fill(root: Path, state: Path, rows: int) -> tuple[Path, float]:
    path = prepare_journal_folder(root, state)
    started = time.monotonic()
    with closing(Journal.open(path)) as journal:
        numbers = range(rows // len(_STAGES))
        for first in range(0, len(numbers), _ROWS_PER_TRANSACTION):
            with journal.batch():
                for number in numbers[first : first + _ROWS_PER_TRANSACTION]:
                    for row in _jobs(number):
                        insert_row(journal._db, row)
    return path, time.monotonic() - started


def _jobs(number: int) -> Iterator[HistoryRow]:
    """Yield the jobs of one picture on its way through the four stages."""
    name, parent = f"picture-{number:07d}.png", ""
    for before, after in _STAGES:
        job_id, path = f"{number:012x}{before[:2]}", f"{before}/campaign-{number % 500:03d}/{name}"
        archived = f"archive/2026-01-{number % 28 + 1:02d}/{path}"
        yield HistoryRow.model_construct(
            job_id=job_id,
            path=path,
            sha256="ab" * 32,
            started_at=1_700_000_000.0 + number,
            taken_at=1_700_000_001.0 + number,
            stage=before,
            outcome="delivered" if after == "delivered" else "passed",
            results=(f"{after}/campaign-{number % 500:03d}/{name}",),
            parent_job_id=parent,
            record={"seconds": 1.0, "seed": 7, "steps": [_STEP] * 2, "inputs": [{"path": path}], "archived": {path: archived}},
        )
        parent = job_id


def _queries(path: Path, rows: int, title: str) -> Iterator[Row]:
    number = rows // len(_STAGES) // 3
    name = f"picture-{number:07d}.png"
    selected, delivered = (f"{folder}/campaign-{number % 500:03d}/{name}" for folder in ("selected", "delivered"))
    queries: dict[str, Callable[[Journal], object]] = {
        "why FILE": lambda journal: journal.last_row_at(selected),
        "why NAME": lambda journal: journal.last_path_named(name),
        "history --last 3": lambda journal: journal.last_rows(3),
        "history FILE": lambda journal: list(journal.related_rows([delivered])),
    }
    for words, query in queries.items():
        with closing(Journal.open(path, read_only=True)) as journal:
            started = time.monotonic()
            answer = query(journal)
            yield Row(
                _BENCHMARK,
                f"{title}: {words}, the query",
                1000 * (time.monotonic() - started),
                "ms",
                _TARGET_MS,
                note="" if answer else "nothing was found",
            )


def _commands(root: Path, rows: int, title: str) -> Iterator[Row]:
    number = rows // len(_STAGES) // 3
    name, folder = f"picture-{number:07d}.png", f"campaign-{number % 500:03d}"
    commands = (("why", name), ("history", "--last", "3"), ("history", f"delivered/{folder}/{name}"))
    base = _seconds("why", "inbox", "-r", str(root))
    for words in commands:
        seconds = _seconds(*words, "-r", str(root))
        what = f"{title}: goldsmith {words[0]} {'NAME' if words[-1] == name else 'FILE' if folder in words[-1] else '--last 3'}, in all"
        yield Row(_BENCHMARK, what, 1000 * seconds, "ms", 1000 * base + _TARGET_MS, "a command that asks nothing", 1000 * base)


def _seconds(*words: str) -> float:
    """Return the shortest time of a command, as a program of its own."""
    call = [sys.executable, "-c", "import sys; sys.argv[0] = 'goldsmith'; from goldsmith.cli import main; main()", *words]
    times = []
    for _ in range(_REPEATS):
        started = time.monotonic()
        subprocess.run(call, check=True, capture_output=True)
        times.append(time.monotonic() - started)
    return min(times)


def _longest_step(root: Path, path: Path, title: str) -> Row:
    """Prune the journal as the daemon does, and measure the longest step, between which the daemon does its other work."""
    pipeline = read_pipeline(resource_path("config", "pipeline.toml").read_bytes(), "pipeline.toml")
    longest, count = 0.0, 0
    with closing(Journal.open(path)) as journal:
        journal._db.execute("UPDATE migration SET at = 0")  # a journal that is younger than the limit prunes nothing
        steps = Pruning(root, pipeline, journal, 1.0, time.time(), is_dry_run=False).steps()
        while count < 2000:
            started = time.monotonic()
            if next(steps, steps) is steps:
                break
            longest, count = max(longest, time.monotonic() - started), count + 1
    return Row(_BENCHMARK, f"{title}: prune, the longest of {count} steps", 1000 * longest, "ms", 100.0)
