"""The diffusion engine: turn requests into pictures and facts, and retry with less memory if it runs out."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import count
from math import ceil
from threading import Lock
from typing import Any

import numpy as np

from goldsmith.engines.diffusion.clip_prompts import PLAIN_READING, PromptReading, encode_prompt, needs_encoding, reads_with_clip
from goldsmith.engines.diffusion.control import controlled_call, guide_facts
from goldsmith.engines.diffusion.determinism import configure_cublas, deterministic, environment_facts, seeded_generators, seeded_globally
from goldsmith.engines.diffusion.families import (
    PipelineCall,
    check_abilities,
    check_hole_references,
    choose_ability,
    find_family,
)
from goldsmith.engines.diffusion.loaded_model import LoadedModel, PlanLayout, has_tiling
from goldsmith.engines.diffusion.memory_layout import MemoryFallback, memory_fallbacks
from goldsmith.engines.diffusion.picture_checks import check_picture, resize
from goldsmith.engines.diffusion.pipeline_inputs import PipelineArguments, PipelineInputs, is_prompt_truncated, prepare_inputs
from goldsmith.engines.diffusion.pipeline_loader import scheduler_facts
from goldsmith.engines.diffusion.prompt_weights import has_numbered_weight
from goldsmith.engines.diffusion.reference_adapter import check_references, likeness_facts
from goldsmith.engines.memory import device_fault, is_device_failure, is_out_of_memory, release_memory
from goldsmith.engines.protocols import (
    Ability,
    ControlGuide,
    Device,
    EngineDescriptor,
    GenerationRequest,
    GenerationResult,
    ModelFiles,
    OnProgress,
    ReferenceGuide,
    ignore_progress,
)
from goldsmith.engines.registry.models import Model
from goldsmith.engines.registry.scheduler_settings import SchedulerEntry
from goldsmith.errors import InputError
from goldsmith.picture.picture import Pixels

# A lower strength leaves no step to run.
_MIN_STRENGTH = 0.01


@dataclass(frozen=True, slots=True)
class _CallSettings:
    """The settings that all pictures of a call share."""

    ability: Ability
    pipeline_call: PipelineCall
    steps: int
    guidance: float
    strength: float | None
    negative: str
    width: int
    height: int
    guide: ControlGuide | None = None
    likeness: ReferenceGuide | None = None
    scheduler: SchedulerEntry | None = None
    rescale: float = 0.0
    reading: PromptReading = PLAIN_READING


@dataclass(frozen=True, slots=True)
class _Words:
    """The words of a call as arguments, and the facts about how they are read."""

    arguments: PipelineArguments
    facts: dict[str, object]


@dataclass(frozen=True, slots=True)
class _SeededRequest:
    """The request for one picture."""

    request: GenerationRequest
    seed: int


class DiffusionEngine:
    """A ``Generator`` with one diffusers model. Several threads may use it, one at a time."""

    def __init__(self, name: str, model: Model, model_files: ModelFiles, device: Device, plan_layout: PlanLayout) -> None:
        """Load the model. Raises InputError if it cannot be opened or does not fit, DeviceError if the device fails."""
        assert model.diffusion is not None  # noqa: S101 - read_models refuses a generating model without it
        self._name, self._diffusion, self._device = name, model.diffusion, device
        self._model_files, self._plan_layout = model_files, plan_layout
        self._family = find_family(self._diffusion.family)
        can = check_abilities(self._diffusion.family, f"models.{name}", self._diffusion.can)
        self._busy = Lock()
        self._loaded: LoadedModel | None = None
        configure_cublas()
        loaded = self._load()
        precision = loaded.layout.precision
        self.descriptor = EngineDescriptor(
            name=name,
            kind="generate",
            licence=model.licence,
            multiple=self._diffusion.multiple,
            takes_prompt=True,
            can=can,
            native_pixels=self._diffusion.pixels,
            family=self._diffusion.family,
            # The weights of a part in the tree do not count if the part came from the single file.
            weights=tuple(each for each in model_files.weights if each[0].split("/")[0] not in loaded.parts_in_file),
            device=f"{device.name} {precision}, {device.threads} thread{'s' if device.threads > 1 else ''}",
            revision=model_files.revision,
        )

    def generate(self, request: GenerationRequest, on_progress: OnProgress = ignore_progress) -> GenerationResult:
        """Return the pictures, as ``Generator.generate``.

        On a GPU, pictures of one call differ from single ones by rounding; the facts have the number of pictures per call.

        Raises InputError if the model lacks an ability, if memory runs out on the last fallback too, or if a picture failed; DeviceError if
        the device failed; and any exception of ``on_progress``.
        """
        return self.generate_many([request], on_progress)[0]

    def generate_many(self, requests: Sequence[GenerationRequest], on_progress: OnProgress = ignore_progress) -> list[GenerationResult]:
        """Return the result of each request, as ``generate``.

        Requests with the same size and settings share a call, even if their prompts and pictures differ; others run one after the other.
        """
        calls = [self._call_settings(request) for request in requests]
        alike = all(call == calls[0] for call in calls) and len({request.options.loras for request in requests}) == 1
        alike = alike and calls[0].pipeline_call.can_batch and not calls[0].pipeline_call.is_8bit_only
        if len(requests) > 1 and not (alike and self._can_share_words(requests)):
            shares = [_ProgressShare(on_progress, number, 1, len(requests)) for number in range(len(requests))]
            return [self.generate(request, share.report) for request, share in zip(requests, shares, strict=True)]
        frames = [_SeededRequest(request, seed) for request in requests for seed in request.seeds]
        on_progress(0.0)
        with self._busy:
            pictures, facts = self._generate_pictures(frames, calls[0], on_progress)
        if calls[0].pipeline_call.makes_layers:
            negative_used = bool(requests[0].options.negative)
            layer_facts = {"seeds": list(requests[0].seeds), "negative_prompt_used": negative_used, "layers": len(pictures)}
            return [GenerationResult(tuple(pictures), {**facts, **layer_facts})]
        results, batch = [], int(str(facts["batch"]))
        for request in requests:
            own_pictures, pictures = pictures[: len(request.seeds)], pictures[len(request.seeds) :]
            begin = len(frames) - len(pictures) - len(own_pictures)
            takes_negative = self._family.default_negative_prompt is not None or "negative_guidance" in facts
            negative = bool(request.options.negative) and takes_negative
            own_facts: dict[str, object] = {"seeds": list(request.seeds), "negative_prompt_used": negative}
            own_facts["batch"] = _largest_batch(begin, len(own_pictures), batch, len(frames))
            results.append(GenerationResult(tuple(own_pictures), {**facts, **own_facts}))
        return results

    def _can_share_words(self, requests: Sequence[GenerationRequest]) -> bool:
        """Return whether no picture would depend on another one's words: prompts of several chunks are filled up to the longest."""
        options = [request.options for request in requests]
        if len({(each.prompt, each.negative) for each in options}) == 1:
            return True
        with self._busy:
            pipe = self._load().base
            words = [text for each in options for text in (each.prompt, each.negative)]
            is_encoded = options[0].clip_skip or options[0].embeddings or needs_encoding(pipe, words)
            return not (reads_with_clip(pipe) and is_encoded)

    def weights_bytes(self, precision: str) -> int:
        """Return the bytes of all weights if they are in that precision, such as "bfloat16"."""
        with self._busy:
            return self._load().weights_bytes(precision)

    def close(self) -> None:
        """Release the weights. A caller that still holds the engine may use it: the weights are then read again."""
        with self._busy:
            self._loaded = None
        release_memory(self._device)

    def _load(self) -> LoadedModel:
        if self._loaded is None:
            self._loaded = LoadedModel(self._name, self._model_files, self._diffusion, self._family, self._device, self._plan_layout)
        return self._loaded

    def _call_settings(self, request: GenerationRequest) -> _CallSettings:
        options, multiple = request.options, self._diffusion.multiple
        if request.width % multiple or request.height % multiple:
            raise InputError(
                f"The model {self._name!r} generates pictures whose sides are multiples of {multiple} px, "
                f"not {request.width} x {request.height} px.",
                "Use another size.",
            )
        ability = choose_ability(self._name, self.descriptor.can, request)
        pipeline_call = self._family.calls[ability]
        check_hole_references(self._name, pipeline_call, request)
        if request.hole is not None and request.references:
            pipeline_call = replace(pipeline_call, can_batch=False)  # they are for one picture
        if request.guide is not None:
            pipeline_call = controlled_call(self._name, self._diffusion.family, ability, pipeline_call, request.guide)
        if request.likeness is not None:
            check_references(self._name, self._diffusion.family, ability, request.likeness, controlled=request.guide is not None)
        steps = self._diffusion.steps if options.steps is None else options.steps
        strength = (
            None
            if pipeline_call.default_strength is None
            else pipeline_call.default_strength
            if options.strength is None
            else options.strength
        )
        if options.strength is not None and strength is None and request.picture is not None:
            by_guide = "fills a hole from noise where it follows a control picture"
            by_words = "uses reference pictures" if request.references else "changes a picture by instruction"
            what = by_words if request.guide is None else by_guide
            raise InputError(
                f"The model {self._name!r} {what} here and has no strength, but the step has strength = {options.strength:g}.",
                "Remove strength from the step" + (", or set references = false." if request.references else ", or name another model."),
            )
        if strength is not None:
            if strength < _MIN_STRENGTH:
                raise InputError(
                    f"With strength {strength:g} the model {self._name!r} would change nothing.",
                    f"Use a strength from {_MIN_STRENGTH} to 1.",
                )
            steps = max(steps, ceil(1 / strength))  # only this share of the steps runs, and at least one must
        guidance = self._diffusion.guidance if options.guidance is None else options.guidance
        return _CallSettings(
            ability,
            pipeline_call,
            steps,
            guidance,
            strength,
            options.negative,
            request.width,
            request.height,
            request.guide,
            request.likeness,
            self._scheduler(options.scheduler),
            options.rescale,
            PromptReading(options.clip_skip, options.embeddings),
        )

    def _scheduler(self, name: str | None) -> SchedulerEntry | None:
        """Return the scheduler of that name in the model's entry. Raises InputError if it has none."""
        if name is None:
            return None
        schedulers = dict(self._diffusion.schedulers)
        if name not in schedulers:
            known = ", ".join(schedulers) or "none"
            raise InputError(
                f"The model {self._name!r} has no scheduler {name!r} in models.toml; it has: {known}.",
                "Name another one, or remove scheduler from the step.",
            )
        return schedulers[name]

    def _generate_pictures(
        self, frames: Sequence[_SeededRequest], call: _CallSettings, on_progress: OnProgress
    ) -> tuple[list[Pixels], dict[str, object]]:
        try:
            loaded = self._load()
            with deterministic(self._device), loaded.loras.applied(frames[0].request.options.loras) as loras:
                pictures, facts = self._run_with_fallbacks(loaded, frames, call, on_progress)
        except Exception as error:
            if is_device_failure(error):
                raise device_fault(self._device, error) from error
            raise
        return pictures, {**facts, "loras": loras}

    def _run_with_fallbacks(
        self, loaded: LoadedModel, frames: Sequence[_SeededRequest], call: _CallSettings, on_progress: OnProgress
    ) -> tuple[list[Pixels], dict[str, object]]:
        planned = replace(loaded.layout, offload=loaded.offload, batch=loaded.layout.batch if call.pipeline_call.can_batch else 1)
        tried = []
        for fallback in memory_fallbacks(
            replace(planned, batch=min(planned.batch, len(frames))), is_fill=frames[0].request.hole is not None
        ):
            try:
                return self._run_fallback(fallback, loaded, frames, call, on_progress)
            except Exception as error:  # no single class for this: other errors are raised again
                if not is_out_of_memory(error):
                    raise
            loaded.finish_call(release=True)
            tried.append(fallback.name)
        raise InputError(
            f"There is not enough memory on {self._device.name} for the model {self._name!r} at {call.width} x {call.height} px "
            f"(tried: {', '.join(tried)}).",
            "Use a smaller size or a smaller model, or end other programs that use the memory.",
        )

    def _run_fallback(
        self, fallback: MemoryFallback, loaded: LoadedModel, frames: Sequence[_SeededRequest], call: _CallSettings, on_progress: OnProgress
    ) -> tuple[list[Pixels], dict[str, object]]:
        """Return all pictures, generated with one fallback, and the facts about them."""
        if fallback.uses_group_offload:
            loaded.switch_to_group_offload()
        multiple = self._diffusion.multiple
        width, height = (max(multiple, round(side * fallback.scale / multiple) * multiple) for side in (call.width, call.height))
        pictures: list[Pixels] = []
        generated_size = [width, height]
        words = _Words({}, {})
        try:
            for begin in range(0, len(frames), fallback.batch):
                group = frames[begin : begin + fallback.batch]
                inputs = prepare_inputs([frame.request for frame in group], width, height, call.strength or 0.0)
                share = _ProgressShare(on_progress, begin, len(group), len(frames))
                net = None if call.guide is None else call.guide.net
                pipe = loaded.pipeline(call.pipeline_call, net, call.scheduler, use_tiling=fallback.uses_tiling)
                self._refuse_unused_guidance(pipe, group)
                words = self._words(pipe, call, inputs, words.facts)
                arguments = self._pipeline_arguments(pipe, call, inputs) | words.arguments
                arguments["generator"] = seeded_generators([frame.seed for frame in group])
                arguments |= share.callback_arguments(pipe)
                with seeded_globally(group[0].seed, self._device), self._attached_references(loaded, pipe, call) as reference_arguments:
                    images = _result_pictures(pipe(**arguments, **reference_arguments, output_type="np"))
                generated_size = [images[0].shape[1], images[0].shape[0]]
                self._refuse_broken_weights(images, loaded)
                if call.pipeline_call.makes_layers:
                    pictures += self._check_layers(images, call)
                else:
                    pictures += self._check_and_resize(images, group, call, loaded.layout.precision)
        finally:
            loaded.finish_call()
        facts = self._call_facts(call, fallback) | {
            "generated_size": generated_size,
            "steps_run": int(pipe.num_timesteps),
        }
        facts |= {**words.facts, **scheduler_facts(pipe.scheduler)}
        facts |= {"pipeline": type(pipe).__name__, "tiling": fallback.uses_tiling and has_tiling(pipe.vae)}
        return pictures, {**facts, **loaded.facts(), **environment_facts(self._device)}

    def _attached_references(self, loaded: LoadedModel, pipe: Any, call: _CallSettings) -> AbstractContextManager[PipelineArguments]:
        """Return a block in which the model follows the call's reference pictures; it yields the arguments for them."""
        return nullcontext(PipelineArguments()) if call.likeness is None else loaded.attached_references(pipe, call.likeness)

    def _refuse_broken_weights(self, images: Any, loaded: LoadedModel) -> None:
        """Raise InputError if a picture has values that are not numbers because the weights have: no other seed would help."""
        if np.isfinite(np.asarray(images, dtype=np.float32)).all():
            return
        place = loaded.find_broken_weights()
        if place:
            raise InputError(
                f"The weights of the model {self._name!r} contain values that are not numbers ({place}): the file is damaged.",
                f"Run goldsmith models verify {self._name}, and replace the file; or name another model.",
            )

    def _check_and_resize(self, images: Any, frames: Sequence[_SeededRequest], call: _CallSettings, precision: str) -> list[Pixels]:
        """Return the checked pictures of one call at the requested size."""
        ready = []
        for picture, frame in zip(np.asarray(images, dtype=np.float32), frames, strict=True):
            checked = check_picture(self._name, picture, frame.seed, precision, frame.request.picture)
            ready.append(resize(checked, call.width, call.height))
        return ready

    def _check_layers(self, images: Any, call: _CallSettings) -> list[Pixels]:
        """Return the layers of one picture at the requested size, (h, w, 4). Raises InputError if they have values that are not numbers."""
        layers = np.asarray(images, dtype=np.float32)
        if not np.isfinite(layers).all():
            raise InputError(
                f"The model {self._name!r} made layers with values that are not numbers.", "Try another seed, or name another model."
            )
        return [np.clip(resize(layer, call.width, call.height), 0, 1) for layer in layers]

    def _refuse_unused_guidance(self, pipe: Any, frames: Sequence[_SeededRequest]) -> None:
        """Raise InputError if a request has a guidance of its own and the model is distilled to run without: its pipeline ignores it."""
        guidance = max((frame.request.options.guidance or 0.0 for frame in frames), default=0.0)
        if guidance > 1 and pipe.config.get("is_distilled") and self._diffusion.family == "flux2-klein":
            raise InputError(
                f"The model {self._name!r} is distilled and runs without guidance, but the step has guidance = {guidance:g}.",
                "Remove guidance from the step, or name another model.",
            )

    def _words(self, pipe: Any, call: _CallSettings, inputs: PipelineInputs, earlier_facts: Mapping[str, object]) -> _Words:
        """Return the words of a call: as text, or encoded in chunks if CLIP reads them and they are long or weighted.

        earlier_facts: those of the earlier calls for the same request.
        """
        default = self._family.default_negative_prompt
        parameters = inspect.signature(pipe.__call__).parameters
        negative = None if default is None else call.negative or default
        own_guidance = self._family.negative_guidance_argument
        if call.negative and own_guidance in parameters:
            negative = call.negative
        self._refuse_unknown_options(pipe, call, parameters)
        self._refuse_long_prompt(pipe, inputs.prompts if negative is None else (*inputs.prompts, negative))
        texts = inputs.prompts if negative is None else (*inputs.prompts, negative)
        if reads_with_clip(pipe):
            if call.reading != PLAIN_READING or needs_encoding(pipe, texts):
                encoded = encode_prompt(pipe, inputs.prompts[0], negative or "", inputs.count, call.reading)
                return _Words(encoded.arguments, {"prompt_truncated": False, "prompt_chunks": encoded.chunks})
            facts: dict[str, object] = {}
        else:
            facts = {"weights_read_as_words": True} if any(map(has_numbered_weight, texts)) else {}
        facts["prompt_truncated"] = bool(earlier_facts.get("prompt_truncated")) or is_prompt_truncated(pipe, texts)
        if self._family.encode_words is not None:
            names, words = ("prompt_embeds", "negative_prompt_embeds"), (inputs.prompts[0], negative or "")
            encoded_words = (self._family.encode_words(pipe, each, self._device.name) for each in words)
            return _Words(dict(zip(names, encoded_words, strict=True)), facts)
        arguments = {name: value for name, value in inputs.prompt_arguments.items() if name in parameters}
        if negative is not None and "negative_prompt" in parameters:
            arguments["negative_prompt"] = negative if isinstance(arguments["prompt"], str) else [negative] * inputs.count
            if own_guidance in parameters:
                arguments[own_guidance] = self._diffusion.negative_guidance
                facts["negative_guidance"] = self._diffusion.negative_guidance
        return _Words(arguments, facts)

    def _refuse_long_prompt(self, pipe: Any, texts: Sequence[str]) -> None:
        """Raise InputError if a prompt is longer than a pipeline takes that does not cut it."""
        most = self._family.max_prompt_tokens
        longest = max((len(pipe.tokenizer(text).input_ids) for text in texts), default=0) if most else 0
        if longest > most:
            raise InputError(
                f"The prompt has {longest} tokens, and the model {self._name!r} takes {most}.", "Shorten it, or name another model."
            )

    def _refuse_unknown_options(self, pipe: Any, call: _CallSettings, parameters: Mapping[str, object]) -> None:
        """Raise InputError for a setting that the pipeline has no way for."""
        unknown = [
            name
            for name, is_set, is_known in (
                ("guidance_rescale", call.rescale > 0, "guidance_rescale" in parameters),
                ("clip_skip", call.reading.clip_skip > 0, reads_with_clip(pipe)),
                ("embeddings", bool(call.reading.embeddings), reads_with_clip(pipe)),
            )
            if is_set and not is_known
        ]
        if unknown:
            raise InputError(
                f"The model {self._name!r} has no {unknown[0]} here.", f"Remove {unknown[0]} from the step, or name another model."
            )

    def _pipeline_arguments(self, pipe: Any, call: _CallSettings, inputs: PipelineInputs) -> PipelineArguments:
        """Return the arguments of a call without its words and its seeds."""
        arguments = {
            **call.pipeline_call.build_arguments(inputs),
            self._family.guidance_argument: call.guidance,
            "num_inference_steps": call.steps,
            **({"guidance_rescale": call.rescale} if call.rescale else {}),
        }
        parameters = inspect.signature(pipe.__call__).parameters
        for name in ("width", "height"):  # not every pipeline has them: SDXL uses the picture's own size
            if name not in parameters:
                arguments.pop(name, None)
        return arguments

    def _call_facts(self, call: _CallSettings, fallback: MemoryFallback) -> dict[str, object]:
        control: dict[str, object] = {} if call.guide is None else {"control": guide_facts(call.guide)}
        control |= {} if call.likeness is None else {"likeness": likeness_facts(call.likeness)}
        extra: dict[str, object] = {"guidance_rescale": call.rescale} if call.rescale else {}
        extra |= {"clip_skip": call.reading.clip_skip} if call.reading.clip_skip else {}
        extra |= {"embeddings": [path.stem for path in call.reading.embeddings]} if call.reading.embeddings else {}
        return (
            control
            | extra
            | {
                "model": self._name,
                "family": self._diffusion.family,
                "ability": call.ability,
                "steps": call.steps,
                "guidance": call.guidance,
                "strength": call.strength,
                "size": [call.width, call.height],
                "input_bits": 8 if call.pipeline_call.is_8bit_only else 32,
                "batch": fallback.batch,
                "memory_fallback": fallback.name,
                "safety_checker": "not loaded",
            }
        )


def _result_pictures(output: Any) -> Any:
    """Return the pictures of a pipeline's output, (count, h, w, 3), 0..1: of films the last picture of each, or the layers of one picture,
    (count, h, w, 4).
    """
    if not hasattr(output, "images"):
        return output.frames[:, -1]
    return output.images[0] if isinstance(output.images, list) else output.images


def _largest_batch(begin: int, count: int, batch: int, total: int) -> int:
    """Return the number of pictures in the largest call that generated any of the ``count`` pictures from ``begin`` on."""
    calls = range(begin // batch, (begin + count - 1) // batch + 1)
    return max(min(batch, total - call * batch) for call in calls)


@dataclass(frozen=True, slots=True)
class _ProgressShare:
    """A share of the progress: ``count`` of ``total`` pictures, after the first ``begin``."""

    on_progress: OnProgress
    begin: int
    count: int
    total: int

    def report(self, fraction: float) -> None:
        self.on_progress((self.begin + self.count * fraction) / self.total)

    def callback_arguments(self, pipe: Any) -> PipelineArguments:
        """Return the argument of a call that reports its steps; a pipeline without one reports them through its scheduler."""
        if "callback_on_step_end" in inspect.signature(pipe.__call__).parameters:
            return {"callback_on_step_end": self.on_step_end}
        own_step, numbers = pipe.scheduler.step, count()

        def step(*arguments: Any, **settings: Any) -> Any:
            result = own_step(*arguments, **settings)
            self.on_step_end(pipe, next(numbers), None, {})
            return result

        pipe.scheduler.step = step  # the scheduler is new for each call
        return {}

    def on_step_end(self, pipe: Any, number: int, timestep: Any, tensors: PipelineArguments) -> PipelineArguments:
        """Report the progress; diffusers calls this after every step.

        To cancel, ``on_progress`` raises; the pipeline's own ``_interrupt`` would return a half-finished picture.
        """
        self.report((number + 1) / max(pipe.num_timesteps, 1))
        return tensors
