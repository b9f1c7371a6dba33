"""Test material for every operation: settings from its defaults and the manual, a step context with a library, and pictures."""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from pydantic import ValidationError

from doubles.faces import face_from_mesh, mesh_at, paint_faces
from doubles.press import press_file
from doubles.step_context import DetectDouble, EnginesDouble, LibraryDouble, NullInpainter, NullPainter, ResultsDouble, StepContextDouble
from goldsmith.engines.kinds import CONTROL_NET, INPAINTER, REFERENCE_ADAPTER
from goldsmith.engines.protocols import Engine, EngineNeed, GenerationOptions
from goldsmith.engines.vision import Face, Points
from goldsmith.operation import ExportedFile, Operation, PictureOperation, Portrait, RecordValue
from goldsmith.ops import catalogue
from goldsmith.picture.codec import EncodingOptions, encode
from goldsmith.picture.picture import BitDepth, Mask, Metadata, Picture, freeze

CHECKOUT = Path(__file__).parents[2]
LIBRARY = CHECKOUT / "hotfolders" / "samples" / "library"
# The smallest EXIF block: a little-endian header and an empty directory.
EXIF = b"II*\0\x08\0\0\0\0\0\0\0\0\0"


class SampleEngines(EnginesDouble):
    """Null engines; a step with a prompt for its inpainter gets an inpainter that takes a prompt. What guides it is never looked at."""

    def engine_for(self, need: EngineNeed[Any], options: GenerationOptions | None) -> Engine:
        is_painter = need.kind in (CONTROL_NET, REFERENCE_ADAPTER) or (need.kind is INPAINTER and options is not None)
        return NullPainter(side=64) if is_painter else super().engine_for(need, options)


class SampleDetect(DetectDouble):
    """Detects a subject in the middle of every picture, and one face in its left half."""

    def matte(self, model: str | None, picture: Picture) -> Mask:
        mask = np.zeros((picture.height, picture.width), np.float32)
        mask[picture.height // 4 : picture.height - picture.height // 4, picture.width // 4 : picture.width - picture.width // 4] = 1
        return freeze(mask)

    def faces(self, picture: Picture) -> Sequence[Face]:
        return (face_from_mesh(_mesh(picture)),)

    def face_mesh(self, face: Face, picture: Picture) -> Points | None:
        return _mesh(picture)


class SampleLibrary(LibraryDouble):
    """Has, under every name, a matching file of the sample library: the file of that name, else the first.

    A LoRA is a path that nobody opens. A layer of any name is a small picture with alpha. Every person has agreed to everything.
    """

    def file(self, folder: str, name: str, suffixes: Sequence[str]) -> Path:
        if folder == "loras":
            return LIBRARY / folder / (name + suffixes[0])
        if folder == "profiles":
            return press_file()
        files = sorted((LIBRARY / folder).iterdir(), key=lambda path: (path.stem != name, path))
        return next(path for path in files if path.suffix in suffixes)

    def layer(self, name: str) -> Picture:
        return picture(29, 41, depth=16, alpha=True)

    def hero(self, name: str) -> Picture:
        return picture(40, 60)

    def reference_pictures(self) -> Sequence[Picture]:
        return (picture(40, 60),)

    def portrait(self, name: str) -> Portrait:
        return Portrait(_person(), f"library/faces/{name}.png")


def _mesh(on: Picture) -> Points:
    return mesh_at(0.02 * on.width, 0.1 * on.height, 0.4 * min(on.width, on.height))


@cache
def _person() -> Picture:
    empty = np.zeros((260, 260, 1), np.float32)
    return paint_faces(260, 260, [_mesh(Picture(empty))])


@cache
def _exported_png() -> Path:
    path = Path(tempfile.mkdtemp()) / "000.png"
    path.write_bytes(encode(picture(37, 53), EncodingOptions()))
    return path


def context(seed: int = 7) -> StepContextDouble:
    """Return a step context with the sample library and, as is usual, an inpainter of a fixed side.

    An earlier step has exported one file, as its facts say, and a proof that does not count.
    """
    facts: dict[str, RecordValue] = {"name": "web", "width": 53, "height": 37, "depth": 8, "format": "png", "alpha": False}
    proof = ExportedFile("_web_proof.jpg", _exported_png(), {**facts, "proof_of": "press"})
    return StepContextDouble(
        seed=seed,
        engines=SampleEngines(NullInpainter(side=64)),
        detect=SampleDetect(),
        library=SampleLibrary(ResultsDouble()),
        exported=(ExportedFile("_web.png", _exported_png(), facts), proof),
    )


def examples(word: str) -> list[Operation]:
    """Return the operation with its defaults, if they are valid, and with the settings of the manual's example briefs."""
    kind = catalogue()[word]
    try:
        operations = [kind.model_validate({})]
    except ValidationError:
        operations = []
    operations += [kind.model_validate(settings) for settings in _manual_examples(word)]
    if not issubclass(kind, PictureOperation):
        return operations
    return [_with_edges_as_control(_with_relaxed_limits(operation)) for operation in operations]


def _with_edges_as_control(operation: Operation) -> Operation:
    """Return the operation with a control picture, if it has one, that it makes itself: no file fits pictures of every shape."""
    control = getattr(operation, "control", None)
    return operation if control is None else operation.model_copy(update={"control": control.model_copy(update={"kind": "edges"})})


def _with_relaxed_limits(operation: Operation) -> Operation:
    """Return the operation with its limits relaxed: pictures of noise would fail a check of the subject, the face or the contrast."""
    limits = [name for name in type(operation).model_fields if name.startswith("max_") or name == "min_contrast"]
    return operation.model_copy(update=dict.fromkeys(limits, 1.0))


def _manual_examples(word: str) -> Iterator[dict[str, object]]:
    page = CHECKOUT / "docs" / "operations" / f"{word}.md"
    blocks = page.read_text().split("```toml\n")[1:] if page.exists() else []
    for block in blocks:
        for steps in tomllib.loads(block.split("```")[0]).values():
            for step in steps if isinstance(steps, list) else []:
                if isinstance(step, dict) and step.get("op") == word:
                    yield {key: value for key, value in step.items() if key != "op"}


def picture(height: int, width: int, channels: int = 3, depth: BitDepth = 8, *, alpha: bool = False, icc: bytes | None = None) -> Picture:
    """Return smooth tones with noise, on exact codes of the depth, with a mask "mask" that has soft and hard edges, and a second one."""
    random = np.random.default_rng(height * 1000 + width)
    down, across = np.linspace(0.1, 0.9, height)[:, None, None], np.linspace(0, 1, width)[None, :, None]
    tones = (down + across * np.array([0.2, 0.5, 0.8])[:channels]) / 2 + random.normal(0, 0.02, (height, width, channels))
    levels = 2**depth - 1
    pixels = (np.round(np.clip(tones, 0, 1) * levels) / levels).astype(np.float32)
    mask = np.zeros((height, width), dtype=np.float32)
    mask[height // 4 : height // 4 + max(height // 3, 1), width // 4 : width // 4 + max(width // 3, 1)] = 1
    mask[height // 2 :, width // 2] = 0.5
    if height * width > 1:
        mask[0, 0] = 0
    return Picture(
        freeze(pixels),
        alpha=freeze(random.integers(0, levels + 1, (height, width)).astype(np.float32) / np.float32(levels)) if alpha else None,
        depth=depth,
        icc=icc,
        ppi=(300.0, 300.0),
        metadata=Metadata(exif=EXIF, xmp=b"<x/>", iptc=b"\x1c\x02\x05\x00\x04hero"),
        masks=MappingProxyType({"mask": freeze(mask), "sky": freeze(1 - mask)}),
    )
