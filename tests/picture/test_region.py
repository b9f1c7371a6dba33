"""Region expressions: syntax, meaning, and the position of a mistake."""

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
PICTURE = Picture(freeze(np.zeros((12, 18, 3), np.float32)), masks=MappingProxyType({"mask": SOFT, "sky": HARD}))


def region_mask(where: str) -> NDArray[np.float32]:
    """Return the region of the sample picture as a mask (h, w), 0..1."""
    return parse_region(where).evaluate(PICTURE)


def test_sides_are_halves_and_the_center_is_the_middle_ninth() -> None:
    """left + right and top + bottom cover the picture; center is a third of its width and of its height."""
    assert region_mask("left")[:, :9].all()
    assert not region_mask("left")[:, 9:].any()
    assert np.array_equal(region_mask("left") + region_mask("right"), np.ones((12, 18)))
    assert np.array_equal(region_mask("top") + region_mask("bottom"), np.ones((12, 18)))
    assert region_mask("center").sum() == 4 * 6
    assert region_mask("center")[4:8, 6:12].all()


def test_a_box_is_given_in_fractions_of_the_picture() -> None:
    """x and width are horizontal, y and height vertical."""
    result = region_mask("box(0.5, 0.25, 0.5, 0.5)")
    assert result[3:9, 9:].all()
    assert result.sum() == 6 * 9


def test_tones_are_measured_on_the_picture_and_add_up() -> None:
    """shadows, midtones and highlights follow the luma, are exactly zero on the other side of one half, and cover the picture."""
    ramp = np.repeat(np.linspace(0, 1, 101, dtype=np.float32)[None, :, None], 3, axis=2)
    shadows, midtones, highlights = (parse_region(word).evaluate(Picture(freeze(ramp))) for word in ("shadows", "midtones", "highlights"))
    assert np.allclose(shadows + midtones + highlights, 1, atol=1e-6)
    assert (shadows[0, 0], midtones[0, 50], highlights[0, 100]) == pytest.approx((1, 1, 1), abs=1e-4)
    assert not shadows[0, 51:].any()
    assert not highlights[0, :50].any()
    assert parse_region("shadows & left").required_masks() == frozenset()


def test_a_tiny_box_is_never_empty() -> None:
    """Boxes have at least one pixel, also in the last corner."""
    assert region_mask("box(0.999, 0.999, 0.001, 0.001)").sum() == 1


def test_masks_are_combined_softly() -> None:
    """& is the minimum, | the maximum, ! the difference to 1."""
    assert np.array_equal(region_mask("mask & sky"), np.minimum(SOFT, HARD))
    assert np.array_equal(region_mask("mask|sky"), np.maximum(SOFT, HARD))
    assert np.array_equal(region_mask("!mask"), 1 - SOFT)
    assert np.array_equal(region_mask("!!mask"), SOFT)


def test_operators_have_a_precedence() -> None:
    """! binds before &, & before |, and parentheses before all."""
    assert np.array_equal(region_mask("left | sky & !mask"), np.maximum(region_mask("left"), np.minimum(HARD, 1 - SOFT)))
    assert np.array_equal(region_mask("(left | sky) & !mask"), np.minimum(np.maximum(region_mask("left"), HARD), 1 - SOFT))


def test_required_masks_are_known_without_a_picture() -> None:
    """``required_masks`` returns the masks only, with letter case folded as in file names."""
    assert parse_region("left & !(Mask | SKY) & box(0,0,1,1)").required_masks() == {"mask", "sky"}
    assert parse_region("LEFT").required_masks() == frozenset()
    assert parse_region("2 | 03a & box(0.1, 0, 0.5, 1)").required_masks() == {"2", "03a"}


def test_detected_words_are_not_masks() -> None:
    """Detected words are known without a picture; the background requires the subject."""
    region = parse_region("Face & !mask | background | TEXT & left")
    assert region.required_masks() == {"mask"}
    assert region.required_detections() == {"face", "subject", "text"}
    assert parse_region("left & mask").required_detections() == frozenset()
    assert {"subject", "background", "face", "hands", "text"} == RESERVED_WORDS


def test_detected_regions_combine_like_masks() -> None:
    """Background is the complement of the subject; the other rules are those of masks."""
    masks = {"subject": SOFT, "face": HARD, "hands": None, "text": None}
    assert np.array_equal(parse_region("subject").evaluate(PICTURE, masks), SOFT)
    assert np.array_equal(parse_region("background").evaluate(PICTURE, masks), 1 - SOFT)
    assert np.allclose(parse_region("!background & face").evaluate(PICTURE, masks), np.minimum(SOFT, HARD))
    assert not parse_region("background & left").evaluate(PICTURE, masks)[:, 9:].any()


@pytest.mark.parametrize(
    ("where", "expected"),
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
def test_an_undetected_part_leaves_the_rest_of_a_region(where: str, expected: str) -> None:
    """Unions keep their other part, and an undetected face excludes nothing."""
    undetected = dict.fromkeys(DETECTED_WORDS)
    assert np.array_equal(parse_region(where).evaluate(PICTURE, undetected), region_mask(expected))


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
def test_the_error_for_an_empty_region_names_the_undetected_words(where: str, words: tuple[str, ...]) -> None:
    """A region that was not detected never becomes the whole picture."""
    with pytest.raises(RegionNotFound) as caught:
        parse_region(where).evaluate(PICTURE, dict.fromkeys(DETECTED_WORDS))
    assert caught.value.missing_words == words


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("", "must not be empty"),
        ("mask sky", "no region is called so; there is subject, background"),
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
def test_the_message_for_a_mistake_gives_its_position(where: str, message: str) -> None:
    """The error is ValueError with a plain message."""
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_region(where)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="mask sky&|!(),.0123box left", max_size=40))
def test_any_text_is_parsed_or_refused(where: str) -> None:
    """ValueError is the only exception, and parsed expressions evaluate to 0..1."""
    try:
        region = parse_region(where)
    except ValueError:
        return
    if region.required_masks() <= {"mask", "sky"}:
        result = region.evaluate(PICTURE, dict.fromkeys(DETECTED_WORDS, HARD))
        assert result.shape == (12, 18)
        assert 0 <= result.min() <= result.max() <= 1


def test_removal_covers_an_object_completely_and_keeps_excluded_regions() -> None:
    """Detected words grow, their negations do not; painted masks and sides do not change."""
    masks = {"subject": SOFT, "face": HARD, "hands": None, "text": None}

    def enlarge(mask: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(np.ceil(mask), np.float32)

    def removed_region(where: str) -> NDArray[np.float32]:
        return parse_region(where).evaluate(PICTURE, masks, enlarge)

    assert np.array_equal(removed_region("subject"), np.ceil(SOFT))
    assert np.array_equal(removed_region("!!subject & (subject)"), np.ceil(SOFT))
    assert np.array_equal(removed_region("background"), 1 - SOFT)
    assert np.array_equal(removed_region("!(subject | sky)"), np.minimum(1 - SOFT, 1 - HARD))
    assert np.array_equal(removed_region("!background"), np.ceil(SOFT))
    assert np.array_equal(removed_region("mask"), SOFT)
    assert not removed_region("subject & left")[:, 9:].any()
    with pytest.raises(RegionNotFound):
        removed_region("hands")


@pytest.mark.parametrize(
    ("where", "excluded"),
    [
        ("subject", ()),
        ("background & left", ("subject",)),
        ("!background", ()),
        ("!(subject | face) | text", ("subject", "face")),
        ("!!hands & mask", ()),
    ],
)
def test_a_region_returns_the_detected_words_that_it_excludes(where: str, excluded: tuple[str, ...]) -> None:
    """Parentheses and double negations are resolved; a region that is both included and excluded counts as excluded."""
    assert parse_region(where).protected_detections() == frozenset(excluded)
