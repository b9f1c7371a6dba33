"""MediaPipe's palms and hand landmarks (Zhang et al., "MediaPipe Hands: On-device Real-time Hand Tracking", 2020).

The palm network takes 192 px and misses small hands, so it runs on the whole picture and on overlapping parts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.engines.drivers._onnx import describe_threads, only_file, weights_hashes
from goldsmith.engines.drivers._tflite import RotatedSquare, TfliteNet, sigmoid
from goldsmith.engines.protocols import Device, EngineDescriptor, ModelFiles
from goldsmith.engines.registry.models import Model
from goldsmith.engines.vision import Hand, HandLandmarker, Points
from goldsmith.picture.picture import Pixels

_PALM_SIDE, _HAND_SIDE = 192, 224
# Maximum px of the longer side for the search.
_MAX_SIDE = 1280
# Minimum scores of a palm and of a hand.
_MIN_PALM_SCORE, _MIN_HAND_SCORE = 0.5, 0.6
_LANDMARK_COUNT = 21
# The two of a palm's seven points that give its direction.
_WRIST, _MIDDLE = 0, 2
# The distance from the centre of a palm to the centre of its hand, towards the fingers, and the side of the hand's square: both relative
# to the side of the palm.
_SHIFT, _CROP_MARGIN = 0.5, 2.6
# Side of the parts of a picture, relative to its longer side; they overlap by half.
_TILE_SHARE = 0.5
# A picture whose longer side has at most this many px is searched only as a whole.
_MIN_TILED_SIDE = 300
# If the boxes of two hands overlap by more of the smaller one, the one with the higher score is kept.
_MAX_OVERLAP = 0.35


@dataclass(frozen=True, slots=True)
class _Palm:
    square: RotatedSquare
    score: float


class HandLandmarks:
    """A hand landmarker: one network detects palms, another finds the landmarks of each hand."""

    def __init__(self, descriptor: EngineDescriptor, palms: TfliteNet, hands: TfliteNet) -> None:
        self.descriptor = descriptor
        self._palms = palms
        self._hands = hands
        self._anchors = _anchors()

    def detect(self, pixels: Pixels) -> tuple[Hand, ...]:
        """Return the hands in the picture, (h, w, 3), 0..1, sRGB, largest first."""
        import cv2

        height, width = pixels.shape[:2]
        scale = min(1.0, _MAX_SIDE / max(height, width))
        new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
        reduced = np.asarray(
            pixels if scale == 1 else cv2.resize(pixels, (new_width, new_height), interpolation=cv2.INTER_AREA), np.float32
        )
        hands: list[Hand] = []
        for palm in sorted(self._detect_palms(reduced), key=lambda palm: -palm.score):
            if not any(_is_already_found(hand.landmarks, palm.square) for hand in hands):
                hands += self._landmarks_at(reduced, palm)
        factors = np.array([width / new_width, height / new_height], np.float32)
        kept = _remove_duplicates(sorted(hands, key=lambda hand: -hand.score))
        return tuple(sorted((Hand(hand.landmarks * factors, hand.score) for hand in kept), key=lambda hand: -_area(hand.landmarks)))

    def _detect_palms(self, pixels: Pixels) -> Iterator[_Palm]:
        for square in _search_squares(*pixels.shape[:2]):
            outputs = self._palms.run(square.crop(pixels, _PALM_SIDE))
            rows, scores = outputs["Identity"].reshape(-1, 18), sigmoid(outputs["Identity_1"].reshape(-1))
            for number in np.flatnonzero(scores > _MIN_PALM_SCORE):
                yield self._palm_square(rows[number], self._anchors[number], float(scores[number]), square)

    def _palm_square(self, row: NDArray[np.float32], anchor: NDArray[np.float32], score: float, square: RotatedSquare) -> _Palm:
        """Return the square of a hand from its palm: rotated so that the fingers point up, and shifted and enlarged to contain them."""
        points = square.to_picture(row[4:].reshape(7, 2) + anchor * _PALM_SIDE, _PALM_SIDE)
        [middle] = square.to_picture((row[:2] + anchor * _PALM_SIDE)[None], _PALM_SIDE)
        side = float(row[2:4].max()) * square.side / _PALM_SIDE
        up = points[_MIDDLE] - points[_WRIST]
        angle = math.atan2(float(up[0]), -float(up[1]))
        x, y = float(middle[0]) + _SHIFT * side * math.sin(angle), float(middle[1]) - _SHIFT * side * math.cos(angle)
        return _Palm(RotatedSquare(x, y, _CROP_MARGIN * side, angle), score)

    def _landmarks_at(self, pixels: Pixels, palm: _Palm) -> list[Hand]:
        outputs = self._hands.run(palm.square.crop(pixels, _HAND_SIDE))
        score = float(outputs["Identity_1"].reshape(-1)[0])
        if score < _MIN_HAND_SCORE:
            return []
        points = outputs["Identity"].reshape(_LANDMARK_COUNT, 3)[:, :2]
        return [Hand(palm.square.to_picture(points, _HAND_SIDE), score)]


def _search_squares(height: int, width: int) -> Iterator[RotatedSquare]:
    """Yield the squares for the palm network: the whole picture, and parts of it."""
    side = max(height, width)
    yield RotatedSquare(width / 2, height / 2, side, 0.0)
    if side > _MIN_TILED_SIDE:
        part_side = _TILE_SHARE * side
        for y in _tile_centres(height, part_side):
            for x in _tile_centres(width, part_side):
                yield RotatedSquare(x, y, part_side, 0.0)


def _tile_centres(length: int, part_side: float) -> list[float]:
    """Return the centres of parts that overlap by half, from one end to the other."""
    if length <= part_side:
        return [length / 2]
    count = math.ceil((length - part_side) / (part_side / 2)) + 1
    return [part_side / 2 + number * (length - part_side) / (count - 1) for number in range(count)]


def _anchors() -> NDArray[np.float32]:
    """Return the centres of the palm network's 2016 boxes, 0..1: two for each cell of the 24 x 24 grid, six of the 12 x 12 grid."""
    centres = []
    for cells, repeats in ((24, 2), (12, 6)):
        position = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        across, down = np.meshgrid(position, position)
        centres.append(np.repeat(np.stack([across.ravel(), down.ravel()], axis=1), repeats, axis=0))
    return np.concatenate(centres)


def _is_already_found(points: Points, square: RotatedSquare) -> bool:
    """Return whether a known hand fills the square: its palm was also found in another part of the picture, or by another box."""
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    has_centre = left <= square.x <= right and top <= square.y <= bottom
    return bool(has_centre and max(right - left, bottom - top) > 0.35 * square.side)


def _remove_duplicates(hands: list[Hand]) -> list[Hand]:
    """Return each hand once, highest score first."""
    kept: list[Hand] = []
    for hand in hands:
        if all(_overlap(hand.landmarks, other.landmarks) <= _MAX_OVERLAP for other in kept):
            kept.append(hand)
    return kept


def _overlap(first: Points, second: Points) -> float:
    """Return how much of the smaller of two point boxes lies in the other."""
    lower = np.maximum(first.min(axis=0), second.min(axis=0))
    upper = np.minimum(first.max(axis=0), second.max(axis=0))
    shared_area = float(np.prod(np.maximum(upper - lower, 0)))
    return shared_area / max(min(_area(first), _area(second)), 1e-6)


def _area(points: Points) -> float:
    return float(np.prod(points.max(axis=0) - points.min(axis=0)))


def open_engine(name: str, model: Model, model_files: ModelFiles, device: Device) -> HandLandmarker:
    task = only_file(name, model_files.files)
    device_label = f"cpu float32, {describe_threads(device.threads)}"
    descriptor = EngineDescriptor(name=name, kind="hands", licence=model.licence, weights=weights_hashes(model), device=device_label)
    return HandLandmarks(descriptor, TfliteNet(task, "hand_detector.tflite"), TfliteNet(task, "hand_landmarks_detector.tflite"))
