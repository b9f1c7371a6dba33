"""Tone match: black stays black, skin stays skin, and the backdrop's cast and range are taken over within limits."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data
from skimage.color import lab2rgb, rgb2lab

from goldsmith.ops.composite.tone_match import match_tone, measure_light

WHOLE = np.ones((200, 200), np.float32)
RANDOM = np.random.default_rng(1)


def _lab(lightness: float, a: float, b: float, spread: float = 0.0) -> NDArray[np.float32]:
    """Return a square (200, 200, 3) of that Lab colour (scikit-image's), 0..1, with lightness varied by ``spread``."""
    lab = np.full((200, 200, 3), (lightness, a, b), np.float64)
    lab[..., 0] += np.linspace(-spread, spread, 200)
    return np.clip(lab2rgb(lab, illuminant="D65"), 0, 1).astype(np.float32)


def _person() -> NDArray[np.float32]:
    """Return the portrait of scikit-image: a face, an orange suit, black cloth and a white collar."""
    return data.astronaut()[0:300, 100:400].astype(np.float32) / np.float32(255)


def _mean_lab(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(rgb2lab(pixels).reshape(-1, 3).mean(axis=0))


@pytest.mark.parametrize(
    "backdrop",
    [_lab(35, 0, -14, 30), _lab(70, 0, 0, 25), _lab(55, 12, 20, 40), _lab(50, -40, 40, 20)],
    ids=["dusk", "mist", "sunset", "lawn"],
)
def test_a_person_is_not_greyed(backdrop: NDArray[np.float32]) -> None:
    """At full strength, on four backdrops, black cloth stays below L* 13 and the face keeps its hue and two thirds of its b*."""
    person = _person()
    result = match_tone(person, np.ones(person.shape[:2], np.float32), backdrop, 1.0)
    face, cloth = np.s_[90:120, 110:140], np.s_[210:230, 115:135]
    before, after = _mean_lab(person[face]), _mean_lab(result[face])
    assert before[2] > 15
    assert after[2] > 0.66 * before[2]
    assert after[1] > 0
    assert abs(after[0] - before[0]) < 13
    assert _mean_lab(person[cloth])[0] < 5
    assert _mean_lab(result[cloth])[0] < 13


def test_a_grey_object_takes_the_cast_of_the_backdrop() -> None:
    """Greys of a layer in white light become as blue as the backdrop's, half of the way at half strength, with their luminance kept."""
    layer, backdrop = _lab(55, 0, 0, 30), _lab(55, 0, -10, 30)
    colours = [_mean_lab(match_tone(layer, WHOLE, backdrop, amount)) for amount in (0.0, 0.5, 1.0)]
    assert abs(colours[0][2]) < 0.5
    assert colours[2][2] == pytest.approx(-10, abs=2)
    assert colours[1][2] == pytest.approx(colours[2][2] / 2, abs=1)
    assert abs(colours[2][0] - colours[0][0]) < 2


def test_a_backdrop_without_greys_gives_no_cast() -> None:
    """On a lawn the colours of the layer stay."""
    layer = _lab(50, 0, 0, 40)
    assert measure_light(_lab(50, -40, 40, 20), WHOLE).cast is None  # type: ignore[union-attr]
    result = match_tone(layer, WHOLE, _lab(50, -40, 40, 40), 1.0)
    assert np.abs(rgb2lab(result)[..., 1:]).max() < 1.5


@pytest.mark.parametrize(("backdrop_black", "expected"), [(6.0, 6.0), (40.0, 12.0)])
def test_blacks_are_lifted_to_the_haze_within_the_limit(backdrop_black: float, expected: float) -> None:
    """Black of L* 2 goes to the backdrop's black, at most 10 L* further up; white stays where it is as bright as the backdrop's."""
    layer, backdrop = _lab(50, 0, 0, 48), _lab((backdrop_black + 98) / 2, 0, 0, (98 - backdrop_black) / 2)
    lightness = rgb2lab(match_tone(layer, WHOLE, backdrop, 1.0))[..., 0]
    assert np.percentile(lightness, 1) == pytest.approx(expected, abs=1.5)
    assert np.percentile(lightness, 99) == pytest.approx(97, abs=1.5)


def test_a_white_dress_is_not_stretched_to_black() -> None:
    """A layer without blacks of its own keeps its darkest tones above a backdrop with deep blacks."""
    dress = _lab(85, 0, 0, 8)
    lightness = rgb2lab(match_tone(dress, WHOLE, _lab(50, 0, 0, 49), 1.0))[..., 0]
    assert lightness.min() > 74


def test_only_opaque_pixels_are_measured_and_nothing_is_no_layer() -> None:
    """Colours under zero coverage do not affect the tone; a layer without coverage is returned itself."""
    layer, backdrop = _lab(60, 5, 8, 20), _lab(40, 0, -10, 20)
    cover, hidden = WHOLE.copy(), layer.copy()
    cover[:, 100:] = 0
    hidden[:, 100:] = (0, 1, 0)
    first, second = (match_tone(pixels, cover, backdrop, 1.0) for pixels in (layer, hidden))
    assert np.abs(first[:, :90] - second[:, :90]).max() < 0.01
    assert match_tone(layer, np.zeros_like(WHOLE), backdrop, 1.0) is layer


def test_a_grey_layer_stays_grey() -> None:
    """Layers with one channel keep it on a coloured backdrop."""
    result = match_tone(_lab(60, 0, 0, 30)[:, :, :1], WHOLE, _lab(40, 5, -10, 20), 1.0)
    assert result.shape == (200, 200, 1)
