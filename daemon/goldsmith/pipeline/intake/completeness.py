"""When a file is whole: quiet by the daemon's own clock, and nobody has it open for writing.

The rule was measured on 82 drops by real programs. A breath (0.15 s) of quiet and a granted lease mean that work may start on what is
there; two seconds of quiet and a second lease mean that the result may be committed. Where the kernel grants no lease (other users' files
without CAP_LEASE, network mounts) the weak rule asks for a longer quiet instead.
"""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from goldsmith.errors import Problem
from goldsmith.files import Sig, display_name, has_writer, open_input

Kind = Literal["gone", "refused", "new", "writing", "looks_complete", "settled"]

_ON_THE_WAY: frozenset[Kind] = frozenset({"new", "looks_complete", "writing"})
_FIRST_RETRY = 0.25
_WRITING_RETRY = 1.0
_EMPTY_RETRY = 10.0
_UNREADABLE_RETRY = 60.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a file must lie still, in seconds."""

    quiet: float = 2.0
    breath: float = 0.15
    weak_quiet: float = 10.0


@dataclass(frozen=True, slots=True)
class FileState:
    """How far a file has come. ``since`` is when it was last seen to change (monotonic); ``sentence`` says why it waits, or is empty."""

    kind: Kind
    sig: Sig | None = None
    since: float = 0.0
    sentence: str = ""

    @property
    def startable(self) -> bool:
        """True when work may start on what is there."""
        return self.kind in ("looks_complete", "settled")


@dataclass(slots=True)
class _Tracked:
    kind: Kind = "new"
    sig: Sig | None = None
    since: float = 0.0
    why: str = ""
    due: float = 0.0
    """When to look again by itself; 0 = only when something is heard."""
    retry: float = _FIRST_RETRY
    sha256: str = ""


class Completeness:
    """The states of the files that somebody wants. Paths are POSIX, relative to the root; looks cost an lstat, at times an open."""

    def __init__(self, root: str, pace: Pace, folder_there: Callable[[str], bool] = lambda _: True) -> None:
        """``folder_there`` says of a stage folder whether it is the one that it was: a file missing with its mount is not gone."""
        self._root = root
        self._pace = pace
        self._folder_there = folder_there
        self._tracked: dict[str, _Tracked] = {}
        self._due: list[tuple[float, str]] = []
        self.weak: set[str] = set()
        """Stage folders in which a lease was not to be had."""

    def __contains__(self, path: str) -> bool:
        return path in self._tracked

    def __len__(self) -> int:
        return len(self._tracked)

    def want(self, path: str, now: float) -> None:
        """Follow this file from now on; nothing happens where that is done already."""
        if path not in self._tracked:
            self._tracked[path] = _Tracked(since=now)
            self.look(path, now)

    def drop(self, path: str) -> None:
        """Follow it no longer."""
        self._tracked.pop(path, None)

    def known(self, path: str, sig: Sig, sha256: str, now: float) -> None:
        """A file that the daemon itself put down whole: settled at once, unless it has been touched since."""
        tracked = self._tracked[path] = _Tracked(since=now)
        self.look(path, now)
        if tracked.sig is not None and tracked.sig.same_content(sig):
            tracked.kind, tracked.why, tracked.sha256, tracked.due = "settled", "", sha256, 0.0

    def sha(self, path: str) -> str | None:
        """The hash of the bytes, where the daemon put them down and nothing has touched them since."""
        tracked = self._tracked.get(path)
        return tracked.sha256 or None if tracked is not None else None

    def look(self, path: str, now: float) -> bool:
        """Look at the file now; True where it came further, fell back, or waits for another reason than before."""
        tracked = self._tracked[path]
        before = (tracked.kind, tracked.why)
        self._judge(path, tracked, now)
        if tracked.due:
            heapq.heappush(self._due, (tracked.due, path))
        if tracked.kind == "gone":
            del self._tracked[path]
        return before != (tracked.kind, tracked.why)

    def look_due(self, now: float, limit: int) -> list[str]:
        """Look at up to ``limit`` files whose time has come; the paths of those for which something changed."""
        changed, looked = [], 0
        while self._due and self._due[0][0] <= now and looked < limit:
            due, path = heapq.heappop(self._due)
            tracked = self._tracked.get(path)
            if tracked is None or tracked.due != due:
                continue
            looked += 1
            if self.look(path, now):
                changed.append(path)
        return changed

    def arriving(self) -> bool:
        """True while a wanted file with something in it has not settled."""
        return any(tracked.kind in _ON_THE_WAY and tracked.sig is not None and tracked.sig.size > 0 for tracked in self._tracked.values())

    def next_due(self) -> float | None:
        """When the next file wants to be looked at."""
        while self._due:
            due, path = self._due[0]
            tracked = self._tracked.get(path)
            if tracked is not None and tracked.due == due:
                return due
            heapq.heappop(self._due)
        return None

    def state(self, path: str, now: float) -> FileState | None:
        """The state as of the last look; None for a file that nobody wants. Touches no disk."""
        tracked = self._tracked.get(path)
        if tracked is None:
            return None
        return FileState(tracked.kind, tracked.sig, tracked.since, tracked.why or self._quiet_sentence(tracked, now))

    def settles_at(self, path: str) -> float | None:
        """When the file settles, or settled (0), if nobody touches it any more; None where that cannot be told. Touches no disk."""
        tracked = self._tracked.get(path)
        if tracked is None or tracked.kind not in ("looks_complete", "settled"):
            return None
        return tracked.due

    def _quiet_sentence(self, tracked: _Tracked, now: float) -> str:
        if tracked.kind not in ("new", "looks_complete"):
            return ""
        return f"arrived {max(0.0, now - tracked.since):.1f} s ago"

    def _judge(self, path: str, tracked: _Tracked, now: float) -> None:
        tracked.due = 0.0
        try:
            status = os.lstat(os.path.join(self._root, path))
        except (FileNotFoundError, NotADirectoryError):
            self._missing(path, tracked, now)
            return
        except OSError as error:
            self._later(tracked, now, "new", f"cannot be looked at ({error.strerror})", _UNREADABLE_RETRY)
            return
        refusal = refused(path, status.st_mode)
        if refusal is not None:
            tracked.kind, tracked.sig, tracked.why = "refused", None, refusal
            return
        if Sig.of(status) != tracked.sig:
            self._restart(tracked, Sig.of(status), now)
        elif tracked.kind != "settled":
            self._judge_still(path, tracked, now)

    def _missing(self, path: str, tracked: _Tracked, now: float) -> None:
        if self._folder_there(path.partition("/")[0]):
            tracked.kind, tracked.why = "gone", ""
        else:
            self._later(tracked, now, "new", "its folder is not there", _EMPTY_RETRY)

    def _restart(self, tracked: _Tracked, sig: Sig, now: float) -> None:
        tracked.kind, tracked.sig, tracked.since, tracked.sha256 = "new", sig, now, ""
        tracked.why, tracked.retry = "", _FIRST_RETRY
        tracked.due = now + self._pace.breath

    def _judge_still(self, path: str, tracked: _Tracked, now: float) -> None:
        """The file is what it was at the last look."""
        if tracked.sig is not None and tracked.sig.size == 0:
            self._later(tracked, now, "new", "is still empty", _EMPTY_RETRY)
            return
        wanted = self._pace.quiet if tracked.kind == "looks_complete" else self._pace.breath
        if now < tracked.since + wanted:
            tracked.due = tracked.since + wanted
            return
        try:
            held, sig = _held(os.path.join(self._root, path))
        except (FileNotFoundError, NotADirectoryError):
            self._missing(path, tracked, now)
        except Problem as problem:
            tracked.kind, tracked.why = "refused", str(problem)
        except PermissionError:
            self._later(tracked, now, "new", "cannot be read: its permissions keep Goldsmith out", _UNREADABLE_RETRY)
        except OSError as error:
            self._later(tracked, now, "new", f"cannot be read ({error.strerror})", _UNREADABLE_RETRY)
        else:
            if sig != tracked.sig:
                self._restart(tracked, sig, now)
            elif held:
                tracked.since = now  # a writer through mmap changes bytes without changing the signature
                self._later(tracked, now, "writing", "still being written by another program", _WRITING_RETRY)
            else:
                self._advance(path, tracked, now, weak=held is None)

    def _advance(self, path: str, tracked: _Tracked, now: float, *, weak: bool) -> None:
        folder = path.partition("/")[0]
        tracked.why = ""
        if weak:
            self.weak.add(folder)
        else:
            self.weak.discard(folder)
        start, settle = (self._pace.quiet, self._pace.weak_quiet) if weak else (self._pace.breath, self._pace.quiet)
        if now >= tracked.since + settle:
            tracked.kind = "settled"
        elif now >= tracked.since + start:
            tracked.kind, tracked.due = "looks_complete", tracked.since + settle
        else:
            tracked.kind, tracked.due = "new", tracked.since + start

    def _later(self, tracked: _Tracked, now: float, kind: Kind, why: str, longest: float) -> None:
        """Wait for a hint, and look again by oneself at a modest, slowing rate: network mounts and mmap writers give no hint."""
        tracked.kind, tracked.why = kind, why
        tracked.due = now + min(tracked.retry, longest)
        tracked.retry = min(tracked.retry * 2, longest)


def refused(path: str, mode: int) -> str | None:
    """Why what lies there is never opened, in a sentence; empty for a folder, None for a regular file."""
    if stat.S_ISREG(mode):
        return None
    if stat.S_ISDIR(mode):
        return ""
    name = display_name(os.path.basename(path))
    if stat.S_ISLNK(mode):
        return f"“{name}” is a link, and links are not followed: copy the file itself here"
    return f"“{name}” is not a file (a pipe, a socket or a device): remove it"


def _held(path: str) -> tuple[bool | None, Sig]:
    """Whether somebody has the file open for writing, and what it is after that was asked."""
    fd = open_input(path)
    try:
        return has_writer(fd), Sig.of(os.fstat(fd))
    finally:
        os.close(fd)
