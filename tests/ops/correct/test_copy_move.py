"""Repeats: a cloned piece is found with both places, a photograph has none, and what is there often is a pattern."""

from __future__ import annotations

import numpy as np
import pytest

from doubles.faults_of_pictures import PHOTOGRAPHS, cloned, coded, overlap, photograph
from goldsmith.ops.correct import copy_move
from goldsmith.ops.correct.defect import connected_components, expand_window, make_window, to_box
from goldsmith.picture.smoothing import resize_values


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_photograph_has_nothing_twice(name: str) -> None:
    """Fur, cloth and lattice are alike and not the same."""
    assert copy_move.find(photograph(name)) == []


@pytest.mark.parametrize(
    ("name", "taken", "laid"),
    [
        ("astronaut", (300, 130), (30, 20)),
        ("astronaut", (40, 180), (300, 20)),
        ("astronaut", (330, 130), (60, 250)),
        ("chelsea", (150, 120), (20, 330)),
        ("chelsea", (20, 180), (180, 40)),
    ],
)
def test_both_places_are_told_and_the_copy_is_the_one_with_an_edge_round_it(
    name: str, taken: tuple[int, int], laid: tuple[int, int]
) -> None:
    """Above or below: what was there in truth goes on into what lies round it, and is not what is to be made new."""
    given = cloned(photograph(name), taken, laid, 80)
    (found,) = copy_move.find(given)
    assert overlap(found.window, make_window(*laid, 80, 80)) > 0.5
    assert overlap(found.source, make_window(*taken, 80, 80)) > 0.5
    assert found.correlation > 0.95
    assert found.mask.shape == (found.window[0].stop - found.window[0].start, found.window[1].stop - found.window[1].start)


def test_where_no_edge_tells_the_lower_one_is_the_copy() -> None:
    """Two on the same ground: either may have been first."""
    given = np.full((300, 300, 3), 0.5, np.float32)
    given[40:100, 40:100] = given[180:240, 160:220] = photograph("chelsea")[100:160, 100:160]
    (found,) = copy_move.find(given)
    assert overlap(found.window, make_window(180, 160, 60, 60)) > 0.5


def test_a_copy_under_a_little_noise_is_found() -> None:
    """As JPEG or a denoiser leave it."""
    grain = np.random.default_rng(1).normal(0, 2 / 255, (512, 512, 3)).astype(np.float32)
    (found,) = copy_move.find(coded(cloned(photograph("astronaut"), (40, 180), (300, 20), 80) + grain))
    assert overlap(found.window, make_window(300, 20, 80, 80)) > 0.4


def test_a_large_picture_is_looked_through_smaller_and_told_at_its_own_size() -> None:
    """Places are in the px of the picture that was given."""
    given = resize_values(cloned(photograph("astronaut"), (40, 180), (300, 20), 80), 2048, 2048)
    (found,) = copy_move.find(np.clip(given, 0, 1))
    assert overlap(found.window, make_window(1200, 80, 320, 320)) > 0.5


def test_the_same_thing_many_times_is_a_pattern() -> None:
    """Tiles on a wall."""
    found = copy_move.find(np.tile(photograph("chelsea")[100:180, 100:180], (4, 5, 1)))
    assert found
    assert all(one.is_pattern for one in found)


def test_an_even_picture_has_none() -> None:
    """Without detail nothing can be told to be a copy."""
    assert copy_move.find(np.full((300, 300, 3), 0.5, np.float32)) == []


def test_a_box_is_told_as_left_top_width_height() -> None:
    """And grows no further than the picture goes."""
    assert to_box(make_window(10, 20, 30, 40)) == [20, 10, 40, 30]
    assert expand_window(make_window(10, 20, 30, 40), 15, 50, 65) == (slice(0, 50), slice(5, 65))


def test_parts_come_largest_first_and_small_ones_not_at_all() -> None:
    """Touching corners hold together."""
    marked = np.zeros((10, 10), bool)
    marked[0, 0] = marked[1, 1] = True
    marked[5:8, 5:8] = True
    marked[9, 0] = True
    found = connected_components(marked, 2)
    assert [to_box(place) for place, _ in found] == [[5, 5, 3, 3], [0, 0, 2, 2]]
    assert [int(own.sum()) for _, own in found] == [9, 2]
