"""Fill each hole of a mask in several ways and keep the fill that suits its surroundings best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldsmith.errors import InputError
from goldsmith.picture.crop_and_stitch import MAX_COPY_SIDE, FillFunction, OnProgress, StitchOptions, StitchResult, stitch
from goldsmith.picture.crop_planning import CropBox, find_separate_holes
from goldsmith.picture.picture import Mask, Picture, Pixels, Window
from goldsmith.picture.smoothing import resize_values
from goldsmith.stitching.carried_detail import carry_detail, lift_detail
from goldsmith.stitching.donors import FindObjects, find_barred, find_unlike
from goldsmith.stitching.fill_scores import FillComparison, FillScores, usual_foreign
from goldsmith.stitching.fill_sheet import draw_fill_sheet
from goldsmith.stitching.known_colours import keep_known_colours
from goldsmith.stitching.line_fill import fill_along, find_direction
from goldsmith.stitching.offset_labels import BlockGrids
from goldsmith.stitching.patch_copy import copy_patches
from goldsmith.stitching.smooth_ground import Smoothness, fill_smooth, measure_smoothness
from goldsmith.stitching.surroundings import distance_from, find_detached_forms, find_dirty_rim, ring_width

# Holes no wider than this, in px, are filled by the engine alone: there it is at its best, and there is nothing to measure.
THIN_PX = 12
# An engine sees the rim round the mask that ``grow`` hides, from so many px on, where it has the colours of what lies beyond it: a model
# invents the less, the less is hidden. A rim wider than the second stays hidden: the step hides a soft shadow, which has no new colour.
CLEAN_GROW = 4
MAX_CLEAN_GROW = 10
# Copied blocks come from a wider crop than an engine sees: the offset of a block is at least as long as the hole.
COPY_CONTEXT_FACTOR = 2.0
LEAST_COPY_CONTEXT = 0.25
# A smooth fill of slopes and grain alone needs little to measure: as a share of the hole's longer side.
SMOOTH_CONTEXT = 0.4
# A smooth fill that costs no more than this is kept without a comparison.
ENOUGH_COST = 1.0
# The engine's fill gets more detail, and copied blocks are chosen again, if they have less than this share of their surroundings' detail.
SOFT_RATIO = 0.9
# The engine's fill is given the colours of its surroundings if more than this share of it is new.
LEAST_NOVELTY = 0.004
# The surroundings are compared among themselves within so many lengths of the hole.
SURROUNDINGS_SIDES = 1.1
# A fill is measured where the mask is above this.
HALF_FILL = 0.5
# Limits of a fill that is passed without a remark.
MAX_NOVELTY = 0.02
MAX_FOREIGN = 0.1
# Where its surroundings are even, a fill may only be so much more foreign than they are among themselves. That is measured if the fill is
# foreign to more than the second.
MAX_EXCESS = 0.035
LEAST_FOREIGN = 0.05
# Limits of a fill that is passed at all.
UNFIT_FOREIGN = 0.34
# How much more foreign a fill may be than the surroundings are among themselves, if that was measured; below the second it is never unfit.
UNFIT_EXCESS = 0.18
LEAST_UNFIT_FOREIGN = 0.25
UNFIT_NOVELTY = 0.15
UNFIT_DOUBTS = 3
# Copied blocks whose visible joins are longer than this share of the hole's outline cost so much more.
MAX_JOINS = 0.25
JOINS_COST = 0.5
# Lines that are drawn on cost so much less: that both of their ends agree is known, and no measure sees it.
LINES_GAIN = 0.3
DETAIL_LIMITS = (0.5, 1.6)
MAX_SEAM = 1.0
# The share of the lines before a hole that may end at a smooth fill, which draws none: wires in a sky are too thin to make it unsmooth.
MAX_BROKEN_LINES = 0.8
MAX_COST = 1.7


def rank_cost(name: str, score: FillScores) -> float:
    """Return the cost by which the fills of a hole are ranked.

    Blocks with visible joins must be clearly better than another fill, and another fill clearly better than lines that are drawn on.
    """
    return score.cost + (JOINS_COST if score.joins > MAX_JOINS else 0) - (LINES_GAIN if name == "lines" else 0)


@dataclass(frozen=True, slots=True)
class HoleFill:
    """How one hole was filled.

    box:        left, top, width and height in px.
    smoothness: of the surroundings, or None if they were not measured.
    detached:   the share, 0..1, of the surroundings that was left out: forms that do not touch the hole, such as text beside a headline.
    chosen:     the name of the fill that was kept: "smooth", "engine", "engine in known colours", "engine with detail", "lines", "patches"
                or "patches with detail".
    scores:     of each fill by name; empty if there was only one to choose from.
    usual:      how foreign, 0..1, the surroundings are among themselves; None if that was not measured.
    view:       the box and its surroundings, as an index into the picture.
    fills:      the compared fills by name, (h, w, c), 0..1, the pixels of the view; the chosen one first.
    """

    box: tuple[int, int, int, int]
    smoothness: Smoothness | None
    detached: float
    chosen: str
    scores: dict[str, FillScores]
    usual: float | None
    view: Window
    fills: dict[str, Pixels]

    def findings(self) -> dict[str, Any]:
        """Return the facts for the record, as plain JSON."""
        ground = (
            None
            if self.smoothness is None
            else {
                "deviation": round(self.smoothness.deviation, 2),
                "worst": round(self.smoothness.worst, 2),
                "detached": round(self.detached, 2),
            }
        )
        scores = {name: {**asdict(score), "cost": round(score.cost, 3)} for name, score in self.scores.items()}
        usual = {} if self.usual is None else {"usual_foreign": round(self.usual, 3)}
        return {"box": list(self.box), "chosen": self.chosen, "ground": ground, "scores": scores, **usual}

    def draw_sheet(self, picture: Picture) -> NDArray[np.uint8]:
        """Return a sheet (h, w, 3), sRGB codes 0..255, of all fills at 100 % with their scores; ``picture`` gives the profile."""
        return draw_fill_sheet(self.fills, {name: self._caption(name) for name in self.fills}, picture)

    @property
    def is_unfit(self) -> bool:
        """True if so much of the chosen fill is unlike its surroundings that it shows an object of its own, or if much is doubtful."""
        score = self.scores.get(self.chosen)
        if score is None:
            return False
        limit = UNFIT_FOREIGN if self.usual is None else max(self.usual + UNFIT_EXCESS, LEAST_UNFIT_FOREIGN)
        is_object = score.foreign > limit or score.novelty + score.recoloured > UNFIT_NOVELTY
        return is_object or len(self._faults()) >= UNFIT_DOUBTS

    @property
    def _is_simple(self) -> bool:
        """True if the fill is a plain surface or straight lines: the ring round the hole may have other detail, which raises the cost."""
        is_plain = self.smoothness is not None and self.smoothness.is_smooth
        return self.chosen == "lines" or (self.chosen == "smooth" and is_plain)

    def _caption(self, name: str) -> str:
        score = self.scores[name]
        first = f"{name}: cost {score.cost:.2f}{', chosen' if name == self.chosen else ''}"
        second = f"detail {score.detail_ratio:.2f}, texture {score.texture:.2f}, seam {score.seam:.2f}, joins {score.joins:.2f}"
        return f"{first}\n{second}\nnew {score.novelty:.1%}, foreign {score.foreign:.1%}, lines broken {score.lines:.0%}"

    def doubts(self) -> list[str]:
        """Return what is doubtful about the chosen fill, as parts of a sentence; empty if nothing is.

        Lines that end at a smooth fill are told, and hold nothing up: a person may want to see them end.
        """
        score = self.scores.get(self.chosen)
        if score is None or self.chosen != "smooth" or score.lines <= MAX_BROKEN_LINES:
            return self._faults()
        return [*self._faults(), f"{score.lines:.0%} of the lines that run into it end at its border"]

    def _faults(self) -> list[str]:
        score = self.scores.get(self.chosen)
        if score is None:
            return []
        doubts = []
        limit = MAX_FOREIGN if self.usual is None else min(self.usual + MAX_EXCESS, MAX_FOREIGN)
        if score.foreign > max(limit, LEAST_FOREIGN):
            usual = "" if self.usual is None else f" ({self.usual:.0%} elsewhere round it)"
            doubts.append(f"{score.foreign:.0%} of it is unlike everything beside it{usual}")
        if score.novelty > MAX_NOVELTY:
            doubts.append(f"{score.novelty:.0%} of it has colours or edges that its surroundings do not have")
        if score.recoloured > MAX_NOVELTY:
            doubts.append(f"{score.recoloured:.0%} of it had colours or edges that its surroundings do not have, and was recoloured")
        if not DETAIL_LIMITS[0] <= score.detail_ratio <= DETAIL_LIMITS[1]:
            doubts.append(f"it has {score.detail_ratio:.2f} times the fine detail of its surroundings")
        if score.seam > MAX_SEAM:
            doubts.append("its border shows")
        cost = rank_cost(self.chosen, score)
        if not doubts and cost > MAX_COST and not self._is_simple:
            doubts.append(f"it suits its surroundings badly (cost {cost:.1f}, the limit is {MAX_COST:g})")
        return doubts


@dataclass(frozen=True, slots=True, eq=False)
class FillRules:
    """What must not be copied into a hole, and which of the compared fills is kept.

    find_objects: returns the masks (h, w), 0..1, of the objects in a part of the picture that must not be copied into a hole beside them,
                  such as a person; it is called once for a hole, and only if something is copied.
    never_copied: (h, w), what must not be copied into any hole, or None.
    choice:       1 = the best fill, 2 = the next best; after the last one the first again.
    engine_first: the engine's own fill counts as the best.
    """

    find_objects: FindObjects = lambda picture: ()
    never_copied: NDArray[np.bool_] | None = None
    choice: int = 1
    engine_first: bool = False


def stitch_best(
    picture: Picture,
    mask: Mask,
    engine_fill: FillFunction,
    options: StitchOptions,
    on_progress: OnProgress,
    mask_bounds: CropBox,
    hidden_mask: Mask | None = None,
    rules: FillRules | None = None,
) -> tuple[StitchResult, tuple[HoleFill, ...]]:
    """Return the picture with each hole of the mask filled by the fill that scores best, and how each was filled.

    mask, hidden_mask: (h, w), 0..1. The arguments are those of ``stitch``; ``options`` are the engine's. In smooth surroundings the engine
    is not run, unless ``rules`` ask for another fill than the best. Raises InputError if the mask leaves nothing to fill from.
    """
    rules = rules or FillRules()
    if int(np.count_nonzero(mask[mask_bounds.window] > 0)) == mask.size:
        return stitch(picture, mask, engine_fill, options, on_progress, mask_bounds, hidden_mask), ()
    holes: list[HoleFill] = []
    results: list[StitchResult] = []
    result = picture
    parts = _split_mask(mask, mask_bounds, hidden_mask)
    for number, part in enumerate(parts):
        step = _part(on_progress, number / len(parts), (number + 1) / len(parts))
        chooser = _HoleFiller(result, part.mask, part.hidden, part.bounds, replace(options, seed=options.seed + number), rules)
        stitched, hole = chooser.fill_best(engine_fill, step)
        result = stitched.picture
        results.append(stitched)
        holes.append(hole)
    masked = int(np.count_nonzero(mask[mask_bounds.window] > 0))
    whole = StitchResult(
        result,
        tuple(crop for each in results for crop in each.crops),
        tuple(scale for each in results for scale in each.scales),
        round(float(np.mean([each.seam_offset for each in results])), 5),
        mask.size - masked,
        sum(each.outside_changed for each in results),
    )
    return whole, tuple(holes)


@dataclass(frozen=True, slots=True, eq=False)
class _MaskPart:
    """A part of the mask that is filled at once: its box, the mask (h, w) with this part alone, and what must not be seen (h, w)."""

    bounds: CropBox
    mask: Mask
    hidden: Mask | None


def _split_mask(mask: Mask, mask_bounds: CropBox, hidden_mask: Mask | None) -> Sequence[_MaskPart]:
    """Return the thin holes together and each other hole alone; the holes that are filled later are hidden from the earlier ones."""
    holes = find_separate_holes(mask, mask_bounds)
    if len(holes) == 1:
        return [_MaskPart(mask_bounds, mask, hidden_mask)]
    thin = [hole for hole in holes if _is_thin(hole[1])]
    groups = [thin, *([hole] for hole in holes if not _is_thin(hole[1]))]
    return [_mask_part(mask, group, groups[number + 1 :], hidden_mask) for number, group in enumerate(groups) if group]


def _mask_part(
    mask: Mask,
    group: list[tuple[CropBox, NDArray[np.bool_]]],
    later_groups: list[list[tuple[CropBox, NDArray[np.bool_]]]],
    hidden_mask: Mask | None,
) -> _MaskPart:
    own, hidden = np.zeros_like(mask), np.zeros_like(mask)
    for box, solid in group:
        own[box.window] = np.where(solid, mask[box.window], own[box.window])
    for box, solid in (hole for later in later_groups for hole in later):
        hidden[box.window][solid] = 1
    bounds = group[0][0]
    for box, _ in group[1:]:
        bounds = bounds.union(box)
    return _MaskPart(bounds, own, hidden if hidden_mask is None else np.maximum(hidden, hidden_mask))


def _is_thin(solid: NDArray[np.bool_]) -> bool:
    """Return whether no point of the hole (h, w) lies further inside it than half of ``THIN_PX``."""
    return bool(2 * distance_from(~np.pad(solid, 1)).max() <= THIN_PX)


class _HoleFiller:
    """Fill one hole in several ways, and choose."""

    def __init__(
        self,
        picture: Picture,
        mask: Mask,
        hidden_mask: Mask | None,
        bounds: CropBox,
        options: StitchOptions,
        rules: FillRules,
    ) -> None:
        self._picture = picture
        self._mask = mask
        self._hidden_mask = hidden_mask
        self._options = options
        self._bounds = bounds
        solid = mask[self._bounds.window] > 0
        self._view = self._bounds.expand(2 * ring_width(solid), picture.height, picture.width)
        self._unknown = mask[self._view.window] > 0
        self._hidden = np.zeros_like(self._unknown) if hidden_mask is None else (hidden_mask[self._view.window] > 0) & ~self._unknown
        self._rules = rules
        # The length of visible joins in each fill with copied blocks.
        self._joins: dict[str, float] = {}
        # Forms (h, w) that do not touch the hole: they are neither continued nor copied, and fills are not compared with them.
        self._forms = np.zeros(mask.shape, dtype=np.bool_)
        # Objects (h, w) that must not be copied; None before they are looked for.
        self._objects: NDArray[np.bool_] | None = None
        self._grids = BlockGrids()

    def fill_best(self, engine_fill: FillFunction, on_progress: OnProgress) -> tuple[StitchResult, HoleFill]:
        """Return the picture with the best fill, and how it was chosen."""
        is_best_wanted = self._rules.choice == 1 and not self._rules.engine_first
        if is_best_wanted and _is_thin(self._mask[self._bounds.window] > 0):
            stitched = self._stitch(engine_fill, self._options, on_progress)
            return stitched, self._describe("engine", {"engine": stitched}, {}, None)
        smoothness = self._measure_ground()
        fills: dict[str, StitchResult] = {}
        if smoothness.is_nearly_smooth:
            fills["smooth"] = self._fill_smoothly(_part(on_progress, 0.0, 0.1))
        scores = {name: self._score(each) for name, each in fills.items()}
        is_enough = smoothness.is_smooth or any(score.cost <= ENOUGH_COST for score in scores.values())
        if not (is_enough and is_best_wanted):
            fills["engine"] = self._fill_by_engine(engine_fill, _part(on_progress, 0.1, 0.6))
            fills |= self._add_lines(_part(on_progress, 0.6, 0.65))
            fills |= self._add_patches(_part(on_progress, 0.65, 0.8))
        scores |= {name: self._score(each) for name, each in fills.items() if name not in scores}
        if "patches" in scores and scores["patches"].detail_ratio < SOFT_RATIO:
            copied = self._add_patches(_part(on_progress, 0.8, 0.95), "patches with detail")
            fills |= copied
            scores |= {name: self._score(each) for name, each in copied.items()}
        scores |= {name: replace(scores[name], joins=joins) for name, joins in self._joins.items()}
        if "engine" in fills:
            self._improve_engine(fills, scores)
        if "lines" in fills and scores["lines"].detail_ratio < SOFT_RATIO:
            fills["lines"] = self._add_detail(fills["lines"])
            scores["lines"] = self._score(fills["lines"])
        self._lift_detail(fills, scores)
        chosen = self._choose(scores, is_smooth_enough=is_enough)
        on_progress(1.0)
        return fills[chosen], self._describe(chosen, fills, scores, smoothness)

    def _improve_engine(self, fills: dict[str, StitchResult], scores: dict[str, FillScores]) -> None:
        """Add the engine's fill in the colours of the surroundings if it has others, or with more detail too if it is too soft."""
        best = self._recolour(fills["engine"])
        recoloured = scores["engine"].novelty if scores["engine"].novelty > LEAST_NOVELTY else 0.0
        if scores["engine"].detail_ratio < SOFT_RATIO:
            name, best = "engine with detail", self._add_detail(best)
        elif recoloured:
            name = "engine in known colours"
        else:
            return
        fills[name], scores[name] = best, replace(self._score(best), recoloured=recoloured)

    def _lift_detail(self, fills: dict[str, StitchResult], scores: dict[str, FillScores]) -> None:
        """Replace the fills with detail that are still somewhat softer than their surroundings."""
        for name in ("engine with detail", "lines", "patches with detail"):
            score = scores.get(name)
            if score is not None and score.detail_ratio < SOFT_RATIO:
                pixels = _to_rgb(fills[name].picture.pixels_in(self._view.window))
                fills[name] = self._mix_in(fills[name], lift_detail(pixels, self._unknown, score.detail_ratio))
                scores[name] = replace(self._score(fills[name]), joins=score.joins, recoloured=score.recoloured)

    def _choose(self, scores: Mapping[str, FillScores], *, is_smooth_enough: bool) -> str:
        """Return the name of the fill that is kept: by its place among all, the best first. A smooth fill that is enough is the best."""

        def rank(name: str) -> tuple[bool, bool, float]:
            is_best = is_smooth_enough and name == "smooth"
            return self._rules.engine_first and name != "engine", not is_best, rank_cost(name, scores[name])

        return sorted(scores, key=rank)[(self._rules.choice - 1) % len(scores)]

    def _measure_ground(self) -> Smoothness:
        """Return the smoothness of the surroundings; of what lies between the forms there if none of them touches the hole."""
        pixels = _to_rgb(self._picture.pixels_in(self._view.window))
        rim = (distance_from(self._unknown) <= self._options.grow) & ~self._unknown
        smoothness = measure_smoothness(pixels, self._unknown | rim, self._hidden)
        if smoothness.is_smooth:
            return smoothness
        forms = self._find_forms()
        detached = forms[self._view.window]
        between = measure_smoothness(pixels, self._unknown | rim, self._hidden | detached) if detached.any() else smoothness
        if not detached.any() or not between.is_nearly_smooth:
            return smoothness
        self._forms = forms
        return between

    def _find_forms(self) -> NDArray[np.bool_]:
        reach = ceil(SMOOTH_CONTEXT * max(self._bounds.height, self._bounds.width)) + self._options.grow
        window = self._view.union(self._bounds.expand(reach, *self._mask.shape)).window
        unknown = self._mask[window] > 0
        hidden = np.zeros_like(unknown) if self._hidden_mask is None else (self._hidden_mask[window] > 0) & ~unknown
        forms = np.zeros(self._mask.shape, dtype=np.bool_)
        forms[window] = find_detached_forms(_to_rgb(self._picture.pixels_in(window)), unknown, hidden, self._options.grow)
        return forms

    def _copying(self, context: float) -> StitchOptions:
        """Return the options of a fill that copies; a large hole shows less of its surroundings rather than be reduced."""
        longer = max(self._bounds.height, self._bounds.width)
        context = min(context, max((MAX_COPY_SIDE / longer - 1) / 2, LEAST_COPY_CONTEXT))
        return replace(self._options, context=context, side=0, multiple=1, enlarges=False, generates=False, copies=True)

    def _stitch(self, fill: FillFunction, options: StitchOptions, on_progress: OnProgress) -> StitchResult:
        return stitch(self._picture, self._mask, fill, options, on_progress, self._bounds, self._hidden_mask)

    def _fill_by_engine(self, engine_fill: FillFunction, on_progress: OnProgress) -> StitchResult:
        """Return the engine's fill; if the step neither names the engine nor hides a wide rim, it sees the clean part of the rim too."""
        if self._rules.engine_first or self._options.grow > MAX_CLEAN_GROW:
            return self._stitch(engine_fill, self._options, on_progress)
        options = replace(self._options, grow=min(self._options.grow, CLEAN_GROW))
        return stitch(self._picture, self._mask, engine_fill, options, on_progress, self._bounds, self._hidden_with_rim)

    @cached_property
    def _hidden_with_rim(self) -> Mask:
        """What must not be seen (h, w), 0..1, with the part of the rim that shows a rest of the object."""
        hidden = np.zeros_like(self._mask) if self._hidden_mask is None else self._hidden_mask.copy()
        pixels = _to_rgb(self._picture.pixels_in(self._view.window))
        hidden[self._view.window][find_dirty_rim(pixels, self._unknown, self._hidden, self._options.grow)] = 1
        return hidden

    def _fill_smoothly(self, on_progress: OnProgress, fill: FillFunction | None = None) -> StitchResult:
        """Return a fill that looks no further than the nearest surroundings: by default the smooth one."""
        forms = self._forms.astype(np.float32)
        hidden = forms if self._hidden_mask is None else np.maximum(self._hidden_mask, forms)
        options = self._copying(SMOOTH_CONTEXT)
        return stitch(self._picture, self._mask, fill or _fill_smooth, options, on_progress, self._bounds, hidden)

    def _add_lines(self, on_progress: OnProgress) -> dict[str, StitchResult]:
        """Return the fill that draws on the lines that cross the hole; nothing if they have no clear direction."""
        unknown = (distance_from(self._unknown) <= self._options.grow) | self._hidden
        direction = find_direction(_to_rgb(self._picture.pixels_in(self._view.window)), unknown)
        if not direction.is_clear:
            return {}

        def fill(pixels: Pixels, hole: Mask, seed: int, on_progress: OnProgress) -> Pixels:
            return fill_along(pixels, hole > 0.5, direction.angle, seed)

        return {"lines": self._fill_smoothly(on_progress, fill)}

    def _add_patches(self, on_progress: OnProgress, name: str = "patches") -> dict[str, StitchResult]:
        """Return the fill with copied blocks by that name; nothing if the surroundings are too small to copy from.

        Blocks are matched with the clean part of the rim too, which the engine does not see; the dirty part is hidden from them.
        """
        rim = np.zeros(self._mask.shape, dtype=np.bool_)
        rim[self._view.window] = distance_from(self._unknown) <= self._options.grow
        copying = _PatchFill(self._barred | rim, self._find_objects, self._grids, keeps_detail=name != "patches")
        options = replace(self._copying(COPY_CONTEXT_FACTOR * self._options.context), grow=0)
        try:
            copied = stitch(
                self._picture, self._mask, copying.fill, options, on_progress, self._bounds, self._hidden_with_rim, copying.move_to
            )
        except _NothingToCopy:
            return {}
        self._joins[name] = round(copying.joins, 4)
        return {name: copied}

    @property
    def _barred(self) -> NDArray[np.bool_]:
        """What must not be copied into the hole (h, w), as far as it is known."""
        barred = self._forms
        for more in (self._rules.never_copied, self._objects):
            barred = barred if more is None else barred | more
        return barred

    def _find_objects(self) -> NDArray[np.bool_]:
        """Return the objects (h, w) round the hole that must not be copied into it; they are looked for once."""
        if self._objects is not None:
            return self._objects
        self._objects = barred = np.zeros(self._mask.shape, dtype=np.bool_)
        reach = ceil(COPY_CONTEXT_FACTOR * self._options.context * max(self._bounds.height, self._bounds.width))
        box = self._bounds.expand(reach, *self._mask.shape)
        barred[box.window] = find_barred(self._picture, self._mask, box, self._options.grow, self._rules.find_objects)
        return barred

    @cached_property
    def _lends_nothing(self) -> NDArray[np.bool_]:
        """What lends the engine's fill no colour and no detail (h, w of the view): never copied, or unlike what lies beside the hole."""
        pixels = _to_rgb(self._picture.pixels_in(self._view.window))
        return self._barred[self._view.window] | find_unlike(pixels, self._unknown, self._hidden)

    def _recolour(self, stitched: StitchResult) -> StitchResult:
        known = ~(self._unknown | self._hidden | self._lends_nothing)
        pixels = stitched.picture.pixels_in(self._view.window)
        return self._mix_in(stitched, keep_known_colours(_to_rgb(pixels), self._unknown, known))

    def _add_detail(self, stitched: StitchResult) -> StitchResult:
        pixels = stitched.picture.pixels_in(self._view.window)
        detailed = carry_detail(_to_rgb(pixels), self._unknown | self._hidden, 1 / min(1.0, *stitched.scales), self._lends_nothing)
        return self._mix_in(stitched, detailed)

    def _mix_in(self, stitched: StitchResult, better: Pixels) -> StitchResult:
        """Return the fill with better pixels (h, w, 3) of the view, mixed in by the mask."""
        pixels = stitched.picture.pixels_in(self._view.window)
        better = better.mean(axis=2, keepdims=True) if pixels.shape[2] == 1 else better
        share = self._mask[self._view.window][..., None]
        patch = np.where(share > 0, pixels + (better - pixels) * share, pixels)
        return replace(stitched, picture=stitched.picture.with_patches([(self._view.window, patch.astype(np.float32))]))

    def _score(self, stitched: StitchResult) -> FillScores:
        return self._comparison.score(_to_rgb(stitched.picture.pixels_in(self._view.window)))

    @cached_property
    def _comparison(self) -> FillComparison:
        """Compares fills where most of each pixel is the fill: at the soft edge of a mask the old picture shines through."""
        solid = self._mask[self._view.window] > HALF_FILL
        solid = solid if solid.any() else self._unknown
        pixels = _to_rgb(self._picture.pixels_in(self._view.window))
        return FillComparison(pixels, solid, self._hidden | (self._unknown & ~solid), self._forms[self._view.window])

    def _describe(
        self, chosen: str, fills: dict[str, StitchResult], scores: dict[str, FillScores], smoothness: Smoothness | None
    ) -> HoleFill:
        box = self._bounds
        names = sorted(fills, key=lambda name: (name != chosen, name))
        pictures = {name: fills[name].picture.pixels_in(self._view.window) for name in names} if len(fills) > 1 else {}
        detached = float(self._forms[self._view.window].mean())
        place = box.left, box.top, box.width, box.height
        usual = self._usual_foreign() if chosen in scores and scores[chosen].foreign > LEAST_FOREIGN else None
        return HoleFill(place, smoothness, detached, chosen, scores, usual, self._view.window, pictures)

    def _usual_foreign(self) -> float | None:
        reach = ceil(SURROUNDINGS_SIDES * max(self._bounds.height, self._bounds.width))
        window = self._bounds.expand(reach, *self._mask.shape).window
        unknown = self._mask[window] > 0
        hidden = np.zeros_like(unknown) if self._hidden_mask is None else self._hidden_mask[window] > 0
        return usual_foreign(_to_rgb(self._picture.pixels_in(window)), unknown, hidden)


class _NothingToCopy(InputError):
    """The surroundings have no block without an unknown pixel."""


def _part(on_progress: OnProgress, low: float, high: float) -> OnProgress:
    return lambda fraction: on_progress(low + (high - low) * min(max(fraction, 0.0), 1.0))


def _fill_smooth(pixels: Pixels, hole: Mask, seed: int, on_progress: OnProgress) -> Pixels:
    unknown = hole > 0.5
    return fill_smooth(pixels, unknown, np.zeros_like(unknown), seed)


class _PatchFill:
    """Copy blocks. barred: (h, w) of the whole picture, what is not copied; ``find_objects`` returns more of it, of the same size.

    grids, keeps_detail: see ``copy_patches``.
    """

    def __init__(
        self, barred: NDArray[np.bool_], find_objects: Callable[[], NDArray[np.bool_]], grids: BlockGrids, *, keeps_detail: bool
    ) -> None:
        self._keeps_detail = keeps_detail
        # The length of visible joins between blocks, as a share of the hole's outline: the worst of all crops.
        self.joins = 0.0
        self._barred = barred
        self._find_objects = find_objects
        self._grids = grids
        self._window: Window = np.s_[:, :]

    def move_to(self, box: CropBox) -> None:
        """Take note of where in the picture the next crop lies."""
        self._window = box.window

    def fill(self, pixels: Pixels, hole: Mask, seed: int, on_progress: OnProgress) -> Pixels:
        """Implement ``FillFunction``."""

        def part(objects: NDArray[np.bool_]) -> NDArray[np.bool_]:
            return resize_values(objects[self._window].astype(np.float32), *hole.shape) > 0

        filled = copy_patches(
            pixels,
            hole > 0.5,
            part(self._barred),
            on_progress,
            keeps_detail=self._keeps_detail,
            find_objects=lambda: part(self._find_objects()),
            grids=self._grids,
        )
        if filled is None:
            raise _NothingToCopy("The surroundings are too small to copy from.")
        self.joins = max(self.joins, filled.joins)
        return filled.pixels


def _to_rgb(pixels: Pixels) -> Pixels:
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else np.ascontiguousarray(pixels)
