"""Loads the masks of a job: it reads the files beside the picture, checks them for mistakes in painting, and unites those of one name."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from goldsmith.errors import InputError
from goldsmith.files import display_name
from goldsmith.jobs.job import Job
from goldsmith.picture.memory_budget import MemoryBudget
from goldsmith.picture.picture import Mask, Picture, freeze
from goldsmith.worker.inputs import LoadedInput
from goldsmith.worker.mask_judgement import MaskNames, judge_mask

if TYPE_CHECKING:
    from goldsmith.picture.codec import PicturePart

# The text chunk of a mask that a job has written: a person's mask, judged before, with the geometry of the new picture.
MADE_BY_GOLDSMITH = ("Goldsmith", "mask")
# A mask that covers more than this share of the picture and touches all four edges is probably inverted.
INVERTED_MASK_COVERAGE = 0.5
_TOLERANCE = 0.5 / 255
# The end of a name that a picture of its own may have too: ``clay-mask.png``, but not ``clay.mask.png``.
_JOINED_NAME = re.compile(r"[_-]mask[_-]?\d*_?\.\w+$", re.IGNORECASE)
# Shades up to this count as black, and from 1 minus this as white; a greater difference between the channels counts as colour.
_BLACK = 0.1
# The shares of grey and of coloured pixels that a mask has at most. Soft brushes leave a few per cent, photographs have far more.
_MAX_GREY_SHARE, _MAX_COLOURED_SHARE = 0.25, 0.1
# How many pixels are looked at, about.
_MAX_SAMPLES = 250_000
_PAINTING_HINTS = {
    False: "Paint white where the picture is to change and black where it is to stay.",
    True: "Paint white where the picture is to stay and black where it is to change.",
}


def load_masks(
    job: Job,
    files: Sequence[LoadedInput],
    picture: Picture,
    on_file: Callable[[LoadedInput], None],
    on_remark: Callable[[str], None],
    memory_budget: MemoryBudget | None = None,
    parts: Sequence[PicturePart] = (),
) -> dict[str, Mask]:
    """Return the masks by name, each float32 (h, w) of the picture's size, 0..1; ``on_file`` is called before each file is read.

    Several files of a name are united. The white part of a ``keep`` file is removed from the mask of its name; without such a mask,
    the mask is everything else. ``parts`` are the masks in the picture's own file, which count like files. ``on_remark`` gets a sentence
    about each mask that was not read as a plain one. Raises InputError as ``judge_mask`` and ``check_mask``.
    """
    masks_by_name: dict[str, Mask] = {}
    keeps: dict[str, Mask] = {}
    for loaded in files:
        on_file(loaded)
        is_keep = loaded.source.role == "keep"
        mask = _load_mask(job, loaded, picture, on_remark, memory_budget)
        name, masks = loaded.source.name or "mask", keeps if is_keep else masks_by_name
        masks[name] = np.maximum(masks[name], mask) if name in masks else mask
    for part in parts:
        mask = _load_part(job, part, picture, on_remark)
        masks_by_name[part.label] = np.maximum(masks_by_name[part.label], mask) if part.label in masks_by_name else mask
    for name, keep in keeps.items():
        change = np.float32(1.0) - keep
        masks_by_name[name] = np.minimum(masks_by_name[name], change) if name in masks_by_name else change
        if not (masks_by_name[name] > 0).any():
            raise InputError(f"Nothing is left of the mask “{name}” once its keep file is taken out of it.", "Paint one of them again.")
    return {name: freeze(mask) for name, mask in masks_by_name.items()}


def _load_mask(
    job: Job, loaded: LoadedInput, picture: Picture, on_remark: Callable[[str], None], memory_budget: MemoryBudget | None
) -> Mask:
    from goldsmith.picture.codec import decode_mask_file, mask_from_picture

    is_keep = loaded.source.role == "keep"
    decoded = decode_mask_file(loaded.data, loaded.name, job.limits.max_pixels, memory_budget, job.float_range)
    if MADE_BY_GOLDSMITH in decoded.metadata.text_chunks:
        mask = mask_from_picture(decoded)
    else:
        if _JOINED_NAME.search(loaded.name):
            _require_mask(decoded, loaded.name, job.stem)
        has_name = loaded.source.name not in ("", "mask")
        names = MaskNames(loaded.name, display_name(os.path.basename(job.asset.path)), is_keep=is_keep, has_name=has_name)
        mask, remark = judge_mask(decoded, picture, names)
        if remark:
            on_remark(remark)
    del decoded
    return check_mask(mask, (picture.height, picture.width), loaded.name, job.mask_fit, is_keep_mask=is_keep)


def _load_part(job: Job, part: PicturePart, picture: Picture, on_remark: Callable[[str], None]) -> Mask:
    """Return the mask in a layer or a saved channel of the picture's own file, judged like a file."""
    names = MaskNames(part.title, display_name(os.path.basename(job.asset.path)), is_keep=False, has_name=part.label != "mask")
    mask, remark = judge_mask(part.decode(), picture, names)
    if remark:
        on_remark(remark)
    return check_mask(mask, (picture.height, picture.width), part.title, job.mask_fit)


def mask_from_alpha(picture: Picture, name: str, other: Mask | None) -> Mask:
    """Return the hole in a picture's alpha as a mask (h, w), 0..1, united with the mask ``other``.

    Raises InputError if the picture has no hole, or nothing but a hole.
    """
    if picture.alpha is None or not (picture.alpha < 1 - _TOLERANCE).any():
        raise InputError(
            f"The mask of {name} is to come from its alpha, but it has no transparent part.",
            'Erase to transparency what is to change, or take from = "alpha" out of [mask] in its brief.',
        )
    if not (picture.alpha > _TOLERANCE).any():
        raise InputError(f"{name} is transparent all over, so nothing of it would stay.", _PAINTING_HINTS[False])
    hole = np.float32(1.0) - picture.alpha
    return freeze(hole if other is None else np.maximum(hole, other))


def _require_mask(picture: Picture, name: str, stem: str) -> None:
    """Raise InputError if a file that is called ``clay-mask.png`` has the pixels of a picture: it may be a product of that name.

    A mask is mostly black and white. What is called ``clay.mask.png`` is not questioned.
    """
    if picture.alpha is not None and np.ptp(picture.alpha) > 0:
        return  # painted on transparent ground
    stride = max(1, math.isqrt(picture.height * picture.width // _MAX_SAMPLES))
    sample = picture.pixels[::stride, ::stride]
    shade = sample.mean(axis=2)
    grey = float(((shade > _BLACK) & (shade < 1 - _BLACK)).mean())
    coloured = float((np.ptp(sample, axis=2) > _BLACK).mean())
    if grey <= _MAX_GREY_SHARE and min(grey, coloured) <= _MAX_COLOURED_SHARE:
        return
    shown_stem, suffix = display_name(stem), os.path.splitext(name)[1]
    raise InputError(
        f"{name} is named like the mask of {shown_stem}, but {grey:.0%} of it is neither black nor white: is it a picture of its own?",
        f"If it is, give it a name that does not end in “mask”. If it is the mask, call it {shown_stem}.mask{suffix}.",
    )


def check_mask(
    mask: Mask, size: tuple[int, int], name: str, fit: Literal["refuse", "scale"] = "refuse", *, is_keep_mask: bool = False
) -> Mask:
    """Return the mask (h, w), 0..1, for a picture of ``size`` (height, width).

    ``is_keep_mask``: the file is a ``hero.keep.png``, white where nothing may change; it may cover most of the picture.
    Raises InputError for a mask of another size (``fit="scale"`` resizes it instead), all black, all white, or probably inverted.
    """
    height, width = size
    if mask.shape != (height, width):
        mask = _refit_mask(mask, height, width, name, fit)
    if not mask.max() > _TOLERANCE:
        raise InputError(f"The mask {name} is all black, so it selects nothing.", _PAINTING_HINTS[is_keep_mask])
    # The first row is checked first, since it is black somewhere in most masks.
    if not (bool((mask[0] < 1 - _TOLERANCE).any()) or mask.min() < 1 - _TOLERANCE):
        raise InputError(f"The mask {name} is all white, so it selects everything.", _PAINTING_HINTS[is_keep_mask])
    if is_keep_mask or not touches_every_edge(mask):
        return mask
    covered = float(mask.mean(dtype=np.float64))
    if covered > INVERTED_MASK_COVERAGE:
        raise InputError(
            f"The mask {name} covers {covered:.0%} of the picture and touches all four edges: it is probably inverted.",
            "White means change: invert it. If so much is to change, paint what is to stay in white instead, "
            "and name the file .keep. instead of .mask.",
        )
    return mask


def touches_every_edge(mask: Mask) -> bool:
    """Return True if each of the four edges of the mask (h, w), 0..1, has a pixel above 0.5."""
    return all(bool((edge > 0.5).any()) for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))


def _refit_mask(mask: Mask, height: int, width: int, name: str, fit: str) -> Mask:
    actual, expected = f"{mask.shape[1]} x {mask.shape[0]}", f"{width} x {height}"
    if fit == "scale":
        from goldsmith.picture.resample import resize

        return freeze(np.clip(resize(mask, height, width), 0.0, 1.0))
    same_shape = abs(mask.shape[1] * height - mask.shape[0] * width) <= max(mask.shape[1], mask.shape[0], width, height)
    shape = "" if same_shape else " and has another aspect ratio"
    raise InputError(
        f"The mask {name} is {actual} px{shape}; its picture is {expected} px.",
        'Save it at the size of the picture, or write mask.fit = "scale" in the brief.',
    )
