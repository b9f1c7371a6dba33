"""Beyond the edge: a larger picture round an old one, filled window by window from the inside out.

Left and right come first, over the old picture's height; then top and bottom over the whole new width. An engine that works at one
size is shown windows of that size, each band with what was filled before it beside it. An engine of any size is shown a whole edge
at once; where that is too large for it, it works on a smaller copy and the detail is carried over from the old picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.outpaint.detail import carried
from goldsmith.ops.outpaint.seam_tone import met
from goldsmith.picture.patches import Box
from goldsmith.picture.picture import Depth, Mask, Pixels, Plate, frozen
from goldsmith.picture.smooth import at_size, membrane
from goldsmith.picture.stitch import Fill, Manner, stitch

Edge = Literal["left", "right", "top", "bottom"]

WHOLE_EDGE = 1024
"""Engines of any size work on windows up to this many px at their full size; larger ones are made smaller by a whole number."""
LEAST_KNOWN = 32
"""The least of the known picture, in px, that a window shows where there is as much."""
RIM = 0.3
"""Of the old picture, an engine of any size is shown no more than this part beside an edge: further in stands what it is a picture of,
and nobody wants half of that a second time."""
PIECE = 0.75
"""How much of a window's length along the edge is new; the rest shows what its neighbour holds."""
RIND = 8
"""How many px more than wanted an engine of any size adds."""
_ALL = 4.0
"""Context for the stitch: so much that the window is never cut smaller."""
DRAWING = 0.8
"""How much of a call's time an engine takes where detail is carried over afterwards."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How to fill: ``context`` is what a window shows of the known picture as a part of what it adds, ``blend`` the px over which
    the tone is matched; ``side``, ``multiple``, ``enlarges`` and ``generates`` are the engine's."""

    context: float
    blend: int
    side: int
    multiple: int
    seed: int
    enlarges: bool = False
    generates: bool = False


@dataclass(frozen=True, slots=True)
class Opening:
    """One window: ``view`` is what the engine is shown, ``gap`` the part of it that is filled, at the ``edge`` of what is known."""

    edge: Edge
    view: Box
    gap: Box


@dataclass(frozen=True, slots=True, eq=False)
class Extended:
    """The whole picture and what was done: the views (left, top, width, height), and at which part of its size each was filled."""

    pixels: Pixels
    views: tuple[tuple[int, int, int, int], ...]
    scales: tuple[float, ...]
    seam_offset: float

    def findings(self) -> dict[str, int | float | list[float] | list[list[int]]]:
        """What goes on record, as plain JSON."""
        return {"windows": [list(view) for view in self.views], "scales": list(self.scales), "seam_offset": self.seam_offset}


def extended(
    old: Pixels, place: Box, size: tuple[int, int], fill: Fill, reach: Reach, depth: Depth, progress: Callable[[float], None]
) -> Extended:
    """``old`` (h, w, c) at ``place`` in a picture of ``size`` (height, width), and everything round it filled.

    ``progress`` is told 0..1; what it raises ends the work. Raises Problem where the engine fails. The old pixels are copied.
    """
    out: Pixels = np.zeros((*size, old.shape[2]), dtype=np.float32)
    out[place.window] = old
    openings = list(plan(place, size, reach))
    scales: list[float] = []
    offsets: list[float] = []
    for number, opening in enumerate(openings):
        share = _part(progress, number / len(openings), 1 / len(openings))
        share(0.0)
        made = _Window(out, opening, reach, reach.seed + number, depth).filled(fill, share)
        out[opening.gap.window] = made.pixels
        scales.append(made.scale)
        offsets.append(made.offset)
    views = tuple((each.view.left, each.view.top, each.view.width, each.view.height) for each in openings)
    return Extended(out, views, tuple(scales), round(float(np.mean(offsets)), 5) if offsets else 0.0)


def plan(place: Box, size: tuple[int, int], reach: Reach) -> Iterator[Opening]:
    """The windows in their order; their gaps together are everything outside ``place``, each once."""
    known = place
    for edge in ("left", "right", "top", "bottom"):
        across = known.height if edge in ("top", "bottom") else known.width
        wanted = _room(edge, known, size)
        bands = max(ceil(wanted / _band(reach)), 1) if wanted else 0
        for band in range(bands):
            width = (wanted * (band + 1)) // bands - (wanted * band) // bands
            shown = max(_shown(width, across, reach), LEAST_KNOWN)
            gap = _beside(known, edge, width)
            for piece, view in _pieces(gap, edge, reach.side):
                yield Opening(edge, _joined(view, edge, min(shown, across)), piece)
            known = known.joined(gap)
            across += width


def _room(edge: Edge, known: Box, size: tuple[int, int]) -> int:
    return {"left": known.left, "top": known.top, "right": size[1] - known.right, "bottom": size[0] - known.bottom}[edge]


def _band(reach: Reach) -> float:
    """How far an engine works from what is known in one step: one of a fixed size as far as its window and the context allow."""
    return max(reach.side / (1 + reach.context), 1) if reach.side else float("inf")


def _shown(width: int, across: int, reach: Reach) -> int:
    """How much of what is known a window shows beside ``width`` new px."""
    return reach.side - width if reach.side else ceil(min(width * reach.context, across * RIM))


def _beside(known: Box, edge: Edge, width: int) -> Box:
    """The strip of ``width`` px just outside that edge of ``known``."""
    top, left, bottom, right = known
    return {
        "left": Box(top, left - width, bottom, left),
        "right": Box(top, right, bottom, right + width),
        "top": Box(top - width, left, top, right),
        "bottom": Box(bottom, left, bottom + width, right),
    }[edge]


def _pieces(gap: Box, edge: Edge, side: int) -> Iterator[tuple[Box, Box]]:
    """The strip in pieces as long as the engine can see, each with the stretch of strip that is shown with it."""
    lying = edge in ("top", "bottom")
    start, stop = (gap.left, gap.right) if lying else (gap.top, gap.bottom)
    length = stop - start
    if not side or length <= side:
        yield gap, gap
        return
    count = ceil((length - side) / (side * PIECE)) + 1
    done = start
    for number in range(count):
        low = start + round(number * (length - side) / (count - 1))
        new, seen = (done, low + side), (low, low + side)
        done = low + side
        yield _stretch(gap, lying, *new), _stretch(gap, lying, *seen)


def _stretch(gap: Box, lying: bool, low: int, high: int) -> Box:
    return Box(gap.top, low, gap.bottom, high) if lying else Box(low, gap.left, high, gap.right)


def _joined(strip: Box, edge: Edge, shown: int) -> Box:
    """The stretch together with ``shown`` px of the known picture beside it."""
    top, left, bottom, right = strip
    return {
        "left": Box(top, left, bottom, right + shown),
        "right": Box(top, left - shown, bottom, right),
        "top": Box(top, left, bottom + shown, right),
        "bottom": Box(top - shown, left, bottom, right),
    }[edge]


def _part(progress: Callable[[float], None], begin: float, share: float) -> Callable[[float], None]:
    return lambda done: progress(begin + share * min(max(done, 0.0), 1.0))


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    pixels: Pixels
    scale: float
    offset: float


class _Window:
    """One opening under work; the gap's pixels come of it.

    It is turned so that the gap lies at the right, and turned back for the engine, to which up is up. An engine of any size works
    on a few px more than are wanted: patches that overlap the last px of all are rare, and it shows.
    """

    def __init__(self, out: Pixels, opening: Opening, reach: Reach, seed: int, depth: Depth) -> None:
        gap, view = opening.gap, opening.view
        self._edge = opening.edge
        self._opening = opening
        self._depth = depth
        self._blend = reach.blend
        self._manner = Manner(0, 0, _ALL, reach.side, reach.multiple, seed, reach.enlarges, reach.generates)
        lying = self._edge in ("top", "bottom")
        self._added = gap.height if lying else gap.width
        shown = _turned(out[view.window], self._edge)
        self._join = shown.shape[1] - self._added
        self._before = gap.left - view.left if lying else gap.top - view.top
        self._hole = np.zeros(shown.shape[:2], dtype=np.float32)
        self._hole[self._before :, self._join :] = 1
        self._shown = _primed(shown, self._hole) if reach.generates else shown
        self._rind = 0 if reach.side else RIND
        self._factor = 1 if reach.side else ceil((max(shown.shape[:2]) + RIND) / WHOLE_EDGE)

    def filled(self, fill: Fill, progress: Callable[[float], None]) -> _Made:
        """Filled, and brought to the tone at the join with the picture and with the piece of the strip before it."""
        around = ((0, 0), (0, self._rind))
        shown, hole = np.pad(self._shown, (*around, (0, 0)), mode="edge"), np.pad(self._hole, around, mode="edge")
        if self._factor == 1:
            made, scale = self._drawn(shown, hole, self._depth, fill, progress)
        else:
            made, scale = self._in_two_sizes(shown, hole, fill, progress), 1 / self._factor
        new = made[self._before :, self._join : self._join + self._added]
        new, offset = met(new, self._shown[self._before :, : self._join], self._blend)
        if self._before:
            beside = self._shown[: self._before, self._join :]
            new = met(new.swapaxes(0, 1), beside.swapaxes(0, 1), self._blend)[0].swapaxes(0, 1)
        return _Made(_turned_back(new, self._edge), round(scale, 4), offset)

    def _drawn(self, shown: Pixels, hole: Mask, depth: Depth, fill: Fill, progress: Callable[[float], None]) -> tuple[Pixels, float]:
        """What the engine makes of the window, and the scale it worked at."""
        plate = Plate(frozen(_turned_back(shown, self._edge)), depth=depth)
        done = stitch(plate, frozen(_turned_back(hole, self._edge)), fill, self._manner, progress)
        return _turned(done.pixels, self._edge), done.scales[0]

    def _in_two_sizes(self, shown: Pixels, hole: Mask, fill: Fill, progress: Callable[[float], None]) -> Pixels:
        """Drawn small, in whole steps of the factor counted from the join, then given the old picture's detail."""
        factor, spare = self._factor, self._join % self._factor
        height, width = shown.shape[0], shown.shape[1] - spare
        around = ((0, -height % factor), (0, -width % factor))
        shown, hole = np.pad(shown[:, spare:], (*around, (0, 0)), mode="edge"), np.pad(hole[:, spare:], around, mode="edge")
        small, join = _smaller(shown, factor), self._join // factor
        coarse, _ = self._drawn(small, hole[::factor, ::factor], 8, fill, _part(progress, 0.0, DRAWING))
        fine = shown - at_size(small, *shown.shape[:2])
        fine = carried(coarse, fine, join, _part(progress, DRAWING, 1 - DRAWING))
        shown[:, join * factor :] = np.clip(at_size(coarse, *shown.shape[:2])[:, join * factor :] + fine, 0, 1)
        return np.pad(shown, ((0, 0), (spare, 0), (0, 0)), mode="edge")[:height]


def _primed(shown: Pixels, hole: Mask) -> Pixels:
    """The window with the colours of the edge carried on smoothly into its hole, for models that start from what is there."""
    return membrane(shown, 1 - hole)


def _smaller(pixels: Pixels, factor: int) -> Pixels:
    """Means of factor x factor px."""
    height, width, channels = pixels.shape
    blocks = pixels.reshape(height // factor, factor, width // factor, factor, channels)
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)


def _turned(pixels: NDArray[np.float32], edge: Edge) -> NDArray[np.float32]:
    """The same px with that edge at the right."""
    upright = pixels.swapaxes(0, 1) if edge in ("top", "bottom") else pixels
    return np.ascontiguousarray(upright[:, ::-1] if edge in ("left", "top") else upright)


def _turned_back(pixels: NDArray[np.float32], edge: Edge) -> NDArray[np.float32]:
    upright = pixels[:, ::-1] if edge in ("left", "top") else pixels
    return np.ascontiguousarray(upright.swapaxes(0, 1) if edge in ("top", "bottom") else upright)
