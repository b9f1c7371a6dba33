"""geometry: one resampling for turn, perspective and lens; masks go with the picture, and without settings nothing changes."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError
from skimage import data

from doubles.operation_samples import picture as noisy
from doubles.step_context import StepContextDouble
from goldsmith.errors import InputError
from goldsmith.ops.geometry.operation import Geometry
from goldsmith.picture.picture import Picture, freeze


def correct(picture: Picture, **settings: Any) -> tuple[Picture, dict[str, Any]]:
    context = StepContextDouble()
    return Geometry.model_validate(settings).apply(picture, context), dict(context.results.findings)


def linear_picture(values: np.ndarray) -> Picture:
    """Return a picture whose linear light is given, so that a warp of the light can be compared with a warp of plain numbers."""
    encoded = np.where(values <= 0.0031308, values * 12.92, 1.055 * np.maximum(values, 0) ** (1 / 2.4) - 0.055)
    return Picture(freeze(encoded.astype(np.float32)))


def to_light(pixels: np.ndarray) -> np.ndarray:
    return np.where(pixels <= 0.04045, pixels / 12.92, ((pixels + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("settings", [{}, {"focal": 50}, {"lens": {}}, {"turn": 0, "tilt": 0, "pan": 0}])
def test_neutral_settings_return_the_picture_itself(settings: dict[str, Any]) -> None:
    """No pixel is touched."""
    source = noisy(40, 60, alpha=True)
    assert correct(source, **settings)[0] is source


def test_a_flat_picture_with_auto_stays_itself_and_is_remarked() -> None:
    """Nothing tells how it was held."""
    source = Picture(freeze(np.full((120, 160, 3), 0.4, np.float32)))
    result, record = correct(source, turn="auto", tilt="auto")
    assert result is source
    assert record["remark"].startswith("neither verticals nor a horizon")


def test_the_light_is_that_of_an_independent_rotation() -> None:
    """Smooth light turned by 6 degrees is its own formula at the turned points, to 0.2 %."""

    def light(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        waves = (np.sin(x / 17), np.cos(y / 13), np.sin((x + y) / 23))
        return np.stack([0.5 + 0.4 * wave for wave in waves], axis=-1)

    y, x = np.mgrid[0:200, 0:300].astype(np.float64)
    result, record = correct(linear_picture(light(x, y)), turn=6)
    width, height = record["size_after"]
    # Rows and columns of the result round the middle of the picture, turned back by 6 degrees.
    across, down = np.meshgrid(np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2)
    matrix = cv2.getRotationMatrix2D((0, 0), 6, 1)[:, :2]
    points = np.stack([across, down], axis=-1) @ matrix.T
    expected = light(points[..., 0] + 149.5, points[..., 1] + 99.5)
    difference = np.abs(to_light(result.pixels) - expected)[3:-3, 3:-3]
    assert np.percentile(difference, 99) < 0.02
    assert difference.mean() < 0.012


def test_there_and_back_is_the_picture_again() -> None:
    """Turned by 3 degrees and back, a photograph differs by less than 3 codes in the mean from the picture at that place."""
    source = Picture(freeze(data.astronaut()[:300, :400].astype(np.float32) / 255))
    back, _ = correct(correct(source, turn=3)[0], turn=-3)
    template = np.ascontiguousarray(back.pixels[30:-30, 30:-30])
    scores = cv2.matchTemplate(source.pixels, template, cv2.TM_SQDIFF)
    _, _, (left, top), _ = cv2.minMaxLoc(scores)
    crop = source.pixels[top : top + template.shape[0], left : left + template.shape[1]]
    assert np.abs(crop - template).mean() < 5 / 255


def test_alpha_and_masks_go_with_the_picture() -> None:
    """A disc in pixels, alpha and mask stays one disc; ppi and depth stay."""
    y, x = np.mgrid[0:240, 0:320]
    disc = (np.hypot(x - 200, y - 90) < 40).astype(np.float32)
    source = Picture(freeze(np.repeat(disc[..., None], 3, axis=2)), alpha=freeze(disc), ppi=(72, 72), masks={"mask": freeze(disc)})
    result, _ = correct(source, turn=5, tilt=6, lens={"k1": -0.1})
    assert result.alpha is not None
    for plane in (result.alpha, result.masks["mask"]):
        assert 0.8 < plane.sum() / (np.pi * 40**2) < 1.3
    assert np.abs((result.alpha > 0.5) ^ (result.masks["mask"] > 0.5)).mean() < 0.002
    assert result.pixels[result.masks["mask"] > 0.99].min() > 0.99
    assert (result.ppi, result.depth) == ((72, 72), 8)


def test_hidden_colours_do_not_show_at_an_edge_of_alpha() -> None:
    """Red under alpha 0 leaves no red rim round a green shape."""
    pixels = np.zeros((96, 96, 3), np.float32)
    pixels[..., 0], alpha = 1, np.zeros((96, 96), np.float32)
    pixels[30:66, 30:66], alpha[30:66, 30:66] = (0, 1, 0), 1
    result, _ = correct(Picture(freeze(pixels), alpha=freeze(alpha)), turn=11)
    assert result.alpha is not None
    assert result.pixels[result.alpha > 0.05, 0].max() < 0.02


def test_edges_get_no_rims() -> None:
    """Beside a hard edge nothing is darker or lighter than its two sides."""
    pixels = np.full((120, 160, 3), 0.2, np.float32)
    pixels[:, 80:] = 0.9
    result, _ = correct(Picture(freeze(pixels)), turn=4, tilt=3)
    assert result.pixels.min() > 0.2 - 1e-3
    assert result.pixels.max() < 0.9 + 1e-3


def test_large_pictures_are_seamless() -> None:
    """A ramp in a picture of several tiles rises as evenly as before."""
    ramp = np.tile(np.linspace(0.1, 0.9, 700, dtype=np.float32), (560, 1))
    result, _ = correct(Picture(freeze(ramp[..., None])), turn=2)
    step = 0.8 / 699
    assert np.abs(np.diff(result.pixels[..., 0], axis=1) - step).max() < 0.5 * step
    assert np.abs(np.diff(result.pixels[..., 0], axis=0)).max() < 0.5 * step


def test_a_correction_that_leaves_nothing_is_refused() -> None:
    """The message says what to make smaller."""
    with pytest.raises(InputError, match="less than a tenth"):
        correct(noisy(4, 80), turn=45)


def test_the_memory_is_checked_for_the_result() -> None:
    """The limit of the job applies to the size after the correction."""
    context = StepContextDouble()
    result = Geometry(turn=3).apply(noisy(60, 80), context)
    assert context.results.checked_sizes == [(result.width, result.height)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"turn": 46}, "45"),
        ({"turn": "level"}, "auto"),
        ({"tilt": 50}, "45"),
        ({"corners": [[0, 0], [0, 1], [1, 1], [1, 0]]}, "clockwise"),
        ({"corners": [[0, 0], [1, 0], [0.2, 0.2], [0, 1]]}, "convex"),
        ({"lens": {"k1": 1}}, "0.5"),
    ],
)
def test_wrong_settings_are_refused_with_the_brief(settings: dict[str, Any], message: str) -> None:
    """Validation names the limit or the order of the points."""
    with pytest.raises(ValidationError, match=message):
        Geometry.model_validate(settings)
