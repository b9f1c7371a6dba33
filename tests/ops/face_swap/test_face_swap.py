"""face_swap: the face that is meant, on it the library's, in its light; nothing else changes, and what cannot come out well is held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from doubles.faces import DARK, face_from_mesh, mesh_at, paint_faces
from doubles.step_context import StepContextDouble
from goldsmith.engines.kinds import FACE_SWAPPER
from goldsmith.engines.protocols import EngineDescriptor, EngineNeed
from goldsmith.engines.vision import DrawnFace, Face, FaceEmbedding, Points, normalise
from goldsmith.errors import InputError
from goldsmith.ops.face_swap.face_parts import FaceParts, face_box
from goldsmith.ops.face_swap.landmarks import FACE_POINT_COUNT, OUTLINE
from goldsmith.ops.face_swap.operation import FaceSwap
from goldsmith.picture.picture import Picture, Pixels, freeze
from goldsmith.picture.profiles import builtin_profile

HIGH, WIDE = 240, 360
TARGET = mesh_at(60, 60, 100)
SITTER = mesh_at(40, 50, 120)
PICTURE = paint_faces(HIGH, WIDE, [TARGET])
ANNA = paint_faces(260, 220, [SITTER], DARK, seed=1)


class FaceContext(StepContextDouble):
    """A picture with faces, and a library with Anna's."""

    def __init__(self, *meshes: Points, anna: Picture = ANNA, sitters: Sequence[Points] = (SITTER,), **more: Any) -> None:
        faces = {face_from_mesh(mesh): mesh for mesh in sorted(meshes or (TARGET,), key=lambda mesh: -float(np.ptp(mesh[:, 0])))}
        super().__init__(faces=faces, portraits={"anna": (anna, {face_from_mesh(mesh): mesh for mesh in sitters})}, **more)


def _swapped(picture: Picture = PICTURE, context: StepContextDouble | None = None, **settings: Any) -> Picture:
    return FaceSwap.model_validate({"face": "anna", **settings}).apply(picture, context or FaceContext())


def _changed(before: Picture, after: Picture) -> np.ndarray:
    return np.asarray((before.to_codes() != after.to_codes()).any(axis=2))


def _outside(mesh: Points = TARGET, picture: Picture = PICTURE) -> np.ndarray:
    """Where the face's outline is not."""
    box = face_box(mesh, picture.height, picture.width)
    whole = np.ones((picture.height, picture.width), bool)
    whole[box.window] = FaceParts(mesh, box).inside == 0
    return whole


# ---------------------------------------------------------------------- law 4, depth, profile


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_outside_the_face_nothing_changes(depth: Any, channels: int) -> None:
    """Not one code; most of the face does; and the count is on record."""
    context, picture = FaceContext(), paint_faces(HIGH, WIDE, [TARGET], depth=depth)
    picture = replace(picture, pixels=freeze(picture.pixels[:, :, :channels]))
    made = _swapped(picture, context)
    changed = _changed(picture, made)
    assert not changed[_outside()].any()
    assert changed[~_outside()].mean() > 0.6
    assert context.results.findings["outside_changed"] == 0
    assert made.channels == channels
    assert _outside().sum() <= context.results.findings["outside_pixels"] < HIGH * WIDE  # type: ignore[operator]


def test_outside_the_region_nothing_changes_either() -> None:
    """A mask that leaves a part of the face out keeps that part, as a hand before it needs."""
    mask = np.ones((HIGH, WIDE), np.float32)
    mask[:, :105] = 0
    picture = replace(PICTURE, masks=MappingProxyType({"mask": freeze(mask)}))
    changed = _changed(picture, _swapped(picture, where="mask"))
    assert not changed[mask == 0].any()
    assert changed[:, 110:].any()


def test_a_hand_before_the_face_can_be_left_out_by_its_name() -> None:
    """where = "!hands": found by the net for hands, they keep every code; without hands it is the whole face."""
    hand = np.zeros((HIGH, WIDE), np.float32)
    hand[130:200, 60:100] = 1
    changed = _changed(PICTURE, _swapped(context=FaceContext(spots={"hands": freeze(hand)}), where="!hands"))
    assert not changed[hand > 0].any()
    assert changed[100:130, 80:140].mean() > 0.8
    assert np.array_equal(_swapped(where="!hands").pixels, _swapped().pixels)


def test_it_costs_what_the_face_takes_and_not_the_picture() -> None:
    """All else is the very memory of the picture that came in."""
    made = _swapped()
    boxes = made.differing_windows(PICTURE)
    assert boxes is not None
    [(rows, columns)] = boxes
    assert (rows.stop - rows.start) * (columns.stop - columns.start) < 0.3 * HIGH * WIDE


def test_sixteen_bits_are_used() -> None:
    """What is laid in has values between the codes of 8 bits."""
    picture = paint_faces(HIGH, WIDE, [TARGET], depth=16)
    made = _swapped(picture).to_codes()[_changed(picture, _swapped(picture))]
    assert len(np.unique(made[:, 0])) > 300


def test_depth_profile_alpha_and_masks_are_kept() -> None:
    """Of a 16-bit picture in another profile; the library's picture is brought to that profile."""
    alpha = freeze(np.full((HIGH, WIDE), 0.5, np.float32))
    picture = replace(PICTURE, depth=16, icc=builtin_profile("adobe-rgb"), alpha=alpha, masks=MappingProxyType({"sky": alpha}))
    made = _swapped(picture, match=0)
    assert (made.depth, made.icc, made.alpha, set(made.masks)) == (16, picture.icc, alpha, {"sky"})
    mine = _swapped(replace(PICTURE, depth=16), match=0)
    x, y = TARGET[205].round().astype(int)
    assert made.pixels[y, x, 0] < mine.pixels[y, x, 0] - 0.01, "the same skin has a smaller code in a wider gamut"


# ---------------------------------------------------------------------- what comes of it


def test_no_strength_is_the_picture_itself() -> None:
    """Nothing asked, nothing looked for: not even the library is opened."""
    context = StepContextDouble()
    assert _swapped(context=context, strength=0) is PICTURE
    assert context.results.findings == {}


def test_half_the_strength_is_half_the_way() -> None:
    """Between what was there and what comes, where there is no grain to add."""
    whole, half = _swapped(match=0).pixels, _swapped(match=0, strength=0.5).pixels
    assert np.abs(half - (PICTURE.pixels + whole) / 2).mean() < 0.002


def test_the_face_is_the_library_s() -> None:
    """Unmatched, the dark skin of the one is on the fair other, the middle of the cheek; matched, it has the fair one's tone."""
    x, y = TARGET[205].round().astype(int)
    there, plain, matched = (
        each.pixels[y - 3 : y + 4, x - 3 : x + 4].mean(axis=(0, 1)) for each in (PICTURE, _swapped(match=0), _swapped())
    )
    assert np.abs(plain - DARK).max() < 0.03
    assert np.abs(matched - there).max() < 0.03


def test_the_light_stays_the_picture_s() -> None:
    """A face lit from its right stays lit from its right, though the library's is lit from the left."""
    picture = paint_faces(HIGH, WIDE, [TARGET], light=0.3)
    anna = paint_faces(260, 220, [SITTER], DARK, light=-0.3, seed=1)
    made = _swapped(picture, FaceContext(anna=anna)).pixels[:, :, 1]
    left, right = (made[round(float(TARGET[at, 1])), round(float(TARGET[at, 0]))] for at in (205, 425))
    given = picture.pixels[:, :, 1]
    was_left, was_right = (given[round(float(TARGET[at, 1])), round(float(TARGET[at, 0]))] for at in (205, 425))
    assert right - left == pytest.approx(was_right - was_left, abs=0.06)
    assert right > left + 0.02


def test_a_face_on_itself_changes_next_to_nothing() -> None:
    """The library has this very picture: whatever shape, light and rim, the result is the picture within a code or two on average."""
    made = _swapped(PICTURE, FaceContext(anna=paint_faces(HIGH, WIDE, [TARGET]), sitters=[TARGET]))
    apart = np.abs(made.pixels - PICTURE.pixels)
    assert apart.mean() * 255 < 0.3
    assert np.percentile(apart[~_outside()], 99) * 255 < 8


def test_the_same_again() -> None:
    """Byte for byte."""
    assert np.array_equal(_swapped().pixels, _swapped().pixels)


def test_a_grey_face_goes_onto_a_coloured_one_and_back() -> None:
    """Channels are the picture's."""
    grey = replace(ANNA, pixels=freeze(ANNA.pixels.mean(axis=2, keepdims=True)))
    assert _swapped(PICTURE, FaceContext(anna=grey)).channels == 3
    picture = replace(PICTURE, pixels=freeze(PICTURE.pixels[:, :, :1]))
    assert _swapped(picture, FaceContext(anna=grey)).channels == 1


# ---------------------------------------------------------------------- which face


def _three() -> tuple[Picture, list[Points]]:
    meshes = [mesh_at(20, 60, 70), mesh_at(130, 60, 80), mesh_at(260, 60, 60)]
    return paint_faces(HIGH, WIDE, meshes), meshes


@pytest.mark.parametrize(("which", "number"), [("largest", 1), ("leftmost", 0), ("rightmost", 2), ("center", 1), (1, 0), (2, 1), (3, 2)])
def test_the_face_that_is_named_is_the_one(which: str | int, number: int) -> None:
    """By a word or by its number from the left; the others keep every code."""
    picture, meshes = _three()
    context = FaceContext(*meshes)
    changed = _changed(picture, _swapped(picture, context, which=which))
    assert not changed[_outside(meshes[number], picture)].any()
    assert changed.any()
    assert (context.results.findings["faces"], context.results.findings["number"]) == (3, number + 1)


def test_several_faces_and_no_word_are_held_and_shown() -> None:
    """Which one is not guessed: the picture beside the note has their numbers."""
    picture, meshes = _three()
    context = FaceContext(*meshes)
    with pytest.raises(InputError, match="There are 3 faces in the picture, and none is clearly the main one") as caught:
        _swapped(picture, context)
    assert 'which = "largest"' in caught.value.remedy
    [shown] = context.results.problem_pictures
    assert (np.abs(shown.pixels - np.float32([1, 0, 1])).max(axis=2) < 0.01).sum() > 300


def test_one_face_that_is_far_larger_than_the_others_is_the_one() -> None:
    """A passer-by behind the model needs no word."""
    meshes = [mesh_at(60, 40, 130), mesh_at(290, 60, 30)]
    picture = paint_faces(HIGH, WIDE, meshes)
    assert not _changed(picture, _swapped(picture, FaceContext(*meshes)))[_outside(meshes[0], picture)].any()


def test_a_number_that_no_face_has_is_said() -> None:
    """With how many there are."""
    picture, meshes = _three()
    with pytest.raises(InputError, match="There are 3 faces in the picture, and there is no number 4"):
        _swapped(picture, FaceContext(*meshes), which=4)


def test_a_region_bounds_the_choice() -> None:
    """Of three faces one lies at the right: then no more needs to be said; and numbers count within the region."""
    picture, meshes = _three()
    changed = _changed(picture, _swapped(picture, FaceContext(*meshes), where="box(0.65, 0, 0.35, 1)"))
    assert not changed[_outside(meshes[2], picture)].any()
    changed = _changed(picture, _swapped(picture, FaceContext(*meshes), where="box(0.3, 0, 0.7, 1)", which=1))
    assert not changed[_outside(meshes[1], picture)].any()


def test_no_face_is_said_with_where_it_was_looked_for() -> None:
    """A region without one, and a picture without any."""
    with pytest.raises(InputError, match='There is no face in where = "right"'):
        _swapped(where="right")
    with pytest.raises(InputError, match="There is no face in the picture"):
        _swapped(context=StepContextDouble(portraits={"anna": (ANNA, {face_from_mesh(SITTER): SITTER})}))


# ---------------------------------------------------------------------- what is held


def test_the_library_s_face_is_one_clear_face() -> None:
    """None, several, without a mesh, small, cut off: each is a sentence with the file."""
    two = [SITTER, mesh_at(160, 60, 100)]
    small = mesh_at(40, 40, 40)
    cut = mesh_at(-20, 50, 120)
    for sitters, said in (([], "shows no face"), (two, "shows 2 faces"), ([small], "40 px large"), ([cut], "cut off")):
        with pytest.raises(InputError, match=rf"library/faces/anna\.png.*{said}"):
            _swapped(context=FaceContext(sitters=sitters))
    context = StepContextDouble(faces={face_from_mesh(TARGET): TARGET}, portraits={"anna": (ANNA, {face_from_mesh(SITTER): None})})
    with pytest.raises(InputError, match="turned too far away"):
        _swapped(context=context)


def test_a_face_in_the_library_that_looks_aside_is_refused_with_the_angle() -> None:
    """A profile is no source; where it looks up or down is said, too."""
    with pytest.raises(InputError, match=r"looks aside by about \d\d degrees; the limit is 35"):
        _swapped(context=FaceContext(sitters=[mesh_at(40, 50, 120, aside=1.2)]))


@pytest.mark.parametrize("by", [-60, 70])
def test_a_face_in_the_library_that_looks_up_or_down_is_refused(by: int) -> None:
    """Its nose lies too near to the forehead, or to the chin."""
    nods = SITTER.copy()
    nods[4, 1] += by
    with pytest.raises(InputError, match=r"looks up or down by about \d\d degrees; the limit is 35"):
        _swapped(context=FaceContext(sitters=[nods]))


def test_somebody_far_behind_in_the_library_s_picture_is_no_matter() -> None:
    """A face four times as large as the other is the one; a little more than that and nobody can tell."""
    assert _swapped(context=FaceContext(sitters=[SITTER, mesh_at(170, 20, 40)])) is not PICTURE
    with pytest.raises(InputError, match="shows 2 faces"):
        _swapped(context=FaceContext(sitters=[SITTER, mesh_at(150, 20, 70)]))


def test_shut_eyes_in_the_library_are_refused() -> None:
    """There is nobody to be seen in them."""
    shut = SITTER.copy()
    for upper, under in ((159, 145), (386, 374)):
        shut[upper] = shut[under]
    with pytest.raises(InputError, match="eyes of the face"):
        _swapped(context=FaceContext(sitters=[shut]))


def test_shut_eyes_in_the_picture_are_held() -> None:
    """Whoever blinks keeps their own face; a net that draws may try."""
    shut = TARGET.copy()
    for upper, under in ((159, 145), (386, 374)):
        shut[upper] = shut[under]
    with pytest.raises(InputError, match="The eyes of the face in the picture are closed"):
        _swapped(paint_faces(HIGH, WIDE, [shut]), FaceContext(shut))
    assert _swapped(paint_faces(HIGH, WIDE, [shut]), FaceContext(shut, swapper=Copying()), model="ours") is not None


def test_faces_that_are_turned_away_from_each_other_are_held_with_the_angles() -> None:
    """A warped face cannot turn its head; a net that draws may."""
    aside = mesh_at(60, 60, 100, aside=0.9)
    with pytest.raises(InputError, match=r"turned by about \d\d degrees from the one in library/faces/"):
        _swapped(paint_faces(HIGH, WIDE, [aside]), FaceContext(aside))
    _swapped(paint_faces(HIGH, WIDE, [aside]), FaceContext(aside, swapper=Copying()), model="ours")


def test_a_mouth_that_is_torn_open_is_held() -> None:
    """Closed lips warped onto a laugh would be torn apart; the other way round is fine."""
    open_, shut = TARGET.copy(), SITTER.copy()
    open_[14, 1] += 14
    shut[14] = shut[13]
    with pytest.raises(InputError, match="mouth of the face in the picture is wide open"):
        _swapped(paint_faces(HIGH, WIDE, [open_]), FaceContext(open_, sitters=[shut]))
    _swapped(paint_faces(HIGH, WIDE, [TARGET]), FaceContext(TARGET, sitters=[SITTER]))


def test_a_face_that_is_much_larger_than_the_library_s_is_held() -> None:
    """It would come out soft: both sizes are told."""
    large = mesh_at(30, 30, 300)
    with pytest.raises(InputError, match=r"about 80 px large and the one in the picture 300 px"):
        _swapped(
            paint_faces(420, 420, [large]),
            FaceContext(large, sitters=[mesh_at(40, 50, 80)], anna=paint_faces(260, 220, [mesh_at(40, 50, 80)])),
        )


def _fringe(picture: Picture, mesh: Points, part: float) -> Picture:
    """The picture with hair over the upper part of that face."""
    pixels = picture.pixels.copy()
    top, bottom = mesh[:FACE_POINT_COUNT, 1].min(), mesh[:FACE_POINT_COUNT, 1].max()
    rows = slice(max(0, int(top) - 5), int(top + part * (bottom - top)))
    columns = slice(int(mesh[list(OUTLINE), 0].min()) - 3, int(mesh[list(OUTLINE), 0].max()) + 3)
    pixels[rows, columns] = np.float32((0.12, 0.08, 0.05))
    return replace(picture, pixels=freeze(pixels))


def test_hair_before_the_face_stays() -> None:
    """A fringe keeps its pixels, and how much it hides is on record."""
    picture, context = _fringe(PICTURE, TARGET, 0.15), FaceContext()
    changed = _changed(picture, _swapped(picture, context))
    hair = (picture.pixels[:, :, 0] < 0.15) & ~_outside()
    assert changed[hair].mean() < 0.02
    assert 0.05 < context.results.findings["hidden"] < 0.3  # type: ignore[operator]


def test_hair_of_the_library_s_face_does_not_come_along() -> None:
    """Where the fringe is in the source, the target's own forehead stays."""
    anna = _fringe(paint_faces(260, 220, [SITTER], seed=1), SITTER, 0.15)
    made = _swapped(PICTURE, FaceContext(anna=anna))
    top = round(float(TARGET[10, 1]))
    x = round(float(TARGET[10, 0]))
    forehead = (slice(top, top + 14), slice(x - 15, x + 15))
    assert np.abs(made.pixels[forehead] - PICTURE.pixels[forehead]).max() < 0.15


@pytest.mark.parametrize("where", ["picture", "library"])
def test_a_face_that_is_mostly_hidden_is_held(where: str) -> None:
    """In either picture, with how much and the limit; more may be allowed."""
    picture = _fringe(PICTURE, TARGET, 0.25) if where == "picture" else PICTURE
    anna = _fringe(ANNA, SITTER, 0.25) if where == "library" else ANNA
    with pytest.raises(InputError, match=rf"Something hides about \d\d% of the face in .*{where}.* \(max_hidden is 10%\)"):
        _swapped(picture, FaceContext(anna=anna), max_hidden=0.1)
    assert _swapped(picture, FaceContext(anna=anna), max_hidden=1) is not picture


# ---------------------------------------------------------------------- whose face it is


def _by_skin(face: Face, picture: Picture) -> FaceEmbedding:
    """Who a face is by the colour at the tip of its nose."""
    x, y = face.landmarks[2].round().astype(int)
    return normalise(picture.pixels[y, x] - np.float32(0.55))


def test_whose_face_it_is_goes_on_record() -> None:
    """Before, after, and how much of the old face is left: after a swap without matching the library's face has won."""
    context = FaceContext(identify=_by_skin)
    _swapped(context=context, match=0)
    found = context.results.findings["likeness"]
    assert found["after"] > 0.95 > 0.5 > found["before"]  # type: ignore[index,call-overload]
    assert found["to_itself"] < 0.5  # type: ignore[index,call-overload,operator]


def test_a_swap_that_is_nobody_is_held_and_shown() -> None:
    """No silent bad swap: the sentence has the measure, the limit and what it was before; the picture shows what came of it."""
    context = FaceContext(identify=_by_skin)
    with pytest.raises(
        InputError, match=r"The new face is not similar enough to anna: likeness -?\d\.\d\d, minimum 0\.36 \(before the swap -?\d\.\d\d\)"
    ):
        _swapped(context=context, strength=0.05)
    [shown] = context.results.problem_pictures
    assert shown.width < WIDE


def test_less_likeness_may_be_allowed() -> None:
    """The limit is a setting; it is compared, not assumed."""

    def context() -> FaceContext:
        people = iter([(1.0, 0.0), (0.0, 1.0), (0.3, 0.954)])
        return FaceContext(identify=lambda face, picture: normalise(np.float32(next(people))))

    with pytest.raises(InputError, match=r"0\.30, minimum 0\.36 \(before the swap 0\.00\)"):
        _swapped(context=context())
    assert _swapped(context=context(), min_likeness=0.25) is not PICTURE


# ---------------------------------------------------------------------- a net that draws


class Copying:
    """Draws the person's face as it is, in the square between the faces' eyes and mouths."""

    def __init__(self, colour: tuple[float, float, float] = (0.1, 0.7, 0.2)) -> None:
        self.descriptor = EngineDescriptor(name="ours", kind="swap", licence="LicenseRef-ours", side=64)
        self.colour = colour
        self.asked: list[tuple[Face, Face]] = []

    def swap(self, pixels: Pixels, face: Face, source_pixels: Pixels, source_face: Face) -> DrawnFace:
        assert pixels.shape[2] == source_pixels.shape[2] == 3
        self.asked.append((face, source_face))
        x, y, wide, high = face.box
        corners = np.array([(x - 10, y - 10), (x + wide + 10, y - 10), (x - 10, y + high + 10)], np.float32)
        return DrawnFace(np.broadcast_to(np.float32(self.colour), (64, 64, 3)), corners)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_model_that_is_named_draws_the_face(channels: int) -> None:
    """It is shown both faces, and what it draws is laid in by the same rules."""
    swapper = Copying()
    picture = replace(PICTURE, pixels=freeze(PICTURE.pixels[:, :, :channels]))
    context = FaceContext(swapper=swapper)
    made = _swapped(picture, context, model="ours", match=0)
    assert context.engines.models == ["ours"]
    [(face, person)] = swapper.asked
    assert face.box == face_from_mesh(TARGET).box
    assert person.box == face_from_mesh(SITTER).box
    assert not _changed(picture, made)[_outside()].any()
    x, y = TARGET[4].round().astype(int)
    assert made.pixels[y, x, channels // 2] == pytest.approx(0.7 if channels == 3 else 0.54, abs=0.05)


def test_what_a_model_draws_is_measured_as_well() -> None:
    """A net that draws somebody else is held like a bad warp."""
    with pytest.raises(InputError, match="The new face is not similar enough to anna"):
        _swapped(context=FaceContext(swapper=Copying((0.55, 0.55, 0.95)), identify=_by_skin), model="ours", match=0)


# ---------------------------------------------------------------------- settings


def test_what_it_needs_is_known_from_its_settings() -> None:
    """The picture and the consent by the bare name, three engines, and the one it names first; what its region looks for."""
    needs = FaceSwap(face="anna.JPG", model="ours", where="subject & sky").needs()
    assert needs.consents == {"anna"}
    assert [(shelf, name) for shelf, name, _ in needs.library_files] == [("faces", "anna")]
    assert needs.engines[0] == EngineNeed(FACE_SWAPPER, "ours")
    assert {need.kind.name for need in needs.engines} == {"swap", "faces", "mesh", "identity", "matte"}
    assert needs.masks == {"sky"}
    assert {need.kind.name for need in FaceSwap(face="anna").needs().engines} == {"faces", "mesh", "identity"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"face": ""},
        {"which": 0},
        {"which": "biggest"},
        {"which": 1.5},
        {"strength": 1.1},
        {"feather": 0.6},
        {"shape": -0.1},
        {"where": "a &"},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    """As the brief is read."""
    with pytest.raises(ValidationError):
        FaceSwap.model_validate({"face": "anna", **wrong})


def test_the_work_can_be_called_off() -> None:
    """Between its parts it reports how far it is."""
    context = FaceContext()
    _swapped(context=context)
    fractions = [fraction for fraction, _ in context.progress.reports]
    assert fractions == sorted(fractions)
    assert len(fractions) >= 3
