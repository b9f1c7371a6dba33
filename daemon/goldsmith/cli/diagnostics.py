"""The checks of ``goldsmith doctor``. They change nothing and leave no files behind."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shlex
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from goldsmith.brief.settings import Settings, find_config
from goldsmith.cli.cluster_checks import check_cluster
from goldsmith.cli.findings import Finding, fault, note, ok
from goldsmith.cli.gpu_checks import check_gpu, check_model_fit
from goldsmith.cli.identity_checks import check_identity
from goldsmith.cli.journal_checks import check_journal, check_store_size
from goldsmith.cli.mount_checks import check_properties, measure_folder
from goldsmith.cli.notice_checks import check_notices
from goldsmith.cli.sharing_checks import check_sharing, owner_name
from goldsmith.cli.system_checks import check_disks, check_fence, check_inotify
from goldsmith.cli.weights_checks import check_hashes, check_weights
from goldsmith.errors import GoldsmithError, InputError
from goldsmith.files import Filesystem, PathAt, has_writer
from goldsmith.jobs.job import GPU_QUEUE
from goldsmith.journal.location import journal_path
from goldsmith.mounts import kind_at
from goldsmith.pipeline.commit.naming import ARCHIVE_FOLDER
from goldsmith.pipeline.intake.watcher import Watcher
from goldsmith.pipeline.status.daemon_state import STATE_FILE, DaemonState, read_daemon_state
from goldsmith.pipeline.status.sentences import refused_node_sentence
from goldsmith.pipeline.workers.worker_specs import find_accelerators
from goldsmith.root_folder import RootFolder
from goldsmith.service.setup import load_setup

_PROBE_FILE = ".goldsmith-canary-doctor"
# Seconds to wait for the event of a probe file.
_EVENT_TIMEOUT = 3.0
# The bit of CAP_LEASE (capabilities(7)).
_CAP_LEASE = 28
_PLACES = {"local": "", "stacked": "on other folders by ", "network": "network: "}


def run_checks(root: Path, config: Path | None) -> Iterator[Finding]:
    """Yield every finding about a root, the most basic first."""
    try:
        setup = load_setup(root, config)
    except GoldsmithError as error:
        yield fault("configuration", error.sentence, error.remedy)
        yield from check_gpu()
        return
    yield ok(
        "configuration",
        f"{setup.models_file.parent}, {len(setup.pipeline.stages)} stages: {', '.join(stage.name for stage in setup.pipeline.stages)}",
    )
    journal = journal_path(root, setup.settings.state_dir)
    daemon = read_daemon_state(root, journal.parent / STATE_FILE)
    yield _check_daemon(root, daemon, journal)
    yield from _check_workers(daemon, setup.settings)
    yield from check_journal(root, journal, daemon)
    usable, facts = [], []
    for folder in (*setup.pipeline.shared_folders, ARCHIVE_FOLDER, ".goldsmith"):
        finding = _check_folder(root, folder)
        yield finding
        if finding.severity != "fault":
            try:
                facts.append(measure_folder(RootFolder(root), folder, _PROBE_FILE))
            except OSError as error:
                yield note(f"{folder}/", f"What its filesystem can do could not be tried out ({error.strerror}).", "Run this once more.")
        if finding.severity != "fault" and setup.pipeline.stage_of_folder(folder) is not None:
            usable.append(folder)
    yield check_store_size(root, journal, setup.settings.keep_days)
    yield from check_sharing(root, setup.pipeline.shared_folders, _PROBE_FILE, daemon.permission_refusals)
    yield from _check_events(root, usable, daemon)
    yield from _check_leases(root, usable, daemon)
    yield from check_properties(facts, setup.settings.weak_quiet, setup.settings.poll, usable)
    yield from check_disks([root, *(root / folder for folder in setup.pipeline.shared_folders), journal.parent, setup.weights.folder])
    yield from check_inotify(root)
    yield check_fence()
    if setup.settings.queue(GPU_QUEUE).runner == "local":
        yield from check_gpu()
        yield from check_model_fit(setup.weights.models, setup.settings, find_accelerators(setup.settings))
    yield from check_cluster(setup.settings, os.environ)
    yield from check_weights(setup.weights)
    yield from check_hashes(setup.weights, time.time())
    yield _check_heic()
    yield check_identity(setup, time.time())
    yield from check_notices(setup.settings.notify, find_config(config, root).path_of("goldsmith.toml"), journal)


def _check_daemon(root: Path, daemon: DaemonState, journal: Path) -> Finding:
    if not daemon.holder:
        return note("daemon", "Goldsmith is not running here.", f"goldsmith run --root {shlex.quote(str(root))}")
    if daemon.pause_reason:
        return fault(
            "daemon",
            f"Running ({daemon.holder}), but everything waits: {daemon.pause_reason}",
            "Solve this problem; the daemon then continues by itself.",
        )
    if not daemon.has_state_file:
        return note(
            "daemon", f"Running ({daemon.holder}), but not with the journal at {journal}.", "Set GOLDSMITH_STATE_DIR as in its unit file."
        )
    return ok("daemon", f"Running ({daemon.holder}).")


def _check_workers(daemon: DaemonState, settings: Settings) -> Iterator[Finding]:
    """Yield every device and every queue that a running daemon has paused, and every node of the cluster that gets no jobs."""
    yield from (note("cluster", refused_node_sentence(refusal)) for refusal in daemon.node_refusals)
    devices = [(worker.queue, worker.pause_reason) for worker in daemon.workers if worker.pause_reason]
    queues = [(queue, reason) for queue, reason in daemon.queue_pauses.items() if reason and queue not in dict(devices)]
    for queue, reason in dict.fromkeys([*devices, *queues]):
        tool = "the cluster (its row below)" if settings.queue(queue).runner == "ray" else "the driver's own tool (nvidia-smi)"
        remedy = f"Check {tool} and the log. Once the problem is solved, the queue continues by itself."
        yield fault(f"queue {queue}", reason, remedy)


def _check_folder(root: Path, folder: str) -> Finding:
    path, subject = root / folder, f"{folder}/"
    try:
        status = path.lstat()
    except OSError as error:
        return fault(
            subject, f"It cannot be found ({error.strerror}).", f"Mount the share, or run: goldsmith init {shlex.quote(str(root))}"
        )
    if not stat.S_ISDIR(status.st_mode):
        return fault(subject, "It is not a folder. Links are not followed.", "Mount or create a real folder there.")
    kind = kind_at(path)
    details = f"{_PLACES[kind.place]}{kind.label}, {stat.filemode(status.st_mode)}, {owner_name(status)}"
    try:
        os.close(_create_probe(root, folder))
        RootFolder(root).unlink(f"{folder}/{_PROBE_FILE}")
    except OSError as error:
        return fault(
            subject, f"This user cannot write to it ({error.strerror}): {details}.", "Give the service's user or group write permission."
        )
    return ok(subject, f"{details}, writable.")


def _check_events(root: Path, folders: Sequence[str], daemon: DaemonState) -> Iterator[Finding]:
    """Yield whether events report new files, from a running daemon's state or, without one, from a probe file in every folder.

    Shared mounts have rows of their own: there the daemon's own files cause events, and other machines' files cause none.
    """
    folders = [folder for folder in folders if not kind_at(root / folder).is_shared]
    modes: Mapping[str, str] = daemon.watch_modes or _probe_events(root, folders)
    polled = [f"{folder}/" for folder in folders if modes.get(folder) != "events"]
    if not polled and folders:
        yield ok("events", "Events arrive from every folder: Goldsmith sees a new file at once.")
    elif polled:
        yield note(
            "events", f"No events from {', '.join(polled)}: polling, so Goldsmith sees a new file seconds later.", daemon.watcher_error
        )


def _probe_events(root: Path, folders: Sequence[str]) -> dict[str, str]:
    import select

    watcher = Watcher(root)
    try:
        if not watcher.start():
            return {}
        for folder in folders:
            watcher.plant_canary(folder)
        poll, end = select.poll(), time.monotonic() + _EVENT_TIMEOUT
        poll.register(watcher.fd, select.POLLIN)
        while not all(map(watcher.heard_canary, folders)) and (seconds_left := end - time.monotonic()) > 0:
            watcher.take_hints(1000)  # else the descriptor stays readable, and this loop spins
            poll.poll(min(50.0, 1000 * seconds_left))
        return {folder: "events" if watcher.heard_canary(folder) else "polling" for folder in folders}
    finally:
        watcher.close()


def _check_leases(root: Path, folders: Sequence[str], daemon: DaemonState) -> Iterator[Finding]:
    """Yield whether leases show if a program is still writing a file. Shared mounts, where they never do, have rows of their own."""
    folders = [folder for folder in folders if not kind_at(root / folder).is_shared]
    weak = (
        sorted(set(daemon.weak_quiet_folders) & set(folders))
        if daemon.has_state_file
        else [folder for folder in folders if not _supports_leases(root, folder)]
    )
    if weak:
        folder_list = ", ".join(f"{folder}/" for folder in weak)
        sentence = (
            f"Goldsmith cannot tell if a program is still writing in {folder_list}: files must be quiet for longer (the weaker rule)."
        )
        yield note("leases", sentence, "Give the service CAP_LEASE, as the supplied unit does.")
    elif not daemon.holder and os.geteuid() != 0 and not _has_cap_lease():
        sentence = "Granted for this user's own files; the weaker rule applies to other users' files (they must be quiet for longer)."
        yield note(
            "leases", sentence, "The supplied unit gives the service CAP_LEASE; a unit of your own needs AmbientCapabilities=CAP_LEASE."
        )
    elif folders:
        yield ok("leases", "Goldsmith can tell if a program is still writing a file.")


def _supports_leases(root: Path, folder: str) -> bool:
    share, path = RootFolder(root), f"{folder}/{_PROBE_FILE}"
    try:
        os.close(_create_probe(root, folder))
        descriptor = share.open_file(path)
        try:
            return has_writer(descriptor) is not None
        finally:
            os.close(descriptor)
            share.unlink(path)
    except (OSError, InputError):
        return False


def _create_probe(root: Path, folder: str) -> int:
    """Create the probe file, in the place of one that an interrupted check has left, and return its descriptor."""
    share = RootFolder(root)
    with contextlib.suppress(FileNotFoundError):
        share.unlink(f"{folder}/{_PROBE_FILE}")
    with share.opened_folder(folder) as fd:
        return Filesystem().create(PathAt(fd, _PROBE_FILE))


def _has_cap_lease() -> bool:
    """Return whether this process has CAP_LEASE (capabilities(7), proc(5))."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as table:
        effective = next((row.split()[1] for row in table if row.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> _CAP_LEASE & 1)


def _check_heic() -> Finding:
    if importlib.util.find_spec("pillow_heif") is None:
        return note("HEIC", "HEIC pictures cannot be read.", "pip install 'goldsmith[heic]'")
    return ok("HEIC", "HEIC pictures can be read.")
