"""What ``goldsmith doctor`` finds out about disks and the kernel's limits."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from goldsmith.cli.findings import Finding, fault, note, ok
from goldsmith.cli.output import format_size
from goldsmith.files import filesystem_type

_LOW_SPACE_BYTES = 2e9
_NO_SPACE_BYTES = 100e6
# So many folders are counted; more are more than any usual limit.
_MAX_FOLDERS = 200_000
_INOTIFY_LIMITS = Path("/proc/sys/fs/inotify")


def check_disks(paths: Sequence[Path]) -> Iterator[Finding]:
    """Free space and free inodes of every filesystem that is written to, each once."""
    seen: set[int] = set()
    for path in paths:
        there = nearest_existing(path)
        device = os.stat(there).st_dev
        if device in seen:
            continue
        seen.add(device)
        found = os.statvfs(there)
        free, inodes = found.f_bavail * found.f_frsize, found.f_favail
        told = f"{format_size(free)} of {format_size(found.f_blocks * found.f_frsize)} are free ({filesystem_type(there) or 'unknown filesystem'})."
        what = f"space: {there}"
        if free < _NO_SPACE_BYTES or (found.f_files and inodes < 1000):
            told += f" {inodes} more files fit." if found.f_files and inodes < 1000 else ""
            yield fault(what, told, "Make room: everything waits while a disk is full.")
        elif free < _LOW_SPACE_BYTES:
            yield note(what, told, "A campaign of large pictures may fill it.")
        else:
            yield ok(what, told)


def nearest_existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that is there for this user."""
    return next(folder for folder in (path, *path.parents) if os.path.exists(folder))


def check_inotify(root: Path) -> Iterator[Finding]:
    """One watch is needed for every folder below the root (inotify(7))."""
    needed = _count_folders(root)
    for name, need, what in (("max_user_watches", needed, "watches, one a folder"), ("max_user_instances", 2, "inotify instances")):
        try:
            limit = int((_INOTIFY_LIMITS / name).read_text())
        except (OSError, ValueError):
            yield note("inotify", f"The kernel's limit fs.inotify.{name} cannot be read.")
            continue
        told = f"{need} of {limit} {what}."
        if need > limit:
            yield fault("inotify", told, f"sysctl fs.inotify.{name}={max(2 * need, 524_288 if need > 1000 else 256)}")
        elif need > limit * 0.8:
            yield note("inotify", told, f"sysctl fs.inotify.{name}={2 * limit}")
        else:
            yield ok("inotify", told)


def _count_folders(root: Path) -> int:
    count, waiting = 1, [os.fspath(root)]
    while waiting and count < _MAX_FOLDERS:
        try:
            with os.scandir(waiting.pop()) as found:
                below = [entry.path for entry in found if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue
        count += len(below)
        waiting += below
    return count
