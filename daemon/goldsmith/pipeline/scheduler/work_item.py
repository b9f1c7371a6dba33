"""One asset under work in one stage: what was asked, what it was made of, and how far it is."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from pydantic import JsonValue

from goldsmith.files import FileSignature
from goldsmith.jobs.job import Job, JobInput, Outcome, ResourceLimits, StepSpec
from goldsmith.pipeline.commit.naming import SCRATCH_FOLDER
from goldsmith.pipeline.intake.bundle import Bundle
from goldsmith.pipeline.scheduler.readiness import Ready


@dataclass(slots=True)
class WorkItem:
    """An asset that a stage has begun with; it ends in a commit, a hold, or is thrown away when its inputs change."""

    bundle: Bundle
    ready: Ready
    job: Job
    # Every file that took part, briefs included, as it was when the work began.
    sigs: Mapping[str, FileSignature]
    # SHA-256 by path, of the very bytes that were used.
    hashes: dict[str, str]
    started_at: float
    outcome: Outcome | None = None
    # Set while a commit of it is under way.
    plan_id: str = ""
    # True where a lane was given its job.
    was_submitted: bool = False
    is_cancelled: bool = False
    # Monotonic time until which an incomplete picture may still be arriving.
    incomplete_deadline: float = field(default=0.0)

    @property
    def asset_path(self) -> str:
        """The path that the asset goes by (``Bundle.asset``)."""
        return self.job.asset.path

    @property
    def uses_library(self) -> bool:
        """True where a step names something that may lie in the library."""
        return any(step.operation.needs().library_files for step in self.ready.steps)

    @property
    def final_outcome(self) -> Outcome:
        """The outcome of work that is done; asked for only then."""
        if self.outcome is None:
            raise RuntimeError(f"{self.asset_path} is still under work")
        return self.outcome


InputRole = Literal["picture", "mask", "keep", "look", "layer", "ref", "brief", "prompt"]


def fingerprint(sigs: Mapping[str, FileSignature]) -> str:
    """What a bundle is made of, as long as nobody writes to it: equal for equal files."""
    parts = [f"{path}\0{sig.ino}\0{sig.size}\0{sig.mtime_ns}" for path, sig in sorted(sigs.items())]
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def default_seed(bundle: Bundle) -> int:
    """The seed of an asset whose brief gives none: its own, and the same whenever it is run again."""
    name = f"{bundle.campaign}/{bundle.stem}".encode("utf-8", "surrogateescape")
    return zlib.crc32(name) & 0x7FFF_FFFF


def job_inputs(bundle: Bundle, sigs: Mapping[str, FileSignature], known_sha256: Callable[[str], str | None]) -> tuple[JobInput, ...]:
    """The files a lane reads, the picture (or the brief that stands alone) first; other briefs and prompts are the daemon's own reading."""

    def made(role: InputRole, path: str, name: str = "") -> JobInput:
        return JobInput.model_construct(role=role, name=name, path=path, sig=sigs[path], sha256=known_sha256(path) or "")

    found = [made("brief" if bundle.is_lone_brief else "picture", bundle.asset)]
    shelves: tuple[tuple[InputRole, Mapping[str, tuple[str, ...]]], ...]
    shelves = (("mask", bundle.masks), ("keep", bundle.keeps), ("layer", bundle.layers))
    for role, shelf in shelves:
        found += [made(role, path, name) for name, paths in shelf.items() for path in paths]
    found += [made("ref", path) for path in bundle.refs]
    found += [made("look", path) for path in bundle.looks]
    return tuple(found)


def build_job(
    job_id: str, root: Path, bundle: Bundle, ready: Ready, inputs: tuple[JobInput, ...], limits: ResourceLimits, is_final: bool
) -> Job:
    """The job that a lane is given; ``last`` where the next folder is the end of the line."""
    resolved = ready.resolved
    return Job.model_construct(
        id=job_id,
        root=str(root),
        stage=ready.stage.name,
        queue=ready.stage.queue,
        stem=bundle.stem,
        inputs=inputs,
        steps=tuple(StepSpec.model_construct(op=step.op, settings=cast(dict[str, JsonValue], dict(step.settings))) for step in ready.steps),
        prompt=resolved.prompt,
        seed=resolved.seed or default_seed(bundle),
        mask_fit=resolved.mask_fit,
        working=resolved.working,
        deliver=is_final,
        scratch=str(root / SCRATCH_FOLDER / job_id),
        limits=limits,
    )
