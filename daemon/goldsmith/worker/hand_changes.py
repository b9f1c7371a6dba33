"""Measures what a person changed in a picture: which pixels, in which box, and whether it was cropped, resized or given another profile."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from goldsmith.errors import InputError
from goldsmith.picture import colour
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze, quantise
from goldsmith.picture.profiles import profile_name
from goldsmith.picture.resample import resize

# The longer side of the small copies in which a crop is searched, in px.
_SEARCH_SIDE = 320
# A crop keeps at least this share of each side. The sizes between are tried in steps of this share.
_MIN_CROP_SHARE, _CROP_STEP = 0.6, 0.02
# The least correlation of two small copies that show the same part of a picture.
_MIN_CORRELATION = 0.6
# How far the place of a crop is sought again at full size, in px of the small copy, and the side of the patch for that.
_REFINE_MARGIN, _PATCH_SIDE = 2, 512
# Codes of 8 bits by which a pixel must differ if both versions were not stored alike: after JPEG or another resampling most pixels do.
_TOLERANCE = 12.0
# Single pixels of such noise are not counted. Sides of kernels, in px.
_SPECK_KERNEL, _MEAN_KERNEL = 3, 5

_Grey = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Placement:
    """Where the picture lies in the one before, in px of that one: left, top, width and height."""

    left: int
    top: int
    width: int
    height: int

    def covers(self, picture: Picture) -> bool:
        return (self.left, self.top, self.width, self.height) == (0, 0, picture.width, picture.height)


def compare_versions(before: Picture, after: Picture, *, is_lossy: bool) -> tuple[dict[str, JsonValue], Mask | None]:
    """Return what has changed, for the record, and a mask (h, w), 0..1, of the changed pixels in the picture ``after``; None if none has.

    ``is_lossy``: one of the files was stored with loss. The record has the sizes, ``cropped`` and ``resized`` where that is so, the
    profiles if they differ, and the number of changed pixels, their share (0..1), their box (left, top, width, height in px) and the
    ``tolerance`` in codes of 8 bits. If the two cannot be laid over each other, ``incomparable`` says why.
    """
    facts: dict[str, JsonValue] = {"size_before": [before.width, before.height], "size": [after.width, after.height]}
    if before.icc != after.icc:
        facts["profiles"] = [_profile_title(before.icc), _profile_title(after.icc)]
    placement = _find_placement(before, after)
    if placement is None:
        return {**facts, "incomparable": "the two show no common part in any size"}, None
    is_resampled = (placement.width, placement.height) != (after.width, after.height)
    if not placement.covers(before):
        facts["cropped"] = [placement.left, placement.top, placement.width, placement.height]
    if is_resampled:
        facts["resized"] = round(after.width / placement.width, 4)
    is_exact = not (is_lossy or is_resampled or before.icc != after.icc or before.channels != after.channels)
    changed = _changed_pixels(_lay_over(before, after, placement), after, is_exact=is_exact)
    count = int(np.count_nonzero(changed))
    facts |= {"changed_pixels": count, "changed_share": round(count / changed.size, 6), "tolerance": 0.0 if is_exact else _TOLERANCE}
    if not count:
        return facts, None
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    facts["box"] = [int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)]
    return facts, freeze(changed.astype(np.float32))


def _profile_title(icc: bytes | None) -> str:
    return "none (sRGB)" if icc is None else profile_name(icc)


def _lay_over(before: Picture, after: Picture, placement: _Placement) -> Picture:
    """Return the part of ``before`` that ``after`` shows, in its size, profile and channels."""
    rows = slice(placement.top, placement.top + placement.height)
    columns = slice(placement.left, placement.left + placement.width)
    alpha = None if before.alpha is None else before.alpha[rows, columns]
    part = replace(before, pixels=freeze(before.pixels_in((rows, columns))), alpha=None, masks={})
    if (part.height, part.width) != (after.height, after.width):
        part = part.with_pixels(np.clip(resize(part.pixels, after.height, after.width), 0, 1))
        alpha = None if alpha is None else resize(alpha[:, :, None], after.height, after.width)[:, :, 0]
    if part.icc != after.icc and part.channels == after.channels:
        try:
            part = colour.convert_profile(part, after.icc if after.icc is not None else "srgb")
        except (InputError, ValueError):
            part = replace(part, icc=after.icc)  # the values are compared as they are
    if part.channels != after.channels:
        part = part.with_pixels(_to_channels(part.pixels, after.channels))
    return replace(part, alpha=None if alpha is None else freeze(alpha))


def _to_channels(pixels: Pixels, channels: int) -> Pixels:
    """Return pixels (h, w, 1 or 3) as grey or as RGB, values as they are."""
    return np.repeat(pixels, 3, axis=2) if channels == 3 else np.ascontiguousarray(colour.luma(pixels)[:, :, None])


def _changed_pixels(before: Picture, after: Picture, *, is_exact: bool) -> NDArray[np.bool_]:
    """Return which pixels differ, (h, w). ``is_exact``: in any code at the smaller of the two depths."""
    ones = np.ones((after.height, after.width), np.float32)
    alphas = [(ones if each.alpha is None else each.alpha)[:, :, None] for each in (before, after)]
    first, second = (np.concatenate((each.pixels, alpha), axis=2) for each, alpha in zip((before, after), alphas, strict=True))
    if is_exact:
        depth = min(before.depth, after.depth)
        return np.asarray((quantise(first, depth) != quantise(second, depth)).any(axis=2))
    # The noise of an encoder has no mean: averaged with its sign, it goes away.
    difference = np.abs(cv2.blur(first - second, (_MEAN_KERNEL, _MEAN_KERNEL))).max(axis=2) * 255.0
    coarse = (difference > _TOLERANCE).astype(np.uint8)
    return np.asarray(cv2.morphologyEx(coarse, cv2.MORPH_OPEN, np.ones((_SPECK_KERNEL, _SPECK_KERNEL), np.uint8))).astype(bool)


# ---------------------------------------------------------------------- where a crop lies


def _find_placement(before: Picture, after: Picture) -> _Placement | None:
    """Return which part of ``before`` the picture ``after`` shows; None if no part fits."""
    whole = _Placement(0, 0, before.width, before.height)
    if (before.width, before.height) == (after.width, after.height):
        return whole
    first, second = _grey(before), _grey(after)
    scale = min(1.0, _SEARCH_SIDE / max(before.width, before.height))
    small = cv2.resize(first, (round(before.width * scale), round(before.height * scale)), interpolation=cv2.INTER_AREA)
    best_score, best = _MIN_CORRELATION, None
    for width, height in _possible_sizes(before, after):
        size = (max(8, round(width * scale)), max(8, round(height * scale)))
        if size[0] > small.shape[1] or size[1] > small.shape[0]:
            continue
        template = cv2.resize(second, size, interpolation=cv2.INTER_AREA)
        _, score, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(small, template, cv2.TM_CCOEFF_NORMED))
        if score > best_score:
            best_score = score
            left, top = min(round(x / scale), before.width - width), min(round(y / scale), before.height - height)
            best = _Placement(left, top, width, height)
    if best is None or best.covers(before):
        return best
    return _refine(first, second, best, max(1, round(_REFINE_MARGIN / scale)))


def _possible_sizes(before: Picture, after: Picture) -> list[tuple[int, int]]:
    """Return the sizes in px of ``before`` that ``after`` can show: its own size, the whole, and crops that were resized."""
    sizes = []
    if after.width <= before.width and after.height <= before.height:
        sizes.append((after.width, after.height))
    largest = min(before.width / after.width, before.height / after.height)
    for share in np.arange(1.0, _MIN_CROP_SHARE, -_CROP_STEP):
        width, height = round(after.width * largest * share), round(after.height * largest * share)
        # One side may be a pixel off after rounding.
        width, height = (
            (before.width if abs(width - before.width) <= 2 else width),
            (before.height if abs(height - before.height) <= 2 else height),
        )
        if width <= before.width and height <= before.height:
            sizes.append((width, height))
    return list(dict.fromkeys(sizes))


def _refine(first: _Grey, second: _Grey, rough: _Placement, margin: int) -> _Placement:
    """Return the placement with its place to the pixel, by the middle of the crop at full size."""
    resized = cv2.resize(second, (rough.width, rough.height), interpolation=cv2.INTER_AREA)
    height, width = min(_PATCH_SIDE, rough.height), min(_PATCH_SIDE, rough.width)
    y, x = (rough.height - height) // 2, (rough.width - width) // 2
    top, left = max(0, rough.top + y - margin), max(0, rough.left + x - margin)
    area = first[top : rough.top + y + height + margin, left : rough.left + x + width + margin]
    _, _, _, (dx, dy) = cv2.minMaxLoc(cv2.matchTemplate(area, resized[y : y + height, x : x + width], cv2.TM_CCOEFF_NORMED))
    new_left = min(max(0, left + dx - x), first.shape[1] - rough.width)
    new_top = min(max(0, top + dy - y), first.shape[0] - rough.height)
    return _Placement(new_left, new_top, rough.width, rough.height)


def _grey(picture: Picture) -> _Grey:
    return np.ascontiguousarray(picture.pixels[:, :, 0] if picture.channels == 1 else colour.luma(picture.pixels), dtype=np.float32)
