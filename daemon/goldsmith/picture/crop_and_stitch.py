"""Crop and stitch: fill the masked part of a picture with what an engine makes, so that no seam shows and nothing else changes.

The engine sees crops with their surroundings, at the scale it works best at. What comes back is brought to the tone of the
picture by a smooth correction measured in a ring round the hole, given the picture's grain where it was made smaller, and laid
in through the mask. A pixel whose mask is zero is copied, never computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.errors import InputError
from goldsmith.picture.crop_planning import (
    MAX_FREE_SIDE,
    CropBox,
    CropPlan,
    FillCrop,
    find_mask_bounds,
    plan_crops,
)
from goldsmith.picture.picture import Mask, Picture, PixelPatch, Pixels, quantise
from goldsmith.picture.smoothing import pull_push_fill, resize_values

# Told 0..1; what it raises ends the work at once.
OnProgress = Callable[[float], None]

# (pixels (h, w, 3), hole (h, w) of 0 and 1, seed, step) -> (h, w, 3) with the hole filled; what it does elsewhere is not used. ``step``
# is told 0..1 as the one call gets on.
FillFunction = Callable[[Pixels, Mask, int, OnProgress], Pixels]

# Differences this far (0..1) from the ring's own median count half: a rim or a shadow there is no difference of tone.
OUTLIER_DIFFERENCE = 0.08
# How closely the correction follows single px of the ring: at 1 it would carry their noise inwards, at 0.1 a seam begins to show.
STIFFNESS = 0.4
# The most, 0..1, that the fill's tone is moved anywhere.
MAX_TONE_SHIFT = 0.25
# How far, in px, from the hole the picture's grain is measured.
GRAIN_SAMPLE_PX = 24
# The most grain, as a standard deviation 0..1, that is ever put on.
MAX_GRAIN = 0.03
# A fill that strays no further than this, 0..1, from one single colour is flat …
FLAT_TOLERANCE = 1 / 255
# … which nothing is whose surroundings vary, as a standard deviation, by more than this.
MIN_TEXTURE_DEVIATION = 8 / 255


@dataclass(frozen=True, slots=True)
class StitchOptions:
    """How to stitch: ``grow`` and ``feather`` in px of the picture, ``context`` as a part of the hole's longer side; ``side``,
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
class StitchResult:
    """The new picture and what was done: for each crop its box (left, top, width, height) and the scale it was filled at."""

    # The given picture with patches; outside their boxes it is the very memory of the given one.
    picture: Picture
    crops: tuple[tuple[int, int, int, int], ...]
    scales: tuple[float, ...]
    # The mean size, 0..1, of the tone correction in the rings: how far off the engine's own tone was.
    seam_offset: float
    outside_pixels: int
    outside_changed: int

    @property
    def pixels(self) -> Pixels:
        """The new picture's."""
        return self.picture.pixels

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
    picture: Picture,
    mask: Mask,
    fill_function: FillFunction,
    options: StitchOptions,
    on_progress: OnProgress,
    mask_bounds: CropBox | None = None,
    hidden_mask: Mask | None = None,
) -> StitchResult:
    """The picture with every pixel where ``mask`` > 0 mixed with the fill in the mask's proportion.

    mask: (h, w), some of it > 0; ``solid`` is its ``find_mask_bounds``, where that is known already. ``hidden_share`` (h, w): what is > 0 there
    stays, but the engine does not see it: it would carry it on. Pixels where the mask is 0 keep their codes at the picture's depth;
    how many there are and how many changed all the same (always 0) is counted on integer codes. ``progress`` is told 0..1, also
    while an engine is at work.
    Raises InputError where the mask leaves nothing to fill from.
    """
    mask_bounds = mask_bounds or find_mask_bounds(mask)
    masked = 0 if mask_bounds is None else int(np.count_nonzero(mask[mask_bounds.window] > 0))
    if masked == mask.size:
        raise InputError(
            "The mask covers the whole picture, so there is nothing left to fill it from.", "Paint only what is to be made new."
        )
    work = plan_crops(mask, options.side, options.context, enlarges=options.enlarges, mask_bounds=mask_bounds)
    made = picture
    open_regions = np.zeros(int(work.cell_regions.max()) + 1, dtype=np.bool_)
    open_regions[1:] = True
    scales: list[float] = []
    offsets: list[float] = []
    for number, patch in enumerate(work.fill_crops):
        step = _scale_progress(on_progress, number, len(work.fill_crops))
        step(0.0)
        filled = _CropFiller(made, mask, work, patch, open_regions, options, hidden_mask).fill_hole(
            fill_function, options.seed + number, step
        )
        made = made.with_patches([filled.patch])
        scales.append(round(filled.scale, 4))
        offsets.append(filled.tone_offset)
        open_regions[list(patch.regions)] = False
    changed = sum(_count_changed_outside(picture, made, mask, patch.core) for patch in work.fill_crops)
    crops = tuple((patch.crop.left, patch.crop.top, patch.crop.width, patch.crop.height) for patch in work.fill_crops)
    return StitchResult(made, crops, tuple(scales), round(float(np.mean(offsets)), 5), mask.size - masked, changed)


def _scale_progress(on_progress: OnProgress, index: int, count: int) -> OnProgress:
    """What one crop of several tells of itself, as a part of the whole."""
    return lambda fraction: on_progress((index + min(max(fraction, 0.0), 1.0)) / count)


def _count_changed_outside(picture: Picture, result: Picture, mask: Mask, box: CropBox) -> int:
    """Pixels in the box, outside which nothing is laid, whose codes differ though their mask is zero."""
    before, after = (quantise(each.pixels_in(box.window), picture.depth) for each in (picture, result))
    return int(np.count_nonzero((before != after).any(axis=2) & (mask[box.window] == 0)))


@dataclass(frozen=True, slots=True)
class _FilledCrop:
    patch: PixelPatch
    scale: float
    tone_offset: float


class _CropFiller:
    """One patch under work: new pixels for the patch's core, other than before only where its own regions' mask is > 0."""

    def __init__(
        self,
        picture: Picture,
        mask: Mask,
        crop_plan: CropPlan,
        fill_crop: FillCrop,
        open_regions: NDArray[np.bool_],
        options: StitchOptions,
        hidden_mask: Mask | None = None,
    ) -> None:
        self._picture = picture
        self._options = options
        self._core = fill_crop.core
        self._box = _widen_if_all_unknown(fill_crop.crop, mask, crop_plan, open_regions)
        self._mask = mask[self._box.window]
        regions = crop_plan.regions_in(self._box)
        self._own_pixels = np.isin(regions, list(fill_crop.regions)) & (self._mask > 0)
        self._unknown = open_regions[regions] & (self._mask > 0)
        self._hidden_pixels = np.zeros_like(self._unknown) if hidden_mask is None else (hidden_mask[self._box.window] > 0) & ~self._unknown

    def fill_hole(self, fill_function: FillFunction, seed: int, on_progress: OnProgress) -> _FilledCrop:
        """Fills, matches and mixes; the new pixels of the core, the scale of the fill and the mean correction of its tone."""
        known = _to_rgb(self._picture.pixels_in(self._box.window))
        hole = _dilate(self._unknown, self._options.grow)
        hole = self._unknown if hole.all() else hole
        ring = hole & ~self._unknown & ~self._hidden_pixels
        hole = hole if (hole | self._hidden_pixels).all() else hole | self._hidden_pixels
        scale = (self._options.side or MAX_FREE_SIDE) / max(hole.shape)
        scale = scale if self._options.enlarges else min(1.0, scale)
        made = self._run_engine(fill_function, known, hole, scale, seed, on_progress)
        if self._options.generates:
            _refuse_flat(known, made, hole)
        inner = _intersect(self._core.expand(self._options.grow + 1, self._picture.height, self._picture.width), self._box)
        view = inner.relative_to(self._box).window
        correction, offset = _tone_correction(known[view], made[view], ring[view])
        patch: Pixels = made[view] + correction
        patch += _missing_grain(known, made, hole, seed)[view]
        if self._picture.depth == 16:
            patch += _dither(patch.shape, seed)
        new = np.clip(patch, 0, 1)[self._core.relative_to(inner).window]
        return _FilledCrop((self._core.window, self._blend_core(new)), scale, offset)

    def _run_engine(
        self, fill_function: FillFunction, known: Pixels, hole: NDArray[np.bool_], scale: float, seed: int, on_progress: OnProgress
    ) -> Pixels:
        """What the engine makes of the crop, brought to its scale and sides and back."""
        height, width = hole.shape
        high, wide = (max(1, round(edge * scale)) for edge in (height, width))
        shown, gap = resize_values(known, high, wide), (resize_values(hole.astype(np.float32), high, wide) > 1e-3).astype(np.float32)
        if gap.all():
            gap = (resize_values(self._unknown.astype(np.float32), high, wide) > 0.5).astype(np.float32)
        if scale > 1:
            shown = np.clip(shown, 0, 1)  # a bicubic enlargement overshoots at edges
        side, multiple = self._options.side, self._options.multiple
        tall, broad = (side or -(-edge // multiple) * multiple for edge in (high, wide))
        around = ((0, tall - high), (0, broad - wide))
        made = fill_function(np.pad(shown, (*around, (0, 0)), mode="symmetric"), np.pad(gap, around, mode="symmetric"), seed, on_progress)
        if not np.isfinite(made).all():
            raise InputError("The inpainting engine made values that are no numbers.", "Name another model for this step, or try again.")
        return resize_values(made[:high, :wide], height, width)

    def _blend_core(self, patch: Pixels) -> Pixels:
        """The core: picture * (1 - m) + patch * m where the patch's own mask is > 0; every other pixel is copied."""
        view = self._core.relative_to(self._box).window
        share = (self._mask * _feather_weights(self._mask > 0, self._options.feather))[view]
        own = self._own_pixels[view]
        target = self._picture.pixels_in(self._core.window).copy()
        new = patch.mean(axis=2, keepdims=True) if target.shape[2] == 1 else patch
        part = share[own][:, None]
        target[own] = target[own] * (1 - part) + new[own] * part
        return target


def _widen_if_all_unknown(crop: CropBox, mask: Mask, crop_plan: CropPlan, open_regions: NDArray[np.bool_]) -> CropBox:
    """The crop, or the whole picture where the crop shows nothing but hole."""
    unknown = open_regions[crop_plan.regions_in(crop)] & (mask[crop.window] > 0)
    return CropBox(0, 0, *mask.shape) if unknown.all() else crop


def _intersect(inner: CropBox, outer: CropBox) -> CropBox:
    """``inner`` as far as it lies in ``outer``."""
    low = (max(inner.top, outer.top), max(inner.left, outer.left))
    return CropBox(*low, min(inner.bottom, outer.bottom), min(inner.right, outer.right))


def _refuse_flat(known: Pixels, filled: Pixels, hole: NDArray[np.bool_]) -> None:
    """Raises InputError where the fill is one even colour and what lies round the hole is not."""
    near = _dilate(hole, GRAIN_SAMPLE_PX) & ~hole
    if not near.any() or float(known[near].std(axis=0).max()) < MIN_TEXTURE_DEVIATION:
        return
    fill = filled[hole]
    if float(np.abs(fill - np.median(fill, axis=0)).max()) < FLAT_TOLERANCE:
        raise InputError(
            "The inpainting engine filled the hole with one even colour.", "Try another seed, or name another model for this step."
        )


def _to_rgb(pixels: Pixels) -> Pixels:
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def _dilate(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Wider by ``px`` in every direction."""
    import cv2

    if radius <= 0:
        return mask
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(away <= radius, dtype=np.bool_)


def _feather_weights(mask: NDArray[np.bool_], feather_px: int) -> NDArray[np.float32]:
    """0..1, rising from the mask's edge inwards over ``px``, over less where the mask is thinner: its middle is always 1."""
    import cv2

    if feather_px <= 0 or mask.all():
        return np.ones(mask.shape, dtype=np.float32)
    inwards = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    deepest = cv2.dilate(inwards, np.ones((2 * feather_px + 3, 2 * feather_px + 3), dtype=np.uint8))
    rise = np.clip(inwards / np.maximum(np.minimum(deepest, feather_px + 1), 1e-6), 0, 1)
    return np.asarray(rise * rise * (3 - 2 * rise), dtype=np.float32)


def _tone_correction(known: Pixels, filled: Pixels, ring: NDArray[np.bool_]) -> tuple[Pixels, float]:
    """The smooth field that carries the fill's tone over to the picture's, from where both are known; and its mean size there.

    A membrane: it follows the ring closely at the edge and flattens inwards. Differences far from the ring's median (the rim or
    the shadow of what was removed) hardly count.
    """
    if not ring.any():
        return np.zeros_like(filled), 0.0
    apart = np.clip(known - filled, -MAX_TONE_SHIFT, MAX_TONE_SHIFT)
    strange = np.abs(apart - np.median(apart[ring], axis=0)).max(axis=2) / OUTLIER_DIFFERENCE
    trust = np.where(ring, STIFFNESS / (1 + strange**4), 0).astype(np.float32)
    field = pull_push_fill(apart, trust)
    return field, float(np.abs(field[ring]).mean())


def _missing_grain(known: Pixels, filled: Pixels, hole: NDArray[np.bool_], seed: int) -> Pixels:
    """(h, w, 1) noise that makes the fill as grainy as the picture is near the hole; zero where it is so already."""
    near = _dilate(hole, GRAIN_SAMPLE_PX) & ~hole
    wanted, had = _noise_sigma(known, near), _noise_sigma(filled, hole)
    lacking = min(max(wanted * wanted - had * had, 0.0) ** 0.5, MAX_GRAIN)
    if lacking * 1024 < 1:
        return np.zeros((*hole.shape, 1), dtype=np.float32)
    noise = np.random.default_rng(seed).standard_normal((*hole.shape, 1), dtype=np.float32)
    return np.asarray(noise * np.float32(lacking), dtype=np.float32)


def _noise_sigma(pixels: Pixels, mask: NDArray[np.bool_]) -> float:
    """Standard deviation of the noise, 0..1, by a mask that is blind to edges and slopes (Immerkaer 1996), the median taken."""
    import cv2

    if not mask.any():
        return 0.0
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    bare = cv2.filter2D(pixels.mean(axis=2), -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    return float(np.median(np.abs(bare[mask])) / (0.6745 * 6))


def _dither(shape: tuple[int, ...], seed: int) -> Pixels:
    """Triangular noise of one 8-bit code, for engines whose fills are no finer than that in a 16-bit picture."""
    steps = np.random.default_rng(seed).random((2, *shape), dtype=np.float32)
    return np.asarray((steps[0] - steps[1]) / 255, dtype=np.float32)
