"""Blending follows the published formulas, checked against another program, and leaves uncovered pixels unchanged."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from psd_tools.composite import blend as photoshop

from goldsmith.picture.blend_modes import BlendMode, blend_layer
from goldsmith.picture.picture import Pixels

MODES = list(get_args(BlendMode))
THEIRS = {"soft-light": "soft_light", "hard-light": "hard_light", "add": "linear_dodge", "colour": "color"}
CODE = 1 / 255


def _blend_opaque(mode: BlendMode, below: Pixels, above: Pixels) -> Pixels:
    """Return ``above`` blended over ``below``, both opaque: (h, w, c), 0..1."""
    return blend_layer(mode, below, None, above, np.ones(below.shape[:2], np.float32)).pixels


def _random(*shape: int, seed: int = 1) -> np.ndarray:
    """Return values 0..1 of any shape, with the ends and the middle more often than by chance."""
    random = np.random.default_rng(seed)
    values = random.random(shape, dtype=np.float32)
    ends = random.choice(np.array([0, 0.25, 0.5, 1], np.float32), shape)
    return np.where(random.random(shape) < 0.2, ends, values).astype(np.float32)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_follows_the_published_formula(mode: BlendMode) -> None:
    """Random colours are within a quarter of a code of what psd-tools makes of a Photoshop file."""
    below, above = _random(120, 90, 3), _random(120, 90, 3, seed=2)
    theirs = getattr(photoshop, THEIRS.get(mode, mode))(below, above)
    blended = _blend_opaque(mode, below, above)
    assert np.abs(blended - theirs).max() < CODE / 4
    assert blended.min() >= 0
    assert blended.max() <= 1


@pytest.mark.parametrize("mode", MODES)
def test_alphas_follow_the_general_formula(mode: BlendMode) -> None:
    """Alpha is ab + as - ab as, and colours are weighted as W3C and PDF define, within a quarter of a code."""
    below, above, alpha, coverage = _random(60, 70, 3), _random(60, 70, 3, seed=2), _random(60, 70, seed=3), _random(60, 70, seed=4)
    pixels, alpha_after = blend_layer(mode, below, alpha, above, coverage)
    ab, source_alpha = alpha[..., None].astype(float), coverage[..., None].astype(float)
    b = getattr(photoshop, THEIRS.get(mode, mode))(below, above).astype(float)
    total = ab + source_alpha - ab * source_alpha
    expected = (1 - source_alpha / np.maximum(total, 1e-9)) * below + source_alpha / np.maximum(total, 1e-9) * ((1 - ab) * above + ab * b)
    is_visible = total[..., 0] > 1e-3
    assert alpha_after is not None
    assert np.abs(alpha_after - total[..., 0]).max() < 1e-6
    assert np.abs(pixels - expected)[is_visible].max() < CODE / 4


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("with_alpha", [False, True])
def test_uncovered_pixels_are_copied(mode: BlendMode, with_alpha: bool) -> None:
    """Colours and alpha are identical to the last bit where the coverage is zero."""
    below, above, cover = _random(50, 40, 3), _random(50, 40, 3, seed=2), _random(50, 40, seed=4)
    cover[10:30] = 0
    alpha = _random(50, 40, seed=3) if with_alpha else None
    pixels, alpha_after = blend_layer(mode, below, alpha, above, cover)
    is_uncovered = cover == 0
    assert np.array_equal(pixels[is_uncovered], below[is_uncovered])
    assert not np.array_equal(pixels, below)
    if alpha is None:
        assert alpha_after is None
    else:
        assert alpha_after is not None
        assert np.array_equal(alpha_after[is_uncovered], alpha[is_uncovered])


def test_half_coverage_gives_the_mean() -> None:
    """Layers count as far as they cover an opaque picture."""
    below, above = np.full((4, 4, 3), 0.2, np.float32), np.full((4, 4, 3), 0.8, np.float32)
    blended = blend_layer("normal", below, None, above, np.full((4, 4), 0.5, np.float32)).pixels
    assert np.allclose(blended, 0.5)


def test_one_colour_stands_for_a_whole_layer() -> None:
    """Layers of (1, 1, 3) equal full layers of that colour."""
    below, cover = _random(30, 20, 3), _random(30, 20, seed=4)
    tint = np.array([[[0.9, 0.4, 0.1]]], np.float32)
    whole = blend_layer("multiply", below, None, np.broadcast_to(tint, below.shape), cover).pixels
    assert np.array_equal(blend_layer("multiply", below, None, tint, cover).pixels, whole)


@pytest.mark.parametrize("mode", MODES)
def test_grey_is_blended_like_equal_channels(mode: BlendMode) -> None:
    """Grey pixels give the same values as three equal channels."""
    below, above = _random(30, 20, 1), _random(30, 20, 1, seed=2)
    three = _blend_opaque(mode, np.repeat(below, 3, axis=2), np.repeat(above, 3, axis=2))
    assert np.abs(_blend_opaque(mode, below, above) - three).max() < CODE / 4


def test_colour_and_luminosity_are_complementary() -> None:
    """Colour keeps the backdrop's luminosity, luminosity takes the layer's, by 0.30, 0.59 and 0.11."""
    below, above = _random(40, 40, 3), _random(40, 40, 3, seed=2)
    weights = np.array([0.3, 0.59, 0.11], np.float32)
    assert np.abs(_blend_opaque("colour", below, above) @ weights - below @ weights).max() < 1e-4
    assert np.abs(_blend_opaque("luminosity", below, above) @ weights - above @ weights).max() < 1e-4
