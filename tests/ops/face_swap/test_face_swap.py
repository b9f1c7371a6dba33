"""face_swap: the chosen face becomes the library's, in the picture's light; nothing else changes, and a bad swap is held."""

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

HEIGHT, WIDTH = 240, 360
TARGET = mesh_at(60, 60, 100)
SITTER = mesh_at(40, 50, 120)
PICTURE = paint_faces(HEIGHT, WIDTH, [TARGET])
ANNA = paint_faces(260, 220, [SITTER], DARK, seed=1)


class FaceContext(StepContextDouble):
    """A step context with faces in the picture, and with Anna's portrait in the library."""

    def __init__(self, *meshes: Points, anna: Picture = ANNA, sitters: Sequence[Points] = (SITTER,), **options: Any) -> None:
        faces = {face_from_mesh(mesh): mesh for mesh in sorted(meshes or (TARGET,), key=lambda mesh: -float(np.ptp(mesh[:, 0])))}
        super().__init__(faces=faces, portraits={"anna": (anna, {face_from_mesh(mesh): mesh for mesh in sitters})}, **options)


def _swap(picture: Picture = PICTURE, context: StepContextDouble | None = None, **settings: Any) -> Picture:
    return FaceSwap.model_validate({"face": "anna", **settings}).apply(picture, context or FaceContext())


def _difference(before: Picture, after: Picture) -> np.ndarray:
    return np.asarray((before.to_codes() != after.to_codes()).any(axis=2))


def _outside_mask(mesh: Points = TARGET, picture: Picture = PICTURE) -> np.ndarray:
    """Return the mask of the pixels outside the face's outline."""
    box = face_box(mesh, picture.height, picture.width)
    whole = np.ones((picture.height, picture.width), bool)
    whole[box.window] = FaceParts(mesh, box).inside == 0
    return whole


# ---------------------------------------------------------------------- unchanged pixels, depth, profile


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_outside_the_face_nothing_changes(depth: Any, channels: int) -> None:
    """No code changes there, most of the face changes, and the count is on record."""
    context, picture = FaceContext(), paint_faces(HEIGHT, WIDTH, [TARGET], depth=depth)
    picture = replace(picture, pixels=freeze(picture.pixels[:, :, :channels]))
    result = _swap(picture, context)
    difference = _difference(picture, result)
    assert not difference[_outside_mask()].any()
    assert difference[~_outside_mask()].mean() > 0.6
    assert context.results.findings["outside_changed"] == 0
    assert result.channels == channels
    assert _outside_mask().sum() <= context.results.findings["outside_pixels"] < HEIGHT * WIDTH  # type: ignore[operator]


def test_outside_the_region_nothing_changes() -> None:
    """A mask that leaves out a part of the face keeps that part, as is needed for a hand before the face."""
    mask = np.ones((HEIGHT, WIDTH), np.float32)
    mask[:, :105] = 0
    picture = replace(PICTURE, masks=MappingProxyType({"mask": freeze(mask)}))
    difference = _difference(picture, _swap(picture, where="mask"))
    assert not difference[mask == 0].any()
    assert difference[:, 110:].any()


def test_hands_before_the_face_can_be_excluded_by_name() -> None:
    """With where = "!hands" the hands that the model finds keep every code; without hands the whole face is swapped."""
    hand = np.zeros((HEIGHT, WIDTH), np.float32)
    hand[130:200, 60:100] = 1
    difference = _difference(PICTURE, _swap(context=FaceContext(spots={"hands": freeze(hand)}), where="!hands"))
    assert not difference[hand > 0].any()
    assert difference[100:130, 80:140].mean() > 0.8
    assert np.array_equal(_swap(where="!hands").pixels, _swap().pixels)


def test_only_the_window_of_the_face_is_copied() -> None:
    """All other pixels share the memory of the input picture."""
    result = _swap()
    boxes = result.differing_windows(PICTURE)
    assert boxes is not None
    [(rows, columns)] = boxes
    assert (rows.stop - rows.start) * (columns.stop - columns.start) < 0.3 * HEIGHT * WIDTH


def test_a_16_bit_picture_gets_16_bit_values() -> None:
    """The blended face has values between the codes of 8 bits."""
    picture = paint_faces(HEIGHT, WIDTH, [TARGET], depth=16)
    codes = _swap(picture).to_codes()[_difference(picture, _swap(picture))]
    assert len(np.unique(codes[:, 0])) > 300


def test_depth_profile_alpha_and_masks_are_kept() -> None:
    """The library's picture is converted to the profile of a 16-bit picture."""
    alpha = freeze(np.full((HEIGHT, WIDTH), 0.5, np.float32))
    picture = replace(PICTURE, depth=16, icc=builtin_profile("adobe-rgb"), alpha=alpha, masks=MappingProxyType({"sky": alpha}))
    result = _swap(picture, match=0)
    assert (result.depth, result.icc, result.alpha, set(result.masks)) == (16, picture.icc, alpha, {"sky"})
    srgb_result = _swap(replace(PICTURE, depth=16), match=0)
    x, y = TARGET[205].round().astype(int)
    assert result.pixels[y, x, 0] < srgb_result.pixels[y, x, 0] - 0.01, "the same skin has a smaller code in a wider gamut"


# ---------------------------------------------------------------------- the new face


def test_a_strength_of_0_returns_the_picture_itself() -> None:
    """Nothing is searched, and the library is not opened."""
    context = StepContextDouble()
    assert _swap(context=context, strength=0) is PICTURE
    assert context.results.findings == {}


def test_half_the_strength_blends_halfway() -> None:
    """If no grain is added, the result is the mean of the picture and the full swap."""
    whole, half = _swap(match=0).pixels, _swap(match=0, strength=0.5).pixels
    assert np.abs(half - (PICTURE.pixels + whole) / 2).mean() < 0.002


def test_the_new_face_is_the_library_s() -> None:
    """Without matching, the middle of the fair cheek gets the library's dark skin; with matching it keeps the fair tone."""
    x, y = TARGET[205].round().astype(int)
    before, plain, matched = (
        picture.pixels[y - 3 : y + 4, x - 3 : x + 4].mean(axis=(0, 1)) for picture in (PICTURE, _swap(match=0), _swap())
    )
    assert np.abs(plain - DARK).max() < 0.03
    assert np.abs(matched - before).max() < 0.03


def test_the_light_stays_the_picture_s() -> None:
    """A face lit from its right stays lit from its right, though the library's is lit from the left."""
    picture = paint_faces(HEIGHT, WIDTH, [TARGET], light=0.3)
    anna = paint_faces(260, 220, [SITTER], DARK, light=-0.3, seed=1)
    result = _swap(picture, FaceContext(anna=anna)).pixels[:, :, 1]
    left, right = (result[round(float(TARGET[number, 1])), round(float(TARGET[number, 0]))] for number in (205, 425))
    before = picture.pixels[:, :, 1]
    left_before, right_before = (before[round(float(TARGET[number, 1])), round(float(TARGET[number, 0]))] for number in (205, 425))
    assert right - left == pytest.approx(right_before - left_before, abs=0.06)
    assert right > left + 0.02


def test_a_face_swapped_with_itself_hardly_changes() -> None:
    """The library has this very picture: the mean difference is below 0.3 codes, and 99 % of the face's values differ by less than 8."""
    result = _swap(PICTURE, FaceContext(anna=paint_faces(HEIGHT, WIDTH, [TARGET]), sitters=[TARGET]))
    difference = np.abs(result.pixels - PICTURE.pixels)
    assert difference.mean() * 255 < 0.3
    assert np.percentile(difference[~_outside_mask()], 99) * 255 < 8


def test_equal_swaps_give_equal_pixels() -> None:
    """They are equal byte for byte."""
    assert np.array_equal(_swap().pixels, _swap().pixels)


def test_the_result_has_the_picture_s_channels() -> None:
    """A grey face goes onto a colour picture and onto a grey one."""
    grey = replace(ANNA, pixels=freeze(ANNA.pixels.mean(axis=2, keepdims=True)))
    assert _swap(PICTURE, FaceContext(anna=grey)).channels == 3
    picture = replace(PICTURE, pixels=freeze(PICTURE.pixels[:, :, :1]))
    assert _swap(picture, FaceContext(anna=grey)).channels == 1


# ---------------------------------------------------------------------- the choice of the face


def _three() -> tuple[Picture, list[Points]]:
    meshes = [mesh_at(20, 60, 70), mesh_at(130, 60, 80), mesh_at(260, 60, 60)]
    return paint_faces(HEIGHT, WIDTH, meshes), meshes


@pytest.mark.parametrize(("which", "number"), [("largest", 1), ("leftmost", 0), ("rightmost", 2), ("center", 1), (1, 0), (2, 1), (3, 2)])
def test_only_the_chosen_face_is_swapped(which: str | int, number: int) -> None:
    """The choice is a word or a number from the left; the other faces keep every code."""
    picture, meshes = _three()
    context = FaceContext(*meshes)
    difference = _difference(picture, _swap(picture, context, which=which))
    assert not difference[_outside_mask(meshes[number], picture)].any()
    assert difference.any()
    assert (context.results.findings["faces"], context.results.findings["number"]) == (3, number + 1)


def test_several_faces_without_a_choice_are_held_and_numbered() -> None:
    """No face is guessed: the picture beside the note has their numbers."""
    picture, meshes = _three()
    context = FaceContext(*meshes)
    with pytest.raises(InputError, match="There are 3 faces in the picture, and none is clearly the main one") as caught:
        _swap(picture, context)
    assert 'which = "largest"' in caught.value.remedy
    [numbered] = context.results.problem_pictures
    assert (np.abs(numbered.pixels - np.float32([1, 0, 1])).max(axis=2) < 0.01).sum() > 300


def test_a_face_far_larger_than_the_others_needs_no_choice() -> None:
    """A passer-by behind the model does not matter."""
    meshes = [mesh_at(60, 40, 130), mesh_at(290, 60, 30)]
    picture = paint_faces(HEIGHT, WIDTH, meshes)
    assert not _difference(picture, _swap(picture, FaceContext(*meshes)))[_outside_mask(meshes[0], picture)].any()


def test_a_number_that_no_face_has_is_held() -> None:
    """The message has the number of faces."""
    picture, meshes = _three()
    with pytest.raises(InputError, match="There are 3 faces in the picture, and there is no number 4"):
        _swap(picture, FaceContext(*meshes), which=4)


def test_a_region_limits_the_choice() -> None:
    """If only one of three faces lies in the region, no choice is needed; numbers count within the region."""
    picture, meshes = _three()
    difference = _difference(picture, _swap(picture, FaceContext(*meshes), where="box(0.65, 0, 0.35, 1)"))
    assert not difference[_outside_mask(meshes[2], picture)].any()
    difference = _difference(picture, _swap(picture, FaceContext(*meshes), where="box(0.3, 0, 0.7, 1)", which=1))
    assert not difference[_outside_mask(meshes[1], picture)].any()


def test_a_picture_without_a_face_is_held_with_the_searched_region() -> None:
    """The message names the region, or the whole picture."""
    with pytest.raises(InputError, match='There is no face in where = "right"'):
        _swap(where="right")
    with pytest.raises(InputError, match="There is no face in the picture"):
        _swap(context=StepContextDouble(portraits={"anna": (ANNA, {face_from_mesh(SITTER): SITTER})}))


# ---------------------------------------------------------------------- pictures that are held


def test_a_library_picture_without_one_clear_face_is_refused() -> None:
    """No face, several, a small one, a cut one and one without a mesh are each refused with the file and the reason."""
    two = [SITTER, mesh_at(160, 60, 100)]
    small = mesh_at(40, 40, 40)
    cut = mesh_at(-20, 50, 120)
    for sitters, message in (([], "shows no face"), (two, "shows 2 faces"), ([small], "40 px large"), ([cut], "cut off")):
        with pytest.raises(InputError, match=rf"library/faces/anna\.png.*{message}"):
            _swap(context=FaceContext(sitters=sitters))
    context = StepContextDouble(faces={face_from_mesh(TARGET): TARGET}, portraits={"anna": (ANNA, {face_from_mesh(SITTER): None})})
    with pytest.raises(InputError, match="turned too far away"):
        _swap(context=context)


def test_a_library_face_that_looks_aside_is_refused_with_the_angle() -> None:
    """A profile cannot be a source."""
    with pytest.raises(InputError, match=r"looks aside by about \d\d degrees; the limit is 35"):
        _swap(context=FaceContext(sitters=[mesh_at(40, 50, 120, aside=1.2)]))


@pytest.mark.parametrize("offset", [-60, 70])
def test_a_library_face_that_looks_up_or_down_is_refused_with_the_angle(offset: int) -> None:
    """Its nose lies too close to the forehead, or to the chin."""
    nodding = SITTER.copy()
    nodding[4, 1] += offset
    with pytest.raises(InputError, match=r"looks up or down by about \d\d degrees; the limit is 35"):
        _swap(context=FaceContext(sitters=[nodding]))


def test_a_small_second_face_in_the_library_picture_is_ignored() -> None:
    """The main face must be four times as large as the other; otherwise the choice is unclear."""
    assert _swap(context=FaceContext(sitters=[SITTER, mesh_at(170, 20, 40)])) is not PICTURE
    with pytest.raises(InputError, match="shows 2 faces"):
        _swap(context=FaceContext(sitters=[SITTER, mesh_at(150, 20, 70)]))


def test_closed_eyes_in_the_library_are_refused() -> None:
    """A face with closed eyes cannot be a source."""
    closed = SITTER.copy()
    for upper, lower in ((159, 145), (386, 374)):
        closed[upper] = closed[lower]
    with pytest.raises(InputError, match="eyes of the face"):
        _swap(context=FaceContext(sitters=[closed]))


def test_closed_eyes_in_the_picture_are_held() -> None:
    """A warp cannot open eyes; a model that generates the face may try."""
    closed = TARGET.copy()
    for upper, lower in ((159, 145), (386, 374)):
        closed[upper] = closed[lower]
    with pytest.raises(InputError, match="The eyes of the face in the picture are closed"):
        _swap(paint_faces(HEIGHT, WIDTH, [closed]), FaceContext(closed))
    assert _swap(paint_faces(HEIGHT, WIDTH, [closed]), FaceContext(closed, swapper=FlatColourSwapper()), model="ours") is not None


def test_faces_turned_away_from_each_other_are_held_with_the_angles() -> None:
    """A warp cannot turn a head; a model that generates the face may try."""
    aside = mesh_at(60, 60, 100, aside=0.9)
    with pytest.raises(InputError, match=r"turned by about \d\d degrees from the one in library/faces/"):
        _swap(paint_faces(HEIGHT, WIDTH, [aside]), FaceContext(aside))
    _swap(paint_faces(HEIGHT, WIDTH, [aside]), FaceContext(aside, swapper=FlatColourSwapper()), model="ours")


def test_a_mouth_wide_open_in_the_picture_alone_is_held() -> None:
    """Closed lips would tear if warped onto a laugh; an open mouth may be warped onto closed lips."""
    laugh, closed_lips = TARGET.copy(), SITTER.copy()
    laugh[14, 1] += 14
    closed_lips[14] = closed_lips[13]
    with pytest.raises(InputError, match="mouth of the face in the picture is open further"):
        _swap(paint_faces(HEIGHT, WIDTH, [laugh]), FaceContext(laugh, sitters=[closed_lips]))
    sitter_laugh, target_closed = SITTER.copy(), TARGET.copy()
    sitter_laugh[14, 1] += 17
    target_closed[14] = target_closed[13]
    _swap(paint_faces(HEIGHT, WIDTH, [target_closed]), FaceContext(target_closed, sitters=[sitter_laugh]))


def test_a_face_much_larger_than_the_library_s_is_held() -> None:
    """The result would be soft; the message has both sizes."""
    large = mesh_at(30, 30, 300)
    with pytest.raises(InputError, match=r"about 80 px large and the one in the picture 300 px"):
        _swap(
            paint_faces(420, 420, [large]),
            FaceContext(large, sitters=[mesh_at(40, 50, 80)], anna=paint_faces(260, 220, [mesh_at(40, 50, 80)])),
        )


def _with_fringe(picture: Picture, mesh: Points, part: float) -> Picture:
    """Return the picture with hair over that upper part of the face."""
    pixels = picture.pixels.copy()
    top, bottom = mesh[:FACE_POINT_COUNT, 1].min(), mesh[:FACE_POINT_COUNT, 1].max()
    rows = slice(max(0, int(top) - 5), int(top + part * (bottom - top)))
    columns = slice(int(mesh[list(OUTLINE), 0].min()) - 3, int(mesh[list(OUTLINE), 0].max()) + 3)
    pixels[rows, columns] = np.float32((0.12, 0.08, 0.05))
    return replace(picture, pixels=freeze(pixels))


def test_hair_before_the_face_stays() -> None:
    """A fringe keeps its pixels, and the hidden share is on record."""
    picture, context = _with_fringe(PICTURE, TARGET, 0.15), FaceContext()
    difference = _difference(picture, _swap(picture, context))
    hair = (picture.pixels[:, :, 0] < 0.15) & ~_outside_mask()
    assert difference[hair].mean() < 0.02
    assert 0.05 < context.results.findings["hidden"] < 0.3  # type: ignore[operator]


def test_hair_of_the_library_s_face_is_not_copied() -> None:
    """If a fringe hides the source's forehead, the target keeps its own."""
    anna = _with_fringe(paint_faces(260, 220, [SITTER], seed=1), SITTER, 0.15)
    result = _swap(PICTURE, FaceContext(anna=anna))
    top = round(float(TARGET[10, 1]))
    x = round(float(TARGET[10, 0]))
    forehead = (slice(top, top + 14), slice(x - 15, x + 15))
    assert np.abs(result.pixels[forehead] - PICTURE.pixels[forehead]).max() < 0.15


@pytest.mark.parametrize("where", ["picture", "library"])
def test_a_hidden_face_is_held_above_the_limit(where: str) -> None:
    """For either picture the message has the hidden share and the limit; a higher limit allows the swap."""
    picture = _with_fringe(PICTURE, TARGET, 0.25) if where == "picture" else PICTURE
    anna = _with_fringe(ANNA, SITTER, 0.25) if where == "library" else ANNA
    with pytest.raises(InputError, match=rf"About \d\d% of the face in .*{where}.* is not skin: .* \(max_hidden is 10%\)"):
        _swap(picture, FaceContext(anna=anna), max_hidden=0.1)
    assert _swap(picture, FaceContext(anna=anna), max_hidden=1) is not picture


# ---------------------------------------------------------------------- likeness


def _identify_by_skin(face: Face, picture: Picture) -> FaceEmbedding:
    """Return an identity made from the colour at the tip of the nose."""
    x, y = face.landmarks[2].round().astype(int)
    return normalise(picture.pixels[y, x] - np.float32(0.55))


def test_the_likeness_is_recorded() -> None:
    """The record has the likeness before and after the swap, and to the old face; without matching the library's face prevails."""
    context = FaceContext(identify=_identify_by_skin)
    _swap(context=context, match=0)
    likeness = context.results.findings["likeness"]
    assert likeness["after"] > 0.95 > 0.5 > likeness["before"]  # type: ignore[index,call-overload]
    assert likeness["to_itself"] < 0.5  # type: ignore[index,call-overload,operator]


def test_a_swap_without_likeness_is_held_and_shown() -> None:
    """The message has the likeness, the limit and the likeness before the swap; the picture shows the result."""
    context = FaceContext(identify=_identify_by_skin)
    with pytest.raises(
        InputError, match=r"The new face is not similar enough to anna: likeness -?\d\.\d\d, minimum 0\.36 \(before the swap -?\d\.\d\d\)"
    ):
        _swap(context=context, strength=0.05)
    [crop] = context.results.problem_pictures
    assert crop.width < WIDTH


def test_the_minimum_likeness_is_a_setting() -> None:
    """The likeness is compared with the setting."""

    def context() -> FaceContext:
        people = iter([(1.0, 0.0), (0.0, 1.0), (0.3, 0.954)])
        return FaceContext(identify=lambda face, picture: normalise(np.float32(next(people))))

    with pytest.raises(InputError, match=r"0\.30, minimum 0\.36 \(before the swap 0\.00\)"):
        _swap(context=context())
    assert _swap(context=context(), min_likeness=0.25) is not PICTURE


# ---------------------------------------------------------------------- models that generate a face


class FlatColourSwapper:
    """Generates a face of one colour, in a square slightly larger than the target's box."""

    def __init__(self, colour: tuple[float, float, float] = (0.1, 0.7, 0.2)) -> None:
        self.descriptor = EngineDescriptor(name="ours", kind="swap", licence="LicenseRef-ours", side=64)
        self.colour = colour
        self.calls: list[tuple[Face, Face]] = []

    def swap(self, pixels: Pixels, face: Face, source_pixels: Pixels, source_face: Face) -> DrawnFace:
        assert pixels.shape[2] == source_pixels.shape[2] == 3
        self.calls.append((face, source_face))
        x, y, wide, high = face.box
        corners = np.array([(x - 10, y - 10), (x + wide + 10, y - 10), (x - 10, y + high + 10)], np.float32)
        return DrawnFace(np.broadcast_to(np.float32(self.colour), (64, 64, 3)), corners)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_named_model_generates_the_face(channels: int) -> None:
    """The model gets both faces, and its result is blended by the same rules."""
    swapper = FlatColourSwapper()
    picture = replace(PICTURE, pixels=freeze(PICTURE.pixels[:, :, :channels]))
    context = FaceContext(swapper=swapper)
    result = _swap(picture, context, model="ours", match=0)
    assert context.engines.models == ["ours"]
    [(face, person)] = swapper.calls
    assert face.box == face_from_mesh(TARGET).box
    assert person.box == face_from_mesh(SITTER).box
    assert not _difference(picture, result)[_outside_mask()].any()
    x, y = TARGET[4].round().astype(int)
    assert result.pixels[y, x, channels // 2] == pytest.approx(0.7 if channels == 3 else 0.54, abs=0.05)


def test_the_likeness_of_a_generated_face_is_measured() -> None:
    """If a model generates another person, the picture is held as after a bad warp."""
    with pytest.raises(InputError, match="The new face is not similar enough to anna"):
        _swap(context=FaceContext(swapper=FlatColourSwapper((0.55, 0.55, 0.95)), identify=_identify_by_skin), model="ours", match=0)


# ---------------------------------------------------------------------- settings


def test_the_needs_depend_on_the_settings() -> None:
    """Picture and consent are needed by the bare name, and three engines, the named one first; the region adds its own needs."""
    needs = FaceSwap(face="anna.JPG", model="ours", where="subject & sky").needs()
    assert needs.consents == {"anna"}
    assert [(folder, name) for folder, name, _ in needs.library_files] == [("faces", "anna")]
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
    """Validation refuses them when the brief is read."""
    with pytest.raises(ValidationError):
        FaceSwap.model_validate({"face": "anna", **wrong})


def test_progress_is_reported_between_the_stages() -> None:
    """At each report the work can be cancelled; the fractions only grow."""
    context = FaceContext()
    _swap(context=context)
    fractions = [fraction for fraction, _ in context.progress.reports]
    assert fractions == sorted(fractions)
    assert len(fractions) >= 3
