"""A face of the library on the face in the picture: warped onto it, lit like it, and measured for whose it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from goldsmith.engines import EngineNeed
from goldsmith.engines.vision import Face, FaceEmbedding, Points
from goldsmith.errors import InputError
from goldsmith.operation import (
    LAYER_SUFFIXES,
    PictureOperation,
    RegionExpression,
    StepContext,
    StepNeeds,
    region_needs,
)
from goldsmith.ops.face_swap import blending, landmarks
from goldsmith.ops.face_swap import face_choice as choosing
from goldsmith.ops.face_swap.face_parts import FaceParts, face_box
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze

# px of a face in the library: what is smaller has no features to take.
_MIN_FACE_PX = 64
# px of the library's face for one px in the picture.
_MIN_SCALE = 0.35
# Degrees by which a face in the library may look aside, up or down.
_MAX_HEAD_ANGLE = 35.0
# Degrees by which two faces may be turned away from each other for one to be warped onto the other.
_MAX_POSE_DIFFERENCE = 30.0
# Eyes that are open by less than this part of their length are shut.
_MIN_EYE_OPENNESS = 0.15
# How much further open, as a part of its length, the mouth in the picture may be than the one in the library.
_MAX_MOUTH_DIFFERENCE = 0.18
# How much of the surroundings, as a part of the face's size, is shown to whoever tells people apart.
_IDENTITY_MARGIN = 0.6
# A picture of one person may show others so many times smaller in area.
_MAIN_FACE_RATIO = 4.0

_Share = Annotated[float, Field(ge=0, le=1)]


class _MeshedFace(NamedTuple):
    """A face that was found, with its mesh."""

    picture: Picture
    face: Face
    mesh: Points


class FaceSwap(PictureOperation):
    """Put a face of the library onto a face in the picture, with consent on file, and measure whose face it is then."""

    face: Annotated[str, Field(min_length=1, max_length=200)]
    """Whose face: a picture in library/faces/, beside it NAME.toml with that person's consent."""
    which: choosing.FaceChoice | Annotated[int, Field(ge=1, le=99)] | None = None
    """Which face in the picture, where there are several: largest, leftmost, rightmost, center, or its number from the left (1 to 99)."""
    where: RegionExpression = ""
    """A mask or a region in which the face is looked for, and outside which nothing changes; "" = the whole picture."""
    model: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """A net that draws faces, by its name in config/models.toml; left out, the face is warped, which needs none."""
    strength: _Share = 1.0
    """How much of the new face is seen (0 to 1; 0 changes nothing)."""
    shape: _Share = 0.8
    """How far eyes, nose and mouth keep their own shape and expression (0: those of the picture, to 1); a model draws its own."""
    match: _Share = 1.0
    """How far the new face takes on the light and tone of the old one (0 to 1)."""
    feather: Annotated[float, Field(ge=0, le=0.5)] = 0.14
    """Over how wide a part of the face it fades in from its outline (0 to 0.5)."""
    max_hidden: _Share = 0.2
    """How much of either face hair or other things may hide, its rim aside (0 to 1)."""
    min_likeness: _Share = 0.36
    """How like the library's face the new one must be (0 to 1; the same person is above 0.36), or the picture is held."""

    def needs(self) -> StepNeeds:
        """Faces, their meshes, whose they are; what ``where`` looks for; the picture in the library and the consent beside it."""
        asked = region_needs(self.where)
        drawing = () if self.model is None else (EngineNeed("swap", self.model),)
        engines = dict.fromkeys((*drawing, EngineNeed("faces"), EngineNeed("mesh"), EngineNeed("identity"), *asked.engines))
        references = (("faces", self._library_name, LAYER_SUFFIXES),)
        return replace(asked, engines=tuple(engines), library_files=references, consents=frozenset({self._library_name}))

    @property
    def _library_name(self) -> str:
        """The face's name without a picture's ending: its consent has another one."""
        bare, dot, ending = self.face.rpartition(".")
        return bare if bare and f"{dot}{ending}".lower() in LAYER_SUFFIXES else self.face

    def apply(self, plate: Picture, context: StepContext) -> Picture:
        """The picture with that face on it. Raises InputError where no good swap is to be had, or where none came of it."""
        if self.strength == 0:
            return plate
        person = self._load_source_face(context)
        context.report(0.2, "looking for the face")
        reach = context.region(self.where, plate) if self.where else None
        target = self._find_target_face(plate, reach, context)
        parts = FaceParts(target.mesh, face_box(target.mesh, plate.height, plate.width))
        open_ = blending.target_visibility(plate, parts)
        self._check_compatibility(person, target, blending.hidden_share(open_, parts), context)
        context.report(0.4, "swapping")
        offered = self._align_source(person, target, parts, context)
        manner = blending.SwapOptions(self.strength, self.match, self.feather, context.seed)
        done = blending.blend_face(plate, parts, open_, offered, manner, reach)
        context.record(
            scale=round(offered.scale, 3),
            grain=round(done.grain, 5),
            outside_pixels=done.outside_pixels,
            outside_changed=done.outside_changed,
        )
        window, pixels = done.patch
        made = plate if np.array_equal(pixels, plate.pixels_in(window)) else plate.with_patches([done.patch])
        context.report(0.8, "telling whose face it is")
        self._check_likeness(person, target, _MeshedFace(made, target.face, offered.landmarks), context)
        return made

    # ------------------------------------------------------------------ the library's face

    def _load_source_face(self, context: StepContext) -> _MeshedFace:
        """The one clear face of the library's picture. Raises InputError where there is none."""
        portrait = context.portrait(self._library_name)
        found = context.faces(portrait.picture)
        file, remedy = portrait.file, "Put a picture there that shows one face, from the front, well lit and with open eyes."
        if not found:
            raise InputError(f"{file} shows no face.", remedy)
        if len(found) > 1 and found[0].box[2] * found[0].box[3] < _MAIN_FACE_RATIO * found[1].box[2] * found[1].box[3]:
            raise InputError(f"{file} shows {len(found)} faces, and nobody can tell whose it is.", "Cut it to one of them.")
        mesh = context.face_mesh(found[0], portrait.picture)
        if mesh is None:
            raise InputError(f"{file} shows a face that is turned too far away, or too little of it.", remedy)
        pose, size = landmarks.estimate_pose(mesh), landmarks.face_size(mesh)
        if size < _MIN_FACE_PX:
            raise InputError(f"The face in {file} is about {size:.0f} px large; it takes {_MIN_FACE_PX} px.", "Use a larger picture.")
        low, high = mesh[: landmarks.FACE_POINT_COUNT].min(axis=0), mesh[: landmarks.FACE_POINT_COUNT].max(axis=0)
        if low.min() < 0 or high[0] > portrait.picture.width or high[1] > portrait.picture.height:
            raise InputError(f"The face in {file} is cut off by the picture's edge.", remedy)
        for angle, way in ((pose.yaw, "aside"), (pose.pitch, "up or down")):
            if abs(angle) > _MAX_HEAD_ANGLE:
                raise InputError(
                    f"The face in {file} looks {way} by about {abs(angle):.0f} degrees; {_MAX_HEAD_ANGLE:.0f} will do.", remedy
                )
        if landmarks.eye_openness(mesh) < _MIN_EYE_OPENNESS:
            raise InputError(f"The face in {file} has its eyes shut.", remedy)
        return _MeshedFace(portrait.picture, found[0], mesh)

    # ------------------------------------------------------------------ the picture's face

    def _find_target_face(self, plate: Picture, region: Mask | None, context: StepContext) -> _MeshedFace:
        """The face that is meant. Raises InputError, and shows them all with their numbers, where nobody can tell which."""
        found = context.faces(plate)
        boxes = [face.box for face in found]
        if region is not None:
            near = choosing.boxes_in_region(boxes, region)
            found, boxes = [found[number] for number in near], [boxes[number] for number in near]
        if not found:
            told = f'in where = "{self.where}"' if self.where else "in the picture"
            raise InputError(f"There is no face to be found {told}.", "Take the step out for this picture.")
        chosen = choosing.choose_face(boxes, self.which, (plate.width / 2, plate.height / 2))
        if chosen is None:
            context.show_problem(Picture(freeze(choosing.draw_numbered_boxes(_to_rgb(plate.pixels), boxes))))
            count = f"{len(found)} face{'s' * (len(found) > 1)}"
            told = f"and there is no number {self.which}" if self.which is not None else "and none of them is clearly the main one"
            remedy = 'The picture beside this note numbers them from the left: say which = 1, or which = "largest".'
            raise InputError(f"There are {count} in the picture, {told}.", remedy)
        face = found[chosen]
        mesh = context.face_mesh(face, plate)
        number = choosing.left_to_right(boxes).index(chosen) + 1
        context.record(faces=len(found), number=number, box=[round(side, 1) for side in face.box])
        if mesh is None:
            raise InputError(
                f"The face number {number} from the left is turned too far away, or too little of it is seen.", "Choose another one."
            )
        return _MeshedFace(plate, face, mesh)

    def _check_compatibility(self, source: _MeshedFace, target: _MeshedFace, hidden_share: float, context: StepContext) -> None:
        """Raise InputError where the one cannot be put onto the other so that it looks right."""
        poses = [landmarks.estimate_pose(each.mesh) for each in (source, target)]
        apart = poses[0].angle_to(poses[1])
        context.record(
            library_pose=[poses[0].yaw, poses[0].pitch, poses[0].roll],
            picture_pose=[poses[1].yaw, poses[1].pitch, poses[1].roll],
            pose_apart=round(apart, 1),
            hidden=round(hidden_share, 3),
        )
        if hidden_share > self.max_hidden:
            raise InputError(
                f"Something hides about {hidden_share:.0%} of the face in the picture (max_hidden is {self.max_hidden:.0%}).",
                "Allow more, or take the step out for this picture.",
            )
        if self.model is not None:
            return
        if apart > _MAX_POSE_DIFFERENCE:
            raise InputError(
                f"The face in the picture is turned by about {apart:.0f} degrees from the one in library/faces/ "
                f"({poses[1].yaw:.0f} aside and {poses[1].pitch:.0f} down, that one {poses[0].yaw:.0f} and {poses[0].pitch:.0f}); "
                f"a face can be warped by {_MAX_POSE_DIFFERENCE:.0f}.",
                "Put a picture into the library that looks the same way.",
            )
        if landmarks.eye_openness(target.mesh) < _MIN_EYE_OPENNESS:
            raise InputError(
                "The face in the picture has its eyes shut, and open ones cannot be warped onto them.",
                "Take the step out for this picture.",
            )
        if landmarks.mouth_openness(target.mesh) - landmarks.mouth_openness(source.mesh) > _MAX_MOUTH_DIFFERENCE:
            raise InputError(
                "The face in the picture has its mouth wide open, and the one in library/faces/ has not, so its lips would be torn apart.",
                "Put a picture with an open mouth into the library.",
            )

    # ------------------------------------------------------------------ swapping

    def _align_source(self, source: _MeshedFace, target: _MeshedFace, parts: FaceParts, context: StepContext) -> blending.AlignedFace:
        if self.model is not None:
            given = _to_rgb(source.picture.pixels), _to_rgb(target.picture.pixels)
            drawn = context.swapper(self.model).swap(given[1], target.face, given[0], source.face)
            return blending.align_generated_face(drawn.pixels, drawn.corners, parts, target.picture.channels)
        sitter = blending.extract_source_face(source.picture, source.mesh, target.picture)
        context.record(library_hidden=round(sitter.hidden_share, 3))
        if sitter.hidden_share > self.max_hidden:
            raise InputError(
                f"Something hides about {sitter.hidden_share:.0%} of the face in library/faces/ (max_hidden is {self.max_hidden:.0%}).",
                "Put a picture there that shows all of the face.",
            )
        scale = sitter.parts.size / parts.size
        if scale < _MIN_SCALE:
            raise InputError(
                f"The face in library/faces/ is about {sitter.parts.size:.0f} px large and the one in the picture {parts.size:.0f} px: "
                "it would come out soft.",
                f"Use a picture of it with at least {_MIN_SCALE * parts.size:.0f} px.",
            )
        return blending.warp_source_face(sitter, parts, self.shape, target.picture.icc)

    def _check_likeness(self, source: _MeshedFace, target: _MeshedFace, result: _MeshedFace, context: StepContext) -> None:
        """Measure whose face it was and is; raise InputError, and show it, where it is not the library's."""
        wanted, before, after = (_identify(each, context) for each in (source, target, result))
        found = {"before": before @ wanted, "after": after @ wanted, "to_itself": after @ before}
        context.record(likeness={name: round(float(value), 4) for name, value in found.items()})
        if found["after"] < self.min_likeness:
            context.show_problem(_crop_face(result)[0])
            raise InputError(
                f"The new face is not like {self.face}: {found['after']:.2f} where {self.min_likeness:.2f} is asked "
                f"(before it was {found['before']:.2f}), so it was not put in.",
                "The picture beside this note shows it. Put a better picture into library/faces/, or ask for less with min_likeness.",
            )


def _identify(meshed: _MeshedFace, context: StepContext) -> FaceEmbedding:
    near, mesh = _crop_face(meshed)
    box = (0.0, 0.0, float(near.width), float(near.height))
    return context.face_identity(Face(box, landmarks.five_landmarks(mesh), meshed.face.score), near)


def _crop_face(meshed: _MeshedFace) -> tuple[Picture, Points]:
    """The face with a little round it, and its mesh there: nothing is asked of the rest of the picture."""
    plate = meshed.picture
    box = face_box(meshed.mesh, plate.height, plate.width)
    wide = box.expand(round(_IDENTITY_MARGIN * landmarks.face_size(meshed.mesh)), plate.height, plate.width)
    shown = plate.with_geometry(plate.pixels_in(wide.window), lambda mask: mask[wide.window])
    return shown, meshed.mesh - np.array([wide.left, wide.top], np.float32)


def _to_rgb(pixels: Pixels) -> Pixels:
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
