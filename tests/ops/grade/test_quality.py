"""grade, as an art director would look at it: no steps in slopes, the same look at any size, and nothing done where nothing is asked."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from doubles.step_context import StepContextDouble
from goldsmith.ops.grade.operation import Grade
from goldsmith.picture.picture import Picture, freeze

_USUAL: list[dict[str, object]] = [
    {"exposure": 0.7},
    {"exposure": -0.7},
    {"contrast": {"amount": 30}},
    {"contrast": {"amount": -30}},
    {"curves": {"master": [[0, 0.04], [0.25, 0.2], [0.75, 0.82], [1, 0.97]]}},
    {"white_balance": {"temperature": 35}},
    {"white_balance": {"temperature": -35, "tint": 20}},
    {"lift": 0.05},
    {"gamma": 1.2},
    {"gain": 0.9},
    {"split_tone": {"shadows": "#1f3a5f", "highlights": "#e8a860"}},
    {"saturation": 1.3},
]


def _graded(picture: Picture, settings: dict[str, object], seed: int = 5) -> Picture:
    return Grade.model_validate(settings).apply(picture, StepContextDouble(seed=seed))


def _ramp() -> Picture:
    """Black to white over 8192 px, in codes of 16 bits."""
    codes = np.round(np.linspace(0, 65535, 8192)).astype(np.float32) / np.float32(65535)
    return Picture(freeze(np.repeat(np.repeat(codes[None, :, None], 3, axis=2), 2, axis=0)), depth=16)


@pytest.mark.parametrize("settings", _USUAL)
def test_a_slope_stays_a_slope(settings: dict[str, object]) -> None:
    """In 16 bits a ramp never turns round, has no step of more than 40 codes, and is not posterised until it reaches white."""
    made = _graded(_ramp(), settings).to_codes()[0].astype(int)
    steps = np.diff(made, axis=0)
    assert steps.min() >= 0
    assert steps.max() <= 40
    inner = (made[1:] < 65535) & (made[1:] > 0)
    assert (steps[inner] > 0).mean() > 0.99


@pytest.mark.parametrize(
    "settings", [*_USUAL, {"vignette": {"amount": 40}}, {"halation": {"amount": 50}}, {"grain": {"amount": 25, "colour": 40}}]
)
def test_alpha_stays_and_the_same_seed_gives_the_same_picture(settings: dict[str, object]) -> None:
    """Each setting alone on a picture with alpha."""
    alpha = freeze(np.random.default_rng(1).random((120, 160), dtype=np.float32))
    picture = Picture(freeze(data.coffee()[40:160, 100:260].astype(np.float32) / np.float32(255)), alpha=alpha)
    one, again = (_graded(picture, settings) for _ in range(2))
    assert one.alpha is picture.alpha
    assert one.depth == picture.depth
    assert np.array_equal(one.pixels, again.pixels)
    assert not np.array_equal(one.pixels, picture.pixels)


def test_a_white_that_is_neutral_already_changes_nothing() -> None:
    """Naming a grey as white gives the very picture."""
    picture = _ramp()
    assert _graded(picture, {"white_balance": {"white": "#808080"}}) is picture
    assert _graded(picture, {"white_balance": {"white": "#807f80"}}) is not picture


@pytest.mark.parametrize(
    "settings",
    [
        {"vignette": {"amount": 60}},
        {"vignette": {"amount": 60, "roundness": 100, "softness": 40}},
        {"halation": {"amount": 80, "threshold": 60}},
        {"halation": {"amount": 80, "threshold": 60, "radius": 20}},
    ],
)
def test_lens_and_film_look_the_same_at_any_size(settings: dict[str, object]) -> None:
    """A lamp in the dark at 4 sizes' distance: graded large and made small, or made small and graded, within two codes."""
    down, across = np.mgrid[:1200, :1600].astype(np.float32)
    lamp = np.exp(-((down - 500) ** 2 + (across - 700) ** 2) / (2 * 90**2))
    large = np.repeat((0.15 + 0.85 * lamp)[:, :, None], 3, axis=2).astype(np.float32)
    small = cv2.resize(large, (400, 300), interpolation=cv2.INTER_AREA)
    made = cv2.resize(_graded(Picture(freeze(large)), settings).pixels, (400, 300), interpolation=cv2.INTER_AREA)
    own = _graded(Picture(freeze(small)), settings).pixels
    assert np.abs(made - own).max() * 255 < 2
    assert np.abs(own - small).max() * 255 > 10
