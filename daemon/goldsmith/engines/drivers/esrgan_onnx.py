"""Upscaling networks in onnx form, run by onnxruntime: float32 NCHW 0..1 in and out, even sides (Real-ESRGAN x2plus and similar)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from goldsmith.engines.drivers._onnx import describe_threads, only_file, open_session, weights_hashes
from goldsmith.engines.protocols import Device, EngineDescriptor, ModelFiles, Upscaler
from goldsmith.engines.registry.models import Model
from goldsmith.picture.picture import Pixels

if TYPE_CHECKING:
    import onnxruntime


class OnnxUpscaler:
    """An upscaler with an onnx network of one input and one output."""

    def __init__(self, descriptor: EngineDescriptor, session: onnxruntime.InferenceSession) -> None:
        self.descriptor = descriptor
        self._session = session
        self._input = session.get_inputs()[0].name

    def enlarge(self, tile: Pixels) -> Pixels:
        planes = np.ascontiguousarray(tile.transpose(2, 0, 1)[None])
        enlarged = self._session.run(None, {self._input: planes})[0][0].transpose(1, 2, 0)
        pixels: Pixels = np.ascontiguousarray(np.clip(enlarged, 0, 1))
        return pixels


def open_engine(name: str, model: Model, model_files: ModelFiles, device: Device) -> Upscaler:
    import onnxruntime

    session = open_session(only_file(name, model_files.files), device.threads)
    descriptor = EngineDescriptor(
        name=name,
        kind="upscale",
        licence=model.licence,
        scale=model.scale,
        side=512,
        # The receptive field is hundreds of px: with 80 px, tiles differ from the whole picture by at most 4 codes
        # of 255; with 48 px, by 15.
        pad=80,
        multiple=2,
        weights=weights_hashes(model),
        device=f"cpu float32, {describe_threads(device.threads)}",
        revision=f"onnxruntime {onnxruntime.__version__}",
    )
    return OnnxUpscaler(descriptor, session)
