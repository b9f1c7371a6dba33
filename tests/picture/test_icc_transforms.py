"""What is sampled from profiles made of tables: the light of neutral colours, and colorants."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from doubles.icc_profiles import ADOBE_GAMMA, grey_lab_profile, grey_table_profile, rgb_table_profile
from goldsmith.errors import InputError
from goldsmith.ops.grade.film_effects import PiecePosition, vignette_change
from goldsmith.picture import colour, icc_transforms, profiles
from goldsmith.picture.antiringing import resize_without_ringing
from goldsmith.picture.linear_light import LinearLight, exposure_change
from goldsmith.picture.picture import Picture, freeze
from goldsmith.picture.resample import resize_picture

CODES = np.arange(256, dtype=np.uint8)


def grey_by_lcms(icc: bytes) -> np.ndarray[Any, Any]:
    """Return what Pillow's lcms makes of all codes of a grey profile in sRGB: relative colorimetric with black point compensation."""
    transform = ImageCms.buildTransform(io.BytesIO(icc), ImageCms.createProfile("sRGB"), "L", "RGB", renderingIntent=1, flags=0x2100)
    result = ImageCms.applyTransform(Image.fromarray(CODES[None]), transform)
    assert result is not None
    return np.asarray(result)[0, :, 0].astype(float)


@pytest.mark.parametrize("icc", [grey_lab_profile(), grey_table_profile(), grey_table_profile(lambda value: 5 + 90 * value**1.3)])
def test_grey_of_any_profile_is_the_grey_of_lcms(icc: bytes) -> None:
    """Curves that give lightness, and tables, a black above zero included, agree with lcms to a code."""
    picture = Picture(freeze((CODES / 255).reshape(1, -1, 1).astype(np.float32)), icc=icc)
    result = colour.convert_profile(picture, "srgb")
    assert (result.channels, result.icc) == (1, None)
    assert np.abs(result.pixels.ravel() * 255 - grey_by_lcms(icc)).max() < 1
    wide = colour.convert_profile(picture, "display-p3")
    assert wide.channels == 3
    assert np.abs(wide.pixels[0, :, 1] * 255 - grey_by_lcms(icc)).max() < 1


def test_grey_code_64_of_lightness_is_60_in_srgb() -> None:
    """The value of a public report: 64 of 255 is L* 25.1, a luminance of 4.4 %."""
    picture = Picture(freeze(np.full((1, 1, 1), 64 / 255, np.float32)), icc=grey_lab_profile())
    assert round(float(colour.convert_profile(picture, "srgb").pixels[0, 0, 0]) * 255) == 60


@pytest.mark.parametrize("space", ["adobe-rgb", "prophoto", "srgb"])
def test_tables_have_the_light_and_the_colorants_of_their_space(space: str) -> None:
    """A table of a known space gives nearly its gamma and its matrix. A table of Lab has no colours as saturated as ProPhoto RGB's."""
    light = LinearLight(rgb_table_profile(space))
    values = np.linspace(0, 1, 33, dtype=np.float32).reshape(1, -1, 1).repeat(3, axis=2)
    assert np.abs(light.to_linear(values) - values**ADOBE_GAMMA).max() < 2e-3
    assert np.abs(light.xyz_matrix - profiles.builtin_colorants(space)).max() < 0.006 + 0.04 * (space == "prophoto")
    assert np.allclose(light.xyz_matrix.sum(axis=1), profiles.D50_WHITE, atol=1e-3)


def test_light_of_tables_and_back_changes_no_code(photo: Any) -> None:
    """Every 8-bit colour comes back exactly, those outside sRGB too, and where the table is flat."""
    for icc in (rgb_table_profile(), rgb_table_profile("prophoto"), grey_table_profile(lambda value: np.clip(140 * value - 20, 0, 100))):
        pixels = (photo if icc[16:20] == b"RGB " else CODES.reshape(1, -1, 1)).astype(np.float32) / np.float32(255)
        result = colour.from_linear(colour.to_linear(pixels, icc), icc)
        assert np.array_equal(np.round(result * 255), np.round(pixels * 255))


def saturated(icc: bytes) -> Picture:
    """Return plain areas of the six most saturated colours, far outside sRGB for a wide profile."""
    colours = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 0]], np.float32) * np.float32(0.9)
    return Picture(freeze(np.tile(np.repeat(colours, 32, axis=0), (96, 1, 1))), icc=icc)


@pytest.mark.parametrize("space", ["adobe-rgb", "prophoto"])
def test_colours_outside_srgb_survive_every_step_in_light(space: str) -> None:
    """Resizing, exposure and a vignette keep plain saturated areas of a wide profile of tables, as they do with a matrix profile."""
    icc = rgb_table_profile(space)
    picture = saturated(icc)
    for small in (resize_without_ringing(picture, 48, 96), resize_picture(picture, 48, 96)):
        assert np.abs(small.pixels[24, 8::16] - picture.pixels[48, 16::32]).max() < 1e-3
    darker = exposure_change(LinearLight(icc), -1.0)(picture.pixels)
    assert np.abs(darker - picture.pixels * np.float32(0.5 ** (1 / ADOBE_GAMMA))).max() < 2e-3
    change = vignette_change(LinearLight(icc), 0.5, 0.5, 0.5, 0.0)
    position = PiecePosition(0, 0, picture.height, picture.width)
    vignetted = change(picture.pixels, position, lambda _: None)
    assert np.abs(vignetted[48, 96] - picture.pixels[48, 96]).max() < 1e-4
    assert 0.3 < vignetted[0, 0, 0] < picture.pixels[0, 0, 0]
    assert vignetted[..., 1].min() == 0


def test_a_conversion_without_clipping_goes_beyond_the_target() -> None:
    """Adobe RGB's green has negative red in linear sRGB: the value of the two matrices."""
    pixels = np.array([[[0, 1, 0]]], np.float32)
    linear = icc_transforms.transform_floats(pixels, profiles.builtin_profile("adobe-rgb"), profiles.builtin_profile("linear-srgb"))
    expected = np.linalg.solve(profiles.builtin_colorants("srgb"), profiles.builtin_colorants("adobe-rgb")[:, 1])
    assert np.allclose(linear[0, 0], expected, atol=1e-3)
    assert linear[0, 0, 0] < -0.3


def test_a_profile_without_colours_has_no_light() -> None:
    """Damage is an error of Goldsmith's own."""
    with pytest.raises(InputError, match="cannot be used"):
        colour.to_linear(np.zeros((1, 1, 3), np.float32), rgb_table_profile()[:300])
