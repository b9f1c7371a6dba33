"""The checks of ``goldsmith doctor`` for the filesystems below the folders: one row for each property, and one sentence for each lack."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from goldsmith.cli.findings import Finding, note, ok
from goldsmith.files import Filesystem, PathAt
from goldsmith.mounts import MountKind, kind_at
from goldsmith.pipeline.commit.naming import MAX_NAME_BYTES
from goldsmith.root_folder import RootFolder

# A time with every digit set, at an odd second: what the filesystem drops of it shows its step.
_PROBE_TIME_NS = 1_700_000_001_123_456_789
_TIME_STEPS = ((1, "1 ns"), (100, "100 ns"), (1_000, "1 µs"), (1_000_000, "1 ms"), (10_000_000, "10 ms"), (1_000_000_000, "1 s"))
_COARSEST_STEP = "2 s"
# Two saves within such a step look like one.
_COARSE_STEPS = ("1 s", _COARSEST_STEP)


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """What the filesystem below one folder can do, as tried out there."""

    folder: str
    kind: MountKind
    # Whether a rename can refuse to overwrite.
    has_safe_rename: bool
    has_hard_links: bool
    # None: a program provides the filesystem, and the kernel cannot tell whether it obeys.
    syncs_folders: bool | None
    time_step: str
    longest_name: int
    has_case: bool


def measure_folder(root: RootFolder, folder: str, probe: str) -> FolderFacts:
    """Try out what the filesystem below a folder can do, with files whose names begin with ``probe``, and remove them. Raises OSError."""
    fs = Filesystem()
    with root.opened_folder(folder) as fd:
        kind = kind_at(os.path.join(root.path, folder))
        first, second = PathAt(fd, probe), PathAt(fd, f"{probe}-2")
        for at in (first, second):
            _remove(fs, at)
        os.close(fs.create(first))
        try:
            return FolderFacts(
                folder,
                kind,
                has_safe_rename=_can(lambda: _rename_there_and_back(fs, first, second)),
                has_hard_links=_can(lambda: fs.link(first, second)),
                syncs_folders=None if kind.is_program else _can(lambda: fs.fsync_dir(fd)),
                time_step=_time_step(fs, first),
                longest_name=_longest_name(fs, fd, probe),
                has_case=not _exists(fs, PathAt(fd, probe.upper())),
            )
        finally:
            for at in (first, second):
                _remove(fs, at)


def check_properties(facts: Sequence[FolderFacts], weak_quiet: float, poll: float, stages: Sequence[str]) -> Iterator[Finding]:
    """Yield one row for each property, and instead of it one for each lack, with the folders that have it.

    ``stages``: the folders from which pictures are taken; only there events and unfinished files matter.
    """
    watched = [each for each in facts if each.folder in stages and each.kind.is_shared]
    for place, others in (("network", "other machines"), ("stacked", "other programs, behind the mount,")):
        folders = [each for each in watched if each.kind.place == place]
        if folders:
            remedy = "Run Goldsmith on the machine that exports them, if you can." if place == "network" else ""
            yield note("others' changes", f"What {others} change in {_names(folders)} causes no event: read every {poll:g} s.", remedy)
    if watched:
        sentence = f"Nothing tells if a program still writes in {_names(watched)}: files must be quiet for {weak_quiet:g} s."
        yield note("unfinished files", sentence)
    yield from _check_renames(facts)
    unsynced = [each for each in facts if each.syncs_folders is not True]
    if unsynced:
        sentence = f"After a power failure, the last moves in {_names(unsynced)} may be undone: nothing proves that they are on a disk."
        yield note("power failure", sentence, "Look at the log after one; the archive has every original.")
    elif facts:
        yield ok("power failure", "Moves are on the disk before they count (fsync of folders).")
    yield from _check_times_and_names(facts)


def _check_renames(facts: Sequence[FolderFacts]) -> Iterator[Finding]:
    unsafe = [each for each in facts if not each.has_safe_rename and not each.has_hard_links]
    linking = [each for each in facts if not each.has_safe_rename and each.has_hard_links]
    if unsafe:
        sentence = f"{_names(unsafe)} has neither renames that refuse to overwrite nor hard links: Goldsmith looks first, then renames."
        yield note("renames", sentence, "Let no other program create files with the names of results there.")
    if linking:
        yield ok("renames", f"Never overwrite; in {_names(linking)} by a hard link, since a rename there cannot refuse.")
    elif facts and not unsafe:
        yield ok("renames", "Never overwrite.")
    linkless = [each for each in facts if not each.has_hard_links]
    if facts and not linkless:
        yield ok("hard links", "Every folder has them.")
    elif linkless and not unsafe:
        yield ok("hard links", f"None in {_names(linkless)}; renames there refuse to overwrite, so none are needed.")


def _check_times_and_names(facts: Sequence[FolderFacts]) -> Iterator[Finding]:
    for step in _COARSE_STEPS:
        coarse = [each for each in facts if each.time_step == step]
        if coarse:
            sentence = f"{_names(coarse)} counts in steps of {step}: a file that is saved twice in one step with equal size is one change."
            yield note("times", sentence)
    if facts and not any(each.time_step in _COARSE_STEPS for each in facts):
        yield ok("times", f"File times have steps of {', '.join(dict.fromkeys(each.time_step for each in facts))}.")
    short = [each for each in facts if each.longest_name < MAX_NAME_BYTES]
    for length in dict.fromkeys(each.longest_name for each in short):
        folders = [each for each in short if each.longest_name == length]
        yield note(
            "names", f"Names in {_names(folders)} have at most {length} bytes.", "Give pictures names that leave 40 bytes for results."
        )
    if facts and not short:
        yield ok("names", f"Up to {MAX_NAME_BYTES} bytes.")
    caseless = [each for each in facts if not each.has_case]
    if caseless:
        yield ok("case", f"{_names(caseless)} takes hero.png and Hero.png for one file; Goldsmith compares names so everywhere.")
    elif facts:
        yield ok("case", "hero.png and Hero.png are two files; Goldsmith treats them as one name.")


def _names(facts: Sequence[FolderFacts]) -> str:
    """Return the folders as a sentence names them: by kind, each with its folders."""
    by_kind: dict[str, list[str]] = {}
    for each in facts:
        by_kind.setdefault(each.kind.short_label, []).append(f"{each.folder}/")
    return " and ".join(f"{', '.join(folders)} ({kind})" for kind, folders in by_kind.items())


def _rename_there_and_back(fs: Filesystem, first: PathAt, second: PathAt) -> None:
    fs.rename_flagged(first, second)
    fs.replace(second, first)


def _can(call: Callable[[], None]) -> bool:
    """Return whether the filesystem does it."""
    try:
        call()
    except OSError:
        return False
    return True


def _time_step(fs: Filesystem, at: PathAt) -> str:
    fd = fs.open(at)
    try:
        os.utime(fd, ns=(_PROBE_TIME_NS, _PROBE_TIME_NS))
        kept = os.fstat(fd).st_mtime_ns
    finally:
        os.close(fd)
    return next((name for step, name in _TIME_STEPS if kept == _PROBE_TIME_NS // step * step), _COARSEST_STEP)


def _longest_name(fs: Filesystem, folder: int, probe: str) -> int:
    """Return how many bytes a name may have: what statvfs(3) says is the limit of the disk below an encrypting mount."""
    shortest, longest = len(probe), MAX_NAME_BYTES
    while shortest < longest:
        length = longest if longest == MAX_NAME_BYTES and shortest == len(probe) else (shortest + longest + 1) // 2
        at = PathAt(folder, probe.ljust(length, "-"))
        try:
            os.close(fs.create(at))
        except OSError as error:
            if error.errno not in (errno.ENAMETOOLONG, errno.EINVAL, errno.EIO):
                raise
            longest = length - 1
        else:
            shortest = length
            _remove(fs, at)
    return shortest


def _exists(fs: Filesystem, at: PathAt) -> bool:
    return _can(lambda: (fs.lstat(at), None)[1])


def _remove(fs: Filesystem, at: PathAt) -> None:
    with contextlib.suppress(FileNotFoundError):
        fs.unlink(at)
