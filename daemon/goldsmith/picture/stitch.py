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
from goldsmith.picture.patches import (
    ANY_SIDE,
    Box,
    Cut,
    Patch,
    cut,
    extent,
)
from goldsmith.picture.picture import Laid, Mask, Pixels, Plate, quantised
from goldsmith.picture.smooth import at_size, membrane

OnStep = Callable[[float], None]
"""Told 0..1; what it raises ends the work at once."""

Fill = Callable[[Pixels, Mask, int, OnStep], Pixels]
"""(pixels (h, w, 3), hole (h, w) of 0 and 1, seed, step) -> (h, w, 3) with the hole filled; what it does elsewhere is not used.
``step`` is told 0..1 as the one call gets on."""

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
FLAT = 1 / 255
"""A fill that strays no further than this, 0..1, from one single colour is flat …"""
TEXTURED = 8 / 255
"""… which nothing is whose surroundings vary, as a standard deviation, by more than this."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How to stitch: ``grow`` and ``feather`` in px of the plate, ``context`` as a part of the hole's longer side; ``side``,
    ``multiple`` and ``enlarges`` are the engine's. ``generates``: it invents what it fills, so that one even colour in the midst of
    texture (a black picture, say) is a failure of its own and no fill."""

    grow: int
    feather: int
    context: float
    side: int
    multiple: int
    seed: int
    enlarges: bool = False
    generates: bool = False


@dataclass(frozen=True, slots=True)
class Stitched:
    """The new plate and what was done: for each crop its box (left, top, width, height) and the scale it was filled at."""

    plate: Plate
    """The given plate with patches; outside their boxes it is the very memory of the given one."""
    crops: tuple[tuple[int, int, int, int], ...]
    scales: tuple[float, ...]
    seam_offset: float
    """The mean size, 0..1, of the tone correction in the rings: how far off the engine's own tone was."""
    outside_pixels: int
    outside_changed: int

    @property
    def pixels(self) -> Pixels:
        """The new plate's."""
        return self.plate.pixels

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


def stitch(
    plate: Plate, mask: Mask, fill: Fill, manner: Manner, progress: OnStep, solid: Box | None = None, hidden: Mask | None = None
) -> Stitched:
    """The plate with every pixel where ``mask`` > 0 mixed with the fill in the mask's proportion.

    mask: (h, w), some of it > 0; ``solid`` is its ``extent``, where that is known already. ``hidden`` (h, w): what is > 0 there
    stays, but the engine does not see it: it would carry it on. Pixels where the mask is 0 keep their codes at the plate's depth;
    how many there are and how many changed all the same (always 0) is counted on integer codes. ``progress`` is told 0..1, also
    while an engine is at work.
    Raises Problem where the mask leaves nothing to fill from.
    """
    solid = solid or extent(mask)
    masked = 0 if solid is None else int(np.count_nonzero(mask[solid.window] > 0))
    if masked == mask.size:
        raise Problem("The mask covers the whole picture, so there is nothing left to fill it from.", "Paint only what is to be made new.")
    work = cut(mask, manner.side, manner.context, enlarges=manner.enlarges, within=solid)
    made = plate
    open_regions = np.zeros(int(work.cells.max()) + 1, dtype=np.bool_)
    open_regions[1:] = True
    scales: list[float] = []
    offsets: list[float] = []
    for number, patch in enumerate(work.patches):
        step = _share(progress, number, len(work.patches))
        step(0.0)
        filled = _Crop(made, mask, work, patch, open_regions, manner, hidden).filled(fill, manner.seed + number, step)
        made = made.patched([filled.laid])
        scales.append(round(filled.scale, 4))
        offsets.append(filled.offset)
        open_regions[list(patch.regions)] = False
    changed = sum(_changed_outside(plate, made, mask, patch.core) for patch in work.patches)
    crops = tuple((patch.crop.left, patch.crop.top, patch.crop.width, patch.crop.height) for patch in work.patches)
    return Stitched(made, crops, tuple(scales), round(float(np.mean(offsets)), 5), mask.size - masked, changed)


def _share(progress: OnStep, number: int, count: int) -> OnStep:
    """What one crop of several tells of itself, as a part of the whole."""
    return lambda fraction: progress((number + min(max(fraction, 0.0), 1.0)) / count)


def _changed_outside(plate: Plate, made: Plate, mask: Mask, box: Box) -> int:
    """Pixels in the box, outside which nothing is laid, whose codes differ though their mask is zero."""
    before, after = (quantised(each.window(box.window), plate.depth) for each in (plate, made))
    return int(np.count_nonzero((before != after).any(axis=2) & (mask[box.window] == 0)))


@dataclass(frozen=True, slots=True)
class _Made:
    laid: Laid
    scale: float
    offset: float


class _Crop:
    """One patch under work: new pixels for the patch's core, other than before only where its own regions' mask is > 0."""

    def __init__(
        self,
        plate: Plate,
        mask: Mask,
        work: Cut,
        patch: Patch,
        open_regions: NDArray[np.bool_],
        manner: Manner,
        hidden: Mask | None = None,
    ) -> None:
        self._plate = plate
        self._manner = manner
        self._core = patch.core
        self._box = _with_something_known(patch.crop, mask, work, open_regions)
        self._mask = mask[self._box.window]
        regions = work.regions_in(self._box)
        self._own = np.isin(regions, list(patch.regions)) & (self._mask > 0)
        self._unknown = open_regions[regions] & (self._mask > 0)
        self._barred = np.zeros_like(self._unknown) if hidden is None else (hidden[self._box.window] > 0) & ~self._unknown

    def filled(self, fill: Fill, seed: int, step: OnStep) -> _Made:
        """Fills, matches and mixes; the new pixels of the core, the scale of the fill and the mean correction of its tone."""
        known = _rgb(self._plate.window(self._box.window))
        hole = _grown(self._unknown, self._manner.grow)
        hole = self._unknown if hole.all() else hole
        ring = hole & ~self._unknown & ~self._barred
        hole = hole if (hole | self._barred).all() else hole | self._barred
        scale = (self._manner.side or ANY_SIDE) / max(hole.shape)
        scale = scale if self._manner.enlarges else min(1.0, scale)
        made = self._asked(fill, known, hole, scale, seed, step)
        if self._manner.generates:
            _refuse_flat(known, made, hole)
        inner = _overlap(self._core.grown(self._manner.grow + 1, self._plate.height, self._plate.width), self._box)
        view = inner.within(self._box).window
        correction, offset = _tone(known[view], made[view], ring[view])
        patch: Pixels = made[view] + correction
        patch += _grain(known, made, hole, seed)[view]
        if self._plate.depth == 16:
            patch += _dither(patch.shape, seed)
        new = np.clip(patch, 0, 1)[self._core.within(inner).window]
        return _Made((self._core.window, self._mixed(new)), scale, offset)

    def _asked(self, fill: Fill, known: Pixels, hole: NDArray[np.bool_], scale: float, seed: int, step: OnStep) -> Pixels:
        """What the engine makes of the crop, brought to its scale and sides and back."""
        height, width = hole.shape
        high, wide = (max(1, round(edge * scale)) for edge in (height, width))
        shown, gap = at_size(known, high, wide), (at_size(hole.astype(np.float32), high, wide) > 1e-3).astype(np.float32)
        if gap.all():
            gap = (at_size(self._unknown.astype(np.float32), high, wide) > 0.5).astype(np.float32)
        if scale > 1:
            shown = np.clip(shown, 0, 1)  # a bicubic enlargement overshoots at edges
        side, multiple = self._manner.side, self._manner.multiple
        tall, broad = (side or -(-edge // multiple) * multiple for edge in (high, wide))
        around = ((0, tall - high), (0, broad - wide))
        made = fill(np.pad(shown, (*around, (0, 0)), mode="symmetric"), np.pad(gap, around, mode="symmetric"), seed, step)
        if not np.isfinite(made).all():
            raise Problem("The inpainting engine made values that are no numbers.", "Name another model for this step, or try again.")
        return at_size(made[:high, :wide], height, width)

    def _mixed(self, patch: Pixels) -> Pixels:
        """The core: plate * (1 - m) + patch * m where the patch's own mask is > 0; every other pixel is copied."""
        view = self._core.within(self._box).window
        share = (self._mask * _eased(self._mask > 0, self._manner.feather))[view]
        own = self._own[view]
        target = self._plate.window(self._core.window).copy()
        new = patch.mean(axis=2, keepdims=True) if target.shape[2] == 1 else patch
        part = share[own][:, None]
        target[own] = target[own] * (1 - part) + new[own] * part
        return target


def _with_something_known(crop: Box, mask: Mask, work: Cut, open_regions: NDArray[np.bool_]) -> Box:
    """The crop, or the whole picture where the crop shows nothing but hole."""
    unknown = open_regions[work.regions_in(crop)] & (mask[crop.window] > 0)
    return Box(0, 0, *mask.shape) if unknown.all() else crop


def _overlap(inner: Box, outer: Box) -> Box:
    """``inner`` as far as it lies in ``outer``."""
    low = (max(inner.top, outer.top), max(inner.left, outer.left))
    return Box(*low, min(inner.bottom, outer.bottom), min(inner.right, outer.right))


def _refuse_flat(known: Pixels, made: Pixels, hole: NDArray[np.bool_]) -> None:
    """Raises Problem where the fill is one even colour and what lies round the hole is not."""
    near = _grown(hole, NEAR) & ~hole
    if not near.any() or float(known[near].std(axis=0).max()) < TEXTURED:
        return
    fill = made[hole]
    if float(np.abs(fill - np.median(fill, axis=0)).max()) < FLAT:
        raise Problem(
            "The inpainting engine filled the hole with one even colour.", "Try another seed, or name another model for this step."
        )


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
