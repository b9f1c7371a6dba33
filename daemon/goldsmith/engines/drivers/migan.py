"""MI-GAN (Sargsyan et al., "MI-GAN: A Simple Baseline for Image Inpainting on Mobile Devices", ICCV 2023) in its onnx pipeline form.

The pipeline takes uint8 RGB and a mask where 0 is the hole, crops around the hole, works at 512 px and blends the edge itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from goldsmith.engines.drivers._onnx import describe_threads, only_file, open_session, weights_hashes
from goldsmith.engines.protocols import Device, EngineDescriptor, Inpainter, ModelFiles, OnProgress, ignore_progress
from goldsmith.engines.registry.models import Model
from goldsmith.picture.picture import Mask, Pixels, quantise

if TYPE_CHECKING:
    import onnxruntime

_SIDE = 512
# The pipeline blends this many px inside the edge of the hole with the old pixels, so the hole is dilated by as many.
_BLEND_PX = 4


class MiganInpainter:
    """An inpainter that fills a hole from its surroundings."""

    def __init__(self, descriptor: EngineDescriptor, session: onnxruntime.InferenceSession) -> None:
        self.descriptor = descriptor
        self._session = session

    def fill(self, pixels: Pixels, hole: Mask, seed: int, on_progress: OnProgress = ignore_progress) -> Pixels:
        """Return the filled pixels, (h, w, 3), 0..1, sRGB. The model ignores the seed."""
        image = np.ascontiguousarray(quantise(pixels, 8).transpose(2, 0, 1)[None])
        keep = np.where(_dilate(hole > 0.5, _BLEND_PX), np.uint8(0), np.uint8(255))[None, None]
        codes = self._session.run(None, {"image": image, "mask": keep})[0][0]
        filled: Pixels = np.ascontiguousarray(codes.transpose(1, 2, 0)).astype(np.float32) / np.float32(255)
        return filled


def _dilate(hole: NDArray[np.bool_], px: int) -> NDArray[np.bool_]:
    """Return the hole dilated by a square of ``px`` px."""
    for axis in (0, 1):
        before = hole
        hole = before.copy()
        for step in range(1, px + 1):
            ahead, behind = [slice(None)] * 2, [slice(None)] * 2
            ahead[axis], behind[axis] = slice(step, None), slice(None, -step)
            hole[tuple(ahead)] |= before[tuple(behind)]
            hole[tuple(behind)] |= before[tuple(ahead)]
    return hole


def open_engine(name: str, model: Model, model_files: ModelFiles, device: Device) -> Inpainter:
    session = open_session(only_file(name, model_files.files), device.threads)
    device_label = f"cpu float32, {describe_threads(device.threads)}"
    return MiganInpainter(
        EngineDescriptor(name=name, kind="inpaint", licence=model.licence, side=_SIDE, weights=weights_hashes(model), device=device_label),
        session,
    )
