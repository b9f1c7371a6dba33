"""One file's way from where it lies to where it is to lie, forward and back, from whatever state a crash has left it in.

On one filesystem that is one rename. Between two it is: out of the way under a dot-name, a copy under a dot-name on the other side,
fsync, rename there; and only when the whole plan is safe does the first one go.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import PurePosixPath

from goldsmith.files import (
    At,
    Filesystem,
    Sig,
    has_writer,
    is_regular,
    like_folder,
)
from goldsmith.pipeline.commit.folders import Folders
from goldsmith.pipeline.commit.naming import in_archive

PARKED_PREFIX = ".goldsmith-taken-"
COPY_PREFIX = ".goldsmith-copy-"
_COARSEST = 2_000_000_000
"""Nanoseconds: no filesystem keeps times more coarsely (FAT)."""
_NOT_A_FILE = frozenset({errno.ELOOP, errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.EISDIR})


class NameTaken(Exception):
    """Something that is not ours lies at the goal."""

    def __init__(self, leg: Leg) -> None:
        super().__init__(leg.goal)
        self.leg = leg


class NotAsRead(Exception):
    """The file is gone, was saved over, or is being written."""

    def __init__(self, leg: Leg, sentence: str) -> None:
        super().__init__(sentence)
        self.leg = leg
        self.sentence = sentence
        self.path = leg.origin
        """What to look at again."""


class Gone(NotAsRead):
    """The file lies neither where it was nor where it was to go."""


class NotAlone(NotAsRead):
    """Something that belongs to the file has come, and the work was done without it."""

    def __init__(self, leg: Leg, path: str) -> None:
        super().__init__(leg, f"{PurePosixPath(path).name} came while {leg.name} was being worked on without it.")
        self.path = path


class Leg:
    """One take or put of a plan. ``replay``: a run before this one may have done some of it."""

    def __init__(self, fs: Filesystem, folders: Folders, mark: str, origin: str, goal: str, sha256: str) -> None:
        self.fs, self.folders, self.mark = fs, folders, mark
        self.origin, self.goal, self.sha256 = origin, goal, sha256
        self.sig: Sig | None = None
        self.take = False
        self.replay = False
        self.begun = False
        self.moved = False
        """Whatever lies at the goal is what lay at the origin, even if that was no longer the file that was read."""
        self.across = False
        self.lies: Sig | None = None
        """What lies at the goal, once it does."""
        self.home: Sig | None = None
        """What the file became by being put back: a rename there and back changes its ctime."""

    @property
    def name(self) -> str:
        return PurePosixPath(self.origin).name

    # ------------------------------------------------------------------ forward

    def forward(self) -> None:
        """Bring the file to its goal. Raises NameTaken, NotAsRead, Gone or OSError, each with something perhaps half done."""
        goal = self.folders.at(self.goal, make=True)
        try:
            origin = self.folders.at(self.origin)
        except FileNotFoundError:
            return self._nothing_at_origin(goal)
        if self.take:
            if self.replay and self._look(self._parked(origin)):
                return self._across(origin, goal)
            if not self._check_origin(origin, goal):
                return None
        else:
            self._rights(origin, goal)
        self.begun = True
        self._touch(origin, goal)
        try:
            self.fs.rename_noreplace(origin, goal)
        except FileExistsError:
            self._cut_in_two(origin, goal)
        except FileNotFoundError:
            return self._nothing_at_origin(goal)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return self._across(origin, goal)
        self.moved = True
        return self._arrived(goal)

    def confirm(self) -> None:
        """All takes were made by a run before this one: only note what lies where."""
        origin, goal = self.folders.at(self.origin, make=True), self.folders.at(self.goal, make=True)
        self.across = self._look(self._parked(origin)) is not None
        self.lies = self._look(goal) if self._is_ours(goal) else None
        self._touch(origin, goal)

    def finish(self) -> None:
        """The whole plan lies safe: what a copy has left at the start may go."""
        if self.across:
            origin = self.folders.at(self.origin)
            self._unlink(self._parked(origin) if self.take else origin)
            self._touch(origin)

    def _check_origin(self, origin: At, goal: At) -> bool:
        """False where there is nothing left to do; NotAsRead where the file at the origin is not the one that was read."""
        found = self._look(origin)
        if found is None:
            self._nothing_at_origin(goal)
            return False
        if self._same(origin, found) if self.replay else found in (self.sig, self.home):
            return True
        if self.replay and self._is_ours(goal):
            self._nothing_at_origin(goal)
            return False
        raise NotAsRead(self, f"{self.name} was changed while it was being worked on.")

    def _nothing_at_origin(self, goal: At) -> None:
        """Done before, where the file lies at its goal; else it is gone."""
        if not (self.replay and self._is_ours(goal)):
            raise Gone(self, f"{self.name} is no longer there.")
        self.begun = True
        self._touch(goal)
        self._arrived(goal)

    def _cut_in_two(self, origin: At, goal: At) -> None:
        """A rename made of link and unlink was cut in two; NameTaken where the goal is simply taken."""
        if not self._one_file(origin, goal):
            raise NameTaken(self)
        self.fs.unlink(origin)

    def _across(self, origin: At, goal: At) -> None:
        self.across = self.begun = True
        self._touch(origin, goal)
        start = self._park(origin) if self.take else origin
        there = self._look(goal)
        if there is not None and not (self.replay and self._is_ours(goal)):
            raise NameTaken(self)
        if there is None:
            half = At(goal.folder, COPY_PREFIX + self.mark)
            self._unlink(half)
            if self.fs.copy(start, half) != self.sha256 and self.sha256:
                raise NotAsRead(self, f"{self.name} was changed while it was being worked on.")
            self._rights(half, goal)
            self.fs.rename_noreplace(half, goal)
        self.lies = self._look(goal)

    def _park(self, origin: At) -> At:
        """Out of everybody's way, in the same folder, and looked at once more."""
        parked = self._parked(origin)
        try:
            self.fs.rename_noreplace(origin, parked)
        except FileExistsError:
            if self._one_file(origin, parked):
                self.fs.unlink(origin)
        except FileNotFoundError:
            if self._look(parked) is None:
                raise Gone(self, f"{self.name} is no longer there.") from None
        self._verify(parked, None)
        return parked

    def _arrived(self, goal: At) -> None:
        if self.take:
            self._verify(goal, None if in_archive(self.goal) else goal.folder)
        self.lies = Sig.of(self.fs.lstat(goal))

    def _verify(self, at: At, like: int | None) -> None:
        """NotAsRead unless this is what was read and nobody writes into it. ``like``: a folder whose rights it then gets.

        The lease comes first: whoever wrote until a moment ago has left his mark in the times that are read after it.
        """
        try:
            fd = self.fs.open(at)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM):
                raise _replaced(self, error) from error
            found = self._look(at)
        else:
            try:
                if has_writer(fd):
                    raise NotAsRead(self, f"{self.name} is still being written by another program.")
                status = os.fstat(fd)
                found = Sig.of(status) if is_regular(status) else None
                if like is not None:
                    like_folder(fd, like)
            finally:
                os.close(fd)
        if found is None or not self._same(at, found):
            raise NotAsRead(self, f"{self.name} was saved over while it was being worked on.")

    def _rights(self, at: At, goal: At) -> None:
        """Group, mode and ACL of the folder it goes to, through a descriptor: a link put in its place is never followed."""
        try:
            fd = self.fs.open(at)
        except OSError:
            return
        try:
            like_folder(fd, goal.folder)
        finally:
            os.close(fd)

    # ------------------------------------------------------------------ back

    def back(self) -> bool:
        """Undo whatever of this leg was done. False where the file could not go home, because a new one lies there."""
        if not (self.begun or self.replay):
            return True
        goal = self.folders.at(self.goal, make=True)
        origin = self.folders.at(self.origin, make=True)
        self._touch(origin, goal)
        self._unlink(At(goal.folder, COPY_PREFIX + self.mark))
        start = self._parked(origin) if self.take else origin
        self.lies = None
        if self._look(start) is not None:
            if self._is_ours(goal):
                self.fs.unlink(goal)
            return not self.take or self._home(start, origin)
        return self._home(goal, origin) if self._is_this(goal, origin) else True

    def _home(self, at: At, origin: At) -> bool:
        if not self._rename_home(at, origin):
            return False
        if self._is_ours(origin):
            self.home = self._look(origin)
        return True

    def _rename_home(self, at: At, origin: At) -> bool:
        try:
            self.fs.rename_noreplace(at, origin)
        except FileExistsError:
            if not self._one_file(at, origin):
                return False
            self.fs.unlink(at)
        except OSError as error:
            if error.errno == errno.EXDEV:
                return self._home_across(at, origin)
            if error.errno == errno.ENOENT and not self.take:
                os.makedirs(os.path.dirname(self.origin), exist_ok=True)
                self.fs.rename_noreplace(at, origin)
                return True
            raise
        return True

    def _home_across(self, at: At, origin: At) -> bool:
        home = Leg(self.fs, self.folders, self.mark, self.goal, self.origin, "")
        try:
            home._across(at, origin)
        except NameTaken:
            return False
        self.folders.sync()
        home.finish()
        return True

    def astray(self) -> str:
        """Where a file that could not go home lies now."""
        origin = self.folders.at(self.origin)
        parked = self._look(self._parked(origin)) is not None
        return os.path.join(os.path.dirname(self.origin), PARKED_PREFIX + self.mark) if parked else self.goal

    # ------------------------------------------------------------------ looking

    def still_there(self) -> bool:
        """Whether the file lies at its origin, as it was read."""
        try:
            origin = self.folders.at(self.origin)
        except FileNotFoundError:
            return False
        found = self._look(origin)
        return found is not None and (not self.take or self._same(origin, found))

    def reached(self) -> bool:
        """Whether the file lies at its goal."""
        return self._is_ours(self.folders.at(self.goal, make=True))

    def _look(self, at: At) -> Sig | None:
        try:
            return Sig.of(self.fs.lstat(at))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _one_file(self, one: At, other: At) -> bool:
        here, there = self._look(one), self._look(other)
        return here is not None and there is not None and (here.dev, here.ino) == (there.dev, there.ino)

    def _same(self, at: At, found: Sig) -> bool:
        """What was read: same inode, size, time. Where only the inode is another (a copy of ours, some FUSE mounts), the bytes decide."""
        if self.sig is None:
            return False
        if found.same_content(self.sig):
            return True
        alike = found.size == self.sig.size and abs(found.mtime_ns - self.sig.mtime_ns) <= _COARSEST and found.ino != self.sig.ino
        return alike and self._hashes(at)

    def _hashes(self, at: At) -> bool:
        try:
            return self.fs.sha256(at) == self.sha256
        except OSError as error:
            if error.errno in _NOT_A_FILE:
                return False
            raise

    def _is_ours(self, at: At) -> bool:
        found = self._look(at)
        return found is not None and self._same(at, found)

    def _is_this(self, goal: At, origin: At) -> bool:
        """The very file that was moved, even if somebody has written into it since, or had replaced it just before.

        After a crash nobody knows what was moved; but where the origin is empty, only this plan can have put something into the archive.
        """
        found = self._look(goal)
        if found is None or self.moved:
            return found is not None
        if (self.sig is not None and found.ino == self.sig.ino) or self._same(goal, found):
            return True
        return self.replay and self.take and in_archive(self.goal) and self._look(origin) is None

    def _parked(self, origin: At) -> At:
        return At(origin.folder, PARKED_PREFIX + self.mark)

    def _touch(self, *ats: At) -> None:
        for at in ats:
            self.folders.touched(at)

    def _unlink(self, at: At) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.fs.unlink(at)


def _replaced(leg: Leg, error: OSError) -> Exception:
    """What it means that a file which was just renamed cannot be opened: a link or nothing in its place, or a failing disk."""
    return NotAsRead(leg, f"{leg.name} was replaced while it was being worked on.") if error.errno in _NOT_A_FILE else error
