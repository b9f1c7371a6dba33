"""Light: broad tones become the ground's, what is finer stays; whites stay white, black stays black; a grey picture has lightness alone."""

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
def test_lab_and_back_is_the_same(icc: bytes | None) -> None:
    """In the profile's own terms; grey has one number."""
    light = LinearLight(icc)
    pixels = np.random.default_rng(0).random((20, 30, 3), dtype=np.float32)
    assert np.abs(from_lab(to_lab(pixels, light), light) - pixels).max() < 2e-3
    grey = np.ascontiguousarray(pixels[:, :, :1])
    assert to_lab(grey, light).shape == (20, 30, 1)
    assert np.abs(from_lab(to_lab(grey, light), light) - grey).max() < 2e-3


def test_nothing_asked_is_the_face_itself() -> None:
    """And so is a face of which no skin is seen."""
    made = _flat(0.5, 0.4, 0.3)
    assert relight(made, _flat(0.8, 0.6, 0.5), ALL, NONE, LIGHT, 100, 0) is made
    assert relight(made, _flat(0.8, 0.6, 0.5), NONE, NONE, LIGHT, 100, 1) is made


@pytest.mark.parametrize("amount", [0.5, 1.0])
def test_a_flat_tone_goes_that_far_towards_the_ground_s(amount: float) -> None:
    """All the way, or half of it in Lab."""
    ours, theirs = _flat(0.5, 0.35, 0.3), _flat(0.8, 0.6, 0.5)
    made = to_lab(relight(ours, theirs, ALL, NONE, LIGHT, 100, amount), LIGHT)
    wanted = to_lab(ours, LIGHT) + amount * (to_lab(theirs, LIGHT) - to_lab(ours, LIGHT))
    assert np.abs(made - wanted).max() < 0.5


def test_the_ground_s_slope_of_light_is_taken_and_the_own_fine_detail_kept() -> None:
    """Lit from the left becomes lit from the right, with the same texture on it."""
    ours = np.clip(_flat(0.5, 0.5, 0.5) * SLOPE[:, ::-1] + 0.04 * FINE, 0, 1)
    theirs = np.clip(_flat(0.6, 0.6, 0.6) * SLOPE + 0.04 * FINE, 0, 1)
    made = relight(ours, theirs, ALL, NONE, LIGHT, 100, 1.0)[:, :, 0]
    assert np.abs(made.mean(axis=0) - theirs[:, :, 0].mean(axis=0))[20:-20].mean() < 0.02
    detail = np.abs(np.diff(made, axis=1))[20:-20, 20:-20].mean()
    assert detail == pytest.approx(np.abs(np.diff(ours[:, :, 0], axis=1))[20:-20, 20:-20].mean(), rel=0.35)


def test_contrast_of_detail_is_brought_to_the_ground_s_within_bounds() -> None:
    """A hard picture on a soft one is softened, by no more than the least; the other way by no more than the most."""
    soft, hard = (np.clip(_flat(0.5, 0.5, 0.5) + strength * (FINE - 0.5), 0, 1) for strength in (0.04, 0.3))

    def contrast(pixels: Pixels) -> float:
        return float(to_lab(pixels, LIGHT)[:, :, 0].std())

    assert contrast(relight(hard, soft, ALL, NONE, LIGHT, 100, 1.0)) == pytest.approx(MIN_CONTRAST_GAIN * contrast(hard), rel=0.05)
    assert contrast(relight(soft, hard, ALL, NONE, LIGHT, 100, 1.0)) == pytest.approx(MAX_CONTRAST_GAIN * contrast(soft), rel=0.05)


def test_the_white_of_an_eye_takes_no_skin_s_colour() -> None:
    """Skin goes from yellowish to pink; a neutral spot in it, no skin, stays neutral."""
    ours, skin = _flat(0.62, 0.55, 0.35), ALL.copy()
    ours[50:60, 50:60] = 0.85
    skin[46:64, 46:64] = 0
    made = to_lab(relight(ours, _flat(0.85, 0.6, 0.6), skin, NONE, LIGHT, 100, 1.0), LIGHT)[55, 55]
    assert np.abs(made[1:]).max() < 2


def test_what_is_black_stays_black() -> None:
    """A brow, a pupil: much lighter skin does not lift it."""
    ours, skin = _flat(0.3, 0.2, 0.15), ALL.copy()
    ours[50:60, 50:60] = 0.01
    skin[46:64, 46:64] = 0
    made = relight(ours, _flat(0.85, 0.7, 0.6), skin, NONE, LIGHT, 100, 1.0)
    assert made[55, 55].max() < 0.06
    assert made[10, 10, 0] > 0.8


def test_what_is_no_skin_does_not_count_as_light() -> None:
    """A black fringe in the ground, left out of the skin, darkens nothing round about."""
    ground, skin = _flat(0.8, 0.6, 0.5), ALL.copy()
    ground[:40], skin[:44] = 0.05, 0
    made = relight(_flat(0.5, 0.35, 0.3), ground, skin, NONE, LIGHT, 100, 1.0)
    assert made[60, 60] == pytest.approx(np.float32((0.8, 0.6, 0.5)), abs=0.03)


def test_a_face_of_one_px_is_lit_too() -> None:
    """No size is too small to be asked."""
    made = relight(_flat(0.5, 0.4, 0.3)[:1, :1], _flat(0.8, 0.6, 0.5)[:1, :1], ALL[:1, :1], NONE[:1, :1], LIGHT, 1.0, 1.0)
    assert made[0, 0] == pytest.approx(np.float32((0.8, 0.6, 0.5)), abs=0.02)


def test_grey_pictures_are_lit_in_grey() -> None:
    """One channel in, one channel out."""
    made = relight(_flat(0.3), _flat(0.7), ALL, NONE, LIGHT, 100, 1.0)
    assert made.shape == (SIDE, SIDE, 1)
    assert made == pytest.approx(0.7, abs=0.01)


def _brow(pixels: Pixels, value: float) -> Pixels:
    made = pixels.copy()
    made[50:60, 40:80] = value
    return made


@pytest.mark.parametrize(("ours", "theirs"), [(0.02, 0.25), (0.25, 0.02)])
def test_features_are_as_dark_beside_the_skin_as_the_ground_s(ours: float, theirs: float) -> None:
    """A black brow in a hazy picture is lifted, a grey one in a hard picture is deepened; without features said, neither is."""
    skin, features = ALL.copy(), NONE.copy()
    skin[46:64, 36:84], features[46:64, 36:84] = 0, 1
    tone = _flat(0.7, 0.55, 0.45)

    def brow(features: np.ndarray) -> float:
        made = relight(_brow(tone, ours), _brow(tone, theirs), skin, features, LIGHT, 100, 1.0)
        return float(to_lab(made, LIGHT)[55, 60, 0])

    given, wanted = (float(to_lab(_brow(tone, value), LIGHT)[55, 60, 0]) for value in (ours, theirs))
    assert abs(brow(NONE) - given) < 1.5
    assert abs(brow(features) - wanted) < 0.75 * abs(given - wanted)
    assert (brow(features) - given) * (wanted - given) > 0


def test_skin_between_features_is_left_as_it_is() -> None:
    """What is hardly darker than the skin is skin."""
    skin, features = ALL.copy(), NONE.copy()
    skin[46:64, 36:84], features[46:64, 36:84] = 0, 1
    tone = _flat(0.7, 0.55, 0.45)
    made = relight(_brow(tone, 0.02), _brow(tone, 0.25), skin, features, LIGHT, 100, 1.0)
    assert made[48, 60] == pytest.approx(np.float32((0.7, 0.55, 0.45)), abs=0.02)


@pytest.mark.parametrize("contrast", [0.04, 0.3])
def test_make_up_keeps_its_colour(contrast: float) -> None:
    """Violet lids on a yellowish skin that goes to pink are neither bluer nor greyer for it, however hard the ground's light is."""
    skin, features = ALL.copy(), NONE.copy()
    skin[46:64, 36:84], features[46:64, 36:84] = 0, 1
    ours = np.clip(_flat(0.62, 0.55, 0.35) + 0.05 * (FINE - 0.5), 0, 1)
    ours[50:60, 40:80] = (0.35, 0.25, 0.45)
    ground = np.clip(_flat(0.85, 0.6, 0.6) + contrast * (FINE - 0.5), 0, 1)
    ground[50:60, 40:80] = 0.3
    before, after = (to_lab(each, LIGHT)[55, 60] for each in (ours, relight(ours, ground, skin, features, LIGHT, 100, 1.0)))
    assert np.abs(after[1:] - before[1:]).max() < 4


def _with_eyes(skin: tuple[float, float, float], white: tuple[float, float, float]) -> tuple[Pixels, np.ndarray]:
    """A face of that skin whose eyes are white with a dark middle; and where the eyes are."""
    pixels, eyes = _flat(*skin), NONE.copy()
    for left in (30, 75):
        pixels[50:60, left : left + 20] = white
        pixels[50:60, left + 7 : left + 13] = 0.05
        eyes[50:60, left : left + 20] = 1
    return pixels, eyes


def test_whites_take_the_colour_of_the_light_that_the_whites_there_have() -> None:
    """An amber lamp: the same skin and the same whites, all of it amber; teeth that come along go amber, too."""
    amber = np.float32((1.0, 0.8, 0.5))
    ours, eyes = _with_eyes((0.62, 0.5, 0.45), (0.7, 0.7, 0.7))
    ours[80:90, 50:70] = 0.7
    theirs, _ = _with_eyes((0.62, 0.5 * 0.8, 0.45 * 0.5), (0.7, 0.56, 0.35))
    features = np.maximum(eyes, NONE)
    features[78:92, 48:72] = 1
    made = relight(ours, theirs, 1 - features, features, LIGHT, 100, 1.0, (eyes, eyes))
    without = relight(ours, theirs, 1 - features, features, LIGHT, 100, 1.0)
    wanted = to_lab(np.broadcast_to(0.7 * amber, (1, 1, 3)).copy(), LIGHT)[0, 0, 1:]
    tooth, plain = (to_lab(each, LIGHT)[85, 60, 1:] for each in (made, without))
    assert np.linalg.norm(tooth - wanted) < 0.5 * np.linalg.norm(plain - wanted)
    assert tooth[1] > 10


def test_eyes_that_are_not_seen_tell_no_light() -> None:
    """Fewer px than an eye has, or none: as though nobody had asked."""
    ours, eyes = _with_eyes((0.62, 0.5, 0.45), (0.7, 0.7, 0.7))
    theirs, _ = _with_eyes((0.62, 0.4, 0.22), (0.7, 0.56, 0.35))
    few = NONE.copy()
    few[52:54, 31:34] = 1
    plain = relight(ours, theirs, 1 - eyes, eyes, LIGHT, 100, 1.0)
    for pair in ((NONE, eyes), (eyes, few)):
        assert np.array_equal(relight(ours, theirs, 1 - eyes, eyes, LIGHT, 100, 1.0, pair), plain)


def test_no_light_is_taken_to_be_wildly_coloured() -> None:
    """A red pupil of a flash, where the whites should be, colours teeth only so far."""
    ours, eyes = _with_eyes((0.62, 0.5, 0.45), (0.7, 0.7, 0.7))
    theirs, _ = _with_eyes((0.62, 0.5, 0.45), (1.0, 0.0, 0.0))
    made = to_lab(relight(ours, theirs, 1 - eyes, eyes, LIGHT, 100, 1.0, (eyes, eyes)), LIGHT)
    assert np.linalg.norm(made[55, 31, 1:]) < 27
