"""The protocols of engines that find things in a picture: subjects, faces, hands and text.

All take float32 pixels (h, w, 3), 0..1, display-encoded as sRGB, of any size, and scale them themselves. Coordinates are px of these
pixels, x to the right and y down; (0, 0) is the upper left corner of the upper left pixel. The same pixels always give the same result. An
empty result is not an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from goldsmith.engines.protocols import EngineDescriptor

if TYPE_CHECKING:  # the table of kinds is read by programs that touch no pixels
    import numpy as np
    from numpy.typing import NDArray

    from goldsmith.picture.picture import Mask, Pixels

# (n, 2): x and y of each point, in px.
Points: TypeAlias = "NDArray[np.float32]"

# (n,), of length 1: the identity of a face. The scalar product of two is their similarity: 1 for the same picture, near 0 for strangers.
FaceEmbedding: TypeAlias = "NDArray[np.float32]"


def normalise(vector: NDArray[np.float32]) -> FaceEmbedding:
    """Return the vector (n,) scaled to length 1, so values in -1..1; zeros if its length is 0 or not finite."""
    import numpy as np

    length = float(np.linalg.norm(vector.astype(np.float64)))
    return np.asarray(vector / length if length > 0 and np.isfinite(length) else np.zeros_like(vector), np.float32)


@dataclass(frozen=True, eq=False, slots=True)
class Face:
    """A face.

    box:       x, y, width, height, in px.
    landmarks: (5, 2): the eye at the left of the picture, the eye at its right, the tip of the nose, and the left and right corners of the
               mouth (of an upright face).
    score:     0..1, the confidence.
    """

    box: tuple[float, float, float, float]
    landmarks: Points
    score: float


@dataclass(frozen=True, eq=False, slots=True)
class Hand:
    """A hand. ``landmarks``: (21, 2), the wrist, then four from the root of each finger to its tip, thumb first. ``score``: 0..1."""

    landmarks: Points
    score: float


@dataclass(frozen=True, eq=False, slots=True)
class TextLine:
    """A line of text. ``corners``: (4, 2), clockwise, from the upper left of the text. ``score``: 0..1, confidence of the letters."""

    corners: Points
    text: str
    score: float


@runtime_checkable
class MatteEstimator(Protocol):
    """An engine that separates the subject of a picture from its background."""

    @property
    def descriptor(self) -> EngineDescriptor: ...

    def matte(self, pixels: Pixels) -> Mask:
        """Return the matte (h, w), 0..1: the share of each pixel that is subject, no finer than the model's own resolution."""


@runtime_checkable
class FaceDetector(Protocol):
    """An engine that finds faces."""

    @property
    def descriptor(self) -> EngineDescriptor: ...

    def detect(self, pixels: Pixels) -> tuple[Face, ...]:
        """Return the faces in the pixels, (h, w, 3), 0..1, sRGB, largest first."""


@runtime_checkable
class FaceLandmarker(Protocol):
    """An engine that finds the landmarks of a face."""

    @property
    def descriptor(self) -> EngineDescriptor: ...

    def mesh(self, pixels: Pixels, face: Face) -> Points | None:
        """Return the points of MediaPipe's canonical face model, (478, 2) px, irises last; None if the model sees no face there."""


@runtime_checkable
class HandLandmarker(Protocol):
    """An engine that finds hands."""

    @property
    def descriptor(self) -> EngineDescriptor: ...

    def detect(self, pixels: Pixels) -> tuple[Hand, ...]:
        """Return the hands in the pixels, (h, w, 3), 0..1, sRGB, largest first."""


@runtime_checkable
class TextReader(Protocol):
    """An engine that finds and reads text."""

    @property
    def descriptor(self) -> EngineDescriptor: ...

    def read(self, pixels: Pixels) -> tuple[TextLine, ...]:
        """Return the lines of text in the pixels, (h, w, 3), 0..1, sRGB, from top to bottom and left to right."""


@runtime_checkable
class FaceEmbedder(Protocol):
    """An engine that tells people apart by their faces."""

    @property
    def descriptor(self) -> EngineDescriptor: ...

    def embed(self, pixels: Pixels, face: Face) -> FaceEmbedding:
        """Return the embedding (n,) of the face at the landmarks of ``face`` in the pixels, (h, w, 3), 0..1, sRGB."""


@dataclass(frozen=True, eq=False, slots=True)
class DrawnFace:
    """A generated face.

    pixels:  (side, side, 3), 0..1, sRGB, upright.
    corners: (3, 2), the upper left, upper right and lower left corners of the square in the picture, in px.
    """

    pixels: Pixels
    corners: Points


@runtime_checkable
class FaceSwapper(Protocol):
    """An engine that generates a face with another person's features."""

    @property
    def descriptor(self) -> EngineDescriptor: ...

    def swap(self, pixels: Pixels, face: Face, source_pixels: Pixels, source_face: Face) -> DrawnFace:
        """Return ``face`` of the pixels, (h, w, 3), 0..1, sRGB, with the features of ``source_face``; pose, expression and light stay."""
