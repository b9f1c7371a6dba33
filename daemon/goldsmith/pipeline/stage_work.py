"""One asset in one stage: its instructions, the files that it consists of, and the state of its work."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from pydantic import JsonValue

from goldsmith.brief.pipeline import REVIEW_FOLDER, Stage
from goldsmith.brief.resolve import ResolvedBrief
from goldsmith.brief.steps import Step
from goldsmith.files import FileSignature
from goldsmith.jobs.job import (
    BY_HAND,
    Job,
    JobInput,
    JobProgress,
    KnownLook,
    Outcome,
    RemovalRecord,
    ResourceLimits,
    StepSpec,
)
from goldsmith.jobs.names import SCRATCH_FOLDER
from goldsmith.journal.records import PictureVersion
from goldsmith.pipeline.intake.bundle import Bundle
from goldsmith.pipeline.intake.file_names import BEFORE_SUFFIX

DecisionKind = Literal["approve", "again", "reject", "beside", "close", "name"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person has decided about a result in review/.

    ``beside``: the picture was dragged past the trays into the next folder, and what it has left behind follows it. ``close``: no further
    candidate of a set is wanted. ``name``: nothing of this name waits, so the picture is read, and if it is known, it gets its name back.
    """

    kind: DecisionKind
    # The stage that made the result.
    stage: Stage
    # The brief that goes on, or back with the originals; None if none does.
    brief: ResolvedBrief | None = None
    # The words that were dropped with the picture; "" if there are none.
    remark: str = ""
    # The path of the picture in the next folder, for ``beside``.
    picture: str = ""
    # The stem of what goes back to be made again, of which the picture may be a candidate, or the name that a picture gets back; "" = that
    # of the picture.
    stem: str = ""
    # True if what else belongs to the result goes to the archive; False for a candidate that leaves the others waiting.
    takes_rest: bool = True
    # The names of the masks about which it was decided; none if it is about a result.
    masks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ready:
    """Every file that the stage needs is present."""

    stage: Stage
    resolved: ResolvedBrief
    steps: tuple[Step, ...]
    # True if the steps name the masks that they need: then no further sidecar is waited for.
    has_all_named_inputs: bool
    # True if a prompt without steps in a brief travels on, because no step here reads it and a later stage's own steps can.
    keeps_prompt: bool = False
    # True if the results wait in review/ for a person.
    is_reviewed: bool = False
    # If masks are to be found first, and wait in review/ for a person: by the words of each region, the name of its mask.
    found_masks: Mapping[str, str] = field(default_factory=dict)
    # Set for a picture in review/ about which a person has decided.
    decision: Decision | None = None

    @property
    def next_folder(self) -> str:
        """The folder of the results."""
        return REVIEW_FOLDER if self.waits_for_person else self.stage.next_folder

    @property
    def waits_for_person(self) -> bool:
        """Whether what this work makes waits in review/."""
        return self.is_reviewed or bool(self.found_masks)


@dataclass(frozen=True, slots=True)
class PictureOrigin:
    """The job that made a picture, or "" if a person put it there, and by what the picture was recognised.

    before: the file as that job made it, if the picture was changed since; None if it has the same bytes.
    """

    parent_job_id: str = ""
    known_by: Literal["", "bytes", "id", "path", "look"] = ""
    before: PictureVersion | None = None
    # The places of the versions that it looks like, if nobody can tell from which of them it was made.
    unsure: tuple[str, ...] = ()


UNKNOWN_ORIGIN = PictureOrigin()


@dataclass(slots=True)
class StageWork:
    """An asset whose stage has started. The work ends in a commit or a hold, or is discarded if its inputs change."""

    bundle: Bundle
    ready: Ready
    job: Job
    # The signature of every input, briefs included, at the start of the work.
    sigs: Mapping[str, FileSignature]
    # SHA-256 by path, of the bytes that were read.
    hashes: dict[str, str]
    started_at: float
    # Its place in the queue, which it keeps if the work begins again.
    number: int = 0
    outcome: Outcome | None = field(default=None, init=False)
    # Set with the outcome.
    origin: PictureOrigin = field(default=UNKNOWN_ORIGIN, init=False)
    # The job that measures what a person changed, "" if there is none, and its outcome.
    comparison_id: str = field(default="", init=False)
    comparison: Outcome | None = field(default=None, init=False)
    # The job that signs the deliverables, "" if there is none, and its outcome.
    signing_id: str = field(default="", init=False)
    signing: Outcome | None = field(default=None, init=False)
    # Whether it reads the content credentials of an original, to carry them.
    signing_carries: bool = field(default=False, init=False)
    # The scratch folders of the jobs that signed, absolute.
    signing_scratch: list[str] = field(default_factory=list, init=False)
    # Set while its commit is in progress.
    plan_id: str = field(default="", init=False)
    # True once its job was in the queue of a worker.
    was_submitted: bool = field(default=False, init=False)
    is_cancelled: bool = field(default=False, init=False)
    # What its worker process has reported last; None while the job waits in its queue.
    progress: JobProgress | None = field(default=None, init=False)
    # Absolute path of the folder that its worker process wrote to; "" if there was none.
    scratch: str = field(default="", init=False)
    # Monotonic time until which the rest of an incomplete picture may still arrive.
    incomplete_deadline: float = field(default=0.0, init=False)

    @property
    def asset_path(self) -> str:
        """The path that identifies the asset (``Bundle.asset``)."""
        return self.job.asset.path

    @property
    def is_being_compared(self) -> bool:
        """Whether a worker still measures what a person changed."""
        return bool(self.comparison_id) and self.comparison is None

    @property
    def is_being_signed(self) -> bool:
        """Whether a worker still writes the content credentials of the deliverables."""
        return bool(self.signing_id) and self.signing is None

    @property
    def has_results(self) -> bool:
        """Whether a worker has finished the work without a fault."""
        return self.outcome is not None and self.outcome.fault is None

    @property
    def text_folder(self) -> Path:
        """The folder for the small files that the daemon itself writes for the commit. No worker process may write there."""
        return Path(self.job.root, SCRATCH_FOLDER, self.job.id)

    @property
    def uses_library(self) -> bool:
        """True if a step names a file that may be in the library."""
        return any(step.operation.needs().library_files for step in self.ready.steps)

    @property
    def final_outcome(self) -> Outcome:
        """The outcome of finished work. Raises RuntimeError if the work is not finished."""
        if self.outcome is None:
            raise RuntimeError(f"{self.asset_path} is not finished")
        return self.outcome


# The queue of the jobs that compare two versions; without it, they go to the first one.
COMPARISON_QUEUE = "cpu"

InputRole = Literal["picture", "mask", "keep", "look", "layer", "ref", "control", "xmp", "brief", "prompt", "review", "before"]


def fingerprint(sigs: Mapping[str, FileSignature]) -> str:
    """Return a hash of the paths and signatures of a bundle's files: equal as long as nobody writes to any of them."""
    parts = [f"{path}\0{sig.ino}\0{sig.size}\0{sig.mtime_ns}" for path, sig in sorted(sigs.items())]
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def default_seed(bundle: Bundle) -> int:
    """Return the seed of an asset whose brief gives none: it depends on the asset's name alone, so every run uses the same one."""
    name = f"{bundle.target_campaign}/{bundle.stem}".encode("utf-8", "surrogateescape")
    return zlib.crc32(name) & 0x7FFF_FFFF


def job_inputs(bundle: Bundle, sigs: Mapping[str, FileSignature], known_sha256: Callable[[str], str | None]) -> tuple[JobInput, ...]:
    """Return the files that a worker reads, the picture (or the lone brief) first. The daemon itself reads all other briefs and prompts."""

    def job_input(role: InputRole, path: str, name: str = "") -> JobInput:
        return JobInput.model_construct(role=role, name=name, path=path, sig=sigs[path], sha256=known_sha256(path) or "")

    inputs = [job_input("brief" if bundle.is_lone_brief else "picture", bundle.asset)]
    sidecars: tuple[tuple[InputRole, Mapping[str, tuple[str, ...]]], ...]
    sidecars = (("mask", bundle.masks), ("keep", bundle.keeps), ("layer", bundle.layers), ("control", bundle.controls))
    for role, paths_by_name in sidecars:
        inputs += [job_input(role, path, name) for name, paths in paths_by_name.items() for path in paths]
    inputs += [job_input("before", bundle.returned_from)] if bundle.returned_from else []
    inputs += [job_input("ref", path) for path in bundle.refs]
    inputs += [job_input("look", path) for path in bundle.looks]
    inputs += [job_input("xmp", path) for path in bundle.xmps]
    inputs += [job_input("review", path) for path in (*bundle.reviews, *bundle.left_behind, *bundle.candidates)]
    return tuple(inputs)


def names_before_review(bundle: Bundle) -> dict[str, str]:
    """Return by the path of each input of a picture the end of the name under which a copy of it lies beside the result in review/."""
    if bundle.picture is None:
        return {}
    names = {bundle.picture: f"{BEFORE_SUFFIX}{os.path.splitext(bundle.picture)[1]}"}
    for role, paths_by_name in (("mask", bundle.masks), ("keep", bundle.keeps), ("layer", bundle.layers)):
        for label, paths in paths_by_name.items():
            for number, path in enumerate(paths):
                name = "" if label in ("mask", "") and role != "layer" else f".{label}"
                names[path] = f"{BEFORE_SUFFIX}.{role}{f'{number:03d}' if number else ''}{name}{os.path.splitext(path)[1]}"
    for number, path in enumerate(bundle.refs):
        names[path] = f"{BEFORE_SUFFIX}.ref{f'{number:03d}' if number else ''}{os.path.splitext(path)[1]}"
    names |= {path: f"{BEFORE_SUFFIX}{os.path.splitext(path)[1]}" for path in (*bundle.looks, *bundle.xmps[:1])}
    return names


def removals_of(stage: str, steps: Iterable[tuple[str, Mapping[str, JsonValue]]]) -> tuple[RemovalRecord, ...]:
    """Return the steps of a recorded stage that removed content. ``steps``: the word and the findings of each."""
    from goldsmith.operation import CHANGED_SHARE  # it needs numpy, which a program that only looks at the folders does without

    shares = ((number, op, findings.get(CHANGED_SHARE)) for number, (op, findings) in enumerate(steps, 1))
    return tuple(
        RemovalRecord(stage=stage, step=number, op=op, changed_share=float(share))
        for number, op, share in shares
        if isinstance(share, int | float)
    )


def checks_results(steps: Iterable[Step]) -> bool:
    """Return whether a step checks what other steps made."""
    from goldsmith.operation import FileOperation  # see ``removals_of``

    return any(isinstance(step.operation, FileOperation) and step.operation.is_preflight for step in steps)


@dataclass(frozen=True, slots=True)
class EarlierWork:
    """What the journal knows of a bundle's picture before its job. Each field is as in ``Job``.

    remarks, removals: of the stages before. known_looks: of the versions that have the name of a picture that a person has put down.
    """

    remarks: tuple[str, ...] = ()
    removals: tuple[RemovalRecord, ...] = ()
    known_looks: tuple[KnownLook, ...] = ()
    credential_bytes: int = 0
    retouched: bool = False


def build_job(
    job_id: str,
    root: Path,
    bundle: Bundle,
    ready: Ready,
    inputs: tuple[JobInput, ...],
    limits: ResourceLimits,
    is_final: bool,
    earlier: EarlierWork = EarlierWork(),
) -> Job:
    """Return the job for a worker. ``is_final``: the next folder is the last one of the pipeline."""
    resolved = ready.resolved
    review = names_before_review(bundle) if ready.waits_for_person else None
    if ready.found_masks and review is not None:
        review.pop(bundle.asset, None)  # the picture itself waits beside its masks
    return Job.model_construct(
        id=job_id,
        root=str(root),
        stage=ready.stage.name,
        queue=ready.stage.queue,
        stem=bundle.stem,
        inputs=inputs,
        steps=tuple(StepSpec.model_construct(op=step.op, settings=cast(dict[str, JsonValue], dict(step.settings))) for step in ready.steps),
        prompt=resolved.prompt,
        title=resolved.title,
        creator=resolved.creator,
        rights=resolved.rights,
        credit=resolved.credit,
        seed=resolved.seed or default_seed(bundle),
        mask_fit=resolved.mask_fit,
        mask_from=resolved.mask_from,
        working=resolved.working or ready.stage.working,
        hdr=resolved.hdr,
        float_range=resolved.float_range,
        remarks=earlier.remarks,
        removals=earlier.removals,
        credential_bytes=earlier.credential_bytes,
        retouched=earlier.retouched,
        review=review,
        finds_masks=dict(ready.found_masks),
        approved_masks=resolved.approved_masks,
        known_looks=earlier.known_looks,
        keeps_result=ready.waits_for_person or (resolved.last_stage == ready.stage.name and not is_final),
        deliver=is_final,
        limits=limits,
    )


def comparison_job(job: Job, picture: JobInput, before_path: str, before_sig: FileSignature) -> Job:
    """Return the job that measures what a person changed in the picture of another job. ``before_path``: the version before that."""
    before = JobInput(role="before", path=before_path, sig=before_sig)
    return Job(
        id=f"{job.id}-{BY_HAND}",
        root=job.root,
        stage=BY_HAND,
        queue=COMPARISON_QUEUE,
        stem=job.stem,
        inputs=(picture.model_copy(update={"sha256": ""}), before),
        steps=(),
        hdr=job.hdr,
        float_range=job.float_range,
        compares_versions=True,
        limits=job.limits,
    )
