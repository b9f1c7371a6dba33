"""Blending at every value: all pairs of 8-bit codes, a grid of colours, codes of 16 bits, alphas on both sides, against the papers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from psd_tools.composite import blend as photoshop

from goldsmith.ops.composite.blend_modes import BlendMode, blend_layer, blended

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
    """SetLum and ClipColor, line by line as W3C Compositing 1, section 10.2, writes them."""
    made = c + lum - _lum(c)
    middle, low, high = _lum(made), made.min(axis=-1, keepdims=True), made.max(axis=-1, keepdims=True)
    made = np.where(low < 0, middle + (made - middle) * middle / np.where(low < 0, middle - low, 1), made)
    return np.where(high > 1, middle + (made - middle) * (1 - middle) / np.where(high > 1, high - middle, 1), made)


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


def _pairs(mode: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Every pair of codes as greys (256, 256, 3); where channels act on each other, every pair of 6 x 6 x 6 colours (216, 216, 3)."""
    if mode in SEPARABLE:
        codes = (np.arange(256) / 255).astype(np.float32)
        below, above = np.meshgrid(codes, codes, indexing="ij")
        return (np.repeat(one[:, :, None], 3, axis=2) for one in (below, above))  # type: ignore[return-value]
    colours = np.array(list(product(np.linspace(0, 1, 6), repeat=3)), np.float32)
    count = len(colours)
    return np.repeat(colours[:, None], count, axis=1), np.repeat(colours[None], count, axis=0)


@pytest.mark.parametrize("mode", get_args(BlendMode))
def test_every_pair_of_codes_is_that_of_the_paper_and_of_photoshop(mode: BlendMode) -> None:
    """Both 8-bit results are at most one code off, and the values far less."""
    below, above = _pairs(mode)
    made = blended(mode, below, above)
    wanted = PAPER[mode](below.astype(np.float64), above.astype(np.float64))
    assert np.abs(made - wanted).max() < 1e-5
    theirs = getattr(photoshop, THEIRS.get(mode, mode))(below, above)
    assert np.abs(np.round(made * 255) - np.round(np.clip(theirs, 0, 1) * 255)).max() <= 1


@pytest.mark.parametrize("mode", get_args(BlendMode))
def test_codes_of_sixteen_bits_keep_their_precision(mode: BlendMode) -> None:
    """Over random colours of 16 bits and their ends the result is within one code of 65535, not of 255."""
    random = np.random.default_rng(1)
    below, above = (
        (np.where(random.random((200, 200, 3)) < 0.1, random.choice([0, 1, 65534, 65535], (200, 200, 3)), codes) / 65535).astype(np.float32)
        for codes in random.integers(0, 65536, (2, 200, 200, 3))
    )
    wanted = PAPER[mode](below.astype(np.float64), above.astype(np.float64))
    assert np.abs(blended(mode, below, above) - wanted).max() < 1 / 65535


@pytest.mark.parametrize("mode", get_args(BlendMode))
@pytest.mark.parametrize(("alpha", "cover"), list(product(ALPHAS, ALPHAS)))
def test_alphas_on_both_sides(mode: BlendMode, alpha: float, cover: float) -> None:
    """Every fifth code on every other: co = [ab (1 - as) cb + as (1 - ab) cs + ab as B(cb, cs)] / ar, within a quarter of a code."""
    below, above = (np.ascontiguousarray(one[::5, ::5]) for one in _pairs(mode))
    shape = below.shape[:2]
    pixels, united = blend_layer(mode, below, np.full(shape, alpha, np.float32), above, np.full(shape, cover, np.float32))
    assert united is not None
    ab, over = float(np.float32(alpha)), float(np.float32(cover))
    total = ab + over - ab * over
    assert np.abs(united - total).max() < 1e-6
    if over == 0:
        assert np.array_equal(pixels, below)
    elif total > 0:
        cb, cs = below.astype(np.float64), above.astype(np.float64)
        wanted = (ab * (1 - over) * cb + over * (1 - ab) * cs + ab * over * PAPER[mode](cb, cs)) / total
        assert np.abs(pixels - wanted).max() < CODE / 4


@pytest.mark.parametrize("mode", get_args(BlendMode))
def test_an_opaque_ground_is_one_whose_alpha_is_one(mode: BlendMode) -> None:
    """Without alpha and with an alpha of 1 the same colours come out."""
    below, above = (np.ascontiguousarray(one[::3, ::3]) for one in _pairs(mode))
    cover = np.random.default_rng(2).random(below.shape[:2], dtype=np.float32)
    bare = blend_layer(mode, below, None, above, cover).pixels
    full = blend_layer(mode, below, np.ones(below.shape[:2], np.float32), above, cover).pixels
    assert np.abs(bare - full).max() < 1e-6
