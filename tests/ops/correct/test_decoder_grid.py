"""A decoder's grid is found by its constancy over the whole picture and subtracted; textures, print and drawn patterns are not grids."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from doubles.faults_of_pictures import PHOTOGRAPHS, checkered, coded, lined, photograph, sky
from doubles.step_context import StepContextDouble
from goldsmith.ops.correct import decoder_grid
from goldsmith.ops.correct.defect import make_window
from goldsmith.ops.correct.operation import Correct
from goldsmith.picture.picture import Picture, Pixels, freeze


def _part(name: str) -> Pixels:
    return np.ascontiguousarray(photograph(name)[:300, :448])


def _waves(pixels: Pixels, codes: float) -> Pixels:
    """Return the picture with waves of 8 px in both directions, of another strength in each channel."""
    down, across = (np.cos(np.arange(side) * (np.pi / 4)).astype(np.float32) for side in pixels.shape[:2])
    rates = np.array([1, 0.5, -0.5], np.float32) * np.float32(codes / 255)
    return coded(pixels + (down[:, None] + across)[:, :, None] * rates)


def _repaired(pixels: Pixels, strength: float = 1.0) -> Pixels:
    (fault,) = decoder_grid.find(pixels, strength)
    assert fault.repair is not None
    return fault.repair[1]


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("codes", [1, 2, 4])
def test_a_checkerboard_of_single_pixels_is_removed(name: str, codes: float) -> None:
    """Its size is found within a tenth, a fifth of it remains at most, and the signal to noise ratio rises by 6 dB or more."""
    clean = _part(name)
    damaged = checkered(clean, codes)
    (fault,) = decoder_grid.find(damaged)
    assert fault.window == make_window(0, 0, *clean.shape[:2])
    assert fault.before == pytest.approx(codes, rel=0.1)
    assert fault.after < 0.2 * fault.before
    result = coded(_repaired(damaged))
    assert peak_signal_noise_ratio(clean, result) > peak_signal_noise_ratio(clean, damaged) + 6


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize(("add", "codes"), [(lined, 4), (_waves, 2)])
def test_lines_and_waves_every_8_px_are_removed(name: str, add: Callable[[Pixels, float], Pixels], codes: float) -> None:
    """The signal to noise ratio rises by 3 dB or more."""
    clean = _part(name)
    damaged = add(clean, codes)
    result = coded(_repaired(damaged))
    assert peak_signal_noise_ratio(clean, result) > peak_signal_noise_ratio(clean, damaged) + 3


def test_a_grid_that_is_weaker_in_one_half_is_removed_from_both() -> None:
    """It is subtracted by as much as it is there."""
    clean = coded(sky(256, 512))
    damaged = np.concatenate([checkered(clean, 4)[:, :256], checkered(clean, 2)[:, 256:]], axis=1)
    error = np.abs(_repaired(damaged) - clean)
    assert error[:, :200].mean() < 0.5 / 255
    assert error[:, 312:].mean() < 0.5 / 255


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_untouched_photographs_have_no_grid(name: str) -> None:
    """The smallest amplitude that counts is twice theirs."""
    assert decoder_grid.find(photograph(name)) == []


@pytest.mark.parametrize("name", ["moon", "coins", "brick", "gravel", "grass", "page", "text", "immunohistochemistry", "retina", "camera"])
def test_textures_and_print_have_no_grid(name: str) -> None:
    """Blades, stones and lines of letters repeat, but never at one phase of 2, 4 or 8 px."""
    codes = getattr(data, name)()
    pixels = np.asarray((codes if codes.ndim == 3 else codes[:, :, None]) / np.float32(255), np.float32)
    assert decoder_grid.find(np.ascontiguousarray(pixels[:512, :512])) == []


def test_a_drawn_checkerboard_is_no_grid() -> None:
    """Its contrast is intended."""
    assert decoder_grid.find(checkered(np.full((320, 320, 3), 0.5, np.float32), 20)) == []


def test_a_pattern_in_a_part_of_the_picture_is_no_grid() -> None:
    """A screen in the picture may show one."""
    picture = _part("coffee").copy()
    picture[:160, :160] = checkered(picture, 4)[:160, :160]
    assert decoder_grid.find(picture) == []


def test_a_part_of_the_strength_subtracts_that_part() -> None:
    """Half the strength is half the change."""
    damaged = checkered(_part("coffee"), 3)
    changes = [_repaired(damaged, strength) - damaged for strength in (0.5, 1.0)]
    inside = (damaged > 0.1) & (damaged < 0.9)
    assert np.allclose(changes[0][inside], changes[1][inside] / 2, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 3), (63, 400, 3), (150, 130, 1), (256, 256, 1)])
def test_small_pictures_raise_nothing(shape: tuple[int, int, int]) -> None:
    """A picture with too few tiles has no grid; a larger grey one does."""
    pixels = checkered(sky(*shape[:2])[:, :, : shape[2]], 3)
    assert len(decoder_grid.find(pixels)) == (min(shape[:2]) >= 256)


def test_the_step_restores_the_codes_of_an_8_bit_picture() -> None:
    """Nearly all codes come back, because the result is rounded and not dithered; "off" returns the picture itself."""
    clean = _part("coffee")
    picture, context = Picture(freeze(checkered(clean, 2))), StepContextDouble()
    result = Correct(repeats="off").apply(picture, context)
    assert context.results.findings["grid_count"] == 1
    assert np.array_equal(result.pixels, coded(result.pixels))
    assert (result.pixels == clean).mean() > 0.8
    skipped = StepContextDouble()
    Correct(grid="off", repeats="off").apply(picture, skipped)
    assert "grid" not in skipped.results.findings
