"""Gives a candidate that a person takes back from the archive the rest of its brief, as if ``select`` had picked it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import tomllib
from pathlib import Path

from goldsmith.brief.pipeline import Pipeline
from goldsmith.files import FileSignature, Filesystem, write_atomically_in
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import CompletedPlan, HistoryRow, PlacedFile
from goldsmith.pipeline.commit.naming import is_in_archive
from goldsmith.pipeline.intake.bundle import Bundle
from goldsmith.root_folder import RootFolder

# What the record calls such a file.
_CANDIDATE = "candidate"


class CandidateBriefs:
    """Writes the briefs of candidates, each once: a person who deletes it means that."""

    def __init__(self, root: Path, pipeline: Pipeline, journal: Journal, fs: Filesystem) -> None:
        self._root = RootFolder(root)
        self._pipeline = pipeline
        self._journal = journal
        self._fs = fs

    def rows_of(self, bundle: Bundle) -> list[HistoryRow]:
        """Return the jobs that archived a candidate of this name and have a brief for the folder in which the picture lies alone."""
        stage = self._pipeline.stage_of_folder(bundle.folder)
        if stage is None or bundle.picture is None:
            return []
        versions = self._journal.versions_named([bundle.stem])
        job_ids = dict.fromkeys(version.job_id for version in versions if version.is_result and is_in_archive(version.path))
        rows = (self._journal.committed_row(job_id) for job_id in job_ids)
        later_stages = [each.name for each in self._pipeline.stages[self._pipeline.index_of(stage.name) :]]
        return [row for row in rows if row is not None and row.stage not in later_stages and _mentions(row, later_stages)]

    def write(self, bundle: Bundle, rows: list[HistoryRow]) -> PlacedFile | None:
        """Write the brief beside the picture if its bytes are those of a candidate, and return it; None if it is another picture.

        ``rows``: those of ``rows_of``. Raises OSError.
        """
        path = bundle.picture or ""
        brief_path = posixpath.splitext(path)[0] + ".toml"
        placed = self._journal.placed_file(brief_path)
        sha256 = self._hash(path)
        row = next((row for row in rows if sha256 in _candidate_hashes(row)), None)
        if row is None or (placed is not None and placed.job_id == row.job_id):
            return None
        data, folder = str(row.record["brief"]).encode(), posixpath.dirname(brief_path)
        with contextlib.suppress(FileExistsError, PermissionError), self._root.opened_folder(folder) as descriptor:
            write_atomically_in(self._fs, descriptor, posixpath.basename(brief_path), data, replace=False)
            sig = FileSignature.from_stat(self._root.lstat(brief_path))
            brief = PlacedFile(path=brief_path, sig=sig, sha256=hashlib.sha256(data).hexdigest(), job_id=row.job_id)
            self._journal.complete_plans([CompletedPlan("", (), (brief,), ())])
            return brief
        return None

    def _hash(self, path: str) -> str:
        with os.fdopen(self._root.open_file(path), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def _candidate_hashes(row: HistoryRow) -> list[str]:
    entries = row.record.get("archive_only")
    candidates = [entry for entry in (entries if isinstance(entries, list) else ()) if isinstance(entry, dict)]
    return [str(entry.get("sha256")) for entry in candidates if entry.get("what") == _CANDIDATE]


def _mentions(row: HistoryRow, stages: list[str]) -> bool:
    """Return whether the job has archived candidates, and its brief speaks of one of these stages."""
    if not _candidate_hashes(row):
        return False
    with contextlib.suppress(tomllib.TOMLDecodeError):
        return not set(stages).isdisjoint(tomllib.loads(str(row.record.get("brief", ""))))
    return False
