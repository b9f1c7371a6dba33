"""What ``goldsmith doctor`` looks at, one question after the other. It leaves nothing behind and changes nothing."""

from __future__ import annotations

import importlib.util
import os
import shlex
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from goldsmith.cli.findings import Finding, fault, note, ok
from goldsmith.cli.gpus import fitting, gpu
from goldsmith.cli.hardware import disks, inotify, nearest_there
from goldsmith.engines import EngineKind, EngineNeed
from goldsmith.engines.registry.weights import Weights
from goldsmith.errors import GoldsmithError, Problem
from goldsmith.files import filesystem_kind, has_writer, is_network
from goldsmith.journal.place import journal_path, refuse_unfit
from goldsmith.pipeline.commit.naming import ARCHIVE
from goldsmith.pipeline.intake.watch import Watcher
from goldsmith.pipeline.status.daemon_state import Daemon, daemon_of
from goldsmith.pipeline.workers.specs import accelerators
from goldsmith.service import STATE_FILE, Setup, set_up

_CANARY = ".goldsmith-canary-doctor"
_PATIENCE = 3.0
"""Seconds until an event that was not heard will not be heard any more."""
_CAP_LEASE = 28


def examine(root: Path, config: Path | None) -> Iterator[Finding]:
    """Every finding about a root, in the order a person would look."""
    try:
        setup = set_up(root, config)
    except GoldsmithError as error:
        yield fault("configuration", error.sentence, error.remedy)
        yield from gpu()
        return
    yield ok(
        "configuration", f"{setup.models_file.parent}, {len(setup.line.stages)} stages: {', '.join(one.name for one in setup.line.stages)}"
    )
    journal = journal_path(root, setup.house.state_dir)
    daemon = daemon_of(root, journal.parent / STATE_FILE)
    yield _daemon(root, daemon, journal)
    yield from _lanes(daemon)
    yield _journal(root, journal)
    usable = []
    for folder in (*setup.line.folders, ARCHIVE, ".goldsmith"):
        finding = _folder(root, folder)
        yield finding
        if finding.grade != "fault" and setup.line.of_folder(folder) is not None:
            usable.append(folder)
    yield from _shared(root, setup)
    yield from _events(root, usable, daemon)
    yield from _leases(root, usable, daemon)
    yield from disks([root, *(root / folder for folder in setup.line.folders), journal.parent, setup.weights.folder])
    yield from inotify(root)
    yield from gpu()
    yield from fitting(setup.weights.models, setup.house, accelerators(setup.house))
    yield from _weights(setup.weights)
    yield _heic()


def _daemon(root: Path, daemon: Daemon, journal: Path) -> Finding:
    if not daemon.runs:
        return note("daemon", "Goldsmith is not running here.", f"goldsmith run --root {shlex.quote(str(root))}")
    if daemon.paused:
        return fault(
            "daemon", f"Running ({daemon.runs}), but everything waits: {daemon.paused}", "It goes on by itself once that is mended."
        )
    if not daemon.told:
        return note(
            "daemon", f"Running ({daemon.runs}), but not with the journal at {journal}.", "Set GOLDSMITH_STATE_DIR as its unit does."
        )
    return ok("daemon", f"Running ({daemon.runs}).")


def _lanes(daemon: Daemon) -> Iterator[Finding]:
    """Every device that a running daemon has had to pause, and every lane that cannot begin anything."""
    devices = [(seat.lane, seat.paused) for seat in daemon.seats if seat.paused]
    lanes = [(lane, why) for lane, why in daemon.lanes.items() if why and lane not in dict(devices)]
    for lane, why in dict.fromkeys([*devices, *lanes]):
        remedy = "Look at it with the driver's own tool (nvidia-smi) and at the log; it goes on by itself once it is mended."
        yield fault(f"lane {lane}", why, remedy)


def _journal(root: Path, journal: Path) -> Finding:
    kind = filesystem_kind(journal.parent)
    try:
        refuse_unfit(journal.parent, root)
    except GoldsmithError as error:
        return fault("journal", error.sentence, error.remedy)
    there = nearest_there(journal.parent)
    if not os.access(there, os.W_OK | os.X_OK):
        return fault("journal", f"{there} cannot be written by this user.", "Ask as the service's user, or set GOLDSMITH_STATE_DIR.")
    return ok("journal", f"{journal} on {kind or 'an unknown filesystem'}, a local disk.")


def _folder(root: Path, folder: str) -> Finding:
    path, what = root / folder, f"{folder}/"
    try:
        status = path.lstat()
    except OSError as error:
        return fault(what, f"It is not there ({error.strerror}).", f"Mount the share, or run: goldsmith init {shlex.quote(str(root))}")
    if not stat.S_ISDIR(status.st_mode):
        return fault(what, "It is no folder; links are not followed.", "Mount or make the folder itself there.")
    kind = filesystem_kind(path)
    told = f"{kind or 'unknown filesystem'}, {stat.filemode(status.st_mode)}, {_owner(status)}"
    try:
        (path / _CANARY).touch(exist_ok=True)
        (path / _CANARY).unlink()
    except OSError as error:
        return fault(
            what, f"Nothing can be put into it ({error.strerror}): {told}.", "Give the service's user or group the right to write there."
        )
    if is_network(kind):
        return note(what, f"{told}: a network filesystem.", "It is read again every few seconds, since others' changes bring no events.")
    return ok(what, f"{told}, writable.")


def _owner(status: os.stat_result) -> str:
    import grp
    import pwd

    try:
        return f"{pwd.getpwuid(status.st_uid).pw_name}:{grp.getgrgid(status.st_gid).gr_name}"
    except KeyError:
        return f"{status.st_uid}:{status.st_gid}"


def _shared(root: Path, setup: Setup) -> Iterator[Finding]:
    """Whether results will belong to the people who share the folders."""
    found = {folder: os.stat(root / folder) for folder in setup.line.folders if os.path.isdir(root / folder)}
    groups = {status.st_gid for status in found.values()}
    if len(groups) > 1:
        yield note(
            "sharing", "The folders belong to different groups: results change hands on their way.", "chgrp the folders to one group."
        )
    loose = [f"{name}/" for name, status in found.items() if status.st_mode & stat.S_IWGRP and not status.st_mode & stat.S_ISGID]
    if loose:
        yield note("sharing", f"New subfolders in {', '.join(loose)} will not get the folder's group.", "chmod g+s them.")


def _events(root: Path, folders: Sequence[str], daemon: Daemon) -> Iterator[Finding]:
    """Whether a new file is heard of at once. A running daemon knows best; else a canary is planted in every folder."""
    modes: Mapping[str, str] = daemon.folders or _heard(root, folders)
    polled = [f"{folder}/" for folder in folders if modes.get(folder) != "events"]
    if not polled and folders:
        yield ok("events", "Events arrive from every folder: a new file is seen at once.")
    elif polled:
        yield note("events", f"No events from {', '.join(polled)}: polling, so a new file is seen seconds later.", daemon.trouble)


def _heard(root: Path, folders: Sequence[str]) -> dict[str, str]:
    import select
    import time

    watcher = Watcher(root)
    try:
        if not watcher.start():
            return {}
        for folder in folders:
            watcher.plant(folder)
        poll, end = select.poll(), time.monotonic() + _PATIENCE
        poll.register(watcher.fd, select.POLLIN)
        while not all(map(watcher.events, folders)) and (left := end - time.monotonic()) > 0:
            poll.poll(min(50.0, 1000 * left))
        return {folder: "events" if watcher.events(folder) else "polling" for folder in folders}
    finally:
        watcher.close()


def _leases(root: Path, folders: Sequence[str], daemon: Daemon) -> Iterator[Finding]:
    """Whether it can be asked if somebody is still writing a file."""
    weak = sorted(daemon.weak) if daemon.told else [folder for folder in folders if not _has_lease(root / folder)]
    if weak:
        named = ", ".join(f"{folder}/" for folder in weak)
        told = f"It cannot be asked whether somebody is still writing in {named}: files must be quiet for longer (the weaker rule)."
        yield note("leases", told, "Give the service CAP_LEASE, as the unit that comes with Goldsmith does; on network mounts it stays so.")
    elif not daemon.runs and os.geteuid() != 0 and not _may_lease():
        told = "Granted for this user's own files; for others' the weaker rule is used (a longer quiet)."
        yield note("leases", told, "AmbientCapabilities=CAP_LEASE in the unit lifts that.")
    elif folders:
        yield ok("leases", "It can be asked whether somebody is still writing a file.")


def _has_lease(folder: Path) -> bool:
    path = folder / _CANARY
    try:
        path.touch()
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return has_writer(descriptor) is not None
        finally:
            os.close(descriptor)
            path.unlink()
    except OSError:
        return False


def _may_lease() -> bool:
    """CAP_LEASE among this program's own capabilities (capabilities(7), proc(5))."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as table:
        effective = next((row.split()[1] for row in table if row.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> _CAP_LEASE & 1)


def _weights(weights: Weights) -> Iterator[Finding]:
    """Whether each kind of model has one that lies here, and whether it is the first choice."""
    seeing: list[tuple[EngineKind, int]] = [(kind, 1) for kind in ("matte", "faces", "mesh", "identity", "hands", "reader")]
    upscaling: list[tuple[EngineKind, int]] = [("upscale", int(factor[1:])) for factor in weights.models.defaults.upscale]
    wanted: list[tuple[EngineKind, int]] = [("inpaint", 1), *seeing, *upscaling]
    for kind, factor in wanted:
        what = f"weights: {kind}" + (f" x{factor}" if kind == "upscale" else "")
        first = next(iter(weights.models.defaults.wanted(EngineNeed(kind, factor=factor))), "")
        try:
            choice = weights.choose(EngineNeed(kind, factor=factor))
        except Problem as problem:
            yield note(what, problem.sentence, problem.remedy)
            continue
        if choice.name == first:
            yield ok(what, f"{choice.name} is here.")
        else:
            yield note(what, f"{choice.name} is used, since the weights of {first} are not here.", f"goldsmith models fetch {first}")


def _heic() -> Finding:
    if importlib.util.find_spec("pillow_heif") is None:
        return note("HEIC", "Pictures in HEIC cannot be read.", "pip install 'goldsmith[heic]'")
    return ok("HEIC", "Pictures in HEIC can be read.")
