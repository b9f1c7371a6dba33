"""How far a matte is to be trusted: what of it is neither in nor out, its holes, its pieces, and where the frame cuts it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from goldsmith.ops.cutout.laplacian import Flags
from goldsmith.picture.picture import Mask

_FAINT, _FULL = 0.05, 0.95
_GREY = 0.15
"""Nearer to 0 and 1 than this a first matte means one of them."""
_BLUR = 3
"""px: a soft rim narrower than this is what any lens makes of an edge, and no doubt."""
_SPECK = 2e-5
"""What takes less of the picture than this is no hole and no piece."""

_NARROW = 1.5
"""A gap that is narrower than the band divided by this is one between hairs."""


@dataclass(frozen=True, eq=False, slots=True)
class Verdict:
    """Shares are 0..1. ``unsure``, ``hole_share`` and ``loose`` are parts of the subject's area, ``cut`` of the picture's border."""

    subject: float
    """The subject, as a part of the picture."""
    unsure: float
    """Between 5 % and 95 % and wider than the blur of a lens; and what was in doubt before the edge was looked into."""
    holes: int
    hole_share: float
    pieces: int
    loose: float
    """All pieces but the largest."""
    cut: float
    sides: tuple[str, ...]
    """Which sides of the picture the subject runs out of."""
    unsure_at: Flags
    holes_at: Flags


def judged(alpha: Mask, edge: int = 0, doubt: Flags | None = None) -> Verdict:
    """What there is to say of a matte (h, w), 0..1. ``edge``: px of the band that was looked into, to each side of the outline.

    What is shut in between hairs is no hole: a hole is as wide as a part of that band. ``doubt`` (h, w): what is unsure whatever the
    matte says of it now.
    """
    unsure = _wide((alpha > _FAINT) & (alpha < _FULL), _BLUR)
    if doubt is not None:
        unsure |= doubt
    area = float(np.count_nonzero((alpha > _FAINT) | unsure))
    solid = alpha > 0.5
    sizes = _pieces(solid)[1]
    holes, at = _holes(solid, edge / _NARROW)
    edges = {"top": solid[0], "right": solid[:, -1], "bottom": solid[-1], "left": solid[:, 0]}
    touched, border = sum(int(edge.sum()) for edge in edges.values()), sum(len(edge) for edge in edges.values())
    least = max(1.0, _SPECK * alpha.size)
    real = [size for size in sizes if size >= least]
    return Verdict(
        subject=area / alpha.size,
        unsure=float(np.count_nonzero(unsure)) / max(area, 1),
        holes=holes,
        hole_share=float(np.count_nonzero(at)) / max(area, 1),
        pieces=len(real),
        loose=(sum(sizes) - max(sizes, default=0)) / max(sum(sizes), 1),
        cut=touched / border,
        sides=tuple(name for name, edge in edges.items() if edge.mean() > 0.01),
        unsure_at=unsure,
        holes_at=at,
    )


def doubted(guess: Mask, edge: int) -> Flags:
    """Where a first matte (h, w) is grey over more than the width of an edge: whoever made it could not tell what belongs to the subject.

    Closed-form matting comes to an answer there all the same, and a sharp one, but it is that of the colours alone.
    """
    return _wide((guess > _GREY) & (guess < 1 - _GREY), max(_BLUR, edge))


def _wide(flags: Flags, width: int) -> Flags:
    """Without what is narrower than ``width`` px."""
    import cv2

    if not flags.any():
        return flags
    framed = np.pad(flags.astype(np.uint8), 1, mode="edge")
    deep = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_5) > width / 2
    away = cv2.distanceTransform((~deep).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
    return np.asarray(flags & (away < width / 2))


def _pieces(flags: Flags) -> tuple[np.ndarray, list[int]]:
    """Which piece each pixel belongs to (0 = none), and how many px each has."""
    import cv2

    count, labels, stats, _ = cv2.connectedComponentsWithStats(flags.astype(np.uint8), connectivity=8)
    return labels, [int(stats[number, cv2.CC_STAT_AREA]) for number in range(1, count)]


def _holes(solid: Flags, narrow: float) -> tuple[int, Flags]:
    """How many parts of what is not subject are shut in by it and wider than ``narrow`` px, and where they are."""
    import cv2

    empty = ~solid
    labels, sizes = _pieces(empty)
    outside = set(np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])).tolist())
    least = max(1.0, _SPECK * solid.size)
    deep = cv2.distanceTransform(empty.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5) > narrow / 2
    wide = set(np.unique(labels[deep]).tolist())
    shut = [number for number, size in enumerate(sizes, 1) if number not in outside and number in wide and size >= least]
    wanted = np.zeros(len(sizes) + 1, np.bool_)
    wanted[shut] = True
    return len(shut), wanted[labels]
