"""Crop and stitch: fill the masked part of a picture with an engine, without a visible seam and without any other change.

The engine sees crops with their surroundings, at its best scale. Its result is shifted to the tone of the picture by a smooth correction
measured in a ring around the hole, gets the picture's grain if it was reduced, and is blended in through the mask. A pixel whose mask is
zero is copied, never computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.errors import InputError
from goldsmith.picture.companion import Companion
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

# Receives 0..1; an exception from it ends the work.
OnProgress = Callable[[float], None]

# (pixels (h, w, 3), hole (h, w) of 0 and 1, seed, on_progress) -> (h, w, 3) with the hole filled; pixels outside the hole are not used.
# ``on_progress`` receives 0..1 of this call.
FillFunction = Callable[[Pixels, Mask, int, OnProgress], Pixels]

# Differences this far (0..1) from the ring's own median count half: they are a rim or a shadow, not a difference in tone.
OUTLIER_DIFFERENCE = 0.08
# How closely the correction follows single px of the ring: at 1 it would carry their noise inwards, at 0.1 a seam becomes visible.
STIFFNESS = 0.4
# The largest shift, 0..1, of the fill's tone.
MAX_TONE_SHIFT = 0.25
# Distance in px from the hole within which the picture's grain is measured.
GRAIN_SAMPLE_PX = 24
# The most grain that is added, as a standard deviation 0..1.
MAX_GRAIN = 0.03
# A crop is reduced to this many px for a fill that copies: it takes about 130 bytes a pixel of the crop, whatever the picture's size.
MAX_COPY_SIDE = 2048
# A fill that differs from a single colour by no more than this, 0..1, is flat …
FLAT_TOLERANCE = 1 / 255
# … which is a failure if its surroundings vary by more than this standard deviation.
MIN_TEXTURE_DEVIATION = 8 / 255


@dataclass(frozen=True, slots=True)
class StitchOptions:
    """How to stitch: ``grow`` and ``feather`` in px of the picture, ``context`` as a share of the hole's longer side; the other
    fields describe the engine. If it generates, one plain colour in the middle of texture (a black picture, for example) is a failure of
    the engine. If it copies, its fill is made of the picture's own pixels at its own size: the crop is not reduced up to ``MAX_COPY_SIDE``,
    and no grain is added.
    """

    grow: int
    feather: int
    context: float
    side: int
    multiple: int
    seed: int
    enlarges: bool = False
    generates: bool = False
    copies: bool = False


@dataclass(frozen=True, slots=True)
class StitchResult:
    """The new picture and its crops: for each crop its box (left, top, width, height) and the scale of the fill."""

    # The input picture with patches; outside their boxes it shares the memory of the input.
    picture: Picture
    crops: tuple[tuple[int, int, int, int], ...]
    scales: tuple[float, ...]
    # The mean size, 0..1, of the tone correction in the rings: how wrong the engine's own tone was.
    seam_offset: float
    outside_pixels: int
    outside_changed: int

    @property
    def pixels(self) -> Pixels:
        """The pixels of the new picture, (h, w, c), 0..1, display-encoded."""
        return self.picture.pixels

    def findings(self) -> dict[str, int | float | list[float] | list[list[int]]]:
        """Return the facts for the record, as plain JSON."""
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
    on_crop: Callable[[CropBox], None] = lambda box: None,
    companion: Companion | None = None,
) -> StitchResult:
    """Return the picture with every pixel where ``mask`` > 0 mixed with the fill in proportion to the mask.

    mask: (h, w), 0..1, not all 0. mask_bounds: its ``find_mask_bounds``, if already known. hidden_mask (h, w), 0..1: pixels above 0 stay,
    but the engine does not see them, because it would continue them. Pixels whose mask is 0 keep their codes at the picture's depth; their
    number, and the number that changed nevertheless (always 0), are counted on integer codes. ``on_progress`` receives 0..1, also while an
    engine runs; ``on_crop`` receives the place of each crop before it is filled. ``companion``: pixels of the picture's size, of which the
    part that belongs to each crop is handed over before it is filled. Raises InputError if the mask leaves nothing to fill from.
    """
    mask_bounds = mask_bounds or find_mask_bounds(mask)
    masked_count = 0 if mask_bounds is None else int(np.count_nonzero(mask[mask_bounds.window] > 0))
    if masked_count == mask.size:
        raise InputError(
            "The mask covers the whole picture, so there is nothing left to fill it from.", "Paint only what is to be made new."
        )
    plan = plan_crops(mask, options.side, options.context, enlarges=options.enlarges, mask_bounds=mask_bounds)
    result = picture
    open_regions = np.zeros(int(plan.cell_regions.max()) + 1, dtype=np.bool_)
    open_regions[1:] = True
    scales: list[float] = []
    offsets: list[float] = []
    for number, patch in enumerate(plan.fill_crops):
        step = _scale_progress(on_progress, number, len(plan.fill_crops))
        step(0.0)
        filler = _CropFiller(result, mask, plan, patch, open_regions, options, hidden_mask, companion)
        on_crop(filler.box)
        filled = filler.fill_hole(fill_function, options.seed + number, step)
        result = result.with_patches([filled.patch])
        scales.append(round(filled.scale, 4))
        offsets.append(filled.tone_offset)
        open_regions[list(patch.regions)] = False
    changed = sum(_count_changed_outside(picture, result, mask, patch.core) for patch in plan.fill_crops)
    crops = tuple((patch.crop.left, patch.crop.top, patch.crop.width, patch.crop.height) for patch in plan.fill_crops)
    return StitchResult(result, crops, tuple(scales), round(float(np.mean(offsets)), 5), mask.size - masked_count, changed)


def _scale_progress(on_progress: OnProgress, index: int, count: int) -> OnProgress:
    """Return a callback for one crop of several, as a share of the whole."""
    return lambda fraction: on_progress((index + min(max(fraction, 0.0), 1.0)) / count)


def _count_changed_outside(picture: Picture, result: Picture, mask: Mask, box: CropBox) -> int:
    """Return the number of pixels in the box whose codes differ although their mask is zero; outside the box nothing is blended."""
    before, after = (quantise(each.pixels_in(box.window), picture.depth) for each in (picture, result))
    return int(np.count_nonzero((before != after).any(axis=2) & (mask[box.window] == 0)))


@dataclass(frozen=True, slots=True)
class _FilledCrop:
    patch: PixelPatch
    scale: float
    tone_offset: float


class _CropFiller:
    """Fill one crop: the new pixels of its core differ only where the mask of its own regions is > 0."""

    def __init__(
        self,
        picture: Picture,
        mask: Mask,
        crop_plan: CropPlan,
        fill_crop: FillCrop,
        open_regions: NDArray[np.bool_],
        options: StitchOptions,
        hidden_mask: Mask | None = None,
        companion: Companion | None = None,
    ) -> None:
        self._picture = picture
        self._options = options
        self._companion = companion
        self._core = fill_crop.core
        self.box = _widen_if_all_unknown(fill_crop.crop, mask, crop_plan, open_regions)
        self._mask = mask[self.box.window]
        regions = crop_plan.regions_in(self.box)
        self._own_pixels = np.isin(regions, list(fill_crop.regions)) & (self._mask > 0)
        self._unknown = open_regions[regions] & (self._mask > 0)
        self._hidden_pixels = np.zeros_like(self._unknown) if hidden_mask is None else (hidden_mask[self.box.window] > 0) & ~self._unknown

    def fill_hole(self, fill_function: FillFunction, seed: int, on_progress: OnProgress) -> _FilledCrop:
        """Return the filled, matched and mixed pixels of the core, the scale of the fill and the mean correction of its tone."""
        known_pixels = _to_rgb(self._picture.pixels_in(self.box.window))
        hole = _dilate(self._unknown, self._options.grow)
        hole = self._unknown if hole.all() else hole
        ring = hole & ~self._unknown & ~self._hidden_pixels
        hole = hole if (hole | self._hidden_pixels).all() else hole | self._hidden_pixels
        largest = MAX_COPY_SIDE if self._options.copies else MAX_FREE_SIDE
        scale = (self._options.side or largest) / max(hole.shape)
        scale = scale if self._options.enlarges else min(1.0, scale)
        result = self._run_engine(fill_function, known_pixels, hole, scale, seed, on_progress)
        if self._options.generates:
            _refuse_flat(known_pixels, result, hole)
        inner = _intersect(self._core.expand(self._options.grow + 1, self._picture.height, self._picture.width), self.box)
        view = inner.relative_to(self.box).window
        correction, offset = _tone_correction(known_pixels[view], result[view], ring[view])
        patch: Pixels = result[view] + correction
        if not self._options.copies:
            patch += _missing_grain(known_pixels, result, hole, seed)[view]
            if self._picture.depth == 16:
                patch += _dither(patch.shape, seed)
        core_pixels = np.clip(patch, 0, 1)[self._core.relative_to(inner).window]
        return _FilledCrop((self._core.window, self._blend_core(core_pixels)), scale, offset)

    def _run_engine(
        self, fill_function: FillFunction, known: Pixels, hole: NDArray[np.bool_], scale: float, seed: int, on_progress: OnProgress
    ) -> Pixels:
        """Return the engine's result for the crop, scaled to the engine's size and back."""
        height, width = hole.shape
        high, wide = (max(1, round(edge * scale)) for edge in (height, width))
        crop_pixels, gap = resize_values(known, high, wide), (resize_values(hole.astype(np.float32), high, wide) > 1e-3).astype(np.float32)
        if gap.all():
            gap = (resize_values(self._unknown.astype(np.float32), high, wide) > 0.5).astype(np.float32)
        if scale > 1:
            crop_pixels = np.clip(crop_pixels, 0, 1)  # a bicubic enlargement overshoots at edges
        side, multiple = self._options.side, self._options.multiple
        padded_height, padded_width = (side or -(-edge // multiple) * multiple for edge in (high, wide))
        padding = ((0, padded_height - high), (0, padded_width - wide))
        if self._companion is not None:
            part = np.clip(resize_values(self._companion.pixels[self.box.window], high, wide), 0, 1)
            self._companion.on_part(np.pad(part, (*padding, (0, 0)), mode="symmetric"))
        result = fill_function(
            np.pad(crop_pixels, (*padding, (0, 0)), mode="symmetric"), np.pad(gap, padding, mode="symmetric"), seed, on_progress
        )
        if not np.isfinite(result).all():
            raise InputError("The inpainting engine made values that are no numbers.", "Name another model for this step, or try again.")
        return resize_values(result[:high, :wide], height, width)

    def _blend_core(self, patch: Pixels) -> Pixels:
        """Return the core: picture * (1 - m) + patch * m where the crop's own mask is > 0; every other pixel is copied."""
        view = self._core.relative_to(self.box).window
        share = (self._mask * _feather_weights(self._mask > 0, self._options.feather))[view]
        own_pixels = self._own_pixels[view]
        target = self._picture.pixels_in(self._core.window).copy()
        core_pixels = patch.mean(axis=2, keepdims=True) if target.shape[2] == 1 else patch
        part = share[own_pixels][:, None]
        target[own_pixels] = target[own_pixels] * (1 - part) + core_pixels[own_pixels] * part
        return target


def _widen_if_all_unknown(crop: CropBox, mask: Mask, crop_plan: CropPlan, open_regions: NDArray[np.bool_]) -> CropBox:
    """Return the crop, or the whole picture if the crop shows nothing but the hole."""
    unknown = open_regions[crop_plan.regions_in(crop)] & (mask[crop.window] > 0)
    return CropBox(0, 0, *mask.shape) if unknown.all() else crop


def _intersect(inner: CropBox, outer: CropBox) -> CropBox:
    """Return the part of ``inner`` inside ``outer``."""
    low = (max(inner.top, outer.top), max(inner.left, outer.left))
    return CropBox(*low, min(inner.bottom, outer.bottom), min(inner.right, outer.right))


def _refuse_flat(known: Pixels, filled: Pixels, hole: NDArray[np.bool_]) -> None:
    """Raise InputError if the fill is one plain colour and its surroundings are not."""
    nearby = _dilate(hole, GRAIN_SAMPLE_PX) & ~hole
    if not nearby.any() or float(known[nearby].std(axis=0).max()) < MIN_TEXTURE_DEVIATION:
        return
    fill = filled[hole]
    if float(np.abs(fill - np.median(fill, axis=0)).max()) < FLAT_TOLERANCE:
        raise InputError(
            "The inpainting engine filled the hole with one even colour.", "Try another seed, or name another model for this step."
        )


def _to_rgb(pixels: Pixels) -> Pixels:
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def _dilate(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Return the mask dilated by ``radius`` px."""
    import cv2

    if radius <= 0:
        return mask
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(distance <= radius, dtype=np.bool_)


def _feather_weights(mask: NDArray[np.bool_], feather_px: int) -> NDArray[np.float32]:
    """Return weights 0..1 that rise from the mask's edge inwards over ``feather_px``, or over less where the mask is thinner, so that its
    middle is 1.
    """
    import cv2

    if feather_px <= 0 or mask.all():
        return np.ones(mask.shape, dtype=np.float32)
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    deepest = cv2.dilate(depth, np.ones((2 * feather_px + 3, 2 * feather_px + 3), dtype=np.uint8))
    rise = np.clip(depth / np.maximum(np.minimum(deepest, feather_px + 1), 1e-6), 0, 1)
    return np.asarray(rise * rise * (3 - 2 * rise), dtype=np.float32)


def _tone_correction(known: Pixels, filled: Pixels, ring: NDArray[np.bool_]) -> tuple[Pixels, float]:
    """Return the smooth field that shifts the fill's tone to the picture's, from pixels where both are known; and its mean size there.

    It is a membrane: it follows the ring closely at the edge and flattens inwards. Differences far from the ring's median (the rim or the
    shadow of the removed object) hardly count.
    """
    if not ring.any():
        return np.zeros_like(filled), 0.0
    difference = np.clip(known - filled, -MAX_TONE_SHIFT, MAX_TONE_SHIFT)
    deviation = np.abs(difference - np.median(difference[ring], axis=0)).max(axis=2) / OUTLIER_DIFFERENCE
    trust = np.where(ring, STIFFNESS / (1 + deviation**4), 0).astype(np.float32)
    field = pull_push_fill(difference, trust)
    return field, float(np.abs(field[ring]).mean())


def _missing_grain(known: Pixels, filled: Pixels, hole: NDArray[np.bool_], seed: int) -> Pixels:
    """Return noise (h, w, 1) that makes the fill as grainy as the picture near the hole; zero if it already is."""
    nearby = _dilate(hole, GRAIN_SAMPLE_PX) & ~hole
    known_sigma, filled_sigma = _noise_sigma(known, nearby), _noise_sigma(filled, hole)
    missing_sigma = min(max(known_sigma * known_sigma - filled_sigma * filled_sigma, 0.0) ** 0.5, MAX_GRAIN)
    if missing_sigma * 1024 < 1:
        return np.zeros((*hole.shape, 1), dtype=np.float32)
    noise = np.random.default_rng(seed).standard_normal((*hole.shape, 1), dtype=np.float32)
    return np.asarray(noise * np.float32(missing_sigma), dtype=np.float32)


def _noise_sigma(pixels: Pixels, mask: NDArray[np.bool_]) -> float:
    """Return the standard deviation of the noise, 0..1, by a filter that ignores edges and slopes (Immerkaer 1996), as a median."""
    import cv2

    if not mask.any():
        return 0.0
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
    residual = cv2.filter2D(pixels.mean(axis=2), -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    return float(np.median(np.abs(residual[mask])) / (0.6745 * 6))


def _dither(shape: tuple[int, ...], seed: int) -> Pixels:
    """Return triangular noise of one 8-bit code, for engines with 8-bit fills in a 16-bit picture."""
    steps = np.random.default_rng(seed).random((2, *shape), dtype=np.float32)
    return np.asarray((steps[0] - steps[1]) / 255, dtype=np.float32)
