"""The sheet of a review shows what the files say: sizes, colours and places are measured in the sheet itself."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import JsonValue

from goldsmith.jobs.job import StepResult, StepSpec
from goldsmith.picture.codec import decode
from goldsmith.picture.picture import Picture, freeze
from goldsmith.worker import review_sheet
from goldsmith.worker.review_sheet import ReviewedResult, mask_overlay, render_review_sheet

GREY, BLUE = (0.5, 0.5, 0.5), (0.1, 0.2, 0.9)


def plain(height: int, width: int, colour: tuple[float, float, float] = GREY) -> NDArray[np.float32]:
    return np.full((height, width, 3), colour, np.float32)


def reviewed(
    before: NDArray[np.float32] | None,
    after: NDArray[np.float32],
    masks: dict[str, NDArray[np.float32]] | None = None,
    findings: dict[str, JsonValue] | None = None,
    remarks: tuple[str, ...] = (),
) -> ReviewedResult:
    spec = StepSpec(op="inpaint", settings={"prompt": "a hand on the desk", "grow": 4})
    step = StepResult(op="inpaint", settings={}, seed=7, seconds=1.0, findings=findings or {}, engine={"name": "migan"})
    old = None if before is None else Picture(freeze(before))
    return ReviewedResult("hero", "edit", old, Picture(freeze(after)), masks or {}, [spec], [step], remarks)


def sheet_pixels(result: ReviewedResult) -> NDArray[np.float32]:
    return decode(render_review_sheet(result), "sheet.jpg", 10**8).pixels


def share_of(pixels: NDArray[np.float32], colour: tuple[float, float, float]) -> float:
    return float((np.abs(pixels - np.asarray(colour, np.float32)).max(axis=2) < 0.06).mean())


def test_the_changed_place_is_shown_at_full_size_before_and_after() -> None:
    """A blue patch of 120 x 90 px in a picture of 2000 x 1600 px is on the sheet with as many pixels, besides the reduced ones."""
    before, after = plain(1600, 2000), plain(1600, 2000)
    after[1200:1290, 300:420] = BLUE
    pixels = sheet_pixels(reviewed(before, after))
    blue = np.abs(pixels - np.asarray(BLUE, np.float32)).max(axis=2) < 0.06
    rows = np.flatnonzero(blue.sum(axis=1) >= 110)
    assert 80 <= len(rows) <= 92
    columns = np.flatnonzero(blue[rows].any(axis=0))
    assert 112 <= columns.max() - columns.min() + 1 <= 122


def test_places_that_have_not_changed_are_not_shown() -> None:
    """A result equal to the picture before has no crops."""
    assert review_sheet._crops(reviewed(plain(900, 900), plain(900, 900))) == []


def test_two_distant_changes_are_two_places_and_near_ones_are_one() -> None:
    """What fits into one crop is shown once."""
    far, near = plain(1400, 1400), plain(1400, 1400)
    far[100:140, 100:140] = far[1200:1240, 1200:1240] = BLUE
    near[600:640, 600:640] = near[660:700, 600:640] = BLUE
    counts = [len(review_sheet._crops(reviewed(plain(1400, 1400), after))) for after in (far, near)]
    assert counts == [2, 1]


def test_a_picture_that_has_changed_everywhere_shows_its_places_of_most_detail() -> None:
    """A grade changes every pixel, so the crops show where it can be judged."""
    before = plain(1000, 1500)
    after = before + np.float32(0.2)
    after[0:300, 1000:1400:2] = 0
    crops = review_sheet._crops(reviewed(before, after))
    assert 1 <= len(crops) <= 4
    assert crops[0].caption.startswith("the whole picture has changed")
    assert (crops[0].pixels[:, -480:] == 0).any()


def test_the_boxes_that_a_step_has_found_are_shown_with_their_names() -> None:
    """Boxes are found in any depth of the findings; one outside the picture is left out."""
    findings: dict[str, JsonValue] = {"banding": [{"box": [100, 100, 40, 40], "before": 3.0}, {"box": [5000, 0, 9, 9]}]}
    crops = review_sheet._crops(reviewed(plain(900, 900), plain(900, 900), findings=findings))
    assert [crop.caption for crop in crops] == ["inpaint: banding, before and after at 100 %"]


def test_an_enlarged_result_is_compared_at_its_own_size() -> None:
    """The picture before is enlarged for the crops, so both sides show the same place."""
    crops = review_sheet._crops(reviewed(plain(400, 400), plain(800, 800, BLUE)))
    assert {crop.pixels.shape for crop in crops} == {(400, 976, 3)} or {crop.pixels.shape for crop in crops} == {(480, 976, 3)}


def test_the_mask_is_red_over_the_picture_and_nowhere_else() -> None:
    """Outside the mask the overlay is the picture itself."""
    mask = np.zeros((60, 80), np.float32)
    mask[:, :40] = 1
    overlay = mask_overlay(Picture(freeze(plain(60, 80))), mask, 200).astype(np.int32)
    assert (overlay[:, 45:] == round(0.5 * 255)).all()
    assert (overlay[:, :35, 0] - overlay[:, :35, 1] > 80).all()


def test_the_words_name_the_step_its_settings_and_the_pixels_outside_the_mask() -> None:
    """Settings are those of the brief; remarks come last."""
    findings: dict[str, JsonValue] = {"outside_pixels": 12345, "outside_changed": 0}
    result = reviewed(plain(50, 50), plain(50, 50), findings=findings, remarks=("It has 2 frames.",))
    assert [line.text.strip() for line in review_sheet._lines_of_words(result)] == [
        "1. inpaint: prompt “a hand on the desk”, grow 4; made with migan, seed 7",
        "Outside the mask 0 of 12,345 pixels changed.",
        "It has 2 frames.",
    ]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 3000), (3000, 2), (479, 481), (1200, 1800)])
def test_pictures_of_any_size_make_a_sheet_of_one_width(height: int, width: int) -> None:
    """Also without a picture before: the stage has made it from words."""
    mask = {"mask": np.ones((height, width), np.float32)}
    for before in (None, plain(height, width)):
        pixels = sheet_pixels(reviewed(before, plain(height, width, BLUE), mask if before is not None else None))
        assert pixels.shape[1] == 2000
        assert height * width == 1 or share_of(pixels, BLUE) > 0


def test_grey_and_transparent_pictures_make_a_sheet() -> None:
    """Also if only one of the two is grey or transparent."""
    grey = Picture(freeze(np.full((300, 300, 1), 0.5, np.float32)))
    alpha = freeze(np.tile(np.linspace(0, 1, 300, dtype=np.float32), (300, 1)))
    clear = Picture(freeze(plain(300, 300, BLUE)), alpha)
    base = reviewed(plain(300, 300), plain(300, 300))
    for before, after in ((grey, clear), (clear, grey)):
        result = ReviewedResult("hero", "edit", before, after, {}, base.specs, base.steps, ())
        assert sheet_pixels(result).shape[1] == 2000
