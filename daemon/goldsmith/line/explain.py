"""Why a file waits, asked from outside the daemon: from what lies in the folders, what the journal remembers and who runs.

Nothing here changes anything, and it answers as well where no daemon runs.
"""

from __future__ import annotations

import os
import posixpath
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from goldsmith.brief.stages import Line
from goldsmith.errors import Problem
from goldsmith.files import has_writer, is_litter, is_litter_folder, open_input
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import LiveJob
from goldsmith.line.bundle import CAMPAIGN_BRIEF, Bundle, classify, group, shown
from goldsmith.line.completeness import refused
from goldsmith.line.judge import Judge, Ready, Wait

_WHERE = {
    "archive": "This is the archive: what was taken is kept here, and nothing more happens to it.",
    "library": "This is the library: briefs refer to what lies here, and nothing is done to it.",
}


class Explain:
    """Answers for one root. ``journal`` is None where none was ever made; ``paused`` is what the daemon says of the machine."""

    def __init__(self, root: Path, line: Line, judge: Judge, journal: Journal | None, *, runs: bool, paused: str, quiet: float) -> None:
        self._root = root
        self._line = line
        self._judge = judge
        self._journal = journal
        self._runs = runs
        self._paused = paused
        self._quiet = quiet
        self._live: dict[str, tuple[int, LiveJob]] = {}
        for job in journal.live() if journal is not None and runs else ():
            ahead = sum(other.lane == job.lane and other.started_at is None for _, other in self._live.values())
            self._live[job.path] = (ahead + 1, job)

    def why(self, path: str) -> str:
        """One plain sentence about the file at ``path`` (relative to the root)."""
        top = path.partition("/")[0]
        if top in _WHERE:
            return _WHERE[top]
        if top not in self._line.folders or top == path:
            return f"{shown(path)} is none of the folders of the line ({', '.join(self._line.folders)}), so nothing happens to it."
        try:
            status = os.lstat(self._root / path)
        except OSError:
            return self._gone(path)
        if top == self._line.last:
            return self._delivered(path)
        name = posixpath.basename(path)
        if stat.S_ISDIR(status.st_mode):
            return f"{shown(name)} is a folder: ask for one of the pictures in it."
        refusal = refused(path, status.st_mode)
        if refusal is not None:
            return f"{refusal}."
        if is_litter(name) or any(map(is_litter_folder, path.split("/")[:-1])):
            return f"“{shown(name)}” is never taken: files and folders with such names are temporary ones of other programs."
        return self._of_role(path, name)

    def _of_role(self, path: str, name: str) -> str:
        role = classify(name).role
        if role == "campaign":
            return "This is the campaign's brief: it speaks for every picture in this folder and below that does not say otherwise."
        if role in ("other", "litter"):
            return f"“{shown(name)}” is no picture and no sidecar of one, so nothing happens to it."
        bundle = next((each for each in self.bundles_beside(path) if path in each.files or path == each.note), None)
        if bundle is None:
            return f"“{shown(name)}” belongs to no picture in this folder."
        return self.of_bundle(bundle)

    def of_bundle(self, bundle: Bundle) -> str:
        """The sentence for a picture with all that lies beside it."""
        live = self._live.get(bundle.picture or "")
        if live is not None:
            return _live_sentence(*live)
        held = self._journal.held(bundle.picture) if self._journal is not None and bundle.picture else None
        if held is not None and os.path.lexists(self._root / held.note_path):
            return f"{held.sentence} {held.remedy}".strip()
        if not bundle.instructed:
            return self._verdict(bundle)
        arriving = self._arriving(bundle)
        if arriving:
            return arriving
        if self._paused and self._runs:
            return f"Everything waits: {self._paused}"
        return self._verdict(bundle)

    def _verdict(self, bundle: Bundle) -> str:
        try:
            verdict = self._judge.verdict(bundle)
        except OSError as error:
            return f"A file beside it cannot be read: {error.strerror}."
        if isinstance(verdict, Wait):
            return verdict.sentence
        if isinstance(verdict, Ready):
            next_ = f"{verdict.stage.name} is done to it next"
            return f"All is there: {next_}." if self._runs else f"All is there, but Goldsmith is not running here: {next_} once it is."
        return str(verdict.problem)

    def _arriving(self, bundle: Bundle) -> str:
        """Why a file of the bundle does not count as complete yet; "" where all do."""
        for path in bundle.files:
            name = shown(posixpath.basename(path))
            try:
                descriptor = open_input(self._root / path)
            except Problem as problem:
                return problem.sentence
            except OSError as error:
                return f"“{name}” cannot be read: {error.strerror}."
            try:
                status = os.fstat(descriptor)
                if has_writer(descriptor):
                    return f"“{name}” is still being written by another program."
                if status.st_size == 0:
                    return f"“{name}” is still empty."
                if 0 <= time.time() - status.st_ctime < self._quiet:
                    return f"“{name}” has only just arrived: it is taken once it has been quiet for {self._quiet:g} seconds."
            finally:
                os.close(descriptor)
        return ""

    def _gone(self, path: str) -> str:
        rows = list(self._journal.history(path)) if self._journal is not None else []
        if not rows:
            return f"{shown(path)} is not there, and was never taken."
        row = rows[-1]
        results = ", ".join(map(shown, row.results)) or "nothing"
        return f"{shown(path)} was taken by {row.stage} ({row.outcome}); it became {results}."

    def _delivered(self, path: str) -> str:
        return f"{shown(path)} lies at the end of the line: nothing more happens here."

    # ------------------------------------------------------------------ reading the folders

    def bundles_beside(self, path: str) -> list[Bundle]:
        """The bundles in the folder of a file."""
        place = posixpath.dirname(path)
        return self._group(place, _names(self._root / place))

    def bundles(self, folder: str) -> Iterator[Bundle]:
        """Every bundle in a stage's folder and its campaigns."""
        waiting = [folder]
        while waiting:
            place = waiting.pop()
            names = []
            for entry in _entries(self._root / place):
                if entry.is_dir(follow_symlinks=False):
                    if not is_litter_folder(entry.name):
                        waiting.append(posixpath.join(place, entry.name))
                elif entry.is_file(follow_symlinks=False):
                    names.append(entry.name)
            yield from self._group(place, names)

    def _group(self, place: str, names: Sequence[str]) -> list[Bundle]:
        folder, _, campaign = place.partition("/")
        return group(folder, campaign, names, self._campaign_brief(place))

    def _campaign_brief(self, place: str) -> str | None:
        while place:
            for name in _names(self._root / place):
                if name.casefold() == CAMPAIGN_BRIEF:
                    return posixpath.join(place, name)
            place = posixpath.dirname(place)
        return None


def _live_sentence(place: int, job: LiveJob) -> str:
    if job.started_at is None:
        return f"Waiting for the {job.lane.upper()}, {_ordinal(place)} in line."
    if not job.step:
        return f"Being read for {job.stage}."
    note = f", {job.note}" if job.note else ""
    return f"Being worked on: {job.op} (step {job.step} of {job.stage}), {job.fraction:.0%}{note}."


def _ordinal(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def _names(folder: Path) -> list[str]:
    return [entry.name for entry in _entries(folder) if entry.is_file(follow_symlinks=False)]
