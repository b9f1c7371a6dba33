"""A plate is the decoded picture under work: pixels, alpha, profile, depth, metadata and its named masks.

The contract below is held where plates are made (the codec) and where they are written; in between nobody checks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
"""float32, height x width x channels (1 = grey, 3 = RGB), display-encoded, 0..1."""

Mask = NDArray[np.float32]
"""float32, height x width, 0 = leave alone, 1 = change, between = partly."""

Depth = Literal[8, 16]

NO_MASKS: Mapping[str, Mask] = MappingProxyType({})
NO_FACTS: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Metadata:
    """What travels with the pixels untouched: raw Exif (orientation already applied and reset to 1), XMP and IPTC blocks."""

    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    text: tuple[tuple[str, str], ...] = ()
    """(keyword, text) of a PNG's text chunks, in order: where generators keep prompt and seed. Only PNG has a place for them."""


@dataclass(frozen=True, eq=False, slots=True)
class Plate:
    """A picture under work.

    pixels: float32 (h, w, c), c = 1 (grey) or 3 (RGB), display-encoded in the space of ``icc``, 0..1, read-only.
    alpha:  float32 (h, w), straight (not premultiplied), or None where the picture is opaque.
    depth:  bits per channel of the file it came from; an untouched 8- or 16-bit value v is exactly float32(v / (2**depth - 1)).
    icc:    the embedded profile's bytes, or None (then sRGB is meant).
    ppi:    horizontal and vertical pixels per inch, or None where the file says nothing.
    masks:  named masks, each float32 (h, w); the unnamed one is called ``mask``.
    facts:  what the record says of one plate of a set: its number, its seed.
    """

    pixels: Pixels
    alpha: Mask | None = None
    depth: Depth = 8
    icc: bytes | None = None
    ppi: tuple[float, float] | None = None
    metadata: Metadata = field(default_factory=Metadata)
    masks: Mapping[str, Mask] = field(default_factory=lambda: NO_MASKS)
    facts: Mapping[str, int] = field(default_factory=lambda: NO_FACTS)

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def channels(self) -> int:
        return int(self.pixels.shape[2])

    @property
    def levels(self) -> int:
        """The largest integer code at the plate's depth: 255 or 65535."""
        return int(2**self.depth - 1)

    def with_pixels(self, pixels: Pixels, alpha: Mask | Literal["keep"] | None = "keep") -> Plate:
        """The same plate with other pixels of the same size; ``alpha`` is kept unless one is given."""
        return replace(self, pixels=frozen(pixels), alpha=self.alpha if isinstance(alpha, str) else _frozen_or_none(alpha))

    def reshaped(self, pixels: Pixels, map_mask: Callable[[Mask], Mask]) -> Plate:
        """The same plate at another geometry: ``map_mask`` carries alpha and every named mask along with the pixels."""
        alpha = None if self.alpha is None else frozen(map_mask(self.alpha))
        masks = {name: frozen(map_mask(mask)) for name, mask in self.masks.items()}
        return replace(self, pixels=frozen(pixels), alpha=alpha, masks=MappingProxyType(masks))

    def codes(self) -> NDArray[np.uint16] | NDArray[np.uint8]:
        """The pixels as integer codes at the plate's own depth, rounded half up: (h, w, c), uint8 or uint16."""
        return quantised(self.pixels, self.depth)


_SLAB = 1 << 16
"""Values worked on at once: what fits into a core's cache is several times as fast as what goes through memory."""


def quantised(values: NDArray[np.float32], depth: Depth) -> NDArray[np.uint16] | NDArray[np.uint8]:
    """Display-encoded 0..1 floats as integer codes of ``depth`` bits, clipped and rounded half up; any shape."""
    made: NDArray[np.uint16] | NDArray[np.uint8] = np.empty(values.shape, np.uint8 if depth == 8 else np.uint16)
    if values.size <= _SLAB:
        made[...] = _coded(values, depth)
        return made
    rows = max(1, _SLAB * len(values) // values.size)
    for top in range(0, len(values), rows):
        made[top : top + rows] = _coded(values[top : top + rows], depth)
    return made


def _coded(values: NDArray[np.float32], depth: Depth) -> NDArray[np.float32]:
    codes = np.asarray(np.clip(values, 0.0, 1.0))
    codes *= np.float32(2**depth - 1)
    codes += np.float32(0.5)
    return codes


def frozen(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """The array as contiguous read-only float32; copied only where it has to be."""
    made = np.ascontiguousarray(array, dtype=np.float32)
    made.flags.writeable = False
    return made


def _frozen_or_none(array: Mask | None) -> Mask | None:
    return None if array is None else frozen(array)
