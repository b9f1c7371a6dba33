"""Light match: frames of other subjects under one light are matched by their greys and whites; another light is still an outlier."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from doubles.step_context import StepContextDouble
from goldsmith.errors import InputError
from goldsmith.ops.grade import light_match, series_match
from goldsmith.ops.grade.grading_changes import look_change
from goldsmith.ops.grade.operation import Grade
from goldsmith.picture.cielab import ciede2000, pixels_to_lab
from goldsmith.picture.linear_light import LinearLight
from goldsmith.picture.picture import Picture, freeze

SRGB = LinearLight(None)


def _scene(*colours: tuple[float, float, float], seed: int = 1) -> Picture:
    """Return a grey studio wall, lit from one side, with a white card, a black card, and one large patch of each colour; with noise."""
    wall = np.repeat(np.tile(np.linspace(0.45, 0.8, 240, dtype=np.float32), (160, 1))[:, :, None], 3, axis=2)
    wall[10:40, 10:40], wall[10:40, 50:80] = 0.95, 0.05
    for number, colour in enumerate(colours):
        wall[60 + 20 * number : 150, 20 + 90 * number : 110 + 90 * number] = colour
    noise = np.random.default_rng(seed).normal(0, 0.01, wall.shape)
    return Picture(freeze(np.clip(wall + noise, 0, 1).astype(np.float32)))


HERO = _scene((0.75, 0.2, 0.15), (0.85, 0.55, 0.1))
OTHER = _scene((0.1, 0.35, 0.2), (0.1, 0.15, 0.45), seed=2)


def _drifted(picture: Picture, **settings: object) -> Picture:
    return Grade.model_validate(settings).apply(picture, StepContextDouble())


def _match(picture: Picture, **match: object) -> tuple[NDArray[np.float32], dict[str, object]]:
    """Return the pixels that match the hero, and the record."""
    context = StepContextDouble(heroes={"spring": HERO})
    result = Grade.model_validate({"look_from": "spring", "match": match}).apply(picture, context)
    return result.pixels, dict(context.results.findings)


def _median_error(pixels: NDArray[np.float32], target: Picture) -> float:
    return float(np.median(ciede2000(pixels_to_lab(pixels, SRGB), pixels_to_lab(target.pixels, SRGB))))


@pytest.mark.parametrize(
    "drift",
    [
        {"white_balance": {"temperature": 40}},
        {"white_balance": {"temperature": -40, "tint": 20}},
        {"exposure": -0.8},
        {"exposure": -0.5, "white_balance": {"tint": -40}},
    ],
)
def test_another_subject_under_one_light_is_matched(drift: dict[str, object]) -> None:
    """A frame whose colours are held comes through by its light, and loses at least half of its drift from its true colours."""
    frame = _drifted(OTHER, **drift)
    with pytest.raises(InputError, match="does not match the hero"):
        _match(frame, by="colours")
    pixels, record = _match(frame)
    assert record["matched_by"] == "light"
    assert _median_error(pixels, OTHER) < 0.5 * _median_error(frame.pixels, OTHER)


def test_a_frame_of_one_subject_is_matched_by_its_colours() -> None:
    """Colours come first: where they match, the light is not used."""
    pixels, record = _match(_drifted(HERO, exposure=-0.8, white_balance={"temperature": 40}))
    assert record["matched_by"] == "colours"
    assert _median_error(pixels, HERO) < 2


def test_colours_that_match_only_roughly_give_way_to_the_light() -> None:
    """A reframed portrait keeps a drift by its colours that the limit allows; matched by its light it comes nearer to its true colours."""
    hero = Picture(freeze(data.astronaut().astype(np.float32) / np.float32(255)))
    true = Picture(freeze(hero.pixels[:384, 128:]))
    frame = _drifted(true, exposure=0.3, white_balance={"temperature": -20})
    errors = {}
    for by in ("colours", "auto"):
        context = StepContextDouble(heroes={"spring": hero})
        result = Grade.model_validate({"look_from": "spring", "match": {"by": by}}).apply(frame, context)
        errors[str(context.results.findings["matched_by"])] = _median_error(result.pixels, true)
    assert errors["light"] < 0.75 * errors["colours"]


def test_a_frame_in_the_light_of_the_hero_keeps_its_colours() -> None:
    """Another subject without a drift moves by less than two units in the median."""
    pixels, record = _match(OTHER)
    assert record["matched_by"] == "light"
    assert _median_error(pixels, OTHER) < 2


def test_another_light_is_still_an_outlier() -> None:
    """A dark frame whose light is far away is held, with the numbers, and the note says that its light was tried."""
    with pytest.raises(InputError, match=r"drift is \d+\.\d, after the match") as caught:
        _match(_drifted(OTHER, exposure=-4))
    assert caught.value.remedy.startswith("Its light does not match either.")


def test_without_greys_there_is_no_light_to_match() -> None:
    """A lawn shows no light: by = "light" is refused, and auto holds it by its colours."""
    lawn = Picture(freeze(np.clip(np.random.default_rng(3).normal((0.2, 0.6, 0.1), 0.05, (60, 80, 3)), 0, 1).astype(np.float32)))
    with pytest.raises(InputError, match="has no greys that show its light"):
        _match(lawn, by="light")
    with pytest.raises(InputError, match="does not match the hero"):
        _match(lawn)


def test_skin_is_measured_where_there_is_some() -> None:
    """The portrait of scikit-image has greys and skin; a grey wall has no skin."""
    frame = series_match.measure_frame(Picture(freeze(data.astronaut()[:300, 100:400].astype(np.float32) / np.float32(255))))
    assert frame is not None
    light = light_match.measure_light(frame.lab)
    assert light.greys is not None
    assert light.skin is not None
    assert 50 < light.skin[0] < 80
    grey = series_match.measure_frame(_scene())
    assert grey is not None
    assert light_match.measure_light(grey.lab).skin is None


def _on_white(subject: tuple[float, float, float], ground: tuple[float, float, float]) -> Picture:
    """Return a subject of one colour on a bright ground, with noise."""
    pixels = np.tile(np.asarray(ground, np.float32), (120, 160, 1))
    pixels[40:100, 40:120] = subject
    noise = np.random.default_rng(3).normal(0, 0.004, pixels.shape)
    return Picture(freeze(np.clip(pixels + noise, 0, 1).astype(np.float32)))


def test_a_darker_subject_does_not_lift_the_brightest_parts_beyond_white() -> None:
    """Fur that looks like darker skin asks for more light; a near-white ground beside it has no room for it, and keeps its detail."""
    hero = _on_white((0.85, 0.66, 0.55), (0.985, 0.975, 0.965))
    frame = _on_white((0.55, 0.41, 0.34), (0.93, 0.965, 0.98))
    match = light_match.attempt_light(
        series_match.measure_frame(frame, None), series_match.measure_frame(hero, None), strength=1.0, protect_neutrals=0.0
    )
    assert match is not None
    ground = look_change(match.cube, 1.0)(frame.pixels[:30].copy())
    assert float(ground.max()) < 0.999
