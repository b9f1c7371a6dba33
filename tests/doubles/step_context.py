"""A step context that needs no worker process, no library and no weights. It keeps everything that an operation does with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from goldsmith.engines.kinds import FACE_SWAPPER, GENERATOR, INPAINTER, UPSCALER
from goldsmith.engines.protocols import (
    Ability,
    Engine,
    EngineDescriptor,
    EngineNeed,
    EngineT,
    GenerationOptions,
    GenerationRequest,
    GenerationResult,
    Generator,
    Inpainter,
    OnProgress,
    Upscaler,
    ignore_progress,
)
from goldsmith.engines.vision import Face, FaceEmbedding, FaceSwapper, Points, TextLine, normalise
from goldsmith.errors import InputError, JobCancelled, JobYielded
from goldsmith.operation import (
    Deliverable,
    ExportedFile,
    FinishedPart,
    LibraryFacet,
    Portrait,
    RecordValue,
    Removal,
)
from goldsmith.picture.layered.picture_layers import PictureLayers
from goldsmith.picture.memory_budget import BYTES_PER_PIXEL, MemoryBudget
from goldsmith.picture.metadata.credits import NO_CREDITS, Credits
from goldsmith.picture.metadata.identity import derive_id, with_identity
from goldsmith.picture.outline_masks import cover_whole_object
from goldsmith.picture.picture import Mask, Metadata, Picture, Pixels
from goldsmith.picture.region import RegionNotFound, parse_region


class NullInpainter:
    """Fills every hole with the mean colour of the known pixels, and keeps its calls in ``calls``."""

    def __init__(self, side: int = 0, multiple: int = 1) -> None:
        self.descriptor = EngineDescriptor(name="null-inpaint", kind="inpaint", licence="CC0-1.0", side=side, multiple=multiple)
        self.calls: list[tuple[Pixels, Mask, int]] = []

    def fill(self, pixels: Pixels, hole: Mask, seed: int, on_progress: OnProgress = ignore_progress) -> Pixels:
        self.calls.append((pixels, hole, seed))
        empty = hole > 0.5
        filled = pixels.copy()
        filled[empty] = pixels[~empty].mean(axis=0) if not empty.all() else np.float32(0.5)
        return filled


class NullPainter:
    """An inpainting engine that takes words: it paints grain from the seed over its whole square, in ``steps`` steps."""

    def __init__(self, side: int = 64, steps: int = 4, colour: float = 0.5) -> None:
        self.descriptor = EngineDescriptor(
            name="null-painter", kind="inpaint", licence="CC0-1.0", side=side, multiple=8, enlarges=True, takes_prompt=True
        )
        self.calls: list[tuple[Pixels, Mask, int]] = []
        # Number of steps that it has finished.
        self.steps_done = 0
        self._steps = steps
        self._colour = colour

    def fill(self, pixels: Pixels, hole: Mask, seed: int, on_progress: OnProgress = ignore_progress) -> Pixels:
        self.calls.append((pixels, hole, seed))
        for number in range(self._steps):
            on_progress(number / self._steps)
            self.steps_done += 1
        grain = np.random.default_rng(seed).normal(self._colour, 0.05, pixels.shape)
        return np.clip(grain, 0, 1).astype(np.float32)


class NullUpscaler:
    """Repeats every pixel ``scale`` times in both directions."""

    def __init__(self, scale: int = 2, side: int = 0, pad: int = 0, multiple: int = 1) -> None:
        self.descriptor = EngineDescriptor(
            name="null-upscale", kind="upscale", licence="CC0-1.0", scale=scale, side=side, pad=pad, multiple=multiple
        )
        self.calls: list[Pixels] = []

    def enlarge(self, tile: Pixels) -> Pixels:
        self.calls.append(tile)
        scale = self.descriptor.scale
        return np.repeat(np.repeat(tile, scale, axis=0), scale, axis=1)


class NullGenerator:
    """Paints each picture in one colour of its seed, mixed with the given picture by the strength; keeps its calls in ``calls``."""

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
        self.calls: list[GenerationRequest] = []

    def generate(self, request: GenerationRequest, on_progress: OnProgress = ignore_progress) -> GenerationResult:
        self.calls.append(request)
        pictures = []
        for number, seed in enumerate(request.seeds):
            on_progress(number / len(request.seeds))
            colour = np.random.default_rng(seed).random(3, dtype=np.float32)
            painting = np.broadcast_to(colour, (request.height, request.width, 3))
            if request.picture is not None:
                strength = np.float32(0.5 if request.options.strength is None else request.options.strength)
                mixed = request.picture * (1 - strength) + painting * strength
                painting = mixed if request.hole is None else np.where(request.hole[..., None] > 0.5, mixed, request.picture)
            pictures.append(np.ascontiguousarray(painting, dtype=np.float32))
        return GenerationResult(tuple(pictures), {"steps": 1})


class EnginesDouble:
    """Implements ``EnginesFacet`` with null engines unless others are given. ``models`` and ``options`` keep what steps ask for."""

    def __init__(
        self,
        inpainter: Inpainter | None = None,
        upscaler: Upscaler | None = None,
        generator: Generator | None = None,
        swapper: FaceSwapper | None = None,
    ) -> None:
        self.models: list[str | None] = []
        self.options: list[GenerationOptions | None] = []
        self._inpainter = inpainter or NullInpainter()
        self._upscaler = upscaler
        self._generator = generator or NullGenerator()
        self._swapper = swapper

    def get(self, need: EngineNeed[EngineT], options: GenerationOptions | None = None) -> EngineT:
        self.models.append(need.model)
        if need.kind is INPAINTER:
            self.options.append(options)
        return cast("EngineT", self.engine_for(need, options))

    def engine_for(self, need: EngineNeed[Any], options: GenerationOptions | None) -> Engine:
        """Return the engine of that kind. Raise InputError if there is none or it cannot do what is needed."""
        engines: dict[object, Engine | None] = {
            INPAINTER: self._inpainter,
            UPSCALER: self._upscaler or NullUpscaler(scale=need.factor),
            GENERATOR: self._generator,
            FACE_SWAPPER: self._swapper,
        }
        engine = engines[need.kind]
        if engine is None:
            raise InputError(f"There is no model called {need.model!r}.")
        if not need.can <= set(engine.descriptor.can):
            raise InputError(f"The model {need.model!r} cannot do that.")
        return engine


class DetectDouble:
    """Implements ``DetectFacet``.

    ``spots`` are the masks that are found in every picture, by word ("subject", "face", "hands", "text"); a word that is missing is not
    found. ``faces`` are those in every picture, each with its mesh, and ``lines`` the text. ``portraits`` are pictures of the library with
    their face and mesh, by name; ``identify`` embeds a face (all faces are the same person without it). ``agreement`` is that of a second
    model about the subject.
    """

    def __init__(
        self,
        spots: Mapping[str, Mask] | None = None,
        faces: Mapping[Face, Points | None] | None = None,
        portraits: Mapping[str, tuple[Picture, Mapping[Face, Points | None]]] | None = None,
        identify: Callable[[Face, Picture], FaceEmbedding] | None = None,
        lines: Sequence[TextLine] = (),
        agreement: float | None = None,
    ) -> None:
        self._agreement = agreement
        self.models: list[str | None] = []
        self._spots = dict(spots or {})
        self._faces = dict(faces or {})
        self._portraits = dict(portraits or {})
        self._identify = identify
        self._lines = tuple(lines)

    def region(self, where: str, picture: Picture, is_removal: bool = False) -> Mask:
        expression = parse_region(where)
        detected = {word: self._spots.get(word) for word in expression.required_detections()}
        try:
            return expression.evaluate(picture, detected, cover_whole_object if is_removal else None)
        except RegionNotFound as error:
            raise InputError(f"There is no {error.missing_words[0]} to be found.") from error

    def find(self, word: str, picture: Picture) -> Mask | None:
        mask = self._spots.get(word)
        return None if mask is None or mask.shape != (picture.height, picture.width) else mask

    def matte(self, model: str | None, picture: Picture) -> Mask:
        self.models.append(model)
        return self.region("subject", picture)

    def subject_agreement(self, picture: Picture) -> float | None:
        return self._agreement

    def faces(self, picture: Picture) -> Sequence[Face]:
        return tuple(next((faces for portrait, faces in self._portraits.values() if portrait is picture), self._faces))

    def face_mesh(self, face: Face, picture: Picture) -> Points | None:
        pairs = [*self._faces.items(), *(pair for _, faces in self._portraits.values() for pair in faces.items())]
        return next((mesh for known, mesh in pairs if known is face), None)

    def face_identity(self, face: Face, picture: Picture) -> FaceEmbedding:
        return normalise(np.ones(4, np.float32)) if self._identify is None else self._identify(face, picture)

    def text_lines(self, picture: Picture) -> Sequence[TextLine]:
        return self._lines


class ResultsDouble:
    """Implements ``ResultsFacet``: keeps everything. ``exported`` are the files that earlier steps have made."""

    def __init__(self, exported: Sequence[ExportedFile] = (), remarks: Sequence[str] = (), removals: Sequence[Removal] = ()) -> None:
        self._removals = tuple(removals)
        self.findings: dict[str, RecordValue] = {}
        self._remarks = tuple(remarks)
        self.archived: list[Deliverable] = []
        self.laid_for_review: list[Deliverable] = []
        self.added: list[Deliverable] = []
        self.problem_pictures: list[Picture] = []
        self.checked_sizes: list[tuple[int, int]] = []
        self.identifies = False
        # Of a job; 0 = no limit.
        self.max_memory_bytes = 0
        self.credential_bytes = 0
        self._exported = tuple(exported)
        self.picture_layers: PictureLayers | None = None

    def record(self, **findings: RecordValue) -> None:
        remarks = [str(each["remark"]) for each in (self.findings, findings) if "remark" in each]
        self.findings.update(findings)
        if remarks:
            self.findings["remark"] = "; ".join(remarks)

    def reserved_bytes(self) -> int:
        return self.credential_bytes

    def add_beside(self, file: Deliverable) -> None:
        self.added.append(file)

    def archive(self, file: Deliverable) -> None:
        self.archived.append(file)

    def lay_for_review(self, file: Deliverable) -> None:
        self.laid_for_review.append(file)

    def with_identity(self, metadata: Metadata, tail: str) -> Metadata:
        """Return the metadata with an id that the tail alone gives, if ``identifies``; else as they are."""
        return with_identity(metadata, derive_id([tail]), metadata, "00") if self.identifies else metadata

    def exported_files(self) -> Sequence[ExportedFile]:
        return self._exported

    def layers(self, picture: Picture) -> PictureLayers | None:
        return self.picture_layers

    def remarks(self) -> Sequence[str]:
        return self._remarks

    def removals(self) -> Sequence[Removal]:
        return self._removals

    def show_problem(self, picture: Picture) -> None:
        self.problem_pictures.append(picture)

    def check_memory(self, width: int, height: int, bytes_per_pixel: int | None = None) -> None:
        self.checked_sizes.append((width, height))
        if self.max_memory_bytes:
            MemoryBudget(self.max_memory_bytes, bytes_per_pixel or BYTES_PER_PIXEL).check_size("What this step would make", width, height)


class LibraryDouble:
    """Implements ``LibraryFacet``.

    ``references`` maps (folder, name) to a file. ``portraits`` are as in ``DetectDouble``; a portrait that is opened puts the consent into
    the findings of ``results``.
    """

    def __init__(
        self,
        results: ResultsDouble,
        pictures: Sequence[Picture] = (),
        layers: Mapping[str, Picture] | None = None,
        heroes: Mapping[str, Picture] | None = None,
        references: Mapping[tuple[str, str], Path] | None = None,
        portraits: Mapping[str, tuple[Picture, Mapping[Face, Points | None]]] | None = None,
        controls: Mapping[str, Picture] | None = None,
    ) -> None:
        self._results = results
        self._controls = dict(controls or {})
        self._reference_pictures = tuple(pictures)
        self._layers = dict(layers or {})
        self._heroes = dict(heroes or {})
        self._references = dict(references or {})
        self._portraits = dict(portraits or {})

    def file(self, folder: str, name: str, suffixes: Sequence[str]) -> Path:
        path = self._references.get((folder, name))
        if path is None or path.suffix not in suffixes:
            raise InputError(f"There is no {name!r} in library/{folder}.", f"Put it there as one of: {', '.join(suffixes)}.")
        return path

    def names(self, folder: str, suffixes: Sequence[str]) -> Sequence[str]:
        return sorted(name for (on, name), path in self._references.items() if on == folder and path.suffix in suffixes)

    def layer(self, name: str) -> Picture:
        if name not in self._layers:
            raise InputError(f"There is no layer {name!r}.", "Put it beside the picture.")
        return self._layers[name]

    def hero(self, name: str) -> Picture:
        if name not in self._heroes:
            raise InputError(f"There is no {name!r} in library/heroes.", "Put it there.")
        return self._heroes[name]

    def portrait(self, name: str) -> Portrait:
        if name not in self._portraits:
            raise InputError(f"There is no {name!r} in library/faces.", "Put it there.")
        self._results.findings["consent"] = {"person": name}
        return Portrait(self._portraits[name][0], f"library/faces/{name}.png")

    def reference_pictures(self) -> Sequence[Picture]:
        return self._reference_pictures

    def control_picture(self, name: str) -> Picture | None:
        return self._controls.get(name) or self._controls.get("")


class ProgressDouble:
    """Implements ``ProgressFacet``: keeps the reports, and raises JobCancelled once the fraction ``cancel_at`` is reported."""

    def __init__(self, cancel_at: float | None = None) -> None:
        self.reports: list[tuple[float, str]] = []
        self._cancel_at = cancel_at

    def report(self, fraction: float, note: str = "") -> None:
        self.reports.append((fraction, note))
        if self._cancel_at is not None and fraction >= self._cancel_at:
            raise JobCancelled


class PartsDouble:
    """Implements ``PartsFacet``. ``kept`` holds the parts by name; None = nothing is kept. ``must_give_way`` makes the step stop."""

    def __init__(self, kept: dict[str, FinishedPart] | None = None, must_give_way: bool = False) -> None:
        self.kept = kept
        self.must_give_way = must_give_way

    def find(self, name: str) -> FinishedPart | None:
        return None if self.kept is None else self.kept.get(name)

    def keep(self, name: str, picture: Picture, facts: Mapping[str, RecordValue]) -> None:
        if self.kept is not None:
            self.kept[name] = FinishedPart(picture.pixels, facts)

    def give_way(self) -> None:
        if self.must_give_way:
            raise JobYielded


class StepContextDouble:
    """Implements ``StepContext`` with the facets of this module, from their settings.

    ``engines``, ``detect`` and ``library`` replace one.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        stem: str = "hero",
        prompt: str = "",
        scratch: Path = Path("/nonexistent"),
        engines: EnginesDouble | None = None,
        inpainter: Inpainter | None = None,
        upscaler: Upscaler | None = None,
        generator: Generator | None = None,
        swapper: FaceSwapper | None = None,
        detect: DetectDouble | None = None,
        spots: Mapping[str, Mask] | None = None,
        faces: Mapping[Face, Points | None] | None = None,
        portraits: Mapping[str, tuple[Picture, Mapping[Face, Points | None]]] | None = None,
        identify: Callable[[Face, Picture], FaceEmbedding] | None = None,
        lines: Sequence[TextLine] = (),
        library: LibraryFacet | None = None,
        reference_pictures: Sequence[Picture] = (),
        layers: Mapping[str, Picture] | None = None,
        heroes: Mapping[str, Picture] | None = None,
        controls: Mapping[str, Picture] | None = None,
        references: Mapping[tuple[str, str], Path] | None = None,
        exported: Sequence[ExportedFile] = (),
        cancel_at: float | None = None,
        credits: Credits = NO_CREDITS,  # noqa: A002 - the facet's name
        parts: PartsDouble | None = None,
    ) -> None:
        self.seed = seed
        self.stem = stem
        self.prompt = prompt
        self.credits = credits
        self.scratch = scratch
        self.progress = ProgressDouble(cancel_at)
        self.parts = PartsDouble() if parts is None else parts
        self.results = ResultsDouble(exported)
        self.engines = EnginesDouble(inpainter, upscaler, generator, swapper) if engines is None else engines
        self.detect = DetectDouble(spots, faces, portraits, identify, lines) if detect is None else detect
        self.library: LibraryFacet = (
            LibraryDouble(self.results, reference_pictures, layers, heroes, references, portraits, controls) if library is None else library
        )
