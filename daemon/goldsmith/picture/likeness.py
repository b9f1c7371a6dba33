"""What a picture looks like, in 4.5 kB: by it a picture is known again after it was painted on, cropped, resized and stored with loss.

A look has keypoints of the picture (ORB) with their descriptors, spread over it, and a small copy in colour. Two pictures are alike if one
similarity (scale, rotation and shift) lays many keypoints of the one onto those of the other, and if the small copies then agree too. A
picture with few keypoints, such as a gradient, is alike if its small copy is a part of the other one, value by value.
The look stays in the journal and is in no file that goes to a client.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from goldsmith.errors import InputError
from goldsmith.picture import colour
from goldsmith.picture.picture import Picture, freeze

# The longer side of the copy in which keypoints are found, in px.
_WORKING_SIDE = 400
# The keypoints of a look, and how many are looked for in a picture that is compared with looks: more, since they are not stored.
_KEYPOINTS, _MAX_FOUND = 84, 2000
# The keypoints of a look are the strongest of each cell of a grid with so many cells a side.
_CELLS = 6
# The sides of the small copy in luma and in its two differences of colour.
_THUMB, _CHROMA = 32, 16
_DESCRIPTOR_BYTES = 32
# Keypoints lie so far from the edge of the copy, in px.
_EDGE = 12
_NO_KEYPOINTS = np.zeros((0, 2), np.float32), np.zeros((0, _DESCRIPTOR_BYTES), np.uint8), np.zeros(0, np.float32)
_HEADER = struct.Struct("<4sHHH")
_THUMB_BYTES = _THUMB**2 + 2 * _CHROMA**2
MAX_LOOK_BYTES = _HEADER.size + _KEYPOINTS * (4 + _DESCRIPTOR_BYTES) + _THUMB_BYTES
_MAGIC = b"GLK2"
# The best match of a descriptor is nearer than this share of the distance of the second best, and below this distance in bits.
_MAX_RATIO, _MAX_DISTANCE = 0.85, 64
# How far from its place a keypoint may lie after the similarity, in px of the working copy.
_TOLERANCE = 4.0
# The least number of keypoints that agree.
_MIN_INLIERS = 8
# From this correlation of luma on, nothing was painted: a crop, another size, a loss of codes, or a little more light. Crops have 0.98 and
# more, other pictures at most 0.96.
_SURE_CORRELATION = 0.975
# Of a painted copy, so much of the places agrees; less if few keypoints do, as after a crop and a loss, too: where most keypoints agree and
# a third of the places does not, it is another picture in the same frame.
_MIN_AGREEMENT, _MANY_SHARE, _MIN_AGREEMENT_WITH_FEW = 0.73, 0.4, 0.55
# So much of the places that tell something agrees, with keypoints and without any.
_MIN_TELLING_WITH_KEYPOINTS, _MIN_TELLING = 0.4, 0.62
# A small drawing on an empty ground may be painted over for the most part: then more of all places agrees.
_AGREEMENT_WITH_LITTLE, _LITTLE_TELLING = 0.77, 0.25
# A look with so many keypoints, none of which lie in the other picture, is no painted copy: the small copies of two galaxies on a dark sky
# agree at up to 0.7 of the places.
_MANY_KEYPOINTS = 60
# A picture shows at least this part of the sides of the other one, and at most its inverse.
_MIN_SCALE = 0.4
# Most of one picture lies within the other one: Europe and Africa are two parts of one map.
_MIN_CONTAINED = 0.7
# A picture is turned by quarters, and by at most so many degrees more: one road sign is the other one, turned.
_MAX_TURN = 20.0
# Blocks a side in which colours are compared.
_BLOCKS = 6
# Colours are near up to this distance, in codes of 8 bits, and must be so at this share of the places: a drawing in two colours is two
# pictures.
_COLOUR_CODES, _MIN_SAME_COLOURS = 6.0, 0.5
# Small copies agree at a place if luma differs by no more than this share of the spread of the values, within these limits in codes of
# 8 bits, and colours by no more than so many times that: they are stored at half the size, and paint runs into the places beside it.
_AGREEING_SHARE, _AGREEING_CODES, _COLOUR_FACTOR = 0.15, (1.5, 5.0), 2.0
# Fewer places that tell something say nothing, and from this agreement on it is worth looking for a better place nearby.
_MIN_TELLING_PLACES, _HOPEFUL_AGREEMENT = 10, 0.25
# Below this spread of a small copy in codes of 8 bits, from its 5th to its 95th percentile, it says nothing: all plain grounds are alike.
_MIN_SPREAD = 8.0
# The sides of a crop that are tried, as shares, and the number of steps of place in one cell of the small copy.
_CROP_SHARES = tuple(np.arange(1.0, 0.719, -0.04))
_SUBSTEPS = 2
# Samples a side of each pixel of a small copy onto which another picture is laid, and how often its place is corrected.
_SAMPLES, _REFINEMENTS = 8, 3
# Most that one correction changes the scale, and the place in pixels of the small copy.
_MAX_SCALE_STEP, _MAX_SHIFT = 0.05, 2.0

_Grey = NDArray[np.uint8]
_Descriptors = NDArray[np.uint8]
_Points = NDArray[np.float32]
# (2, 3): an affine map from px to px of two working copies, in which the middle of the first pixel is 0.
_Map = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class _Look:
    """The parts of a look. points: (n, 2), x and y in px of the working copy, of ``width`` x ``height`` px; descriptors: (n, 32)."""

    width: int
    height: int
    points: _Points
    descriptors: _Descriptors
    # (_THUMB, _THUMB, 3): luma and the two differences of colour, 0..255.
    thumb: _Grey


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike two pictures are."""

    # How many keypoints agree, and their share of the look's keypoints, 0..1.
    inliers: int = 0
    share: float = 0.0
    # The keypoints of the look.
    keypoints: int = 0
    # Of the small copies in luma where both show something, -1..1.
    correlation: float = 0.0
    # The share of the places, 0..1, at which their colours are near, however light they are.
    same_colours: float = 0.0
    # The share of the places, 0..1, at which the small copies have the same values: of all, and of those that show more than the ground.
    agreement: float = 0.0
    telling: float = 0.0

    @property
    def is_alike(self) -> bool:
        """Whether one picture was made from the other."""
        if self.same_colours < _MIN_SAME_COLOURS:
            return False
        has_keypoints = self.inliers >= _MIN_INLIERS
        if self.correlation >= _SURE_CORRELATION and (has_keypoints or self.telling >= _MIN_TELLING):
            return True
        if not has_keypoints:
            return self.keypoints < _MANY_KEYPOINTS and self.telling >= _MIN_TELLING
        has_many = self.share >= _MANY_SHARE
        if has_many and self.agreement >= _AGREEMENT_WITH_LITTLE and self.telling >= _LITTLE_TELLING:
            return True
        needed = _MIN_AGREEMENT if has_many else _MIN_AGREEMENT_WITH_FEW
        return self.telling >= _MIN_TELLING_WITH_KEYPOINTS and self.agreement >= needed

    @property
    def strength(self) -> float:
        """How sure it is, in keypoints: by it the most alike of several is found."""
        return max(float(self.inliers), _KEYPOINTS * self.agreement)


NOT_ALIKE = Likeness()


def describe_look(picture: Picture) -> bytes:
    """Return the look of a picture, at most ``MAX_LOOK_BYTES``; b"" for a picture with nothing to be known by, as a plain ground."""
    working = _working_copy(picture)
    points, descriptors, strengths = _find_keypoints(working[:, :, 0])
    chosen, thumb = _spread(points, strengths, working.shape), _shrink(working)
    if len(chosen) < _MIN_INLIERS and _spread_of_values(thumb) < _MIN_SPREAD:
        return b""
    height, width, _ = working.shape
    header = _HEADER.pack(_MAGIC, width, height, len(chosen))
    coordinates = np.round(points[chosen] * 16).astype("<u2")
    colours = np.asarray(cv2.resize(thumb[:, :, 1:], (_CHROMA, _CHROMA), interpolation=cv2.INTER_AREA), np.uint8)
    return header + coordinates.tobytes() + descriptors[chosen].tobytes() + thumb[:, :, 0].tobytes() + colours.tobytes()


class SeenPicture:
    """A picture that is compared with looks. Its own keypoints are found once."""

    def __init__(self, picture: Picture) -> None:
        self._working = _working_copy(picture)
        height, width, _ = self._working.shape
        points, descriptors, _ = _find_keypoints(self._working[:, :, 0])
        self._look = _Look(width, height, points, descriptors, _shrink(self._working))

    def compare(self, look: bytes) -> Likeness:
        """Return how alike the picture is to the one with that look; ``NOT_ALIKE`` for a look that is none."""
        known = _parse(look)
        if known is None:
            return NOT_ALIKE
        by_keypoints = self._compare_keypoints(known)
        if by_keypoints.is_alike or _spread_of_values(known.thumb) < _MIN_SPREAD:
            return by_keypoints
        # The whole picture is tried by itself: paint on a smooth ground can make another place look better.
        size = np.asarray([self._look.width / known.width, self._look.height / known.height])
        whole = np.column_stack((np.diag(size), (size - 1) / 2))
        for place in (whole, self._place_by_values(known)):
            by_values = _likeness_near(known, self._working, place, 0)
            if by_values.is_alike:
                return by_values
        return by_keypoints

    def _compare_keypoints(self, known: _Look) -> Likeness:
        if len(self._look.points) < _MIN_INLIERS or len(known.points) < _MIN_INLIERS:
            return NOT_ALIKE
        pairs = _match(known.descriptors, self._look.descriptors)
        if len(pairs) < _MIN_INLIERS:
            return NOT_ALIKE
        from_known, to_seen = known.points[pairs[:, 0]], self._look.points[pairs[:, 1]]
        similarity, inliers = cv2.estimateAffinePartial2D(
            from_known, to_seen, method=cv2.RANSAC, ransacReprojThreshold=_TOLERANCE, maxIters=3000, confidence=0.999
        )
        if similarity is None or not _is_of_an_editor(similarity[:, 0]):
            return NOT_ALIKE
        return _likeness_near(known, self._working, np.asarray(similarity, np.float64), int(np.count_nonzero(inliers)))

    def _place_by_values(self, known: _Look) -> NDArray[np.float64]:
        """Return the map (2, 3) from the working copy of ``known`` to this one that lays this one best onto a part of it, as a crop is."""
        side = _THUMB * _SUBSTEPS
        ground = cv2.resize(known.thumb, (side, side), interpolation=cv2.INTER_LINEAR).astype(np.float32)
        aspect = self._look.width * known.height / (self._look.height * known.width)
        best_difference, best = np.inf, (side, side, 0, 0)
        for share in _CROP_SHARES:
            # A very narrow picture keeps one px.
            wide, high = (max(1, round(side * share * min(1.0, each))) for each in (aspect, 1 / aspect))
            coarse = cv2.resize(
                self._working, (max(1, round(wide / _SUBSTEPS)), max(1, round(high / _SUBSTEPS))), interpolation=cv2.INTER_AREA
            )
            part = cv2.resize(coarse, (wide, high), interpolation=cv2.INTER_LINEAR).astype(np.float32)
            difference, _, (left, top), _ = cv2.minMaxLoc(cv2.matchTemplate(ground, part, cv2.TM_SQDIFF))
            if difference / (wide * high) < best_difference:
                best_difference, best = difference / (wide * high), (wide, high, left, top)
        wide, high, left, top = best
        scale = np.asarray([side / wide * self._look.width / known.width, side / high * self._look.height / known.height])
        shift = -np.asarray([left / wide * self._look.width, top / high * self._look.height])
        return np.column_stack((np.diag(scale), shift + (scale - 1) / 2))


def _working_copy(picture: Picture) -> _Grey:
    """Return the picture as luma and differences of colour (h, w, 3), with its longer side reduced to ``_WORKING_SIDE`` px.

    It is in sRGB, as programs write a picture that they cannot store with its profile. It lies on grey, on which white and black show.
    """
    scale = _WORKING_SIDE / max(picture.height, picture.width)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    pixels = picture.pixels if picture.alpha is None else 0.5 + (picture.pixels - 0.5) * picture.alpha[:, :, None]
    small = cv2.resize(np.ascontiguousarray(pixels, np.float32), size, interpolation=method).reshape(size[1], size[0], -1)
    if picture.icc is not None:
        # A profile that cannot be used leaves the values as they are.
        with suppress(InputError, ValueError):
            small = colour.convert_profile(Picture(freeze(np.clip(small, 0, 1)), icc=picture.icc), "srgb").pixels
    luma = colour.luma(small)
    # Half of the differences, about the middle of the range.
    differences = [(small[:, :, channel] - luma) / 2 + 128 / 255 for channel in (0, small.shape[2] - 1)]
    return np.asarray(np.clip(np.round(np.stack((luma, *differences), axis=2) * 255), 0, 255), np.uint8)


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
    thumb = cv2.resize(working, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA)
    # As blurred as what a look stores, with which it is compared.
    colours = cv2.resize(thumb[:, :, 1:], (_CHROMA, _CHROMA), interpolation=cv2.INTER_AREA)
    thumb[:, :, 1:] = cv2.resize(colours, (_THUMB, _THUMB), interpolation=cv2.INTER_LINEAR)
    return np.asarray(thumb, np.uint8)


def _spread_of_values(thumb: _Grey | NDArray[np.float64]) -> float:
    """Return how far values (…, 3) are apart, in codes of 8 bits: those of the channel in which they are most."""
    values = thumb.reshape(-1, thumb.shape[-1])
    if not len(values):
        return 0.0
    low, high = np.percentile(values, (5, 95), axis=0)
    return float((high - low).max())


def _parse(look: bytes) -> _Look | None:
    if len(look) < _HEADER.size or len(look) > MAX_LOOK_BYTES:
        return None
    magic, width, height, count = _HEADER.unpack_from(look)
    if magic != _MAGIC or not width or not height or len(look) != _HEADER.size + count * (4 + _DESCRIPTOR_BYTES) + _THUMB_BYTES:
        return None
    start = _HEADER.size
    points = np.frombuffer(look, "<u2", count * 2, start).reshape(count, 2).astype(np.float32) / np.float32(16)
    start += count * 4
    descriptors = np.frombuffer(look, np.uint8, count * _DESCRIPTOR_BYTES, start).reshape(count, _DESCRIPTOR_BYTES)
    start += count * _DESCRIPTOR_BYTES
    grey = np.frombuffer(look, np.uint8, _THUMB**2, start).reshape(_THUMB, _THUMB, 1)
    colours = np.frombuffer(look, np.uint8, 2 * _CHROMA**2, start + _THUMB**2).reshape(_CHROMA, _CHROMA, 2)
    thumb = np.concatenate((grey, cv2.resize(colours, (_THUMB, _THUMB), interpolation=cv2.INTER_LINEAR)), axis=2)
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


def _is_of_an_editor(axis: NDArray[np.float64]) -> bool:
    """Return whether a person scales and turns a picture so: by quarters, and a little to straighten it. axis: (2,), where (1, 0) lies."""
    turn = float(np.degrees(np.arctan2(axis[1], axis[0]))) % 90
    return _MIN_SCALE <= float(np.hypot(*axis)) <= 1 / _MIN_SCALE and min(turn, 90 - turn) <= _MAX_TURN


def _likeness_near(known: _Look, copy: _Grey, place: _Map, inliers: int) -> Likeness:
    """Return how alike two pictures are at a place, or, if they are not but could be, at the best one near it."""
    likeness = _likeness_at(known, copy, place, inliers)
    if likeness.is_alike or likeness.agreement < _HOPEFUL_AGREEMENT:
        return likeness
    return _likeness_at(known, copy, _refine(known, copy, place), inliers)


def _likeness_at(known: _Look, copy: _Grey, place: _Map, inliers: int) -> Likeness:
    """Return how alike two pictures are where both show something; without any agreement if neither holds the other.

    copy: the working copy of the other picture. place: (2, 3), from the working copy of ``known`` to ``copy``. inliers: the keypoints
    that agree with it.
    """
    keypoints = len(known.points)
    other_thumb, covered = _lay(known, copy, place)
    overlap = float(covered.mean())
    of_other = overlap * known.width * known.height * abs(float(np.linalg.det(place[:, :2]))) / (copy.shape[0] * copy.shape[1])
    if overlap < _MIN_SCALE**2 or max(overlap, of_other) < _MIN_CONTAINED:
        return Likeness(inliers, inliers / max(1, keypoints), keypoints)
    first, second = known.thumb[covered].astype(np.float64), other_thumb[covered].astype(np.float64)
    places = np.indices(covered.shape)
    blocks = places[0] * _BLOCKS // _THUMB * _BLOCKS + places[1] * _BLOCKS // _THUMB
    agreement, telling = _agreement(first, second, _tolerance(known.thumb))
    return Likeness(
        inliers=inliers,
        share=inliers / max(1, keypoints),
        keypoints=keypoints,
        correlation=_correlation(first[:, 0], second[:, 0]),
        same_colours=_share_of_same_colours(first[:, 1:] - second[:, 1:], blocks[covered]),
        agreement=agreement,
        telling=telling,
    )


def _agreement(first: NDArray[np.float64], second: NDArray[np.float64], tolerance: float) -> tuple[float, float]:
    """Return the shares of the places at which values (n, 3) of two small copies are the same: of all, and of those that tell something.

    The ground that both show tells nothing: two drawings on white paper are two pictures.
    """
    limits = tolerance * np.asarray([1, _COLOUR_FACTOR, _COLOUR_FACTOR])
    agreeing = (np.abs(first - second) - limits).max(axis=1) <= 0
    ground = np.median(first, axis=0)
    telling = (np.abs(first - ground).max(axis=1) > tolerance) | (np.abs(second - ground).max(axis=1) > tolerance)
    # Two plain grounds agree in everything, and are different pictures.
    says_something = np.count_nonzero(telling) >= _MIN_TELLING_PLACES and _spread_of_values(first[agreeing]) >= _MIN_SPREAD
    return float(agreeing.mean()), float(agreeing[telling].mean()) if says_something else 0.0


def _tolerance(thumb: _Grey) -> float:
    """Return up to which difference, in codes, two small copies agree at a place."""
    return float(np.clip(_spread_of_values(thumb) * _AGREEING_SHARE, *_AGREEING_CODES))


def _lay(known: _Look, copy: _Grey, place: _Map) -> tuple[_Grey, NDArray[np.bool_]]:
    """Return the small copy (_THUMB, _THUMB, 3) that the other picture would have at that place of ``known``, and where it covers it."""
    side = _THUMB * _SAMPLES
    steps = np.asarray([known.width / side, known.height / side])
    to_known = np.vstack((np.column_stack((np.diag(steps), (steps - 1) / 2)), (0, 0, 1)))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    samples = cv2.warpAffine(copy, place @ to_known, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    corners = np.arange(_THUMB + 1) * _SAMPLES - 0.5
    across, down = np.meshgrid(corners, corners)
    x, y = np.tensordot(place @ to_known, np.stack((across, down, np.ones_like(across))), axes=1)
    inside = (x >= -1) & (x <= copy.shape[1]) & (y >= -1) & (y <= copy.shape[0])
    return _shrink(np.asarray(samples, np.uint8)), inside[1:, 1:] & inside[1:, :-1] & inside[:-1, 1:] & inside[:-1, :-1]


def _refine(known: _Look, copy: _Grey, place: _Map) -> _Map:
    """Return the place, near the given one, at which the small copies agree best, by steps of Gauss and Newton.

    Painted places count little. Only scale and shift change.
    """
    centre = np.asarray([known.width - 1, known.height - 1]) / 2
    for _ in range(_REFINEMENTS):
        scale, *shift = _correction(known, *_lay(known, copy, place))
        scale = 1 + np.clip(scale, -_MAX_SCALE_STEP, _MAX_SCALE_STEP)
        place = place @ np.vstack((np.column_stack((np.eye(2) * scale, centre * (1 - scale) + shift)), (0, 0, 1)))
    return np.asarray(place, np.float64)


def _correction(known: _Look, other_thumb: _Grey, covered: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how much larger, and shifted by how many px of the working copy of ``known``, the other picture must be laid: (3,)."""
    size = np.asarray([known.width, known.height]) / _THUMB
    down, across = (np.indices(covered.shape) + 0.5 - _THUMB / 2)[:, :, :, None] * size[::-1, None, None, None]
    slope_down, slope_across = np.gradient(other_thumb.astype(np.float64), axis=(0, 1))
    slopes = slope_across / size[0], slope_down / size[1]
    system = np.stack([each[covered].ravel() for each in (slopes[0] * across + slopes[1] * down, *slopes)], axis=1)
    differences = (known.thumb.astype(np.float64) - other_thumb)[covered].ravel()
    weighted = (system / (1 + (differences / (2 * _tolerance(known.thumb))) ** 2)[:, None]).T
    # A picture without slopes stays where it is.
    correction = np.linalg.solve(weighted @ system + np.eye(3) * 1e-6, weighted @ differences)
    limit = _MAX_SHIFT * size
    return np.concatenate((correction[:1], np.clip(correction[1:], -limit, limit)))


def _share_of_same_colours(differences: NDArray[np.float64], blocks: NDArray[np.intp]) -> float:
    """Return the share of the places, 0..1, in whose block colours are the same in the mean: a shift of half a pixel has none.

    differences: (n, 2), in codes. blocks: (n,), the number of the block of each place.
    """
    counts = np.bincount(blocks)
    means = np.stack([np.bincount(blocks, differences[:, channel]) / np.maximum(counts, 1) for channel in (0, 1)])
    return float(counts[np.hypot(*means) <= _COLOUR_CODES].sum() / counts.sum())


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the correlation of the values of two small copies at the same places."""
    first, second = first - first.mean(), second - second.mean()
    norm = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / norm if norm > 0 else 0.0
