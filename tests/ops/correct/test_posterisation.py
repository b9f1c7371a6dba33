"""Posterised slopes are found by their equal steps and smoothed within half a step; photographs and drawings are not posterised."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from doubles.faults_of_pictures import PHOTOGRAPHS, changed, coded, overlap, photograph, posterised, sky
from doubles.step_context import StepContextDouble
from goldsmith.ops.correct import posterisation
from goldsmith.ops.correct.defect import make_window
from goldsmith.ops.correct.operation import Correct
from goldsmith.picture.picture import Picture, Pixels, freeze


def _repaired(pixels: Pixels, strength: float = 1.0) -> Pixels:
    result = pixels.copy()
    for fault in posterisation.find(pixels, strength):
        assert fault.repair is not None
        result[fault.repair[0]] = fault.repair[1]
    return result


@pytest.mark.parametrize("step", [3, 5, 6.4, 8])
def test_a_posterised_slope_is_nearer_to_the_truth_and_no_value_leaves_its_step(step: float) -> None:
    """The step is measured, a third of it remains at most, and the signal to noise ratio rises by 1 dB or more."""
    slope = sky(320, 480, 90)
    damaged = posterised(slope, step)
    (fault,) = posterisation.find(damaged)
    assert fault.before == pytest.approx(step, abs=0.4)
    assert fault.after < fault.before / 3
    repaired = _repaired(damaged)
    assert peak_signal_noise_ratio(slope, repaired) > peak_signal_noise_ratio(slope, damaged) + 1
    assert np.abs(repaired - damaged).max() * 255 <= step / 2 + 0.3


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("step", [5, 8])
def test_a_posterised_sky_is_found_and_the_land_stays(name: str, step: float) -> None:
    """The box covers the sky, and below it nothing changes."""
    picture = photograph(name).copy()
    smooth = sky(200, picture.shape[1], 60)
    picture[:200] = posterised(smooth, step)
    faults = posterisation.find(picture)
    assert len(faults) == 1
    assert overlap(faults[0].window, make_window(0, 0, 200, picture.shape[1])) > 0.85
    repaired = _repaired(picture)
    assert not changed(picture, repaired)[200:].any()
    assert np.abs(repaired[:180] - smooth[:180]).mean() < np.abs(picture[:180] - smooth[:180]).mean()


def test_a_slope_with_grain_is_found_after_posterising() -> None:
    """Grain makes the contours ragged, and the steps stay equal."""
    grain = np.random.default_rng(1).standard_normal((320, 480, 1), dtype=np.float32)
    slope = sky(320, 480, 90) + grain * np.float32(0.8 / 255)
    assert len(posterisation.find(posterised(slope, 7))) == 1


@pytest.mark.parametrize("name", [*PHOTOGRAPHS, "moon", "coins", "gravel", "page", "immunohistochemistry", "retina", "camera", "logo"])
def test_untouched_pictures_are_not_posterised(name: str) -> None:
    """Neither photographs nor prints nor a drawing with flat areas."""
    codes = getattr(data, name)()
    pixels = np.asarray((codes if codes.ndim == 3 else codes[:, :, None])[:, :, :3] / np.float32(255), np.float32)
    assert posterisation.find(pixels) == []


def _steps(levels: list[float], blur: float = 0) -> Pixels:
    """Return upright stripes of 40 px with these values, in codes."""
    import cv2

    row = np.repeat(np.array(levels, np.float32), 40)
    plane = np.repeat(row[None], 240, axis=0)
    plane = cv2.GaussianBlur(plane, (0, 0), blur) if blur else plane
    return coded(np.repeat(plane[:, :, None], 3, axis=2) / np.float32(255))


def test_drawn_stripes_are_not_posterised() -> None:
    """Stripes of two tones, of uneven steps, with soft edges and with high steps stay; even steps are a posterised slope."""
    even = [100.0 + 6 * number for number in range(10)]
    assert len(posterisation.find(_steps(even))) == 1
    assert posterisation.find(_steps([100.0, 106.0] * 5)) == []
    assert posterisation.find(_steps([100.0, 104.0, 112.0, 116.0, 127.0, 131.0, 142.0, 146.0])) == []
    assert posterisation.find(_steps(even, 1.0)) == []
    assert posterisation.find(_steps([60.0 + 16 * number for number in range(10)])) == []


def test_a_fine_slope_has_bands_and_is_not_posterised() -> None:
    """Steps of one code are left to the search for bands."""
    assert posterisation.find(coded(sky(320, 480, 48))) == []


def test_a_part_of_the_strength_moves_the_pixels_by_that_part() -> None:
    """A quarter of the strength is a quarter of the change."""
    damaged = posterised(sky(240, 400, 90), 6)
    quarter, full = (_repaired(damaged, strength) for strength in (0.25, 1.0))
    assert np.allclose(quarter - damaged, (full - damaged) / 4, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (7, 400), (41, 43)])
def test_small_pictures_have_no_slopes(shape: tuple[int, int]) -> None:
    """They have too few cells."""
    assert posterisation.find(posterised(sky(*shape, 90), 6)) == []


def test_the_step_dithers_the_slope_and_outside_the_region_nothing_changes() -> None:
    """In an 8-bit picture, means over 8 x 8 px are nearer to the slope; the half outside the mask stays bit for bit."""
    slope = sky(240, 400, 90)
    damaged = posterised(slope, 6)
    mask = np.zeros((240, 400), np.float32)
    mask[:, :200] = 1
    context = StepContextDouble()
    picture = Picture(freeze(damaged), masks={"sky": freeze(mask)})
    result = Correct(where="sky", repeats="off").apply(picture, context).pixels
    assert context.results.findings["posterisation_count"] == 1
    assert np.array_equal(result, coded(result))
    assert not changed(damaged, result)[:, 200:].any()
    means = [pixels[16:-16, 16:176].reshape(26, 8, 20, 8, 3).mean(axis=(1, 3)) for pixels in (result, damaged, slope)]
    assert np.abs(means[0] - means[2]).mean() < 0.8 * np.abs(means[1] - means[2]).mean()
