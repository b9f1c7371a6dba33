"""Donors: a person beside the hole is not copied, and a wall that is taken for a subject is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.crop_planning import CropBox
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze
from goldsmith.stitching.donors import DETECTION_SIDE, find_barred, find_unlike

HEIGHT, WIDTH = 160, 240
HOLE = CropBox(60, 40, 100, 90)
PERSON = CropBox(30, 150, 160, 210)


def _mask() -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
    mask[HOLE.window] = 1
    return mask


def _room() -> Pixels:
    """Return a grey wall with a person in red before it."""
    pixels = np.full((HEIGHT, WIDTH, 3), 0.6, dtype=np.float32)
    pixels[PERSON.window] = (0.8, 0.2, 0.1)
    return pixels


def _barred(pixels: Pixels, *boxes: CropBox) -> NDArray[np.bool_]:
    def find_objects(part: Picture) -> Sequence[Mask]:
        masks = []
        for box in boxes:
            matte = np.zeros((part.height, part.width), dtype=np.float32)
            matte[box.window] = 1
            masks.append(matte)
        return masks

    return find_barred(Picture(freeze(pixels)), _mask(), CropBox(0, 0, HEIGHT, WIDTH), 4, find_objects)


def test_a_person_beside_the_hole_is_barred() -> None:
    """All of the person is, and nothing else."""
    barred = _barred(_room(), PERSON)
    assert barred[PERSON.window].all()
    assert int(barred.sum()) == PERSON.area


def test_a_part_of_the_wall_that_was_taken_for_a_subject_is_not_barred() -> None:
    """It is like what lies beside the hole."""
    assert not _barred(_room(), CropBox(0, 100, 50, 140)).any()


def test_the_object_that_the_hole_lies_in_is_not_barred() -> None:
    """A badge on a jacket is filled with the jacket."""
    pixels = _room()
    pixels[40:120, 20:110] = (0.8, 0.2, 0.1)
    assert not _barred(pixels, CropBox(40, 20, 120, 110)).any()


def test_objects_are_looked_for_in_a_small_copy() -> None:
    """The cost depends on neither the picture nor the hole."""
    sizes: list[tuple[int, int]] = []

    def find_objects(part: Picture) -> Sequence[Mask]:
        sizes.append((part.height, part.width))
        return ()

    pixels = np.full((900, 1800, 3), 0.5, dtype=np.float32)
    mask = np.zeros((900, 1800), dtype=np.float32)
    mask[100:800, 100:1700] = 1
    find_barred(Picture(freeze(pixels)), mask, CropBox(0, 0, 900, 1800), 4, find_objects)
    assert sizes == [(DETECTION_SIDE // 2, DETECTION_SIDE)]


def test_what_is_unlike_the_border_is_found() -> None:
    """The person is, all but the outline; neither the wall nor the rest of the object right beside the hole is."""
    pixels, hole = _room(), _mask() > 0
    pixels[HOLE.top : HOLE.bottom, HOLE.left - 2 : HOLE.right] = (0.1, 0.9, 0.1)
    unlike = find_unlike(pixels, hole, np.zeros_like(hole))
    assert unlike[40:150, 160:200].all()
    assert not unlike[:, : PERSON.left - 10].any()
    hidden = np.zeros_like(hole)
    hidden[PERSON.window] = True
    assert not find_unlike(pixels, hole, hidden).any()
