"""Extend a picture beyond its edges, window by window from the inside out.

Left and right come first, over the old picture's height; then top and bottom over the whole new width. An engine with a fixed size gets
windows of that size, and each band sees the part that was filled before it. An engine of any size gets a whole edge at once; if that is too
large, it works on a reduced copy and the detail is transferred from the old picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.outpaint.detail_transfer import transfer_detail
from goldsmith.ops.outpaint.seam_tone import match_tone_at_seam
from goldsmith.picture.crop_and_stitch import FillFunction, StitchOptions, stitch
from goldsmith.picture.crop_planning import CropBox
from goldsmith.picture.picture import BitDepth, Mask, Picture, Pixels, freeze
from goldsmith.picture.smoothing import pull_push_fill, resize_values

Edge = Literal["left", "right", "top", "bottom"]

# Engines of any size fill windows up to this many px at full size; larger windows are reduced by a whole factor.
MAX_WINDOW_SIDE = 1024
# A window shows at least this many px of the known picture, if there are as many.
MIN_CONTEXT = 32
# An engine of any size sees at most this share of the old picture beside an edge: the subject is further in, and must not be repeated.
MAX_CONTEXT_SHARE = 0.3
# Share of a window's length along the edge that is new; the rest shows the neighbouring window.
NEW_SHARE = 0.75
# Extra px that an engine of any size fills, which are dropped.
OVERDRAW = 8
# Context for the stitch, so large that it never crops the window.
_UNLIMITED_CONTEXT = 4.0
# The engine's share of the time, if detail is transferred afterwards.
ENGINE_TIME_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class ExtensionOptions:
    """How to fill. ``context`` is the part of the known picture that a window shows, as a share of what it adds; ``blend`` is the px over
    which the tone is matched; the other fields describe the engine.
    """

    context: float
    blend: int
    window_side: int
    multiple: int
    seed: int
    enlarges: bool = False
    generates: bool = False


@dataclass(frozen=True, slots=True)
class ExtensionWindow:
    """One window: ``crop`` is what the engine sees, ``gap`` the part it fills, at the ``edge`` of the known part."""

    edge: Edge
    crop: CropBox
    gap: CropBox


@dataclass(frozen=True, slots=True, eq=False)
class ExtendedCanvas:
    """The extended picture, the crops that the engine saw (left, top, width, height), and the scale at which each was filled."""

    pixels: Pixels
    crops: tuple[tuple[int, int, int, int], ...]
    scales: tuple[float, ...]
    seam_offset: float

    def findings(self) -> dict[str, int | float | list[float] | list[list[int]]]:
        """Return the facts for the record, as plain JSON."""
        return {"windows": [list(view) for view in self.crops], "scales": list(self.scales), "seam_offset": self.seam_offset}


def extend_canvas(
    original: Pixels,
    original_box: CropBox,
    size: tuple[int, int],
    fill: FillFunction,
    options: ExtensionOptions,
    depth: BitDepth,
    on_progress: Callable[[float], None],
    hidden_mask: Mask | None = None,
) -> ExtendedCanvas:
    """Return ``original`` (h, w, c), 0..1, display-encoded, at ``original_box`` px in a picture of ``size`` (height, width), with
    everything around it filled.

    The original pixels are copied. hidden_mask: (h, w) of the original, 1 where the engine must not look. ``on_progress`` receives 0..1
    and may raise to cancel. Raises InputError if the engine fails.
    """
    canvas: Pixels = np.zeros((*size, original.shape[2]), dtype=np.float32)
    canvas[original_box.window] = original
    hidden: Mask = np.zeros(size, dtype=np.float32)
    hidden[original_box.window] = 0 if hidden_mask is None else hidden_mask
    windows = list(plan_windows(original_box, size, options))
    scales: list[float] = []
    offsets: list[float] = []
    for number, window in enumerate(windows):
        report = _scale_progress(on_progress, number / len(windows), 1 / len(windows))
        report(0.0)
        filled = _WindowFiller(canvas, hidden, window, options, options.seed + number, depth).fill_gap(fill, report)
        canvas[window.gap.window] = filled.pixels
        scales.append(filled.scale)
        offsets.append(filled.offset)
    crops = tuple((each.crop.left, each.crop.top, each.crop.width, each.crop.height) for each in windows)
    return ExtendedCanvas(canvas, crops, tuple(scales), round(float(np.mean(offsets)), 5) if offsets else 0.0)


def plan_windows(original_box: CropBox, size: tuple[int, int], options: ExtensionOptions) -> Iterator[ExtensionWindow]:
    """Yield the windows in order; together, their gaps cover everything outside ``original_box`` exactly once."""
    known = original_box
    for edge in ("left", "right", "top", "bottom"):
        known_length = known.height if edge in ("top", "bottom") else known.width
        missing = _missing_px(edge, known, size)
        band_count = max(ceil(missing / _max_band_width(options)), 1) if missing else 0
        for band in range(band_count):
            width = (missing * (band + 1)) // band_count - (missing * band) // band_count
            context = max(_context_px(width, known_length, options), MIN_CONTEXT)
            gap = _strip_outside(known, edge, width)
            for piece, view in _split_strip(gap, edge, options.window_side):
                yield ExtensionWindow(edge, _with_context(view, edge, min(context, known_length)), piece)
            known = known.union(gap)
            known_length += width


def _missing_px(edge: Edge, known_box: CropBox, size: tuple[int, int]) -> int:
    return {"left": known_box.left, "top": known_box.top, "right": size[1] - known_box.right, "bottom": size[0] - known_box.bottom}[edge]


def _max_band_width(options: ExtensionOptions) -> float:
    """Return how far an engine fills beyond the known part in one step: for a fixed size, as far as its window and the context allow."""
    return max(options.window_side / (1 + options.context), 1) if options.window_side else float("inf")


def _context_px(width: int, known_length: int, options: ExtensionOptions) -> int:
    """Return how many px of the known part a window shows beside ``width`` new px."""
    return options.window_side - width if options.window_side else ceil(min(width * options.context, known_length * MAX_CONTEXT_SHARE))


def _strip_outside(known_box: CropBox, edge: Edge, width: int) -> CropBox:
    """Return the strip of ``width`` px just outside that edge of ``known_box``."""
    top, left, bottom, right = known_box
    return {
        "left": CropBox(top, left - width, bottom, left),
        "right": CropBox(top, right, bottom, right + width),
        "top": CropBox(top - width, left, top, right),
        "bottom": CropBox(bottom, left, bottom + width, right),
    }[edge]


def _split_strip(strip: CropBox, edge: Edge, window_side: int) -> Iterator[tuple[CropBox, CropBox]]:
    """Yield the strip in pieces as long as the engine can see, each with the part of the strip that is shown with it."""
    is_horizontal = edge in ("top", "bottom")
    start, stop = (strip.left, strip.right) if is_horizontal else (strip.top, strip.bottom)
    length = stop - start
    if not window_side or length <= window_side:
        yield strip, strip
        return
    count = ceil((length - window_side) / (window_side * NEW_SHARE)) + 1
    done = start
    for number in range(count):
        low = start + round(number * (length - window_side) / (count - 1))
        new_span, shown_span = (done, low + window_side), (low, low + window_side)
        done = low + window_side
        yield _strip_section(strip, is_horizontal, *new_span), _strip_section(strip, is_horizontal, *shown_span)


def _strip_section(strip: CropBox, is_horizontal: bool, low: int, high: int) -> CropBox:
    return CropBox(strip.top, low, strip.bottom, high) if is_horizontal else CropBox(low, strip.left, high, strip.right)


def _with_context(strip: CropBox, edge: Edge, context_px: int) -> CropBox:
    """Return the strip together with ``context_px`` px of the known picture beside it."""
    top, left, bottom, right = strip
    return {
        "left": CropBox(top, left, bottom, right + context_px),
        "right": CropBox(top, left - context_px, bottom, right),
        "top": CropBox(top, left, bottom + context_px, right),
        "bottom": CropBox(top - context_px, left, bottom, right),
    }[edge]


def _scale_progress(on_progress: Callable[[float], None], start: float, share: float) -> Callable[[float], None]:
    return lambda done: on_progress(start + share * min(max(done, 0.0), 1.0))


@dataclass(frozen=True, slots=True, eq=False)
class _FilledWindow:
    pixels: Pixels
    scale: float
    offset: float


class _WindowFiller:
    """Fill one window.

    The window is rotated so that the gap is on the right, and rotated back for the engine, which expects up to be up. An engine of any size
    fills a few px more than needed, because few patches overlap the last px, which would be visible.
    """

    def __init__(
        self, canvas: Pixels, hidden: Mask, window: ExtensionWindow, options: ExtensionOptions, seed: int, depth: BitDepth
    ) -> None:
        gap, view = window.gap, window.crop
        self._edge = window.edge
        self._depth = depth
        self._blend = options.blend
        self._stitch_options = StitchOptions(
            0, 0, _UNLIMITED_CONTEXT, options.window_side, options.multiple, seed, options.enlarges, options.generates
        )
        is_horizontal = self._edge in ("top", "bottom")
        self._added = gap.height if is_horizontal else gap.width
        crop = _orient_edge_right(canvas[view.window], self._edge)
        self._seam = crop.shape[1] - self._added
        self._previous_px = gap.left - view.left if is_horizontal else gap.top - view.top
        self._hole = np.zeros(crop.shape[:2], dtype=np.float32)
        self._hole[self._previous_px :, self._seam :] = 1
        self._crop = _prefill_hole(crop, self._hole) if options.generates else crop
        self._hidden = _orient_edge_right(hidden[view.window], self._edge)
        self._overdraw = 0 if options.window_side else OVERDRAW
        self._factor = 1 if options.window_side else ceil((max(crop.shape[:2]) + OVERDRAW) / MAX_WINDOW_SIDE)

    def fill_gap(self, fill: FillFunction, on_progress: Callable[[float], None]) -> _FilledWindow:
        """Return the filled gap, matched in tone to the picture and to the previous piece of the strip."""
        padding = ((0, 0), (0, self._overdraw))
        crop, hole = np.pad(self._crop, (*padding, (0, 0)), mode="edge"), np.pad(self._hole, padding, mode="edge")
        hidden = np.pad(self._hidden, padding)
        if self._factor == 1:
            filled, scale = self._run_engine(crop, hole, hidden, self._depth, fill, on_progress)
        else:
            filled, scale = self._fill_downscaled(crop, hole, hidden, fill, on_progress), 1 / self._factor
        gap = filled[self._previous_px :, self._seam : self._seam + self._added]
        gap, offset = match_tone_at_seam(gap, self._crop[self._previous_px :, : self._seam], self._blend)
        if self._previous_px:
            neighbour = self._crop[: self._previous_px, self._seam :]
            gap = match_tone_at_seam(gap.swapaxes(0, 1), neighbour.swapaxes(0, 1), self._blend)[0].swapaxes(0, 1)
        return _FilledWindow(_restore_orientation(gap, self._edge), round(scale, 4), offset)

    def _run_engine(
        self, crop: Pixels, hole: Mask, hidden: Mask, depth: BitDepth, fill: FillFunction, on_progress: Callable[[float], None]
    ) -> tuple[Pixels, float]:
        """Return the engine's result for the window, and the scale it worked at."""
        picture = Picture(freeze(_restore_orientation(crop, self._edge)), depth=depth)
        gap, unseen = (freeze(_restore_orientation(mask, self._edge)) for mask in (hole, hidden))
        unseen_or_none = unseen if unseen.any() else None
        stitched = stitch(picture, gap, fill, self._stitch_options, on_progress, hidden_mask=unseen_or_none)
        return _orient_edge_right(stitched.pixels, self._edge), stitched.scales[0]

    def _fill_downscaled(self, crop: Pixels, hole: Mask, hidden: Mask, fill: FillFunction, on_progress: Callable[[float], None]) -> Pixels:
        """Fill at a reduced size, in whole steps of the factor from the seam, and add the old picture's detail."""
        factor, remainder = self._factor, self._seam % self._factor
        height, width = crop.shape[0], crop.shape[1] - remainder
        padding = ((0, -height % factor), (0, -width % factor))
        crop, hole = np.pad(crop[:, remainder:], (*padding, (0, 0)), mode="edge"), np.pad(hole[:, remainder:], padding, mode="edge")
        hidden = np.pad(hidden[:, remainder:], padding)
        small, seam = _downscale_by_mean(crop, factor), self._seam // factor
        unseen = (_downscale_by_mean(hidden[..., None], factor)[..., 0] > 0).astype(np.float32)
        coarse, _ = self._run_engine(small, hole[::factor, ::factor], unseen, 8, fill, _scale_progress(on_progress, 0.0, ENGINE_TIME_SHARE))
        fine = (crop - resize_values(small, *crop.shape[:2])) * (1 - hidden[..., None])
        fine = transfer_detail(coarse, fine, seam, _scale_progress(on_progress, ENGINE_TIME_SHARE, 1 - ENGINE_TIME_SHARE))
        crop[:, seam * factor :] = np.clip(resize_values(coarse, *crop.shape[:2])[:, seam * factor :] + fine, 0, 1)
        return np.pad(crop, ((0, 0), (remainder, 0), (0, 0)), mode="edge")[:height]


def _prefill_hole(crop: Pixels, hole: Mask) -> Pixels:
    """Return the window with the edge colours continued smoothly into its hole, for models that start from the given pixels."""
    return pull_push_fill(crop, 1 - hole)


def _downscale_by_mean(pixels: Pixels, factor: int) -> Pixels:
    """Return the means of factor x factor px."""
    height, width, channels = pixels.shape
    blocks = pixels.reshape(height // factor, factor, width // factor, factor, channels)
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)


def _orient_edge_right(pixels: NDArray[np.float32], edge: Edge) -> NDArray[np.float32]:
    """Return the pixels rotated so that ``edge`` is on the right."""
    turned = pixels.swapaxes(0, 1) if edge in ("top", "bottom") else pixels
    return np.ascontiguousarray(turned[:, ::-1] if edge in ("left", "top") else turned)


def _restore_orientation(pixels: NDArray[np.float32], edge: Edge) -> NDArray[np.float32]:
    turned = pixels[:, ::-1] if edge in ("left", "top") else pixels
    return np.ascontiguousarray(turned.swapaxes(0, 1) if edge in ("top", "bottom") else turned)
