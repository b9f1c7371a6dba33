"""Make pictures with a model: from words alone, or anew from a picture and words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from goldsmith.engines import (
    Ability,
    EngineDescriptor,
    EngineNeed,
    GenerationOptions,
    GenerationRequest,
    Generator,
    OnProgress,
)
from goldsmith.errors import InputError
from goldsmith.operation import (
    Lora,
    RecordValue,
    SetOperation,
    StepContext,
    StepNeeds,
    lora_paths,
    lora_references,
)
from goldsmith.ops.regenerate.tiled_refinement import RefineOptions, refine_by_tiles
from goldsmith.picture import colour
from goldsmith.picture.dither import dither
from goldsmith.picture.picture import Picture, Pixels, freeze, quantise
from goldsmith.picture.resample import resize, resize_picture
from goldsmith.picture.size_fitting import MAX_PIXELS, MAX_SIDE, Size, anchor_offset, fill_size
from goldsmith.picture.tiling import Tiling, upscale_by_tiles

# How far a picture is changed where the brief does not say.
DEFAULT_STRENGTH = 0.55
# Pixels that are asked for in one call of the engine; it splits them further where memory is short.
_MAX_BATCH_PIXELS = 4 * 1024 * 1024
_MAX_BATCH = 8
# The first pass's share of the time where there is a second one.
_FIRST_PASS_SHARE = 0.4

_Side = Annotated[int, Field(ge=16, le=MAX_SIDE)]


class Regenerate(SetOperation):
    """Make pictures from words, or a picture anew, with a generating model: candidates, each with a seed of its own.

    A brief without a picture makes pictures from its words. With a picture the words change it, the more the higher ``strength`` is.
    """

    changes_geometry: ClassVar[bool] = True

    prompt: str = Field(default="", max_length=10_000)
    """What is to be seen; the brief's own prompt where it is empty."""
    negative: str = Field(default="", max_length=10_000)
    """What is not to be seen, for models that listen to it."""
    model: str | None = None
    """A name in config/models.toml; unset: the house's first one that can do it."""
    candidates: int = Field(default=1, ge=1, le=100)
    """How many pictures are made (1 to 100); a select step chooses among them, and the others go to the archive."""
    strength: float | None = Field(default=None, gt=0, le=1)
    """How far the result may go from the picture (0 to 1; unset: 0.55). With it a brief waits for its picture."""
    size: tuple[_Side, _Side] | None = None
    """[width, height] of the result in px, each 16 to 30000; unset: about as many pixels as the model was made for."""
    aspect: str = Field(default="", pattern=r"^(|\d{1,5}(\.\d{1,4})?:\d{1,5}(\.\d{1,4})?)$")
    """Width to height, such as "16:9", at about as many pixels as the model was made for; empty: the picture's own, else 1:1."""
    steps: int | None = Field(default=None, ge=1, le=200)
    """How many steps each picture takes (1 to 200; unset: as models.toml says)."""
    guidance: float | None = Field(default=None, ge=0, le=30)
    """How closely the words are followed (0 to 30; unset: as models.toml says)."""
    loras: tuple[Lora, ...] = Field(default=(), max_length=8)
    """Up to 8 additions to the model, from library/loras: { name, weight = 1 (-2 to 2) } each."""
    references: Literal["auto"] | bool = "auto"
    """Whether the model looks at the reference pictures beside the brief (hero.ref.png): auto, where there are any; true; false."""
    refine: float = Field(default=1, ge=1, le=4)
    """A second pass: enlarge by this (1 to 4; 1 = none) and draw the details anew, tile by tile."""
    refine_strength: float = Field(default=0.25, gt=0, le=1)
    """How far the second pass may go from the first (0 to 1)."""

    @model_validator(mode="after")
    def _check_combination(self) -> Regenerate:
        if self.size is not None and self.aspect:
            raise ValueError("give size or aspect, not both: a size has an aspect of its own")
        if self.size is not None and self.size[0] * self.size[1] > MAX_PIXELS:
            raise ValueError(f"{self.size[0]} x {self.size[1]} is more than {MAX_PIXELS // 10**6} megapixels")
        if not 1 / 8 <= self._aspect_ratio(None) <= 8:
            raise ValueError("that is too long: at most 8:1 or 1:8")
        return self

    def needs(self) -> StepNeeds:
        engine = EngineNeed(
            "generate",
            self.model,
            can=self._required_abilities(from_picture=self.strength is not None, with_references=self.references is True),
        )
        enlarging = (EngineNeed("upscale", factor=self._upscale_factor),) if self.refine > 1 else ()
        engines = (engine, *enlarging)
        return StepNeeds(
            library_files=lora_references(self.loras),
            engines=engines,
            needs_picture=self.strength is not None,
            needs_prompt=not self.prompt,
        )

    @property
    def _upscale_factor(self) -> int:
        """What the net of the second pass enlarges by; what is too much is taken off again."""
        return max(2, ceil(self.refine))

    def max_results(self, count: int) -> int:
        return max(1, count) * self.candidates

    def apply_set(self, pictures: Sequence[Picture], bench: StepContext) -> Iterator[Picture]:
        """The candidates one by one, of each picture in turn; without a picture, from words.

        Raises InputError where there are neither words nor a picture, or the model cannot do what is asked.
        """
        work = self._prepare(pictures, bench)
        givens: Sequence[Picture | None] = pictures or [None]
        for place, given in enumerate(givens):
            for number, made in self._make_candidates(given, place * self.candidates, work):
                yield replace(made, record_values={"number": number, "seed": candidate_seed(bench.seed, number)})
        numbers = range(1, len(givens) * self.candidates + 1)
        made_with: list[RecordValue] = [{"number": number, "seed": candidate_seed(bench.seed, number)} for number in numbers]
        bench.record(candidates=made_with, prompt=work.wish.prompt, **work.findings)

    def _required_abilities(self, *, from_picture: bool, with_references: bool) -> frozenset[Ability]:
        wanted: set[Ability] = {"image"} if from_picture or self.refine > 1 else set()
        return frozenset(wanted | ({"references"} if with_references else set()))

    def _prepare(self, pictures: Sequence[Picture], bench: StepContext) -> _GenerationRun:
        """The engine and what it is told, the same for all candidates."""
        prompt = self.prompt or bench.prompt
        if not pictures and not prompt:
            raise InputError("There is no picture and no prompt, so there is nothing to begin with.", "Write prompt = … into the brief.")
        shown = [] if self.references is False else [_to_srgb(picture) for picture in bench.reference_pictures()]
        if self.references is True and not shown:
            told = f"references = true, and no reference picture lies beside the brief ({bench.stem}.ref.png)."
            raise InputError(told, "Put one there, or leave it out.")
        engine = self._choose_engine(bench, from_picture=bool(pictures), with_references=bool(shown))
        strength = self._effective_strength(engine) if pictures else None
        wish = GenerationOptions(prompt, self.negative, strength, self.steps, self.guidance, lora_paths(self.loras, bench))
        return _GenerationRun(bench, engine, wish, tuple(shown), max(1, len(pictures)) * self.candidates)

    def _effective_strength(self, engine: Generator) -> float | None:
        """How far from the picture; None leaves that to a model that was named and edits: the words are then its instruction."""
        if self.strength is None and self.model is not None and "edit" in engine.descriptor.can:
            return None
        return DEFAULT_STRENGTH if self.strength is None else self.strength

    def _choose_engine(self, bench: StepContext, *, from_picture: bool, with_references: bool) -> Generator:
        """A model that can do all that is asked. One that edits by instruction may be named for a picture, too: it knows no strength."""
        edits = from_picture and self.model is not None and self.strength is None
        can = self._required_abilities(from_picture=from_picture and not edits, with_references=with_references)
        engine = bench.generator(self.model, can if from_picture else can | {"text"})
        if edits and not {"image", "edit"} & set(engine.descriptor.can):
            raise InputError(
                f"The model {engine.descriptor.name} does not start from a picture.", "Name another one, or leave the model out."
            )
        return engine

    def _make_candidates(self, source: Picture | None, numbers_used: int, run: _GenerationRun) -> Iterator[tuple[int, Picture]]:
        """(number, picture) of each candidate of one picture; those of other pictures were numbered up to ``before``."""
        wide, high = native_size(self._aspect_ratio(source), run.engine.descriptor)
        begin = None if source is None else _to_srgb(crop_and_resize(source, (wide, high)))
        ground = self._base_picture(source, (wide, high))
        batch = max(1, min(_MAX_BATCH, _MAX_BATCH_PIXELS // (wide * high)))
        numbers = range(numbers_used + 1, numbers_used + self.candidates + 1)
        for first in range(0, self.candidates, batch):
            some = numbers[first : first + batch]
            seeds = tuple(candidate_seed(run.context.seed, number) for number in some)
            request = GenerationRequest(run.wish, seeds, wide, high, picture=begin, references=run.references)
            share = _FIRST_PASS_SHARE if self.refine > 1 else 1.0
            made = run.engine.generate(
                request, run.progress_callback(some[0] - 1, len(some) * share, f"candidate {some[0]} of {run.candidate_count}")
            )
            run.add_findings(native=[wide, high], made=dict(made.facts))
            for number, seed, pixels in zip(some, seeds, made.pictures, strict=True):
                if self.refine > 1:
                    done = some[0] - 1 + len(some) * share + (number - some[0]) * (1 - share)
                    pixels = self._run_second_pass(
                        pixels, seed, run, run.progress_callback(done, 1 - share, f"refining {number} of {run.candidate_count}")
                    )
                yield number, _fit_into_base(ground, pixels, seed)

    def _aspect_ratio(self, source: Picture | None) -> float:
        """Width by height of what is to be made."""
        if self.size is not None:
            return self.size[0] / self.size[1]
        if self.aspect:
            wide, high = map(float, self.aspect.split(":"))
            return wide / high if wide and high else 0.0
        return 1.0 if source is None else source.width / source.height

    def _base_picture(self, source: Picture | None, native_size_px: Size) -> Picture:
        """What the new pixels are laid on: the picture's alpha, masks, profile and the rest, at the size of the result."""
        size = self.size or (round(native_size_px[0] * self.refine), round(native_size_px[1] * self.refine))
        if source is None:
            return Picture(freeze(np.zeros((size[1], size[0], 3), np.float32)))
        part = _centre_crop(_centre_crop(source, native_size_px), size)
        return resize_picture(part, size[1], size[0])

    def _run_second_pass(self, pixels: Pixels, seed: int, run: _GenerationRun, on_progress: OnProgress) -> Pixels:
        """Enlarged by ``refine`` and drawn anew by tiles."""
        asked = run.engine.descriptor
        upscaler = run.context.upscaler(None, self._upscale_factor)
        told = upscaler.descriptor
        large = upscale_by_tiles(
            pixels, upscaler.enlarge, Tiling(told.side, told.pad, told.multiple, told.scale), lambda done: on_progress(done * 0.3)
        )
        high, wide = round(pixels.shape[0] * self.refine), round(pixels.shape[1] * self.refine)
        large = np.clip(resize(large, high, wide, "lanczos"), 0, 1)
        wish = replace(run.wish, strength=self.refine_strength)

        def redraw(tile: Pixels, tile_seed: int, tell: OnProgress) -> Pixels:
            request = GenerationRequest(wish, (tile_seed,), tile.shape[1], tile.shape[0], picture=tile, references=run.references)
            return run.engine.generate(request, tell).pictures[0]

        made = refine_by_tiles(
            large, redraw, RefineOptions(asked.native_pixels, asked.multiple, seed), lambda done: on_progress(0.3 + done * 0.7)
        )
        run.add_findings(refined={"upscaler": told.name, "scale": told.scale, "size": [wide, high], "tiles": len(made.tiles)})
        return made.pixels


@dataclass(slots=True)
class _GenerationRun:
    """What is the same for every candidate, and what has been found out so far."""

    context: StepContext
    engine: Generator
    wish: GenerationOptions
    references: tuple[Pixels, ...]
    candidate_count: int
    findings: dict[str, RecordValue]

    def __init__(
        self, context: StepContext, engine: Generator, wish: GenerationOptions, references: tuple[Pixels, ...], candidate_count: int
    ) -> None:
        self.context, self.engine, self.wish, self.references, self.candidate_count, self.findings = (
            context,
            engine,
            wish,
            references,
            candidate_count,
            {},
        )

    def progress_callback(self, start: float, share: float, note: str) -> OnProgress:
        """Progress over all candidates from one piece of the work; where the job was called off, it ends there."""

        def step(fraction: float) -> None:
            self.context.report((start + share * min(1.0, max(0.0, fraction))) / self.candidate_count, note)

        return step

    def add_findings(self, **findings: object) -> None:
        self.findings.update(findings)  # type: ignore[arg-type]


def candidate_seed(seed: int, number: int) -> int:
    """The seed of a step's candidate (1-based), 31 bits of SHA-256: the same however many others are made with it."""
    digest = hashlib.sha256(f"{seed}/candidate/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def native_size(ratio: float, descriptor: EngineDescriptor) -> Size:
    """Width and height nearest to the model's own count of pixels at that ratio, both of its multiple."""
    step, count = descriptor.multiple, max(descriptor.native_pixels, descriptor.multiple**2)
    wide = max(step, round((count * ratio) ** 0.5 / step) * step)
    return wide, max(step, round(wide / ratio / step) * step)


def crop_and_resize(picture: Picture, size: Size) -> Picture:
    """The picture at exactly that (width, height): its middle, scaled; masks and alpha go along."""
    return resize_picture(_centre_crop(picture, size), size[1], size[0])


def _centre_crop(picture: Picture, size: Size) -> Picture:
    """As much of the picture as has the shape of ``size``, round its centre; the picture itself where it has that shape."""
    part, _ = fill_size((picture.width, picture.height), size, can_enlarge=True)
    left, top = anchor_offset((picture.width, picture.height), part, "center")
    rows, cols = slice(top, top + part[1]), slice(left, left + part[0])
    if part == (picture.width, picture.height):
        return picture
    return picture.with_geometry(picture.pixels[rows, cols], lambda mask: mask[rows, cols])


def _to_srgb(picture: Picture) -> Pixels:
    """The picture's colours as a model knows them: (h, w, 3) sRGB."""
    pixels = colour.convert_profile(picture, "srgb").pixels
    return freeze(np.repeat(pixels, 3, axis=2)) if pixels.shape[2] == 1 else pixels


def _fit_into_base(base: Picture, pixels: Pixels, seed: int) -> Picture:
    """What the model made, at the ground's size, in its profile, channels and depth; the ground's alpha, masks and metadata stay."""
    made = crop_and_resize(Picture(freeze(pixels)), (base.width, base.height))
    if base.channels == 1:
        made = made.with_pixels(colour.luma(made.pixels)[:, :, None])
    if base.icc is not None:
        made = colour.convert_profile(made, base.icc)
    if base.depth == 16:
        final = dither(made.pixels, 16, seed)
    else:
        final = quantise(made.pixels, 8).astype(np.float32) / np.float32(255)
    return base.with_pixels(final)
