"""A disk that fails, or loses power, at the n-th call of a commit; and a share whose folders are separate mounts."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Sequence
from typing import Any

from goldsmith.files import Filesystem, PathAt
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import CompletedPlan, Plan
from goldsmith.pipeline.commit.copier import Copier, CopyTask, copy_files


class Killed(BaseException):
    """The simulated death of the process: code that runs after it has no effect."""


class Script:
    """Counts calls and raises the error of ``trouble`` at call number ``at`` (from 1; 0 = never), before or after the call takes effect."""

    def __init__(
        self, at: int = 0, trouble: Callable[[str], BaseException] = Killed, *, after: bool = False, lasting: bool = False
    ) -> None:
        self.at, self.trouble, self.after, self.lasting = at, trouble, after, lasting
        self.calls: list[str] = []
        self.dead = False

    def do(self, name: str, call: Callable[[], Any]) -> Any:
        if self.dead:
            raise Killed
        self.calls.append(name)
        number = len(self.calls)
        struck = self.at and (number == self.at or (self.lasting and number > self.at))
        if struck and not self.after:
            self._strike()
        try:
            result = call()
        except OSError:
            if struck:
                self._strike()
            raise
        if struck:
            if isinstance(result, int) and name in ("open", "create"):
                os.close(result)
            self._strike()
        return result

    def _strike(self) -> None:
        error = self.trouble(self.calls[-1])
        self.dead = isinstance(error, Killed)
        raise error


class Disk(Filesystem):
    """A filesystem that follows a script.

    flags: whether it has RENAME_NOREPLACE. links: whether it has hard links, or the error of link(2). mounts: the top folders that are
    separate disks. taken_first: a taken name is reported before another disk, as between two subvolumes of btrfs. fsyncs: whether fsync
    really reaches the disk.
    """

    def __init__(
        self,
        script: Script,
        *,
        flags: bool = True,
        links: bool | int = True,
        mounts: Sequence[str] = (),
        taken_first: bool = False,
        fsyncs: bool = False,
    ) -> None:
        self.script, self.flags, self.links, self.mounts, self.fsyncs = script, flags, links, mounts, fsyncs
        self.taken_first = taken_first

    def _refuse_across_mounts(self, source: PathAt, target: PathAt) -> None:
        if self.mounts and self._mount(source) != self._mount(target):
            if self.taken_first:
                self._refuse_taken(target)
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    def _refuse_taken(self, target: PathAt) -> None:
        """The kernel itself looks up the name first, whatever the filesystem can do."""
        with contextlib.suppress(FileNotFoundError):
            super().lstat(target)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    def _mount(self, at: PathAt) -> str:
        return next((part for part in str(at).split("/") if part in self.mounts), "")

    def can_rename_between(self, folder: int, other_folder: int) -> bool:
        return self._mount(PathAt(folder, "")) == self._mount(PathAt(other_folder, ""))

    def rename_flagged(self, source: PathAt, target: PathAt) -> None:
        self._refuse_across_mounts(source, target)
        if not self.flags:
            self._refuse_taken(target)
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self.script.do("rename", lambda: super(Disk, self).rename_flagged(source, target))

    def replace(self, source: PathAt, target: PathAt) -> None:
        self._refuse_across_mounts(source, target)
        self.script.do("replace", lambda: super(Disk, self).replace(source, target))

    def link(self, source: PathAt, target: PathAt) -> None:
        self._refuse_across_mounts(source, target)
        if self.links is not True:
            self._refuse_taken(target)
            raise OSError(self.links or errno.EPERM, os.strerror(self.links or errno.EPERM))
        self.script.do("link", lambda: super(Disk, self).link(source, target))

    def unlink(self, at: PathAt) -> None:
        self.script.do("unlink", lambda: super(Disk, self).unlink(at))

    def mkdir(self, at: PathAt, mode: int = 0o777) -> None:
        self.script.do("mkdir", lambda: super(Disk, self).mkdir(at, mode))

    def create(self, at: PathAt) -> int:
        return int(self.script.do("create", lambda: super(Disk, self).create(at)))

    def open(self, at: PathAt) -> int:
        return int(self.script.do("open", lambda: super(Disk, self).open(at)))

    def write(self, fd: int, data: bytes | memoryview) -> int:
        return int(self.script.do("write", lambda: os.write(fd, data[: max(1, len(data) // 2)])))

    def fsync(self, fd: int) -> None:
        self.script.do("fsync", lambda: super(Disk, self).fsync(fd) if self.fsyncs else None)

    def fsync_dir(self, folder: int) -> None:
        self.script.do("fsync_dir", lambda: super(Disk, self).fsync_dir(folder) if self.fsyncs else None)

    def lstat(self, at: PathAt) -> os.stat_result:
        status: os.stat_result = self.script.do("lstat", lambda: super(Disk, self).lstat(at))
        return status


class ImmediateCopier(Copier):
    """Makes the copies of a plan at once, in the caller's thread, so that a script counts their calls."""

    def begin(self, task: CopyTask) -> None:
        copy_files(self._fs, self._root, set(), task, lambda: self._is_stopped)
        self._finished.append(task)


class Overwritten(Disk):
    """A disk on which ``meddle`` runs just before ``path`` is renamed away, after the last check of the file."""

    def __init__(self, script: Script, path: str, meddle: Callable[[], object], *, mounts: Sequence[str] = ()) -> None:
        super().__init__(script, mounts=mounts)
        self.path, self.meddle = path, meddle

    def rename_flagged(self, source: PathAt, target: PathAt) -> None:
        if str(source) == self.path:
            self.path = ""
            self.meddle()
        super().rename_flagged(source, target)


class ScriptedJournal(Journal):
    """A journal whose durable writes follow the same script."""

    script: Script

    def record_plans(self, plans: Sequence[Plan]) -> None:
        self.script.do("intend", lambda: super(ScriptedJournal, self).record_plans(plans))

    def update_plan(self, plan: Plan) -> None:
        self.script.do("replan", lambda: super(ScriptedJournal, self).update_plan(plan))

    def complete_plans(self, completed: Sequence[CompletedPlan]) -> None:
        self.script.do("done", lambda: super(ScriptedJournal, self).complete_plans(completed))
