"""One file's way from where it lies to where it is to lie, forward and back, from whatever state a crash has left it in.

On one filesystem that is one rename. Between two it is: out of the way under a dot-name, a copy under a dot-name on the other side,
fsync, rename there; and only when the whole plan is safe does the first one go.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import PurePosixPath

from goldsmith.files import (
    FileSignature,
    Filesystem,
    PathAt,
    has_writer,
    inherit_folder_permissions,
)
from goldsmith.pipeline.commit.naming import is_in_archive
from goldsmith.pipeline.commit.open_folders import OpenFolders

PARKED_PREFIX = ".goldsmith-taken-"
COPY_PREFIX = ".goldsmith-copy-"
# Nanoseconds: no filesystem keeps times more coarsely (FAT).
_COARSEST_TIMESTAMP_NS = 2_000_000_000
_NOT_A_FILE_ERRNOS = frozenset({errno.ELOOP, errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.EISDIR})


class NameTaken(Exception):
    """Something that is not ours lies at the goal."""

    def __init__(self, move: FileMove) -> None:
        super().__init__(move.destination)
        self.move = move


class SourceChanged(Exception):
    """The file is gone, was saved over, or is being written."""

    def __init__(self, move: FileMove, sentence: str) -> None:
        super().__init__(sentence)
        self.move = move
        self.sentence = sentence
        # What to look at again.
        self.path = move.source


class SourceMissing(SourceChanged):
    """The file lies neither where it was nor where it was to go."""


class SidecarArrived(SourceChanged):
    """Something that belongs to the file has come, and the work was done without it."""

    def __init__(self, move: FileMove, path: str) -> None:
        super().__init__(move, f"{PurePosixPath(path).name} came while {move.name} was being worked on without it.")
        self.path = path


class FileMove:
    """One take or put of a plan. ``replay``: a run before this one may have done some of it."""

    def __init__(self, fs: Filesystem, folders: OpenFolders, move_id: str, source: str, destination: str, sha256: str) -> None:
        self.fs, self.folders, self.move_id = fs, folders, move_id
        self.source, self.destination, self.sha256 = source, destination, sha256
        self.sig: FileSignature | None = None
        self.is_consume = False
        self.is_recovery = False
        self.has_started = False
        # Whatever lies at the goal is what lay at the origin, even if that was no longer the file that was read.
        self.was_renamed = False
        self.is_cross_device = False
        # What lies at the goal, once it does.
        self.destination_sig: FileSignature | None = None
        # What the file became by being put back: a rename there and back changes its ctime.
        self.restored_sig: FileSignature | None = None

    @property
    def name(self) -> str:
        return PurePosixPath(self.source).name

    # ------------------------------------------------------------------ forward

    def apply(self) -> None:
        """Bring the file to its goal. Raises NameTaken, NotAsRead, Gone or OSError, each with something perhaps half done."""
        goal = self.folders.locate(self.destination, create=True)
        try:
            origin = self.folders.locate(self.source)
        except FileNotFoundError:
            return self._handle_missing_source(goal)
        if self.is_consume:
            if self.is_recovery and self._sig_at(self._parked_at(origin)):
                return self._copy_across(origin, goal)
            if not self._check_source(origin, goal):
                return None
        else:
            self._inherit_permissions(origin, goal)
        self.has_started = True
        self._mark_changed(origin, goal)
        try:
            self.fs.rename_noreplace(origin, goal)
        except FileExistsError:
            self._finish_split_rename(origin, goal)
        except FileNotFoundError:
            return self._handle_missing_source(goal)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return self._copy_across(origin, goal)
        self.was_renamed = True
        return self._verify_arrival(goal)

    def confirm_consumed(self) -> None:
        """All takes were made by a run before this one: only note what lies where."""
        origin, goal = self.folders.locate(self.source, create=True), self.folders.locate(self.destination, create=True)
        self.is_cross_device = self._sig_at(self._parked_at(origin)) is not None
        self.destination_sig = self._sig_at(goal) if self._is_expected_file(goal) else None
        self._mark_changed(origin, goal)

    def clean_up(self) -> None:
        """The whole plan lies safe: what a copy has left at the start may go."""
        if self.is_cross_device:
            origin = self.folders.locate(self.source)
            self._unlink(self._parked_at(origin) if self.is_consume else origin)
            self._mark_changed(origin)

    def _check_source(self, source: PathAt, destination: PathAt) -> bool:
        """False where there is nothing left to do; NotAsRead where the file at the origin is not the one that was read."""
        found = self._sig_at(source)
        if found is None:
            self._handle_missing_source(destination)
            return False
        if self._matches(source, found) if self.is_recovery else found in (self.sig, self.restored_sig):
            return True
        if self.is_recovery and self._is_expected_file(destination):
            self._handle_missing_source(destination)
            return False
        raise SourceChanged(self, f"{self.name} was changed while it was being worked on.")

    def _handle_missing_source(self, destination: PathAt) -> None:
        """Done before, where the file lies at its goal; else it is gone."""
        if not (self.is_recovery and self._is_expected_file(destination)):
            raise SourceMissing(self, f"{self.name} is no longer there.")
        self.has_started = True
        self._mark_changed(destination)
        self._verify_arrival(destination)

    def _finish_split_rename(self, source: PathAt, destination: PathAt) -> None:
        """A rename made of link and unlink was cut in two; NameTaken where the goal is simply taken."""
        if not self._is_same_inode(source, destination):
            raise NameTaken(self)
        self.fs.unlink(source)

    def _copy_across(self, source: PathAt, destination: PathAt) -> None:
        self.is_cross_device = self.has_started = True
        self._mark_changed(source, destination)
        start = self._park(source) if self.is_consume else source
        there = self._sig_at(destination)
        if there is not None and not (self.is_recovery and self._is_expected_file(destination)):
            raise NameTaken(self)
        if there is None:
            half = PathAt(destination.dir_fd, COPY_PREFIX + self.move_id)
            self._unlink(half)
            if self.fs.copy(start, half) != self.sha256 and self.sha256:
                raise SourceChanged(self, f"{self.name} was changed while it was being worked on.")
            self._inherit_permissions(half, destination)
            self.fs.rename_noreplace(half, destination)
        self.destination_sig = self._sig_at(destination)

    def _park(self, source: PathAt) -> PathAt:
        """Out of everybody's way, in the same folder, and looked at once more."""
        parked = self._parked_at(source)
        try:
            self.fs.rename_noreplace(source, parked)
        except FileExistsError:
            if self._is_same_inode(source, parked):
                self.fs.unlink(source)
        except FileNotFoundError:
            if self._sig_at(parked) is None:
                raise SourceMissing(self, f"{self.name} is no longer there.") from None
        self._verify(parked, None)
        return parked

    def _verify_arrival(self, destination: PathAt) -> None:
        if self.is_consume:
            self._verify(destination, None if is_in_archive(self.destination) else destination.dir_fd)
        self.destination_sig = FileSignature.from_stat(self.fs.lstat(destination))

    def _verify(self, at: PathAt, permissions_from: int | None) -> None:
        """NotAsRead unless this is what was read and nobody writes into it. ``like``: a folder whose rights it then gets.

        The lease comes first: whoever wrote until a moment ago has left his mark in the times that are read after it.
        """
        try:
            fd = self.fs.open(at)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM):
                raise _replaced_error(self, error) from error
            found = self._sig_at(at)
        else:
            try:
                if has_writer(fd):
                    raise SourceChanged(self, f"{self.name} is still being written by another program.")
                status = os.fstat(fd)
                found = FileSignature.from_stat(status) if stat.S_ISREG(status.st_mode) else None
                if permissions_from is not None:
                    inherit_folder_permissions(fd, permissions_from)
            finally:
                os.close(fd)
        if found is None or not self._matches(at, found):
            raise SourceChanged(self, f"{self.name} was saved over while it was being worked on.")

    def _inherit_permissions(self, at: PathAt, destination: PathAt) -> None:
        """Group, mode and ACL of the folder it goes to, through a descriptor: a link put in its place is never followed."""
        try:
            fd = self.fs.open(at)
        except OSError:
            return
        try:
            inherit_folder_permissions(fd, destination.dir_fd)
        finally:
            os.close(fd)

    # ------------------------------------------------------------------ back

    def roll_back(self) -> bool:
        """Undo whatever of this leg was done. False where the file could not go home, because a new one lies there."""
        if not (self.has_started or self.is_recovery):
            return True
        goal = self.folders.locate(self.destination, create=True)
        origin = self.folders.locate(self.source, create=True)
        self._mark_changed(origin, goal)
        self._unlink(PathAt(goal.dir_fd, COPY_PREFIX + self.move_id))
        start = self._parked_at(origin) if self.is_consume else origin
        self.destination_sig = None
        if self._sig_at(start) is not None:
            if self._is_expected_file(goal):
                self.fs.unlink(goal)
            return not self.is_consume or self._restore(start, origin)
        return self._restore(goal, origin) if self._is_moved_file(goal, origin) else True

    def _restore(self, at: PathAt, source: PathAt) -> bool:
        if not self._rename_back(at, source):
            return False
        if self._is_expected_file(source):
            self.restored_sig = self._sig_at(source)
        return True

    def _rename_back(self, at: PathAt, source: PathAt) -> bool:
        try:
            self.fs.rename_noreplace(at, source)
        except FileExistsError:
            if not self._is_same_inode(at, source):
                return False
            self.fs.unlink(at)
        except OSError as error:
            if error.errno == errno.EXDEV:
                return self._copy_back(at, source)
            if error.errno == errno.ENOENT and not self.is_consume:
                os.makedirs(os.path.dirname(self.source), exist_ok=True)
                self.fs.rename_noreplace(at, source)
                return True
            raise
        return True

    def _copy_back(self, at: PathAt, source: PathAt) -> bool:
        home = FileMove(self.fs, self.folders, self.move_id, self.destination, self.source, "")
        try:
            home._copy_across(at, source)
        except NameTaken:
            return False
        self.folders.sync_changed()
        home.clean_up()
        return True

    def stranded_path(self) -> str:
        """Where a file that could not go home lies now."""
        origin = self.folders.locate(self.source)
        parked = self._sig_at(self._parked_at(origin)) is not None
        return os.path.join(os.path.dirname(self.source), PARKED_PREFIX + self.move_id) if parked else self.destination

    # ------------------------------------------------------------------ looking

    def is_at_source(self) -> bool:
        """Whether the file lies at its origin, as it was read."""
        try:
            origin = self.folders.locate(self.source)
        except FileNotFoundError:
            return False
        found = self._sig_at(origin)
        return found is not None and (not self.is_consume or self._matches(origin, found))

    def is_at_destination(self) -> bool:
        """Whether the file lies at its goal."""
        return self._is_expected_file(self.folders.locate(self.destination, create=True))

    def _sig_at(self, at: PathAt) -> FileSignature | None:
        try:
            return FileSignature.from_stat(self.fs.lstat(at))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _is_same_inode(self, first: PathAt, second: PathAt) -> bool:
        here, there = self._sig_at(first), self._sig_at(second)
        return here is not None and there is not None and (here.dev, here.ino) == (there.dev, there.ino)

    def _matches(self, at: PathAt, found: FileSignature) -> bool:
        """What was read: same inode, size, time. Where only the inode is another (a copy of ours, some FUSE mounts), the bytes decide."""
        if self.sig is None:
            return False
        if found.same_content(self.sig):
            return True
        alike = (
            found.size == self.sig.size and abs(found.mtime_ns - self.sig.mtime_ns) <= _COARSEST_TIMESTAMP_NS and found.ino != self.sig.ino
        )
        return alike and self._hash_matches(at)

    def _hash_matches(self, at: PathAt) -> bool:
        try:
            return self.fs.sha256(at) == self.sha256
        except OSError as error:
            if error.errno in _NOT_A_FILE_ERRNOS:
                return False
            raise

    def _is_expected_file(self, at: PathAt) -> bool:
        found = self._sig_at(at)
        return found is not None and self._matches(at, found)

    def _is_moved_file(self, destination: PathAt, source: PathAt) -> bool:
        """The very file that was moved, even if somebody has written into it since, or had replaced it just before.

        After a crash nobody knows what was moved; but where the origin is empty, only this plan can have put something into the archive.
        """
        found = self._sig_at(destination)
        if found is None or self.was_renamed:
            return found is not None
        if (self.sig is not None and found.ino == self.sig.ino) or self._matches(destination, found):
            return True
        return self.is_recovery and self.is_consume and is_in_archive(self.destination) and self._sig_at(source) is None

    def _parked_at(self, source: PathAt) -> PathAt:
        return PathAt(source.dir_fd, PARKED_PREFIX + self.move_id)

    def _mark_changed(self, *paths: PathAt) -> None:
        for at in paths:
            self.folders.mark_changed(at)

    def _unlink(self, at: PathAt) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.fs.unlink(at)


def _replaced_error(move: FileMove, error: OSError) -> Exception:
    """What it means that a file which was just renamed cannot be opened: a link or nothing in its place, or a failing disk."""
    return SourceChanged(move, f"{move.name} was replaced while it was being worked on.") if error.errno in _NOT_A_FILE_ERRNOS else error
