"""Duplicates: a cloned piece is found with both places, a photograph has none, and a piece with many copies is a pattern."""

from __future__ import annotations

import numpy as np
import pytest

from doubles.faults_of_pictures import PHOTOGRAPHS, cloned, coded, overlap, photograph
from goldsmith.ops.correct import copy_move
from goldsmith.ops.correct.defect import connected_components, expand_window, make_window, to_box
from goldsmith.picture.smoothing import resize_values


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_a_photograph_has_no_duplicates(name: str) -> None:
    """Parts of fur, cloth and lattice are similar, not identical."""
    assert copy_move.find(photograph(name)) == []


@pytest.mark.parametrize(
    ("name", "source", "copy"),
    [
        ("astronaut", (300, 130), (30, 20)),
        ("astronaut", (40, 180), (300, 20)),
        ("astronaut", (330, 130), (60, 250)),
        ("chelsea", (150, 120), (20, 330)),
        ("chelsea", (20, 180), (180, 40)),
    ],
)
def test_the_copy_is_the_place_with_an_edge_around_it(name: str, source: tuple[int, int], copy: tuple[int, int]) -> None:
    """The original continues into its surroundings and the copy does not, whether it lies above or below."""
    picture = cloned(photograph(name), source, copy, 80)
    (duplicate,) = copy_move.find(picture)
    assert overlap(duplicate.window, make_window(*copy, 80, 80)) > 0.5
    assert overlap(duplicate.source, make_window(*source, 80, 80)) > 0.5
    assert duplicate.correlation > 0.95
    assert duplicate.mask.shape == (
        duplicate.window[0].stop - duplicate.window[0].start,
        duplicate.window[1].stop - duplicate.window[1].start,
    )


def test_the_lower_place_is_the_copy_if_edges_do_not_decide() -> None:
    """On an even ground, either of the two may be the original."""
    picture = np.full((300, 300, 3), 0.5, np.float32)
    picture[40:100, 40:100] = picture[180:240, 160:220] = photograph("chelsea")[100:160, 100:160]
    (duplicate,) = copy_move.find(picture)
    assert overlap(duplicate.window, make_window(180, 160, 60, 60)) > 0.5


def test_a_copy_under_a_little_noise_is_found() -> None:
    """JPEG and denoisers leave such noise."""
    grain = np.random.default_rng(1).normal(0, 2 / 255, (512, 512, 3)).astype(np.float32)
    (duplicate,) = copy_move.find(coded(cloned(photograph("astronaut"), (40, 180), (300, 20), 80) + grain))
    assert overlap(duplicate.window, make_window(300, 20, 80, 80)) > 0.4


def test_a_duplicate_in_a_large_picture_is_located_in_its_own_px() -> None:
    """The search uses a reduced copy of the picture."""
    picture = resize_values(cloned(photograph("astronaut"), (40, 180), (300, 20), 80), 2048, 2048)
    (duplicate,) = copy_move.find(np.clip(picture, 0, 1))
    assert overlap(duplicate.window, make_window(1200, 80, 320, 320)) > 0.5


def test_a_piece_with_many_copies_is_a_pattern() -> None:
    """The picture repeats one piece like tiles on a wall."""
    duplicates = copy_move.find(np.tile(photograph("chelsea")[100:180, 100:180], (4, 5, 1)))
    assert duplicates
    assert all(duplicate.is_pattern for duplicate in duplicates)


def test_an_even_picture_has_no_duplicates() -> None:
    """Copies cannot be recognised without detail."""
    assert copy_move.find(np.full((300, 300, 3), 0.5, np.float32)) == []


def test_windows_become_boxes_and_expand_within_the_picture() -> None:
    """A box is left, top, width and height; an expanded window ends at the picture's border."""
    assert to_box(make_window(10, 20, 30, 40)) == [20, 10, 40, 30]
    assert expand_window(make_window(10, 20, 30, 40), 15, 50, 65) == (slice(0, 50), slice(5, 65))


def test_components_are_sorted_by_size_without_small_ones() -> None:
    """Pixels that touch at a corner belong to one component."""
    mask = np.zeros((10, 10), bool)
    mask[0, 0] = mask[1, 1] = True
    mask[5:8, 5:8] = True
    mask[9, 0] = True
    components = connected_components(mask, 2)
    assert [to_box(window) for window, _ in components] == [[5, 5, 3, 3], [0, 0, 2, 2]]
    assert [int(component.sum()) for _, component in components] == [9, 2]
