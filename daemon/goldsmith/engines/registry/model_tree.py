"""A model that is a tree of files on this disk: its location, whether it is complete, and whether its files are valid.

Except for the comparison of hashes, this module uses only ``stat`` and small JSON files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from goldsmith.engines.registry.hash_notes import HashNotes
from goldsmith.engines.registry.models import Model
from goldsmith.engines.registry.pins import ModelPin, describe_origin
from goldsmith.engines.registry.reference_settings import ReferenceSettings
from goldsmith.engines.registry.weights_sources import ALLOWED_SUFFIXES, CODE_SUFFIXES, WEIGHTS_SUFFIX, ConfigTable, refusal_reason
from goldsmith.errors import HostError

# In a fetched tree: its origin and its files.
FETCH_RECORD_NAME = ".goldsmith.json"


class FetchRecord(ConfigTable):
    """The record that a complete fetch stores in its tree: the origin as in a pin, the commit, and the size of each file."""

    origin: str
    commit: str
    files: Mapping[str, int]
    sha256: Mapping[str, str] = {}
    """Of the files whose hash the hub reported: the weights."""


@dataclass(frozen=True, slots=True)
class ModelTree:
    """The tree or the single file of a model: the model, the folder of its parts, and its pin, or None."""

    name: str
    model: Model
    root: Path
    pin: ModelPin | None

    @property
    def revision(self) -> str:
        """The commit or digest of its pin, for the record; otherwise "unpinned", with the commit if it was fetched."""
        if self.pin is not None:
            return self.pin.revision
        record = self.fetch_record()
        return f"unpinned, fetched at {record.commit}" if record is not None else "unpinned"

    def fetch_record(self) -> FetchRecord | None:
        """Return the record of the fetch; None without one, or if models.toml now names another origin."""
        record = self._read_fetch_record()
        return record if record is not None and record.origin == describe_origin(self.model) else None

    def _read_fetch_record(self) -> FetchRecord | None:
        if self.model.repository is None:
            return None
        try:
            return FetchRecord.model_validate_json((self.root / FETCH_RECORD_NAME).read_bytes())
        except (OSError, ValidationError):
            return None

    def expected_files(self) -> dict[str, tuple[int, str]]:
        """Return the size and sha256 of every file whose hash is known, from the pin or else from the fetch."""
        if self.pin is not None:
            return {name: (file.size, file.sha256) for name, file in self.pin.files.items()}
        record = self.fetch_record()
        return (
            {} if record is None else {name: (record.files[name], sha256) for name, sha256 in record.sha256.items() if name in record.files}
        )

    @property
    def is_config_only(self) -> bool:
        """Whether the tree has only the configuration, because a single file has all the weights."""
        return self.model.file is not None or bool(self.model.files)

    def path_of(self, name: str) -> Path:
        """Return the path of the file of that name in the tree; a local single file may be in another folder."""
        single = self.model.file
        return single if single is not None and name == single.name else self.root / name

    def file_names(self) -> list[str]:
        """Return the names of its files: those in the pin, those that were fetched, or all that may belong to a model."""
        if self.pin is not None:
            return sorted(self.pin.files)
        record = self.fetch_record()
        names = (
            sorted(record.files)
            if record is not None
            else [path for path in _list_files(self.root) if path.lower().endswith(ALLOWED_SUFFIXES)]
        )
        single = self.model.file
        if self.model.repository is None and self.model.folder is None:
            names = []
        return names if single is None else [*names, single.name]

    def first_missing(self) -> str:
        """Return the first missing file, or why this may not be a model; "" if it is complete. No large file is read."""
        if self.is_pin_stale():
            return f"{self.name}, which is pinned to {self.pinned_origin}"
        single = self.model.file
        if single is not None and not single.is_file():
            return str(single)
        sizes = {name: file.size for name, file in self.pin.files.items()} if self.pin is not None else None
        record = self.fetch_record()
        if sizes is None and record is not None:
            sizes = dict(record.files)
        if sizes is not None:
            return next((str(self.path_of(name)) for name, size in sizes.items() if _size(self.path_of(name)) != size), "")
        other = self._read_fetch_record()
        if other is not None:
            return f"{self.root} contains {other.origin}"
        if self.model.repository is None and self.model.folder is None:
            return ""
        if self.model.control is not None:
            return _incomplete_part_reason(self.root)
        if self.model.reference is not None:
            return _incomplete_adapter_reason(self.root, self.model.reference)
        return _incomplete_reason(self.root, config_only=self.is_config_only)

    @property
    def pinned_origin(self) -> str:
        """The origin in its pin; "" without a pin."""
        return self.pin.origin if self.pin is not None else ""

    def is_pin_stale(self) -> bool:
        """Return whether the pin is of another repository, revision or folder than models.toml names now."""
        return self.pin is not None and self.pin.origin != describe_origin(self.model)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _list_files(top: Path) -> list[str]:
    """Return the paths of all files below ``top``, relative to it, without hidden files: a hub's client stores its own data in those."""
    paths = []
    for folder, folders, names in os.walk(top):
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        paths += [os.path.relpath(os.path.join(folder, name), top) for name in names if not name.startswith(".")]
    return sorted(paths)


def _incomplete_reason(top: Path, *, config_only: bool) -> str:
    """Return why a folder without a pin or a fetch record is not a complete model; "" if it seems complete.

    Its index lists its part folders, and an index in a part lists the weights. ``config_only``: it needs no weights.
    """
    index = top / "model_index.json"
    if not index.is_file():
        return str(index)
    paths = _list_files(top)
    code = next((path for path in paths if path.lower().endswith(CODE_SUFFIXES)), "")
    if code:
        return f"{top}: it contains code ({code}), and code of a model is never run"
    if config_only:
        return ""
    reason = refusal_reason(paths)
    if reason:
        return f"{top}: {reason}"
    for part in _part_folders(index):
        if not (top / part).is_dir():
            return str(top / part)
    present = set(paths)
    return next((str(top / path) for path in _expected_shards(top, paths) if path not in present), "")


def _incomplete_part_reason(top: Path) -> str:
    """Return why a folder is not a single complete part of a model, such as a control model; "" if it seems complete."""
    if not (top / "config.json").is_file():
        return str(top / "config.json")
    paths = _list_files(top)
    code = next((path for path in paths if path.lower().endswith(CODE_SUFFIXES)), "")
    if code:
        return f"{top}: it contains code ({code}), and code of a model is never run"
    present = set(paths)
    missing = next((path for path in _expected_shards(top, paths) if path not in present), "")
    if missing:
        return str(top / missing)
    has_weights = any(path.lower().endswith(WEIGHTS_SUFFIX) for path in paths)
    return refusal_reason(paths) or ("" if has_weights else str(top / f"diffusion_pytorch_model{WEIGHTS_SUFFIX}"))


def _incomplete_adapter_reason(top: Path, reference: ReferenceSettings) -> str:
    """Return why a folder is not a reference adapter with its weights and its image encoder; "" if it seems complete."""
    if not (top / reference.weights).is_file():
        return str(top / reference.weights)
    return _incomplete_part_reason(top / reference.encoder)


def _part_folders(index: Path) -> list[str]:
    """Return the folders that a diffusers index names. [null, null] is an omitted part, and a list of numbers is a setting."""
    entries = _read_json(str(index), index.stat().st_mtime_ns)
    lists = {key: value for key, value in entries.items() if not key.startswith("_") and isinstance(value, list)}
    return [key for key, value in lists.items() if value and isinstance(value[0], str)]


def _expected_shards(top: Path, paths: list[str]) -> Iterator[str]:
    """Yield the weights that the indices of sharded weights name, except those of a precision that is absent on purpose."""
    present = set(paths)
    for path in paths:
        if path.endswith(f"{WEIGHTS_SUFFIX}.index.json"):
            shards = _read_json(str(top / path), (top / path).stat().st_mtime_ns).get("weight_map")
            part = os.path.dirname(path)
            shard_paths = {os.path.join(part, str(name)) for name in shards.values()} if isinstance(shards, dict) else set()
            if shard_paths & present or not any(os.path.dirname(other) == part and other.endswith(WEIGHTS_SUFFIX) for other in present):
                yield from sorted(shard_paths)


@lru_cache(maxsize=64)
def _read_json(path: str, stamp: int) -> dict[str, object]:
    """Return the JSON object in a small file; empty if there is none. ``stamp`` renews the cached result."""
    try:
        table = json.loads(Path(path).read_bytes())
    except (OSError, ValueError):
        return {}
    return table if isinstance(table, dict) else {}


def noted_hashes(tree: ModelTree, notes: HashNotes) -> dict[str, str]:
    """Return the sha256 of the tree's files whose hash nobody promised, so that the record identifies them; name -> sha256.

    A file is read once and noted. Weights in a precision that is not loaded are left out. Raises HostError if a file cannot be read.
    """
    expected = tree.expected_files()
    diffusion = tree.model.diffusion
    names = [name for name in tree.file_names() if name not in expected]
    loaded = _loaded_precisions(names, "" if diffusion is None else diffusion.variant)
    hashes = {}
    for name in names:
        if name.lower().endswith(WEIGHTS_SUFFIX) and name not in loaded:
            continue
        try:
            hashes[name] = notes.read(tree.path_of(name)).sha256
        except OSError as error:
            raise HostError(f"{tree.path_of(name)}: cannot be read: {error.strerror}.", "Check the models folder.") from error
    notes.save()
    return hashes


def _loaded_precisions(names: Iterable[str], variant: str) -> set[str]:
    """Return the weights that are loaded: of each folder those of the variant if it has any, else the plain ones.

    The variant is between the dots: ``model.fp16.safetensors``, ``model.fp16-00001-of-00002.safetensors``.
    """
    by_folder: dict[str, dict[str, list[str]]] = {}
    for name in names:
        if name.lower().endswith(WEIGHTS_SUFFIX):
            folder, file = os.path.split(name)
            middle = file[: -len(WEIGHTS_SUFFIX)].partition(".")[2].split("-")[0] if folder else ""
            by_folder.setdefault(folder, {}).setdefault(middle, []).append(name)
    return {
        name
        for files in by_folder.values()
        for name in (files.get(variant) or files.get("") or [each for part in files.values() for each in part])
    }


def wrong_files(tree: ModelTree, notes: HashNotes, *, read_again: bool) -> dict[str, str]:
    """Return the files that differ from the pin or, without a pin, from the record of the fetch; name -> sentence.

    read_again: read files again that have a note. Raises HostError if a file cannot be read.
    """
    wrong: dict[str, str] = {}
    expected = "but its pin has" if tree.pin is not None else "but it was fetched with"
    for name, (size, sha256) in tree.expected_files().items():
        path = tree.path_of(name)
        try:
            if _size(path) != size:
                wrong[name] = (
                    f"{path}: it has {_size(path)} bytes, {expected} {size}." if path.exists() else f"{path}: this file is missing."
                )
                continue
            actual_sha256 = notes.read(path, read_again=read_again).sha256
        except OSError as error:
            raise HostError(f"{path}: cannot be read: {error.strerror}.", "Check the models folder.") from error
        if actual_sha256 != sha256:
            wrong[name] = f"{path}: its sha256 is {actual_sha256}, {expected} {sha256}."
    notes.save()
    return wrong
