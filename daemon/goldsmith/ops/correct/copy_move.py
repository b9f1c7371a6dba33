"""Find regions that occur twice in a picture, exact to the px, and patterns, which repeat by nature and are only reported.

Keypoints are described (SIFT; Lowe, IJCV 2004) and matched within the same picture, at the same rotation and size. If many pairs agree on
an offset (Amerini et al., "A SIFT-based forensic method for copy-move attack detection", TIFS 2011), the pixels there are compared with the
pixels at that offset.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.ops.correct.defect import BoolMask, Defect, connected_components, expand_window
from goldsmith.picture.colour import luma
from goldsmith.picture.picture import Mask, Pixels, Window
from goldsmith.picture.smoothing import gaussian_blur, resize_values

# Larger pictures are searched at a reduced size.
_SEARCH_PIXELS = 3_000_000
_POINTS = 6000
# Minimum distance of the two places, in px of the searched size.
_MIN_DISTANCE = 24
# Maximum distance of two descriptors; different objects have 250 and more.
_MAX_DESCRIPTOR_DISTANCE = 120.0
_LEAST_PAIRS = 6
# Minimum correlation of the two places over a square of 11 px.
_MIN_LOCAL_CORRELATION = 0.95
# The same over the whole copy: windows and letters of one kind are similar, but less so. The limit is lower if the picture was reduced.
_MIN_CORRELATION, _MIN_CORRELATION_DOWNSCALED = 0.98, 0.965
_SQUARE = 11
_DETAIL = 0.012
_LEAST_AREA = 500
# px beyond the identical squares in which the edge of a pasted object lies.
_RIM = 24
_SAME_TOLERANCE = 0.02
# px beyond the last identical pixel: the edge, blurred by JPEG compression.
_SEAM = 3
_MIN_RIM_PIXELS = 20
_MIN_STEEPNESS_RATIO = 1.25
# Added to both slopes, so that noise on even ground does not count as a steep edge.
_SLOPE_OFFSET = 0.02
# A place that repeats at so many offsets or more is a pattern.
_MIN_PATTERN_OFFSETS = 3


@dataclass(frozen=True, slots=True)
class DuplicatedRegion:
    """Two identical places: the box of the copy, its identical pixels, and the box of the original.

    The copy is the place with an edge around it, where it was pasted; if neither has one, it is the later place. ``correlation`` is
    that of their detail. ``is_pattern`` is true if the same content occurs more than twice.
    """

    window: Window
    mask: BoolMask
    source: Window
    correlation: float
    is_pattern: bool

    def to_defect(self) -> Defect:
        return Defect(self.window, round(self.correlation, 3), round(self.correlation, 3), duplicate_of=self.source)


def find(pixels: Pixels) -> list[DuplicatedRegion]:
    """Return the duplicated regions of ``pixels``, (h, w, c), 0..1, display-encoded, largest first."""
    height, width = pixels.shape[:2]
    if min(height, width) < 4 * _MIN_DISTANCE:
        return []
    shrink = max(1.0, (height * width / _SEARCH_PIXELS) ** 0.5)
    grey = resize_values(luma(pixels), round(height / shrink), round(width / shrink))
    offsets = _candidate_offsets(grey)
    if not offsets:
        return []
    detail = gaussian_blur(grey, 0.7) - gaussian_blur(grey, 5)
    regions = [_identify_copy(grey, region) for offset in offsets for region in _compare_at_offset(detail, offset)]
    regions.sort(key=lambda region: -int(region.mask.sum()))
    kept: list[DuplicatedRegion] = []
    for region in regions:
        overlapping = [other for other in kept if _overlaps(region.window, other.window) or _overlaps(region.window, other.source)]
        overlapping += [other for other in kept if _overlaps(region.source, other.window)]
        is_pattern = region.is_pattern or len(offsets) >= _MIN_PATTERN_OFFSETS
        if not overlapping and (is_pattern or region.correlation > (_MIN_CORRELATION if shrink == 1 else _MIN_CORRELATION_DOWNSCALED)):
            kept.append(DuplicatedRegion(region.window, region.mask, region.source, region.correlation, is_pattern))
    return [_scale_to_full_size(region, shrink, height, width) for region in kept]


def _candidate_offsets(grey: Mask) -> list[tuple[int, int]]:
    """Return the offsets (rows, columns) that many keypoint pairs agree on, most votes first."""
    import cv2

    codes = np.clip(grey * 255 + 0.5, 0, 255).astype(np.uint8)
    detector = cv2.SIFT.create(_POINTS, contrastThreshold=0.02)
    points, descriptors = detector.detectAndCompute(codes, None)
    if descriptors is None or len(points) < 2 * _LEAST_PAIRS:
        return []
    nearest = cv2.BFMatcher(cv2.NORM_L2).knnMatch(descriptors, descriptors, k=4)
    votes: Counter[tuple[int, int]] = Counter()
    known_pairs: set[tuple[int, int, int, int]] = set()
    for pair in (match for matches in nearest for match in matches):
        first, second = points[pair.queryIdx], points[pair.trainIdx]
        if (
            pair.distance > _MAX_DESCRIPTOR_DISTANCE
            or abs((first.angle - second.angle + 180) % 360 - 180) > 6
            or not 0.9 < first.size / second.size < 1.11
        ):
            continue
        across, down = second.pt[0] - first.pt[0], second.pt[1] - first.pt[1]
        if np.hypot(across, down) < _MIN_DISTANCE or (down, across) < (0, 0):
            continue
        pair_position = (round(first.pt[0]), round(first.pt[1]), round(second.pt[0]), round(second.pt[1]))
        if pair_position not in known_pairs:
            known_pairs.add(pair_position)
            votes[(round(down), round(across))] += 1
    return _consensus_offsets(votes)


def _consensus_offsets(votes: Counter[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the offsets with the votes of their 1 px neighbours included, only the strongest of each neighbourhood."""
    support = {
        offset: sum(votes.get((offset[0] + down, offset[1] + across), 0) for down in (-1, 0, 1) for across in (-1, 0, 1))
        for offset in votes
    }
    order = sorted(
        (offset for offset in support if support[offset] >= _LEAST_PAIRS), key=lambda offset: (-votes[offset], -support[offset], offset)
    )
    kept: list[tuple[int, int]] = []
    for offset in order:
        if all(abs(offset[0] - other[0]) > 2 or abs(offset[1] - other[1]) > 2 for other in kept):
            kept.append(offset)
    return kept[:32]


def _compare_at_offset(detail: Mask, offset: tuple[int, int]) -> list[DuplicatedRegion]:
    """Return the regions of ``detail`` (h, w) that are identical at that offset: the second place of each."""
    import cv2

    down, across = offset
    height, width = detail.shape
    rows = slice(down, height), slice(0, height - down)
    columns = (slice(across, width), slice(0, width - across)) if across >= 0 else (slice(0, width + across), slice(-across, width))
    later, earlier = detail[rows[0], columns[0]], detail[rows[1], columns[1]]

    def local_mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.blur(values, (_SQUARE, _SQUARE), borderType=cv2.BORDER_REFLECT))

    powers = local_mean(later * later), local_mean(earlier * earlier)
    correlation = local_mean(later * earlier) / np.sqrt(np.maximum(powers[0] * powers[1], 1e-12))
    is_even = np.minimum(*powers) > 0.6 * np.maximum(*powers)
    marked = (correlation > _MIN_LOCAL_CORRELATION) & is_even & (np.minimum(*powers) > _DETAIL**2)
    marked = cv2.morphologyEx(marked.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)) > 0
    regions = []
    for (high, wide), component in connected_components(marked, _LEAST_AREA):
        window = _shift_window((high, wide), rows[0].start, columns[0].start)
        source = _shift_window((high, wide), rows[1].start, columns[1].start)
        regions.append(DuplicatedRegion(window, component, source, float(correlation[high, wide][component].mean()), is_pattern=False))
    return regions


def _identify_copy(grey: Mask, region: DuplicatedRegion) -> DuplicatedRegion:
    """Return the region with the copy extended to its edge, and with the places exchanged if the earlier one was pasted."""
    margins = [
        (min(_RIM, copy_span.start, source_span.start), min(_RIM, length - copy_span.stop, length - source_span.stop))
        for copy_span, source_span, length in zip(region.window, region.source, grey.shape, strict=True)
    ]
    places = [
        tuple(slice(span.start - before, span.stop + after) for span, (before, after) in zip(place, margins, strict=True))
        for place in (region.window, region.source)
    ]
    later, earlier = (grey[place] for place in places)
    identical = _identical_area(later - earlier, np.pad(region.mask, margins))
    steep = [_rim_steepness(part, identical) for part in (later, earlier)]
    if max(steep) <= _MIN_STEEPNESS_RATIO * min(steep):
        return region
    copy_mask = _dilate(identical, _SEAM)
    inner = tuple(
        slice(int(np.flatnonzero(projection)[0]), int(np.flatnonzero(projection)[-1]) + 1)
        for projection in (copy_mask.any(axis=1), copy_mask.any(axis=0))
    )
    copy, source = (
        _shift_window((inner[0], inner[1]), place[0].start, place[1].start) for place in (places if steep[0] > steep[1] else places[::-1])
    )
    return DuplicatedRegion(copy, copy_mask[inner], source, region.correlation, region.is_pattern)


def _identical_area(difference: Mask, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return how far the two places are identical beyond the identical squares, as a connected area."""
    import cv2

    same = (np.abs(cv2.blur(difference, (3, 3))) < _SAME_TOLERANCE) & _dilate(mask, _RIM)
    same = cv2.morphologyEx(same.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    _, labels = cv2.connectedComponents(same)
    body = np.isin(labels, np.unique(labels[mask & (same > 0)])) & (same > 0)
    return np.asarray(cv2.morphologyEx(body.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)) > 0)


def _rim_steepness(grey: Mask, mask: NDArray[np.bool_]) -> float:
    """Return how much steeper the tone changes at the rim of the copy than slightly further out: 1 = no edge."""
    import cv2

    slope = np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1))
    rim, outer_rim = _dilate(mask, 2) & _dilate(~mask, 1), _dilate(mask, 7) & ~_dilate(mask, 4)
    if np.count_nonzero(rim) < _MIN_RIM_PIXELS or np.count_nonzero(outer_rim) < _MIN_RIM_PIXELS:
        return 1.0
    return float((slope[rim].mean() + _SLOPE_OFFSET) / (slope[outer_rim].mean() + _SLOPE_OFFSET))


def _dilate(flags: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Return the flags dilated by ``radius`` px, diagonals included."""
    import cv2

    return np.asarray(cv2.dilate(flags.astype(np.uint8), np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)) > 0)


def _shift_window(window: Window, down: int, across: int) -> Window:
    rows, columns = window
    return slice(rows.start + down, rows.stop + down), slice(columns.start + across, columns.stop + across)


def _overlaps(first: Window, second: Window) -> bool:
    return all(span.start < other.stop and other.start < span.stop for span, other in zip(first, second, strict=True))


def _scale_to_full_size(region: DuplicatedRegion, shrink: float, height: int, width: int) -> DuplicatedRegion:
    """Return the region at the picture's own size."""
    if shrink == 1:
        return region
    boxes = []
    for rows, columns in (region.window, region.source):
        exact = tuple(slice(int(span.start * shrink), int(np.ceil(span.stop * shrink))) for span in (rows, columns))
        boxes.append(expand_window((exact[0], exact[1]), 0, height, width))
    rows, columns = boxes[0]
    mask = resize_values(region.mask.astype(np.float32), rows.stop - rows.start, columns.stop - columns.start) > 0.5
    return DuplicatedRegion(boxes[0], mask, boxes[1], region.correlation, region.is_pattern)
