"""select measures a picture, records the result, and holds a picture that breaks a limit."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from skimage import data

from doubles.step_context import StepContextDouble
from goldsmith.errors import InputError
from goldsmith.ops.regenerate.operation import Regenerate
from goldsmith.ops.select.operation import Select, _caption, _remarks, quality_score
from goldsmith.picture.codec import decode
from goldsmith.picture.picture import Picture, freeze
from goldsmith.picture.quality_metrics import assess, estimate_noise, measure_sharpness


def _photograph(blur: float = 0.0) -> Picture:
    picture = data.chelsea()
    if blur:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    return Picture(freeze(picture.astype(np.float32) / 255))


def _three_candidates() -> list[Picture]:
    return [_photograph(4.0), _photograph(), _flat(1.0)]


def _flat(value: float, side: int = 64) -> Picture:
    return Picture(freeze(np.full((side, side, 3), value, np.float32)))


def test_by_default_every_picture_passes_unchanged() -> None:
    """Pictures with every fault pass unchanged, with their faults on record."""
    context, picture = StepContextDouble(), _flat(1.0)
    assert Select().apply_set([picture], context) == [picture]
    assert context.results.findings["remarks"] == ["no edges to measure sharpness by", "clipped highlights 100.0 %"]
    assert context.results.findings["clipped_highlights"] == [100.0, 100.0, 100.0]


def test_a_blurred_photograph_is_soft() -> None:
    """Sharpness falls with blur, and strong blur gets the remark."""
    steps = [assess(_photograph(blur)).sharpness for blur in (0.0, 1.0, 2.0, 4.0)]
    assert all(sharper is not None and softer is not None and sharper > softer for sharper, softer in pairwise(steps))
    context = StepContextDouble()
    Select().apply_set([_photograph(4.0)], context)
    assert context.results.findings["remarks"] == ["soft"]


@pytest.mark.parametrize("quality", [50, 75, 95])
def test_grain_and_jpeg_blocks_do_not_make_a_blurred_picture_sharp(quality: int) -> None:
    """A blurred photograph with grain, read from a JPEG, counts as soft, and a sharp one without grain is preferred to it."""
    blurred = _photograph(4.0)
    grain = np.random.default_rng(3).normal(0, 0.02, blurred.pixels.shape[:2])[:, :, None]
    codes = np.rint(np.clip(blurred.pixels + grain, 0, 1) * 255).astype(np.uint8)
    decoded = cv2.imdecode(cv2.imencode(".jpg", codes, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    grainy = Picture(freeze(np.asarray(decoded, np.float32) / 255))
    context, sharp = StepContextDouble(), _photograph()
    assert Select().apply_set([grainy, sharp], context) == [sharp]
    assert "soft" in _remarks(assess(grainy))


@pytest.mark.parametrize(("blur", "low", "high"), [(0.0, 90, 100), (1.0, 60, 70), (2.0, 28, 33), (4.0, 1, 10)])
def test_an_edge_has_the_sharpness_of_its_blur(blur: float, low: float, high: float) -> None:
    """The edges of a dark square, whatever their contrast and direction: 90 and more, and about 60, 30 and 10 blurred by 1, 2 and 4 px."""
    plane = np.full((192, 192), 0.8, np.float32)
    plane[60:130, 60:130] = 0.4
    if blur:
        plane = cv2.GaussianBlur(plane, (0, 0), blur)
    rotation = cv2.getRotationMatrix2D((96, 96), 30, 1)
    for edges in (plane, plane * 0.5, plane.T, cv2.warpAffine(plane, rotation, (192, 192), borderMode=cv2.BORDER_REFLECT)):
        sharpness = measure_sharpness(np.asarray(edges, np.float32))
        assert sharpness is not None
        assert low <= sharpness <= high


def test_a_blurred_background_does_not_make_a_picture_soft() -> None:
    """Sharp subjects on a blurred background count as sharp."""
    pixels = _photograph(6.0).pixels.copy()
    pixels[80:220, 150:330] = _photograph().pixels[80:220, 150:330]
    whole = assess(Picture(freeze(pixels))).sharpness
    assert whole is not None
    assert whole > 45


def test_noise_is_not_sharpness() -> None:
    """Plain areas with noise have no edges to measure."""
    grain = np.random.default_rng(1).standard_normal((256, 256))
    plane = freeze(np.clip(0.5 + 0.04 * grain, 0, 1))
    assert measure_sharpness(plane, estimate_noise(plane)) is None


@settings(max_examples=15, deadline=None)
@given(sigma=st.floats(0.004, 0.08), level=st.floats(0.4, 0.6), seed=st.integers(0, 9))
def test_noise_is_estimated_correctly(sigma: float, level: float, seed: int) -> None:
    """Estimates are within 15 % of the standard deviation of noise on a slope."""
    slope = np.linspace(-0.05, 0.05, 512)[:, None]
    plane = freeze(level + slope + sigma * np.random.default_rng(seed).standard_normal((512, 512)))
    assert estimate_noise(plane) == pytest.approx(sigma, rel=0.15)


def test_transparent_pixels_do_not_count_as_clipped() -> None:
    """White under alpha 0 is not a blown highlight."""
    pixels = np.full((32, 32, 3), 0.5, np.float32)
    pixels[:16] = 1.0
    alpha = np.zeros((32, 32), np.float32)
    alpha[16:] = 1.0
    assert assess(Picture(freeze(pixels))).max_clipped_highlights == 50.0
    assert assess(Picture(freeze(pixels), alpha=freeze(alpha))).max_clipped_highlights == 0.0


@pytest.mark.parametrize(
    ("limit", "picture", "message"),
    [
        ({"min_side": 512}, _photograph(), "451 x 300 px"),
        ({"min_sharpness": 40}, _photograph(4.0), "too soft: sharpness 7"),
        ({"max_clipped": 5}, _flat(1.0), "100.0 % blown highlights"),
        ({"max_black": 5}, _flat(0.0), "100.0 % pure black"),
    ],
)
def test_a_broken_limit_holds_the_picture_with_the_figure(limit: dict[str, float], picture: Picture, message: str) -> None:
    """InputError gives the measured value and the setting."""
    with pytest.raises(InputError) as caught:
        Select(**limit).apply_set([picture], StepContextDouble())
    assert message in caught.value.sentence
    assert next(iter(limit)) in caught.value.sentence
    assert caught.value.remedy


def test_too_much_noise_holds_the_picture() -> None:
    """max_noise is in per cent of full scale."""
    grain = np.random.default_rng(1).standard_normal((128, 128, 1)).astype(np.float32)
    picture = Picture(freeze(0.5 + 0.05 * grain))
    assert Select(max_noise=7).apply_set([picture], StepContextDouble()) == [picture]
    with pytest.raises(InputError, match="too noisy"):
        Select(max_noise=3).apply_set([picture], StepContextDouble())


def test_the_best_of_several_is_kept() -> None:
    """Sharp pictures are kept over soft and blown ones, and all are on record."""
    context, pictures = StepContextDouble(), [_photograph(4.0), _photograph(), _flat(1.0)]
    assert Select(keep=1).apply_set(pictures, context) == [pictures[1]]
    assert context.results.findings["kept"] == [2]
    assert len(context.results.findings["candidates"]) == 3  # type: ignore[arg-type]


def test_rejected_candidates_are_archived_with_a_contact_sheet() -> None:
    """Rejected candidates are archived unchanged with number, seed and score; the kept one is only on the sheet."""
    context = StepContextDouble()
    pictures = [
        replace(picture, record_values={"number": number, "seed": 100 + number}) for number, picture in enumerate(_three_candidates(), 4)
    ]
    assert Select().apply_set(pictures, context) == [pictures[1]]
    *rejected, sheet = context.results.archived
    assert [file.tail + file.suffix for file in context.results.archived] == ["_candidate004.png", "_candidate006.png", "_candidates.jpg"]
    assert [(file.facts["number"], file.facts["seed"]) for file in rejected] == [(4, 104), (6, 106)]
    assert [file.facts["score"] for file in rejected] == [quality_score(assess(pictures[index])) for index in (0, 2)]
    for file, index in zip(rejected, (0, 2), strict=True):
        decoded = decode(file.data, "other.png", 10**7)
        assert np.array_equal(decoded.to_codes(), pictures[index].to_codes())
    assert decode(sheet.data, "sheet.jpg", 10**7).width > 600
    assert context.results.findings["kept"] == [5]


def test_the_sheet_says_the_line_that_makes_a_candidate_again() -> None:
    """Check that it can be typed into the step as it is."""
    picture = replace(_photograph(), record_values={"number": 4, "seed": 1973676029})
    caption = _caption(picture, 3, assess(picture), False)
    assert caption[1] == "seeds = [1973676029]"
    assert Regenerate.model_validate(tomllib.loads(caption[1])).seeds == (1973676029,)
    assert "the end of the prompt was ignored" not in caption[-1]
    truncated = replace(picture, record_values={**picture.record_values, "prompt_truncated": 1})
    assert "the end of the prompt was ignored" in _caption(truncated, 3, assess(picture), False)[-1]
    as_words = replace(picture, record_values={**picture.record_values, "weights_read_as_words": 1})
    assert "weights were read as words" in _caption(as_words, 3, assess(picture), False)[-1]
    assert [line for line in _caption(_photograph(), 0, assess(picture), False) if "seed" in line] == []


def test_candidates_that_are_all_rejected_are_shown() -> None:
    """Check that the sheet of all is kept for the note, with the lines that make them again, and that the reasons have their numbers."""
    context = StepContextDouble()
    pictures = [
        replace(picture, record_values={"number": number, "seed": 100 + number}) for number, picture in enumerate(_three_candidates(), 4)
    ]
    with pytest.raises(InputError, match=r"rejected every candidate: number 4: is 451 x 300 px: .*; 6: is 64 x 64 px") as caught:
        Select(min_side=1000).apply_set(pictures, context)
    assert "The picture beside this note shows all candidates. Under each is the line for the regenerate step" in caught.value.remedy
    (sheet,) = context.results.problem_pictures
    assert sheet.width > 600
    assert context.results.archived == []
    with pytest.raises(InputError, match="; and 12 more"):
        Select(min_side=1000).apply_set([_flat(1.0)] * 20, StepContextDouble())


def test_a_single_picture_archives_nothing() -> None:
    """Without a set nothing is archived."""
    context = StepContextDouble()
    Select().apply_set([_photograph()], context)
    assert context.results.archived == []


def test_of_two_with_blown_highlights_the_better_exposed_one_is_kept() -> None:
    """What is blown ends in a hard edge, so an overexposed candidate may measure sharper; where it is white it has lost its detail."""
    photograph = assess(_photograph())
    exposed = replace(photograph, sharpness=86.0, clipped_highlights=(36.0, 0.0, 0.0))
    blown = replace(photograph, sharpness=100.0, clipped_highlights=(82.0, 75.0, 66.0))
    assert _remarks(exposed) != _remarks(photograph)
    assert quality_score(exposed) > quality_score(blown)


def test_the_score_gives_the_order_of_selection() -> None:
    """Scores order by fewest remarks, then sharpness, from 0 to 100."""
    scores = [quality_score(assess(picture)) for picture in (_photograph(), _photograph(1.0), _photograph(4.0), _flat(1.0))]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 4
    assert all(0 <= score <= 100 for score in scores)


@pytest.mark.parametrize(("keep", "count", "expected"), [(1, 8, 1), (3, 8, 3), (3, 2, 2), (64, 1, 1)])
def test_the_number_kept_follows_from_the_settings(keep: int, count: int, expected: int) -> None:
    """max_results is known before anything runs, so that a brief can be checked."""
    assert Select(keep=keep).max_results(count) == expected


@pytest.mark.parametrize("wrong", [{"keep": 0}, {"keep": 1.5}, {"max_clipped": 101}, {"min_side": -1}, {"max_noise": float("nan")}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    """Validation refuses impossible limits before anything runs."""
    with pytest.raises(ValidationError):
        Select(**wrong)


def test_a_picture_of_one_pixel_is_measured() -> None:
    """Pictures of one pixel pass without an error."""
    for channels in (1, 3):
        picture = Picture(freeze(np.full((1, 1, channels), 0.5, np.float32)))
        assert Select().apply_set([picture], StepContextDouble()) == [picture]
