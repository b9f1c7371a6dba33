"""Held assets: the note beside each picture, and the record in the journal that keeps the same problem from being reported twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from goldsmith.errors import InputError
from goldsmith.files import FileSignature, Filesystem, display_text
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import HistoryRow, HoldRecord
from goldsmith.pipeline.intake.bundle import Bundle, BundleKey, bundle_key
from goldsmith.pipeline.scheduler.problem_notes import note_path, remove_note, write_note, write_preview
from goldsmith.pipeline.stage_work import fingerprint
from goldsmith.root_folder import RootFolder


class Holds:
    """Keeps one hold per picture, in the journal. If the journal is lost, each problem is found and reported once more."""

    def __init__(self, root: Path, journal: Journal, fs: Filesystem, wall_clock: Callable[[], float]) -> None:
        self._root = RootFolder(root)
        self._journal = journal
        self._fs = fs
        self._wall_clock = wall_clock
        self._held: dict[str, HoldRecord] = {held.path: held for held in journal.all_holds()}
        # Pictures whose problem may be in the library: their steps name a file of it, or their brief is invalid.
        self._waiting_for_library: set[str] = set(self._held)
        self._picture_by_key: dict[BundleKey, str] = {bundle_key(path): path for path in self._held}

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

    def is_still_held(self, bundle: Bundle, sigs: Mapping[str, FileSignature]) -> bool:
        """Return True if the bundle is unchanged and its note still exists: then it is not tried again."""
        hold = self._held.get(bundle.asset)
        if hold is None:
            return False
        return hold.fingerprint == fingerprint(sigs) and (not hold.note_path or self._root.exists(hold.note_path))

    def hold(
        self,
        bundle: Bundle,
        sigs: Mapping[str, FileSignature],
        problem: InputError,
        history_row: HistoryRow | None,
        may_depend_on_library: bool = True,
        preview: bytes = b"",
    ) -> str:
        """Write the note, record the hold, and return the note's path ("" if the folder takes no note).

        ``history_row`` is set if the picture was read; ``preview`` holds the bytes of a JPEG that is kept beside the note, or b"".
        Raises OSError or HostError if the disk fails.
        """
        picture = bundle.asset or bundle.stem
        sentence, remedy = _showable(problem.sentence), _showable(problem.remedy)
        note = self._write_note(note_path(picture), sentence, remedy, preview)
        held = HoldRecord(picture, fingerprint(sigs), sentence, remedy, note, self._wall_clock())
        self._held[picture] = held
        self._picture_by_key[bundle.key] = picture
        self._journal.record_hold(*held)
        (self._waiting_for_library.add if may_depend_on_library else self._waiting_for_library.discard)(picture)
        if history_row is not None:
            self._journal.record_problem(history_row)
        return note

    def record_again(self) -> None:
        """Record every hold in a new journal."""
        for held in self._held.values():
            self._journal.record_hold(*held)

    def release_missing(self) -> None:
        """Release pictures that were removed while the daemon did not run."""
        for picture in tuple(self._held):
            if not self._root.exists(picture):
                self.release(picture)

    def allow_retry(self, picture: str) -> None:
        """Allow another try with unchanged files. The note stays until the result is known."""
        held = self._held.get(picture)
        if held is not None:
            self._held[picture] = held._replace(fingerprint="")

    def release_bundle(self, bundle: Bundle) -> None:
        """Release a bundle that has changed or whose note was deleted, and the hold on its brief from before its picture arrived."""
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
            if held.note_path:
                remove_note(self._root, held.note_path)

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


def _showable(sentence: str) -> str:
    """Return the sentence as a note may show it: valid Unicode without characters that a terminal obeys or that nobody sees."""
    return display_text(sentence.encode("utf-8", "replace").decode())
