"""The state that a running daemon writes to daemon.json beside its journal, and that ``status``, ``why`` and ``doctor`` read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, ValidatorFunctionWrapHandler, field_validator

from goldsmith.pipeline.commit.root_lock import lock_holder

# The file's name, in the folder of the journal. It exists only while the daemon runs.
STATE_FILE = "daemon.json"
# Validation context of a file that another version of Goldsmith may have written.
_FROM_FILE = {"lenient": True}


class _StateRecord(BaseModel):
    """A part of the state file. Reading ignores unknown keys and replaces values of a wrong type by their defaults."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _default_if_invalid(cls, value: object, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        try:
            return handler(value)
        except ValidationError:
            if not info.context or info.field_name is None:
                raise
            return cls.model_fields[info.field_name].get_default(call_default_factory=True)


class WorkerStatus(_StateRecord):
    """One worker process, or a device that has no process at the moment."""

    queue: str = ""
    # The node of the cluster on which it runs; "" for this computer, and before a node has taken it.
    host: str = ""
    device: str = "cpu"
    # The device's product name, "" if unknown.
    device_title: str = ""
    device_memory_mb: int = 0
    # Why no job starts on the device, or "".
    pause_reason: str = ""
    # The ids of the jobs that the process works on.
    jobs: tuple[str, ...] = ()
    # The generating models in the device's memory.
    loaded: tuple[str, ...] = ()
    # The model that is being loaded, or "".
    loading: str = ""
    # Unix seconds at which loading began. Wall time, so that the file does not change every second.
    loading_since: float = 0.0

    def loading_sentence(self, now: float) -> str:
        """Return which model is being loaded and for how many seconds so far; "" if none is. ``now`` is in Unix seconds."""
        return f"loading {self.loading}, {max(0.0, now - self.loading_since):.0f} s so far" if self.loading else ""


class DaemonState(_StateRecord):
    """The state of a root's daemon. Every field is empty if none runs. Each written field is a key of the state file."""

    pid: int = 0
    host: str = ""
    root: str = ""
    # Why all work waits, or "".
    pause_reason: str = ""
    # Queue -> why it is paused, or "".
    queue_pauses: dict[str, str] = {}
    # Queue -> the ids of the jobs that start next, in order. A long queue is cut off.
    queue_order: dict[str, tuple[str, ...]] = {}
    # Asset whose work has let others go first -> how many parts of it are finished. A long list is cut off.
    gave_way: dict[str, int] = {}
    workers: tuple[WorkerStatus, ...] = ()
    # For each node of the cluster that gets no jobs: which it is, why, and what to do. The others work.
    node_refusals: tuple[str, ...] = ()
    # Stage folder -> "events" or "polling".
    watch_modes: dict[str, str] = {}
    # Stage folders in which open writers cannot be detected, so files must be quiet for longer.
    weak_quiet_folders: tuple[str, ...] = ()
    # Missing or unreadable stage folder -> the sentence that says so.
    unavailable_folders: dict[str, str] = {}
    # Stage folder -> what the system refused to results there: their group, mode or ACL.
    permission_refusals: dict[str, str] = {}
    # Held picture whose folder takes no problem note -> its problem. A long list is cut off.
    holds_without_note: dict[str, str] = {}
    # Stage folder -> why it takes no status file.
    status_file_refusals: dict[str, str] = {}
    # Why no events arrive, or "".
    watcher_error: str = ""

    # The process that holds the root, for example "process 4711 on atelier". The reader fills it in from the lock.
    holder: str = Field(default="", exclude=True)
    # False if the state file cannot be read, for example because the journal is in another folder. Filled in by the reader.
    has_state_file: bool = Field(default=False, exclude=True)

    def to_json(self) -> bytes:
        """Return the content of the state file."""
        return self.model_dump_json().encode()

    @classmethod
    def from_json(cls, data: bytes, holder: str) -> DaemonState:
        """Return the state in ``data``, the content of a state file. Raises ValueError if it is not a JSON object."""
        return cls.model_validate_json(data, context=_FROM_FILE).model_copy(update={"holder": holder, "has_state_file": True})


def read_daemon_state(root: Path, state_file: Path) -> DaemonState:
    """Return the state of the daemon that holds ``root``. Ignore a state file that a dead daemon left behind."""
    holder = lock_holder(root)
    if not holder:
        return DaemonState()
    try:
        return DaemonState.from_json(state_file.read_bytes(), holder)
    except (OSError, ValueError):
        return DaemonState(holder=holder)
