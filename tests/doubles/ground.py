"""What every operation is tried on: settings from its defaults and from the manual, a bench with a library, plates of every kind."""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
from pydantic import ValidationError

from doubles.bench import BenchDouble, NullInpainter, NullPainter
from doubles.faces import face_of, mesh_at, painted
from doubles.press import press_file
from goldsmith.engines import Inpainter, Wish
from goldsmith.engines.vision import Face, Points
from goldsmith.operation import Exported, Finding, Operation, PlateOperation, Portrait
from goldsmith.ops import catalogue
from goldsmith.picture.codec import Encoding, encode
from goldsmith.picture.picture import Depth, Mask, Metadata, Plate, frozen

CHECKOUT = Path(__file__).parents[2]
LIBRARY = CHECKOUT / "hotfolders" / "samples" / "library"
EXIF = b"II*\0\x08\0\0\0\0\0\0\0\0\0"
"""The smallest there is: a little-endian header and a directory of no entries."""


class LibraryBench(BenchDouble):
    """A bench whose library holds, under every name, a fitting file of the sample library, the one called so or the first.

    A LoRA is a path that nobody opens.

    A layer of any name is a small picture with alpha.

    A step that has words for its engine gets one that takes them.
    """

    def inpainter(self, model: str | None, wish: Wish | None = None) -> Inpainter:
        wordless = super().inpainter(model, wish)
        return wordless if wish is None else NullPainter(side=64)

    def matte(self, model: str | None, plate: Plate) -> Mask:
        """The subject takes the middle of every picture."""
        made = np.zeros((plate.height, plate.width), np.float32)
        made[plate.height // 4 : plate.height - plate.height // 4, plate.width // 4 : plate.width - plate.width // 4] = 1
        return frozen(made)

    def layer(self, name: str) -> Plate:
        return plate(29, 41, depth=16, alpha=True)

    def hero(self, name: str) -> Plate:
        return plate(40, 60)

    def faces(self, plate: Plate) -> Sequence[Face]:
        """One face, in the left half of every picture."""
        return (face_of(_mesh(plate)),)

    def mesh(self, face: Face, plate: Plate) -> Points | None:
        return _mesh(plate)

    def portrait(self, name: str) -> Portrait:
        """Somebody who agreed to everything."""
        return Portrait(_person(), f"library/faces/{name}.png")

    def exported(self) -> Sequence[Exported]:
        """One file that is what its step says of it, and a proof that nobody counts."""
        facts: dict[str, Finding] = {"name": "web", "width": 53, "height": 37, "depth": 8, "format": "png", "alpha": False}
        return (Exported("_web.png", _written(), facts), Exported("_web_proof.jpg", _written(), {**facts, "proof_of": "press"}))

    def reference(self, shelf: str, name: str, suffixes: Sequence[str]) -> Path:
        if shelf == "loras":
            return LIBRARY / shelf / (name + suffixes[0])
        if shelf == "profiles":
            return press_file()
        files = sorted((LIBRARY / shelf).iterdir(), key=lambda path: (path.stem != name, path))
        return next(path for path in files if path.suffix in suffixes)


def _mesh(on: Plate) -> Points:
    return mesh_at(0.02 * on.width, 0.1 * on.height, 0.4 * min(on.width, on.height))


@cache
def _person() -> Plate:
    empty = np.zeros((260, 260, 1), np.float32)
    return painted(260, 260, [_mesh(Plate(empty))])


@cache
def _written() -> Path:
    path = Path(tempfile.mkdtemp()) / "000.png"
    path.write_bytes(encode(plate(37, 53), Encoding()))
    return path


def bench(seed: int = 7) -> LibraryBench:
    """A bench with an engine of a fixed side, as most are."""
    return LibraryBench(seed=seed, inpainter=NullInpainter(side=64))


def examples(word: str) -> list[Operation]:
    """The operation by its defaults, where they are enough, and as the manual's own example briefs use it."""
    kind = catalogue()[word]
    try:
        found = [kind.model_validate({})]
    except ValidationError:
        found = []
    found += [kind.model_validate(settings) for settings in _in_manual(word)]
    return [_lenient(made) for made in found] if issubclass(kind, PlateOperation) else found


def _lenient(operation: Operation) -> Operation:
    """What looks for a subject or a face holds a picture that shows none well, and plates of noise do not: here it is to go on."""
    return operation.model_copy(update={name: 1.0 for name in type(operation).model_fields if name.startswith("max_")})


def _in_manual(word: str) -> Iterator[dict[str, object]]:
    page = CHECKOUT / "docs" / "operations" / f"{word}.md"
    blocks = page.read_text().split("```toml\n")[1:] if page.exists() else []
    for block in blocks:
        for steps in tomllib.loads(block.split("```")[0]).values():
            for step in steps if isinstance(steps, list) else []:
                if isinstance(step, dict) and step.get("op") == word:
                    yield {key: value for key, value in step.items() if key != "op"}


def plate(height: int, width: int, channels: int = 3, depth: Depth = 8, *, alpha: bool = False, icc: bytes | None = None) -> Plate:
    """Smooth tones with noise on them, on exact codes of the depth; a mask called "mask" with soft and hard edges, and a second one."""
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
    return Plate(
        frozen(pixels),
        alpha=frozen(random.integers(0, levels + 1, (height, width)).astype(np.float32) / np.float32(levels)) if alpha else None,
        depth=depth,
        icc=icc,
        ppi=(300.0, 300.0),
        metadata=Metadata(exif=EXIF, xmp=b"<x/>", iptc=b"\x1c\x02\x05\x00\x04hero"),
        masks=MappingProxyType({"mask": frozen(mask), "sky": frozen(1 - mask)}),
    )
