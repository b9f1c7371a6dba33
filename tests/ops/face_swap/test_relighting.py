"""Relighting: broad tones become the ground's and finer detail stays; white and black stay; a grey picture changes in lightness alone."""

from __future__ import annotations

import numpy as np
import pytest

from goldsmith.ops.face_swap.relighting import MAX_CONTRAST_GAIN, MIN_CONTRAST_GAIN, from_lab, relight, to_lab
from goldsmith.picture.linear_light import LinearLight
from goldsmith.picture.picture import Pixels
from goldsmith.picture.profiles import builtin_profile

SIDE = 120
LIGHT = LinearLight(None)
ALL = np.ones((SIDE, SIDE), np.float32)
NONE = np.zeros((SIDE, SIDE), np.float32)
FINE = (np.indices((SIDE, SIDE)).sum(axis=0) % 4 < 2).astype(np.float32)[:, :, None]
SLOPE = np.linspace(0.7, 1.2, SIDE, dtype=np.float32)[None, :, None]


def _flat(*colour: float) -> Pixels:
    return np.broadcast_to(np.float32(colour), (SIDE, SIDE, len(colour))).copy()


@pytest.mark.parametrize("icc", [None, builtin_profile("adobe-rgb"), builtin_profile("srgb")])
def test_the_conversion_to_lab_is_reversible(icc: bytes | None) -> None:
    """The conversion uses the picture's profile; grey has one channel."""
    light = LinearLight(icc)
    pixels = np.random.default_rng(0).random((20, 30, 3), dtype=np.float32)
    assert np.abs(from_lab(to_lab(pixels, light), light) - pixels).max() < 2e-3
    grey = np.ascontiguousarray(pixels[:, :, :1])
    assert to_lab(grey, light).shape == (20, 30, 1)
    assert np.abs(from_lab(to_lab(grey, light), light) - grey).max() < 2e-3


def test_an_amount_of_0_and_a_face_without_skin_return_the_face_itself() -> None:
    """Neither has light to take."""
    face = _flat(0.5, 0.4, 0.3)
    assert relight(face, _flat(0.8, 0.6, 0.5), ALL, NONE, LIGHT, 100, 0) is face
    assert relight(face, _flat(0.8, 0.6, 0.5), NONE, NONE, LIGHT, 100, 1) is face


@pytest.mark.parametrize("amount", [0.5, 1.0])
def test_a_flat_tone_moves_towards_the_ground_s_by_the_amount(amount: float) -> None:
    """The tone moves all the way, or half of it, in Lab."""
    face, ground = _flat(0.5, 0.35, 0.3), _flat(0.8, 0.6, 0.5)
    result = to_lab(relight(face, ground, ALL, NONE, LIGHT, 100, amount), LIGHT)
    expected = to_lab(face, LIGHT) + amount * (to_lab(ground, LIGHT) - to_lab(face, LIGHT))
    assert np.abs(result - expected).max() < 0.5


def test_a_face_takes_the_ground_s_light_and_keeps_its_own_detail() -> None:
    """A face lit from the left is then lit from the right, with the same texture."""
    face = np.clip(_flat(0.5, 0.5, 0.5) * SLOPE[:, ::-1] + 0.04 * FINE, 0, 1)
    ground = np.clip(_flat(0.6, 0.6, 0.6) * SLOPE + 0.04 * FINE, 0, 1)
    result = relight(face, ground, ALL, NONE, LIGHT, 100, 1.0)[:, :, 0]
    assert np.abs(result.mean(axis=0) - ground[:, :, 0].mean(axis=0))[20:-20].mean() < 0.02
    detail = np.abs(np.diff(result, axis=1))[20:-20, 20:-20].mean()
    assert detail == pytest.approx(np.abs(np.diff(face[:, :, 0], axis=1))[20:-20, 20:-20].mean(), rel=0.35)


def test_the_contrast_of_detail_follows_the_ground_s_within_limits() -> None:
    """A hard face on a soft ground is softened by the minimum gain at most, a soft face on a hard ground hardened by the maximum gain."""
    soft, hard = (np.clip(_flat(0.5, 0.5, 0.5) + strength * (FINE - 0.5), 0, 1) for strength in (0.04, 0.3))

    def contrast(pixels: Pixels) -> float:
        return float(to_lab(pixels, LIGHT)[:, :, 0].std())

    assert contrast(relight(hard, soft, ALL, NONE, LIGHT, 100, 1.0)) == pytest.approx(MIN_CONTRAST_GAIN * contrast(hard), rel=0.05)
    assert contrast(relight(soft, hard, ALL, NONE, LIGHT, 100, 1.0)) == pytest.approx(MAX_CONTRAST_GAIN * contrast(soft), rel=0.05)


def test_the_white_of_an_eye_does_not_take_the_colour_of_skin() -> None:
    """Skin goes from yellowish to pink; a neutral spot that is not skin stays neutral."""
    face, skin = _flat(0.62, 0.55, 0.35), ALL.copy()
    face[50:60, 50:60] = 0.85
    skin[46:64, 46:64] = 0
    white = to_lab(relight(face, _flat(0.85, 0.6, 0.6), skin, NONE, LIGHT, 100, 1.0), LIGHT)[55, 55]
    assert np.abs(white[1:]).max() < 2


def test_black_stays_black() -> None:
    """Much lighter skin does not lighten a brow or a pupil."""
    face, skin = _flat(0.3, 0.2, 0.15), ALL.copy()
    face[50:60, 50:60] = 0.01
    skin[46:64, 46:64] = 0
    result = relight(face, _flat(0.85, 0.7, 0.6), skin, NONE, LIGHT, 100, 1.0)
    assert result[55, 55].max() < 0.06
    assert result[10, 10, 0] > 0.8


def test_pixels_outside_the_skin_do_not_count_as_light() -> None:
    """A black fringe in the ground, outside the skin, does not darken its surroundings."""
    ground, skin = _flat(0.8, 0.6, 0.5), ALL.copy()
    ground[:40], skin[:44] = 0.05, 0
    result = relight(_flat(0.5, 0.35, 0.3), ground, skin, NONE, LIGHT, 100, 1.0)
    assert result[60, 60] == pytest.approx(np.float32((0.8, 0.6, 0.5)), abs=0.03)


def test_a_face_of_one_px_is_relit() -> None:
    """No size is too small."""
    result = relight(_flat(0.5, 0.4, 0.3)[:1, :1], _flat(0.8, 0.6, 0.5)[:1, :1], ALL[:1, :1], NONE[:1, :1], LIGHT, 1.0, 1.0)
    assert result[0, 0] == pytest.approx(np.float32((0.8, 0.6, 0.5)), abs=0.02)


def test_a_grey_picture_is_relit_in_grey() -> None:
    """One channel in, one channel out."""
    result = relight(_flat(0.3), _flat(0.7), ALL, NONE, LIGHT, 100, 1.0)
    assert result.shape == (SIDE, SIDE, 1)
    assert result == pytest.approx(0.7, abs=0.01)


def _with_brow(pixels: Pixels, value: float) -> Pixels:
    result = pixels.copy()
    result[50:60, 40:80] = value
    return result


@pytest.mark.parametrize(("face_value", "ground_value"), [(0.02, 0.25), (0.25, 0.02)])
def test_features_take_the_ground_s_contrast_with_the_skin(face_value: float, ground_value: float) -> None:
    """A black brow in a hazy picture is lightened, and a grey one in a hard picture darkened; without a mask of the features neither is."""
    skin, features = ALL.copy(), NONE.copy()
    skin[46:64, 36:84], features[46:64, 36:84] = 0, 1
    tone = _flat(0.7, 0.55, 0.45)

    def brow_lightness(features: np.ndarray) -> float:
        result = relight(_with_brow(tone, face_value), _with_brow(tone, ground_value), skin, features, LIGHT, 100, 1.0)
        return float(to_lab(result, LIGHT)[55, 60, 0])

    before, expected = (float(to_lab(_with_brow(tone, value), LIGHT)[55, 60, 0]) for value in (face_value, ground_value))
    assert abs(brow_lightness(NONE) - before) < 1.5
    assert abs(brow_lightness(features) - expected) < 0.75 * abs(before - expected)
    assert (brow_lightness(features) - before) * (expected - before) > 0


def test_skin_between_features_is_unchanged() -> None:
    """Pixels hardly darker than the skin are skin."""
    skin, features = ALL.copy(), NONE.copy()
    skin[46:64, 36:84], features[46:64, 36:84] = 0, 1
    tone = _flat(0.7, 0.55, 0.45)
    result = relight(_with_brow(tone, 0.02), _with_brow(tone, 0.25), skin, features, LIGHT, 100, 1.0)
    assert result[48, 60] == pytest.approx(np.float32((0.7, 0.55, 0.45)), abs=0.02)


@pytest.mark.parametrize("contrast", [0.04, 0.3])
def test_make_up_keeps_its_colour(contrast: float) -> None:
    """Violet lids on skin that goes from yellowish to pink become neither bluer nor greyer, however hard the ground's light is."""
    skin, features = ALL.copy(), NONE.copy()
    skin[46:64, 36:84], features[46:64, 36:84] = 0, 1
    face = np.clip(_flat(0.62, 0.55, 0.35) + 0.05 * (FINE - 0.5), 0, 1)
    face[50:60, 40:80] = (0.35, 0.25, 0.45)
    ground = np.clip(_flat(0.85, 0.6, 0.6) + contrast * (FINE - 0.5), 0, 1)
    ground[50:60, 40:80] = 0.3
    before, after = (to_lab(pixels, LIGHT)[55, 60] for pixels in (face, relight(face, ground, skin, features, LIGHT, 100, 1.0)))
    assert np.abs(after[1:] - before[1:]).max() < 4


def _with_eyes(skin: tuple[float, float, float], white: tuple[float, float, float]) -> tuple[Pixels, np.ndarray]:
    """Return a face of that skin whose eyes are white with a dark middle, and the mask of the eyes."""
    pixels, eyes = _flat(*skin), NONE.copy()
    for left in (30, 75):
        pixels[50:60, left : left + 20] = white
        pixels[50:60, left + 7 : left + 13] = 0.05
        eyes[50:60, left : left + 20] = 1
    return pixels, eyes


def test_teeth_take_the_colour_of_the_light_on_the_ground_s_eyes() -> None:
    """Under an amber lamp the ground's skin and whites of the eyes are amber; teeth in the face become amber, too."""
    amber = np.float32((1.0, 0.8, 0.5))
    face, eyes = _with_eyes((0.62, 0.5, 0.45), (0.7, 0.7, 0.7))
    face[80:90, 50:70] = 0.7
    ground, _ = _with_eyes((0.62, 0.5 * 0.8, 0.45 * 0.5), (0.7, 0.56, 0.35))
    features = eyes.copy()
    features[78:92, 48:72] = 1
    result = relight(face, ground, 1 - features, features, LIGHT, 100, 1.0, (eyes, eyes))
    without_eyes = relight(face, ground, 1 - features, features, LIGHT, 100, 1.0)
    expected = to_lab(np.broadcast_to(0.7 * amber, (1, 1, 3)).copy(), LIGHT)[0, 0, 1:]
    tooth, tooth_without_eyes = (to_lab(pixels, LIGHT)[85, 60, 1:] for pixels in (result, without_eyes))
    assert np.linalg.norm(tooth - expected) < 0.5 * np.linalg.norm(tooth_without_eyes - expected)
    assert tooth[1] > 10


def test_hidden_eyes_do_not_change_the_light() -> None:
    """If either face has fewer visible px of the eyes than an eye has, or none, the result is as without the eyes."""
    face, eyes = _with_eyes((0.62, 0.5, 0.45), (0.7, 0.7, 0.7))
    ground, _ = _with_eyes((0.62, 0.4, 0.22), (0.7, 0.56, 0.35))
    few = NONE.copy()
    few[52:54, 31:34] = 1
    without_eyes = relight(face, ground, 1 - eyes, eyes, LIGHT, 100, 1.0)
    for pair in ((NONE, eyes), (eyes, few)):
        assert np.array_equal(relight(face, ground, 1 - eyes, eyes, LIGHT, 100, 1.0, pair), without_eyes)


def test_the_colour_of_the_light_is_limited() -> None:
    """A red flash in the ground's eyes, instead of whites, colours the face's whites only up to a limit."""
    face, eyes = _with_eyes((0.62, 0.5, 0.45), (0.7, 0.7, 0.7))
    ground, _ = _with_eyes((0.62, 0.5, 0.45), (1.0, 0.0, 0.0))
    result = to_lab(relight(face, ground, 1 - eyes, eyes, LIGHT, 100, 1.0, (eyes, eyes)), LIGHT)
    assert np.linalg.norm(result[55, 31, 1:]) < 27
