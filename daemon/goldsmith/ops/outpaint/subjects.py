"""Keep the subject out of what is added: engines that copy do not see it, and a growing edge must not cut it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from goldsmith.errors import InputError
from goldsmith.picture.picture import Mask, Picture, freeze
from goldsmith.picture.smoothing import resize_values

# What is not continued, by the words of a region.
NEVER_CONTINUED = ("subject", "face")
# Objects are looked for in a copy whose longer side is at most this, in px.
DETECTION_SIDE = 640
# The part of a matte that counts as the object, 0..1, and its soft parts.
HALF_OBJECT, LEAST_OBJECT = 0.5, 0.1
# A subject is cut by an edge if at least this share of the edge is subject.
LEAST_CUT_SHARE = 0.05
# A matte that is surer than ``SURE_OBJECT`` in less than this share of it shows no subject, but a part of a landscape.
SURE_OBJECT, LEAST_SURE_SHARE = 0.9, 0.8
# A region that covers more of the picture than this is no subject but the scene.
MAX_SUBJECT_SHARE = 0.7
# At an edge it is looked at in a strip of this share of the side.
EDGE_SHARE = 0.01


def cut_edges(subject: Mask, edges: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of the edges ("left", "right", "top", "bottom") at which the picture ends in the subject. subject: (h, w), 0..1."""
    if not _is_sure(subject):
        return ()
    return tuple(edge for edge in edges if float((_edge_strip(subject, edge) > HALF_OBJECT).mean()) >= LEAST_CUT_SHARE)


def _is_sure(subject: Mask) -> bool:
    """Return whether a matte (h, w), 0..1, shows a subject and not a part of a landscape, which models see now so and now so."""
    visible = float((subject > LEAST_OBJECT).sum())
    return visible > 0 and float((subject > SURE_OBJECT).sum()) >= LEAST_SURE_SHARE * visible


def _edge_strip(subject: Mask, edge: str) -> NDArray[np.float32]:
    high, wide = (max(round(EDGE_SHARE * side), 1) for side in subject.shape)
    return {"left": subject[:, :wide], "right": subject[:, -wide:], "top": subject[:high], "bottom": subject[-high:]}[edge]


def refuse_cut_subject(subject: Mask, edges: tuple[str, ...]) -> None:
    """Raise InputError if the picture ends in the subject (h, w), 0..1, at one of the edges that grow: it would have to be invented."""
    cut = cut_edges(subject, edges)
    if cut:
        raise InputError(
            f"The picture ends in the subject ({', '.join(cut)}), and no model that takes a prompt is here to paint the rest of it.",
            "Add only where the background reaches the edge (left, right, top, bottom, or anchor), fetch a model that takes a prompt "
            '(goldsmith models list), or set model = "patchmatch" to continue the edge all the same.',
        )


def find_hidden(picture: Picture, find: Callable[[str, Picture], Mask | None]) -> tuple[Mask | None, Mask | None]:
    """Return the subject, and all that must not be continued, each (h, w), 0..1, at the picture's size; None where there is none.

    ``find`` returns the mask of a word in a picture, or None. A subject that covers nearly everything is the scene, and may be continued;
    so are the uncertain parts of an uncertain one.
    """
    scale = min(1.0, DETECTION_SIDE / max(picture.height, picture.width))
    small = resize_values(picture.pixels, max(round(picture.height * scale), 1), max(round(picture.width * scale), 1))
    part = Picture(freeze(np.clip(small, 0, 1)), icc=picture.icc)
    mattes = {word: _enlarge(matte, picture) for word in NEVER_CONTINUED if (matte := find(word, part)) is not None}
    subject = mattes.pop("subject", None)
    if subject is not None and float((subject > HALF_OBJECT).mean()) > MAX_SUBJECT_SHARE:
        subject = None
    hidden = [matte > LEAST_OBJECT for matte in mattes.values()]
    if subject is not None:
        hidden.append(subject > (LEAST_OBJECT if _is_sure(subject) else SURE_OBJECT))
    together = freeze(np.logical_or.reduce(hidden).astype(np.float32)) if hidden else None
    return subject, None if together is None or together.all() else together


def _enlarge(matte: Mask, picture: Picture) -> Mask:
    return freeze(np.clip(resize_values(matte, picture.height, picture.width), 0, 1))
