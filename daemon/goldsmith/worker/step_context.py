"""A lane's bench: what operations see of the world while a job runs, and the steps themselves, one after the other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from goldsmith.engines import (
    Ability,
    EngineNeed,
    GenerationOptions,
    Generator,
    Inpainter,
    Upscaler,
)
from goldsmith.engines.vision import (
    Face,
    FaceEmbedder,
    FaceEmbedding,
    FaceSwapper,
    Points,
    TextLine,
)
from goldsmith.errors import InputError
from goldsmith.files import fold_name
from goldsmith.jobs import job_faults
from goldsmith.jobs.job import InputRead, Job, JobInput
from goldsmith.library.consents import FACES_FOLDER, find_consent, local_today
from goldsmith.library.layers import find_layer, read_layer
from goldsmith.library.library import Library
from goldsmith.operation import LAYER_SUFFIXES, Deliverable, ExportedFile, Portrait, RecordValue
from goldsmith.picture import region
from goldsmith.picture.memory_budget import BYTES_PER_PIXEL, MemoryBudget
from goldsmith.picture.picture import Mask, Picture
from goldsmith.worker.detections import DetectionCache, Detections, to_rgb
from goldsmith.worker.engine_provider import EngineProvider, to_json
from goldsmith.worker.inputs import InputChanged, LoadedInput, load_input
from goldsmith.worker.scratch_folder import ScratchFolder

__all__ = ["EngineProvider", "WorkerStepContext", "to_json"]

# Which role of a picture's own sidecars stands before which shelf of the library.
_SIDECAR_ROLES = {"looks": "look", "layers": "layer", "refs": "ref"}
_REGION_NOUNS = {"subject": "subject", "face": "face", "hands": "hand", "text": "text"}


@dataclass(slots=True)
class WorkerStepContext:
    """Implements ``goldsmith.operation.Bench`` for one step of one job."""

    job: Job
    engine_provider: EngineProvider
    scratch_folder: ScratchFolder
    library: Library
    reads: Mapping[str, InputRead]
    on_progress: Callable[[float, str], None]
    seed: int
    findings: dict[str, JsonValue] = field(default_factory=dict)
    engine_record: dict[str, JsonValue] | None = None
    # Paths of the picture's own sidecars that the step has opened.
    used_files: list[str] = field(default_factory=list)

    detection_cache: DetectionCache = field(default_factory=DetectionCache)
    # What the step says it takes, bytes a pixel.
    bytes_per_pixel: int = BYTES_PER_PIXEL
    """What was found in this job's pictures: one memory for all its steps."""
    # The engines that looked at the picture for this step, by their facts.
    vision_engines: list[dict[str, JsonValue]] = field(default_factory=list)
    # How far the step has come, 0..1.
    fraction: float = 0.0

    @property
    def stem(self) -> str:
        return self.job.stem

    @property
    def prompt(self) -> str:
        return self.job.prompt

    @property
    def scratch(self) -> Path:
        return self.scratch_folder.folder

    def inpainter(self, model: str | None, wish: GenerationOptions | None = None) -> Inpainter:
        need = EngineNeed("inpaint", model, needs_prompt=wish is not None, extends_canvas=wish is not None and wish.extends_canvas)
        engine, facts = self.engine_provider.inpainter(need, self._report_note, wish, self._record_fill)
        self._record_engine(facts)
        return engine

    def _record_fill(self, facts: Mapping[str, object]) -> None:
        """Put on record what a generating model did for one fill; fills that differ only in their seeds are one line."""
        told = {name: to_json(value) for name, value in facts.items()}
        seeds = told.pop("seeds", None)
        fills = (self.engine_record or {}).setdefault("fills", [])
        assert isinstance(fills, list)  # noqa: S101 - made here
        for fill in fills:
            if isinstance(fill, dict) and {name: value for name, value in fill.items() if name != "seeds"} == told:
                known = fill["seeds"]
                fill["seeds"] = [*(known if isinstance(known, list) else []), *(seeds if isinstance(seeds, list) else [])]
                return
        fills.append({**told, "seeds": seeds if isinstance(seeds, list) else []})

    def generator(self, model: str | None, can: frozenset[Ability]) -> Generator:
        need = EngineNeed("generate", model, can=can)
        engine, facts = self.engine_provider.generator(need, self._report_note)
        self._record_engine(facts)
        return engine

    def reference_pictures(self) -> Sequence[Picture]:
        from goldsmith.picture.codec import decode_with_info

        found = []
        for given in self.job.inputs:
            if given.role == "ref":
                loaded = self._reload_input(given)
                self.used_files.append(given.path)
                found.append(decode_with_info(loaded.data, loaded.name, self.job.limits.max_pixels, self._memory_limit)[0])
        return found

    def upscaler(self, model: str | None, factor: int) -> Upscaler:
        engine, facts = self.engine_provider.upscaler(EngineNeed("upscale", model, factor=factor), self._report_note)
        self._record_engine(facts)
        return engine

    def region(self, where: str, picture: Picture, is_removal: bool = False) -> Mask:
        from goldsmith.picture.outline_masks import cover_whole_object

        asked = region.parse_region(where)
        sight = self._detections(picture)
        spots = {word: sight.region(word) for word in region.DETECTED_WORDS if word in asked.required_detections()}
        for word, spot in spots.items():
            known = self.findings.get("found")
            self.findings["found"] = {**(known if isinstance(known, dict) else {}), word: spot.facts}
            self.vision_engines += [facts for facts in spot.engines if facts not in self.vision_engines]
        try:
            return asked.evaluate(picture, {word: spot.mask for word, spot in spots.items()}, cover_whole_object if is_removal else None)
        except region.RegionNotFound as nowhere:
            raise self._region_not_found(where, nowhere.missing_words) from nowhere

    def matte(self, model: str | None, picture: Picture) -> Mask:
        if model is None:
            return self.region("subject", picture)
        spot = self._detections(picture).matte(model)
        self.findings["found"] = {"subject": spot.facts}
        self.vision_engines += [facts for facts in spot.engines if facts not in self.vision_engines]
        if spot.mask is None:
            raise InputError(f"{model} finds no subject in {job_faults.picture_name(self.job)}.", "Paint a mask, or leave model out.")
        return spot.mask

    def show_problem(self, picture: Picture) -> None:
        from goldsmith.picture.codec import EncodingOptions, encode

        self.scratch_folder.write_problem_image(encode(picture, EncodingOptions(format="jpeg", quality=88)))

    def is_region_known(self, where: str, picture: Picture) -> bool:
        """True where nothing has to be looked for, any more or at all, to tell that region of this picture."""
        return all(self.detection_cache.is_cached(picture, word) for word in region.parse_region(where).required_detections())

    def faces(self, picture: Picture) -> Sequence[Face]:
        found, facts = self._detections(picture).faces()
        self.vision_engines += [facts] if facts and facts not in self.vision_engines else []
        return found

    def face_mesh(self, face: Face, picture: Picture) -> Points | None:
        points, facts = self._detections(picture).face_mesh(face)
        self.vision_engines += [facts] if facts and facts not in self.vision_engines else []
        return points

    def face_identity(self, face: Face, picture: Picture) -> FaceEmbedding:
        engine, facts = self.engine_provider.vision_engine(EngineNeed("identity"), lambda note: self.report(0.0, note))
        self.vision_engines += [facts] if facts not in self.vision_engines else []
        return cast("FaceEmbedder", engine).embed(to_rgb(picture), face)

    def swapper(self, model: str) -> FaceSwapper:
        engine, facts = self.engine_provider.vision_engine(EngineNeed("swap", model), lambda note: self.report(0.0, note))
        self._record_engine(facts)
        return cast("FaceSwapper", engine)

    def portrait(self, name: str) -> Portrait:
        from goldsmith.picture.codec import decode

        signed = find_consent(self.library, name, local_today())
        path = self.library.require(FACES_FOLDER, name, LAYER_SUFFIXES)
        data = read_layer(path, self.job.limits.max_memory_bytes // 2)
        self._record_reference(f"{FACES_FOLDER}/{signed.path.name}", signed.sha256)
        self._record_reference(f"{FACES_FOLDER}/{path.name}", hashlib.sha256(data).hexdigest())
        self.findings["consent"] = to_json(signed.to_record())
        return Portrait(decode(data, path.name, self.job.limits.max_pixels, self._memory_limit), f"library/{FACES_FOLDER}/{path.name}")

    def text_lines(self, picture: Picture) -> Sequence[TextLine]:
        found, facts = self._detections(picture).text_lines()
        self.vision_engines += [facts] if facts and facts not in self.vision_engines else []
        return found

    def _detections(self, picture: Picture) -> Detections:
        return Detections(picture, self.detection_cache, lambda need: self.engine_provider.vision_engine(need, self._report_note))

    def _region_not_found(self, where: str, words: Sequence[str]) -> InputError:
        things = " and no ".join(_REGION_NOUNS[word] for word in words)
        by = ", ".join(str(facts["name"]) for facts in self.vision_engines)
        return InputError(
            f'There is no {things} to be found in {job_faults.picture_name(self.job)} (looked for by {by}), so where = "{where}" is nowhere in it.',
            f'Paint a mask and name it, as in where = "{words[0]} | mask", or take the step out for this picture.',
        )

    def engines_record(self) -> dict[str, JsonValue] | None:
        """What the record says: the engine that did the work, or the first that looked, and the others under ``also``."""
        every = [*([self.engine_record] if self.engine_record is not None else []), *self.vision_engines]
        if not every or not self.vision_engines:
            return self.engine_record
        first, *others = every
        also = first.get("also")
        return {**first, "also": [*(also if isinstance(also, list) else []), *others]}

    def _record_engine(self, facts: dict[str, JsonValue]) -> None:
        """Put an engine on record: the step's first one, and under ``also`` every other; one that is asked for again is there already."""
        if self.engine_record is None:
            self.engine_record = facts
            return
        also = self.engine_record.get("also")
        others = also if isinstance(also, list) else []
        if not any(isinstance(known, dict) and known["name"] == facts["name"] for known in (self.engine_record, *others)):
            self.engine_record["also"] = [*others, facts]

    def file(self, folder: str, name: str, suffixes: Sequence[str]) -> Path:
        own = self._own_sidecar(folder, name, suffixes)
        if own is not None:
            self.used_files.append(own.path)
            return self._private_copy(own)
        path = self.library.require(folder, name, suffixes)
        self._record_reference(f"{folder}/{path.name}", hashlib.sha256(path.read_bytes()).hexdigest())
        return path

    def layer(self, name: str) -> Picture:
        from goldsmith.picture.codec import decode

        own = self._own_sidecar("layers", name, LAYER_SUFFIXES)
        if own is not None:
            self.used_files.append(own.path)
            loaded = self._reload_input(own)
            return decode(loaded.data, loaded.name, self.job.limits.max_pixels, self._memory_limit)
        path = find_layer(self.library, name)
        data = read_layer(path, self.job.limits.max_memory_bytes // 2)
        self._record_reference(f"{path.parent.name}/{path.name}", hashlib.sha256(data).hexdigest())
        return decode(data, path.name, self.job.limits.max_pixels, self._memory_limit)

    def names(self, folder: str, suffixes: Sequence[str]) -> Sequence[str]:
        return self.library.list_names(folder, suffixes)

    def hero(self, name: str) -> Picture:
        from goldsmith.picture.codec import decode

        path = self.library.require("heroes", name, LAYER_SUFFIXES)
        data = read_layer(path, self.job.limits.max_memory_bytes // 2)
        self._record_reference(f"heroes/{path.name}", hashlib.sha256(data).hexdigest())
        return decode(data, path.name, self.job.limits.max_pixels, self._memory_limit)

    def add(self, file: Deliverable) -> None:
        tail = file.tail + file.suffix
        for given in self.job.inputs:
            if fold_name(Path(given.path).name) in (fold_name(self.job.stem + tail), fold_name(Path(self.job.asset.path).stem + tail)):
                name = Path(given.path).name
                raise InputError(f"{name} lies beside it already, so no other can be put there.", "Take it away, or ask for none.")
        self.scratch_folder.add_output("deliverable", tail, file.data, {name: to_json(value) for name, value in file.facts.items()})

    def archive(self, file: Deliverable) -> None:
        facts = {name: to_json(value) for name, value in file.facts.items()}
        taken = {made.tail for made in self.scratch_folder.outputs}
        tail = next(name for name in (f"{file.tail}{_number_suffix(time)}{file.suffix}" for time in count(1)) if name not in taken)
        self.scratch_folder.add_output("archive_only", tail, file.data, facts)

    def exported_files(self) -> Sequence[ExportedFile]:
        return [ExportedFile(made.tail, Path(made.path), made.facts) for made in self.scratch_folder.outputs if made.role == "deliverable"]

    def check_memory(self, width: int, height: int) -> None:
        self._memory_limit.check_size("What this step would make of it", width, height)

    @property
    def _memory_limit(self) -> MemoryBudget:
        return MemoryBudget(self.job.limits.max_memory_bytes, self.bytes_per_pixel)

    def report(self, fraction: float, note: str = "") -> None:
        self.fraction = min(1.0, max(0.0, fraction))
        self.on_progress(self.fraction, note)

    def _report_note(self, note: str) -> None:
        """Tell what is being done at the moment; the step is as far as it was."""
        self.report(self.fraction, note)

    def record(self, **findings: RecordValue) -> None:
        self.findings.update({name: to_json(value) for name, value in findings.items()})

    def _own_sidecar(self, folder: str, name: str, suffixes: Sequence[str]) -> JobInput | None:
        """The sidecar that goes by that name: its own NAME, or for the one look of a picture the picture's stem."""
        picture = Path(self.job.asset.path).stem
        for given in self.job.inputs:
            path = Path(given.path)
            names = {fold_name(given.name)} if given.name else {fold_name(self.job.stem), fold_name(picture), fold_name(path.stem)}
            if given.role == _SIDECAR_ROLES.get(folder) and path.suffix.lower() in suffixes and fold_name(name) in names:
                return given
        return None

    def _reload_input(self, source: JobInput) -> LoadedInput:
        """The very bytes that were hashed when the job began, put on record."""
        loaded = load_input(self.job, source)
        if loaded.read != self.reads[source.path]:
            raise InputChanged(f"{loaded.name} was changed while it was being used.", source.path)
        self._record_reference(loaded.name, loaded.read.sha256)
        return loaded

    def _private_copy(self, source: JobInput) -> Path:
        """A copy of what was read, where nobody changes it while the step reads."""
        loaded = self._reload_input(source)
        kept = self.scratch / f"own-{loaded.read.sha256[:16]}{Path(source.path).suffix.lower()}"
        return kept if kept.exists() else self.scratch_folder.write_file(kept.name, loaded.data)

    def _record_reference(self, name: str, sha256: str) -> None:
        known = self.findings.get("references")
        self.findings["references"] = {**(known if isinstance(known, dict) else {}), name: sha256}


def _number_suffix(number: int) -> str:
    """Two steps of a job may each leave candidates: the second ones are numbered on, as names in the archive are."""
    return f"~{number}" if number > 1 else ""
