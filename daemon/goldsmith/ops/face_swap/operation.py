"""The ``face_swap`` operation: put a face from the library onto a face in the picture, light it alike, and measure its identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from goldsmith.engines.kinds import FACE_DETECTOR, FACE_EMBEDDER, FACE_LANDMARKER, FACE_SWAPPER
from goldsmith.engines.protocols import EngineNeed
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
from goldsmith.ops.face_swap import blending, face_choice, landmarks
from goldsmith.ops.face_swap.face_parts import FaceParts, face_box
from goldsmith.picture.metadata.source_type import SourceTypeChange
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze

# Minimum size in px of a face in the library; a smaller face has no usable features.
_MIN_FACE_PX = 64
# Minimum px of the library's face for one px in the picture.
_MIN_SCALE = 0.35
# Maximum angle in degrees by which a face in the library may look aside, up or down.
_MAX_HEAD_ANGLE = 35.0
# Maximum angle in degrees between two faces for one to be warped onto the other.
_MAX_POSE_DIFFERENCE = 30.0
# An eye that is open by less than this share of its length is closed.
_MIN_EYE_OPENNESS = 0.15
# How much further open, as a share of its length, the mouth in the picture may be than the mouth in the library.
_MAX_MOUTH_DIFFERENCE = 0.18
# The surroundings that the identity model sees, as a share of the face's size.
_IDENTITY_MARGIN = 0.6
# A picture of one person may show other faces so many times smaller in area.
_MAIN_FACE_RATIO = 4.0

_Share = Annotated[float, Field(ge=0, le=1)]


class _MeshedFace(NamedTuple):
    """A detected face with its mesh."""

    picture: Picture
    face: Face
    mesh: Points


class FaceSwap(PictureOperation):
    """Put a face from the library onto a face in the picture, with consent on file, and measure the identity of the result."""

    source_type: ClassVar[SourceTypeChange | None] = "compositeWithTrainedAlgorithmicMedia"
    also_called: ClassVar[str] = "swap swap-face faceswap face replace-face deepfake"
    settings_also_called: ClassVar[Mapping[str, str]] = MappingProxyType({"face": "person name source", "which": "target"})

    face: Annotated[str, Field(min_length=1, max_length=200)]
    """The face: a picture in library/faces/, with that person's consent beside it in NAME.toml."""
    which: face_choice.FaceChoice | Annotated[int, Field(ge=1, le=99)] | None = None
    """Which of several faces in the picture: largest, leftmost, rightmost, center, or its number from the left (1 to 99)."""
    where: RegionExpression = ""
    """A mask or a region in which the face is searched, and outside which nothing changes; default: the whole picture."""
    model: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """A model that generates faces, a name in config/models.toml; default: the face is warped, which needs no model."""
    strength: _Share = 1.0
    """How much of the new face is visible (0 to 1; 0 changes nothing)."""
    shape: _Share = 0.8
    """How far eyes, nose and mouth keep their own shape and expression (0 = those of the picture, to 1); a model generates its own."""
    match: _Share = 1.0
    """How far the new face takes on the light and tone of the old one (0 to 1)."""
    feather: Annotated[float, Field(ge=0, le=0.5)] = 0.14
    """Width of the fade from the outline, as a share of the face's size (0 to 0.5)."""
    max_hidden: _Share = 0.2
    """How much of either face may be hidden by hair or other objects, without its rim (0 to 1)."""
    min_likeness: _Share = 0.36
    """Minimum likeness of the new face to the library's face (0 to 1; the same person is above 0.36); below it, the picture is held."""

    def needs(self) -> StepNeeds:
        """Return the face detector, mesh and identity models, the needs of ``where``, the library's picture and the consent beside it."""
        needs = region_needs(self.where)
        swapper = () if self.model is None else (EngineNeed(FACE_SWAPPER, self.model),)
        engines = dict.fromkeys(
            (*swapper, EngineNeed(FACE_DETECTOR), EngineNeed(FACE_LANDMARKER), EngineNeed(FACE_EMBEDDER), *needs.engines)
        )
        references = (("faces", self._library_name, LAYER_SUFFIXES),)
        return replace(needs, engines=tuple(engines), library_files=references, consents=frozenset({self._library_name}))

    @property
    def _library_name(self) -> str:
        """The face's name without an image suffix; its consent has another suffix."""
        bare, dot, ending = self.face.rpartition(".")
        return bare if bare and f"{dot}{ending}".lower() in LAYER_SUFFIXES else self.face

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        """Return the picture with that face. Raises InputError if a good swap is not possible or did not result."""
        if self.strength == 0:
            return picture
        source = self._load_source_face(context)
        context.progress.report(0.2, "finding the face")
        region = context.detect.region(self.where, picture) if self.where else None
        target = self._find_target_face(picture, region, context)
        parts = FaceParts(target.mesh, face_box(target.mesh, picture.height, picture.width))
        visibility = blending.target_visibility(picture, parts)
        self._check_compatibility(source, target, blending.hidden_share(visibility, parts), context)
        context.progress.report(0.4, "swapping")
        aligned = self._align_source(source, target, parts, context)
        options = blending.SwapOptions(self.strength, self.match, self.feather, context.seed)
        swap = blending.blend_face(picture, parts, visibility, aligned, options, region)
        context.results.record(
            scale=round(aligned.scale, 3),
            grain=round(swap.grain, 5),
            outside_pixels=swap.outside_pixels,
            outside_changed=swap.outside_changed,
        )
        window, pixels = swap.patch
        result = picture if np.array_equal(pixels, picture.pixels_in(window)) else picture.with_patches([swap.patch])
        context.progress.report(0.8, "identifying the face")
        self._check_likeness(source, target, _MeshedFace(result, target.face, aligned.landmarks), context)
        return result

    # ------------------------------------------------------------------ the library's face

    def _load_source_face(self, context: StepContext) -> _MeshedFace:
        """Return the one clear face of the library's picture. Raises InputError if there is none."""
        portrait = context.library.portrait(self._library_name)
        faces = context.detect.faces(portrait.picture)
        file, remedy = portrait.file, "Replace it by a picture of one face, from the front, well lit and with open eyes."
        if not faces:
            raise InputError(f"{file} shows no face.", remedy)
        if len(faces) > 1 and faces[0].box[2] * faces[0].box[3] < _MAIN_FACE_RATIO * faces[1].box[2] * faces[1].box[3]:
            raise InputError(f"{file} shows {len(faces)} faces, so it is unclear which one to use.", "Crop it to one face.")
        mesh = context.detect.face_mesh(faces[0], portrait.picture)
        if mesh is None:
            raise InputError(f"{file} shows a face that is turned too far away or too incomplete.", remedy)
        pose, size = landmarks.estimate_pose(mesh), landmarks.face_size(mesh)
        if size < _MIN_FACE_PX:
            raise InputError(f"The face in {file} is about {size:.0f} px large; the minimum is {_MIN_FACE_PX} px.", "Use a larger picture.")
        low, high = mesh[: landmarks.FACE_POINT_COUNT].min(axis=0), mesh[: landmarks.FACE_POINT_COUNT].max(axis=0)
        if low.min() < 0 or high[0] > portrait.picture.width or high[1] > portrait.picture.height:
            raise InputError(f"The face in {file} is cut off by the picture's edge.", remedy)
        for angle, direction in ((pose.yaw, "aside"), (pose.pitch, "up or down")):
            if abs(angle) > _MAX_HEAD_ANGLE:
                raise InputError(
                    f"The face in {file} looks {direction} by about {abs(angle):.0f} degrees; the limit is {_MAX_HEAD_ANGLE:.0f}.", remedy
                )
        if landmarks.eye_openness(mesh) < _MIN_EYE_OPENNESS:
            raise InputError(f"The eyes of the face in {file} are closed.", remedy)
        return _MeshedFace(portrait.picture, faces[0], mesh)

    # ------------------------------------------------------------------ the picture's face

    def _find_target_face(self, picture: Picture, region: Mask | None, context: StepContext) -> _MeshedFace:
        """Return the chosen face. Raises InputError, with a picture that numbers all faces, if the choice is ambiguous."""
        faces = context.detect.faces(picture)
        boxes = [face.box for face in faces]
        if region is not None:
            indices = face_choice.boxes_in_region(boxes, region)
            faces, boxes = [faces[number] for number in indices], [boxes[number] for number in indices]
        if not faces:
            reason = f'in where = "{self.where}"' if self.where else "in the picture"
            raise InputError(f"There is no face {reason}.", "Remove the step for this picture.")
        chosen = face_choice.choose_face(boxes, self.which, (picture.width / 2, picture.height / 2))
        if chosen is None:
            context.results.show_problem(Picture(freeze(face_choice.draw_numbered_boxes(_to_rgb(picture.pixels), boxes))))
            count = f"{len(faces)} face{'s' * (len(faces) > 1)}"
            reason = f"and there is no number {self.which}" if self.which is not None else "and none is clearly the main one"
            remedy = 'The picture beside this note numbers them from the left: set which = 1, or which = "largest".'
            raise InputError(f"There are {count} in the picture, {reason}.", remedy)
        face = faces[chosen]
        mesh = context.detect.face_mesh(face, picture)
        number = face_choice.left_to_right(boxes).index(chosen) + 1
        context.results.record(faces=len(faces), number=number, box=[round(side, 1) for side in face.box])
        if mesh is None:
            raise InputError(
                f"The face number {number} from the left is turned too far away, or too little of it is visible.", "Choose another face."
            )
        return _MeshedFace(picture, face, mesh)

    def _check_compatibility(self, source: _MeshedFace, target: _MeshedFace, hidden_share: float, context: StepContext) -> None:
        """Raise InputError if a swap of these two faces would not look right."""
        poses = [landmarks.estimate_pose(each.mesh) for each in (source, target)]
        angle = poses[0].angle_to(poses[1])
        context.results.record(
            library_pose=[poses[0].yaw, poses[0].pitch, poses[0].roll],
            picture_pose=[poses[1].yaw, poses[1].pitch, poses[1].roll],
            pose_apart=round(angle, 1),
            hidden=round(hidden_share, 3),
        )
        if hidden_share > self.max_hidden:
            raise InputError(
                f"About {hidden_share:.0%} of the face in the picture is not skin: hair, teeth or something else hides it "
                f"(max_hidden is {self.max_hidden:.0%}).",
                "Raise max_hidden, or remove the step for this picture.",
            )
        if self.model is not None:
            return
        if angle > _MAX_POSE_DIFFERENCE:
            raise InputError(
                f"The face in the picture is turned by about {angle:.0f} degrees from the one in library/faces/ "
                f"({poses[1].yaw:.0f} aside and {poses[1].pitch:.0f} down, the other {poses[0].yaw:.0f} and {poses[0].pitch:.0f}); "
                f"the limit is {_MAX_POSE_DIFFERENCE:.0f}.",
                "Put a picture into the library that faces the same way.",
            )
        if landmarks.eye_openness(target.mesh) < _MIN_EYE_OPENNESS:
            raise InputError(
                "The eyes of the face in the picture are closed, and open eyes cannot be warped onto them.",
                "Remove the step for this picture.",
            )
        if landmarks.mouth_openness(target.mesh) - landmarks.mouth_openness(source.mesh) > _MAX_MOUTH_DIFFERENCE:
            raise InputError(
                "The mouth of the face in the picture is open further than the one in library/faces/, so the lips would tear.",
                "Put a picture whose mouth is open as far into the library.",
            )

    # ------------------------------------------------------------------ swapping

    def _align_source(self, source: _MeshedFace, target: _MeshedFace, parts: FaceParts, context: StepContext) -> blending.AlignedFace:
        if self.model is not None:
            source_pixels, target_pixels = _to_rgb(source.picture.pixels), _to_rgb(target.picture.pixels)
            generated = context.engines.get(EngineNeed(FACE_SWAPPER, self.model)).swap(
                target_pixels, target.face, source_pixels, source.face
            )
            return blending.align_generated_face(generated.pixels, generated.corners, parts, target.picture.channels)
        face = blending.extract_source_face(source.picture, source.mesh, target.picture)
        context.results.record(library_hidden=round(face.hidden_share, 3))
        if face.hidden_share > self.max_hidden:
            raise InputError(
                f"About {face.hidden_share:.0%} of the face in library/faces/ is not skin: hair, teeth or something else hides it "
                f"(max_hidden is {self.max_hidden:.0%}).",
                "Replace it by a picture that shows the whole face.",
            )
        scale = face.parts.size / parts.size
        if scale < _MIN_SCALE:
            raise InputError(
                f"The face in library/faces/ is about {face.parts.size:.0f} px large and the one in the picture {parts.size:.0f} px: "
                "the result would be soft.",
                f"Use a picture of the face with at least {_MIN_SCALE * parts.size:.0f} px.",
            )
        return blending.warp_source_face(face, parts, self.shape, target.picture.icc)

    def _check_likeness(self, source: _MeshedFace, target: _MeshedFace, result: _MeshedFace, context: StepContext) -> None:
        """Measure the identity before and after. Raises InputError, with a picture, if the result is not the library's face."""
        source_identity, before, after = (_identify(each, context) for each in (source, target, result))
        likeness = {"before": before @ source_identity, "after": after @ source_identity, "to_itself": after @ before}
        context.results.record(likeness={name: round(float(value), 4) for name, value in likeness.items()})
        if likeness["after"] < self.min_likeness:
            context.results.show_problem(_crop_face(result)[0])
            raise InputError(
                f"The new face is not similar enough to {self.face}: likeness {likeness['after']:.2f}, minimum {self.min_likeness:.2f} "
                f"(before the swap {likeness['before']:.2f}).",
                "The picture beside this note shows it. Put a better picture into library/faces/, or lower min_likeness.",
            )


def _identify(meshed: _MeshedFace, context: StepContext) -> FaceEmbedding:
    cropped, mesh = _crop_face(meshed)
    box = (0.0, 0.0, float(cropped.width), float(cropped.height))
    return context.detect.face_identity(Face(box, landmarks.five_landmarks(mesh), meshed.face.score), cropped)


def _crop_face(meshed: _MeshedFace) -> tuple[Picture, Points]:
    """Return the face with a margin and its mesh there; the rest of the picture is not decoded into float."""
    picture = meshed.picture
    box = face_box(meshed.mesh, picture.height, picture.width)
    wide_box = box.expand(round(_IDENTITY_MARGIN * landmarks.face_size(meshed.mesh)), picture.height, picture.width)
    cropped = picture.with_geometry(picture.pixels_in(wide_box.window), lambda mask: mask[wide_box.window])
    return cropped, meshed.mesh - np.array([wide_box.left, wide_box.top], np.float32)


def _to_rgb(pixels: Pixels) -> Pixels:
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
