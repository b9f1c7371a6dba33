"""All pictures with their state and the reason, as the page shows them: read in a thread, and kept for a moment.

The states and the sentences are those of ``goldsmith why``: this module asks the same explainer.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import posixpath
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from goldsmith.brief.pipeline import REVIEW_FOLDER
from goldsmith.files import FileSignature, display_name, fold_name
from goldsmith.jobs.preview import version_of
from goldsmith.journal.records import ActiveJob
from goldsmith.pipeline.intake.bundle import Bundle, split_tray
from goldsmith.pipeline.intake.file_names import classify
from goldsmith.pipeline.scheduler.text_files import TextFileCache
from goldsmith.pipeline.status.explain import Explainer
from goldsmith.pipeline.status.sentences import progress_note, working_sentence
from goldsmith.root_folder import RootFolder
from goldsmith.service.location import Location, open_setup, read_with_journal
from goldsmith.service.setup import Setup

AssetState = Literal["problem", "review", "working", "queued", "waiting", "delivered"]
# In the order of the list: first what a person can do something about.
STATES: tuple[AssetState, ...] = ("problem", "review", "working", "queued", "waiting", "delivered")
# A board is read again after this time, and after as many times the seconds that reading it takes.
_MIN_AGE_SECONDS, _AGE_PER_COST = 1.0, 5.0
# Nobody is shown a board that is older than both; a younger one is shown at once while a new one is read.
_MAX_AGE_SECONDS, _MAX_AGE_PER_COST = 30.0, 15.0

# Stands for the stem of the picture's name in a wording. What a sentence shows has no such character: see ``display_name``.
_STEM_MARK = "\0"


def _shown_stem(path: str) -> str:
    return display_name(os.path.splitext(posixpath.basename(path))[0])


def _wording_of(path: str, sentence: str) -> str:
    """Return a sentence with a mark in place of the stem of the picture's name."""
    stem = _shown_stem(path)
    return sentence.replace(stem, _STEM_MARK) if stem else sentence


@dataclass(frozen=True, slots=True)
class Asset:
    """One picture, or one set of candidates, or a brief without a picture."""

    path: str
    state: AssetState
    # The sentence with a mark in place of the stem of the name, so that the equal sentences of many pictures are one text in memory.
    wording: str
    # Unix seconds: when it came to where it lies.
    since: float
    # How far its step is, 0..1; None if no step works on it.
    progress: float | None = None
    # The candidates among which a person may pick.
    candidates: tuple[str, ...] = ()
    # The picture itself, or the first candidate; "" for a brief without a picture.
    picture: str = ""

    @property
    def sentence(self) -> str:
        """Why it waits, or what is done with it. "" for a delivered picture."""
        return self.wording.replace(_STEM_MARK, _shown_stem(self.path))

    @property
    def folder(self) -> str:
        """The stage's folder."""
        return self.path.partition("/")[0]

    @property
    def campaign(self) -> str:
        """The folders between the stage's folder, or a tray of review/, and the file; "" if there are none."""
        folder, _, rest = posixpath.dirname(self.path).partition("/")
        return split_tray(folder, rest)[1]

    @property
    def name(self) -> str:
        """The file's name; of a set of candidates what their names have in common."""
        name = posixpath.basename(self.path)
        return os.path.splitext(name)[0] if self.candidates else name


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One device: what it works on, what it has loaded, and how much waits for it."""

    title: str
    activity: str
    loaded: str
    waiting: int


@dataclass(frozen=True)
class Board:
    """Everything that the overview shows, as of one moment."""

    assets: tuple[Asset, ...] = ()
    # What concerns the daemon and the machine: pauses, folders that are missing, how new files are seen.
    remarks: tuple[str, ...] = ()
    # The daemon's process; "" if none runs.
    holder: str = ""
    # Why the journal cannot be read, or "".
    journal_problem: str = ""
    workers: tuple[WorkerRow, ...] = ()
    free_bytes: int = 0
    total_bytes: int = 0
    # Unix seconds.
    read_at: float = 0.0
    # Changes whenever what is shown has changed.
    version: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    campaigns: tuple[tuple[str, int], ...] = ()


class AssetBoard:
    """Reads the board of a root when somebody looks. One reading at a time; briefs that have not changed are not read again."""

    def __init__(self, setup: Setup, clock: Callable[[], float] = time.monotonic) -> None:
        self._setup = setup
        self._clock = clock
        self._texts = TextFileCache(setup.root)
        self._board: Board | None = None
        # The assets of the last reading, also of one that is no longer shown.
        self._latest: tuple[Asset, ...] = ()
        self._read_at = self._cost = 0.0
        self._reading: asyncio.Task[Board] | None = None
        # How many changes by people there were, and how many before the reading began.
        self._changes = self._changes_before_reading = 0
        # How many times the folders were read, for tests.
        self.reading_count = 0

    async def current(self) -> Board:
        """Return the board; one that is a little old is returned at once, and read again meanwhile."""
        age = self._clock() - self._read_at
        if self._board is not None and age < max(_MIN_AGE_SECONDS, _AGE_PER_COST * self._cost):
            return self._board
        reading = self._start_reading()
        if self._board is not None and age < max(_MAX_AGE_SECONDS, _MAX_AGE_PER_COST * self._cost):
            return self._board
        changes = self._changes
        while self._changes_before_reading < changes:  # it does not show what has just been changed
            await asyncio.shield(reading)
            reading = self._start_reading()
        return await asyncio.shield(reading)

    def invalidate(self) -> None:
        """Let the next reader wait for a new board, because a person has changed something."""
        self._board = None
        self._changes += 1

    def _start_reading(self) -> asyncio.Task[Board]:
        if self._reading is None or self._reading.done():
            self._changes_before_reading = self._changes
            self._reading = asyncio.create_task(self._read())
        return self._reading

    async def _read(self) -> Board:
        began = self._clock()
        board = await asyncio.to_thread(self._read_folders)
        is_current = self._changes_before_reading == self._changes
        self._board, self._read_at = board if is_current else None, self._clock()
        self._cost = self._read_at - began
        self.reading_count += 1
        return board

    def _read_folders(self) -> Board:
        with open_setup(self._setup) as opened:
            _, board = read_with_journal(opened, lambda location: read_board(location, self._texts, self._latest))
            self._latest = board.assets
            return board


class _AssetList:
    """Collects the assets of a board. What has not changed since the board before is the same object, and equal wordings are one."""

    def __init__(self, before: Sequence[Asset]) -> None:
        self._before = {asset.path: asset for asset in before}
        self._wordings: dict[str, str] = {}
        self._content = 0
        self.assets: list[Asset] = []

    def add(self, asset: Asset, version: str) -> None:
        """Add an asset; ``version`` changes whenever its file does."""
        # A sum does not depend on the order, so that no text of all assets is needed at once.
        digest = hashlib.sha256(f"{asset!r} {version}".encode("utf-8", "surrogatepass")).digest()
        self._content = (self._content + int.from_bytes(digest)) % 2**256
        known = self._before.get(asset.path)
        if known != asset:
            known = replace(asset, wording=self._wordings.setdefault(asset.wording, asset.wording))
        self.assets.append(known)

    def sorted(self) -> tuple[Asset, ...]:
        """Return the assets in the order of the list, and release what is needed only while they are collected."""
        self._before, self._wordings = {}, {}
        self.assets.sort(key=_list_order)
        return tuple(self.assets)

    @property
    def content(self) -> str:
        """A text that changes whenever an asset or its file does."""
        return f"{self._content:x}"


def _list_order(asset: Asset) -> tuple[int, float, str]:
    return (STATES.index(asset.state), -asset.since if asset.state == "delivered" else asset.since, asset.path)


def read_board(location: Location, texts: TextFileCache | None = None, before: Sequence[Asset] = ()) -> Board:
    """Return what the folders, the journal and the daemon show at the moment. Every folder of the pipeline is read once.

    ``before``: the assets of the board before, of which those that have not changed are used again.
    """
    explainer, root = location.explain(texts), RootFolder(location.root)
    jobs = {job.path: job for job in explainer.active_jobs}
    since = {hold.path: hold.since for hold in (location.journal.all_holds() if location.journal is not None else ())}
    collected = _AssetList(before)
    for asset, version in _assets_at_work(location, explainer, root, jobs, since):
        collected.add(asset, version)
    for asset, version in _delivered_assets(location, root):
        collected.add(asset, version)
    assets = collected.sorted()
    counts: Counter[str] = Counter(asset.state for asset in assets)
    campaigns = Counter(asset.campaign.partition("/")[0] for asset in assets if asset.campaign)
    status = os.statvfs(location.root)
    remarks, workers = tuple(location.remarks()), tuple(_worker_rows(location, explainer))
    content = (collected.content, remarks, workers, location.daemon.holder, location.journal_problem)
    return Board(
        assets,
        remarks,
        location.daemon.holder,
        location.journal_problem,
        workers,
        status.f_bavail * status.f_frsize,
        status.f_blocks * status.f_frsize,
        time.time(),
        hashlib.sha256(repr(content).encode("utf-8", "surrogatepass")).hexdigest()[:16],
        counts,
        tuple(sorted(campaigns.items())),
    )


def _assets_at_work(
    location: Location, explainer: Explainer, root: RootFolder, jobs: Mapping[str, ActiveJob], since: Mapping[str, float]
) -> Iterator[tuple[Asset, str]]:
    """Yield each asset of the folders that are watched, with the version of its file."""
    for folder in location.setup.pipeline.watched_folders:
        in_others = _paths_in_other_rows(explainer) if folder == REVIEW_FOLDER else frozenset()
        for bundle in explainer.bundles(folder):
            path = bundle.asset or next(iter(bundle.files), bundle.note or "")
            if not path or path in in_others or _is_sheet_alone(bundle):
                continue
            yield _asset(bundle, path, explainer, root, jobs.get(path), since.get(path))


def _paths_in_other_rows(explainer: Explainer) -> frozenset[str]:
    """Return the paths in review/ that have no row of their own: candidates of a set, and what a picture in a tray has left behind."""
    paths: set[str] = set()
    for bundle in explainer.bundles(REVIEW_FOLDER):
        if bundle.picture is None:
            paths.update(bundle.candidates)
        if bundle.tray:
            paths.update(path for path in bundle.files if path != bundle.picture)
    return frozenset(paths)


def _is_sheet_alone(bundle: Bundle) -> bool:
    """Return whether a bundle is nothing but the sheet of pictures that have gone into a tray."""
    return bundle.folder == REVIEW_FOLDER and not bundle.asset


def _asset(
    bundle: Bundle, path: str, explainer: Explainer, root: RootFolder, job: ActiveJob | None, held_since: float | None
) -> tuple[Asset, str]:
    status, sentence = explainer.explain_bundle(bundle)
    state: AssetState = "problem" if status == "held" else status
    if state == "waiting" and bundle.folder == REVIEW_FOLDER and not bundle.tray:
        state = "review"
    progress = job.fraction if job is not None and job.started_at is not None else None
    candidates = tuple(sorted(bundle.candidates)) if bundle.picture is None else ()
    picture = bundle.picture or next(iter(candidates), "")
    arrived, version = _arrival(root, picture or path)
    return Asset(path, state, _wording_of(path, sentence), held_since or arrived, progress, candidates, picture), version


def _arrival(root: RootFolder, path: str) -> tuple[float, str]:
    """Return when a file came to where it lies (Unix seconds), and its version; now and "" if it has just gone."""
    try:
        status = root.lstat(path)
    except OSError:
        return time.time(), ""
    return status.st_ctime, version_of(FileSignature.from_stat(status))


def _delivered_assets(location: Location, root: RootFolder) -> Iterator[tuple[Asset, str]]:
    for folder_path, names in root.walk(location.setup.pipeline.final_folder):
        for name in names:
            if classify(name).role == "picture":
                path = f"{folder_path}/{name}"
                arrived, version = _arrival(root, path)
                yield Asset(path, "delivered", "", arrived, picture=path), version


def _worker_rows(location: Location, explainer: Explainer) -> Iterator[WorkerRow]:
    daemon = location.daemon
    paths = {job.job_id: job.path for job in explainer.active_jobs}
    queued = Counter(job.queue for job in explainer.active_jobs if job.started_at is None)
    counted: set[str] = set()
    for worker in daemon.workers:
        names = [posixpath.basename(paths[job]) for job in worker.jobs if job in paths]
        activity = worker.pause_reason or worker.loading_sentence(time.time()) or ", ".join(names)
        waiting = queued[worker.queue] if worker.queue not in counted else 0
        counted.add(worker.queue)
        title = worker.device_title or ("CPU" if worker.device == "cpu" else worker.device)
        node = f"{worker.host}, " if worker.host else ""
        yield WorkerRow(f"{worker.queue}: {node}{title}", activity, ", ".join(worker.loaded), waiting)


def read_progress(location: Location) -> list[dict[str, object]]:
    """Return the running jobs with what they do at the moment, for the live view."""
    jobs = [job for job in location.explain().active_jobs if job.started_at is not None]
    return [
        {"path": job.path, "sentence": working_sentence(job, progress_note(job, location.daemon)), "progress": round(job.fraction, 3)}
        for job in jobs
    ]


def select_assets(board: Board, state: str, campaign: str, words: str) -> list[Asset]:
    """Return the assets with this state, of this campaign, whose path has all of the words; "" = any."""
    searched = fold_name(words).split()
    prefix = fold_name(campaign)
    return [
        asset
        for asset in board.assets
        if (not state or asset.state == state)
        and (not prefix or fold_name(asset.campaign + "/").startswith(prefix + "/"))
        and all(word in fold_name(asset.path) for word in searched)
    ]
