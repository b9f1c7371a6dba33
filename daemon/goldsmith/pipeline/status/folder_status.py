"""The file ``_status.txt`` in each stage's folder: what is at work there, what waits and for what, what is held, remarks, and names
to check.

It is for people who see the folders and nothing else. Each file is written at most once in ``WRITE_INTERVAL_SECONDS``, and only when its
text has changed. Nothing here may pause the daemon: a folder that takes no file is reported and tried again later.
"""

from __future__ import annotations

import heapq
import os
import posixpath
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from goldsmith.brief.pipeline import Pipeline
from goldsmith.errors import HostError, InputError, join_sentences
from goldsmith.files import STATUS_FILE_NAME, Filesystem, display_name, write_atomically_in
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import ActiveJob
from goldsmith.picture.formats.table import is_picture_suffix
from goldsmith.pipeline.intake.bundle import BundleKey
from goldsmith.pipeline.intake.bundle_index import FolderIndex
from goldsmith.pipeline.intake.file_names import classify
from goldsmith.pipeline.intake.file_tracker import SettleTimes
from goldsmith.pipeline.intake.intake import Intake
from goldsmith.pipeline.scheduler.holds import Holds
from goldsmith.pipeline.scheduler.host_health import OnEvent
from goldsmith.pipeline.scheduler.in_flight import InFlight
from goldsmith.pipeline.scheduler.readiness import Readiness
from goldsmith.pipeline.stage_work import StageWork
from goldsmith.pipeline.status.daemon_state import DaemonState
from goldsmith.pipeline.status.explain import Explainer, LiveRecords, generalise_sentence
from goldsmith.pipeline.status.remarked_pictures import RemarkedPictures
from goldsmith.pipeline.status.sentences import format_time
from goldsmith.root_folder import RootFolder, read_start

# The shortest time between two writes of one folder's file, in seconds.
WRITE_INTERVAL_SECONDS = 3.0
# The time after which a folder that took no file is tried again, in seconds.
_RETRY_SECONDS = 60.0
# Composing a text takes at most this share of the main loop's time: a flood makes it longer, and then it is composed less often.
_MAX_TIME_SHARE = 0.02
# How many names are looked at for a picture without an instruction.
_MAX_NAMES = 5000
# How many entries each list shows; the rest are only counted.
_MAX_LISTED = 12
_WIDTH = 96
# Windows' Notepad needs the mark to know UTF-8, and CR LF to break lines, in its older versions; every other editor takes both.
_BYTE_ORDER_MARK = "\ufeff"
_LINE_END = "\r\n"
_FIRST_WORDS = "Goldsmith: the state of "
_EXPLANATION = "Goldsmith writes this file anew: what you write into it is lost. You may delete it."


@dataclass(frozen=True, slots=True)
class FolderStatusSources:
    """The parts of the daemon that know what its pictures do. ``state`` returns the state that the command line shows."""

    intake: Intake
    in_flight: InFlight
    holds: Holds
    readiness: Readiness
    journal: Journal
    settle_times: SettleTimes
    state: Callable[[], DaemonState]


@dataclass(slots=True)
class _StatusFile:
    """The status file of one stage's folder."""

    body: list[str] = field(default_factory=list)
    # Monotonic time before which it is not written again.
    next_write_at: float = 0.0
    # False if something may have changed since the text was last composed.
    is_current: bool = False
    # Why the folder takes no status file, as a sentence; "" while it does.
    refusal: str = ""


class FolderStatusFiles:
    """Writes the status files of the stages' folders. Only the main loop's thread calls it."""

    def __init__(
        self,
        root: Path,
        pipeline: Pipeline,
        sources: FolderStatusSources,
        fs: Filesystem,
        on_event: OnEvent,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._root_path = root
        self._root = RootFolder(root)
        self._pipeline = pipeline
        self._sources = sources
        self._fs = fs
        self._on_event = on_event
        self._clock = clock
        self._wall_clock = wall_clock
        self._files = {folder: _StatusFile() for folder in pipeline.watched_folders}
        self._remarked = RemarkedPictures(sources.journal)

    @property
    def refusals(self) -> dict[str, str]:
        """The stage folders that take no status file, each with a sentence."""
        return {folder: file.refusal for folder, file in self._files.items() if file.refusal}

    def mark_changed(self) -> None:
        """Compose all files again when they are next due, because something may have changed."""
        for file in self._files.values():
            file.is_current = False

    def seconds_until_due(self) -> float | None:
        """Return the seconds until a file must be composed; None if nothing has changed."""
        due = [file.next_write_at for file in self._files.values() if not file.is_current]
        return max(0.0, min(due) - self._clock()) if due else None

    def write_due(self) -> None:
        """Compose the files that are due, and write those whose text has changed."""
        now = self._clock()
        due = [(folder, file) for folder, file in self._files.items() if not file.is_current and file.next_write_at <= now]
        if not due:
            return
        state = self._sources.state()
        self._remarked.update()
        for folder, file in due:
            file.is_current, file.next_write_at = True, now + WRITE_INTERVAL_SECONDS
            if not self._sources.intake.is_present(folder):
                continue  # its mount is gone, and a file would lie beneath the mount
            started_at = time.thread_time()
            body = list(_FolderReport(folder, self._root_path, self._pipeline, self._sources, state, self._remarked).lines())
            file.next_write_at = now + max(WRITE_INTERVAL_SECONDS, (time.thread_time() - started_at) / _MAX_TIME_SHARE)
            if body != file.body:
                self._write(folder, file, body)

    def write_stopped(self) -> None:
        """Say in every file that the daemon has stopped."""
        for folder, file in self._files.items():
            if self._sources.intake.is_present(folder):
                sentence = "Goldsmith is not running: nothing happens to the pictures here until it is started again."
                self._write(folder, file, textwrap.wrap(sentence, _WIDTH))

    def remove_all(self) -> None:
        """Remove the files that an earlier run has left: their text would never change."""
        for folder in self._files:
            path = f"{folder}/{STATUS_FILE_NAME}"
            try:
                if self._root.exists(path) and self._is_own(path):
                    self._root.unlink(path)
            except OSError:
                continue

    def _write(self, folder: str, file: _StatusFile, body: list[str]) -> None:
        head = [f"{_FIRST_WORDS}{folder}/", f"Last change: {format_time(self._wall_clock())}. {_EXPLANATION}", ""]
        data = (_BYTE_ORDER_MARK + "".join(line + _LINE_END for line in (*head, *body))).encode("utf-8", "replace")
        refusal = ""
        try:
            if self._is_own(f"{folder}/{STATUS_FILE_NAME}"):
                with self._root.opened_folder(folder) as descriptor:
                    write_atomically_in(self._fs, descriptor, STATUS_FILE_NAME, data, replace=True, is_durable=False)
                file.body = body
            else:
                refusal = f"{folder}/{STATUS_FILE_NAME} is not Goldsmith's, so Goldsmith does not write its own: rename it."
        except (OSError, HostError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            refusal = f"{folder}/{STATUS_FILE_NAME} cannot be written ({reason}): let Goldsmith's user write to {folder}/."
        if refusal:
            file.is_current, file.next_write_at = False, self._clock() + _RETRY_SECONDS
        if refusal and refusal != file.refusal:
            self._on_event("no status file", folder=folder, sentence=refusal)
        file.refusal = refusal

    def _is_own(self, path: str) -> bool:
        """Return whether a file may be replaced: it is missing or empty, or Goldsmith wrote it. A link or a folder is somebody else's."""
        start = (_BYTE_ORDER_MARK + _FIRST_WORDS).encode()
        try:
            descriptor = self._root.open_file(path)
        except FileNotFoundError:
            return True
        except (InputError, PermissionError):
            return False
        try:
            first_bytes = read_start(descriptor, len(start))
        finally:
            os.close(descriptor)
        return first_bytes in (b"", start)


class _FolderReport:
    """The text about one stage's folder, as of its construction."""

    def __init__(
        self,
        folder: str,
        root: Path,
        pipeline: Pipeline,
        sources: FolderStatusSources,
        state: DaemonState,
        remarked_pictures: RemarkedPictures,
    ) -> None:
        self._folder = folder
        self._sources = sources
        self._state = state
        stage = pipeline.stage_of_folder(folder)
        self._queue = stage.queue if stage is not None else ""
        self._indexes = sources.intake.folders_in(folder)
        self._working: list[StageWork] = []
        self._queued: dict[str, BundleKey] = {}
        self._waiting: list[BundleKey] = []
        self._instructed_pictures = 0
        for key in sources.intake.instructed_bundles():
            if key.folder == folder:
                self._add(key)
        self._next = [self._queued[job_id] for ids in state.queue_order.values() for job_id in ids if job_id in self._queued][:_MAX_LISTED]
        self._remarks = [
            (self._path_in_folder(path), "\n".join(remarks)) for path, remarks in remarked_pictures.newest_in(folder) if self._is_here(path)
        ]
        self._held = [held for path, held in sources.holds.records.items() if path.startswith(f"{folder}/")]
        jobs = [*map(_active_job, self._working), *(job for key in self._next if (job := self._queued_job(key)) is not None)]
        live = LiveRecords(sources.holds.records, jobs, sources.intake.folder)
        # Its own process holds the root, whatever the lock says.
        daemon = state if state.holder else state.model_copy(update={"holder": f"process {state.pid} on {state.host}"})
        self._explainer = Explainer(root, pipeline, lambda: sources.readiness, sources.journal, daemon, sources.settle_times, live=live)

    def _add(self, key: BundleKey) -> None:
        self._instructed_pictures += _is_picture_name(key.name)
        work, queued = self._sources.in_flight.get(key), self._sources.in_flight.get_queued(key)
        if work is not None and (work.progress is not None or work.outcome is not None):
            self._working.append(work)
        elif work is not None:  # a worker has it and has not begun, or it is back in the queue because its device failed
            self._queued[work.job.id] = key
        elif queued is not None:
            self._queued[queued.id] = key
        elif not self._sources.holds.has_key(key):
            self._waiting.append(key)

    def lines(self) -> Iterator[str]:
        """Yield the lines of the text."""
        sections = [
            *self._section("Everything here waits", [("", sentence) for sentence in self._pauses()]),
            *self._section("Campaigns that cannot be read, or only in part", [("", sentence) for sentence in self._unread_campaigns()]),
            *self._section("At work", self._working_entries(), len(self._working)),
            *self._section("In the queue", self._queue_entries(), len(self._queued)),
            *self._section("Waiting", self._waiting_entries(), len(self._waiting)),
            *self._section("Problems", self._problem_entries(), len(self._held)),
            *self._section("Remarks", self._remarks),
            *self._section("Names to check", self._name_entries()),
            *self._lone_pictures(),
        ]
        yield from sections or ["Nothing is at work here, and nothing waits."]

    def _is_here(self, path: str) -> bool:
        """Return whether a picture still lies where it was put."""
        parent, name = posixpath.split(path)
        index = self._sources.intake.folder(parent)
        return index is not None and name in index.names

    def _section(self, title: str, entries: Sequence[tuple[str, str]], count: int | None = None) -> Iterator[str]:
        """Yield a titled list of names with their sentences; ``count`` is how many there are in all."""
        total = len(entries) if count is None else count
        if not total:
            return
        yield f"{title} ({total:,})"
        for name, sentence in entries[:_MAX_LISTED]:
            if name:
                yield f"  {name}"
            for paragraph in self._sources.holds.without_server_paths(sentence).split("\n"):
                indent = "      " if name else "  "
                yield from textwrap.wrap(paragraph, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False)
        listed = min(len(entries), _MAX_LISTED)
        if total > listed:
            yield f"  and {total - listed:,} more" if listed else f"  {total:,} pictures"
        yield ""

    def _pauses(self) -> list[str]:
        state = self._state
        reasons = [state.pause_reason, state.queue_pauses.get(self._queue, ""), state.unavailable_folders.get(self._folder, "")]
        return [*dict.fromkeys(filter(None, reasons))]

    def _unread_campaigns(self) -> list[str]:
        own = f"{self._folder}/"
        return [*dict.fromkeys(reason for path, reason in self._state.unavailable_folders.items() if path.startswith(own))]

    def _working_entries(self) -> list[tuple[str, str]]:
        works = heapq.nsmallest(_MAX_LISTED, self._working, key=lambda work: work.started_at)
        return [self._entry_of_work(work) for work in works]

    def _queue_entries(self) -> list[tuple[str, str]]:
        return self._entries(self._next)

    def _queued_job(self, key: BundleKey) -> ActiveJob | None:
        """Return the job of a bundle in a queue as the journal's table would have it; None if the bundle has just gone."""
        work, queued = self._sources.in_flight.get(key), self._sources.in_flight.get_queued(key)
        bundle = self._sources.intake.bundle(key)
        if work is not None:
            return _active_job(work)
        if queued is None or bundle is None:
            return None
        return ActiveJob(queued.id, "", queued.queue, bundle.asset, 0.0, None, None, 0, "", 0.0, "")

    def _entry_of_work(self, work: StageWork) -> tuple[str, str]:
        return self._path_in_folder(work.asset_path), self._explainer.explain_bundle(work.bundle).sentence

    def _waiting_entries(self) -> list[tuple[str, str]]:
        return self._entries(heapq.nsmallest(_MAX_LISTED, self._waiting))

    def _entries(self, keys: Sequence[BundleKey]) -> list[tuple[str, str]]:
        entries = []
        for key in keys:
            bundle = self._sources.intake.bundle(key)
            if bundle is not None:
                path = bundle.asset or next(iter(bundle.files), bundle.stem)
                entries.append((self._path_in_folder(path), self._explainer.explain_bundle(bundle).sentence))
        return entries

    def _problem_entries(self) -> list[tuple[str, str]]:
        latest = heapq.nlargest(_MAX_LISTED, self._held, key=lambda held: held.since)
        return [(self._path_in_folder(held.path), join_sentences(held.sentence, held.remedy)) for held in latest]

    def _name_entries(self) -> list[tuple[str, str]]:
        entries: list[tuple[str, str]] = []
        for index in self._indexes:
            campaign = f"{display_name(index.campaign)}/: " if index.campaign else ""
            questions = self._explainer.questions(index.path).values() if index.near_misses else ()
            entries += [("", f"{campaign}{question.sentence}") for question in questions if not self._is_told(index, question.name)]
        return entries

    def _is_told(self, index: FolderIndex, name: str) -> bool:
        """Return whether a file with a question is at work, queued or held: then the text has it already."""
        key = BundleKey(index.stage_folder, index.campaign, name)
        in_flight = self._sources.in_flight
        return in_flight.get(key) is not None or in_flight.get_queued(key) is not None or self._sources.holds.has_key(key)

    def _lone_pictures(self) -> Iterator[str]:
        """Yield a line about the pictures without an instruction, in the words of one of them."""
        count = sum(index.picture_count for index in self._indexes) - self._instructed_pictures
        if count <= 0:
            return
        yield f"Pictures without an instruction ({count:,})"
        sentence = self._lone_sentence()
        yield from textwrap.wrap(sentence, _WIDTH, initial_indent="  ", subsequent_indent="  ")

    def _lone_sentence(self) -> str:
        instructed = self._sources.intake.instructed_bundles()
        for index, name in islice(((folder, name) for folder in self._indexes for name in folder.names), _MAX_NAMES):
            if not _is_picture_name(name) or name in index.near_misses:
                continue
            key = BundleKey(index.stage_folder, index.campaign, name)
            bundle = None if key in instructed or classify(name).role != "picture" else self._sources.intake.bundle(key)
            if bundle is not None:
                return generalise_sentence(bundle, self._explainer.explain_bundle(bundle, ask_about_mask=False).sentence)
        return ""

    def _path_in_folder(self, path: str) -> str:
        return _shortened(display_name(path.removeprefix(f"{self._folder}/")))


def _is_picture_name(name: str) -> bool:
    """Return whether the name has the suffix of a picture; it may also be that of a mask."""
    return is_picture_suffix(os.path.splitext(name)[1].lower())


def _shortened(text: str) -> str:
    """Return a text that fits into a line: the middle of a very long name is left out."""
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 30]} … {text[-24:]}"


def _active_job(work: StageWork) -> ActiveJob:
    """Return the job as the journal's table of running jobs would have it."""
    progress, job = work.progress, work.job
    return ActiveJob(
        job_id=job.id,
        stage=job.stage,
        queue=job.queue,
        path=work.asset_path,
        queued_at=work.started_at,
        started_at=None if progress is None and work.outcome is None else work.started_at,
        lease_until=float("inf"),
        step=progress.step if progress is not None else 0,
        op=progress.op if progress is not None else "",
        fraction=progress.fraction if progress is not None else 0.0,
        note=progress.note if progress is not None else "",
    )
