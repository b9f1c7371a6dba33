"""A look has less than 5 kB, and by it a picture is known again after paint, a crop, another size and JPEG, and no other picture is."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from doubles.likeness_samples import after_jpeg, crop, frame_of_series, halved, photograph, scene, with_paint
from goldsmith.jobs.job import MAX_STORED_LOOK_BYTES, KnownLook
from goldsmith.picture import colour
from goldsmith.picture.likeness import NOT_ALIKE, SeenPicture, describe_look
from goldsmith.picture.picture import Picture, freeze
from goldsmith.worker.alike_versions import find_alike_versions

Edit = Callable[[Picture], Picture]
EDITS: dict[str, Edit] = {
    "paint": with_paint,
    "crop": lambda picture: crop(picture, 0.8),
    "size": halved,
    "jpeg": after_jpeg,
}


def known(picture: Picture, group: str) -> KnownLook:
    look = describe_look(picture)
    return KnownLook(group=group, sha256=f"sha of {group} {hash(look)}", look=look.hex())


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("picture", [photograph(), scene(1), scene(2)], ids=["photograph", "scene 1", "scene 2"])
def test_an_edited_copy_is_alike(picture: Picture, edit: Edit) -> None:
    """The look fits into the journal."""
    look = describe_look(picture)
    assert 1000 < len(look) <= MAX_STORED_LOOK_BYTES
    assert SeenPicture(edit(picture)).compare(look).is_alike


def test_a_photograph_is_alike_after_all_four() -> None:
    """Painted, cropped, halved and stored as JPEG."""
    look = describe_look(photograph())
    assert SeenPicture(after_jpeg(halved(crop(with_paint(photograph()), 0.8)))).compare(look).is_alike


def gradient(first: tuple[float, float, float], second: tuple[float, float, float]) -> Picture:
    """Return a picture without any detail, from one colour at the left to another one below at the right."""
    across, down = np.meshgrid(np.linspace(0, 1, 320), np.linspace(0, 1, 240))
    weight = ((across + down**2) / 2)[:, :, None]
    return Picture(freeze((np.asarray(first) * (1 - weight) + np.asarray(second) * weight).astype(np.float32)))


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_gradient_is_known_by_its_values(edit: Edit) -> None:
    """It has no keypoints. Another gradient, the same one in other colours and a plain ground are other pictures."""
    picture = gradient((0.2, 0.3, 0.7), (0.9, 0.7, 0.4))
    seen_picture = SeenPicture(edit(picture))
    assert seen_picture.compare(describe_look(picture)).is_alike
    for other in (gradient((0.9, 0.7, 0.4), (0.2, 0.3, 0.7)), gradient((0.2, 0.7, 0.3), (0.9, 0.7, 0.4))):
        assert not seen_picture.compare(describe_look(other)).is_alike
    assert not SeenPicture(Picture(freeze(np.full((200, 300, 3), 0.5, np.float32)))).compare(describe_look(picture)).is_alike


def test_a_drawing_in_two_colours_is_two_pictures() -> None:
    """Form and luma are the same."""
    blue = photograph().pixels
    luma = colour.luma(blue)[:, :, None]
    drawings = [Picture(freeze(np.clip(luma + np.asarray(tint, np.float32), 0, 1))) for tint in ((-0.07, 0.0, 0.2), (0.2, -0.05, -0.1))]
    assert not SeenPicture(drawings[0]).compare(describe_look(drawings[1])).is_alike
    assert SeenPicture(after_jpeg(drawings[0])).compare(describe_look(drawings[0])).is_alike


def outline(seed: int) -> Picture:
    """Return a drawing in thin lines on white: a closed curve and two blots, of any form."""
    random = np.random.default_rng(seed)
    turns = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    radius = 105 + 22 * np.sin(random.integers(2, 5) * turns + random.uniform(0, 6)) + 8 * np.sin(7 * turns + random.uniform(0, 6))
    curve = (160 + np.stack((np.cos(turns), np.sin(turns)), axis=1) * radius[:, None]).astype(np.int32)
    pixels = np.ones((320, 320, 3), np.float32)
    cv2.polylines(pixels, [curve], isClosed=True, color=(0, 0, 0), thickness=4, lineType=cv2.LINE_AA)
    for place in random.integers(110, 210, (2, 2)):
        cv2.circle(pixels, tuple(map(int, place)), 9, (0.1, 0.1, 0.1), -1, cv2.LINE_AA)
    return Picture(freeze(np.clip(pixels, 0, 1)))


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_drawing_in_lines_is_known_and_no_other_drawing_is(edit: Edit) -> None:
    """Most of each picture is the white ground that all of them have."""
    looks = [describe_look(outline(seed)) for seed in range(6)]
    seen_picture = SeenPicture(edit(outline(0)))
    assert [other for other, look in enumerate(looks) if seen_picture.compare(look).is_alike] == [0]


@pytest.mark.parametrize("share", [0.78, 0.82])
def test_the_place_of_a_soft_drawing_is_found_between_those_that_are_tried(share: float) -> None:
    """Few of its keypoints are found again in a crop."""
    soft = Picture(freeze(np.clip(cv2.GaussianBlur(outline(1).pixels, (0, 0), 5), 0, 1)))
    assert SeenPicture(crop(soft, share)).compare(describe_look(soft)).is_alike


def framed(picture: Picture) -> Picture:
    """Return the picture in a wide frame with much ornament, as cards and paintings have."""
    ornament = np.random.default_rng(1).random((40, 40, 1), np.float32).repeat(3, axis=2)
    pixels = cv2.resize(ornament, (320, 320), interpolation=cv2.INTER_NEAREST)
    pixels[56:264, 64:256] = picture.pixels[56:264, 64:256]
    return Picture(freeze(pixels))


def test_two_pictures_in_one_frame_are_two_pictures() -> None:
    """Most of their keypoints are the same, those of the frame."""
    first, second = framed(photograph()), framed(scene(31))
    likeness = SeenPicture(first).compare(describe_look(second))
    assert likeness.inliers > 20
    assert not likeness.is_alike
    assert SeenPicture(after_jpeg(with_paint(first))).compare(describe_look(first)).is_alike


def test_a_lighter_copy_is_alike() -> None:
    """The values differ at every place, and their order is the same."""
    lighter = photograph().with_pixels(freeze(np.clip(photograph().pixels * np.float32(1.1) + np.float32(0.03), 0, 1)))
    assert SeenPicture(lighter).compare(describe_look(photograph())).is_alike


def test_two_parts_of_one_picture_are_two_pictures() -> None:
    """They share a third of each, as two maps of neighbouring countries do."""
    pixels = photograph().pixels
    first, second = Picture(freeze(pixels[:, :210].copy())), Picture(freeze(pixels[:, 110:].copy()))
    likeness = SeenPicture(first).compare(describe_look(second))
    assert likeness.inliers > 8
    assert not likeness.is_alike


@pytest.mark.parametrize(("degrees", "is_alike"), [(90, True), (3, True), (45, False)])
def test_a_picture_is_turned_by_quarters_and_straightened(degrees: float, is_alike: bool) -> None:
    """One road sign is another one, turned by another angle."""
    turn = cv2.getRotationMatrix2D((159.5, 159.5), degrees, 1)
    turned = cv2.warpAffine(photograph().pixels, turn, (320, 320), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    assert SeenPicture(Picture(freeze(np.clip(turned, 0, 1)))).compare(describe_look(photograph())).is_alike == is_alike


def stars(seed: int) -> Picture:
    """Return a dark sky with stars and a glow near the middle, as many photographs of galaxies are."""
    random = np.random.default_rng(seed)
    down, across = np.mgrid[:320, :320] / 320 - random.uniform(0.4, 0.6, (2, 1, 1))
    sky = 0.05 + random.uniform(0.3, 0.6) * np.exp(-(across**2 + down**2) / random.uniform(0.01, 0.02))
    for top, left in random.integers(0, 316, (150, 2)):
        sky[top : top + 3, left : left + 3] = random.uniform(0.4, 1)
    return Picture(freeze(np.repeat(np.clip(sky, 0, 1)[:, :, None], 3, axis=2).astype(np.float32)))


def test_two_galaxies_are_two_pictures() -> None:
    """Their small copies agree at most places, and the stars of one are not in the other."""
    looks = [describe_look(stars(seed)) for seed in range(6)]
    for seed in range(6):
        seen_picture = SeenPicture(after_jpeg(stars(seed)))
        assert [other for other, look in enumerate(looks) if seen_picture.compare(look).is_alike] == [seed]


def test_transparent_parts_and_profiles_do_not_hide_a_picture() -> None:
    """White shapes on transparency are known, and so is a picture that an editor has converted to sRGB."""
    shapes = np.zeros((240, 320), np.float32)
    shapes[60:180, 40:120] = shapes[20:90, 200:300] = 1
    white = Picture(freeze(np.ones((240, 320, 3), np.float32)), alpha=freeze(shapes))
    assert SeenPicture(white).compare(describe_look(white)).is_alike
    wide = colour.convert_profile(photograph(), "adobe-rgb")
    assert SeenPicture(colour.convert_profile(wide, "srgb")).compare(describe_look(wide)).is_alike


def test_different_pictures_are_not_alike() -> None:
    """Twelve scenes and a photograph, each compared with each other one."""
    pictures = [photograph(), *map(scene, range(10, 22))]
    looks = [describe_look(picture) for picture in pictures]
    for number, picture in enumerate(pictures):
        seen_picture = SeenPicture(picture)
        assert [other for other, look in enumerate(looks) if seen_picture.compare(look).is_alike] == [number]


def test_a_flat_picture_has_no_look_and_a_broken_look_is_like_nothing() -> None:
    """Nothing fails, whatever the journal holds."""
    flat = Picture(freeze(np.full((200, 300, 3), 0.5, np.float32)))
    assert describe_look(flat) == b""
    look = describe_look(photograph())
    seen_picture = SeenPicture(photograph())
    assert SeenPicture(flat).compare(look) == NOT_ALIKE
    for broken in (b"", b"GLK2", look[:-1], b"X" + look[1:], look + b"\0", bytes(len(look))):
        assert seen_picture.compare(broken) == NOT_ALIKE


@pytest.mark.parametrize("shape", [(6, 30_100), (3_000, 4), (1, 1)])
def test_a_picture_of_any_shape_can_be_looked_at(shape: tuple[int, int]) -> None:
    """A very narrow one is known by its values alone, and is like no photograph."""
    noise = Picture(freeze(np.random.default_rng(1).random((*shape, 3), np.float32)))
    assert len(describe_look(noise)) < MAX_STORED_LOOK_BYTES
    assert not SeenPicture(noise).compare(describe_look(photograph())).is_alike
    assert not SeenPicture(photograph()).compare(describe_look(noise)).is_alike


def test_the_newest_of_the_versions_of_one_picture_is_taken() -> None:
    """They look alike, and are one picture in several stages."""
    versions = [known(photograph(), "acme/hero"), known(after_jpeg(photograph()), "acme/hero"), known(scene(1), "acme/other")]
    assert find_alike_versions(after_jpeg(photograph()), versions) == (versions[0].sha256,)


def test_frames_that_look_alike_are_unsure() -> None:
    """Both are named, so that the record can say it; a frame whose neighbours are other pictures is known."""
    frames = [known(frame_of_series(number), f"acme/{number}") for number in (1, 2)]
    copy = after_jpeg(frame_of_series(1))
    assert set(find_alike_versions(copy, frames)) == {frame.sha256 for frame in frames}
    assert find_alike_versions(copy, [frames[0], known(scene(1), "acme/2")]) == (frames[0].sha256,)
    assert find_alike_versions(scene(5), frames) == ()


def test_a_neighbour_in_a_series_is_never_the_origin() -> None:
    """Alone it is no origin, however alike. Beside the right version it makes the answer unsure."""
    own, neighbour = known(frame_of_series(1), "acme/1"), known(frame_of_series(2), "acme/2").model_copy(update={"is_neighbour": True})
    copy = after_jpeg(frame_of_series(1))
    assert find_alike_versions(copy, [neighbour]) == ()
    assert set(find_alike_versions(copy, [own, neighbour])) == {own.sha256, neighbour.sha256}


@pytest.mark.soak
def test_a_thousand_pictures_and_two_hundred_frames_give_no_false_link() -> None:
    """Each of 1,000 scenes is compared with ten others under its name; each of 200 frames is known by its neighbours alone, and unsure."""
    looks = [known(scene(number), str(number)) for number in range(1000)]
    linked = [
        number for number in range(1000) if find_alike_versions(scene(number), [looks[(number + step) % 1000] for step in range(1, 11)])
    ]
    assert linked == []
    frames = [known(frame_of_series(number), str(number)) for number in range(200)]
    wrong = [
        number
        for number in range(200)
        if len(find_alike_versions(after_jpeg(frame_of_series(number)), [frames[(number + step) % 200] for step in (1, -1, 2, -2)])) == 1
    ]
    assert wrong == []


@pytest.mark.soak
def test_most_edited_copies_are_known_again() -> None:
    """At least 95 % of a hundred scenes after each edit."""
    looks = {number: describe_look(scene(number)) for number in range(100)}
    for name, edit in EDITS.items():
        alike = [number for number, look in looks.items() if SeenPicture(edit(scene(number))).compare(look).is_alike]
        assert len(alike) >= 95, name
