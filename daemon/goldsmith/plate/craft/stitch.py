"""Crop and stitch: fill the masked part of a plate with what an engine makes, so that no seam shows and nothing else changes.

The engine sees crops with their surroundings, at the scale it works best at. What comes back is brought to the tone of the
plate by a smooth correction measured in a ring round the hole, given the plate's grain where it was made smaller, and laid
in through the mask. A pixel whose mask is zero is copied, never computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.errors import Problem
from goldsmith.plate.craft.patches import ANY_SIDE, Box, Cut, Patch, cut
from goldsmith.plate.craft.smooth import at_size, membrane
from goldsmith.plate.plate import Mask, Pixels, Plate, quantised

Fill = Callable[[Pixels, Mask, int], Pixels]
"""(pixels (h, w, 3), hole (h, w) of 0 and 1, seed) -> (h, w, 3) with the hole filled; what it does elsewhere is not used."""

OUTLIER = 0.08
"""Differences this far (0..1) from the ring's own median count half: a rim or a shadow there is no difference of tone."""
STIFFNESS = 0.4
"""How closely the correction follows single px of the ring: at 1 it would carry their noise inwards, at 0.1 a seam begins to show."""
STRONGEST = 0.25
"""The most, 0..1, that the fill's tone is moved anywhere."""
NEAR = 24
"""How far, in px, from the hole the plate's grain is measured."""
COARSEST_GRAIN = 0.03
"""The most grain, as a standard deviation 0..1, that is ever put on."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How to stitch: ``grow`` and ``feather`` in px of the plate, ``context`` as a part of the hole's longer side; ``side`` and
    ``multiple`` are the engine's."""

    grow: int
    feather: int
    context: float
    side: int
    multiple: int
    seed: int


@dataclass(frozen=True, slots=True)
class Stitched:
    """The new pixels and what was done: for each crop its box (left, top, width, height) and the scale it was filled at."""

    pixels: Pixels
    crops: tuple[tuple[int, int, int, int], ...]
    scales: tuple[float, ...]
    seam_offset: float
    """The mean size, 0..1, of the tone correction in the rings: how far off the engine's own tone was."""
    outside_pixels: int
    outside_changed: int

    def findings(self) -> dict[str, int | float | list[float] | list[list[int]]]:
        """What goes on record, as plain JSON."""
        return {
            "regions": len(self.crops),
            "crops": [list(crop) for crop in self.crops],
            "scales": list(self.scales),
            "seam_offset": self.seam_offset,
            "outside_pixels": self.outside_pixels,
            "outside_changed": self.outside_changed,
        }


def stitch(plate: Plate, mask: Mask, fill: Fill, manner: Manner, progress: Callable[[float], None]) -> Stitched:
    """The plate's pixels with every pixel where ``mask`` > 0 mixed with the fill in the mask's proportion.

    mask: (h, w), some of it > 0. Pixels where it is 0 keep their codes at the plate's depth; how many there are and how many
    changed all the same (always 0) is counted on integer codes. Raises Problem where the mask leaves nothing to fill from.
    """
    work = cut(mask, manner.side, manner.context)
    if bool((mask > 0).all()):
        raise Problem("The mask covers the whole picture, so there is nothing left to fill it from.", "Paint only what is to be made new.")
    out: Pixels = plate.pixels.copy()
    open_regions = np.zeros(int(work.cells.max()) + 1, dtype=np.bool_)
    open_regions[1:] = True
    scales: list[float] = []
    offsets: list[float] = []
    for number, patch in enumerate(work.patches):
        progress(number / len(work.patches))
        made = _Crop(out, mask, work, patch, open_regions, manner).filled(fill, plate.depth, manner.seed + number)
        scales.append(round(made.scale, 4))
        offsets.append(made.offset)
        open_regions[list(patch.regions)] = False
    changed = sum(_changed_outside(plate, out, mask, patch.crop) for patch in work.patches)
    crops = tuple((patch.crop.left, patch.crop.top, patch.crop.width, patch.crop.height) for patch in work.patches)
    outside = mask.size - int(np.count_nonzero(mask))
    return Stitched(out, crops, tuple(scales), round(float(np.mean(offsets)), 5), outside, changed)


def _changed_outside(plate: Plate, out: Pixels, mask: Mask, box: Box) -> int:
    """Pixels in the box, outside which nothing is written, whose codes differ though their mask is zero."""
    window = box.window
    before, after = (quantised(pixels[window], plate.depth) for pixels in (plate.pixels, out))
    return int(np.count_nonzero((before != after).any(axis=2) & (mask[window] == 0)))


@dataclass(frozen=True, slots=True)
class _Made:
    scale: float
    offset: float


class _Crop:
    """One patch under work: writes only inside the patch's core, only where its own regions' mask is > 0."""

    def __init__(self, out: Pixels, mask: Mask, work: Cut, patch: Patch, open_regions: NDArray[np.bool_], manner: Manner) -> None:
        self._out = out
        self._manner = manner
        self._core = patch.core
        self._box = _with_something_known(patch.crop, mask, work, open_regions)
        self._mask = mask[self._box.window]
        regions = work.regions_in(self._box)
        self._own = np.isin(regions, list(patch.regions)) & (self._mask > 0)
        self._unknown = open_regions[regions] & (self._mask > 0)

    def filled(self, fill: Fill, depth: int, seed: int) -> _Made:
        """Fills, matches and lays in; returns the scale of the fill and the mean correction of its tone."""
        known = _rgb(self._out[self._box.window])
        hole = _grown(self._unknown, self._manner.grow)
        hole = self._unknown if hole.all() else hole
        scale = min(1.0, (self._manner.side or ANY_SIDE) / max(hole.shape))
        made = self._asked(fill, known, hole, scale, seed)
        inner = self._core.grown(self._manner.grow + 1, *self._out.shape[:2])
        view = _cropped(inner, self._box).window
        ring = (hole & ~self._unknown)[view]
        correction, offset = _tone(known[view], made[view], ring)
        patch: Pixels = made[view] + correction
        patch += _grain(known, made, hole, seed)[view]
        if depth == 16:
            patch += _dither(patch.shape, seed)
        self._lay(np.clip(patch, 0, 1), view)
        return _Made(scale, offset)

    def _asked(self, fill: Fill, known: Pixels, hole: NDArray[np.bool_], scale: float, seed: int) -> Pixels:
        """What the engine makes of the crop, brought to its scale and sides and back."""
        height, width = hole.shape
        high, wide = (max(1, round(edge * scale)) for edge in (height, width))
        shown, gap = at_size(known, high, wide), (at_size(hole.astype(np.float32), high, wide) > 1e-3).astype(np.float32)
        if gap.all():
            gap = (at_size(self._unknown.astype(np.float32), high, wide) > 0.5).astype(np.float32)
        side, multiple = self._manner.side, self._manner.multiple
        tall, broad = (side or -(-edge // multiple) * multiple for edge in (high, wide))
        around = ((0, tall - high), (0, broad - wide))
        made = fill(np.pad(shown, (*around, (0, 0)), mode="symmetric"), np.pad(gap, around, mode="symmetric"), seed)
        if not np.isfinite(made).all():
            raise Problem("The inpainting engine made values that are no numbers.", "Name another model for this step, or try again.")
        return at_size(made[:high, :wide], height, width)

    def _lay(self, patch: Pixels, view: tuple[slice, slice]) -> None:
        """out = out * (1 - m) + patch * m where the patch's own mask is > 0; no other pixel is written."""
        share = (self._mask * _eased(self._mask > 0, self._manner.feather))[view]
        own = self._own[view]
        target = self._out[self._box.window][view]
        new = patch.mean(axis=2, keepdims=True) if target.shape[2] == 1 else patch
        part = share[own][:, None]
        target[own] = target[own] * (1 - part) + new[own] * part


def _with_something_known(crop: Box, mask: Mask, work: Cut, open_regions: NDArray[np.bool_]) -> Box:
    """The crop, or the whole picture where the crop shows nothing but hole."""
    unknown = open_regions[work.regions_in(crop)] & (mask[crop.window] > 0)
    return Box(0, 0, *mask.shape) if unknown.all() else crop


def _cropped(inner: Box, outer: Box) -> Box:
    """``inner`` as far as it lies in ``outer``, counted from the corner of ``outer``."""
    low = (max(inner.top, outer.top), max(inner.left, outer.left))
    return Box(*low, min(inner.bottom, outer.bottom), min(inner.right, outer.right)).within(outer)


def _rgb(pixels: Pixels) -> Pixels:
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def _grown(solid: NDArray[np.bool_], px: int) -> NDArray[np.bool_]:
    """Wider by ``px`` in every direction."""
    import cv2

    if px <= 0:
        return solid
    away = cv2.distanceTransform((~solid).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(away <= px, dtype=np.bool_)


def _eased(solid: NDArray[np.bool_], px: int) -> NDArray[np.float32]:
    """0..1, rising from the mask's edge inwards over ``px``, over less where the mask is thinner: its middle is always 1."""
    import cv2

    if px <= 0 or solid.all():
        return np.ones(solid.shape, dtype=np.float32)
    inwards = cv2.distanceTransform(solid.astype(np.uint8), cv2.DIST_L2, 5)
    deepest = cv2.dilate(inwards, np.ones((2 * px + 3, 2 * px + 3), dtype=np.uint8))
    rise = np.clip(inwards / np.maximum(np.minimum(deepest, px + 1), 1e-6), 0, 1)
    return np.asarray(rise * rise * (3 - 2 * rise), dtype=np.float32)


def _tone(known: Pixels, made: Pixels, ring: NDArray[np.bool_]) -> tuple[Pixels, float]:
    """The smooth field that carries the fill's tone over to the plate's, from where both are known; and its mean size there.

    A membrane: it follows the ring closely at the edge and flattens inwards. Differences far from the ring's median (the rim or
    the shadow of what was removed) hardly count.
    """
    if not ring.any():
        return np.zeros_like(made), 0.0
    apart = np.clip(known - made, -STRONGEST, STRONGEST)
    strange = np.abs(apart - np.median(apart[ring], axis=0)).max(axis=2) / OUTLIER
    trust = np.where(ring, STIFFNESS / (1 + strange**4), 0).astype(np.float32)
    field = membrane(apart, trust)
    return field, float(np.abs(field[ring]).mean())


def _grain(known: Pixels, made: Pixels, hole: NDArray[np.bool_], seed: int) -> Pixels:
    """(h, w, 1) noise that makes the fill as grainy as the plate is near the hole; zero where it is so already."""
    near = _grown(hole, NEAR) & ~hole
    wanted, had = _noisiness(known, near), _noisiness(made, hole)
    lacking = min(max(wanted * wanted - had * had, 0.0) ** 0.5, COARSEST_GRAIN)
    if lacking * 1024 < 1:
        return np.zeros((*hole.shape, 1), dtype=np.float32)
    noise = np.random.default_rng(seed).standard_normal((*hole.shape, 1), dtype=np.float32)
    return np.asarray(noise * np.float32(lacking), dtype=np.float32)


def _noisiness(pixels: Pixels, where: NDArray[np.bool_]) -> float:
    """Standard deviation of the noise, 0..1, by a mask that is blind to edges and slopes (Immerkaer 1996), the median taken."""
    import cv2

    if not where.any():
        return 0.0
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    bare = cv2.filter2D(pixels.mean(axis=2), -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    return float(np.median(np.abs(bare[where])) / (0.6745 * 6))


def _dither(shape: tuple[int, ...], seed: int) -> Pixels:
    """Triangular noise of one 8-bit code, for engines whose fills are no finer than that in a 16-bit plate."""
    steps = np.random.default_rng(seed).random((2, *shape), dtype=np.float32)
    return np.asarray((steps[0] - steps[1]) / 255, dtype=np.float32)
