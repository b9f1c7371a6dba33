"""The engine: requests in, pictures and what was really done out; when memory runs out it walks the ladder and goes on living."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from threading import Lock
from typing import Any

import numpy as np

from goldsmith.engines import (
    Ability,
    Descriptor,
    Device,
    Generated,
    OnStep,
    Request,
    Store,
    unheard,
)
from goldsmith.engines.diffusion.families import Way, abilities, ability_for, family_of
from goldsmith.engines.diffusion.layout import Rung, ladder
from goldsmith.engines.diffusion.material import Arguments, Material, material, words_cut
from goldsmith.engines.diffusion.mounted import Mounted, Plan, has_tiling
from goldsmith.engines.diffusion.repeatable import before_the_device_wakes, dice, facts, repeatable
from goldsmith.engines.diffusion.results import checked, sized
from goldsmith.engines.memory import dead, give_back, is_dead, is_shortage
from goldsmith.engines.registry.models import Model
from goldsmith.errors import Problem
from goldsmith.picture.picture import Pixels

_FAINT = 0.01
"""A strength below this leaves no step to run."""


@dataclass(frozen=True, slots=True)
class _Call:
    """What all pictures of a call have in common."""

    ability: Ability
    way: Way
    steps: int
    guidance: float
    strength: float | None
    negative: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class _Frame:
    """One picture to be made."""

    request: Request
    seed: int


class DiffusionEngine:
    """Implements ``goldsmith.engines.Generator`` with one model of diffusers. It may be used from several threads, one at a time."""

    def __init__(self, name: str, model: Model, store: Store, device: Device, plan: Plan) -> None:
        """Loads the model. Raises Problem for one that cannot be opened or does not fit, DeviceFault where the device fails."""
        assert model.diffusion is not None  # noqa: S101 - models.toml is refused without it
        self._name, self._diffusion, self._store, self._device, self._plan = name, model.diffusion, store, device, plan
        self._family = family_of(self._diffusion.family)
        can = abilities(self._diffusion.family, f"models.{name}", self._diffusion.can)
        self._busy = Lock()
        self._mounted: Mounted | None = None
        before_the_device_wakes()
        precision = self._mount().layout.precision
        self.descriptor = Descriptor(
            name=name,
            kind="generate",
            licence=model.licence,
            multiple=self._diffusion.multiple,
            words=True,
            can=can,
            pixels=self._diffusion.pixels,
            weights=store.weights,
            device=f"{device.name} {precision}, {device.threads} thread{'s' if device.threads > 1 else ''}",
            revision=store.revision,
        )

    def generate(self, request: Request, step: OnStep = unheard) -> Generated:
        """As ``Generator.generate``. On a GPU the pictures of one call differ from single ones by rounding; how many were made
        together is on record. Raises Problem for what the model cannot do, for want of memory on the last rung, and for pictures
        that are none; DeviceFault where the device has failed; and what ``step`` raises."""
        return self.generate_many([request], step)[0]

    def generate_many(self, requests: Sequence[Request], step: OnStep = unheard) -> list[Generated]:
        """As ``generate`` for each. Requests of one size and the same settings go through the pipeline together, whatever their
        words and pictures are; others one after the other."""
        calls = [self._call(request) for request in requests]
        alike = all(call == calls[0] for call in calls) and len({request.wish.loras for request in requests}) == 1
        if len(requests) > 1 and not (alike and calls[0].way.batch and not calls[0].way.eight_bit):
            shares = [_Share(step, number, 1, len(requests)) for number in range(len(requests))]
            return [self.generate(request, share.told) for request, share in zip(requests, shares, strict=True)]
        frames = [_Frame(request, seed) for request in requests for seed in request.seeds]
        step(0.0)
        with self._busy:
            pictures, done = self._made(frames, calls[0], step)
        made, calling = [], int(str(done["batch"]))
        for request in requests:
            own, pictures = pictures[: len(request.seeds)], pictures[len(request.seeds) :]
            begin = len(frames) - len(pictures) - len(own)
            negative = bool(request.wish.negative) and self._family.negative is not None
            told: dict[str, object] = {"seeds": list(request.seeds), "negative_used": negative}
            told["batch"] = _in_one_call(begin, len(own), calling, len(frames))
            made.append(Generated(tuple(own), {**done, **told}))
        return made

    def close(self) -> None:
        """Let go of the weights. Who still holds the engine may go on with it: they are then read again."""
        with self._busy:
            self._mounted = None
        give_back(self._device)

    def _mount(self) -> Mounted:
        if self._mounted is None:
            self._mounted = Mounted(self._name, self._store, self._diffusion, self._family, self._device, self._plan)
        return self._mounted

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
            steps = max(steps, ceil(1 / strength))  # only this part of the steps is run, and one must be
        guidance = self._diffusion.guidance if wish.guidance is None else wish.guidance
        return _Call(ability, way, steps, guidance, strength, wish.negative, request.width, request.height)

    def _made(self, frames: Sequence[_Frame], call: _Call, step: OnStep) -> tuple[list[Pixels], dict[str, object]]:
        try:
            mounted = self._mount()
            with repeatable(self._device), mounted.loras.worn(frames[0].request.wish.loras) as loras:
                pictures, done = self._climb(mounted, frames, call, step)
        except Exception as error:
            if is_dead(error):
                raise dead(self._device, error) from error
            raise
        return pictures, {**done, "loras": loras}

    def _climb(self, mounted: Mounted, frames: Sequence[_Frame], call: _Call, step: OnStep) -> tuple[list[Pixels], dict[str, object]]:
        planned = replace(mounted.layout, offload=mounted.offload, batch=mounted.layout.batch if call.way.batch else 1)
        tried = []
        for rung in ladder(replace(planned, batch=min(planned.batch, len(frames))), fill=frames[0].request.hole is not None):
            try:
                return self._on(rung, mounted, frames, call, step)
            except Exception as error:  # a shortage has several classes; whatever is none goes on from here
                if not is_shortage(error):
                    raise
            mounted.at_rest(freed=True)
            tried.append(rung.name)
        raise Problem(
            f"There is not enough memory on {self._device.name} for the model {self._name!r} at {call.width} x {call.height} px "
            f"(tried: {', '.join(tried)}).",
            "Ask for a smaller size, name a smaller model, or end what else takes the memory.",
        )

    def _on(
        self, rung: Rung, mounted: Mounted, frames: Sequence[_Frame], call: _Call, step: OnStep
    ) -> tuple[list[Pixels], dict[str, object]]:
        """Every picture on one rung, and what was done."""
        if rung.grouped:
            mounted.group()
        multiple = self._diffusion.multiple
        width, height = (max(multiple, round(side * rung.scale / multiple) * multiple) for side in (call.width, call.height))
        pictures: list[Pixels] = []
        made_at, cut = [width, height], False
        try:
            for begin in range(0, len(frames), rung.batch):
                some = frames[begin : begin + rung.batch]
                given = material([frame.request for frame in some], width, height, call.strength or 0.0)
                share = _Share(step, begin, len(some), len(frames))
                pipe = mounted.pipe(call.way, tiled=rung.tiled)
                called = self._arguments(pipe, call, given) | {"generator": dice([frame.seed for frame in some])}
                images = pipe(**called, callback_on_step_end=share.heard, output_type="np").images
                made_at, cut = [images[0].shape[1], images[0].shape[0]], cut or words_cut(pipe, given.prompts)
                pictures += self._ready(images, some, call, mounted.layout.precision)
        finally:
            mounted.at_rest()
        done = self._facts(call, rung) | {"made_at": made_at, "steps_run": int(pipe.num_timesteps), "prompt_cut": cut}
        done |= {"pipeline": type(pipe).__name__, "tiling": rung.tiled and has_tiling(pipe.vae)}
        return pictures, {**done, **mounted.facts(), **facts(self._device)}

    def _ready(self, images: Any, frames: Sequence[_Frame], call: _Call, precision: str) -> list[Pixels]:
        """What came of one call, looked at and of the size that was asked for."""
        ready = []
        for picture, frame in zip(np.asarray(images, dtype=np.float32), frames, strict=True):
            whole = checked(self._name, picture, frame.seed, precision, frame.request.picture)
            ready.append(sized(whole, call.width, call.height))
        return ready

    def _arguments(self, pipe: Any, call: _Call, given: Material) -> Arguments:
        family = self._family
        arguments = {**call.way.arguments(given), **given.words, family.guidance: call.guidance, "num_inference_steps": call.steps}
        if family.negative is not None:
            words = call.negative or family.negative
            arguments["negative_prompt"] = words if isinstance(arguments["prompt"], str) else [words] * given.count
        takes = inspect.signature(pipe.__call__).parameters
        for name in ("width", "height", "negative_prompt"):  # SDXL goes by the picture's own size; AutoPipeline's classes differ
            if name not in takes:
                arguments.pop(name, None)
        return arguments

    def _facts(self, call: _Call, rung: Rung) -> dict[str, object]:
        return {
            "model": self._name,
            "family": self._diffusion.family,
            "ability": call.ability,
            "steps": call.steps,
            "guidance": call.guidance,
            "strength": call.strength,
            "size": [call.width, call.height],
            "input_bits": 8 if call.way.eight_bit else 32,
            "batch": rung.batch,
            "rung": rung.name,
            "safety_checker": "not loaded",
        }


def _in_one_call(begin: int, count: int, batch: int, total: int) -> int:
    """How many pictures, of whichever requests, the fullest call made that made some of these ``count`` after ``begin``."""
    calls = range(begin // batch, (begin + count - 1) // batch + 1)
    return max(min(batch, total - call * batch) for call in calls)


@dataclass(frozen=True, slots=True)
class _Share:
    """A part of a whole's progress: ``count`` of ``total`` pieces, after ``begin`` of them."""

    step: OnStep
    begin: int
    count: int
    total: int

    def told(self, fraction: float) -> None:
        self.step((self.begin + self.count * fraction) / self.total)

    def heard(self, pipe: Any, number: int, timestep: Any, tensors: Arguments) -> Arguments:
        """diffusers calls this after every step. What ``step`` raises ends the call; ``_interrupt`` would not: it hands on a picture
        that is half done."""
        self.told((number + 1) / max(pipe.num_timesteps, 1))
        return tensors
