"""Small ncnn models, to test the reader and the networks without real weights."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np

HALF = 0x01306B47


@dataclass
class ModelWriter:
    """A model under construction: the lines of its .param and the bytes of its .bin."""

    lines: list[str] = field(default_factory=list)
    data: bytes = b""
    weights: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    half: bool = False

    def plain(self, kind: str, settings: str = "") -> None:
        """Add a layer without weights."""
        self.lines.append(f"{kind} {kind}_{len(self.lines)} 1 1 a b {settings}".strip())

    def convolution(self, weight: np.ndarray, bias: np.ndarray) -> None:
        """Add a convolution: weight (out, in, side, side) and bias (out,), unbounded."""
        out, _, side, _ = weight.shape
        self.plain("Convolution", f"0={out} 1={side} 4=1 5=1 6={weight.size}")
        if self.half:
            packed = weight.astype("<f2").tobytes()
            self.data += struct.pack("<I", HALF) + packed + bytes(-len(packed) % 4)
        else:
            self.data += struct.pack("<I", 0) + weight.astype("<f4").tobytes()
        self.data += bias.astype("<f4").tobytes()
        self.weights.append((weight, bias))

    def prelu(self, slopes: np.ndarray) -> None:
        """Add a PReLU with slopes (n,), 0..1."""
        self.plain("PReLU", f"0={len(slopes)}")
        self.data += slopes.astype("<f4").tobytes()

    def save(self, folder: Path) -> tuple[Path, Path]:
        """Write net.param and net.bin, and return their paths."""
        param, weights = folder / "net.param", folder / "net.bin"
        text = "\n".join(["7767517", f"{len(self.lines)} {len(self.lines)}", *self.lines])
        param.write_text(text + "\n")
        weights.write_bytes(self.data)
        return param, weights


def random_weights(rng: np.random.Generator, into: int, out: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a weight (out, into, 3, 3) and a bias (out,), unbounded, normally distributed around 0."""
    return rng.normal(0, 0.1, (out, into, 3, 3)).astype(np.float32), rng.normal(0, 0.1, out).astype(np.float32)


def compact(scale: int = 2, wide: int = 4, *, shrink: float = 1.0, empty: bool = False, half: bool = False) -> ModelWriter:
    """Return a SRVGG network of two convolutions; ``empty``: with zero weights, so that it only enlarges."""
    model = ModelWriter(half=half)
    rng = np.random.default_rng(1)
    model.plain("Input")
    model.plain("Split")
    for into, out in ((3, wide), (wide, 3 * scale**2)):
        weight, bias = random_weights(rng, into, out)
        model.convolution(weight * (not empty), bias * (not empty))
        if out == wide:
            model.prelu(np.full(wide, 0.25, np.float32))
    model.plain("PixelShuffle", f"0={scale}")
    model.plain("Interp", f"0=1 1={scale:e} 2={scale:e}")
    model.plain("BinaryOp")
    if shrink != 1:
        model.plain("Interp", f"0=3 1={shrink:e} 2={shrink:e}")
    return model


def residual(blocks: int = 1, wide: int = 6, grown: int = 3) -> ModelWriter:
    """Return an RRDB network with the usual order of convolutions."""
    model = ModelWriter()
    rng = np.random.default_rng(2)
    shapes = [(3, wide)]
    shapes += [(wide + at * grown, grown if at < 4 else wide) for _ in range(3 * blocks) for at in range(5)]
    shapes += [(wide, wide)] * 4 + [(wide, 3)]
    model.plain("Input")
    for number, (into, out) in enumerate(shapes):
        model.convolution(*random_weights(rng, into, out))
        if number in (len(shapes) - 5, len(shapes) - 4):
            model.plain("Interp", "0=1 1=2.000000e+00 2=2.000000e+00")
    return model


def plain_enlargement(folder: Path) -> str:
    """Write weights that only enlarge x2 into a models folder; return the text of a models.toml with them as default."""
    folder.mkdir(parents=True, exist_ok=True)
    files = ""
    for path in compact(empty=True).save(folder):
        data = path.read_bytes()
        files += f'[[models.plain-x2.files]]\nname = "{path.name}"\nsha256 = "{sha256(data).hexdigest()}"\nbytes = {len(data)}\n'
        files += f'sources = [{{ url = "https://models.invalid/{path.name}" }}]\n'
    entry = '[models.plain-x2]\nkind = "upscale"\ndriver = "esrgan_ncnn"\nscale = 2\nlicence = "CC0-1.0"\n'
    return f'[defaults.upscale]\nx2 = ["plain-x2"]\n{entry}{files}'
