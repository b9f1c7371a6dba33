"""PatchMatch (Barnes, Shechtman, Finkelstein, Goldman: SIGGRAPH 2009) through PyPatchMatch: no weights, any size, 8 bits inside."""

from __future__ import annotations

from importlib.metadata import version
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from goldsmith.engines.protocols import Device, EngineDescriptor, Inpainter, ModelFiles, OnProgress, ignore_progress
from goldsmith.engines.registry.models import Model
from goldsmith.errors import InputError
from goldsmith.picture.picture import Mask, Pixels, quantise

# Patches of 11 x 11 px: a radius of 3 loses structure; a radius of 7 takes twice the time and looked no better on photographs.
_PATCH_RADIUS = 5
# Weight of a patch's own row relative to similarity: with 0, sky appears in the grass; with 2, patches repeat.
_GUIDE_WEIGHT = 0.3


class PatchMatchInpainter:
    """An inpainter that fills a hole with patches copied from the rest of the picture; the seed steers the search."""

    def __init__(self, descriptor: EngineDescriptor) -> None:
        self.descriptor = descriptor

    def fill(self, pixels: Pixels, hole: Mask, seed: int, on_progress: OnProgress = ignore_progress) -> Pixels:
        import patchmatch

        patchmatch.set_random_seed(seed)
        image, gap = quantise(pixels, 8), hole > 0.5
        axis = _open_axis(gap)
        if axis is None:
            codes = patchmatch.inpaint(image, gap.astype(np.uint8), patch_size=_PATCH_RADIUS)
        else:
            lines = _guide_lines(gap.shape, axis)
            codes = patchmatch.inpaint_regularity(image, gap.astype(np.uint8), lines, patch_size=_PATCH_RADIUS, guide_weight=_GUIDE_WEIGHT)
        filled: Pixels = codes.astype(np.float32) / np.float32(255)
        return filled


def _open_axis(gap: NDArray[np.bool_]) -> Literal[0, 1] | None:
    """Return 0 if the hole covers the whole left or right side, 1 for the top or bottom, None otherwise.

    At such a side the picture has to be continued: there are no pixels on the far side of the hole.
    """
    if gap[:, 0].all() or gap[:, -1].all():
        return 0
    return 1 if gap[0].all() or gap[-1].all() else None


def _guide_lines(shape: tuple[int, ...], axis: Literal[0, 1]) -> NDArray[np.float32]:
    """Return the row (0) or column (1) of each px. The library treats whole numbers as the same line, so the values stay in 0..0.5."""
    lines = np.zeros((*shape, 3), dtype=np.float32)
    position = np.linspace(0, 0.5, shape[axis], dtype=np.float32)
    lines[..., 0] = position[:, None] if axis == 0 else position[None, :]
    return lines


def open_engine(name: str, model: Model, model_files: ModelFiles, device: Device) -> Inpainter:
    import patchmatch

    if not patchmatch.patchmatch_available:
        raise InputError(
            f"The engine {name!r} cannot start: PyPatchMatch's library does not load on this machine.", "Use another inpainting model."
        )
    patchmatch.set_verbose(False)
    revision = f"PyPatchMatch {version('PyPatchMatch')}"
    return PatchMatchInpainter(
        EngineDescriptor(name=name, kind="inpaint", licence=model.licence, device="cpu, 1 thread", revision=revision)
    )
