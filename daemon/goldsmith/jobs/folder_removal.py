"""The removal of folders in which a worker process may have left anything: nested without end, closed, or with a million files.

A small folder is removed at once. A large one is moved aside and removed by a thread, so that the main loop goes on.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from threading import Condition, Thread

from goldsmith.root_folder import open_subfolder

# How many files and folders are removed at once: more than an ordinary job leaves behind, and some 10 ms of work.
MAX_IMMEDIATE_ENTRIES = 200
# A folder in a folder counts for this many, because moving one takes milliseconds.
_MOVE_COST = 20
# How many entries of a folder are listed at a time.
_LISTING_SIZE = 1000
# Begins the name of a folder that the thread removes. The names of jobs and worker processes begin otherwise.
_ASIDE_PREFIX = "removed-"


def remove_tree(parent: int, name: str, aside: int) -> None:
    """Remove a file, a link, or a folder with everything below it, from the open folder ``parent``. Raises OSError.

    The name is free afterwards. ``aside`` is an open folder on the same filesystem. A large folder is moved there until the thread has
    removed it; one that is there from an earlier run is removed in the same way.
    """
    try:
        _remove_entries(parent, name, _Budget(MAX_IMMEDIATE_ENTRIES))
    except _BudgetSpentError:
        aside_name = name
        if not name.startswith(_ASIDE_PREFIX):
            aside_name = _ASIDE_PREFIX + secrets.token_hex(8)
            os.rename(name, aside_name, src_dir_fd=parent, dst_dir_fd=aside)
        _THREAD.submit(aside, aside_name)


def wait_for_removals() -> None:
    """Wait until the thread has removed every large folder, or has failed to."""
    _THREAD.wait()


class _BudgetSpentError(Exception):
    """A folder has more entries than may be removed at once."""


class _Budget:
    """Counts removed entries, up to a limit."""

    def __init__(self, limit: float) -> None:
        self._left = limit

    def spend(self, cost: int = 1) -> None:
        """Count an entry. Raises _BudgetSpentError if there were too many."""
        self._left -= cost
        if self._left < 0:
            raise _BudgetSpentError


class _RemovalThread:
    """Removes folders one after the other. The thread starts with the first folder and ends with the process."""

    def __init__(self) -> None:
        self._changed = Condition()
        # Open folders and names in them. The first one is being removed.
        self._waiting: deque[tuple[int, str]] = deque()
        self._thread: Thread | None = None

    def submit(self, parent: int, name: str) -> None:
        """Remove ``name`` from the open folder ``parent``, which the caller may close."""
        with self._changed:
            self._waiting.append((os.dup(parent), name))
            if self._thread is None or not self._thread.is_alive():  # a forked process has no thread of its own yet
                self._thread = Thread(target=self._run, name="folder-removal", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def wait(self) -> None:
        """Wait until nothing is left to remove."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                parent, name = self._waiting[0]
            with suppress(OSError):  # what cannot be removed now is removed at the next start
                _remove_entries(parent, name, _Budget(float("inf")))
            os.close(parent)
            with self._changed:
                self._waiting.popleft()
                self._changed.notify_all()


_THREAD = _RemovalThread()


def _remove_entries(parent: int, name: str, budget: _Budget) -> None:
    """Remove a file, a link or a folder. Raises OSError, and _BudgetSpentError with a part removed.

    Every folder that lies deeper is first moved to the top of the removed one, so neither a recursion nor a path grows with the depth.
    """
    try:
        os.rmdir(name, dir_fd=parent)  # most are empty by now
        return
    except FileNotFoundError:
        return
    except NotADirectoryError:
        os.unlink(name, dir_fd=parent)
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EACCES):
            raise
    top = _open_own_folder(parent, name)
    try:
        for entry, is_folder in _list_until_empty(top):
            budget.spend()
            if is_folder:
                _dissolve(top, entry, budget)
            else:
                os.unlink(entry, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


def _dissolve(top: int, name: str, budget: _Budget) -> None:
    """Remove the folder ``name`` of an open folder, and move the folders in it to the open one."""
    inner = _open_own_folder(top, name)
    try:
        for entry, is_folder in _list_until_empty(inner):
            budget.spend(_MOVE_COST if is_folder else 1)
            if is_folder:
                os.close(_open_own_folder(inner, entry))  # a closed folder cannot be moved either
                os.rename(entry, secrets.token_hex(8), src_dir_fd=inner, dst_dir_fd=top)
            else:
                os.unlink(entry, dir_fd=inner)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=top)


def _list_until_empty(folder: int) -> Iterator[tuple[str, bool]]:
    """Yield the entries of an open folder, each with whether it is a folder. Each must be gone before the next ones are listed."""
    while entries := _list_some(folder):
        yield from entries


def _list_some(folder: int) -> list[tuple[str, bool]]:
    with os.scandir(folder) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in islice(entries, _LISTING_SIZE)]


def _open_own_folder(parent: int, name: str) -> int:
    """Open a folder of this user, also one that its mode closes to everybody."""
    try:
        fd = open_subfolder(parent, name)
    except PermissionError:
        fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            os.chmod(f"/proc/self/fd/{fd}", 0o700)
        finally:
            os.close(fd)
        return open_subfolder(parent, name)
    if os.fstat(fd).st_mode & 0o300 != 0o300:
        with suppress(OSError):
            os.fchmod(fd, 0o700)
    return fd
