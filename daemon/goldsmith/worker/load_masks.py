"""The masks of a job, from the files beside its picture to the named masks of its picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from goldsmith.errors import InputError
from goldsmith.jobs.job import Job
from goldsmith.picture.memory_budget import MemoryBudget
from goldsmith.picture.picture import Mask, Picture, freeze
from goldsmith.worker.inputs import LoadedInput


def load_masks(
    job: Job, files: Sequence[LoadedInput], picture: Picture, on_file: Callable[[LoadedInput], None], room: MemoryBudget | None = None
) -> dict[str, Mask]:
    """The masks by name, each float32 (h, w) of the picture's size; ``before_each`` is told of each file before it is read.

    Several files of a name are united. What a ``keep`` file shows white is taken out of its name's mask; without such a mask
    everything else is to change. Raises InputError as ``picture.masks.check_mask``.
    """
    united: dict[str, Mask] = {}
    keeps: dict[str, Mask] = {}
    for loaded in files:
        on_file(loaded)
        keep = loaded.source.role == "keep"
        mask = _load_mask(job, loaded, picture, keep, room)
        name, pile = loaded.source.name or "mask", keeps if keep else united
        pile[name] = np.maximum(pile[name], mask) if name in pile else mask
    for name, kept in keeps.items():
        change = np.float32(1.0) - kept
        united[name] = np.minimum(united[name], change) if name in united else change
        if not (united[name] > 0).any():
            raise InputError(f"Nothing is left of the mask “{name}” once its keep file is taken out of it.", "Paint one of them anew.")
    return {name: freeze(mask) for name, mask in united.items()}


def _load_mask(job: Job, loaded: LoadedInput, picture: Picture, is_keep: bool, room: MemoryBudget | None) -> Mask:
    from goldsmith.picture.codec import decode_mask
    from goldsmith.worker.mask_check import check_mask

    mask = decode_mask(loaded.data, loaded.name, job.limits.max_pixels, room)
    return check_mask(mask, (picture.height, picture.width), loaded.name, job.mask_fit, is_keep_mask=is_keep)
