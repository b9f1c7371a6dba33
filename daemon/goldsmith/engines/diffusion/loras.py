"""LoRAs: small changes of a model's weights, from ``library/loras/``, applied for one request.

A LoRA stays loaded beside the weights and is switched off between requests, so the model itself never changes, not by one bit (Hu et al.,
"LoRA: Low-Rank Adaptation of Large Language Models", 2021; diffusers' PEFT loaders).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from goldsmith.engines.diffusion.diffusers_tree import check_safetensors
from goldsmith.engines.memory import is_device_failure, is_out_of_memory
from goldsmith.engines.open_weights import FileStamp, require_unchanged
from goldsmith.engines.registry.hash_notes import HANDED_OUT, HashNote
from goldsmith.errors import HostError, InputError

# Each changed layer has two tensors; this matches the name of one of them.
_LORA_DOWN_TENSOR = re.compile(r"\.lora(_A|_down|_linear_layer\.down|\.down)\b")
# Maximum number of loaded LoRAs; they are small compared with the model.
_MAX_LOADED = 4
_REMEDY = "Put the LoRA there, or remove it from the brief."


class LoraAdapters:
    """The LoRAs of one model."""

    def __init__(self, name: str, base: Any) -> None:
        self._name = name
        self._base = base
        # sha256 -> adapter name; the least recently used first.
        self._loaded: dict[str, str] = {}

    @contextlib.contextmanager
    def applied(self, loras: Sequence[tuple[Path, float]]) -> Iterator[list[dict[str, object]]]:
        """Apply these LoRAs at their weights within the block; yield the facts about them for the record.

        Raises InputError if a file is not a LoRA or does not fit this model.
        """
        if not loras:
            yield []
            return
        facts, names = [], []
        for path, weight in loras:
            adapter, sha256, fit_facts = self._open(path)
            names.append(adapter)
            facts.append({"lora": path.stem, "weight": weight, "sha256": sha256, **fit_facts})
        try:
            self._base.enable_lora()
            self._base.set_adapters(names, [weight for _, weight in loras])
            yield facts
        finally:
            self._base.disable_lora()
            self._evict()

    def _open(self, path: Path) -> tuple[str, str, dict[str, object]]:
        """Return the adapter of a LoRA, the sha256 of its file, and the facts about its fit. Raises InputError if the file changes."""
        note = _note(path)
        sha256 = note.sha256
        try:
            with _unchanged(path, note.stamp):
                adapter = self._adapter(path, sha256)
                return adapter, sha256, self._fit_facts(path, adapter)
        except InputError:
            self._discard(sha256)  # a file that changed while it was loaded may not stay under this hash
            raise

    def _discard(self, sha256: str) -> None:
        if sha256 in self._loaded:
            self._base.delete_adapters(self._loaded.pop(sha256))

    def _adapter(self, path: Path, sha256: str) -> str:
        adapter = self._loaded.pop(sha256, None)
        if adapter is None:
            adapter = f"lora_{sha256[:16]}"
            self._load(path, adapter)
        self._loaded[sha256] = adapter
        return adapter

    def _load(self, path: Path, adapter: str) -> None:
        check_safetensors(path, "Replace it with a LoRA in safetensors form.")
        if not hasattr(self._base, "load_lora_weights"):
            raise InputError(f"The model {self._name!r} takes no LoRAs.", f"Remove the LoRA {path.stem!r}, or name another model.")
        error_text = ""
        try:
            self._base.load_lora_weights(
                str(path.parent), weight_name=path.name, adapter_name=adapter, local_files_only=True, use_safetensors=True
            )
        except (ValueError, RuntimeError, KeyError, TypeError, AttributeError, IndexError, OSError) as error:
            if is_out_of_memory(error) or is_device_failure(error):
                raise
            error_text = " ".join(str(error).split())
        if not error_text and any(adapter in adapters for adapters in self._base.get_list_adapters().values()):
            self._base.disable_lora()
            return
        with contextlib.suppress(ValueError, KeyError):
            self._base.delete_adapters(adapter)
        reason = f" ({error_text:.160})" if error_text else " (none of its layers exists in this model)"
        raise InputError(
            f"{path.name}: this LoRA does not fit the model {self._name!r}{reason}.",
            "Name a LoRA that was made for this family of models.",
        )

    def _fit_facts(self, path: Path, adapter: str) -> dict[str, object]:
        """Return how many of a LoRA's layers exist in this model if it fits only partly; otherwise no facts."""
        total = _count_layers(path)
        nets = [component for component in self._base.components.values() if hasattr(component, "modules")]
        matched = sum(adapter in getattr(module, "lora_A", ()) for net in nets for module in net.modules())
        return {"matched_layers": f"{matched} of {total}"} if matched < total else {}

    def _evict(self) -> None:
        while len(self._loaded) > _MAX_LOADED:
            self._discard(next(iter(self._loaded)))


def _count_layers(path: Path) -> int:
    """Return how many layers a LoRA's file changes, in any of the common naming schemes."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return sum(_LORA_DOWN_TENSOR.search(name) is not None for name in file.keys())  # noqa: SIM118 - it is no mapping


def _note(path: Path) -> HashNote:
    """Return the hash of a file and the state in which it was read. Raises InputError if it cannot be read."""
    try:
        return HANDED_OUT.note(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.", _REMEDY) from error


@contextlib.contextmanager
def _unchanged(path: Path, stamp: FileStamp) -> Iterator[None]:
    """Raise InputError if the file is not in the state that was hashed, or changes within this block: what is hashed is what is loaded."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(require_unchanged([path], None, {path: stamp}))
        except HostError as error:
            raise InputError(error.sentence, _REMEDY) from error
        yield
