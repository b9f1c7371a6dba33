"""grade's newer settings: light in linear light, tone by published formulas, and what acts on the picture as a whole without a seam."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import PyOpenColorIO
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError
from skimage import data

from doubles.step_context import StepContextDouble
from goldsmith.errors import InputError
from goldsmith.ops.grade.film_effects import PiecePosition, grain_field
from goldsmith.ops.grade.operation import Grade
from goldsmith.ops.grade.tone_curves import contrast_curve, lift_gamma_gain_curve, monotone_cubic
from goldsmith.picture import colour, profiles
from goldsmith.picture.linear_light import LinearLight, bradford_adaptation, white_balance_from_temperature
from goldsmith.picture.picture import Picture, freeze

_AMOUNT = st.floats(-1, 1)
_RAMP = np.linspace(0, 1, 1001)


def _plate(pixels: NDArray[np.uint8], **more: object) -> Picture:
    return Picture(freeze(pixels.astype(np.float32) / np.float32(255)), **more)  # type: ignore[arg-type]


def _photograph() -> Picture:
    return _plate(data.astronaut()[40:240, 100:400])


def _grey(height: int, width: int, value: float) -> Picture:
    return Picture(freeze(np.full((height, width, 3), value, np.float32)), depth=16)


def graded(picture: Picture, settings: dict[str, object], seed: int = 5) -> Picture:
    return Grade.model_validate(settings).apply(picture, StepContextDouble(seed=seed))


@pytest.mark.parametrize(
    "neutral",
    [
        {"exposure": 0},
        {"white_balance": {}},
        {"contrast": {"pivot": 30}},
        {"curves": {"master": [[0, 0], [0.4, 0.4], [1, 1]]}},
        {"lift": 0, "gamma": 1, "gain": [1, 1, 1]},
        {"split_tone": {"balance": 20}},
        {"split_tone": {"shadows": "#203040", "amount": 0}},
        {"vignette": {"radius": 20}},
        {"halation": {"radius": 3}},
        {"grain": {"size": 2, "colour": 50}},
    ],
)
def test_each_group_is_neutral_by_default(neutral: dict[str, object]) -> None:
    """Without an amount nothing is touched, whatever else a group says."""
    picture = _photograph()
    assert graded(picture, neutral) is picture


@pytest.mark.parametrize("stops", [-2.0, 0.5, 1.0])
def test_exposure_is_stops_of_light_as_in_opencolorio(stops: float) -> None:
    """Linear light by the profile's curve, doubled for each stop: OpenColorIO's linear exposure between the two curves."""
    picture = _photograph()
    made = graded(picture, {"exposure": stops}).pixels
    light = colour.to_linear(picture.pixels, None).copy()
    change = PyOpenColorIO.ExposureContrastTransform(style=PyOpenColorIO.EXPOSURE_CONTRAST_LINEAR, exposure=stops, contrast=1, gamma=1)
    PyOpenColorIO.Config.CreateRaw().getProcessor(change).getDefaultCPUProcessor().applyRGB(light)
    assert np.abs(made - colour.from_linear(np.clip(light, 0, 1), None)).max() < 1e-4


def test_exposure_reads_the_curve_of_the_profile() -> None:
    """The same numbers in another profile are another light: ProPhoto's 1.8 brightens less than sRGB's."""
    half = Picture(freeze(np.full((2, 2, 3), 0.5, np.float32)), icc=profiles.builtin_profile("prophoto"))
    assert graded(half, {"exposure": 1}).pixels[0, 0, 0] == pytest.approx(0.5 * 2 ** (1 / 1.8), abs=1e-4)


def test_a_stop_up_and_down_again_is_the_same_at_sixteen_bits() -> None:
    """No step in between is coarser than the picture: no 16-bit code moves by more than one."""
    codes = np.random.default_rng(1).integers(0, 30000, (40, 50, 3))
    picture = Picture(freeze(codes.astype(np.float32) / np.float32(65535)), depth=16)
    again = graded(graded(picture, {"exposure": 1}), {"exposure": -1})
    assert np.abs(again.to_codes().astype(int) - codes).max() <= 1


def test_the_adaptation_is_bradfords() -> None:
    """From D65 to D50: the matrix that Lindbloom and ICC print."""
    d65 = np.array([0.95047, 1.0, 1.08883])
    known = [[1.0478112, 0.0228866, -0.0501270], [0.0295424, 0.9904844, -0.0170491], [-0.0092345, 0.0150436, 0.7521316]]
    assert np.abs(bradford_adaptation(d65, np.array([0.96422, 1.0, 0.82521])) - known).max() < 1e-6


@pytest.mark.parametrize("icc", [None, profiles.builtin_profile("display-p3"), profiles.builtin_profile("prophoto")])
def test_a_white_that_is_named_becomes_neutral_and_as_bright(icc: bytes | None) -> None:
    """The named colour comes out grey, with the luminance it had, in every profile."""
    named = np.array([242, 220, 190], np.uint8)
    picture = _plate(np.broadcast_to(named, (3, 4, 3)), icc=icc)
    made = graded(picture, {"white_balance": {"white": "#f2dcbe"}}).pixels
    assert np.ptp(made, axis=2).max() < 1e-4
    light = LinearLight(icc)
    y = [(light.to_linear(one) @ light.xyz_matrix.T.astype(np.float32))[0, 0, 1] for one in (picture.pixels, made)]
    assert y[0] == pytest.approx(y[1], rel=1e-3)


def test_a_grey_place_becomes_neutral() -> None:
    """The mean of the box is grey afterwards, and the rest moves with it."""
    pixels = data.astronaut().copy()
    pixels[10:60, 20:80] = (120, 105, 90)
    made = graded(_plate(pixels), {"white_balance": {"grey": [20 / 512, 10 / 512, 60 / 512, 50 / 512]}}).pixels
    assert np.ptp(made[12:58, 22:78], axis=2).max() < 2e-3
    assert made[100:, :, 2].mean() > pixels[100:, :, 2].mean() / 255


@pytest.mark.parametrize("said", [{"white": "#000000"}, {"white": "#0000ff"}, {"grey": [0, 0, 0.1, 0.1]}])
def test_what_cannot_be_white_is_refused(said: dict[str, object]) -> None:
    """Black and one pure colour have no white balance; the sentence says so."""
    with pytest.raises(InputError, match="too dark or too strong a colour"):
        graded(_grey(20, 20, 0.0), {"white_balance": said})


def test_temperature_follows_daylight_and_tint_lies_across() -> None:
    """Amber and blue, magenta and green, each by the same rule both ways; nothing for 0."""
    light = LinearLight(None)
    white = np.ones(3)
    assert np.abs(white_balance_from_temperature(light, 0, 0) @ white - 1).max() < 1e-9
    warm, cool = white_balance_from_temperature(light, 0.5, 0) @ white, white_balance_from_temperature(light, -0.5, 0) @ white
    assert warm[0] > warm[1] > warm[2]
    assert cool[0] < cool[1] < cool[2]
    rose, green = white_balance_from_temperature(light, 0, 0.5) @ white, white_balance_from_temperature(light, 0, -0.5) @ white
    assert rose[1] < min(rose[0], rose[2])
    assert green[1] > max(green[0], green[2])


@given(_AMOUNT, st.floats(0.05, 0.95))
def test_contrast_keeps_black_pivot_and_white_and_is_undone_by_its_opposite(amount: float, pivot: float) -> None:
    """It rises everywhere, its slope at the pivot is 4 ** amount, and -c after c is what was there."""
    tone, back = contrast_curve(amount, pivot), contrast_curve(-amount, pivot)
    assert np.abs(tone(np.array([0.0, pivot, 1.0])) - [0.0, pivot, 1.0]).max() < 1e-9
    assert (np.diff(tone(_RAMP)) > 0).all()
    assert np.abs(back(tone(_RAMP)) - _RAMP).max() < 1e-9
    step = 1e-6
    slopes = np.diff(tone(np.array([pivot - step, pivot, pivot + step]))) / step
    assert slopes == pytest.approx([4.0**amount] * 2, rel=1e-3)


@given(st.lists(st.tuples(st.floats(0.01, 0.3), st.floats(0, 1)), min_size=2, max_size=8))
def test_curves_go_through_their_points_and_never_beyond_them(steps: list[tuple[float, float]]) -> None:
    """Through each point; between two of them never above the higher or below the lower: Fritsch and Carlson's promise."""
    at = np.cumsum([step for step, _ in steps])
    to = np.array([value for _, value in steps])
    assert np.abs(monotone_cubic(at, to, at) - to).max() < 1e-9
    for left, (low, high) in enumerate(pairwise(at)):
        seen = monotone_cubic(at, to, np.linspace(low, high, 50))
        assert seen.min() >= min(to[left], to[left + 1]) - 1e-9
        assert seen.max() <= max(to[left], to[left + 1]) + 1e-9
        assert (np.diff(seen) * np.sign(to[left + 1] - to[left]) >= -1e-9).all()


def test_a_curve_is_smooth_at_its_points() -> None:
    """The slope left and right of a point is the same: no kink that shows as a band."""
    at, to = np.array([0, 0.25, 0.6, 1.0]), np.array([0, 0.15, 0.75, 1.0])
    slopes = np.diff(monotone_cubic(at, to, np.array([0.25 - 1e-6, 0.25, 0.25 + 1e-6]))) / 1e-6
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-3)


def test_curves_act_on_the_channels_they_name() -> None:
    """Red's own curve moves red alone, after the one for all."""
    picture = _photograph()
    red = graded(picture, {"curves": {"red": [[0, 0], [0.5, 0.7], [1, 1]]}}).pixels
    assert np.array_equal(red[..., 1:], picture.pixels[..., 1:])
    assert (red[..., 0] >= picture.pixels[..., 0]).all()
    both = graded(picture, {"curves": {"master": [[0, 1], [1, 0]], "red": [[0, 0], [0.5, 0.7], [1, 1]]}}).pixels
    again = graded(graded(picture, {"curves": {"master": [[0, 1], [1, 0]]}}), {"curves": {"red": [[0, 0], [0.5, 0.7], [1, 1]]}}).pixels
    assert np.abs(both - again).max() < 1e-4


def test_lift_gamma_and_gain_are_the_formula() -> None:
    """(gain * (in + lift * (1 - in))) ** (1 / gamma) for each channel, at every code of 16 bits."""
    codes = np.random.default_rng(2).integers(0, 65536, (50, 60, 3))
    picture = Picture(freeze(codes.astype(np.float32) / np.float32(65535)), depth=16)
    made = graded(picture, {"lift": [0.1, 0, -0.1], "gamma": [1.2, 1, 0.8], "gain": [0.9, 1.1, 1]}).pixels
    x = picture.pixels.astype(np.float64)
    lifted = np.array([0.9, 1.1, 1]) * (x + np.array([0.1, 0, -0.1]) * (1 - x))
    assert np.abs(made - np.clip(lifted, 0, 1) ** (1 / np.array([1.2, 1, 0.8]))).max() < 1e-5
    assert lift_gamma_gain_curve(0.2, 1, 0.9)(np.array([0.0, 1.0])) == pytest.approx([0.18, 0.9])


@given(_AMOUNT, st.integers(0, 50))
def test_split_tone_keeps_luma_black_and_white(balance: float, seed: int) -> None:
    """Only colour is laid on: the luma of every pixel stays, black and white stay, and dark and bright go their own ways."""
    pixels = np.random.default_rng(seed).random((8, 9, 3), dtype=np.float32)
    pixels[0, 0], pixels[0, 1] = 0, 1
    picture = Picture(freeze(pixels))
    settings: dict[str, object] = {"shadows": "#1f3a5f", "highlights": "#ffb060", "amount": 60, "balance": 100 * balance}
    made = graded(picture, {"split_tone": settings}).pixels
    assert np.abs(colour.luma(made) - colour.luma(pixels)).max() < 1e-5
    assert np.abs(made[0, :2] - pixels[0, :2]).max() < 1e-6


def test_split_tone_colours_shadows_and_highlights() -> None:
    """Dark greys lean to the shadows' blue, bright ones to the highlights' amber."""
    settings: dict[str, object] = {"split_tone": {"shadows": "#1f3a5f", "highlights": "#ffb060", "amount": 60}}
    dark, bright = (graded(_grey(4, 4, value), settings).pixels[0, 0] for value in (0.2, 0.8))
    assert dark[2] > dark[0]
    assert bright[0] > bright[2]


def test_a_vignette_takes_its_share_of_the_light_from_the_corner_and_none_from_the_middle() -> None:
    """amount = 60: the corner keeps 40 % of its linear light; no step from one row to the next shows."""
    picture = _grey(301, 401, 0.5)
    made = graded(picture, {"vignette": {"amount": 60, "softness": 100}})
    light = colour.to_linear(made.pixels, None)[..., 0]
    whole = float(colour.to_linear(picture.pixels, None)[0, 0, 0])
    assert light[0, 0] / whole == pytest.approx(0.4, abs=0.01)
    assert light[150, 200] / whole == pytest.approx(1.0, abs=1e-4)
    assert np.abs(np.diff(made.pixels[..., 0], axis=0)).max() < 0.005
    assert np.allclose(made.pixels, made.pixels[::-1, ::-1], atol=1e-5)


def test_a_round_vignette_is_a_circle() -> None:
    """At the same distance from the middle the same light, across and up; without roundness it follows the picture's shape."""
    round_, shaped = (
        graded(_grey(401, 801, 0.5), {"vignette": {"amount": 80, "radius": 40, "roundness": roundness}}).pixels[..., 0]
        for roundness in (100, 0)
    )
    assert round_[0, 400] == pytest.approx(round_[200, 600], abs=2e-3)
    assert shaped[0, 400] == pytest.approx(shaped[200, 0], abs=2e-3)


def test_halation_glows_round_bright_things_in_its_colour_and_nowhere_else() -> None:
    """A bright square on dark grey gets a red rim; below the threshold, and far away, nothing happens."""
    pixels = np.full((200, 200, 3), 0.15, np.float32)
    pixels[90:110, 90:110] = 1.0
    made = graded(Picture(freeze(pixels)), {"halation": {"amount": 100, "radius": 20, "threshold": 80}}).pixels
    rim = made[100, 113] - pixels[100, 113]
    assert rim[0] > 0.05
    assert rim[0] > 2 * rim[2]
    assert np.abs(made[100, 100] - 1).max() < 1e-4
    assert np.abs(made[5, 5] - pixels[5, 5]).max() < 1e-4
    dim = Picture(freeze(pixels * np.float32(0.7)))
    assert np.abs(graded(dim, {"halation": {"amount": 100, "radius": 20, "threshold": 80}}).pixels - dim.pixels).max() < 1e-5


@pytest.mark.parametrize(
    "settings",
    [
        {"vignette": {"amount": 70}},
        {"halation": {"amount": 80, "threshold": 50, "radius": 50}},
        {"grain": {"amount": 60, "size": 3, "colour": 40}},
        {"exposure": 0.3, "halation": {"amount": 50, "threshold": 50, "radius": 4}, "vignette": {"amount": 40}, "grain": {"amount": 30}},
    ],
)
def test_a_part_gets_what_the_whole_would_have_there(settings: dict[str, object]) -> None:
    """Inside a region the pixels of the whole, outside it those of the picture; light comes in from outside the region."""
    pixels = cv2.resize(data.astronaut(), (700, 520))
    mask = np.zeros((520, 700), np.float32)
    mask[133:377, 251:569] = 1
    picture = _plate(pixels, masks={"mask": freeze(mask)})
    whole = graded(picture, settings).pixels
    part = graded(picture, {**settings, "where": "mask"}).pixels
    assert np.abs(part[mask == 1] - whole[mask == 1]).max() < 2e-5
    assert np.array_equal(part[mask == 0], picture.pixels[mask == 0])


def test_slabs_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row at a time or all at once: the same picture."""
    settings: dict[str, object] = {"halation": {"amount": 80}, "vignette": {"amount": 50}, "grain": {"amount": 40}}
    picture = _photograph()
    at_once = graded(picture, settings).pixels
    monkeypatch.setattr("goldsmith.picture.slab_processing._SLAB_PIXELS", 1)
    assert np.abs(graded(picture, settings).pixels - at_once).max() < 1e-6


def test_grain_is_as_strong_as_asked_in_midgrey_and_absent_in_black_and_white() -> None:
    """A deviation of amount / 1000 where a grain is wider than a pixel, the mean is kept; black and white stay clean."""
    grain: dict[str, object] = {"grain": {"amount": 50, "size": 3}}
    noise = graded(_grey(1000, 1500, 0.5), grain).pixels - np.float32(0.5)
    assert noise.std() == pytest.approx(0.05, rel=0.06)
    assert abs(noise.mean()) < 0.001
    assert np.ptp(noise, axis=2).max() < 1e-6
    for end in (0.0, 1.0):
        assert np.array_equal(graded(_grey(50, 50, end), grain).pixels, _grey(50, 50, end).pixels)
    dark = graded(_grey(1000, 1500, 0.1), grain).pixels - np.float32(0.1)
    assert dark.std() == pytest.approx(0.05 * 2 * np.sqrt(0.09), rel=0.06)


def test_grain_is_the_seeds_and_each_channels_own_where_asked() -> None:
    """The same seed the same grain, another seed another; colour parts the channels."""
    picture = _grey(100, 120, 0.5)
    one, again, other = (graded(picture, {"grain": {"amount": 50}}, seed).pixels for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert abs(np.corrcoef((one - 0.5)[..., 0].ravel(), (other - 0.5)[..., 0].ravel())[0, 1]) < 0.1
    coloured = graded(picture, {"grain": {"amount": 50, "colour": 100}}).pixels - np.float32(0.5)
    assert abs(np.corrcoef(coloured[..., 0].ravel(), coloured[..., 1].ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("size", [0.5, 1.0, 2.0])
def test_grain_looks_the_same_at_any_size(size: float) -> None:
    """Made at 2400 px and scaled to 800 it is as strong as made at 800 px."""
    grain: dict[str, object] = {"grain": {"amount": 80, "size": size}}
    large = graded(_grey(1600, 2400, 0.5), grain).pixels
    scaled = cv2.resize(large, (800, 533), interpolation=cv2.INTER_AREA)
    small = graded(_grey(533, 800, 0.5), grain).pixels
    assert scaled.std() == pytest.approx(small.std(), rel=0.15)


def test_a_field_of_grain_has_no_direction() -> None:
    """Neighbours across and down are alike to the same degree: bands and blur leave no grid."""
    field = grain_field((600, 600), PiecePosition(0, 0, 600, 600), 1.2, (3, 0))
    across = np.corrcoef(field[:, 1:].ravel(), field[:, :-1].ravel())[0, 1]
    down = np.corrcoef(field[1:].ravel(), field[:-1].ravel())[0, 1]
    assert across == pytest.approx(down, abs=0.02)
    assert np.abs(field.std(axis=1) - field.std()).max() < 0.25


def test_a_grey_picture_stays_grey_under_light_tone_and_film() -> None:
    """Exposure, contrast, halation, vignette and grain keep it grey, with its own profile; temperature makes it RGB."""
    ramp = freeze(np.tile(np.linspace(0, 1, 60, dtype=np.float32), (40, 1))[:, :, None])
    icc = profiles.profile_from_png_gamma(1 / 1.8, None, is_grey=True)
    picture = Picture(ramp, icc=icc)
    settings: dict[str, object] = {
        "exposure": 0.5,
        "contrast": {"amount": 20},
        "halation": {"amount": 50},
        "vignette": {"amount": 30},
        "grain": {"amount": 20, "colour": 50},
    }
    made = graded(picture, settings)
    assert (made.channels, made.icc) == (1, icc)
    lit = graded(picture, {"exposure": -1}).pixels[..., 0]
    assert np.abs(lit - ramp[..., 0] * 2 ** (-1 / 1.8)).max() < 1e-3
    assert graded(picture, {"white_balance": {"temperature": 20}}).channels == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"exposure": 9},
        {"white_balance": {"temperature": 20, "white": "#ffffff"}},
        {"white_balance": {"white": "white"}},
        {"white_balance": {"grey": [0.5, 0.5, 0.6, 0.1]}},
        {"white_balance": {"grey": [0.5, 0.5, 0, 0.1]}},
        {"contrast": {"pivot": 0}},
        {"curves": {"red": [[0.5, 0.5]]}},
        {"curves": {"master": [[0.5, 0], [0.2, 1]]}},
        {"curves": {"master": [[0, 0], [1, 1.2]]}},
        {"curves": {"luma": [[0, 0], [1, 1]]}},
        {"gamma": 0},
        {"split_tone": {"shadows": "blue"}},
        {"vignette": {"amount": 101}},
        {"halation": {"threshold": 100}},
        {"halation": {"colour": ""}},
        {"grain": {"size": 0}},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    """Early, before anything runs."""
    with pytest.raises(ValidationError):
        Grade.model_validate(wrong)


def _cup() -> Picture:
    return _plate(data.coffee()[::3, ::3])


def test_a_frame_is_matched_to_its_hero_with_the_drift_on_record() -> None:
    """Darker by a stop: after the match little of it is left; the table is kept aside, and put beside the result only where asked."""
    frame = graded(_cup(), {"exposure": -1})
    context = StepContextDouble(heroes={"spring": _cup()})
    made = Grade.model_validate({"look_from": "spring"}).apply(frame, context)
    assert abs(made.pixels.mean() - _cup().pixels.mean()) < 0.02 < _cup().pixels.mean() - frame.pixels.mean()
    drift = {name: context.results.findings[f"drift_{name}"] for name in ("before", "after")}
    assert drift["before"]["mean"] > 8 > 2 > drift["after"]["mean"]  # type: ignore[index,call-overload]
    assert [file.tail + file.suffix for file in context.results.archived] == ["_match.cube"]
    assert context.results.added == []
    Grade.model_validate({"look_from": "spring", "match": {"cube": True}}).apply(frame, context)
    assert [(file.tail + file.suffix, file.data) for file in context.results.added] == [(".cube", context.results.archived[0].data)]


def test_the_hero_itself_is_left_alone() -> None:
    """The frame that is the hero comes back as the very picture, and so does any frame where the strength is nothing."""
    hero = _cup()
    assert Grade(look_from="spring").apply(hero, StepContextDouble(heroes={"spring": hero})) is hero
    other = _photograph()
    assert Grade.model_validate({"look_from": "spring", "match": {"strength": 0}}).apply(other, StepContextDouble()) is other


def test_the_hero_is_announced_with_its_shelf() -> None:
    """So that a brief that names one which is not there is refused before anything runs."""
    assert [(shelf, name) for shelf, name, _ in Grade(look_from="spring").needs().library_files] == [("heroes", "spring")]
    with pytest.raises(ValidationError):
        Grade(look_from="../spring")


@pytest.mark.parametrize(("match", "limit"), [({"max_drift": 1}, "max_drift = 1"), ({"max_drift": 100, "max_shift": 10}, "max_shift = 10")])
def test_outliers_are_held_with_the_numbers(match: dict[str, object], limit: str) -> None:
    """Too much left, or too far moved: the sentence gives the drift before and after and the limit, and nothing is kept aside."""
    context = StepContextDouble(heroes={"spring": _cup()})
    with pytest.raises(InputError, match=r"drift is \d+\.\d and after the match \d+\.\d") as caught:
        Grade.model_validate({"look_from": "spring", "match": match}).apply(_plate(data.rocket()[::3, ::3]), context)
    assert limit in caught.value.sentence
    assert context.results.archived == []


def test_a_frame_with_nothing_to_see_is_left_and_a_hero_with_nothing_is_refused() -> None:
    """There is no colour to match in what nobody sees."""
    empty = Picture(_cup().pixels, alpha=freeze(np.zeros(_cup().pixels.shape[:2], np.float32)))
    context = StepContextDouble(heroes={"spring": _cup()})
    assert Grade(look_from="spring").apply(empty, context) is empty
    assert "fewer than 64" in str(context.results.findings["unmeasured"])
    with pytest.raises(InputError, match="too little to see of the hero"):
        Grade(look_from="spring").apply(_cup(), StepContextDouble(heroes={"spring": empty}))


def test_a_region_is_measured_and_matched_by_itself() -> None:
    """Half a frame is darker: matched through its mask it comes to the hero, and the other half keeps its floats."""
    hero = _cup()
    half = np.zeros(hero.pixels.shape[:2], np.float32)
    half[:, : half.shape[1] // 2] = 1
    dark = graded(Picture(hero.pixels, masks={"mask": freeze(half)}), {"exposure": -1, "where": "mask"})
    left = Picture(freeze(hero.pixels[:, : half.shape[1] // 2]))
    made = Grade(look_from="left", where="mask").apply(dark, StepContextDouble(heroes={"left": left}))
    assert np.array_equal(made.pixels[half == 0], hero.pixels[half == 0])
    assert abs(made.pixels[half == 1].mean() - hero.pixels[half == 1].mean()) < 0.02
