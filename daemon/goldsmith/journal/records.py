"""What the journal remembers, as plain data. Paths are POSIX strings relative to the root unless said otherwise.

A plan is the commit of one job: which inputs leave their place and which results come to lie where. It is recorded before the
first rename, so that whoever finds it open after a crash can finish it, or take it back, knowing nothing else.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, JsonValue

from goldsmith.files import FileSignature


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Consume(_Data):
    """An input that leaves its place: into the archive, or, where no byte of it was changed, straight on to the next folder."""

    path: str
    sig: FileSignature
    """What the file was when it was read; anything else is put back."""
    sha256: str
    destination: str


class Publish(_Data):
    """A finished file in the job's scratch folder that comes to lie on the share."""

    source: str
    """Absolute path in scratch, written and fsynced. It belongs to the plan until the plan's result is known."""
    destination: str
    sha256: str
    sig: FileSignature | None = None
    """Filled in when the plan is recorded: by its inode a file that was already put down is known again."""


class HistoryRow(_Data):
    """One line of history: an input that was worked on (or found wanting) in one stage, and what came of it."""

    job_id: str
    path: str
    sha256: str
    started_at: float
    """Unix seconds."""
    taken_at: float = 0.0
    """Unix seconds; set when the commit is done."""
    stage: str
    outcome: Literal["passed", "delivered", "problem", "superseded"]
    """superseded: taken while somebody saved over it, and its place was filled before it could go back; it lies in the archive."""
    results: tuple[str, ...] = ()
    """Where the results were put; set when the commit is done."""
    parent_job_id: str = ""
    """The job that made this input, or "" where a person put it there."""
    record: dict[str, JsonValue] = {}
    """Steps, seeds, timings, engines, facts, inputs with their hashes, the brief. ``archived`` is added by the commit."""


class Plan(_Data):
    """One job's commit. Either all of it comes to be, or nothing."""

    id: str
    job_id: str
    stem: str
    """What all results' names begin with, version included (``hero``, ``hero_v002``)."""
    consumes: tuple[Consume, ...]
    """In order; the picture first."""
    publishes: tuple[Publish, ...] = ()
    history_row: HistoryRow
    lone_brief: str = ""
    """The path of a brief that was worked on without a picture; "" for other work. Where something of its own lies beside it by the time
    it is taken, what was made without that is thrown away."""

    @property
    def destinations(self) -> tuple[str, ...]:
        """Every destination, in the order of carrying out."""
        return (*(take.destination for take in self.consumes), *(put.destination for put in self.publishes))


class PlacedFile(_Data):
    """A file that the daemon itself put down, known to be complete."""

    path: str
    sig: FileSignature
    sha256: str
    job_id: str


class PlacedVersion(NamedTuple):
    """One version of an asset that was once put into a folder, wherever it is now."""

    folder: str
    # Folded, without its version.
    stem: str
    number: int


class CompletedPlan(NamedTuple):
    """All that is written down when a plan is done."""

    plan_id: str
    history_rows: tuple[HistoryRow, ...]
    placed_files: tuple[PlacedFile, ...]
    versions: tuple[PlacedVersion, ...]


class ActiveJob(NamedTuple):
    """A job that waits in a lane or runs there."""

    job_id: str
    stage: str
    queue: str
    path: str
    queued_at: float
    started_at: float | None
    # Unix seconds; a running job is believed until then, and no longer without another word of it.
    lease_until: float | None
    step: int
    op: str
    fraction: float
    note: str

    def lease_expired(self, now: float) -> bool:
        """True where it is said to run and its lease has run out: whoever wrote that is stuck or gone."""
        return self.started_at is not None and (self.lease_until or 0.0) < now


class HoldRecord(NamedTuple):
    """An asset with a problem that waits for somebody to change something."""

    path: str
    fingerprint: str
    sentence: str
    remedy: str
    note_path: str
    since: float
