"""Greys in black ink alone: grey pixels are recognised, keep their lightness, and all others keep their inks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from doubles.press import press_profile, printed
from goldsmith.picture import colour, profiles
from goldsmith.picture.picture import Picture, freeze
from goldsmith.picture.print import cmyk, gray_component_replacement

WHITE = printed(np.zeros((1, 4)))[0, 1]


def picture_of(pixels: np.ndarray, icc: bytes | None = None) -> Picture:
    """Return a picture of pixels (h, w, n), 0..1."""
    return Picture(freeze(np.asarray(pixels, np.float32)), icc=icc)


def ramp(channels: int = 3) -> Picture:
    return picture_of(np.broadcast_to(np.linspace(0, 1, 200)[None, :, None], (5, 200, channels)))


def luminance_of(inks: cmyk.Inks) -> np.ndarray:
    """Return the luminance (n,), 0..1, of inks (n, 4), relative to the paper, by the model of the press."""
    return printed(inks.reshape(-1, 4).astype(float))[:, 1].reshape(inks.shape[:2]) / WHITE


def separate_in_black(picture: Picture, *, black_point: bool = True) -> tuple[cmyk.Inks, float]:
    inks = cmyk.convert_to_inks(picture, press_profile(), "relative", black_point)
    is_grey = gray_component_replacement.neutral_mask(picture)
    gray_component_replacement.replace_greys_with_black(picture, inks, is_grey, press_profile(), black_point)
    return inks, float(is_grey.mean())


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grey_in_black_ink_keeps_its_lightness(channels: int) -> None:
    """White has no ink, black is solid, and between them the luminance on paper rises as in the picture."""
    picture = ramp(channels)
    inks, share = separate_in_black(picture)
    assert share == 1
    assert inks[..., :3].max() == 0
    assert inks[0, 0, 3] == 1
    assert inks[0, -1, 3] < 0.002
    darkest = luminance_of(np.array([[[0, 0, 0, 1]]], np.float32))[0, 0]
    expected = darkest + (1 - darkest) * colour.to_linear(picture.pixels, None)[0, :, 0]
    assert np.abs(luminance_of(inks)[0] - expected).max() < 0.012


def test_without_black_point_compensation_greys_keep_their_luminance() -> None:
    """Greys darker than solid black ink become solid black ink."""
    picture = ramp()
    inks, _ = separate_in_black(picture, black_point=False)
    light = colour.to_linear(picture.pixels, None)[0, :, 0]
    darkest = luminance_of(np.array([[[0, 0, 0, 1]]], np.float32))[0, 0]
    reached = light > darkest + 0.005
    assert np.abs(luminance_of(inks)[0] - light)[reached].max() < 0.012
    assert (inks[0, light < darkest - 0.005, 3] == 1).all()


def test_greys_of_another_profile_get_the_same_black() -> None:
    """ProPhoto RGB has another curve but the same greys."""
    wide = colour.convert_profile(ramp(), "prophoto")
    assert np.abs(separate_in_black(wide)[0][0, 10:, 3] - separate_in_black(ramp())[0][0, 10:, 3]).max() < 0.01
    assert wide.icc == profiles.builtin_profile("prophoto")


def test_colours_keep_their_inks() -> None:
    """Inks of colours keep every bit, and so do isolated greys of a pixel or two; a grey patch of 3 x 3 is replaced."""
    pixels = np.full((20, 20, 3), (0.5, 0.3, 0.2))
    pixels[4, 4] = 0.4
    pixels[8:10, 8:14] = 0.4
    pixels[14:17, 3:6] = 0.4
    picture = picture_of(pixels)
    before = cmyk.convert_to_inks(picture, press_profile(), "relative", black_point=True)
    result, share = separate_in_black(picture)
    is_black_only = result[..., :3].max(axis=2) == 0
    assert is_black_only.sum() == 9
    assert is_black_only[14:17, 3:6].all()
    assert share == pytest.approx(9 / 400)
    assert np.array_equal(result[~is_black_only], before[~is_black_only])
    plain = picture_of(np.full((9, 9, 3), (0.5, 0.3, 0.2)))
    inks, share = separate_in_black(plain)
    assert share == 0
    assert np.array_equal(inks, cmyk.convert_to_inks(plain, press_profile(), "relative", black_point=True))


def test_channels_within_half_a_code_count_as_grey() -> None:
    """Float errors of a resize are grey; a difference of one 8-bit code is a colour."""
    nearly = np.full((6, 6, 3), 0.5) + np.array([0, 0.001, -0.0005])
    assert gray_component_replacement.neutral_mask(picture_of(nearly)).all()
    assert not gray_component_replacement.neutral_mask(picture_of(np.full((6, 6, 3), 0.5) + np.array([0, 1 / 255, 0]))).any()


def _photograph() -> np.ndarray:
    return np.asarray(data.rocket()[:300, :400], np.float64) / 255


def test_the_shadows_of_a_photograph_keep_their_inks() -> None:
    """Black ink alone is lighter than near-black in all inks, so pure black amid near-blacks keeps its inks; black type is replaced."""
    pixels = np.full((60, 120, 3), (0.03, 0.02, 0.04))
    pixels[20:40, 20:40] = 0
    pixels[:, 70:] = (0.5, 0.6, 0.7)
    pixels[20:40, 85:105] = 0
    mask = gray_component_replacement.neutral_mask(picture_of(pixels))
    assert not mask[:, :60].any()
    assert mask[20:40, 85:105].all()


def test_accidental_greys_of_a_photograph_keep_their_inks() -> None:
    """Night skies contain such greys; letters and a panel on the sky are replaced, and little else."""
    pixels = _photograph()
    plain = gray_component_replacement.neutral_mask(picture_of(pixels)).mean()
    pixels[40:80, 100:300] = 1
    pixels[50:70, 120:140] = 0
    mask = gray_component_replacement.neutral_mask(picture_of(pixels))
    assert mask[40:80, 100:300].all()
    assert plain < 0.01
    assert mask.mean() - 40 * 200 / mask.size < 0.01


def test_a_coloured_object_in_a_grey_picture_leaves_the_rest_in_black_ink() -> None:
    """Black ink alone prints all other pixels."""
    grey = np.repeat(_photograph()[..., 1:2], 3, axis=2)
    grey[100:200, 100:200] = (0.8, 0.1, 0.1)
    mask = gray_component_replacement.neutral_mask(picture_of(grey))
    assert mask[:90].all()
    assert not mask[110:190, 110:190].any()


def test_a_soft_edge_does_not_hide_type() -> None:
    """Surroundings of a letter are compared beyond its soft edge, whose pixels are nearly as dark."""
    pixels = np.full((60, 60, 3), (0.7, 0.8, 0.9))
    pixels[20:40, 20:40] = 0
    soft = cv2.GaussianBlur(pixels, (0, 0), 1.6)
    assert gray_component_replacement.neutral_mask(picture_of(soft))[26:34, 26:34].all()
