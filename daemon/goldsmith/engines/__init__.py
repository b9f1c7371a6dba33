"""Models behind small protocols. Callers read an engine's descriptor to learn what it can do; its name does not matter.

Only this package imports torch, diffusers, onnxruntime and cv2.dnn, and it imports them late: reading descriptors stays cheap, and the
scanner and the command line stay small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeVar, runtime_checkable

from goldsmith.picture.picture import Mask, Pixels

EngineT = TypeVar("EngineT", bound="Engine")

# What a generating model can do: pictures from words alone, from a picture and words, fill a hole, edit by instruction, look at reference
# pictures.
Ability = Literal["text", "image", "inpaint", "edit", "references"]

# Told 0..1 as an engine gets on with one call; what it raises (Cancelled) ends the work at once.
OnProgress = Callable[[float], None]


def ignore_progress(fraction: float) -> None:
    """An OnStep for callers who do not want to know."""


@dataclass(frozen=True, slots=True)
class Device:
    """What an engine runs on. ``name`` is torch's: "cpu", "cuda:0". Threads are part of what makes a result repeatable."""

    name: str = "cpu"
    threads: int = 1


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Where a model's weights lie, each file known to be what it should be.

    files:    its files; of a tree (a diffusers folder) by their paths inside it, e.g. "vae/config.json".
    folder:   the top of its tree; for a model that is no tree the folder its files lie in.
    single:   the one .safetensors file that holds all its parts, where it is such a model. A tree beside it has its configuration.
    revision: the commit of its repository; "unpinned" where nobody has written its files' hashes down; "" for files named by hash.
    weights:  (file, sha256) of every weights file whose hash is known, for the record.
    """

    files: Mapping[str, Path]
    folder: Path
    single_file: Path | None = None
    revision: str = ""
    weights: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class EngineKind(Generic[EngineT]):
    """One kind of engine. ``goldsmith.engines.kinds`` has the table of them; a new kind is a protocol and a row there.

    name:         the word for it in models.toml (``kind = ...`` and under ``[defaults]``) and in records.
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

    model:  a name in config/models.toml, or None for the house's default.
    words:  the step was given words of its own: an engine that leaves them aside will not do.
    can:    generate: everything the model must be able to do.
    factor: upscale: by how much, to choose among the defaults.
    beyond: inpaint: what is to be made lies beyond the picture's edge, with nothing at its far side.
    people: matte: the subject is known to be people, to choose among the defaults.
    """

    kind: EngineKind[EngineT]
    model: str | None = None
    needs_prompt: bool = False
    can: frozenset[Ability] = frozenset()
    factor: int = 1
    extends_canvas: bool = False
    has_people: bool = False


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """What a person asks of an engine that takes words; None = as the model's entry in models.toml says.

    strength: 0..1, how far the result may go from the picture it is given. loras: (file, weight) each. beyond: as in EngineNeed.
    """

    prompt: str = ""
    negative: str = ""
    strength: float | None = None
    steps: int | None = None
    guidance: float | None = None
    loras: tuple[tuple[Path, float], ...] = ()
    extends_canvas: bool = False


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One call of a generating engine: as many pictures as there are seeds.

    width, height: px, multiples of the descriptor's ``multiple``. picture: (height, width, 3), to start from. hole: (height, width),
    0 or 1, only with a picture: what is to be made new. references: pictures of any size to look at.
    """

    options: GenerationOptions
    seeds: tuple[int, ...]
    width: int
    height: int
    picture: Pixels | None = None
    hole: Mask | None = None
    references: tuple[Pixels, ...] = ()


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """What came of a request: ``pictures`` in the order of its seeds, each (height, width, 3), and what was really done (steps,
    guidance, scheduler, precision, offload, tiling, batch, the rung of the memory ladder …), as plain JSON for the record."""

    pictures: tuple[Pixels, ...]
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EngineDescriptor:
    """What an engine says of itself; copied into every manifest.

    name:      its name in config/models.toml.
    kind:      the name of its kind.
    scale:     enlargement of its output over its input (1 for inpainting).
    side:      the side in px of the square it works at (inpaint: crop scaled to fit; upscale: tile), 0 = any size.
    enlarges:  inpaint: True where a smaller crop is enlarged to ``side``, because the model only works well there.
    words:     True where it takes a prompt.
    can:       generate: what it can do.
    pixels:    generate: its native pixel count, e.g. 1024 * 1024; any aspect with about so many.
    pad:       px of context an upscaling tile needs at each side so that no seam shows.
    multiple:  sides must be multiples of this.
    licence:   SPDX name of its weights' or code's licence.
    weights:   (file name, sha256) of each weights file in use; empty for weight-free engines.
    device:    device and precision in use, e.g. "cpu float32, 1 thread".
    revision:  of the weights' repository; "unpinned" for a folder whose hashes nobody has written down.
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
    weights: tuple[tuple[str, str], ...] = ()
    device: str = "cpu"
    revision: str = ""


class Engine(Protocol):
    """What every kind of engine has."""

    @property
    def descriptor(self) -> EngineDescriptor: ...


@runtime_checkable
class Inpainter(Protocol):
    """Fills holes."""

    @property
    def descriptor(self) -> EngineDescriptor: ...

    def fill(self, pixels: Pixels, hole: Mask, seed: int, on_progress: OnProgress = ignore_progress) -> Pixels:
        """``pixels`` with every pixel where ``hole`` > 0.5 made new from its surroundings; same size.

        pixels: float32 (h, w, 3) sRGB-like display-encoded 0..1; hole: float32 (h, w). Sides are as the descriptor asks.
        What comes back outside the hole is not to be relied on: the caller composites.
        """


@runtime_checkable
class Upscaler(Protocol):
    """Enlarges by a fixed whole factor."""

    @property
    def descriptor(self) -> EngineDescriptor: ...

    def enlarge(self, tile: Pixels) -> Pixels:
        """float32 (h, w, 3) display-encoded 0..1 -> float32 (h * scale, w * scale, 3). Sides are as the descriptor asks."""


@runtime_checkable
class Generator(Protocol):
    """Makes pictures from words, pictures or both."""

    @property
    def descriptor(self) -> EngineDescriptor: ...

    def generate(self, request: GenerationRequest, on_progress: OnProgress = ignore_progress) -> GenerationResult:
        """The pictures, float32 display-encoded sRGB 0..1. Picture i depends on seed i alone, not on the others in the request.

        Raises InputError for what this model cannot do, HostError where the device fails.
        """
