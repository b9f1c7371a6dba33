"""U2-Net (Qin et al., "U2-Net: Going Deeper with Nested U-Structure for Salient Object Detection", 2020): the subject of a picture.

It runs at 320 x 320 px, on the picture and on its mirror image; where the two disagree, the matte is grey. The output is stretched to 0..1,
except if it is faint everywhere: then the picture has no subject.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from goldsmith.engines.drivers._matting import open_matting_model, resize, resize_matte, run_net
from goldsmith.engines.protocols import Device, EngineDescriptor, ModelFiles
from goldsmith.engines.registry.models import Model
from goldsmith.engines.vision import MatteEstimator
from goldsmith.picture.picture import Mask, Pixels

if TYPE_CHECKING:
    import onnxruntime

_SIDE = 320
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)
# If the maximum of the output is lower, the network has found nothing.
_MIN_PEAK = 0.5
# The network returns the probability that a px is subject, not its coverage, so the contrast around one half is raised.
_CONTRAST = 2.5


class U2Net:
    """A matte estimator for the most salient object."""

    def __init__(self, descriptor: EngineDescriptor, session: onnxruntime.InferenceSession) -> None:
        self.descriptor = descriptor
        self._session = session

    def matte(self, pixels: Pixels) -> Mask:
        small = resize(pixels, _SIDE, _SIDE)
        small = small / max(float(small.max()), 1e-6)
        normalised = (small - _MEAN) / _STD
        return resize_matte((self._predict(normalised) + self._predict(normalised[:, ::-1])[:, ::-1]) * np.float32(0.5), pixels)

    def _predict(self, normalised: Pixels) -> Mask:
        output = run_net(self._session, normalised)
        highest, lowest = float(output.max()), float(output.min())
        if highest < _MIN_PEAK:
            return np.zeros_like(output)
        return np.asarray(np.clip((output - lowest) / (highest - lowest) * _CONTRAST - (_CONTRAST - 1) / 2, 0.0, 1.0), np.float32)


def open_engine(name: str, model: Model, model_files: ModelFiles, device: Device) -> MatteEstimator:
    return U2Net(*open_matting_model(name, model, model_files, device))
