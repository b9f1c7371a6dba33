"""Prunes archive and journal: removes what is older than a limit and what no younger delivery, and no picture in work, needs.

A row of the history is needed if it is young, if a needed job used its results, or if one of its results still waits in a stage's folder.
A file of the archive is needed if it is young, or if a needed row or the manifest of a young delivery names it. Rows go first, so an
interrupted run leaves files that no row names, and the next run removes them.

A journal knows nothing of what was done before it was made. If it was lost or broken a short time ago, it does not know what the pictures
in the folders need, so nothing is pruned before it is older than the limit itself.

The work is done in small steps, between which the daemon does its other work.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from goldsmith.brief.pipeline import Pipeline
from goldsmith.errors import HostError, InputError
from goldsmith.files import MACHINE_ERRNOS, display_name
from goldsmith.journal.journal import Journal
from goldsmith.journal.old_rows import OldRow
from goldsmith.pipeline.archive.archived_files import archive_days, archived_day, manifest_paths
from goldsmith.pipeline.commit.naming import ARCHIVE_FOLDER
from goldsmith.pipeline.replay.manifest_reader import Manifest, read_record
from goldsmith.root_folder import RootFolder

SECONDS_PER_DAY = 86_400.0
# Rows that are looked at, or removed, in one step: a step holds the journal for a few milliseconds.
_ROWS_PER_STEP = 20
# Pages of the journal that are given back to the disk in one step.
_PAGES_PER_STEP = 200
_NUMBER = re.compile(r"~\d+(?=\.[^./]*$|$)")


@dataclass(slots=True)
class PruneReport:
    """What a run has removed, or would remove."""

    # Everything before this day is old: 2026-10-31.
    archived_before: str
    files: int = 0
    file_bytes: int = 0
    rows: int = 0
    # About how much room the rows take in the journal.
    row_bytes: int = 0
    # Files that are old, and needed.
    kept_files: int = 0
    # Deliveries in the last folder that are older than the limit: their sources may be gone.
    old_deliveries: int = 0
    # When the journal was made, in Unix seconds, if that is after the limit: then nothing was removed. Else 0.
    journal_began_at: float = 0.0
    # The first file that could not be removed, with the reason, and how many there are.
    refusal: str = ""
    refused_files: int = 0


class Pruning:
    """One run for one root. ``steps`` does the work; ``report`` grows with it."""

    def __init__(self, root: Path, pipeline: Pipeline, journal: Journal, days: float, now: float, *, is_dry_run: bool) -> None:
        """``now`` is in Unix seconds. A dry run changes nothing."""
        self._final_folder = pipeline.final_folder
        self._root = RootFolder(root)
        self._stage_folders = frozenset(pipeline.watched_folders)
        self._journal = journal
        self._now = now
        self._taken_before = now - days * SECONDS_PER_DAY
        self._is_dry_run = is_dry_run
        # Paths in the archive that the manifests of young deliveries name.
        self._named_paths: set[str] = set()
        # Of those that are not there, the path without day and number: somebody may have moved the file to another day.
        self._moved_paths: set[str] = set()
        # The rows of this batch that go; in a dry run, all rows that would be gone.
        self._dropped_seqs: set[int] = set()
        self.report = PruneReport(datetime.fromtimestamp(self._taken_before, UTC).strftime("%Y-%m-%d"))

    def steps(self) -> Iterator[None]:
        """Do the work, a small step at a time.

        Raises InputError if the manifest of a young delivery cannot be read, before anything is removed; HostError if a disk fails.
        """
        began_at = self._journal.began_at()
        if began_at >= self._taken_before:
            self.report.journal_began_at = began_at
            return
        yield from self._read_manifests()
        if not self._is_dry_run:
            self._journal.record_prune(self._now, self.report.archived_before)
        for _ in chain(self._prune_rows(), self._prune_files()):
            yield
            if self._journal.began_at() != began_at:  # it was replaced meanwhile
                return
        while not self._is_dry_run and self._journal.shrink(_PAGES_PER_STEP):
            yield

    # ------------------------------------------------------------------ what manifests need

    def _read_manifests(self) -> Iterator[None]:
        for path in manifest_paths(self._root, self._final_folder):
            if self._is_young_file(path):
                manifest = self._read_manifest(path)
                if _delivered_at(manifest) >= self._taken_before:
                    self._protect(manifest)
                    yield
                    continue
            self.report.old_deliveries += 1
            yield

    def _is_young_file(self, path: str) -> bool:
        """Return whether the file was written after the limit; an older one cannot be the manifest of a young delivery."""
        try:
            status = self._root.lstat(path)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unreadable(path, str(error.strerror)) from error
        return status.st_mtime >= self._taken_before

    def _read_manifest(self, path: str) -> Manifest:
        try:
            return read_record(self._root, Path(self._root.path, path))
        except InputError as error:
            raise _unreadable(path, error.sentence.rstrip(".")) from error
        except OSError as error:
            raise _unreadable(path, str(error.strerror)) from error

    def _protect(self, manifest: Manifest) -> None:
        for stage in manifest.stages:
            named_paths = [*stage.archived.values(), *(each.archived for each in stage.archive_only)]
            old_paths = [path for path in named_paths if archived_day(path) < self.report.archived_before]
            self._named_paths.update(old_paths)
            self._moved_paths.update(_path_in_day(path) for path in old_paths if not self._root.exists(path))

    # ------------------------------------------------------------------ the journal

    def _prune_rows(self) -> Iterator[None]:
        """Remove old rows from the newest to the oldest: what a row's job has made is decided before the row itself."""
        last: OldRow | None = None
        while rows := self._journal.next_old_rows(self._taken_before, last, _ROWS_PER_STEP):
            last = rows[-1]
            # A commit that is under way has moved files whose row is not written yet.
            parents = {(plan.hand_row or plan.history_row).parent_job_id for plan in self._journal.open_plans()}
            dropped = []
            for row in rows:
                if row.job_id not in parents and self._is_unneeded(row):
                    dropped.append(row)
                    self._dropped_seqs.add(row.seq)
            self._drop(dropped)
            yield

    def _is_unneeded(self, row: OldRow) -> bool:
        if any(seq not in self._dropped_seqs for seq in self._journal.next_jobs(row.job_id)):
            return False
        return not any(
            path.partition("/")[0] in self._stage_folders and self._root.exists(path) for path in self._journal.placed_paths(row.job_id)
        )

    def _drop(self, rows: list[OldRow]) -> None:
        self.report.rows += len(rows)
        if self._is_dry_run:
            self.report.row_bytes += self._journal.row_bytes(rows)
        elif rows:
            self.report.row_bytes += self._journal.remove_rows(rows)
            self._dropped_seqs.clear()

    # ------------------------------------------------------------------ the archive

    def _prune_files(self) -> Iterator[None]:
        for day in archive_days(self._root):
            if day < self.report.archived_before:
                folders = []
                for folder_path, names in self._root.walk(f"{ARCHIVE_FOLDER}/{day}"):
                    folders.append(folder_path)
                    for name in names:
                        self._prune_file(f"{folder_path}/{name}")
                        yield
                if not self._is_dry_run:
                    self._remove_empty_folders(folders)

    def _prune_file(self, path: str) -> None:
        if self._is_named(path):
            self.report.kept_files += 1
            return
        try:
            size = self._root.lstat(path).st_size
            if not self._is_dry_run:
                self._root.unlink(path)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno in MACHINE_ERRNOS:
                raise HostError(f"{display_name(path)} cannot be removed: {error.strerror}.", "Check the disk of archive/.") from error
            self.report.refusal = self.report.refusal or f"{display_name(path)} cannot be removed: {error.strerror}."
            self.report.refused_files += 1
            return
        self.report.files += 1
        self.report.file_bytes += size

    def _is_named(self, path: str) -> bool:
        if path in self._named_paths or _path_in_day(path) in self._moved_paths:
            return True
        return any(seq not in self._dropped_seqs for seq in self._journal.rows_with_file(path))

    def _remove_empty_folders(self, folders: list[str]) -> None:
        """Remove those of the folders that are empty, the deepest first."""
        for path in sorted(folders, key=lambda path: path.count("/"), reverse=True):
            with contextlib.suppress(OSError), self._root.opened_folder(posixpath.dirname(path)) as parent:
                os.rmdir(posixpath.basename(path), dir_fd=parent)


def _delivered_at(manifest: Manifest) -> float:
    """Return the time of a delivery in Unix seconds; infinity if the manifest does not say: then it counts as young."""
    try:
        moment = datetime.fromisoformat(manifest.delivered_at)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return float("inf")


def _path_in_day(path: str) -> str:
    """Return a path of the archive without its day and its number: ``inbox/hero.png`` of ``archive/2026-10-31/inbox/hero~2.png``."""
    return _NUMBER.sub("", path.split("/", 2)[-1])


def _unreadable(path: str, reason: str) -> InputError:
    return InputError(
        f"Nothing is pruned: {display_name(path)} cannot be read ({reason}), so what that delivery needs is unknown.",
        "Repair it, or move it out of the folder if its delivery need not be made again.",
    )
