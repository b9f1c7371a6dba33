"""The ``outpaint`` operation: extend a picture at its sides."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, ClassVar

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from goldsmith.engines.kinds import INPAINTER
from goldsmith.engines.protocols import EngineNeed, GenerationOptions, Inpainter
from goldsmith.errors import InputError
from goldsmith.operation import (
    Lora,
    PictureOperation,
    PromptText,
    StepContext,
    StepNeeds,
    lora_paths,
    lora_references,
)
from goldsmith.ops.outpaint.canvas_extension import ExtensionOptions, extend_canvas
from goldsmith.ops.outpaint.edge_forms import edges_with_forms
from goldsmith.ops.outpaint.subjects import find_hidden, refuse_cut_subject
from goldsmith.picture.crop_planning import CropBox
from goldsmith.picture.metadata.source_type import SourceTypeChange
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze
from goldsmith.picture.size_fitting import MAX_SIDE, Anchor, Size, anchor_offset
from goldsmith.picture.smoothing import pull_push_fill

# The most pixels a result may have: 1.5 GB as float32 RGB.
MAX_PIXELS = 128_000_000
# The largest result, as a multiple of the picture's own area: beyond it there is nothing to continue.
MAX_AREA_FACTOR = 16
SIDES = ("left", "right", "top", "bottom")

_PROMPT_SETTINGS = ("prompt", "negative", "strength", "steps", "guidance", "loras")
_NO_GENERATOR_NOTE = "No generating model is available, so the picture itself was continued."
_PERCENT = re.compile(r"^\d{1,3}(\.\d{1,3})?%$")
_ASPECT = re.compile(r"^\s*(\d{1,5}(?:\.\d{1,4})?)\s*:\s*(\d{1,5}(?:\.\d{1,4})?)\s*$")
_Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]


def _check_amount(value: object) -> object:
    """Return px as a whole number, or a percentage as text."""
    is_px = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SIDE
    is_percentage = isinstance(value, str) and _PERCENT.match(value) is not None
    if not (is_px or is_percentage):
        raise ValueError(f'write a whole number of px up to {MAX_SIDE}, or a share of the side such as "20%"')
    return value


_Amount = Annotated[Annotated[int, Field(ge=0, le=MAX_SIDE)] | str, BeforeValidator(_check_amount)]


class Outpaint(PictureOperation):
    """Extend the picture at its sides; the old pixels stay bit for bit the same.

    Give one of ``aspect``, ``size`` and the sides ``left``, ``right``, ``top``, ``bottom``.
    """

    source_type: ClassVar[SourceTypeChange | None] = "compositeWithTrainedAlgorithmicMedia"
    also_called: ClassVar[str] = "extend expand uncrop extend-canvas canvas enlarge-canvas"
    settings_also_called: ClassVar[Mapping[str, str]] = MappingProxyType({"prompt": "text", "aspect": "ratio"})

    changes_geometry: ClassVar[bool] = True

    aspect: Annotated[str, Field(max_length=30)] | None = None
    """The new aspect ratio, such as "16:9" or "1.91:1"; reached by adding only, never by cropping."""
    size: tuple[_Side, _Side] | None = None
    """The new size, [width, height] in px, neither smaller than the picture's."""
    left: _Amount | None = None
    """How much to add on the left: px, or "20%" of the picture's width."""
    right: _Amount | None = None
    """How much to add on the right, as for left."""
    top: _Amount | None = None
    """How much to add at the top: px, or "20%" of the picture's height."""
    bottom: _Amount | None = None
    """How much to add at the bottom, as for top."""
    anchor: Anchor = "center"
    """Where the old picture is placed in the new one, for aspect and size: center, left, bottom-right …"""
    prompt: PromptText = ""
    """What the new part shows, for engines that take a prompt; the picture waits if the engine takes none. Default: the brief's prompt, if
    the engine takes one.
    """
    negative: PromptText = ""
    """What not to paint there, for engines that use a negative prompt."""
    model: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """The engine, a name in config/models.toml; default: a generating model if one is present, otherwise one that needs no weights."""
    context: Annotated[float, Field(ge=0.1, le=4)] = 1.5
    """How much of the picture the engine sees, as a share of what it adds at once."""
    blend: Annotated[int, Field(ge=0, le=4096)] = 256
    """The px over which the new part changes from the tone at the picture's edge to its own."""
    strength: Annotated[float, Field(gt=0, le=1)] | None = None
    """How far the result may differ from a smooth continuation of the edge (above 0, up to 1; default: the model's entry in models.toml).
    """
    steps: Annotated[int, Field(ge=1, le=200)] | None = None
    """Number of sampling steps for each window (1 to 200; default: the model's entry in models.toml)."""
    guidance: Annotated[float, Field(ge=0, le=30)] | None = None
    """How closely the engine follows the prompt (0 to 30; default: the model's entry in models.toml)."""
    loras: Annotated[tuple[Lora, ...], Field(max_length=8)] = ()
    """Up to 8 LoRAs from library/loras: { name, weight = 1 (-2 to 2) } each."""

    @model_validator(mode="after")
    def _check_one_target(self) -> Outpaint:
        by_sides = [name for name in SIDES if getattr(self, name) is not None]
        targets = [name for name in ("aspect", "size") if getattr(self, name) is not None] + by_sides[:1]
        if len(targets) != 1:
            names = " and ".join(targets) or "none"
            raise ValueError(
                f"give one of aspect, size and the sides ({', '.join(SIDES)}); {names} {'is' if len(targets) < 2 else 'are'} given"
            )
        if by_sides and self.anchor != "center":
            raise ValueError(f'anchor = "{self.anchor}" is for aspect and size; with the sides, the position is fixed')
        if self.aspect is not None and not 0.05 <= _parse_aspect(self.aspect) <= 20:
            raise ValueError(f'aspect = "{self.aspect}" is not a ratio from 1:20 to 20:1; write it as "16:9"')
        return self

    def needs(self) -> StepNeeds:
        """Return the LoRAs and an outpainting engine; one that takes a prompt if the step has prompt settings."""
        engine = EngineNeed(INPAINTER, self.model, needs_prompt=bool(self._prompt_settings_given()), extends_canvas=True)
        return StepNeeds(library_files=lora_references(self.loras), engines=(engine,))

    def origin_in_result(self, picture: Picture) -> tuple[int, int]:
        """Return the left and top of the old picture in the new one, in px."""
        return self._plan_geometry(picture)[1]

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """Return the larger picture with the old one in it bit for bit; the same picture if nothing is to be added.

        Masks are 0 in the new part, and alpha continues from the edge. Raises InputError if the result would be smaller than the picture in
        one direction, or far too large.
        """
        (width, height), (left, top) = self._plan_geometry(picture)
        if (width, height) == (picture.width, picture.height):
            return picture
        _refuse_oversized(picture, width, height)
        context.results.check_memory(width, height)
        engine = self._choose_engine(context)
        descriptor = engine.descriptor
        hidden = None if descriptor.takes_prompt else self._find_hidden(picture, context)
        options = ExtensionOptions(
            self.context, self.blend, descriptor.side, descriptor.multiple, context.seed, descriptor.enlarges, descriptor.takes_prompt
        )
        box = CropBox(top, left, top + picture.height, left + picture.width)
        visible = _fill_transparent(picture)
        if not descriptor.takes_prompt:
            self._remark_forms(edges_with_forms(visible, self._growing_edges(picture), hidden), context)
        canvas = extend_canvas(visible, box, (height, width), engine.fill, options, picture.depth, context.progress.report, hidden)
        canvas.pixels[box.window] = picture.pixels
        padding = ((top, height - box.bottom), (left, width - box.right))
        result = picture.with_geometry(canvas.pixels, lambda mask: np.pad(mask, padding))
        if picture.alpha is not None:
            result = replace(result, alpha=freeze(np.pad(picture.alpha, padding, mode="edge")))
        context.results.record(placed=[left, top, picture.width, picture.height], width=width, height=height, **canvas.findings())
        return result

    def _find_hidden(self, picture: Picture, context: StepContext) -> Mask | None:
        """Return what an engine that copies must not see (h, w), 0..1. Raises InputError if a growing edge cuts the subject, unless the
        step names the engine.
        """
        subject, hidden = find_hidden(picture, context.detect.find)
        if subject is not None and self.model is None:
            refuse_cut_subject(subject, self._growing_edges(picture))
        if hidden is not None:
            context.results.record(not_continued=round(float(hidden.mean()), 4))
        return hidden

    def _growing_edges(self, picture: Picture) -> tuple[str, ...]:
        (width, height), (left, top) = self._plan_geometry(picture)
        added = {"left": left, "right": width - left - picture.width, "top": top, "bottom": height - top - picture.height}
        return tuple(edge for edge in SIDES if added[edge] > 0)

    def _remark_forms(self, edges: tuple[str, ...], context: StepContext) -> None:
        """Remark the growing edges at which an engine that copies has more than a smooth ground to continue."""
        if edges:
            context.results.record(
                remark=f"no generating model painted the new part ({', '.join(edges)}): what the edge cuts may bend, break off or appear "
                "twice there, so look at it"
            )

    def _plan_geometry(self, picture: Picture) -> tuple[Size, tuple[int, int]]:
        """Return the new size, and the left and top of the old picture in it."""
        old_size = (picture.width, picture.height)
        if self.aspect is None and self.size is None:
            left, right, top, bottom = (_to_px(getattr(self, name), old_size[name in ("top", "bottom")]) for name in SIDES)
            return (left + old_size[0] + right, top + old_size[1] + bottom), (left, top)
        new_size = self.size or _grow_to_aspect(old_size, _parse_aspect(self.aspect or "1:1"))
        if new_size[0] < old_size[0] or new_size[1] < old_size[1]:
            raise InputError(
                f"The picture is {old_size[0]} x {old_size[1]} px, larger than the requested {new_size[0]} x {new_size[1]} px.",
                "Set a larger size, or put a resize step before this one.",
            )
        return new_size, anchor_offset(new_size, old_size, self.anchor)

    def _choose_engine(self, context: StepContext) -> Inpainter:
        """Return an outpainting engine with the step's prompt settings. Raises InputError if it cannot use the step's own settings."""
        prompt = self.prompt or context.prompt
        options = GenerationOptions(
            prompt, self.negative, self.strength, self.steps, self.guidance, lora_paths(self.loras, context), extends_canvas=True
        )
        engine = context.engines.get(EngineNeed(INPAINTER, self.model), options)
        descriptor = engine.descriptor
        if self._prompt_settings_given() and not descriptor.takes_prompt:
            raise InputError(
                f"The engine {descriptor.name} uses the picture alone and cannot use {', '.join(self._prompt_settings_given())}.",
                "Name a model that takes a prompt (goldsmith models list), or remove these settings from the step.",
            )
        if prompt:
            context.results.record(prompt=prompt, prompt_used=descriptor.takes_prompt)
        context.results.record(generated=descriptor.takes_prompt)
        if self.model is None and not descriptor.takes_prompt:
            context.results.record(note=_NO_GENERATOR_NOTE)
        return engine

    def _prompt_settings_given(self) -> list[str]:
        """Return the names of the step's own settings that only an engine with a prompt can use."""
        return [name for name in _PROMPT_SETTINGS if getattr(self, name) != type(self).model_fields[name].default]


def _parse_aspect(aspect: str) -> float:
    """Return width over height, or 0 if the text is not a ratio."""
    match = _ASPECT.match(aspect)
    if match is None or float(match[2]) == 0:
        return 0.0
    return float(match[1]) / float(match[2])


def _grow_to_aspect(size: Size, ratio: float) -> Size:
    """Return the smallest size of that ratio that contains the old one; only one side grows."""
    width, height = size
    wide = round(height * ratio)
    return (wide, height) if wide > width else (width, max(height, round(width / ratio)))


def _to_px(amount: int | str | None, side: int) -> int:
    if isinstance(amount, str):
        return round(side * float(amount.removesuffix("%")) / 100)
    return amount or 0


def _refuse_oversized(picture: Picture, width: int, height: int) -> None:
    count = width * height
    if count > min(MAX_PIXELS, picture.width * picture.height * MAX_AREA_FACTOR):
        raise InputError(
            f"outpaint: {picture.width} x {picture.height} px would become {width} x {height} px, {count / 1e6:.0f} million pixels; "
            f"the limits are {MAX_PIXELS / 1e6:.0f} million and {MAX_AREA_FACTOR} times the picture's area.",
            "Add less.",
        )


def _fill_transparent(picture: Picture) -> Pixels:
    """Return the pixels with visible colours nearby under full transparency, so that no hidden colour is continued."""
    if picture.alpha is None or picture.alpha.all() or not picture.alpha.any():
        return picture.pixels
    visible: Mask = (picture.alpha > 0).astype(np.float32)
    return np.where(visible[..., None] > 0, picture.pixels, pull_push_fill(picture.pixels, visible)).astype(np.float32)
