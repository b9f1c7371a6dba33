"""SFace (Zhong et al., "SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition", 2021): who a face is, in 128 numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from goldsmith.engines import Descriptor, Device, Store
from goldsmith.engines.drivers._aligned import seen
from goldsmith.engines.drivers._onnx import only_file, open_session, threads_text, weights_of
from goldsmith.engines.registry.models import Model
from goldsmith.engines.vision import Face, Identifier, Identity, unit
from goldsmith.picture.picture import Pixels

if TYPE_CHECKING:
    import onnxruntime

_SIDE = 112


class SFace:
    """Looks at the face upright, at 112 px. It was trained on red, green and blue from 0 to 255."""

    def __init__(self, descriptor: Descriptor, session: onnxruntime.InferenceSession) -> None:
        self.descriptor = descriptor
        self._session = session

    def identity(self, pixels: Pixels, face: Face) -> Identity:
        blob = np.ascontiguousarray(255 * seen(pixels, face.points, _SIDE).transpose(2, 0, 1)[None], dtype=np.float32)
        [entry], [answer] = self._session.get_inputs(), self._session.get_outputs()
        return unit(self._session.run([answer.name], {entry.name: blob})[0].reshape(-1))


def open_engine(name: str, model: Model, store: Store, device: Device) -> Identifier:
    session = open_session(only_file(name, store.files), device.threads)
    on = f"cpu float32, {threads_text(device.threads)}"
    return SFace(Descriptor(name=name, kind="identity", licence=model.licence, weights=weights_of(model), device=on), session)
