"""A model looks twice at what it found: what it sees again counts, and what it sees otherwise is uncertain."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from goldsmith.engines.protocols import EngineDescriptor
from goldsmith.picture.picture import Mask, Pixels
from goldsmith.worker.second_look import look_again

BOX = np.s_[80:120, 130:180]


class SeesBright:
    """A model that takes bright pixels for the subject; ``blur`` is what it adds to them in pictures of the full size."""

    descriptor = EngineDescriptor(name="bright", kind="matte", licence="CC0-1.0")

    def __init__(self, see: Callable[[Pixels], Mask]) -> None:
        self.see = see
        self.shapes: list[tuple[int, ...]] = []

    def matte(self, pixels: Pixels) -> Mask:
        self.shapes.append(pixels.shape)
        return self.see(pixels)


def scene(box: tuple[slice, slice] = BOX, channels: int = 3) -> Pixels:
    pixels = np.full((200, 300, channels), 0.1, np.float32)
    pixels[box] = 0.9
    return pixels


def bright(pixels: Pixels) -> Mask:
    return np.asarray(pixels[:, :, 0] > 0.5, np.float32)


def looked_again(
    pixels: Pixels, see: Callable[[Pixels], Mask] = bright, first: Mask | None = None
) -> tuple[Mask, float | None, SeesBright]:
    engine = SeesBright(see)
    first = bright(pixels) if first is None else first
    return *look_again(engine, first, first, pixels, 320), engine


@pytest.mark.parametrize("channels", [1, 3])
def test_a_small_subject_is_seen_again_in_its_surroundings(channels: int) -> None:
    """The cut has a third of the subject's box on each side, and three channels."""
    matte, agreement, engine = looked_again(scene(channels=channels))
    assert engine.shapes == [(68, 86, 3)]
    assert agreement == 1
    assert np.array_equal(matte > 0.5, scene()[:, :, 0] > 0.5)


def test_a_blurred_first_look_becomes_sharp() -> None:
    """Both looks agree, so the second one counts, which has no grey rim."""
    first = np.clip(scene()[:, :, 0] * 1.05, 0, 1)
    first[75:80, 130:180] = first[120:125, 130:180] = 0.4
    matte, agreement, _ = looked_again(scene(), first=first)
    assert agreement is not None
    assert agreement > 0.7
    assert matte[77, 150] < 0.02


def test_what_only_one_look_finds_is_uncertain() -> None:
    """The second look finds the left half alone."""
    matte, agreement, _ = looked_again(scene(), see=lambda cut: bright(cut) * (np.arange(cut.shape[1]) < 43))
    assert agreement == pytest.approx(0.5, abs=0.05)
    assert matte[100, 140] > 0.95
    assert 0.4 < matte[100, 170] < 0.6


def test_a_subject_that_fills_the_picture_is_seen_once() -> None:
    """A cut of nearly the whole picture would show nothing new."""
    everywhere = scene(np.s_[10:190, 10:290])
    matte, agreement, engine = looked_again(everywhere)
    assert (agreement, engine.shapes) == (None, [])
    assert np.array_equal(matte, bright(everywhere))


def test_a_faint_first_look_is_left_as_it_is() -> None:
    """Nothing is surely a subject, so there are no surroundings to look at."""
    faint = np.full((200, 300), 0.3, np.float32)
    matte, agreement, _ = looked_again(scene(), first=faint)
    assert agreement is None
    assert matte is faint
