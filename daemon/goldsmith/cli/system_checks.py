"""The checks of ``goldsmith doctor`` for disks and the kernel's limits."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from goldsmith.cli.findings import Finding, fault, note, ok
from goldsmith.cli.output import format_size
from goldsmith.mounts import kind_at
from goldsmith.root_folder import RootFolder
from goldsmith.worker.landlock import SCOPE_VERSION, landlock_version

_LOW_SPACE_BYTES = 2e9
_NO_SPACE_BYTES = 100e6
# Counting stops here: more folders exceed any usual limit.
_MAX_FOLDERS = 200_000
_INOTIFY_LIMITS = Path("/proc/sys/fs/inotify")


def check_disks(paths: Sequence[Path]) -> Iterator[Finding]:
    """Yield the free space and free inodes of every filesystem that ``paths`` are on, once for each."""
    checked_devices: set[int] = set()
    for path in paths:
        folder = nearest_existing(path)
        device = os.stat(folder).st_dev
        if device in checked_devices:
            continue
        checked_devices.add(device)
        space = os.statvfs(folder)
        free, total, kind = space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize, kind_at(folder)
        # Some kinds count no files, and say 0.
        files_left = space.f_favail if kind.counts_files and space.f_files else None
        sentence = f"{format_size(free)} of {format_size(total)} are free ({kind.label})"
        sentence += f", and {files_left:,} more files fit." if files_left is not None else "."
        subject = f"space: {folder}"
        if free < _NO_SPACE_BYTES or (files_left is not None and files_left < 1000):
            yield fault(subject, sentence, "Free some space: all work waits while a disk is full.")
        elif free < _LOW_SPACE_BYTES:
            yield note(subject, sentence, "A campaign of large pictures may fill it.")
        else:
            yield ok(subject, sentence)


def nearest_existing(path: Path) -> Path:
    """Return the path, or the nearest folder above it that this user can see."""
    return next(folder for folder in (path, *path.parents) if os.path.exists(folder))


def check_inotify(root: Path) -> Iterator[Finding]:
    """Yield whether inotify allows a watch for every folder below the root (inotify(7))."""
    needed = _count_folders(root)
    for name, need, unit in (("max_user_watches", needed, "watches, one per folder"), ("max_user_instances", 2, "inotify instances")):
        try:
            limit = int((_INOTIFY_LIMITS / name).read_text())
        except (OSError, ValueError):
            yield note("inotify", f"The kernel's limit fs.inotify.{name} cannot be read.")
            continue
        sentence = f"{need} of {limit} {unit}."
        if need > limit:
            yield fault("inotify", sentence, f"sysctl fs.inotify.{name}={max(2 * need, 524_288 if need > 1000 else 256)}")
        elif need > limit * 0.8:
            yield note("inotify", sentence, f"sysctl fs.inotify.{name}={2 * limit}")
        else:
            yield ok("inotify", sentence)


def check_fence() -> Finding:
    """Return whether the kernel can fence worker processes in."""
    version = landlock_version()
    if not version:
        return note(
            "fence",
            "This kernel has no Landlock: a picture that takes a worker process over can do there what the service's user can do.",
            "Use a kernel from 5.13 on, with landlock among the modules in /sys/kernel/security/lsm.",
        )
    if version < SCOPE_VERSION:
        return note(
            "fence",
            f"Landlock {version}: a worker process writes its scratch folder only, but the network or signals may still be open to it.",
            f"A kernel from 6.12 on has Landlock {SCOPE_VERSION}, which closes them.",
        )
    return ok("fence", f"Landlock {version}: a worker process writes its scratch folder only, and reads its inputs and the models.")


def _count_folders(root: Path) -> int:
    folder = RootFolder(root)
    _, top_folders = folder.list_names("")
    walks = chain.from_iterable(folder.walk(name) for name in top_folders)
    return 1 + sum(1 for _ in islice(walks, _MAX_FOLDERS))
