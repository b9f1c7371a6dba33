"""Regions without painting: what may be written, what it means, and where a mistake is."""

from __future__ import annotations

import re
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from goldsmith.plate.plate import Plate, frozen
from goldsmith.plate.region import parse

SOFT = np.linspace(0, 1, 12 * 18, dtype=np.float32).reshape(12, 18)
HARD = np.zeros((12, 18), np.float32)
HARD[3:6, 4:9] = 1
PLATE = Plate(frozen(np.zeros((12, 18, 3), np.float32)), masks=MappingProxyType({"mask": SOFT, "sky": HARD}))


def shape(where: str) -> NDArray[np.float32]:
    """The region of the sample plate."""
    return parse(where).evaluate(PLATE)


def test_sides_are_halves_and_the_center_a_third() -> None:
    """left + right and top + bottom fill the picture; center is its middle ninth."""
    assert shape("left")[:, :9].all()
    assert not shape("left")[:, 9:].any()
    assert np.array_equal(shape("left") + shape("right"), np.ones((12, 18)))
    assert np.array_equal(shape("top") + shape("bottom"), np.ones((12, 18)))
    assert shape("center").sum() == 4 * 6
    assert shape("center")[4:8, 6:12].all()


def test_a_box_is_fractions_of_the_picture() -> None:
    """x and width across, y and height down."""
    made = shape("box(0.5, 0.25, 0.5, 0.5)")
    assert made[3:9, 9:].all()
    assert made.sum() == 6 * 9


def test_a_tiny_box_is_never_empty() -> None:
    """At least one pixel, also in the last corner."""
    assert shape("box(0.999, 0.999, 0.001, 0.001)").sum() == 1


def test_masks_are_joined_softly() -> None:
    """& is the smaller value, | the larger, ! what is left to 1."""
    assert np.array_equal(shape("mask & sky"), np.minimum(SOFT, HARD))
    assert np.array_equal(shape("mask|sky"), np.maximum(SOFT, HARD))
    assert np.array_equal(shape("!mask"), 1 - SOFT)
    assert np.array_equal(shape("!!mask"), SOFT)


def test_tighter_signs_come_first() -> None:
    """! binds before &, & before |, and parentheses before all."""
    assert np.array_equal(shape("left | sky & !mask"), np.maximum(shape("left"), np.minimum(HARD, 1 - SOFT)))
    assert np.array_equal(shape("(left | sky) & !mask"), np.minimum(np.maximum(shape("left"), HARD), 1 - SOFT))


def test_names_are_told_without_a_picture() -> None:
    """names() are the masks alone, folded as file names are."""
    assert parse("left & !(Mask | SKY) & box(0,0,1,1)").names() == {"mask", "sky"}
    assert parse("LEFT").names() == frozenset()
    assert parse("2 | 03a & box(0.1, 0, 0.5, 1)").names() == {"2", "03a"}


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("", "must not be empty"),
        ("mask sky", 'expected "&", "|" or the end at letter 6 of "mask sky", not "sky"'),
        ("mask &", '"mask &" breaks off: expected a region'),
        ("(mask", '"(mask" breaks off: expected ")"'),
        ("mask)", "at letter 5"),
        ("a + b", '"+" at letter 3'),
        ("../a", '"." at letter 1'),
        ("box(0.5, 0, 0.6, 1)", "leaves the picture"),
        ("box(1, 2)", 'expected ","'),
        ("box(a, 0, 1, 1)", "expected a number"),
        ("face", '"face" in "face" is not known to this version yet'),
        ("left & background", '"background" in "left & background" is not known'),
        ("(" * 100 + "mask" + ")" * 100, "nests deeper than 30 levels"),
        ("!" * 600, "too long"),
    ],
)
def test_a_mistake_is_said_with_its_place(where: str, said: str) -> None:
    """A ValueError in plain words."""
    with pytest.raises(ValueError, match=re.escape(said)):
        parse(where)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="mask sky&|!(),.0123box left", max_size=40))
def test_any_text_is_understood_or_refused(where: str) -> None:
    """Nothing but ValueError ever comes out, and what is understood evaluates to 0..1."""
    try:
        region = parse(where)
    except ValueError:
        return
    if region.names() <= {"mask", "sky"}:
        made = region.evaluate(PLATE)
        assert made.shape == (12, 18)
        assert 0 <= made.min() <= made.max() <= 1
