"""Greys in black ink alone: which pixels they are, how light they come out, and that everything else keeps its inks."""

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


def plate_of(pixels: np.ndarray, icc: bytes | None = None) -> Picture:
    return Picture(freeze(np.asarray(pixels, np.float32)), icc=icc)


def ramp(channels: int = 3) -> Picture:
    return plate_of(np.broadcast_to(np.linspace(0, 1, 200)[None, :, None], (5, 200, channels)))


def light_of(inks: cmyk.Inks) -> np.ndarray:
    """Luminance relative to the paper, by the model of the press itself."""
    return printed(inks.reshape(-1, 4).astype(float))[:, 1].reshape(inks.shape[:2]) / WHITE


def in_black(picture: Picture, *, black_point: bool = True) -> tuple[cmyk.Inks, float]:
    inks = cmyk.convert_to_inks(picture, press_profile(), "relative", black_point)
    return gray_component_replacement.replace_greys_with_black(picture, inks, press_profile(), black_point)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grey_is_black_ink_alone_and_as_light_as_it_was(channels: int) -> None:
    """White has no ink, black is solid, and in between the light on paper rises as the picture's does, from ink to paper."""
    picture = ramp(channels)
    inks, share = in_black(picture)
    assert share == 1
    assert inks[..., :3].max() == 0
    assert inks[0, 0, 3] == 1
    assert inks[0, -1, 3] < 0.002
    darkest = light_of(np.array([[[0, 0, 0, 1]]], np.float32))[0, 0]
    wanted = darkest + (1 - darkest) * colour.to_linear(picture.pixels, None)[0, :, 0]
    assert np.abs(light_of(inks)[0] - wanted).max() < 0.012


def test_without_black_point_every_grey_that_the_ink_reaches_is_its_own() -> None:
    """And what is darker than solid black ink is solid black ink."""
    picture = ramp()
    inks, _ = in_black(picture, black_point=False)
    light = colour.to_linear(picture.pixels, None)[0, :, 0]
    darkest = light_of(np.array([[[0, 0, 0, 1]]], np.float32))[0, 0]
    reached = light > darkest + 0.005
    assert np.abs(light_of(inks)[0] - light)[reached].max() < 0.012
    assert (inks[0, light < darkest - 0.005, 3] == 1).all()


def test_the_grey_of_another_profile_is_as_light_as_it_looks() -> None:
    """The same picture in ProPhoto RGB, whose curve is another, gets the same black."""
    wide = colour.convert_profile(ramp(), "prophoto")
    assert np.abs(in_black(wide)[0][0, 10:, 3] - in_black(ramp())[0][0, 10:, 3]).max() < 0.01
    assert wide.icc == profiles.builtin_profile("prophoto")


def test_colours_keep_their_inks() -> None:
    """Bit for bit, and so do greys of a pixel or two among them; a patch of 3 x 3 is one that was meant."""
    pixels = np.full((20, 20, 3), (0.5, 0.3, 0.2))
    pixels[4, 4] = 0.4
    pixels[8:10, 8:14] = 0.4
    pixels[14:17, 3:6] = 0.4
    picture = plate_of(pixels)
    before = cmyk.convert_to_inks(picture, press_profile(), "relative", black_point=True)
    made, share = gray_component_replacement.replace_greys_with_black(picture, before, press_profile(), black_point=True)
    alone = made[..., :3].max(axis=2) == 0
    assert alone.sum() == 9
    assert alone[14:17, 3:6].all()
    assert share == pytest.approx(9 / 400)
    assert np.array_equal(made[~alone], before[~alone])
    plain = plate_of(np.full((9, 9, 3), (0.5, 0.3, 0.2)))
    inks = cmyk.convert_to_inks(plain, press_profile(), "relative", black_point=True)
    assert gray_component_replacement.replace_greys_with_black(plain, inks, press_profile(), black_point=True) == (inks, 0.0)


def test_less_than_half_a_code_apart_is_alike() -> None:
    """What a resize leaves of equal channels in floats is grey; a code of 8 bits of colour is colour."""
    nearly = np.full((6, 6, 3), 0.5) + np.array([0, 0.001, -0.0005])
    assert gray_component_replacement.neutral_mask(plate_of(nearly)).all()
    assert not gray_component_replacement.neutral_mask(plate_of(np.full((6, 6, 3), 0.5) + np.array([0, 1 / 255, 0]))).any()


def _photograph() -> np.ndarray:
    return np.asarray(data.rocket()[:300, :400], np.float64) / 255


def test_the_shadows_of_a_photograph_keep_their_inks() -> None:
    """A patch of pure black that near-blacks surround would come out lighter than they do; type in the same black stands out."""
    pixels = np.full((60, 120, 3), (0.03, 0.02, 0.04))
    pixels[20:40, 20:40] = 0
    pixels[:, 70:] = (0.5, 0.6, 0.7)
    pixels[20:40, 85:105] = 0
    found = gray_component_replacement.neutral_mask(plate_of(pixels))
    assert not found[:, :60].any()
    assert found[20:40, 85:105].all()


def test_greys_by_chance_are_left_to_a_photograph() -> None:
    """A night sky of a camera has some; letters and a panel on it are found, and little else."""
    pixels = _photograph()
    plain = gray_component_replacement.neutral_mask(plate_of(pixels)).mean()
    pixels[40:80, 100:300] = 1
    pixels[50:70, 120:140] = 0
    found = gray_component_replacement.neutral_mask(plate_of(pixels))
    assert found[40:80, 100:300].all()
    assert plain < 0.01
    assert found.mean() - 40 * 200 / found.size < 0.01


def test_a_coloured_thing_on_a_grey_picture_leaves_the_rest_grey() -> None:
    """Black and white with one thing in colour: all but the thing is black ink alone."""
    grey = np.repeat(_photograph()[..., 1:2], 3, axis=2)
    grey[100:200, 100:200] = (0.8, 0.1, 0.1)
    found = gray_component_replacement.neutral_mask(plate_of(grey))
    assert found[:90].all()
    assert not found[110:190, 110:190].any()


def test_a_soft_edge_does_not_hide_what_stands_out() -> None:
    """What lies round a letter is looked for beyond the mixed pixels of its edge, which are nearly as dark as it is."""
    pixels = np.full((60, 60, 3), (0.7, 0.8, 0.9))
    pixels[20:40, 20:40] = 0
    soft = cv2.GaussianBlur(pixels, (0, 0), 1.6)
    assert gray_component_replacement.neutral_mask(plate_of(soft))[26:34, 26:34].all()
