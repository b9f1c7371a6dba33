"""Blending: the published formulas, checked against another program's, and what is not covered stays as it is."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from psd_tools.composite import blend as photoshop

from goldsmith.ops.composite.blend_modes import BlendMode, blend_layer, blended

MODES = list(get_args(BlendMode))
THEIRS = {"soft-light": "soft_light", "hard-light": "hard_light", "add": "linear_dodge", "colour": "color"}
CODE = 1 / 255


def _random(*shape: int, seed: int = 1) -> np.ndarray:
    """Values 0..1, the ends and the middle among them more often than by chance."""
    random = np.random.default_rng(seed)
    values = random.random(shape, dtype=np.float32)
    ends = random.choice(np.array([0, 0.25, 0.5, 1], np.float32), shape)
    return np.where(random.random(shape) < 0.2, ends, values).astype(np.float32)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_the_published_formula(mode: BlendMode) -> None:
    """Over random colours it is within one code of what psd-tools makes of a Photoshop file."""
    below, above = _random(120, 90, 3), _random(120, 90, 3, seed=2)
    theirs = getattr(photoshop, THEIRS.get(mode, mode))(below, above)
    made = blended(mode, below, above)
    assert np.abs(made - theirs).max() < CODE / 4
    assert made.min() >= 0
    assert made.max() <= 1


@pytest.mark.parametrize("mode", MODES)
def test_alphas_unite_by_the_general_formula(mode: BlendMode) -> None:
    """Where both are partly transparent: a = ab + as - ab as, and the colours weighted as W3C and PDF say, within one code."""
    below, above, alpha, cover = _random(60, 70, 3), _random(60, 70, 3, seed=2), _random(60, 70, seed=3), _random(60, 70, seed=4)
    pixels, united = blend_layer(mode, below, alpha, above, cover)
    ab, cover_ = alpha[..., None].astype(float), cover[..., None].astype(float)
    b = getattr(photoshop, THEIRS.get(mode, mode))(below, above).astype(float)
    total = ab + cover_ - ab * cover_
    wanted = (1 - cover_ / np.maximum(total, 1e-9)) * below + cover_ / np.maximum(total, 1e-9) * ((1 - ab) * above + ab * b)
    seen = total[..., 0] > 1e-3
    assert united is not None
    assert np.abs(united - total[..., 0]).max() < 1e-6
    assert np.abs(pixels - wanted)[seen].max() < CODE / 4


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("with_alpha", [False, True])
def test_what_is_not_covered_is_copied(mode: BlendMode, with_alpha: bool) -> None:
    """Where the cover is zero, colours and alpha are the same to the last bit."""
    below, above, cover = _random(50, 40, 3), _random(50, 40, 3, seed=2), _random(50, 40, seed=4)
    cover[10:30] = 0
    alpha = _random(50, 40, seed=3) if with_alpha else None
    pixels, united = blend_layer(mode, below, alpha, above, cover)
    bare = cover == 0
    assert np.array_equal(pixels[bare], below[bare])
    assert not np.array_equal(pixels, below)
    if alpha is None:
        assert united is None
    else:
        assert united is not None
        assert np.array_equal(united[bare], alpha[bare])


def test_half_covered_is_half_way() -> None:
    """On an opaque picture a layer counts as far as it covers."""
    below, above = np.full((4, 4, 3), 0.2, np.float32), np.full((4, 4, 3), 0.8, np.float32)
    made = blend_layer("normal", below, None, above, np.full((4, 4), 0.5, np.float32)).pixels
    assert np.allclose(made, 0.5)


def test_one_colour_stands_for_a_whole_layer() -> None:
    """A (1, 1, 3) layer is laid as one that is full of that colour."""
    below, cover = _random(30, 20, 3), _random(30, 20, seed=4)
    tint = np.array([[[0.9, 0.4, 0.1]]], np.float32)
    whole = blend_layer("multiply", below, None, np.broadcast_to(tint, below.shape), cover).pixels
    assert np.array_equal(blend_layer("multiply", below, None, tint, cover).pixels, whole)


@pytest.mark.parametrize("mode", MODES)
def test_grey_is_blended_as_equal_channels_are(mode: BlendMode) -> None:
    """One channel comes out as three that are alike would."""
    below, above = _random(30, 20, 1), _random(30, 20, 1, seed=2)
    three = blended(mode, np.repeat(below, 3, axis=2), np.repeat(above, 3, axis=2))
    assert np.abs(blended(mode, below, above) - three).max() < CODE / 4


def test_colour_keeps_the_brightness_and_luminosity_the_colour() -> None:
    """The two non-separable modes take opposite halves: luminosity by 0.30, 0.59 and 0.11."""
    below, above = _random(40, 40, 3), _random(40, 40, 3, seed=2)
    weights = np.array([0.3, 0.59, 0.11], np.float32)
    assert np.abs(blended("colour", below, above) @ weights - below @ weights).max() < 1e-4
    assert np.abs(blended("luminosity", below, above) @ weights - above @ weights).max() < 1e-4
