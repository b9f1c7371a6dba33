"""The contract of an operation: its settings, validated when a brief is read, and the method that does the work.

An operation is pure: the same picture, settings and seed give the same pixels. It reaches everything else only through its
``StepContext``. There are three kinds: most turn one picture into one picture, a few open or close a set of pictures, and some make files
from a picture.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Protocol, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from goldsmith.engines.kinds import FACE_DETECTOR, HAND_LANDMARKER, MATTE_ESTIMATOR, TEXT_READER
from goldsmith.engines.protocols import EngineKind, EngineNeed, EngineT, GenerationOptions
from goldsmith.engines.vision import Face, FaceEmbedding, Points, TextLine
from goldsmith.picture import region
from goldsmith.picture.formats.table import export_formats, parse_format_name
from goldsmith.picture.layered.picture_layers import PictureLayers
from goldsmith.picture.memory_budget import BYTES_PER_PIXEL
from goldsmith.picture.metadata.credits import Credits
from goldsmith.picture.metadata.source_type import SourceTypeChange
from goldsmith.picture.picture import Mask, Metadata, Picture, Pixels
from goldsmith.picture.subject_crop import CropAnchor, CropFocus, FoundAnchor, WholeBox

# They belong to the contract, and operations import them from here.
from goldsmith.step_needs import LAYER_FOLDERS as LAYER_FOLDERS
from goldsmith.step_needs import LAYER_SUFFIXES as LAYER_SUFFIXES
from goldsmith.step_needs import MAX_PROMPT_CHARS as MAX_PROMPT_CHARS
from goldsmith.step_needs import PromptText as PromptText
from goldsmith.step_needs import StepInputs as StepInputs
from goldsmith.step_needs import StepNeeds as StepNeeds
from goldsmith.step_needs import check_prompt as check_prompt

# A finding that an operation may put on record: plain JSON.
RecordValue = str | int | float | bool | None | Sequence["RecordValue"] | dict[str, "RecordValue"]


def _check_region(where: str) -> str:
    if where:
        region.parse_region(where)
    return where


# A setting for the region in which a step works: a mask's name or an expression, checked when the brief is read; "" = everywhere.
RegionExpression = Annotated[str, Field(max_length=500), AfterValidator(_check_region)]


def check_bare_name(name: str, remedy: str) -> str:
    """Return ``name`` if a file of the library or the bundle can have it. Raises ValueError with ``remedy`` if it is a path."""
    if any(character in name for character in "/\\:") or name.startswith(".") or not name.isprintable():
        raise ValueError(f"“{name[:40]}” is a path; {remedy}")
    return name


class Lora(BaseModel):
    """An addition to a model (LoRA), by its name in ``library/loras/``, and its weight."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, defer_build=True)

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """Its name in library/loras/, without .safetensors."""
    weight: Annotated[float, Field(ge=-2, le=2)] = 1.0
    """How strongly it acts (-2 to 2; 0 is not at all)."""


LORA_SUFFIXES = (".safetensors",)


def lora_references(loras: Sequence[Lora]) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """Return the library files of a step with these LoRAs, for ``StepNeeds.library_files``."""
    return tuple(("loras", lora.name, LORA_SUFFIXES) for lora in loras)


def lora_paths(loras: Sequence[Lora], context: StepContext) -> tuple[tuple[Path, float], ...]:
    """Return (file, weight) of each LoRA, for ``GenerationOptions``."""
    return tuple((context.library.file("loras", lora.name, LORA_SUFFIXES), lora.weight) for lora in loras)


@dataclass(frozen=True, slots=True)
class Choices:
    """Marks a text setting whose value is a word of a table; ``words`` returns the words that are allowed."""

    words: Callable[[], tuple[str, ...]]


# The name of a format that ``export`` writes, in any usual spelling.
FormatName = Annotated[str, BeforeValidator(parse_format_name), Choices(export_formats)]


@dataclass(frozen=True, eq=False, slots=True)
class Portrait:
    """A picture of a person in ``library/faces/`` with a valid consent. ``file`` is its name in messages."""

    picture: Picture
    file: str


class EnginesFacet(Protocol):
    """The engines that a step can ask for."""

    def get(self, need: EngineNeed[EngineT], options: GenerationOptions | None = None) -> EngineT:
        """Return the loaded engine that serves the need, and put it on record.

        ``options`` are for an inpainter: they are bound to the engine if it is a generating model. With ``options`` the default is an
        engine that takes a prompt if one is present, otherwise an engine that takes none; its descriptor says which. Raises InputError
        if no engine serves the need.
        """


class DetectFacet(Protocol):
    """Detection in pictures. Within a job, each detection runs only once for the same picture; the engines used go on record."""

    def region(self, where: str, picture: Picture, is_removal: bool = False) -> Mask:
        """Return the region of this picture, (h, w), 0..1. ``subject``, ``background``, ``face``, ``hands`` and ``text`` are detected.

        With ``is_removal`` a detected object includes all of its soft edge and a small margin, for operations with ``removes_content``.
        A step states the ``region_needs`` of the expression in its ``needs``. Raises InputError if the picture does not contain the region.
        """

    def find(self, word: str, picture: Picture) -> Mask | None:
        """Return where ``subject``, ``face``, ``hands`` or ``text`` is in this picture, (h, w), 0..1.

        None if it is not in the picture, or if this machine has no engine that looks for it: a step that calls this works without it, only
        less well, and does not state it in its ``needs``.
        """

    def matte(self, model: str | None, picture: Picture) -> Mask:
        """Return how much of each pixel belongs to the subject, (h, w), 0..1, coarse, by ``model``; None = ``region("subject")``.

        Needs ``EngineNeed(MATTE_ESTIMATOR, model)``. Raises InputError if there is no subject.
        """

    def subject_agreement(self, picture: Picture) -> float | None:
        """Return how far a second model agrees about a subject that is people, 0..1.

        None if it is not people, if there is no subject, or if this machine has no second model.
        """

    def faces(self, picture: Picture) -> Sequence[Face]:
        """Return every face in the picture, the largest first, in px. Needs ``EngineNeed(FACE_DETECTOR)``."""

    def face_mesh(self, face: Face, picture: Picture) -> Points | None:
        """Return the 478 points of a face of this picture, (478, 2) px, or None if no mesh fits. Needs ``EngineNeed(FACE_LANDMARKER)``."""

    def face_identity(self, face: Face, picture: Picture) -> FaceEmbedding:
        """Return the identity of the face; only its five landmarks are used. Needs ``EngineNeed(FACE_EMBEDDER)``."""

    def text_lines(self, picture: Picture) -> Sequence[TextLine]:
        """Return every line of text in the picture, in px. Needs ``EngineNeed(TEXT_READER)``."""


class LibraryFacet(Protocol):
    """The files that a brief can name: the bundle's own sidecars and the library. Each file that is read goes on record by its hash."""

    def file(self, folder: str, name: str, suffixes: Sequence[str]) -> Path:
        """Return the path of the bundle's own sidecar of that name, else of ``library/<folder>/<name><suffix>``.

        Raises InputError (with the nearest real name) if there is neither.
        """

    def names(self, folder: str, suffixes: Sequence[str]) -> Sequence[str]:
        """Return every name that ``file`` finds in that folder of the library."""

    def layer(self, name: str) -> Picture:
        """Return a picture to lay over this one, decoded, at its own depth and in its own profile, with its alpha.

        It is the bundle's own ``hero.layer.NAME.png``, else ``NAME`` in the library's ``LAYER_FOLDERS``, in their order. A step states
        its layers in its ``needs``. Raises InputError if there is no such file or it cannot be decoded.
        """

    def hero(self, name: str) -> Picture:
        """Return the hero frame of a series, decoded: ``library/heroes/NAME``. A step states it in its ``needs``.

        Raises InputError (with the nearest real name) if there is no such file or it cannot be decoded.
        """

    def portrait(self, name: str) -> Portrait:
        """Return ``library/faces/NAME``, decoded. The consent beside it is read again and put on record.

        This is the only way to a person's face. A step states it in ``StepNeeds.library_files`` and in ``StepNeeds.consents``. Raises
        InputError if there is no such file or no valid consent.
        """

    def reference_pictures(self) -> Sequence[Picture]:
        """Return the bundle's reference pictures (``hero.ref.png``), decoded, in the order of their names."""

    def control_picture(self, name: str) -> Picture | None:
        """Return the bundle's own ``hero.control.NAME.png``, else ``hero.control.png``, decoded; None if there is neither."""


# The finding of a step that removes content: the share of ``Removal``.
CHANGED_SHARE = "masked_changed"


@dataclass(frozen=True, slots=True)
class Removal:
    """A step that removes content: its stage, its number from 1, its word, and how much of its region it has changed.

    ``changed_share``: the share of the pixels under the mask that differ by more than 2 codes of 8 bits, 0..1.
    """

    stage: str
    step: int
    op: str
    changed_share: float


class ResultsFacet(Protocol):
    """What a step produces besides its picture: findings for the record, and files."""

    def record(self, **findings: RecordValue) -> None:
        """Put findings of this step on record, for the history and the manifest; a second ``remark`` is added to the first."""

    def add_beside(self, file: Deliverable) -> None:
        """Write a file beside the result. Raises InputError if the bundle already has a file of that name."""

    def archive(self, file: Deliverable) -> None:
        """Write a file that does not go on: the commit puts it into the archive, beside the original, and its facts on record.

        The file is written at once, so that a hundred of them need no memory.
        """

    def with_identity(self, metadata: Metadata, tail: str) -> Metadata:
        """Return the metadata with an id for the file that this step writes as stem + ``tail``, and with the id of the job's picture.

        The same inputs, steps, seed and tail give the same id.
        """

    def lay_for_review(self, file: Deliverable) -> None:
        """Write a file that a person needs to decide about the result: it is laid beside it in review/."""

    def reserved_bytes(self) -> int:
        """Return the bytes that a file with a limit on its size leaves free: its content credentials are written into it later."""

    def exported_files(self) -> Sequence[ExportedFile]:
        """Return the files that this job's steps have exported so far, in their order. They are complete on disk; do not change them."""

    def layers(self, picture: Picture) -> PictureLayers | None:
        """Return the layers over which this picture lies; None if they are not collected, or if it is none of this job's pictures."""

    def remarks(self) -> Sequence[str]:
        """Return the remarks about the picture so far, as sentences: those of the stages before, of its reading, and of earlier steps."""

    def removals(self) -> Sequence[Removal]:
        """Return the steps so far, those of earlier stages too, that removed content from this picture."""

    def show_problem(self, picture: Picture) -> None:
        """Keep a picture that shows why this step is about to hold the asset; it is put beside the note.

        It is used only if the step then raises InputError. A later picture replaces an earlier one.
        """

    def check_memory(self, width: int, height: int, bytes_per_pixel: int | None = None) -> None:
        """Raise InputError if a picture of that size, in px, needs more memory than the job may use. Call it before making one.

        bytes_per_pixel: the memory for each pixel of it, if that is not what the operation declares.
        """


@dataclass(frozen=True, eq=False, slots=True)
class FinishedPart:
    """A part of a step that an earlier attempt has finished: its pixels, exactly as they were kept, and its facts."""

    # float32, (h, w, c), 0..1, as in ``Picture``.
    pixels: Pixels
    facts: Mapping[str, Any]


class PartsFacet(Protocol):
    """The finished parts of a step that takes long, such as candidates. They outlive the worker process and a pause of the job.

    A step that keeps its parts first asks for its engines and library files, since its parts depend on them. A part is found again only if
    everything that it depends on is the same: inputs, settings, seed, earlier steps, engines, files and versions of the program.
    """

    def find(self, name: str) -> FinishedPart | None:
        """Return the part of that name that an earlier attempt has finished, byte for byte; None if there is none."""

    def keep(self, name: str, picture: Picture, facts: Mapping[str, RecordValue]) -> None:
        """Keep the pixels of a finished part, and its facts. Only a job with a model keeps parts."""

    def give_way(self) -> None:
        """Let other jobs go first if they have waited for long: raises JobYielded. Call it when a part has just been kept.

        The step runs again from its start at the job's next turn, and finds its parts.
        """


class ProgressFacet(Protocol):
    """How far the step has come."""

    def report(self, fraction: float, note: str = "") -> None:
        """Report 0..1 of this step. Raises JobCancelled if the job's inputs were withdrawn or changed: call it often."""


class StepContext(Protocol):
    """Everything that an operation may use while it works on one picture."""

    @property
    def seed(self) -> int:
        """The seed of this step; the same seed gives the same pixels."""

    @property
    def stem(self) -> str:
        """The asset's name without its extension, as deliverables are named."""

    @property
    def prompt(self) -> str:
        """The brief's prompt, for steps without a prompt of their own."""

    @property
    def credits(self) -> Credits:
        """What the brief says of title, creator, rights and credit, for the metadata of files."""

    @property
    def scratch(self) -> Path:
        """A folder of this job's own, on the filesystem of the share; emptied when the job ends."""

    @property
    def engines(self) -> EnginesFacet: ...

    @property
    def detect(self) -> DetectFacet: ...

    @property
    def library(self) -> LibraryFacet: ...

    @property
    def results(self) -> ResultsFacet: ...

    @property
    def parts(self) -> PartsFacet: ...

    @property
    def progress(self) -> ProgressFacet: ...


_ENGINE_FOR_REGION: Mapping[str, EngineKind[Any]] = {
    "subject": MATTE_ESTIMATOR,
    "face": FACE_DETECTOR,
    "hands": HAND_LANDMARKER,
    "text": TEXT_READER,
}


# A region for ``DetectFacet.region`` that is the subject, and empty where the picture has none: left and right share no pixel.
SUBJECT_OR_NOTHING = "subject | (left & right)"


def region_needs(where: str) -> StepNeeds:
    """Return what ``DetectFacet.region`` needs for that expression: masks, and an engine for each detected word; "" needs nothing."""
    if not where:
        return StepNeeds()
    parsed = region.parse_region(where)
    return StepNeeds(
        masks=parsed.required_masks(),
        engines=tuple(EngineNeed(_ENGINE_FOR_REGION[word]) for word in region.DETECTED_WORDS if word in parsed.required_detections()),
    )


def crop_engines(anchor: CropAnchor) -> tuple[EngineNeed[Any], ...]:
    """Return the engines that ``find_crop_focus`` uses for that anchor."""
    return (EngineNeed(FACE_DETECTOR), EngineNeed(MATTE_ESTIMATOR)) if anchor in get_args(FoundAnchor) else ()


def find_crop_focus(picture: Picture, anchor: CropAnchor, context: StepContext) -> CropFocus:
    """Return what stays if the picture is cropped at that anchor; subject and faces are detected only if the anchor names one of them."""
    if anchor not in get_args(FoundAnchor):
        return CropFocus(anchor)
    faces = tuple(face.box for face in context.detect.faces(picture))
    return CropFocus(anchor, context.detect.region(SUBJECT_OR_NOTHING, picture), faces)


def record_crop(focus: CropFocus, source_box: WholeBox, faces_cut: int, context: StepContext) -> None:
    """Record the part that stays, in px, and for a found anchor what it keeps and cuts; a remark if that is less than it should be."""
    record: dict[str, RecordValue] = {"crop": list(source_box)}
    if focus.anchor in get_args(FoundAnchor):
        record |= {"subject_kept": round(focus.subject_kept(source_box), 3), "faces_cut": faces_cut}
    remarks = [] if focus.is_found else [f"there is no {focus.anchor} in the picture, so its middle was kept"]
    remarks += [f"the crop cuts {faces_cut} face{'s' * (faces_cut > 1)}"] if faces_cut else []
    if focus.anchor in get_args(FoundAnchor) and not faces_cut and focus.cuts_subject(source_box):
        remarks.append(f"the crop keeps {focus.subject_kept(source_box):.0%} of the subject, and no face shows which part of it matters")
    context.results.record(**record, **({"remark": "; ".join(remarks)} if remarks else {}))


def _takes_prompt_text(metadata: Sequence[Any], annotation: Any) -> bool:
    """Return whether a setting takes a text for a model, or several: it is checked like one."""
    if any(isinstance(each, AfterValidator) and each.func is check_prompt for each in metadata):
        return True
    return any(_takes_prompt_text(getattr(part, "__metadata__", ()), part) for part in get_args(annotation))


class Operation(BaseModel):
    """One word in a brief: its settings, and what it does with a picture.

    The word is the module's name in ``goldsmith.ops``; the class docstring's first line is its summary in ``goldsmith ops``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, defer_build=True)

    changes_geometry: ClassVar[bool] = False
    """True if the result may have another size than the picture. The result of any other operation is discarded if its size differs."""
    keeps_region_only: ClassVar[bool] = False
    """True if its region says what is kept of the picture: the result may be transparent where the picture was not."""

    also_called: ClassVar[str] = ""
    """Other words that people write for it in a brief, such as "remove clean-up". They are not accepted: the note about the brief says
    which word to write."""
    settings_also_called: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Its settings, each with other words that people write for it, in the same way. Spellings such as color and dpi need no entry."""

    source_type: ClassVar[SourceTypeChange | None] = None
    """What a picture is after this step if a trained model did its work (IPTC's DigitalSourceType); None: what it was before."""
    credential_action: ClassVar[str] = "c2pa.edited"
    """What the content credentials of a deliverable call this step (C2PA, c2pa.actions); "" = it is not told there."""
    removes_content: ClassVar[bool] = False
    """True if the content of its region is removed: a detected object then includes all of its soft edge."""

    def needs(self) -> StepNeeds:
        """Return what this step needs before it starts."""
        return StepNeeds()

    def needs_beside(self, inputs: StepInputs) -> StepNeeds:
        """Return what this step needs if these inputs lie beside the brief."""
        return self.needs()

    def input_problem(self, inputs: StepInputs) -> tuple[str, str]:
        """Return the setting that these inputs contradict, and the end of a sentence that begins with it; two empty texts if none does."""
        return "", ""

    def uses_brief_prompt(self) -> bool:
        """Return whether the step reads the brief's prompt: it has a setting ``prompt``, and the setting is empty."""
        return getattr(self, "prompt", None) == ""

    def prompt_texts(self) -> Mapping[str, str]:
        """Return every text that the step itself has for a model, by the place of its setting: prompt, negative, prompts.2."""
        texts: dict[str, str] = {}
        for name, field_info in type(self).model_fields.items():
            if _takes_prompt_text(field_info.metadata, field_info.annotation):
                value = getattr(self, name)
                texts |= {name: value} if isinstance(value, str) else {f"{name}.{number}": text for number, text in enumerate(value, 1)}
        return {place: text for place, text in texts.items() if text}

    def asks_person(self) -> bool:
        """Return whether a person picks among the pictures that the step leaves. Then it is the last step of its stage."""
        return False

    def found_region(self) -> str:
        """Return in words which region the step finds in the picture by itself; "" if it finds none, or takes a painted mask as it is.

        Steps with the same words find the same mask in a picture.
        """
        return ""

    def settings_with_mask(self, settings: Mapping[str, object], name: str) -> Mapping[str, object]:
        """Return the settings of this step with the mask of that name in place of the region that it finds by itself."""
        return {**settings, "where": name}

    def another_try(self, settings: Mapping[str, object]) -> Mapping[str, object]:
        """Return the settings of a step that is to make another result than before. Where the job's seed decides, they stay the same."""
        return settings

    def remarks(self, native_pixels: int) -> Sequence[str]:
        """Return remarks about the settings, for ``goldsmith check``; ``native_pixels``: those of the step's model, 0 without one."""
        return ()

    def layer_detail(self) -> str:
        """Return what tells its layer apart from others of its word, for the layer's name: never a prompt, which may be private."""
        where = getattr(self, "where", "")
        return where if isinstance(where, str) and where != "mask" else ""

    def bytes_per_pixel(self) -> int:
        """Return the most bytes of memory it uses for each pixel of an RGB picture, including the picture's own 12; a test measures it.

        A picture that needs more than the job may use is refused before the work starts.
        """
        return BYTES_PER_PIXEL


class PictureOperation(Operation):
    """An operation that turns one picture into one picture; with neutral settings it returns the same object."""

    paints_ink: ClassVar[bool] = False
    """True if it lays one colour over the picture, such as type: its layer is then transparent beside it."""

    reads_rows: ClassVar[bool] = False
    """True if it reads its picture in runs of rows (``Picture.pixels_in``): pixels that the step before changes are then computed as it
    reads them, and never lie in memory as a whole."""

    def origin_in_result(self, picture: Picture) -> tuple[int, int] | None:
        """Return left and top of the picture in the result, in px, if the operation enlarges it and keeps it bit for bit; else None.

        The worker checks this.
        """
        return None

    def keeps_framing(self) -> bool:
        """Return whether the result shows the whole picture and nothing else, if only at another size: its layers are scaled with it."""
        return not self.changes_geometry

    def extend_region(self, picture: Picture, mask: Mask) -> Mask:
        """Return where it may change pixels, (h, w), 0..1, if its region is ``mask`` (h, w), 0..1: by default there alone.

        The worker counts the changes outside it.
        """
        return mask

    def found_region(self) -> str:
        where = getattr(self, "where", "") if "where" in type(self).model_fields else ""
        if not isinstance(where, str) or not where or region.is_mask_name(where):
            return ""
        has_rim = self.removes_content and region.parse_region(where).required_detections()
        return f"{where}, with its soft edge" if has_rim else where

    def find_region(self, picture: Picture, context: StepContext) -> Mask:
        """Return the region that the step finds in the picture by itself, (h, w), 0..1, as ``apply`` uses it.

        Call it only if ``found_region`` has words. Raises InputError if the picture does not contain the region.
        """
        return self.extend_region(picture, context.detect.region(getattr(self, "where", ""), picture, self.removes_content))

    @abstractmethod
    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """Return the picture after this operation."""


class SetOperation(Operation):
    """An operation that opens or closes a set of pictures (``regenerate`` makes many, ``select`` keeps the best)."""

    closes_set: ClassVar[bool] = False
    """True if with default settings it leaves one picture of any number: it is appended if a brief leaves a set open."""

    @abstractmethod
    def max_results(self, count: int) -> int:
        """Return how many of ``count`` pictures go on, at most: known from the settings, so that a brief can be checked early."""

    @abstractmethod
    def apply_set(self, pictures: Sequence[Picture], context: StepContext) -> Iterable[Picture]:
        """Return the pictures that go on, best first; yield many of them one by one, so that they are not all in memory at once."""


@dataclass(frozen=True, slots=True)
class Deliverable:
    """A file that an operation makes: its name is ``hero`` + ``tail`` + ``suffix``, e.g. ``hero_web.avif``."""

    tail: str
    suffix: str
    data: bytes = field(repr=False)
    # Its facts for the manifest: width, height, depth, ppi, profile …
    facts: dict[str, RecordValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A deliverable as it was written: its name is ``hero`` + ``tail``."""

    # With its suffix, e.g. ``_web.avif``.
    tail: str
    # Its path until the job's results are published; its file name is different there.
    path: Path
    # Its facts from the step that made it, as in ``Deliverable``.
    facts: Mapping[str, object]


class FileOperation(Operation):
    """An operation that makes files from a picture and leaves the picture as it is (``export``, ``check``)."""

    credential_action: ClassVar[str] = ""
    is_preflight: ClassVar[bool] = False
    """True if it only checks what other steps made: if it finds faults, the preflights right behind it still run and report theirs."""

    def writes_layers(self) -> bool:
        """Return whether a file that it makes has the picture's layers: they are then collected from the stage's first step on."""
        return False

    def tails(self) -> tuple[str, ...]:
        """Return the tails of its files' names (``_web.avif``) that the settings determine: duplicates are refused early."""
        return ()

    @abstractmethod
    def make_files(self, picture: Picture, context: StepContext) -> Sequence[Deliverable]:
        """Return the complete files, in memory."""
