"""The command ``goldsmith restore``: bring back what a picture was, as a new version in its folder."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldsmith.cli.location import ConfigOption, JsonOption, RootOption, candidate_paths, find_in_history, open_location
from goldsmith.cli.output import is_terminal, print_json, print_records, print_text, progress_bars
from goldsmith.cli.replay import EXIT_DIFFERS
from goldsmith.errors import UsageError
from goldsmith.files import display_name

if TYPE_CHECKING:
    from goldsmith.journal.records import HistoryRow
    from goldsmith.pipeline.archive.restoration import RestorableFile, Restoration
    from goldsmith.service.location import Location


def restore(
    file: Annotated[Path, typer.Argument(help="A path that the picture has now, or once had.", metavar="FILE")],
    list_only: Annotated[bool, typer.Option("--list", help="Show which files of this picture can be had. Change nothing.")] = False,
    root: RootOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring back a file that was once in the folders: an input from the archive, or a result by making it again.

    It comes as a new version beside the old name (hero_v002.png); nothing is overwritten. --list shows the files of the picture, each with
    a path that can be given here. Exit code 6 means that a result was made again with other pixels than are recorded.

    Example: goldsmith restore inbox/spring/hero.png
    """
    from goldsmith.pipeline.archive.restoration import Restoration, choose_file, restorable_files

    with open_location(root, config, near=file) as location:
        last_path = find_in_history(location, file)
        paths = dict.fromkeys([*candidate_paths(location.root, file), *([last_path] if last_path is not None else [])])
        rows = _history_of(location, paths)
        files = restorable_files(rows)
        if list_only:
            _print_files(location, files, as_json=as_json)
        if not files:
            raise UsageError(f"Goldsmith never processed {file}, so it has nothing of it.", "Name a file that was once in the folders.")
        if list_only:
            return
        chosen = choose_file(files, paths)
        if chosen is None:
            raise UsageError(f"{file} is not a file that can be had.", f"Run: goldsmith restore --list {file}")
        restoration = Restoration(location.root, location.setup.pipeline.shared_folders, location.journal)
        path, is_same = (restoration.restore(chosen), True) if chosen.archived else _remake(location, rows, restoration, chosen)
        print_json({"path": path, "same": is_same}) if as_json else _print_restored(path, chosen, is_same)
        if not is_same:
            raise typer.Exit(EXIT_DIFFERS)


def _history_of(location: Location, paths: Collection[str]) -> list[HistoryRow]:
    """Return the history of a file from the journal; if the journal has none or cannot be read, from the manifest of its delivery."""
    from goldsmith.pipeline.archive.restoration import rows_of_manifests

    rows = list(location.journal.related_rows(paths)) if location.journal is not None else []
    return rows or rows_of_manifests(location.root, location.setup.pipeline.final_folder, paths)


def _lineage(location: Location, rows: Sequence[HistoryRow], job_id: str) -> list[HistoryRow]:
    """Return the jobs that led to ``job_id``, that job last."""
    lineage = location.journal.lineage(job_id) if location.journal is not None else []
    return lineage or [*rows[: next(number for number, row in enumerate(rows, 1) if row.job_id == job_id)]]


def _remake(location: Location, rows: Sequence[HistoryRow], restoration: Restoration, file: RestorableFile) -> tuple[str, bool]:
    """Make a result again and put it down. Return its path, and whether it has the recorded pixels."""
    from goldsmith.pipeline.archive.restoration import recorded_manifest
    from goldsmith.service.one_off import run_replay

    with tempfile.TemporaryDirectory(prefix="goldsmith-restore-") as name:
        manifest, folder = Path(name, "restored.manifest.json"), Path(name, "results")
        manifest.write_bytes(recorded_manifest(_lineage(location, rows, file.job_id), file))
        if is_terminal():
            with progress_bars() as advance:
                report = run_replay(location.setup, manifest, advance, folder)
        else:
            report = run_replay(location.setup, manifest, lambda stage, fraction, note: None, folder)
        (deliverable,) = report.deliverables
        return restoration.restore(file, folder / deliverable.file), deliverable.verdict == "identical"


def _print_restored(path: str, file: RestorableFile, is_same: bool) -> None:
    if file.archived:
        print_text(f"{display_name(path)}: as it was in {display_name(file.path)}, from {display_name(file.archived)}.")
    elif is_same:
        print_text(f"{display_name(path)}: made again, identical to {display_name(file.path)}.")
    else:
        print_text(f"{display_name(path)}: made again, but not identical to {display_name(file.path)}. `goldsmith replay` says why.")


def _print_files(location: Location, files: list[RestorableFile], *, as_json: bool) -> None:
    from goldsmith.root_folder import RootFolder

    root = RootFolder(location.root)
    rows = []
    for each in files:
        source = "made again" if not each.archived else each.archived if root.exists(each.archived) else "no longer in the archive"
        if as_json:
            print_json({"path": each.path, "sha256": each.sha256, "at": each.taken_at, "stage": each.stage, "archived": each.archived})
        rows.append((each.path, time.strftime("%Y-%m-%d %H:%M", time.localtime(each.taken_at)), each.stage, source))
    if not as_json and rows:
        print_records(("file", "when", "stage", "source"), rows, headline=("when", "stage"))
