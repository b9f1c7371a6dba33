"""``goldsmith status`` prints a bounded overview of any number of files, and the same facts as JSON."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from doubles.commandline import CommandResult, Goldsmith, WriteState
from goldsmith.cli.store_size import archive_sentence
from goldsmith.journal.journal import Journal
from goldsmith.pipeline.archive.archived_files import ArchiveSize


def _put(root: Path, *paths: str, data: bytes = b"x") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


def _table(result: CommandResult, first: str) -> dict[str, list[str]]:
    """Return the rows of the table whose heading begins with ``first``, by their first cell."""
    start = next(number for number, row in enumerate(result.rows) if row[0] == first)
    body = result.rows[start + 1 :]
    end = next((number for number, row in enumerate(body) if row == [""]), len(body))
    return {row[0]: row[1:] for row in body[:end]}


def test_every_folder_is_counted(goldsmith: Goldsmith, root: Path, journal: Journal) -> None:
    """Pictures, sidecars and other files are counted; READMEs, litter and notes are not."""
    _put(root, "inbox/a.png", "inbox/acme/b.jpg", "inbox/a.mask.png", "inbox/brief.doc", "inbox/.DS_Store", "inbox/x.png.problem.txt")
    _put(root, "delivered/a_web.avif", "delivered/a.manifest.json")
    folders = _table(goldsmith("status", "-r", root), "folder")
    assert folders["inbox/"][:4] == ["2", "1", "1", "generate"]
    assert folders["delivered/"][:4] == ["1", "0", "1", "(finished)"]
    assert list(folders) == ["inbox/", "selected/", "masked/", "graded/", "delivered/", "review/"]


def test_a_line_in_which_nothing_waits_is_shown_without_reading_briefs_and_models(root: Path) -> None:
    """What reads them takes longer to import than all else, as do the modules of the other commands."""
    heavy = ["numpy", "goldsmith.brief.resolve", "goldsmith.engines.protocols", "goldsmith.jobs.job", "goldsmith.cli.run"]
    code = f"import atexit, sys, goldsmith.cli; atexit.register(lambda: print([name for name in {heavy!r} if name in sys.modules]))"
    arguments = [sys.executable, "-c", f"{code}; goldsmith.cli.main()", "status", "--root", str(root)]
    output = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.splitlines()
    assert output[-1] == "[]"


def test_pictures_with_the_same_reason_share_a_line(goldsmith: Goldsmith, root: Path, journal: Journal) -> None:
    """The line has the count, the reason, and three names for any number of pictures."""
    _put(root, *(f"inbox/{number}.png" for number in range(500)))
    result = goldsmith("status", "-r", root)
    assert ["inbox/", "500", "Waiting for an instruction: put a mask (“NAME.mask.png”) or a brief (“NAME.toml”) beside it."] in [
        row[:3] for row in result.rows
    ]
    assert len(result.out.splitlines()) < 20
    assert "inbox/0.png, inbox/1.png, inbox/10.png, …" in result.out


def test_at_most_twenty_problems_are_printed(goldsmith: Goldsmith, root: Path, journal: Journal) -> None:
    """The other problems are counted. JSON has all problems."""
    for number in range(30):
        _put(root, f"inbox/{number}.png", f"inbox/{number}.png.problem.txt")
        journal.record_hold(f"inbox/{number}.png", "fp", f"{number} is\ncut off.", "", f"inbox/{number}.png.problem.txt", float(number))
    result = goldsmith("status", "-r", root)
    assert ["inbox/7.png", "7 is cut off."] in result.rows
    assert "and 10 more" in result.out
    assert len(json.loads(goldsmith("status", "-r", root, "--json").out)["problems"]) == 30


def test_names_that_may_be_meant_as_something_else_are_listed(goldsmith: Goldsmith, root: Path, journal: Journal) -> None:
    """Each question has its folder; at most twenty are printed."""
    _put(root, "selected/acme/n9.png", "selected/acme/n9_mask_final.png", *(f"inbox/raw{number}.cr2" for number in range(30)))
    result = goldsmith("status", "-r", root)
    assert ["inbox/", "“raw0.cr2” is a camera's raw file, which Goldsmith does not read: save it as “raw0.png”."] in result.rows
    assert "and 11 more" in result.out
    overview = json.loads(goldsmith("status", "-r", root, "--json").out)
    question = "Is “n9_mask_final.png” the mask of “n9.png”? Call it “n9.mask.png”."
    assert {"folder": "selected/acme", "sentence": question} in overview["name_questions"]
    assert overview["name_question_count"] == 31


def test_a_folder_that_takes_no_status_file_is_reported(
    goldsmith: Goldsmith, root: Path, journal: Journal, write_daemon_state: WriteState
) -> None:
    """The sentence is that of the log."""
    write_daemon_state(status_file_refusals={"masked": "masked/_status.txt cannot be written (Permission denied)."})
    assert "masked/_status.txt cannot be written (Permission denied)." in goldsmith("status", "-r", root).out


def test_running_jobs_show_their_progress(goldsmith: Goldsmith, root: Path, journal: Journal, write_daemon_state: WriteState) -> None:
    """A running job shows stage, step and per cent. Waiting jobs share one line for each queue."""
    _put(root, "selected/a.png", "selected/b.png")
    journal.record_queued("1", "edit", "gpu", "selected/a.png", 0.0)
    journal.record_queued("2", "edit", "gpu", "selected/b.png", 0.0)
    journal.record_started("1", 1.0, time.time() + 60.0)
    journal.record_progress("1", 1, "upscale", 0.25, "", time.time() + 60.0)
    result = goldsmith("status", "-r", root)
    assert _table(result, "picture")["selected/a.png"][:3] == ["edit", "1. upscale", "25%"]
    assert ["queued", "1", "Waiting for the GPU", "selected/b.png"] in result.rows
    assert _table(result, "folder")["selected/"][4:6] == ["1", "1"]


def test_a_job_with_an_expired_lease_counts_as_waiting(
    goldsmith: Goldsmith, root: Path, journal: Journal, write_daemon_state: WriteState
) -> None:
    """The output gives the reason. The JSON does not list the job as working either."""
    _put(root, "selected/a.png", "selected/a.mask.png")
    journal.record_queued("1", "edit", "gpu", "selected/a.png", 0.0)
    journal.record_started("1", 1.0, 9.0)
    result = goldsmith("status", "-r", root)
    assert _table(result, "folder")["selected/"][4:6] == ["0", "1"]
    assert "Working" not in result.out
    assert "seems to be stuck. Check with `systemctl status goldsmith`" in result.out
    status = json.loads(goldsmith("status", "-r", root, "--json").out)
    assert status["working"] == []
    assert "seems to be stuck" in status["waiting"][0]["sentence"]


def _worker(**fields: object) -> dict[str, object]:
    return {"queue": "gpu", "device": "cuda:0", "device_title": "NVIDIA L40S", "device_memory_mb": 46068, **fields}


def test_the_devices_of_each_queue_are_shown(goldsmith: Goldsmith, root: Path, journal: Journal, write_daemon_state: WriteState) -> None:
    """A row has the loaded models, the activity, the waiting jobs and the reason of a pause. The processes of one device share a row."""
    _put(root, "selected/a.png", "selected/b.png", "inbox/c.png")
    for job, queue, path in (("1", "gpu", "selected/a.png"), ("2", "gpu", "selected/b.png"), ("3", "cpu", "inbox/c.png")):
        journal.record_queued(job, "edit", queue, path, 0.0)
    journal.record_started("1", time.time(), time.time() + 60)
    pause_reason = "The GPU cuda:1 has failed (gone). It is tried again at 14:05:00; its jobs wait in place."
    idle = {"queue": "cpu", "device": "cpu"}
    write_daemon_state(
        workers=[
            _worker(jobs=["1"], loaded=["sdxl", "flux-dev"]),
            _worker(device="cuda:1", device_title="", pause_reason=pause_reason),
            idle,
            idle,
        ]
    )
    result = goldsmith("status", "-r", root)
    assert [row for row in result.rows if row[0] in ("gpu", "cpu")] == [
        ["gpu", "cuda:0 (NVIDIA L40S, 48 GB)", "sdxl, flux-dev", "selected/a.png", "1"],
        ["gpu", "cuda:1", "", f"paused: {pause_reason}", ""],
        ["cpu", "CPU", "", "nothing", "1"],
    ]
    write_daemon_state(workers=[_worker(pause_reason=pause_reason)], queue_pauses={"gpu": pause_reason})
    result = goldsmith("status", "-r", root)
    assert (result.out.count(pause_reason), _table(result, "queue")["gpu"][2]) == (1, "paused")
    write_daemon_state(workers=[_worker(jobs=["1"], loaded=["sdxl", "flux-dev"])])
    first = json.loads(goldsmith("status", "-r", root, "--json").out)["workers"][0]
    assert (first["loaded"], first["waiting"], first["jobs"]) == (["sdxl", "flux-dev"], 1, ["1"])
    assert {"queue", "device", "device_title", "device_memory_mb", "pause_reason", "loading", "loading_seconds"} <= set(first)


def test_the_nodes_of_a_cluster_have_a_row_each(goldsmith: Goldsmith, root: Path, journal: Journal, write_daemon_state: WriteState) -> None:
    """The GPUs of two nodes have the same number. A refused node is told in a sentence."""
    _put(root, "selected/a.png", "selected/b.png")
    for job, path in (("1", "selected/a.png"), ("2", "selected/b.png")):
        journal.record_queued(job, "edit", "gpu", path, 0.0)
    journal.record_started("1", time.time(), time.time() + 60)
    refusal = "The node gpu3 has Python 3.12.1, and here it is 3.11.7. Use Python 3.11 there."
    workers = [_worker(host="gpu1", jobs=["1"]), _worker(host="gpu2"), _worker(queue="cpu", device="cpu", host="gpu2")]
    write_daemon_state(workers=workers, node_refusals=[refusal])
    result = goldsmith("status", "-r", root)
    assert [row[1:4] for row in result.rows if row[0] in ("gpu", "cpu")] == [
        ["gpu1: cuda:0 (NVIDIA L40S, 48 GB)", "", "selected/a.png"],
        ["gpu2: cuda:0 (NVIDIA L40S, 48 GB)", "", "nothing"],
        ["gpu2: CPU", "", "nothing"],
    ]
    assert f"A node of the cluster gets no jobs: {refusal}" in result.out
    assert json.loads(goldsmith("status", "-r", root, "--json").out)["node_refusals"] == [refusal]
    assert "Waiting for the cluster, 1st in the queue." in goldsmith("why", "selected/b.png", "-r", root).out


def test_loading_a_model_is_shown_with_its_seconds(
    goldsmith: Goldsmith, root: Path, journal: Journal, write_daemon_state: WriteState
) -> None:
    """The loading time replaces the last note of the step."""
    _put(root, "selected/a.png")
    journal.record_queued("1", "edit", "gpu", "selected/a.png", 0.0)
    journal.record_started("1", time.time(), time.time() + 60)
    journal.record_progress("1", 1, "inpaint", 0.0, "loading flux-dev", time.time() + 60)
    write_daemon_state(workers=[_worker(jobs=["1"], loading="flux-dev", loading_since=time.time() - 12)])
    result = goldsmith("status", "-r", root)
    assert re.fullmatch(r"1\. inpaint: loading flux-dev, 1[2-9] s so far", _table(result, "picture")["selected/a.png"][1])
    assert re.fullmatch(r"loading flux-dev, 1[2-9] s so far \(for selected/a\.png\)", _table(result, "queue")["gpu"][2])
    assert re.search(r"0%, loading flux-dev, 1[2-9] s so far\.", goldsmith("why", "selected/a.png", "-r", root).out)
    write_daemon_state(workers=[_worker(jobs=["1"], loaded=["flux-dev"])])
    assert _table(goldsmith("status", "-r", root), "picture")["selected/a.png"][1] == "1. inpaint"


def test_the_state_of_the_daemon_is_shown_in_sentences(
    goldsmith: Goldsmith, root: Path, journal: Journal, write_daemon_state: WriteState
) -> None:
    """The sentences cover events, polling, the weaker rule, pauses and missing folders."""
    assert "Goldsmith is running (process " in goldsmith("status", "-r", root).out
    assert "Events arrive from every folder" in goldsmith("status", "-r", root).out
    write_daemon_state(
        watch_modes={"inbox": "polling", "selected": "events"},
        weak_quiet_folders=["inbox"],
        pause_reason="The disk is full.",
        queue_pauses={"gpu": "The GPU does not answer."},
        unavailable_folders={"masked": "masked/ is not there: is the share mounted?"},
    )
    result = goldsmith("status", "-r", root).out
    assert "No events come from inbox/: polling" in result
    assert "In inbox/ Goldsmith cannot tell if a program is still writing" in result
    assert "Everything waits: The disk is full." in result
    assert "The queue “gpu” is paused: The GPU does not answer." in result
    assert "masked/ is not there: is the share mounted?" in result


def test_without_a_daemon_the_start_command_is_shown(goldsmith: Goldsmith, root: Path) -> None:
    """The status works without a daemon and without a journal."""
    result = goldsmith("status", "-r", root)
    assert result.code == 0
    assert f"Start it with: goldsmith run --root {root}" in result.out


def test_a_journal_in_another_folder_is_reported(
    goldsmith: Goldsmith, root: Path, write_daemon_state: WriteState, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The sentence names the variable to set."""
    monkeypatch.setenv("GOLDSMITH_STATE_DIR", str(tmp_path / "mine"))
    result = goldsmith("status", "-r", root).out
    assert "Goldsmith is running" in result
    assert "GOLDSMITH_STATE_DIR" in result


def test_json_is_one_line_with_unchanged_names(goldsmith: Goldsmith, root: Path, journal: Journal, write_daemon_state: WriteState) -> None:
    """The names may have line breaks and undecodable bytes."""
    name = os.fsdecode(b"he\nro\xff.png")
    _put(root, f"inbox/{name}")
    result = goldsmith("status", "-r", root, "--json")
    assert len(result.out.splitlines()) == 1
    status = json.loads(result.out)
    assert status["waiting"][0]["examples"] == [f"inbox/{name}"]
    assert status["running"] is True
    assert status["watch_modes"]["inbox"] == "events"


def test_names_cannot_break_a_line_in_a_pipe(goldsmith: Goldsmith, root: Path, journal: Journal) -> None:
    """Line breaks, tabs, colour codes and undecodable bytes are replaced."""
    _put(root, "inbox/" + os.fsdecode(b"a\n\tb\x1b[31m\xff.png"))
    result = goldsmith("status", "-r", root)
    assert "inbox/a��b�[31m�.png" in result.out
    assert "\x1b" not in result.out


def test_a_terminal_gets_aligned_tables(
    goldsmith: Goldsmith, root: Path, journal: Journal, write_daemon_state: WriteState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cells are below their headings; a running job has a bar."""
    monkeypatch.setattr("goldsmith.cli.output.is_terminal", lambda: True)
    monkeypatch.setattr("goldsmith.cli.status.is_terminal", lambda: True)
    _put(root, "selected/a.png")
    journal.record_queued("1", "edit", "gpu", "selected/a.png", 0.0)
    journal.record_started("1", 1.0, time.time() + 60.0)
    journal.record_progress("1", 1, "upscale", 0.5, "", time.time() + 60.0)
    result = goldsmith("status", "-r", root).out
    assert "█████░░░░░ 50%" in result
    heading, first_row = (line for line in result.splitlines() if line.startswith(("folder ", "inbox/ ")))
    assert heading.index("next") == first_row.index("generate")
    assert "\t" not in result


def test_an_unreadable_journal_is_reported(
    goldsmith: Goldsmith, root: Path, write_daemon_state: WriteState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folders are shown all the same."""

    def refuse(path: Path, *, read_only: bool = False) -> Journal:
        raise PermissionError(13, "Permission denied", str(path))

    _put(root, "inbox/a.png")
    monkeypatch.setattr(Journal, "open", refuse)
    result = goldsmith("status", "-r", root)
    assert result.code == 0
    assert "cannot be read: Permission denied. Run this as the service's user" in result.out
    assert _table(result, "folder")["inbox/"][0] == "1"


def test_the_same_reason_in_two_folders_has_a_line_for_each(goldsmith: Goldsmith, root: Path, journal: Journal) -> None:
    """Each line of what waits names its folder."""
    _put(root, "masked/a.png", "graded/a.png", "graded/b.png")
    rows = [row[:3] for row in goldsmith("status", "-r", root).rows]
    reason = "Waiting for an instruction: put a brief (“NAME.toml”) beside it."
    assert ["masked/", "1", reason] in rows
    assert ["graded/", "2", reason] in rows


def test_the_sizes_of_archive_and_journal_are_shown(goldsmith: Goldsmith, root: Path, journal: Journal) -> None:
    """As a sentence, in the JSON and in `doctor`; a large archive is counted up to a limit."""
    folder = root / "archive" / "2026-01-31" / "inbox"
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"{number}.png").write_bytes(b"x" * 1000)
    assert "The archive has 3.0 kB in 3 files, since 2026-01-31. The journal has " in goldsmith("status", "-r", root).out
    state = json.loads(goldsmith("status", "--json", "-r", root).out)
    assert state["archive"] == {"files": 3, "bytes": 3000, "is_complete": True, "first_day": "2026-01-31"}
    assert state["journal_bytes"] > 4096
    sentence = archive_sentence(ArchiveSize(50_000, 7_000_000_000, False, "2026-01-31"))
    assert sentence == "The archive has more than 7.0 GB in 50000 files, since 2026-01-31 (its newest files were counted)."
