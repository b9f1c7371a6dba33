"""Check a diffusers folder before anything is loaded from it: complete, safetensors only, no code of its own.

Only files are read here; no runtime is imported. If a folder is incomplete, diffusers reports hubs and connections; the sentences here name
the missing file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.errors import InputError

_LIBRARIES = frozenset({"diffusers", "transformers"})
_PICKLES = frozenset({".bin", ".ckpt", ".pt", ".pth", ".pkl"})
_PARTS_WITHOUT_WEIGHTS = ("tokenizer", "scheduler", "processor", "feature_extractor", "image_processor")
_OTHER_MODEL_REMEDY = "Use a model that diffusers itself can run."
# Parts that are never loaded.
SKIPPED_PARTS = frozenset({"safety_checker"})


@dataclass(frozen=True, slots=True)
class DiffusersTree:
    """An inspected folder. ``index``: the content of its model_index.json. ``variant``: which of several precisions to read, "" for the
    plain weights. ``parts``: the bytes of the weights of each part.
    """

    folder: Path
    index: Mapping[str, Any]
    variant: str
    parts: Mapping[str, int]

    @property
    def largest_share(self) -> float:
        """The largest part's share of all weights, 0..1."""
        return max(self.parts.values(), default=1) / max(sum(self.parts.values()), 1)


def inspect_tree(name: str, folder: Path, *, variant: str = "", single: Path | None = None) -> DiffusersTree:
    """Return the folder after checking that it is complete. Beside a ``single`` file, it needs weights only for parts that the file lacks.

    Raises InputError, with the file, if something is missing, damaged, a pickle, or code.
    """
    again = f"Fetch the model again: goldsmith models fetch {name}"
    index = _read_json(folder / "model_index.json", again)
    named = index.get("_class_name", "")
    if not (isinstance(named, str) and (not named or named.isidentifier())):
        raise InputError(
            f"{folder / 'model_index.json'}: its pipeline is code of its own ({named}), and none is run here.", _OTHER_MODEL_REMEDY
        )
    for path in sorted(folder.rglob("*.py")):
        raise InputError(f"{path}: this model brings code of its own, and none is run here.", _OTHER_MODEL_REMEDY)
    parts: dict[str, int] = {}
    for part, said in index.items():
        if part.startswith("_") or part in SKIPPED_PARTS or not _is_part(said):
            continue
        _check_library(folder, part, said)
        _refuse_auto_map(folder / part)
        if not part.startswith(_PARTS_WITHOUT_WEIGHTS):
            _read_json(folder / part / "config.json", again)
            if single is None or any((folder / part).glob("*.safetensors")):
                parts[part] = _weights_size(folder / part, variant, again)
    if single is not None:
        check_safetensors(single, again)
        parts[single.name] = single.stat().st_size
    return DiffusersTree(folder, index, variant, parts)


def _is_part(entry: Any) -> bool:
    """Return whether the entry is a part, [library, class]; [null, null] is an omitted part, and other lists are settings."""
    return isinstance(entry, list) and bool(entry) and isinstance(entry[0], str)


def _read_json(path: Path, remedy: str) -> dict[str, Any]:
    try:
        said = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.", remedy) from error
    except ValueError as error:
        raise InputError(f"{path}: this is not JSON: {error}.", remedy) from error
    if not isinstance(said, dict):
        raise InputError(f"{path}: this is not a table.", remedy)
    return said


def _check_library(folder: Path, part: str, entry: list[Any]) -> None:
    if len(entry) < 2 or entry[0] not in _LIBRARIES or not str(entry[1]).isidentifier():
        named = ".".join(str(each) for each in entry[:2])
        raise InputError(
            f"{folder / 'model_index.json'}: its part {part!r} is a {named}, which is none of diffusers' or transformers' own.",
            _OTHER_MODEL_REMEDY,
        )


def _refuse_auto_map(part: Path) -> None:
    for path in sorted(part.glob("*.json")):
        if path.stat().st_size > 1 << 20:
            continue  # vocabularies
        try:
            said = json.loads(path.read_bytes())
        except ValueError:
            continue
        if isinstance(said, dict) and "auto_map" in said:
            raise InputError(
                f"{path}: this part asks for code of its own (auto_map), and none is run here.", "Remove auto_map or use another."
            )


def _weights_size(part: Path, variant: str, remedy: str) -> int:
    """Return the size of the part's weights. Raises InputError if there are none, shards are missing, or there are only pickles."""
    ending = f".{variant}.safetensors" if variant else ".safetensors"
    found = [path for path in part.glob("*.safetensors") if path.name.endswith(ending) and (variant or path.name.count(".") == 1)]
    if not found and variant:
        found = [path for path in part.glob("*.safetensors") if path.name.count(".") == 1]
    if not found:
        pickled = sorted(path for path in part.glob("*") if path.suffix in _PICKLES)
        if pickled:
            raise InputError(
                f"{pickled[0]}: weights are read from safetensors only, never from pickles.", "Convert it, or get a copy that is."
            )
        raise InputError(f"{part}: there are no weights in it (no file ending in {ending}).", remedy)
    for index in sorted(part.glob(f"*.safetensors.index{'.' + variant if variant else ''}.json")):
        shards = set(_read_json(index, remedy).get("weight_map", {}).values())
        missing = sorted(shards - {path.name for path in part.iterdir()})
        if missing:
            raise InputError(f"{part / missing[0]}: is not there, and {index.name} asks for it.", remedy)
    for path in found:
        check_safetensors(path, remedy)
    return sum(path.stat().st_size for path in found)


def check_safetensors(path: Path, remedy: str) -> None:
    """Raise InputError if the file is not a safetensors file or is truncated. Only its header is read.

    Format: eight bytes of length, a JSON header with each tensor's ``data_offsets``, then the data.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length) if length <= size else b"")
        end = max((tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"), default=0)
        asked = 8 + length + int(end)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.", remedy) from error
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise InputError(f"{path}: this is no safetensors file.", remedy) from error
    if asked != size:
        raise InputError(f"{path}: has {size} bytes and should have {asked}; it is cut short or damaged.", remedy)
