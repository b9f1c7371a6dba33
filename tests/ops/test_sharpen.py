"""sharpen makes edges steeper, limits halos, keeps the hue, and changes nothing outside the region."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from skimage import data

from doubles.step_context import StepContextDouble
from goldsmith.ops.sharpen import Sharpen
from goldsmith.picture.colour import luma
from goldsmith.picture.picture import Picture, freeze
from goldsmith.picture.quality_metrics import measure_sharpness
from goldsmith.picture.slab_processing import map_strips


def _photograph(blur: float = 1.0) -> Picture:
    return Picture(freeze(cv2.GaussianBlur(data.astronaut()[:200, 100:400], (0, 0), blur).astype(np.float32) / 255))


def test_amount_zero_returns_the_same_picture() -> None:
    """Nothing is computed."""
    picture = _photograph()
    assert Sharpen(amount=0).apply(picture, StepContextDouble()) is picture


def test_more_amount_gives_more_sharpness() -> None:
    """Measured sharpness rises with the amount."""
    picture = _photograph()
    measured = [
        measure_sharpness(luma(Sharpen(amount=amount, radius=1.2).apply(picture, StepContextDouble()).pixels)) for amount in (0, 60, 200)
    ]
    assert measured == sorted(measured, key=lambda value: value or 0.0)
    assert len(set(measured)) == 3


@settings(max_examples=15, deadline=None)
@given(amount=st.floats(1, 500), radius=st.floats(0.3, 4), seed=st.integers(0, 20))
def test_the_hue_is_kept(amount: float, radius: float, seed: int) -> None:
    """Channels of a pixel move by the same step, and none leaves 0..1."""
    pixels = cv2.GaussianBlur(np.random.default_rng(seed).random((40, 40, 3), dtype=np.float32), (0, 0), 1.5)
    result = Sharpen(amount=amount, radius=radius, threshold=0).apply(Picture(freeze(pixels)), StepContextDouble()).pixels
    step = result - pixels
    assert np.ptp(step, axis=2).max() < 1e-6
    assert 0.0 <= result.min() <= result.max() <= 1.0


def _edge(contrast: float = 0.4) -> NDArray[np.float32]:
    row = np.full(80, 0.3, np.float32)
    row[40:] += contrast
    return np.asarray(cv2.GaussianBlur(np.tile(row, (60, 1)), (0, 0), 1.5)[:, :, None], np.float32)


@pytest.mark.parametrize("halo", [0, 10, 50])
def test_halos_stay_inside_their_limit(halo: float) -> None:
    """Overshoot beside an edge is at most that share of its contrast, and zero at halo 0."""
    picture = Picture(freeze(_edge()))
    result = Sharpen(amount=500, radius=2, halo=halo).apply(picture, StepContextDouble()).pixels
    over = max(result.max() - picture.pixels.max(), picture.pixels.min() - result.min())
    assert over <= 0.4 * halo / 100 + 1e-6
    assert (over > 0.005) == (halo > 0)
    assert np.diff(result[30, :, 0]).max() > 1.3 * np.diff(picture.pixels[30, :, 0]).max()


def test_noise_below_the_threshold_is_not_sharpened() -> None:
    """Grain of one level does not change; the edge is still sharpened."""
    grain = (np.random.default_rng(2).random((60, 80, 1), dtype=np.float32) - 0.5) * np.float32(2 / 255)
    picture = Picture(freeze(_edge() + grain))
    result = Sharpen(amount=300, radius=2, threshold=6).apply(picture, StepContextDouble()).pixels
    assert np.array_equal(result[:, :25], picture.pixels[:, :25])
    assert np.abs(result[:, 35:45] - picture.pixels[:, 35:45]).max() > 0.02


def test_nothing_changes_outside_the_region() -> None:
    """Floats are equal to the original where the mask is 0, and to the result for the whole picture where it is 1."""
    picture = _photograph()
    mask = np.zeros((picture.height, picture.width), np.float32)
    mask[50:120, 40:90] = 1.0
    masked = Picture(picture.pixels, masks={"eyes": freeze(mask)})
    step = Sharpen(amount=150, where="eyes")
    result, whole = step.apply(masked, StepContextDouble()).pixels, Sharpen(amount=150).apply(picture, StepContextDouble()).pixels
    assert np.array_equal(result[mask == 0], picture.pixels[mask == 0])
    assert np.abs(result[mask == 1] - whole[mask == 1]).max() < 1e-6
    assert step.needs().masks == {"eyes"}


def test_strips_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips of a few rows give the same result as the whole picture."""
    picture, step = _photograph(), Sharpen(radius=2, amount=200)
    whole = step.apply(picture, StepContextDouble()).pixels
    monkeypatch.setattr("goldsmith.picture.slab_processing._STRIP_PIXELS", 1)
    monkeypatch.setattr("goldsmith.picture.row_slabs._SLAB_PIXELS", 1)
    parts: list[float] = []
    assert np.abs(step.apply(picture, StepContextDouble()).pixels - whole).max() < 1e-6
    map_strips(picture.pixels, lambda strip: strip, 3, parts.append)
    assert parts[-1] == 1.0
    assert len(parts) > 10


@pytest.mark.parametrize(
    "wrong", [{"amount": -1}, {"amount": 1e6}, {"radius": 0}, {"radius": float("inf")}, {"halo": 101}, {"where": "nose &"}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    """Limits of each setting are enforced."""
    with pytest.raises(ValidationError):
        Sharpen.model_validate(wrong)
