"""Locks as an SMB mount makes them: a locked file can be read by its holder alone, and a taken lock is refused with EACCES."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Any

import pytest


class MandatoryLocks:
    """Replaces flock(2), read(2) and pread(2) in this process. ``refused``: the paths whose reading was refused."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.refused: list[str] = []
        # The descriptor that holds the lock of each file or folder (device, inode).
        self._holders: dict[tuple[int, int], int] = {}
        self._flock = fcntl.flock
        patch.setattr(fcntl, "flock", self._lock)
        for name in ("read", "pread"):
            patch.setattr(os, name, self._reader(getattr(os, name)))

    def _lock(self, fd: int, operation: int) -> None:
        try:
            self._flock(fd, operation)
        except BlockingIOError:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
        self._holders[_identity(fd)] = fd

    def _reader(self, read: Any) -> Any:
        def reader(fd: int, *arguments: Any) -> bytes:
            holder = self._holders.get(_identity(fd))
            if holder is not None and holder != fd and _is_open(holder, _identity(fd)):
                self.refused.append(os.readlink(f"/proc/self/fd/{fd}"))
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            data: bytes = read(fd, *arguments)
            return data

        return reader


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _is_open(fd: int, identity: tuple[int, int]) -> bool:
    try:
        return _identity(fd) == identity
    except OSError:
        return False
