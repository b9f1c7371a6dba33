"""The journal's records, as plain data. Paths are POSIX strings relative to the root unless stated otherwise.

A plan is the commit of one job: which inputs move away, and where the results go. It is recorded before the first rename. After a
crash, recovery can finish an open plan or undo it from the record alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeGuard, cast

from pydantic import BaseModel, ConfigDict, JsonValue

from goldsmith.files import FileSignature
from goldsmith.picture.remarks import collect_remarks


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Consume(_Data):
    """An input that moves away: into the archive, or straight into the next folder if no byte of it was changed."""

    path: str
    sig: FileSignature
    """The file's signature when it was read; a file with another signature is moved back."""
    sha256: str
    destination: str


class Publish(_Data):
    """A finished file in the job's scratch folder that moves to the share."""

    source: str
    """Absolute path in scratch; the file is written and fsynced. It belongs to the plan until the plan is complete or undone."""
    destination: str
    sha256: str
    sig: FileSignature
    """The file's signature when the daemon hashed or wrote it; a file with another signature is not published. Recovery recognises a file
    that was already placed by its inode."""


class KeptPartRecord(NamedTuple):
    """A finished part of a step that is not done yet: the name of its file, and the hash without which nobody trusts the file."""

    key: str
    sha256: str
    size: int


class PictureVersion(NamedTuple):
    """A picture file that went through the folders."""

    sha256: str
    # The job that made it; for a file that no job made, the job that took it.
    job_id: str
    # Whether the job made it.
    is_result: bool
    # Where it was put down: in a stage's folder, or in the archive.
    path: str
    # The UUID in its metadata; "" = it has none of Goldsmith's.
    document_id: str = ""
    # Its perceptual signature (``picture.likeness``); b"" = unknown.
    look: bytes = b""


class HandledInput(NamedTuple):
    """An input that a person has put into its folder on the page. The names are those of its record.

    role: "picture", "mask", "brief" …; name: that of the mask; by: the person; act: "painted", "written" or "dropped".
    """

    role: str
    name: str
    by: str
    act: str


class HistoryRow(_Data):
    """One row of the history: one input of a stage and the outcome of its job; or work by hand between two jobs (``jobs.job.BY_HAND``)."""

    job_id: str
    path: str
    sha256: str
    started_at: float
    """Unix seconds."""
    taken_at: float = 0.0
    """Unix seconds; set when the commit is done."""
    stage: str
    outcome: Literal["passed", "delivered", "problem", "superseded", "rejected"]
    """superseded: somebody saved over the input while it was consumed, and its place was taken before it could move back. It is in the
    archive. rejected: a person has looked at this result, and it went to the archive."""
    results: tuple[str, ...] = ()
    """The paths of the results; set when the commit is done."""
    parent_job_id: str = ""
    """The job that made this input, or "" if a person put it there."""
    record: dict[str, JsonValue] = {}
    """Steps, seeds, timings, engines, facts, inputs with their hashes, the brief. ``archived`` is added by the commit."""

    looks: dict[str, str] = {}
    """The perceptual signatures (hex) of its files, by SHA-256. They are not part of the record."""

    def picture_versions(self) -> list[PictureVersion]:
        """Return the picture files of a job that was committed: what it took, what it made, and what it sent to the archive alone.

        A file that passed unchanged is not made by the job.
        """
        if self.outcome not in ("passed", "delivered"):
            return []
        versions = [PictureVersion(self.sha256, self.job_id, False, self.archived_as(self.path) or self.path)] if self.sha256 else []
        paths = list(self.results)
        for output in _entries(self.record.get("outputs")):
            path = next((path for path in paths if path.endswith(str(output.get("tail")))), None)
            if output.get("role") in _PICTURE_ROLES and path is not None:
                paths.remove(path)
                versions.append(self._version(output, path))
        versions += [
            self._version(entry, str(entry["archived"])) for entry in _entries(self.record.get("archive_only")) if "archived" in entry
        ]
        result = [version for version in versions if version.sha256 and not (version.is_result and version.sha256 == self.sha256)]
        return [version._replace(look=bytes.fromhex(self.looks.get(version.sha256, ""))) for version in result]

    def _version(self, entry: dict[str, JsonValue], path: str) -> PictureVersion:
        return PictureVersion(str(entry.get("sha256", "")), self.job_id, True, path, str(entry.get("document_id", "")))

    def step_findings(self) -> list[tuple[str, dict[str, JsonValue]]]:
        """Return the word and the findings of each step."""
        steps = self.record.get("steps")
        entries = [step for step in (steps if isinstance(steps, list) else ()) if isinstance(step, dict)]
        pairs = [(str(step.get("op")), step.get("findings")) for step in entries]
        return [(op, findings if isinstance(findings, dict) else {}) for op, findings in pairs]

    def archive_paths(self) -> list[str]:
        """Return every path in the archive to which the job sent an input or a result that does not move on."""
        archived, beside = self.record.get("archived"), self.record.get("archive_only")
        paths = [str(path) for path in archived.values()] if isinstance(archived, dict) else []
        return paths + [str(entry["archived"]) for entry in (beside if isinstance(beside, list) else ()) if _has_path(entry, "archived")]

    def file_paths(self) -> list[str]:
        """Return every path that the job read, made or archived, without repetition."""
        return list(dict.fromkeys([self.path, *self.results, *self.archive_paths(), *self.input_paths()]))

    def input_paths(self) -> list[str]:
        """Return every path that the job read: the picture, its masks, its brief and its other sidecars."""
        inputs = self.record.get("inputs")
        return [str(entry["path"]) for entry in (inputs if isinstance(inputs, list) else ()) if _has_path(entry, "path")]

    def inputs_by_person(self) -> list[HandledInput]:
        """Return the inputs that a person has painted, written or dropped on the page."""
        entries = [entry for entry in _entries(self.record.get("inputs")) if entry.get("by") and entry.get("act") != "moved"]
        return [HandledInput(*(str(entry.get(key, "")) for key in HandledInput._fields)) for entry in entries]

    def remarks(self) -> list[str]:
        """Return the remarks about the picture that this job has made, as sentences."""
        return remarks_in_record(self.record)

    def archived_as(self, path: str) -> str:
        """Return where in the archive the input that was at ``path`` is; "" if it is not there."""
        archived = self.record.get("archived")
        return str(archived.get(path, "")) if isinstance(archived, dict) else ""


def remarks_in_record(record: Mapping[str, JsonValue]) -> list[str]:
    """Return the remarks about the picture in the record of one job, as sentences."""
    facts, steps = record.get("facts"), record.get("steps")
    findings = [
        (str(step.get("op", "")), step["findings"])
        for step in (steps if isinstance(steps, list) else ())
        if isinstance(step, dict) and isinstance(step.get("findings"), dict)
    ]
    return collect_remarks(facts.get("notes") if isinstance(facts, dict) else None, cast("list[tuple[str, dict[str, object]]]", findings))


class JobResults(NamedTuple):
    """The results of one job in the history, with the remarks about them."""

    # The number of its row.
    seq: int
    job_id: str
    parent_job_id: str
    results: tuple[str, ...]
    # Those of this job alone.
    remarks: tuple[str, ...]


# The roles of outputs that are pictures.
_PICTURE_ROLES = ("picture", "deliverable", "candidate")


def _entries(value: JsonValue | None) -> list[dict[str, JsonValue]]:
    return [entry for entry in (value if isinstance(value, list) else ()) if isinstance(entry, dict)]


def _has_path(entry: JsonValue, key: str) -> TypeGuard[dict[str, JsonValue]]:
    return isinstance(entry, dict) and key in entry


class Plan(_Data):
    """One job's commit. It takes effect as a whole or not at all."""

    id: str
    job_id: str
    stem: str
    """The beginning of all results' names, with the version (``hero``, ``hero_v002``)."""
    consumes: tuple[Consume, ...]
    """In order; the picture first."""
    publishes: tuple[Publish, ...] = ()
    history_row: HistoryRow
    hand_row: HistoryRow | None = None
    """The row of a person's work on the picture before this job took it."""
    lone_brief: str = ""
    """The path of a brief without a picture; "" for other jobs. If a sidecar of the brief has arrived by the time of the commit, the
    results are discarded, because they were made without it."""

    @property
    def destinations(self) -> tuple[str, ...]:
        """Every destination, in the order in which the plan is carried out."""
        return (*(move.destination for move in self.consumes), *(move.destination for move in self.publishes))


class PlacedFile(_Data):
    """A file that the daemon itself placed, and that is therefore complete."""

    path: str
    sig: FileSignature
    sha256: str
    job_id: str


class PlacedVersion(NamedTuple):
    """One version of an asset that was once placed in a folder, even if it has moved on."""

    folder: str
    # The name, folded and without its version.
    stem: str
    number: int
    # The name of the asset that it was made from, folded and without its version ("hero.jpg"); "" if unknown.
    source: str = ""


class CompletedPlan(NamedTuple):
    """Everything that is recorded when a plan is complete."""

    plan_id: str
    history_rows: tuple[HistoryRow, ...]
    placed_files: tuple[PlacedFile, ...]
    versions: tuple[PlacedVersion, ...]


class ActiveJob(NamedTuple):
    """A job that waits in a queue or runs in a worker."""

    job_id: str
    stage: str
    queue: str
    path: str
    queued_at: float
    started_at: float | None
    # Unix seconds. Until then, readers trust the row of a running job.
    lease_until: float | None
    step: int
    op: str
    fraction: float
    note: str

    def lease_expired(self, now: float) -> bool:
        """Return whether a running job's lease has ended: its daemon hangs or has ended."""
        return self.started_at is not None and (self.lease_until or 0.0) < now


class HoldRecord(NamedTuple):
    """An asset with a problem; it waits until somebody changes a file or retries it."""

    path: str
    fingerprint: str
    sentence: str
    remedy: str
    note_path: str
    since: float
