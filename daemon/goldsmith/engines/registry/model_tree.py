"""A model that is a tree of files on this disk: where it lies, whether all of it is there, and whether it is what it should be.

``stat`` and small JSON files only, except where hashes are compared; each hash is noted in the models folder, so that it is read once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from goldsmith.engines.registry.hash_cache import HashCache, file_sha256
from goldsmith.engines.registry.models import Model
from goldsmith.engines.registry.pins import ModelPin, describe_origin
from goldsmith.engines.registry.weights_sources import ALLOWED_SUFFIXES, CODE_SUFFIXES, WEIGHTS_SUFFIX, ConfigTable, refusal_reason
from goldsmith.errors import HostError

# In a tree that was fetched: where it came from and what came.
FETCH_RECORD_NAME = ".goldsmith.json"


class FetchRecord(ConfigTable):
    """What a fetch leaves in its tree when all of it has come: ``of`` as in a pin, the commit, each file's size, and known hashes."""

    origin: str
    commit: str
    files: Mapping[str, int]
    sha256: Mapping[str, str] = {}
    """Of those files whose hash the hub has told, which are the weights."""


@dataclass(frozen=True, slots=True)
class ModelTree:
    """One model's tree or single file: the model, the folder its parts lie in, and its pin where it has one."""

    name: str
    model: Model
    root: Path
    pin: ModelPin | None

    @property
    def revision(self) -> str:
        """For the record: the commit or digest of its pin; else "unpinned", with the commit where the fetch has left it."""
        if self.pin is not None:
            return self.pin.revision
        mark = self.fetch_record()
        return f"unpinned, fetched at {mark.commit}" if mark is not None else "unpinned"

    def fetch_record(self) -> FetchRecord | None:
        """What the fetch left in a repository's tree, if it is of what models.toml names now."""
        mark = self._read_fetch_record()
        return mark if mark is not None and mark.origin == describe_origin(self.model) else None

    def _read_fetch_record(self) -> FetchRecord | None:
        if self.model.repository is None:
            return None
        try:
            return FetchRecord.model_validate_json((self.root / FETCH_RECORD_NAME).read_bytes())
        except (OSError, ValidationError):
            return None

    def expected_files(self) -> dict[str, tuple[int, str]]:
        """Size and sha256 of every file whose hash is known: by the pin, else by the fetch."""
        if self.pin is not None:
            return {name: (file.size, file.sha256) for name, file in self.pin.files.items()}
        mark = self.fetch_record()
        return {} if mark is None else {name: (mark.files[name], sha256) for name, sha256 in mark.sha256.items() if name in mark.files}

    @property
    def is_config_only(self) -> bool:
        """True where the tree only has the configuration of a single file with all the weights."""
        return self.model.file is not None or bool(self.model.files)

    def path_of(self, name: str) -> Path:
        """Where the file of that name lies; the single file of this machine has its own place."""
        single = self.model.file
        return single if single is not None and name == single.name else self.root / name

    def file_names(self) -> list[str]:
        """Its files, as far as they lie here: those pinned, those fetched, or all that may be a model's."""
        if self.pin is not None:
            return sorted(self.pin.files)
        mark = self.fetch_record()
        found = (
            sorted(mark.files) if mark is not None else [path for path in _list_files(self.root) if path.lower().endswith(ALLOWED_SUFFIXES)]
        )
        single = self.model.file
        if self.model.repository is None and self.model.folder is None:
            found = []
        return found if single is None else [*found, single.name]

    def first_missing(self) -> str:
        """The first file of it that is not there, or why it may not be a model; "" where it is whole. Nothing big is read."""
        if self.is_pin_stale():
            return f"{self.name}, which is pinned to {self.pinned_origin}"
        single = self.model.file
        if single is not None and not single.is_file():
            return str(single)
        sizes = {name: file.size for name, file in self.pin.files.items()} if self.pin is not None else None
        mark = self.fetch_record()
        if sizes is None and mark is not None:
            sizes = dict(mark.files)
        if sizes is not None:
            return next((str(self.path_of(name)) for name, size in sizes.items() if _size(self.path_of(name)) != size), "")
        left = self._read_fetch_record()
        if left is not None:
            return f"{self.root} holds {left.origin}"
        if self.model.repository is None and self.model.folder is None:
            return ""
        return _incomplete_reason(self.root, config_only=self.is_config_only)

    @property
    def pinned_origin(self) -> str:
        """Where its pin says that it comes from."""
        return self.pin.origin if self.pin is not None else ""

    def is_pin_stale(self) -> bool:
        """True where the pin is of another repository, revision or folder than models.toml names now."""
        return self.pin is not None and self.pin.origin != describe_origin(self.model)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _list_files(top: Path) -> list[str]:
    """Every file under ``top``, by its path inside it; what a client of a hub keeps there for itself is left out."""
    found = []
    for place, folders, names in os.walk(top):
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        found += [os.path.relpath(os.path.join(place, name), top) for name in names if not name.startswith(".")]
    return sorted(found)


def _incomplete_reason(top: Path, *, config_only: bool) -> str:
    """Why a folder that nobody has written down is not a whole model; "" where it looks like one.

    Its index says which folders it has, and theirs which weights. ``bare``: only configuration is asked of it.
    """
    index = top / "model_index.json"
    if not index.is_file():
        return str(index)
    paths = _list_files(top)
    code = next((path for path in paths if path.lower().endswith(CODE_SUFFIXES)), "")
    if code:
        return f"{top}: it holds code ({code}), and nothing that comes with a model is run"
    if config_only:
        return ""
    reason = refusal_reason(paths)
    if reason:
        return f"{top}: {reason}"
    for part in _part_folders(index):
        if not (top / part).is_dir():
            return str(top / part)
    there = set(paths)
    return next((str(top / path) for path in _expected_shards(top, paths) if path not in there), "")


def _part_folders(index: Path) -> list[str]:
    """The folders that a diffusers index names; a part may be left out on purpose ([null, null]), and a list of numbers is a setting."""
    named = _read_json(str(index), index.stat().st_mtime_ns)
    lists = {key: value for key, value in named.items() if not key.startswith("_") and isinstance(value, list)}
    return [key for key, value in lists.items() if value and isinstance(value[0], str)]


def _expected_shards(top: Path, paths: list[str]) -> Iterator[str]:
    """The weights that the indices of sharded weights name; of a precision that was left out beside another, none are missed."""
    there = set(paths)
    for path in paths:
        if path.endswith(f"{WEIGHTS_SUFFIX}.index.json"):
            shards = _read_json(str(top / path), (top / path).stat().st_mtime_ns).get("weight_map")
            part = os.path.dirname(path)
            promised = {os.path.join(part, str(name)) for name in shards.values()} if isinstance(shards, dict) else set()
            if promised & there or not any(os.path.dirname(each) == part and each.endswith(WEIGHTS_SUFFIX) for each in there):
                yield from sorted(promised)


@lru_cache(maxsize=64)
def _read_json(path: str, stamp: int) -> dict[str, object]:
    """A small JSON table; empty where it is none."""
    try:
        found = json.loads(Path(path).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def wrong_files(tree: ModelTree, hash_cache: HashCache, *, ignore_cache: bool) -> dict[str, str]:
    """Which files are not what the pin says, or, of an unpinned tree, what the hub said as it was fetched; name -> sentence.

    ``again`` reads them even where their hashes are noted.
    """
    wrong: dict[str, str] = {}
    right: dict[Path, str] = {}
    says = "its pin says" if tree.pin is not None else "it was fetched as"
    for name, (size, sha256) in tree.expected_files().items():
        path = tree.path_of(name)
        try:
            if _size(path) != size:
                wrong[name] = f"{path}: has {_size(path)} bytes, {says} {size}." if path.exists() else f"{path}: is not there."
            elif ignore_cache or not hash_cache.is_verified(path, sha256):
                found = file_sha256(path)
                if found == sha256:
                    right[path] = found
                else:
                    wrong[name] = f"{path}: its sha256 is {found}, {says} {sha256}."
        except OSError as error:
            raise HostError(f"{path}: cannot be read: {error.strerror}.", "Check the models folder.") from error
    if right:
        hash_cache.add(right)
    return wrong
