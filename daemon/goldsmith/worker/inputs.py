"""Reads a job's inputs exactly as they are on the share: complete, hashed, and unchanged while they are read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from goldsmith.errors import HostError, InputError
from goldsmith.files import FileSignature, display_name
from goldsmith.jobs.job import InputRead, Job, JobInput
from goldsmith.library.library import MAX_FILE_BYTES
from goldsmith.mounts import synced_status
from goldsmith.picture.formats.table import DETECTION_BYTES, detect_by_content
from goldsmith.root_folder import RootFolder, check_file_size

if TYPE_CHECKING:
    from goldsmith.picture.codec import ReadingOptions

# Bytes that a sidecar may have beside its picture, by role; a picture, a mask or a layer may have half of the job's memory.
_MAX_BYTES = {"look": MAX_FILE_BYTES["looks"], "xmp": 8 << 20, "brief": 1 << 20, "prompt": 1 << 20}

_PICTURE_ROLES = frozenset({"picture", "mask", "keep", "layer", "ref", "control", "before", "ingredient"})


class InputChanged(Exception):
    """An input has changed since the intake saw it: the job starts again with the current file."""

    def __init__(self, sentence: str, path: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.path = path


@dataclass(frozen=True, slots=True)
class LoadedInput:
    """One input with its bytes."""

    source: JobInput
    data: bytes = field(repr=False)
    read: InputRead

    @property
    def name(self) -> str:
        """Its name for use in a sentence, with the suffix unchanged."""
        return display_name(os.path.basename(self.source.path))


def load_input(job: Job, source: JobInput) -> LoadedInput:
    """Return the complete file and its hash. Its signature must be the same before and after the read, and equal the intake's.

    Raises InputChanged if it is not, InputError if this user cannot read the file or it is no regular file, HostError if the disk or the
    mount fails.
    """
    name = display_name(os.path.basename(source.path))
    try:
        data, before, after, on_disk = _read(job, source)
    except FileNotFoundError as error:
        raise InputChanged(f"{name} was removed.", source.path) from error
    except NotADirectoryError as error:
        raise InputChanged(f"The folder of {name} was removed.", source.path) from error
    except PermissionError as error:
        raise InputError(f"{name} cannot be read: permission denied.", "Let Goldsmith's user read it (chmod g+r).") from error
    except OSError as error:
        raise HostError(f"{name} cannot be read: {error.strerror}.", "Check the disk and the mount.") from error
    if not before == after == on_disk == source.sig:
        raise InputChanged(f"{name} was changed while it was being read.", source.path)
    digest = hashlib.sha256(data).hexdigest()
    if source.sha256 and source.sha256 != digest:
        raise InputChanged(f"{name} is not what Goldsmith put there.", source.path)
    detected = detect_by_content(data[:DETECTION_BYTES]) if source.role in _PICTURE_ROLES else None
    format_name = "" if detected is None else detected.name
    return LoadedInput(source, data, InputRead(path=source.path, sig=before, sha256=digest, format=format_name))


def _read(job: Job, source: JobInput) -> tuple[bytes, FileSignature, FileSignature, FileSignature]:
    root = RootFolder(job.root)
    with os.fdopen(root.open_file(source.path), "rb") as file:
        before = FileSignature.from_stat(synced_status(file.fileno()))
        max_bytes = min(job.limits.max_memory_bytes // 2, _MAX_BYTES.get(source.role, before.size))
        check_file_size(display_name(os.path.basename(source.path)), before.size, max_bytes)
        # Read one byte more than expected: this detects a file that grows without reading it forever.
        data = file.read(before.size + 1)
        after = FileSignature.from_stat(synced_status(file.fileno()))
    if len(data) != before.size:
        raise InputChanged(f"{display_name(os.path.basename(source.path))} was changed while it was being read.", source.path)
    return data, before, after, FileSignature.from_stat(root.lstat(source.path))


def reading_options(job: Job) -> ReadingOptions:
    """Return how the pictures of a job are read, by its brief."""
    from goldsmith.picture.codec import ReadingOptions

    return ReadingOptions(hdr=job.hdr, float_range=job.float_range)


def paths_by_name(inputs: Iterable[JobInput], *roles: str) -> dict[str, tuple[str, ...]]:
    """Return the paths of the inputs in those roles, by their names."""
    paths: dict[str, tuple[str, ...]] = {}
    for source in inputs:
        if source.role in roles:
            name = source.name or "mask"
            paths[name] = (*paths.get(name, ()), source.path)
    return paths
