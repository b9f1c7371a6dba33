"""A plate is the decoded picture under work: pixels, alpha, profile, depth, metadata and its named masks.

The contract below is held where plates are made (the codec) and where they are written; in between nobody checks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
"""float32, height x width x channels (1 = grey, 3 = RGB), display-encoded, 0..1."""

Mask = NDArray[np.float32]
"""float32, height x width, 0 = leave alone, 1 = change, between = partly."""

Depth = Literal[8, 16]

Window = tuple[slice, slice]
"""A box as an index into (h, w, ...) arrays: rows and columns, both with start and stop inside the picture."""

Laid = tuple[Window, Pixels]
"""A box and the pixels that lie in it."""

Codes = NDArray[np.uint16] | NDArray[np.uint8]
"""Integer codes at some depth."""

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
    _base: Pixels | None = field(default=None, init=False, repr=False)
    _laid: tuple[Laid, ...] = field(default=(), init=False, repr=False)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """The pixels of a patched plate, put together the first time that somebody wants them all."""
            if name != "pixels" or self._base is None:
                raise AttributeError(name)
            whole = self._base.copy()
            for window, pixels in self._laid:
                whole[window] = pixels
            whole = frozen(whole)
            object.__setattr__(self, "pixels", whole)
            return whole

    @property
    def _under(self) -> Pixels:
        return self.pixels if self._base is None else self._base

    @property
    def height(self) -> int:
        return int(self._under.shape[0])

    @property
    def width(self) -> int:
        return int(self._under.shape[1])

    @property
    def channels(self) -> int:
        return int(self._under.shape[2])

    @property
    def levels(self) -> int:
        """The largest integer code at the plate's depth: 255 or 65535."""
        return int(2**self.depth - 1)

    def with_pixels(self, pixels: Pixels, alpha: Mask | Literal["keep"] | None = "keep") -> Plate:
        """The same plate with other pixels of the same size; ``alpha`` is kept unless one is given."""
        return replace(self, pixels=frozen(pixels), alpha=self.alpha if isinstance(alpha, str) else _frozen_or_none(alpha))

    def patched(self, patches: Sequence[Laid]) -> Plate:
        """The same plate with other pixels in some boxes, later ones over earlier ones: it costs what the boxes hold.

        All else is the very memory of this plate. ``pixels`` are put together only when they are asked for; ``window``, ``coded``
        and ``apart_from`` never need that.
        """
        made = object.__new__(Plate)
        for each in fields(Plate):
            if each.name not in ("pixels", "_base", "_laid"):
                object.__setattr__(made, each.name, getattr(self, each.name))
        object.__setattr__(made, "_base", self._under)
        object.__setattr__(made, "_laid", (*self._laid, *((window, frozen(pixels)) for window, pixels in patches)))
        return made

    def window(self, window: Window) -> Pixels:
        """The pixels of a box, (rows, columns, c), read-only; they are copied where something was laid into them."""
        seen = self._under[window]
        over = [laid for laid in self._laid if _meet(window, laid[0])]
        if not over:
            return seen
        made = seen.copy()
        for (rows, columns), pixels in over:
            high, wide = _common(window[0], rows), _common(window[1], columns)
            made[_from(high, window[0]), _from(wide, window[1])] = pixels[_from(high, rows), _from(wide, columns)]
        return frozen(made)

    def coded(self, code: Callable[[Pixels], Codes]) -> Codes:
        """What ``code``, which looks at each value alone, makes of all pixels (h, w, c)."""
        made = code(self._under)
        for window, pixels in self._laid:
            made[window] = code(pixels)
        return made

    def apart_from(self, other: Plate) -> tuple[Window, ...] | None:
        """The boxes in which the two plates' pixels may differ, all else being the very same memory; None where nothing is shared."""
        if self._under is not other._under:
            return None
        shared = 0
        while shared < min(len(self._laid), len(other._laid)) and self._laid[shared] is other._laid[shared]:
            shared += 1
        return tuple(window for window, _ in (*self._laid[shared:], *other._laid[shared:]))

    def lies_on(self, pixels: Pixels | None) -> bool:
        """True where its pixels are that very array, with nothing laid over it."""
        return pixels is not None and not self._laid and self._under is pixels

    def reshaped(self, pixels: Pixels, map_mask: Callable[[Mask], Mask]) -> Plate:
        """The same plate at another geometry: ``map_mask`` carries alpha and every named mask along with the pixels."""
        alpha = None if self.alpha is None else frozen(map_mask(self.alpha))
        masks = {name: frozen(map_mask(mask)) for name, mask in self.masks.items()}
        return replace(self, pixels=frozen(pixels), alpha=alpha, masks=MappingProxyType(masks))

    def resized_to(self, pixels: Pixels, alpha: Mask | None, masks: Mapping[str, Mask]) -> Plate:
        """The same plate at another size, with everything that has a size given."""
        return replace(self, pixels=frozen(pixels), alpha=_frozen_or_none(alpha), masks=masks)

    def codes(self) -> Codes:
        """The pixels as integer codes at the plate's own depth, rounded half up: (h, w, c), uint8 or uint16."""
        return self.coded(lambda values: quantised(values, self.depth))


def _common(one: slice, other: slice) -> slice:
    return slice(max(one.start, other.start), min(one.stop, other.stop))


def _from(part: slice, whole: slice) -> slice:
    return slice(part.start - whole.start, part.stop - whole.start)


def _meet(one: Window, other: Window) -> bool:
    shared = [_common(mine, theirs) for mine, theirs in zip(one, other, strict=True)]
    return all(span.start < span.stop for span in shared)


_SLAB = 1 << 16
"""Values worked on at once: what fits into a core's cache is several times as fast as what goes through memory."""


def quantised(values: NDArray[np.float32], depth: Depth) -> Codes:
    """Display-encoded 0..1 floats as integer codes of ``depth`` bits, clipped and rounded half up; any shape."""
    made: Codes = np.empty(values.shape, np.uint8 if depth == 8 else np.uint16)
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
    """The array as contiguous read-only float32; copied only where it has to be. What is returned cannot be made writable again."""
    made = np.ascontiguousarray(array, dtype=np.float32)
    if not made.flags.writeable:
        return made
    made.flags.writeable = False
    return np.asarray(made.data)  # numpy gives no one write access to memory whose owner has none


def _frozen_or_none(array: Mask | None) -> Mask | None:
    return None if array is None else frozen(array)
