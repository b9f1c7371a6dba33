"""Noise: of brightness, and of colour alone; told from texture by how fast it fades when the picture is seen smaller.

What a sensor or a sampler adds is of one pixel or of a few: averaged over squares of two it halves. Grass, cloth and foliage stay.
"""

from __future__ import annotations

import numpy as np

from goldsmith.ops.correct.defect import Fault
from goldsmith.picture.assess import noise
from goldsmith.picture.denoising import MARGIN, cleaned, planes
from goldsmith.picture.picture import Mask, Pixels, frozen
from goldsmith.picture.smooth import at_size
from goldsmith.picture.strips import in_strips

_NOISY = 0.025
"""Standard deviation of the luma's noise above which a picture is cleaned: film and phones at night have less."""
_DRAWN = 0.08
"""What is above that is a pattern that somebody drew."""
_FADES = 0.85
"""Seen at half the size noise has less than this part of its deviation, and texture as much or more."""
_COLOURED, _BLOTCHED = 0.011, 0.0085
"""The same of Cb and Cr, and of blotches in them, seen at a quarter of the size: photographs have 0.0035 and 0.0074 at most."""
_SMALLER = (1, 2, 4)
_LEAST_SIDE = 128


def find(pixels: Pixels, strength: float = 1.0) -> list[Fault]:
    """Noise of (h, w, c) as a fault of the whole picture. Size: standard deviation of the luma's, in per cent of full scale."""
    sigma, *colours = (noise(_middle(plane, number)) for number, plane in enumerate(planes(pixels)))
    if not _NOISY <= sigma <= _DRAWN or _seen(planes(pixels)[0], 2) > _FADES * sigma:
        return []
    return [_cleaned(pixels, [strength * one for one in (sigma, *colours)], 0, sigma)]


def find_coloured(pixels: Pixels, strength: float = 1.0) -> list[Fault]:
    """Noise of colour in (h, w, 3), specks or blotches: Cb and Cr are cleaned and the luma stays. Size: as that of noise, of the worse."""
    if pixels.shape[2] < 3 or min(pixels.shape[:2]) < _LEAST_SIDE:
        return []
    seen = [[_seen(_middle(plane, 1), smaller) for smaller in _SMALLER] for plane in planes(pixels)[1:]]
    worst = max(range(2), key=lambda number: _sigma(seen[number]))
    if not any(one[0] >= _COLOURED or one[-1] >= _BLOTCHED for one in seen) or _sigma(seen[worst]) > 2 * _DRAWN:
        return []
    return [_cleaned(pixels, [0.0, *(strength * _sigma(one) for one in seen)], 1 + worst, _sigma(seen[worst]))]


def _sigma(seen: list[float]) -> float:
    """Of the noise of single pixels that would leave as much at each size."""
    return max(one * smaller for one, smaller in zip(seen, _SMALLER, strict=True))


def _middle(plane: Mask, number: int) -> Mask:
    """Colour differences lie about 0: brought to where nothing counts as clipped."""
    return np.asarray(plane + np.float32(0.5 * (number > 0)), np.float32)


def _seen(plane: Mask, smaller: int) -> float:
    height, width = plane.shape
    return noise(plane if smaller == 1 else at_size(plane, max(1, height // smaller), max(1, width // smaller)))


def _cleaned(pixels: Pixels, sigmas: list[float], judged: int, before: float) -> Fault:
    """Each plane without noise of its deviation; ``judged`` is the plane whose size is told."""
    whole = slice(0, pixels.shape[0]), slice(0, pixels.shape[1])
    made = in_strips(pixels, lambda strip: cleaned(strip, sigmas), MARGIN)
    plane = _middle(planes(made)[judged], judged)
    after = _seen(plane, 1) if judged == 0 else _sigma([_seen(plane, smaller) for smaller in _SMALLER])
    return Fault(whole, round(100 * before, 3), round(100 * after, 3), (whole, frozen(made)))
