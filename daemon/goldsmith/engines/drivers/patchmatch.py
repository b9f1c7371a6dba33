"""PatchMatch (Barnes, Shechtman, Finkelstein, Goldman: SIGGRAPH 2009) through PyPatchMatch: no weights, any size, 8 bits inside."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

from goldsmith.engines import Descriptor, Device, Inpainter, OnStep, Store, unheard
from goldsmith.engines.models import Model
from goldsmith.errors import Problem
from goldsmith.plate.plate import Mask, Pixels, quantised

_RADIUS = 5
"""Patches of 11 x 11 px: 3 loses structure, 7 takes twice the time and looked no better on photographs."""


class PatchMatchInpainter:
    """Fills a hole with patches copied from the rest of the picture; the seed steers the search."""

    def __init__(self, descriptor: Descriptor) -> None:
        self.descriptor = descriptor

    def fill(self, pixels: Pixels, hole: Mask, seed: int, step: OnStep = unheard) -> Pixels:
        import patchmatch

        patchmatch.set_random_seed(seed)
        codes = patchmatch.inpaint(quantised(pixels, 8), (hole > 0.5).astype(np.uint8), patch_size=_RADIUS)
        filled: Pixels = codes.astype(np.float32) / np.float32(255)
        return filled


def open_engine(name: str, model: Model, store: Store, device: Device) -> Inpainter:
    import patchmatch

    if not patchmatch.patchmatch_available:
        raise Problem(
            f"The engine {name!r} cannot start: PyPatchMatch's library does not load on this machine.", "Use another inpainting model."
        )
    patchmatch.set_verbose(False)
    made_by = f"PyPatchMatch {version('PyPatchMatch')}"
    return PatchMatchInpainter(Descriptor(name=name, kind="inpaint", licence=model.licence, device="cpu, 1 thread", revision=made_by))
