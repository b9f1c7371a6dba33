"""Load pipelines that share one set of weights, from a folder or a single file, without a hub and without custom code."""

from __future__ import annotations

import importlib
import inspect
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldsmith.engines.diffusion.diffusers_tree import SKIPPED_PARTS, DiffusersTree
from goldsmith.engines.diffusion.families import ModelFamily, PipelineCall
from goldsmith.engines.memory import is_out_of_memory
from goldsmith.engines.protocols import ModelFiles
from goldsmith.engines.registry.models import DiffusionSettings
from goldsmith.engines.registry.scheduler_settings import SchedulerEntry
from goldsmith.errors import InputError

# The processors of Qwen's models that look at pictures.
_QWEN_PROCESSORS = ("Qwen2VLProcessor", "Qwen3VLProcessor")
# The parts that may be such a processor.
_PROCESSORS = ("processor", "text_processor")

# Warnings of libraries about intended use or about their own code. In a worker process, they would hide the last output before a crash.
_IGNORED_WARNINGS = (
    "__array__ implementation doesn't accept a copy keyword",
    "Already found a `peft_config`",
    "The following .* keys did not match",
)


def silence_libraries() -> None:
    """Switch the libraries to offline mode, without progress bars and messages. Call it before the first import of diffusers."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ[name] = "1"
    import diffusers
    import huggingface_hub.constants
    import transformers

    huggingface_hub.constants.HF_HUB_OFFLINE = True  # the module may have been imported before the variable was set
    diffusers.logging.set_verbosity_error()
    diffusers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for message in _IGNORED_WARNINGS:
        warnings.filterwarnings("ignore", message=message)


class PipelineSet:
    """The pipelines of one model, created on demand from one set of components."""

    def __init__(self, base: Any, family: ModelFamily) -> None:
        self.base = base
        self._family = family
        self._pipelines: dict[str, Any] = {type(base).__name__: base}

    def get(self, call: PipelineCall, control_net: Any = None) -> Any:
        """Return the pipeline for this call; it shares all weights with the others. One with a control model is made anew each time."""
        if control_net is not None:
            return self._make(call, {"controlnet": control_net})
        pipeline = self._pipelines.get(call.pipeline)
        if pipeline is None:
            pipeline = self._pipelines[call.pipeline] = self._make(call, {})
        return pipeline

    def _make(self, call: PipelineCall, extra_parts: Mapping[str, Any]) -> Any:
        pipeline = _sibling_pipeline(self.base, call.pipeline, extra_parts, auto=self._family.uses_auto_pipeline)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline


def load_pipelines(
    name: str, model_files: ModelFiles, diffusion: DiffusionSettings, family: ModelFamily, dtype: str, tree: DiffusersTree
) -> PipelineSet:
    """Return the model's pipelines on the CPU, from an inspected folder. Raises InputError if the files do not fit the family.

    dtype: "float32", "bfloat16" or "float16".
    """
    silence_libraries()
    import torch

    try:
        base = _load_base(model_files, tree, family, getattr(torch, dtype))
    except (ValueError, TypeError, KeyError, AttributeError, OSError, ImportError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        path = model_files.single_file or model_files.folder
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: diffusers cannot open this as a model of the family {diffusion.family!r}: {reason:.300}",
            f"Check models.{name}.diffusion.family, or fetch the model again: goldsmith models fetch {name}",
        ) from error
    base.set_progress_bar_config(disable=True)
    return PipelineSet(base, family)


def _load_base(store: ModelFiles, tree: DiffusersTree, family: ModelFamily, dtype: Any) -> Any:
    import diffusers

    components: dict[str, Any] = {part: None for part in SKIPPED_PARTS if part in tree.index}
    for part in _PROCESSORS:
        class_of_part = tree.index.get(part, [None, None])[1]
        if class_of_part in _QWEN_PROCESSORS:
            components[part] = _load_qwen_processor(tree.folder / part, class_of_part)
    class_name = next(iter(family.calls.values())).pipeline
    kind = diffusers.DiffusionPipeline if family.uses_auto_pipeline else getattr(diffusers, class_name)
    if store.single_file is not None:
        # A part that is passed in replaces that of the file: pass only those that the file lacks.
        if family.uses_auto_pipeline:
            kind = getattr(diffusers, str(tree.index.get("_class_name", "")))
        components |= {part: _load_part(tree, part, dtype) for part in tree.parts if part in tree.index}
        return kind.from_single_file(str(store.single_file), config=str(tree.folder), local_files_only=True, dtype=dtype, **components)
    components |= {part: _load_part(tree, part, dtype, name) for part, name in family.part_classes.items() if part in tree.index}
    variant = {"variant": tree.variant} if tree.variant else {}
    return kind.from_pretrained(tree.folder, local_files_only=True, use_safetensors=True, dtype=dtype, **variant, **components)


def _load_part(tree: DiffusersTree, part: str, dtype: Any, class_name: str = "") -> Any:
    """Return a part from the folder, for a single file that lacks it, or as another class than its index names."""
    library, kind = tree.index[part][:2]
    kind = class_name or kind
    variant = {"variant": tree.variant} if tree.variant else {}
    part_class = getattr(importlib.import_module(library), kind)
    return part_class.from_pretrained(tree.folder / part, local_files_only=True, use_safetensors=True, dtype=dtype, **variant)


def _sibling_pipeline(base: Any, name: str, extra_parts: Mapping[str, Any], *, auto: bool) -> Any:
    """Return a pipeline of another class with the same components, and these.

    ``from_pipe`` is used only for AutoPipeline: it casts weights to float32 by default, and treats a component of an unexpected class as
    missing.
    """
    import diffusers

    kind = getattr(diffusers, name)
    if auto:
        return kind.from_pipe(base, dtype=base.dtype)
    parameters = inspect.signature(kind.__init__).parameters
    settings = {key: value for key, value in base.config.items() if key in parameters and key not in base.components}
    parts = {key: value for key, value in {**base.components, **extra_parts}.items() if key in parameters}
    return kind(**{**settings, **parts})


def _load_qwen_processor(folder: Path, class_name: str) -> Any:
    """Return a processor of that class that needs no torchvision, unlike the one that the folder names: PIL pictures, no videos.

    Raises ImportError if transformers has no PIL form of it.
    """
    import transformers
    from transformers import Qwen2Tokenizer, Qwen2VLImageProcessorPil
    from transformers.processing_utils import ProcessorMixin

    named_class: Any = getattr(transformers, class_name)

    class PictureProcessor(named_class):  # type: ignore[misc]  # transformers is not read by mypy
        """A processor without a video processor; transformers takes the list of parts from the signature of ``__init__``."""

        def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None) -> None:
            self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
            self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
            self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
            ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    tokenizer = Qwen2Tokenizer.from_pretrained(folder, local_files_only=True)
    image_processor = Qwen2VLImageProcessorPil.from_pretrained(folder, local_files_only=True)
    return PictureProcessor(image_processor, tokenizer, chat_template=tokenizer.chat_template)


def make_scheduler(config: Any, entry: SchedulerEntry) -> Any:
    """Return a scheduler with the model's own settings and those of the entry. Raises InputError if diffusers has no such scheduler."""
    import diffusers

    settings = dict(entry)
    name = str(settings.pop("class"))
    kind: Any = getattr(diffusers, name, None)
    try:
        if not issubclass(kind, diffusers.SchedulerMixin):
            raise TypeError
        return kind.from_config(config, **settings)
    except (TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split()) or "diffusers has no such scheduler"
        raise InputError(
            f"The scheduler {name} cannot be used here: {reason:.200}.", "Correct the model's schedulers in models.toml."
        ) from error


def scheduler_facts(scheduler: Any) -> Mapping[str, str]:
    """Return the scheduler's class and a hash of its settings, for the record."""
    import hashlib
    import json

    settings = {key: value for key, value in scheduler.config.items() if not key.startswith("_")}
    text = json.dumps(settings, sort_keys=True, default=str)
    return {"scheduler": type(scheduler).__name__, "scheduler_sha256": hashlib.sha256(text.encode()).hexdigest()}
