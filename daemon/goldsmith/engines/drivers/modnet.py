"""MODNet (Ke et al., "MODNet: Real-Time Trimap-Free Portrait Matting via Objective Decomposition", AAAI 2022): people and their hair."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goldsmith.engines import Descriptor, Device, Store
from goldsmith.engines.drivers._matting import asked, back, opened, scaled
from goldsmith.engines.registry.models import Model
from goldsmith.engines.vision import Matter
from goldsmith.picture.picture import Mask, Pixels

if TYPE_CHECKING:
    import onnxruntime

_SHORT = 512
_LONG = 2048
"""A panorama is looked at no longer than this."""
_MULTIPLE = 32


class Modnet:
    """Mattes of people."""

    def __init__(self, descriptor: Descriptor, session: onnxruntime.InferenceSession) -> None:
        self.descriptor = descriptor
        self._session = session

    def matte(self, pixels: Pixels) -> Mask:
        height, width = pixels.shape[:2]
        scale = _SHORT / min(height, width)
        wide, high = (max(_MULTIPLE, min(_LONG, round(side * scale / _MULTIPLE) * _MULTIPLE)) for side in (width, height))
        return back(asked(self._session, scaled(pixels, wide, high) * 2 - 1), pixels)


def open_engine(name: str, model: Model, store: Store, device: Device) -> Matter:
    return Modnet(*opened(name, model, store, device))
