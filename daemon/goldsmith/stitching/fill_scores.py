"""Measure a fill without knowing the truth: by its surroundings."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Mask, Pixels, Window
from goldsmith.picture.smoothing import gaussian_blur, pull_push_fill
from goldsmith.stitching.border_likeness import BorderLikeness
from goldsmith.stitching.offset_labels import BLOCK_SIDE, window_counts
from goldsmith.stitching.surroundings import (
    COLOUR_BLUR,
    ColourCells,
    distance_from,
    find_ring,
    reduce_by,
    reduction,
    ring_width,
    to_lab,
    window_of,
)

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
# The quantiles are those of about so many values at most.
MAX_QUANTILE_VALUES = 30_000
# Fills are measured in the box of the hole and so many px round it: no measure looks further.
MEASURED_PX = 24
# Detail is compared place by place in cells so small that the blur over them has at least this standard deviation in cells.
LEAST_EVEN_SIGMA = 4.0
# How closely the expected detail follows single px of the ring.
RING_CONFIDENCE = 0.2
# Steps this near to the border, in px, are compared with those across it.
SEAM_PX = 4
# The standard deviations in px of the blurs before edges and lines are measured.
EDGE_BLUR = 1.0
LINE_BLUR = 1.2
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


class FillComparison:
    """Compare fills of one hole with its surroundings, which are measured once.

    pixels: (h, w, 3), 0..1, display-encoded; what they have in the hole ``unknown`` (h, w) is not looked at. ``hidden`` (h, w) is ignored.
    Forms that do not touch the hole, ``detached`` (h, w), are no model for it: they only count as something that lies beside it.
    """

    def __init__(
        self, pixels: Pixels, unknown: NDArray[np.bool_], hidden: NDArray[np.bool_], detached: NDArray[np.bool_] | None = None
    ) -> None:
        ignored = hidden if detached is None else hidden | detached
        known = ~(unknown | ignored)
        distance = distance_from(unknown)
        ring = find_ring(unknown, ignored) & (distance > 2)
        self._measures: _Measures | None = None
        if not ring.any():
            return
        plain = np.where(unknown[..., None], pull_push_fill(pixels, known.astype(np.float32)), pixels).astype(np.float32)
        window = window_of(unknown, MEASURED_PX)
        light = _lightness(plain)
        self._measures = _Measures(
            window,
            _DetailComparison(light, unknown, ring, window),
            _SeamComparison(unknown[window], known[window]),
            _NoveltyComparison(plain, light, unknown, known, window),
            _LineComparison(light, unknown, ignored, window),
            _ForeignComparison(plain, unknown, hidden),
        )

    def score(self, pixels: Pixels) -> FillScores:
        """Return the scores of the fill in pixels (h, w, 3), 0..1, which are those of the surroundings outside the hole."""
        measures = self._measures
        if measures is None:
            return FillScores(1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        part = np.ascontiguousarray(pixels[measures.window])
        light = _lightness(part)
        ratio, form_ratio, evenness, texture = measures.detail.compare(light)
        return FillScores(
            round(ratio, 4),
            round(form_ratio, 4),
            round(evenness, 4),
            round(measures.seam.compare(part), 4),
            round(measures.novelty.compare(part, light), 4),
            round(measures.lines.compare(light), 4),
            round(measures.foreign.compare(pixels), 4),
            round(texture, 4),
        )


class _DetailComparison:
    """The detail of the ring round a hole, by bands. light: (h, w), 0..1; unknown, ring: (h, w); window: where fills are measured."""

    def __init__(self, light: Mask, unknown: NDArray[np.bool_], ring: NDArray[np.bool_], window: Window) -> None:
        sigma = max(ring_width(unknown) / 3, LEAST_EVEN_SIGMA)
        self._factor = max(1, int(sigma / LEAST_EVEN_SIGMA))
        self._sigma = sigma / self._factor
        inner = unknown & (distance_from(~unknown) > 2)
        self._inner = (inner if inner.any() else unknown)[window]
        self._weight = reduce_by(self._inner.astype(np.float32), self._factor)
        self._blurred_weight = np.maximum(gaussian_blur(self._weight, self._sigma), 1e-3)
        details = _details(light)
        self._means = [float(detail[ring].mean()) + LEAST_DETAIL for detail in details]
        self._expected = [self._expect(detail, ring, window) for detail in details]
        self._quantiles, self._deviations = [], []
        for band in _bands(light):
            values = band[ring]
            self._quantiles.append(_quantiles(values))
            self._deviations.append(float(values.std()) + 1 / 255)

    def _expect(self, detail: Mask, ring: NDArray[np.bool_], window: Window) -> Mask:
        """Return the detail, in cells of the window, that continues the ring's into the hole."""
        share = reduce_by(ring[window].astype(np.float32), self._factor)
        values = reduce_by(detail[window] * ring[window], self._factor) / np.maximum(share, 1e-3)
        confidence = np.minimum(share * np.float32(RING_CONFIDENCE * self._factor), 1)
        expected = pull_push_fill(values[..., None].astype(np.float32), confidence.astype(np.float32))[..., 0]
        return np.asarray(np.maximum(expected, 0) + LEAST_DETAIL, dtype=np.float32)

    def compare(self, light: Mask) -> tuple[float, float, float, float]:
        """Return the ratios of detail and of forms, the evenness and the texture of a fill. light: (h, w) of the window."""
        ratios, octaves = [], []
        for detail, mean, expected in zip(_details(light), self._means, self._expected, strict=True):
            ratios.append((float(detail[self._inner].mean()) + LEAST_DETAIL) / mean)
            even = gaussian_blur(reduce_by(detail * self._inner, self._factor), self._sigma) / self._blurred_weight
            difference = np.abs(np.log2((np.maximum(even, 0) + LEAST_DETAIL) / expected))
            octaves.append(float(np.average(difference, weights=self._weight)))
        distances = [
            float(np.abs(_quantiles(band[self._inner]) - outside).mean()) / deviation
            for band, outside, deviation in zip(_bands(light), self._quantiles, self._deviations, strict=True)
        ]
        return ratios[0], ratios[1], float(np.mean(octaves)), float(np.mean(distances))


def _lightness(pixels: Pixels) -> Mask:
    """Return the luma (Rec. 601) of display-encoded pixels (h, w, 3): for differences, the eye's weights matter, not the profile."""
    return np.asarray(pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32), dtype=np.float32)


def _details(light: Mask) -> tuple[Mask, Mask]:
    """Return the strength (h, w) of fine detail and of forms at each pixel of light (h, w), in its unit."""
    soft = gaussian_blur(light, DETAIL_SIGMA)
    return np.abs(light - soft), np.abs(soft - gaussian_blur(soft, FORM_SIGMA))


def _bands(light: Mask) -> list[Mask]:
    """Return light (h, w) in bands from fine to broad, and its slopes, (h, w) each, in its unit."""
    blurred = [light, *(gaussian_blur(light, sigma) for sigma in BAND_SIGMAS)]
    return [*(first - second for first, second in pairwise(blurred)), _slopes(blurred[1])]


def _slopes(light: Mask) -> Mask:
    import cv2

    slopes = np.hypot(cv2.Sobel(light, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(light, cv2.CV_32F, 0, 1, scale=1 / 8))
    return np.asarray(slopes, dtype=np.float32)


def _quantiles(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the quantiles of the values (n), or of evenly spread ones of them."""
    return np.asarray(np.quantile(values[:: max(len(values) // MAX_QUANTILE_VALUES, 1)], QUANTILES), dtype=np.float32)


class _SeamComparison:
    """The pairs of neighbours across and beside the border of a hole. unknown, known: (h, w)."""

    def __init__(self, unknown: NDArray[np.bool_], known: NDArray[np.bool_]) -> None:
        near = (distance_from(unknown) <= SEAM_PX) & (distance_from(~unknown) <= SEAM_PX)
        number = np.arange(unknown.size).reshape(unknown.shape)
        across: list[NDArray[np.intp]] = []
        beside: list[NDArray[np.intp]] = []
        for first, second in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
            crossing = (unknown[first] & known[second]) | (known[first] & unknown[second])
            same = near[first] & near[second] & ((unknown[first] & unknown[second]) | (known[first] & known[second]))
            across.append(np.stack([number[first][crossing], number[second][crossing]]))
            beside.append(np.stack([number[first][same], number[second][same]]))
        self._across, self._beside = np.concatenate(across, axis=1), np.concatenate(beside, axis=1)

    def compare(self, pixels: Pixels) -> float:
        """Return how much stronger steps across the border are than steps within ``SEAM_PX`` on either side of it."""
        flat = pixels.reshape(-1, 3)
        crossing_steps, usual_steps = (np.abs(flat[pairs[0]] - flat[pairs[1]]).max(axis=1) for pairs in (self._across, self._beside))
        if not crossing_steps.size or not usual_steps.size:
            return 0.0
        usual = float(usual_steps.mean()) + 1 / 255
        # The rest of an object that sticks out of the mask is no fault of the fill.
        steps = np.minimum(crossing_steps, max(SEAM_CAP * usual, float(np.percentile(crossing_steps, SEAM_PERCENTILE))))
        return max(0.0, (float(steps.mean()) + 1 / 255) / usual - 1)


class _NoveltyComparison:
    """The colours and the strongest edges of the surroundings. pixels: (h, w, 3), light: (h, w), 0..1; unknown, known: (h, w)."""

    def __init__(self, pixels: Pixels, light: Mask, unknown: NDArray[np.bool_], known: NDArray[np.bool_], window: Window) -> None:
        self._colours = ColourCells(to_lab(gaussian_blur(pixels, COLOUR_BLUR)[known]))
        away = known & (distance_from(unknown) > 3)
        slopes = _slopes(gaussian_blur(light, EDGE_BLUR))[away]
        self._limit = max(NEW_EDGE_FACTOR * float(np.percentile(slopes, 99.9)), LEAST_NEW_EDGE) if slopes.size else np.inf
        self._unknown = unknown[window]

    def compare(self, pixels: Pixels, light: Mask) -> float:
        """Return the share of the hole, 0..1, with a colour or an edge that the surroundings do not have."""
        new_colours = ~self._colours.are_usual(to_lab(gaussian_blur(pixels, COLOUR_BLUR)[self._unknown]))
        new_edges = _slopes(gaussian_blur(light, EDGE_BLUR))[self._unknown] > self._limit
        return min(1.0, float(new_colours.mean() + new_edges.mean()))


class _LineComparison:
    """The lines that run into a hole: slopes along its outline. light: (h, w), 0..1; unknown, hidden: (h, w)."""

    def __init__(self, light: Mask, unknown: NDArray[np.bool_], hidden: NDArray[np.bool_], window: Window) -> None:
        import cv2

        soft = gaussian_blur(light, LINE_BLUR)[window]
        hole = unknown[window]
        contours, _ = cv2.findContours(hole.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        signed = gaussian_blur(distance_from(hole) - distance_from(~hole), 2.0)
        down, across = np.gradient(signed, axis=0), np.gradient(signed, axis=1)
        height, width = hole.shape
        # For each outline: the points inside (n, 2), the slopes outside (n), and which of them are lines (n).
        self._outlines: list[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]] = []
        for contour in contours:
            points = contour[:, 0, :].astype(np.float32)
            if len(points) < 8 * LINE_SHIFT:
                continue
            rows, columns = contour[:, 0, 1], contour[:, 0, 0]
            normal = np.stack([across[rows, columns], down[rows, columns]], axis=1)
            normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
            outside, inside = points + LINE_DISTANCE * normal, points - LINE_DISTANCE * normal
            visible = (outside >= 0).all(axis=1) & (outside[:, 0] < width) & (outside[:, 1] < height) & ~hidden[window][rows, columns]
            slopes = np.gradient(_sample(soft, outside))
            is_line = visible & (np.abs(slopes) > LEAST_LINE)
            if is_line.any():
                self._outlines.append((inside, slopes, is_line))

    def compare(self, light: Mask) -> float:
        """Return the share of the lines that do not go on inside, weighted by their contrast. light: (h, w) of the window."""
        soft = gaussian_blur(light, LINE_BLUR)
        broken, total = 0.0, 0.0
        for inside, slopes, is_line in self._outlines:
            own = np.gradient(_sample(soft, inside))
            best = np.zeros(len(own), dtype=np.float32)
            for shift in range(-LINE_SHIFT, LINE_SHIFT + 1):
                best = np.maximum(best, np.clip(np.roll(own, shift) * np.sign(slopes), 0, np.abs(slopes)))
            weight = np.abs(slopes)[is_line]
            broken += float((weight - best[is_line]).sum())
            total += float(weight.sum())
        return broken / total if total else 0.0


class _ForeignComparison:
    """What lies beside a hole, on a copy whose hole is about 100 px long. pixels: (h, w, 3), 0..1; unknown, hidden: (h, w)."""

    def __init__(self, pixels: Pixels, unknown: NDArray[np.bool_], hidden: NDArray[np.bool_]) -> None:
        self._factor = reduction(unknown)
        small, hole, small_hidden = _reduced(pixels, unknown, hidden)
        self._likeness = BorderLikeness(small, hole, small_hidden, BLOCK_SIDE)
        self._places = _inner_places(hole, self._likeness.side)

    def compare(self, pixels: Pixels) -> float:
        """Return the mean unlikeness, 0..1, of the blocks in the hole and what lies beside it."""
        unlike = self._likeness.unlikeness(self._places, self._places, reduce_by(pixels, self._factor))
        return float(unlike.mean()) if len(unlike) else 0.0


def _inner_places(hole: NDArray[np.bool_], side: int) -> NDArray[np.intp]:
    """Return top and left (n, 2) of blocks that lie in the hole (h, w) by half at least, spread evenly."""
    return np.argwhere(window_counts(hole, side) >= side * side // 2)[::5]


@dataclass(frozen=True, slots=True)
class _Measures:
    """The surroundings by each measure, and the part of the picture in which fills are measured."""

    window: Window
    detail: _DetailComparison
    seam: _SeamComparison
    novelty: _NoveltyComparison
    lines: _LineComparison
    foreign: _ForeignComparison


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


def _reduced(pixels: Pixels, unknown: NDArray[np.bool_], hidden: NDArray[np.bool_]) -> tuple[Pixels, NDArray[np.bool_], NDArray[np.bool_]]:
    factor = reduction(unknown)
    small, small_unknown, small_hidden = (reduce_by(each.astype(np.float32, copy=False), factor) for each in (pixels, unknown, hidden))
    return small, small_unknown > 0, (small_hidden > 0) & ~(small_unknown > 0)


def _unlike_share(small: Pixels, hole: NDArray[np.bool_], hidden: NDArray[np.bool_]) -> float:
    likeness = BorderLikeness(small, hole, hidden, BLOCK_SIDE)
    places = _inner_places(hole, likeness.side)
    return float(likeness.unlikeness(places, places).mean()) if len(places) else 0.0


def _sample(values: Mask, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the values (n) at points (n, 2), across and down in px, interpolated."""
    import cv2

    sampled = cv2.remap(values, points[None, :, 0], points[None, :, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled[0], dtype=np.float32)
