"""Check a diffusers folder before loading: it must be complete, have its weights as safetensors, and contain no code.

This module only reads files and imports no runtime. For an incomplete folder, diffusers reports failed connections to a hub; the messages
here name the missing file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.engines.diffusion.single_file import parts_in_file
from goldsmith.errors import InputError

_LIBRARIES = frozenset({"diffusers", "transformers"})
_PICKLES = frozenset({".bin", ".ckpt", ".pt", ".pth", ".pkl"})
_PARTS_WITHOUT_WEIGHTS = ("tokenizer", "scheduler", "processor", "text_processor", "feature_extractor", "image_processor")
_OTHER_MODEL_REMEDY = "Use a model that diffusers itself can run."
# Parts that are never loaded.
SKIPPED_PARTS = frozenset({"safety_checker"})


@dataclass(frozen=True, slots=True)
class DiffusersTree:
    """An inspected folder.

    index:   the content of its model_index.json.
    variant: which of several precisions to read, "" for the plain weights.
    parts:   the size of the weights of each part, in bytes; those that come from a single file are under its name.
    in_file: the parts that come from a single file, and not from the folder.
    """

    folder: Path
    index: Mapping[str, Any]
    variant: str
    parts: Mapping[str, int]
    in_file: frozenset[str] = frozenset()

    @property
    def largest_share(self) -> float:
        """The largest part's share of all weights, 0..1."""
        return max(self.parts.values(), default=1) / max(sum(self.parts.values()), 1)


def inspect_tree(name: str, folder: Path, *, variant: str = "", single: Path | None = None) -> DiffusersTree:
    """Check a folder and return what it contains. Beside a ``single`` file, only the weights of parts that the file lacks are read from it.

    Raises InputError, with the file, if something is missing, damaged, a pickle, or code.
    """
    remedy = f"Fetch the model again: goldsmith models fetch {name}"
    index = _read_json(folder / "model_index.json", remedy)
    class_name = index.get("_class_name", "")
    if not (isinstance(class_name, str) and (not class_name or class_name.isidentifier())):
        raise InputError(
            f"{folder / 'model_index.json'}: its pipeline is custom code ({class_name}), which is never run.", _OTHER_MODEL_REMEDY
        )
    for path in sorted(folder.rglob("*.py")):
        raise InputError(f"{path}: this model contains custom code, which is never run.", _OTHER_MODEL_REMEDY)
    classes: dict[str, list[str]] = {}
    for part, entry in index.items():
        if part.startswith("_") or part in SKIPPED_PARTS or not _is_part(entry):
            continue
        _check_library(folder, part, entry)
        _refuse_auto_map(folder / part)
        if not part.startswith(_PARTS_WITHOUT_WEIGHTS):
            _read_json(folder / part / "config.json", remedy)
            classes[part] = entry
    if single is None:
        return DiffusersTree(folder, index, variant, {part: _weights_size(folder / part, variant, remedy) for part in classes})
    in_file = parts_in_file(single, check_safetensors(single, remedy), classes)
    parts = {part: _missing_part_size(folder / part, variant, single, remedy) for part in classes if part not in in_file}
    return DiffusersTree(folder, index, variant, {**parts, single.name: single.stat().st_size}, in_file)


def _missing_part_size(part: Path, variant: str, single: Path, remedy: str) -> int:
    """Return the size of the weights of a part that the single file lacks. Raises InputError if the folder lacks them too."""
    if not part.is_dir() or not any(path.suffix == ".safetensors" or path.suffix in _PICKLES for path in part.iterdir()):
        raise InputError(f"{single}: it has no {part.name}, and {part} has no weights for it either.", remedy)
    return _weights_size(part, variant, remedy)


def _is_part(entry: Any) -> bool:
    """Return whether the entry is a part, [library, class]; [null, null] is an omitted part, and other lists are settings."""
    return isinstance(entry, list) and bool(entry) and isinstance(entry[0], str)


def _read_json(path: Path, remedy: str) -> dict[str, Any]:
    try:
        table = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.", remedy) from error
    except ValueError as error:
        raise InputError(f"{path}: this is not JSON: {error}.", remedy) from error
    if not isinstance(table, dict):
        raise InputError(f"{path}: this is not a JSON object.", remedy)
    return table


def _check_library(folder: Path, part: str, entry: list[Any]) -> None:
    if len(entry) < 2 or entry[0] not in _LIBRARIES or not str(entry[1]).isidentifier():
        class_name = ".".join(str(word) for word in entry[:2])
        raise InputError(
            f"{folder / 'model_index.json'}: its part {part!r} is a {class_name}, which is not a class of diffusers or transformers.",
            _OTHER_MODEL_REMEDY,
        )


def _refuse_auto_map(part: Path) -> None:
    for path in sorted(part.glob("*.json")):
        if path.stat().st_size > 1 << 20:
            continue  # vocabularies
        try:
            table = json.loads(path.read_bytes())
        except ValueError:
            continue
        if isinstance(table, dict) and "auto_map" in table:
            raise InputError(
                f"{path}: this part asks for custom code (auto_map), which is never run.", "Remove auto_map, or use another model."
            )


def _weights_size(part: Path, variant: str, remedy: str) -> int:
    """Return the size of the part's weights. Raises InputError if there are none, shards are missing, or there are only pickles."""
    ending = f".{variant}.safetensors" if variant else ".safetensors"
    files = [path for path in part.glob("*.safetensors") if path.name.endswith(ending) and (variant or path.name.count(".") == 1)]
    if not files and variant:
        files = [path for path in part.glob("*.safetensors") if path.name.count(".") == 1]
    if not files:
        pickled = sorted(path for path in part.glob("*") if path.suffix in _PICKLES)
        if pickled:
            raise InputError(
                f"{pickled[0]}: weights are read from safetensors only, never from pickles.",
                "Convert them, or get a copy with safetensors.",
            )
        raise InputError(f"{part}: it contains no weights (no file ending in {ending}).", remedy)
    for index in sorted(part.glob(f"*.safetensors.index{'.' + variant if variant else ''}.json")):
        shards = set(_read_json(index, remedy).get("weight_map", {}).values())
        missing = sorted(shards - {path.name for path in part.iterdir()})
        if missing:
            raise InputError(f"{part / missing[0]}: this file does not exist, but {index.name} lists it.", remedy)
    for path in files:
        check_safetensors(path, remedy)
    return sum(path.stat().st_size for path in files)


def check_safetensors(path: Path, remedy: str) -> frozenset[str]:
    """Return the names of a safetensors file's tensors. Raises InputError if it is none or is truncated. Only its header is read.

    Format: eight bytes of length, a JSON header with each tensor's ``data_offsets``, then the data.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length) if length <= size else b"")
        end = max((tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"), default=0)
        expected = 8 + length + int(end)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.", remedy) from error
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise InputError(f"{path}: this is not a safetensors file.", remedy) from error
    if expected != size:
        raise InputError(f"{path}: it has {size} bytes and should have {expected}; it is truncated or damaged.", remedy)
    return frozenset(header) - {"__metadata__"}
