"""The memory of a cut-out stays within what the step states, with glass as without."""

from __future__ import annotations

import gc
import tracemalloc
from types import MappingProxyType

import cv2
import numpy as np
import pytest

from doubles.mattes import pane
from doubles.step_context import StepContextDouble
from goldsmith.ops.cutout.operation import Cutout
from goldsmith.picture import row_slabs
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze

# How many times as large as the drawn pane. The background under the glass is worked out at 512 px, which both exceed.
_LOW, _HIGH = 2.5, 4
_SOURCE_BYTES = 12


def _picture(scale: float) -> Picture:
    def enlarged(plane: Pixels | Mask) -> Pixels:
        return freeze(np.asarray(cv2.resize(plane, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR), np.float32))

    scene = pane()
    masks = {"mask": enlarged(scene.foot), "pane": enlarged(scene.brush_matte)}
    return Picture(enlarged(scene.pixels), masks=MappingProxyType(masks))


def _peak(operation: Cutout, picture: Picture) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        operation.apply(picture, StepContextDouble())
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("settings", [{}, {"glass": "pane"}, {"glass": "pane", "decontaminate": 0, "onto": "#f4f1ea"}])
def test_a_cutout_uses_no_more_memory_than_it_states(settings: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    """The peak grows by at most 72 bytes for each pixel, the source included. Matting in tiles is left out: small pictures are one tile."""
    monkeypatch.setattr(row_slabs, "_SLAB_PIXELS", 1 << 12)
    operation = Cutout.model_validate({"where": "mask", "refine": "none", "max_holes": 1, "max_unsure": 1, **settings})
    low, high = _picture(_LOW), _picture(_HIGH)
    growth = (_peak(operation, high) - _peak(operation, low)) / (high.width * high.height - low.width * low.height)
    assert operation.bytes_per_pixel() == 72
    assert _SOURCE_BYTES + growth <= 72
