"""Fill a hole in a smooth ground: the surface through the surroundings that bends least, with their own grain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Mask, Pixels
from goldsmith.picture.smoothing import gaussian_blur, resize_values
from goldsmith.stitching.surroundings import MAX_RING_PX, find_ring, reduce_by

Solve = Callable[[NDArray[np.float64]], NDArray[np.float64]]

# The longer side in cells of the grid on which the surface is computed: a smooth ground has nothing finer.
GRID_SIDE = 64
# How stiff the surface is, fit after fit, in squared cells: forms shorter than 2 pi times its fourth root are averaged. The first fits are
# too stiff to follow a rim, so that it is recognised as an outlier; the last one follows forms of about 11 cells.
STIFFNESSES = (3000.0, 200.0, 10.0)
# Surroundings this far, 0..1, from the surface count half: the rim or the shadow of the removed object.
OUTLIER_DISTANCE = 6 / 255
# Small forms are measured on a copy that is reduced by this factor and blurred by this standard deviation in its px, so that grain is
# averaged as it is at full size.
QUICK_REDUCTION = 4
QUICK_SIGMA = 0.5
# The standard deviation in px of the blur that separates grain from ground.
GRAIN_SIGMA = 8.0
# Side in px of the blocks of grain that are copied.
GRAIN_BLOCK = 48
# A block of grain is one of so many whose tone is nearest: the grain of a photograph depends on the tone.
TONE_NEIGHBOURS = 12


@dataclass(frozen=True, slots=True)
class Smoothness:
    """How much form the surroundings of a hole have beside slopes and grain, in codes of 8 bits: the standard deviation, and the value that
    99 % of the pixels do not exceed. Where small forms alone are too much for a smooth fill, larger ones are not counted.
    """

    deviation: float
    worst: float

    @property
    def is_smooth(self) -> bool:
        """True if the surroundings have nothing but slopes and grain, so that no model is needed."""
        return self.deviation <= SMOOTH_DEVIATION and self.worst <= SMOOTH_WORST

    @property
    def is_nearly_smooth(self) -> bool:
        """True if a smooth fill is worth a comparison."""
        return self.deviation <= NEARLY_SMOOTH_DEVIATION


# Codes of 8 bits. Found with the benchmark of fills: skies, studio walls and blurred backgrounds lie below, cloth and stone above.
SMOOTH_DEVIATION = 1.2
SMOOTH_WORST = 4.0
NEARLY_SMOOTH_DEVIATION = 5.0


def measure_smoothness(pixels: Pixels, hole: NDArray[np.bool_], hidden: NDArray[np.bool_]) -> Smoothness:
    """Return the smoothness of the surroundings of ``hole``.

    pixels: (h, w, 3), 0..1, display-encoded. hole, hidden: (h, w); neither is looked at. Forms smaller than a grain's blur and larger than
    the hole are left out.
    """
    ring = find_ring(hole, hidden)
    if not ring.any():
        return Smoothness(255.0, 255.0)
    known = ~(hole | hidden)
    small_forms = _measure_small_forms(pixels, known, ring)
    if small_forms is not None and not small_forms.is_nearly_smooth:
        return small_forms
    surface = fit_surface(pixels, known & _near(hole))
    weight = known.astype(np.float32)
    fine = _blur_known(pixels - surface, weight, 2.0)
    form = np.abs(fine).max(axis=2)[ring]
    return Smoothness(255 * float(np.sqrt(np.mean(np.square(form)))), 255 * float(np.percentile(form, 99)))


def _measure_small_forms(pixels: Pixels, known: NDArray[np.bool_], ring: NDArray[np.bool_]) -> Smoothness | None:
    """Return what no surface follows, as it is smaller than a cell of its grid; None if a cell is too small to measure it quickly.

    pixels: (h, w, 3), 0..1; known, ring: (h, w).
    """
    cell = max(known.shape) / GRID_SIDE
    if cell < 2 * QUICK_REDUCTION:
        return None
    weight = reduce_by(known.astype(np.float32), QUICK_REDUCTION)
    means = (reduce_by(pixels * known[..., None], QUICK_REDUCTION) / np.maximum(weight, 1e-3)[..., None]).astype(np.float32)
    inside = (reduce_by(ring.astype(np.float32), QUICK_REDUCTION) > 0.5) & (weight > 0.5)
    if not inside.any():
        return None
    forms = np.asarray(_blur_known(means, weight, QUICK_SIGMA) - _blur_known(means, weight, cell / QUICK_REDUCTION))
    values = 255 * np.abs(forms).max(axis=2)[inside]
    return Smoothness(float(np.sqrt(np.mean(np.square(values)))), float(np.percentile(values, 99)))


def fill_smooth(pixels: Pixels, hole: NDArray[np.bool_], hidden: NDArray[np.bool_], seed: int) -> Pixels:
    """Return ``pixels`` with a smooth continuation of the surroundings, with their grain, in ``hole`` and ``hidden``.

    pixels: (h, w, 3), 0..1, display-encoded. hole, hidden: (h, w). The same seed gives the same grain.
    """
    unknown = hole | hidden
    surface = fit_surface(pixels, ~unknown & _near(hole))
    filled = surface + copy_grain(pixels, surface, unknown, seed)
    return np.where(unknown[..., None], np.clip(filled, 0, 1), pixels).astype(np.float32)


def _near(hole: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return find_ring(hole, np.zeros_like(hole), 2 * MAX_RING_PX)


def fit_surface(pixels: Pixels, known: NDArray[np.bool_]) -> Pixels:
    """Return the surface, (h, w, 3), 0..1, through the known pixels (h, w) that bends least (Duchon, 1977).

    The known pixels are averaged in cells, and those far from the surface lose their weight, so that grain and rims do not bend it.
    """
    height, width = known.shape
    cell = max(1.0, max(height, width) / GRID_SIDE)
    high, wide = max(2, round(height / cell)), max(2, round(width / cell))
    weight = resize_values(known.astype(np.float32), high, wide)
    values = resize_values(pixels * known[..., None].astype(np.float32), high, wide) / np.maximum(weight, 1e-4)[..., None]
    trust = np.where(weight > 0.2, weight, 0).astype(np.float64)
    if not trust.any():
        return np.broadcast_to(pixels.mean(axis=(0, 1)), pixels.shape).astype(np.float32)
    surface, weighted = values.astype(np.float64), trust
    for stiffness in STIFFNESSES:
        surface = _solve_surface(values.astype(np.float64), weighted, stiffness)
        distance = np.abs(values - surface).max(axis=2) / OUTLIER_DISTANCE
        weighted = trust / (1 + distance**4)
    return resize_values(surface.astype(np.float32), height, width)


def _solve_surface(values: NDArray[np.float64], trust: NDArray[np.float64], stiffness: float) -> NDArray[np.float64]:
    """Return the surface (h, w, c) with the least sum of squared bending and of squared distance from ``values``, weighted by ``trust``."""
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import splu

    bending = stiffness * _bending_matrix(*trust.shape)
    system = (bending + diags_array(trust.ravel() + 1e-9)).tocsc()
    factors = splu(system, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    channels = [factors.solve((trust * values[..., channel]).ravel()) for channel in range(values.shape[2])]
    return np.stack(channels, axis=1).reshape(*trust.shape, -1)


def _bending_matrix(height: int, width: int):  # type: ignore[no-untyped-def]
    """Return the sparse matrix of the squared second differences of a grid, across, down and mixed, free at the border."""
    from scipy.sparse import diags_array, eye_array, kron

    def second(count: int):  # type: ignore[no-untyped-def]
        return diags_array([1.0, -2.0, 1.0], offsets=[0, 1, 2], shape=(max(count - 2, 0), count))

    def first(count: int):  # type: ignore[no-untyped-def]
        return diags_array([-1.0, 1.0], offsets=[0, 1], shape=(count - 1, count))

    down, across = kron(second(height), eye_array(width)), kron(eye_array(height), second(width))
    mixed = kron(first(height), first(width))
    return down.T @ down + across.T @ across + 2 * (mixed.T @ mixed)


def copy_grain(pixels: Pixels, surface: Pixels, unknown: NDArray[np.bool_], seed: int) -> Pixels:
    """Return grain (h, w, 3), in units of 0..1 around 0, for the whole crop, made of overlapping blocks of the known pixels' own.

    Each block is taken where the surface has nearly the same tone. Blocks are mixed so that the strength of the grain stays (the weights'
    squares add up to 1).
    """
    known = (~unknown).astype(np.float32)
    grain = (pixels - surface) - _blur_known(pixels - surface, known, GRAIN_SIGMA)
    side = min(GRAIN_BLOCK, *unknown.shape)
    sources = _known_blocks(unknown, side)
    while not len(sources) and side > 8:
        side //= 2
        sources = _known_blocks(unknown, side)
    if not len(sources):
        return np.zeros_like(pixels)
    random = np.random.default_rng(seed)
    tone = gaussian_blur(surface, side / 2).mean(axis=2)
    source_tone = tone[sources[:, 0] + side // 2, sources[:, 1] + side // 2]
    order = np.argsort(source_tone, kind="stable")
    sources, source_tone = sources[order], source_tone[order]
    window = np.sin(np.pi * (np.arange(side, dtype=np.float32) + 0.5) / side)
    weights = np.outer(window, window).astype(np.float32)
    total, power = np.zeros_like(pixels), np.zeros(unknown.shape, dtype=np.float32)
    for row, column in _covering_blocks(unknown, side):
        middle = np.searchsorted(source_tone, tone[row + side // 2, column + side // 2])
        low = int(np.clip(middle - TONE_NEIGHBOURS // 2, 0, max(len(sources) - TONE_NEIGHBOURS, 0)))
        top, left = sources[min(low + int(random.integers(TONE_NEIGHBOURS)), len(sources) - 1)]
        target = np.s_[row : row + side, column : column + side]
        total[target] += grain[top : top + side, left : left + side] * weights[..., None]
        power[target] += np.square(weights)
    return np.asarray(total / np.sqrt(np.maximum(power, 1e-6))[..., None], dtype=np.float32)


def _known_blocks(unknown: NDArray[np.bool_], side: int) -> NDArray[np.intp]:
    """Return top and left, (n, 2), of squares without an unknown pixel, every quarter of a side."""
    import cv2

    count = cv2.integral(unknown.astype(np.uint8))
    inside = count[side:, side:] - count[:-side, side:] - count[side:, :-side] + count[:-side, :-side]
    step = max(side // 4, 1)
    return np.argwhere(inside[::step, ::step] == 0) * step


def _covering_blocks(unknown: NDArray[np.bool_], side: int) -> list[tuple[int, int]]:
    """Return top and left of squares that overlap by half and cover every unknown pixel."""
    height, width = unknown.shape
    rows = [*range(0, height - side, side // 2), height - side]
    columns = [*range(0, width - side, side // 2), width - side]
    return [(row, column) for row in rows for column in columns if unknown[row : row + side, column : column + side].any()]


def _blur_known(values: Pixels, known: Mask, sigma: float) -> Pixels:
    """Return values (h, w, c) blurred by ``sigma`` px over the known pixels alone; 0 where none is near."""
    weight = gaussian_blur(known, sigma)
    blurred = gaussian_blur(np.ascontiguousarray(values * known[..., None]), sigma)
    return np.asarray(blurred / np.maximum(weight, 1e-3)[..., None], dtype=np.float32)
