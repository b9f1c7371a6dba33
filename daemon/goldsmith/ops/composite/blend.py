"""Blending: what two colours make of each other in each mode, and a layer laid over what lies beneath it.

The formulas are those of W3C "Compositing and Blending Level 1" (sections 5 and 9) and PDF 1.7 (section 11.3.5), on display-encoded
values in the plate's own profile; ``add`` is the sum, cut off at white (Photoshop's linear dodge).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Mask, Pixels

Mode = Literal[
    "normal",
    "multiply",
    "screen",
    "overlay",
    "soft-light",
    "hard-light",
    "add",
    "darken",
    "lighten",
    "difference",
    "colour",
    "luminosity",
]

_LUM = np.array([0.3, 0.59, 0.11], np.float32)
_TINY = np.float32(1e-7)
_SLAB_PIXELS = 1 << 15
_THREADS = 2


class Laid(NamedTuple):
    """A layer laid: the colours (h, w, c) and the alpha (h, w) that came of it; None stays None, opaque."""

    pixels: Pixels
    alpha: Mask | None


def blended(mode: Mode, below: Pixels, above: Pixels) -> Pixels:
    """B(cb, cs): what ``above`` makes of ``below`` where both are opaque; (h, w, c) each, c = 1 or 3, values 0..1."""
    return _MODES[mode](below, above)


def laid(mode: Mode, below: Pixels, alpha: Mask | None, above: Pixels, cover: Mask) -> Laid:
    """``above`` laid over ``below`` as far as it covers it; where ``cover`` is 0 colours and alpha are copied, never computed.

    below: (h, w, c); alpha: (h, w) of it, None where it is opaque; above: (h, w, c), or (1, 1, c) for one colour; cover: (h, w), the
    layer's alpha with its mask and opacity. Alphas unite: a = ab + as - ab as; colours are straight before and after.
    """
    height, width = cover.shape
    made = np.empty_like(below)
    united = None if alpha is None else np.empty_like(alpha)
    rows = max(1, _SLAB_PIXELS // width)
    flat = above.shape[:2] == (1, 1) and (height, width) != (1, 1)

    def run(top: int) -> None:
        part = slice(top, top + rows)
        source = np.broadcast_to(above, below[part].shape) if flat else above[part]
        if alpha is None or united is None:
            made[part] = _over(mode, below[part], source, cover[part])
        else:
            made[part], united[part] = _over_alpha(mode, below[part], alpha[part], source, cover[part])

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(run, range(0, height, rows)))
    return Laid(made, united)


def _over(mode: Mode, below: Pixels, above: Pixels, cover: Mask) -> Pixels:
    if not cover.any():
        return below
    over = cover[:, :, None]
    mixed = _MODES[mode](below, above) * over
    mixed += below * (1 - over)
    return mixed


def _over_alpha(mode: Mode, below: Pixels, alpha: Mask, above: Pixels, cover: Mask) -> tuple[Pixels, Mask]:
    """co = [ab (1 - as) cb + as (1 - ab) cs + ab as B(cb, cs)] / a, the general formula of both papers."""
    if not cover.any():
        return below, alpha
    under, over = alpha[:, :, None], cover[:, :, None]
    united = alpha + cover * (1 - alpha)
    mixed = under * (1 - over) * below + over * (1 - under) * above
    mixed += under * over * _MODES[mode](below, above)
    mixed /= np.maximum(united, _TINY)[:, :, None]
    np.clip(mixed, 0.0, 1.0, out=mixed)
    touched = cover > 0
    return np.where(touched[:, :, None], mixed, below), np.where(touched, np.clip(united, 0.0, 1.0), alpha)


def _normal(_below: Pixels, above: Pixels) -> Pixels:
    return above


def _screen(below: Pixels, above: Pixels) -> Pixels:
    return below + above - below * above


def _hard_light(below: Pixels, above: Pixels) -> Pixels:
    twice = 2 * above
    return np.where(above <= 0.5, below * twice, _screen(below, twice - 1))


def _soft_light(below: Pixels, above: Pixels) -> Pixels:
    root = np.where(below <= 0.25, ((16 * below - 12) * below + 4) * below, np.sqrt(below))
    strength = 2 * above - 1
    return below + strength * np.where(above <= 0.5, below * (1 - below), root - below)


def _lum(colours: Pixels) -> NDArray[np.float32]:
    """(h, w, 1)."""
    return np.asarray((colours @ _LUM)[:, :, None], dtype=np.float32)


def _with_lum(colours: Pixels, wanted: NDArray[np.float32]) -> Pixels:
    """SetLum: the colours shifted to that luminosity, and drawn towards it as far as needed to lie in 0..1 (ClipColor)."""
    shift = colours - _lum(colours)
    low, high = shift.min(axis=2, keepdims=True), shift.max(axis=2, keepdims=True)
    room = np.minimum(wanted / np.maximum(-low, _TINY), (1 - wanted) / np.maximum(high, _TINY))
    shift *= np.clip(room, 0.0, 1.0)
    shift += wanted
    return np.asarray(np.clip(shift, 0.0, 1.0), np.float32)


def _colour(below: Pixels, above: Pixels) -> Pixels:
    return below if below.shape[2] == 1 else _with_lum(above, _lum(below))


def _luminosity(below: Pixels, above: Pixels) -> Pixels:
    return above if below.shape[2] == 1 else _with_lum(below, _lum(above))


_MODES: dict[Mode, Callable[[Pixels, Pixels], Pixels]] = {
    "normal": _normal,
    "multiply": np.multiply,
    "screen": _screen,
    "overlay": lambda below, above: _hard_light(above, below),
    "soft-light": _soft_light,
    "hard-light": _hard_light,
    "add": lambda below, above: np.minimum(below + above, np.float32(1.0)),
    "darken": np.minimum,
    "lighten": np.maximum,
    "difference": lambda below, above: np.abs(below - above),
    "colour": _colour,
    "luminosity": _luminosity,
}
