"""``goldsmith status``: short whatever lies there, and the same facts as JSON."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest

from doubles.commandline import Goldsmith, Tell, Told
from goldsmith.journal.journal import Journal


def _put(root: Path, *paths: str, data: bytes = b"x") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


def _table(told: Told, first: str) -> dict[str, list[str]]:
    """The table whose heading line begins with ``first``, by its first column."""
    start = next(number for number, row in enumerate(told.rows) if row[0] == first)
    body = told.rows[start + 1 :]
    end = next((number for number, row in enumerate(body) if row == [""]), len(body))
    return {row[0]: row[1:] for row in body[:end]}


def test_every_folder_is_counted(goldsmith: Goldsmith, root: Path, journal: Journal) -> None:
    """Pictures, what lies beside them, and what is neither; READMEs, litter and notes are not counted."""
    _put(root, "inbox/a.png", "inbox/acme/b.jpg", "inbox/a.mask.png", "inbox/brief.doc", "inbox/.DS_Store", "inbox/x.png.problem.txt")
    _put(root, "delivered/a_web.avif", "delivered/a.manifest.json")
    folders = _table(goldsmith("status", "-r", root), "folder")
    assert folders["inbox/"][:4] == ["2", "1", "1", "generate"]
    assert folders["delivered/"][:4] == ["1", "0", "1", "(finished)"]
    assert list(folders) == ["inbox/", "selected/", "masked/", "graded/", "delivered/"]


def test_what_waits_for_the_same_reason_is_one_line(goldsmith: Goldsmith, root: Path, journal: Journal) -> None:
    """A count, the reason, and three names however many there are."""
    _put(root, *(f"inbox/{number}.png" for number in range(500)))
    told = goldsmith("status", "-r", root)
    assert ["500", "Waiting for an instruction: put a mask (“NAME.mask.png”) or a brief (“NAME.toml”) beside it."] in [
        row[:2] for row in told.rows
    ]
    assert len(told.out.splitlines()) < 20
    assert "inbox/0.png, inbox/1.png, inbox/10.png, …" in told.out


def test_many_problems_are_told_in_bounds_and_counted(goldsmith: Goldsmith, root: Path, journal: Journal) -> None:
    """Twenty are printed; the rest are a number."""
    for number in range(30):
        _put(root, f"inbox/{number}.png", f"inbox/{number}.png.problem.txt")
        journal.record_hold(f"inbox/{number}.png", "fp", f"{number} is\ncut off.", "", f"inbox/{number}.png.problem.txt", float(number))
    told = goldsmith("status", "-r", root)
    assert ["inbox/7.png", "7 is cut off."] in told.rows
    assert "and 10 more" in told.out
    assert len(json.loads(goldsmith("status", "-r", root, "--json").out)["problems"]) == 30


def test_what_is_worked_on_shows_how_far_it_is(goldsmith: Goldsmith, root: Path, journal: Journal, running: Tell) -> None:
    """Stage, step and per cent of the running, a line for the queue of each lane."""
    _put(root, "selected/a.png", "selected/b.png")
    journal.record_queued("1", "edit", "gpu", "selected/a.png", 0.0)
    journal.record_queued("2", "edit", "gpu", "selected/b.png", 0.0)
    journal.record_started("1", 1.0, time.time() + 60.0)
    journal.record_progress("1", 1, "upscale", 0.25, "", time.time() + 60.0)
    told = goldsmith("status", "-r", root)
    assert _table(told, "picture")["selected/a.png"][:3] == ["edit", "1. upscale", "25%"]
    assert ["1", "Waiting for the GPU", "selected/b.png"] in told.rows
    assert _table(told, "folder")["selected/"][4:6] == ["1", "1"]


def test_work_whose_lease_has_run_out_is_no_longer_shown_as_work(goldsmith: Goldsmith, root: Path, journal: Journal, running: Tell) -> None:
    """It counts as waiting, with the reason; programs that ask are not told that anything runs."""
    _put(root, "selected/a.png", "selected/a.mask.png")
    journal.record_queued("1", "edit", "gpu", "selected/a.png", 0.0)
    journal.record_started("1", 1.0, 9.0)
    told = goldsmith("status", "-r", root)
    assert _table(told, "folder")["selected/"][4:6] == ["0", "1"]
    assert "Being worked on" not in told.out
    assert "seems to be stuck. Look with `systemctl status goldsmith`" in told.out
    seen = json.loads(goldsmith("status", "-r", root, "--json").out)
    assert seen["working"] == []
    assert "seems to be stuck" in seen["waiting"][0]["sentence"]


def _seat(**facts: object) -> dict[str, object]:
    return {"lane": "gpu", "device": "cuda:0", "title": "NVIDIA L40S", "memory_mb": 46068, "loaded": [], "jobs": [], **facts}


def test_each_lane_s_devices_are_shown(goldsmith: Goldsmith, root: Path, journal: Journal, running: Tell) -> None:
    """What is loaded, what is done, how many wait for it, and why one pauses; processes of one device are one line."""
    _put(root, "selected/a.png", "selected/b.png", "inbox/c.png")
    for job, lane, path in (("1", "gpu", "selected/a.png"), ("2", "gpu", "selected/b.png"), ("3", "cpu", "inbox/c.png")):
        journal.record_queued(job, "edit", lane, path, 0.0)
    journal.record_started("1", time.time(), time.time() + 60)
    gone = "The GPU cuda:1 has failed (gone). It is tried again at 14:05:00; its jobs wait in place."
    idle = {"lane": "cpu", "device": "cpu"}
    running(seats=[_seat(jobs=["1"], loaded=["sdxl", "flux-dev"]), _seat(device="cuda:1", title="", paused=gone), idle, idle])
    told = goldsmith("status", "-r", root)
    assert [row for row in told.rows if row[0] in ("gpu", "cpu")] == [
        ["gpu", "cuda:0 (NVIDIA L40S, 48 GB)", "sdxl, flux-dev", "selected/a.png", "1"],
        ["gpu", "cuda:1", "", f"pauses: {gone}", ""],
        ["cpu", "CPU", "", "nothing", "1"],
    ]
    running(seats=[_seat(paused=gone)], lanes={"gpu": gone})
    told = goldsmith("status", "-r", root)
    assert (told.out.count(gone), _table(told, "lane")["gpu"][2]) == (1, "pauses")
    running(seats=[_seat(jobs=["1"], loaded=["sdxl", "flux-dev"])])
    first = json.loads(goldsmith("status", "-r", root, "--json").out)["lanes"][0]
    assert (first["loaded"], first["waiting"], first["jobs"]) == (["sdxl", "flux-dev"], 1, ["1"])


def test_a_cold_start_is_shown_as_such(goldsmith: Goldsmith, root: Path, journal: Journal, running: Tell) -> None:
    """Which model is loaded, and for how long that has been going on; what the step said before is no news."""
    _put(root, "selected/a.png")
    journal.record_queued("1", "edit", "gpu", "selected/a.png", 0.0)
    journal.record_started("1", time.time(), time.time() + 60)
    journal.record_progress("1", 1, "inpaint", 0.0, "loading flux-dev", time.time() + 60)
    running(seats=[_seat(jobs=["1"], loading="flux-dev", loading_since=time.time() - 12)])
    told = goldsmith("status", "-r", root)
    assert re.fullmatch(r"1\. inpaint: loading flux-dev, 1[2-9] s so far", _table(told, "picture")["selected/a.png"][1])
    assert re.fullmatch(r"loading flux-dev, 1[2-9] s so far \(for selected/a\.png\)", _table(told, "lane")["gpu"][2])
    assert re.search(r"0%, loading flux-dev, 1[2-9] s so far\.", goldsmith("why", "selected/a.png", "-r", root).out)
    running(seats=[_seat(jobs=["1"], loaded=["flux-dev"])])
    assert _table(goldsmith("status", "-r", root), "picture")["selected/a.png"][1] == "1. inpaint"


def test_who_runs_and_how_it_hears_of_files_is_said(goldsmith: Goldsmith, root: Path, journal: Journal, running: Tell) -> None:
    """Events, polling, the weaker rule, pauses and missing folders, a sentence each."""
    assert "Goldsmith is running (process " in goldsmith("status", "-r", root).out
    assert "Events arrive from every folder" in goldsmith("status", "-r", root).out
    running(
        folders={"inbox": "polling", "selected": "events"},
        weak=["inbox"],
        paused="The disk is full.",
        lanes={"gpu": "The GPU does not answer."},
        missing={"masked": "masked/ is not there: is the share mounted?"},
    )
    told = goldsmith("status", "-r", root).out
    assert "No events come from inbox/: polling" in told
    assert "In inbox/ it cannot be asked whether somebody is still writing" in told
    assert "Everything waits: The disk is full." in told
    assert "The GPU lane pauses: The GPU does not answer." in told
    assert "masked/ is not there: is the share mounted?" in told


def test_where_nobody_runs_it_says_how_to_start(goldsmith: Goldsmith, root: Path) -> None:
    """Without daemon and without journal there is still a status."""
    told = goldsmith("status", "-r", root)
    assert told.code == 0
    assert f"Start it with: goldsmith run --root {root}" in told.out


def test_a_journal_elsewhere_is_asked_for(
    goldsmith: Goldsmith, root: Path, running: Tell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An admin who asks as another user is told what to set."""
    monkeypatch.setenv("GOLDSMITH_STATE_DIR", str(tmp_path / "mine"))
    told = goldsmith("status", "-r", root).out
    assert "Goldsmith is running" in told
    assert "GOLDSMITH_STATE_DIR" in told


def test_json_is_one_object_on_one_line_with_names_as_they_are(goldsmith: Goldsmith, root: Path, journal: Journal, running: Tell) -> None:
    """Names with line breaks and undecodable bytes come back whole."""
    name = os.fsdecode(b"he\nro\xff.png")
    _put(root, f"inbox/{name}")
    told = goldsmith("status", "-r", root, "--json")
    assert len(told.out.splitlines()) == 1
    seen = json.loads(told.out)
    assert seen["waiting"][0]["first"] == [f"inbox/{name}"]
    assert seen["running"] is True
    assert seen["hints"]["inbox"] == "events"


def test_names_cannot_break_a_line_in_a_pipe(goldsmith: Goldsmith, root: Path, journal: Journal) -> None:
    """Line breaks, tabs, colour codes and undecodable bytes are shown with a stand-in."""
    _put(root, "inbox/" + os.fsdecode(b"a\n\tb\x1b[31m\xff.png"))
    told = goldsmith("status", "-r", root)
    assert "inbox/a��b�[31m�.png" in told.out
    assert "\x1b" not in told.out


def test_on_a_terminal_there_are_tables(
    goldsmith: Goldsmith, root: Path, journal: Journal, running: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Columns that stand under their headings, with a bar for what is under work."""
    monkeypatch.setattr("goldsmith.cli.output.is_terminal", lambda: True)
    monkeypatch.setattr("goldsmith.cli.status.is_terminal", lambda: True)
    _put(root, "selected/a.png")
    journal.record_queued("1", "edit", "gpu", "selected/a.png", 0.0)
    journal.record_started("1", 1.0, time.time() + 60.0)
    journal.record_progress("1", 1, "upscale", 0.5, "", time.time() + 60.0)
    told = goldsmith("status", "-r", root).out
    assert "█████░░░░░ 50%" in told
    heading, first = (line for line in told.splitlines() if line.startswith(("folder ", "inbox/ ")))
    assert heading.index("next") == first.index("generate")
    assert "\t" not in told


def test_a_journal_that_may_not_be_read_is_said(goldsmith: Goldsmith, root: Path, running: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folders are told all the same."""

    def barred(path: Path, *, read_only: bool = False) -> Journal:
        raise PermissionError(13, "Permission denied", str(path))

    _put(root, "inbox/a.png")
    monkeypatch.setattr(Journal, "open", barred)
    told = goldsmith("status", "-r", root)
    assert told.code == 0
    assert "cannot be read: Permission denied. Ask as the service's user" in told.out
    assert _table(told, "folder")["inbox/"][0] == "1"
