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
    Descriptor,
    EngineNeed,
    Generator,
    OnStep,
    Request,
    Wish,
)
from goldsmith.errors import Problem
from goldsmith.operation import (
    Bench,
    Finding,
    Lora,
    Needs,
    SetOperation,
    lora_files,
    lora_needs,
)
from goldsmith.ops.regenerate.refine import Refining, refined
from goldsmith.picture import colour
from goldsmith.picture.dither import dithered
from goldsmith.picture.fitting import LONGEST_SIDE, MOST_PIXELS, Size, corner, filled
from goldsmith.picture.picture import Pixels, Plate, frozen, quantised
from goldsmith.picture.resample import resized, resized_plate
from goldsmith.picture.tiles import Tiling, tiled

STRENGTH = 0.55
"""How far a picture is changed where the brief does not say."""
_AT_ONCE = 4 * 1024 * 1024
"""Pixels that are asked for in one call of the engine; it splits them further where memory is short."""
_MOST_AT_ONCE = 8
_DRAWING = 0.4
"""The first pass's share of the time where there is a second one."""

_Side = Annotated[int, Field(ge=16, le=LONGEST_SIDE)]


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
    def _possible(self) -> Regenerate:
        if self.size is not None and self.aspect:
            raise ValueError("give size or aspect, not both: a size has an aspect of its own")
        if self.size is not None and self.size[0] * self.size[1] > MOST_PIXELS:
            raise ValueError(f"{self.size[0]} x {self.size[1]} is more than {MOST_PIXELS // 10**6} megapixels")
        if not 1 / 8 <= self._ratio(None) <= 8:
            raise ValueError("that is too long: at most 8:1 or 1:8")
        return self

    def needs(self) -> Needs:
        engine = EngineNeed("generate", self.model, can=self._abilities(picture=self.strength is not None, shown=self.references is True))
        enlarging = (EngineNeed("upscale", factor=self._enlarged),) if self.refine > 1 else ()
        engines = (engine, *enlarging)
        return Needs(references=lora_needs(self.loras), engines=engines, picture=self.strength is not None, words=not self.prompt)

    @property
    def _enlarged(self) -> int:
        """What the net of the second pass enlarges by; what is too much is taken off again."""
        return max(2, ceil(self.refine))

    def leaves(self, pictures: int) -> int:
        return max(1, pictures) * self.candidates

    def apply_set(self, plates: Sequence[Plate], bench: Bench) -> Iterator[Plate]:
        """The candidates one by one, of each plate in turn; without a plate, from words.

        Raises Problem where there are neither words nor a picture, or the model cannot do what is asked.
        """
        work = self._work(plates, bench)
        givens: Sequence[Plate | None] = plates or [None]
        for place, given in enumerate(givens):
            for number, made in self._candidates(given, place * self.candidates, work):
                yield replace(made, facts={"number": number, "seed": candidate_seed(bench.seed, number)})
        numbers = range(1, len(givens) * self.candidates + 1)
        made_with: list[Finding] = [{"number": number, "seed": candidate_seed(bench.seed, number)} for number in numbers]
        bench.record(candidates=made_with, prompt=work.wish.prompt, **work.told)

    def _abilities(self, *, picture: bool, shown: bool) -> frozenset[Ability]:
        wanted: set[Ability] = {"image"} if picture or self.refine > 1 else set()
        return frozenset(wanted | ({"references"} if shown else set()))

    def _work(self, plates: Sequence[Plate], bench: Bench) -> _Work:
        """The engine and what it is told, the same for all candidates."""
        prompt = self.prompt or bench.prompt
        if not plates and not prompt:
            raise Problem("There is no picture and no prompt, so there is nothing to begin with.", "Write prompt = … into the brief.")
        shown = [] if self.references is False else [_seen(plate) for plate in bench.references()]
        if self.references is True and not shown:
            told = f"references = true, and no reference picture lies beside the brief ({bench.stem}.ref.png)."
            raise Problem(told, "Put one there, or leave it out.")
        engine = self._engine(bench, given=bool(plates), shown=bool(shown))
        strength = self._strength(engine) if plates else None
        wish = Wish(prompt, self.negative, strength, self.steps, self.guidance, lora_files(self.loras, bench))
        return _Work(bench, engine, wish, tuple(shown), max(1, len(plates)) * self.candidates)

    def _strength(self, engine: Generator) -> float | None:
        """How far from the picture; None leaves that to a model that was named and edits: the words are then its instruction."""
        if self.strength is None and self.model is not None and "edit" in engine.descriptor.can:
            return None
        return STRENGTH if self.strength is None else self.strength

    def _engine(self, bench: Bench, *, given: bool, shown: bool) -> Generator:
        """A model that can do all that is asked. One that edits by instruction may be named for a picture, too: it knows no strength."""
        edits = given and self.model is not None and self.strength is None
        can = self._abilities(picture=given and not edits, shown=shown)
        engine = bench.generator(self.model, can if given else can | {"text"})
        if edits and not {"image", "edit"} & set(engine.descriptor.can):
            raise Problem(f"The model {engine.descriptor.name} does not start from a picture.", "Name another one, or leave the model out.")
        return engine

    def _candidates(self, given: Plate | None, before: int, work: _Work) -> Iterator[tuple[int, Plate]]:
        """(number, plate) of each candidate of one picture; those of other pictures were numbered up to ``before``."""
        wide, high = native(self._ratio(given), work.engine.descriptor)
        begin = None if given is None else _seen(shaped(given, (wide, high)))
        ground = self._ground(given, (wide, high))
        batch = max(1, min(_MOST_AT_ONCE, _AT_ONCE // (wide * high)))
        numbers = range(before + 1, before + self.candidates + 1)
        for first in range(0, self.candidates, batch):
            some = numbers[first : first + batch]
            seeds = tuple(candidate_seed(work.bench.seed, number) for number in some)
            request = Request(work.wish, seeds, wide, high, picture=begin, references=work.shown)
            share = _DRAWING if self.refine > 1 else 1.0
            made = work.engine.generate(request, work.telling(some[0] - 1, len(some) * share, f"candidate {some[0]} of {work.count}"))
            work.tell(native=[wide, high], made=dict(made.facts))
            for number, seed, pixels in zip(some, seeds, made.pictures, strict=True):
                if self.refine > 1:
                    done = some[0] - 1 + len(some) * share + (number - some[0]) * (1 - share)
                    pixels = self._refined(pixels, seed, work, work.telling(done, 1 - share, f"refining {number} of {work.count}"))
                yield number, _laid_on(ground, pixels, seed)

    def _ratio(self, given: Plate | None) -> float:
        """Width by height of what is to be made."""
        if self.size is not None:
            return self.size[0] / self.size[1]
        if self.aspect:
            wide, high = map(float, self.aspect.split(":"))
            return wide / high if wide and high else 0.0
        return 1.0 if given is None else given.width / given.height

    def _ground(self, given: Plate | None, drawn: Size) -> Plate:
        """What the new pixels are laid on: the picture's alpha, masks, profile and the rest, at the size of the result."""
        size = self.size or (round(drawn[0] * self.refine), round(drawn[1] * self.refine))
        if given is None:
            return Plate(frozen(np.zeros((size[1], size[0], 3), np.float32)))
        part = _middle(_middle(given, drawn), size)
        return resized_plate(part, size[1], size[0])

    def _refined(self, pixels: Pixels, seed: int, work: _Work, step: OnStep) -> Pixels:
        """Enlarged by ``refine`` and drawn anew by tiles."""
        asked = work.engine.descriptor
        upscaler = work.bench.upscaler(None, self._enlarged)
        told = upscaler.descriptor
        large = tiled(pixels, upscaler.enlarge, Tiling(told.side, told.pad, told.multiple, told.scale), lambda done: step(done * 0.3))
        high, wide = round(pixels.shape[0] * self.refine), round(pixels.shape[1] * self.refine)
        large = np.clip(resized(large, high, wide, "lanczos"), 0, 1)
        wish = replace(work.wish, strength=self.refine_strength)

        def redraw(tile: Pixels, tile_seed: int, tell: OnStep) -> Pixels:
            request = Request(wish, (tile_seed,), tile.shape[1], tile.shape[0], picture=tile, references=work.shown)
            return work.engine.generate(request, tell).pictures[0]

        made = refined(large, redraw, Refining(asked.pixels, asked.multiple, seed), lambda done: step(0.3 + done * 0.7))
        work.tell(refined={"upscaler": told.name, "scale": told.scale, "size": [wide, high], "tiles": len(made.tiles)})
        return made.pixels


@dataclass(slots=True)
class _Work:
    """What is the same for every candidate, and what has been found out so far."""

    bench: Bench
    engine: Generator
    wish: Wish
    shown: tuple[Pixels, ...]
    count: int
    told: dict[str, Finding]

    def __init__(self, bench: Bench, engine: Generator, wish: Wish, shown: tuple[Pixels, ...], count: int) -> None:
        self.bench, self.engine, self.wish, self.shown, self.count, self.told = bench, engine, wish, shown, count, {}

    def telling(self, done: float, share: float, note: str) -> OnStep:
        """Progress over all candidates from one piece of the work; where the job was called off, it ends there."""

        def step(fraction: float) -> None:
            self.bench.progress((done + share * min(1.0, max(0.0, fraction))) / self.count, note)

        return step

    def tell(self, **findings: object) -> None:
        self.told.update(findings)  # type: ignore[arg-type]


def candidate_seed(seed: int, number: int) -> int:
    """The seed of a step's candidate (1-based), 31 bits of SHA-256: the same however many others are made with it."""
    digest = hashlib.sha256(f"{seed}/candidate/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def native(ratio: float, model: Descriptor) -> Size:
    """Width and height nearest to the model's own count of pixels at that ratio, both of its multiple."""
    step, count = model.multiple, max(model.pixels, model.multiple**2)
    wide = max(step, round((count * ratio) ** 0.5 / step) * step)
    return wide, max(step, round(wide / ratio / step) * step)


def shaped(plate: Plate, size: Size) -> Plate:
    """The plate at exactly that (width, height): its middle, scaled; masks and alpha go along."""
    return resized_plate(_middle(plate, size), size[1], size[0])


def _middle(plate: Plate, size: Size) -> Plate:
    """As much of the plate as has the shape of ``size``, round its centre; the plate itself where it has that shape."""
    part, _ = filled((plate.width, plate.height), size, enlarge=True)
    left, top = corner((plate.width, plate.height), part, "center")
    rows, cols = slice(top, top + part[1]), slice(left, left + part[0])
    if part == (plate.width, plate.height):
        return plate
    return plate.reshaped(plate.pixels[rows, cols], lambda mask: mask[rows, cols])


def _seen(plate: Plate) -> Pixels:
    """The plate's colours as a model knows them: (h, w, 3) sRGB."""
    pixels = colour.converted(plate, "srgb").pixels
    return frozen(np.repeat(pixels, 3, axis=2)) if pixels.shape[2] == 1 else pixels


def _laid_on(ground: Plate, pixels: Pixels, seed: int) -> Plate:
    """What the model made, at the ground's size, in its profile, channels and depth; the ground's alpha, masks and metadata stay."""
    made = shaped(Plate(frozen(pixels)), (ground.width, ground.height))
    if ground.channels == 1:
        made = made.with_pixels(colour.luma(made.pixels)[:, :, None])
    if ground.icc is not None:
        made = colour.converted(made, ground.icc)
    if ground.depth == 16:
        final = dithered(made.pixels, 16, seed)
    else:
        final = quantised(made.pixels, 8).astype(np.float32) / np.float32(255)
    return ground.with_pixels(final)
