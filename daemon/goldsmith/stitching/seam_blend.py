"""Take the steps in tone out of the seams between copied parts (Perez, Gangnet and Blake, Poisson Image Editing, 2003)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Pixels
from goldsmith.picture.smoothing import resize_values

# The number of the known part in a map of owners.
KNOWN = -1
# The weight of a seam against the evenness of the correction within a part.
SEAM_WEIGHT = 0.5
# Steps this large, 0..1, count half: two forms meet there, not two tones of one.
OUTLIER_STEP = 0.1
# The correction fades with the distance from the seams, over about 1 / sqrt of this many cells.
FADING = 2e-4
# The largest correction, 0..1.
MAX_CORRECTION = 0.12


def blend_seams(pixels: Pixels, owners: NDArray[np.int32], factor: int) -> Pixels:
    """Return pixels (h, w, 3), 0..1, display-encoded, with each copied part shifted smoothly to the tone of its neighbours.

    owners: (h, w), the number of the part that each pixel belongs to, ``KNOWN`` where nothing changes. factor: the correction is computed
    on a copy that is reduced by it.
    """
    height, width = owners.shape
    high, wide = -(-height // factor), -(-width // factor)
    padding = ((0, high * factor - height), (0, wide * factor - width))
    small_owners = np.pad(owners, padding, mode="edge")[factor // 2 :: factor, factor // 2 :: factor]
    inside = small_owners != KNOWN
    if not inside.any():
        return pixels
    small = resize_values(np.pad(pixels, (*padding, (0, 0)), mode="edge").astype(np.float32), high, wide)
    correction = _solve_correction(small, small_owners, inside)
    result = pixels.copy()
    for owner in np.unique(small_owners[inside]):
        rows, columns = np.nonzero(small_owners == owner)
        window = np.s_[max(rows.min() - 1, 0) : rows.max() + 2, max(columns.min() - 1, 0) : columns.max() + 2]
        full = np.s_[window[0].start * factor : window[0].stop * factor, window[1].start * factor : window[1].stop * factor]
        own = owners[full] == owner
        share = (small_owners[window] == owner).astype(np.float32)
        shift = _enlarge_own(correction[window], share, factor)[: own.shape[0], : own.shape[1]]
        result[full][own] += shift[own]
    return np.clip(result, 0, 1).astype(np.float32)


def _enlarge_own(correction: Pixels, share: NDArray[np.float32], factor: int) -> Pixels:
    """Return the correction (h, w, 3) of one part, enlarged without the values of its neighbours. share: 1 in the part."""
    from goldsmith.picture.resample import resize

    high, wide = share.shape[0] * factor, share.shape[1] * factor
    weight = resize(share, high, wide, "linear")
    values = resize(np.ascontiguousarray(correction * share[..., None]), high, wide, "linear")
    return np.asarray(values / np.maximum(weight, 1e-3)[..., None], dtype=np.float32)


def _solve_correction(small: Pixels, owners: NDArray[np.int32], inside: NDArray[np.bool_]) -> Pixels:
    """Return the correction (h, w, 3): even within each part, opposite to the steps at the seams, and 0 in the known part."""
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import splu

    number = np.full(owners.shape, -1, dtype=np.intp)
    number[inside] = np.arange(int(inside.sum()))
    count = int(inside.sum())
    diagonal = np.full(count, FADING)
    right = np.zeros((count, 3))
    entries: list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]] = []
    for first, second in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        joined = inside[first] | inside[second]
        is_seam = (owners[first] != owners[second])[joined]
        step = (small[second] - small[first])[joined].astype(np.float64)
        size = np.abs(step).max(axis=1) / OUTLIER_STEP
        weight = np.where(is_seam, SEAM_WEIGHT / (1 + size**4), 1.0)
        step[~is_seam] = 0
        near_side, far_side = number[first][joined], number[second][joined]
        for index, sign in ((near_side, 1.0), (far_side, -1.0)):
            known = index >= 0
            np.add.at(diagonal, index[known], weight[known])
            np.add.at(right, index[known], sign * (weight[:, None] * step)[known])
        both = (near_side >= 0) & (far_side >= 0)
        entries += [(near_side[both], far_side[both], -weight[both]), (far_side[both], near_side[both], -weight[both])]
    entries.append((np.arange(count), np.arange(count), diagonal))
    rows, columns, values = (np.concatenate(part) for part in zip(*entries, strict=True))
    system = coo_array((values, (rows, columns)), shape=(count, count)).tocsc()
    factors = splu(system, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    correction = np.zeros((*owners.shape, 3), dtype=np.float32)
    correction[inside] = np.clip(factors.solve(right), -MAX_CORRECTION, MAX_CORRECTION)
    return correction
