"""Held assets: the note beside each picture, and the record in the journal that keeps the same problem from being reported twice."""

from __future__ import annotations

import heapq
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from goldsmith.errors import InputError, join_sentences
from goldsmith.files import FileSignature, Filesystem, display_text, hide_server_paths
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import HistoryRow, HoldRecord
from goldsmith.pipeline.intake.bundle import Bundle, BundleKey, bundle_key
from goldsmith.pipeline.scheduler.problem_notes import note_path, remove_note, write_note, write_preview
from goldsmith.pipeline.stage_work import fingerprint
from goldsmith.root_folder import RootFolder

# The fingerprint of a hold that is tried again by itself. No bundle has it, so the next daemon tries such a hold at its start.
_TRIED_AGAIN = ""
# The longest time between two tries of such a hold, in seconds.
_MAX_RETRY_SECONDS = 600.0


@dataclass(slots=True)
class _Retry:
    """When a hold is tried again although no file changes: a permission that is mended changes none."""

    # Monotonic time, and the seconds from the last try.
    at: float
    delay: float
    # Folders that must be writable before another try makes sense.
    folders: tuple[str, ...]
    # The fingerprint of the files: after a change they are tried at once.
    fingerprint: str


class Holds:
    """Keeps one hold per picture, in the journal. If the journal is lost, each problem is found and reported once more.

    ``retry_seconds``: the first wait of a hold that is tried again by itself. Each further wait is twice as long.
    """

    def __init__(
        self,
        root: Path,
        journal: Journal,
        fs: Filesystem,
        wall_clock: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
        retry_seconds: float = 10.0,
        server_folders: Sequence[str] = (),
    ) -> None:
        """``server_folders``: absolute paths outside the root that no note shows."""
        self._server_folders = (os.fspath(root), *server_folders)
        self._root = RootFolder(root)
        self._journal = journal
        self._fs = fs
        self._wall_clock = wall_clock
        self._clock = clock
        self._retry_seconds = retry_seconds
        self._held: dict[str, HoldRecord] = {held.path: held for held in journal.all_holds()}
        # Pictures whose problem may be in the library: their steps name a file of it, or their brief is invalid.
        self._waiting_for_library: set[str] = set(self._held)
        self._picture_by_key: dict[BundleKey, str] = {bundle_key(path): path for path in self._held}
        # Pictures whose hold is tried again by itself, and when.
        self._tried_again: set[str] = {path for path, held in self._held.items() if held.fingerprint == _TRIED_AGAIN}
        self._retries: dict[str, _Retry] = {}
        self._retry_timers: list[tuple[float, str]] = []

    @property
    def records(self) -> Mapping[str, HoldRecord]:
        """The held assets, by path."""
        return self._held

    def has_key(self, key: BundleKey) -> bool:
        """Return whether the bundle with this key is held."""
        return key in self._picture_by_key

    def waiting_for_library(self) -> tuple[str, ...]:
        """Return the held pictures whose problem may be solved by a change in the library."""
        return tuple(picture for picture in self._held if picture in self._waiting_for_library)

    def without_note(self, limit: int) -> dict[str, str]:
        """Return up to ``limit`` held pictures whose folder takes no note, each with its problem: nobody sees it in the folder."""
        silent = ((picture, join_sentences(held.sentence, held.remedy)) for picture, held in self._held.items() if not held.note_path)
        return dict(islice(silent, limit))

    def is_still_held(self, bundle: Bundle, sigs: Mapping[str, FileSignature]) -> bool:
        """Return True if the bundle is unchanged and its note still exists: then it is not tried again before its time."""
        hold = self._held.get(bundle.asset)
        if hold is None or (hold.note_path and not self._root.exists(hold.note_path)):
            return False
        retry = self._retries.get(bundle.asset)
        if retry is not None:
            return retry.fingerprint == fingerprint(sigs) and self._clock() < retry.at
        return hold.fingerprint == fingerprint(sigs)

    def is_gone(self, bundle: Bundle) -> bool:
        """Return whether the bundle's picture, or its brief if it has none, is not in its folder any more."""
        return self._root.is_missing(bundle.asset or bundle.stem)

    def is_held_for(self, bundle: Bundle, problem: InputError) -> bool:
        """Return whether the bundle is held for exactly this problem."""
        hold = self._held.get(bundle.asset or bundle.stem)
        return hold is not None and (hold.sentence, hold.remedy) == (self._showable(problem.sentence), self._showable(problem.remedy))

    def hold(
        self,
        bundle: Bundle,
        sigs: Mapping[str, FileSignature],
        problem: InputError,
        history_row: HistoryRow | None,
        may_depend_on_library: bool = True,
        preview: bytes = b"",
        denied_folders: Sequence[str] | None = None,
    ) -> str:
        """Write the note, record the hold, and return the note's path ("" if the folder takes no note).

        ``history_row`` is set if the picture was read; ``preview`` holds the bytes of a JPEG that is kept beside the note, or b"".
        ``denied_folders``: not None if a permission or an unreadable file is the problem, so that it is tried again by itself, as soon as
        these folders are writable. Raises OSError or HostError if the disk fails.
        """
        picture = bundle.asset or bundle.stem
        sentence, remedy = self._showable(problem.sentence), self._showable(problem.remedy)
        note = self._place_note(bundle, problem, preview, is_needed=denied_folders is None)
        if not note and denied_folders is None:
            denied_folders = [picture.rpartition("/")[0]]
        mark = fingerprint(sigs) if denied_folders is None else _TRIED_AGAIN
        held = HoldRecord(picture, mark, sentence, remedy, note, self._wall_clock())
        # Nothing is held before the journal has it: after a failure the bundle is checked again, and its problem is reported then.
        self._journal.record_hold(*held)
        if history_row is not None:
            self._journal.record_problem(history_row)
        self._held[picture] = held
        self._picture_by_key[bundle.key] = picture
        (self._waiting_for_library.add if may_depend_on_library else self._waiting_for_library.discard)(picture)
        self._schedule_retry(picture, sigs, denied_folders)
        return note

    def record_again(self) -> None:
        """Record every hold in a new journal."""
        for held in self._held.values():
            self._journal.record_hold(*held)

    def release_missing(self) -> None:
        """Release pictures that were removed while the daemon did not run."""
        for picture in tuple(self._held):
            if self._root.is_missing(picture):
                self.release(picture)

    def allow_retry(self, picture: str) -> None:
        """Allow another try with unchanged files. The note stays until the result is known."""
        held = self._held.get(picture)
        if held is not None:
            self._held[picture] = held._replace(fingerprint=_TRIED_AGAIN)

    def release_bundle(self, bundle: Bundle) -> None:
        """Release a bundle that has changed or whose note was deleted, and the hold on its brief from before its picture arrived.

        A hold that is tried again by itself stays until the result is known.
        """
        if bundle.asset not in self._tried_again:
            self.release(bundle.asset)
        if bundle.picture is not None and bundle.brief is not None:
            self.release(bundle.brief)

    def release_key(self, key: BundleKey) -> None:
        """Release the picture of a bundle that no longer exists."""
        path = self._picture_by_key.get(key)
        if path is not None:
            self.release(path)

    def release(self, picture: str) -> None:
        """Delete the hold and its note."""
        held = self._held.get(picture)
        if held is not None:
            self._picture_by_key.pop(bundle_key(picture), None)
            self._journal.release_hold(picture)
            del self._held[picture]
            self._tried_again.discard(picture)
            self._retries.pop(picture, None)
            if held.note_path:
                remove_note(self._root, held.note_path)

    # ------------------------------------------------------------------ holds that are tried again by themselves

    def next_retry_at(self) -> float | None:
        """Return the monotonic time of the next try, or None."""
        while self._retry_timers:
            at, picture = self._retry_timers[0]
            retry = self._retries.get(picture)
            if retry is not None and retry.at == at:
                return at
            heapq.heappop(self._retry_timers)
        return None

    def pop_due_retries(self, now: float) -> list[str]:
        """Return the pictures that are tried again now. If a folder still refuses files, the next try is put off instead."""
        due: list[str] = []
        writable: dict[str, bool] = {}
        while (at := self.next_retry_at()) is not None and at <= now:
            _, picture = heapq.heappop(self._retry_timers)
            retry = self._retries[picture]
            if all(self._can_write(folder, writable) for folder in retry.folders):
                due.append(picture)
                retry.delay = min(2 * retry.delay, _MAX_RETRY_SECONDS)
            else:
                retry.at = now + self._retry_seconds
                heapq.heappush(self._retry_timers, (retry.at, picture))
        return due

    def _schedule_retry(self, picture: str, sigs: Mapping[str, FileSignature], denied_folders: Sequence[str] | None) -> None:
        before = self._retries.pop(picture, None)
        if denied_folders is None:
            self._tried_again.discard(picture)
            return
        self._tried_again.add(picture)
        delay = self._retry_seconds if before is None else before.delay
        self._retries[picture] = retry = _Retry(self._clock() + delay, delay, tuple(denied_folders), fingerprint(sigs))
        heapq.heappush(self._retry_timers, (retry.at, picture))

    def _can_write(self, folder: str, known: dict[str, bool]) -> bool:
        """Return whether the folder, or the nearest one above it that exists, takes files. ``known``: the answers so far."""
        while "/" in folder and self._root.is_missing(folder):
            folder = folder.rpartition("/")[0]
        if folder not in known:
            known[folder] = self._root.can_write(folder)
        return known[folder]

    # ------------------------------------------------------------------ notes

    def _showable(self, sentence: str) -> str:
        """Return the sentence as a note may show it: valid Unicode without characters that a terminal obeys or that nobody sees.

        Where files lie on the server is no matter of the people who read notes; the log has it.
        """
        return self.without_server_paths(display_text(sentence.encode("utf-8", "replace").decode()))

    def without_server_paths(self, sentence: str) -> str:
        """Return a sentence as designers read it: without the places of files on the server."""
        return hide_server_paths(sentence, *self._server_folders)

    def _place_note(self, bundle: Bundle, problem: InputError, preview: bytes, *, is_needed: bool) -> str:
        """Return the path of the note, which is written unless the same one is there; "" if the folder takes none.

        Raises OSError unless only the picture's own folder is at fault or no note ``is_needed``.
        """
        picture = bundle.asset or bundle.stem
        before = self._held.get(picture)
        if (
            before is not None
            and before.note_path
            and self.is_held_for(bundle, problem)
            and not preview
            and self._root.exists(before.note_path)
        ):
            return before.note_path
        try:
            return self._write_note(note_path(picture), self._showable(problem.sentence), self._showable(problem.remedy), preview)
        except OSError:
            if is_needed:
                raise
            return ""

    def _write_note(self, note: str, sentence: str, remedy: str, preview: bytes) -> str:
        """Write the note and return its path, or "" if the picture's own folder refuses it: then only the journal holds the problem.

        Raises PermissionError if the stage's folder itself is not writable, since that concerns every picture in it.
        """
        try:
            if preview:
                write_preview(self._fs, self._root, note, preview)
            write_note(self._fs, self._root, note, sentence, remedy)
        except PermissionError:
            if not self._root.can_write(note.partition("/")[0]):
                raise
            return ""
        return note
