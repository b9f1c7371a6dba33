"""Judge how far a matte can be trusted: its uncertain area, its holes, its pieces, and where the frame cuts it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from goldsmith.ops.cutout.laplacian import BoolMask
from goldsmith.picture.picture import Mask

_UNSURE_ABOVE, _UNSURE_BELOW = 0.05, 0.95
# If a first matte is nearer to 0 or 1 than this, it is certain.
_DOUBT_MARGIN = 0.15
# If a first matte was uncertain over no more than this share of the subject, a soft rim along the outline is hair or blur.
_MAX_CLEAR_DOUBT = 0.06
# px. Every lens makes an edge this soft, so a narrower soft rim is not uncertain.
_LENS_BLUR_PX = 3
# An area smaller than this share of the picture is neither a hole nor a piece.
_MIN_AREA_SHARE = 2e-5

# A gap narrower than the band divided by this is a gap between hairs.
_HAIR_GAP_DIVISOR = 1.5


@dataclass(frozen=True, eq=False, slots=True)
class MatteVerdict:
    """The quality of a matte; all shares are 0..1. ``unsure_share``, ``hole_share`` and ``detached_share`` are shares of the subject's
    area, ``cut_share`` is one of the picture's border.
    """

    # The subject's share of the picture.
    subject_share: float
    # Between 5 % and 95 % over more than a lens blur; and everything that was uncertain before the edge was refined.
    unsure_share: float
    hole_count: int
    hole_share: float
    piece_count: int
    # All pieces except the largest.
    detached_share: float
    cut_share: float
    # The sides of the picture that cut the subject.
    cut_sides: tuple[str, ...]
    unsure_mask: BoolMask
    hole_mask: BoolMask


def assess_matte(alpha: Mask, band_width: int = 0, doubtful: BoolMask | None = None) -> MatteVerdict:
    """Return the quality of a matte (h, w), 0..1. ``band_width`` is the width of the refined band on each side of the outline, in px.

    A hole is at least a share of that band wide; gaps between hairs are not holes. ``doubtful`` (h, w), bool, marks pixels that always
    count as uncertain. Where it marks next to nothing, soft pixels in the band are not uncertain: a small subject has little area for its
    outline. None: nobody knows what was uncertain before.
    """
    unsure = _drop_narrow((alpha > _UNSURE_ABOVE) & (alpha < _UNSURE_BELOW), _LENS_BLUR_PX)
    solid = alpha > 0.5
    area = float(np.count_nonzero((alpha > _UNSURE_ABOVE) | (unsure if doubtful is None else unsure | doubtful)))
    if doubtful is not None:
        if np.count_nonzero(doubtful) <= _MAX_CLEAR_DOUBT * area:
            unsure &= ~_near_outline(solid, band_width)
        unsure |= doubtful
    sizes = _connected_components(solid)[1]
    hole_count, hole_mask = _find_holes(solid, band_width / _HAIR_GAP_DIVISOR)
    edges = {"top": solid[0], "right": solid[:, -1], "bottom": solid[-1], "left": solid[:, 0]}
    touched, border = sum(int(edge.sum()) for edge in edges.values()), sum(len(edge) for edge in edges.values())
    min_area = max(1.0, _MIN_AREA_SHARE * alpha.size)
    pieces = [size for size in sizes if size >= min_area]
    return MatteVerdict(
        subject_share=area / alpha.size,
        unsure_share=float(np.count_nonzero(unsure)) / max(area, 1),
        hole_count=hole_count,
        hole_share=float(np.count_nonzero(hole_mask)) / max(area, 1),
        piece_count=len(pieces),
        detached_share=(sum(sizes) - max(sizes, default=0)) / max(sum(sizes), 1),
        cut_share=touched / border,
        cut_sides=tuple(name for name, edge in edges.items() if edge.mean() > 0.01),
        unsure_mask=unsure,
        hole_mask=hole_mask,
    )


def find_doubtful(guess: Mask, band_width: int) -> BoolMask:
    """Return where a first matte (h, w), 0..1, is grey over more than the width of an edge, as bool: its model could not decide there.

    Closed-form matting gives a sharp answer there too, but one from colours alone.
    """
    return _drop_narrow((guess > _DOUBT_MARGIN) & (guess < 1 - _DOUBT_MARGIN), max(_LENS_BLUR_PX, band_width))


def _near_outline(solid: BoolMask, width: int) -> BoolMask:
    """Return the pixels at most ``width`` px from the outline of ``solid`` (h, w), bool, on either side."""
    import cv2

    outline = cv2.morphologyEx(solid.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) == 0
    return np.asarray(cv2.distanceTransform(outline.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5) <= width)


def _drop_narrow(flags: BoolMask, min_width: int) -> BoolMask:
    """Return the flags without areas narrower than ``min_width`` px."""
    import cv2

    if not flags.any():
        return flags
    framed = np.pad(flags.astype(np.uint8), 1, mode="edge")
    cores = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_5) > min_width / 2
    distance = cv2.distanceTransform((~cores).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
    return np.asarray(flags & (distance < min_width / 2))


def _connected_components(flags: BoolMask) -> tuple[np.ndarray, list[int]]:
    """Return the component of each pixel (0 = none), and the number of px of each component."""
    import cv2

    count, labels, stats, _ = cv2.connectedComponentsWithStats(flags.astype(np.uint8), connectivity=8)
    return labels, [int(stats[number, cv2.CC_STAT_AREA]) for number in range(1, count)]


def _find_holes(solid: BoolMask, min_width: float) -> tuple[int, BoolMask]:
    """Return the number of enclosed background areas wider than ``min_width`` px, and where they are."""
    import cv2

    empty = ~solid
    labels, sizes = _connected_components(empty)
    outside = set(np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])).tolist())
    min_area = max(1.0, _MIN_AREA_SHARE * solid.size)
    cores = cv2.distanceTransform(empty.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5) > min_width / 2
    wide = set(np.unique(labels[cores]).tolist())
    holes = [number for number, size in enumerate(sizes, 1) if number not in outside and number in wide and size >= min_area]
    is_hole = np.zeros(len(sizes) + 1, np.bool_)
    is_hole[holes] = True
    return len(holes), is_hole[labels]
