"""A small share with a journal beside it, plans for it, and a check that every file is in exactly one place."""

from __future__ import annotations

import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path

from goldsmith.files import FileSignature, Filesystem
from goldsmith.jobs.work_folder import WorkFolder
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import Consume, HistoryRow, Plan, Publish
from goldsmith.pipeline.commit.copier import Copier
from goldsmith.pipeline.commit.plan_executor import PlanExecutor
from goldsmith.pipeline.commit.root_lock import RootLock

NOON = 1_790_000_000.0
DAY = "2026-09-21"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@cache
def _empty_journal() -> bytes:
    """Return the bytes of a journal with tables and without rows. It is made once, for thousands of shares."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal.sqlite")
        Journal.open(path).close()
        return path.read_bytes()


class Share:
    """The folders of a root, and the journal outside them."""

    def __init__(self, place: Path, root: Path | None = None) -> None:
        self.root = root or place / "root"
        self.journal_path = place / "journal.sqlite"
        for folder in ("selected", "masked", "archive"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        WorkFolder(self.root).prepare()
        self.before: dict[str, bytes] = {}

    def journal(self, kind: type[Journal] = Journal) -> Journal:
        if not self.journal_path.exists():
            self.journal_path.write_bytes(_empty_journal())
        return kind.open(self.journal_path)

    def deliver(
        self, journal: Journal, fs: Filesystem | None = None, lock: RootLock | None = None, copier: Copier | None = None
    ) -> PlanExecutor:
        return PlanExecutor(self.root, journal, fs, now=lambda: NOON, lock=lock, copier=copier)

    def put(self, path: str, data: bytes) -> str:
        at = self.root / path
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(data)
        return path

    def take(self, path: str, to: str, data: bytes) -> Consume:
        self.put(path, data)
        return Consume(path=path, sig=FileSignature.from_stat(os.lstat(self.root / path)), sha256=sha256(data), destination=to)

    def result(self, job: str, name: str, to: str, data: bytes) -> Publish:
        source = self.put(f".goldsmith/work/{job}/{name}", data)
        sig = FileSignature.from_stat(os.lstat(self.root / source))
        return Publish(source=str(self.root / source), destination=to, sha256=sha256(data), sig=sig)

    def worked(self, job: str, stem: str = "hero", campaign: str = "") -> Plan:
        """Return a plan: a picture and its mask go to the archive, the brief goes on, and a new picture and a second file are published."""
        old = f"archive/{DAY}/selected/{campaign}{stem}"
        takes = (
            self.take(f"selected/{campaign}{stem}.png", f"{old}.png", b"picture " + os.fsencode(stem)),
            self.take(f"selected/{campaign}{stem}.mask.png", f"{old}.mask.png", b"mask " + os.fsencode(stem)),
            self.take(f"selected/{campaign}{stem}.toml", f"masked/{campaign}{stem}.toml", b"brief " + os.fsencode(stem)),
        )
        puts = (
            self.result(job, "0.png", f"masked/{campaign}{stem}.png", b"finished " + os.fsencode(stem)),
            self.result(job, "1.json", f"masked/{campaign}{stem}_web.avif", b"for the web " + os.fsencode(stem)),
        )
        return self.plan(job, stem, takes, puts)

    def passed(self, job: str, stem: str = "hero") -> Plan:
        """Return a plan: picture and brief go on unchanged, and a copy of the picture goes to the archive."""
        picture = b"picture " + os.fsencode(stem)
        takes = (
            self.take(f"selected/{stem}.png", f"masked/{stem}.png", picture),
            self.take(f"selected/{stem}.toml", f"masked/{stem}.toml", b"brief " + os.fsencode(stem)),
        )
        return self.plan(job, stem, takes, (self.result(job, "original", f"archive/{DAY}/selected/{stem}.png", picture),))

    def chosen(self, job: str, stem: str = "hero") -> Plan:
        """Return a plan: a lone brief is archived, one of its candidates goes on, the others and their sheet go to the archive."""
        takes = (self.take(f"selected/{stem}.toml", f"archive/{DAY}/selected/{stem}.toml", b"brief " + os.fsencode(stem)),)
        aside = [f"{stem}_candidate001.png", f"{stem}_candidate003.png", f"{stem}_candidates.jpg"]
        puts = [self.result(job, "0.png", f"masked/{stem}.png", b"number 2 " + os.fsencode(stem))]
        puts += [self.result(job, name, f"archive/{DAY}/selected/{name}", name.encode()) for name in aside]
        return self.plan(job, stem, takes, tuple(puts))

    def plan(self, job: str, stem: str, takes: tuple[Consume, ...], puts: tuple[Publish, ...]) -> Plan:
        row = HistoryRow(job_id=job, path=takes[0].path, sha256=takes[0].sha256, started_at=NOON - 9, stage="edit", outcome="passed")
        return Plan(id=f"plan-{job}", job_id=job, stem=stem, consumes=takes, publishes=puts, history_row=row)

    def files(self, *, hidden: bool = True) -> dict[str, bytes]:
        """Return the bytes of every file in the root by relative path, except for scratch files and the lock."""
        contents = {}
        for folder, _, names in os.walk(self.root):
            relative = os.path.relpath(folder, self.root)
            if not relative.startswith(".goldsmith"):
                contents.update({os.path.normpath(os.path.join(relative, name)): Path(folder, name).read_bytes() for name in names})
        return contents if hidden else {path: data for path, data in contents.items() if not os.path.basename(path).startswith(".")}

    def plan_state(self, plan: Plan) -> str:
        """Return "undone" if all inputs are where they were and no result is visible, "done" if all files are at their destinations.

        If neither is so, return the reason.
        """
        files = self.files()
        strays = [path for path in files if "goldsmith" in path]
        if strays:
            return f"left over: {strays}"
        at_source = [sha256(files.get(take.path, b"?")) == take.sha256 for take in plan.consumes]
        goals = {**{take.destination: take.sha256 for take in plan.consumes}, **{put.destination: put.sha256 for put in plan.publishes}}
        at_destination = [self._arrived(files, goal, digest, plan.stem) for goal, digest in goals.items()]
        if all(at_source) and not any(at_destination):
            return "undone"
        if all(at_destination) and not any(at_source):
            return "done"
        return f"homes {at_source}, goals {dict(zip(goals, at_destination, strict=True))}, files {sorted(files)}"

    def _arrived(self, files: dict[str, bytes], goal: str, digest: str, stem: str) -> bool:
        """Return whether the file is new at its destination, or there under the name of a next version."""
        folder, name = os.path.split(goal)
        file_names = [name, *(f"{stem}_v{number:03d}{name[len(stem) :]}" for number in range(2, 9))]
        file_names += [f"~{number}".join(os.path.splitext(name)) for number in range(2, 9)]
        names = [os.path.join(folder, file_name) for file_name in file_names]
        return any(path in files and path not in self.before and sha256(files[path]) == digest for path in names)
