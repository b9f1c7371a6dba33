"""A job goes to a lane as plain data and comes back as an outcome; both are JSON on the pipe.

Paths inside the root are POSIX strings relative to it, decoded with ``os.fsdecode`` (undecodable bytes are surrogates).
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from goldsmith.files import FileSignature


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class JobInput(_Data):
    """One file of a bundle as the intake saw it. ``role`` is ``picture``, ``mask``, ``keep``, ``look``, ``layer``, ``ref`` or ``brief``."""

    role: Literal["picture", "mask", "keep", "look", "layer", "ref", "brief", "prompt"]
    name: str = ""
    """The NAME in ``hero.mask.NAME.png`` / ``hero.layer.NAME.png``; "mask" for the unnamed mask."""
    path: str
    sig: FileSignature
    sha256: str = ""
    """Set only for files the daemon itself put down: then it is known."""


class StepSpec(_Data):
    """One step: the operation's word and its settings as they stand in the resolved brief."""

    op: str
    settings: dict[str, JsonValue]


class ResourceLimits(_Data):
    """What one job may use."""

    timeout_seconds: float
    max_memory_bytes: int
    max_pixels: int
    cancel_grace_seconds: float = 2.0
    """Seconds it gets to notice that it was called off; then its process is ended, and with it whatever models it has loaded."""


class Job(_Data):
    """Everything a lane needs to run one stage on one asset."""

    id: str
    root: str
    stage: str
    queue: str
    stem: str
    """What the results are to be called, without extension and without version."""
    inputs: tuple[JobInput, ...]
    """The picture first; of a brief that stands alone, the brief: the asset goes by its path."""
    steps: tuple[StepSpec, ...]
    prompt: str = ""
    seed: int = 0
    mask_fit: Literal["refuse", "scale"] = "refuse"
    working: Literal["png", "tiff"] = "png"
    deliver: bool = False
    """True where the next folder is the end of the line: once the steps made deliverables, the picture itself goes no further."""
    scratch: str
    """Absolute path of this job's own folder; the lane makes it, the daemon removes it."""
    limits: ResourceLimits
    models: tuple[str, ...] = ()
    """The generating models that its steps will open, by name: those that are worth keeping loaded."""
    batch_key: str = ""
    """Jobs with the same word here differ only in inputs, seed and prompt, and may be worked on together; "" = by itself."""
    weights_mb: int = 0
    """Device memory that its models take."""
    pictures_mb: int = 0
    """Device memory that the pictures it makes take beside them, while they are made."""

    @property
    def asset(self) -> JobInput:
        """What the asset goes by: its picture, or the brief that stands alone."""
        return self.inputs[0]

    @property
    def is_lone_brief(self) -> bool:
        """True where there is no picture yet: the first step makes one, from the brief's words."""
        return self.inputs[0].role == "brief"


class InputRead(_Data):
    """What the lane read of one input: the hash of the very bytes it worked on, and the file's signature around the reading."""

    path: str
    sig: FileSignature
    sha256: str


class StepResult(_Data):
    """One step as it was run, for history and manifest."""

    op: str
    settings: dict[str, JsonValue]
    seed: int
    seconds: float
    findings: dict[str, JsonValue]
    engine: dict[str, JsonValue] | None = None
    picture_hash: str = ""
    """What tells a picture that this step left from another one (``lanes.trace``), so that a replay can say where the ways part."""


OutputRole = Literal["picture", "mask", "deliverable", "archive_only"]


class OutputFile(_Data):
    """One finished file in the job's scratch folder, fsynced, waiting to be put down as ``stem + tail``.

    role ``picture``: the picture that goes on; ``mask``: a mask that still travels (mapped to the new geometry);
    ``deliverable``: a file for the client; ``aside``: a file that does not go on and is kept in the archive, beside the original.
    """

    role: OutputRole
    tail: str
    """Everything after the stem, extension included: ``.png``, ``.mask.png``, ``_web.avif``."""
    path: str
    """Absolute path in scratch."""
    sha256: str
    size: int
    facts: dict[str, JsonValue] = {}


JobFaultKind = Literal["problem", "incomplete", "changed", "machine", "device", "cancelled", "crash", "timeout", "memory"]


class JobFault(_Data):
    """Why a job brought no result.

    problem: the picture or brief is wrong · incomplete: it ends too soon · changed: an input is no longer what it was ·
    machine: disk, mount · device: what the lane computes on has failed (the lanes put such a job back) ·
    crash, timeout, memory: the lane process died, hung or outgrew its limit.
    """

    kind: JobFaultKind
    sentence: str
    remedy: str = ""
    path: str = ""
    """The input at fault, where there is one."""
    preview_path: str = ""
    """Absolute path in scratch of a JPEG that shows what is wrong, to be put beside the note."""
    detail: str = ""
    """For the log, never for a note: the end of what the lane wrote to its stderr, or a traceback."""


class Outcome(_Data):
    """What came of a job. With a ``fault`` nothing is to be put down."""

    job_id: str
    fault: JobFault | None = None
    reads: tuple[InputRead, ...] = ()
    is_unchanged: bool = False
    """True: no pixel was changed; the picture itself is to be handed on, byte for byte, and ``outputs`` has no picture."""
    original_copy: str = ""
    """Absolute path in scratch of a byte-for-byte copy of the picture as it was read, for the archive; only where ``unchanged`` and where
    the daemon did not put the picture down itself."""
    outputs: tuple[OutputFile, ...] = ()
    consumed_masks: tuple[str, ...] = ()
    """Names of the masks that the steps used up; the rest travel on."""
    consumed_files: tuple[str, ...] = ()
    """Paths of all input files that were used up and go to the archive (masks, layers, looks …)."""
    steps: tuple[StepResult, ...] = ()
    seconds: float = 0.0
    queue: str = ""
    environment: dict[str, JsonValue] = {}
    """Versions, processor, device and threads of the lane process."""
    facts: dict[str, JsonValue] = {}
    """Of the picture as read: format, width, height, depth, profile …"""


class JobProgress(_Data):
    """Where a running job is."""

    job_id: str
    step: int
    """1-based; 0 while reading."""
    op: str
    fraction: float
    note: str = ""


class JobRequeued(_Data):
    """A job that had begun stands at the front of its line again: its device failed, or it shared a process with one that did.

    No attempt is counted."""

    job_id: str
    sentence: str
