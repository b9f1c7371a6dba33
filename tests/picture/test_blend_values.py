"""Blending at every value: all pairs of 8-bit codes, a grid of colours, 16-bit codes, and alphas on both sides, against the papers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from psd_tools.composite import blend as photoshop

from goldsmith.picture.blend_modes import BlendMode, blend_layer
from goldsmith.picture.picture import Pixels

Values = NDArray[np.float64]
CODE = 1 / 255
ALPHAS = (0.0, 1 / 65535, 1 / 255, 0.25, 0.5, 0.75, 254 / 255, 1.0)
THEIRS = {"soft-light": "soft_light", "hard-light": "hard_light", "add": "linear_dodge", "colour": "color"}


def _hard(cb: Values, cs: Values) -> Values:
    return np.where(cs <= 0.5, cb * 2 * cs, cb + (2 * cs - 1) - cb * (2 * cs - 1))


def _soft(cb: Values, cs: Values) -> Values:
    d = np.where(cb <= 0.25, ((16 * cb - 12) * cb + 4) * cb, np.sqrt(cb))
    return np.where(cs <= 0.5, cb - (1 - 2 * cs) * cb * (1 - cb), cb + (2 * cs - 1) * (d - cb))


def _lum(c: Values) -> Values:
    return np.asarray(c @ np.array([0.3, 0.59, 0.11]))[..., None]


def _set_lum(c: Values, lum: Values) -> Values:
    """Return SetLum with ClipColor, line by line as W3C Compositing 1, section 10.2, defines them."""
    shifted = c + lum - _lum(c)
    middle, low, high = _lum(shifted), shifted.min(axis=-1, keepdims=True), shifted.max(axis=-1, keepdims=True)
    shifted = np.where(low < 0, middle + (shifted - middle) * middle / np.where(low < 0, middle - low, 1), shifted)
    return np.where(high > 1, middle + (shifted - middle) * (1 - middle) / np.where(high > 1, high - middle, 1), shifted)


PAPER: dict[str, Callable[[Values, Values], Values]] = {
    "normal": lambda cb, cs: cs,
    "multiply": lambda cb, cs: cb * cs,
    "screen": lambda cb, cs: cb + cs - cb * cs,
    "overlay": lambda cb, cs: _hard(cs, cb),
    "soft-light": _soft,
    "hard-light": _hard,
    "add": lambda cb, cs: np.minimum(1, cb + cs),
    "darken": np.minimum,
    "lighten": np.maximum,
    "difference": lambda cb, cs: np.abs(cb - cs),
    "colour": lambda cb, cs: _set_lum(cs, _lum(cb)),
    "luminosity": lambda cb, cs: _set_lum(cb, _lum(cs)),
}
SEPARABLE = [mode for mode in get_args(BlendMode) if mode not in ("colour", "luminosity")]


def _blend_opaque(mode: BlendMode, below: Pixels, above: Pixels) -> Pixels:
    """Return ``above`` blended over ``below``, both opaque: (h, w, c), 0..1."""
    return blend_layer(mode, below, None, above, np.ones(below.shape[:2], np.float32)).pixels


def _pairs(mode: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return all pairs of codes as greys (256, 256, 3), 0..1, or of 6 x 6 x 6 colours (216, 216, 3) for non-separable modes."""
    if mode in SEPARABLE:
        codes = (np.arange(256) / 255).astype(np.float32)
        below, above = np.meshgrid(codes, codes, indexing="ij")
        return (np.repeat(codes_grid[:, :, None], 3, axis=2) for codes_grid in (below, above))  # type: ignore[return-value]
    colours = np.array(list(product(np.linspace(0, 1, 6), repeat=3)), np.float32)
    count = len(colours)
    return np.repeat(colours[:, None], count, axis=1), np.repeat(colours[None], count, axis=0)


@pytest.mark.parametrize("mode", get_args(BlendMode))
def test_every_pair_of_codes_follows_the_paper_and_photoshop(mode: BlendMode) -> None:
    """Values follow the paper within 1e-5, and 8-bit results are at most one code from Photoshop's."""
    below, above = _pairs(mode)
    blended = _blend_opaque(mode, below, above)
    expected = PAPER[mode](below.astype(np.float64), above.astype(np.float64))
    assert np.abs(blended - expected).max() < 1e-5
    theirs = getattr(photoshop, THEIRS.get(mode, mode))(below, above)
    assert np.abs(np.round(blended * 255) - np.round(np.clip(theirs, 0, 1) * 255)).max() <= 1


@pytest.mark.parametrize("mode", get_args(BlendMode))
def test_16_bit_codes_keep_their_precision(mode: BlendMode) -> None:
    """Results for random 16-bit colours are within one code of 65535."""
    random = np.random.default_rng(1)
    below, above = (
        (np.where(random.random((200, 200, 3)) < 0.1, random.choice([0, 1, 65534, 65535], (200, 200, 3)), codes) / 65535).astype(np.float32)
        for codes in random.integers(0, 65536, (2, 200, 200, 3))
    )
    expected = PAPER[mode](below.astype(np.float64), above.astype(np.float64))
    assert np.abs(_blend_opaque(mode, below, above) - expected).max() < 1 / 65535


@pytest.mark.parametrize("mode", get_args(BlendMode))
@pytest.mark.parametrize(("alpha", "cover"), list(product(ALPHAS, ALPHAS)))
def test_alphas_on_both_sides_follow_the_formula(mode: BlendMode, alpha: float, cover: float) -> None:
    """Pixels follow co = [ab (1 - as) cb + as (1 - ab) cs + ab as B(cb, cs)] / ar within a quarter of a code."""
    below, above = (np.ascontiguousarray(pair[::5, ::5]) for pair in _pairs(mode))
    shape = below.shape[:2]
    pixels, alpha_after = blend_layer(mode, below, np.full(shape, alpha, np.float32), above, np.full(shape, cover, np.float32))
    assert alpha_after is not None
    ab, over = float(np.float32(alpha)), float(np.float32(cover))
    total = ab + over - ab * over
    assert np.abs(alpha_after - total).max() < 1e-6
    if over == 0:
        assert np.array_equal(pixels, below)
    elif total > 0:
        cb, cs = below.astype(np.float64), above.astype(np.float64)
        expected = (ab * (1 - over) * cb + over * (1 - ab) * cs + ab * over * PAPER[mode](cb, cs)) / total
        assert np.abs(pixels - expected).max() < CODE / 4


@pytest.mark.parametrize("mode", get_args(BlendMode))
def test_an_opaque_backdrop_equals_one_with_alpha_one(mode: BlendMode) -> None:
    """Backdrops without alpha and with alpha 1 give the same colours."""
    below, above = (np.ascontiguousarray(pair[::3, ::3]) for pair in _pairs(mode))
    cover = np.random.default_rng(2).random(below.shape[:2], dtype=np.float32)
    opaque = blend_layer(mode, below, None, above, cover).pixels
    with_alpha = blend_layer(mode, below, np.ones(below.shape[:2], np.float32), above, cover).pixels
    assert np.abs(opaque - with_alpha).max() < 1e-6
