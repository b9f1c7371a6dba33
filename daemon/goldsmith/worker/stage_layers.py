"""Collects what the steps of a stage change as layers, for a result in a format with layers.

Each step that changes pixels is one layer: the box that it has changed, with the step's mask. The layers over each other give the picture
to within one code of 8 bits. The flat picture in the file is the picture itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from itertools import chain, count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldsmith.jobs.job import Job
from goldsmith.operation import PictureOperation
from goldsmith.picture.formats.table import FORMATS
from goldsmith.picture.layered.layered_file import FileLayer, LayerBox, LayeredFile, LayerGroup, LayerMask
from goldsmith.picture.layered.named_layers import NamedRole, role_of
from goldsmith.picture.layered.picture_layers import KeptFile, PictureLayers, is_part, map_layers
from goldsmith.picture.picture import Mask, Picture, PixelCodes, Pixels, Window, quantise
from goldsmith.picture.resample import resize
from goldsmith.worker.inputs import LoadedInput

ORIGINAL_LAYER = "Original"
# Codes of the original, and those of the layers of one step, in bytes for each pixel, at most: four planes of 16 bits, packed and not.
LAYER_BYTES_PER_PIXEL = 16
# Rows that are compared together: they stay in the processor's cache.
_BAND_ROWS = 64
_MAX_DETAIL_LENGTH = 60
_LOOK_SUFFIXES = (".cube", ".cdl", ".cc")
# A step without a region gets a mask of what it has changed if that is less than this share of its box.
_SPARSE_SHARE = 0.5


class StageLayers:
    """The layers of one stage, as far as its steps have come.

    merged_by: the step into whose result the layers before it were merged, because they do not fit it; "" = none.
    """

    def __init__(
        self,
        stage: str,
        original: Picture | None,
        kept: KeptFile | None = None,
        load_kept: Callable[[KeptFile], LayeredFile] | None = None,
    ) -> None:
        """``original``: the picture as it was read; None if a step makes it from words. ``kept``: its file, if that has layers.

        ``load_kept`` decodes the layers of that file, for a step that does something to them.
        """
        self._group = LayerGroup(stage)
        self._kept = kept
        self._load_kept = load_kept
        # The original or the decoded layers of the kept file; then the layers of this stage, which get its group in the end.
        self._below: list[FileLayer] = [] if original is None or kept is not None else [whole_layer(ORIGINAL_LAYER, original)]
        self._own: list[FileLayer] = []
        self._canvas = None if original is None else _canvas_of(original)
        self._set_name = ""
        self.merged_by = ""

    @property
    def is_in_set(self) -> bool:
        """Return whether a set of several pictures is open; what its steps do is not collected."""
        return bool(self._set_name)

    def layers_of(self, picture: Picture) -> PictureLayers | None:
        """Return the layers so far; None if they are not those of this picture."""
        if self.is_in_set or _canvas_of(picture) != self._canvas:
            return None
        return PictureLayers((*self._below, *(replace(layer, groups=(self._group,)) for layer in self._own)), self._kept)

    def leave_out(self, masks: Iterable[str], layers: Iterable[str]) -> None:
        """Leave these masks and layers for ``composite`` out of the file that came in; both by their folded names."""
        if self._kept is not None:
            roles = {*(NamedRole("mask", name) for name in masks), *(NamedRole("layer", name) for name in layers)}
            self._kept = replace(self._kept, left_out=frozenset(roles))

    def add_operation(self, name: str, operation: PictureOperation, before: Picture, after: Picture, mask: Mask | None) -> None:
        """Add the layer of an operation that turned ``before`` into ``after``. ``mask``: (h, w), 0..1, as in ``add_step``."""
        origin = operation.origin_in_result(before)
        if (before.width, before.height) == (after.width, after.height):
            self.add_step(name, before, after, mask, is_ink=operation.paints_ink)
        elif origin is not None:
            self.add_extension(name, before, after, origin)
        elif operation.keeps_framing():
            self.add_scaling(name, before, after)
        else:
            self.begin_anew(name, after)

    def add_set(self, name: str, before: Sequence[Picture], after: Sequence[Picture]) -> None:
        """Note a step that turned pictures into others: the layer of the picture that is left in the end has the name of the first one."""
        if len(after) > 1:
            self._set_name = self._set_name or name
        elif len(before) != 1 or after[0] is not before[0]:
            self.add_whole(name, after[0])

    def add_step(self, name: str, before: Picture, after: Picture, mask: Mask | None = None, *, is_ink: bool = False) -> None:
        """Add the layer of a step that turned ``before`` into ``after``, of the same size, or begin anew if its profile is another.

        mask:   where the step may change pixels, (h, w), 0..1; None = everywhere.
        is_ink: it has laid one colour over the picture.
        """
        if _canvas_of(after) != _canvas_of(before):
            self.begin_anew(name, after)
            return
        changed = changed_pixels(before, after)
        box = _bounds(changed)
        if box is None:
            return
        if _is_transparent(before, box) or _is_transparent(after, box):
            self._cover(name, after)
        else:
            make_layer = _ink_layer if is_ink and mask is None else _change_layer
            self._own.append(make_layer(name, before, after, box, changed, mask))

    def add_extension(self, name: str, before: Picture, after: Picture, origin: tuple[int, int]) -> None:
        """Add the layer of a step that put ``before`` on a larger canvas: ``origin`` is its left and top in ``after``, in px."""
        left, top = origin
        if (before.icc, before.depth) != (after.icc, after.depth):
            self.begin_anew(name, after)
            return
        self._map_all(lambda box: _moved_box(box, left, top), lambda codes, _: codes)
        self._canvas = _canvas_of(after)
        whole = LayerBox(0, 0, after.width, after.height)
        if _is_transparent(before, LayerBox(0, 0, before.width, before.height)) or _is_transparent(after, whole):
            self._cover(name, after)
            return
        is_new = np.ones((after.height, after.width), np.float32)
        is_new[top : top + before.height, left : left + before.width] = 0
        self._own.append(replace(whole_layer(name, after), mask=LayerMask(whole, quantise(is_new, after.depth))))

    def add_scaling(self, name: str, before: Picture, after: Picture) -> None:
        """Scale the layers with a step that made the whole of ``before`` larger or smaller, and add its result over them."""
        if (before.icc, before.depth) != (after.icc, after.depth):
            self.begin_anew(name, after)
            return
        across, down = after.width / before.width, after.height / before.height
        self._map_all(lambda box: _scaled_box(box, across, down), _scaled_codes)
        self._canvas = _canvas_of(after)
        self.add_whole(name, after)

    def add_whole(self, name: str, picture: Picture) -> None:
        """Add the whole picture as a layer; it closes a set."""
        name, self._set_name = self._set_name or name, ""
        if _canvas_of(picture) != self._canvas:
            self.begin_anew(name, picture)
        elif _is_transparent(picture, LayerBox(0, 0, picture.width, picture.height)):
            self._cover(name, picture)
        else:
            self._own.append(whole_layer(name, picture))

    def begin_anew(self, name: str, picture: Picture) -> None:
        """Leave the layers so far out: they do not fit a picture of another shape or profile."""
        if self._kept is not None or self._own:
            self.merged_by = name
        self._kept, self._canvas = None, _canvas_of(picture)
        self._below, self._own = [whole_layer(name, picture)], []

    def _cover(self, name: str, picture: Picture) -> None:
        """Add the whole picture and hide every layer below it, which would show through its transparent parts."""
        self._decode_kept()
        self._below, self._own = ([replace(layer, is_visible=False) for layer in layers] for layers in (self._below, self._own))
        self._own.append(whole_layer(name, picture))

    def _map_all(self, map_box: Callable[[LayerBox], LayerBox], map_codes: Callable[[PixelCodes, LayerBox], PixelCodes]) -> None:
        self._decode_kept()
        self._below, self._own = (list(map_layers(layers, map_box, map_codes)) for layers in (self._below, self._own))

    def _decode_kept(self) -> None:
        """Turn the layers of the kept file into layers that can be changed. Only those of pixels that are in the picture stay."""
        if self._kept is not None and self._load_kept is not None:
            layers = self._load_kept(self._kept).layers
            self._below, self._kept = [layer for layer in layers if not is_part(layer.name)], None


def free_group_name(stage: str, group_names: Collection[str]) -> str:
    """Return the name for the group of a stage: "edit", or "edit 2" if an earlier run of the stage has left a group."""
    return next(name for name in chain((stage,), (f"{stage} {number}" for number in count(2))) if name not in group_names)


def layer_name(op: str, detail: str = "", references: Iterable[str] = ()) -> str:
    """Return the name of a step's layer, with the file of its look if it has one: "Grade: warm-amber.cube".

    ``references``: the files that the step has read. A name that would make the layer a mask stays without its detail.
    """
    title = op.replace("_", " ").capitalize()
    looks = [name.rpartition("/")[2] for name in references if name.lower().endswith(_LOOK_SUFFIXES)]
    text = ", ".join(looks) or detail
    name = f"{title}: {text[:_MAX_DETAIL_LENGTH]}" if text else title
    return title if role_of(name) is not None else name


def _canvas_of(picture: Picture) -> tuple[int, int, bytes | None, int]:
    return picture.width, picture.height, picture.icc, picture.depth


def begin_layers(job: Job, decoded: Picture, picture: LoadedInput) -> StageLayers:
    """Return the layers of a stage that begins with a picture as it was read, with those of its file below."""
    kept, group_names = None, frozenset[str]()
    if picture.read.format and FORMATS[picture.read.format].has_layers:
        from goldsmith.picture.codec import read_outline

        limits = job.limits
        outline = read_outline(picture.data, picture.name, limits.max_pixels)
        if outline.layer_count and outline.icc == decoded.icc:
            kept = KeptFile(picture.data, picture.name, picture.read.format, limits.max_pixels, limits.max_memory_bytes // 2)
        group_names = outline.group_names
    return StageLayers(free_group_name(job.stage, group_names), decoded, kept, _decode_kept)


def _decode_kept(kept: KeptFile) -> LayeredFile:
    from goldsmith.picture.codec import decode_layers

    return decode_layers(kept.data, kept.name, kept.max_pixels, kept.max_bytes)


def whole_layer(name: str, picture: Picture) -> FileLayer:
    """Return the picture as one layer."""
    alpha = None if picture.alpha is None else quantise(picture.alpha, picture.depth)
    return FileLayer(name, LayerBox(0, 0, picture.width, picture.height), picture.to_codes(), alpha)


def changed_pixels(before: Picture, after: Picture) -> NDArray[np.bool_]:
    """Return where two pictures of one size have other codes, (h, w), at the depth of ``before``; alpha counts too."""
    changed = np.zeros((before.height, before.width), np.bool_)
    windows = after.differing_windows(before)
    if windows is None or before.alpha is not after.alpha:
        columns = slice(0, before.width)
        windows = tuple((slice(top, min(top + _BAND_ROWS, before.height)), columns) for top in range(0, before.height, _BAND_ROWS))
    for window in windows:
        old, new = (quantise(picture.pixels_in(window), before.depth) for picture in (before, after))
        changed[window] = (old != new).any(axis=2)
        if before.alpha is not after.alpha:
            changed[window] |= _alpha_codes(before, window) != _alpha_codes(after, window)
    return changed


def _alpha_codes(picture: Picture, window: Window) -> PixelCodes | int:
    return picture.max_code if picture.alpha is None else quantise(picture.alpha[window], picture.depth)


def _bounds(changed: NDArray[np.bool_]) -> LayerBox | None:
    """Return the smallest box around the True values of (h, w); None if there are none."""
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    return None if not rows.size else LayerBox(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def _window(box: LayerBox) -> Window:
    return slice(box.top, box.bottom), slice(box.left, box.right)


def _is_transparent(picture: Picture, box: LayerBox) -> bool:
    return picture.alpha is not None and bool((picture.alpha[_window(box)] < 1).any())


def _change_layer(name: str, before: Picture, after: Picture, box: LayerBox, changed: NDArray[np.bool_], mask: Mask | None) -> FileLayer:
    """Return the layer of a change inside a box."""
    window = _window(box)
    pixels = quantise(after.pixels_in(window), after.depth)
    if mask is None:
        is_sparse = np.count_nonzero(changed[window]) < _SPARSE_SHARE * box.width * box.height
        if not is_sparse:
            return FileLayer(name, box, pixels)
        return FileLayer(name, box, pixels, mask=LayerMask(box, quantise(changed[window].astype(np.float32), after.depth)))
    mask_codes = quantise(mask[window], after.depth)
    mask_codes[(mask_codes == 0) & changed[window]] = 1  # a brush stroke may fade below the first code
    old: NDArray[Any] = quantise(before.pixels_in(window), after.depth)
    is_soft = (mask_codes > 0) & (mask_codes < after.max_code)
    if is_soft.any():
        if old.shape[2] != pixels.shape[2]:
            old = np.repeat(old, pixels.shape[2], axis=2)
        pixels[is_soft], mask_codes[is_soft] = unblend(old[is_soft], pixels[is_soft], mask_codes[is_soft])
    return FileLayer(name, box, pixels, mask=LayerMask(box, mask_codes))


def _ink_layer(
    name: str, before: Picture, after: Picture, box: LayerBox, changed: NDArray[np.bool_], _mask: Mask | None = None
) -> FileLayer:
    """Return the layer of one colour that was laid over the picture, with how much it covers as its alpha."""
    window = _window(box)
    pixels = quantise(after.pixels_in(window), after.depth)
    old: NDArray[Any] = np.broadcast_to(quantise(before.pixels_in(window), after.depth), pixels.shape)
    is_painted = changed[window]
    below, blended = old[is_painted], pixels[is_painted]
    colours, counts = np.unique(blended, axis=0, return_counts=True)
    ink = colours[counts.argmax()]
    alpha = np.zeros(pixels.shape[:2], pixels.dtype)
    colour, cover = unblend(below, blended, _ink_cover(below, blended, ink))
    result = np.empty_like(pixels)
    result[:] = ink
    result[is_painted], alpha[is_painted] = colour, cover
    return FileLayer(name, box, result, alpha)


def _ink_cover(below: NDArray[Any], blended: NDArray[Any], ink: NDArray[Any]) -> NDArray[Any]:
    """Return how much of each pixel an ink covers, (n,), from the channel in which it differs most from ``below``; all are codes."""
    contrast = ink.astype(np.float32) - below.astype(np.float32)
    channel = np.abs(contrast).argmax(axis=1)[:, None]
    strongest = np.take_along_axis(contrast, channel, axis=1)[:, 0]
    change = np.take_along_axis(blended.astype(np.float32) - below.astype(np.float32), channel, axis=1)[:, 0]
    share = np.divide(change, strongest, out=np.ones_like(change), where=strongest != 0)
    return quantise(np.clip(share, 0, 1), 8 * blended.dtype.itemsize).astype(blended.dtype)


def unblend(below: NDArray[Any], blended: NDArray[Any], mask: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the colours (n, c) and the mask (n,) that give ``blended`` (n, c) over ``below`` (n, c); all are codes of one depth.

    The mask is the given one (n,), larger where no colour would be strong enough: result = below + mask (colour - below).
    """
    max_code = np.float32(np.iinfo(blended.dtype).max)
    old, new = below.astype(np.float32), blended.astype(np.float32)
    difference = new - old
    room = np.where(difference > 0, max_code - old, old)
    least = np.divide(np.abs(difference), room, out=np.zeros_like(room), where=room > 0).max(axis=1)
    codes = np.maximum(mask, np.ceil(least * max_code - np.float32(1e-3)).astype(mask.dtype))
    colours = old + difference * (max_code / np.maximum(codes, 1).astype(np.float32))[:, None]
    return np.clip(colours + np.float32(0.5), 0, max_code).astype(blended.dtype), codes


def _moved_box(box: LayerBox, right: int, down: int) -> LayerBox:
    return LayerBox(box.left + right, box.top + down, box.right + right, box.bottom + down)


def _scaled_box(box: LayerBox, across: float, down: float) -> LayerBox:
    """Return a box on a canvas of another size; it keeps at least one pixel of each side that it has."""
    left, top = round(box.left * across), round(box.top * down)
    width, height = (max(round(side * factor), min(side, 1)) for side, factor in ((box.width, across), (box.height, down)))
    return LayerBox(left, top, left + width, top + height)


def _scaled_codes(codes: PixelCodes, box: LayerBox) -> PixelCodes:
    """Return codes, (h, w) or (h, w, c), at the size of a box."""
    if not codes.size:
        return np.zeros((box.height, box.width, *codes.shape[2:]), codes.dtype)
    depth = 8 * codes.dtype.itemsize
    values: Pixels = codes.astype(np.float32) / np.float32(2**depth - 1)
    return quantise(resize(values, box.height, box.width), depth)
