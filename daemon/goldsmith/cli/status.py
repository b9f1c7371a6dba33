"""The command ``goldsmith status``: the content of the folders, running jobs, waiting pictures with reasons, and problems."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

from goldsmith.cli.location import (
    ConfigOption,
    JsonOption,
    RootOption,
    abbreviate_list,
    open_location,
)
from goldsmith.cli.output import (
    is_terminal,
    print_heading,
    print_json,
    print_records,
    print_sentence,
    print_table,
    print_text,
    progress_text,
)

if TYPE_CHECKING:
    from goldsmith.cli.overview import FolderSummary, Overview, WaitingGroup
    from goldsmith.journal.records import ActiveJob
    from goldsmith.service.location import Location

# A table shows at most this many rows; the rest are only counted.
_MAX_ROWS = 20


def status(root: RootOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the content of each folder, the running jobs, what waits and why, and the problems.

    Example: goldsmith status --root ~/hotfolders
    """
    from goldsmith.cli import overview
    from goldsmith.service.location import read_with_journal

    with open_location(root, config) as opened:
        location, summary = read_with_journal(opened, overview.collect_overview)
        if as_json:
            print_json(overview.as_json(location, summary))
        else:
            _print_overview(location, summary)


def _print_overview(location: Location, summary: Overview) -> None:
    from goldsmith.cli.overview import store_sentence

    _print_daemon(location)
    for sentence in (*location.remarks(), store_sentence(location)):
        print_sentence(sentence)
    print_text()
    print_table(
        ("folder", "pictures", "sidecars", "other", "next", "working", "waiting", "problems"),
        [_folder_row(folder) for folder in summary.folders],
    )
    _print_workers(location, summary)
    _print_working(location, summary)
    _print_waiting(summary)
    _print_name_questions(summary)
    _print_problems(summary)


def _print_daemon(location: Location) -> None:
    daemon = location.daemon
    if not daemon.holder:
        print_text(f"{location.root}: Goldsmith is not running here. Start it with: goldsmith run --root {shlex.quote(str(location.root))}")
        if location.journal_problem:
            print_text(location.journal_problem)
        return
    print_text(f"{location.root}: Goldsmith is running ({daemon.holder}).")
    if not daemon.has_state_file and not location.is_journal_unreadable:
        print_text(
            f"Its journal is not at {location.journal_file}. Name its folder with GOLDSMITH_STATE_DIR, or run this as the service's user."
        )
    elif location.journal_error:
        print_text(location.journal_error)


def _folder_row(folder_summary: FolderSummary) -> tuple[str, ...]:
    numbers = (folder_summary.pictures, folder_summary.sidecars, folder_summary.others)
    progress = (
        (folder_summary.working, folder_summary.waiting + folder_summary.queued, folder_summary.held)
        if folder_summary.stage
        else ("", "", "")
    )
    return (f"{folder_summary.folder}/", *map(_count_text, numbers), folder_summary.stage or "(finished)", *map(_count_text, progress))


def _count_text(count: int | str) -> str:
    return str(count) if count or not is_terminal() else ""


def _print_workers(location: Location, summary: Overview) -> None:
    from goldsmith.cli import worker_table

    rows = list(worker_table.worker_rows(location.daemon, summary.working, summary.queue_lengths))
    if rows:
        print_heading("Workers")
        print_table(worker_table.COLUMNS, rows)


def _step_text(location: Location, job: ActiveJob) -> str:
    from goldsmith.pipeline.status.sentences import progress_note

    note = progress_note(job, location.daemon)
    return f"{job.step}. {job.op}{f': {note}' if note else ''}" if job.step else "reading"


def _print_working(location: Location, summary: Overview) -> None:
    if summary.working:
        print_heading("Working")
        now = time.time()
        rows = [
            (
                job.path,
                job.stage,
                _step_text(location, job),
                progress_text(job.fraction),
                f"{now - (job.started_at or now):.0f} s",
            )
            for job in summary.working[:_MAX_ROWS]
        ]
        print_table(("picture", "stage", "step", "progress", "for"), rows)
        _print_more(len(summary.working))


def _print_waiting(summary: Overview) -> None:
    groups: list[WaitingGroup] = [*summary.queued.values(), *summary.waiting]
    if groups:
        print_heading("Waiting")
        print_records(
            ("folder", "pictures", "reason", "examples"),
            [_waiting_row(group) for group in groups[:_MAX_ROWS]],
            headline=("folder",),
        )
        _print_more(len(groups))


def _waiting_row(group: WaitingGroup) -> tuple[str, str, str, str]:
    return f"{group.folder}/" if group.folder else "queued", str(group.count), group.sentence, example_names(group)


def example_names(group: WaitingGroup) -> str:
    """Return the first names of a group, and an ellipsis if there are more."""
    return abbreviate_list([*group.names, *[""] * (group.count - len(group.names))], len(group.names))


def _print_problems(summary: Overview) -> None:
    if summary.problems:
        print_heading("Problems (change a file, or run: goldsmith retry FILE)")
        print_records(
            ("picture", "problem"),
            [(entry.path, " ".join(entry.sentence.split("\n"))) for entry in summary.problems[:_MAX_ROWS]],
            headline=("picture",),
        )
        _print_more(summary.problem_count)


def _print_name_questions(summary: Overview) -> None:
    if summary.name_questions:
        print_heading("Names to check")
        print_table(("folder", "question"), [(f"{entry.folder}/", entry.sentence) for entry in summary.name_questions[:_MAX_ROWS]])
        _print_more(summary.name_question_count)


def _print_more(count: int) -> None:
    if count > _MAX_ROWS:
        print_text(f"and {count - _MAX_ROWS} more")
