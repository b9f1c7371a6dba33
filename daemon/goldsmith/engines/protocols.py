"""The protocols and records of engines: their needs, requests, results and descriptors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

from goldsmith.engines.open_weights import FileStamp, require_unchanged

if TYPE_CHECKING:  # the protocols are read by programs that touch no pixels
    from goldsmith.picture.picture import Mask, Pixels

EngineT = TypeVar("EngineT", bound="Engine")

# The abilities of a generating model: pictures from words alone, from a picture and words, fill a hole, edit by instruction, use reference
# pictures, split a picture into layers.
Ability = Literal["text", "image", "inpaint", "edit", "references", "layers"]

# What a control picture shows.
ControlName = Literal["depth", "edges", "pose", "tile"]

# Called with the progress of one call of an engine, 0..1. An exception, such as Cancelled, ends the call at once.
OnProgress = Callable[[float], None]


def ignore_progress(fraction: float) -> None:
    """Do nothing: an OnProgress for callers that need no progress."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device for engines. ``name`` is torch's, such as "cpu" or "cuda:0". The number of threads can change a result."""

    name: str = "cpu"
    threads: int = 1


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The verified weights of a model on this disk.

    files:       its files; those of a tree (a diffusers folder) by their paths in it, such as "vae/config.json".
    folder:      the root of its tree; for a model without a tree, the folder of its files.
    single_file: the .safetensors file with all its parts, or None. A tree beside it has its configuration.
    revision:    the commit of its repository; "unpinned" and a content digest without a pin; "" for files with hashes in models.toml.
    weights:     (file, sha256) of every weights file whose hash is known, for the record.
    stamps:      the stamp of each path when it was hashed or, without a known hash, when it was found.
    is_tree:     True if ``folder`` is the root of a tree.
    """

    files: Mapping[str, Path]
    folder: Path
    single_file: Path | None = None
    revision: str = ""
    weights: tuple[tuple[str, str], ...] = ()
    stamps: Mapping[Path, FileStamp] = field(default_factory=dict)
    is_tree: bool = False

    def unchanged(self) -> AbstractContextManager[None]:
        """Return a block for a library that loads from these paths: what was hashed is what is loaded.

        The block raises InputError if a file has changed since it was hashed, or changes before the block ends. An engine that loads
        weights later than its driver's call enters a block of its own.
        """
        return require_unchanged(self.files.values(), self.folder if self.is_tree else None, self.stamps)


@dataclass(frozen=True, eq=False, slots=True)
class EngineKind(Generic[EngineT]):
    """One kind of engine. A new kind is a protocol and a row in ``goldsmith.engines.kinds``.

    name:         its word in models.toml (``kind = ...`` and under ``[defaults]``) and in records.
    protocol:     the ``@runtime_checkable`` protocol that its engines implement.
    task:         the end of a sentence: "a model for …".
    has_defaults: False if a step must always name its model.
    """

    name: str
    protocol: type[EngineT]
    task: str
    has_defaults: bool = True


@dataclass(frozen=True, slots=True)
class EngineNeed(Generic[EngineT]):
    """The engine that a step asks for, known from its settings alone.

    model:          a name in models.toml, or None for the default.
    needs_prompt:   True if the step has a prompt: an engine that ignores it is not suitable.
    can:            generate: all abilities that the model must have.
    can_any:        generate: abilities of which the model must have at least one; empty = no such condition.
    factor:         upscale: the enlargement, to choose among the defaults.
    is_drawing:     upscale: whether the picture is a drawing, to choose among the defaults; None if that is not known yet.
    extends_canvas: inpaint: True if the hole is beyond the edge of the picture, with no pixels on its far side.
    control:        control: what the control picture shows; "" = anything.
    family:         control, reference: the family of the model that it guides; "" = any.
    guides:         control, reference: the need for the model that it guides, whose family counts.
    controlled:     generate, inpaint: the abilities that follow a control picture.
    referenced:     generate, inpaint: the abilities that follow reference pictures by an adapter.
    has_people:     matte: True if the subject is known to be people, to choose among the defaults.
    """

    kind: EngineKind[EngineT]
    model: str | None = None
    needs_prompt: bool = False
    can: frozenset[Ability] = frozenset()
    can_any: frozenset[Ability] = frozenset()
    factor: int = 1
    is_drawing: bool | None = None
    extends_canvas: bool = False
    has_people: bool = False
    control: ControlName | Literal[""] = ""
    family: str = ""
    guides: EngineNeed[Any] | None = None
    controlled: frozenset[Ability] = frozenset()
    referenced: frozenset[Ability] = frozenset()


@dataclass(eq=False, slots=True)
class FillGuides:
    """What a generating model follows besides words while it fills holes.

    references: pictures that the model looks at itself, (h, w, 3), 0..1, sRGB.
    likeness:   reference pictures that it follows by an adapter.
    control:    the control picture of the crop that is filled next; it is replaced for each crop.
    """

    references: tuple[Pixels, ...] = ()
    likeness: ReferenceGuide | None = None
    control: ControlGuide | None = None


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """A step's options for an engine that takes a prompt; None = the value of the model's entry in models.toml.

    strength:       0..1, how far the result may depart from the input picture.
    scheduler:      the name of a scheduler in the model's entry.
    rescale:        0..1, how far strong guidance is scaled back to the contrast of the picture without it.
    clip_skip:      how many of CLIP's last layers are left out, besides the one that the model always leaves out.
    embeddings:     the files of textual inversions, each a word of the prompt.
    loras:          (file, weight) of each LoRA.
    extends_canvas: as in EngineNeed.
    guides:         what an inpainter follows besides words.
    """

    prompt: str = ""
    negative: str = ""
    strength: float | None = None
    steps: int | None = None
    guidance: float | None = None
    loras: tuple[tuple[Path, float], ...] = ()
    extends_canvas: bool = False
    scheduler: str | None = None
    rescale: float = 0.0
    clip_skip: int = 0
    embeddings: tuple[Path, ...] = ()
    guides: FillGuides | None = None


@runtime_checkable
class ControlNet(Protocol):
    """The weights of a control model, which guides a generating model; that model loads them."""

    @property
    def descriptor(self) -> EngineDescriptor: ...

    @property
    def model_files(self) -> ModelFiles: ...

    @property
    def modes(self) -> Mapping[ControlName, int]:
        """The number of each control if it reads several (a union), else empty."""


@dataclass(frozen=True, eq=False, slots=True)
class ControlGuide:
    """A control picture and how a model follows it.

    picture:    (h, w, 3), 0..1, sRGB, of any size; it covers the same view as the result.
    strength:   how strongly, 0..2; 1 = as the control model was trained.
    start, end: the part of the steps in which it acts, 0..1.
    """

    net: ControlNet
    control: ControlName
    picture: Pixels
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0


@runtime_checkable
class ReferenceAdapter(Protocol):
    """The weights of a reference adapter, which shows reference pictures to a generating model; that model loads them."""

    @property
    def descriptor(self) -> EngineDescriptor: ...

    @property
    def model_files(self) -> ModelFiles: ...

    @property
    def weights_path(self) -> Path:
        """The file with the weights of the adapter itself."""

    @property
    def encoder_folder(self) -> Path:
        """The folder of the image encoder."""


@dataclass(frozen=True, eq=False, slots=True)
class ReferenceGuide:
    """Reference pictures and how strongly a model follows them by an adapter.

    pictures: (h, w, 3), 0..1, sRGB, each of any size.
    strength: 0..1; 1 = as the adapter was trained.
    """

    adapter: ReferenceAdapter
    pictures: tuple[Pixels, ...]
    strength: float


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One call of a generating engine: one picture for each seed.

    width, height: px, multiples of the engine's ``EngineDescriptor.multiple``.
    picture:       (height, width, 3), 0..1, sRGB, the picture to start from.
    hole:          (height, width), 0 or 1 = generate, only with a picture.
    references:    pictures of any size, (h, w, 3), 0..1, sRGB.
    guide:         a control picture that the result follows.
    likeness:      reference pictures that the result follows by an adapter.
    layer_count:   into how many layers the picture is split; 0 = it is not. Such a request has one seed.
    """

    options: GenerationOptions
    seeds: tuple[int, ...]
    width: int
    height: int
    picture: Pixels | None = None
    hole: Mask | None = None
    references: tuple[Pixels, ...] = ()
    guide: ControlGuide | None = None
    likeness: ReferenceGuide | None = None
    layer_count: int = 0


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """The result of a request.

    pictures: (height, width, 3), 0..1, sRGB, in the order of the seeds; or the layers of one picture, (height, width, 4), 0..1, sRGB with
              straight alpha, the bottom one first.
    facts:    the values in use as plain JSON, for the record: steps, guidance, scheduler, precision, offload, batch, memory fallback …
    """

    pictures: tuple[Pixels, ...]
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EngineDescriptor:
    """The properties of an engine; every manifest contains them.

    name:          its name in models.toml.
    kind:          the name of its kind.
    licence:       the SPDX name of the licence of its weights or its code.
    scale:         the enlargement of its output (1 for inpainting).
    side:          the side of its square in px (inpaint: a crop is scaled to it; upscale: a tile), 0 = any size.
    pad:           px of context that an upscaling tile needs on each side so that no seam shows.
    multiple:      sides must be multiples of this many px.
    enlarges:      inpaint: True if a smaller crop is enlarged to ``side``, because the model works well only there.
    takes_prompt:  True if it takes a prompt.
    can:           generate: its abilities.
    family:        generate: its family; for models that guide others: that of the models that they guide.
    controls:      control: what the control pictures show that it reads.
    native_pixels: generate: its native number of pixels, such as 1024 * 1024; any aspect ratio with about as many.
    weights:       (file name, sha256) of each weights file in use; empty for engines without weights.
    device:        the device and precision in use, such as "cpu float32, 1 thread".
    revision:      the commit of the weights' repository; "unpinned" and a digest of its content for a folder without a pin.
    """

    name: str
    kind: str
    licence: str
    scale: int = 1
    side: int = 0
    pad: int = 0
    multiple: int = 1
    enlarges: bool = False
    takes_prompt: bool = False
    can: tuple[Ability, ...] = ()
    native_pixels: int = 0
    family: str = ""
    controls: tuple[ControlName, ...] = ()
    weights: tuple[tuple[str, str], ...] = ()
    device: str = "cpu"
    revision: str = ""


class Engine(Protocol):
    """The protocol that every kind of engine has in common."""

    @property
    def descriptor(self) -> EngineDescriptor: ...


@runtime_checkable
class Inpainter(Protocol):
    """An engine that fills holes."""

    @property
    def descriptor(self) -> EngineDescriptor: ...

    def fill(self, pixels: Pixels, hole: Mask, seed: int, on_progress: OnProgress = ignore_progress) -> Pixels:
        """Return the pixels, float32 (h, w, 3), 0..1, display-encoded as sRGB, with new content for the hole.

        pixels: as the result; its sides must suit the descriptor. hole: float32 (h, w), a pixel above 0.5 is filled. Pixels outside the
        hole may change too: the caller composites.
        """


@runtime_checkable
class Upscaler(Protocol):
    """An engine that enlarges by a fixed whole factor."""

    @property
    def descriptor(self) -> EngineDescriptor: ...

    def enlarge(self, tile: Pixels) -> Pixels:
        """Return the enlarged tile, float32 (h * scale, w * scale, 3), 0..1, display-encoded as sRGB.

        tile: float32 (h, w, 3), encoded as the result; its sides must suit the descriptor.
        """


@runtime_checkable
class Generator(Protocol):
    """An engine that generates pictures from words, pictures or both."""

    @property
    def descriptor(self) -> EngineDescriptor: ...

    def generate(self, request: GenerationRequest, on_progress: OnProgress = ignore_progress) -> GenerationResult:
        """Return the pictures. A picture depends on its own seed, not on the other seeds of the request.

        Raises InputError if the model lacks an ability, HostError if the device fails.
        """
