"""Work of single commands that needs the daemon's parts without the daemon: a replay, a pruning, a look into one file, a report."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from goldsmith.brief.pipeline import REVIEW_FOLDER, REVIEW_TRAYS
from goldsmith.errors import UsageError
from goldsmith.files import FileSignature, display_name, open_input
from goldsmith.jobs.job import Job, JobInput, Outcome, ResourceLimits
from goldsmith.jobs.protocol import WorkerConfig, WorkerFolders, WorkerSpec
from goldsmith.journal.journal import Journal
from goldsmith.journal.location import journal_path
from goldsmith.pipeline.archive.pruning import PruneReport, Pruning
from goldsmith.pipeline.commit.root_lock import RootLock
from goldsmith.pipeline.workers.worker_pools import WorkerPools
from goldsmith.pipeline.workers.worker_specs import find_model_paths
from goldsmith.root_folder import RootFolder, check_file_size
from goldsmith.service.inspection import refuse_inspection
from goldsmith.service.setup import Setup
from goldsmith.service.worker_setup import job_limits, worker_config, worker_specs

if TYPE_CHECKING:
    from goldsmith.brief.settings import Settings
    from goldsmith.pipeline.previews.preview_maker import PreviewMaker
    from goldsmith.pipeline.replay.foreground_runner import OnStageProgress
    from goldsmith.pipeline.replay.report import ReplayReport

# The thumbnails of a report: their side in px, and how many there are at most, the newest.
_THUMBNAIL_SIDE, _MAX_THUMBNAILS = 480, 300


def run_pruning(setup: Setup, days: float, *, is_dry_run: bool) -> PruneReport:
    """Prune the archive and the journal of a root on which no daemon runs, and return what was removed, or in a dry run what would be.

    Raises AlreadyRunningError if a daemon runs (a dry run does not mind), InputError if a manifest cannot be read, UsageError, HostError.
    """
    now = time.time()
    journal_file = journal_path(setup.root, setup.settings.state_dir)
    if is_dry_run:
        with contextlib.closing(Journal.open(journal_file, read_only=True)) as journal:
            pruning = Pruning(setup.root, setup.pipeline, journal, days, now, is_dry_run=True)
            deque(pruning.steps(), maxlen=0)
            return pruning.report
    # A new, empty journal knows of no picture in work, so what that needs would go.
    Journal.open(journal_file, read_only=True).close()
    with RootLock.acquire(setup.root), contextlib.closing(Journal.open(journal_file)) as journal:
        pruning = Pruning(setup.root, setup.pipeline, journal, days, now, is_dry_run=False)
        deque(pruning.steps(), maxlen=0)
        return pruning.report


def run_replay(setup: Setup, file: Path, on_progress: OnStageProgress, output_folder: Path | None = None) -> ReplayReport:
    """Make the deliverables of a manifest again in a temporary folder, and return how they compare with the delivered files.

    The new files are copied into ``output_folder``. Raises InputError if the manifest is not valid, an input is missing or a stage fails,
    HostError, and UsageError if ``output_folder`` is not usable.
    """
    # Imported here because the daemon never replays.
    from goldsmith.ops import catalogue
    from goldsmith.pipeline.replay.compare_operation import CATALOGUE_ENTRY_POINT
    from goldsmith.pipeline.replay.manifest_reader import read_manifest
    from goldsmith.pipeline.replay.replay import Replay

    manifest = read_manifest(RootFolder(setup.root), file, catalogue())
    if output_folder is not None:
        _create_empty_folder(output_folder, setup.root)
    refuse_inspection()
    # A replay compares pixels on this computer, and its folder is not in the root that the nodes of a cluster see.
    setup = replace(setup, settings=setup.settings.model_copy(update={"queues": {}}))
    specs = worker_specs(setup)
    config = worker_config(setup).model_copy(update={"catalogue": CATALOGUE_ENTRY_POINT})
    with tempfile.TemporaryDirectory(prefix="goldsmith-replay-") as name:
        folder = Path(name, "inputs")
        folder.mkdir()
        worker_folders = WorkerFolders(
            work=str(Path(name, "work")), inputs=(str(folder),), models=find_model_paths(setup.root, setup.weights, setup.models_file)
        )
        pools = WorkerPools(specs, config, worker_folders, time.monotonic)
        try:
            replay = Replay(setup.root, manifest, file.parent, pools, job_limits(setup, specs), folder, on_progress)
            report = replay.run()
            if output_folder is not None:
                replay.save_outputs(report, output_folder)
            return report
        finally:
            pools.stop(0.0)


def run_inspection(settings: Settings, file: Path, trusted_roots: str, on_progress: OnStageProgress) -> Outcome:
    """Return the outcome of the job that says what a file is; its facts are those of ``worker.file_inspection``.

    A worker process decodes a copy of the file, behind its fence. Raises InputError if the file is not read, UsageError, HostError.
    """
    from goldsmith.pipeline.replay.foreground_runner import ForegroundRunner

    refuse_inspection()
    spec = WorkerSpec(queue="inspect", threads=settings.threads)
    with tempfile.TemporaryDirectory(prefix="goldsmith-inspect-") as name:
        folder = Path(name, "inputs")
        folder.mkdir()
        max_memory_bytes = settings.worker_memory_mb * 2**20
        copy = _copy_named_file(file, folder, max_memory_bytes // 2)
        pools = WorkerPools(
            [spec], WorkerConfig(trusted_roots=trusted_roots), WorkerFolders(work=str(Path(name, "work")), inputs=(str(folder),))
        )
        job = Job(
            id="inspect",
            root=str(folder),
            stage="inspect",
            queue=spec.queue,
            stem=copy.stem,
            inputs=(JobInput(role="picture", path=copy.name, sig=FileSignature.from_stat(copy.lstat())),),
            steps=(),
            inspects=True,
            limits=ResourceLimits(timeout_seconds=settings.job_seconds, max_memory_bytes=max_memory_bytes, max_pixels=settings.max_pixels),
        )
        try:
            return ForegroundRunner(pools, on_progress, intro="").run(job, file.name)
        finally:
            pools.stop(0.0)


def _copy_named_file(file: Path, folder: Path, max_bytes: int) -> Path:
    """Copy an ordinary file into the folder and return its new path. Raises UsageError if it is none, and InputError if it is too large."""
    try:
        fd = open_input(file.resolve())
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.", "Name a file that this user may read.") from error
    with os.fdopen(fd, "rb") as source:
        check_file_size(display_name(file.name), os.fstat(fd).st_size, max_bytes)
        target = folder / file.name
        with target.open("xb") as copy:
            shutil.copyfileobj(source, copy, 2**20)
    return target


@dataclass(frozen=True, slots=True)
class CampaignReport:
    """The report of a campaign as one HTML page."""

    html: str
    delivery_count: int
    # Deliveries of which the page shows no picture, each with the reason as a sentence.
    without_picture: dict[str, str]


def build_report(setup: Setup, campaign: str, now: float) -> CampaignReport:
    """Return the report of a campaign and of those below it, from the journal and the delivered files. Nothing is changed.

    ``campaign``: "acme/spring"; ``now``: Unix seconds. Raises UsageError if nothing was ever done in the campaign, and HostError.
    """
    from goldsmith.pipeline.campaign_report.account import take_account
    from goldsmith.pipeline.campaign_report.drift import measure_drift
    from goldsmith.pipeline.campaign_report.page import render_report

    folders = [f"{folder}/{campaign}" for folder in setup.pipeline.shared_folders]
    folders += [f"{REVIEW_FOLDER}/{tray}/{campaign}" for tray in REVIEW_TRAYS]
    journal_file = journal_path(setup.root, setup.settings.state_dir)
    try:
        opened = contextlib.closing(Journal.open(journal_file, read_only=True))
    except OSError as error:
        raise UsageError(f"The journal {journal_file} cannot be read: {error.strerror}.", "Run this as the service's user.") from error
    with opened as journal:
        account = take_account(campaign, setup.pipeline, journal.rows_below(folders), journal.committed_row)
    if not account.last_at:
        raise UsageError(
            f"Nothing was ever done in a campaign called {campaign}.", "Name the folder of its pictures below inbox/, like acme/spring."
        )
    paths = [delivery.shown_path for delivery in account.deliveries if delivery.shown_path]
    thumbnail_paths = list(dict.fromkeys(paths[-_MAX_THUMBNAILS:]))
    previews = {}
    if thumbnail_paths:
        with opened_preview_maker(setup) as maker:
            previews = maker.make(thumbnail_paths, _THUMBNAIL_SIDE)
    colours = {path: previews[path].mean_lab for path in thumbnail_paths}
    measured = {path: colour for path, colour in colours.items() if colour is not None}
    drift = dict(zip(measured, measure_drift(list(measured.values())), strict=True))
    sizes = _file_sizes(RootFolder(setup.root), [file.path for delivery in account.deliveries for file in delivery.files])
    html = render_report(account, previews, drift, sizes, now, len(paths) - len(paths[-_MAX_THUMBNAILS:]))
    reasons = {path: preview.reason for path, preview in previews.items() if preview.reason}
    return CampaignReport(html, len(account.deliveries), reasons)


def _file_sizes(root: RootFolder, paths: list[str]) -> dict[str, int]:
    """Return the size in bytes of each file that is there."""
    sizes: dict[str, int] = {}
    for path in paths:
        with contextlib.suppress(OSError):
            sizes[path] = root.lstat(path).st_size
    return sizes


@contextlib.contextmanager
def opened_preview_maker(setup: Setup, max_processes: int = 2) -> Iterator[PreviewMaker]:
    """Yield a maker of previews of the pictures in the folders. Its processes end with the block."""
    from goldsmith.pipeline.previews.preview_maker import PreviewMaker
    from goldsmith.pipeline.previews.preview_server import PreviewServer

    refuse_inspection()
    settings = setup.settings
    server = PreviewServer(settings.max_pixels, settings.worker_memory_mb)
    try:
        yield PreviewMaker(setup.root, server, min(max_processes, settings.cpu_workers))
    finally:
        server.close()


def _create_empty_folder(folder: Path, root: Path) -> None:
    """Create the folder, or accept an empty one. Raises UsageError if it is not empty, not usable, or inside the root."""
    if Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(root)):
        raise UsageError(f"{folder} is inside {root}.", "Name a folder outside it: files inside the root may be processed.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        has_files = any(folder.iterdir())
    except OSError as error:
        raise UsageError(f"{folder} cannot be used: {error.strerror}.", "Name another folder.") from error
    if has_files:
        raise UsageError(f"{folder} is not empty.", "Name a new folder, so that nothing is overwritten.")
