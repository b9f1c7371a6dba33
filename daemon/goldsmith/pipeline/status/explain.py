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

from goldsmith.brief.pipeline import Line
from goldsmith.errors import Problem
from goldsmith.files import Sig, display_name, has_writer, is_litter, is_litter_folder, open_input
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import Held, LiveJob, TakenRow
from goldsmith.pipeline.intake.bundle import Bundle, group
from goldsmith.pipeline.intake.completeness import Pace, refused
from goldsmith.pipeline.intake.names import CAMPAIGN_BRIEF, classify
from goldsmith.pipeline.scheduler.notes import note_path
from goldsmith.pipeline.scheduler.readiness import Judge, Ready, Wait
from goldsmith.pipeline.status.daemon_state import Daemon
from goldsmith.pipeline.status.sentences import lapsed_sentence, moment, note_of, ordinal, working_sentence

_WHERE = {
    "archive": "This is the archive: what was taken is kept here, and nothing more happens to it.",
    "library": "This is the library: briefs refer to what lies here, and nothing is done to it.",
    ".goldsmith": "This is Goldsmith's own folder for work in progress: nothing that is put here is ever taken.",
}

Standing = Literal["working", "queued", "held", "waiting"]


class Answer(NamedTuple):
    """How a bundle stands, and why, in a sentence."""

    standing: Standing
    sentence: str


class Explain:
    """Answers for one root. ``journal`` is None where none is to be had."""

    def __init__(
        self,
        root: Path,
        line: Line,
        judge: Judge,
        journal: Journal | None,
        daemon: Daemon,
        pace: Pace,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._root = root
        self._line = line
        self._judge = judge
        self._journal = journal
        self._daemon = daemon
        self._pace = pace
        self._briefs: dict[str, str | None] = {}
        self._held: dict[str, Held] = {held.path: held for held in (journal.all_held() if journal is not None else ())}
        self._live: dict[str, tuple[int, LiveJob]] = {}
        self._lapsed: dict[str, LiveJob] = {}
        now = wall()
        ahead: dict[str, int] = {}
        for job in journal.live() if journal is not None and daemon.runs else ():
            if job.lapsed(now):
                self._lapsed[job.path] = job
                continue
            ahead[job.lane] = ahead.get(job.lane, 0) + (job.started_at is None)
            self._live[job.path] = (self._place(job, ahead[job.lane]), job)

    @property
    def live(self) -> list[LiveJob]:
        """The jobs in the lanes, in the order they were queued; none whose lease has run out."""
        return [job for _, job in self._live.values()]

    def _place(self, job: LiveJob, came: int) -> int:
        """Its place in line: as the daemon last said, which knows what is loaded; of a new job, or far down, as it came."""
        order = self._daemon.order.get(job.lane, ())
        return order.index(job.job_id) + 1 if job.job_id in order else came

    # ------------------------------------------------------------------ one file

    def why(self, path: str) -> str:
        """One plain sentence about the file at ``path`` (relative to the root)."""
        top = path.partition("/")[0]
        if top in _WHERE:
            return _WHERE[top]
        if top not in self._line.folders:
            folders = ", ".join(self._line.folders)
            return f"{display_name(path)} is in none of the folders of the pipeline ({folders}), so nothing happens to it."
        try:
            status = os.lstat(self._root / path)
        except OSError:
            return self._gone(path)
        if stat.S_ISDIR(status.st_mode):
            return f"{display_name(path)} is a folder: ask for one of the pictures in it."
        if top == self._line.last:
            return self._delivered(path)
        name = posixpath.basename(path)
        refusal = refused(path, status.st_mode)
        if refusal is not None:
            return f"{refusal}."
        if is_litter(name) or any(map(is_litter_folder, path.split("/")[:-1])):
            return f"“{display_name(name)}” is never taken: files and folders with such names are temporary ones of other programs."
        return self._of_role(path, name)

    def _of_role(self, path: str, name: str) -> str:
        role = classify(name).role
        if role == "campaign":
            return "This is the campaign's brief: it speaks for every picture in this folder and below that does not say otherwise."
        if role in ("other", "litter"):
            return f"“{display_name(name)}” is no picture and no sidecar of one, so nothing happens to it."
        bundle = self.bundle_with(path)
        if role == "foreign" and (bundle is None or bundle.picture != path):
            return f"“{display_name(name)}” is of a kind that is not read here, so nothing happens to it: save the picture as PNG or TIFF."
        if bundle is None:
            return f"“{display_name(name)}” belongs to no picture in this folder."
        return self.of_bundle(bundle).sentence

    def of_bundle(self, bundle: Bundle) -> Answer:
        """How a picture with all that lies beside it stands."""
        live = self._live.get(bundle.asset)
        if live is not None:
            place, job = live
            paused = self._daemon.paused or self._daemon.lanes.get(job.lane, "")
            if job.started_at is None:
                return Answer(
                    "queued", f"Waiting: {paused}" if paused else f"Waiting for the {job.lane.upper()}, {ordinal(place)} in line."
                )
            return Answer("working", working_sentence(job, note_of(job, self._daemon)))
        problem = self._problem_told(bundle)
        if problem:
            return Answer("held", problem)
        if not bundle.instructed:
            return Answer("waiting", self._verdict(bundle)[1])
        pausing = self._daemon.missing.get(bundle.folder) or self._daemon.paused
        if pausing:
            return Answer("waiting", f"Everything waits: {pausing}")
        lapsed = self._lapsed.get(bundle.asset)
        if lapsed is not None:
            return Answer("waiting", lapsed_sentence(lapsed, self._daemon.runs))
        arriving = self._arriving(bundle)
        return Answer("waiting", arriving) if arriving else self._verdict(bundle)

    def _problem_told(self, bundle: Bundle) -> str:
        """What the note beside it says; "" where it was told nothing, or its note was taken away."""
        held = self._held.get(bundle.asset or bundle.stem)
        if held is not None and os.path.lexists(self._root / held.note_path):
            return f"{held.sentence} {held.remedy}".strip()
        if bundle.note is None or not bundle.asset or bundle.note != note_path(bundle.asset):
            return ""
        note = display_name(posixpath.basename(bundle.note))
        return f"“{note}” beside it says what is wrong; change a file or delete that note to try again."

    def _verdict(self, bundle: Bundle) -> Answer:
        try:
            verdict = self._judge.verdict(bundle)
        except OSError as error:
            return Answer("waiting", f"A file beside it cannot be read: {error.strerror}.")
        if isinstance(verdict, Wait):
            return Answer("waiting", verdict.sentence)
        if isinstance(verdict, Ready):
            next_ = f"{verdict.stage.name} is done to it next"
            stopped = f"All is there, but Goldsmith is not running here: {next_} once it is."
            return Answer("waiting", f"All is there: {next_}." if self._daemon.runs else stopped)
        return Answer("held", str(verdict.problem))

    def _arriving(self, bundle: Bundle) -> str:
        """Why a file of the bundle does not count as complete yet; "" where all do."""
        for path in bundle.files:
            name = display_name(posixpath.basename(path))
            try:
                descriptor = open_input(self._root / path)
            except Problem as problem:
                return problem.sentence
            except OSError as error:
                return f"“{name}” cannot be read: {error.strerror}."
            try:
                sentence = self._still(path, name, descriptor)
            finally:
                os.close(descriptor)
            if sentence:
                return sentence
        return ""

    def _still(self, path: str, name: str, descriptor: int) -> str:
        status = os.fstat(descriptor)
        if has_writer(descriptor):
            return f"“{name}” is still being written by another program."
        if status.st_size == 0:
            return f"“{name}” is still empty."
        weak = path.partition("/")[0] in self._daemon.weak
        quiet = self._pace.weak_quiet if weak else self._pace.quiet
        if 0 <= time.time() - status.st_ctime < quiet and not self._is_ours(path, Sig.of(status)):
            return f"“{name}” has only just arrived: it is taken once it has been quiet for {quiet:g} seconds."
        return ""

    def _is_ours(self, path: str, sig: Sig) -> bool:
        """True for a file that the daemon put down itself: that one is complete at once."""
        placed = self._journal.placed(path) if self._journal is not None else None
        return placed is not None and placed.sig.same_content(sig)

    def _gone(self, path: str) -> str:
        rows = [row for row in (self._journal.history(path) if self._journal is not None else ()) if row.outcome != "problem"]
        if not rows:
            return f"{display_name(path)} is not there, and was never taken."
        row = rows[-1]
        results = ", ".join(map(display_name, row.results)) or "nothing"
        return f"{display_name(path)} was taken by {row.stage} ({moment(row.taken_at)}); it became {results}."

    def _delivered(self, path: str) -> str:
        made = self._origin(path)
        if made is None:
            return f"{display_name(path)} lies at the end of the line: nothing more happens here."
        origin = f"{display_name(made.path)} ({moment(made.taken_at)})"
        return f"{display_name(path)} is finished: it was made of {origin}, and nothing more happens to it."

    def _origin(self, path: str) -> TakenRow | None:
        """The first row on the way of a file that the daemon put down."""
        placed = self._journal.placed(path) if self._journal is not None else None
        chain = self._journal.chain(placed.job_id) if self._journal is not None and placed is not None else []
        return chain[0] if chain else None

    # ------------------------------------------------------------------ reading the folders

    def bundle_with(self, path: str) -> Bundle | None:
        """The bundle that the file at ``path`` (or the note at it) belongs to."""
        place = posixpath.dirname(path)
        beside = self._group(place, _names(self._root / place))
        return next((each for each in beside if path in each.files or path == each.note), None)

    def bundles(self, folder: str) -> Iterator[Bundle]:
        """Every bundle in a stage's folder and its campaigns."""
        for place, names in walk(self._root, folder):
            yield from self._group(place, names)

    def _group(self, place: str, names: Sequence[str]) -> list[Bundle]:
        folder, _, campaign = place.partition("/")
        return group(folder, campaign, names, self._campaign_brief(place))

    def _campaign_brief(self, place: str) -> str | None:
        """The nearest brief.toml from ``place`` up to the stage's folder."""
        if not place:
            return None
        if place not in self._briefs:
            own = next((name for name in _names(self._root / place) if name.casefold() == CAMPAIGN_BRIEF), None)
            above = posixpath.dirname(place)
            self._briefs[place] = posixpath.join(place, own) if own is not None else self._campaign_brief(above)
        return self._briefs[place]


def general(bundle: Bundle, sentence: str) -> str:
    """The sentence with NAME for the picture's own name, so that what is true of many is said once; its first line only."""
    said = sentence.split("\n", 1)[0]
    for own in (posixpath.basename(bundle.asset), bundle.stem):
        if own:
            said = said.replace(f"“{display_name(own)}”", "“NAME”").replace(f"“{display_name(own)}.", "“NAME.")
            said = said.replace(f" {display_name(own)}.toml", " NAME.toml")
    return said


def walk(root: Path, folder: str) -> Iterator[tuple[str, list[str]]]:
    """(place relative to the root, names of the files) of a folder and all below it that are ever looked into."""
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        names = []
        for entry in _entries(root / place):
            if entry.is_dir(follow_symlinks=False):
                if not is_litter_folder(entry.name):
                    waiting.append(posixpath.join(place, entry.name))
            else:
                names.append(entry.name)
        yield place, names


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def _names(folder: Path) -> list[str]:
    return [entry.name for entry in _entries(folder) if not entry.is_dir(follow_symlinks=False)]
