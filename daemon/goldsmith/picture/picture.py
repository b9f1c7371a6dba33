"""A decoded picture: pixels, alpha, profile, depth, metadata and its named masks.

The contract below is enforced where pictures are made (the codec) and where they are written; the code in between does not check it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.lazy_pixels import LazyPixels
from goldsmith.picture.row_slabs import for_each_slab

# float32, height x width x channels (1 = grey, 3 = RGB), display-encoded, 0..1.
Pixels = NDArray[np.float32]

# float32, height x width, 0 = keep, 1 = change, values in between = change partly.
Mask = NDArray[np.float32]

BitDepth = Literal[8, 16]

# A box as an index into (h, w, ...) arrays: rows and columns, both with start and stop inside the picture.
Window = tuple[slice, slice]

# A box and the pixels in it.
PixelPatch = tuple[Window, Pixels]

# Integer codes at some depth.
PixelCodes = NDArray[np.uint16] | NDArray[np.uint8]

NO_MASKS: Mapping[str, Mask] = MappingProxyType({})
NO_RECORD_VALUES: Mapping[str, int] = MappingProxyType({})
NO_VARIATION: Mapping[str, str | int | float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Metadata:
    """Metadata as it was read: raw Exif (with the orientation already applied and reset to 1), XMP and IPTC blocks.

    A file that is written gets what is still true of it (``picture.metadata``).
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    # (keyword, text) of a PNG's text chunks, in order: generators keep prompt and seed there. Only PNG has a place for them.
    text_chunks: tuple[tuple[str, str], ...] = ()
    # Width and height in px of the upright picture that the blocks describe; None = unknown. (0, 0) = the picture was turned since.
    described_size: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Picture:
    """A decoded picture.

    pixels: float32 (h, w, c), c = 1 (grey) or 3 (RGB), display-encoded in the space of ``icc``, 0..1, read-only.
    alpha:  float32 (h, w), straight (not premultiplied), or None if the picture is opaque.
    depth:  bits per channel of the source file; an untouched 8- or 16-bit value v is exactly float32(v / (2**depth - 1)).
    icc:    the embedded profile's bytes, or None (sRGB).
    ppi:    horizontal and vertical pixels per inch, or None if the file does not say.
    masks:  named masks, each float32 (h, w); the unnamed one is called ``mask``.
    record_values: values for the record of one picture of a set: its number, its seed.
    variation: the settings, with their values, that tell it apart from other pictures of its set.
    """

    pixels: Pixels
    alpha: Mask | None = None
    depth: BitDepth = 8
    icc: bytes | None = None
    ppi: tuple[float, float] | None = None
    metadata: Metadata = field(default_factory=Metadata)
    masks: Mapping[str, Mask] = field(default_factory=lambda: NO_MASKS)
    record_values: Mapping[str, int] = field(default_factory=lambda: NO_RECORD_VALUES)
    variation: Mapping[str, str | int | float] = field(default_factory=lambda: NO_VARIATION)
    _base: Pixels | LazyPixels | None = field(default=None, init=False, repr=False)
    _patches: tuple[PixelPatch, ...] = field(default=(), init=False, repr=False)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Return the pixels of a picture with patches or lazy pixels, put together when they are first read."""
            if name != "pixels" or self._base is None:
                raise AttributeError(name)
            assembled = self._base.array() if isinstance(self._base, LazyPixels) else self._base
            if self._patches:
                assembled = assembled.copy()
                for window, pixels in self._patches:
                    assembled[window] = pixels
                assembled = freeze(assembled)
            object.__setattr__(self, "pixels", assembled)
            return assembled

    @property
    def base(self) -> Pixels | LazyPixels:
        """The pixels (h, w, c), 0..1, display-encoded, below the patches, or what computes them. Pictures with one base share
        its memory.
        """
        return self.pixels if self._base is None else self._base

    @property
    def height(self) -> int:
        return int(self.base.shape[0])

    @property
    def width(self) -> int:
        return int(self.base.shape[1])

    @property
    def channels(self) -> int:
        return int(self.base.shape[2])

    @property
    def max_code(self) -> int:
        """The largest integer code at the picture's depth: 255 or 65535."""
        return int(2**self.depth - 1)

    def with_pixels(self, pixels: Pixels, alpha: Mask | Literal["keep"] | None = "keep") -> Picture:
        """Return the same picture with other pixels (h, w, c), 0..1, display-encoded, of the same size; ``alpha`` is kept unless one is
        given.
        """
        return replace(self, pixels=freeze(pixels), alpha=self.alpha if isinstance(alpha, str) else _freeze_optional(alpha))

    def with_patches(self, patches: Sequence[PixelPatch]) -> Picture:
        """Return the same picture with other pixels in some boxes, later ones over earlier ones; the cost is that of the boxes.

        Everything else shares the memory of this picture. ``pixels`` is assembled only when it is read; ``pixels_in``, ``quantise_with``
        and ``differing_windows`` never need it.
        """
        return self._with_base(self.base, (*self._patches, *((window, freeze(pixels)) for window, pixels in patches)))

    def with_lazy_pixels(self, pixels: LazyPixels) -> Picture:
        """Return the same picture with other pixels (h, w, c) of the same size, which are computed when they are read."""
        return self._with_base(pixels, ())

    def with_change(self, change: Callable[[Pixels], Pixels]) -> Picture:
        """Return the same picture with ``change`` applied to its pixels when they are read.

        ``change`` takes rows (rows, w, c), 0..1, display-encoded, into which it may write, and returns as many; each result depends on the
        pixel at that place alone. It may be called more than once for the same rows.
        """
        columns = slice(0, self.width)

        def compute_rows(rows: slice) -> Pixels:
            return change(self.pixels_in((rows, columns)).copy())

        return self.with_lazy_pixels(LazyPixels((self.height, self.width, self.channels), compute_rows, sums_bits=True))

    def with_metadata(self, metadata: Metadata) -> Picture:
        """Return the same picture with other metadata; nothing is put together for it."""
        return self._with_other("metadata", metadata)

    def with_masks(self, masks: Mapping[str, Mask]) -> Picture:
        """Return the same picture with other named masks, each (h, w), 0..1; nothing is put together for it."""
        return self._with_other("masks", masks)

    def without_alpha(self) -> Picture:
        """Return the same picture as if it were opaque; nothing is put together for it."""
        return self._with_other("alpha", None)

    def _with_other(self, name: str, value: object) -> Picture:
        """Return a copy with another value of one field."""
        result = object.__new__(Picture)
        for each in fields(Picture):
            if each.name != "pixels" or self._base is None:
                object.__setattr__(result, each.name, value if each.name == name else getattr(self, each.name))
        return result

    def _with_base(self, base: Pixels | LazyPixels, patches: tuple[PixelPatch, ...]) -> Picture:
        """Return a copy whose pixels are put together from ``base`` and ``patches`` when they are read."""
        result = object.__new__(Picture)
        for each in fields(Picture):
            if each.name not in ("pixels", "_base", "_patches"):
                object.__setattr__(result, each.name, getattr(self, each.name))
        object.__setattr__(result, "_base", base)
        object.__setattr__(result, "_patches", patches)
        return result

    def pixels_in(self, window: Window) -> Pixels:
        """Return the pixels of a box, (rows, columns, c), 0..1, display-encoded, read-only; a copy only if a patch overlaps the box."""
        base = self._read_base(window[0])[:, window[1]]
        patches = [patch for patch in self._patches if _windows_overlap(window, patch[0])]
        if not patches:
            return base
        result = base.copy()
        for (rows, columns), pixels in patches:
            high, wide = _intersect_spans(window[0], rows), _intersect_spans(window[1], columns)
            result[_relative_span(high, window[0]), _relative_span(wide, window[1])] = pixels[
                _relative_span(high, rows), _relative_span(wide, columns)
            ]
        return freeze(result)

    def quantise_with(self, to_codes: Callable[[Pixels], PixelCodes]) -> PixelCodes:
        """Return the codes (h, w, c) that ``to_codes``, which works on each value alone, makes of all pixels."""
        base = self.base
        if not isinstance(base, LazyPixels) or base.is_computed:
            result = to_codes(self._read_base(slice(0, self.height)))
        else:
            result = np.empty(base.shape, to_codes(base.read(slice(0, 1))).dtype)

            def run(rows: slice) -> None:
                result[rows] = to_codes(base.read(rows))

            for_each_slab(base.shape[:2], run)
        for window, pixels in self._patches:
            result[window] = to_codes(pixels)
        return result

    def _read_base(self, rows: slice) -> Pixels:
        """Return rows of the base, (rows, w, c), 0..1, display-encoded, read-only."""
        base = self.base
        return base.read(rows) if isinstance(base, LazyPixels) else base[rows]

    def differing_windows(self, other: Picture) -> tuple[Window, ...] | None:
        """Return the boxes in which the two pictures' pixels may differ, all else sharing memory; None if they share nothing."""
        if self.base is not other.base:
            return None
        shared = 0
        while shared < min(len(self._patches), len(other._patches)) and self._patches[shared] is other._patches[shared]:
            shared += 1
        return tuple(window for window, _ in (*self._patches[shared:], *other._patches[shared:]))

    def is_backed_by(self, base: Pixels | LazyPixels | None) -> bool:
        """Return whether its pixels are those of that base itself, (h, w, c), 0..1, without patches."""
        return base is not None and not self._patches and self.base is base

    @property
    def lazy_pixels(self) -> LazyPixels | None:
        """What computes its pixels; None if they are there, or if patches lie over them."""
        return self.base if isinstance(self.base, LazyPixels) and not self._patches else None

    def with_geometry(self, pixels: Pixels, map_mask: Callable[[Mask], Mask]) -> Picture:
        """Return the same picture with another geometry: ``map_mask`` maps alpha and every named mask like the pixels (h, w, c), 0..1,
        display-encoded.
        """
        alpha = None if self.alpha is None else freeze(map_mask(self.alpha))
        masks = {name: freeze(map_mask(mask)) for name, mask in self.masks.items()}
        return replace(self, pixels=freeze(pixels), alpha=alpha, masks=MappingProxyType(masks))

    def with_planes(self, pixels: Pixels, alpha: Mask | None, masks: Mapping[str, Mask]) -> Picture:
        """Return the same picture at another size, given everything that has a size: pixels (h, w, c), alpha and masks (h, w), all 0..1."""
        return replace(self, pixels=freeze(pixels), alpha=_freeze_optional(alpha), masks=masks)

    def to_codes(self) -> PixelCodes:
        """Return the pixels as integer codes at the picture's own depth, rounded half up: (h, w, c), uint8 or uint16."""
        return self.quantise_with(lambda values: quantise(values, self.depth))


def _intersect_spans(first: slice, second: slice) -> slice:
    return slice(max(first.start, second.start), min(first.stop, second.stop))


def _relative_span(span: slice, origin: slice) -> slice:
    return slice(span.start - origin.start, span.stop - origin.start)


def _windows_overlap(first: Window, second: Window) -> bool:
    overlap = [_intersect_spans(first_span, second_span) for first_span, second_span in zip(first, second, strict=True)]
    return all(span.start < span.stop for span in overlap)


# Values per block: a block that fits into a core's cache is several times as fast.
_BLOCK_VALUES = 1 << 16


def quantise(values: NDArray[np.float32], depth: int) -> PixelCodes:
    """Return display-encoded 0..1 floats as integer codes of ``depth`` bits, clipped and rounded half up, of any shape (n, ...).

    ``depth`` is at most 16; the codes are uint8 up to 8 bits, otherwise uint16.
    """
    result: PixelCodes = np.empty(values.shape, np.uint8 if depth <= 8 else np.uint16)
    if values.size <= _BLOCK_VALUES:
        result[...] = _scale_to_codes(values, depth)
        return result
    rows = max(1, _BLOCK_VALUES * len(values) // values.size)
    for top in range(0, len(values), rows):
        result[top : top + rows] = _scale_to_codes(values[top : top + rows], depth)
    return result


def channel_minimum(pixels: Pixels) -> Mask:
    """Return the smallest channel of each pixel, (h, w, c) -> (h, w), any unit, several times as fast as ``min``."""
    return _across_channels(np.minimum, pixels)


def channel_maximum(pixels: Pixels) -> Mask:
    """Return the largest channel of each pixel, (h, w, c) -> (h, w), any unit, several times as fast as ``max``."""
    return _across_channels(np.maximum, pixels)


def _across_channels(combine: np.ufunc, pixels: Pixels) -> Mask:
    result: Mask = pixels[:, :, 0].copy()
    for channel in range(1, pixels.shape[2]):
        combine(result, pixels[:, :, channel], out=result)
    return result


def _scale_to_codes(values: NDArray[np.float32], depth: int) -> NDArray[np.float32]:
    codes = np.asarray(np.clip(values, 0.0, 1.0))
    codes *= np.float32(2**depth - 1)
    codes += np.float32(0.5)
    return codes


def freeze(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the array, of any shape (n, ...) and any unit, as contiguous read-only float32; copied only if necessary. The result cannot be
    made writable again.
    """
    result = np.ascontiguousarray(array, dtype=np.float32)
    if not result.flags.writeable:
        return result
    result.flags.writeable = False
    return np.asarray(result.data)  # numpy gives no write access to memory whose owner has none


def _freeze_optional(array: Mask | None) -> Mask | None:
    return None if array is None else freeze(array)
