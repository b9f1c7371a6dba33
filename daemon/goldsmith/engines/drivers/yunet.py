"""YuNet (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023), run by OpenCV.

It also detects the faces of dogs and cats, but with lower scores; the threshold excludes them.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from goldsmith.engines.drivers._onnx import describe_threads, only_file, weights_hashes
from goldsmith.engines.protocols import Device, EngineDescriptor, ModelFiles
from goldsmith.engines.registry.models import Model
from goldsmith.engines.vision import Face, FaceDetector
from goldsmith.errors import InputError
from goldsmith.picture.picture import Pixels, quantise

# Maximum px of the longer side. At this size, YuNet misses faces larger than about 300 px …
_MAX_SIDE = 1280
# … so it runs again at this size for faces that fill the picture.
_SECOND_PASS_SIDE = 400
# In the second pass, a face must have this share of the picture's longer side.
_MIN_SECOND_PASS_SHARE = 0.2
_MIN_SCORE = 0.8
# If two boxes of a pass overlap by more of their union, or two boxes of both passes by more of the smaller one, only one is kept.
_MAX_OVERLAP = 0.3


class YuNet:
    """A face detector for faces of 10 px and more in a picture of 1280 px."""

    def __init__(self, descriptor: EngineDescriptor, net: Any) -> None:
        self.descriptor = descriptor
        self._net = net
        self._alone = Lock()

    def detect(self, pixels: Pixels) -> tuple[Face, ...]:
        """Return the faces in the picture, (h, w, 3), 0..1, sRGB, largest first."""
        long_side = max(pixels.shape[:2])
        faces = self._detect_at(pixels, _MAX_SIDE)
        if long_side > _SECOND_PASS_SIDE:
            large_faces = [
                face for face in self._detect_at(pixels, _SECOND_PASS_SIDE) if max(face.box[2:]) >= _MIN_SECOND_PASS_SHARE * long_side
            ]
            faces += [face for face in large_faces if all(_overlap(face.box, known.box) < _MAX_OVERLAP for known in faces)]
        return tuple(sorted(faces, key=lambda face: -face.box[2] * face.box[3]))

    def _detect_at(self, pixels: Pixels, side: int) -> list[Face]:
        """Return the faces that are detected with this many px on the picture's longer side."""
        import cv2

        height, width = pixels.shape[:2]
        scale = min(1.0, side / max(height, width))
        new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
        reduced = pixels if scale == 1 else cv2.resize(pixels, (new_width, new_height), interpolation=cv2.INTER_AREA)
        codes = np.ascontiguousarray(quantise(reduced, 8)[:, :, ::-1])
        with self._alone:
            self._net.setInputSize((new_width, new_height))
            _, rows = self._net.detect(codes)
        factors = np.tile([width / new_width, height / new_height], 7)
        return [_parse_face(row[:14] * factors, float(row[14])) for row in ([] if rows is None else rows)]


def _overlap(first: tuple[float, float, float, float], second: tuple[float, float, float, float]) -> float:
    """Return the overlap of two boxes, as a share of the smaller one."""
    width, height = (
        min(first[axis] + first[axis + 2], second[axis] + second[axis + 2]) - max(first[axis], second[axis]) for axis in (0, 1)
    )
    return max(0.0, width) * max(0.0, height) / max(min(first[2] * first[3], second[2] * second[3]), 1e-6)


def _parse_face(numbers: Any, score: float) -> Face:
    x, y, wide, high = (float(number) for number in numbers[:4])
    return Face((x, y, wide, high), np.asarray(numbers[4:], np.float32).reshape(5, 2), score)


def open_engine(name: str, model: Model, model_files: ModelFiles, device: Device) -> FaceDetector:
    import cv2

    path = only_file(name, model_files.files)
    try:
        net = _open_net(path)
    except cv2.error as error:
        raise InputError(f"{path}: OpenCV cannot open this model: {error}", "Run: goldsmith models verify") from error
    device_label = f"cpu float32, {describe_threads(device.threads)}"
    return YuNet(EngineDescriptor(name=name, kind="faces", licence=model.licence, weights=weights_hashes(model), device=device_label), net)


def _open_net(path: Path) -> Any:
    import cv2

    before = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # without this, OpenCV warns about a device that is not chosen here
    try:
        return cv2.FaceDetectorYN.create(str(path), "", (320, 320), _MIN_SCORE, _MAX_OVERLAP, 200)
    finally:
        cv2.utils.logging.setLogLevel(before)
