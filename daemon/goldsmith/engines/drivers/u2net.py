"""U2-Net (Qin et al., "U2-Net: Going Deeper with Nested U-Structure for Salient Object Detection", 2020): what a picture is of.

It always looks at 320 x 320 px, and twice: at the picture and at its mirror image. What it says of only one of the two comes out grey:
there it does not know. What it thinks of a picture with no subject is faint, so its answer is not stretched to 0..1 there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from goldsmith.engines import Descriptor, Device, Store
from goldsmith.engines.drivers._matting import asked, back, opened, scaled
from goldsmith.engines.registry.models import Model
from goldsmith.engines.vision import Matter
from goldsmith.picture.picture import Mask, Pixels

if TYPE_CHECKING:
    import onnxruntime

_SIDE = 320
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_SPREAD = np.array([0.229, 0.224, 0.225], np.float32)
_FAINT = 0.5
"""A net that is nowhere surer than this has found nothing."""
_STEEP = 2.5
"""What the net says is how likely a px is the subject, not how much of it: what is more likely than not is taken as the subject."""


class U2Net:
    """Mattes of whatever stands out."""

    def __init__(self, descriptor: Descriptor, session: onnxruntime.InferenceSession) -> None:
        self.descriptor = descriptor
        self._session = session

    def matte(self, pixels: Pixels) -> Mask:
        small = scaled(pixels, _SIDE, _SIDE)
        small = small / max(float(small.max()), 1e-6)
        seen = (small - _MEAN) / _SPREAD
        return back((self._look(seen) + self._look(seen[:, ::-1])[:, ::-1]) * np.float32(0.5), pixels)

    def _look(self, seen: Pixels) -> Mask:
        made = asked(self._session, seen)
        most, least = float(made.max()), float(made.min())
        if most < _FAINT:
            return np.zeros_like(made)
        return np.asarray(np.clip((made - least) / (most - least) * _STEEP - (_STEEP - 1) / 2, 0.0, 1.0), np.float32)


def open_engine(name: str, model: Model, store: Store, device: Device) -> Matter:
    return U2Net(*opened(name, model, store, device))
