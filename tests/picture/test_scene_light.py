"""Greys and skin are found in any light, and other colours are not taken for them."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data
from skimage.color import rgb2lab

from goldsmith.picture.scene_light import mean_grey, skin_likeness


@pytest.mark.parametrize("cast", [(0.0, 0.0), (3.0, 12.0), (-2.0, -12.0)])
def test_the_mean_of_the_greys_is_the_cast(cast: tuple[float, float]) -> None:
    """Greys under a cast are found among stronger colours, to within two units."""
    random = np.random.default_rng(1)
    greys = np.column_stack([random.uniform(20, 90, 2000), *(random.normal(value, 2.0, 2000) for value in cast)])
    colours = np.column_stack([random.uniform(20, 90, 3000), random.normal(45, 8, 3000), random.normal(35, 8, 3000)])
    assert mean_grey(np.concatenate([greys, colours])) == pytest.approx(cast, abs=2)


def test_a_lawn_has_no_greys() -> None:
    """Without colours near the neutral axis there is no answer, nor for no colours at all."""
    lawn = np.column_stack([np.linspace(20, 80, 500), np.full(500, -40.0), np.full(500, 40.0)])
    assert mean_grey(lawn) is None
    assert mean_grey(np.empty((0, 3))) is None


@pytest.mark.parametrize("colour", [(75, 14, 18), (45, 16, 22), (60, 12, 16)])
def test_skin_of_any_darkness_is_known(colour: tuple[float, float, float]) -> None:
    """Light, dark and middle skin count as skin; grey, sky, grass and a red coat do not."""
    assert skin_likeness(np.array(colour, np.float64)) > 0.9
    for other in ((60, 0, 0), (60, -5, -25), (50, -35, 35), (45, 65, 45)):
        assert skin_likeness(np.array(other, np.float64)) < 0.1


def test_a_face_is_skin_and_its_background_is_not() -> None:
    """In the portrait of scikit-image most of the face is skin, and next to nothing of the grey wall."""
    lab = rgb2lab(data.astronaut())
    assert skin_likeness(lab[90:120, 210:240]).mean() > 0.7
    assert skin_likeness(lab[20:120, 300:360]).mean() < 0.3
