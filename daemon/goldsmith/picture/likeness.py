"""What a picture looks like, in 4 kB: by it a picture is known again after it was painted on, cropped, resized and stored with loss.

A look has keypoints of the picture (ORB) with their descriptors, spread over it, and a small grey copy. Two pictures are alike if one
similarity (scale, rotation and shift) lays many keypoints of the one onto those of the other, and if the grey copies then agree too.
It stays in the journal and is in no file that goes to a client.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from goldsmith.picture import colour
from goldsmith.picture.picture import Picture

# The longer side of the copy in which keypoints are found, in px.
_WORKING_SIDE = 400
# The keypoints of a look, and how many are looked for in a picture that is compared with looks: more, since they are not stored.
_KEYPOINTS, _MAX_FOUND = 84, 2000
# The keypoints of a look are the strongest of each cell of a grid with so many cells a side.
_CELLS = 6
# The side of the small grey copy.
_THUMB = 32
_DESCRIPTOR_BYTES = 32
# Keypoints lie so far from the edge of the copy, in px.
_EDGE = 12
_NO_KEYPOINTS = np.zeros((0, 2), np.float32), np.zeros((0, _DESCRIPTOR_BYTES), np.uint8), np.zeros(0, np.float32)
_HEADER = struct.Struct("<4sHHH")
MAX_LOOK_BYTES = _HEADER.size + _KEYPOINTS * (4 + _DESCRIPTOR_BYTES) + _THUMB**2
_MAGIC = b"GLK1"
# The best match of a descriptor is nearer than this share of the distance of the second best, and below this distance in bits.
_MAX_RATIO, _MAX_DISTANCE = 0.85, 64
# How far from its place a keypoint may lie after the similarity, in px of the working copy.
_TOLERANCE = 4.0
# The least number of keypoints that agree, and the least correlation of the grey copies.
_MIN_INLIERS, _MIN_CORRELATION = 8, 0.9
# So many keypoints, and such a share of the look's, are enough without the grey copies, which say little of a flat picture.
_MANY_INLIERS, _MANY_SHARE = 20, 0.5
# A picture shows at least this part of the sides of the other one, and at most its inverse.
_MIN_SCALE = 0.4
_GRID = 24
# The share of the grey copies that counts for their correlation.
_COUNTED_SHARE = 0.65

_Grey = NDArray[np.uint8]
_Descriptors = NDArray[np.uint8]
_Points = NDArray[np.float32]


@dataclass(frozen=True, eq=False, slots=True)
class _Look:
    """The parts of a look. points: (n, 2), x and y in px of the working copy, of ``width`` x ``height`` px; descriptors: (n, 32)."""

    width: int
    height: int
    points: _Points
    descriptors: _Descriptors
    # (_THUMB, _THUMB), 0..255.
    thumb: _Grey


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike two pictures are."""

    # How many keypoints agree, and their share of the look's keypoints, 0..1.
    inliers: int
    share: float
    # Of the grey copies where both show something, -1..1.
    correlation: float

    @property
    def is_alike(self) -> bool:
        """Whether one picture was made from the other."""
        has_many = self.inliers >= _MANY_INLIERS and self.share >= _MANY_SHARE
        return has_many or (self.inliers >= _MIN_INLIERS and self.correlation >= _MIN_CORRELATION)


NOT_ALIKE = Likeness(0, 0.0, 0.0)


def describe_look(picture: Picture) -> bytes:
    """Return the look of a picture, at most ``MAX_LOOK_BYTES``; b"" for a picture without enough detail to be known by."""
    working = _working_copy(picture)
    points, descriptors, strengths = _find_keypoints(working)
    chosen = _spread(points, strengths, working.shape)
    if len(chosen) < _MIN_INLIERS:
        return b""
    height, width = working.shape
    header = _HEADER.pack(_MAGIC, width, height, len(chosen))
    coordinates = np.round(points[chosen] * 16).astype("<u2")
    return header + coordinates.tobytes() + descriptors[chosen].tobytes() + _shrink(working).tobytes()


class SeenPicture:
    """A picture that is compared with looks. Its own keypoints are found once."""

    def __init__(self, picture: Picture) -> None:
        working = _working_copy(picture)
        points, descriptors, _ = _find_keypoints(working)
        self._look = _Look(working.shape[1], working.shape[0], points, descriptors, _shrink(working))

    def compare(self, look: bytes) -> Likeness:
        """Return how alike the picture is to the one with that look; ``NOT_ALIKE`` for a look that is none."""
        known = _parse(look)
        if known is None or len(self._look.points) < _MIN_INLIERS:
            return NOT_ALIKE
        pairs = _match(known.descriptors, self._look.descriptors)
        if len(pairs) < _MIN_INLIERS:
            return NOT_ALIKE
        from_known, to_seen = known.points[pairs[:, 0]], self._look.points[pairs[:, 1]]
        similarity, inliers = cv2.estimateAffinePartial2D(
            from_known, to_seen, method=cv2.RANSAC, ransacReprojThreshold=_TOLERANCE, maxIters=3000, confidence=0.999
        )
        if similarity is None or not _MIN_SCALE <= float(np.hypot(similarity[0, 0], similarity[1, 0])) <= 1 / _MIN_SCALE:
            return NOT_ALIKE
        count = int(np.count_nonzero(inliers))
        correlation = _correlation(known, self._look, np.asarray(similarity, np.float64))
        return Likeness(count, count / len(known.points), correlation)


def _working_copy(picture: Picture) -> _Grey:
    """Return the picture in grey, with its longer side reduced to ``_WORKING_SIDE`` px."""
    grey = picture.pixels[:, :, 0] if picture.channels == 1 else colour.luma(picture.pixels)
    scale = _WORKING_SIDE / max(picture.height, picture.width)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(np.ascontiguousarray(grey, np.float32), size, interpolation=method)
    return np.asarray(np.clip(np.round(small * 255), 0, 255), np.uint8)


def _find_keypoints(working: _Grey) -> tuple[_Points, _Descriptors, NDArray[np.float32]]:
    """Return the places (n, 2), the descriptors (n, 32) and the strengths (n,) of the keypoints."""
    if min(working.shape) <= 2 * _EDGE:  # no keypoint has room, and the smallest copy of a very narrow picture would have no pixel
        return _NO_KEYPOINTS
    finder = cv2.ORB.create(nfeatures=_MAX_FOUND, scaleFactor=1.15, nlevels=10, edgeThreshold=_EDGE, patchSize=25, fastThreshold=7)
    keypoints, descriptors = finder.detectAndCompute(working, None)
    if descriptors is None or not keypoints:
        return _NO_KEYPOINTS
    points = np.asarray([keypoint.pt for keypoint in keypoints], np.float32)
    return points, np.asarray(descriptors, np.uint8), np.asarray([keypoint.response for keypoint in keypoints], np.float32)


def _spread(points: _Points, strengths: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return the indices of the keypoints of a look: in turns the strongest that is left of each cell of a grid."""
    if not len(points):
        return np.zeros(0, np.intp)
    cells = np.minimum((points / np.asarray([shape[1], shape[0]]) * _CELLS).astype(int), _CELLS - 1)
    order = np.argsort(-strengths, kind="stable")
    turns: dict[int, int] = {}
    ranked = []
    for index in order:
        cell = int(cells[index, 1]) * _CELLS + int(cells[index, 0])
        turns[cell] = turns.get(cell, 0) + 1
        ranked.append((turns[cell], index))
    ranked.sort(key=lambda entry: entry[0])
    return np.asarray([index for _, index in ranked[:_KEYPOINTS]], np.intp)


def _shrink(working: _Grey) -> _Grey:
    return np.asarray(cv2.resize(working, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA), np.uint8)


def _parse(look: bytes) -> _Look | None:
    if len(look) < _HEADER.size or len(look) > MAX_LOOK_BYTES:
        return None
    magic, width, height, count = _HEADER.unpack_from(look)
    if magic != _MAGIC or not width or not height or len(look) != _HEADER.size + count * (4 + _DESCRIPTOR_BYTES) + _THUMB**2:
        return None
    start = _HEADER.size
    points = np.frombuffer(look, "<u2", count * 2, start).reshape(count, 2).astype(np.float32) / np.float32(16)
    start += count * 4
    descriptors = np.frombuffer(look, np.uint8, count * _DESCRIPTOR_BYTES, start).reshape(count, _DESCRIPTOR_BYTES)
    start += count * _DESCRIPTOR_BYTES
    thumb = np.frombuffer(look, np.uint8, _THUMB**2, start).reshape(_THUMB, _THUMB)
    return _Look(width, height, points, descriptors, thumb)


def _match(known: _Descriptors, copy: _Descriptors) -> NDArray[np.intp]:
    """Return the pairs (n, 2) of keypoints of a look and of a picture whose descriptors are near, and nearer than any other."""
    pairs = []
    for matches in cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(known, copy, k=2):
        best = matches[0]
        is_clear = len(matches) < 2 or best.distance <= _MAX_RATIO * matches[1].distance
        if is_clear and best.distance <= _MAX_DISTANCE:
            pairs.append((best.queryIdx, best.trainIdx))
    return np.asarray(pairs, np.intp).reshape(len(pairs), 2)


def _correlation(known: _Look, copy: _Look, similarity: NDArray[np.float64]) -> float:
    """Return the correlation of the grey copies where both show something; 0 if that is hardly anywhere.

    similarity: (2, 3), from the working copy of ``known`` to that of ``copy``.
    """
    steps = (np.arange(_GRID) + 0.5) / _GRID
    across, down = np.meshgrid(steps, steps)
    places = np.stack([across.ravel() * known.width, down.ravel() * known.height, np.ones(_GRID**2)])
    mapped = similarity @ places
    u, v = mapped[0] / copy.width, mapped[1] / copy.height
    inside = (u >= 0) & (u < 1) & (v >= 0) & (v < 1)
    if inside.mean() < _MIN_SCALE**2:
        return 0.0
    first = _sample(known.thumb, across.ravel()[inside], down.ravel()[inside])
    second = _sample(copy.thumb, u[inside], v[inside])
    # A painted place is left out: the part of the copies that agrees least does not count.
    differences = np.abs(_standardised(first) - _standardised(second))
    kept = differences <= np.quantile(differences, _COUNTED_SHARE)
    first, second = first[kept] - first[kept].mean(), second[kept] - second[kept].mean()
    norm = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / norm if norm > 0 else 0.0


def _standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values about their median, in units of their usual distance from it."""
    centred = values - np.median(values)
    return np.asarray(centred / (np.median(np.abs(centred)) + 1.0))


def _sample(thumb: _Grey, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values of a grey copy at places 0..1, between its pixels."""
    x, y = (u * _THUMB - 0.5).astype(np.float32)[None], (v * _THUMB - 0.5).astype(np.float32)[None]
    sampled = cv2.remap(thumb.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled[0], np.float64)
