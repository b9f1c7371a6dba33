"""A matte without what no subject has: faint places shut in by what is solid, and crumbs far smaller than the rest."""

from __future__ import annotations

import numpy as np

from goldsmith.picture.picture import Mask

_SOLID_ABOVE, _CLEAR_BELOW = 0.98, 0.02
# A place that is nowhere more open than this, with solid all round it, is a fault of the matte and no hole.
_GHOST_ABOVE = 0.5
# A piece smaller than this part of the largest one is a crumb: no leaf, no hair that only looks cut off, is so far from the subject.
_MAX_CRUMB_SHARE = 5e-4
# Unless it lies so near to it, in parts of the square root of the picture's area.
_CRUMB_DISTANCE = 0.01


def clean_matte(matte: Mask) -> Mask:
    """The matte (h, w), 0..1, with its ghosts solid and its crumbs gone; the very same array where it has none."""
    import cv2

    made = matte
    places = cv2.connectedComponents((matte < _SOLID_ABOVE).astype(np.uint8), connectivity=4)[1]
    open_ = np.zeros(int(places.max()) + 1, np.bool_)
    open_[np.unique(places[matte <= _GHOST_ABOVE])] = True
    open_[np.unique(np.concatenate([places[0], places[-1], places[:, 0], places[:, -1]]))] = True
    ghosts = ~open_[places] & (places > 0)
    if ghosts.any():
        made = np.where(ghosts, np.float32(1), made)
    _, pieces, stats, _ = cv2.connectedComponentsWithStats((matte > _CLEAR_BELOW).astype(np.uint8), connectivity=8)
    sizes = stats[:, cv2.CC_STAT_AREA].copy()
    sizes[0] = 0
    if len(sizes) < 3:
        return made
    large = (sizes >= _MAX_CRUMB_SHARE * sizes.max())[pieces] & (pieces > 0)
    away = cv2.distanceTransform((~large).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    crumbs = (pieces > 0) & ~large & (away > _CRUMB_DISTANCE * matte.size**0.5)
    return np.where(crumbs, np.float32(0), made) if crumbs.any() else made
