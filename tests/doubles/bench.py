"""A bench that needs no lane, no library and no weights: what operations see of the world, and what they said to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from goldsmith.engines import (
    Ability,
    Descriptor,
    Generated,
    Generator,
    Inpainter,
    OnStep,
    Request,
    Upscaler,
    Wish,
    unheard,
)
from goldsmith.engines.vision import (
    Face,
    Identity,
    Points,
    Swapper,
    TextLine,
    unit,
)
from goldsmith.errors import Cancelled, Problem
from goldsmith.operation import Deliverable, Exported, Finding, Portrait
from goldsmith.picture.picture import Mask, Pixels, Plate
from goldsmith.picture.region import Nowhere, parse
from goldsmith.picture.spots import whole


class NullInpainter:
    """Fills every hole with the mean colour of what is known; says what it was asked."""

    def __init__(self, side: int = 0, multiple: int = 1) -> None:
        self.descriptor = Descriptor(name="null-inpaint", kind="inpaint", licence="CC0-1.0", side=side, multiple=multiple)
        self.asked: list[tuple[Pixels, Mask, int]] = []

    def fill(self, pixels: Pixels, hole: Mask, seed: int, step: OnStep = unheard) -> Pixels:
        self.asked.append((pixels, hole, seed))
        open_ = hole > 0.5
        filled = pixels.copy()
        filled[open_] = pixels[~open_].mean(axis=0) if not open_.all() else np.float32(0.5)
        return filled


class NullPainter:
    """An inpainting engine that takes words and paints: a grain of the seed over the whole square it works at, in ``steps`` steps."""

    def __init__(self, side: int = 64, steps: int = 4, colour: float = 0.5) -> None:
        self.descriptor = Descriptor(
            name="null-painter", kind="inpaint", licence="CC0-1.0", side=side, multiple=8, enlarges=True, words=True
        )
        self.asked: list[tuple[Pixels, Mask, int]] = []
        self.told = 0
        """How many steps it has come through."""
        self._steps = steps
        self._colour = colour

    def fill(self, pixels: Pixels, hole: Mask, seed: int, step: OnStep = unheard) -> Pixels:
        self.asked.append((pixels, hole, seed))
        for number in range(self._steps):
            step(number / self._steps)
            self.told += 1
        grain = np.random.default_rng(seed).normal(self._colour, 0.05, pixels.shape)
        return np.clip(grain, 0, 1).astype(np.float32)


class NullUpscaler:
    """Repeats every pixel ``scale`` times in both directions."""

    def __init__(self, scale: int = 2, side: int = 0, pad: int = 0, multiple: int = 1) -> None:
        self.descriptor = Descriptor(
            name="null-upscale", kind="upscale", licence="CC0-1.0", scale=scale, side=side, pad=pad, multiple=multiple
        )
        self.asked: list[Pixels] = []

    def enlarge(self, tile: Pixels) -> Pixels:
        self.asked.append(tile)
        scale = self.descriptor.scale
        return np.repeat(np.repeat(tile, scale, axis=0), scale, axis=1)


class NullGenerator:
    """Paints each picture in one colour of its seed, mixed with the picture it was given by the strength; says what it was asked."""

    def __init__(
        self, can: Sequence[Ability] = ("text", "image", "inpaint", "references"), pixels: int = 256 * 256, multiple: int = 16
    ) -> None:
        self.descriptor = Descriptor(
            name="null-generate", kind="generate", licence="CC0-1.0", can=tuple(can), pixels=pixels, multiple=multiple, words=True
        )
        self.asked: list[Request] = []

    def generate(self, request: Request, step: OnStep = unheard) -> Generated:
        self.asked.append(request)
        pictures = []
        for number, seed in enumerate(request.seeds):
            step(number / len(request.seeds))
            colour = np.random.default_rng(seed).random(3, dtype=np.float32)
            made = np.broadcast_to(colour, (request.height, request.width, 3))
            if request.picture is not None:
                strength = np.float32(0.5 if request.wish.strength is None else request.wish.strength)
                mixed = request.picture * (1 - strength) + made * strength
                made = mixed if request.hole is None else np.where(request.hole[..., None] > 0.5, mixed, request.picture)
            pictures.append(np.ascontiguousarray(made, dtype=np.float32))
        return Generated(tuple(pictures), {"steps": 1})


class BenchDouble:
    """Implements ``goldsmith.operation.Bench``: null engines unless others are given, everything reported is kept.

    ``spots`` are masks of what can be found in every picture ("subject", "face", "hands", "text"); what is not there is not found.
    ``faces`` are those in every picture, each with its mesh, and ``lines`` the text in it. ``portraits`` are the library's faces, by name,
    each picture with its one face and mesh; ``identify`` tells who a face is (everybody is the same where it is left out).
    ``shown`` are the bundle's reference pictures and ``layers`` its layers, by name; ``references`` maps (shelf, name) to a file;
    ``cancel_at`` raises Cancelled once that fraction is reported.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        stem: str = "hero",
        prompt: str = "",
        scratch: Path = Path("/nonexistent"),
        inpainter: Inpainter | None = None,
        upscaler: Upscaler | None = None,
        generator: Generator | None = None,
        shown: Sequence[Plate] = (),
        layers: Mapping[str, Plate] | None = None,
        heroes: Mapping[str, Plate] | None = None,
        references: Mapping[tuple[str, str], Path] | None = None,
        spots: Mapping[str, Mask] | None = None,
        faces: Mapping[Face, Points | None] | None = None,
        portraits: Mapping[str, tuple[Plate, Mapping[Face, Points | None]]] | None = None,
        identify: Callable[[Face, Plate], Identity] | None = None,
        swapper: Swapper | None = None,
        lines: Sequence[TextLine] = (),
        exported: Sequence[Exported] = (),
        cancel_at: float | None = None,
    ) -> None:
        self.seed = seed
        self.stem = stem
        self.prompt = prompt
        self.scratch = scratch
        self.progressed: list[tuple[float, str]] = []
        self.afforded: list[tuple[int, int]] = []
        self.findings: dict[str, Finding] = {}
        self.kept_aside: list[Deliverable] = []
        self.put_beside: list[Deliverable] = []
        self.models: list[str | None] = []
        self.shown_why: list[Plate] = []
        self._inpainter = inpainter or NullInpainter()
        self.wishes: list[Wish | None] = []
        self._upscaler = upscaler
        self._generator = generator or NullGenerator()
        self._shown = tuple(shown)
        self._layers = dict(layers or {})
        self._heroes = dict(heroes or {})
        self._references = dict(references or {})
        self._spots = dict(spots or {})
        self._faces = dict(faces or {})
        self._portraits = dict(portraits or {})
        self._identify = identify
        self._swapper = swapper
        self._lines = tuple(lines)
        self._exported = tuple(exported)
        self._cancel_at = cancel_at

    def inpainter(self, model: str | None, wish: Wish | None = None) -> Inpainter:
        self.models.append(model)
        self.wishes.append(wish)
        return self._inpainter

    def generator(self, model: str | None, can: frozenset[Ability]) -> Generator:
        self.models.append(model)
        if not can <= set(self._generator.descriptor.can):
            raise Problem(f"The model {model!r} cannot do that.")
        return self._generator

    def references(self) -> Sequence[Plate]:
        return self._shown

    def upscaler(self, model: str | None, factor: int) -> Upscaler:
        self.models.append(model)
        return self._upscaler or NullUpscaler(scale=factor)

    def region(self, where: str, plate: Plate, removing: bool = False) -> Mask:
        asked = parse(where)
        try:
            return asked.evaluate(plate, {word: self._spots.get(word) for word in asked.recognised()}, whole if removing else None)
        except Nowhere as nowhere:
            raise Problem(f"There is no {nowhere.words[0]} to be found.") from nowhere

    def matte(self, model: str | None, plate: Plate) -> Mask:
        self.models.append(model)
        return self.region("subject", plate)

    def show(self, shown: Plate) -> None:
        self.shown_why.append(shown)

    def faces(self, plate: Plate) -> Sequence[Face]:
        return tuple(next((faces for shown, faces in self._portraits.values() if shown is plate), self._faces))

    def mesh(self, face: Face, plate: Plate) -> Points | None:
        every = [*self._faces.items(), *(pair for _, faces in self._portraits.values() for pair in faces.items())]
        return next((mesh for known, mesh in every if known is face), None)

    def identity(self, face: Face, plate: Plate) -> Identity:
        return unit(np.ones(4, np.float32)) if self._identify is None else self._identify(face, plate)

    def swapper(self, model: str) -> Swapper:
        self.models.append(model)
        if self._swapper is None:
            raise Problem(f"There is no model called {model!r}.")
        return self._swapper

    def portrait(self, name: str) -> Portrait:
        if name not in self._portraits:
            raise Problem(f"There is no {name!r} in library/faces.", "Put it there.")
        self.findings["consent"] = {"person": name}
        return Portrait(self._portraits[name][0], f"library/faces/{name}.png")

    def read(self, plate: Plate) -> Sequence[TextLine]:
        return self._lines

    def reference(self, shelf: str, name: str, suffixes: Sequence[str]) -> Path:
        found = self._references.get((shelf, name))
        if found is None or found.suffix not in suffixes:
            raise Problem(f"There is no {name!r} in library/{shelf}.", f"Put it there as one of: {', '.join(suffixes)}.")
        return found

    def hero(self, name: str) -> Plate:
        if name not in self._heroes:
            raise Problem(f"There is no {name!r} in library/heroes.", "Put it there.")
        return self._heroes[name]

    def beside(self, file: Deliverable) -> None:
        self.put_beside.append(file)

    def layer(self, name: str) -> Plate:
        if name not in self._layers:
            raise Problem(f"There is no layer {name!r}.", "Put it beside the picture.")
        return self._layers[name]

    def names(self, shelf: str, suffixes: Sequence[str]) -> Sequence[str]:
        return sorted(name for (on, name), path in self._references.items() if on == shelf and path.suffix in suffixes)

    def aside(self, file: Deliverable) -> None:
        self.kept_aside.append(file)

    def exported(self) -> Sequence[Exported]:
        return self._exported

    def affords(self, width: int, height: int) -> None:
        self.afforded.append((width, height))

    def progress(self, fraction: float, note: str = "") -> None:
        self.progressed.append((fraction, note))
        if self._cancel_at is not None and fraction >= self._cancel_at:
            raise Cancelled

    def record(self, **findings: Finding) -> None:
        self.findings.update(findings)
