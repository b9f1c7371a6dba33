"""The engine: a request in, pictures and what was really done out; when memory runs out it walks the ladder and goes on living."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np

from goldsmith.engines import Ability, Descriptor, Device, Generated, OnStep, Request, Store, unheard
from goldsmith.engines.diffusion.families import Arguments, Material, Way, abilities, ability_for, family_of
from goldsmith.engines.diffusion.layout import Layout, Rung, ladder
from goldsmith.engines.diffusion.loading import Pipes, load, scheduler_facts
from goldsmith.engines.diffusion.loras import Loras
from goldsmith.engines.diffusion.repeatable import before_the_device_wakes, dice, facts, repeatable
from goldsmith.engines.diffusion.results import checked, sized
from goldsmith.engines.memory import give_back, is_dead, is_shortage
from goldsmith.engines.models import Diffusion, Model
from goldsmith.errors import DeviceFault, Problem
from goldsmith.plate.plate import Pixels

_FAINT = 0.01
"""A strength below this leaves no step to run."""

Plan = Callable[[float], Layout]
"""From the largest part's share of the weights to how the model is laid out."""


@dataclass(frozen=True, slots=True)
class _Call:
    """What stays the same for every picture of a request."""

    ability: Ability
    way: Way
    request: Request
    steps: int
    guidance: float
    strength: float | None

    def material(self, count: int, scale: float, multiple: int) -> Material:
        """The inputs for ``count`` pictures at ``scale`` of the size asked for."""
        asked = self.request
        width, height = (max(multiple, round(side * scale / multiple) * multiple) for side in (asked.width, asked.height))
        picture = None if asked.picture is None else sized(asked.picture, width, height)
        hole = asked.hole
        if hole is not None and hole.shape != (height, width):
            hole = sized(np.repeat(hole[..., None], 3, axis=2), width, height)[..., 0]
        return Material(count, width, height, self.strength or 0.0, picture, hole, asked.references)


class DiffusionEngine:
    """Implements ``goldsmith.engines.Generator`` with one model of diffusers."""

    def __init__(self, name: str, model: Model, store: Store, device: Device, plan: Plan) -> None:
        """Loads the model. ``plan`` is asked when its parts are known and not yet read.

        Raises Problem for a model that cannot be opened or does not fit, DeviceFault where the device fails.
        """
        assert model.diffusion is not None  # noqa: S101 - models.toml is refused without it
        self._name, self._diffusion, self._device = name, model.diffusion, device
        self._family = family_of(self._diffusion.family)
        can = abilities(self._diffusion.family, f"models.{name}", self._diffusion.can)
        before_the_device_wakes()
        self._layout, self._pipes = _opened(name, store, self._diffusion, device, plan)
        self._loras = Loras(name, self._pipes.base)
        self._grouped = self._layout.offload == "group"
        self._scheduler = type(self._pipes.base.scheduler), self._pipes.base.scheduler.config
        self.descriptor = Descriptor(
            name=name,
            kind="generate",
            licence=model.licence,
            multiple=self._diffusion.multiple,
            words=True,
            can=can,
            pixels=self._diffusion.pixels,
            weights=store.weights,
            device=f"{device.name} {self._layout.precision}, {device.threads} thread{'s' if device.threads > 1 else ''}",
            revision=store.revision,
        )

    def generate(self, request: Request, step: OnStep = unheard) -> Generated:
        """As ``Generator.generate``. On a GPU the pictures of one call differ from single ones by rounding; how many were made
        together is on record. Raises Problem for what the model cannot do, for want of memory on the last rung, and for pictures
        that are none; DeviceFault where the device has failed."""
        call = self._call(request)
        step(0.0)
        try:
            with repeatable(self._device), self._loras.worn(request.wish.loras) as loras:
                made = self._climb(call, step)
        except Exception as error:
            if is_dead(error):
                raise DeviceFault(
                    f"{self._device.name} has failed: {' '.join(str(error).split()):.200}",
                    "Look at it with the driver's own tool (nvidia-smi); its jobs wait.",
                ) from error
            raise
        return Generated(made.pictures, {**made.facts, "loras": loras})

    def close(self) -> None:
        """Let go of the weights."""
        del self._pipes, self._loras
        give_back(self._device)

    def _call(self, request: Request) -> _Call:
        wish, multiple = request.wish, self._diffusion.multiple
        if request.width % multiple or request.height % multiple:
            raise Problem(
                f"The model {self._name!r} makes pictures whose sides are multiples of {multiple} px, "
                f"not {request.width} x {request.height} px.",
                "Ask for another size.",
            )
        ability = ability_for(self._name, self.descriptor.can, request)
        way = self._family.ways[ability]
        steps = self._diffusion.steps if wish.steps is None else wish.steps
        strength = None if way.strong is None else way.strong if wish.strength is None else wish.strength
        if strength is not None:
            if strength < _FAINT:
                raise Problem(f"With strength {strength:g} the model {self._name!r} would change nothing.", f"Ask for {_FAINT} to 1.")
            steps = max(steps, ceil(1 / strength))
        guidance = self._diffusion.guidance if wish.guidance is None else wish.guidance
        return _Call(ability, way, request, steps, guidance, strength)

    def _climb(self, call: _Call, step: OnStep) -> Generated:
        planned = self._layout if call.way.batch else replace(self._layout, batch=1)
        if self._grouped:
            planned = replace(planned, offload="group")
        tried = []
        for rung in ladder(planned, fill=call.request.hole is not None):
            try:
                return self._on(rung, call, step)
            except Exception as error:
                if not is_shortage(error):
                    raise
            self._pipes.base.maybe_free_model_hooks()
            give_back(self._device)
            tried.append(rung.name)
        size = f"{call.request.width} x {call.request.height} px"
        raise Problem(
            f"There is not enough memory on {self._device.name} for the model {self._name!r} at {size} (tried: {', '.join(tried)}).",
            "Ask for a smaller size, name a smaller model, or end what else takes the memory.",
        )

    def _on(self, rung: Rung, call: _Call, step: OnStep) -> Generated:
        """The whole request on one rung."""
        if rung.grouped and not self._grouped:
            self._group()
        pipe = self._pipes.pipe(call.way)
        tiled = _tile(pipe.vae, on=rung.tiled)
        seeds, pictures, run = call.request.seeds, list[Pixels](), 0
        try:
            for begin in range(0, len(seeds), rung.batch):
                some = seeds[begin : begin + rung.batch]
                made, run = self._batch(pipe, call, some, rung.scale, _Share(step, begin, len(some), len(seeds)))
                pictures += made
        finally:
            _tile(pipe.vae, on=False)
        facts = self._facts(call, rung, run) | {"pipeline": type(pipe).__name__, "tiling": tiled}
        return Generated(tuple(pictures), facts)

    def _batch(self, pipe: Any, call: _Call, seeds: Sequence[int], scale: float, share: _Share) -> tuple[list[Pixels], int]:
        """Some pictures in one call, and how many steps were run for them."""
        material = call.material(len(seeds), scale, self._diffusion.multiple)
        kind, config = self._scheduler
        pipe.scheduler = kind.from_config(config)  # one that has run keeps what it ran
        try:
            images = pipe(
                **self._arguments(pipe, call, material),
                generator=dice(seeds),
                callback_on_step_end=share.heard,
            ).images
        finally:
            self._pipes.base.maybe_free_model_hooks()
        shown, precision = call.request.picture, self._layout.precision
        ready = []
        for picture, seed in zip(np.asarray(images, dtype=np.float32), seeds, strict=True):
            whole = checked(self._name, picture, seed, precision, shown)
            ready.append(sized(whole, call.request.width, call.request.height))
        return ready, int(pipe.num_timesteps)

    def _arguments(self, pipe: Any, call: _Call, material: Material) -> Arguments:
        wish, family = call.request.wish, self._family
        given = call.way.arguments(material)
        if family.negative is not None:
            given["negative_prompt"] = wish.negative or family.negative
        takes = inspect.signature(pipe.__call__).parameters
        for name in ("width", "height", "negative_prompt"):  # SDXL goes by the picture's own size; AutoPipeline's classes differ
            if name not in takes:
                given.pop(name, None)
        return {
            **given,
            family.guidance: call.guidance,
            "prompt": wish.prompt,
            "num_inference_steps": call.steps,
            "num_images_per_prompt": material.count,
            "output_type": "np",
        }

    def _group(self) -> None:
        """Lay the weights out block by block, for good: what did not fit once will not fit the next time."""
        import torch

        base, on = self._pipes.base, torch.device(self._device.name)
        base.remove_all_hooks()
        base.to("cpu")
        give_back(self._device)
        _by_groups(base, on)
        self._grouped = True

    def _facts(self, call: _Call, rung: Rung, run: int) -> dict[str, object]:
        request, wish = call.request, call.request.wish
        at = call.material(1, rung.scale, self._diffusion.multiple)
        return {
            "model": self._name,
            "family": self._diffusion.family,
            "ability": call.ability,
            "seeds": list(request.seeds),
            "steps": call.steps,
            "steps_run": run,
            "guidance": call.guidance,
            "strength": call.strength,
            "size": [request.width, request.height],
            "made_at": [at.width, at.height],
            "negative_used": bool(wish.negative) and self._family.negative is not None,
            "input_bits": 8 if call.way.eight_bit else 32,
            **scheduler_facts(self._pipes.base.scheduler),
            "precision": self._layout.precision,
            "offload": "group" if self._grouped else self._layout.offload,
            "batch": rung.batch,
            "rung": rung.name,
            "safety_checker": "not loaded",
            **facts(self._device),
        }


@dataclass(frozen=True, slots=True)
class _Share:
    """A batch's part of the whole request's progress."""

    step: OnStep
    begin: int
    count: int
    total: int

    def heard(self, pipe: Any, number: int, timestep: Any, tensors: Arguments) -> Arguments:
        """diffusers calls this after every step; what ``step`` raises ends the call, which ``_interrupt`` would not: it hands on a
        picture that is half done."""
        self.step((self.begin + self.count * (number + 1) / max(pipe.num_timesteps, 1)) / self.total)
        return tensors


def _opened(name: str, store: Store, diffusion: Diffusion, device: Device, plan: Plan) -> tuple[Layout, Pipes]:
    from goldsmith.engines.diffusion.tree import looked_through

    tree = looked_through(name, store.folder, variant=diffusion.variant, weights=store.single is None)
    planned = plan(tree.largest)
    try:
        pipes = load(name, store, diffusion, family_of(diffusion.family), planned.precision, tree)
        _lay_out(pipes.base, planned, device)
    except Exception as error:
        if is_shortage(error):
            give_back(device)
            raise Problem(
                f"There is not enough memory on {device.name} to load the model {name!r}.",
                "Name a smaller model, or end what else takes the memory: goldsmith doctor shows what fits.",
            ) from error
        if is_dead(error):
            raise DeviceFault(f"{device.name} has failed while {name!r} was loaded: {' '.join(str(error).split()):.200}") from error
        raise
    return planned, pipes


def _lay_out(base: Any, planned: Layout, device: Device) -> None:
    import torch

    on = torch.device(device.name)
    if planned.offload == "model":
        base.enable_model_cpu_offload(device=on)
    elif planned.offload == "group":
        _by_groups(base, on)
    else:
        base.to(on)


def _by_groups(base: Any, on: Any) -> None:
    import torch

    streams = {"use_stream": True, "low_cpu_mem_usage": True} if on.type == "cuda" else {}
    base.enable_group_offload(onload_device=on, offload_device=torch.device("cpu"), offload_type="leaf_level", **streams)


def _tile(vae: Any, *, on: bool) -> bool:
    """Switch the decoder's tiling and slicing; whether it is on now. Some decoders have only one of them."""
    for what in ("tiling", "slicing"):
        switch = getattr(vae, f"{'enable' if on else 'disable'}_{what}", None)
        if switch is not None:
            switch()
    return on and hasattr(vae, "enable_tiling")
