"""Find sharpening halos, light and dark rims along edges, by edges that overshoot, and remove them.

An edge with flat ground on both sides shows the rim of each. Where a subject stands before a soft background, the subject's own side is
textured, and only the rim on the background can be measured; far more edges must agree there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.correct.defect import BoolMask, Defect, connected_components
from goldsmith.picture.colour import luma
from goldsmith.picture.picture import Mask, Pixels, freeze
from goldsmith.picture.smoothing import gaussian_blur

# Minimum luma difference over 2 px of an edge that can be measured.
_MIN_EDGE_HEIGHT = 0.12
# px from an edge to the end of its halo.
_HALO_RADIUS = 6
_PROFILE_RADIUS = 12
# An edge is measured if both flanks vary by less than this share of its height.
_MAX_FLANK_VARIATION = 0.2
# If an edge overshoots by more than this share of its height, both sides together, it is a line, not a halo.
_MAX_OVERSHOOT = 1.5
_MAX_EDGES = 16000
_LEAST_EDGES = 30
# An edge is measured if this share of its rise lies within 4 px, because sharpening leaves no rim on wider edges ...
_MIN_CRISPNESS = 0.8
# ... and if this share of its rise remains to black and to white, because a clipped rim cannot be measured.
_MIN_HEADROOM = 0.15
# Minimum height of a rim on its lower side, as a share of the edge's height: textures, grooves and glints have a rim on one side.
_MIN_RIM = 0.1
# If this share of the measured edges has a rim on both sides, the picture is over-sharpened.
_MIN_RIMMED_SHARE = 0.4
# The same for edges with flat ground on one side alone: this share of at least so many must have a rim, and half of them a rim of this
# height. Photographs that a camera sharpened reach 0.79 and 0.16, never both limits.
_MIN_RIMMED_SHARE_ON_GROUND, _LEAST_EDGES_ON_GROUND, _MIN_RIM_ON_GROUND = 0.7, 100, 0.19
# The ground varies by less than this share of the edge's height, 7 to 12 px away; the subject is measured 2 to 5 px away.
_MAX_GROUND_VARIATION = 0.15
_MIN_CRISPNESS_ON_GROUND = 0.6
_MAX_OVERSHOOT_ON_GROUND = 0.8
# If most edges overshoot by more on both sides together, they are drawn lines.
_DRAWN_LINE_OVERSHOOT = 1.3
_SIGMA_CANDIDATES = (0.7, 1.1, 1.7, 2.6)
_AMOUNT_CANDIDATES = (0.4, 0.8, 1.4, 2.2, 3.2)
_ITERATIONS = 8
# Weight of an edge that became too soft, relative to its overshoot.
_SOFTNESS_PENALTY = 0.6
# At most this share of the overshoot may remain; otherwise it had another cause.
_MAX_REMAINING_SHARE = 0.55
_TIE_TOLERANCE = 0.004
_ANALYSIS_SIDE = 1024
_CELL = 64


@dataclass(frozen=True, slots=True)
class EdgeMeasurements:
    """Measured edges: position (n, 2: row, column), overshoot on both sides together as a share of the height (n), overshoot on the lower
    side (n), and how far the flanks 3 to 5 px away lie beyond the pixels after them, as a share of the height (n); negative if too much
    was removed.

    ``sides`` (n) says on which side the ground is flat: 1 = light, -1 = dark, 0 = both. With one, everything is measured on that side.
    """

    positions: NDArray[np.int64]
    overshoot: NDArray[np.float32]
    weaker_overshoot: NDArray[np.float32]
    flank_offset: NDArray[np.float32]
    sides: NDArray[np.int8]

    def subset(self, chosen: BoolMask, origin: tuple[int, int]) -> EdgeMeasurements:
        """Return some of the edges, (n) bool, with positions in px relative to ``origin``."""
        return EdgeMeasurements(
            self.positions[chosen] - origin,
            self.overshoot[chosen],
            self.weaker_overshoot[chosen],
            self.flank_offset[chosen],
            self.sides[chosen],
        )

    @property
    def median_overshoot(self) -> float:
        return float(np.median(self.overshoot)) if len(self.overshoot) >= _LEAST_EDGES else 0.0

    @property
    def rimmed_share(self) -> float:
        """The share of edges with a rim on both sides; 0 if there are too few edges."""
        return float((self.weaker_overshoot > _MIN_RIM).mean()) if len(self.weaker_overshoot) >= _LEAST_EDGES else 0.0


def find(pixels: Pixels, strength: float = 1.0) -> list[Defect]:
    """Return the places where the edges of an over-sharpened picture overshoot, near ones combined, each with the pixels that correct it.

    ``pixels`` is (h, w, c), 0..1, display-encoded. The size of a defect is the overshoot on both sides together, in percent of the edges'
    height. Returns nothing if most edges are as they should be.
    """
    if min(pixels.shape[:2]) < 2 * _CELL:
        return []
    grey = luma(pixels)
    edges = _halo_edges(grey)
    if edges is None:
        return []
    excess = _halo_excess(grey, edges) * np.float32(strength)
    target = np.clip(pixels - excess[:, :, None], 0, 1)
    after = _measure_again(luma(target), edges)
    if np.median(after.overshoot) > (1 - (1 - _MAX_REMAINING_SHARE) * strength) * edges.median_overshoot:
        return []
    height, width = grey.shape
    cells = _changed_cells(excess)
    defects, result = [], pixels.copy()
    for cell_window, component in connected_components(cells, 1):
        rows, columns = (
            slice(span.start * _CELL, min(span.stop * _CELL, side)) for span, side in zip(cell_window, (height, width), strict=True)
        )
        in_component = _edges_in_cells(edges, (rows, columns), cell_window, component)
        if not in_component.any():
            continue
        cell_mask = np.repeat(np.repeat(component, _CELL, axis=0), _CELL, axis=1)[: rows.stop - rows.start, : columns.stop - columns.start]
        patch = np.where(cell_mask[:, :, None], target[rows, columns], result[rows, columns])
        result[rows, columns] = patch
        sizes = [round(100 * float(np.median(measurements.overshoot[in_component])), 1) for measurements in (edges, after)]
        defects.append(Defect((rows, columns), sizes[0], sizes[1], ((rows, columns), freeze(patch))))
    return defects


def _halo_edges(grey: Mask) -> EdgeMeasurements | None:
    """Return the edges of a luma plane (h, w), 0..1, if they show that the picture is over-sharpened."""
    edges = measure_edges(grey)
    if edges.rimmed_share >= _MIN_RIMMED_SHARE:
        return edges if edges.median_overshoot <= _DRAWN_LINE_OVERSHOOT else None
    edges = _measure_edges_on_ground(grey)
    if len(edges.overshoot) < _LEAST_EDGES_ON_GROUND or edges.median_overshoot < _MIN_RIM_ON_GROUND:
        return None
    return edges if edges.rimmed_share >= _MIN_RIMMED_SHARE_ON_GROUND else None


def _measure_again(grey: Mask, edges: EdgeMeasurements) -> EdgeMeasurements:
    """Return the same edges, measured in another luma plane (h, w), 0..1."""
    return _measure_edges_on_ground(grey, edges) if edges.sides.any() else measure_edges(grey, edges.positions)


def measure_edges(luma_plane: Mask, positions: NDArray[np.int64] | None = None) -> EdgeMeasurements:
    """Return the overshoot at isolated edges of a luma plane (h, w), 0..1, or at the given positions (n, 2) in px."""
    has_positions = positions is not None
    where, profiles = _edge_profiles(luma_plane, positions)
    if not len(where):
        nothing = np.zeros(0, np.float32)
        return EdgeMeasurements(where, nothing, nothing, nothing, np.zeros(0, np.int8))
    dark, light = profiles[:, : _PROFILE_RADIUS - _HALO_RADIUS], profiles[:, _PROFILE_RADIUS + _HALO_RADIUS + 1 :]
    low, high = dark.mean(axis=1), light.mean(axis=1)
    rise = high - low
    is_flat = np.maximum(np.ptp(dark, axis=1), np.ptp(light, axis=1)) < 2 * _MAX_FLANK_VARIATION * rise
    overshoot = profiles[:, _PROFILE_RADIUS + 1 : _PROFILE_RADIUS + _HALO_RADIUS].max(axis=1) - high
    undershoot = low - profiles[:, _PROFILE_RADIUS - _HALO_RADIUS + 1 : _PROFILE_RADIUS].min(axis=1)
    height = np.maximum(rise, np.float32(0.02))
    share, weaker = (np.maximum(overshoot, 0) + np.maximum(undershoot, 0)) / height, np.minimum(overshoot, undershoot) / height
    flanks = (
        profiles[:, _PROFILE_RADIUS + 3 : _PROFILE_RADIUS + 6].mean(axis=1)
        - high
        + low
        - profiles[:, _PROFILE_RADIUS - 5 : _PROFILE_RADIUS - 2].mean(axis=1)
    )
    is_measurable = (
        is_flat
        & (rise > _MIN_EDGE_HEIGHT)
        & (share < _MAX_OVERSHOOT)
        & (profiles[:, _PROFILE_RADIUS + 2] - profiles[:, _PROFILE_RADIUS - 2] > _MIN_CRISPNESS * rise)
    )
    is_measurable &= (high + _MIN_HEADROOM * rise < 1) & (low - _MIN_HEADROOM * rise > 0)
    if has_positions:
        is_measurable[:] = True
    share, weaker, offset = (values[is_measurable].astype(np.float32) for values in (share, weaker, flanks / height))
    return EdgeMeasurements(where[is_measurable], share, weaker, offset, np.zeros(len(share), np.int8))


def _measure_edges_on_ground(grey: Mask, edges: EdgeMeasurements | None = None) -> EdgeMeasurements:
    """Return the overshoot at edges with flat ground on one side, or both, of a luma plane (h, w), 0..1, or at those of ``edges``."""
    where, profiles = _edge_profiles(grey, None if edges is None else edges.positions)
    parts = []
    for side in (1, -1):
        chosen = np.arange(len(where)) if edges is None else np.flatnonzero(edges.sides == side)
        # The dark side is measured like the light side of the inverted picture.
        lines = profiles[chosen] if side > 0 else 1 - profiles[chosen, ::-1]
        far = lines[:, _PROFILE_RADIUS + _HALO_RADIUS + 1 :]
        ground, subject = far.mean(axis=1), lines[:, _PROFILE_RADIUS - 5 : _PROFILE_RADIUS - 1].mean(axis=1)
        rise = ground - subject
        height = np.maximum(rise, np.float32(0.02))
        overshoot = (lines[:, _PROFILE_RADIUS + 1 : _PROFILE_RADIUS + _HALO_RADIUS + 1].max(axis=1) - ground) / height
        flank = (lines[:, _PROFILE_RADIUS + 3 : _PROFILE_RADIUS + 6].mean(axis=1) - ground) / height
        is_measurable = (np.ptp(far, axis=1) < _MAX_GROUND_VARIATION * rise) & (rise > _MIN_EDGE_HEIGHT)
        is_measurable &= (ground + _MIN_HEADROOM * rise < 1) & (overshoot < _MAX_OVERSHOOT_ON_GROUND)
        is_measurable &= lines[:, _PROFILE_RADIUS + 2] - lines[:, _PROFILE_RADIUS - 2] > _MIN_CRISPNESS_ON_GROUND * rise
        if edges is not None:
            is_measurable[:] = True
        positive = np.maximum(overshoot, 0)
        parts.append((chosen[is_measurable], *(each[is_measurable] for each in (positive, overshoot, flank)), side))
    index, share, weaker, flanks = (np.concatenate([part[number] for part in parts]) for number in range(4))
    sides = np.concatenate([np.full(len(part[0]), part[4], np.int8) for part in parts])
    order = np.argsort(index, kind="stable") if edges is not None else np.arange(len(index))
    return EdgeMeasurements(where[index[order]], share[order], weaker[order], flanks[order], sides[order])


def _edge_profiles(grey: Mask, positions: NDArray[np.int64] | None) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the positions of edges (n, 2), the given ones if there are any, and the luma across each, dark to light, (n, 25), 0..1."""
    import cv2

    smoothed = gaussian_blur(grey, 1.0)
    across, down = (cv2.Scharr(smoothed, cv2.CV_32F, *order, scale=1 / 16) for order in ((1, 0), (0, 1)))
    steep = np.hypot(across, down)
    where = _edge_ridge_pixels(steep, across, down) if positions is None else positions
    if not len(where):
        return where, np.zeros((0, 2 * _PROFILE_RADIUS + 1), np.float32)
    row, column = where[:, 0], where[:, 1]
    size = np.maximum(steep[row, column], np.float32(1e-6))
    distance_px = np.arange(-_PROFILE_RADIUS, _PROFILE_RADIUS + 1, dtype=np.float32)
    x = column[:, None].astype(np.float32) + distance_px * (across[row, column] / size)[:, None]
    y = row[:, None].astype(np.float32) + distance_px * (down[row, column] / size)[:, None]
    return where, _sample_bilinear(grey, x, y)


def _sample_bilinear(grey: Mask, x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    import cv2

    return np.asarray(cv2.remap(grey, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _edge_ridge_pixels(gradient: Mask, across: NDArray[np.float32], down: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the pixels on the steepest line of each edge, away from the border, evenly sampled to some thousands at most."""
    inner = np.zeros(gradient.shape, bool)
    inner[_PROFILE_RADIUS:-_PROFILE_RADIUS, _PROFILE_RADIUS:-_PROFILE_RADIUS] = True
    row, column = np.nonzero((gradient > _MIN_EDGE_HEIGHT / 4) & inner)
    stride = max(1, len(row) // (4 * _MAX_EDGES))
    row, column = row[::stride], column[::stride]
    size = gradient[row, column]
    right, below = np.rint(across[row, column] / size).astype(int), np.rint(down[row, column] / size).astype(int)
    crest = (size >= gradient[row + below, column + right]) & (size > gradient[row - below, column - right])
    ridge = np.stack([row[crest], column[crest]], axis=1)
    return np.asarray(ridge[:: -(-len(ridge) // _MAX_EDGES) or 1])


def _halo_excess(grey: Mask, edges: EdgeMeasurements) -> Mask:
    """Return by how much each pixel near an edge is too high, (h, w).

    Sharpening adds ``amount`` times the difference to a blurred copy. The function tries several amounts and widths, and inverts the
    weakest pair whose remaining overshoot is within a tolerance of the least. Thin objects stay: nothing is clamped.
    """
    window = _densest_window(edges, grey.shape)
    inside = np.all((edges.positions >= [span.start for span in window]) & (edges.positions < [span.stop for span in window]), axis=1)
    local = edges.subset(inside, (window[0].start, window[1].start))
    part = np.ascontiguousarray(grey[window])
    trials: list[tuple[float, float, float]] = []
    for sigma in _SIGMA_CANDIDATES:
        for amount in _AMOUNT_CANDIDATES:
            candidate = _invert_unsharp_mask(part, sigma, amount)
            measurements = _measure_again(candidate, local)
            residual = (
                float(np.median(measurements.overshoot))
                + abs(float(np.median(measurements.flank_offset)))
                + _SOFTNESS_PENALTY * _steepness_loss(part, candidate, local.positions)
            )
            trials.append((residual, sigma, amount))
    min_residual = min(trials)[0]
    _, sigma, amount = min((trial for trial in trials if trial[0] <= min_residual + _TIE_TOLERANCE), key=lambda trial: trial[1] * trial[2])
    return np.asarray((grey - _invert_unsharp_mask(grey, sigma, amount)) * _edge_proximity(grey), np.float32)


def _invert_unsharp_mask(grey: Mask, sigma: float, amount: float) -> Mask:
    """Return the plane before an unsharp mask of that width and amount, by fixed-point iteration, which never rings."""
    estimate = grey
    for _ in range(_ITERATIONS):
        estimate = np.asarray((grey + np.float32(amount) * gaussian_blur(estimate, sigma)) / np.float32(1 + amount), np.float32)
    return estimate


def _steepness_loss(original: Mask, result: Mask, positions: NDArray[np.int64]) -> float:
    """Return how much more than half of their steepness the edges lose, 0..0.5. A mere blur would have no halos, but such a loss."""
    row, column = positions[:, 0], positions[:, 1]
    steep = [np.abs(np.gradient(plane)[0])[row, column] + np.abs(np.gradient(plane)[1])[row, column] for plane in (original, result)]
    return float(np.clip(0.5 - np.median(steep[1] / np.maximum(steep[0], np.float32(1e-4))), 0, 0.5))


def _edge_proximity(grey: Mask) -> Mask:
    """Return a mask that is 1 within reach of a strong edge and fades to 0 beyond it."""
    import cv2

    smoothed = gaussian_blur(grey, 1.0)
    steep = np.hypot(*(cv2.Scharr(smoothed, cv2.CV_32F, *order, scale=1 / 16) for order in ((1, 0), (0, 1))))
    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _HALO_RADIUS + 5, 2 * _HALO_RADIUS + 5))
    zone = cv2.dilate((steep > _MIN_EDGE_HEIGHT / 4).astype(np.uint8), shape)
    size = 2 * _HALO_RADIUS + 1
    return np.asarray(np.clip(2 * cv2.blur(zone.astype(np.float32), (size, size), borderType=cv2.BORDER_REFLECT) - 1, 0, 1), np.float32)


def _densest_window(edges: EdgeMeasurements, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the window of one megapixel with the most measured edges."""
    max_count, window = -1, (slice(0, shape[0]), slice(0, shape[1]))
    for top in range(0, max(shape[0] - _ANALYSIS_SIDE // 2, 1), _ANALYSIS_SIDE // 2):
        for left in range(0, max(shape[1] - _ANALYSIS_SIDE // 2, 1), _ANALYSIS_SIDE // 2):
            rows, columns = slice(top, min(top + _ANALYSIS_SIDE, shape[0])), slice(left, min(left + _ANALYSIS_SIDE, shape[1]))
            row, column = edges.positions[:, 0], edges.positions[:, 1]
            count = int(((row >= rows.start) & (row < rows.stop) & (column >= columns.start) & (column < columns.stop)).sum())
            if count > max_count:
                max_count, window = count, (rows, columns)
    return window


def _changed_cells(change: Mask) -> BoolMask:
    """Return which 64 px cells hold a pixel that changes."""
    height, width = change.shape
    padded = np.pad(np.abs(change) > 1 / 255, ((0, -height % _CELL), (0, -width % _CELL)))
    rows, columns = padded.shape[0] // _CELL, padded.shape[1] // _CELL
    return np.asarray(padded.reshape(rows, _CELL, columns, _CELL).any(axis=(1, 3)))


def _edges_in_cells(edges: EdgeMeasurements, box: tuple[slice, slice], cells: tuple[slice, slice], mask: BoolMask) -> BoolMask:
    """Return which edges lie in those cells."""
    row, column = edges.positions[:, 0], edges.positions[:, 1]
    inside = (row >= box[0].start) & (row < box[0].stop) & (column >= box[1].start) & (column < box[1].stop)
    flags = np.zeros(len(row), bool)
    flags[inside] = mask[row[inside] // _CELL - cells[0].start, column[inside] // _CELL - cells[1].start]
    return flags
