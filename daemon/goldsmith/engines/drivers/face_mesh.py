"""MediaPipe's face landmarks (Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", 2019)."""

from __future__ import annotations

import math

from goldsmith.engines import Descriptor, Device, Store
from goldsmith.engines.drivers._onnx import only_file, threads_text, weights_of
from goldsmith.engines.drivers._task import Net, Square, sure
from goldsmith.engines.registry.models import Model
from goldsmith.engines.vision import Face, FaceMesher, Points
from goldsmith.picture.picture import Pixels

_SIDE = 256
_ROOM = 1.5
"""Side of what it is shown over the longer side of the face."""
_SURE = 0.5
_POINTS = 478
_EYES = (33, 263)
"""Outer corners, left and right in the picture."""


class FaceMesh:
    """Looks twice: at the square round the face that was found, and at the one round the mesh of the first look."""

    def __init__(self, descriptor: Descriptor, net: Net) -> None:
        self.descriptor = descriptor
        self._net = net

    def mesh(self, pixels: Pixels, face: Face) -> Points | None:
        x, y, wide, high = face.box
        rough = self._look(pixels, Square(x + wide / 2, y + high / 2, _ROOM * max(wide, high), _turn(face.points[0], face.points[1])))
        if rough is None:
            return None
        (left, top), (right, bottom) = rough.min(axis=0), rough.max(axis=0)
        side = _ROOM * max(float(right - left), float(bottom - top))
        return self._look(pixels, Square(float(left + right) / 2, float(top + bottom) / 2, side, _turn(*rough[list(_EYES)])))

    def _look(self, pixels: Pixels, square: Square) -> Points | None:
        made = self._net.asked(square.crop(pixels, _SIDE))
        if float(sure(made["Identity_1"].reshape(-1))[0]) < _SURE:
            return None
        return square.back(made["Identity"].reshape(_POINTS, 3)[:, :2], _SIDE)


def _turn(left: Points, right: Points) -> float:
    return math.atan2(float(right[1] - left[1]), float(right[0] - left[0]))


def open_engine(name: str, model: Model, store: Store, device: Device) -> FaceMesher:
    net = Net(only_file(name, store.files), "face_landmarks_detector.tflite")
    on = f"cpu float32, {threads_text(device.threads)}"
    return FaceMesh(Descriptor(name=name, kind="mesh", licence=model.licence, weights=weights_of(model), device=on), net)
