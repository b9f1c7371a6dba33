"""Fetch a model that is a tree of files: into a staging folder, file by file, verified; a complete tree is renamed to the model's name.

After an interruption, complete files stay and the next fetch continues. An existing tree with wrong or missing files is repaired in the
same way: its valid files are kept.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from goldsmith.engines.fetching.hub import HubFile, HubListing, download_hub_file, list_hub_files
from goldsmith.engines.fetching.sources import OnFetchProgress, SourceFault
from goldsmith.engines.registry.hash_notes import file_sha256
from goldsmith.engines.registry.model_tree import FETCH_RECORD_NAME, FetchRecord, ModelTree, wrong_files
from goldsmith.engines.registry.pins import describe_origin
from goldsmith.engines.registry.weights_registry import WeightsRegistry
from goldsmith.engines.registry.weights_sources import HubRepository
from goldsmith.errors import HostError


def fetch_tree(weights: WeightsRegistry, tree: ModelTree, on_progress: OnFetchProgress) -> list[Path]:
    """Fetch the tree into the models folder and return the new files. Raises SourceFault with one line, OSError if the disk fails."""
    repository = tree.model.repository
    if repository is None or _is_valid(weights, tree):
        return []
    on_progress(0, None, f"listing the files of {repository.hub}")
    listing = _list_expected_files(tree, repository)
    staging = weights.folder / f".{tree.name}.incoming"
    if tree.root.is_dir():  # incomplete or outdated: its valid files are not fetched again
        _reuse_existing_files(tree.root, staging)
    staging.mkdir(parents=True, exist_ok=True)
    _check_disk_space(listing, staging)
    new_files = _download_all(repository, listing, staging, on_progress)
    sizes, hashes = {file.path: file.size for file in listing.files}, {file.path: file.sha256 for file in listing.files if file.sha256}
    record = FetchRecord(origin=describe_origin(tree.model), commit=listing.commit, files=sizes, sha256=hashes)
    (staging / FETCH_RECORD_NAME).write_text(record.model_dump_json(), encoding="ascii")
    fsync_folder(staging)
    staging.rename(tree.root)
    fsync_folder(weights.folder)
    on_progress(listing.size, listing.size, "reading the files once more")
    wrong_files(tree, weights.notes, read_again=False)  # noted here, so that no worker process has to read them all
    return [tree.root / path for path in new_files]


def _is_valid(weights: WeightsRegistry, tree: ModelTree) -> bool:
    return not tree.first_missing() and not wrong_files(tree, weights.notes, read_again=True)


def _list_expected_files(tree: ModelTree, repository: HubRepository) -> HubListing:
    """Return the expected files: those of the pin, or else the hub's files at the revision that models.toml names."""
    if tree.pin is None or tree.is_pin_stale():
        return list_hub_files(repository, config_only=tree.is_config_only)
    pinned = {path: file for path, file in tree.pin.files.items() if tree.path_of(path) == tree.root / path}
    return HubListing(tree.pin.revision, tuple(HubFile(path, file.size, file.sha256) for path, file in sorted(pinned.items())))


def _reuse_existing_files(root: Path, staging: Path) -> None:
    """Move the existing tree to the staging folder; until the fetch is complete, the model counts as missing."""
    (root / FETCH_RECORD_NAME).unlink(missing_ok=True)
    if staging.exists():
        shutil.rmtree(staging)
    root.rename(staging)


def _check_disk_space(listing: HubListing, staging: Path) -> None:
    """Raise HostError, before the download, if the disk lacks space for the missing files."""
    present = sum(min(_size(staging / file.path), file.size) for file in listing.files)
    free = shutil.disk_usage(staging).free
    if listing.size - present > free:
        needs = f"the download needs {(listing.size - present) / 1e9:.1f} GB"
        raise HostError(
            f"{staging.parent}: {needs}, but only {free / 1e9:.1f} GB are free.", "Free disk space, or set models_dir in goldsmith.toml."
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _download_all(repository: HubRepository, listing: HubListing, staging: Path, progress: OnFetchProgress) -> list[str]:
    """Download every file of the listing that ``staging`` lacks, remove all other files, and return the new paths."""
    new_files, done = [], 0
    for file in listing.files:
        target = staging / file.path
        if not _is_file_valid(target, file):
            target.parent.mkdir(parents=True, exist_ok=True)
            _download_file(repository.hub, listing, file, staging, done, progress)
            new_files.append(file.path)
        done += file.size
        progress(done, listing.size, file.path)
    _remove_unlisted(staging, {file.path for file in listing.files})
    return new_files


def _download_file(hub: str, listing: HubListing, file: HubFile, staging: Path, bytes_before: int, progress: OnFetchProgress) -> None:
    target = staging / file.path
    part = target.with_name(f".{target.name}.{listing.commit[:12]}.part")

    def report(done: int, total: int | None, note: str) -> None:
        progress(bytes_before + done, listing.size, note)

    download_hub_file(hub, listing.commit, file, part, report)
    if not _is_file_valid(part, file):
        size = part.stat().st_size
        part.unlink()  # a resumed download would keep the wrong bytes
        raise SourceFault(f"returned {file.path} with {size} bytes; the listing has {file.size} bytes, or another sha256; refused")
    os.chmod(part, 0o644)
    with part.open("rb") as part_file:
        os.fsync(part_file.fileno())
    part.replace(target)


def _is_file_valid(path: Path, file: HubFile) -> bool:
    try:
        return path.stat().st_size == file.size and (not file.sha256 or file_sha256(path) == file.sha256)
    except FileNotFoundError:
        return False


def _remove_unlisted(staging: Path, listed_paths: set[str]) -> None:
    """Remove the files that are not listed, such as those of another revision, and empty folders."""
    for place, folders, names in os.walk(staging, topdown=False):
        for name in names:
            path = Path(place) / name
            if path.relative_to(staging).as_posix() not in listed_paths:
                path.unlink()
        for folder in folders:
            subfolder = Path(place) / folder
            if not any(subfolder.iterdir()):
                subfolder.rmdir()


def fsync_folder(folder: Path) -> None:
    """Make the renames in this folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
