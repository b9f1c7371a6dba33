"""What engines promise that look at a picture and find things in it: a subject, faces, hands, words.

All take float32 pixels (h, w, 3), sRGB-like, display-encoded 0..1, of any size, and scale them themselves. Coordinates are px of what
they were given, x to the right and y down; (0, 0) is the upper left corner of the upper left pixel. The same pixels always give the
same answer. An answer of nothing is no fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from goldsmith.engines import EngineDescriptor
from goldsmith.picture.picture import Mask, Pixels

# (n, 2): x and y of each, in px.
Points = NDArray[np.float32]

# (n,), of length 1: who a face is. How alike two are is their scalar product: 1 for the same picture, near 0 for strangers.
FaceEmbedding = NDArray[np.float32]


def normalise(vector: NDArray[np.float32]) -> FaceEmbedding:
    """The same direction at length 1; zeros where there is none."""
    length = float(np.linalg.norm(vector.astype(np.float64)))
    return np.asarray(vector / length if length > 0 and np.isfinite(length) else np.zeros_like(vector), np.float32)


@dataclass(frozen=True, eq=False, slots=True)
class Face:
    """A face. ``box``: x, y, width, height. ``points``: the eye at the left of the picture, the eye at its right, the nose's tip, the
    corners of the mouth, left and right (of an upright face). ``quality_score``: 0..1."""

    box: tuple[float, float, float, float]
    landmarks: Points
    score: float


@dataclass(frozen=True, eq=False, slots=True)
class Hand:
    """A hand. ``points``: the wrist, then four from the root of each finger to its tip, thumb first. ``quality_score``: 0..1."""

    landmarks: Points
    score: float


@dataclass(frozen=True, eq=False, slots=True)
class TextLine:
    """A line of text. ``corners`` (4, 2): clockwise, from the upper left as the text is read. ``quality_score``: 0..1, how sure the letters are."""

    corners: Points
    text: str
    score: float


@runtime_checkable
class MatteEstimator(Protocol):
    """Tells what stands in a picture from what lies behind it."""

    @property
    def descriptor(self) -> EngineDescriptor: ...

    def matte(self, pixels: Pixels) -> Mask:
        """(h, w), 0..1: how much of each pixel is the subject. Coarse: no finer than what the model looks at."""


@runtime_checkable
class FaceDetector(Protocol):
    """Finds faces."""

    @property
    def descriptor(self) -> EngineDescriptor: ...

    def detect(self, pixels: Pixels) -> tuple[Face, ...]:
        """Every face, the largest first."""


@runtime_checkable
class FaceLandmarker(Protocol):
    """Lays a mesh over a face."""

    @property
    def descriptor(self) -> EngineDescriptor: ...

    def mesh(self, pixels: Pixels, face: Face) -> Points | None:
        """(478, 2): the points of MediaPipe's canonical face model, irises last; None where the model sees no face there."""


@runtime_checkable
class HandLandmarker(Protocol):
    """Finds hands."""

    @property
    def descriptor(self) -> EngineDescriptor: ...

    def detect(self, pixels: Pixels) -> tuple[Hand, ...]:
        """Every hand, the largest first."""


@runtime_checkable
class TextReader(Protocol):
    """Finds and reads text."""

    @property
    def descriptor(self) -> EngineDescriptor: ...

    def read(self, pixels: Pixels) -> tuple[TextLine, ...]:
        """Every line, from top to bottom and left to right."""


@runtime_checkable
class FaceEmbedder(Protocol):
    """Tells people apart by their faces."""

    @property
    def descriptor(self) -> EngineDescriptor: ...

    def embed(self, pixels: Pixels, face: Face) -> FaceEmbedding:
        """Who that is. Only the face's five points are asked where it lies."""


@dataclass(frozen=True, eq=False, slots=True)
class DrawnFace:
    """A face as a net drew it: ``pixels`` (side, side, 3), display-encoded 0..1, upright; ``corners`` (3, 2): where the square's upper
    left, upper right and lower left corners lie in the picture, in its px."""

    pixels: Pixels
    corners: Points


@runtime_checkable
class FaceSwapper(Protocol):
    """Draws a face with somebody else's features."""

    @property
    def descriptor(self) -> EngineDescriptor: ...

    def swap(self, pixels: Pixels, face: Face, source_pixels: Pixels, source_face: Face) -> DrawnFace:
        """``face`` of ``pixels`` with the features of ``person`` in ``source``; pose, expression and light are the picture's own."""
