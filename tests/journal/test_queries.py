"""The queries behind ``why`` and ``history`` use an index or a limit, and cost the same in a large journal as in a small one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goldsmith.files import FileSignature
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import CompletedPlan, HistoryRow, KeptPartRecord, PlacedFile, PlacedVersion

STAGES = (("inbox", "selected"), ("selected", "masked"), ("masked", "delivered"))


def _rows(number: int) -> Iterator[HistoryRow]:
    """Yield the three jobs of one picture, after a problem."""
    name = f"p{number}.png"
    problem = {"path": f"inbox/{name}", "sha256": "aa", "started_at": 1.0, "taken_at": number, "stage": "a", "outcome": "problem"}
    yield HistoryRow.model_validate({"job_id": f"{number}-problem", **problem})
    parent = ""
    for before, after in STAGES:
        job_id = f"{number}-{before}"
        fields = {
            "job_id": job_id,
            "path": f"{before}/{name}",
            "sha256": "aa",
            "started_at": 1.0,
            "taken_at": number,
            "stage": before,
            "outcome": "delivered" if after == "delivered" else "passed",
            "results": (f"{after}/{name}",),
            "parent_job_id": parent,
            "record": {
                "facts": {"notes": ["a remark"]},
                "inputs": [{"path": f"{before}/{name}"}, {"path": f"{before}/p{number}.mask.png"}],
                "outputs": [{"role": "picture", "tail": ".png", "sha256": f"made-{job_id}", "document_id": f"id-{job_id}"}],
                "archived": {f"{before}/{name}": f"archive/2026-01-01/{before}/{name}"},
                "archive_only": [{"archived": f"archive/2026-01-01/{before}/p{number}_sheet.jpg"}],
            },
        }
        yield HistoryRow.model_validate(fields)
        parent = job_id


def _lone_row(number: int) -> HistoryRow:
    """Return the job of a picture in a folder of its own, of whose name there is one in each folder."""
    path = f"lone/p{number}/hero.png"
    fields = {"job_id": f"{number}-lone", "path": path, "sha256": "dd", "started_at": 1.0, "taken_at": number, "stage": "lone"}
    record = {"inputs": [{"path": path}], "outputs": [{"role": "picture", "tail": ".png", "sha256": f"made-{number}-lone"}]}
    return HistoryRow.model_validate({**fields, "outcome": "passed", "results": (f"lone/done/p{number}/hero.png",), "record": record})


def _fill(journal: Journal, numbers: range) -> None:
    plans = []
    with journal.batch():
        for number in numbers:
            rows = tuple(_rows(number))
            placed = PlacedFile(path=f"delivered/p{number}.png", sig=FileSignature(1, number, 3, 4, 5), sha256="bb", job_id=rows[-1].job_id)
            version = PlacedVersion("delivered", f"p{number}", 1, f"p{number}.png")
            plans.append(CompletedPlan("", (_lone_row(number), *rows), (placed,), (version,)))
            journal.count_attempt(f"inbox/p{number}.png", "aa")
            journal.record_kept_part(f"inbox/p{number}.png", KeptPartRecord(f"part of {number}", "cc", 1), float(number))
    # In one transaction, of which each waits for the disk.
    journal.complete_plans(plans)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Yield a journal with the jobs of 40 pictures."""
    journal = Journal.open(tmp_path / "journal.sqlite")
    _fill(journal, range(40))
    yield journal
    journal.close()


QUERIES: dict[str, Callable[[Journal], object]] = {
    "history --last 3": lambda journal: journal.last_rows(3),
    "history --last 3 --json": lambda journal: journal.last_rows(3, with_problems=False),
    "history FILE": lambda journal: list(journal.related_rows(["selected/p7.png", "archive/selected/p7.png"])),
    "history FILE --last 2": lambda journal: list(journal.related_rows(["selected/p7.png"], 2, with_problems=False)),
    "why, a file that has moved on": lambda journal: journal.last_row_at("selected/p7.png"),
    "why, a delivered file": lambda journal: journal.lineage("7-masked"),
    "why, a bare name": lambda journal: journal.last_path_named("P7.PNG"),
    "why, a path": lambda journal: journal.has_row_at("inbox/p7.png"),
    "why, a file in place": lambda journal: journal.placed_file("delivered/p7.png"),
    "origin, by bytes": lambda journal: journal.versions_by_hash("made-7-selected"),
    "origin, by the bytes of an original": lambda journal: journal.first_taken("aa"),
    "origin, by an id": lambda journal: journal.versions_by_id("id-7-selected"),
    "origin, by place": lambda journal: journal.versions_at("masked/P7.tif"),
    "origin, by several places": lambda journal: journal.versions_at_any(["masked/p7.tif", "selected/p7.tif"]),
    "origin, by name": lambda journal: journal.versions_named(["p7", "p8"]),
    "origin, by a name that is in every folder": lambda journal: journal.versions_named(["hero", "hero copy"]),
    "planner": lambda journal: journal.placed_versions("delivered", "p7"),
    "planner, what the versions are of": lambda journal: journal.placed_sources("delivered", "p7"),
    "planner, whether the daemon placed it": lambda journal: journal.is_placed("delivered/p7.png"),
    "planner, the job before": lambda journal: journal.committed_row("7-selected"),
    "scheduler, failed attempts": lambda journal: journal.attempt_count("inbox/p7.png", "aa"),
    "scheduler, kept parts": lambda journal: journal.kept_parts("inbox/p7.png"),
    "remarks": lambda journal: journal.remarks("delivered/p7.png"),
    "remarks of the last jobs": lambda journal: journal.job_results(0, 20),
    "notices and metrics": lambda journal: journal.rows_after(40, 3),
    "notices and metrics, where to begin": lambda journal: journal.last_seq(),
    "history of one input": lambda journal: list(journal.history("selected/p7.png")),
    "report of a campaign": lambda journal: list(journal.rows_below(["lone/p7"])),
    "pruning, the next rows": lambda journal: journal.next_old_rows(30.0, None, 5),
    "pruning, the next jobs": lambda journal: journal.next_jobs("7-inbox"),
    "pruning, the files of a job": lambda journal: journal.placed_paths("7-masked"),
    "pruning, the jobs of a file": lambda journal: journal.rows_with_file("selected/p7.png"),
}
# Read what waits at the moment, or a row a day: these tables do not grow with the history.
SMALL_TABLES = {
    *("active_jobs", "all_holds", "open_plans", "all_kept_keys", "surplus_kept_parts", "began_at", "pruned_before"),
}
# Ask for other things than rows, or for the rows that another query has found.
NO_QUERIES = {"open", "close", "batch", "change_count", "find_damage", "shrink", "row_bytes"}


def test_every_question_to_the_journal_is_among_these() -> None:
    """So a new one is looked at, too. The methods that write are left out by their first word."""
    writes = ("record_", "remove_", "complete_", "update_", "clear_", "count_", "release_", "forget_", "renew_", "replace_", "check_")
    used_methods = {name for query in QUERIES.values() for name in query.__code__.co_names}
    methods = {name for name in vars(Journal) if not name.startswith(("_", *writes))}
    assert methods - SMALL_TABLES - NO_QUERIES == used_methods & methods


def _statements(journal: Journal, query: Callable[[Journal], object]) -> list[str]:
    """Return the SQL that a query runs, with its values."""
    statements: list[str] = []
    journal._db.set_trace_callback(statements.append)
    try:
        assert query(journal), "the query finds something"
    finally:
        journal._db.set_trace_callback(None)
    return statements


def _steps(journal: Journal, query: Callable[[Journal], object]) -> int:
    """Return how many instructions SQLite's virtual machine runs for a query."""
    counter = itertools.count()
    journal._db.set_progress_handler(lambda: next(counter) < 0, 1)
    try:
        query(journal)
    finally:
        journal._db.set_progress_handler(None, 0)
    return next(counter)


# These read the last rows of the history, from its end.
LIMITED = ("history --last 3", "history --last 3 --json")
# These sort their answer, which is what somebody asked for.
SORTED = ("history FILE", "history FILE --last 2", "report of a campaign", "scheduler, kept parts", "planner, what the versions are of")


@pytest.mark.parametrize("name", list(QUERIES))
def test_each_query_uses_an_index_or_a_limit(journal: Journal, name: str) -> None:
    """No plan scans a table, except from the end with a limit."""
    for statement in _statements(journal, QUERIES[name]):
        plan = [row[3] for row in journal._db.execute(f"EXPLAIN QUERY PLAN {statement}")]
        scans = [line for line in plan if line.startswith("SCAN") and line not in ("SCAN later", "SCAN related", "SCAN named")]
        assert scans == (["SCAN history"] if name in LIMITED else []), plan
        assert name in SORTED or not any("TEMP B-TREE" in line for line in plan), plan
        assert ("ORDER BY seq DESC LIMIT" in statement) or name not in LIMITED


@pytest.mark.parametrize("name", list(QUERIES))
def test_each_query_costs_the_same_in_a_larger_journal(journal: Journal, name: str) -> None:
    """With eight times the rows, SQLite runs the same number of instructions: it reads only the rows of the answer."""
    before = _steps(journal, QUERIES[name])
    _fill(journal, range(40, 320))
    assert _steps(journal, QUERIES[name]) <= before + 4


def test_the_whole_history_of_a_file_has_its_archived_and_additional_files(journal: Journal) -> None:
    """A mask, an archived original and a contact sheet give the same history as the picture; the jobs before and after are in it."""
    for path in ("masked/p7.png", "inbox/p7.mask.png", "archive/2026-01-01/masked/p7.png", "archive/2026-01-01/selected/p7_sheet.jpg"):
        jobs = [row.job_id for row in journal.related_rows([path])]
        assert [job for job in jobs if not job.endswith("problem")] == ["7-inbox", "7-selected", "7-masked"], path
    assert [row.job_id for row in journal.related_rows(["delivered/p7.png"], 2)] == ["7-selected", "7-masked"]
    assert list(journal.related_rows(["delivered/never.png"])) == []


def test_the_last_rows_come_with_or_without_problems(journal: Journal) -> None:
    """The oldest of them is first."""
    assert [row.job_id for row in journal.last_rows(4)] == ["39-problem", "39-inbox", "39-selected", "39-masked"]
    assert [row.job_id for row in journal.last_rows(4, with_problems=False)] == ["39-lone", "39-inbox", "39-selected", "39-masked"]
