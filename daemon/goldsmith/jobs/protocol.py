"""What the daemon and a lane process say to each other over a socket pair: a length, a kind, JSON."""

from __future__ import annotations

import json
import struct
from enum import IntEnum
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from goldsmith.jobs.job import Job

_HEADER = struct.Struct("!IB")
_MAX_PAYLOAD_BYTES = 64 * 2**20

_Model = TypeVar("_Model", bound=BaseModel)


class MessageType(IntEnum):
    """What a message is. HELLO, JOB, FLIGHT and CANCEL go to the lane, the others come from it."""

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


class ProtocolError(ValueError):
    """The other side said something that is no message."""


class WorkerSpec(BaseModel):
    """A lane on one device: ``count`` lane processes, each with so many threads. Several of one name are one lane with one line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    queue: str
    process_count: int = 1
    device: str = "cpu"
    """As torch calls it: "cpu", "cuda:0"."""
    threads: int = 1
    max_batch: int = 1
    """How many jobs that are alike a process may be given at once, where their pictures fit beside each other."""
    device_title: str = ""
    """What a person calls the device: "NVIDIA L40S"; "" where nobody knows."""
    device_memory_mb: int = 0
    """The device's own memory; 0 where it has none (the CPU) or nobody knows."""


class WorkerConfig(BaseModel):
    """What every lane process is told once, before its first job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models_file: str = ""
    """``models.toml``; empty where no engine is to be had."""
    weights_folder: str = ""
    """The folder where weights lie; empty for the user's own data folder."""
    catalogue: str = "goldsmith.ops:catalogue"
    """Where the operations come from: a module and a function in it that gives them by their words."""


class HelloMessage(BaseModel):
    """The first message to a lane process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: WorkerSpec
    config: WorkerConfig


class BatchMessage(BaseModel):
    """Jobs that are alike, to be worked on together; each has its own outcome."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jobs: tuple[Job, ...]


class ModelsMessage(BaseModel):
    """What a lane process has loaded, and what it is loading at the moment; said whenever that changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    loaded: tuple[str, ...] = ()
    loading: str = ""


def encode_message(message: BaseModel) -> bytes:
    """The message as ASCII JSON. Names with undecodable bytes hold lone surrogates, which pydantic's own JSON refuses."""
    return json.dumps(message.model_dump(), separators=(",", ":")).encode("ascii")


def decode_message(model: type[_Model], payload: bytes) -> _Model:
    """The message again, checked. Raises Garbled."""
    try:
        return model.model_validate(json.loads(payload))
    except (ValueError, ValidationError, RecursionError) as error:
        raise ProtocolError(f"not a {model.__name__}: {error}") from error


def frame_message(message_type: MessageType, payload: bytes = b"") -> bytes:
    """One message as it goes over the socket."""
    return _HEADER.pack(len(payload), message_type) + payload


class FrameDecoder:
    """Cuts what arrives into messages again, however it was split on the way."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[MessageType, bytes]]:
        """Every message that is whole by now. Raises Garbled where the bytes cannot be messages."""
        self._buffer += data
        whole, at = [], 0
        while len(self._buffer) - at >= _HEADER.size:
            length, kind = _HEADER.unpack_from(self._buffer, at)
            if length > _MAX_PAYLOAD_BYTES or kind not in MessageType._value2member_map_:
                raise ProtocolError(f"a message of kind {kind} and {length} bytes")
            end = at + _HEADER.size + length
            if len(self._buffer) < end:
                break
            whole.append((MessageType(kind), bytes(self._buffer[at + _HEADER.size : end])))
            at = end
        del self._buffer[:at]
        return whole
