"""Create pins: ask the hub for the commit of a revision and its files, or hash the files of a local folder."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from goldsmith.engines.fetching.hub import HubListing, download_hub_file, list_hub_files
from goldsmith.engines.fetching.sources import OnFetchProgress, SourceFault
from goldsmith.engines.registry.hash_cache import file_sha256
from goldsmith.engines.registry.model_tree import ModelTree
from goldsmith.engines.registry.pins import ModelPin, PinnedFile, content_digest, describe_origin, write_pin
from goldsmith.engines.registry.weights_registry import WeightsRegistry
from goldsmith.engines.registry.weights_sources import HubRepository
from goldsmith.errors import GoldsmithError, HostError, InputError


class PinFault(GoldsmithError):
    """The hub did not return the data for a pin."""

    exit_code = 4


def pin_model(weights: WeightsRegistry, name: str, on_progress: OnFetchProgress = lambda done, total, note: None) -> ModelPin:
    """Write the pin of a model's tree beside models.toml, and return it.

    A repository is pinned to the current commit of its revision; a local folder or file to its current content. Raises InputError if there
    is nothing to pin, PinFault if the hub does not answer, HostError if the file cannot be written.
    """
    name = weights.models.resolve_name(name)
    tree = weights.tree_of(name)
    if tree is None:
        raise InputError(f"The files of {name!r} are named by hash in models.toml.", "There is nothing to pin.")
    if weights.pins_path is None:
        raise InputError("There is no place for pins here.")
    tree = ModelTree(tree.name, tree.model, tree.root, None)
    found: dict[str, PinnedFile] = {}
    revision = ""
    if tree.model.repository is not None:
        try:
            offered = list_hub_files(tree.model.repository, config_only=tree.is_config_only)
            weights.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".pin-", dir=weights.folder) as scratch:
                found |= _hash_hub_files(tree.model.repository, offered, _local_copies(tree, offered), Path(scratch), on_progress)
        except SourceFault as fault:
            raise PinFault(f"{tree.model.repository.hub}: {fault}.".replace("..", "."), "Nothing was written.") from fault
        except OSError as error:
            raise HostError(f"{weights.folder}: {error.strerror or error}.", "Check that it may be written.") from error
        revision = offered.commit
    found |= _hash_local_files(tree, on_progress)
    made = ModelPin(origin=describe_origin(tree.model), revision=revision or content_digest(found), files=found)
    write_pin(weights.pins_path, name, made)
    on_progress(len(found), len(found), "written down")
    return made


def _local_copies(tree: ModelTree, listing: HubListing) -> dict[str, Path]:
    """Return the files of that exact commit that are already here."""
    mark = tree.fetch_record()
    if mark is None or mark.commit != listing.commit:
        return {}
    return {path: tree.path_of(path) for path in mark.files}


def _hash_hub_files(
    repository: HubRepository, listing: HubListing, local_copies: Mapping[str, Path], scratch: Path, progress: OnFetchProgress
) -> dict[str, PinnedFile]:
    """Return the size and sha256 of every file: from the hub, from the same file on this disk, or from a downloaded copy."""
    found = {}
    for number, file in enumerate(listing.files):
        progress(number, len(listing.files), file.path)
        here, sha256 = local_copies.get(file.path), file.sha256
        if not sha256 and here is not None and here.is_file() and here.stat().st_size == file.size:
            sha256 = file_sha256(here)
        if not sha256:
            part = scratch / str(number)
            download_hub_file(repository.hub, listing.commit, file, part, lambda done, total, note: None)
            if part.stat().st_size != file.size:
                raise SourceFault(f"gives {part.stat().st_size} bytes of {file.path} and promises {file.size}")
            sha256 = file_sha256(part)
            part.unlink()
        found[file.path] = PinnedFile.model_validate({"bytes": file.size, "sha256": sha256})
    return found


def _hash_local_files(tree: ModelTree, progress: OnFetchProgress) -> dict[str, PinnedFile]:
    """Return the size and sha256 of the local files: a folder's files, or the single one."""
    model = tree.model
    if model.folder is None and model.file is None:
        return {}
    lacks = tree.first_missing() if model.repository is None else ""
    if lacks:
        raise InputError(f"The weights of {tree.name!r} are not whole: {lacks}.", "Put all of it there first.")
    names = tree.file_names() if model.repository is None else [model.file.name] if model.file is not None else []
    found = {}
    for number, name in enumerate(names):
        progress(number, len(names), f"reading {name}")
        path = tree.path_of(name)
        try:
            found[name] = PinnedFile.model_validate({"bytes": path.stat().st_size, "sha256": file_sha256(path)})
        except OSError as error:
            raise HostError(f"{path}: cannot be read: {error.strerror}.", "Check that this user may read it.") from error
    return found
