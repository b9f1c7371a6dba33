"""Where the surroundings of a hole are measured."""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels, Window
from goldsmith.picture.smoothing import gaussian_blur, pull_push_fill, resize_values

# The ring round a hole is a quarter of its longer side wide, within these px.
MIN_RING_PX = 16
MAX_RING_PX = 96
# The sides of a cell of colours in L, a and b: colours within a cell's neighbours are the same to a viewer at this blur.
COLOUR_CELL = (5.0, 4.0, 4.0)
# A cell counts as a colour of the surroundings from this share of their pixels on.
LEAST_COLOUR_SHARE = 2e-5
# The standard deviation in px of the blur before colours are compared.
COLOUR_BLUR = 2.0
# The standard deviation in px of the blur before the colours of a rim are compared: grain is no colour.
RIM_BLUR = 1.0
# The border of a hole is bare if, in a ring of so many px, at most this share of the pixels belongs to a form.
BORDER_PX = 3
MAX_BORDER_FORMS = 0.03
# Nothing can be measured where forms cover more than this share of the ring round a hole.
MAX_RING_FORMS = 0.85
# A form begins and ends with a slope, 0..1 per px, of at least so much, and of so many times the median slope of the ring, which is grain.
LEAST_FORM_SLOPE = 3 / 255
FORM_SLOPE_FACTOR = 5.0
# Slopes are measured after a blur of this standard deviation in px. The blur widens an edge, so that an edge lies where the slope has at
# least this share of the strongest within so many px. A form reaches so many px beyond its edges.
FORM_BLUR = 1.0
FORM_CREST = 0.5
CREST_SIDE = 7
FORM_REACH_PX = 5
# Blocks are compared on a copy that is reduced until the hole is about this long, in px.
COMPARED_AT_PX = 110


def ring_width(hole: NDArray[np.bool_]) -> int:
    """Return the width in px of the ring round the hole (h, w)."""
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    if not rows.size:
        return MIN_RING_PX
    longer = max(int(rows[-1] - rows[0]), int(columns[-1] - columns[0])) + 1
    return int(np.clip(longer // 4, MIN_RING_PX, MAX_RING_PX))


def find_ring(hole: NDArray[np.bool_], hidden: NDArray[np.bool_], width: int | None = None) -> NDArray[np.bool_]:
    """Return the pixels (h, w) within ``width`` px outside the hole that are not hidden; by default within ``ring_width``."""
    return (distance_from(hole) <= (ring_width(hole) if width is None else width)) & ~hole & ~hidden


def find_dirty_rim(pixels: Pixels, hole: NDArray[np.bool_], hidden: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Return the pixels (h, w) within ``width`` px of the hole whose colours the ring beyond them does not have.

    They are the rest of an object whose mask is too tight. pixels: (h, w, 3), 0..1, display-encoded.
    """
    import cv2

    rim = find_ring(hole, hidden, width)
    beyond = find_ring(hole | rim, hidden, ring_width(hole) + width)
    if not rim.any() or not beyond.any():
        return rim
    soft = gaussian_blur(pixels, RIM_BLUR)
    dirty = np.zeros_like(rim)
    dirty[rim] = ~ColourCells(to_lab(soft[beyond])).are_usual(to_lab(soft[rim]))
    return np.asarray(cv2.dilate(dirty.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0) & rim


def find_detached_forms(pixels: Pixels, hole: NDArray[np.bool_], hidden: NDArray[np.bool_], rim: int) -> NDArray[np.bool_]:
    """Return the forms (h, w) round a hole of which none touches it, such as lines of text beside a headline on paper.

    All are False if a form touches the hole both at its border and ``rim`` px further out: then forms may go on inside it. What does not
    touch the hole does not, so it says nothing of what the hole hides. pixels: (h, w, 3), 0..1, display-encoded; hole, hidden: (h, w).
    """
    import cv2

    ring = find_ring(hole, hidden)
    if not ring.any():
        return np.zeros_like(hole)
    known = ~(hole | hidden)
    whole = np.where(known[..., None], pixels, pull_push_fill(pixels, known.astype(np.float32)))
    soft = gaussian_blur(whole.astype(np.float32), FORM_BLUR)
    slope = np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(soft, cv2.CV_32F, 0, 1, scale=1 / 8)).max(axis=2)
    limit = max(LEAST_FORM_SLOPE, FORM_SLOPE_FACTOR * float(np.median(slope[ring])))
    crest = slope >= FORM_CREST * cv2.dilate(slope, np.ones((CREST_SIDE, CREST_SIDE), np.uint8))
    edges = (slope > limit) & crest & known
    distance = distance_from(hole)
    borders = [ring & (low < distance) & (distance <= low + BORDER_PX) for low in (0, rim)]
    if all(float(edges[border].mean()) > MAX_BORDER_FORMS for border in borders if border.any()):
        return np.zeros_like(hole)
    side = 2 * FORM_REACH_PX + 1
    forms = cv2.dilate(edges.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))) > 0
    return np.asarray(forms & known) if float(forms[ring].mean()) <= MAX_RING_FORMS else np.zeros_like(hole)


class ColourCells:
    """The colours of a part of a picture, in cells of these ``sides`` in L, a and b. colours: (n, 3), L 0..100.

    A cell counts from ``least_share`` of the part's pixels on.
    """

    def __init__(
        self,
        colours: NDArray[np.float32],
        sides: tuple[float, float, float] = COLOUR_CELL,
        least_share: float = LEAST_COLOUR_SHARE,
    ) -> None:
        from scipy.ndimage import maximum_filter

        self._sides = np.array(sides, dtype=np.float32)
        cells = np.floor(colours / self._sides).astype(np.int32)
        # Around the part's cells lies a rim of neighbours and one of strangers, to which every other colour belongs.
        self._lowest = cells.min(axis=0, initial=0) - 2
        self._shape = cells.max(axis=0, initial=0) - self._lowest + 3
        counts = np.bincount(self._numbers(cells), minlength=int(np.prod(self._shape))).reshape(self._shape)
        self._occupied = counts > max(least_share * len(colours), 1)
        self._is_usual = maximum_filter(self._occupied, size=3).ravel()

    def are_usual(self, colours: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which (n) of the colours (n, 3), L 0..100, a and b, the part has, or has right beside them."""
        cells = np.floor(colours / self._sides).astype(np.int32)
        return np.asarray(self._is_usual[self._numbers(np.clip(cells, self._lowest, self._lowest + self._shape - 1))])

    def _numbers(self, cells: NDArray[np.int32]) -> NDArray[np.intp]:
        own = cells - self._lowest
        return np.asarray(np.ravel_multi_index((own[..., 0], own[..., 1], own[..., 2]), tuple(self._shape)))

    def nearest(self, colours: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return for each colour (n, 3), L 0..100, a and b, the nearest one of the part; the same colours if the part has none."""
        from scipy.spatial import KDTree

        low = (np.argwhere(self._occupied) + self._lowest).astype(np.float32) * self._sides
        if not len(low):
            return colours
        half = self._sides / 2
        _, index = KDTree(low + half).query(colours)
        return np.asarray(np.clip(colours, low[index], low[index] + 2 * half), dtype=np.float32)


def to_lab(colours: Pixels) -> NDArray[np.float32]:
    """Return L 0..100, a and b (n, 3) of display-encoded colours (n, 3), 0..1."""
    import cv2

    if not len(colours):
        return np.zeros((0, 3), dtype=np.float32)
    return np.asarray(cv2.cvtColor(np.clip(colours, 0, 1)[None], cv2.COLOR_RGB2Lab)[0], dtype=np.float32)


def window_of(hole: NDArray[np.bool_], margin: int) -> Window:
    """Return the box of the hole (h, w), not empty, and so many px round it, as an index into (h, w)."""
    spans = (np.flatnonzero(hole.any(axis=axis)) for axis in (1, 0))
    rows, columns = (slice(max(int(span[0]) - margin, 0), int(span[-1]) + 1 + margin) for span in spans)
    return rows, columns


def distance_from(hole: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the distance (h, w) in px of each pixel from the hole; 0 inside it."""
    import cv2

    return np.asarray(cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, 5), dtype=np.float32)


def reduction(hole: NDArray[np.bool_]) -> int:
    """Return the whole factor by which the hole (h, w) is reduced to at most ``COMPARED_AT_PX`` px."""
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    longer = max(int(rows[-1] - rows[0]), int(columns[-1] - columns[0])) + 1
    return max(1, ceil(longer / COMPARED_AT_PX))


def reduce_by(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Return the means of factor x factor px of values (h, w) or (h, w, c); an incomplete last row or column of cells is filled up."""
    padding = [(0, -edge % factor) for edge in values.shape[:2]] + [(0, 0)] * (values.ndim - 2)
    padded = np.pad(values, padding, mode="edge").astype(np.float32, copy=False)
    return resize_values(np.ascontiguousarray(padded), padded.shape[0] // factor, padded.shape[1] // factor)
