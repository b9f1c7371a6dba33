"""Jobs, outcomes and progress as plain data. They travel between the daemon and its workers as JSON.

Paths inside the root are POSIX strings relative to it, decoded with ``os.fsdecode`` (undecodable bytes are surrogates).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from goldsmith.files import FileSignature
from goldsmith.picture.formats.table import WorkingFormat

if TYPE_CHECKING:
    from goldsmith.picture.metadata.credits import Credits

# The stage of a row for a person's work on a picture between two jobs.
BY_HAND = "by-hand"
# The queue whose worker processes sign deliverables; they decode no picture.
SIGNING_QUEUE = "signing"
# The queue whose workers use the accelerators, if there are any.
GPU_QUEUE = "gpu"
# The most bytes of a look that the journal stores; ``picture.likeness`` makes them smaller.
MAX_STORED_LOOK_BYTES = 4608


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class JobInput(_Data):
    """One file of a bundle, as the intake saw it."""

    role: Literal[
        "picture", "mask", "keep", "look", "layer", "ref", "control", "xmp", "brief", "prompt", "review", "before", "unsigned", "ingredient"
    ]
    name: str = ""
    """The NAME in ``hero.mask.NAME.png`` or ``hero.layer.NAME.png``; "mask" for the mask without a name. Of a file that is to be signed,
    the end of its name."""
    path: str
    sig: FileSignature
    sha256: str = ""
    """Set only for files that the daemon itself placed, whose hash it knows."""


class StepSpec(_Data):
    """One step: the operation's name, and its settings as the resolved brief has them."""

    op: str
    settings: dict[str, JsonValue]


class RemovalRecord(_Data):
    """A step that removes content, and the share of the pixels under its mask that it has changed (``operation.Removal``)."""

    stage: str
    step: int
    """From 1."""
    op: str
    changed_share: float


class ResourceLimits(_Data):
    """The time, memory and picture size that one job may use."""

    timeout_seconds: float
    max_memory_bytes: int
    max_pixels: int
    cancel_grace_seconds: float = 2.0
    """Seconds that a cancelled job gets to stop; then its process is ended, and its loaded models are lost."""


class KnownLook(_Data):
    """What a version looks like of which the picture of a job may be an edited copy (``picture.likeness``)."""

    group: str
    """The same for all versions of one picture."""
    sha256: str
    look: str
    """In hex; "" = it has none."""
    document_id: str = ""
    """The UUID in its metadata; "" = it has none of Goldsmith's."""
    is_neighbour: bool = False
    """Its name has another number: it can make it unsure which version it was, but it was never this one."""


class KeptPart(_Data):
    """A finished part of a step, such as a candidate, in a file that outlives the worker process: work goes on where it was."""

    key: str
    """32 hex digits: a hash of everything on which the part depends. It is the file's name in ``KEPT_FOLDER``."""
    sha256: str
    size: int


class IngredientSpec(_Data):
    """A file from which a deliverable was made, for its content credentials."""

    description: dict[str, JsonValue]
    """As c2pa takes it: title, format, relationship, label."""
    path: str = ""
    """The input whose own content credentials are carried; "" if it has none."""


class SigningRequest(_Data):
    """What is written into the deliverables of another job: content credentials (C2PA), signed by the daemon."""

    chain: str
    """The certificates, as PEM."""
    algorithm: str
    """C2PA's name of the algorithm of the signature."""
    definition: dict[str, JsonValue]
    """The manifest as c2pa's Builder takes it, without its title and its ingredients."""
    ingredients: tuple[IngredientSpec, ...] = ()


class Job(_Data):
    """Everything that a worker needs to run one stage on one asset."""

    id: str
    root: str
    stage: str
    queue: str
    stem: str
    """The name of the results, without extension and version."""
    inputs: tuple[JobInput, ...]
    """The picture is first, or the brief if there is no picture; its path identifies the asset."""
    steps: tuple[StepSpec, ...]
    prompt: str = ""
    title: str = ""
    creator: str = ""
    rights: str = ""
    credit: str = ""
    seed: int = 0
    mask_fit: Literal["refuse", "scale"] = "refuse"
    mask_from: Literal["files", "alpha"] = "files"
    """Where the unnamed mask is: in a file or a layer, or in the picture's alpha, whose hole is the mask."""
    working: WorkingFormat = "png"
    hdr: Literal["refuse", "tonemap"] = "refuse"
    """Whether HDR pictures (PQ, HLG) are refused, or tone-mapped when they are read."""
    float_range: float = 1.0
    """The value in floating-point pictures that means white."""
    remarks: tuple[str, ...] = ()
    """The remarks about the picture from the stages before, as sentences, for the report of a delivery."""
    removals: tuple[RemovalRecord, ...] = ()
    """The steps of earlier stages that removed content from this picture, for a step that checks the results."""
    review: dict[str, str] | None = None
    """If a person must approve the result: by the path of each input, the end of the name of the copy that is laid beside the result."""
    finds_masks: dict[str, str] = {}
    """If a person must approve the masks that the steps find: by the words of each region (``Operation.found_region``), the name of its
    mask. Then the job finds the masks and runs no step."""
    approved_masks: tuple[str, ...] = ()
    """The names of the masks that a person has approved as they are."""
    known_looks: tuple[KnownLook, ...] = ()
    """The looks of the versions that have the name of this picture, the newest first."""
    keeps_result: bool = False
    """True if the picture then waits for a person: a copy of it goes to the archive, because somebody may save over it."""
    compares_versions: bool = False
    """True for a job without steps that measures what a person changed between the input ``before`` and the picture."""
    credential_bytes: int = 0
    """The bytes that content credentials will take in each deliverable: a limit on the size of a file is that of the signed file."""
    retouched: bool = False
    """True if a person has changed the picture by hand since Goldsmith has known it."""
    signing: SigningRequest | None = None
    """Set for a job without steps that signs its inputs ``unsigned``."""
    inspects: bool = False
    """True for a job without steps that says what a file is and what is in it, for the command ``goldsmith inspect``."""
    deliver: bool = False
    """True if the next folder is the last one. If the steps make deliverables, the picture itself does not move on."""
    scratch: str = ""
    """Absolute path of this job's own folder; set when a worker process gets the job. The worker creates it, the daemon removes it."""
    limits: ResourceLimits
    models: tuple[str, ...] = ()
    """Names of the generating models that the steps use; they are worth keeping loaded."""
    batch_key: str = ""
    """Jobs with the same key differ only in inputs, seed and prompt, and may run as one batch; "" = never in a batch."""
    weights_mb: int = 0
    """Device memory that the job's models need."""
    pictures_mb: int = 0
    """Device memory that the job's pictures need beside the models while they are made."""
    keeps_parts: bool = False
    """True if the finished parts of its steps are kept until its results are safe; it may then be asked to give way to other jobs."""
    kept: tuple[KeptPart, ...] = ()
    """The parts that earlier attempts have finished."""

    @property
    def asset(self) -> JobInput:
        """The file that identifies the asset: its picture, or the brief without a picture."""
        return self.inputs[0]

    @property
    def credits(self) -> Credits:
        """What the brief says of the picture's title, creator and rights."""
        # Imported here because a worker process loads no numpy, which starts threads, before its fence is up.
        from goldsmith.picture.metadata.credits import Credits

        return Credits(self.title, self.creator, self.rights, self.credit)

    @property
    def is_lone_brief(self) -> bool:
        """True if there is no picture yet: the first step makes one from the brief's prompt."""
        return self.inputs[0].role == "brief"


class InputRead(_Data):
    """One input as the worker read it: the hash of exactly the bytes it used, and the file's signature during the read."""

    path: str
    sig: FileSignature
    sha256: str
    format: str = ""
    """The format of a picture by its content, a name in the table of formats; "" for other files, and if it was not detected."""


class AssetIdentity(_Data):
    """What the asset's picture says of itself (``picture.metadata.identity``), by which it is known again after work by hand."""

    ids: tuple[str, ...] = ()
    """The UUIDs in it, the closest first."""
    program: str = ""
    """The program that wrote it."""
    alike: tuple[str, ...] = ()
    """The SHA-256 of the version of ``known_looks`` that it looks like; several if nobody can tell which of them it was made from."""
    is_hand_work: bool = False
    """True if it is none of ``known_looks`` and was made from one of them, by the id in it or by its look."""


class StepResult(_Data):
    """One step that has run, for history and manifest."""

    op: str
    settings: dict[str, JsonValue]
    seed: int
    seconds: float
    findings: dict[str, JsonValue]
    engine: dict[str, JsonValue] | None = None
    source_type: str = ""
    """What the step has made of the picture, a word of IPTC's DigitalSourceType; "" if the picture stays what it was."""
    picture_hash: str = ""
    """A hash of the picture after this step (``worker.trace``), by which a replay finds the first difference."""


OutputRole = Literal["picture", "mask", "layer", "deliverable", "archive_only", "review", "candidate"]


class OutputFile(_Data):
    """One finished and fsynced file in the job's scratch folder, to be published as ``stem + tail``.

    Roles: ``picture``, the picture that moves on; ``mask``, a mask that moves on with it, mapped to the new geometry; ``layer``, a layer
    for ``composite`` that was in the picture's own file and moves on beside it; ``deliverable``, a file for the client; ``archive_only``,
    a file that is kept only in the archive, beside the original; ``review``, what a person needs to decide about the result: a sheet, and
    copies of the inputs; ``candidate``, a picture among which a person picks.
    """

    role: OutputRole
    tail: str
    """The rest of the name, with its extension: ``.png``, ``.mask.png``, ``_web.avif``."""
    path: str
    """Absolute path in scratch."""
    sha256: str
    size: int
    facts: dict[str, JsonValue] = {}
    document_id: str = ""
    """The UUID in its metadata; "" if it has none."""
    look: str = ""
    """What it looks like (``picture.likeness``), in hex; "" = not measured."""


JobFaultKind = Literal[
    "problem",
    "incomplete",
    "changed",
    "machine",
    "disputed",
    "device",
    "cancelled",
    "yielded",
    "crash",
    "timeout",
    "memory",
    "refused",
    "lost",
]


class JobFault(_Data):
    """Why a job has no result.

    problem: the picture or the brief is wrong · incomplete: a file ends too soon · changed: an input has changed since the intake ·
    machine: a disk or mount failed · disputed: the worker says so, and the daemon finds nothing wrong · device: the worker's device failed
    (the job is requeued) · cancelled: the daemon stopped the job · yielded: the job let others go first, as the daemon asked · crash,
    timeout, memory: the worker process died, hung or exceeded its memory limit · refused: the daemon does not accept the outcome · lost: a
    result disappeared from the scratch folder, or was changed there, before it was published.
    """

    kind: JobFaultKind
    sentence: str
    remedy: str = ""
    path: str = ""
    """The input at fault, if one is."""
    preview_path: str = ""
    """Absolute path in scratch of a JPEG that shows the problem; it is published beside the note."""
    detail: str = ""
    """For the log, never for a note: the end of the worker's stderr, or a traceback."""


class Outcome(_Data):
    """The result of a job. With a ``fault`` nothing is published."""

    job_id: str
    fault: JobFault | None = None
    reads: tuple[InputRead, ...] = ()
    is_unchanged: bool = False
    """True if no pixel was changed. The picture itself moves on, byte for byte, and ``outputs`` has no picture."""
    original_copy: str = ""
    """Absolute path in scratch of a copy of the picture as it was read, for the archive. Only set if ``is_unchanged`` and if the daemon
    did not place the picture itself."""
    outputs: tuple[OutputFile, ...] = ()
    consumed_masks: tuple[str, ...] = ()
    """Names of the masks that the steps used; the others move on with the picture."""
    consumed_files: tuple[str, ...] = ()
    """Paths of all input files that were used and move to the archive (masks, layers, looks …)."""
    steps: tuple[StepResult, ...] = ()
    seconds: float = 0.0
    queue: str = ""
    may_be_incomplete: bool = False
    """True if the picture is whole and its file may still lack bytes behind it: the commit waits as for an incomplete file."""
    scratch: str = ""
    """Absolute path of the folder that the job wrote to; "" if no worker process got it. Set by the daemon, whatever the worker says."""
    environment: dict[str, JsonValue] = {}
    """Versions, processor, device, threads and fence of the worker process."""
    facts: dict[str, JsonValue] = {}
    """Properties of the picture as it was read: format, width, height, depth, profile …"""
    identity: AssetIdentity = AssetIdentity()
    """Of the picture as it was read."""
    verified_sigs: dict[str, FileSignature] = {}
    """By absolute path, the signature of each file in scratch when the daemon hashed it. Only the daemon sets it."""


class JobProgress(_Data):
    """How far a running job is."""

    job_id: str
    step: int
    """The step's number, from 1; 0 while the inputs are read."""
    op: str
    fraction: float
    note: str = ""


class JobRequeued(_Data):
    """A started job is at the front of its queue again: its device failed, or another job's device in the same process did.

    No attempt is counted."""

    job_id: str
    sentence: str


class PartKept(_Data):
    """A running job has finished a part, and the daemon keeps it."""

    job_id: str
    part: KeptPart
