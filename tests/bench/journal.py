"""What people and the daemon wait for in a journal of a million jobs: ``why``, ``history`` and ``status``, the ways to know a picture
again, what the daemon's loop asks, the page's overview, the daemon's start, pruning's longest step, and the size."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from bench.rig import Daemon, fresh_root
from bench.row import Row
from goldsmith.brief.pipeline import read_pipeline
from goldsmith.cli.location import open_location
from goldsmith.files import FileSignature, resource_path
from goldsmith.journal.journal import Journal
from goldsmith.journal.location import prepare_journal_folder
from goldsmith.journal.records import CompletedPlan, HistoryRow, PlacedFile, PlacedVersion
from goldsmith.pipeline.archive.pruning import Pruning
from goldsmith.web.asset_board import read_board

_BENCHMARK = "journal"
_ROWS = 1_000_000
_STAGES = (("inbox", "selected"), ("selected", "masked"), ("masked", "graded"), ("graded", "delivered"))
# Milliseconds that a query may take, and that a command and the daemon's start may take more than with an empty journal.
_QUERY_MS, _COMMAND_MS = 50.0, 200.0
# Kilobytes of the database in memory while it is filled.
_FILL_CACHE = 2_000_000
_REPEATS = 5
# The size of a perceptual signature, in bytes.
_LOOK_BYTES = 100
# How many rows are written as a commit writes them.
_FIRST_ROWS = 10_000
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
            Row(_BENCHMARK, f"{title}: to write one row", 1e6 * seconds, "us"),
            *_queries(path, rows, title),
            *_commands(root, rows, title),
            _overview(root, place / "fresh", title),
            _start(root, place / "fresh", title),
            _longest_step(root, path, title),
        ]
    finally:
        del os.environ["GOLDSMITH_STATE_DIR"]


def _fill(root: Path, state: Path, rows: int) -> tuple[Path, float]:
    """Write the first rows as a commit does, and copy them inside the database with other names until there are ``rows``.

    Return the journal's path and the seconds to write one of the first rows.
    """
    path = prepare_journal_folder(root, state)
    first = min(rows, _FIRST_ROWS)
    with closing(Journal.open(path)) as journal:
        journal._db.execute(f"PRAGMA cache_size = -{_FILL_CACHE}")
        started = time.monotonic()
        journal.complete_plans([_plan(row) for number in range(first // len(_STAGES)) for row in _jobs(number)])
        seconds = (time.monotonic() - started) / first
        lengths = {"stem_length": _STEM_LENGTH}
        for copy in range(1, rows // first):
            with journal.batch():
                for statement in _COPIES:
                    journal._db.execute(statement, {"copy": f"{copy:03x}", "shift": copy * first, "first": first, **lengths})
    return path, seconds


def _plan(row: HistoryRow) -> CompletedPlan:
    """Return the plan of a job, with the file and the version that it put down."""
    result, (output,) = row.results[0], cast("list[dict[str, str]]", row.record["outputs"])
    folder, name = os.path.split(result)
    placed = PlacedFile(path=result, sig=FileSignature(1, 2, 3, 4, 5), sha256=output["sha256"], job_id=row.job_id)
    return CompletedPlan("", (row,), (placed,), (PlacedVersion(folder, name.removesuffix(".png"), 1, name),))


def _as_copy(column: str) -> str:
    """Return the SQL for a path or a name as a copy has it."""
    return f"CAST(replace(CAST({column} AS TEXT), 'picture-', 'picture-' || :copy) AS BLOB)"


_COPIES = (
    f"""
    INSERT INTO history (seq, job_id, path, sha256, started_at, taken_at, stage, outcome, results, parent_job_id, record, name)
    SELECT seq + :shift, :copy || substr(job_id, 4), {_as_copy("path")}, :copy || substr(sha256, 4), started_at, taken_at, stage, outcome,
        replace(results, 'picture-', 'picture-' || :copy), CASE parent_job_id WHEN '' THEN '' ELSE :copy || substr(parent_job_id, 4) END,
        record, {_as_copy("name")}
    FROM history WHERE seq <= :first
    """,  # noqa: S608 - constants
    f"INSERT INTO history_file (path, seq) SELECT {_as_copy('path')}, seq + :shift FROM history_file WHERE seq <= :first",  # noqa: S608
    f"""
    INSERT INTO picture_version (sha256, job_id, is_result, path, document_id, look, place, name)
    SELECT :copy || substr(sha256, 4), :copy || substr(job_id, 4), is_result, {_as_copy("path")}, :copy || substr(document_id, 4), look,
        {_as_copy("place")}, {_as_copy("name")}
    FROM picture_version WHERE job_id IN (SELECT job_id FROM history WHERE seq <= :first)
    """,  # noqa: S608 - constants
    f"""
    INSERT INTO placed_file (path, dev, ino, size, mtime_ns, ctime_ns, sha256, job_id)
    SELECT {_as_copy("path")}, dev, ino, size, mtime_ns, ctime_ns, :copy || substr(sha256, 4), :copy || substr(job_id, 4)
    FROM placed_file WHERE job_id IN (SELECT job_id FROM history WHERE seq <= :first)
    """,  # noqa: S608 - constants
    f"""
    INSERT INTO placed_version (folder, stem, number, source)
    SELECT folder, {_as_copy("stem")}, number, {_as_copy("source")} FROM placed_version WHERE length(stem) = :stem_length
    """,  # noqa: S608 - constants
)
# The length of a name in the first rows, which copies lengthen.
_STEM_LENGTH = len("picture-0000000")


def _jobs(number: int) -> Iterator[HistoryRow]:
    """Yield the jobs of one picture on its way through the four stages."""
    name, parent, document_id = f"picture-{number:07d}.png", "", _document_id(number)
    for stage_number, (before, after) in enumerate(_STAGES):
        job_id, path = f"{number:012x}{before[:2]}", f"{before}/campaign-{number % 500:03d}/{name}"
        result = _sha256(number, stage_number + 1)
        archived = f"archive/2026-01-{number % 28 + 1:02d}/{path}"
        yield HistoryRow.model_construct(
            job_id=job_id,
            path=path,
            sha256=_sha256(number, stage_number),
            started_at=1_700_000_000.0 + number,
            taken_at=1_700_000_001.0 + number,
            stage=before,
            outcome="delivered" if after == "delivered" else "passed",
            results=(f"{after}/campaign-{number % 500:03d}/{name}",),
            parent_job_id=parent,
            record={
                "seconds": 1.0,
                "seed": 7,
                "steps": [_STEP] * 2,
                "inputs": [{"path": path}],
                "archived": {path: archived},
                "outputs": [{"role": "picture", "tail": ".png", "sha256": result, "document_id": document_id}],
            },
            looks={result: f"{number % 251:02x}" * _LOOK_BYTES},
        )
        parent = job_id


def _sha256(number: int, stage_number: int) -> str:
    """Return the hash of a picture's file when this many stages have worked on it."""
    return f"{number * 8 + stage_number:064x}"


def _document_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def _queries(path: Path, rows: int, title: str) -> Iterator[Row]:
    number = min(rows, _FIRST_ROWS) // len(_STAGES) // 3
    name = f"picture-{number:07d}.png"
    selected, delivered = (f"{folder}/campaign-{number % 500:03d}/{name}" for folder in ("selected", "delivered"))
    queries: dict[str, Callable[[Journal], object]] = {
        "why FILE": lambda journal: journal.last_row_at(selected),
        "why NAME": lambda journal: journal.last_path_named(name),
        "history --last 3": lambda journal: journal.last_rows(3),
        "history FILE": lambda journal: list(journal.related_rows([delivered])),
        "known by its bytes": lambda journal: journal.versions_by_hash(_sha256(number, 2)),
        "the first that took these bytes": lambda journal: journal.first_taken(_sha256(number, 2)),
        "known by its id": lambda journal: journal.versions_by_id(_document_id(number)),
        "known by its path": lambda journal: journal.versions_at(selected),
        "known by its look, among 3 names": lambda journal: journal.versions_named([f"picture-{number + step:07d}" for step in range(3)]),
        "the jobs that led to a delivery": lambda journal: journal.lineage(f"{number:012x}gr"),
        "the last 5,000 results, for the remarks of status": lambda journal: journal.job_results(0, 5000),
        "the loop: the file that was put down": lambda journal: journal.placed_file(delivered),
        "the loop: its versions": lambda journal: journal.placed_versions(*os.path.split(delivered.removesuffix(".png"))),
        "the loop: what they are of": lambda journal: journal.placed_sources(*os.path.split(delivered.removesuffix(".png"))),
        "the loop: the job before": lambda journal: journal.committed_row(f"{number:012x}gr"),
        "the loop: known by its look in its campaign": lambda journal: journal.versions_at_any([selected, delivered]),
        "notices: the last 100 jobs": lambda journal: journal.rows_after(journal.last_seq() - 100, 100),
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
                _QUERY_MS,
                note="" if answer else "nothing was found",
            )


def _commands(root: Path, rows: int, title: str) -> Iterator[Row]:
    number = min(rows, _FIRST_ROWS) // len(_STAGES) // 3
    name, folder = f"picture-{number:07d}.png", f"campaign-{number % 500:03d}"
    commands = (("why", name), ("history", "--last", "3"), ("history", f"delivered/{folder}/{name}"), ("status",))
    base = _seconds("why", "inbox", "-r", str(root))
    for words in commands:
        seconds = _seconds(*words, "-r", str(root))
        argument = {name: " NAME", "3": " --last 3", "status": ""}.get(words[-1], " FILE")
        what = f"{title}: goldsmith {words[0]}{argument}, in all"
        yield Row(_BENCHMARK, what, 1000 * seconds, "ms", 1000 * base + _COMMAND_MS, "a command that asks nothing", 1000 * base)


def _seconds(*words: str) -> float:
    """Return the shortest time of a command, as a program of its own."""
    call = [sys.executable, "-c", "import sys; sys.argv[0] = 'goldsmith'; from goldsmith.cli import main; main()", *words]
    times = []
    for _ in range(_REPEATS):
        started = time.monotonic()
        subprocess.run(call, check=True, capture_output=True)
        times.append(time.monotonic() - started)
    return min(times)


def _overview(root: Path, fresh_place: Path, title: str) -> Row:
    """Measure what the page reads for its overview, beside a root with an empty journal."""
    fresh = fresh_root(fresh_place)
    Daemon(fresh).end()
    empty, full = (1000 * _seconds_to_read_board(folder) for folder in (fresh, root))
    return Row(_BENCHMARK, f"{title}: the page's overview", full, "ms", empty + _QUERY_MS, "an empty journal", empty)


def _seconds_to_read_board(root: Path) -> float:
    times = []
    for _ in range(_REPEATS):
        started = time.monotonic()
        os.environ["GOLDSMITH_STATE_DIR"] = str(root.parent / "state")
        with open_location(root, None) as location:
            read_board(location)
        times.append(time.monotonic() - started)
    return min(times)


def _start(root: Path, fresh_place: Path, title: str) -> Row:
    """Measure the daemon's start until it watches, beside a start with an empty journal."""
    fresh = fresh_root(fresh_place)
    seconds = []
    for folder in (fresh, root):
        times = []
        for _ in range(_REPEATS):
            daemon = Daemon(folder)
            times.append(daemon.ready_after)
            daemon.end()
        seconds.append(1000 * min(times))
    empty, full = seconds
    return Row(_BENCHMARK, f"{title}: start until watching", full, "ms", empty + _COMMAND_MS, "an empty journal", empty)


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
