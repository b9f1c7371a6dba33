"""The match of a series: drifts that were laid on are found and undone, one smooth table does it, greys and brightness keep their order."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from goldsmith.ops.grade import series
from goldsmith.ops.grade.cube import cube_text, parse_cube
from goldsmith.ops.grade.tone import look_change
from goldsmith.ops.grade.tone_curves import contrast_tone, tone_change
from goldsmith.picture import profiles
from goldsmith.picture.colour import converted
from goldsmith.picture.lab import lab_of
from goldsmith.picture.light import Light, balance_of, exposure_change
from goldsmith.picture.picture import Plate, frozen
from goldsmith.picture.strips import in_slabs

SRGB = Light(None)


def _plate(pixels: NDArray[np.uint8]) -> Plate:
    return Plate(frozen(pixels.astype(np.float32) / np.float32(255)))


def _frame(plate: Plate) -> series.Frame:
    found = series.frame_of(plate)
    assert found is not None
    return found


HERO = _plate(data.coffee())
CROP = _plate(data.coffee()[20:360, 60:560])


def _drifted(plate: Plate, stops: float = 0, temperature: float = 0, tint: float = 0, contrast: float = 0) -> Plate:
    made = in_slabs(plate.pixels, exposure_change(SRGB, stops, balance_of(SRGB, temperature, tint)))
    return plate.with_pixels(in_slabs(made, tone_change([[contrast_tone(contrast, 0.5)]] * 3)))


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


@pytest.mark.parametrize("laid_on", DRIFTS)
def test_a_drift_is_found_and_undone(laid_on: dict[str, float]) -> None:
    """Another crop of the subject with another light: at least half of the drift is gone, and little is left."""
    frame, hero = _frame(_drifted(CROP, **laid_on)), _frame(HERO)
    change = look_change(series.table_of(series.match(frame, hero), SRGB), 1.0)
    before = series.drift(frame.ladder, hero.ladder)
    after = series.drift(series.shift(frame, change)[0], hero.ladder)
    assert before.mean > 2
    assert after.mean < min(0.5 * before.mean, 2.5)


def test_the_match_brings_back_the_very_colours() -> None:
    """Where the framing is the same the picture itself comes back, not its statistics alone: the median pixel within three."""
    drifted = _drifted(HERO, stops=-0.7, temperature=0.4)
    frame, hero = _frame(drifted), _frame(HERO)
    change = look_change(series.table_of(series.match(frame, hero), SRGB), 1.0)
    far = series.apart(lab_of(in_slabs(drifted.pixels, change), SRGB), lab_of(HERO.pixels, SRGB))
    was = series.apart(lab_of(drifted.pixels, SRGB), lab_of(HERO.pixels, SRGB))
    assert np.median(far) < 3 < np.median(was)


def test_a_frame_that_is_the_hero_stays_as_it_is() -> None:
    """No drift is measured and none is mended: the table is the one that changes nothing, within a code and a half."""
    frame = _frame(HERO)
    assert series.drift(frame.ladder, frame.ladder) == (0, 0)
    made = in_slabs(HERO.pixels, look_change(series.table_of(series.match(frame, frame), SRGB), 1.0))
    assert np.abs(made - HERO.pixels).max() < 0.02
    assert np.abs(made - HERO.pixels).mean() < 1.5 / 255


@pytest.mark.parametrize("laid_on", DRIFTS)
def test_the_table_is_smooth_and_keeps_the_order_of_greys(laid_on: dict[str, float]) -> None:
    """A grey ramp comes out rising without a step or a kink; only where a channel reaches white there may be a bend."""
    frame = _frame(_drifted(CROP, **laid_on))
    cube = series.table_of(series.match(frame, _frame(HERO)), SRGB)
    ramp = np.repeat(np.linspace(0, 1, 1024, dtype=np.float32)[None, :, None], 3, axis=2)
    lightness = lab_of(look_change(cube, 1.0)(ramp.copy()), SRGB)[0, :, 0]
    assert (np.diff(lightness) >= -1e-4).all()
    assert np.diff(lightness).max() < 1.0
    values = cube.tables[0].values
    grey = values[np.arange(series.GRID), np.arange(series.GRID), np.arange(series.GRID)]
    assert np.abs(np.diff(grey, 2, axis=0)).max() < 0.1


def test_greys_can_be_spared() -> None:
    """With greys = 1 a neutral keeps its neutrality, while colours far from grey move as they did."""
    frame = _frame(_drifted(CROP, temperature=0.6))
    hero = _frame(HERO)
    free, spared = (series.match(frame, hero, greys=share) for share in (0.0, 1.0))
    grey, red = np.array([[60.0, 0.0, 0.0]]), np.array([[45.0, 55.0, 40.0]])
    assert np.hypot(*free(grey)[0, 1:]) > 4
    assert np.hypot(*spared(grey)[0, 1:]) < 0.1
    assert np.abs(spared(red) - free(red)).max() < 0.1


def test_half_the_strength_is_half_the_way() -> None:
    """In Lab, for every colour."""
    frame, hero = _frame(_drifted(CROP, stops=-1)), _frame(HERO)
    whole, half = (series.match(frame, hero, strength=strength) for strength in (1.0, 0.5))
    assert np.abs(half(frame.colours) - (frame.colours + whole(frame.colours)) / 2).max() < 1e-9


def test_another_subject_is_told_by_what_is_left() -> None:
    """A rocket at night is no coffee: after the match the drift is larger than for any frame of the series."""
    frame, hero = _frame(_plate(data.rocket())), _frame(HERO)
    change = look_change(series.table_of(series.match(frame, hero), SRGB), 1.0)
    ladder, shift = series.shift(frame, change)
    assert series.drift(ladder, hero.ladder).mean > 5
    assert shift > 25


def test_frames_are_measured_through_their_profile() -> None:
    """The same picture in another profile is no drift; the table is one of that profile's own values."""
    wide = converted(CROP, "display-p3")
    assert series.drift(_frame(wide).ladder, _frame(CROP).ladder).p95 < 0.2
    frame, hero = _frame(converted(_drifted(CROP, stops=-1), "display-p3")), _frame(HERO)
    light = Light(profiles.named("display-p3"))
    change = look_change(series.table_of(series.match(frame, hero), light), 1.0)
    assert series.drift(series.shift(frame, change)[0], hero.ladder).mean < 2.5


def test_what_is_transparent_or_outside_the_mask_is_not_measured() -> None:
    """A red half that nobody sees, or that is not meant, changes nothing; nothing to see is no frame."""
    pixels = CROP.pixels.copy()
    pixels[:, :250] = (1, 0, 0)
    seen = np.ones(pixels.shape[:2], np.float32)
    seen[:, :250] = 0
    right = _frame(Plate(frozen(CROP.pixels[:, 250:])))
    for found in (series.frame_of(Plate(frozen(pixels), alpha=frozen(seen))), series.frame_of(Plate(frozen(pixels)), seen)):
        assert found is not None
        assert series.drift(found.ladder, right.ladder).p95 < 1
    assert series.frame_of(Plate(frozen(pixels), alpha=frozen(np.zeros_like(seen)))) is None


def test_a_cube_that_was_written_reads_as_the_same_table() -> None:
    """To the seventh decimal, with a title that cannot break the file."""
    cube = series.table_of(series.match(_frame(_drifted(CROP, stops=1)), _frame(HERO)), SRGB)
    again = parse_cube(cube_text(cube, 'a "b"\nLUT_3D_SIZE 2'), "a.cube")
    assert len(again.tables) == 1
    assert np.abs(again.tables[0].values - cube.tables[0].values).max() < 1e-6
