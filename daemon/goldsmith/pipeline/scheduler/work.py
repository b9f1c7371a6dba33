"""One asset under work in one stage: what was asked, what it was made of, and how far it is."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from pydantic import JsonValue

from goldsmith.files import Sig
from goldsmith.jobs.job import Input, Job, Limits, Outcome, StepSpec
from goldsmith.pipeline.commit.naming import WORK
from goldsmith.pipeline.intake.bundle import Bundle
from goldsmith.pipeline.scheduler.readiness import Ready


@dataclass(slots=True)
class Work:
    """An asset that a stage has begun with; it ends in a commit, a hold, or is thrown away when its inputs change."""

    bundle: Bundle
    ready: Ready
    job: Job
    sigs: Mapping[str, Sig]
    """Every file that took part, briefs included, as it was when the work began."""
    hashes: dict[str, str]
    """SHA-256 by path, of the very bytes that were used."""
    started_at: float
    outcome: Outcome | None = None
    plan_id: str = ""
    """Set while a commit of it is under way."""
    in_lane: bool = False
    """True where a lane was given its job."""
    cancelled: bool = False
    patience_until: float = field(default=0.0)
    """Monotonic time until which an incomplete picture may still be arriving."""

    @property
    def picture(self) -> str:
        """The path that the asset goes by (``Bundle.asset``)."""
        return self.job.picture.path

    @property
    def uses_library(self) -> bool:
        """True where a step names something that may lie in the library."""
        return any(step.operation.needs().references for step in self.ready.steps)

    @property
    def finished(self) -> Outcome:
        """The outcome of work that is done; asked for only then."""
        if self.outcome is None:
            raise RuntimeError(f"{self.picture} is still under work")
        return self.outcome


Role = Literal["picture", "mask", "keep", "look", "layer", "ref", "brief", "prompt"]


def fingerprint(sigs: Mapping[str, Sig]) -> str:
    """What a bundle is made of, as long as nobody writes to it: equal for equal files."""
    parts = [f"{path}\0{sig.ino}\0{sig.size}\0{sig.mtime_ns}" for path, sig in sorted(sigs.items())]
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def asset_seed(bundle: Bundle) -> int:
    """The seed of an asset whose brief gives none: its own, and the same whenever it is run again."""
    name = f"{bundle.campaign}/{bundle.stem}".encode("utf-8", "surrogateescape")
    return zlib.crc32(name) & 0x7FFF_FFFF


def inputs_of(bundle: Bundle, sigs: Mapping[str, Sig], sha_of: Callable[[str], str | None]) -> tuple[Input, ...]:
    """The files a lane reads, the picture (or the brief that stands alone) first; other briefs and prompts are the daemon's own reading."""

    def made(role: Role, path: str, name: str = "") -> Input:
        return Input.model_construct(role=role, name=name, path=path, sig=sigs[path], sha256=sha_of(path) or "")

    found = [made("brief" if bundle.alone else "picture", bundle.asset)]
    shelves: tuple[tuple[Role, Mapping[str, tuple[str, ...]]], ...]
    shelves = (("mask", bundle.masks), ("keep", bundle.keeps), ("layer", bundle.layers))
    for role, shelf in shelves:
        found += [made(role, path, name) for name, paths in shelf.items() for path in paths]
    found += [made("ref", path) for path in bundle.refs]
    found += [made("look", path) for path in bundle.looks]
    return tuple(found)


def job_of(job_id: str, root: Path, bundle: Bundle, ready: Ready, inputs: tuple[Input, ...], limits: Limits, last: bool) -> Job:
    """The job that a lane is given; ``last`` where the next folder is the end of the line."""
    resolved = ready.resolved
    return Job.model_construct(
        id=job_id,
        root=str(root),
        stage=ready.stage.name,
        lane=ready.stage.lane,
        stem=bundle.stem,
        inputs=inputs,
        steps=tuple(StepSpec.model_construct(op=step.op, settings=cast(dict[str, JsonValue], dict(step.settings))) for step in ready.steps),
        prompt=resolved.prompt,
        seed=resolved.seed or asset_seed(bundle),
        mask_fit=resolved.mask_fit,
        working=resolved.working,
        deliver=last,
        scratch=str(root / WORK / job_id),
        limits=limits,
    )
