"""The masks of a job, from the files beside its picture to the named masks of its plate."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from goldsmith.errors import Problem
from goldsmith.jobs.job import Job
from goldsmith.picture.picture import Mask, Plate, frozen
from goldsmith.picture.room import Room
from goldsmith.worker.inputs import Loaded


def named_masks(
    job: Job, files: Sequence[Loaded], plate: Plate, before_each: Callable[[Loaded], None], room: Room | None = None
) -> dict[str, Mask]:
    """The masks by name, each float32 (h, w) of the plate's size; ``before_each`` is told of each file before it is read.

    Several files of a name are united. What a ``keep`` file shows white is taken out of its name's mask; without such a mask
    everything else is to change. Raises Problem as ``plate.masks.check_mask``.
    """
    united: dict[str, Mask] = {}
    keeps: dict[str, Mask] = {}
    for loaded in files:
        before_each(loaded)
        keep = loaded.given.role == "keep"
        mask = _checked(job, loaded, plate, keep, room)
        name, pile = loaded.given.name or "mask", keeps if keep else united
        pile[name] = np.maximum(pile[name], mask) if name in pile else mask
    for name, kept in keeps.items():
        change = np.float32(1.0) - kept
        united[name] = np.minimum(united[name], change) if name in united else change
        if not (united[name] > 0).any():
            raise Problem(f"Nothing is left of the mask “{name}” once its keep file is taken out of it.", "Paint one of them anew.")
    return {name: frozen(mask) for name, mask in united.items()}


def _checked(job: Job, loaded: Loaded, plate: Plate, keep: bool, room: Room | None) -> Mask:
    from goldsmith.picture.codec import decode_mask
    from goldsmith.worker.mask_check import check_mask

    mask = decode_mask(loaded.data, loaded.name, job.limits.pixels, room)
    return check_mask(mask, (plate.height, plate.width), loaded.name, job.mask_fit, keep=keep)
