"""resize: sizes are whole numbers, averages are in linear light, and masks and alpha are resized, too."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from doubles.step_context import StepContextDouble
from goldsmith.errors import InputError
from goldsmith.ops.resize import Resize
from goldsmith.picture.picture import Picture, freeze
from goldsmith.picture.size_fitting import anchor_offset, fill_size, fit_size, scale_size

_SIDE = st.integers(1, 30000)
_SIZE = st.tuples(_SIDE, _SIDE)


def _picture(width: int = 60, height: int = 40, alpha: bool = False) -> Picture:
    pixels = np.random.default_rng(3).random((height, width, 3), dtype=np.float32)
    ramp = np.tile(np.linspace(0, 1, width, dtype=np.float32), (height, 1))
    return Picture(freeze(pixels), alpha=freeze(ramp) if alpha else None, ppi=(300, 300), masks={"mask": freeze(ramp)})


@given(_SIZE, _SIZE, st.booleans())
def test_fit_is_inside_the_box_and_keeps_the_shape(size: tuple[int, int], box: tuple[int, int], enlarge: bool) -> None:
    """Never outside the box, never off the shape by more than a pixel, and only enlarged if allowed."""
    width, height = fit_size(size, box, enlarge)
    assert 1 <= width <= box[0]
    assert 1 <= height <= box[1]
    if not enlarge:
        assert width <= size[0]
        assert height <= size[1]
    if enlarge or size[0] > box[0] or size[1] > box[1]:
        assert width == box[0] or height == box[1]
    factor = min(box[0] / size[0], box[1] / size[1])
    factor = factor if enlarge else min(1.0, factor)
    assert abs(width - size[0] * factor) < 1
    assert abs(height - size[1] * factor) < 1


@given(_SIZE, _SIZE, st.booleans(), st.sampled_from(["center", "left", "right", "top", "bottom", "top-left", "bottom-right"]))
def test_fill_has_the_shape_of_the_box_and_crops_inside_the_picture(
    size: tuple[int, int], box: tuple[int, int], enlarge: bool, anchor: str
) -> None:
    """Results have the size of the box, or less if the picture is smaller."""
    part, after = fill_size(size, box, enlarge)
    left, top = anchor_offset(size, part, anchor)  # type: ignore[arg-type]
    assert left >= 0
    assert top >= 0
    assert left + part[0] <= size[0]
    assert top + part[1] <= size[1]
    assert part[0] == size[0] or part[1] == size[1]
    assert after == box if enlarge else after[0] <= max(box[0], 1) or after == part


@given(_SIZE, st.floats(0.01, 16))
def test_a_factor_leaves_at_least_one_pixel(size: tuple[int, int], factor: float) -> None:
    """Sides are the rounded product, and at least one pixel."""
    width, height = scale_size(size, factor)
    assert width == max(1, round(size[0] * factor))
    assert height == max(1, round(size[1] * factor))


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"size": [30, 30]}, (30, 20)),
        ({"size": [30000, 20]}, (30, 20)),
        ({"size": [120, 120], "enlarge": True}, (120, 80)),
        ({"size": [30, 30], "mode": "fill"}, (30, 30)),
        ({"size": [90, 90], "mode": "fill"}, (40, 40)),
        ({"size": [90, 90], "mode": "fill", "enlarge": True}, (90, 90)),
        ({"size": [10, 40], "mode": "exact"}, (10, 40)),
        ({"factor": 0.5}, (30, 20)),
        ({"percent": 200, "enlarge": True}, (120, 80)),
    ],
)
def test_the_result_has_the_requested_size(options: dict[str, object], size: tuple[int, int]) -> None:
    """Pixels, masks and alpha have the same new size; ppi does not change."""
    result = Resize.model_validate(options).apply(_picture(alpha=True), StepContextDouble())
    assert (result.width, result.height) == size
    assert result.alpha is not None
    assert result.alpha.shape == result.masks["mask"].shape == size[::-1]
    assert result.ppi == (300, 300)
    assert 0 <= result.pixels.min() <= result.pixels.max() <= 1


@pytest.mark.parametrize(
    "options", [{"size": [60, 40]}, {"size": [600, 400]}, {"factor": 1}, {"percent": 100}, {"size": [60, 40], "mode": "fill"}]
)
def test_the_same_size_returns_the_same_picture(options: dict[str, object]) -> None:
    """Smaller pictures are not enlarged either."""
    picture = _picture()
    assert Resize.model_validate(options).apply(picture, StepContextDouble()) is picture


def test_fine_lines_are_averaged_in_linear_light() -> None:
    """Fine black and white lines shrink to half the light: display code 188, not 128."""
    lines = np.zeros((64, 64, 3), np.float32)
    lines[::2] = 1.0
    result = Resize(factor=0.25).apply(Picture(freeze(lines)), StepContextDouble())
    assert np.abs(result.pixels[4:-4] - 188 / 255).max() < 1.5 / 255


def test_a_flat_colour_stays_that_colour() -> None:
    """Resizing neither darkens the border nor shifts the tone."""
    flat = np.broadcast_to(np.array([0.2, 0.5, 0.8], np.float32), (37, 53, 3))
    result = Resize(size=(20, 20)).apply(Picture(freeze(flat)), StepContextDouble())
    assert np.abs(result.pixels - flat[0, 0]).max() < 0.3 / 255


def test_hidden_colours_do_not_bleed_into_the_edge() -> None:
    """Red under alpha 0 leaves no red rim around a green shape."""
    pixels = np.zeros((64, 64, 3), np.float32)
    pixels[..., 0] = 1.0
    pixels[20:44, 20:44] = (0, 1, 0)
    alpha = np.zeros((64, 64), np.float32)
    alpha[20:44, 20:44] = 1.0
    result = Resize(factor=0.4).apply(Picture(freeze(pixels), alpha=freeze(alpha)), StepContextDouble())
    assert result.alpha is not None
    assert result.pixels[result.alpha > 0.05, 0].max() < 0.02


@pytest.mark.parametrize(("size", "alpha"), [((150, 30), False), ((61, 47), True), ((900, 160), False)])
def test_resized_letters_get_no_rims(size: tuple[int, int], alpha: bool) -> None:
    """Light letters on a dark ground, reduced or enlarged: no pixel is darker than the ground or lighter than the letters."""
    page = np.full((80, 400, 3), 30, np.uint8)
    cv2.putText(page, "GOLD Ag 12", (8, 58), cv2.FONT_HERSHEY_TRIPLEX, 1.6, (250, 240, 220), 2, cv2.LINE_AA)
    pixels = page.astype(np.float32) / 255
    cover = freeze(np.ones(page.shape[:2])) if alpha else None
    result = Resize(size=size, mode="exact", enlarge=True).apply(Picture(freeze(pixels), alpha=cover), StepContextDouble())
    assert result.pixels.min() > 29.9 / 255
    assert (result.pixels.max(axis=(0, 1)) < np.array([250.1, 240.1, 220.1]) / 255).all()
    assert result.pixels.max() > 200 / 255


@pytest.mark.parametrize(("anchor", "shade"), [("left", 0.0), ("right", 1.0), ("top-left", 0.0)])
def test_fill_keeps_the_part_at_the_anchor(anchor: str, shade: float) -> None:
    """Wide pictures cropped to a square keep their left or right end."""
    pixels = np.zeros((20, 100, 1), np.float32)
    pixels[:, 50:] = 1.0
    result = Resize.model_validate({"size": [20, 20], "mode": "fill", "anchor": anchor}).apply(Picture(freeze(pixels)), StepContextDouble())
    assert (result.pixels == shade).all()


def test_exact_enlarges_only_if_allowed() -> None:
    """Pictures that are too small are refused; the remedy names the setting that allows it."""
    with pytest.raises(InputError) as caught:
        Resize(size=(100, 20), mode="exact").apply(_picture(), StepContextDouble())
    assert "60 x 40 px" in caught.value.sentence
    assert "enlarge = true" in caught.value.remedy


def test_a_result_of_too_many_pixels_is_refused_before_any_work() -> None:
    """Sixteen times a large picture is refused by its size."""
    large = Picture(np.broadcast_to(np.float32(0.5), (4000, 6000, 3)))
    with pytest.raises(InputError, match="200 megapixels"):
        Resize(factor=16, enlarge=True).apply(large, StepContextDouble())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"size": [10, 10], "factor": 0.5},
        {"size": [40000, 25000]},
        {"size": [30000, 30000], "enlarge": True},
        {"size": [30000, 30000], "mode": "fill"},
        {"size": [-5, 10]},
        {"size": [10]},
        {"size": [0, 10]},
        {"factor": 2},
        {"percent": 150},
        {"factor": float("nan")},
        {"factor": 1e9, "enlarge": True},
        {"factor": 0.5, "mode": "fill"},
        {"size": [10, 10], "mode": "stretch"},
    ],
)
def test_impossible_settings_are_refused(options: dict[str, object]) -> None:
    """Missing sizes, two sizes, absurd sizes and unintended enlargement are refused when the brief is read."""
    with pytest.raises(ValidationError):
        Resize.model_validate(options)


def test_fill_keeps_the_subject() -> None:
    """The mask is cropped at the same place as the pixels; the part is on record, and fixed anchors need no engine."""
    subject = np.zeros((40, 60), np.float32)
    subject[10:30, 44:56] = 1
    context = StepContextDouble(spots={"subject": freeze(subject)})
    picture = _picture()
    operation = Resize(size=(40, 40), mode="fill", anchor="subject")
    result = operation.apply(picture, context)
    assert context.results.findings["crop"] == [20, 0, 40, 40]
    assert context.results.findings["subject_kept"] == 1
    assert np.array_equal(result.pixels, picture.pixels[:, 20:])
    assert np.array_equal(result.masks["mask"], picture.masks["mask"][:, 20:])
    assert len(operation.needs().engines) == 2
    assert Resize(size=(40, 40), mode="fill", anchor="left").needs().engines == ()
