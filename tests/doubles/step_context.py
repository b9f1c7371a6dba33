"""A bench that needs no lane, no library and no weights: what operations see of the world, and what they said to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from goldsmith.engines import (
    Ability,
    EngineDescriptor,
    GenerationOptions,
    GenerationRequest,
    GenerationResult,
    Generator,
    Inpainter,
    OnProgress,
    Upscaler,
    ignore_progress,
)
from goldsmith.engines.vision import (
    Face,
    FaceEmbedding,
    FaceSwapper,
    Points,
    TextLine,
    normalise,
)
from goldsmith.errors import InputError, JobCancelled
from goldsmith.operation import Deliverable, ExportedFile, Portrait, RecordValue
from goldsmith.picture.outline_masks import cover_whole_object
from goldsmith.picture.picture import Mask, Picture, Pixels
from goldsmith.picture.region import RegionNotFound, parse_region


class NullInpainter:
    """Fills every hole with the mean colour of what is known; says what it was asked."""

    def __init__(self, side: int = 0, multiple: int = 1) -> None:
        self.descriptor = EngineDescriptor(name="null-inpaint", kind="inpaint", licence="CC0-1.0", side=side, multiple=multiple)
        self.asked: list[tuple[Pixels, Mask, int]] = []

    def fill(self, pixels: Pixels, hole: Mask, seed: int, on_progress: OnProgress = ignore_progress) -> Pixels:
        self.asked.append((pixels, hole, seed))
        open_ = hole > 0.5
        filled = pixels.copy()
        filled[open_] = pixels[~open_].mean(axis=0) if not open_.all() else np.float32(0.5)
        return filled


class NullPainter:
    """An inpainting engine that takes words and paints: a grain of the seed over the whole square it works at, in ``steps`` steps."""

    def __init__(self, side: int = 64, steps: int = 4, colour: float = 0.5) -> None:
        self.descriptor = EngineDescriptor(
            name="null-painter", kind="inpaint", licence="CC0-1.0", side=side, multiple=8, enlarges=True, takes_prompt=True
        )
        self.asked: list[tuple[Pixels, Mask, int]] = []
        # How many steps it has come through.
        self.told = 0
        self._steps = steps
        self._colour = colour

    def fill(self, pixels: Pixels, hole: Mask, seed: int, on_progress: OnProgress = ignore_progress) -> Pixels:
        self.asked.append((pixels, hole, seed))
        for number in range(self._steps):
            on_progress(number / self._steps)
            self.told += 1
        grain = np.random.default_rng(seed).normal(self._colour, 0.05, pixels.shape)
        return np.clip(grain, 0, 1).astype(np.float32)


class NullUpscaler:
    """Repeats every pixel ``scale`` times in both directions."""

    def __init__(self, scale: int = 2, side: int = 0, pad: int = 0, multiple: int = 1) -> None:
        self.descriptor = EngineDescriptor(
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
        self.descriptor = EngineDescriptor(
            name="null-generate",
            kind="generate",
            licence="CC0-1.0",
            can=tuple(can),
            native_pixels=pixels,
            multiple=multiple,
            takes_prompt=True,
        )
        self.asked: list[GenerationRequest] = []

    def generate(self, request: GenerationRequest, on_progress: OnProgress = ignore_progress) -> GenerationResult:
        self.asked.append(request)
        pictures = []
        for number, seed in enumerate(request.seeds):
            on_progress(number / len(request.seeds))
            colour = np.random.default_rng(seed).random(3, dtype=np.float32)
            made = np.broadcast_to(colour, (request.height, request.width, 3))
            if request.picture is not None:
                strength = np.float32(0.5 if request.options.strength is None else request.options.strength)
                mixed = request.picture * (1 - strength) + made * strength
                made = mixed if request.hole is None else np.where(request.hole[..., None] > 0.5, mixed, request.picture)
            pictures.append(np.ascontiguousarray(made, dtype=np.float32))
        return GenerationResult(tuple(pictures), {"steps": 1})


class StepContextDouble:
    """Implements ``goldsmith.operation.Bench``: null engines unless others are given, everything reported is kept.

    ``outlines_to_mask`` are masks of what can be found in every picture ("subject", "face", "hands", "text"); what is not there is not found.
    ``faces`` are those in every picture, each with its mesh, and ``fit_colour_lines`` the text in it. ``portraits`` are the library's faces, by name,
    each picture with its one face and mesh; ``identify`` tells who a face is (everybody is the same where it is left out).
    ``shown`` are the bundle's reference pictures and ``layers`` its layers, by name; ``references`` maps (shelf, name) to a file;
    ``cancel_at`` raises JobCancelled once that fraction is reported.
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
        shown: Sequence[Picture] = (),
        layers: Mapping[str, Picture] | None = None,
        heroes: Mapping[str, Picture] | None = None,
        references: Mapping[tuple[str, str], Path] | None = None,
        spots: Mapping[str, Mask] | None = None,
        faces: Mapping[Face, Points | None] | None = None,
        portraits: Mapping[str, tuple[Picture, Mapping[Face, Points | None]]] | None = None,
        identify: Callable[[Face, Picture], FaceEmbedding] | None = None,
        swapper: FaceSwapper | None = None,
        lines: Sequence[TextLine] = (),
        exported: Sequence[ExportedFile] = (),
        cancel_at: float | None = None,
    ) -> None:
        self.seed = seed
        self.stem = stem
        self.prompt = prompt
        self.scratch = scratch
        self.progressed: list[tuple[float, str]] = []
        self.afforded: list[tuple[int, int]] = []
        self.findings: dict[str, RecordValue] = {}
        self.kept_aside: list[Deliverable] = []
        self.put_beside: list[Deliverable] = []
        self.models: list[str | None] = []
        self.shown_why: list[Picture] = []
        self._inpainter = inpainter or NullInpainter()
        self.wishes: list[GenerationOptions | None] = []
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

    def inpainter(self, model: str | None, wish: GenerationOptions | None = None) -> Inpainter:
        self.models.append(model)
        self.wishes.append(wish)
        return self._inpainter

    def generator(self, model: str | None, can: frozenset[Ability]) -> Generator:
        self.models.append(model)
        if not can <= set(self._generator.descriptor.can):
            raise InputError(f"The model {model!r} cannot do that.")
        return self._generator

    def reference_pictures(self) -> Sequence[Picture]:
        return self._shown

    def upscaler(self, model: str | None, factor: int) -> Upscaler:
        self.models.append(model)
        return self._upscaler or NullUpscaler(scale=factor)

    def region(self, where: str, picture: Picture, is_removal: bool = False) -> Mask:
        asked = parse_region(where)
        try:
            return asked.evaluate(
                picture, {word: self._spots.get(word) for word in asked.required_detections()}, cover_whole_object if is_removal else None
            )
        except RegionNotFound as nowhere:
            raise InputError(f"There is no {nowhere.missing_words[0]} to be found.") from nowhere

    def matte(self, model: str | None, picture: Picture) -> Mask:
        self.models.append(model)
        return self.region("subject", picture)

    def show_problem(self, picture: Picture) -> None:
        self.shown_why.append(picture)

    def faces(self, picture: Picture) -> Sequence[Face]:
        return tuple(next((faces for shown, faces in self._portraits.values() if shown is picture), self._faces))

    def face_mesh(self, face: Face, picture: Picture) -> Points | None:
        every = [*self._faces.items(), *(pair for _, faces in self._portraits.values() for pair in faces.items())]
        return next((mesh for known, mesh in every if known is face), None)

    def face_identity(self, face: Face, picture: Picture) -> FaceEmbedding:
        return normalise(np.ones(4, np.float32)) if self._identify is None else self._identify(face, picture)

    def swapper(self, model: str) -> FaceSwapper:
        self.models.append(model)
        if self._swapper is None:
            raise InputError(f"There is no model called {model!r}.")
        return self._swapper

    def portrait(self, name: str) -> Portrait:
        if name not in self._portraits:
            raise InputError(f"There is no {name!r} in library/faces.", "Put it there.")
        self.findings["consent"] = {"person": name}
        return Portrait(self._portraits[name][0], f"library/faces/{name}.png")

    def text_lines(self, picture: Picture) -> Sequence[TextLine]:
        return self._lines

    def file(self, folder: str, name: str, suffixes: Sequence[str]) -> Path:
        found = self._references.get((folder, name))
        if found is None or found.suffix not in suffixes:
            raise InputError(f"There is no {name!r} in library/{folder}.", f"Put it there as one of: {', '.join(suffixes)}.")
        return found

    def hero(self, name: str) -> Picture:
        if name not in self._heroes:
            raise InputError(f"There is no {name!r} in library/heroes.", "Put it there.")
        return self._heroes[name]

    def add(self, file: Deliverable) -> None:
        self.put_beside.append(file)

    def layer(self, name: str) -> Picture:
        if name not in self._layers:
            raise InputError(f"There is no layer {name!r}.", "Put it beside the picture.")
        return self._layers[name]

    def names(self, folder: str, suffixes: Sequence[str]) -> Sequence[str]:
        return sorted(name for (on, name), path in self._references.items() if on == folder and path.suffix in suffixes)

    def archive(self, file: Deliverable) -> None:
        self.kept_aside.append(file)

    def exported_files(self) -> Sequence[ExportedFile]:
        return self._exported

    def check_memory(self, width: int, height: int) -> None:
        self.afforded.append((width, height))

    def report(self, fraction: float, note: str = "") -> None:
        self.progressed.append((fraction, note))
        if self._cancel_at is not None and fraction >= self._cancel_at:
            raise JobCancelled

    def record(self, **findings: RecordValue) -> None:
        self.findings.update(findings)
