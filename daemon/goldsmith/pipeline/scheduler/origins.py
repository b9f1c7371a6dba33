"""Finds the job that made a picture: by the bytes of its file, by the id in it, by the place where it lies, else by its look and name.

A picture that a person put there for the first time has no such job. If its bytes are those of an earlier original, it is new work as well.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
from collections.abc import Sequence
from typing import Literal

from goldsmith.brief.pipeline import REVIEW_FOLDER
from goldsmith.files import FileSignature, fold_name
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import PictureVersion
from goldsmith.pipeline.commit.naming import is_in_archive, split_version, with_version
from goldsmith.pipeline.intake.bundle import split_tray
from goldsmith.pipeline.intake.file_names import candidate_base, classify
from goldsmith.pipeline.stage_work import UNKNOWN_ORIGIN, PictureOrigin, StageWork
from goldsmith.root_folder import RootFolder


class Origins:
    """Looks pictures up in one journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def find(self, work: StageWork) -> PictureOrigin:
        """Return the origin of a picture whose job has ended: its bytes were read, and what it says of itself."""
        if work.bundle.is_lone_brief:
            return UNKNOWN_ORIGIN
        path = work.asset_path
        sha256 = work.hashes[path]
        waiting = _waiting_place(work)
        for place in (path, waiting):
            placed = self._journal.placed_file(place)
            if placed is not None and placed.sha256 == sha256:
                return PictureOrigin(placed.job_id, "bytes")
        return (
            self._find_by_bytes(path, sha256)
            or self._find_by_id(work)
            or self._find_by_path(waiting)
            or self._find_waiting(work, waiting)
            or self._find_by_look(work)
        )

    def places_in_review(self, work: StageWork) -> list[str]:
        """Return where in review/ the picture waited, by its bytes, else by the id in it; several places if copies of it waited.

        If one of several has left its place, it is that one.
        """
        sha256 = work.hashes[work.asset_path]
        places = self._waiting_in_review(self._journal.versions_by_hash(sha256), sha256)
        for document_id in work.final_outcome.identity.ids:
            places = places or self._waiting_in_review(self._journal.versions_by_id(document_id), "")
        root = RootFolder(work.job.root)
        waiting = [place for place in places if _has_brief(root, place)]
        return [place for place in waiting if not root.exists(place)] or waiting

    def _waiting_in_review(self, versions: Sequence[PictureVersion], sha256: str) -> list[str]:
        """Return the places in review/ where jobs have put these versions, or, with these bytes, pictures that they did not change."""
        places: dict[str, None] = {}
        for version in versions:
            row = None if version.is_result else self._journal.committed_row(version.job_id)
            for path in (version.path,) if row is None else row.results:
                placed = self._journal.placed_file(path) if _is_picture_in_review(path) else None
                if placed is not None and (version.is_result or placed.sha256 == sha256):
                    places[path] = None
        return list(places)

    def place_of_before(self, work: StageWork) -> tuple[str, FileSignature] | None:
        """Return where the version before a person's work lies now, with its signature; None if there is none, or if it is gone."""
        before = work.origin.before
        if before is None:
            return None
        root, paths = RootFolder(work.job.root), [version.path for version in self._journal.versions_by_hash(before.sha256)]
        for path in dict.fromkeys(path for path in (*paths, before.path) if path != work.asset_path):
            with contextlib.suppress(OSError):
                sig = FileSignature.from_stat(root.lstat(path))
                if self._is_version(path, sig, before):
                    return path, sig
        return None

    def _is_version(self, path: str, sig: FileSignature, before: PictureVersion) -> bool:
        """Return whether the file is the one that was put there: nobody writes to the archive, and a placed file has its signature."""
        placed = self._journal.placed_file(path)
        return is_in_archive(path) or (placed is not None and placed.sha256 == before.sha256 and placed.sig.same_content(sig))

    def _find_by_bytes(self, path: str, sha256: str) -> PictureOrigin | None:
        results = [version for version in self._journal.versions_by_hash(sha256) if version.is_result]
        if results:
            return PictureOrigin(next((version for version in results if version.path == path), results[0]).job_id, "bytes")
        first = self._journal.first_taken(sha256)
        row = None if first is None else self._journal.committed_row(first.job_id)
        return None if row is None else PictureOrigin(row.parent_job_id, "bytes" if row.parent_job_id else "")

    def _find_by_id(self, work: StageWork) -> PictureOrigin | None:
        for document_id in work.final_outcome.identity.ids:
            versions = self._journal.versions_by_id(document_id)
            if versions:  # a copy that was kept in the archive has the same id
                return _changed_from(next((version for version in versions if not is_in_archive(version.path)), versions[0]), "id")
        return None

    def _find_by_path(self, path: str) -> PictureOrigin | None:
        """Return the origin of a file that lies where a job put another one, or a later version of it."""
        for place in (path, *self._earlier_versions(path)):
            version = next((version for version in self._journal.versions_at(place) if version.is_result), None)
            if version is not None and not is_in_archive(version.path) and not self._was_taken(version):
                return _changed_from(version, "path")
        return None

    def _find_by_look(self, work: StageWork) -> PictureOrigin:
        """Return the origin of a picture that looks like one version with its name; if it looks like several, their places alone."""
        known = [version for sha256 in work.final_outcome.identity.alike if (version := self._placed_version(sha256)) is not None]
        if len(known) == 1:
            return _changed_from(known[0], "look")
        return PictureOrigin(unsure=tuple(version.path for version in known)) if known else UNKNOWN_ORIGIN

    def _placed_version(self, sha256: str) -> PictureVersion | None:
        """Return the version with these bytes that a job has made, where it was put down; in the archive only if it lies nowhere else."""
        versions = [version for version in self._journal.versions_by_hash(sha256) if version.is_result]
        return next((version for version in versions if not is_in_archive(version.path)), next(iter(versions), None))

    def _find_waiting(self, work: StageWork, place: str) -> PictureOrigin | None:
        """Return the origin of a picture in review/ that no job has changed, and that a person has saved over while its masks waited."""
        placed = self._journal.placed_file(place) if work.ready.decision is not None else None
        if placed is None:
            return None
        return _changed_from(PictureVersion(placed.sha256, placed.job_id, True, placed.path), "path")

    def _earlier_versions(self, path: str) -> list[str]:
        """Return the places of the versions before ``hero_v003.png`` that jobs have put into its folder, the latest first."""
        folder, name = posixpath.split(path)
        base, number = split_version(os.path.splitext(name)[0])
        if number <= 1:
            return []
        numbers = sorted((each for each in self._journal.placed_versions(folder, fold_name(base)) if each < number), reverse=True)
        return [posixpath.join(folder, with_version(base, each) if each > 1 else base) + ".png" for each in numbers]

    def _was_taken(self, version: PictureVersion) -> bool:
        """Return whether a job has taken that very file from its place: another file there has nothing to do with it."""
        takers = (each for each in self._journal.versions_by_hash(version.sha256) if not each.is_result)
        rows = (self._journal.committed_row(each.job_id) for each in takers)
        return any(row is not None and row.path == version.path for row in rows)


def _is_picture_in_review(path: str) -> bool:
    folder, _, campaign = posixpath.dirname(path).partition("/")
    is_picture = classify(posixpath.basename(path)).role == "picture"
    return folder == REVIEW_FOLDER and is_picture and not split_tray(folder, campaign)[0]


def _has_brief(root: RootFolder, place: str) -> bool:
    """Return whether the brief of a result that waited at a place, or that of the set of a candidate, still lies there."""
    base = posixpath.splitext(place)[0]
    folder, stem = posixpath.split(base)
    return any(root.exists(f"{posixpath.join(folder, each)}.toml") for each in (stem, candidate_base(stem)))


def _waiting_place(work: StageWork) -> str:
    """Return the place of a picture; of one that was dragged out of its place in review/, the place where it waited."""
    bundle, path = work.bundle, work.asset_path
    return path if work.ready.decision is None else posixpath.join(REVIEW_FOLDER, bundle.target_campaign, posixpath.basename(path))


def _changed_from(version: PictureVersion, known_by: Literal["id", "path", "look"]) -> PictureOrigin:
    return PictureOrigin(version.job_id, known_by, version)
