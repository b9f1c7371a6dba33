"""Why a file waits, asked from outside the daemon: from what lies in the folders, what the journal remembers and who runs.

Nothing here changes anything, and it answers as well where no daemon runs.
"""

from __future__ import annotations

import os
import posixpath
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from goldsmith.brief.pipeline import Pipeline
from goldsmith.errors import InputError
from goldsmith.files import (
    FileSignature,
    display_name,
    has_writer,
    is_ignored_file,
    is_ignored_folder,
    open_input,
)
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import ActiveJob, HistoryRow, HoldRecord
from goldsmith.pipeline.intake.bundle import Bundle, group_bundles
from goldsmith.pipeline.intake.file_names import CAMPAIGN_BRIEF, classify
from goldsmith.pipeline.intake.file_tracker import SettleTimes, refusal_reason
from goldsmith.pipeline.scheduler.problem_notes import note_path
from goldsmith.pipeline.scheduler.readiness import Readiness, Ready, Waiting
from goldsmith.pipeline.status.daemon_state import DaemonState
from goldsmith.pipeline.status.sentences import expired_lease_sentence, format_time, ordinal, progress_note, working_sentence

_SPECIAL_FOLDERS = {
    "archive": "This is the archive: what was taken is kept here, and nothing more happens to it.",
    "library": "This is the library: briefs refer to what lies here, and nothing is done to it.",
    ".goldsmith": "This is Goldsmith's own folder for work in progress: nothing that is put here is ever taken.",
}

BundleStatus = Literal["working", "queued", "held", "waiting"]


class Explanation(NamedTuple):
    """How a bundle stands, and why, in a sentence."""

    status: BundleStatus
    sentence: str


class Explainer:
    """Answers for one root. ``journal`` is None where none is to be had."""

    def __init__(
        self,
        root: Path,
        pipeline: Pipeline,
        readiness: Readiness,
        journal: Journal | None,
        daemon: DaemonState,
        settle_times: SettleTimes,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._root = root
        self._pipeline = pipeline
        self._readiness = readiness
        self._journal = journal
        self._daemon = daemon
        self._settle_times = settle_times
        self._campaign_briefs: dict[str, str | None] = {}
        self._holds: dict[str, HoldRecord] = {held.path: held for held in (journal.all_holds() if journal is not None else ())}
        self._active_jobs: dict[str, tuple[int, ActiveJob]] = {}
        self._expired_jobs: dict[str, ActiveJob] = {}
        now = wall_clock()
        ahead: dict[str, int] = {}
        for job in journal.active_jobs() if journal is not None and daemon.holder else ():
            if job.lease_expired(now):
                self._expired_jobs[job.path] = job
                continue
            ahead[job.queue] = ahead.get(job.queue, 0) + (job.started_at is None)
            self._active_jobs[job.path] = (self._queue_position(job, ahead[job.queue]), job)

    @property
    def active_jobs(self) -> list[ActiveJob]:
        """The jobs in the lanes, in the order they were queued; none whose lease has run out."""
        return [job for _, job in self._active_jobs.values()]

    def _queue_position(self, job: ActiveJob, arrival_position: int) -> int:
        """Its place in line: as the daemon last said, which knows what is loaded; of a new job, or far down, as it came."""
        order = self._daemon.queue_order.get(job.queue, ())
        return order.index(job.job_id) + 1 if job.job_id in order else arrival_position

    # ------------------------------------------------------------------ one file

    def explain_file(self, path: str) -> str:
        """One plain sentence about the file at ``path`` (relative to the root)."""
        top = path.partition("/")[0]
        if top in _SPECIAL_FOLDERS:
            return _SPECIAL_FOLDERS[top]
        if top not in self._pipeline.folders:
            folders = ", ".join(self._pipeline.folders)
            return f"{display_name(path)} is in none of the folders of the pipeline ({folders}), so nothing happens to it."
        try:
            status = os.lstat(self._root / path)
        except OSError:
            return self._explain_missing(path)
        if stat.S_ISDIR(status.st_mode):
            return f"{display_name(path)} is a folder: ask for one of the pictures in it."
        if top == self._pipeline.final_folder:
            return self._explain_delivered(path)
        name = posixpath.basename(path)
        refusal = refusal_reason(path, status.st_mode)
        if refusal is not None:
            return f"{refusal}."
        if is_ignored_file(name) or any(map(is_ignored_folder, path.split("/")[:-1])):
            return f"“{display_name(name)}” is never taken: files and folders with such names are temporary ones of other programs."
        return self._explain_by_role(path, name)

    def _explain_by_role(self, path: str, name: str) -> str:
        role = classify(name).role
        if role == "campaign":
            return "This is the campaign's brief: it speaks for every picture in this folder and below that does not say otherwise."
        if role in ("other", "litter"):
            return f"“{display_name(name)}” is no picture and no sidecar of one, so nothing happens to it."
        bundle = self.bundle_containing(path)
        if role == "foreign" and (bundle is None or bundle.picture != path):
            return f"“{display_name(name)}” is of a kind that is not read here, so nothing happens to it: save the picture as PNG or TIFF."
        if bundle is None:
            return f"“{display_name(name)}” belongs to no picture in this folder."
        return self.explain_bundle(bundle).sentence

    def explain_bundle(self, bundle: Bundle) -> Explanation:
        """How a picture with all that lies beside it stands."""
        live = self._active_jobs.get(bundle.asset)
        if live is not None:
            place, job = live
            paused = self._daemon.pause_reason or self._daemon.queue_pauses.get(job.queue, "")
            if job.started_at is None:
                return Explanation(
                    "queued", f"Waiting: {paused}" if paused else f"Waiting for the {job.queue.upper()}, {ordinal(place)} in line."
                )
            return Explanation("working", working_sentence(job, progress_note(job, self._daemon)))
        problem = self._hold_sentence(bundle)
        if problem:
            return Explanation("held", problem)
        if not bundle.has_instructions:
            return Explanation("waiting", self._explain_readiness(bundle)[1])
        pausing = self._daemon.unavailable_folders.get(bundle.folder) or self._daemon.pause_reason
        if pausing:
            return Explanation("waiting", f"Everything waits: {pausing}")
        lapsed = self._expired_jobs.get(bundle.asset)
        if lapsed is not None:
            return Explanation("waiting", expired_lease_sentence(lapsed, self._daemon.holder))
        arriving = self._incomplete_reason(bundle)
        return Explanation("waiting", arriving) if arriving else self._explain_readiness(bundle)

    def _hold_sentence(self, bundle: Bundle) -> str:
        """What the note beside it says; "" where it was told nothing, or its note was taken away."""
        held = self._holds.get(bundle.asset or bundle.stem)
        if held is not None and os.path.lexists(self._root / held.note_path):
            return f"{held.sentence} {held.remedy}".strip()
        if bundle.note is None or not bundle.asset or bundle.note != note_path(bundle.asset):
            return ""
        note = display_name(posixpath.basename(bundle.note))
        return f"“{note}” beside it says what is wrong; change a file or delete that note to try again."

    def _explain_readiness(self, bundle: Bundle) -> Explanation:
        try:
            verdict = self._readiness.check(bundle)
        except OSError as error:
            return Explanation("waiting", f"A file beside it cannot be read: {error.strerror}.")
        if isinstance(verdict, Waiting):
            return Explanation("waiting", verdict.sentence)
        if isinstance(verdict, Ready):
            next_ = f"{verdict.stage.name} is done to it next"
            stopped = f"All is there, but Goldsmith is not running here: {next_} once it is."
            return Explanation("waiting", f"All is there: {next_}." if self._daemon.holder else stopped)
        return Explanation("held", str(verdict.problem))

    def _incomplete_reason(self, bundle: Bundle) -> str:
        """Why a file of the bundle does not count as complete yet; "" where all do."""
        for path in bundle.files:
            name = display_name(posixpath.basename(path))
            try:
                descriptor = open_input(self._root / path)
            except InputError as problem:
                return problem.sentence
            except OSError as error:
                return f"“{name}” cannot be read: {error.strerror}."
            try:
                sentence = self._incomplete_file_reason(path, name, descriptor)
            finally:
                os.close(descriptor)
            if sentence:
                return sentence
        return ""

    def _incomplete_file_reason(self, path: str, name: str, fd: int) -> str:
        status = os.fstat(fd)
        if has_writer(fd):
            return f"“{name}” is still being written by another program."
        if status.st_size == 0:
            return f"“{name}” is still empty."
        weak = path.partition("/")[0] in self._daemon.weak_quiet_folders
        quiet = self._settle_times.weak_quiet if weak else self._settle_times.quiet
        if 0 <= time.time() - status.st_ctime < quiet and not self._was_placed_by_daemon(path, FileSignature.from_stat(status)):
            return f"“{name}” has only just arrived: it is taken once it has been quiet for {quiet:g} seconds."
        return ""

    def _was_placed_by_daemon(self, path: str, sig: FileSignature) -> bool:
        """True for a file that the daemon put down itself: that one is complete at once."""
        placed = self._journal.placed_file(path) if self._journal is not None else None
        return placed is not None and placed.sig.same_content(sig)

    def _explain_missing(self, path: str) -> str:
        rows = [row for row in (self._journal.history(path) if self._journal is not None else ()) if row.outcome != "problem"]
        if not rows:
            return f"{display_name(path)} is not there, and was never taken."
        row = rows[-1]
        results = ", ".join(map(display_name, row.results)) or "nothing"
        return f"{display_name(path)} was taken by {row.stage} ({format_time(row.taken_at)}); it became {results}."

    def _explain_delivered(self, path: str) -> str:
        made = self._first_history_row(path)
        if made is None:
            return f"{display_name(path)} lies at the end of the line: nothing more happens here."
        origin = f"{display_name(made.path)} ({format_time(made.taken_at)})"
        return f"{display_name(path)} is finished: it was made of {origin}, and nothing more happens to it."

    def _first_history_row(self, path: str) -> HistoryRow | None:
        """The first row on the way of a file that the daemon put down."""
        placed = self._journal.placed_file(path) if self._journal is not None else None
        chain = self._journal.lineage(placed.job_id) if self._journal is not None and placed is not None else []
        return chain[0] if chain else None

    # ------------------------------------------------------------------ reading the folders

    def bundle_containing(self, path: str) -> Bundle | None:
        """The bundle that the file at ``path`` (or the note at it) belongs to."""
        place = posixpath.dirname(path)
        beside = self._group_files(place, _list_file_names(self._root / place))
        return next((each for each in beside if path in each.files or path == each.note), None)

    def bundles(self, folder: str) -> Iterator[Bundle]:
        """Every bundle in a stage's folder and its campaigns."""
        for place, names in walk_folder(self._root, folder):
            yield from self._group_files(place, names)

    def _group_files(self, folder_path: str, names: Sequence[str]) -> list[Bundle]:
        folder, _, campaign = folder_path.partition("/")
        return group_bundles(folder, campaign, names, self._campaign_brief(folder_path))

    def _campaign_brief(self, folder_path: str) -> str | None:
        """The nearest brief.toml from ``place`` up to the stage's folder."""
        if not folder_path:
            return None
        if folder_path not in self._campaign_briefs:
            own = next((name for name in _list_file_names(self._root / folder_path) if name.casefold() == CAMPAIGN_BRIEF), None)
            above = posixpath.dirname(folder_path)
            self._campaign_briefs[folder_path] = posixpath.join(folder_path, own) if own is not None else self._campaign_brief(above)
        return self._campaign_briefs[folder_path]


def generalise_sentence(bundle: Bundle, sentence: str) -> str:
    """The sentence with NAME for the picture's own name, so that what is true of many is said once; its first line only."""
    said = sentence.split("\n", 1)[0]
    for own in (posixpath.basename(bundle.asset), bundle.stem):
        if own:
            said = said.replace(f"“{display_name(own)}”", "“NAME”").replace(f"“{display_name(own)}.", "“NAME.")
            said = said.replace(f" {display_name(own)}.toml", " NAME.toml")
    return said


def walk_folder(root: Path, folder: str) -> Iterator[tuple[str, list[str]]]:
    """(place relative to the root, names of the files) of a folder and all below it that are ever looked into."""
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        names = []
        for entry in _list_entries(root / place):
            if entry.is_dir(follow_symlinks=False):
                if not is_ignored_folder(entry.name):
                    waiting.append(posixpath.join(place, entry.name))
            else:
                names.append(entry.name)
        yield place, names


def _list_entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def _list_file_names(folder: Path) -> list[str]:
    return [entry.name for entry in _list_entries(folder) if not entry.is_dir(follow_symlinks=False)]
