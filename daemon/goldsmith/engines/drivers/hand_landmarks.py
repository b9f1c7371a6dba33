"""MediaPipe's palms and hand landmarks (Zhang et al., "MediaPipe Hands: On-device Real-time Hand Tracking", 2020).

The palm net looks at 192 px and misses small hands, so it is shown the picture whole and in overlapping parts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goldsmith.engines import Descriptor, Device, Store
from goldsmith.engines.drivers._onnx import only_file, threads_text, weights_of
from goldsmith.engines.drivers._task import Net, Square, sure
from goldsmith.engines.registry.models import Model
from goldsmith.engines.vision import Hand, HandFinder, Points
from goldsmith.picture.picture import Pixels

_PALM_SIDE, _HAND_SIDE = 192, 224
_LOOKED_AT = 1280
"""px of the longer side at which hands are looked for."""
_PALM, _HAND = 0.5, 0.6
"""Scores below these are no palm, and no hand."""
_POINTS = 21
_WRIST, _MIDDLE = 0, 2
"""Of a palm's seven points, those that tell which way it looks."""
_SHIFT, _ROOM = 0.5, 2.6
"""How far a hand's middle lies from its palm's, towards the fingers, and how large a square it takes: in sides of the palm."""
_PART = 0.5
"""Side of the parts a picture is looked at in, over its longer side; they overlap by half."""
_WHOLE = 300
"""A picture no longer than this, in px, is only looked at whole."""
_SAME = 0.35
"""Of two hands whose boxes overlap by more of the smaller one than this, the surer is kept."""


@dataclass(frozen=True, slots=True)
class _Palm:
    square: Square
    score: float


class HandLandmarks:
    """Palms first, then the hand on each."""

    def __init__(self, descriptor: Descriptor, palms: Net, hands: Net) -> None:
        self.descriptor = descriptor
        self._palms = palms
        self._hands = hands
        self._anchors = _anchors()

    def find(self, pixels: Pixels) -> tuple[Hand, ...]:
        import cv2

        height, width = pixels.shape[:2]
        scale = min(1.0, _LOOKED_AT / max(height, width))
        wide, high = max(1, round(width * scale)), max(1, round(height * scale))
        small = np.asarray(pixels if scale == 1 else cv2.resize(pixels, (wide, high), interpolation=cv2.INTER_AREA), np.float32)
        hands: list[Hand] = []
        for palm in sorted(self._seen(small), key=lambda palm: -palm.score):
            if not any(_covers(hand.points, palm.square) for hand in hands):
                hands += self._hand(small, palm)
        grown = np.array([width / wide, height / high], np.float32)
        kept = _apart(sorted(hands, key=lambda hand: -hand.score))
        return tuple(sorted((Hand(hand.points * grown, hand.score) for hand in kept), key=lambda hand: -_area(hand.points)))

    def _seen(self, pixels: Pixels) -> Iterator[_Palm]:
        for square in _squares(*pixels.shape[:2]):
            made = self._palms.asked(square.crop(pixels, _PALM_SIDE))
            rows, scores = made["Identity"].reshape(-1, 18), sure(made["Identity_1"].reshape(-1))
            for number in np.flatnonzero(scores > _PALM):
                yield self._palm(rows[number], self._anchors[number], float(scores[number]), square)

    def _palm(self, row: NDArray[np.float32], anchor: NDArray[np.float32], score: float, square: Square) -> _Palm:
        """The square a hand lies in, after its palm: turned so that the fingers point up, and moved and grown to hold them."""
        points = square.back(row[4:].reshape(7, 2) + anchor * _PALM_SIDE, _PALM_SIDE)
        [middle] = square.back((row[:2] + anchor * _PALM_SIDE)[None], _PALM_SIDE)
        side = float(row[2:4].max()) * square.side / _PALM_SIDE
        up = points[_MIDDLE] - points[_WRIST]
        turn = math.atan2(float(up[0]), -float(up[1]))
        x, y = float(middle[0]) + _SHIFT * side * math.sin(turn), float(middle[1]) - _SHIFT * side * math.cos(turn)
        return _Palm(Square(x, y, _ROOM * side, turn), score)

    def _hand(self, pixels: Pixels, palm: _Palm) -> list[Hand]:
        made = self._hands.asked(palm.square.crop(pixels, _HAND_SIDE))
        score = float(made["Identity_1"].reshape(-1)[0])
        if score < _HAND:
            return []
        points = made["Identity"].reshape(_POINTS, 3)[:, :2]
        return [Hand(palm.square.back(points, _HAND_SIDE), score)]


def _squares(height: int, width: int) -> Iterator[Square]:
    """What the palm net is shown: the whole picture, and parts of it."""
    side = max(height, width)
    yield Square(width / 2, height / 2, side, 0.0)
    if side > _WHOLE:
        part = _PART * side
        for y in _middles(height, part):
            for x in _middles(width, part):
                yield Square(x, y, part, 0.0)


def _middles(length: int, part: float) -> list[float]:
    """Of parts that overlap by half, from one end to the other."""
    if length <= part:
        return [length / 2]
    count = math.ceil((length - part) / (part / 2)) + 1
    return [part / 2 + number * (length - part) / (count - 1) for number in range(count)]


def _anchors() -> NDArray[np.float32]:
    """Middles of the palm net's 2016 boxes, 0..1: two a place on its grid of 24 x 24, six on that of 12 x 12."""
    made = []
    for cells, each in ((24, 2), (12, 6)):
        at = (np.arange(cells, dtype=np.float32) + 0.5) / cells
        across, down = np.meshgrid(at, at)
        made.append(np.repeat(np.stack([across.ravel(), down.ravel()], axis=1), each, axis=0))
    return np.concatenate(made)


def _covers(points: Points, square: Square) -> bool:
    """True where a hand that was found already fills the square: its palm was seen in another part of the picture, or by another box."""
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    middle_inside = left <= square.x <= right and top <= square.y <= bottom
    return bool(middle_inside and max(right - left, bottom - top) > 0.35 * square.side)


def _apart(hands: list[Hand]) -> list[Hand]:
    """Each hand once, the surest first."""
    kept: list[Hand] = []
    for hand in hands:
        if all(_shared(hand.points, other.points) <= _SAME for other in kept):
            kept.append(hand)
    return kept


def _shared(one: Points, other: Points) -> float:
    """How much of the smaller of two boxes round points lies in the other."""
    least = np.maximum(one.min(axis=0), other.min(axis=0))
    most = np.minimum(one.max(axis=0), other.max(axis=0))
    both = float(np.prod(np.maximum(most - least, 0)))
    return both / max(min(_area(one), _area(other)), 1e-6)


def _area(points: Points) -> float:
    return float(np.prod(points.max(axis=0) - points.min(axis=0)))


def open_engine(name: str, model: Model, store: Store, device: Device) -> HandFinder:
    task = only_file(name, store.files)
    on = f"cpu float32, {threads_text(device.threads)}"
    descriptor = Descriptor(name=name, kind="hands", licence=model.licence, weights=weights_of(model), device=on)
    return HandLandmarks(descriptor, Net(task, "hand_detector.tflite"), Net(task, "hand_landmarks_detector.tflite"))
