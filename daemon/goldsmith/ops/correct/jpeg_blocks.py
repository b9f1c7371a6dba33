"""Find the blocks of strong JPEG compression by the steps of its coefficients, and smooth them within what the compression rounded.

JPEG rounds each cosine coefficient of a block to a multiple of a step. On the right grid, the coefficients of a decoded picture still lie
on multiples of these steps (Fan and de Queiroz, "Identification of Bitmap Compression History", IEEE TIP 2003); no other picture's do.
The picture before compression differs from the decoded one by at most half a step in each coefficient. Within this bound, the repair is
the mean of shifted copies without their small coefficients (Nosratinia, "Enhancement of JPEG-Compressed Images by Re-application of
JPEG", 2001).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.correct.dct import (
    BLOCK,
    CHROMA_TABLE,
    LUMA_TABLE,
    Blocks,
    QuantisationTable,
    from_blocks,
    invert_blocks,
    to_blocks,
    transform_blocks,
)
from goldsmith.ops.correct.defect import MAX_8BIT_CODE, Defect, make_window
from goldsmith.picture.picture import Mask, Pixels, freeze
from goldsmith.picture.smoothing import resize_values

_LEAST_SIDE = 64
# In codes. If the steps between blocks exceed those inside them by less, blocks are not visible.
_MIN_EXCESS = 0.3
# Larger steps are edges of objects.
_MAX_STEP = 6.0
# Coefficients whose steps are measured: these are rounded to 0 least often.
_MEASURED = (1, 8, 9, 2, 16, 10, 17, 3, 24)
_MIN_MEASURED = 4
_LEAST_VALUES = 40
_STEP_CANDIDATES = np.arange(4, 160, dtype=np.float32)
# How well the coefficients lie on multiples of a step: 1 = exactly, 0 = anywhere. Other pictures reach 0.1, JPEG files 0.75 and more.
_MIN_COHERENCE = 0.5
# Steps in units of the table of JPEG's quality 50. Below this, blocks are hardly visible.
_MIN_SCALE = 0.95
# Blocks that are measured, spread over the picture.
_MAX_MEASURED_BLOCKS = 12_000
# Smaller coefficients of the shifted copies count as 0, in steps.
_THRESHOLD = 0.45
# (rows, columns) in px. More copies gain less than 0.1 dB.
_SHIFTS = tuple((row, 3 * row % BLOCK) for row in range(BLOCK))
_BOUND = 0.5
_STRIP_ROWS = 128
# px of context round a strip: the copies of chroma blocks of 16 px reach so far.
_MARGIN = 32
# BT.601 as in JFIF: luma of RGB, and what Cb and Cr of 1 add to R, G, B.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_BLUE, _RED = np.array([0, -0.344136, 1.772], np.float32), np.array([1.402, -0.714136, 0], np.float32)


@dataclass(frozen=True, slots=True)
class _Compression:
    """How a picture was compressed: the first full block's corner in px, the table's scale (1 = quality 50), the steps of luma, and the
    size of a chroma sample in px.
    """

    top: int
    left: int
    scale: float
    luma_steps: QuantisationTable
    chroma_sample: int


def find(pixels: Pixels, strength: float = 1.0) -> list[Defect]:
    """Return the whole picture as one defect if it was a JPEG of quality 50 or less; ``pixels`` is (h, w, c), 0..1, display-encoded.

    No coefficient of luma moves by more than half its step. The size is by how much the steps between blocks exceed those inside, in 8-bit
    codes.
    """
    if min(pixels.shape[:2]) < _LEAST_SIDE:
        return []
    excess = _block_excess(pixels)
    top, left = (int(np.argmax(profile)) for profile in excess)
    before = _blockiness(excess, top, left)
    if before < _MIN_EXCESS:
        return []
    compression = _measure_compression(pixels, top, left)
    if compression is None or compression.scale < _MIN_SCALE:
        return []
    result = _smooth_blocks(pixels, compression, strength)
    after = _blockiness(_block_excess(result), top, left)
    window = make_window(0, 0, *pixels.shape[:2])
    return [Defect(window, round(before, 3), round(after, 3), (window, freeze(result)))]


def blockiness(pixels: Pixels) -> float:
    """Return by how much the steps every 8 px exceed the other steps of ``pixels``, (h, w, c), 0..1, in codes, on the worst grid."""
    excess = _block_excess(pixels)
    return _blockiness(excess, *(int(np.argmax(profile)) for profile in excess))


def _luma_codes(pixels: Pixels) -> Mask:
    """Return JFIF's luma of pixels (h, w, c), 0..1, as (h, w), 0..255."""
    grey = pixels @ _LUMA if pixels.shape[2] == 3 else pixels[:, :, 0]
    return np.asarray(grey * np.float32(MAX_8BIT_CODE), np.float32)


def _block_excess(pixels: Pixels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean excess of the steps before rows 0 to 7, modulo 8, over their neighbours, in codes; and the same for columns."""
    height, width = pixels.shape[:2]
    row_sums, column_sums = np.zeros(height), np.zeros(width)
    for top in range(0, height, _STRIP_ROWS):
        strip = _luma_codes(pixels[max(0, top - 2) : top + _STRIP_ROWS + 1])
        first = max(2, top)
        row_excess = _excess_steps(strip).sum(axis=1, dtype=np.float64)
        row_sums[first : first + len(row_excess)] = row_excess
        inner = strip[min(top, 2) :][:_STRIP_ROWS]
        column_sums[2:-1] += _excess_steps(np.ascontiguousarray(inner.T)).sum(axis=1, dtype=np.float64)
    return _phase_means(row_sums) / width, _phase_means(column_sums) / height


def _phase_means(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of every eighth entry, for each of the eight first entries, without the entries at the border."""
    return np.array([sums[2:-1][(phase - 2) % BLOCK :: BLOCK].mean() for phase in range(BLOCK)])


def _excess_steps(plane: Mask) -> Mask:
    """Return how much larger each step between rows is than the steps before and after it, (h - 3, w); the first is that before row 2."""
    steps = np.abs(np.diff(plane, axis=0))
    return np.clip(steps[1:-1] - (steps[:-2] + steps[2:]) / 2, -_MAX_STEP, _MAX_STEP)


def _blockiness(excess: tuple[NDArray[np.float64], NDArray[np.float64]], top: int, left: int) -> float:
    """Return how far both axes' grid lines stand out from the other lines, in codes: the mean of the two."""
    return float(np.mean([profile[place] - np.median(profile) for profile, place in zip(excess, (top, left), strict=True)]))


def _measure_compression(pixels: Pixels, top: int, left: int) -> _Compression | None:
    """Return how the picture was compressed on a grid with that corner; None if the coefficients are not rounded."""
    planes = list(_sample_blocks(pixels, top, left))
    measured = _measure_steps(planes[0])
    if len(measured) < _MIN_MEASURED:
        return None
    scale = float(np.median([step / LUMA_TABLE[place] for place, step in measured.items()]))
    steps = np.maximum(1, np.rint(LUMA_TABLE * scale)).astype(np.float32)
    for place, step in measured.items():
        steps[place] = step
    is_full_size = any(len(_measure_steps(chroma)) >= _MIN_MEASURED - 2 for chroma in planes[1:])
    return _Compression(top, left, scale, steps, 1 if is_full_size else 2)


def _sample_blocks(pixels: Pixels, top: int, left: int) -> list[Blocks]:
    """Return blocks of luma, and of Cb and Cr of a colour picture, in codes, without clipped pixels, from rows spread over the picture."""
    rows, columns = (pixels.shape[0] - top) // BLOCK, (pixels.shape[1] - left) // BLOCK
    chosen = np.unique(np.linspace(0, rows - 1, max(1, min(rows, _MAX_MEASURED_BLOCKS // columns))).astype(int))
    lines = (top + BLOCK * chosen[:, None] + np.arange(BLOCK)).ravel()
    sample = pixels[lines, left : left + BLOCK * columns]
    is_clipped = (sample <= 0).any(axis=2) | (sample >= 1).any(axis=2)
    usable = ~to_blocks(np.asarray(is_clipped, np.float32)).any(axis=1)
    return [to_blocks(plane)[usable] for plane in _to_planes(sample)]


def _to_planes(pixels: Pixels) -> list[Mask]:
    """Return Y', Cb and Cr of JFIF, in codes; Y' alone of a grey picture."""
    grey = _luma_codes(pixels)
    if pixels.shape[2] < 3:
        return [grey]
    blue, red = (
        np.asarray((pixels[:, :, channel] * np.float32(MAX_8BIT_CODE) - grey) / rate[channel], np.float32)
        for channel, rate in ((2, _BLUE), (0, _RED))
    )
    return [grey, blue, red]


def _measure_steps(blocks: Blocks) -> dict[int, float]:
    """Return the step of each measured coefficient that lies on multiples of one."""
    coefficients = transform_blocks(blocks)
    steps = {}
    for place in _MEASURED:
        values = coefficients[:, place]
        scores = np.array([_coherence(values, step) for step in _STEP_CANDIDATES])
        if scores.max() < _MIN_COHERENCE:
            continue
        # A divisor of the step scores as well as the step, so the largest step counts.
        last = int(np.flatnonzero(scores >= 0.85 * scores.max())[-1])
        near = np.arange(max(0, last - 4), last + 1)
        steps[place] = float(_STEP_CANDIDATES[near[np.argmax(scores[near])]])
    return steps


def _coherence(values: NDArray[np.float32], step: np.float32) -> float:
    """Return how well the values that do not round to 0 lie on multiples of a step, -1..1; -1 if there are too few."""
    large = values[np.abs(values) > step / 2]
    if len(large) < _LEAST_VALUES:
        return -1.0
    return float(np.cos(large * np.float32(2 * np.pi / step)).mean())


def _smooth_blocks(pixels: Pixels, compression: _Compression, strength: float) -> Pixels:
    """Return the pixels with smooth blocks, strip by strip, each from the original pixels around it."""
    height = pixels.shape[0]
    chroma_corner = _chroma_corner(pixels, compression)
    result = np.empty_like(pixels)
    first = compression.top - _STRIP_ROWS
    for start in range(first, height, _STRIP_ROWS):
        rows = slice(max(0, start), min(height, start + _STRIP_ROWS))
        if rows.stop <= 0:
            continue
        context = slice(max(0, rows.start - _MARGIN), min(height, rows.stop + _MARGIN))
        strip = pixels[context]
        change = _strip_change(strip, compression, context.start, chroma_corner)
        inner = slice(rows.start - context.start, rows.stop - context.start)
        result[rows] = np.clip(strip[inner] + change[inner] * np.float32(strength / MAX_8BIT_CODE), 0, 1)
    return result


def _strip_change(strip: Pixels, compression: _Compression, first_row: int, chroma_corner: tuple[int, int]) -> Pixels:
    """Return what the repair adds to a strip, (rows, w, c), in codes; ``first_row`` is the strip's place in the picture."""
    planes = _to_planes(strip)
    corner = (compression.top - first_row) % BLOCK, compression.left
    change = np.repeat(_plane_change(planes[0], corner, compression.luma_steps)[:, :, None], strip.shape[2], axis=2)
    if len(planes) == 1:
        return change
    steps = np.asarray(np.maximum(1, CHROMA_TABLE * np.float32(compression.scale)), np.float32)
    sample = compression.chroma_sample
    period = BLOCK * sample
    corner = (chroma_corner[0] - first_row) % period, chroma_corner[1]
    for plane, rates in zip(planes[1:], (_BLUE, _RED), strict=True):
        change += _chroma_change(plane, corner, sample, steps)[:, :, None] * rates
    return change


def _chroma_corner(pixels: Pixels, compression: _Compression) -> tuple[int, int]:
    """Return the first full chroma block's corner in px: with samples of 2 px, one of two places on each axis."""
    if compression.chroma_sample == 1 or pixels.shape[2] < 3:
        return compression.top, compression.left
    rows = slice(0, min(pixels.shape[0], 1024))
    blue = _to_planes(pixels[rows])[1]
    corner = []
    for plane, place in ((blue, compression.top), (np.ascontiguousarray(blue.T), compression.left)):
        # Chroma is enlarged smoothly, so the step between two blocks is spread over 3 px.
        steps = np.abs(plane[3:] - plane[:-3]).mean(axis=1)
        sums = [float(steps[(place + half - 2) % (2 * BLOCK) :: 2 * BLOCK].mean()) for half in (0, BLOCK)]
        corner.append(place + (BLOCK if sums[1] > sums[0] else 0))
    return corner[0], corner[1]


def _chroma_change(plane: Mask, corner: tuple[int, int], sample: int, steps: QuantisationTable) -> Mask:
    """Return the change of a chroma plane (h, w), in codes, computed at the size at which it was compressed."""
    if sample == 1:
        return _plane_change(plane, corner, steps)
    height, width = plane.shape
    odd = corner[0] % 2, corner[1] % 2
    padded = np.pad(plane, ((odd[0], (height + odd[0]) % 2), (odd[1], (width + odd[1]) % 2)), mode="edge")
    small = resize_values(padded, padded.shape[0] // 2, padded.shape[1] // 2)
    change = _plane_change(small, ((corner[0] + odd[0]) // 2 % BLOCK, (corner[1] + odd[1]) // 2 % BLOCK), steps)
    return resize_values(change, *padded.shape)[odd[0] : odd[0] + height, odd[1] : odd[1] + width]


def _plane_change(plane: Mask, corner: tuple[int, int], steps: QuantisationTable) -> Mask:
    """Return the change that smooths the blocks of a plane (h, w), in codes, whose first full block begins at ``corner``."""
    height, width = plane.shape
    before = [BLOCK + (-place) % BLOCK for place in corner]
    padding = tuple((first, BLOCK + (-(side + first)) % BLOCK) for first, side in zip(before, (height, width), strict=True))
    padded = np.pad(plane, padding, mode="symmetric")
    total, weight = np.zeros_like(padded), np.zeros_like(padded)
    for down, across in _SHIFTS:
        part = np.s_[down : down + padded.shape[0] - BLOCK, across : across + padded.shape[1] - BLOCK]
        shape = padded[part].shape
        coefficients = transform_blocks(to_blocks(padded[part]))
        is_kept = np.abs(coefficients) > _THRESHOLD * steps
        is_kept[:, 0] = True
        # A block that needs few coefficients is likely to be right, so it weighs more.
        block_weight = np.float32(1) / is_kept.sum(axis=1, keepdims=True, dtype=np.float32)
        coefficients *= is_kept
        coefficients *= block_weight
        total[part] += from_blocks(invert_blocks(coefficients), shape)
        block_grid = block_weight.reshape(shape[0] // BLOCK, shape[1] // BLOCK)
        weight[part] += np.repeat(np.repeat(block_grid, BLOCK, axis=0), BLOCK, axis=1)
    total /= np.maximum(weight, np.float32(1e-6))  # the padding has corners that no copy covers
    total -= padded
    inner = np.s_[BLOCK:-BLOCK, BLOCK:-BLOCK]
    shape = total[inner].shape
    change = np.asarray(np.clip(transform_blocks(to_blocks(total[inner])), -_BOUND * steps, _BOUND * steps), np.float32)
    smooth = from_blocks(invert_blocks(change), shape)
    return smooth[before[0] - BLOCK : before[0] - BLOCK + height, before[1] - BLOCK : before[1] - BLOCK + width]
