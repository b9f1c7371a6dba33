"""Lays what was delivered beside what was made now."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from goldsmith.errors import InputError
from goldsmith.files import FileSignature, display_name, open_input
from goldsmith.jobs.job import Job, JobInput, ResourceLimits, StepSpec
from goldsmith.pipeline.replay.compare_operation import COMPARISON_KEYS, RECORDED_LAYER
from goldsmith.pipeline.replay.foreground_runner import ForegroundRunner
from goldsmith.pipeline.replay.manifest_reader import DeliverableRecord
from goldsmith.pipeline.replay.report import ComparedDeliverable

_MISSING_DELIVERABLE: dict[str, JsonValue] = {"incomparable": "what was delivered is no longer there to be compared with"}


class DeliveryComparison:
    """The folder of a manifest, and the deliverables that lie there."""

    def __init__(self, folder: Path, runner: ForegroundRunner, limits: ResourceLimits, work_folder: Path) -> None:
        self._folder = folder
        self._runner = runner
        self._limits = limits
        self._work_folder = work_folder
        self._comparison_count = 0

    def compare(self, recorded: DeliverableRecord, remade: Path | None) -> ComparedDeliverable:
        """The verdict on one deliverable: its hash on record against the file made ``now``; how far off, where both are there."""
        delivered, lies = self._find_delivered(recorded)
        if remade is None:
            return ComparedDeliverable(recorded.file, "differs", recorded.sha256, "", {"incomparable": "it is not made any more"}, lies)
        sha256 = hashlib.sha256(remade.read_bytes()).hexdigest()
        if sha256 == recorded.sha256:
            return ComparedDeliverable(recorded.file, "identical", recorded.sha256, sha256, {}, lies)
        apart = (
            _MISSING_DELIVERABLE
            if delivered is None
            else self._measure_difference(os.path.splitext(recorded.file)[1], delivered, remade.read_bytes())
        )
        return ComparedDeliverable(
            recorded.file, "same pixels" if apart.get("identical") else "differs", recorded.sha256, sha256, apart, lies
        )

    def _find_delivered(self, recorded: DeliverableRecord) -> tuple[bytes | None, str]:
        """What was delivered, where it still lies there under any name; and a sentence where it is not in its place."""
        path, file = self._folder / recorded.file, display_name(recorded.file)
        data = self._read_if_delivered(path, recorded)
        if data is not None:
            return data, ""
        try:
            others = sorted(self._folder.iterdir())
        except OSError:
            others = []
        for other in others:
            data = self._read_if_delivered(other, recorded)
            if data is not None:
                return data, f"{file} is called {display_name(other.name)} now."
        if os.path.lexists(path):
            return None, f"The {file} that lies there now is not what was delivered: somebody changed it since."
        return None, f"{file} no longer lies beside its manifest."

    def _read_if_delivered(self, path: Path, recorded: DeliverableRecord) -> bytes | None:
        """The bytes of an ordinary file if they are those that were delivered."""
        try:
            if os.lstat(path).st_size != recorded.size_bytes or recorded.size_bytes > self._limits.max_memory_bytes // 2:
                return None
            with os.fdopen(open_input(path), "rb") as file:
                data = file.read(recorded.size_bytes + 1)
        except (OSError, InputError):
            return None
        return data if hashlib.sha256(data).hexdigest() == recorded.sha256 else None

    def _measure_difference(self, suffix: str, delivered: bytes, remade: bytes) -> dict[str, JsonValue]:
        """How far the two are apart, found out in a lane."""
        self._comparison_count += 1
        folder = self._work_folder / f"compared-{self._comparison_count}"
        folder.mkdir()
        inputs = (
            self._write_input(folder, "picture", f"now{suffix}", remade),
            self._write_input(folder, "layer", f"{RECORDED_LAYER}{suffix}", delivered),
        )
        job = Job(
            id=f"compare-{self._comparison_count}",
            root=str(folder),
            stage="compare",
            queue="cpu",
            stem="now",
            inputs=inputs,
            steps=(StepSpec(op="compare", settings={"max_pixels": self._limits.max_pixels}),),
            scratch=str(folder / "made"),
            limits=self._limits,
        )
        try:
            found = self._runner.run(job, "compare").steps[0].findings
            return {name: value for name, value in found.items() if name in COMPARISON_KEYS}
        except InputError as problem:
            return {"incomparable": f"the two cannot be laid side by side: {problem.sentence}"}

    def _write_input(self, folder: Path, role: Literal["picture", "layer"], name: str, data: bytes) -> JobInput:
        (folder / name).write_bytes(data)
        return JobInput(
            role=role, name=RECORDED_LAYER if role == "layer" else "", path=name, sig=FileSignature.from_stat(os.lstat(folder / name))
        )
