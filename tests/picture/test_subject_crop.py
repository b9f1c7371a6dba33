"""Crops at a fixed anchor and round what is found: inside the picture, with the subject in them and no face cut where that is possible."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldsmith.picture.picture import Mask, Picture, freeze
from goldsmith.picture.size_fitting import Size, anchor_offset
from goldsmith.picture.subject_crop import CropAnchor, CropFocus, PixelBox, count_cut_faces, crop_to_part

WIDTH, HEIGHT = 400, 300


def subject_at(left: int, top: int, width: int, height: int, size: Size = (WIDTH, HEIGHT)) -> Mask:
    mask = np.zeros((size[1], size[0]), np.float32)
    mask[top : top + height, left : left + width] = 1
    return freeze(mask)


@pytest.mark.parametrize("anchor", ["center", "left", "top-right", "bottom"])
def test_a_fixed_anchor_is_the_usual_offset(anchor: CropAnchor) -> None:
    """Subject and faces do not count."""
    focus = CropFocus(anchor, subject_at(0, 0, 50, 50), ((10, 10, 20, 20),))
    assert focus.offset((WIDTH, HEIGHT), (100, HEIGHT)) == anchor_offset((WIDTH, HEIGHT), (100, HEIGHT), anchor)  # type: ignore[arg-type]


@pytest.mark.parametrize(("left", "start"), [(250, 190), (0, 0), (360, 240), (120, 60)])
def test_a_subject_that_fits_is_in_the_middle_or_at_the_edge_of_the_picture(left: int, start: int) -> None:
    """A subject of 40 px in a window of 160 px has 60 px on both sides, if the picture has them."""
    across, down = CropFocus("subject", subject_at(left, 100, 40, 80)).offset((WIDTH, HEIGHT), (160, HEIGHT))
    assert across == pytest.approx(start, abs=1)
    assert down == 0


def test_a_faint_haze_in_the_matte_moves_nothing() -> None:
    """A matte of 0.1 over the whole right half counts for nothing beside a small certain subject at the left."""
    haze = np.zeros((HEIGHT, WIDTH), np.float32)
    haze[:, 200:], haze[100:140, 30:70] = 0.1, 1
    assert CropFocus("subject", freeze(haze)).offset((WIDTH, HEIGHT), (100, HEIGHT))[0] == 0


def test_of_a_subject_that_does_not_fit_the_densest_part_stays() -> None:
    """A long low subject with a tall end keeps its tall end."""
    mask = subject_at(20, 250, 360, 20).copy()
    mask[50:270, 300:370] = 1
    focus = CropFocus("subject", freeze(mask))
    across, _ = focus.offset((WIDTH, HEIGHT), (100, HEIGHT))
    assert across <= 300
    assert across + 100 >= 370


def test_faces_that_fit_together_are_kept_together() -> None:
    """Two faces 120 px apart are in a window of 250 px with their hair; the small third one at the edge is left out whole."""
    faces: tuple[PixelBox, ...] = ((60, 100, 40, 50), (180, 90, 45, 55), (370, 120, 12, 14))
    focus = CropFocus("face", None, faces)
    across, _ = focus.offset((WIDTH, HEIGHT), (250, HEIGHT))
    assert across <= 52
    assert across + 250 >= 234
    assert count_cut_faces(faces, (across, 0, 250, HEIGHT)) == 0


def test_a_face_has_its_hair_and_lies_above_the_middle() -> None:
    """In a flat window on a tall picture, the middle of the head is above the window's middle and nothing of it is cut."""
    face = (150.0, 200.0, 60.0, 80.0)
    _, down = CropFocus("face", None, (face,)).offset((300, 900), (300, 240))
    assert down <= 200 - 0.6 * 80
    assert 0.3 < (200 + 40 - 24 - down) / 240 < 0.5


def test_a_face_wins_over_the_rest_of_the_subject() -> None:
    """A standing person does not fit into a flat window: the head stays."""
    focus = CropFocus("subject", subject_at(100, 40, 100, 850, (300, 900)), ((125, 50, 50, 60),))
    assert focus.offset((300, 900), (300, 200))[1] <= 14


@pytest.mark.parametrize("anchor", ["subject", "face"])
@pytest.mark.parametrize("height", [210, 260, 330])
def test_a_face_stays_whole_where_its_hair_does_not_fit(anchor: CropAnchor, height: int) -> None:
    """In a window hardly higher than the face, the face is whole, rather than the chest of a headless person."""
    focus = CropFocus(anchor, subject_at(100, 90, 300, 1100, (500, 1200)), ((170, 150, 160, 200),))
    down = focus.offset((500, 1200), (500, height))[1]
    assert down <= 150
    assert down + height >= 350


def test_a_face_larger_than_the_window_shows_its_eyes() -> None:
    """Of a close-up the part round the eyes stays, and the face counts as cut."""
    face = (100.0, 200.0, 300.0, 400.0)
    down = CropFocus("face", None, (face,)).offset((500, 900), (500, 240))[1]
    eyes = 200 + 0.4 * 400
    assert down + 60 < eyes < down + 180
    assert count_cut_faces([face], (0, down, 500, 240)) == 1


def test_of_an_animal_without_a_face_the_upper_part_stays() -> None:
    """A bird whose body alone would fill the window keeps its head, which is narrower than the body; across, the densest part stays."""
    bird = subject_at(150, 60, 60, 60).copy()
    bird[120:260, 100:260] = 1
    focus = CropFocus("subject", freeze(bird))
    down = focus.offset((WIDTH, HEIGHT), (WIDTH, 140))[1]
    assert down <= 90
    assert focus.subject_kept((0, down, WIDTH, 140)) > 0.6


def test_without_anything_found_the_middle_stays() -> None:
    """It is not found, and the crop is the one of ``center``."""
    for focus in (CropFocus("face"), CropFocus("subject", freeze(np.zeros((HEIGHT, WIDTH))))):
        assert not focus.is_found
        assert focus.offset((WIDTH, HEIGHT), (100, HEIGHT)) == (150, 0)
    assert CropFocus("left").is_found


@settings(max_examples=60, deadline=None)
@given(data=st.data(), anchor=st.sampled_from(["subject", "face"]))
def test_the_window_is_always_inside_and_no_face_is_cut_that_need_not_be(data: st.DataObject, anchor: CropAnchor) -> None:
    """One face that fits with its hair is whole wherever it is; where the subject is what counts, it may also be outside."""
    size = data.draw(st.tuples(st.integers(60, 300), st.integers(60, 300)))
    part = (data.draw(st.integers(40, size[0])), size[1])
    side = data.draw(st.floats(4, part[0] / 1.5))
    left = data.draw(st.floats(0, size[0] - side))
    box: PixelBox = (left, size[1] / 3, side, min(side, size[1] / 2))
    subject = subject_at(data.draw(st.integers(0, size[0] - 1)), 0, data.draw(st.integers(0, 80)), size[1], size)
    across, down = CropFocus(anchor, subject, (box,)).offset(size, part)
    assert 0 <= across <= size[0] - part[0]
    assert down == 0
    if anchor == "face":
        assert across <= left + 1e-6
        assert across + part[0] >= left + side - 1e-6
    assert count_cut_faces([box], (across, 0, *part)) == 0


@pytest.mark.parametrize(
    ("window", "count"),
    [((0, 0, 400, 300), 0), ((0, 0, 120, 300), 1), ((0, 0, 99, 300), 0), ((0, 0, 102, 300), 0), ((0, 120, 400, 100), 1)],
)
def test_a_face_is_cut_if_parts_of_it_are_on_both_sides(window: PixelBox, count: int) -> None:
    """A face that is outside, or of which less than 5 % is outside or inside, is not cut."""
    assert count_cut_faces([(100, 100, 50, 60)], window) == count


def test_alpha_and_masks_are_cropped_with_the_picture() -> None:
    """The part has the pixels, alpha and masks of its place; a part of the picture's size is the picture itself."""
    ramp = freeze(np.tile(np.linspace(0, 1, WIDTH, dtype=np.float32), (HEIGHT, 1)))
    picture = Picture(freeze(np.repeat(ramp[..., None], 3, axis=2)), alpha=ramp, masks={"mask": ramp})
    cropped, box = crop_to_part(picture, (100, HEIGHT), CropFocus("subject", subject_at(250, 0, 40, 300)))
    assert box is not None
    expected = ramp[:, box[0] : box[0] + 100]
    assert cropped.alpha is not None
    assert all(np.array_equal(plane, expected) for plane in (cropped.pixels[..., 1], cropped.alpha, cropped.masks["mask"]))
    assert crop_to_part(picture, (WIDTH, HEIGHT), CropFocus("left")) == (picture, None)


def test_the_share_of_the_subject_that_stays_is_measured() -> None:
    """Half of the subject in the window is 0.5; without a subject all of it stays."""
    assert CropFocus("subject", subject_at(100, 0, 100, 300)).subject_kept((0, 0, 150, 300)) == pytest.approx(0.5)
    assert CropFocus("subject").subject_kept((0, 0, 10, 10)) == 1
