"""A filesystem that answers as another kind of mount does, call by call: its row in the table of mounts, and its answer to F_SETLEASE."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from goldsmith import mounts

# What the kernel answers to F_SETLEASE, F_RDLCK there, whether somebody writes or not: an errno, or None if the lease is granted.
LEASE_ANSWERS = {
    "nfs4": errno.EAGAIN,  # without delegations
    "cifs": errno.EAGAIN,  # without oplocks
    "nfs": errno.EACCES,
    "fuse.sshfs": None,
    "fuse.rclone": None,
    "fuse.cryfs": None,
}


class PretendedMount(mounts.MountTable):
    """Makes one folder's filesystem another kind. ``lease_questions`` counts the leases that were asked for."""

    def __init__(self, folder: Path, kind: str, source: str = "server:/share") -> None:
        super().__init__()
        self._folder = os.path.realpath(folder)
        self._device = folder.stat().st_dev
        self.kind = mounts.kind_of_type(kind, source)
        self.lease_questions = 0

    def kind_at(self, path: str | os.PathLike[str]) -> mounts.MountKind:
        return self.kind if os.path.realpath(path).startswith(self._folder) else super().kind_at(path)

    def kind_of_device(self, device: int) -> mounts.MountKind:
        return self.kind if device == self._device else super().kind_of_device(device)

    def control(self, fd: int, request: int, argument: int = 0) -> int:
        """Stand in for fcntl(2) on files."""
        if request == fcntl.F_SETLEASE and argument == fcntl.F_RDLCK:
            self.lease_questions += 1
            answer = LEASE_ANSWERS.get(self.kind.name)
            if answer is not None:
                raise OSError(answer, os.strerror(answer))
        return _fcntl(fd, request, argument)


_fcntl = fcntl.fcntl


def pretend(monkeypatch: pytest.MonkeyPatch, folder: Path, kind: str, source: str = "server:/share") -> PretendedMount:
    """Make this process take the folder's filesystem for another kind until the end of the test."""
    pretended = PretendedMount(folder, kind, source)
    monkeypatch.setattr(mounts, "_table", pretended)
    monkeypatch.setattr("goldsmith.files.fcntl.fcntl", pretended.control)
    return pretended
