"""Clean a matte of artefacts: faint areas enclosed by opaque ones, and crumbs far smaller than the subject."""

from __future__ import annotations

import numpy as np

from goldsmith.picture.picture import Mask

_SOLID_ABOVE, _CLEAR_BELOW = 0.98, 0.02
# If an enclosed area is nowhere more transparent than this, it is an artefact and not a hole.
_GHOST_ABOVE = 0.5
# A piece smaller than this share of the largest one is a crumb: leaves and cut-off hairs are not so far from the subject.
_MAX_CRUMB_SHARE = 5e-4
# A crumb stays if it is this near to the subject, as a share of the square root of the picture's area.
_CRUMB_DISTANCE = 0.01


def clean_matte(matte: Mask) -> Mask:
    """Return the matte (h, w), 0..1, with its ghosts filled and its crumbs removed; the same array if there are none."""
    import cv2

    result = matte
    areas = cv2.connectedComponents((matte < _SOLID_ABOVE).astype(np.uint8), connectivity=4)[1]
    is_open = np.zeros(int(areas.max()) + 1, np.bool_)
    is_open[np.unique(areas[matte <= _GHOST_ABOVE])] = True
    is_open[np.unique(np.concatenate([areas[0], areas[-1], areas[:, 0], areas[:, -1]]))] = True
    ghosts = ~is_open[areas] & (areas > 0)
    if ghosts.any():
        result = np.where(ghosts, np.float32(1), result)
    _, pieces, stats, _ = cv2.connectedComponentsWithStats((matte > _CLEAR_BELOW).astype(np.uint8), connectivity=8)
    sizes = stats[:, cv2.CC_STAT_AREA].copy()
    sizes[0] = 0
    if len(sizes) < 3:
        return result
    large = (sizes >= _MAX_CRUMB_SHARE * sizes.max())[pieces] & (pieces > 0)
    distance = cv2.distanceTransform((~large).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    crumbs = (pieces > 0) & ~large & (distance > _CRUMB_DISTANCE * matte.size**0.5)
    return np.where(crumbs, np.float32(0), result) if crumbs.any() else result
