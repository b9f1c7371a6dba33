"""What an operation is: its settings, checked as a whole when a brief is read, and an ``apply`` that does the work.

An operation is pure: the same plate, settings and seed give the same pixels. It sees the world only through its ``Bench``.
There are three honest shapes: most turn one plate into one plate, a few open or close a set of plates, and some make files of one.
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
    Generator,
    Inpainter,
    Upscaler,
    Wish,
)
from goldsmith.engines.vision import Face, Identity, Points, Swapper, TextLine
from goldsmith.picture import region
from goldsmith.picture.picture import Mask, Plate
from goldsmith.picture.room import PER_PIXEL

Finding = str | int | float | bool | None | Sequence["Finding"] | dict[str, "Finding"]
"""What an operation may put on record: plain JSON."""


def _readable(where: str) -> str:
    if where:
        region.parse(where)
    return where


Where = Annotated[str, Field(max_length=500), AfterValidator(_readable)]
"""A setting that says where a step works: a mask's name or an expression of regions, read when the brief is; "" = everywhere."""


def bare_name(name: str, told: str) -> str:
    """``name``, where a thing of the library or the bundle can be called so. Raises ValueError for a path; ``told``: how to name it."""
    if any(character in name for character in "/\\:") or name.startswith(".") or not name.isprintable():
        raise ValueError(f"“{name[:40]}” is a path; {told}")
    return name


class Lora(BaseModel):
    """A small addition to a model, by its name in ``library/loras/``, and how strongly it speaks."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """Its name in library/loras/, without .safetensors."""
    weight: Annotated[float, Field(ge=-2, le=2)] = 1.0
    """How strongly it speaks (-2 to 2; 0 is not at all)."""


LORA_SUFFIXES = (".safetensors",)


def lora_needs(loras: Sequence[Lora]) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """What a step that names these must find in the library, for ``Needs.references``."""
    return tuple(("loras", lora.name, LORA_SUFFIXES) for lora in loras)


def lora_files(loras: Sequence[Lora], bench: Bench) -> tuple[tuple[Path, float], ...]:
    """(file, weight) each, for a ``Wish``."""
    return tuple((bench.reference("loras", lora.name, LORA_SUFFIXES), lora.weight) for lora in loras)


LAYER_SHELVES = ("plates", "logos")
"""Where in the library a layer is looked for, in this order."""
LAYER_SUFFIXES = (".png", ".tif", ".tiff", ".webp", ".avif", ".jpg", ".jpeg", ".heic", ".heif")
"""What a layer may be, the first one winning."""


@dataclass(frozen=True, eq=False, slots=True)
class Portrait:
    """A picture of a person in ``library/faces/`` whose consent was found good. ``file``: what it is called in sentences."""

    plate: Plate
    file: str


class Bench(Protocol):
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

    def inpainter(self, model: str | None, wish: Wish | None = None) -> Inpainter:
        """The loaded inpainting engine of that name, or the house's default for None.

        With a ``wish`` that has words, the default is one that takes words where such a one is present; the wish is bound to the
        engine that comes back. A model that generates is taken, too, where it can fill holes or start from a picture.
        """

    def generator(self, model: str | None, can: frozenset[Ability]) -> Generator:
        """The loaded generating engine of that name, or the house's first one for None that can do all of that."""

    def upscaler(self, model: str | None, factor: int) -> Upscaler:
        """The loaded upscaling engine of that name, or the house's default for that factor for None."""

    def region(self, where: str, plate: Plate, removing: bool = False) -> Mask:
        """The region of this plate, (h, w), 0..1, looked for where it must be: ``subject``, ``background``, ``face``, ``hands``, ``text``.

        The same plate and words give the same mask, looked for once; what was found, and by which engine, is put on record.
        ``removing``: what was found comes with all of its soft rim and a little more, for an operation that says ``removes``.
        Raises Problem where what it names is not in the picture. A step says in its ``needs`` what that takes: ``region_needs``.
        """

    def matte(self, model: str | None, plate: Plate) -> Mask:
        """How much of each pixel is what the plate is of, (h, w), 0..1, coarse; by that engine, for None as ``region("subject")``.

        Raises Problem where there is nothing to be found. Needs ``EngineNeed("matte", model)``.
        """

    def show(self, shown: Plate) -> None:
        """A picture that shows a person why this step is about to hold the asset: it comes to lie beside the note.

        It counts only where the step then raises Problem; a later one takes the place of an earlier one.
        """

    def faces(self, plate: Plate) -> Sequence[Face]:
        """Every face in the plate, the largest first, in its px; needs ``EngineNeed("faces")``."""

    def mesh(self, face: Face, plate: Plate) -> Points | None:
        """478 points of one of its faces, (478, 2) px; None where none are to be had. Needs ``EngineNeed("mesh")``."""

    def identity(self, face: Face, plate: Plate) -> Identity:
        """Who that is, by where the face's five points lie in the plate; needs ``EngineNeed("identity")``."""

    def swapper(self, model: str) -> Swapper:
        """The loaded engine of that name that draws a face with somebody else's features; needs ``EngineNeed("swap", model)``."""

    def portrait(self, name: str) -> Portrait:
        """``library/faces/NAME``, decoded. The one way to a face: the consent beside it is read again and put on record.

        A step names it in ``Needs.references`` and in ``Needs.consents``. Raises Problem where there is none or no consent that holds.
        """

    def read(self, plate: Plate) -> Sequence[TextLine]:
        """Every line of text in the plate, in its px; needs ``EngineNeed("reader")``."""

    def reference(self, shelf: str, name: str, suffixes: Sequence[str]) -> Path:
        """The file a brief means by ``name``: the bundle's own sidecar or ``library/<shelf>/<name><suffix>``.

        Raises Problem (with the nearest real name) where there is none.
        """

    def names(self, shelf: str, suffixes: Sequence[str]) -> Sequence[str]:
        """Every name that ``reference`` would find on that shelf of the library: to say which others there are."""

    def references(self) -> Sequence[Plate]:
        """The bundle's reference pictures (``hero.ref.png``), decoded, in the order of their names."""

    def layer(self, name: str) -> Plate:
        """A picture to lay over this one, decoded, at its own depth and in its own profile, with its alpha.

        It is the bundle's own ``hero.layer.NAME.png``, or ``NAME`` on the library's shelves in the order of ``LAYER_SHELVES``. A step
        says in its ``needs`` which ones it wants. Raises Problem where there is none, or where it cannot be decoded.
        """

    def hero(self, name: str) -> Plate:
        """The hero frame of a series, decoded: ``library/heroes/NAME``. A step says in its ``needs`` which one it wants.

        Raises Problem (with the nearest real name) where there is none, or where it cannot be decoded.
        """

    def beside(self, file: Deliverable) -> None:
        """Put a file down beside the result. Raises Problem where the picture has a file of that name already."""

    def aside(self, file: Deliverable) -> None:
        """Keep a file that does not go on: with the commit it comes to lie in the archive, beside the original.

        Its facts go on record with where it lies. Written at once, so that a hundred of them need no memory.
        """

    def exported(self) -> Sequence[Exported]:
        """The files that this job's steps have made so far, in their order, as they lie on the disk: whole, fsynced, not to be changed."""

    def affords(self, width: int, height: int) -> None:
        """Raise Problem where a picture of that size, in px, needs more memory than the job may have. Ask before making one larger."""

    def progress(self, fraction: float, note: str = "") -> None:
        """Report 0..1 of this step. Raises Cancelled when the job's inputs were withdrawn or changed: call it often."""

    def record(self, **findings: Finding) -> None:
        """Put findings of this step on record, for history and manifest."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a step must find before it can start, known from its settings alone (nothing is opened for it)."""

    masks: frozenset[str] = frozenset()
    """Names of masks it uses up; ``mask`` is the unnamed one."""
    references: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    """(shelf, name, suffixes) as for ``Bench.reference``, e.g. ("looks", "warm-amber", (".cube", ".cdl"))."""
    engines: tuple[EngineNeed, ...] = ()
    """The engines it calls; the one that its ``model`` names comes first."""
    picture: bool = True
    """False where it can begin with no picture at all, from the brief's words."""
    words: bool = False
    """True where it was given no words of its own, so that without a picture it needs the brief's prompt."""
    layers: frozenset[str] = frozenset()
    """Names of pictures it lays over this one, as for ``Bench.layer``."""
    consents: frozenset[str] = frozenset()
    """Names of faces in the library for whose use somebody must have agreed, as for ``Bench.portrait``."""


_SEEN_BY: Mapping[str, EngineKind] = {"subject": "matte", "face": "faces", "hands": "hands", "text": "reader"}


def region_needs(where: str) -> Needs:
    """What ``Bench.region`` must find for that region: masks, and an engine for each word that is looked for; "" needs nothing."""
    if not where:
        return Needs()
    asked = region.parse(where)
    return Needs(masks=asked.names(), engines=tuple(EngineNeed(_SEEN_BY[word]) for word in region.SEEN if word in asked.recognised()))


class Operation(BaseModel):
    """One word in a brief: the settings a step may have, and what it does with a plate.

    The word is the module's name in ``goldsmith.ops``; the class docstring's first line is its summary in ``goldsmith ops``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    changes_geometry: ClassVar[bool] = False
    """True where the result may have another size than the plate."""
    cuts: ClassVar[bool] = False
    """True where its region says what stays of the picture, and the rest goes: the result may be transparent where the plate was not."""

    removes: ClassVar[bool] = False
    """True where what lies in its region is to go: then a found thing is all of it, to the last of its soft rim."""

    def needs(self) -> Needs:
        """What this step must find before it starts."""
        return Needs()

    def weighs(self) -> int:
        """Bytes of memory it takes at most for each pixel of an RGB picture, the picture's own 12 among them; a test counts.

        A picture for which that is more than a job may have is refused before anything is done.
        """
        return PER_PIXEL


class PlateOperation(Operation):
    """One plate in, one plate out; a neutral setting returns the very plate it was given."""

    def stands(self, plate: Plate) -> tuple[int, int] | None:
        """For an operation that makes the picture larger and promises to leave it bit for bit: left and top of it in the result, in px.

        The lane proves it. None where nothing of the kind is promised.
        """
        return None

    @abstractmethod
    def apply(self, plate: Plate, bench: Bench) -> Plate:
        """The plate with this operation done to it."""


class SetOperation(Operation):
    """Opens or closes a set: some plates in, some out (``regenerate`` makes many, ``select`` keeps the best)."""

    closes: ClassVar[bool] = False
    """True where with its own default settings it leaves one picture of any number: it is put behind a set that a brief leaves open."""

    @abstractmethod
    def leaves(self, pictures: int) -> int:
        """How many plates go on, at most, where ``pictures`` come in: known from the settings, so that a brief can be checked early."""

    @abstractmethod
    def apply_set(self, plates: Sequence[Plate], bench: Bench) -> Iterable[Plate]:
        """The plates that go on, best first; many of them one by one, so that they need not all be in memory at once."""


@dataclass(frozen=True, slots=True)
class Deliverable:
    """One file an operation made: ``hero`` + ``tail`` + ``suffix`` is its name, e.g. tail ``_web`` and suffix ``.avif``."""

    tail: str
    suffix: str
    data: bytes = field(repr=False)
    facts: dict[str, Finding] = field(default_factory=dict)
    """What a manifest should say of it: width, height, depth, ppi, profile …"""


@dataclass(frozen=True, slots=True)
class Exported:
    """A deliverable as it was written: ``hero`` + ``tail`` is its name."""

    tail: str
    """With its suffix, e.g. ``_web.avif``."""
    path: Path
    """Where it lies until the job's results are put down; it has another name there."""
    facts: Mapping[str, object]
    """What the step that made it says of it, as in ``Deliverable``."""


class FileOperation(Operation):
    """Makes files of a plate and leaves the plate as it is (``export``, ``check``)."""

    judges: ClassVar[bool] = False
    """True where it only judges what others made: where it finds faults, those that judge right behind it are still asked for theirs."""

    def tails(self) -> tuple[str, ...]:
        """What follows the stem in the names of its files (``_web.avif``), as far as the settings tell: two alike are refused early."""
        return ()

    @abstractmethod
    def make(self, plate: Plate, bench: Bench) -> Sequence[Deliverable]:
        """The files, whole, in memory."""


AnyOperation = TypeVar("AnyOperation", bound=Operation)
