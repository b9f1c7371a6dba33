"""What an operation is: its settings, checked as a whole when a brief is read, and an ``apply`` that does the work.

An operation is pure: the same picture, settings and seed give the same pixels. It sees the world only through its ``StepContext``.
There are three honest shapes: most turn one picture into one picture, a few open or close a set of pictures, and some make files of one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Protocol, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from goldsmith.engines import (
    Ability,
    EngineKind,
    EngineNeed,
    GenerationOptions,
    Generator,
    Inpainter,
    Upscaler,
)
from goldsmith.engines.vision import Face, FaceEmbedding, FaceSwapper, Points, TextLine
from goldsmith.picture import region
from goldsmith.picture.memory_budget import BYTES_PER_PIXEL
from goldsmith.picture.picture import Mask, Picture

# What an operation may put on record: plain JSON.
RecordValue = str | int | float | bool | None | Sequence["RecordValue"] | dict[str, "RecordValue"]


def _check_region(where: str) -> str:
    if where:
        region.parse_region(where)
    return where


# A setting that says where a step works: a mask's name or an expression of regions, read when the brief is; "" = everywhere.
RegionExpression = Annotated[str, Field(max_length=500), AfterValidator(_check_region)]


def check_bare_name(name: str, remedy: str) -> str:
    """``name``, where a thing of the library or the bundle can be called so. Raises ValueError for a path; ``told``: how to name it."""
    if any(character in name for character in "/\\:") or name.startswith(".") or not name.isprintable():
        raise ValueError(f"“{name[:40]}” is a path; {remedy}")
    return name


class Lora(BaseModel):
    """A small addition to a model, by its name in ``library/loras/``, and how strongly it speaks."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """Its name in library/loras/, without .safetensors."""
    weight: Annotated[float, Field(ge=-2, le=2)] = 1.0
    """How strongly it speaks (-2 to 2; 0 is not at all)."""


LORA_SUFFIXES = (".safetensors",)


def lora_references(loras: Sequence[Lora]) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """What a step that names these must find in the library, for ``Needs.references``."""
    return tuple(("loras", lora.name, LORA_SUFFIXES) for lora in loras)


def lora_paths(loras: Sequence[Lora], context: StepContext) -> tuple[tuple[Path, float], ...]:
    """(file, weight) each, for a ``GenerationOptions``."""
    return tuple((context.file("loras", lora.name, LORA_SUFFIXES), lora.weight) for lora in loras)


# Where in the library a layer is looked for, in this order.
LAYER_FOLDERS = ("plates", "logos")
# What a layer may be, the first one winning.
LAYER_SUFFIXES = (".png", ".tif", ".tiff", ".webp", ".avif", ".jpg", ".jpeg", ".heic", ".heif")


@dataclass(frozen=True, eq=False, slots=True)
class Portrait:
    """A picture of a person in ``library/faces/`` whose consent was found good. ``file``: what it is called in sentences."""

    picture: Picture
    file: str


class StepContext(Protocol):
    """All that an operation sees of the world while it works on one picture."""

    @property
    def seed(self) -> int:
        """The seed of this step; the same seed gives the same pixels."""

    @property
    def stem(self) -> str:
        """The asset's name without its extension, as deliverables are to be called."""

    @property
    def prompt(self) -> str:
        """The brief's prompt, for steps that were given none of their own."""

    @property
    def scratch(self) -> Path:
        """A folder of this job's own, on the share's filesystem; emptied when the job ends."""

    def inpainter(self, model: str | None, wish: GenerationOptions | None = None) -> Inpainter:
        """The loaded inpainting engine of that name, or the house's default for None.

        With a ``wish`` that has words, the default is one that takes words where such a one is present; the wish is bound to the
        engine that comes back. A model that generates is taken, too, where it can fill holes or start from a picture.
        """

    def generator(self, model: str | None, can: frozenset[Ability]) -> Generator:
        """The loaded generating engine of that name, or the house's first one for None that can do all of that."""

    def upscaler(self, model: str | None, factor: int) -> Upscaler:
        """The loaded upscaling engine of that name, or the house's default for that factor for None."""

    def region(self, where: str, picture: Picture, is_removal: bool = False) -> Mask:
        """The region of this picture, (h, w), 0..1, looked for where it must be: ``subject``, ``background``, ``face``, ``hands``, ``text``.

        The same picture and words give the same mask, looked for once; what was found, and by which engine, is put on record.
        ``removing``: what was found comes with all of its soft rim and a little more, for an operation that says ``removes``.
        Raises InputError where what it names is not in the picture. A step says in its ``needs`` what that takes: ``region_needs``.
        """

    def matte(self, model: str | None, picture: Picture) -> Mask:
        """How much of each pixel is what the picture is of, (h, w), 0..1, coarse; by that engine, for None as ``region("subject")``.

        Raises InputError where there is nothing to be found. Needs ``EngineNeed("matte", model)``.
        """

    def show_problem(self, picture: Picture) -> None:
        """A picture that shows a person why this step is about to hold the asset: it comes to lie beside the note.

        It counts only where the step then raises InputError; a later one takes the place of an earlier one.
        """

    def faces(self, picture: Picture) -> Sequence[Face]:
        """Every face in the picture, the largest first, in its px; needs ``EngineNeed("faces")``."""

    def face_mesh(self, face: Face, picture: Picture) -> Points | None:
        """478 points of one of its faces, (478, 2) px; None where none are to be had. Needs ``EngineNeed("mesh")``."""

    def face_identity(self, face: Face, picture: Picture) -> FaceEmbedding:
        """Who that is, by where the face's five points lie in the picture; needs ``EngineNeed("identity")``."""

    def swapper(self, model: str) -> FaceSwapper:
        """The loaded engine of that name that draws a face with somebody else's features; needs ``EngineNeed("swap", model)``."""

    def portrait(self, name: str) -> Portrait:
        """``library/faces/NAME``, decoded. The one way to a face: the consent beside it is read again and put on record.

        A step names it in ``Needs.references`` and in ``Needs.consents``. Raises InputError where there is none or no consent that holds.
        """

    def text_lines(self, picture: Picture) -> Sequence[TextLine]:
        """Every line of text in the picture, in its px; needs ``EngineNeed("reader")``."""

    def file(self, folder: str, name: str, suffixes: Sequence[str]) -> Path:
        """The file a brief means by ``name``: the bundle's own sidecar or ``library/<shelf>/<name><suffix>``.

        Raises InputError (with the nearest real name) where there is none.
        """

    def names(self, folder: str, suffixes: Sequence[str]) -> Sequence[str]:
        """Every name that ``reference`` would find on that shelf of the library: to say which others there are."""

    def reference_pictures(self) -> Sequence[Picture]:
        """The bundle's reference pictures (``hero.ref.png``), decoded, in the order of their names."""

    def layer(self, name: str) -> Picture:
        """A picture to lay over this one, decoded, at its own depth and in its own profile, with its alpha.

        It is the bundle's own ``hero.layer.NAME.png``, or ``NAME`` on the library's shelves in the order of ``LAYER_FOLDERS``. A step
        says in its ``needs`` which ones it wants. Raises InputError where there is none, or where it cannot be decoded.
        """

    def hero(self, name: str) -> Picture:
        """The hero frame of a series, decoded: ``library/heroes/NAME``. A step says in its ``needs`` which one it wants.

        Raises InputError (with the nearest real name) where there is none, or where it cannot be decoded.
        """

    def add(self, file: Deliverable) -> None:
        """Put a file down beside the result. Raises InputError where the picture has a file of that name already."""

    def archive(self, file: Deliverable) -> None:
        """Keep a file that does not go on: with the commit it comes to lie in the archive, beside the original.

        Its facts go on record with where it lies. Written at once, so that a hundred of them need no memory.
        """

    def exported_files(self) -> Sequence[ExportedFile]:
        """The files that this job's steps have made so far, in their order, as they lie on the disk: whole, fsynced, not to be changed."""

    def check_memory(self, width: int, height: int) -> None:
        """Raise InputError where a picture of that size, in px, needs more memory than the job may have. Ask before making one larger."""

    def report(self, fraction: float, note: str = "") -> None:
        """Report 0..1 of this step. Raises JobCancelled when the job's inputs were withdrawn or changed: call it often."""

    def record(self, **findings: RecordValue) -> None:
        """Put findings of this step on record, for history and manifest."""


@dataclass(frozen=True, slots=True)
class StepNeeds:
    """What a step must find before it can start, known from its settings alone (nothing is opened for it)."""

    # Names of masks it uses up; ``mask`` is the unnamed one.
    masks: frozenset[str] = frozenset()
    # (shelf, name, suffixes) as for ``Bench.reference``, e.g. ("looks", "warm-amber", (".cube", ".cdl")).
    library_files: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    # The engines it calls; the one that its ``model`` names comes first.
    engines: tuple[EngineNeed, ...] = ()
    # False where it can begin with no picture at all, from the brief's words.
    needs_picture: bool = True
    # True where it was given no words of its own, so that without a picture it needs the brief's prompt.
    needs_prompt: bool = False
    # Names of pictures it lays over this one, as for ``Bench.layer``.
    layers: frozenset[str] = frozenset()
    # Names of faces in the library for whose use somebody must have agreed, as for ``Bench.portrait``.
    consents: frozenset[str] = frozenset()


_ENGINE_FOR_REGION: Mapping[str, EngineKind] = {"subject": "matte", "face": "faces", "hands": "hands", "text": "reader"}


def region_needs(where: str) -> StepNeeds:
    """What ``Bench.region`` must find for that region: masks, and an engine for each word that is looked for; "" needs nothing."""
    if not where:
        return StepNeeds()
    asked = region.parse_region(where)
    return StepNeeds(
        masks=asked.required_masks(),
        engines=tuple(EngineNeed(_ENGINE_FOR_REGION[word]) for word in region.DETECTED_WORDS if word in asked.required_detections()),
    )


class Operation(BaseModel):
    """One word in a brief: the settings a step may have, and what it does with a picture.

    The word is the module's name in ``goldsmith.ops``; the class docstring's first line is its summary in ``goldsmith ops``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    changes_geometry: ClassVar[bool] = False
    """True where the result may have another size than the picture."""
    keeps_region_only: ClassVar[bool] = False
    """True where its region says what stays of the picture, and the rest goes: the result may be transparent where the picture was not."""

    removes_content: ClassVar[bool] = False
    """True where what lies in its region is to go: then a found thing is all of it, to the last of its soft rim."""

    def needs(self) -> StepNeeds:
        """What this step must find before it starts."""
        return StepNeeds()

    def bytes_per_pixel(self) -> int:
        """Bytes of memory it takes at most for each pixel of an RGB picture, the picture's own 12 among them; a test counts.

        A picture for which that is more than a job may have is refused before anything is done.
        """
        return BYTES_PER_PIXEL


class PictureOperation(Operation):
    """One picture in, one picture out; a neutral setting returns the very picture it was given."""

    def origin_in_result(self, picture: Picture) -> tuple[int, int] | None:
        """For an operation that makes the picture larger and promises to leave it bit for bit: left and top of it in the result, in px.

        The lane proves it. None where nothing of the kind is promised.
        """
        return None

    @abstractmethod
    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """The picture with this operation done to it."""


class SetOperation(Operation):
    """Opens or closes a set: some pictures in, some out (``regenerate`` makes many, ``select`` keeps the best)."""

    closes_set: ClassVar[bool] = False
    """True where with its own default settings it leaves one picture of any number: it is put behind a set that a brief leaves open."""

    @abstractmethod
    def max_results(self, count: int) -> int:
        """How many pictures go on, at most, where ``pictures`` come in: known from the settings, so that a brief can be checked early."""

    @abstractmethod
    def apply_set(self, pictures: Sequence[Picture], context: StepContext) -> Iterable[Picture]:
        """The pictures that go on, best first; many of them one by one, so that they need not all be in memory at once."""


@dataclass(frozen=True, slots=True)
class Deliverable:
    """One file an operation made: ``hero`` + ``tail`` + ``suffix`` is its name, e.g. tail ``_web`` and suffix ``.avif``."""

    tail: str
    suffix: str
    data: bytes = field(repr=False)
    # What a manifest should say of it: width, height, depth, ppi, profile …
    facts: dict[str, RecordValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A deliverable as it was written: ``hero`` + ``tail`` is its name."""

    # With its suffix, e.g. ``_web.avif``.
    tail: str
    # Where it lies until the job's results are put down; it has another name there.
    path: Path
    # What the step that made it says of it, as in ``Deliverable``.
    facts: Mapping[str, object]


class FileOperation(Operation):
    """Makes files of a picture and leaves the picture as it is (``export``, ``check``)."""

    is_preflight: ClassVar[bool] = False
    """True where it only judges what others made: where it finds faults, those that judge right behind it are still asked for theirs."""

    def tails(self) -> tuple[str, ...]:
        """What follows the stem in the names of its files (``_web.avif``), as far as the settings tell: two alike are refused early."""
        return ()

    @abstractmethod
    def make_files(self, picture: Picture, context: StepContext) -> Sequence[Deliverable]:
        """The files, whole, in memory."""


AnyOperation = TypeVar("AnyOperation", bound=Operation)
