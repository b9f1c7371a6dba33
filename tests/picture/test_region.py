"""Regions without painting: what may be written, what it means, and where a mistake is."""

from __future__ import annotations

import re
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from goldsmith.picture.picture import Picture, freeze
from goldsmith.picture.region import DETECTED_WORDS, RESERVED_WORDS, RegionNotFound, parse_region

SOFT = np.linspace(0, 1, 12 * 18, dtype=np.float32).reshape(12, 18)
HARD = np.zeros((12, 18), np.float32)
HARD[3:6, 4:9] = 1
PLATE = Picture(freeze(np.zeros((12, 18, 3), np.float32)), masks=MappingProxyType({"mask": SOFT, "sky": HARD}))


def shape(where: str) -> NDArray[np.float32]:
    """The region of the sample picture."""
    return parse_region(where).evaluate(PLATE)


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
    assert parse_region("left & !(Mask | SKY) & box(0,0,1,1)").required_masks() == {"mask", "sky"}
    assert parse_region("LEFT").required_masks() == frozenset()
    assert parse_region("2 | 03a & box(0.1, 0, 0.5, 1)").required_masks() == {"2", "03a"}


def test_words_that_are_looked_for_are_no_masks() -> None:
    """They are told apart without a picture; the background asks for the subject."""
    asked = parse_region("Face & !mask | background | TEXT & left")
    assert asked.required_masks() == {"mask"}
    assert asked.required_detections() == {"face", "subject", "text"}
    assert parse_region("left & mask").required_detections() == frozenset()
    assert {"subject", "background", "face", "hands", "text"} == RESERVED_WORDS


def test_what_was_found_joins_in_as_masks_do() -> None:
    """The background is what the subject leaves; all else is the algebra of masks."""
    found = {"subject": SOFT, "face": HARD, "hands": None, "text": None}
    assert np.array_equal(parse_region("subject").evaluate(PLATE, found), SOFT)
    assert np.array_equal(parse_region("background").evaluate(PLATE, found), 1 - SOFT)
    assert np.allclose(parse_region("!background & face").evaluate(PLATE, found), np.minimum(SOFT, HARD))
    assert not parse_region("background & left").evaluate(PLATE, found)[:, 9:].any()


@pytest.mark.parametrize(
    ("where", "left_over"),
    [
        ("face | sky", "sky"),
        ("sky | face & left", "sky"),
        ("sky & !face", "sky"),
        ("subject | sky", "sky"),
        ("!!(hands | face) | sky", "sky"),
        ("!face", "left | right"),
        ("!(face & left)", "left | right"),
    ],
)
def test_what_is_not_there_leaves_the_rest_of_a_region(where: str, left_over: str) -> None:
    """A union keeps its other part, and where there is no face there is none to spare."""
    nothing = dict.fromkeys(DETECTED_WORDS)
    assert np.array_equal(parse_region(where).evaluate(PLATE, nothing), shape(left_over))


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("face", ("face",)),
        ("hands & left", ("hands",)),
        ("face | hands", ("face", "hands")),
        ("sky & face", ("face",)),
        ("background", ("subject",)),
        ("!background", ("subject",)),
        ("!subject", ("subject",)),
        ("!(face | subject) & left", ("subject", "face")),
        ("!!text", ("text",)),
    ],
)
def test_a_region_that_is_nowhere_says_what_was_looked_for(where: str, words: tuple[str, ...]) -> None:
    """Nothing is ever done to everything because something was not found."""
    with pytest.raises(RegionNotFound) as nowhere:
        parse_region(where).evaluate(PLATE, dict.fromkeys(DETECTED_WORDS))
    assert nowhere.value.missing_words == words


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
        ("(" * 100 + "mask" + ")" * 100, "nests deeper than 30 levels"),
        ("!" * 600, "too long"),
    ],
)
def test_a_mistake_is_said_with_its_place(where: str, said: str) -> None:
    """A ValueError in plain words."""
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_region(where)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="mask sky&|!(),.0123box left", max_size=40))
def test_any_text_is_understood_or_refused(where: str) -> None:
    """Nothing but ValueError ever comes out, and what is understood evaluates to 0..1."""
    try:
        region = parse_region(where)
    except ValueError:
        return
    if region.required_masks() <= {"mask", "sky"}:
        made = region.evaluate(PLATE, dict.fromkeys(DETECTED_WORDS, HARD))
        assert made.shape == (12, 18)
        assert 0 <= made.min() <= made.max() <= 1


def test_to_remove_a_thing_takes_all_of_it_and_spares_what_is_to_stay() -> None:
    """The word itself is grown, its negation is not; painted masks and sides are as they were given."""
    found = {"subject": SOFT, "face": HARD, "hands": None, "text": None}

    def more(mask: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(np.ceil(mask), np.float32)

    def removed(where: str) -> NDArray[np.float32]:
        return parse_region(where).evaluate(PLATE, found, more)

    assert np.array_equal(removed("subject"), np.ceil(SOFT))
    assert np.array_equal(removed("!!subject & (subject)"), np.ceil(SOFT))
    assert np.array_equal(removed("background"), 1 - SOFT)
    assert np.array_equal(removed("!(subject | sky)"), np.minimum(1 - SOFT, 1 - HARD))
    assert np.array_equal(removed("!background"), np.ceil(SOFT))
    assert np.array_equal(removed("mask"), SOFT)
    assert not removed("subject & left")[:, 9:].any()
    with pytest.raises(RegionNotFound):
        removed("hands")


@pytest.mark.parametrize(
    ("where", "spared"),
    [
        ("subject", ()),
        ("background & left", ("subject",)),
        ("!background", ()),
        ("!(subject | face) | text", ("subject", "face")),
        ("!!hands & mask", ()),
    ],
)
def test_it_says_what_it_leaves_out(where: str, spared: tuple[str, ...]) -> None:
    """Counted through brackets and double negations; what is in and out at once is left out somewhere."""
    assert parse_region(where).protected_detections() == frozenset(spared)
