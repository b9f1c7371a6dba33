"""Series match: drifts are found and undone by one smooth table, and greys keep their order."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from goldsmith.ops.grade import series_match
from goldsmith.ops.grade.grading_changes import look_change
from goldsmith.ops.grade.look_files import CUBE_SIZE, format_cube, parse_cube
from goldsmith.ops.grade.tone_curves import contrast_curve, tone_curve_change
from goldsmith.picture import profiles
from goldsmith.picture.cielab import lab_to_linear, pixels_to_lab
from goldsmith.picture.colour import convert_profile
from goldsmith.picture.linear_light import LinearLight, exposure_change, white_balance_from_temperature
from goldsmith.picture.picture import Picture, freeze
from goldsmith.picture.slab_processing import map_slabs

SRGB = LinearLight(None)


def _picture(pixels: NDArray[np.uint8]) -> Picture:
    return Picture(freeze(pixels.astype(np.float32) / np.float32(255)))


def _frame(picture: Picture) -> series_match.FrameColours:
    frame = series_match.measure_frame(picture)
    assert frame is not None
    return frame


HERO = _picture(data.coffee())
CROP = _picture(data.coffee()[20:360, 60:560])


def _with_drift(picture: Picture, stops: float = 0, temperature: float = 0, tint: float = 0, contrast: float = 0) -> Picture:
    exposed = map_slabs(picture.pixels, exposure_change(SRGB, stops, white_balance_from_temperature(SRGB, temperature, tint)))
    return picture.with_pixels(map_slabs(exposed, tone_curve_change([[contrast_curve(contrast, 0.5)]] * 3)))


DRIFTS = [
    {"temperature": 0.5},
    {"temperature": -0.5},
    {"tint": 0.5},
    {"tint": -0.4},
    {"stops": 0.4},
    {"stops": -1.2},
    {"contrast": 0.4},
    {"contrast": -0.5},
    {"stops": -0.6, "temperature": -0.4, "contrast": 0.25},
]


@pytest.mark.parametrize("drift", DRIFTS)
def test_a_drift_is_found_and_undone(drift: dict[str, float]) -> None:
    """Another crop under another light loses at least half of its drift."""
    frame, hero = _frame(_with_drift(CROP, **drift)), _frame(HERO)
    change = look_change(series_match.to_cube(series_match.match_frame(frame, hero), SRGB), 1.0)
    before = series_match.measure_drift(frame.quantile_means, hero.quantile_means)
    after = series_match.measure_drift(series_match.measure_shift(frame, change)[0], hero.quantile_means)
    assert before.mean > 2
    assert after.mean < min(0.5 * before.mean, 2.5)


def test_the_match_restores_the_pixels_of_the_same_framing() -> None:
    """Not only the statistics but the pixels come back: the median difference is below three."""
    drifted = _with_drift(HERO, stops=-0.7, temperature=0.4)
    frame, hero = _frame(drifted), _frame(HERO)
    change = look_change(series_match.to_cube(series_match.match_frame(frame, hero), SRGB), 1.0)
    after = series_match.ciede2000(pixels_to_lab(map_slabs(drifted.pixels, change), SRGB), pixels_to_lab(HERO.pixels, SRGB))
    before = series_match.ciede2000(pixels_to_lab(drifted.pixels, SRGB), pixels_to_lab(HERO.pixels, SRGB))
    assert np.median(after) < 3 < np.median(before)


def test_the_hero_matched_to_itself_is_unchanged() -> None:
    """Drift is zero, and the table changes at most a code and a half on average."""
    frame = _frame(HERO)
    assert series_match.measure_drift(frame.quantile_means, frame.quantile_means) == (0, 0)
    matched = map_slabs(HERO.pixels, look_change(series_match.to_cube(series_match.match_frame(frame, frame), SRGB), 1.0))
    assert np.abs(matched - HERO.pixels).max() < 0.02
    assert np.abs(matched - HERO.pixels).mean() < 1.5 / 255


@pytest.mark.parametrize("drift", DRIFTS)
def test_the_table_is_smooth_and_keeps_the_order_of_greys(drift: dict[str, float]) -> None:
    """Grey ramps stay monotone without steps or kinks; a bend is allowed only where a channel reaches white."""
    frame = _frame(_with_drift(CROP, **drift))
    cube = series_match.to_cube(series_match.match_frame(frame, _frame(HERO)), SRGB)
    ramp = np.repeat(np.linspace(0, 1, 1024, dtype=np.float32)[None, :, None], 3, axis=2)
    lightness = pixels_to_lab(look_change(cube, 1.0)(ramp.copy()), SRGB)[0, :, 0]
    assert (np.diff(lightness) >= -1e-4).all()
    assert np.diff(lightness).max() < 1.0
    values = cube.tables[0].values
    grey = values[np.arange(CUBE_SIZE), np.arange(CUBE_SIZE), np.arange(CUBE_SIZE)]
    assert np.abs(np.diff(grey, 2, axis=0)).max() < 0.1


def test_a_cast_is_removed_up_to_white_and_none_is_added_there() -> None:
    """A pink sky that becomes nearly white loses its tint, smoothly with the lightness; white gets none of a warm light."""
    pink = np.array([[lightness, 14.0, 5.0] for lightness in np.linspace(60, 92, 9)])
    gains = _neutral_gains(pink[-1])
    cooled = series_match.SeriesMatch((series_match.PrimaryCorrection(gains + 0.2, 0.0, 1.0, SRGB),))(pink)
    assert cooled[-1, 0] > 96
    assert np.hypot(*cooled[:, 1:].T).max() < 5
    warmed = series_match.SeriesMatch((series_match.PrimaryCorrection(-gains, 0.0, 1.0, SRGB),))(np.array([[100.0, 0.0, 0.0]]))
    assert np.hypot(*warmed[0, 1:]) < 0.5


def _neutral_gains(colour: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the stops (3,) that take the cast from a Lab colour."""
    grey = np.array([colour[0], 0.0, 0.0])
    return np.asarray(np.log2(lab_to_linear(grey, SRGB) / lab_to_linear(colour, SRGB)))


def test_neutrals_can_be_protected() -> None:
    """Greys stay neutral with protect_neutrals = 1, and saturated colours move as before."""
    frame = _frame(_with_drift(CROP, temperature=0.6))
    hero = _frame(HERO)
    unprotected, protected = (series_match.match_frame(frame, hero, protect_neutrals=share) for share in (0.0, 1.0))
    grey, red = np.array([[60.0, 0.0, 0.0]]), np.array([[45.0, 55.0, 40.0]])
    assert np.hypot(*unprotected(grey)[0, 1:]) > 4
    assert np.hypot(*protected(grey)[0, 1:]) < 0.1
    assert np.abs(protected(red) - unprotected(red)).max() < 0.1


def test_half_the_strength_moves_colours_half_as_far() -> None:
    """Half strength moves every colour half as far in Lab."""
    frame, hero = _frame(_with_drift(CROP, stops=-1)), _frame(HERO)
    full, half = (series_match.match_frame(frame, hero, strength=strength) for strength in (1.0, 0.5))
    assert np.abs(half(frame.lab) - (frame.lab + full(frame.lab)) / 2).max() < 1e-9


def test_another_subject_keeps_a_large_drift() -> None:
    """Pictures of another subject keep a larger drift after the match than any frame of the series."""
    frame, hero = _frame(_picture(data.rocket())), _frame(HERO)
    change = look_change(series_match.to_cube(series_match.match_frame(frame, hero), SRGB), 1.0)
    means, shift = series_match.measure_shift(frame, change)
    assert series_match.measure_drift(means, hero.quantile_means).mean > 5
    assert shift > 25


def test_frames_are_measured_through_their_profile() -> None:
    """Conversion to another profile causes no drift, and the table is in that profile's values."""
    wide = convert_profile(CROP, "display-p3")
    assert series_match.measure_drift(_frame(wide).quantile_means, _frame(CROP).quantile_means).p95 < 0.2
    frame, hero = _frame(convert_profile(_with_drift(CROP, stops=-1), "display-p3")), _frame(HERO)
    light = LinearLight(profiles.builtin_profile("display-p3"))
    change = look_change(series_match.to_cube(series_match.match_frame(frame, hero), light), 1.0)
    assert series_match.measure_drift(series_match.measure_shift(frame, change)[0], hero.quantile_means).mean < 2.5


def test_transparent_and_masked_pixels_are_not_measured() -> None:
    """Transparent and masked pixels are ignored; a frame without visible pixels is not measured."""
    pixels = CROP.pixels.copy()
    pixels[:, :250] = (1, 0, 0)
    visible = np.ones(pixels.shape[:2], np.float32)
    visible[:, :250] = 0
    right = _frame(Picture(freeze(CROP.pixels[:, 250:])))
    for frame in (
        series_match.measure_frame(Picture(freeze(pixels), alpha=freeze(visible))),
        series_match.measure_frame(Picture(freeze(pixels)), visible),
    ):
        assert frame is not None
        assert series_match.measure_drift(frame.quantile_means, right.quantile_means).p95 < 1
    assert series_match.measure_frame(Picture(freeze(pixels), alpha=freeze(np.zeros_like(visible)))) is None


def test_a_written_cube_reads_as_the_same_table() -> None:
    """Seven decimals are kept, and the title cannot break the file."""
    cube = series_match.to_cube(series_match.match_frame(_frame(_with_drift(CROP, stops=1)), _frame(HERO)), SRGB)
    read_cube = parse_cube(format_cube(cube, 'a "b"\nLUT_3D_SIZE 2'), "a.cube")
    assert len(read_cube.tables) == 1
    assert np.abs(read_cube.tables[0].values - cube.tables[0].values).max() < 1e-6
