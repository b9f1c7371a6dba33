"""The step context of a worker process: progress, engines, detection, library and results for a running operation, a class for each."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from pydantic import JsonValue

from goldsmith.engines.diffusion.prompt_weights import READING_FACTS, reading_note
from goldsmith.engines.kinds import FACE_EMBEDDER
from goldsmith.engines.protocols import EngineNeed, EngineT, GenerationOptions
from goldsmith.engines.registry.choice_problems import NoDefaultModel
from goldsmith.engines.registry.hash_notes import HANDED_OUT
from goldsmith.engines.registry.weights_registry import WeightsMissing
from goldsmith.engines.vision import Face, FaceEmbedding, Points, TextLine
from goldsmith.errors import HostError, InputError
from goldsmith.files import MACHINE_ERRNOS, display_name, fold_name
from goldsmith.jobs import job_faults
from goldsmith.jobs.job import InputRead, Job, JobInput, StepResult
from goldsmith.library.consent import FACES_FOLDER, find_consent, local_today
from goldsmith.library.layers import find_layer
from goldsmith.library.library import MAX_FILE_BYTES, Library
from goldsmith.operation import LAYER_SUFFIXES, Deliverable, ExportedFile, Portrait, RecordValue, Removal
from goldsmith.picture import region
from goldsmith.picture.formats.table import FORMATS_WITH_LAYERS
from goldsmith.picture.layered.picture_layers import PictureLayers
from goldsmith.picture.memory_budget import BYTES_PER_PIXEL, MemoryBudget
from goldsmith.picture.metadata.source_type import read_source_type
from goldsmith.picture.picture import Mask, Metadata, Picture
from goldsmith.worker.detections import DetectionCache, Detections, to_rgb
from goldsmith.worker.engine_provider import EngineProvider, to_json
from goldsmith.worker.file_identities import FileIdentities
from goldsmith.worker.finished_parts import NO_PARTS, PartChannel, WorkerParts
from goldsmith.worker.inputs import InputChanged, LoadedInput, load_input, reading_options
from goldsmith.worker.scratch_folder import ScratchFolder
from goldsmith.worker.stage_layers import StageLayers

# The role of a picture's own sidecar that takes precedence over a folder of the library.
# Of a file's name. A name that cannot be shown as it is gets longer when it is made so that it can.
_MAX_NAME_BYTES = 255
_SIDECAR_ROLES = {"looks": "look", "layers": "layer", "refs": "ref"}
# LoRAs have gigabytes: they are used where they lie, and the weights reader takes nothing but tensors from them.
_LARGE_FILES_FOLDER = "loras"
_REGION_NOUNS = {"subject": "subject", "face": "face", "hands": "hand", "text": "text"}


@dataclass(slots=True)
class StepRecorder:
    """Collects the record of one step: the facets write it, and the job runner reads it."""

    findings: dict[str, JsonValue] = field(default_factory=dict)
    # The engine that does the work, by its facts; the others are under its ``other_engines``.
    engine: dict[str, JsonValue] | None = None
    # The engines that searched the picture for this step, by their facts.
    vision_engines: list[dict[str, JsonValue]] = field(default_factory=list)
    # Paths of the picture's own sidecars that the step has opened.
    used_files: list[str] = field(default_factory=list)
    # Labels of the layers in the picture's own file that the step has used.
    used_layers: set[str] = field(default_factory=set)
    # What the layers say of themselves that the step has laid over the picture (IPTC's DigitalSourceType); "" = nothing.
    layer_types: list[str] = field(default_factory=list)

    def add_findings(self, findings: Mapping[str, RecordValue]) -> None:
        """Record findings; a remark is added to those before it."""
        known = self.findings.get("remark")
        self.findings.update({name: to_json(value) for name, value in findings.items()})
        if known and "remark" in findings:
            self.findings["remark"] = f"{known}; {findings['remark']}"

    def add_engine(self, facts: dict[str, JsonValue]) -> None:
        """Record an engine once: the step's first one, and every other one under ``other_engines``."""
        if self.engine is None:
            self.engine = facts
            return
        other_engines = self.engine.get("other_engines")
        others = other_engines if isinstance(other_engines, list) else []
        if not any(isinstance(known, dict) and known["name"] == facts["name"] for known in (self.engine, *others)):
            self.engine["other_engines"] = [*others, facts]

    def add_vision_engine(self, facts: dict[str, JsonValue] | None) -> None:
        """Record an engine that searched the picture, once."""
        if facts and not any(known["name"] == facts["name"] for known in self.vision_engines):
            self.vision_engines.append(facts)

    def add_fill(self, facts: Mapping[str, object]) -> None:
        """Record the facts of one fill by a generating model; fills that differ only in their seeds are one entry.

        A note says what the model did not read of the prompt.
        """
        note = reading_note([name for name in READING_FACTS if facts.get(name)])
        if note:
            self.findings["note"] = note
        fill_facts = {name: to_json(value) for name, value in facts.items()}
        seeds = fill_facts.pop("seeds", None)
        fills = (self.engine or {}).setdefault("fills", [])
        assert isinstance(fills, list)  # noqa: S101 - only this method writes it
        for fill in fills:
            if isinstance(fill, dict) and {name: value for name, value in fill.items() if name != "seeds"} == fill_facts:
                known = fill["seeds"]
                fill["seeds"] = [*(known if isinstance(known, list) else []), *(seeds if isinstance(seeds, list) else [])]
                return
        fills.append({**fill_facts, "seeds": seeds if isinstance(seeds, list) else []})

    def add_detection(self, word: str, facts: JsonValue) -> None:
        """Record what was detected for a word of a region."""
        known = self.findings.get("found")
        self.findings["found"] = {**(known if isinstance(known, dict) else {}), word: facts}

    def add_reference(self, name: str, sha256: str) -> None:
        """Record a file that was read, by its name and hash."""
        known = self.findings.get("references")
        self.findings["references"] = {**(known if isinstance(known, dict) else {}), name: sha256}

    def engines(self) -> dict[str, JsonValue] | None:
        """Return the engine that did the work, or the first that searched the picture, with the others under ``other_engines``."""
        if not self.vision_engines:
            return self.engine
        first, *others = [*([self.engine] if self.engine is not None else []), *self.vision_engines]
        other_engines = first.get("other_engines")
        return {**first, "other_engines": [*(other_engines if isinstance(other_engines, list) else []), *others]}


@dataclass(slots=True)
class WorkerProgress:
    """Implements ``goldsmith.operation.ProgressFacet``."""

    on_progress: Callable[[float, str], None]
    # How far the step has come, 0..1.
    fraction: float = 0.0

    def report(self, fraction: float, note: str = "") -> None:
        self.fraction = min(1.0, max(0.0, fraction))
        self.on_progress(self.fraction, note)

    def report_note(self, note: str) -> None:
        """Report what the step is doing now; its fraction stays."""
        self.report(self.fraction, note)


@dataclass(slots=True)
class WorkerEngines:
    """Implements ``goldsmith.operation.EnginesFacet``."""

    provider: EngineProvider
    progress: WorkerProgress
    recorder: StepRecorder

    def get(self, need: EngineNeed[EngineT], options: GenerationOptions | None = None) -> EngineT:
        if options is not None:
            need = replace(need, needs_prompt=True, extends_canvas=options.extends_canvas)
        engine, facts = self.provider.get(need, self.progress.report_note, options, self.recorder.add_fill)
        self.recorder.add_engine(facts)
        return engine


@dataclass(slots=True)
class WorkerDetect:
    """Implements ``goldsmith.operation.DetectFacet``. ``cache``: the detections in this job's pictures, shared by all its steps."""

    job: Job
    provider: EngineProvider
    progress: WorkerProgress
    recorder: StepRecorder
    cache: DetectionCache

    def region(self, where: str, picture: Picture, is_removal: bool = False) -> Mask:
        from goldsmith.picture.outline_masks import cover_whole_object

        expression = region.parse_region(where)
        detections = self._detections(picture)
        detected = {word: detections.region(word) for word in region.DETECTED_WORDS if word in expression.required_detections()}
        for word, detected_region in detected.items():
            self.recorder.add_detection(word, detected_region.facts)
            for facts in detected_region.engines:
                self.recorder.add_vision_engine(facts)
        try:
            masks = {word: detected_region.mask for word, detected_region in detected.items()}
            return expression.evaluate(picture, masks, cover_whole_object if is_removal else None)
        except region.RegionNotFound as error:
            raise self._region_not_found(where, error.missing_words) from error

    def find(self, word: str, picture: Picture) -> Mask | None:
        try:
            detected = self._detections(picture).region(word)
        except (NoDefaultModel, WeightsMissing):
            return None
        for facts in detected.engines:
            self.recorder.add_vision_engine(facts)
        return detected.mask

    def matte(self, model: str | None, picture: Picture) -> Mask:
        if model is None:
            return self.region("subject", picture)
        subject = self._detections(picture).matte(model)
        self.recorder.findings["found"] = {"subject": subject.facts}
        for facts in subject.engines:
            self.recorder.add_vision_engine(facts)
        if subject.mask is None:
            raise InputError(f"{model} finds no subject in {job_faults.picture_name(self.job)}.", "Paint a mask, or leave model out.")
        return subject.mask

    def subject_agreement(self, picture: Picture) -> float | None:
        try:
            agreement, facts = self._detections(picture).subject_agreement()
        except (NoDefaultModel, WeightsMissing):
            return None
        self.recorder.add_vision_engine(facts)
        return agreement

    def faces(self, picture: Picture) -> Sequence[Face]:
        faces, facts = self._detections(picture).faces()
        self.recorder.add_vision_engine(facts)
        return faces

    def face_mesh(self, face: Face, picture: Picture) -> Points | None:
        points, facts = self._detections(picture).face_mesh(face)
        self.recorder.add_vision_engine(facts)
        return points

    def face_identity(self, face: Face, picture: Picture) -> FaceEmbedding:
        engine, facts = self._open_engine(EngineNeed(FACE_EMBEDDER))
        self.recorder.add_vision_engine(facts)
        return engine.embed(to_rgb(picture), face)

    def text_lines(self, picture: Picture) -> Sequence[TextLine]:
        lines, facts = self._detections(picture).text_lines()
        self.recorder.add_vision_engine(facts)
        return lines

    def is_region_known(self, where: str, picture: Picture) -> bool:
        """Return True if that region can be evaluated in this picture without a further detection."""
        return all(self.cache.is_cached(picture, word) for word in region.parse_region(where).required_detections())

    def _detections(self, picture: Picture) -> Detections:
        return Detections(picture, self.cache, self._open_engine)

    def _open_engine(self, need: EngineNeed[EngineT]) -> tuple[EngineT, dict[str, JsonValue]]:
        return self.provider.get(need, self.progress.report_note)

    def _region_not_found(self, where: str, words: Sequence[str]) -> InputError:
        nouns = " and no ".join(_REGION_NOUNS[word] for word in words)
        engine_names = ", ".join(str(facts["name"]) for facts in self.recorder.vision_engines)
        return InputError(
            f"There is no {nouns} to be found in {job_faults.picture_name(self.job)} (looked for by {engine_names}), "
            f'so where = "{where}" is nowhere in it.',
            f'Paint a mask and name it, as in where = "{words[0]} | mask", or take the step out for this picture.',
        )


@dataclass(slots=True)
class WorkerLibrary:
    """Implements ``goldsmith.operation.LibraryFacet``. ``reads``: the job's inputs as they were read when it began, by path."""

    job: Job
    library: Library
    reads: Mapping[str, InputRead]
    scratch_folder: ScratchFolder
    memory_budget: MemoryBudget
    recorder: StepRecorder

    def file(self, folder: str, name: str, suffixes: Sequence[str]) -> Path:
        sidecar = self._own_sidecar(folder, name, suffixes)
        if sidecar is not None:
            self.recorder.used_files.append(sidecar.path)
            return self._private_copy(sidecar)
        path = self.library.require(folder, name, suffixes)
        max_bytes = MAX_FILE_BYTES.get(folder, self.job.limits.max_memory_bytes // 2)
        if folder == _LARGE_FILES_FOLDER:
            self.recorder.add_reference(f"{folder}/{path.name}", self._hand_out(path, max_bytes))
            return path
        if self.library.is_shipped(path):
            self.recorder.add_reference(f"{folder}/{path.name}", self.library.hash_file(path, max_bytes))
            return path
        data = self.library.read_file(path, max_bytes)
        sha256 = hashlib.sha256(data).hexdigest()
        self.recorder.add_reference(f"{folder}/{path.name}", sha256)
        return self.scratch_folder.keep_copy(sha256, path.name, data)

    def _hand_out(self, path: Path, max_bytes: int) -> str:
        """Return the hash of a file that an engine will load. It is read only if this process has not read it in its present state."""
        fd = self.library.open_file(path, max_bytes)
        try:
            return HANDED_OUT.hand_out(path, fd)
        except OSError as error:
            kind = HostError if error.errno in MACHINE_ERRNOS else InputError
            raise kind(f"library/{path.parent.name}/{display_name(path.name)} cannot be read: {error.strerror}.", "Try again.") from error
        finally:
            os.close(fd)

    def names(self, folder: str, suffixes: Sequence[str]) -> Sequence[str]:
        return self.library.list_names(folder, suffixes)

    def layer(self, name: str) -> Picture:
        sidecar = self._own_sidecar("layers", name, LAYER_SUFFIXES)
        inside = None if sidecar is not None else self._layer_in_picture(name)
        if inside is not None:
            layer = inside
        elif sidecar is None:
            path = find_layer(self.library, name)
            layer = self._decode_library_file(path, path.parent.name)
        else:
            self.recorder.used_files.append(sidecar.path)
            loaded = self._reload_input(sidecar)
            layer = self._decode(loaded.data, loaded.name)
        self.recorder.layer_types.append(read_source_type(layer.metadata))
        return layer

    def _layer_in_picture(self, name: str) -> Picture | None:
        """Return the layer of that name in the picture's own file, on the whole canvas; None if there is none."""
        from goldsmith.picture.codec import open_parts

        if self.job.is_lone_brief or self.reads[self.job.asset.path].format not in FORMATS_WITH_LAYERS:
            return None
        loaded = self._reload_input(self.job.asset)
        parts = open_parts(loaded.data, loaded.name, self.job.limits.max_pixels)
        part = next((part for part in parts if (part.kind, part.label) == ("layer", fold_name(name))), None)
        if part is None:
            return None
        self.recorder.used_layers.add(part.label)
        return part.decode()

    def hero(self, name: str) -> Picture:
        return self._decode_library_file(self.library.require("heroes", name, LAYER_SUFFIXES), "heroes")

    def portrait(self, name: str) -> Portrait:
        consent = find_consent(self.library, name, local_today())
        path = self.library.require(FACES_FOLDER, name, LAYER_SUFFIXES)
        self.recorder.add_reference(f"{FACES_FOLDER}/{consent.path.name}", consent.sha256)
        picture = self._decode_library_file(path, FACES_FOLDER)
        self.recorder.findings["consent"] = to_json(consent.to_record())
        return Portrait(picture, f"library/{FACES_FOLDER}/{path.name}")

    def reference_pictures(self) -> Sequence[Picture]:
        pictures = []
        for source in self.job.inputs:
            if source.role == "ref":
                loaded = self._reload_input(source)
                self.recorder.used_files.append(source.path)
                pictures.append(self._decode(loaded.data, loaded.name))
        return pictures

    def control_picture(self, name: str) -> Picture | None:
        controls = {source.name: source for source in self.job.inputs if source.role == "control"}
        source = controls.get(fold_name(name)) or controls.get("")
        if source is None:
            return None
        loaded = self._reload_input(source)
        self.recorder.used_files.append(source.path)
        return self._decode(loaded.data, loaded.name)

    def _decode_library_file(self, path: Path, folder: str) -> Picture:
        data = self.library.read_file(path, self.job.limits.max_memory_bytes // 2)
        self.recorder.add_reference(f"{folder}/{path.name}", hashlib.sha256(data).hexdigest())
        return self._decode(data, path.name)

    def _decode(self, data: bytes, name: str) -> Picture:
        from goldsmith.picture.codec import decode_with_info

        picture, facts = decode_with_info(data, name, self.job.limits.max_pixels, self.memory_budget, reading_options(self.job))
        if facts.notes:
            notes = self.recorder.findings.setdefault("notes", {})
            if isinstance(notes, dict):
                notes[name] = list(facts.notes)
        return picture

    def _own_sidecar(self, folder: str, name: str, suffixes: Sequence[str]) -> JobInput | None:
        """Return the sidecar of that name: its own NAME, or for a sidecar without one the picture's stem."""
        picture_stem = Path(self.job.asset.path).stem
        for source in self.job.inputs:
            path = Path(source.path)
            names = {fold_name(source.name)} if source.name else {fold_name(stem) for stem in (self.job.stem, picture_stem, path.stem)}
            if source.role == _SIDECAR_ROLES.get(folder) and path.suffix.lower() in suffixes and fold_name(name) in names:
                return source
        return None

    def _reload_input(self, source: JobInput) -> LoadedInput:
        """Return the same bytes that were hashed when the job began, and put them on record. Raises InputChanged if they differ."""
        loaded = load_input(self.job, source)
        if loaded.read != self.reads[source.path]:
            raise InputChanged(f"{loaded.name} was changed while it was being used.", source.path)
        self.recorder.add_reference(loaded.name, loaded.read.sha256)
        return loaded

    def _private_copy(self, source: JobInput) -> Path:
        """Copy the input into the scratch folder, where nobody changes it while the step reads it; messages about it have its own name."""
        loaded = self._reload_input(source)
        copy_name = display_name(Path(source.path).name)
        if len(copy_name.encode()) > _MAX_NAME_BYTES:
            copy_name = f"look{Path(copy_name).suffix}"
        return self.scratch_folder.keep_copy(loaded.read.sha256, copy_name, loaded.data)


@dataclass(frozen=True, slots=True)
class EarlierSteps:
    """What is known of the steps before: their remarks about the picture, which of them removed content, and their results."""

    remarks: Sequence[str] = ()
    removals: Sequence[Removal] = ()
    results: Sequence[StepResult] = ()


@dataclass(slots=True)
class WorkerResults:
    """Implements ``goldsmith.operation.ResultsFacet``."""

    job: Job
    scratch_folder: ScratchFolder
    memory_budget: MemoryBudget
    recorder: StepRecorder
    earlier_steps: EarlierSteps
    identities: FileIdentities
    stage_layers: StageLayers | None = None

    def record(self, **findings: RecordValue) -> None:
        self.recorder.add_findings(findings)

    def add_beside(self, file: Deliverable) -> None:
        tail = file.tail + file.suffix
        names = {fold_name(self.job.stem + tail), fold_name(Path(self.job.asset.path).stem + tail)}
        for source in self.job.inputs:
            name = Path(source.path).name
            if fold_name(name) in names:
                raise InputError(f"{name} lies beside it already, so no other can be put there.", "Take it away, or ask for none.")
        facts = {name: to_json(value) for name, value in file.facts.items()}
        self.scratch_folder.add_output("deliverable", tail, file.data, facts, self.identities.id_of(tail))

    def archive(self, file: Deliverable) -> None:
        facts = {name: to_json(value) for name, value in file.facts.items()}
        used_tails = {output.tail for output in self.scratch_folder.outputs}
        tails = (f"{file.tail}{_number_suffix(number)}{file.suffix}" for number in count(1))
        tail = next(tail for tail in tails if tail not in used_tails)
        self.scratch_folder.add_output("archive_only", tail, file.data, facts, self.identities.id_of(file.tail + file.suffix))

    def lay_for_review(self, file: Deliverable) -> None:
        if self.job.review is not None:  # a replay has nobody to show it to
            facts = {name: to_json(value) for name, value in file.facts.items()}
            self.scratch_folder.add_output("review", file.tail + file.suffix, file.data, facts)

    def with_identity(self, metadata: Metadata, tail: str) -> Metadata:
        return self.identities.write_into(metadata, tail)

    def reserved_bytes(self) -> int:
        return self.job.credential_bytes

    def exported_files(self) -> Sequence[ExportedFile]:
        outputs = [output for output in self.scratch_folder.outputs if output.role == "deliverable"]
        return [ExportedFile(output.tail, Path(output.path), output.facts) for output in outputs]

    def layers(self, picture: Picture) -> PictureLayers | None:
        return None if self.stage_layers is None else self.stage_layers.layers_of(picture)

    def remarks(self) -> Sequence[str]:
        return list(dict.fromkeys((*self.job.remarks, *self.earlier_steps.remarks)))

    def removals(self) -> Sequence[Removal]:
        return tuple(self.earlier_steps.removals)

    def show_problem(self, picture: Picture) -> None:
        from goldsmith.picture.codec import EncodingOptions, encode

        self.scratch_folder.write_problem_image(encode(picture, EncodingOptions(format="jpeg", quality=88)))

    def check_memory(self, width: int, height: int, bytes_per_pixel: int | None = None) -> None:
        budget = self.memory_budget if bytes_per_pixel is None else replace(self.memory_budget, bytes_per_pixel=bytes_per_pixel)
        budget.check_size("What this step would make of it", width, height)


@dataclass(frozen=True, slots=True)
class JobParts:
    """What all steps of a job share. ``reads``: the job's inputs as they were read when it began."""

    job: Job
    engine_provider: EngineProvider
    scratch_folder: ScratchFolder
    library: Library
    reads: Mapping[str, InputRead]
    identities: FileIdentities
    detection_cache: DetectionCache = field(default_factory=DetectionCache)
    part_channel: PartChannel = NO_PARTS
    # None if no file of the job has layers.
    stage_layers: StageLayers | None = None


class WorkerStepContext:
    """Implements ``goldsmith.operation.StepContext`` for one step of one job."""

    def __init__(
        self,
        parts: JobParts,
        on_progress: Callable[[float, str], None],
        seed: int,
        bytes_per_pixel: int = BYTES_PER_PIXEL,
        earlier_steps: EarlierSteps = EarlierSteps(),
    ) -> None:
        """``bytes_per_pixel``: the memory that the step says it uses."""
        job, scratch_folder = parts.job, parts.scratch_folder
        memory_budget = MemoryBudget(job.limits.max_memory_bytes, bytes_per_pixel)
        self.seed = seed
        self.stem = job.stem
        self.prompt = job.prompt
        self.credits = job.credits
        self.scratch = scratch_folder.folder
        self.recorder = StepRecorder()
        self.progress = WorkerProgress(on_progress)
        self.engines = WorkerEngines(parts.engine_provider, self.progress, self.recorder)
        self.detect = WorkerDetect(job, parts.engine_provider, self.progress, self.recorder, parts.detection_cache)
        self.library = WorkerLibrary(job, parts.library, parts.reads, scratch_folder, memory_budget, self.recorder)
        self.results = WorkerResults(job, scratch_folder, memory_budget, self.recorder, earlier_steps, parts.identities, parts.stage_layers)
        self.parts = WorkerParts(job, scratch_folder, parts.part_channel, self._describe_dependencies)
        self._job = job
        self._reads = parts.reads
        self._earlier_results = earlier_steps.results

    def _describe_dependencies(self) -> dict[str, JsonValue]:
        """Return everything on which the step's result depends, as it is known once the step has its engines and library files."""
        step = self._job.steps[len(self._earlier_results)]
        # What they say is in the settings and the prompt. A change for another step does not concern this one.
        instructions = {source.path for source in self._job.inputs if source.role in ("brief", "prompt")}
        return {
            "step": [step.op, step.settings],
            "seed": self.seed,
            "prompt": self.prompt,
            "reads": {path: read.sha256 for path, read in self._reads.items() if path not in instructions},
            "steps": [[step.op, step.settings, step.seed, step.picture_hash] for step in self._earlier_results],
            "engines": self.recorder.engines(),
            "references": self.recorder.findings.get("references"),
        }


def _number_suffix(number: int) -> str:
    """Return the number that tells apart files of the same name from two steps of a job, as in the archive."""
    return f"~{number}" if number > 1 else ""
