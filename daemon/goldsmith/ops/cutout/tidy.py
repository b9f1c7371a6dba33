"""A matte without what no subject has: faint places shut in by what is solid, and crumbs far smaller than the rest."""

from __future__ import annotations

import numpy as np

from goldsmith.picture.picture import Mask

_SOLID, _CLEAR = 0.98, 0.02
_OPEN = 0.5
"""A place that is nowhere more open than this, with solid all round it, is a fault of the matte and no hole."""
_CRUMB = 5e-4
"""A piece smaller than this part of the largest one is a crumb: no leaf, no hair that only looks cut off, is so far from the subject."""
_NEAR = 0.01
"""Unless it lies so near to it, in parts of the square root of the picture's area."""


def tidied(matte: Mask) -> Mask:
    """The matte (h, w), 0..1, with its ghosts solid and its crumbs gone; the very same array where it has none."""
    import cv2

    made = matte
    places = cv2.connectedComponents((matte < _SOLID).astype(np.uint8), connectivity=4)[1]
    open_ = np.zeros(int(places.max()) + 1, np.bool_)
    open_[np.unique(places[matte <= _OPEN])] = True
    open_[np.unique(np.concatenate([places[0], places[-1], places[:, 0], places[:, -1]]))] = True
    ghosts = ~open_[places] & (places > 0)
    if ghosts.any():
        made = np.where(ghosts, np.float32(1), made)
    _, pieces, stats, _ = cv2.connectedComponentsWithStats((matte > _CLEAR).astype(np.uint8), connectivity=8)
    sizes = stats[:, cv2.CC_STAT_AREA].copy()
    sizes[0] = 0
    if len(sizes) < 3:
        return made
    large = (sizes >= _CRUMB * sizes.max())[pieces] & (pieces > 0)
    away = cv2.distanceTransform((~large).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    crumbs = (pieces > 0) & ~large & (away > _NEAR * matte.size**0.5)
    return np.where(crumbs, np.float32(0), made) if crumbs.any() else made
