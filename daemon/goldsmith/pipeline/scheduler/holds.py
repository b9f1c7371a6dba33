"""Assets that wait with a problem: the note beside the picture, and the memory that the problem was told already."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from goldsmith.errors import Problem
from goldsmith.files import Filesystem, Sig
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import Held, TakenRow
from goldsmith.pipeline.intake.bundle import Bundle, Key, key_of
from goldsmith.pipeline.scheduler.notes import note_path, remove_note, write_note, write_shown
from goldsmith.pipeline.scheduler.work import fingerprint


class Holds:
    """One hold a picture. The journal remembers it; with the journal gone the problem is found, and told, once more."""

    def __init__(self, root: Path, journal: Journal, fs: Filesystem, wall: Callable[[], float]) -> None:
        self._root = root
        self._journal = journal
        self._fs = fs
        self._wall = wall
        self._held: dict[str, Held] = {held.path: held for held in journal.all_held()}
        self._waiting_for_library: set[str] = set(self._held)
        self._paths: dict[Key, str] = {key_of(path): path for path in self._held}
        """Pictures for which the library may be to blame: what was asked of them names it, or is wrong itself."""

    def __contains__(self, picture: str) -> bool:
        return picture in self._held

    def __len__(self) -> int:
        return len(self._held)

    def mended_by_library(self) -> tuple[str, ...]:
        """The pictures that may be free once something in the library changed: what it lacked may be there by now."""
        return tuple(picture for picture in self._held if picture in self._waiting_for_library)

    def standing(self, bundle: Bundle, sigs: Mapping[str, Sig]) -> bool:
        """True while nothing about the bundle has changed and its note still lies there: then it is not tried again."""
        held = self._held.get(bundle.asset)
        if held is None:
            return False
        return held.fingerprint == fingerprint(sigs) and (not held.note_path or os.path.lexists(self._root / held.note_path))

    def hold(
        self, bundle: Bundle, sigs: Mapping[str, Sig], problem: Problem, row: TakenRow | None, library: bool = True, shown: bytes = b""
    ) -> str:
        """Write the note and remember it; its path. ``row`` goes on record where bytes were read and found wanting.

        ``shown``: a JPEG that comes to lie beside the note and goes away with it.
        """
        picture = bundle.asset or bundle.stem
        sentence, remedy = _text(problem.sentence), _text(problem.remedy)
        note = self._told(note_path(picture), sentence, remedy, shown)
        held = Held(picture, fingerprint(sigs), sentence, remedy, note, self._wall())
        self._held[picture] = held
        self._paths[bundle.key] = picture
        self._journal.hold(*held)
        (self._waiting_for_library.add if library else self._waiting_for_library.discard)(picture)
        if row is not None:
            self._journal.record_problem(row)
        return note

    def forget_gone(self) -> None:
        """At a start: what was taken away while nobody looked needs no note any longer."""
        for picture in tuple(self._held):
            if not os.path.lexists(self._root / picture):
                self.release(picture)

    def forget(self, picture: str) -> None:
        """Let the picture be tried once more as it is; its note stays until something better is known."""
        held = self._held.get(picture)
        if held is not None:
            self._held[picture] = held._replace(fingerprint="")

    def release_bundle(self, bundle: Bundle) -> None:
        """The bundle changed, or its note was deleted; what was wrong with its brief before the picture came is over as well."""
        self.release(bundle.asset)
        if bundle.picture is not None and bundle.brief is not None:
            self.release(bundle.brief)

    def release_key(self, key: Key) -> None:
        """There is no such bundle any more."""
        path = self._paths.get(key)
        if path is not None:
            self.release(path)

    def release(self, picture: str) -> None:
        """Forget the problem and take the note away."""
        held = self._held.get(picture)
        if held is not None:
            self._paths.pop(key_of(picture), None)
            self._journal.release(picture)
            del self._held[picture]
            if held.note_path:
                remove_note(self._root, held.note_path)

    def _told(self, note: str, sentence: str, remedy: str, shown: bytes) -> str:
        """Write the note; "" where the picture's own folder does not take one: then only the journal tells, and the line goes on."""
        try:
            if shown:
                write_shown(self._fs, self._root, note, shown)
            write_note(self._fs, self._root, note, sentence, remedy)
        except PermissionError:
            if not os.access(self._root / note.partition("/")[0], os.W_OK | os.X_OK, effective_ids=True):
                raise
            return ""
        return note


def _text(sentence: str) -> str:
    """The sentence without what is no text: undecodable bytes of a file's name."""
    return sentence.encode("utf-8", "replace").decode()
