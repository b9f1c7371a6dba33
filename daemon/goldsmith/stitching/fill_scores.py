"""Measure a fill without knowing the truth: by its surroundings."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Mask, Pixels
from goldsmith.picture.smoothing import gaussian_blur, pull_push_fill
from goldsmith.stitching.border_likeness import BorderLikeness
from goldsmith.stitching.offset_labels import BLOCK_SIDE, window_counts
from goldsmith.stitching.surroundings import COLOUR_BLUR, ColourCells, distance_from, find_ring, reduce_by, reduction, ring_width

# The standard deviation in px of the blur that separates fine detail from form.
DETAIL_SIGMA = 1.5
# The standard deviation in px of the blur that separates forms from tone.
FORM_SIGMA = 6.0
# Detail weaker than this, 0..1, is not told apart from none: a third of a code of 8 bits.
LEAST_DETAIL = 0.35 / 255
# An edge is new if it is so many times as strong as the 99.9th percentile of the surroundings' edges, and at least so strong, 0..1.
NEW_EDGE_FACTOR = 1.25
LEAST_NEW_EDGE = 6 / 255
# A step across the border counts at most so many times as much as a usual one beside it, or as this percentile of all of them.
SEAM_CAP = 4.0
SEAM_PERCENTILE = 80
# The standard deviations in px of the blurs whose differences are the bands in which textures are compared.
BAND_SIGMAS = (0.7, 1.4, 2.8, 5.6)
QUANTILES = np.linspace(0.01, 0.99, 50)
# How far in px from the hole's border lines are compared inside and outside, and how far along it they may move.
LINE_DISTANCE = 3.0
LINE_SHIFT = 4
# A line is a tangential slope, 0..1 per px, at least this strong.
LEAST_LINE = 3 / 255
# How foreign a picture is by nature is measured in holes of the same shape, moved in these directions by so many lengths of the hole, where
# at least this share of it is known, and in at least so many.
PLACE_DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0), (0.8, 0.8), (-0.8, 0.8), (0.8, -0.8), (-0.8, -0.8))
PLACE_DISTANCE = 1.05
LEAST_PLACE_SHARE = 0.75
LEAST_PLACES = 3
# The weights of the measures in the cost. Found with the benchmark of fills, where the truth is known.
WEIGHTS = {
    "detail": 1.2,
    "forms": 0.1,
    "evenness": 0.9,
    "seam": 0.45,
    "novelty": 10.0,
    "lines": 0.1,
    "foreign": 6.0,
    "texture": 7.0,
    "joins": 2.0,
    "recoloured": 8.0,
}


@dataclass(frozen=True, slots=True)
class FillScores:
    """How a fill compares with its surroundings; 0 is best, except for the ratio.

    detail_ratio: fine detail inside the hole / in the ring round it; 1 = equal.
    form_ratio:   the same for forms of some px: blobs, blades, pebbles.
    evenness:     how far the detail differs place by place from the surroundings', in octaves.
    seam:         how much stronger steps across the border are than the steps beside it: 0.5 = by half.
    novelty:      the share of the hole, 0..1, with colours or edges that the surroundings do not have.
    lines:        the share, 0..1, of lines that meet the border and do not go on inside.
    foreign:      the share of the hole, 0..1, that is unlike everything beside it: an object that was copied from elsewhere, or invented.
    texture:      how far the values of the hole, in bands of fine to broad detail, are distributed otherwise than those of the ring, in
                  units of their standard deviation: it tells blobs from stones where both have equally much detail.
    joins:        the length of the visible joins between copied blocks, as a share of the hole's outline.
    recoloured:   the share of the hole, 0..1, that had new colours or edges before its colours were moved to those of the surroundings.
    """

    detail_ratio: float
    form_ratio: float
    evenness: float
    seam: float
    novelty: float
    lines: float
    foreign: float
    texture: float
    joins: float = 0.0
    recoloured: float = 0.0

    @property
    def cost(self) -> float:
        """The weighted sum by which fills of one hole are compared; the smaller, the better."""
        parts = {
            "detail": abs(float(np.log2(max(self.detail_ratio, 1 / 64)))),
            "forms": abs(float(np.log2(max(self.form_ratio, 1 / 64)))),
            "evenness": self.evenness,
            "seam": self.seam,
            "novelty": self.novelty,
            "lines": self.lines,
            "foreign": self.foreign,
            "texture": self.texture,
            "joins": self.joins,
            "recoloured": self.recoloured,
        }
        return float(sum(WEIGHTS[name] * value for name, value in parts.items()))


def score_fill(
    pixels: Pixels, unknown: NDArray[np.bool_], hidden: NDArray[np.bool_], detached: NDArray[np.bool_] | None = None
) -> FillScores:
    """Return the scores of the fill in ``unknown`` (h, w) of pixels (h, w, 3), 0..1, display-encoded.

    ``hidden`` (h, w) is ignored. Forms that do not touch the hole, ``detached`` (h, w), are no model for it: they only count as something
    that lies beside it.
    """
    ignored = hidden if detached is None else hidden | detached
    ring = find_ring(unknown, ignored) & (distance_from(unknown) > 2)
    known = ~(unknown | ignored)
    if not ring.any():
        return FillScores(1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    light = _lightness(pixels)
    soft = gaussian_blur(light, DETAIL_SIGMA)
    ratio, evenness = _compare_detail(np.abs(light - soft), unknown, ring)
    form_ratio, form_evenness = _compare_detail(np.abs(soft - gaussian_blur(soft, FORM_SIGMA)), unknown, ring)
    evenness = (evenness + form_evenness) / 2
    return FillScores(
        round(ratio, 4),
        round(form_ratio, 4),
        round(evenness, 4),
        round(_seam_strength(pixels, unknown, known), 4),
        round(min(1.0, _new_colours(pixels, unknown, known) + _new_edges(light, unknown, known)), 4),
        round(_broken_lines(light, unknown, ignored), 4),
        round(_foreign_share(pixels, unknown, hidden), 4),
        round(_texture_distance(light, unknown, ring), 4),
    )


def _lightness(pixels: Pixels) -> Mask:
    """Return the luma (Rec. 601) of display-encoded pixels (h, w, 3): for differences, the eye's weights matter, not the profile."""
    return np.asarray(pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32), dtype=np.float32)


def _compare_detail(detail: Mask, unknown: NDArray[np.bool_], ring: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the mean of detail (h, w), in units of 0..1, in the hole / in the ring, and the mean difference place by place in octaves."""
    inner = unknown & (distance_from(~unknown) > 2)
    inner = inner if inner.any() else unknown
    ratio = (float(detail[inner].mean()) + LEAST_DETAIL) / (float(detail[ring].mean()) + LEAST_DETAIL)
    sigma = max(ring_width(unknown) / 3, 4.0)
    weight = gaussian_blur(inner.astype(np.float32), sigma)
    inside = gaussian_blur(detail * inner, sigma) / np.maximum(weight, 1e-3)
    expected = pull_push_fill(detail[..., None], ring.astype(np.float32) * np.float32(0.2))[..., 0]
    octaves = np.abs(np.log2((inside + LEAST_DETAIL) / (np.maximum(expected, 0) + LEAST_DETAIL)))
    return ratio, float(octaves[inner].mean())


def _texture_distance(light: Mask, unknown: NDArray[np.bool_], ring: NDArray[np.bool_]) -> float:
    """Return how far apart the distributions of detail, in bands, and of slopes are in the hole and in the ring."""
    import cv2

    inner = unknown & (distance_from(~unknown) > 2)
    inner = inner if inner.any() else unknown
    blurred = [light, *(gaussian_blur(light, sigma) for sigma in BAND_SIGMAS)]
    slopes = np.hypot(cv2.Sobel(blurred[1], cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(blurred[1], cv2.CV_32F, 0, 1, scale=1 / 8))
    distances = []
    for band in (*(first - second for first, second in pairwise(blurred)), slopes):
        inside, outside = np.quantile(band[inner], QUANTILES), np.quantile(band[ring], QUANTILES)
        distances.append(float(np.abs(inside - outside).mean()) / (float(band[ring].std()) + 1 / 255))
    return float(np.mean(distances))


def _seam_strength(pixels: Pixels, unknown: NDArray[np.bool_], known: NDArray[np.bool_]) -> float:
    """Return how much stronger steps across the border are than steps within 4 px on either side of it."""
    near = (distance_from(unknown) <= 4) & (distance_from(~unknown) <= 4)
    across: list[NDArray[np.float32]] = []
    beside: list[NDArray[np.float32]] = []
    for axis in (0, 1):
        first, second = (np.s_[:-1], np.s_[1:]) if axis == 0 else (np.s_[:, :-1], np.s_[:, 1:])
        step = np.abs(pixels[first] - pixels[second]).max(axis=2)
        crossing = (unknown[first] & known[second]) | (known[first] & unknown[second])
        same = near[first] & near[second] & ((unknown[first] & unknown[second]) | (known[first] & known[second]))
        across.append(step[crossing])
        beside.append(step[same])
    crossing_steps, usual_steps = np.concatenate(across), np.concatenate(beside)
    if not crossing_steps.size or not usual_steps.size:
        return 0.0
    usual = float(usual_steps.mean()) + 1 / 255
    # The rest of an object that sticks out of the mask is no fault of the fill.
    steps = np.minimum(crossing_steps, max(SEAM_CAP * usual, float(np.percentile(crossing_steps, SEAM_PERCENTILE))))
    return max(0.0, (float(steps.mean()) + 1 / 255) / usual - 1)


def _new_colours(pixels: Pixels, unknown: NDArray[np.bool_], known: NDArray[np.bool_]) -> float:
    """Return the share of the hole whose colour, blurred a little, has no neighbour among the colours of the surroundings."""
    import cv2

    lab = cv2.cvtColor(np.clip(gaussian_blur(pixels, COLOUR_BLUR), 0, 1), cv2.COLOR_RGB2Lab)
    return float(1 - ColourCells(lab, known).usual[unknown].mean())


def _new_edges(light: Mask, unknown: NDArray[np.bool_], known: NDArray[np.bool_]) -> float:
    """Return the share of the hole with edges that are stronger than nearly every edge of the surroundings."""
    import cv2

    soft = gaussian_blur(light, 1.0)
    slope = np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(soft, cv2.CV_32F, 0, 1, scale=1 / 8))
    away = known & (distance_from(unknown) > 3)
    if not away.any():
        return 0.0
    limit = max(NEW_EDGE_FACTOR * float(np.percentile(slope[away], 99.9)), LEAST_NEW_EDGE)
    return float((slope[unknown] > limit).mean())


def usual_foreign(pixels: Pixels, unknown: NDArray[np.bool_], hidden: NDArray[np.bool_]) -> float | None:
    """Return how foreign, 0..1, the picture itself is to what lies beside it, in holes of the same shape round the hole.

    It is the upper quartile over at most eight places, or None if there are fewer than ``LEAST_PLACES``: what a fill is compared with. In
    a crowd much is foreign by nature, on a wall nothing is. pixels: (h, w, 3), 0..1, display-encoded, with the hole's
    length of surroundings on each side; unknown, hidden: (h, w).
    """
    small, is_hole, is_hidden = _reduced(pixels, unknown, hidden)
    rows, columns = np.flatnonzero(is_hole.any(axis=1)), np.flatnonzero(is_hole.any(axis=0))
    length = PLACE_DISTANCE * (max(int(rows[-1] - rows[0]), int(columns[-1] - columns[0])) + 1)
    shares = []
    for down, across in PLACE_DIRECTIONS:
        moved = _moved(is_hole, round(down * length), round(across * length)) & ~is_hole & ~is_hidden
        if moved.sum() >= LEAST_PLACE_SHARE * is_hole.sum():
            shares.append(_unlike_share(small, moved, is_hole | is_hidden))
    return float(np.percentile(shares, 75)) if len(shares) >= LEAST_PLACES else None


def _moved(hole: NDArray[np.bool_], down: int, across: int) -> NDArray[np.bool_]:
    """Return the hole (h, w) moved by so many px; what leaves the picture is lost."""
    height, width = hole.shape
    moved = np.zeros_like(hole)
    target = np.s_[max(down, 0) : height + min(down, 0), max(across, 0) : width + min(across, 0)]
    source = np.s_[max(-down, 0) : height - max(down, 0), max(-across, 0) : width - max(across, 0)]
    if abs(down) < height and abs(across) < width:
        moved[target] = hole[source]
    return moved


def _foreign_share(pixels: Pixels, unknown: NDArray[np.bool_], hidden: NDArray[np.bool_]) -> float:
    """Return the mean unlikeness, 0..1, of the blocks in the hole and what lies beside it, on a copy whose hole is about 100 px long."""
    return _unlike_share(*_reduced(pixels, unknown, hidden))


def _reduced(pixels: Pixels, unknown: NDArray[np.bool_], hidden: NDArray[np.bool_]) -> tuple[Pixels, NDArray[np.bool_], NDArray[np.bool_]]:
    factor = reduction(unknown)
    small, small_unknown, small_hidden = (reduce_by(each.astype(np.float32, copy=False), factor) for each in (pixels, unknown, hidden))
    return small, small_unknown > 0, (small_hidden > 0) & ~(small_unknown > 0)


def _unlike_share(small: Pixels, hole: NDArray[np.bool_], hidden: NDArray[np.bool_]) -> float:
    likeness = BorderLikeness(small, hole, hidden, BLOCK_SIDE)
    inside = window_counts(hole, likeness.side) >= likeness.side * likeness.side // 2
    places = np.argwhere(inside)[::5]
    return float(likeness.unlikeness(places, places).mean()) if len(places) else 0.0


def _broken_lines(light: Mask, unknown: NDArray[np.bool_], hidden: NDArray[np.bool_]) -> float:
    """Return the share of the lines that run into the hole and do not go on inside it, weighted by their contrast."""
    import cv2

    soft = gaussian_blur(light, 1.2)
    contours, _ = cv2.findContours(unknown.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    signed = gaussian_blur(distance_from(unknown) - distance_from(~unknown), 2.0)
    down, across = np.gradient(signed, axis=0), np.gradient(signed, axis=1)
    height, width = light.shape
    broken, total = 0.0, 0.0
    for contour in contours:
        points = contour[:, 0, :].astype(np.float32)
        if len(points) < 8 * LINE_SHIFT:
            continue
        rows, columns = contour[:, 0, 1], contour[:, 0, 0]
        normal = np.stack([across[rows, columns], down[rows, columns]], axis=1)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
        outside, inside = points + LINE_DISTANCE * normal, points - LINE_DISTANCE * normal
        visible = (outside >= 0).all(axis=1) & (outside[:, 0] < width) & (outside[:, 1] < height) & ~hidden[rows, columns]
        slopes = [np.gradient(_sample(soft, place)) for place in (outside, inside)]
        is_line = visible & (np.abs(slopes[0]) > LEAST_LINE)
        if not is_line.any():
            continue
        best = np.zeros(len(points), dtype=np.float32)
        for shift in range(-LINE_SHIFT, LINE_SHIFT + 1):
            moved = np.roll(slopes[1], shift)
            best = np.maximum(best, np.clip(moved * np.sign(slopes[0]), 0, np.abs(slopes[0])))
        weight = np.abs(slopes[0])[is_line]
        broken += float((weight - best[is_line]).sum())
        total += float(weight.sum())
    return broken / total if total else 0.0


def _sample(values: Mask, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the values (n) at points (n, 2), across and down in px, interpolated."""
    import cv2

    sampled = cv2.remap(values, points[None, :, 0], points[None, :, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled[0], dtype=np.float32)
