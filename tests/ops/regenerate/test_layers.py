"""Splitting a picture into layers: the layers keep their colours at another size, and the result is the picture under them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from goldsmith.operation import StepInputs
from goldsmith.ops.regenerate.layers import enlarge_layer, lay_over, layer_file
from goldsmith.ops.regenerate.operation import Regenerate
from goldsmith.picture.codec import decode


def half_clear(side: int = 16) -> Any:
    """Return a red layer whose right half is clear, and white there."""
    layer = np.ones((side, side, 4), np.float32)
    layer[:, : side // 2] = (1, 0, 0, 1)
    layer[:, side // 2 :, 3] = 0
    return layer


def test_clear_pixels_do_not_bleed_into_the_colours_of_others() -> None:
    """Check an enlargement: wherever something is to be seen, it is red."""
    large = enlarge_layer(half_clear(), 50, 70)
    assert large.shape == (50, 70, 4)
    visible = large[large[:, :, 3] > 0.02]
    assert visible[:, 0].min() > 0.99
    assert visible[:, 1:3].max() < 0.01
    assert (large[:, :20, 3].min(), large[:, 50:, 3].max()) == (1, 0)


def test_layers_are_laid_over_the_picture_from_below() -> None:
    """Check that the upper layer covers the lower one, and that the picture shows where both are clear."""
    blue = np.zeros((16, 16, 4), np.float32)
    blue[:8] = (0, 0, 1, 1)
    result = lay_over(np.full((16, 16, 3), 0.5, np.float32), [half_clear(), blue])
    assert [tuple(result[place]) for place in ((2, 2), (12, 2), (12, 12))] == [(0, 0, 1), (1, 0, 0), (0.5, 0.5, 0.5)]


def test_a_layer_is_a_file_with_alpha() -> None:
    """Check its name and its pixels."""
    file = layer_file(2, half_clear())
    assert file.tail + file.suffix == ".layer.part2.png"
    picture = decode(file.data, "layer.png", 10_000)
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, half_clear()[:, :, 3])


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"candidates": 2}, "candidates"),
        ({"strength": 0.5}, "strength"),
        ({"seeds": (1, 2)}, "seeds"),
        ({"guidance": (3, 5)}, "lists of settings"),
        ({"control": "edges"}, "control"),
        ({"refine": 2}, "refine"),
        ({"references": True}, "references"),
    ],
)
def test_settings_for_another_picture_do_not_go_with_layers(settings: dict[str, object], name: str) -> None:
    """Check the name that the note gives."""
    with pytest.raises(ValidationError, match=f"layers splits the picture as it is, once: remove {name}"):
        Regenerate.model_validate({"layers": 3, **settings})


def test_the_step_waits_for_its_picture_and_needs_a_model_that_splits() -> None:
    """Check the need, also with a reference picture beside the brief, which travels on."""
    step = Regenerate(layers=3)
    assert step.needs().needs_picture
    for needs in (step.needs(), step.needs_beside(StepInputs(has_references=True))):
        assert [need.can for need in needs.engines] == [{"layers"}]
