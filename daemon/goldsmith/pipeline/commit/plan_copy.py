"""A copy of the open plans in ``.goldsmith``, for the day on which the journal is lost in the middle of a commit.

Without it, an input that has left for the archive and a result that still lies in the scratch folder would both be forgotten. The copy is
not fsynced, so that it costs no time: it outlives the end of the process, and a power loss that destroys the journal may take it too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import TypeAdapter

from goldsmith.errors import HostError
from goldsmith.jobs.work_folder import open_private_folder
from goldsmith.journal.records import Plan

_FILE_NAME = "plans"
_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# A batch of plans has about 200 kB.
_MAX_BYTES = 64 * 2**20
_HASH_BYTES = 32
_PLANS_ADAPTER = TypeAdapter(tuple[Plan, ...])


class PlanCopy:
    """The file ``ROOT/.goldsmith/plans``: a hash, and the open plans as JSON; empty while no plan is open."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._is_empty = False

    def write(self, plans: Sequence[Plan]) -> None:
        """Replace the plans in the file. The journal has them too, so a disk that refuses the copy stops nothing."""
        if not plans and self._is_empty:
            return
        # json, because undecodable names have no UTF-8 form.
        data = json.dumps([plan.model_dump() for plan in plans]).encode() if plans else b""
        with contextlib.suppress(OSError, HostError), _opened(self._root, _WRITE_FLAGS) as fd:
            os.ftruncate(fd, 0)
            os.pwrite(fd, hashlib.sha256(data).digest() + data if data else b"", 0)
            self._is_empty = not plans

    def read(self) -> tuple[Plan, ...]:
        """Return the plans in the file; none if there is no file, or if it was not written to its end."""
        try:
            with _opened(self._root, _READ_FLAGS) as fd:
                content = os.pread(fd, _MAX_BYTES, 0)
        except FileNotFoundError:
            return ()
        data = content[_HASH_BYTES:]
        if hashlib.sha256(data).digest() != content[:_HASH_BYTES]:
            return ()
        try:
            return _PLANS_ADAPTER.validate_python(json.loads(data))
        except ValueError:  # written by another version
            return ()


@contextlib.contextmanager
def _opened(root: Path, flags: int) -> Iterator[int]:
    """Open the file in ``.goldsmith`` for the body of a ``with`` statement."""
    folder = open_private_folder(root)
    try:
        fd = os.open(_FILE_NAME, flags, 0o600, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        yield fd
    finally:
        os.close(fd)
