"""Makes previews of files in the folders, in worker processes with limits."""

from __future__ import annotations

import hashlib
import os
import select
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from goldsmith.errors import InputError
from goldsmith.files import FileSignature, display_name, open_input
from goldsmith.jobs.job import Job, JobInput, Outcome, ResourceLimits, StepSpec
from goldsmith.picture.formats.table import is_picture_suffix
from goldsmith.pipeline.previews.preview_operation import MEAN_COLOUR
from goldsmith.pipeline.workers.worker_pools import WorkerPools
from goldsmith.root_folder import RootFolder

# The largest file of which a preview is made.
_MAX_FILE_BYTES = 2 << 30
# The largest preview.
_MAX_PREVIEW_BYTES = 16 << 20


class PreviewResult(NamedTuple):
    """The preview of one file, or why there is none."""

    # The bytes of a JPEG; b"" = none.
    jpeg: bytes = b""
    # The mean colour of the picture as CIE Lab at D50; None if it was not decoded.
    mean_lab: tuple[float, float, float] | None = None
    # The size in px and the depth: "800 x 600 px, 8 bit"; "" if it was not decoded.
    facts: str = ""
    # The SHA-256 of the file as it was read; "" if it was not.
    sha256: str = ""
    # Why there is no preview, as a sentence; "" if there is one.
    reason: str = ""


class PreviewJobs:
    """Makes previews while the caller waits. ``workers`` have the operations of ``preview_operation.CATALOGUE_ENTRY_POINT``."""

    def __init__(self, root: Path, workers: WorkerPools, limits: ResourceLimits) -> None:
        self._root_path = root
        self._root = RootFolder(root)
        self._workers = workers
        self._limits = limits
        self._count = 0

    def make(self, paths: Sequence[str], side: int) -> dict[str, PreviewResult]:
        """Return a preview of each file, relative to the root, that fits into a square of ``side`` px.

        A file that cannot be shown has a reason instead; so has every file if the workers cannot work.
        """
        results: dict[str, PreviewResult] = {}
        pending: dict[str, str] = {}
        for path in dict.fromkeys(paths):
            try:
                job = self._job(path, side)
            except InputError as problem:
                results[path] = PreviewResult(reason=problem.sentence)
                continue
            except OSError as error:
                results[path] = PreviewResult(reason=f"{display_name(os.path.basename(path))} cannot be read: {error.strerror}.")
                continue
            pending[job.id] = path
            self._workers.submit(job)
        while pending:
            for event in self._workers.collect(monotonic()):
                if isinstance(event, Outcome) and event.job_id in pending:
                    results[pending.pop(event.job_id)] = _to_result(event)
            paused = self._workers.pause_reason("cpu")
            if paused:
                results.update({path: PreviewResult(reason=paused) for path in pending.values()})
                break
            if pending:
                wait = self._workers.seconds_until_due(monotonic())
                select.select(self._workers.readable_fds(), [], [], 1.0 if wait is None else min(wait, 1.0))
        return results

    def _job(self, path: str, side: int) -> Job:
        """Return the job for a file. Raises InputError if it is no picture or no ordinary file, and OSError."""
        name = os.path.basename(path)
        if not is_picture_suffix(os.path.splitext(name)[1].lower()):
            raise InputError(f"{display_name(name)} is not a picture that can be shown.")
        descriptor = self._root.open_file(path, _MAX_FILE_BYTES)
        try:
            sig = FileSignature.from_stat(os.fstat(descriptor))
        finally:
            os.close(descriptor)
        self._count += 1
        return Job(
            id=f"preview-{self._count}",
            root=str(self._root_path),
            stage="preview",
            queue="cpu",
            stem="picture",
            inputs=(JobInput(role="picture", path=path, sig=sig),),
            steps=(StepSpec(op="preview", settings={"side": side}),),
            hdr="tonemap",
            deliver=True,
            limits=self._limits,
        )


def _to_result(outcome: Outcome) -> PreviewResult:
    if outcome.fault is not None:
        return PreviewResult(reason=outcome.fault.sentence)
    output = next((each for each in outcome.outputs if each.role == "deliverable"), None)
    if output is None:
        return PreviewResult(reason="The worker made no preview.")
    try:
        with os.fdopen(open_input(output.path), "rb") as file:
            jpeg = file.read(_MAX_PREVIEW_BYTES)
    except InputError as problem:
        return PreviewResult(reason=problem.sentence)
    except OSError as error:
        return PreviewResult(reason=f"The preview cannot be read: {error.strerror}.")
    if hashlib.sha256(jpeg).hexdigest() != output.sha256:  # a worker that was taken over has exchanged it
        return PreviewResult(reason="The preview was changed after it was made.")
    lab = outcome.steps[0].findings.get(MEAN_COLOUR) if outcome.steps else None
    numbers = [float(value) for value in lab if isinstance(value, int | float)] if isinstance(lab, list) else []
    mean = (numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 else None
    width, height, depth = (outcome.facts.get(name) for name in ("width", "height", "depth"))
    return PreviewResult(jpeg, mean, f"{width} x {height} px, {depth} bit", next((read.sha256 for read in outcome.reads), ""))
