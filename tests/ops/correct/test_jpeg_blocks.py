"""JPEG blocks are found by the rounding of their coefficients and smoothed within it; other pictures have none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.fft import dctn
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from doubles.faults_of_pictures import PHOTOGRAPHS, coded, compressed, photograph, sky
from doubles.step_context import StepContextDouble
from goldsmith.ops.correct import dct, jpeg_blocks
from goldsmith.ops.correct.defect import make_window
from goldsmith.ops.correct.operation import Correct
from goldsmith.picture.picture import Picture, Pixels, freeze


def _part(name: str) -> Pixels:
    return np.ascontiguousarray(photograph(name)[80:300, 60:360])


def _repaired(pixels: Pixels, strength: float = 1.0) -> Pixels:
    (fault,) = jpeg_blocks.find(pixels, strength)
    assert fault.repair is not None
    return fault.repair[1]


def _luma(pixels: Pixels) -> Pixels:
    return np.asarray(pixels @ np.array([0.299, 0.587, 0.114], np.float32) * np.float32(255))


@pytest.mark.parametrize("quality", [10, 15, 30])
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_blocks_are_found_and_the_repair_is_nearer_to_the_truth(name: str, quality: int) -> None:
    """The signal to noise ratio rises by 0.3 dB or more, and the steps between blocks fall to a fifth."""
    clean = _part(name)
    damaged = compressed(clean, quality)
    (fault,) = jpeg_blocks.find(damaged)
    assert fault.window == make_window(0, 0, *clean.shape[:2])
    assert fault.after < 0.2 * fault.before
    gain = peak_signal_noise_ratio(clean, _repaired(damaged)) - peak_signal_noise_ratio(clean, damaged)
    assert gain > 0.3


def test_chroma_of_full_size_gains_more() -> None:
    """Where chroma was stored at full size, its blocks of 8 px are smoothed, and half a dB or more is gained."""
    clean = _part("astronaut")
    damaged = compressed(clean, 15, halves_chroma=False)
    gain = peak_signal_noise_ratio(clean, _repaired(damaged)) - peak_signal_noise_ratio(clean, damaged)
    assert gain > 0.5


@pytest.mark.parametrize(("top", "left"), [(1, 0), (5, 11), (8, 3)])
def test_a_cropped_picture_is_repaired_on_its_own_grid(top: int, left: int) -> None:
    """The corner of the first full block is found wherever it lies."""
    clean = _part("coffee")
    damaged = compressed(clean, 15)[top:, left:]
    gain = peak_signal_noise_ratio(clean[top:, left:], _repaired(damaged)) - peak_signal_noise_ratio(clean[top:, left:], damaged)
    assert gain > 0.3


def test_a_grey_picture_is_repaired() -> None:
    """It has luma alone."""
    clean = np.asarray(data.camera()[100:400, 100:400, None] / np.float32(255), np.float32)
    damaged = compressed(clean, 15)
    assert peak_signal_noise_ratio(clean, _repaired(damaged)) > peak_signal_noise_ratio(clean, damaged) + 0.3


def test_no_coefficient_leaves_the_interval_that_was_rounded_to_it() -> None:
    """With the table of quality 15 and scipy's transform, luma moves by half a step at most, but for what clipping adds."""
    damaged = compressed(_part("chelsea"), 15, halves_chroma=False)
    change = _luma(_repaired(damaged)) - _luma(damaged)
    rows, columns = (side // 8 * 8 for side in change.shape)
    blocks = change[:rows, :columns].reshape(rows // 8, 8, columns // 8, 8)
    sizes = np.abs(dctn(blocks, axes=(1, 3), norm="ortho")).max(axis=(0, 2))
    assert (sizes / np.rint(dct.LUMA_TABLE.reshape(8, 8) * (50 / 15))).max() < 0.55


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("quality", [None, 70, 90])
def test_untouched_pictures_and_good_files_have_no_blocks(name: str, quality: int | None) -> None:
    """A JPEG of quality 70 or more has no visible blocks."""
    clean = _part(name)
    assert jpeg_blocks.find(clean if quality is None else compressed(clean, quality)) == []


@pytest.mark.parametrize("name", ["moon", "coins", "brick", "gravel", "grass", "page", "text", "immunohistochemistry", "retina"])
def test_textures_prints_and_drawings_have_no_blocks(name: str) -> None:
    """Some of them have steps every 8 px, but no rounded coefficients."""
    codes = getattr(data, name)()
    pixels = np.asarray((codes if codes.ndim == 3 else codes[:, :, None]) / np.float32(255), np.float32)
    assert jpeg_blocks.find(np.ascontiguousarray(pixels[:400, :400])) == []


@pytest.mark.parametrize("side", [4, 8, 16])
def test_pixel_art_has_no_blocks(side: int) -> None:
    """Enlarged pixels have steps every 8 px, which are the drawing."""
    small = np.random.default_rng(2).integers(60, 80, (40, 50, 3)) / np.float32(255)
    enlarged = np.asarray(np.repeat(np.repeat(small, side, axis=0), side, axis=1), np.float32)
    assert jpeg_blocks.find(enlarged) == []


def test_a_part_of_the_strength_moves_the_pixels_by_that_part() -> None:
    """Half the strength is half the change."""
    damaged = compressed(_part("rocket"), 15)
    changes = [_repaired(damaged, strength) - damaged for strength in (0.5, 1.0)]
    inside = (damaged > 0.1) & (damaged < 0.9)
    assert np.allclose(changes[0][inside], changes[1][inside] / 2, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 3), (63, 400, 3), (64, 64, 1), (70, 65, 3)])
def test_small_pictures_raise_nothing(shape: tuple[int, int, int]) -> None:
    """They have too few blocks, or enough."""
    pixels = compressed(np.repeat(sky(*shape[:2]), 1, axis=2)[:, :, : shape[2]], 15)
    for fault in jpeg_blocks.find(pixels):
        assert fault.repair is not None
        assert fault.repair[1].shape == shape


def test_the_step_records_the_blocks_and_writes_codes_of_8_bits() -> None:
    """The record has one box, the whole picture, and the step's size; "off" returns the picture itself."""
    damaged = compressed(_part("astronaut"), 15)
    picture, context = Picture(freeze(damaged)), StepContextDouble()
    result = Correct(repeats="off").apply(picture, context)
    assert context.results.findings["blocks_count"] == 1
    assert np.array_equal(result.pixels, coded(result.pixels))
    skipped = StepContextDouble()
    Correct(blocks="off", repeats="off").apply(picture, skipped)
    assert "blocks" not in skipped.results.findings


def test_blocks_and_their_transform_agree_with_scipy() -> None:
    """The transform of each block is scipy's, and its inverse returns the plane."""
    plane = np.random.default_rng(1).standard_normal((24, 40), dtype=np.float32)
    coefficients = dct.transform_blocks(dct.to_blocks(plane))
    expected = dctn(plane.reshape(3, 8, 5, 8), axes=(1, 3), norm="ortho").transpose(0, 2, 1, 3).reshape(15, 64)
    assert np.allclose(coefficients, expected, atol=1e-5)
    assert np.allclose(dct.from_blocks(dct.invert_blocks(coefficients), (24, 40)), plane, atol=1e-5)
