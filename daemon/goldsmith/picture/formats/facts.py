"""What a picture file says of itself before any pixel is decoded, and the sentences for files that are none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from goldsmith.errors import Incomplete, Problem

Samples = NDArray[Any]
"""Decoded channels as the file holds them: (h, w, n) uint8, uint16 or float32; alpha, where there is one, comes last."""

MAX_EXTRA_BYTES = 32 << 20
"""No profile or metadata block is unpacked beyond this: a real one is a thousandth of it."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a picture file once it was decoded to the end.

    format:        "png", "jpeg", "tiff", "webp", "avif" or "heic".
    width, height: as shown, that is after the file's orientation was applied.
    depth:         bits per channel in the file.
    channels:      of colour: 1 grey (or a palette of greys), 3 RGB, 4 CMYK; alpha is not counted.
    icc:           the embedded profile's own name, None where there is none.
    frames:        1, or how many an animation or a multi-page file has; the first is the picture.
    ppi:           horizontal and vertical pixels per inch, None where the file says nothing.
    notes:         plain sentences about what was read otherwise than it is written.
    """

    format: str
    width: int
    height: int
    depth: int
    channels: int
    alpha: bool
    icc: str | None = None
    frames: int = 1
    ppi: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Header:
    """A reader's findings: ``width`` and ``height`` are as stored, ``levels`` is the code that means 1.0.

    A reader whose library hands pixels over upright leaves ``orientation`` at 1. ``read_samples`` may still correct ``alpha``.
    """

    format: str
    width: int
    height: int
    depth: int
    channels: int
    alpha: bool = False
    premultiplied: bool = False
    frames: int = 1
    levels: float = 255.0
    icc: bytes | None = None
    ppi: tuple[float, float] | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    text: list[tuple[str, str]] = field(default_factory=list)
    orientation: int = 1
    notes: list[str] = field(default_factory=list)
    walk: Any = None
    """What the reader found on its way through the file, for its own ``read_samples`` and ``check_frames``."""


class Damaged(Problem):
    """The bytes of a file are wrong; or they are not there yet."""


def damaged(name: str, what: str) -> Damaged:
    """The problem of a file whose bytes are wrong; ``what`` completes "NAME is damaged: …"."""
    return Damaged(f"{name} is damaged: {what}.", "Save or copy it again from where it came from.")


def cut_short(name: str, how_far: str) -> Incomplete:
    """The problem of a file that ends before its picture does; ``how_far`` completes "NAME ends too soon: …"."""
    return Incomplete(f"{name} ends too soon: {how_far}.", "If nothing is copying it any more, save or copy it again.")


def check_size(name: str, width: int, height: int, frames: int, max_pixels: int) -> None:
    """Refuse a picture by what its header announces, before anything of its size is allocated."""
    if width <= 0 or height <= 0:
        raise damaged(name, f"it says that it is {width} x {height} pixels large")
    if width * height > max_pixels:
        announced = f"{width} x {height} pixels ({width * height / 1e6:,.0f} MP)"
        raise Problem(
            f"{name} says that it is {announced} large; the limit is {max_pixels / 1e6:,.0f} MP.",
            "Make it smaller, or raise max_pixels in config/house.toml.",
        )
    if frames > MAX_FRAMES:
        raise Problem(f"{name} says that it has {frames} frames; the limit is {MAX_FRAMES}.", "Save the one you want as a still.")


MAX_FRAMES = 2000

DECODER_FAULTS = (ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, SyntaxError, TypeError, ValueError)
"""What decoders raise at a stranger's bytes: they have no root in common. MemoryError is the machine's and passes."""


@contextmanager
def guarded(name: str, data: bytes) -> Iterator[None]:
    """Whatever a decoder raises inside comes out as Problem, or as Incomplete where the file's end was never written."""
    import struct
    import zlib

    try:
        yield
    except Damaged as problem:
        if never_written(data):
            raise cut_short(name, "its end holds nothing but zeros") from problem
        raise
    except Problem:
        raise
    except (*DECODER_FAULTS, struct.error, zlib.error) as fault:
        if never_written(data):
            raise cut_short(name, "its end holds nothing but zeros") from fault
        said = str(fault).strip().splitlines()[0][:200] if str(fault).strip() else type(fault).__name__
        raise damaged(name, f"it cannot be decoded ({said})") from fault


def never_written(data: bytes) -> bool:
    """True where the last bytes are all zero: space that a copying program reserved and has not filled yet."""
    return len(data) > 64 and not any(data[-64:])
