"""Create pins: request the commit and the files of a revision from the hub, or hash the files of a local folder."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from goldsmith.engines.fetching.hub import HubListing, download_hub_file, list_hub_files
from goldsmith.engines.fetching.sources import OnFetchProgress, SourceFault
from goldsmith.engines.registry.hash_notes import HashNotes, file_sha256
from goldsmith.engines.registry.model_tree import ModelTree
from goldsmith.engines.registry.pins import ModelPin, PinnedFile, content_digest, describe_origin, write_pin
from goldsmith.engines.registry.weights_registry import WeightsRegistry
from goldsmith.engines.registry.weights_sources import HubRepository
from goldsmith.errors import GoldsmithError, HostError, InputError


class PinFault(GoldsmithError):
    """The hub did not return the data that a pin needs."""

    exit_code = 4


def pin_model(weights: WeightsRegistry, name: str, on_progress: OnFetchProgress = lambda done, total, note: None) -> ModelPin:
    """Write the pin of a model's tree beside models.toml, and return it.

    A repository is pinned to the current commit of its revision; a local folder or file to its current content. Raises InputError if there
    is nothing to pin, PinFault if the hub does not answer, HostError if the file cannot be written.
    """
    name = weights.models.resolve_name(name)
    tree = weights.tree_of(name)
    if tree is None:
        raise InputError(f"models.toml lists the files of {name!r} with their hashes.", "There is nothing to pin.")
    if weights.pins_path is None:
        raise InputError("This registry has no file for pins.")
    tree = ModelTree(tree.name, tree.model, tree.root, None)
    files: dict[str, PinnedFile] = {}
    revision = ""
    if tree.model.repository is not None:
        try:
            listing = list_hub_files(tree.model.repository, config_only=tree.is_config_only)
            weights.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".pin-", dir=weights.folder) as scratch:
                files |= _hash_hub_files(tree.model.repository, listing, _local_copies(tree, listing), Path(scratch), on_progress)
        except SourceFault as fault:
            raise PinFault(f"{tree.model.repository.hub}: {fault}.".replace("..", "."), "Nothing was written.") from fault
        except OSError as error:
            raise HostError(f"{weights.folder}: {error.strerror or error}.", "Check that this user may write to it.") from error
        revision = listing.commit
    files |= _hash_local_files(tree, weights.notes, on_progress)
    weights.notes.save()
    pin = ModelPin(
        origin=describe_origin(tree.model),
        revision=revision or content_digest({each: file.sha256 for each, file in files.items()}),
        files=files,
    )
    write_pin(weights.pins_path, name, pin)
    on_progress(len(files), len(files), "pinned")
    return pin


def _local_copies(tree: ModelTree, listing: HubListing) -> dict[str, Path]:
    """Return the files of that commit that are already on this disk, by their paths in the repository."""
    record = tree.fetch_record()
    if record is None or record.commit != listing.commit:
        return {}
    return {path: tree.path_of(path) for path in record.files}


def _hash_hub_files(
    repository: HubRepository, listing: HubListing, local_copies: Mapping[str, Path], scratch: Path, progress: OnFetchProgress
) -> dict[str, PinnedFile]:
    """Return the size and sha256 of every file: from the hub, from the same file on this disk, or from a downloaded copy."""
    files = {}
    for number, file in enumerate(listing.files):
        progress(number, len(listing.files), file.path)
        local_copy, sha256 = local_copies.get(file.path), file.sha256
        if not sha256 and local_copy is not None and local_copy.is_file() and local_copy.stat().st_size == file.size:
            sha256 = file_sha256(local_copy)
        if not sha256:
            part = scratch / str(number)
            download_hub_file(repository.hub, listing.commit, file, part, lambda done, total, note: None)
            if part.stat().st_size != file.size:
                raise SourceFault(f"returned {part.stat().st_size} bytes of {file.path}, but its listing has {file.size}")
            sha256 = file_sha256(part)
            part.unlink()
        files[file.path] = PinnedFile.model_validate({"bytes": file.size, "sha256": sha256})
    return files


def _hash_local_files(tree: ModelTree, notes: HashNotes, progress: OnFetchProgress) -> dict[str, PinnedFile]:
    """Return the size and sha256 of the local files: those of a folder, or the single file."""
    model = tree.model
    if model.folder is None and model.file is None:
        return {}
    missing = tree.first_missing() if model.repository is None else ""
    if missing:
        raise InputError(f"The weights of {tree.name!r} are incomplete; missing: {missing}.", "Put all files there first.")
    names = tree.file_names() if model.repository is None else [model.file.name] if model.file is not None else []
    files = {}
    for number, name in enumerate(names):
        progress(number, len(names), f"reading {name}")
        path = tree.path_of(name)
        try:
            files[name] = PinnedFile.model_validate({"bytes": path.stat().st_size, "sha256": notes.read(path, read_again=True).sha256})
        except OSError as error:
            raise HostError(f"{path}: cannot be read: {error.strerror}.", "Check that this user may read it.") from error
    return files
