"""Dust is found at its places on smooth ground and lifted to it; other dark spots stay."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from doubles.faults_of_pictures import PHOTOGRAPHS, changed, coded, dusty, sky, under_sky
from doubles.step_context import StepContextDouble
from goldsmith.ops.correct import dust
from goldsmith.ops.correct.operation import Correct
from goldsmith.picture.picture import Picture, Pixels, freeze

_PLACES = ((40.0, 60.0), (110.0, 250.0), (60.3, 420.6), (150.0, 130.0), (130.0, 520.0))


def _grainy_sky(name: str, sigma: float = 1.2) -> Pixels:
    """Return a photograph under a sky of 200 rows with grain of ``sigma`` codes."""
    smooth = under_sky(name, 200)[0].copy()
    grain = np.random.default_rng(4).standard_normal((200, *smooth.shape[1:]), dtype=np.float32)
    smooth[:200] += grain * np.float32(sigma / 255)
    return coded(smooth)


def _repaired(pixels: Pixels, strength: float = 1.0) -> Pixels:
    result = pixels.copy()
    for fault in dust.find(pixels, strength):
        assert fault.repair is not None
        result[fault.repair[0]] = fault.repair[1]
    return result


def _distance_to_dust(shape: tuple[int, ...]) -> Pixels:
    down, across = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return np.asarray(np.min([np.hypot(down - row, across - column) for row, column in _PLACES], axis=0))


@pytest.mark.parametrize("name", ["coffee", "rocket"])
@pytest.mark.parametrize(("radius", "shade"), [(3, 0.2), (4, 0.08), (8, 0.12)])
def test_every_spot_on_a_sky_is_found_and_lifted(name: str, radius: float, shade: float) -> None:
    """The box of each holds its middle; the error under the dust falls to a third, and nothing changes away from it."""
    clean = _grainy_sky(name)
    damaged = dusty(clean, _PLACES, radius, shade)
    faults = dust.find(damaged)
    assert len(faults) == len(_PLACES)
    for row, column in _PLACES:
        assert any(box[0].start < row < box[0].stop and box[1].start < column < box[1].stop for box in (fault.window for fault in faults))
    assert all(fault.after < 0.25 * fault.before for fault in faults)
    repaired, distance = _repaired(damaged), _distance_to_dust(clean.shape)
    under = distance < radius
    assert np.abs(repaired - clean)[under].mean() < np.abs(damaged - clean)[under].mean() / 3
    assert not changed(damaged, repaired)[distance > 4 * radius].any()


def test_the_grain_under_a_spot_stays() -> None:
    """The standard deviation of the pixels' differences is that of the sky before, within a fifth."""
    clean = _grainy_sky("coffee", 2)
    repaired = _repaired(dusty(clean, _PLACES, 8, 0.15))
    under = _distance_to_dust(clean.shape)[:, 1:] < 8
    deviations = [np.diff(pixels, axis=1)[under].std() for pixels in (repaired, clean)]
    assert deviations[0] == pytest.approx(deviations[1], rel=0.2)


@pytest.mark.parametrize("name", [*PHOTOGRAPHS, "moon", "coins", "gravel", "page", "immunohistochemistry", "camera", "brick"])
def test_untouched_pictures_have_no_dust(name: str) -> None:
    """Craters, pores, nuclei and full stops stay."""
    codes = getattr(data, name)()
    pixels = np.asarray((codes if codes.ndim == 3 else codes[:, :, None]) / np.float32(255), np.float32)
    assert dust.find(np.ascontiguousarray(pixels[:512, :512])) == []


@pytest.mark.parametrize("side", [300, 400, 450])
def test_a_part_of_the_moon_has_no_dust(side: int) -> None:
    """Craters are dark soft spots, but light ones lie among them."""
    pixels = np.asarray(data.moon()[:side, :side, None] / np.float32(255), np.float32)
    assert dust.find(np.ascontiguousarray(pixels)) == []


def _dots(colour: tuple[float, float, float], blur: float) -> Pixels:
    """Return round dots of radius 5 px on a sky."""
    import cv2

    share = np.zeros((240, 600), np.float32)
    for row, column in _PLACES:
        cv2.circle(share, (round(column), round(row)), 5, 1.0, -1, cv2.LINE_AA)
    share = cv2.GaussianBlur(share, (0, 0), blur) if blur else share
    ground = sky(240, 600)
    return coded(ground + share[:, :, None] * (np.array(colour, np.float32) - 1) * ground)


def test_coloured_and_hard_dots_are_not_dust() -> None:
    """Brown moles and printed dots have the size of dust; grey soft dots of the same size are dust."""
    assert len(dust.find(_dots((0.8, 0.8, 0.8), 1.5))) == len(_PLACES)
    assert dust.find(_dots((0.95, 0.8, 0.6), 1.5)) == []
    assert dust.find(_dots((0.8, 0.8, 0.8), 0)) == []


def test_two_spots_are_too_few() -> None:
    """They may be birds."""
    assert dust.find(dusty(_grainy_sky("coffee"), _PLACES[:2])) == []


def test_ground_with_light_spots_as_well_is_structured() -> None:
    """Dust has no light spots."""
    damaged = dusty(_grainy_sky("coffee"), _PLACES)
    light = coded(damaged + (1 - dusty(np.ones_like(damaged), [(row, column + 40) for row, column in _PLACES])))
    assert dust.find(light) == []


@pytest.mark.parametrize("shape", [(1, 1), (127, 400)])
def test_small_pictures_raise_nothing(shape: tuple[int, int]) -> None:
    """They have no room for spots with ground around them."""
    assert dust.find(dusty(sky(*shape), [(10, 10), (20, 90), (100, 100)])) == []


def test_the_step_lifts_dust_to_codes_of_8_bits() -> None:
    """The record counts the spots; with a strength of 0 the picture itself is returned."""
    picture, context = Picture(freeze(dusty(_grainy_sky("coffee"), _PLACES))), StepContextDouble()
    result = Correct(repeats="off", banding="off").apply(picture, context)
    assert context.results.findings["dust_count"] == len(_PLACES)
    assert np.array_equal(result.pixels, coded(result.pixels))
    assert Correct(repeats="off", banding="off", dust=0).apply(picture, StepContextDouble()) is picture
