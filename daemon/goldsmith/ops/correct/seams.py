"""Seams: straight lines from side to side at which the tone of neighbouring tiles steps; found by their constancy, and faded out.

Along a column of pixels the texture of a photograph steps up as often as down, and its own edges are neither so straight nor only one px
wide nor as low; the tone of a tile's edge steps the same way all along.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.correct.defect import CODE, Fault
from goldsmith.picture.colour import luma
from goldsmith.picture.picture import Mask, Pixels, frozen

_PART = 32
"""Rows that are told together."""
_CLIP = 10.0
_WIDE_CLIP = 24.0
_LEAST = 0.9
"""Codes: lower steps are not looked for ..."""
_LEAST_ON_GRID = 0.6
"""... but at multiples of 64, where tiles end."""
_MOST = 10.0
"""Codes: higher ones are edges of things."""
_ENOUGH = 5.0
"""How far a seam stands above the columns beside it, in their own spread; more does not count as more ..."""
_SURE = 3.3
"""... and so far it does in the mean over its length."""
_SURE_ALONE = 4.4
"""A line by itself where no tile is likely to end has to stand out as far; webcams and woodwork have stripes."""
_BESIDE = 24
_LEAST_SHARE = 0.75
"""Of its length a seam is to be seen on so much."""
_LIVELY = 1.8
"""A seam adds a tone and leaves the texture as lively as it is beside; where a thing ends, other things begin."""
_BAND = 96
"""px to each side over which the step is spread."""
_LEAST_SIDE = 128
_LEAST_TILE = 64
_EVEN = 2
_LEFT = 0.45
"""So much of the step is left at most, or it was none."""
_FRAME = 32
"""px from the border: nearer lines are frames."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A seam before index ``at``."""

    at: int
    height: float
    sure: float


def find(pixels: Pixels, strength: float = 1.0) -> list[Fault]:
    """The seams of (h, w, c), upright ones first, each with the band that mends it, one laid after the other.

    Size: the step in codes of 8 bits, the mean of its absolute over its length.
    """
    if min(pixels.shape[:2]) < _LEAST_SIDE:
        return []
    grey = luma(pixels)
    upright, level = _lines(grey), _lines(np.ascontiguousarray(grey.T))
    lines = [*upright, *level]
    if not lines or (len(lines) == 1 and lines[0].at % _LEAST_TILE and lines[0].sure < _SURE_ALONE):
        return []
    made = pixels.copy()
    found = _spread(made, upright, strength)
    turned = made.transpose(1, 0, 2)
    for fault in _spread(turned, level, strength):
        place = fault.window[1], fault.window[0]
        found.append(Fault(place, fault.before, fault.after, (place, frozen(made[place].copy()))))
    return found


def _lines(grey: Mask) -> list[_Line]:
    """Seams that go down a plane (h, w)."""
    import cv2

    width = grey.shape[1]
    steps = _bare(grey)
    told, power = (_by_parts(values) for values in (np.clip(steps, -_CLIP, _CLIP), np.square(np.clip(steps, -_WIDE_CLIP, _WIDE_CLIP))))
    power -= np.square(told)
    lively = np.sqrt(np.maximum(power, 0) / (_mean_beside(power) + np.float32(0.5)))
    beside = _beside(told)
    places = np.arange(steps.shape[1]) + 2
    least = np.where(places % 64 == 0, _LEAST_ON_GRID, _LEAST)
    stands = np.abs(_run(np.divide(told, beside, dtype=np.float32)))
    sure, seen = np.minimum(stands, _ENOUGH).mean(axis=0), (stands > _ENOUGH / 2).mean(axis=0)
    size = np.abs(told).mean(axis=0)
    good = (places >= _FRAME) & (places <= width - _FRAME)
    good &= (size >= least) & (size <= _MOST) & (sure >= _SURE) & (seen >= _LEAST_SHARE)
    good &= np.median(lively, axis=0) < _LIVELY
    rank = stands.mean(axis=0)
    good &= rank >= cv2.dilate(rank[None], np.ones((1, 7), np.uint8)).ravel()
    found = [_Line(int(places[at]), float(size[at]), float(sure[at])) for at in np.flatnonzero(good)]
    return found if _on_a_grid([line.at for line in found]) else []


def _on_a_grid(places: list[int]) -> bool:
    """Whether lines lie as tiles do: far apart, and three or more of them evenly; only the last tile may be another size."""
    apart = np.diff(places)
    if len(apart) and apart.min() < _LEAST_TILE:
        return False
    if len(apart) < _EVEN:
        return True
    off = np.abs(apart[:-1] - np.round(apart[:-1] / apart[:-1].min()) * apart[:-1].min())
    return bool(off.max() <= 2)


def _by_parts(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The means of 32 rows each."""
    import cv2

    rows, columns = values.shape[0] // _PART, values.shape[1]
    return np.asarray(cv2.resize(values[: rows * _PART], (columns, rows), interpolation=cv2.INTER_AREA), np.float32)


def _bare(grey: Mask) -> NDArray[np.float32]:
    """By how many codes each column steps more than the columns beside it do: (h, w - 3), the first is the step before column 2."""
    step = np.diff(grey, axis=1) * np.float32(CODE)
    return np.asarray(step[:, 1:-1] - (step[:, :-2] + step[:, 2:]) / 2, np.float32)


def _beside(told: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the columns beside each have: root of the mean square."""
    return np.sqrt(np.maximum(_mean_beside(np.square(told)), np.float32(1e-4)))


def _mean_beside(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of the columns beside each, the nearest left out."""
    import cv2

    wide, near = 2 * _BESIDE + 1, 5
    far, close = (cv2.blur(values, (size, 1), borderType=cv2.BORDER_REFLECT) * size for size in (wide, near))
    total = far - close
    return np.asarray(np.maximum(total / (wide - near), 0), np.float32)


def _run(told: NDArray[np.float32]) -> NDArray[np.float32]:
    """How surely three parts, one above the other, step the same way: a seam keeps its sign over a tile's length."""
    import cv2

    return np.asarray(cv2.blur(told, (1, 3), borderType=cv2.BORDER_REPLICATE)) * np.float32(3**0.5)


def _spread(made: Pixels, lines: list[_Line], strength: float) -> list[Fault]:
    """The steps spread over a band to each side, written into ``made``; narrower where the next seam is near."""
    height, width = made.shape[:2]
    found = []
    ends = [0, *(line.at for line in lines), width]
    for number, line in enumerate(lines, 1):
        left, right = (min(_BAND, abs(ends[other] - line.at) // 2) for other in (number - 1, number + 1))
        place = slice(0, height), slice(line.at - left, line.at + right)
        step = _profile(made, line.at)
        before = float(np.abs(step).mean())
        share = np.concatenate([_fading(left)[::-1], -_fading(right)]) * np.float32(strength / CODE / 2)
        given = made[place].copy()
        laid = np.clip(given + step[:, None, :] * share[None, :, None], 0, 1)
        made[place] = laid
        after = float(np.abs(_profile(made, line.at)).mean())
        if before > 1.2 * _MOST or after > (1 - (1 - _LEFT) * strength) * before + 1e-6:
            made[place] = given
            continue
        found.append(Fault(place, round(before, 3), round(after, 3), (place, frozen(laid.copy()))))
    return found


def _fading(count: int) -> NDArray[np.float32]:
    """1 at the seam, 0 at the end of the band, without a corner at either."""
    place = (np.arange(count, dtype=np.float32) + np.float32(0.5)) / max(count, 1)
    return np.asarray((1 - place) ** 2 * (1 + 2 * place), np.float32)


def _profile(pixels: Pixels, at: int) -> NDArray[np.float32]:
    """How high the step before column ``at`` is, in codes: (h, c), smooth along the seam and deaf to texture."""
    import cv2

    near = np.asarray(pixels[:, max(0, at - 6) : at + 6], np.float32) * CODE
    middle = min(6, at)
    left, right = near[:, :middle], near[:, middle:]
    inner = right[:, 0] - left[:, -1]
    slope = ((left[:, -1] - left[:, 0]) / max(middle - 1, 1) + (right[:, -1] - right[:, 0]) / max(right.shape[1] - 1, 1)) / 2
    raw = np.clip(inner - slope, -2 * _MOST, 2 * _MOST)
    size = min(65, raw.shape[0] // 2 * 2 - 1)
    rank = np.stack([_median(raw[:, channel], size) for channel in range(raw.shape[1])], axis=1)
    return np.asarray(cv2.blur(rank, (1, 33), borderType=cv2.BORDER_REPLICATE).reshape(rank.shape), np.float32)


def _median(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Running median of the middle half, by its mean, so that codes do not stick."""
    padded = np.pad(values, size // 2, mode="reflect")
    shown = np.sort(np.lib.stride_tricks.sliding_window_view(padded, size), axis=1)
    return np.asarray(shown[:, size // 4 : -(size // 4) or None].mean(axis=1), np.float32)
