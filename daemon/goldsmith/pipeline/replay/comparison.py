"""Compares the recorded deliverables with those that a replay makes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from goldsmith.errors import InputError
from goldsmith.files import FileSignature, display_name
from goldsmith.jobs.job import Job, JobInput, ResourceLimits, StepSpec
from goldsmith.pipeline.replay.compare_operation import COMPARISON_KEYS, RECORDED_LAYER
from goldsmith.pipeline.replay.foreground_runner import ForegroundRunner
from goldsmith.pipeline.replay.manifest_reader import DeliverableRecord
from goldsmith.pipeline.replay.report import ComparedDeliverable
from goldsmith.root_folder import RootFolder

_MISSING_DELIVERABLE: dict[str, JsonValue] = {"incomparable": "the delivered file is no longer there to compare with"}


class DeliveryComparison:
    """Compares deliverables in the folder of a manifest with new ones."""

    def __init__(self, root: RootFolder, folder: Path, runner: ForegroundRunner, limits: ResourceLimits, work_folder: Path) -> None:
        self._root = root
        self._folder = folder
        self._runner = runner
        self._limits = limits
        self._work_folder = work_folder
        self._comparison_count = 0

    def compare(self, recorded: DeliverableRecord, remade: Path | None) -> ComparedDeliverable:
        """Return the verdict on one deliverable: its recorded hash against the new file, and the difference if both files exist.

        A replay signs nothing, so the hash is that before the signature.
        """
        delivered, location_note = self._find_delivered(recorded)
        if remade is None:
            return ComparedDeliverable(
                recorded.file, "differs", recorded.sha256, "", {"incomparable": "the replay does not make it"}, location_note
            )
        sha256 = hashlib.sha256(remade.read_bytes()).hexdigest()
        if sha256 == (recorded.unsigned_sha256 or recorded.sha256):
            return ComparedDeliverable(recorded.file, "identical", recorded.sha256, sha256, {}, location_note)
        difference = (
            _MISSING_DELIVERABLE
            if delivered is None
            else self._measure_difference(os.path.splitext(recorded.file)[1], delivered, remade.read_bytes())
        )
        return ComparedDeliverable(
            recorded.file, "same pixels" if difference.get("identical") else "differs", recorded.sha256, sha256, difference, location_note
        )

    def _find_delivered(self, recorded: DeliverableRecord) -> tuple[bytes | None, str]:
        """Return the delivered bytes if they are still there under any name, and a sentence if they are not under their own."""
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
                return data, f"{file} is now called {display_name(other.name)}."
        if os.path.lexists(path):
            return None, f"{file} has been changed since it was delivered."
        return None, f"{file} is no longer beside its manifest."

    def _read_if_delivered(self, path: Path, recorded: DeliverableRecord) -> bytes | None:
        """Return the bytes of an ordinary file if they are the delivered ones, or else None."""
        try:
            with os.fdopen(self._root.open_named_file(path, self._limits.max_memory_bytes // 2), "rb") as file:
                if os.fstat(file.fileno()).st_size != recorded.size_bytes:
                    return None
                data = file.read(recorded.size_bytes + 1)
        except (OSError, InputError):
            return None
        return data if hashlib.sha256(data).hexdigest() == recorded.sha256 else None

    def _measure_difference(self, suffix: str, delivered: bytes, remade: bytes) -> dict[str, JsonValue]:
        """Return the difference between two files, measured in a worker."""
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
            limits=self._limits,
        )
        try:
            findings = self._runner.run(job, "compare").steps[0].findings
            return {name: value for name, value in findings.items() if name in COMPARISON_KEYS}
        except InputError as problem:
            return {"incomparable": f"the two files cannot be compared: {problem.sentence}"}

    def _write_input(self, folder: Path, role: Literal["picture", "layer"], name: str, data: bytes) -> JobInput:
        (folder / name).write_bytes(data)
        return JobInput(
            role=role, name=RECORDED_LAYER if role == "layer" else "", path=name, sig=FileSignature.from_stat(os.lstat(folder / name))
        )
