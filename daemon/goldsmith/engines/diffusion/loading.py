"""From a folder or a single file to pipelines that share one set of weights. Nothing is asked of a hub and no foreign code is run."""

from __future__ import annotations

import importlib
import inspect
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldsmith.engines import Store
from goldsmith.engines.diffusion.families import Family, Way
from goldsmith.engines.diffusion.tree import LEFT_OUT, Tree
from goldsmith.engines.memory import is_shortage
from goldsmith.engines.registry.models import Diffusion
from goldsmith.errors import Problem

_PROCESSED = "Qwen2VLProcessor"


_KNOWN = ("__array__ implementation doesn't accept a copy keyword", "Already found a `peft_config`", "The following .* keys did not match")
"""Warnings of libraries about what is meant or theirs; in a lane they would stand before a crash's last words."""


def quiet() -> None:
    """Offline, and without bars and chatter: this process only runs models. Called before diffusers is first imported."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ[name] = "1"
    import diffusers
    import huggingface_hub.constants
    import transformers

    huggingface_hub.constants.HF_HUB_OFFLINE = True  # it may have been imported before the variable was set
    diffusers.logging.set_verbosity_error()
    diffusers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for said in _KNOWN:
        warnings.filterwarnings("ignore", message=said)


class Pipes:
    """One model's pipelines, made as they are asked for around one set of components."""

    def __init__(self, base: Any, family: Family) -> None:
        self.base = base
        self._family = family
        self._made: dict[str, Any] = {type(base).__name__: base}

    def pipe(self, way: Way) -> Any:
        """The pipeline that does this, sharing all weights with the others."""
        made = self._made.get(way.pipeline)
        if made is None:
            made = _sister(self.base, way.pipeline, auto=self._family.auto)
            made.set_progress_bar_config(disable=True)
            self._made[way.pipeline] = made
        return made


def load(name: str, store: Store, diffusion: Diffusion, family: Family, dtype: str, tree: Tree) -> Pipes:
    """The model's pipelines on the CPU, in ``dtype`` ("float32", "bfloat16", "float16"), from a tree that was looked through.

    Raises Problem where what lies there does not fit the family.
    """
    quiet()
    import torch

    try:
        base = _base(store, tree, family, getattr(torch, dtype))
    except (ValueError, TypeError, KeyError, AttributeError, OSError, ImportError, RuntimeError) as error:
        if is_shortage(error):
            raise
        what = store.single or store.folder
        said = " ".join(str(error).split())
        raise Problem(
            f"{what}: diffusers cannot open this as a model of the family {diffusion.family!r}: {said:.300}",
            f"Check models.{name}.diffusion.family, or fetch the model again: goldsmith models fetch {name}",
        ) from error
    base.set_progress_bar_config(disable=True)
    return Pipes(base, family)


def _base(store: Store, tree: Tree, family: Family, dtype: Any) -> Any:
    import diffusers

    own: dict[str, Any] = {part: None for part in LEFT_OUT if part in tree.index}
    if tree.index.get("processor", [None, None])[1] == _PROCESSED:
        own["processor"] = _processor(tree.folder / "processor")
    first = next(iter(family.ways.values())).pipeline
    kind = diffusers.DiffusionPipeline if family.auto else getattr(diffusers, first)
    if store.single is not None:
        if family.auto:
            kind = getattr(diffusers, str(tree.index.get("_class_name", "")))
        own |= {part: _part(tree, part, dtype) for part in tree.parts if part in tree.index}
        return kind.from_single_file(str(store.single), config=str(tree.folder), local_files_only=True, dtype=dtype, **own)
    variant = {"variant": tree.variant} if tree.variant else {}
    return kind.from_pretrained(tree.folder, local_files_only=True, use_safetensors=True, dtype=dtype, **variant, **own)


def _part(tree: Tree, part: str, dtype: Any) -> Any:
    """A part whose weights lie in the tree, where the single file has only some."""
    library, kind = tree.index[part][:2]
    variant = {"variant": tree.variant} if tree.variant else {}
    found = getattr(importlib.import_module(library), kind)
    return found.from_pretrained(tree.folder / part, local_files_only=True, use_safetensors=True, dtype=dtype, **variant)


def _sister(base: Any, name: str, *, auto: bool) -> Any:
    """Another pipeline class around the same components. ``from_pipe`` is not used where it would cast the weights: it makes them
    float32 unless told otherwise, and takes a part for missing whose class it does not expect."""
    import diffusers

    kind = getattr(diffusers, name)
    if auto:
        return kind.from_pipe(base, dtype=base.dtype)
    takes = inspect.signature(kind.__init__).parameters
    settings = {key: value for key, value in base.config.items() if key in takes and key not in base.components}
    parts = {key: value for key, value in base.components.items() if key in takes}
    return kind(**{**settings, **parts})


def _processor(folder: Path) -> Any:
    """Qwen-Image-Edit's eyes without torchvision, which its own folder asks for: pictures as PIL, and no videos.

    Raises ImportError where transformers has no such form of them.
    """
    from transformers import Qwen2Tokenizer, Qwen2VLImageProcessorPil, Qwen2VLProcessor
    from transformers.processing_utils import ProcessorMixin

    class PictureProcessor(Qwen2VLProcessor):  # type: ignore[misc]  # transformers is not read by mypy
        """Transformers reads from this signature which parts there are: here no video processor."""

        def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None) -> None:
            self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
            self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
            self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
            ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    tokenizer = Qwen2Tokenizer.from_pretrained(folder, local_files_only=True)
    eyes = Qwen2VLImageProcessorPil.from_pretrained(folder, local_files_only=True)
    return PictureProcessor(eyes, tokenizer, chat_template=tokenizer.chat_template)


def scheduler_facts(scheduler: Any) -> Mapping[str, str]:
    """The scheduler's class and a hash of its settings, for the record."""
    import hashlib
    import json

    settings = {key: value for key, value in scheduler.config.items() if not key.startswith("_")}
    said = json.dumps(settings, sort_keys=True, default=str)
    return {"scheduler": type(scheduler).__name__, "scheduler_sha256": hashlib.sha256(said.encode()).hexdigest()}
