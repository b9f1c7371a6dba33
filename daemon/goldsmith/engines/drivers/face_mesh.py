"""MediaPipe's face landmarks (Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", 2019)."""

from __future__ import annotations

import math

from goldsmith.engines.drivers._onnx import describe_threads, only_file, weights_hashes
from goldsmith.engines.drivers._tflite import RotatedSquare, TfliteNet, sigmoid
from goldsmith.engines.protocols import Device, EngineDescriptor, ModelFiles
from goldsmith.engines.registry.models import Model
from goldsmith.engines.vision import Face, FaceLandmarker, Points
from goldsmith.picture.picture import Pixels

_SIDE = 256
# Side of the crop, relative to the longer side of the face.
_CROP_MARGIN = 1.5
_MIN_SCORE = 0.5
_LANDMARK_COUNT = 478
# Outer corners, left and right in the picture.
_EYE_CORNERS = (33, 263)


class FaceMesh:
    """A face landmarker. The network runs on the square around the detected face, and again on the square around the first mesh."""

    def __init__(self, descriptor: EngineDescriptor, net: TfliteNet) -> None:
        self.descriptor = descriptor
        self._net = net

    def mesh(self, pixels: Pixels, face: Face) -> Points | None:
        x, y, width, height = face.box
        first_mesh = self._find_landmarks(
            pixels,
            RotatedSquare(
                x + width / 2, y + height / 2, _CROP_MARGIN * max(width, height), _roll_angle(face.landmarks[0], face.landmarks[1])
            ),
        )
        if first_mesh is None:
            return None
        (left, top), (right, bottom) = first_mesh.min(axis=0), first_mesh.max(axis=0)
        side = _CROP_MARGIN * max(float(right - left), float(bottom - top))
        return self._find_landmarks(
            pixels, RotatedSquare(float(left + right) / 2, float(top + bottom) / 2, side, _roll_angle(*first_mesh[list(_EYE_CORNERS)]))
        )

    def _find_landmarks(self, pixels: Pixels, square: RotatedSquare) -> Points | None:
        outputs = self._net.run(square.crop(pixels, _SIDE))
        if float(sigmoid(outputs["Identity_1"].reshape(-1))[0]) < _MIN_SCORE:
            return None
        return square.to_picture(outputs["Identity"].reshape(_LANDMARK_COUNT, 3)[:, :2], _SIDE)


def _roll_angle(left: Points, right: Points) -> float:
    return math.atan2(float(right[1] - left[1]), float(right[0] - left[0]))


def open_engine(name: str, model: Model, model_files: ModelFiles, device: Device) -> FaceLandmarker:
    net = TfliteNet(only_file(name, model_files.files), "face_landmarks_detector.tflite")
    device_label = f"cpu float32, {describe_threads(device.threads)}"
    return FaceMesh(
        EngineDescriptor(name=name, kind="mesh", licence=model.licence, weights=weights_hashes(model), device=device_label), net
    )
