"""``goldsmith history`` prints a table for people, or one JSON line per input for programs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from doubles.commandline import CommandResult, Goldsmith
from goldsmith.cli import history, output
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import CompletedPlan, HistoryRow


def _row(
    job_id: str, path: str, stage: str, *results: str, parent_job_id: str = "", outcome: str = "passed", at: float = 1010.0
) -> HistoryRow:
    step = {"op": "select", "settings": {}, "seed": 7, "seconds": 0.5, "findings": {}, "engine": None}
    record = {
        "seconds": 1.25,
        "seed": 5,
        "steps": [step],
        "inputs": [{"path": path, "sha256": "ab"}],
        "archived": {path: f"archive/{path}"},
    }
    return HistoryRow.model_validate(
        {
            "job_id": job_id,
            "path": path,
            "sha256": "ab" * 32,
            "started_at": 1000.0,
            "taken_at": at,
            "stage": stage,
            "outcome": outcome,
            "results": results,
            "parent_job_id": parent_job_id,
            "record": {"sentence": "It is cut off."} if outcome == "problem" else record,
        }
    )


@pytest.fixture(autouse=True)
def _recorded_jobs(journal: Journal) -> None:
    """Record the jobs of two pictures. The first picture is delivered, after a first try with a problem."""
    journal.record_problem(_row("0", "inbox/a.png", "generate", outcome="problem"))
    rows = [
        _row("1", "inbox/a.png", "generate", "selected/a.png", "selected/a.toml"),
        _row("2", "inbox/b.png", "generate", "selected/b.png"),
        _row("3", "selected/a.png", "edit", "masked/a.png", parent_job_id="1"),
        _row("4", "masked/a.png", "grade", "delivered/a_web.avif", "delivered/a_print.jpg", parent_job_id="3", outcome="delivered"),
    ]
    for row in rows:
        journal.complete_plans([CompletedPlan(row.job_id, (row,), (), ())])


def _json(result: CommandResult) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.out.splitlines()]


def test_json_is_one_line_for_each_input(goldsmith: Goldsmith, root: Path) -> None:
    """The oldest input comes first."""
    lines = _json(goldsmith("history", "--json", "-r", root))
    assert [(line["path"], line["stage"], line["outcome"]) for line in lines] == [
        ("inbox/a.png", "generate", "passed"),
        ("inbox/b.png", "generate", "passed"),
        ("selected/a.png", "edit", "passed"),
        ("masked/a.png", "grade", "delivered"),
    ]
    first = lines[0]
    assert first["sha256"] == "ab" * 32
    assert (first["started_at"], first["taken_at"], first["seconds"], first["seed"]) == (1000.0, 1010.0, 1.25, 5)
    assert first["result"] == ["selected/a.png", "selected/a.toml"]
    assert [step["op"] for step in first["steps"]] == ["select"]  # type: ignore[attr-defined]
    assert (lines[2]["made_by"], first["made_by"]) == ("1", None)


def test_json_lists_problems_only_on_request(goldsmith: Goldsmith, root: Path) -> None:
    """An input with a problem was not consumed. The table for people always lists the problem."""
    lines = _json(goldsmith("history", "--json", "--problems", "-r", root))
    assert (lines[0]["outcome"], lines[0]["problem"], lines[0]["steps"]) == ("problem", "It is cut off.", [])
    assert goldsmith("history", "-r", root).rows[1][3] == "problem"


@pytest.mark.parametrize("file", ["inbox/a.png", "selected/a.png", "masked/a.png", "delivered/a_print.jpg", "archive/selected/a.png"])
def test_any_path_of_a_picture_gives_its_whole_history(goldsmith: Goldsmith, root: Path, file: str) -> None:
    """The history has the jobs before and after the path, and no job of the other picture."""
    lines = _json(goldsmith("history", file, "--json", "-r", root))
    assert [line["job_id"] for line in lines] == ["1", "3", "4"]


def test_the_table_has_times_seeds_and_results(goldsmith: Goldsmith, root: Path) -> None:
    """Each job is one row with tabs between the columns."""
    result = goldsmith("history", "delivered/a_web.avif", "-r", root)
    assert result.rows[0] == ["when", "file", "stage", "outcome", "seconds", "results", "steps"]
    assert result.rows[-1][1:] == [
        *("masked/a.png", "grade", "delivered", "1.25", "delivered/a_web.avif, delivered/a_print.jpg", "select (seed 7, 0.50 s)")
    ]
    assert result.rows[-1][0].startswith("1970-01-01 ")


def test_last_limits_the_number_of_rows(goldsmith: Goldsmith, root: Path) -> None:
    """--last works for the table and for JSON."""
    assert [row[1] for row in goldsmith("history", "-n", "1", "-r", root).rows[1:]] == ["masked/a.png"]
    assert [line["job_id"] for line in _json(goldsmith("history", "--json", "--last", "2", "-r", root))] == ["3", "4"]


def test_a_terminal_gets_the_last_fifty_rows(goldsmith: Goldsmith, root: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe gets all rows."""
    for number in range(60):
        row = _row(f"x{number}", f"inbox/{number:02}.png", "generate")
        journal.complete_plans([CompletedPlan(row.job_id, (row,), (), ())])
    assert len(goldsmith("history", "-r", root).rows) == 66
    monkeypatch.setattr("goldsmith.cli.history.is_terminal", lambda: True)
    assert len(goldsmith("history", "-r", root).rows) == 51


def test_a_file_without_history_is_an_error_with_the_reason(goldsmith: Goldsmith, root: Path) -> None:
    """The message has the sentence of ``why``; the exit code is 2."""
    (root / "inbox" / "new.png").write_bytes(b"x")
    result = goldsmith("history", "inbox/new.png", "-r", root)
    assert result.code == 2
    assert "Goldsmith never processed inbox/new.png." in result.err
    assert "Waiting for an instruction" in result.err


def test_undecodable_names_stay_on_one_line_and_are_unchanged_in_json(goldsmith: Goldsmith, root: Path, journal: Journal) -> None:
    """The table has replacement characters, JSON the exact name."""
    name = os.fsdecode(b"inbox/he\nro\t\xff.png")
    row = _row("9", name, "generate")
    journal.complete_plans([CompletedPlan(row.job_id, (row,), (), ())])
    assert goldsmith("history", "-n", "1", "-r", root).rows[-1][1] == "inbox/he�ro��.png"
    assert _json(goldsmith("history", "-n", "1", "--json", "-r", root))[0]["path"] == name


def test_a_missing_journal_is_an_error_with_its_path(
    goldsmith: Goldsmith, root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The message tells another user where the journal was expected."""
    monkeypatch.setenv("GOLDSMITH_STATE_DIR", str(tmp_path / "mine"))
    result = goldsmith("history", "-r", root)
    assert result.code == 2
    assert str(tmp_path / "mine") in result.err


def test_the_history_of_a_file_lists_its_models(goldsmith: Goldsmith, root: Path, journal: Journal) -> None:
    """Every engine has a row with model, revision, device, threads, seeds and weights. Without a file there is no such table."""
    upscaler = {"name": "x2", "revision": "v1", "device": "cpu", "threads": 2, "weights": [["x2.bin", "ef" * 32]]}
    engine = {"name": "sdxl", "revision": "abc", "device": "cuda:0 bfloat16", "threads": 2, "weights": [["a.safetensors", "cd" * 32]]}
    seeds = {"candidates": [{"number": 1, "seed": 11}, {"number": 2, "seed": 12}]}
    filled = {"name": "fill", "fills": [{"seeds": [5, 6]}, {"seeds": [7]}]}
    steps = [
        {
            "op": "regenerate",
            "settings": {"model": "premium"},
            "seed": 7,
            "seconds": 1,
            "findings": seeds,
            "engine": {**engine, "other_engines": [upscaler]},
        },
        {"op": "select", "settings": {}, "seed": 8, "seconds": 1, "findings": seeds, "engine": None},
        {"op": "inpaint", "settings": {"model": None}, "seed": 9, "seconds": 1, "findings": {}, "engine": filled},
    ]
    row = _row("9", "inbox/new.toml", "generate", "selected/new.png")
    row = row.model_copy(update={"record": {**row.record, "steps": steps, "environment": {"threads": 4, "torch": "2.13.0"}}})
    journal.complete_plans([CompletedPlan("9", (row,), (), ())])
    result = goldsmith("history", "selected/new.png", "-r", root)
    assert result.rows[-5:] == [
        ["Models"],
        ["step", "requested", "used", "revision", "device", "threads", "seeds", "weights"],
        ["generate.1 (regenerate)", "premium", "sdxl", "abc", "cuda:0 bfloat16", "2", "11, 12", "a.safetensors cdcdcdcdcdcd"],
        ["generate.1 (regenerate)", "(default)", "x2", "v1", "cpu", "2", "11, 12", "x2.bin efefefefefef"],
        ["generate.3 (inpaint)", "(default)", "fill", "", "", "4", "5, 6, 7", ""],
    ]
    assert "Models" not in goldsmith("history", "-r", root).out
    assert _json(goldsmith("history", "selected/new.png", "--json", "-r", root))[0]["environment"] == {"threads": 4, "torch": "2.13.0"}


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that the output goes to a terminal of 80 columns without colours."""
    for module in (output, history):
        monkeypatch.setattr(module, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.mark.usefixtures("terminal")
def test_the_history_is_readable_at_80_columns(goldsmith: Goldsmith, root: Path, journal: Journal) -> None:
    """Paths stay in one piece: an input whose row does not fit is a paragraph, each result on a line of its own."""
    folder = "acme/spring-and-summer/second-round"
    row = _row("9", f"inbox/{folder}/hero.png", "generate", f"selected/{folder}/hero.png", f"selected/{folder}/hero.toml")
    journal.complete_plans([CompletedPlan("9", (row,), (), ())])
    lines = [line.rstrip() for line in goldsmith("history", f"inbox/{folder}/hero.png", "-r", root).out.splitlines()]
    assert lines[0].endswith("  generate  passed  1.25 s")
    assert lines[1:4] == [
        f"  file     inbox/{folder}/hero.png",
        f"  results  selected/{folder}/hero.png,",
        f"           selected/{folder}/hero.toml",
    ]
    assert lines[4] == "  steps    select (seed 7, 0.50 s)"
    assert max(map(len, lines)) <= 80
