"""BiRefNet (Zheng et al., "Bilateral Reference for High-Resolution Dichotomous Image Segmentation", 2024): the subject, with fine outlines.

It runs at the side of its ONNX file, 1024 px in the published ones. A file may have several outputs: the finest is the matte, as logits or
as probabilities. If the matte is faint everywhere, the picture has no subject.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from goldsmith.engines.drivers._matting import open_matting_model, resize, resize_matte
from goldsmith.engines.protocols import Device, EngineDescriptor, ModelFiles
from goldsmith.engines.registry.models import Model
from goldsmith.engines.vision import MatteEstimator
from goldsmith.errors import InputError
from goldsmith.picture.picture import Mask, Pixels

if TYPE_CHECKING:
    import onnxruntime

# The side of a file that leaves it open.
_SIDE = 1024
# ImageNet's mean and deviation, as in its training.
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)
# If the maximum of the matte is lower, the network has found nothing.
_MIN_PEAK = 0.5
# Logits beyond this are 0 or 1, and their exponential would overflow.
_MAX_LOGIT = 30.0


class BiRefNet:
    """A matte estimator for the most salient object, with fine outlines."""

    def __init__(self, descriptor: EngineDescriptor, session: onnxruntime.InferenceSession) -> None:
        self.descriptor = descriptor
        self._session = session
        [self._input] = session.get_inputs()
        sides = list(self._input.shape)[-2:]
        self._height, self._width = (side if isinstance(side, int) else _SIDE for side in sides)

    def matte(self, pixels: Pixels) -> Mask:
        normalised = (resize(pixels, self._width, self._height) - _MEAN) / _STD
        matte = self._finest_output(normalised)
        if matte.min() < 0 or matte.max() > 1:
            matte = np.asarray(1 / (1 + np.exp(-np.clip(matte, -_MAX_LOGIT, _MAX_LOGIT))), np.float32)
        if matte.max() < _MIN_PEAK:
            matte = np.zeros_like(matte)
        return resize_matte(matte, pixels)

    def _finest_output(self, normalised: Pixels) -> Mask:
        """Return the output with the most pixels, (h, w), for (h, w, 3) around 0. Raises InputError if it is not a number everywhere."""
        kind = np.float16 if self._input.type == "tensor(float16)" else np.float32
        blob = np.ascontiguousarray(normalised.transpose(2, 0, 1)[None], dtype=kind)
        outputs: list[Any] = self._session.run(None, {self._input.name: blob})
        finest = np.asarray(max(outputs, key=lambda output: output.shape[-2] * output.shape[-1]), np.float32)
        matte: Mask = finest.reshape(-1, *finest.shape[-2:])[0]
        if not np.isfinite(matte).all():
            raise InputError(
                f"The model {self.descriptor.name!r} returned values that are not numbers.", "Name another model, or fetch it again."
            )
        return matte


def open_engine(name: str, model: Model, model_files: ModelFiles, device: Device) -> MatteEstimator:
    return BiRefNet(*open_matting_model(name, model, model_files, device))
