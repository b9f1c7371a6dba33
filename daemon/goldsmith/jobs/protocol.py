"""What the daemon and a lane process say to each other over a socket pair: a length, a kind, JSON."""

from __future__ import annotations

import json
import struct
from enum import IntEnum
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from goldsmith.jobs.job import Job

_HEAD = struct.Struct("!IB")
_LONGEST = 64 * 2**20

_Model = TypeVar("_Model", bound=BaseModel)


class Kind(IntEnum):
    """What a message is. HELLO, JOB, FLIGHT and CANCEL go to the lane, the others come from it."""

    HELLO = 1
    JOB = 2
    CANCEL = 3
    READY = 4
    BEGUN = 5
    PROGRESS = 6
    OUTCOME = 7
    FLIGHT = 8
    MODELS = 9
    LANDED = 10


class Garbled(ValueError):
    """The other side said something that is no message."""


class LaneSpec(BaseModel):
    """A lane on one device: ``count`` lane processes, each with so many threads. Several of one name are one lane with one line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    count: int = 1
    device: str = "cpu"
    """As torch calls it: "cpu", "cuda:0"."""
    threads: int = 1
    together: int = 1
    """How many jobs that are alike a process may be given at once, where their pictures fit beside each other."""
    title: str = ""
    """What a person calls the device: "NVIDIA L40S"; "" where nobody knows."""
    memory_mb: int = 0
    """The device's own memory; 0 where it has none (the CPU) or nobody knows."""


class LaneContext(BaseModel):
    """What every lane process is told once, before its first job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models_file: str = ""
    """``models.toml``; empty where no engine is to be had."""
    weights: str = ""
    """The folder where weights lie; empty for the user's own data folder."""
    catalogue: str = "goldsmith.ops:catalogue"
    """Where the operations come from: a module and a function in it that gives them by their words."""


class Hello(BaseModel):
    """The first message to a lane process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: LaneSpec
    context: LaneContext


class FlightPlan(BaseModel):
    """Jobs that are alike, to be worked on together; each has its own outcome."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jobs: tuple[Job, ...]


class Models(BaseModel):
    """What a lane process has loaded, and what it is loading at the moment; said whenever that changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    loaded: tuple[str, ...] = ()
    loading: str = ""


def packed(message: BaseModel) -> bytes:
    """The message as ASCII JSON. Names with undecodable bytes hold lone surrogates, which pydantic's own JSON refuses."""
    return json.dumps(message.model_dump(), separators=(",", ":")).encode("ascii")


def unpacked(model: type[_Model], payload: bytes) -> _Model:
    """The message again, checked. Raises Garbled."""
    try:
        return model.model_validate(json.loads(payload))
    except (ValueError, ValidationError, RecursionError) as error:
        raise Garbled(f"not a {model.__name__}: {error}") from error


def framed(kind: Kind, payload: bytes = b"") -> bytes:
    """One message as it goes over the socket."""
    return _HEAD.pack(len(payload), kind) + payload


class Frames:
    """Cuts what arrives into messages again, however it was split on the way."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def feed(self, data: bytes) -> list[tuple[Kind, bytes]]:
        """Every message that is whole by now. Raises Garbled where the bytes cannot be messages."""
        self._kept += data
        whole, at = [], 0
        while len(self._kept) - at >= _HEAD.size:
            length, kind = _HEAD.unpack_from(self._kept, at)
            if length > _LONGEST or kind not in Kind._value2member_map_:
                raise Garbled(f"a message of kind {kind} and {length} bytes")
            end = at + _HEAD.size + length
            if len(self._kept) < end:
                break
            whole.append((Kind(kind), bytes(self._kept[at + _HEAD.size : end])))
            at = end
        del self._kept[:at]
        return whole
