"""Reads a job's inputs exactly as they lie on the share: whole, hashed, and unchanged while they were read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from goldsmith.errors import HostError, InputError
from goldsmith.files import FileSignature, display_name, open_input
from goldsmith.jobs.job import InputRead, Job, JobInput


class InputChanged(Exception):
    """An input is no longer what the intake saw: the job starts anew on what lies there now."""

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
        """As it may stand in a sentence; the suffix is as it is."""
        return display_name(os.path.basename(self.source.path))


def load_input(job: Job, source: JobInput) -> LoadedInput:
    """The whole file and its hash; the signature is the same before, after, and as the intake promised.

    Raises Changed where it is not, InputError where it cannot be read by this user or is no ordinary file, HostError where the
    disk or the mount fails.
    """
    name = display_name(os.path.basename(source.path))
    try:
        data, before, after, lies_there = _read(job, source)
    except FileNotFoundError as error:
        raise InputChanged(f"{name} was taken away.", source.path) from error
    except NotADirectoryError as error:
        raise InputChanged(f"The folder of {name} was taken away.", source.path) from error
    except PermissionError as error:
        raise InputError(f"{name} cannot be read: permission denied.", "Let Goldsmith's user read it (chmod g+r).") from error
    except OSError as error:
        raise HostError(f"{name} cannot be read: {error.strerror}.", "Check the disk and the mount.") from error
    if not before == after == lies_there == source.sig:
        raise InputChanged(f"{name} was changed while it was being read.", source.path)
    digest = hashlib.sha256(data).hexdigest()
    if source.sha256 and source.sha256 != digest:
        raise InputChanged(f"{name} is not what Goldsmith put there.", source.path)
    return LoadedInput(source, data, InputRead(path=source.path, sig=before, sha256=digest))


def _read(job: Job, source: JobInput) -> tuple[bytes, FileSignature, FileSignature, FileSignature]:
    path = os.path.join(job.root, source.path)
    with open(open_input(path), "rb") as file:
        before = FileSignature.from_stat(os.fstat(file.fileno()))
        if before.size > job.limits.max_memory_bytes // 2:
            size, most = before.size / 2**20, job.limits.max_memory_bytes / 2**21
            raise InputError(f"{display_name(os.path.basename(path))} is a file of {size:.0f} MiB; more than {most:.0f} MiB is not read.")
        # One byte more than there should be: a file that grows is noticed, and never read without end.
        data = file.read(before.size + 1)
        after = FileSignature.from_stat(os.fstat(file.fileno()))
    if len(data) != before.size:
        raise InputChanged(f"{display_name(os.path.basename(path))} was changed while it was being read.", source.path)
    return data, before, after, FileSignature.from_stat(os.lstat(path))


def paths_by_name(inputs: Iterable[JobInput], *roles: str) -> dict[str, tuple[str, ...]]:
    """The paths of the inputs in those roles, by the name each goes by."""
    found: dict[str, tuple[str, ...]] = {}
    for given in inputs:
        if given.role in roles:
            name = given.name or "mask"
            found[name] = (*found.get(name, ()), given.path)
    return found
