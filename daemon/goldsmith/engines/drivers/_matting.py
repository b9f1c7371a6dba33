"""Code that the matting drivers share: scale a picture for a network, run the network, and scale the matte back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from goldsmith.engines.drivers._onnx import describe_threads, only_file, open_session, weights_hashes
from goldsmith.engines.protocols import Device, EngineDescriptor, ModelFiles
from goldsmith.engines.registry.models import Model
from goldsmith.picture.picture import Mask, Pixels

if TYPE_CHECKING:
    import onnxruntime


def open_matting_model(
    name: str, model: Model, model_files: ModelFiles, device: Device
) -> tuple[EngineDescriptor, onnxruntime.InferenceSession]:
    """Return the descriptor and the session of a model of kind ``matte``."""
    session = open_session(only_file(name, model_files.files), device.threads)
    device_label = f"cpu float32, {describe_threads(device.threads)}"
    return EngineDescriptor(name=name, kind="matte", licence=model.licence, weights=weights_hashes(model), device=device_label), session


def resize(pixels: Pixels, width: int, height: int) -> Pixels:
    """Return the pixels, (height, width, 3), 0..1, sRGB, at that size in px: averaged if reduced, interpolated if enlarged."""
    import cv2

    smaller = width * height < pixels.shape[0] * pixels.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=how), np.float32)


def run_net(session: onnxruntime.InferenceSession, pixels: NDArray[np.float32]) -> Mask:
    """Return the network's first output, (h, w), 0..1, for (h, w, 3), normalised values around 0."""
    [entry] = session.get_inputs()
    blob = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], dtype=np.float32)
    matte: Mask = session.run([session.get_outputs()[0].name], {entry.name: blob})[0][0, 0]
    return matte


def resize_matte(matte: Mask, pixels: Pixels) -> Mask:
    """Return the matte (h, w), 0..1, at the size of the picture."""
    import cv2

    height, width = pixels.shape[:2]
    return np.asarray(np.clip(cv2.resize(matte, (width, height), interpolation=cv2.INTER_LINEAR), 0.0, 1.0), np.float32)
