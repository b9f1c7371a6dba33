"""Make more picture round a picture."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from goldsmith.engines import EngineNeed, GenerationOptions, Inpainter
from goldsmith.errors import InputError
from goldsmith.operation import (
    Lora,
    PictureOperation,
    StepContext,
    StepNeeds,
    lora_paths,
    lora_references,
)
from goldsmith.ops.outpaint.canvas_extension import ExtensionOptions, extend_canvas
from goldsmith.picture.crop_planning import CropBox
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze
from goldsmith.picture.size_fitting import MAX_SIDE, Anchor, Size, anchor_offset
from goldsmith.picture.smoothing import pull_push_fill

# The most pixels a result may have: 1.5 GB as float32 RGB.
MAX_PIXELS = 128_000_000
# How many times the picture's own area a result may have: beyond it there is nothing left to go by.
MAX_AREA_FACTOR = 16
SIDES = ("left", "right", "top", "bottom")

_PROMPT_SETTINGS = ("prompt", "negative", "strength", "steps", "guidance", "loras")
_NO_GENERATOR_NOTE = "No model that generates serves this house here, so the picture itself was carried on."
_PERCENT = re.compile(r"^\d{1,3}(\.\d{1,3})?%$")
_ASPECT = re.compile(r"^\s*(\d{1,5}(?:\.\d{1,4})?)\s*:\s*(\d{1,5}(?:\.\d{1,4})?)\s*$")
_Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]


def _check_amount(value: object) -> object:
    """Px as a whole number, or per cent as text."""
    px = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SIDE
    part = isinstance(value, str) and _PERCENT.match(value) is not None
    if not (px or part):
        raise ValueError(f'write px as a whole number up to {MAX_SIDE}, or a part of the side as "20%"')
    return value


_Amount = Annotated[Annotated[int, Field(ge=0, le=MAX_SIDE)] | str, BeforeValidator(_check_amount)]


class Outpaint(PictureOperation):
    """Make more picture at the sides; what was there stays bit for bit as it is.

    Give one of ``aspect``, ``size`` and the sides ``left``, ``right``, ``top``, ``bottom``.
    """

    changes_geometry: ClassVar[bool] = True

    aspect: Annotated[str, Field(max_length=30)] | None = None
    """The shape to come to, as "16:9" or "1.91:1"; only ever by adding, never by cutting off."""
    size: tuple[_Side, _Side] | None = None
    """[width, height] to come to, in px, neither smaller than the picture's."""
    left: _Amount | None = None
    """How much to add at the left: px, or "20%" of the picture's width."""
    right: _Amount | None = None
    """How much to add at the right, as for left."""
    top: _Amount | None = None
    """How much to add at the top: px, or "20%" of the picture's height."""
    bottom: _Amount | None = None
    """How much to add at the bottom, as for top."""
    anchor: Anchor = "center"
    """Where the old picture stands in the new one, for aspect and size: center, left, bottom-right …"""
    prompt: Annotated[str, Field(max_length=4000)] = ""
    """What the new picture shows, for an engine that takes words: without one the picture waits; unset: the brief's, where it takes any."""
    negative: Annotated[str, Field(max_length=4000)] = ""
    """What should not be there, for engines that listen to it."""
    model: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """The engine's name in config/models.toml; unset: a model that generates where the house has one, else one that needs no weights."""
    context: Annotated[float, Field(ge=0.1, le=4)] = 1.5
    """How much of the picture the engine is shown beside what it adds, as a part of what it adds at once."""
    blend: Annotated[int, Field(ge=0, le=4096)] = 256
    """Over how many px what is added goes over from the tone at the picture's edge to its own."""
    strength: Annotated[float, Field(gt=0, le=1)] | None = None
    """How far the result may go from a smooth continuation of the edge (above 0, to 1; unset: as models.toml says)."""
    steps: Annotated[int, Field(ge=1, le=200)] | None = None
    """How many steps each window takes (1 to 200; unset: as models.toml says)."""
    guidance: Annotated[float, Field(ge=0, le=30)] | None = None
    """How closely the words are followed (0 to 30; unset: as models.toml says)."""
    loras: Annotated[tuple[Lora, ...], Field(max_length=8)] = ()
    """Up to 8 additions to the model, from library/loras: { name, weight = 1 (-2 to 2) } each."""

    @model_validator(mode="after")
    def _check_one_target(self) -> Outpaint:
        by_sides = [name for name in SIDES if getattr(self, name) is not None]
        ways = [name for name in ("aspect", "size") if getattr(self, name) is not None] + by_sides[:1]
        if len(ways) != 1:
            said = " and ".join(ways) or "none"
            raise ValueError(
                f"give one of aspect, size and the sides ({', '.join(SIDES)}); {said} {'is' if len(ways) < 2 else 'are'} given"
            )
        if by_sides and self.anchor != "center":
            raise ValueError(f'anchor = "{self.anchor}" is for aspect and size; the sides say themselves where the picture stands')
        if self.aspect is not None and not 0.05 <= _parse_aspect(self.aspect) <= 20:
            raise ValueError(f'aspect = "{self.aspect}" is no shape from 1:20 to 20:1; write it as "16:9"')
        return self

    def needs(self) -> StepNeeds:
        """Its LoRAs, and an engine for what lies beyond the edge: one that takes words where the step has any for it."""
        engine = EngineNeed("inpaint", self.model, needs_prompt=bool(self._prompt_settings_given()), extends_canvas=True)
        return StepNeeds(library_files=lora_references(self.loras), engines=(engine,))

    def origin_in_result(self, picture: Picture) -> tuple[int, int]:
        """Left and top of the old picture in the new one, in px."""
        return self._plan_geometry(picture)[1]

    def apply(self, plate: Picture, bench: StepContext) -> Picture:
        """The larger picture, with the old one in it bit for bit; the very picture where nothing is to be added.

        Masks are 0 in what is added. Alpha goes on as it is at the edge. Raises InputError where the result would be smaller than the
        picture in one direction, or far too large.
        """
        (width, height), (left, top) = self._plan_geometry(plate)
        if (width, height) == (plate.width, plate.height):
            return plate
        _refuse_oversized(plate, width, height)
        bench.check_memory(width, height)
        engine = self._choose_engine(bench)
        asked = engine.descriptor
        reach = ExtensionOptions(self.context, self.blend, asked.side, asked.multiple, bench.seed, asked.enlarges, asked.takes_prompt)
        box = CropBox(top, left, top + plate.height, left + plate.width)
        done = extend_canvas(_fill_transparent(plate), box, (height, width), engine.fill, reach, plate.depth, bench.report)
        done.pixels[box.window] = plate.pixels
        around = ((top, height - box.bottom), (left, width - box.right))
        made = plate.with_geometry(done.pixels, lambda mask: np.pad(mask, around))
        if plate.alpha is not None:
            made = replace(made, alpha=freeze(np.pad(plate.alpha, around, mode="edge")))
        bench.record(placed=[left, top, plate.width, plate.height], width=width, height=height, **done.findings())
        return made

    def _plan_geometry(self, plate: Picture) -> tuple[Size, tuple[int, int]]:
        """The new size, and left and top of the old picture in it."""
        old = (plate.width, plate.height)
        if self.aspect is None and self.size is None:
            left, right, top, bottom = (_to_px(getattr(self, name), old[name in ("top", "bottom")]) for name in SIDES)
            return (left + old[0] + right, top + old[1] + bottom), (left, top)
        new = self.size or _grow_to_aspect(old, _parse_aspect(self.aspect or "1:1"))
        if new[0] < old[0] or new[1] < old[1]:
            raise InputError(
                f"The picture is {old[0]} x {old[1]} px, larger than the {new[0]} x {new[1]} px it is to be extended to.",
                "Ask for a larger size, or put a resize step before this one.",
            )
        return new, anchor_offset(new, old, self.anchor)

    def _choose_engine(self, bench: StepContext) -> Inpainter:
        """One for what lies beyond the edge, told what the step asks for; own words are never left aside in silence."""
        prompt = self.prompt or bench.prompt
        wish = GenerationOptions(
            prompt, self.negative, self.strength, self.steps, self.guidance, lora_paths(self.loras, bench), extends_canvas=True
        )
        engine = bench.inpainter(self.model, wish)
        told = engine.descriptor
        if self._prompt_settings_given() and not told.takes_prompt:
            raise InputError(
                f"The engine {told.name} goes by the picture alone and cannot be told {', '.join(self._prompt_settings_given())}.",
                f"Name a model that takes words (goldsmith models list), or leave {', '.join(self._prompt_settings_given())} out of the step.",
            )
        if prompt:
            bench.record(prompt=prompt, prompt_used=told.takes_prompt)
        bench.record(generated=told.takes_prompt)
        if self.model is None and not told.takes_prompt:
            bench.record(note=_NO_GENERATOR_NOTE)
        return engine

    def _prompt_settings_given(self) -> list[str]:
        """The settings the step was given that no engine without words can honour."""
        return [name for name in _PROMPT_SETTINGS if getattr(self, name) != type(self).model_fields[name].default]


def _parse_aspect(aspect: str) -> float:
    """Width over height; 0 where it is no shape."""
    found = _ASPECT.match(aspect)
    if found is None or float(found[2]) == 0:
        return 0.0
    return float(found[1]) / float(found[2])


def _grow_to_aspect(size: Size, ratio: float) -> Size:
    """The smallest size of that shape with the old one in it; only one side grows."""
    width, height = size
    wide = round(height * ratio)
    return (wide, height) if wide > width else (width, max(height, round(width / ratio)))


def _to_px(amount: int | str | None, side: int) -> int:
    if isinstance(amount, str):
        return round(side * float(amount.removesuffix("%")) / 100)
    return amount or 0


def _refuse_oversized(plate: Picture, width: int, height: int) -> None:
    count = width * height
    if count > min(MAX_PIXELS, plate.width * plate.height * MAX_AREA_FACTOR):
        raise InputError(
            f"outpaint: {plate.width} x {plate.height} px would become {width} x {height} px, {count / 1e6:.0f} million pixels; "
            f"at most {MAX_PIXELS / 1e6:.0f} million are made, and {MAX_AREA_FACTOR} times what was there.",
            "Ask for less.",
        )


def _fill_transparent(plate: Picture) -> Pixels:
    """The pixels; under full transparency the colours of what is seen nearby, so that no hidden colour is carried on."""
    if plate.alpha is None or plate.alpha.all() or not plate.alpha.any():
        return plate.pixels
    seen: Mask = (plate.alpha > 0).astype(np.float32)
    return np.where(seen[..., None] > 0, plate.pixels, pull_push_fill(plate.pixels, seen)).astype(np.float32)
