"""Lays what was delivered beside what was made now."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from goldsmith.errors import Problem
from goldsmith.files import Sig, display_name, open_input
from goldsmith.jobs.job import Input, Job, Limits, StepSpec
from goldsmith.pipeline.replay.compare import FINDINGS, THEN
from goldsmith.pipeline.replay.record import DeliveredRecord
from goldsmith.pipeline.replay.report import Deliverable
from goldsmith.pipeline.replay.runs import Runs

_GONE: dict[str, JsonValue] = {"unlike": "what was delivered is no longer there to be compared with"}


class Beside:
    """The folder of a manifest, and the deliverables that lie there."""

    def __init__(self, folder: Path, runs: Runs, limits: Limits, room: Path) -> None:
        self._folder = folder
        self._runs = runs
        self._limits = limits
        self._room = room
        self._compared = 0

    def laid_beside(self, then: DeliveredRecord, now: Path | None) -> Deliverable:
        """The verdict on one deliverable: its hash on record against the file made ``now``; how far off, where both are there."""
        delivered, lies = self._lying(then)
        if now is None:
            return Deliverable(then.file, "differs", then.sha256, "", {"unlike": "it is not made any more"}, lies)
        sha256 = hashlib.sha256(now.read_bytes()).hexdigest()
        if sha256 == then.sha256:
            return Deliverable(then.file, "identical", then.sha256, sha256, {}, lies)
        apart = _GONE if delivered is None else self._apart(os.path.splitext(then.file)[1], delivered, now.read_bytes())
        return Deliverable(then.file, "same pixels" if apart.get("same") else "differs", then.sha256, sha256, apart, lies)

    def _lying(self, then: DeliveredRecord) -> tuple[bytes | None, str]:
        """What was delivered, where it still lies there under any name; and a sentence where it is not in its place."""
        path, file = self._folder / then.file, display_name(then.file)
        data = self._read(path, then)
        if data is not None:
            return data, ""
        try:
            others = sorted(self._folder.iterdir())
        except OSError:
            others = []
        for other in others:
            data = self._read(other, then)
            if data is not None:
                return data, f"{file} is called {display_name(other.name)} now."
        if os.path.lexists(path):
            return None, f"The {file} that lies there now is not what was delivered: somebody changed it since."
        return None, f"{file} no longer lies beside its manifest."

    def _read(self, path: Path, then: DeliveredRecord) -> bytes | None:
        """The bytes of an ordinary file if they are those that were delivered."""
        try:
            if os.lstat(path).st_size != then.size or then.size > self._limits.memory_bytes // 2:
                return None
            with os.fdopen(open_input(path), "rb") as file:
                data = file.read(then.size + 1)
        except (OSError, Problem):
            return None
        return data if hashlib.sha256(data).hexdigest() == then.sha256 else None

    def _apart(self, suffix: str, delivered: bytes, now: bytes) -> dict[str, JsonValue]:
        """How far the two are apart, found out in a lane."""
        self._compared += 1
        folder = self._room / f"compared-{self._compared}"
        folder.mkdir()
        inputs = (self._laid(folder, "picture", f"now{suffix}", now), self._laid(folder, "layer", f"{THEN}{suffix}", delivered))
        job = Job(
            id=f"compare-{self._compared}",
            root=str(folder),
            stage="compare",
            lane="cpu",
            stem="now",
            inputs=inputs,
            steps=(StepSpec(op="compare", settings={"pixels": self._limits.pixels}),),
            scratch=str(folder / "made"),
            limits=self._limits,
        )
        try:
            found = self._runs.outcome(job, "compare").steps[0].findings
            return {name: value for name, value in found.items() if name in FINDINGS}
        except Problem as problem:
            return {"unlike": f"the two cannot be laid side by side: {problem.sentence}"}

    def _laid(self, folder: Path, role: Literal["picture", "layer"], name: str, data: bytes) -> Input:
        (folder / name).write_bytes(data)
        return Input(role=role, name=THEN if role == "layer" else "", path=name, sig=Sig.of(os.lstat(folder / name)))
