"""Blend modes: the colour that two colours give in each mode, and a layer composited over a backdrop.

The formulas are those of W3C "Compositing and Blending Level 1" (sections 5 and 9) and PDF 1.7 (section 11.3.5), on display-encoded
values in the picture's own profile; ``add`` is the sum, clipped at white (Photoshop's linear dodge).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.picture import Mask, Pixels, channel_maximum, channel_minimum

BlendMode = Literal[
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

_LUM_WEIGHTS = np.array([0.3, 0.59, 0.11], np.float32)
_EPSILON = np.float32(1e-7)
_SLAB_PIXELS = 1 << 15
_THREADS = 2


# Returns B(cb, cs), (h, w, c), of a backdrop's and a layer's colours.
BlendFunction = Callable[[Pixels, Pixels], Pixels]


class BlendResult(NamedTuple):
    """Result of a layer: colours (h, w, c) and alpha (h, w), both 0..1; the alpha is None if the backdrop is opaque."""

    pixels: Pixels
    alpha: Mask | None


def blend_layer(mode: BlendMode, backdrop: Pixels, backdrop_alpha: Mask | None, layer: Pixels, coverage: Mask) -> BlendResult:
    """Return the layer composited over the backdrop; pixels without coverage keep their colour and alpha bit for bit.

    ``backdrop``: (h, w, c). ``backdrop_alpha``: (h, w), None if opaque. ``layer``: (h, w, c), or (1, 1, c) for one colour. ``coverage``:
    (h, w), the layer's alpha with its mask and opacity. All are 0..1, c is 1 or 3. The alpha becomes a = ab + as - ab as; colours are
    straight (not premultiplied) before and after.
    """
    return blend_with(_BLEND_FUNCTIONS[mode], backdrop, backdrop_alpha, layer, coverage)


def blend_function(mode: BlendMode) -> BlendFunction:
    """Return the function of a mode."""
    return _BLEND_FUNCTIONS[mode]


def blend_with(blend: BlendFunction, backdrop: Pixels, backdrop_alpha: Mask | None, layer: Pixels, coverage: Mask) -> BlendResult:
    """Return the layer composited over the backdrop as ``blend_layer`` does, with any function for B(cb, cs).

    Arrays as there: (h, w, c) and (h, w), 0..1.
    """
    height, width = coverage.shape
    colours = np.empty_like(backdrop)
    alpha = None if backdrop_alpha is None else np.empty_like(backdrop_alpha)
    rows = max(1, _SLAB_PIXELS // width)
    is_single_colour = layer.shape[:2] == (1, 1) and (height, width) != (1, 1)

    def run(top: int) -> None:
        part = slice(top, top + rows)
        source = np.broadcast_to(layer, backdrop[part].shape) if is_single_colour else layer[part]
        if backdrop_alpha is None or alpha is None:
            colours[part] = _blend_opaque(blend, backdrop[part], source, coverage[part])
        else:
            colours[part], alpha[part] = _blend_with_alpha(blend, backdrop[part], backdrop_alpha[part], source, coverage[part])

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(run, range(0, height, rows)))
    return BlendResult(colours, alpha)


def _blend_opaque(blend: BlendFunction, backdrop: Pixels, layer: Pixels, coverage: Mask) -> Pixels:
    """Return the colours (h, w, c) of the layer over an opaque backdrop."""
    if not coverage.any():
        return backdrop
    share = coverage[:, :, None]
    mixed = blend(backdrop, layer) * share
    mixed += backdrop * (1 - share)
    return mixed


def _blend_with_alpha(blend: BlendFunction, backdrop: Pixels, backdrop_alpha: Mask, layer: Pixels, coverage: Mask) -> tuple[Pixels, Mask]:
    """Return colours and alpha: co = [ab (1 - as) cb + as (1 - ab) cs + ab as B(cb, cs)] / a, the general formula of both papers."""
    if not coverage.any():
        return backdrop, backdrop_alpha
    backdrop_share, layer_share = backdrop_alpha[:, :, None], coverage[:, :, None]
    alpha = backdrop_alpha + coverage * (1 - backdrop_alpha)
    mixed = backdrop_share * (1 - layer_share) * backdrop + layer_share * (1 - backdrop_share) * layer
    mixed += backdrop_share * layer_share * blend(backdrop, layer)
    mixed /= np.maximum(alpha, _EPSILON)[:, :, None]
    np.clip(mixed, 0.0, 1.0, out=mixed)
    is_covered = coverage > 0
    return np.where(is_covered[:, :, None], mixed, backdrop), np.where(is_covered, np.clip(alpha, 0.0, 1.0), backdrop_alpha)


def _normal(_backdrop: Pixels, layer: Pixels) -> Pixels:
    return layer


def _screen(backdrop: Pixels, layer: Pixels) -> Pixels:
    return backdrop + layer - backdrop * layer


def _hard_light(backdrop: Pixels, layer: Pixels) -> Pixels:
    twice = 2 * layer
    return np.where(layer <= 0.5, backdrop * twice, _screen(backdrop, twice - 1))


def _soft_light(backdrop: Pixels, layer: Pixels) -> Pixels:
    root = np.where(backdrop <= 0.25, ((16 * backdrop - 12) * backdrop + 4) * backdrop, np.sqrt(backdrop))
    strength = 2 * layer - 1
    return backdrop + strength * np.where(layer <= 0.5, backdrop * (1 - backdrop), root - backdrop)


def _lum(colours: Pixels) -> NDArray[np.float32]:
    """Return the luminosity (h, w, 1) of colours (h, w, 3)."""
    return np.asarray((colours @ _LUM_WEIGHTS)[:, :, None], dtype=np.float32)


def _set_lum(colours: Pixels, target_lum: NDArray[np.float32]) -> Pixels:
    """Return the colours shifted to the luminosity, and moved towards it as far as needed to lie in 0..1 (SetLum and ClipColor)."""
    shift = colours - _lum(colours)
    low, high = channel_minimum(shift)[:, :, None], channel_maximum(shift)[:, :, None]
    room = np.minimum(target_lum / np.maximum(-low, _EPSILON), (1 - target_lum) / np.maximum(high, _EPSILON))
    shift *= np.clip(room, 0.0, 1.0)
    shift += target_lum
    return np.asarray(np.clip(shift, 0.0, 1.0), np.float32)


def _colour(backdrop: Pixels, layer: Pixels) -> Pixels:
    return backdrop if backdrop.shape[2] == 1 else _set_lum(layer, _lum(backdrop))


def _luminosity(backdrop: Pixels, layer: Pixels) -> Pixels:
    return layer if backdrop.shape[2] == 1 else _set_lum(backdrop, _lum(layer))


_BLEND_FUNCTIONS: dict[BlendMode, BlendFunction] = {
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
