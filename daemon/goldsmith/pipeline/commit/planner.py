"""From what a stage brought to the plan of its commit: which file goes where, under which name, and what history will say."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Callable
from pathlib import Path
from typing import Any

from goldsmith.files import Filesystem, Sig, fold
from goldsmith.jobs.job import Outcome, Output
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import Plan, Put, Take, TakenRow
from goldsmith.pipeline.commit.manifest import ASKED, manifest, renamed_in
from goldsmith.pipeline.commit.manifest import SUFFIX as MANIFEST
from goldsmith.pipeline.commit.naming import (
    LONGEST,
    archive_path,
    in_archive,
    shortened,
    split_version,
    versioned,
)
from goldsmith.pipeline.commit.plan_executor import with_stem
from goldsmith.pipeline.intake.bundle import Bundle
from goldsmith.pipeline.scheduler.work import Work

_TAIL_ROOM = 40
"""Bytes a stem leaves free for what follows it: version, export name, mask name and suffix."""


class Planner:
    """Makes plans. ``names_in(folder, campaign, stem)`` tells whether a picture or brief of that stem lies in a folder of the line."""

    def __init__(
        self,
        root: Path,
        last: str,
        journal: Journal,
        fs: Filesystem,
        stem_taken: Callable[[str, str, str], bool],
        wall: Callable[[], float],
    ) -> None:
        self._root = root
        self._last = last
        self._journal = journal
        self._fs = fs
        self._stem_taken = stem_taken
        self._wall = wall
        self._promised: set[str] = set()

    def plan(self, work: Work) -> Plan:
        """The commit of a finished piece of work, under a name that is free as far as can be seen."""
        outcome = work.finished
        target = posixpath.join(work.ready.stage.next, work.bundle.campaign).rstrip("/")
        stem = self._stem(work, target, outcome)
        placed = self._journal.placed(work.picture)
        ours = placed is not None and placed.sha256 == work.hashes[work.picture]
        return _Draft(self, work, outcome, target, stem, placed.job_id if placed is not None and ours else "").plan()

    def forget_promises(self) -> None:
        """The plans made since are committed: what they were promised can be seen on the disk again."""
        self._promised.clear()

    def promise(self, path: str) -> None:
        self._promised.add(fold(path))

    def free(self, path: str) -> bool:
        """True where nothing lies at ``path`` and no plan of this batch is going to put something there."""
        return fold(path) not in self._promised and not os.path.lexists(self._root / path)

    def _stem(self, work: Work, target: str, outcome: Outcome) -> str:
        stage, bundle = work.ready.stage, work.bundle
        tails = [output.tail for output in outcome.outputs if output.role != "aside"]
        if outcome.unchanged:
            tails.append(os.path.splitext(work.picture)[1])
        tails.append(MANIFEST if stage.next == self._last else ".toml")

        def free(stem: str) -> bool:
            if fold(_whole(target, stem)) in self._promised:
                return False
            if stage.next != self._last and self._stem_taken(stage.next, bundle.campaign, stem):
                return False
            return all(self.free(posixpath.join(target, stem + tail)) for tail in tails)

        base, _ = split_version(bundle.stem)
        gone = self._journal.ever_placed_versions(target, fold(base))
        stem = versioned(bundle.stem, gone, free, 255 - _TAIL_ROOM)
        self.promise(_whole(target, stem))
        return stem

    def reword(self, plan: Plan, stem: str) -> Plan:
        """The plan under another stem, for when its names were taken in the last instant; a manifest names the new ones."""
        renamed = with_stem(plan, stem)
        old = {posixpath.basename(before.to): posixpath.basename(after.to) for before, after in zip(_all(plan), _all(renamed), strict=True)}
        puts = tuple(self._reworded(put, old) if put.to.endswith(MANIFEST) else put for put in renamed.puts)
        return renamed.model_copy(update={"puts": puts})

    def _reworded(self, put: Put, names: dict[str, str]) -> Put:
        source = Path(put.source)
        data = renamed_in(source.read_bytes(), names)
        again = source.with_name(f"{source.name}~")
        self._write(again, data)
        return put.model_copy(update={"source": str(again), "sha256": hashlib.sha256(data).hexdigest(), "sig": Sig.of(os.stat(again))})

    # what a draft needs of the world

    def archive(self, path: str) -> str:
        found = archive_path(path, self._wall(), self.free)
        self.promise(found)
        return found

    def write(self, work: Work, name: str, data: bytes) -> str:
        """Put a small text of our own into the job's scratch folder, durably; its absolute path."""
        folder = Path(work.job.scratch)
        folder.mkdir(parents=True, exist_ok=True)
        self._write(folder / name, data)
        return str(folder / name)

    def _write(self, path: Path, data: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            self._fs.write_all(descriptor, data)
            self._fs.fsync(descriptor)
        finally:
            os.close(descriptor)

    def chain(self, row: TakenRow) -> list[TakenRow]:
        return [*(self._journal.chain(row.lineage) if row.lineage else ()), row]

    def now(self) -> float:
        return self._wall()

    def is_last(self, folder: str) -> bool:
        return folder == self._last


class _Draft:
    """The takes and puts of one plan while they are gathered."""

    def __init__(self, planner: Planner, work: Work, outcome: Outcome, target: str, stem: str, lineage: str) -> None:
        self._planner = planner
        self._work = work
        self._outcome = outcome
        self._target = target
        self._stem = stem
        self._lineage = lineage
        """The job that made the picture, or "" where a person put it there."""
        self._takes: list[Take] = []
        self._puts: list[Put] = []
        self._last = planner.is_last(work.ready.stage.next)

    def plan(self) -> Plan:
        self._picture()
        self._sidecars()
        for output in self._going_on():
            self._put(output.path, output.tail, output.sha256)
        aside = self._aside()
        row = self._row(aside)
        self._instructions(row)
        work, takes, puts = self._work, tuple(self._takes), tuple(self._puts)
        alone = work.picture if work.bundle.alone else ""
        return Plan(id=work.job.id, job_id=work.job.id, stem=self._stem, takes=takes, puts=puts, row=row, alone=alone)

    def _picture(self) -> None:
        path = self._work.picture
        if self._work.bundle.alone:
            return  # there is none: what the asset goes by is its brief, and that goes the way of briefs
        if not self._outcome.unchanged:
            self._away(path)
            return
        self._on(path, os.path.splitext(path)[1])
        if self._outcome.original and not self._lineage:
            sha256 = self._work.hashes[path]
            self._puts.append(Put(source=self._outcome.original, to=self._planner.archive(path), sha256=sha256))

    def _going_on(self) -> list[Output]:
        return [output for output in self._outcome.outputs if output.role != "aside"]

    def _aside(self) -> list[dict[str, Any]]:
        """What does not go on comes to lie in the archive, where the original comes to lie; what the record says of each."""
        bundle, found = self._work.bundle, []
        for output in self._outcome.outputs:
            if output.role == "aside":
                name = shortened(bundle.stem, LONGEST - len(output.tail)) + output.tail
                to = self._planner.archive(posixpath.join(bundle.folder, bundle.campaign, name))
                self._puts.append(Put(source=output.path, to=to, sha256=output.sha256))
                found.append({**output.facts, "sha256": output.sha256, "archived": to})
        return found

    def _sidecars(self) -> None:
        used = set(self._outcome.used)
        for path, tail in travel_tails(self._work.bundle):
            if path in used or self._last:
                self._away(path)
            else:
                self._on(path, tail)

    def _instructions(self, row: TakenRow) -> None:
        """A brief travels on, resolved; at the end of the line the manifest stands for it. What spoke to one stage only stays behind."""
        bundle, resolved = self._work.bundle, self._work.ready.resolved
        if bundle.prompt is not None:
            self._away(bundle.prompt)
        if self._last:
            if bundle.brief is not None:
                self._away(bundle.brief)
            settled = row.model_copy(update={"record": {**row.record, "archived": self._archived()}})
            self._put_text(MANIFEST, manifest(self._planner.chain(settled), self._deliverables(), str(row.record.get("brief", ""))))
            return
        if resolved.one_stage:
            if bundle.brief is not None:
                self._away(bundle.brief)
            return
        if bundle.brief is not None and resolved.complete:
            self._on(bundle.brief, ".toml")
            return
        if bundle.brief is not None:
            self._away(bundle.brief)
        self._put_text(".toml", resolved.to_toml())

    def _row(self, aside: list[dict[str, Any]]) -> TakenRow:
        work, outcome = self._work, self._outcome
        record: dict[str, Any] = {
            "seconds": round(outcome.seconds, 4),
            "lane": outcome.lane,
            "ran_with": outcome.ran_with,
            **{name: getattr(work.job, name) for name in ASKED},
            "facts": outcome.facts,
            "inputs": self._inputs(),
            "steps": [step.model_dump() for step in outcome.steps],
            "outputs": self._outputs(),
            **({"aside": aside} if aside else {}),
            "brief": "" if work.ready.resolved.one_stage else work.ready.resolved.to_toml().decode(),
        }
        return TakenRow(
            job_id=work.job.id,
            path=work.picture,
            sha256=work.hashes[work.picture],
            started_at=work.started_at,
            taken_at=self._planner.now(),
            stage=work.job.stage,
            outcome="delivered" if self._last else "passed",
            results=tuple(self._results()),
            lineage=self._lineage,
            record=record,
        )

    def _inputs(self) -> list[dict[str, Any]]:
        """Every file that took part, first those that the lane read, in its order; with these a replay begins."""
        work = self._work
        given = {each.path: each for each in work.job.inputs}
        texts = {work.bundle.brief: "brief", work.bundle.prompt: "prompt"}
        found = [{"role": each.role, "name": each.name, "path": path, "sha256": work.hashes[path]} for path, each in given.items()]
        others = [(path, sha256) for path, sha256 in work.hashes.items() if path not in given]
        return found + [{"role": texts.get(path, "brief"), "name": "", "path": path, "sha256": sha256} for path, sha256 in others]

    def _outputs(self) -> list[dict[str, Any]]:
        """What the stage left, by what follows the stem; the picture itself where no byte of it was changed."""
        outcome, picture = self._outcome, self._work.picture
        found: list[dict[str, Any]] = []
        if outcome.unchanged:
            found.append({"role": "picture", "tail": os.path.splitext(picture)[1], "sha256": self._work.hashes[picture]})
        return found + [{"role": output.role, "tail": output.tail, "sha256": output.sha256} for output in outcome.outputs]

    def _archived(self) -> dict[str, str]:
        """Where the inputs are going to lie in the archive, as far as can be told before they are moved."""
        found = {take.path: take.to for take in self._takes if in_archive(take.to)}
        copy = next((put.to for put in self._puts if put.source == self._outcome.original), "")
        return {self._work.picture: copy, **found} if copy else found

    def _results(self) -> list[str]:
        found = [take.to for take in self._takes if take.path == self._work.picture] if self._outcome.unchanged else []
        return found + [self._name(output.tail) for output in self._going_on()]

    def _deliverables(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        if self._outcome.unchanged:
            path = self._work.picture
            name = self._stem + os.path.splitext(path)[1]
            found.append({"file": name, "sha256": self._work.hashes[path], "bytes": self._work.sigs[path].size, **self._outcome.facts})
        for output in self._going_on():
            found.append({"file": self._stem + output.tail, "sha256": output.sha256, "bytes": output.size, **output.facts})
        return found

    def _name(self, tail: str) -> str:
        return posixpath.join(self._target, self._stem + tail)

    def _on(self, path: str, tail: str) -> None:
        self._take(path, self._name(tail))
        self._planner.promise(self._name(tail))

    def _away(self, path: str) -> None:
        self._take(path, self._planner.archive(path))

    def _take(self, path: str, to: str) -> None:
        self._takes.append(Take(path=path, sig=self._work.sigs[path], sha256=self._work.hashes[path], to=to))

    def _put(self, source: str, tail: str, sha256: str) -> None:
        self._puts.append(Put(source=source, to=self._name(tail), sha256=sha256))
        self._planner.promise(self._name(tail))

    def _put_text(self, tail: str, data: bytes) -> None:
        name = tail.lstrip(".")
        self._put(self._planner.write(self._work, f"text-{name}", data), tail, hashlib.sha256(data).hexdigest())


def _whole(target: str, stem: str) -> str:
    """Stands for everything called after a stem: two of a batch may not share one, whatever their suffixes."""
    return f"{target}/{stem}/"


def _all(plan: Plan) -> tuple[Take | Put, ...]:
    return (*plan.takes, *plan.puts)


def travel_tails(bundle: Bundle) -> list[tuple[str, str]]:
    """(path, what follows the stem) of every sidecar, spelt the one way that is read again whatever the picture is called next."""
    found: list[tuple[str, str]] = []
    for role, shelf in (("mask", bundle.masks), ("keep", bundle.keeps), ("layer", bundle.layers)):
        for label, paths in shelf.items():
            for number, path in enumerate(paths):
                count = f"{number:03d}" if number else ""
                name = "" if label in ("mask", "") and role != "layer" else f".{label}"
                found.append((path, f".{role}{count}{name}{os.path.splitext(path)[1]}"))
    for number, path in enumerate(bundle.refs):
        found.append((path, f".ref{number:03d}{os.path.splitext(path)[1]}" if number else f".ref{os.path.splitext(path)[1]}"))
    found += [(path, os.path.splitext(path)[1]) for path in bundle.looks]
    return found
