"""Picture quality of grade: smooth ramps, the same look at any size, and no change by neutral settings."""

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


def _grade(picture: Picture, settings: dict[str, object], seed: int = 5) -> Picture:
    return Grade.model_validate(settings).apply(picture, StepContextDouble(seed=seed))


def _ramp() -> Picture:
    """Return a ramp from black to white over 8192 px, in 16-bit codes."""
    codes = np.round(np.linspace(0, 65535, 8192)).astype(np.float32) / np.float32(65535)
    return Picture(freeze(np.repeat(np.repeat(codes[None, :, None], 3, axis=2), 2, axis=0)), depth=16)


@pytest.mark.parametrize("settings", _USUAL)
def test_ramps_stay_smooth(settings: dict[str, object]) -> None:
    """16-bit ramps stay monotone without steps above 40 codes and without posterisation until they reach white."""
    codes = _grade(_ramp(), settings).to_codes()[0].astype(int)
    steps = np.diff(codes, axis=0)
    assert steps.min() >= 0
    assert steps.max() <= 40
    inner = (codes[1:] < 65535) & (codes[1:] > 0)
    assert (steps[inner] > 0).mean() > 0.99


@pytest.mark.parametrize(
    "settings", [*_USUAL, {"vignette": {"amount": 40}}, {"halation": {"amount": 50}}, {"grain": {"amount": 25, "colour": 40}}]
)
def test_alpha_stays_and_the_same_seed_gives_the_same_picture(settings: dict[str, object]) -> None:
    """Settings keep alpha and depth and are reproducible, one by one, on a picture with alpha."""
    alpha = freeze(np.random.default_rng(1).random((120, 160), dtype=np.float32))
    picture = Picture(freeze(data.coffee()[40:160, 100:260].astype(np.float32) / np.float32(255)), alpha=alpha)
    first, second = (_grade(picture, settings) for _ in range(2))
    assert first.alpha is picture.alpha
    assert first.depth == picture.depth
    assert np.array_equal(first.pixels, second.pixels)
    assert not np.array_equal(first.pixels, picture.pixels)


def test_a_neutral_white_reference_changes_nothing() -> None:
    """Naming a grey as white returns the picture itself."""
    picture = _ramp()
    assert _grade(picture, {"white_balance": {"white": "#808080"}}) is picture
    assert _grade(picture, {"white_balance": {"white": "#807f80"}}) is not picture


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
    """Grading a large picture and reducing it equals grading the reduced one, within two codes."""
    down, across = np.mgrid[:1200, :1600].astype(np.float32)
    lamp = np.exp(-((down - 500) ** 2 + (across - 700) ** 2) / (2 * 90**2))
    large = np.repeat((0.15 + 0.85 * lamp)[:, :, None], 3, axis=2).astype(np.float32)
    small = cv2.resize(large, (400, 300), interpolation=cv2.INTER_AREA)
    reduced = cv2.resize(_grade(Picture(freeze(large)), settings).pixels, (400, 300), interpolation=cv2.INTER_AREA)
    directly = _grade(Picture(freeze(small)), settings).pixels
    assert np.abs(reduced - directly).max() * 255 < 2
    assert np.abs(directly - small).max() * 255 > 10
