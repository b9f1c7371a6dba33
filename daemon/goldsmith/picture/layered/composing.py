"""Compose the layers of a file into one picture, the lowest first, and decode each layer only when its turn comes.

The formulas are those of ``blend_modes``. A program may blend and composite in linear light; then the profile's curves are used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from goldsmith.picture import colour
from goldsmith.picture.blend_modes import BlendFunction, blend_function, blend_with
from goldsmith.picture.layered.layered_file import FileLayer, LayerBox, LayerGroup, LayerMask
from goldsmith.picture.picture import Mask, PixelCodes, Pixels

# Bytes per pixel of a canvas: colours and alpha in float32, twice while a layer is blended.
_CANVAS_BYTES = 32


@dataclass(frozen=True, slots=True)
class Blending:
    """How a layer or a group joins what lies below it.

    function:             B(cb, cs) of ``blend_with``.
    is_linear_blend:      the function gets linear light.
    is_linear_composite:  the result is mixed with the backdrop in linear light.
    clips_to_backdrop:    the backdrop keeps its alpha: the layer shows only where the backdrop does.
    is_legacy:            it is one of the modes of GIMP before 2.10, which weight a layer in their own way where the backdrop is partly
                          transparent.
    """

    function: BlendFunction
    is_linear_blend: bool = False
    is_linear_composite: bool = False
    clips_to_backdrop: bool = False
    is_legacy: bool = False


NORMAL = Blending(blend_function("normal"))


class GroupJoin(NamedTuple):
    """How a group joins what lies below it.

    blending:  None = it passes through: its layers blend with what lies below the group.
    load_mask: decodes its mask; None = it has none.
    """

    blending: Blending | None = NORMAL
    load_mask: Callable[[], LayerMask | None] | None = None


GROUP = GroupJoin()


@dataclass(frozen=True, slots=True, eq=False)
class LayerSource:
    """A layer that is not decoded yet.

    is_visible: the layer's own eye; ``is_shown`` also asks the groups.
    blending:   of the layer; ``group_joins`` are those of ``groups``, which have no mask here: it is decoded when it is needed.
    box:        it contains the box of the decoded layer.
    load:       decodes the layer; its ``groups`` are those here.
    fault:      why our own composing cannot show the layer as its program does, such as "the adjustment layer “Curves”"; "" = it can.
    """

    name: str
    box: LayerBox
    load: Callable[[], FileLayer]
    is_visible: bool = True
    groups: tuple[LayerGroup, ...] = ()
    is_clipped: bool = False
    blending: Blending = NORMAL
    group_joins: tuple[GroupJoin, ...] = ()
    fault: str = ""

    @property
    def is_shown(self) -> bool:
        """True if neither its own eye nor that of a group around it is closed."""
        return self.is_visible and all(group.is_visible for group in self.groups)


@dataclass(slots=True)
class _Canvas:
    """Colours and alpha of a box while layers are drawn into it; ``group`` is the group that it is for, None for the picture.

    strength: the part of a layer's alpha that is its opacity and its mask, for legacy modes.
    join:     of the group.
    backdrop: what lay below a group that passes through, if the group is not fully opaque.
    """

    box: LayerBox
    pixels: Pixels
    alpha: Mask
    group: LayerGroup | None = None
    join: GroupJoin = GROUP
    backdrop: tuple[Pixels, Mask] | None = None
    strength: Mask | None = None


@dataclass(frozen=True, slots=True)
class ComposedPicture:
    """Colours (h, w, c) and alpha (h, w), straight, 0..1; the colour of pixels without alpha is black."""

    pixels: Pixels
    alpha: Mask


def compose(sources: Sequence[LayerSource], width: int, height: int, channels: int, icc: bytes | None) -> ComposedPicture:
    """Return the shown layers over a transparent canvas of ``width`` x ``height`` px. ``icc`` gives the curves of linear light."""
    canvas = LayerBox(0, 0, width, height)
    composer = _Composer(canvas, _group_boxes(sources, canvas), channels, icc)
    for run in _clipping_runs(sources):
        composer.draw_run(run)
    return composer.finish()


class ComposingWork(NamedTuple):
    """What ``compose`` takes at most: bytes for its canvases, without the layers' codes, and the pixels of every group as it begins."""

    canvas_bytes: int
    group_pixels: int


def measure_composing(sources: Sequence[LayerSource], width: int, height: int) -> ComposingWork:
    """Return what ``compose`` takes for these layers on a canvas of ``width`` x ``height`` px."""
    canvas = LayerBox(0, 0, width, height)
    boxes = _group_boxes(sources, canvas)
    deepest = total = 0
    previous: tuple[LayerGroup, ...] = ()
    for source in sources:
        if not source.is_shown or source.box.intersect(canvas) is None:
            continue
        below, held = canvas.area, 0
        shared = True
        for depth, (group, join) in enumerate(zip(source.groups, source.group_joins, strict=True)):
            shared = shared and depth < len(previous) and previous[depth] is group
            # A group that passes through copies what lies below it, if it is not fully opaque.
            area = boxes[id(group)].area if join.blending is not None else below if group.opacity < 1 or join.load_mask is not None else 0
            below = area if join.blending is not None else below
            held += area
            total += 0 if shared else area
        deepest, previous = max(deepest, held), source.groups
    return ComposingWork((canvas.area + deepest) * _CANVAS_BYTES, total)


def _clipping_runs(sources: Sequence[LayerSource]) -> Iterator[list[LayerSource]]:
    """Yield each shown layer with the shown layers that are clipped to it. Clipped layers on a hidden one are hidden with it."""
    run: list[LayerSource] = []
    for source in sources:
        if not source.is_clipped or (run and run[0].groups != source.groups):
            if run and run[0].is_shown:
                yield [each for each in run if each.is_shown]
            run = []
        run.append(source)
    if run and run[0].is_shown:
        yield [each for each in run if each.is_shown]


class _Composer:
    """Draws layers into the picture, and groups into canvases of their own."""

    def __init__(self, canvas: LayerBox, group_boxes: Mapping[int, LayerBox], channels: int, icc: bytes | None) -> None:
        self._group_boxes, self._channels, self._icc = group_boxes, channels, icc
        self._stack = [self._empty(canvas)]

    def draw_run(self, run: Sequence[LayerSource]) -> None:
        """Draw a layer with the layers that are clipped to it."""
        base = run[0]
        if base.box.intersect(self._stack[0].box) is None:
            return
        self._enter(base)
        layer = self._decode(base, self._stack[-1].box)
        if layer is None:
            return
        for source in run[1:]:
            clipped = self._decode(source, layer.box)
            if clipped is not None:
                window = clipped.box.window_in(layer.box)
                opaque = np.ones_like(clipped.alpha)
                layer.pixels[window], _ = self._blend(source.blending, layer.pixels[window], opaque, clipped.pixels, clipped.alpha)
        self._draw(base.blending, layer)

    def finish(self) -> ComposedPicture:
        while len(self._stack) > 1:
            self._leave()
        canvas = self._stack[0]
        canvas.pixels[canvas.alpha <= 0] = 0
        return ComposedPicture(canvas.pixels, canvas.alpha)

    def _empty(self, box: LayerBox, group: LayerGroup | None = None, join: GroupJoin = GROUP) -> _Canvas:
        pixels = np.zeros((box.height, box.width, self._channels), np.float32)
        return _Canvas(box, pixels, np.zeros((box.height, box.width), np.float32), group, join)

    def _enter(self, source: LayerSource) -> None:
        """Finish the groups that the layer is not in, and begin those that it is in."""
        while len(self._stack) > 1 and [each.group for each in self._stack[1:]] != list(source.groups[: len(self._stack) - 1]):
            self._leave()
        for group, join in list(zip(source.groups, source.group_joins, strict=True))[len(self._stack) - 1 :]:
            below = self._stack[-1]
            if join.blending is not None:
                self._stack.append(self._empty(self._group_boxes[id(group)], group, join))
                continue
            is_whole = group.opacity >= 1 and join.load_mask is None
            backdrop = None if is_whole else (below.pixels.copy(), below.alpha.copy())
            self._stack.append(_Canvas(below.box, below.pixels, below.alpha, group, join, backdrop))

    def _leave(self) -> None:
        """Join the innermost group with what lies below it."""
        canvas = self._stack.pop()
        group = canvas.group
        if group is None:
            return
        mask = None if canvas.join.load_mask is None else canvas.join.load_mask()
        share = _mask_coverage(mask, canvas.box, canvas.alpha.shape) * np.float32(group.opacity)
        if canvas.join.blending is not None:
            self._draw(canvas.join.blending, _Canvas(canvas.box, canvas.pixels, canvas.alpha * share))
        elif canvas.backdrop is not None:
            _mix_into(canvas, canvas.backdrop, share)

    def _decode(self, source: LayerSource, limits: LayerBox) -> _Canvas | None:
        """Return the layer inside ``limits``, its alpha with its mask and opacity; None if nothing of it is there."""
        if source.box.intersect(limits) is None:
            return None
        layer = source.load()
        box = layer.box.intersect(limits)
        if box is None:
            return None
        window = box.window_in(layer.box)
        pixels = _to_floats(layer.pixels[window])
        if pixels.shape[2] < self._channels:
            pixels = np.repeat(pixels, self._channels, axis=2)
        alpha = np.ones(pixels.shape[:2], np.float32) if layer.alpha is None else _to_floats(layer.alpha[window])
        strength = _mask_coverage(layer.mask, box, alpha.shape) * np.float32(layer.opacity)
        return _Canvas(box, pixels, alpha * strength, strength=strength if source.blending.is_legacy else None)

    def _draw(self, blending: Blending, layer: _Canvas) -> None:
        below = self._stack[-1]
        window = layer.box.window_in(below.box)
        if layer.strength is not None and below.alpha[window].min(initial=1) < 1:
            layer.alpha = _legacy_coverage(below.alpha[window], layer.alpha, layer.strength)
        below.pixels[window], below.alpha[window] = self._blend(
            blending, below.pixels[window], below.alpha[window], layer.pixels, layer.alpha
        )

    def _blend(self, blending: Blending, backdrop: Pixels, backdrop_alpha: Mask, layer: Pixels, coverage: Mask) -> tuple[Pixels, Mask]:
        """Return colours and alpha of the layer over the backdrop."""
        if not coverage.any():
            return backdrop, backdrop_alpha
        if blending.clips_to_backdrop:
            opaque = np.ones_like(backdrop_alpha)
            pixels, _ = self._blend(replace(blending, clips_to_backdrop=False), backdrop, opaque, layer, coverage)
            return pixels, backdrop_alpha
        function = blending.function
        if not blending.is_linear_composite and not blending.is_linear_blend:
            result = blend_with(function, backdrop, backdrop_alpha, layer, coverage)
        elif not blending.is_linear_composite:
            result = blend_with(partial(self._in_light, function), backdrop, backdrop_alpha, layer, coverage)
        else:
            if not blending.is_linear_blend:
                function = partial(self._in_codes, function)
            light = colour.to_linear(backdrop, self._icc), colour.to_linear(layer, self._icc)
            result = blend_with(function, light[0], backdrop_alpha, light[1], coverage)
            encoded = colour.from_linear(np.clip(result.pixels, 0.0, 1.0), self._icc)
            return np.where((coverage > 0)[:, :, None], encoded, backdrop), backdrop_alpha if result.alpha is None else result.alpha
        return np.clip(result.pixels, 0.0, 1.0), backdrop_alpha if result.alpha is None else result.alpha

    def _in_light(self, function: BlendFunction, backdrop: Pixels, layer: Pixels) -> Pixels:
        """Return the function's result for display-encoded colours, blended in linear light."""
        light = function(colour.to_linear(backdrop, self._icc), colour.to_linear(layer, self._icc))
        return colour.from_linear(np.clip(light, 0.0, 1.0), self._icc)

    def _in_codes(self, function: BlendFunction, backdrop: Pixels, layer: Pixels) -> Pixels:
        """Return the function's result for linear light, blended in display-encoded values."""
        codes = function(colour.from_linear(backdrop, self._icc), colour.from_linear(layer, self._icc))
        return colour.to_linear(codes, self._icc)


def _legacy_coverage(backdrop_alpha: Mask, coverage: Mask, strength: Mask) -> Mask:
    """Return the coverage with which a legacy mode of GIMP mixes a layer with a backdrop, all (h, w), 0..1."""
    common = np.minimum(backdrop_alpha * strength, coverage)
    return np.asarray(common / np.maximum(backdrop_alpha + (1 - backdrop_alpha) * common, np.float32(1e-7)), np.float32)


def _mix_into(canvas: _Canvas, backdrop: tuple[Pixels, Mask], share: Mask) -> None:
    """Set a canvas to ``share`` (h, w) of itself and the rest of the backdrop, weighted by alpha."""
    pixels, alpha = backdrop
    mixed_alpha = canvas.alpha * share + alpha * (1 - share)
    weighted = canvas.pixels * (canvas.alpha * share)[:, :, None] + pixels * (alpha * (1 - share))[:, :, None]
    canvas.pixels[...] = weighted / np.maximum(mixed_alpha, np.float32(1e-7))[:, :, None]
    canvas.alpha[...] = mixed_alpha


def _to_floats(codes: PixelCodes) -> Pixels:
    return codes.astype(np.float32) / np.float32(np.iinfo(codes.dtype).max)


def _mask_coverage(mask: LayerMask | None, box: LayerBox, shape: tuple[int, ...]) -> Mask:
    """Return a mask in a box, (h, w), 0..1; all 1 if there is none or it is switched off."""
    if mask is None or not mask.is_enabled:
        return np.ones(shape, np.float32)
    max_code = np.float32(np.iinfo(mask.codes.dtype).max)
    result = np.full(shape, np.float32(mask.outside_code) / max_code, np.float32)
    overlap = mask.box.intersect(box)
    if overlap is not None:
        result[overlap.window_in(box)] = mask.codes[overlap.window_in(mask.box)].astype(np.float32) / max_code
    return result


def _group_boxes(sources: Sequence[LayerSource], canvas: LayerBox) -> dict[int, LayerBox]:
    """Return the smallest box of the canvas that holds all shown layers of a group, by the group's identity."""
    boxes: dict[int, LayerBox] = {}
    for source in sources:
        box = source.box.intersect(canvas)
        if box is None or not source.is_shown:
            continue
        for group in source.groups:
            boxes[id(group)] = boxes[id(group)].union(box) if id(group) in boxes else box
    return boxes
