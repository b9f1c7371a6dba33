"""Brings back what a picture was: an input from the archive, or a result that a replay makes again, as a new version in its folder."""

from __future__ import annotations

import contextlib
import json
import os
import posixpath
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from goldsmith.errors import HostError, InputError
from goldsmith.files import MACHINE_ERRNOS, TEMP_PREFIX, Filesystem, PathAt, display_name, fold_name
from goldsmith.jobs.job import BY_HAND
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import HistoryRow
from goldsmith.pipeline.archive.archived_files import manifest_paths
from goldsmith.pipeline.commit.manifest import build_manifest
from goldsmith.pipeline.commit.naming import MAX_NAME_BYTES, next_free_stem, split_version
from goldsmith.pipeline.replay.manifest_reader import MAX_MANIFEST_BYTES, read_record
from goldsmith.pipeline.replay.sources import MissingSource
from goldsmith.root_folder import RootFolder

_MAX_NAME_TRIES = 100


@dataclass(frozen=True, slots=True)
class RestorableFile:
    """A file that was once in the folders."""

    path: str
    sha256: str
    # The beginning of its name that all files of the picture share: ``hero`` of ``hero.mask.png`` and of ``hero_web.avif``.
    stem: str
    # Unix seconds: when its job took it, or put it down.
    taken_at: float
    # The stage and the job that took it, or made it.
    stage: str
    job_id: str
    # Its path in the archive, or "" if it must be made again.
    archived: str

    @property
    def tail(self) -> str:
        """The rest of its name after the stem."""
        return posixpath.basename(self.path)[len(self.stem) :]


def restorable_files(rows: Iterable[HistoryRow]) -> list[RestorableFile]:
    """Return every input and every result of these jobs, in the order of their jobs; each file once, from the archive if it is there."""
    ordered = [row for row in rows if row.outcome in ("passed", "delivered") and row.stage != BY_HAND]
    places = {sha256: place for row in ordered for sha256, place in _kept_results(row)}
    places |= {each.sha256: each.archived for row in ordered for each in _inputs(row) if each.archived}
    files: dict[tuple[str, str], RestorableFile] = {}
    for row in ordered:
        for each in (*_inputs(row), *_results(row)):
            known = files.get((each.path, each.sha256))
            if known is None or (each.archived and not known.archived):
                files[(each.path, each.sha256)] = each
    return [file if file.archived or file.sha256 not in places else _from_archive(file, places) for file in files.values()]


def choose_file(files: Iterable[RestorableFile], paths: Collection[str]) -> RestorableFile | None:
    """Return the last of the files that has one of these paths, in its folder or in the archive; None if there is none."""
    return next((each for each in reversed(list(files)) if each.path in paths or each.archived in paths), None)


def rows_of_manifests(root: Path, final_folder: str, paths: Collection[str]) -> list[HistoryRow]:
    """Return the history that the manifests in the last folder have of a file with one of these paths, for a file that the journal lacks.

    Manifests that cannot be read are left out. Raises HostError if a disk fails.
    """
    folder = RootFolder(root)
    for manifest in manifest_paths(folder, final_folder):
        with contextlib.suppress(InputError, FileNotFoundError, PermissionError, ValueError, TypeError, KeyError):
            read_record(folder, Path(folder.path, manifest))
            rows = _rows_of_manifest(json.loads(folder.read_file(manifest, MAX_MANIFEST_BYTES)))
            if any(not set(paths).isdisjoint(row.file_paths()) for row in rows):
                return rows
    return []


def recorded_manifest(rows: Sequence[HistoryRow], file: RestorableFile) -> bytes:
    """Return a manifest that makes a result again: like that of a delivery which ends with the job that made it.

    ``rows``: the jobs from a person's file to that job.
    """
    entry = {"file": posixpath.basename(file.path), "sha256": file.sha256, "bytes": 0}
    return build_manifest(rows, [entry], str(rows[-1].record.get("brief", "")))


class Restoration:
    """Puts files back into the folders of one root. Nothing is overwritten, and a file appears with all its bytes or not at all."""

    def __init__(self, root: Path, folders: Collection[str], journal: Journal | None, fs: Filesystem | None = None) -> None:
        """``folders``: those of the pipeline; nothing is put anywhere else. ``journal``: None if it cannot be read."""
        self._root = RootFolder(root)
        self._folders = frozenset(folders)
        self._journal = journal
        self._fs = fs or Filesystem()

    def restore(self, file: RestorableFile, source: Path | None = None) -> str:
        """Put a file into its folder as a new version, and return its path: from the archive, or the copy ``source`` outside the root.

        Raises MissingSource if the archive does not have it, InputError if the folder refuses it, HostError if a disk fails.
        """
        folder = posixpath.dirname(file.path)
        if file.path.partition("/")[0] not in self._folders:  # a manifest may name anything
            raise InputError(f"{display_name(file.path)} is in none of the pipeline's folders.", "Name a file of one of these folders.")
        try:
            self._make_folders(folder)
            with self._root.opened_folder(folder) as target, self._opened_source(file, source) as origin:
                temporary = PathAt(target, f"{TEMP_PREFIX}{secrets.token_hex(8)}")
                try:
                    self._copy(file, origin, temporary, check=source is None)
                    name = self._rename(file, folder, temporary)
                except BaseException:
                    with contextlib.suppress(OSError):
                        self._fs.unlink(temporary)
                    raise
                self._fs.fsync_dir(target)
                return posixpath.join(folder, name)
        except OSError as error:
            kind = HostError if error.errno in MACHINE_ERRNOS else InputError
            raise kind(
                f"{display_name(file.path)} cannot be brought back: {error.strerror}.",
                "Check the folder and its permissions; the archive is readable by the service's user and group.",
            ) from error

    def _make_folders(self, folder: str) -> None:
        """Create the folders of a campaign that is gone, below the stage's folder, which must exist."""
        parts = folder.split("/")
        for count in range(2, len(parts) + 1):
            self._root.make_folder("/".join(parts[:count]))

    @contextlib.contextmanager
    def _opened_source(self, file: RestorableFile, source: Path | None) -> Iterator[PathAt]:
        if source is not None:
            yield PathAt.from_path(source)
            return
        folder, _, name = file.archived.rpartition("/")
        try:
            fd = self._root.open_folder(folder)
            self._fs.lstat(PathAt(fd, name))
        except (FileNotFoundError, NotADirectoryError):
            raise MissingSource(
                f"{display_name(file.archived)} is no longer in the archive.", "Look in a backup: it was pruned, or somebody moved it."
            ) from None
        try:
            yield PathAt(fd, name)
        finally:
            os.close(fd)

    def _copy(self, file: RestorableFile, origin: PathAt, temporary: PathAt, *, check: bool) -> None:
        sha256 = self._fs.copy(origin, temporary, temporary.dir_fd)
        if check and sha256 != file.sha256:
            raise MissingSource(
                f"{display_name(file.archived)} is now another file (sha256 {sha256[:12]}…, recorded {file.sha256[:12]}…).",
                "Look for the original in a backup.",
            )

    def _rename(self, file: RestorableFile, folder: str, temporary: PathAt) -> str:
        """Rename the copy to the first free version, and return its name."""
        base, number = split_version(file.stem)
        used = {number, *(self._journal.placed_versions(folder, fold_name(base)) if self._journal is not None else ())}
        names = {fold_name(name) for name in self._root.list_names(folder)[0]}
        max_bytes = MAX_NAME_BYTES - len(os.fsencode(file.tail))
        for _ in range(_MAX_NAME_TRIES):
            stem = next_free_stem(file.stem, used, lambda stem: fold_name(stem + file.tail) not in names, max_bytes)
            with contextlib.suppress(FileExistsError):
                self._fs.rename_noreplace(temporary, PathAt(temporary.dir_fd, stem + file.tail))
                return stem + file.tail
            names.add(fold_name(stem + file.tail))
        raise InputError(f"No free name was found for {display_name(file.path)}.", "Move older versions out of that folder.")


def _rows_of_manifest(content: Mapping[str, Any]) -> list[HistoryRow]:
    """Return the stages of a manifest as rows of the history, each made from the one before."""
    rows: list[HistoryRow] = []
    for number, stage in enumerate(content["stages"], 1):
        taken_at = datetime.fromisoformat(str(stage.get("taken_at", "1970-01-01T00:00:00+00:00"))).timestamp()
        row = HistoryRow(
            job_id=str(number),
            path=stage["inputs"][0]["path"],
            sha256=stage["inputs"][0]["sha256"],
            started_at=taken_at,
            taken_at=taken_at,
            stage=stage["stage"],
            outcome="delivered" if number == len(content["stages"]) else "passed",
            results=tuple(map(str, stage.get("results", ()))),
            parent_job_id=rows[-1].job_id if rows else "",
            record={key: value for key, value in stage.items() if key not in ("stage", "picture", "started_at", "taken_at", "results")},
        )
        rows.append(row)
    return rows


def _inputs(row: HistoryRow) -> Iterator[RestorableFile]:
    """Yield the inputs of a job, with their places in the archive."""
    archived, inputs = row.record.get("archived"), row.record.get("inputs")
    places: dict[str, Any] = archived if isinstance(archived, dict) else {}
    for entry in inputs if isinstance(inputs, list) else ():
        if isinstance(entry, dict):
            path, sha256 = str(entry["path"]), str(entry.get("sha256", ""))
            yield _file(row, path, sha256, _stem(path, row.path), str(places.get(path, "")))


def _kept_results(row: HistoryRow) -> Iterator[tuple[str, str]]:
    """Yield the hash of each file that the job has sent to the archive alone, and its place there."""
    archive_only = row.record.get("archive_only")
    for entry in archive_only if isinstance(archive_only, list) else ():
        if isinstance(entry, dict) and "sha256" in entry and "archived" in entry:
            yield str(entry["sha256"]), str(entry["archived"])


def _results(row: HistoryRow) -> Iterator[RestorableFile]:
    """Yield the results of a job that moved on: those of its record, by the ends of their names."""
    outputs, paths = row.record.get("outputs"), list(row.results)
    for entry in outputs if isinstance(outputs, list) else ():
        if isinstance(entry, dict) and entry.get("role") != "archive_only":
            tail = str(entry["tail"])
            path = next((path for path in paths if path.endswith(tail)), None)
            if path is not None:
                paths.remove(path)
                yield _file(row, path, str(entry["sha256"]), posixpath.basename(path).removesuffix(tail), "")


def _file(row: HistoryRow, path: str, sha256: str, stem: str, archived: str) -> RestorableFile:
    return RestorableFile(path, sha256, stem, row.taken_at, row.stage, row.job_id, archived)


def _from_archive(file: RestorableFile, places: dict[str, str]) -> RestorableFile:
    return RestorableFile(file.path, file.sha256, file.stem, file.taken_at, file.stage, file.job_id, places[file.sha256])


def _stem(path: str, picture_path: str) -> str:
    """Return the stem of an input: that of its picture if its name begins so, else its own name without the suffix."""
    name, picture_stem = posixpath.basename(path), os.path.splitext(posixpath.basename(picture_path))[0]
    return name[: len(picture_stem)] if fold_name(name).startswith(fold_name(picture_stem)) else os.path.splitext(name)[0]
