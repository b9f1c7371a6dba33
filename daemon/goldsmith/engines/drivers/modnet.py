"""MODNet (Ke et al., "MODNet: Real-Time Trimap-Free Portrait Matting via Objective Decomposition", AAAI 2022): people and their hair."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldsmith.engines.drivers._matting import open_matting_model, resize, resize_matte, run_net
from goldsmith.engines.protocols import Device, EngineDescriptor, ModelFiles
from goldsmith.engines.registry.models import Model
from goldsmith.engines.vision import MatteEstimator
from goldsmith.picture.picture import Mask, Pixels

if TYPE_CHECKING:
    import onnxruntime

_SHORT_SIDE = 512
# Limit of the longer side for a panorama.
_MAX_LONG_SIDE = 2048
_MULTIPLE = 32


class Modnet:
    """A matte estimator for people."""

    def __init__(self, descriptor: EngineDescriptor, session: onnxruntime.InferenceSession) -> None:
        self.descriptor = descriptor
        self._session = session

    def matte(self, pixels: Pixels) -> Mask:
        height, width = pixels.shape[:2]
        scale = _SHORT_SIDE / min(height, width)
        new_width, new_height = (
            max(_MULTIPLE, min(_MAX_LONG_SIDE, round(side * scale / _MULTIPLE) * _MULTIPLE)) for side in (width, height)
        )
        return resize_matte(run_net(self._session, resize(pixels, new_width, new_height) * 2 - 1), pixels)


def open_engine(name: str, model: Model, model_files: ModelFiles, device: Device) -> MatteEstimator:
    return Modnet(*open_matting_model(name, model, model_files, device))
