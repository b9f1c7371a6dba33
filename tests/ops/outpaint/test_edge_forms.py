"""edges_with_forms: the edges beside which a picture has more than slopes and grain."""

from __future__ import annotations

import numpy as np
import pytest

from goldsmith.ops.outpaint.edge_forms import edges_with_forms
from goldsmith.picture.picture import Pixels

SIDES = ("left", "right", "top", "bottom")


def _backdrop(channels: int = 3) -> Pixels:
    """Return a backdrop that becomes darker to the right, with grain."""
    slope = np.tile(np.linspace(0.8, 0.5, 600, dtype=np.float32), (400, 1))
    noise = np.random.default_rng(1).normal(0, 0.01, slope.shape).astype(np.float32)
    return np.repeat((slope + noise)[..., None], channels, axis=2)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_backdrop_of_slopes_and_grain_has_no_forms_at_its_edges(channels: int) -> None:
    """Nothing of it can bend or appear twice."""
    assert edges_with_forms(_backdrop(channels), SIDES) == ()


def test_an_edge_that_cuts_a_thing_is_named_and_no_other() -> None:
    """A board that runs out of the picture on the right is a form there; the other edges are smooth."""
    pixels = _backdrop()
    pixels[180:230, 400:] = 0.15
    assert edges_with_forms(pixels, SIDES) == ("right",)


def test_only_the_edges_that_grow_are_looked_at() -> None:
    """Where nothing is added, nothing is remarked."""
    pixels = _backdrop()
    pixels[180:230, 400:] = 0.15
    assert edges_with_forms(pixels, ("left", "top")) == ()


def test_what_is_not_continued_is_no_form() -> None:
    """A subject near the edge is hidden from the engine, so it cannot appear twice."""
    pixels, hidden = _backdrop(), np.zeros((400, 600), np.float32)
    pixels[180:230, 520:580] = 0.15
    hidden[170:240, 510:590] = 1
    assert edges_with_forms(pixels, SIDES, hidden) == ()
    assert edges_with_forms(pixels, SIDES) == ("right",)


def test_a_large_picture_is_measured_on_a_copy() -> None:
    """A thing is found at any size."""
    pixels = np.full((1500, 3000, 3), 0.6, np.float32)
    pixels[600:900, :500] = 0.2
    assert edges_with_forms(pixels, SIDES) == ("left",)
