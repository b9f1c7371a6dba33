"""Tell how unlike parts of a picture are what lies beside a hole, in colour and in structure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels
from goldsmith.stitching.surroundings import distance_from

# The features of a block: its mean L, a and b and the standard deviation of its L, in units of CIELAB.
_FEATURES = 4
# Blocks count as beside the hole up to this many block sides from it.
BORDER_SIDES = 1.0
# At most so many blocks beside the hole are compared with.
MAX_BORDER_BLOCKS = 400
# Up to the first distance in CIELAB a block is like the border's nearest; from the second on it is wholly unlike.
LIKE_DISTANCE = 4.0
UNLIKE_DISTANCE = 16.0
# How much a block counts as unlike that is alike only far from its place: per length of the hole.
FAR_WEIGHT = 0.35
# From this unlikeness on, 0..1, a block or an object is told from what lies beside the hole.
LEAST_UNLIKENESS = 0.25
_COMPARED_AT_ONCE = 20_000


class BorderLikeness:
    """The blocks of ``side`` px beside the hole (h, w) of pixels (h, w, 3), 0..1, display-encoded; ``hidden`` (h, w) is left out."""

    def __init__(self, pixels: Pixels, hole: NDArray[np.bool_], hidden: NDArray[np.bool_], side: int) -> None:
        self.side = min(side, *hole.shape)
        self._features = _block_features(pixels, self.side)
        self._depth = distance_from(~hole)
        rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
        self._length = float(max(rows[-1] - rows[0], columns[-1] - columns[0])) + 1
        self._border = self._border_places(hole, hidden)

    def _border_places(self, hole: NDArray[np.bool_], hidden: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Return top and left (n, 2) of known blocks beside the hole, spread evenly."""
        import cv2

        half = self.side // 2
        blocked = cv2.erode((~(hole | hidden)).astype(np.uint8), np.ones((self.side, self.side), np.uint8), borderValue=1) == 0
        height, width = self._features.shape[:2]
        # cv2 anchors a kernel at half its side.
        middle_free = ~blocked[half : half + height, half : half + width]
        near = distance_from(hole)[half : half + height, half : half + width] <= half + 1 + BORDER_SIDES * self.side
        places = np.argwhere(middle_free & near)
        return places[:: max(-(-len(places) // MAX_BORDER_BLOCKS), 1)]

    def unlikeness(
        self, sources: NDArray[np.intp], places: NDArray[np.intp] | None = None, pixels: Pixels | None = None
    ) -> NDArray[np.float32]:
        """Return how unlike the border the blocks at ``sources`` (n, 2), top and left, are: 0..1 each.

        With ``places`` (n, 2), where the blocks are to go, the border near a place counts more. With ``pixels`` (h, w, 3), 0..1, the blocks
        are those of another picture of the same size, such as a fill. All are 0 if nothing lies beside the hole.
        """
        if not len(self._border) or not len(sources):
            return np.zeros(len(sources), dtype=np.float32)
        features = self._features if pixels is None else _block_features(pixels, self.side)
        unlike = []
        for start in range(0, len(sources), _COMPARED_AT_ONCE):
            part = np.s_[start : start + _COMPARED_AT_ONCE]
            own = features[sources[part, 0], sources[part, 1]]
            unlike.append(self._compare(own, None if places is None else self._far_costs(places[part])))
        return np.concatenate(unlike)

    def _compare(self, own: NDArray[np.float32], far_costs: NDArray[np.float32] | None) -> NDArray[np.float32]:
        border = self._features[self._border[:, 0], self._border[:, 1]]
        squares = np.square(own).sum(axis=1)[:, None] + np.square(border).sum(axis=1)[None] - 2 * own @ border.T
        if far_costs is None:
            return _unlike(np.sqrt(np.maximum(squares.min(axis=1), 0)))
        return np.asarray(np.minimum((_unlike(np.sqrt(np.maximum(squares, 0))) + far_costs).min(axis=1), 1), dtype=np.float32)

    def _far_costs(self, places: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the cost (n, m) of how much further each block of the border is from each place than the nearest border."""
        half = self.side // 2
        apart = np.hypot(*(np.subtract.outer(places[:, axis], self._border[:, axis]).astype(np.float32) for axis in (0, 1)))
        depth = self._depth[
            np.minimum(places[:, 0] + half, self._depth.shape[0] - 1), np.minimum(places[:, 1] + half, self._depth.shape[1] - 1)
        ]
        return np.asarray(FAR_WEIGHT / self._length * np.maximum(apart - depth[:, None] - 1.5 * self.side, 0), dtype=np.float32)


def _unlike(distance: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.clip((distance - LIKE_DISTANCE) / (UNLIKE_DISTANCE - LIKE_DISTANCE), 0, 1), dtype=np.float32)


def _block_features(pixels: Pixels, side: int) -> NDArray[np.float32]:
    """Return the features (h - side + 1, w - side + 1, 4) of the block at each place."""
    import cv2

    lab = cv2.cvtColor(np.clip(pixels, 0, 1), cv2.COLOR_RGB2Lab)
    # The mean and the mean square are taken about a middle tone, so that float32 is exact enough.
    light = lab[..., 0] - 50
    window, anchor = (side, side), (0, 0)
    means = cv2.boxFilter(lab, cv2.CV_32F, window, anchor=anchor)
    deviation = np.sqrt(np.maximum(cv2.boxFilter(light * light, cv2.CV_32F, window, anchor=anchor) - np.square(means[..., 0] - 50), 0))
    height, width = pixels.shape[0] - side + 1, pixels.shape[1] - side + 1
    return np.asarray(np.concatenate([means, deviation[..., None]], axis=2)[:height, :width], dtype=np.float32)
