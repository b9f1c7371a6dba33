"""The protocol between the daemon and a worker process, over a socket pair. A message is a length, a type and JSON."""

from __future__ import annotations

import json
import struct
from enum import IntEnum
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from goldsmith.engines.registry.hash_notes import HashNote
from goldsmith.jobs.job import Job

_HEADER = struct.Struct("!IB")
# The largest message to a worker: a batch of jobs.
_MAX_PAYLOAD_BYTES = 64 * 2**20
# The largest message from a worker: the outcome of a job with a thousand results and a full record.
MAX_WORKER_PAYLOAD_BYTES = 8 * 2**20

# The folder for temporary files in the scratch folder of a process.
TEMPORARY_FOLDER = "tmp"

_Model = TypeVar("_Model", bound=BaseModel)


class MessageType(IntEnum):
    """The type of a message. HELLO, JOB, BATCH, CANCEL, GIVE_WAY and SIGNATURE go to the worker, the others come from it.

    READY has the fence of the process as its payload, as ``raise_fence`` returns it.
    """

    HELLO = 1
    JOB = 2
    CANCEL = 3
    READY = 4
    STARTED = 5
    PROGRESS = 6
    OUTCOME = 7
    BATCH = 8
    MODELS = 9
    ENGINE_RELEASED = 10
    PART_KEPT = 11
    GIVE_WAY = 12
    SIGN = 13
    SIGNATURE = 14


class ProtocolError(ValueError):
    """The other side sent an invalid message."""


class WorkerSpec(BaseModel):
    """The worker processes of a queue on one device. Specs with the same queue share that queue."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    queue: str
    runner: Literal["local", "ray"] = "local"
    """Where they run: on the daemon's host, or on the nodes of a cluster."""
    process_count: int = 1
    device: str = "cpu"
    """The device's name in torch: "cpu", "cuda:0"."""
    threads: int = 1
    max_batch: int = 1
    """How many jobs with the same batch key a process may get at once, if their pictures fit in memory together."""
    device_title: str = ""
    """The device's name for people: "NVIDIA L40S"; "" if unknown."""
    device_memory_mb: int = 0
    """The device's own memory; 0 if it has none (the CPU) or it is unknown."""
    host_memory_mb: int = 0
    """The memory in MiB that a node sets aside for the process; 0 = none."""


class WorkerConfig(BaseModel):
    """The configuration that every worker process gets once, before its first job."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    models_file: str = ""
    """The path of ``models.toml``; empty if there are no engines."""
    weights_folder: str = ""
    """The folder of the weights; empty for the user's own data folder."""
    weights_notes: dict[str, HashNote] = {}
    """The daemon's notes of hashes, by path; the process cannot read the state directory."""
    trusted_roots: str = ""
    """The roots, as PEM, by which the content credentials of a file are trusted."""
    catalogue: str = "goldsmith.ops:catalogue"
    """The source of the operations: a module, and the function in it that returns them by name."""


class WorkerFolders(BaseModel):
    """The folders of the worker processes: what they may read besides the program and the system's libraries, and where they may write."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    work: str
    """Absolute path of the folder that holds a scratch folder for each process; on the root's filesystem."""
    inputs: tuple[str, ...] = ()
    """Absolute paths of the folders with the inputs of jobs. A link in place of such a folder is not followed."""
    models: tuple[str, ...] = ()
    """Absolute paths of the folders and files of the models and of ``models.toml``. Links are followed."""
    kept: str = ""
    """Absolute path of the folder of kept parts, beside ``work``: read by every worker process, written by the daemon; "" = none."""


class HelloMessage(BaseModel):
    """The first message to a worker process."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    spec: WorkerSpec
    config: WorkerConfig
    folders: WorkerFolders
    scratch: str
    """Absolute path of the process's own scratch folder, the only one that it may write. It exists."""


class BatchMessage(BaseModel):
    """Jobs that run as one batch; each has its own outcome."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    jobs: tuple[Job, ...]


class SignMessage(BaseModel):
    """The bytes that the identity of the studio is to sign for a file of a job; or its answer, the signature of them.

    An answer without a signature means that there is no identity any more.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    job_id: str
    data: str
    """Base64."""


class ModelsMessage(BaseModel):
    """The models that a worker process has loaded, and the one that it is loading; sent on each change."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    loaded: tuple[str, ...] = ()
    loading: str = ""


def encode_message(message: BaseModel) -> bytes:
    """Return the message as ASCII JSON. Names with undecodable bytes hold lone surrogates, which pydantic's own JSON refuses."""
    return json.dumps(message.model_dump(), separators=(",", ":")).encode("ascii")


def decode_message(model: type[_Model], payload: bytes) -> _Model:
    """Return the validated message. Raises ProtocolError if the payload is not one."""
    try:
        return model.model_validate(json.loads(payload))
    except (ValueError, ValidationError, RecursionError) as error:
        raise ProtocolError(f"not a {model.__name__}: {error}") from error


def frame_message(message_type: MessageType, payload: bytes = b"") -> bytes:
    """Return a message's bytes for the socket."""
    return _HEADER.pack(len(payload), message_type) + payload


class FrameDecoder:
    """Splits the received bytes into messages, however the socket split them."""

    def __init__(self, max_payload_bytes: int = _MAX_PAYLOAD_BYTES) -> None:
        self._buffer = bytearray()
        self._max_payload_bytes = max_payload_bytes

    def feed(self, data: bytes) -> list[tuple[MessageType, bytes]]:
        """Add bytes and return the messages that are complete now. Raises ProtocolError if the bytes cannot be messages."""
        self._buffer += data
        messages, offset = [], 0
        while len(self._buffer) - offset >= _HEADER.size:
            length, kind = _HEADER.unpack_from(self._buffer, offset)
            if length > self._max_payload_bytes or kind not in MessageType._value2member_map_:
                raise ProtocolError(f"a message of kind {kind} and {length} bytes")
            end = offset + _HEADER.size + length
            if len(self._buffer) < end:
                break
            messages.append((MessageType(kind), bytes(self._buffer[offset + _HEADER.size : end])))
            offset = end
        del self._buffer[:offset]
        return messages
