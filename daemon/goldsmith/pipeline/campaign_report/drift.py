"""The drift of a series: how far the mean colours of its deliveries lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from goldsmith.picture.cielab import ciede2000

# L 0..100, a, b.
LabColour = tuple[float, float, float]


class Drift(NamedTuple):
    """The colour differences (CIEDE2000) of one delivery: from the middle of the series, and from the delivery before it (None: first)."""

    from_middle: float
    from_previous: float | None


def measure_drift(colours: Sequence[LabColour]) -> list[Drift]:
    """Return the drift of each delivery from its mean colour, in order. The middle of the series is the median of L, a and b."""
    if not colours:
        return []
    lab = np.asarray(colours, np.float64)
    middle = ciede2000(lab, np.broadcast_to(np.median(lab, axis=0), lab.shape))
    previous = ciede2000(lab[1:], lab[:-1])
    return [Drift(float(middle[0]), None), *(Drift(float(a), float(b)) for a, b in zip(middle[1:], previous, strict=True))]
