"""Settings of grade: light in linear light, tone by published formulas, and seamless effects on the picture as a whole."""

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


def _picture(pixels: NDArray[np.uint8], **fields: object) -> Picture:
    return Picture(freeze(pixels.astype(np.float32) / np.float32(255)), **fields)  # type: ignore[arg-type]


def _photograph() -> Picture:
    return _picture(data.astronaut()[40:240, 100:400])


def _grey(height: int, width: int, value: float) -> Picture:
    return Picture(freeze(np.full((height, width, 3), value, np.float32)), depth=16)


def _grade(picture: Picture, settings: dict[str, object], seed: int = 5) -> Picture:
    return Grade.model_validate(settings).apply(picture, StepContextDouble(seed=seed))


@pytest.mark.parametrize(
    "neutral",
    [
        {"exposure": 0},
        {"shoulder": 60, "gamut": 50},
        {"vibrance": 0, "cube": True},
        {"hues": {"blue": {"saturation": 0}}},
        {"shadows": {"lightness": 0}},
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
    """Groups without an amount change nothing, whatever else they set."""
    picture = _photograph()
    assert _grade(picture, neutral) is picture


def test_a_stop_of_exposure_does_not_blow_the_photograph_out() -> None:
    """One stop up blows 39 of 100 pixels out when it clips, and next to none with the shoulder; what lies below the shoulder is equal."""
    picture = _photograph()
    clipped, soft = (_grade(picture, {"exposure": 1, "shoulder": shoulder}).pixels for shoulder in (0, 40))
    blown = [float((pixels.max(axis=2) > 254.5 / 255).mean()) for pixels in (picture.pixels, clipped, soft)]
    assert blown[1] > 0.2
    assert blown[2] < blown[0] + 0.01
    dark = clipped.max(axis=2) < 0.6
    assert np.abs(soft - clipped)[dark].max() < 1e-5


def test_white_balance_brings_saturated_colours_inside_the_gamut() -> None:
    """Saturated blues stay distinct when the white balance pushes them out of the gamut, and are cut to one colour without `gamut`."""
    blues = np.stack([np.linspace(0, 0.3, 64), np.linspace(0, 0.3, 64), np.full(64, 0.9)], axis=-1)[None]
    picture = Picture(freeze(blues.astype(np.float32)), depth=16)
    hard, soft = (_grade(picture, {"white_balance": {"temperature": -80}, "gamut": gamut}).pixels[0, :, 0] for gamut in (0, 20))
    assert (hard == 0).sum() > 5
    assert (np.diff(soft) > 0).all()


@pytest.mark.parametrize("stops", [-2.0, 0.5, 1.0])
def test_exposure_equals_opencolorios_linear_exposure(stops: float) -> None:
    """Exposure without a shoulder doubles linear light for each stop, as OpenColorIO's linear exposure does."""
    picture = _photograph()
    result = _grade(picture, {"exposure": stops, "shoulder": 0}).pixels
    light = colour.to_linear(picture.pixels, None).copy()
    change = PyOpenColorIO.ExposureContrastTransform(style=PyOpenColorIO.EXPOSURE_CONTRAST_LINEAR, exposure=stops, contrast=1, gamma=1)
    PyOpenColorIO.Config.CreateRaw().getProcessor(change).getDefaultCPUProcessor().applyRGB(light)
    assert np.abs(result - colour.from_linear(np.clip(light, 0, 1), None)).max() < 1e-4


def test_exposure_reads_the_curve_of_the_profile() -> None:
    """The same value is a different light in another profile: ProPhoto's 1.8 brightens less than sRGB's curve."""
    half = Picture(freeze(np.full((2, 2, 3), 0.5, np.float32)), icc=profiles.builtin_profile("prophoto"))
    assert _grade(half, {"exposure": 1, "shoulder": 0}).pixels[0, 0, 0] == pytest.approx(0.5 * 2 ** (1 / 1.8), abs=1e-4)


def test_a_stop_up_and_down_restores_16_bit_codes() -> None:
    """Codes of 16 bits move by at most one, because no step in between is coarser than the picture."""
    codes = np.random.default_rng(1).integers(0, 30000, (40, 50, 3))
    picture = Picture(freeze(codes.astype(np.float32) / np.float32(65535)), depth=16)
    restored = _grade(_grade(picture, {"exposure": 1, "shoulder": 0}), {"exposure": -1})
    assert np.abs(restored.to_codes().astype(int) - codes).max() <= 1


def test_the_adaptation_matrix_is_bradfords() -> None:
    """D65 to D50 gives the matrix that Lindbloom and the ICC publish."""
    d65 = np.array([0.95047, 1.0, 1.08883])
    known = [[1.0478112, 0.0228866, -0.0501270], [0.0295424, 0.9904844, -0.0170491], [-0.0092345, 0.0150436, 0.7521316]]
    assert np.abs(bradford_adaptation(d65, np.array([0.96422, 1.0, 0.82521])) - known).max() < 1e-6


@pytest.mark.parametrize("icc", [None, profiles.builtin_profile("display-p3"), profiles.builtin_profile("prophoto")])
def test_a_white_reference_becomes_neutral_and_keeps_its_luminance(icc: bytes | None) -> None:
    """Reference colours become grey and keep their luminance in every profile."""
    reference = np.array([242, 220, 190], np.uint8)
    picture = _picture(np.broadcast_to(reference, (3, 4, 3)), icc=icc)
    result = _grade(picture, {"white_balance": {"white": "#f2dcbe"}}).pixels
    assert np.ptp(result, axis=2).max() < 1e-4
    light = LinearLight(icc)
    y = [(light.to_linear(pixels) @ light.xyz_matrix.T.astype(np.float32))[0, 0, 1] for pixels in (picture.pixels, result)]
    assert y[0] == pytest.approx(y[1], rel=1e-3)


def test_a_grey_box_becomes_neutral() -> None:
    """Box means become grey, and the rest of the picture moves with them."""
    pixels = data.astronaut().copy()
    pixels[10:60, 20:80] = (120, 105, 90)
    result = _grade(_picture(pixels), {"white_balance": {"grey": [20 / 512, 10 / 512, 60 / 512, 50 / 512]}}).pixels
    assert np.ptp(result[12:58, 22:78], axis=2).max() < 2e-3
    assert result[100:, :, 2].mean() > pixels[100:, :, 2].mean() / 255


@pytest.mark.parametrize("reference", [{"white": "#000000"}, {"white": "#0000ff"}, {"grey": [0, 0, 0.1, 0.1]}])
def test_an_impossible_white_reference_is_refused(reference: dict[str, object]) -> None:
    """Black and a single pure colour have no white balance."""
    with pytest.raises(InputError, match="too dark or too saturated"):
        _grade(_grey(20, 20, 0.0), {"white_balance": reference})


def test_temperature_and_tint_move_white_along_their_axes() -> None:
    """Temperature moves white to amber or blue, tint to magenta or green; 0 changes nothing."""
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
    """Contrast rises everywhere with the slope 4 ** amount at the pivot, and the negative amount undoes it."""
    tone, back = contrast_curve(amount, pivot), contrast_curve(-amount, pivot)
    assert np.abs(tone(np.array([0.0, pivot, 1.0])) - [0.0, pivot, 1.0]).max() < 1e-9
    assert (np.diff(tone(_RAMP)) > 0).all()
    assert np.abs(back(tone(_RAMP)) - _RAMP).max() < 1e-9
    step = 1e-6
    slopes = np.diff(tone(np.array([pivot - step, pivot, pivot + step]))) / step
    assert slopes == pytest.approx([4.0**amount] * 2, rel=1e-3)


@given(st.lists(st.tuples(st.floats(0.01, 0.3), st.floats(0, 1)), min_size=2, max_size=8))
def test_curves_pass_through_their_points_and_do_not_overshoot(steps: list[tuple[float, float]]) -> None:
    """Curves pass through each point and never overshoot between two points, as Fritsch and Carlson prove."""
    x = np.cumsum([step for step, _ in steps])
    y = np.array([value for _, value in steps])
    assert np.abs(monotone_cubic(x, y, x) - y).max() < 1e-9
    for left, (low, high) in enumerate(pairwise(x)):
        between = monotone_cubic(x, y, np.linspace(low, high, 50))
        assert between.min() >= min(y[left], y[left + 1]) - 1e-9
        assert between.max() <= max(y[left], y[left + 1]) + 1e-9
        assert (np.diff(between) * np.sign(y[left + 1] - y[left]) >= -1e-9).all()


def test_a_curve_is_smooth_at_its_points() -> None:
    """Slopes left and right of a point are equal, so no kink is visible as a band."""
    x, y = np.array([0, 0.25, 0.6, 1.0]), np.array([0, 0.15, 0.75, 1.0])
    slopes = np.diff(monotone_cubic(x, y, np.array([0.25 - 1e-6, 0.25, 0.25 + 1e-6]))) / 1e-6
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-3)


def test_curves_act_on_the_channels_they_name() -> None:
    """Red's own curve changes red only, after the master curve."""
    picture = _photograph()
    red = _grade(picture, {"curves": {"red": [[0, 0], [0.5, 0.7], [1, 1]]}}).pixels
    assert np.array_equal(red[..., 1:], picture.pixels[..., 1:])
    assert (red[..., 0] >= picture.pixels[..., 0]).all()
    both = _grade(picture, {"curves": {"master": [[0, 1], [1, 0]], "red": [[0, 0], [0.5, 0.7], [1, 1]]}}).pixels
    sequential = _grade(_grade(picture, {"curves": {"master": [[0, 1], [1, 0]]}}), {"curves": {"red": [[0, 0], [0.5, 0.7], [1, 1]]}}).pixels
    assert np.abs(both - sequential).max() < 1e-4


def test_lift_gamma_and_gain_follow_the_formula() -> None:
    """Channels follow (gain * (in + lift * (1 - in))) ** (1 / gamma) in 16-bit codes."""
    codes = np.random.default_rng(2).integers(0, 65536, (50, 60, 3))
    picture = Picture(freeze(codes.astype(np.float32) / np.float32(65535)), depth=16)
    result = _grade(picture, {"lift": [0.1, 0, -0.1], "gamma": [1.2, 1, 0.8], "gain": [0.9, 1.1, 1]}).pixels
    x = picture.pixels.astype(np.float64)
    lifted = np.array([0.9, 1.1, 1]) * (x + np.array([0.1, 0, -0.1]) * (1 - x))
    assert np.abs(result - np.clip(lifted, 0, 1) ** (1 / np.array([1.2, 1, 0.8]))).max() < 1e-5
    assert lift_gamma_gain_curve(0.2, 1, 0.9)(np.array([0.0, 1.0])) == pytest.approx([0.18, 0.9])


@given(_AMOUNT, st.integers(0, 50))
def test_split_tone_keeps_luma_black_and_white(balance: float, seed: int) -> None:
    """Split toning keeps the luma of every pixel, and black and white."""
    pixels = np.random.default_rng(seed).random((8, 9, 3), dtype=np.float32)
    pixels[0, 0], pixels[0, 1] = 0, 1
    picture = Picture(freeze(pixels))
    settings: dict[str, object] = {"shadows": "#1f3a5f", "highlights": "#ffb060", "amount": 60, "balance": 100 * balance}
    result = _grade(picture, {"split_tone": settings}).pixels
    assert np.abs(colour.luma(result) - colour.luma(pixels)).max() < 1e-5
    assert np.abs(result[0, :2] - pixels[0, :2]).max() < 1e-6


def test_split_tone_colours_shadows_and_highlights() -> None:
    """Dark greys turn towards the shadows' blue, bright ones towards the highlights' amber."""
    settings: dict[str, object] = {"split_tone": {"shadows": "#1f3a5f", "highlights": "#ffb060", "amount": 60}}
    dark, bright = (_grade(_grey(4, 4, value), settings).pixels[0, 0] for value in (0.2, 0.8))
    assert dark[2] > dark[0]
    assert bright[0] > bright[2]


def test_a_vignette_darkens_the_corners_by_its_amount() -> None:
    """Corners keep 40 % of their linear light at amount = 60, and no step shows between rows."""
    picture = _grey(301, 401, 0.5)
    result = _grade(picture, {"vignette": {"amount": 60, "softness": 100}})
    light = colour.to_linear(result.pixels, None)[..., 0]
    before = float(colour.to_linear(picture.pixels, None)[0, 0, 0])
    assert light[0, 0] / before == pytest.approx(0.4, abs=0.01)
    assert light[150, 200] / before == pytest.approx(1.0, abs=1e-4)
    assert np.abs(np.diff(result.pixels[..., 0], axis=0)).max() < 0.005
    assert np.allclose(result.pixels, result.pixels[::-1, ::-1], atol=1e-5)


def test_a_round_vignette_is_a_circle() -> None:
    """Roundness 100 gives equal light at equal distance from the centre; 0 follows the picture's shape."""
    round_, shaped = (
        _grade(_grey(401, 801, 0.5), {"vignette": {"amount": 80, "radius": 40, "roundness": roundness}}).pixels[..., 0]
        for roundness in (100, 0)
    )
    assert round_[0, 400] == pytest.approx(round_[200, 600], abs=2e-3)
    assert shaped[0, 400] == pytest.approx(shaped[200, 0], abs=2e-3)


def test_halation_glows_only_round_bright_parts_in_its_colour() -> None:
    """Bright squares get a red rim; nothing happens below the threshold or far away."""
    pixels = np.full((200, 200, 3), 0.15, np.float32)
    pixels[90:110, 90:110] = 1.0
    result = _grade(Picture(freeze(pixels)), {"halation": {"amount": 100, "radius": 20, "threshold": 80}}).pixels
    rim = result[100, 113] - pixels[100, 113]
    assert rim[0] > 0.05
    assert rim[0] > 2 * rim[2]
    assert np.abs(result[100, 100] - 1).max() < 1e-4
    assert np.abs(result[5, 5] - pixels[5, 5]).max() < 1e-4
    dim = Picture(freeze(pixels * np.float32(0.7)))
    assert np.abs(_grade(dim, {"halation": {"amount": 100, "radius": 20, "threshold": 80}}).pixels - dim.pixels).max() < 1e-5


@pytest.mark.parametrize(
    "settings",
    [
        {"vignette": {"amount": 70}},
        {"halation": {"amount": 80, "threshold": 50, "radius": 50}},
        {"grain": {"amount": 60, "size": 3, "colour": 40}},
        {"exposure": 0.3, "halation": {"amount": 50, "threshold": 50, "radius": 4}, "vignette": {"amount": 40}, "grain": {"amount": 30}},
    ],
)
def test_a_region_gets_what_the_whole_picture_gets(settings: dict[str, object]) -> None:
    """Pixels inside a region equal those of the whole graded picture; light from outside spreads into the region."""
    pixels = cv2.resize(data.astronaut(), (700, 520))
    mask = np.zeros((520, 700), np.float32)
    mask[133:377, 251:569] = 1
    picture = _picture(pixels, masks={"mask": freeze(mask)})
    whole = _grade(picture, settings).pixels
    part = _grade(picture, {**settings, "where": "mask"}).pixels
    assert np.abs(part[mask == 1] - whole[mask == 1]).max() < 2e-5
    assert np.array_equal(part[mask == 0], picture.pixels[mask == 0])


def test_slabs_join_seamlessly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processing one row at a time gives the same picture as processing all at once."""
    settings: dict[str, object] = {"halation": {"amount": 80}, "vignette": {"amount": 50}, "grain": {"amount": 40}}
    picture = _photograph()
    whole = _grade(picture, settings).pixels
    monkeypatch.setattr("goldsmith.picture.row_slabs._SLAB_PIXELS", 1)
    assert np.abs(_grade(picture, settings).pixels - whole).max() < 1e-6


def test_grain_has_its_strength_in_midgrey_and_spares_black_and_white() -> None:
    """Deviation is amount / 1000 for grains wider than a pixel, the mean is kept, and black and white stay clean."""
    grain: dict[str, object] = {"grain": {"amount": 50, "size": 3}}
    noise = _grade(_grey(1000, 1500, 0.5), grain).pixels - np.float32(0.5)
    assert noise.std() == pytest.approx(0.05, rel=0.06)
    assert abs(noise.mean()) < 0.001
    assert np.ptp(noise, axis=2).max() < 1e-6
    for end in (0.0, 1.0):
        assert np.array_equal(_grade(_grey(50, 50, end), grain).pixels, _grey(50, 50, end).pixels)
    dark = _grade(_grey(1000, 1500, 0.1), grain).pixels - np.float32(0.1)
    assert dark.std() == pytest.approx(0.05 * 2 * np.sqrt(0.09), rel=0.06)


def test_grain_depends_on_seed_and_channel() -> None:
    """Equal seeds give equal grain, and other seeds other grain; with colour, the channels differ."""
    picture = _grey(100, 120, 0.5)
    first, second, other_seed = (_grade(picture, {"grain": {"amount": 50}}, seed).pixels for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert abs(np.corrcoef((first - 0.5)[..., 0].ravel(), (other_seed - 0.5)[..., 0].ravel())[0, 1]) < 0.1
    coloured = _grade(picture, {"grain": {"amount": 50, "colour": 100}}).pixels - np.float32(0.5)
    assert abs(np.corrcoef(coloured[..., 0].ravel(), coloured[..., 1].ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("size", [0.5, 1.0, 2.0])
def test_grain_looks_the_same_at_any_size(size: float) -> None:
    """Grain made at 2400 px and reduced to 800 px is as strong as grain made at 800 px."""
    grain: dict[str, object] = {"grain": {"amount": 80, "size": size}}
    large = _grade(_grey(1600, 2400, 0.5), grain).pixels
    scaled = cv2.resize(large, (800, 533), interpolation=cv2.INTER_AREA)
    small = _grade(_grey(533, 800, 0.5), grain).pixels
    assert scaled.std() == pytest.approx(small.std(), rel=0.15)


def test_a_field_of_grain_has_no_direction() -> None:
    """Neighbours correlate equally across and down, so bands and blur leave no grid."""
    field = grain_field((600, 600), PiecePosition(0, 0, 600, 600), 1.2, (3, 0))
    across = np.corrcoef(field[:, 1:].ravel(), field[:, :-1].ravel())[0, 1]
    down = np.corrcoef(field[1:].ravel(), field[:-1].ravel())[0, 1]
    assert across == pytest.approx(down, abs=0.02)
    assert np.abs(field.std(axis=1) - field.std()).max() < 0.25


def test_a_grey_picture_stays_grey_under_light_tone_and_film() -> None:
    """Exposure, contrast, halation, vignette and grain keep a picture grey with its profile; temperature makes it RGB."""
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
    result = _grade(picture, settings)
    assert (result.channels, result.icc) == (1, icc)
    lit = _grade(picture, {"exposure": -1}).pixels[..., 0]
    assert np.abs(lit - ramp[..., 0] * 2 ** (-1 / 1.8)).max() < 1e-3
    assert _grade(picture, {"white_balance": {"temperature": 20}}).channels == 3


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
        {"shoulder": 101},
        {"gamut": -1},
        {"hues": {"pink": {"saturation": 5}}},
        {"hues": {"blue": {"lightness": 101}}},
        {"cube": True, "match": {"cube": True}},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    """Validation refuses them before anything runs."""
    with pytest.raises(ValidationError):
        Grade.model_validate(wrong)


def _cup() -> Picture:
    return _picture(data.coffee()[::3, ::3])


def test_a_frame_is_matched_to_its_hero_with_the_drift_on_record() -> None:
    """Matching removes most of a drift of one stop; the table goes to the archive, and beside the result only if `cube` is set."""
    frame = _grade(_cup(), {"exposure": -1})
    context = StepContextDouble(heroes={"spring": _cup()})
    result = Grade.model_validate({"look_from": "spring"}).apply(frame, context)
    assert abs(result.pixels.mean() - _cup().pixels.mean()) < 0.02 < _cup().pixels.mean() - frame.pixels.mean()
    drift = {name: context.results.findings[f"drift_{name}"] for name in ("before", "after")}
    assert drift["before"]["mean"] > 8 > 2 > drift["after"]["mean"]  # type: ignore[index,call-overload]
    assert [file.tail + file.suffix for file in context.results.archived] == ["_match.cube"]
    assert context.results.added == []
    Grade.model_validate({"look_from": "spring", "match": {"cube": True}}).apply(frame, context)
    assert [(file.tail + file.suffix, file.data) for file in context.results.added] == [(".cube", context.results.archived[0].data)]


def test_the_hero_itself_is_returned_unchanged() -> None:
    """Matching the hero to itself, or with strength 0, returns the picture itself."""
    hero = _cup()
    assert Grade(look_from="spring").apply(hero, StepContextDouble(heroes={"spring": hero})) is hero
    other = _photograph()
    assert Grade.model_validate({"look_from": "spring", "match": {"strength": 0}}).apply(other, StepContextDouble()) is other


def test_the_hero_is_needed_from_the_library() -> None:
    """Needs name the hero, so that a missing one is refused before anything runs."""
    assert [(folder, name) for folder, name, _ in Grade(look_from="spring").needs().library_files] == [("heroes", "spring")]
    with pytest.raises(ValidationError):
        Grade(look_from="../spring")


@pytest.mark.parametrize(("match", "limit"), [({"max_drift": 1}, "max_drift = 1"), ({"max_drift": 100, "max_shift": 10}, "max_shift = 10")])
def test_a_match_beyond_its_limits_is_held_with_the_numbers(match: dict[str, object], limit: str) -> None:
    """InputError gives the drift before and after and the limit; nothing is archived."""
    context = StepContextDouble(heroes={"spring": _cup()})
    with pytest.raises(InputError, match=r"drift is \d+\.\d, after the match \d+\.\d") as caught:
        Grade.model_validate({"look_from": "spring", "match": match}).apply(_picture(data.rocket()[::3, ::3]), context)
    assert limit in caught.value.sentence
    assert context.results.archived == []


def test_an_invisible_frame_is_unchanged_and_an_invisible_hero_refused() -> None:
    """Invisible pixels have no colour to match."""
    empty = Picture(_cup().pixels, alpha=freeze(np.zeros(_cup().pixels.shape[:2], np.float32)))
    context = StepContextDouble(heroes={"spring": _cup()})
    assert Grade(look_from="spring").apply(empty, context) is empty
    assert "fewer than 64" in str(context.results.findings["not_measured"])
    with pytest.raises(InputError, match="has too few visible pixels"):
        Grade(look_from="spring").apply(_cup(), StepContextDouble(heroes={"spring": empty}))


def test_a_region_is_measured_and_matched_by_itself() -> None:
    """Matching through a mask corrects the darker half and leaves the other half's floats unchanged."""
    hero = _cup()
    half = np.zeros(hero.pixels.shape[:2], np.float32)
    half[:, : half.shape[1] // 2] = 1
    dark = _grade(Picture(hero.pixels, masks={"mask": freeze(half)}), {"exposure": -1, "where": "mask"})
    left = Picture(freeze(hero.pixels[:, : half.shape[1] // 2]))
    result = Grade(look_from="left", where="mask").apply(dark, StepContextDouble(heroes={"left": left}))
    assert np.array_equal(result.pixels[half == 0], hero.pixels[half == 0])
    assert abs(result.pixels[half == 1].mean() - hero.pixels[half == 1].mean()) < 0.02
