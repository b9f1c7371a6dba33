"""Assets that wait with a problem: the note beside the picture, and the memory that the problem was told already."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from goldsmith.errors import InputError
from goldsmith.files import FileSignature, Filesystem
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import HistoryRow, HoldRecord
from goldsmith.pipeline.intake.bundle import Bundle, BundleKey, bundle_key
from goldsmith.pipeline.scheduler.problem_notes import note_path, remove_note, write_note, write_preview
from goldsmith.pipeline.scheduler.work_item import fingerprint


class Holds:
    """One hold a picture. The journal remembers it; with the journal gone the problem is found, and told, once more."""

    def __init__(self, root: Path, journal: Journal, fs: Filesystem, wall_clock: Callable[[], float]) -> None:
        self._root = root
        self._journal = journal
        self._fs = fs
        self._wall_clock = wall_clock
        self._held: dict[str, HoldRecord] = {held.path: held for held in journal.all_holds()}
        self._waiting_for_library: set[str] = set(self._held)
        # Pictures for which the library may be to blame: what was asked of them names it, or is wrong itself.
        self._picture_by_key: dict[BundleKey, str] = {bundle_key(path): path for path in self._held}

    def __contains__(self, picture: str) -> bool:
        return picture in self._held

    def __len__(self) -> int:
        return len(self._held)

    def waiting_for_library(self) -> tuple[str, ...]:
        """The pictures that may be free once something in the library changed: what it lacked may be there by now."""
        return tuple(picture for picture in self._held if picture in self._waiting_for_library)

    def is_still_held(self, bundle: Bundle, sigs: Mapping[str, FileSignature]) -> bool:
        """True while nothing about the bundle has changed and its note still lies there: then it is not tried again."""
        held = self._held.get(bundle.asset)
        if held is None:
            return False
        return held.fingerprint == fingerprint(sigs) and (not held.note_path or os.path.lexists(self._root / held.note_path))

    def hold(
        self,
        bundle: Bundle,
        sigs: Mapping[str, FileSignature],
        problem: InputError,
        history_row: HistoryRow | None,
        may_depend_on_library: bool = True,
        preview: bytes = b"",
    ) -> str:
        """Write the note and remember it; its path. ``row`` goes on record where bytes were read and found wanting.

        ``shown``: a JPEG that comes to lie beside the note and goes away with it.
        """
        picture = bundle.asset or bundle.stem
        sentence, remedy = _encodable(problem.sentence), _encodable(problem.remedy)
        note = self._write_note(note_path(picture), sentence, remedy, preview)
        held = HoldRecord(picture, fingerprint(sigs), sentence, remedy, note, self._wall_clock())
        self._held[picture] = held
        self._picture_by_key[bundle.key] = picture
        self._journal.record_hold(*held)
        (self._waiting_for_library.add if may_depend_on_library else self._waiting_for_library.discard)(picture)
        if history_row is not None:
            self._journal.record_problem(history_row)
        return note

    def release_missing(self) -> None:
        """At a start: what was taken away while nobody looked needs no note any longer."""
        for picture in tuple(self._held):
            if not os.path.lexists(self._root / picture):
                self.release(picture)

    def allow_retry(self, picture: str) -> None:
        """Let the picture be tried once more as it is; its note stays until something better is known."""
        held = self._held.get(picture)
        if held is not None:
            self._held[picture] = held._replace(fingerprint="")

    def release_bundle(self, bundle: Bundle) -> None:
        """The bundle changed, or its note was deleted; what was wrong with its brief before the picture came is over as well."""
        self.release(bundle.asset)
        if bundle.picture is not None and bundle.brief is not None:
            self.release(bundle.brief)

    def release_key(self, key: BundleKey) -> None:
        """There is no such bundle any more."""
        path = self._picture_by_key.get(key)
        if path is not None:
            self.release(path)

    def release(self, picture: str) -> None:
        """Forget the problem and take the note away."""
        held = self._held.get(picture)
        if held is not None:
            self._picture_by_key.pop(bundle_key(picture), None)
            self._journal.release_hold(picture)
            del self._held[picture]
            if held.note_path:
                remove_note(self._root, held.note_path)

    def _write_note(self, note: str, sentence: str, remedy: str, preview: bytes) -> str:
        """Write the note; "" where the picture's own folder does not take one: then only the journal tells, and the line goes on."""
        try:
            if preview:
                write_preview(self._fs, self._root, note, preview)
            write_note(self._fs, self._root, note, sentence, remedy)
        except PermissionError:
            if not os.access(self._root / note.partition("/")[0], os.W_OK | os.X_OK, effective_ids=True):
                raise
            return ""
        return note


def _encodable(sentence: str) -> str:
    """The sentence without what is no text: undecodable bytes of a file's name."""
    return sentence.encode("utf-8", "replace").decode()
