"""The finished parts of a step: kept in files that outlive the process, and read again only if their hash is the one on record."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from pydantic import JsonValue

from goldsmith.errors import InputError, JobYielded
from goldsmith.jobs.job import Job, KeptPart
from goldsmith.jobs.names import KEPT_FOLDER
from goldsmith.operation import FinishedPart, RecordValue
from goldsmith.picture.picture import Picture, freeze
from goldsmith.root_folder import RootFolder
from goldsmith.worker.engine_provider import to_json
from goldsmith.worker.scratch_folder import ScratchFolder
from goldsmith.worker.spilled_list import exact_values, from_values
from goldsmith.worker.trace import installed_versions

# Counts the layouts of the files. A file of another layout is never looked for.
_LAYOUT = 1
_DTYPES = frozenset({"|u1", "<u2", "<f4"})
# The longest first line of a file.
_MAX_HEADER_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class PartChannel:
    """The way to the daemon. ``on_kept`` tells it of a finished part; ``must_give_way`` returns whether the job lets others go first."""

    on_kept: Callable[[KeptPart], None]
    must_give_way: Callable[[], bool]


def _ignore_part(part: KeptPart) -> None:
    """Do nothing."""


# For callers without a daemon.
NO_PARTS = PartChannel(_ignore_part, lambda: False)


@dataclass(slots=True)
class WorkerParts:
    """Implements ``goldsmith.operation.PartsFacet``. ``describe_dependencies`` returns what the step's result depends on."""

    job: Job
    scratch_folder: ScratchFolder
    channel: PartChannel
    describe_dependencies: Callable[[], dict[str, JsonValue]]

    def find(self, name: str) -> FinishedPart | None:
        key = self._key(name) if self.job.kept else ""
        part = next((part for part in self.job.kept if part.key == key), None)
        data = None if part is None else self._read(part)
        return None if data is None else _decode(data)

    def keep(self, name: str, picture: Picture, facts: Mapping[str, RecordValue]) -> None:
        if not self.job.keeps_parts:
            return
        data, key = _encode(picture, facts), self._key(name)
        # An earlier file of this name is one that could not be used.
        (self.scratch_folder.folder / key).unlink(missing_ok=True)
        self.scratch_folder.write_file(key, data)
        self.channel.on_kept(KeptPart(key=key, sha256=hashlib.sha256(data).hexdigest(), size=len(data)))

    def give_way(self) -> None:
        if self.channel.must_give_way():
            raise JobYielded

    def _key(self, name: str) -> str:
        """Return 32 hex digits that are the same only for the same part of the same work."""
        job = self.job
        work = {
            "layout": _LAYOUT,
            "versions": installed_versions(),
            "asset": job.asset.path,
            "stage": job.stage,
            "reading": [job.mask_fit, job.mask_from, job.hdr, job.float_range],
            **self.describe_dependencies(),
            "part": name,
        }
        return hashlib.sha256(json.dumps(work, sort_keys=True).encode("ascii")).hexdigest()[:32]

    def _read(self, part: KeptPart) -> bytes | None:
        """Return the bytes of a kept part; None if they are not those that were kept."""
        try:
            fd = RootFolder(self.job.root).open_file(f"{KEPT_FOLDER}/{part.key}", part.size)
        except (OSError, InputError):
            return None
        with os.fdopen(fd, "rb") as file:
            try:
                data = file.read(part.size + 1)
            except OSError:
                return None
        return data if hashlib.sha256(data).hexdigest() == part.sha256 else None


def _encode(picture: Picture, facts: Mapping[str, RecordValue]) -> bytes:
    """Return a line of JSON with the facts, and the pixels."""
    values = exact_values(picture)
    values = values.astype(values.dtype.newbyteorder("<"), copy=False)
    header = {"shape": list(values.shape), "dtype": values.dtype.str, "facts": to_json(facts)}
    return json.dumps(header).encode("ascii") + b"\n" + values.tobytes()


def _decode(data: bytes) -> FinishedPart | None:
    """Return the part in these bytes; None if they are no part."""
    end = data.find(b"\n", 0, _MAX_HEADER_BYTES)
    try:
        header = json.loads(data[: max(0, end)])
        shape, dtype, facts = tuple(header["shape"]), header["dtype"], header["facts"]
        if dtype not in _DTYPES or len(shape) != 3 or not isinstance(facts, dict):
            return None
        values = np.frombuffer(data, np.dtype(dtype), offset=end + 1).reshape(shape)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return FinishedPart(freeze(from_values(values)), facts)
