"""Masks as people paint them: checked against the picture before any work is done with them."""

from __future__ import annotations

from typing import Literal

import numpy as np

from goldsmith.errors import InputError
from goldsmith.picture.picture import Mask, freeze

# A mask that covers more of the picture than this and touches all four edges is taken for one that was painted inverted.
INVERTED_MASK_COVERAGE = 0.5
_TOLERANCE = 0.5 / 255
_PAINTING_HINTS = {
    False: "Paint white where the picture is to change and black where it is to stay.",
    True: "Paint white where the picture is to stay and black where it is to change.",
}


def check_mask(
    mask: Mask, size: tuple[int, int], name: str, fit: Literal["refuse", "scale"] = "refuse", *, is_keep_mask: bool = False
) -> Mask:
    """The mask, fit for a picture of ``size`` (height, width).

    keep: the file is a ``hero.keep.png``, white where nothing may change; it may well cover most of the picture.
    Raises InputError for one of another size (``fit="scale"`` resizes it instead), all black, all white, or probably inverted.
    """
    height, width = size
    if mask.shape != (height, width):
        mask = _refit_mask(mask, height, width, name, fit)
    if not mask.max() > _TOLERANCE:
        raise InputError(f"The mask {name} is all black, so it says nothing.", _PAINTING_HINTS[is_keep_mask])
    if not (bool((mask[0] < 1 - _TOLERANCE).any()) or mask.min() < 1 - _TOLERANCE):  # most masks are black somewhere in their first row
        raise InputError(f"The mask {name} is all white, so it says nothing.", _PAINTING_HINTS[is_keep_mask])
    if is_keep_mask or not touches_every_edge(mask):
        return mask
    covered = float(mask.mean(dtype=np.float64))
    if covered > INVERTED_MASK_COVERAGE:
        raise InputError(
            f"The mask {name} covers {covered:.0%} of the picture and touches all four edges: it is probably inverted.",
            "White means change: invert it. If so much is to change, paint what is to stay in white instead, and call it .keep. "
            "in place of .mask.",
        )
    return mask


def touches_every_edge(mask: Mask) -> bool:
    """True where each of the four edges has a pixel that is more white than black."""
    return all(bool((edge > 0.5).any()) for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))


def _refit_mask(mask: Mask, height: int, width: int, name: str, fit: str) -> Mask:
    have, want = f"{mask.shape[1]} x {mask.shape[0]}", f"{width} x {height}"
    if fit == "scale":
        from goldsmith.picture.resample import resize

        return freeze(np.clip(resize(mask, height, width), 0.0, 1.0))
    same_shape = abs(mask.shape[1] * height - mask.shape[0] * width) <= max(mask.shape[1], mask.shape[0], width, height)
    shape = "" if same_shape else " and of another shape"
    raise InputError(
        f"The mask {name} is {have} pixels large{shape}; its picture is {want}.",
        'Save it at the size of the picture, or write mask.fit = "scale" in the brief.',
    )
