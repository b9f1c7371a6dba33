"""Reads a job's inputs exactly as they lie on the share: whole, hashed, and unchanged while they were read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from goldsmith.errors import MachineFault, Problem
from goldsmith.files import Sig, display_name, open_input
from goldsmith.jobs.job import Input, Job, Read


class Changed(Exception):
    """An input is no longer what the intake saw: the job starts anew on what lies there now."""

    def __init__(self, sentence: str, path: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.path = path


@dataclass(frozen=True, slots=True)
class Loaded:
    """One input with its bytes."""

    given: Input
    data: bytes = field(repr=False)
    read: Read

    @property
    def name(self) -> str:
        """As it may stand in a sentence; the suffix is as it is."""
        return display_name(os.path.basename(self.given.path))


def load(job: Job, given: Input) -> Loaded:
    """The whole file and its hash; the signature is the same before, after, and as the intake promised.

    Raises Changed where it is not, Problem where it cannot be read by this user or is no ordinary file, MachineFault where the
    disk or the mount fails.
    """
    name = display_name(os.path.basename(given.path))
    try:
        data, before, after, lies_there = _read(job, given)
    except FileNotFoundError as error:
        raise Changed(f"{name} was taken away.", given.path) from error
    except NotADirectoryError as error:
        raise Changed(f"The folder of {name} was taken away.", given.path) from error
    except PermissionError as error:
        raise Problem(f"{name} cannot be read: permission denied.", "Let Goldsmith's user read it (chmod g+r).") from error
    except OSError as error:
        raise MachineFault(f"{name} cannot be read: {error.strerror}.", "Check the disk and the mount.") from error
    if not before == after == lies_there == given.sig:
        raise Changed(f"{name} was changed while it was being read.", given.path)
    digest = hashlib.sha256(data).hexdigest()
    if given.sha256 and given.sha256 != digest:
        raise Changed(f"{name} is not what Goldsmith put there.", given.path)
    return Loaded(given, data, Read(path=given.path, sig=before, sha256=digest))


def _read(job: Job, given: Input) -> tuple[bytes, Sig, Sig, Sig]:
    path = os.path.join(job.root, given.path)
    with open(open_input(path), "rb") as file:
        before = Sig.of(os.fstat(file.fileno()))
        if before.size > job.limits.memory_bytes // 2:
            size, most = before.size / 2**20, job.limits.memory_bytes / 2**21
            raise Problem(f"{display_name(os.path.basename(path))} is a file of {size:.0f} MiB; more than {most:.0f} MiB is not read.")
        # One byte more than there should be: a file that grows is noticed, and never read without end.
        data = file.read(before.size + 1)
        after = Sig.of(os.fstat(file.fileno()))
    if len(data) != before.size:
        raise Changed(f"{display_name(os.path.basename(path))} was changed while it was being read.", given.path)
    return data, before, after, Sig.of(os.lstat(path))


def paths_of(inputs: Iterable[Input], *roles: str) -> dict[str, tuple[str, ...]]:
    """The paths of the inputs in those roles, by the name each goes by."""
    found: dict[str, tuple[str, ...]] = {}
    for given in inputs:
        if given.role in roles:
            name = given.name or "mask"
            found[name] = (*found.get(name, ()), given.path)
    return found
