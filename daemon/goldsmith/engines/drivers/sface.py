"""SFace (Zhong et al., "SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition", 2021): a face as 128 numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from goldsmith.engines.drivers._face_alignment import aligned_crop
from goldsmith.engines.drivers._onnx import describe_threads, only_file, open_session, weights_hashes
from goldsmith.engines.protocols import Device, EngineDescriptor, ModelFiles
from goldsmith.engines.registry.models import Model
from goldsmith.engines.vision import Face, FaceEmbedder, FaceEmbedding, normalise
from goldsmith.picture.picture import Pixels

if TYPE_CHECKING:
    import onnxruntime

_SIDE = 112


class SFace:
    """A face embedder on the upright face at 112 px. It was trained on red, green and blue from 0 to 255."""

    def __init__(self, descriptor: EngineDescriptor, session: onnxruntime.InferenceSession) -> None:
        self.descriptor = descriptor
        self._session = session

    def embed(self, pixels: Pixels, face: Face) -> FaceEmbedding:
        """Return the embedding, (128,), of length 1, of a face in the picture, (h, w, 3), 0..1, sRGB."""
        blob = np.ascontiguousarray(255 * aligned_crop(pixels, face.landmarks, _SIDE).transpose(2, 0, 1)[None], dtype=np.float32)
        [entry], [answer] = self._session.get_inputs(), self._session.get_outputs()
        return normalise(self._session.run([answer.name], {entry.name: blob})[0].reshape(-1))


def open_engine(name: str, model: Model, model_files: ModelFiles, device: Device) -> FaceEmbedder:
    session = open_session(only_file(name, model_files.files), device.threads)
    device_label = f"cpu float32, {describe_threads(device.threads)}"
    return SFace(
        EngineDescriptor(name=name, kind="identity", licence=model.licence, weights=weights_hashes(model), device=device_label), session
    )
