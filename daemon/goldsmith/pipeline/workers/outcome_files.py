"""The check of the files that an outcome names: they are opened by descriptor, and the daemon hashes them itself.

A worker writes into its scratch folder, so what is there may be a link, a pipe, another user's file, or a file of a terabyte.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from goldsmith.files import MACHINE_ERRNOS, FileSignature, Filesystem, PathAt, has_writer
from goldsmith.jobs.job import Job, JobInput, Outcome
from goldsmith.mounts import synced_status
from goldsmith.pipeline.workers.outcome_check import OutcomeRefused, scratch_name
from goldsmith.root_folder import RootFolder

# The largest picture of a problem that is put beside a note.
MAX_PREVIEW_BYTES = 32 * 2**20

_BLOCK_BYTES = 2**20
_JPEG_START = b"\xff\xd8\xff"
# The daemon looks for a fault of the disk by writing this many bytes, and takes less room than this for a full disk: a worker's result may
# be large.
_PROBE_BYTES = 2**20
_MIN_FREE_BYTES, _MIN_FREE_FILES = 2**30, 1000
# Errors of an open in scratch for which only the worker can be at fault: a link, a folder, a socket, a file without permissions.
_WORKER_ERRNOS = frozenset({errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO, errno.ENAMETOOLONG})


class ResultMissing(Exception):
    """A result is no longer in the scratch folder."""


class InputReplaced(Exception):
    """An input is not the file any more that the intake saw at ``path``."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class CheckStopped(Exception):
    """The check has been stopped before its end."""


def bytes_to_hash(job: Job, outcome: Outcome) -> int:
    """Return how many bytes ``check_files`` reads at most."""
    copied = job.asset.sig.size if outcome.original_copy else 0
    return sum(output.size for output in outcome.outputs) + sum(source.sig.size for source in _inputs_to_hash(job, outcome)) + copied


def check_files(job: Job, outcome: Outcome, is_stopped: Callable[[], bool]) -> Outcome:
    """Return the outcome with the signatures of its files, all of which are what it says.

    Raises OutcomeRefused if a file is not, ResultMissing if one has disappeared, InputReplaced if an input has changed since the intake saw
    it, CheckStopped, and OSError if the disk fails. What a failed job's worker claims is checked as well: see ``_with_checked_claim``.
    """
    for source in _inputs_to_hash(job, outcome):
        _check_input(job, source, next(read.sha256 for read in outcome.reads if read.path == source.path), is_stopped)
    if outcome.fault is not None:
        return _with_checked_claim(job, _with_checked_preview(job, outcome))
    claims = [(output.path, output.size, output.sha256) for output in outcome.outputs]
    if outcome.original_copy:
        asset_sha256 = next(read.sha256 for read in outcome.reads if read.path == job.asset.path)
        claims.append((outcome.original_copy, job.asset.sig.size, asset_sha256))
    sigs = {path: _check_result(job, path, size, sha256, is_stopped) for path, size, sha256 in claims}
    return outcome.model_copy(update={"verified_sigs": sigs})


def read_preview(job: Job, path: str) -> bytes:
    """Return the JPEG in the job's scratch folder that shows a problem; b"" if there is none, or if it is not such a file."""
    with suppress(OutcomeRefused, ResultMissing, OSError), _open_result(job, path) as fd:
        size = os.fstat(fd).st_size
        data = b"" if size > MAX_PREVIEW_BYTES else _read_exactly(fd, size)
        return data if data.startswith(_JPEG_START) else b""
    return b""


def _inputs_to_hash(job: Job, outcome: Outcome) -> list[JobInput]:
    """Return the inputs that were read and whose hash the daemon does not know. Files that it placed itself have been compared already."""
    read_paths = {read.path for read in outcome.reads}
    return [source for source in job.inputs if source.path in read_paths and not source.sha256]


def _check_input(job: Job, source: JobInput, claimed_sha256: str, is_stopped: Callable[[], bool]) -> None:
    try:
        fd = _open_below(job.root, source.path)
    except OSError as error:
        if error.errno == errno.ENOENT or error.errno in _WORKER_ERRNOS:
            raise InputReplaced(source.path) from error
        raise
    try:
        if FileSignature.from_stat(synced_status(fd)) != source.sig:
            raise InputReplaced(source.path)
        sha256 = _hash(fd, source.sig.size, is_stopped)
        if FileSignature.from_stat(synced_status(fd)) != source.sig:
            raise InputReplaced(source.path)
    finally:
        os.close(fd)
    if sha256 != claimed_sha256:
        raise OutcomeRefused("the hash of an input is not that of the file", f"{source.path!r}: {claimed_sha256!r:.66}, not {sha256}")


def _check_result(job: Job, path: str, size: int, sha256: str, is_stopped: Callable[[], bool]) -> FileSignature:
    """Return the signature of a result whose size and hash are as claimed."""
    with _open_result(job, path) as fd:
        sig = FileSignature.from_stat(os.fstat(fd))
        if sig.size != size:
            raise OutcomeRefused("one of its results has another size than it says", f"{path!r}: {sig.size}, not {size} bytes")
        if size > job.limits.max_memory_bytes:
            raise OutcomeRefused("one of its results is larger than the memory of a job", f"{path!r}: {size} bytes")
        actual_sha256 = _hash(fd, size, is_stopped)
        if has_writer(fd, is_own=True) or FileSignature.from_stat(os.fstat(fd)) != sig:
            raise OutcomeRefused("one of its results is still being written", repr(path))
    if actual_sha256 != sha256:
        raise OutcomeRefused("one of its results has another hash than it says", f"{path!r}: {sha256!r:.66}, not {actual_sha256}")
    return sig


def _with_checked_preview(job: Job, outcome: Outcome) -> Outcome:
    """Return the outcome of a failed job; without a preview if the file has disappeared."""
    fault = outcome.fault
    if fault is None or not fault.preview_path:
        return outcome
    try:
        with _open_result(job, fault.preview_path):
            return outcome
    except ResultMissing:
        return outcome.model_copy(update={"fault": fault.model_copy(update={"preview_path": ""})})


def needs_disk_probe(outcome: Outcome) -> bool:
    """Return whether ``check_files`` looks for a fault of the disk, which takes as long as the disk does."""
    return outcome.fault is not None and outcome.fault.kind == "machine"


def _with_checked_claim(job: Job, outcome: Outcome) -> Outcome:
    """Return the outcome of a failed job, as far as the daemon can confirm what the worker says: else a lie would cost no attempt.

    A fault of the machine that the daemon does not see becomes ``disputed``. Raises OutcomeRefused if no input has changed, although the
    worker says so.
    """
    if outcome.fault is not None and outcome.fault.kind == "changed" and all(_is_as_seen(job, source) for source in job.inputs):
        raise OutcomeRefused("it says that a file was changed, and every file of the job is as it was", repr(outcome.fault.sentence))
    if outcome.fault is not None and needs_disk_probe(outcome):
        try:
            _probe_disk(job)
        except OSError:
            return outcome
        return outcome.model_copy(update={"fault": outcome.fault.model_copy(update={"kind": "disputed"})})
    return outcome


def _is_as_seen(job: Job, source: JobInput) -> bool:
    """Return whether an input still is the file that the intake saw."""
    try:
        return FileSignature.from_stat(RootFolder(job.root).lstat(source.path)) == source.sig
    except OSError:
        return False


def _probe_disk(job: Job) -> None:
    """Write a file where the job writes, and read the beginning of each input. Raises OSError if that fails, or if there is little room."""
    fs = Filesystem()
    with _opened_work_folder(job) as folder:
        room = os.fstatvfs(folder)
        if room.f_bavail * room.f_frsize < _MIN_FREE_BYTES or (room.f_files and room.f_favail < _MIN_FREE_FILES):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        place = PathAt(folder, f"probe-{secrets.token_hex(8)}")
        fd = fs.create(place)
        try:
            fs.write_all(fd, bytes(_PROBE_BYTES))
            fs.fsync(fd)
        finally:
            os.close(fd)
            fs.unlink(place)
    for source in job.inputs:
        try:
            fd = _open_below(job.root, source.path)
        except OSError as error:
            if error.errno in MACHINE_ERRNOS:
                raise
            continue
        try:
            os.read(fd, _BLOCK_BYTES)
        finally:
            os.close(fd)


@contextmanager
def _open_result(job: Job, path: str) -> Iterator[int]:
    """Open a file in the job's scratch folder for reading: a regular file that only its worker has written.

    Raises OutcomeRefused if it is anything else, and ResultMissing if it has disappeared.
    """
    try:
        fd = _open_in_scratch(job, scratch_name(job, path))
    except FileNotFoundError as error:
        raise ResultMissing(path) from error
    except OSError as error:
        if error.errno in _WORKER_ERRNOS:
            raise OutcomeRefused("one of its results is no ordinary file", f"{path!r}: {error.strerror}") from error
        raise
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OutcomeRefused("one of its results is no ordinary file", repr(path))
        if status.st_uid != os.geteuid() or status.st_nlink != 1:
            detail = f"{path!r}: owner {status.st_uid}, {status.st_nlink} links"
            raise OutcomeRefused("one of its results belongs to another user or has a second name", detail)
        yield fd
    finally:
        os.close(fd)


def _open_in_scratch(job: Job, name: str) -> int:
    """Open a file of the job's scratch folder. Below the root, no component of the path may be a link."""
    root = f"{job.root.rstrip('/')}/"
    if job.scratch.startswith(root):
        return _open_below(job.root, f"{job.scratch.removeprefix(root)}/{name}")
    above, folder = os.path.split(job.scratch)
    return _open_below(above, f"{folder}/{name}")


@contextmanager
def _opened_work_folder(job: Job) -> Iterator[int]:
    """Open the folder that holds the scratch folders of the worker processes."""
    root, work = f"{job.root.rstrip('/')}/", os.path.dirname(os.path.dirname(job.scratch))
    base, folder = (job.root, work.removeprefix(root)) if work.startswith(root) else (work, "")
    with RootFolder(base).opened_folder(folder) as fd:
        yield fd


def _open_below(base: str, path: str) -> int:
    """Open a file below the folder ``base`` for reading, without following a link in any component of ``path``."""
    folder, _, name = path.rpartition("/")
    with RootFolder(base).opened_folder(folder) as fd:
        return Filesystem().open(PathAt(fd, name))


def _hash(fd: int, size: int, is_stopped: Callable[[], bool]) -> str:
    """Return the SHA-256 (hex) of the first ``size`` bytes: a file that grows meanwhile is not followed."""
    digest, left = hashlib.sha256(), size
    while left > 0 and (block := os.read(fd, min(left, _BLOCK_BYTES))):
        if is_stopped():
            raise CheckStopped
        digest.update(block)
        left -= len(block)
    return digest.hexdigest()


def _read_exactly(fd: int, size: int) -> bytes:
    with os.fdopen(os.dup(fd), "rb") as stream:
        return stream.read(size)
