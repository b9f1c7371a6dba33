"""Run the networks in MediaPipe's .task files (a zip of .tflite files) with OpenCV, on rotated square crops."""

from __future__ import annotations

import math
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldsmith.engines.vision import Points
from goldsmith.errors import InputError
from goldsmith.picture.picture import Pixels


class TfliteNet:
    """One .tflite network of a .task file: (side, side, 3) in, its outputs by name out. Several threads may use it, one at a time."""

    def __init__(self, task: Path, member: str) -> None:
        """Open the network. Raises InputError if the file is not valid."""
        import cv2

        try:
            with zipfile.ZipFile(task) as archive, tempfile.TemporaryDirectory() as folder:
                path = archive.extract(member, folder)
                self._net: Any = cv2.dnn.readNetFromTFLite(path, cv2.dnn.ENGINE_CLASSIC)  # OpenCV's new engine returns only one output
        except (cv2.error, zipfile.BadZipFile, KeyError) as error:
            raise InputError(f"{task}: OpenCV cannot open {member} in this model: {error}", "Run: goldsmith models verify") from error
        self._names = list(self._net.getUnconnectedOutLayersNames())
        self._alone = Lock()

    def run(self, pixels: Pixels) -> dict[str, NDArray[np.float32]]:
        """Return the outputs by name for pixels (side, side, 3), 0..1, sRGB."""
        blob = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], dtype=np.float32)
        with self._alone:
            self._net.setInput(blob)
            outputs = self._net.forward(self._names)
        return {name: np.asarray(output, np.float32).copy() for name, output in zip(self._names, outputs, strict=True)}


@dataclass(frozen=True, slots=True)
class RotatedSquare:
    """A square of a picture: its centre and side in px, and its rotation in radians, clockwise."""

    x: float
    y: float
    side: float
    angle: float

    def crop(self, pixels: Pixels, size: int) -> Pixels:
        """Return the square, upright, as (size, size, 3), 0..1, sRGB; black outside the picture."""
        import cv2

        factor = min(1.0, 2 * size / self.side)  # reduce first; otherwise the warp would skip px between its samples
        source, square = pixels, self
        if factor < 1:
            radius = 0.71 * self.side + 4 / factor  # half the diagonal and a margin: the warp reads nothing farther out
            left, top = max(0, int(self.x - radius)), max(0, int(self.y - radius))
            window = pixels[top : max(top + 1, math.ceil(self.y + radius)), left : max(left + 1, math.ceil(self.x + radius))]
            height, width = (max(1, round(side * factor)) for side in window.shape[:2])
            source = np.asarray(cv2.resize(window, (width, height), interpolation=cv2.INTER_AREA), np.float32)
            x_scale, y_scale = width / window.shape[1], height / window.shape[0]
            square = RotatedSquare((self.x - left) * x_scale, (self.y - top) * y_scale, self.side * (x_scale + y_scale) / 2, self.angle)
        cropped = cv2.warpAffine(source, square._crop_matrix(size), (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        return np.asarray(cropped, np.float32)

    def to_picture(self, points: Points, size: int) -> Points:
        """Return points of the crop, (n, 2) px, in px of the picture."""
        shift = (points - size / 2) * (self.side / size)
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        x = self.x + shift[:, 0] * cos - shift[:, 1] * sin
        y = self.y + shift[:, 0] * sin + shift[:, 1] * cos
        return np.stack([x, y], axis=1).astype(np.float32)

    def _crop_matrix(self, size: int) -> NDArray[np.float64]:
        """Return the matrix from a pixel's index in the picture to its index in the crop; indices are half a px less than coordinates."""
        scale = size / self.side
        cos, sin = scale * math.cos(self.angle), scale * math.sin(self.angle)
        dx, dy = self.x - 0.5, self.y - 0.5
        centre = size / 2 - 0.5
        return np.array([[cos, sin, centre - cos * dx - sin * dy], [-sin, cos, centre + sin * dx - cos * dy]])


def sigmoid(logits: float | NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the probability 0..1 of a logit, elementwise for an array (n,)."""
    return 1 / (1 + np.exp(-np.clip(np.asarray(logits, np.float64), -100, 100)))
