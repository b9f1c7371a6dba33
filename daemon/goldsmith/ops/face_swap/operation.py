"""A face of the library on the face in the picture: warped onto it, lit like it, and measured for whose it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from goldsmith.engines import EngineNeed
from goldsmith.engines.vision import Face, Identity, Points
from goldsmith.errors import Problem
from goldsmith.operation import (
    LAYER_SUFFIXES,
    Bench,
    Needs,
    PlateOperation,
    Where,
    region_needs,
)
from goldsmith.ops.face_swap import blending, points
from goldsmith.ops.face_swap import which as choosing
from goldsmith.ops.face_swap.parts import Parts, box_of
from goldsmith.picture.picture import Mask, Pixels, Plate, frozen

_SMALLEST = 64
"""px of a face in the library: what is smaller has no features to take."""
_COARSEST = 0.35
"""px of the library's face for one px in the picture."""
_TURNED = 35.0
"""Degrees by which a face in the library may look aside, up or down."""
_APART = 30.0
"""Degrees by which two faces may be turned away from each other for one to be warped onto the other."""
_SHUT = 0.15
"""Eyes that are open by less than this part of their length are shut."""
_AJAR = 0.18
"""How much further open, as a part of its length, the mouth in the picture may be than the one in the library."""
_AROUND = 0.6
"""How much of the surroundings, as a part of the face's size, is shown to whoever tells people apart."""
_BESIDE = 4.0
"""A picture of one person may show others so many times smaller in area."""

_Share = Annotated[float, Field(ge=0, le=1)]


class _Seen(NamedTuple):
    """A face that was found, with its mesh."""

    plate: Plate
    face: Face
    mesh: Points


class FaceSwap(PlateOperation):
    """Put a face of the library onto a face in the picture, with consent on file, and measure whose face it is then."""

    face: Annotated[str, Field(min_length=1, max_length=200)]
    """Whose face: a picture in library/faces/, beside it NAME.toml with that person's consent."""
    which: choosing.Word | Annotated[int, Field(ge=1, le=99)] | None = None
    """Which face in the picture, where there are several: largest, leftmost, rightmost, center, or its number from the left (1 to 99)."""
    where: Where = ""
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

    def needs(self) -> Needs:
        """Faces, their meshes, whose they are; what ``where`` looks for; the picture in the library and the consent beside it."""
        asked = region_needs(self.where)
        drawing = () if self.model is None else (EngineNeed("swap", self.model),)
        engines = dict.fromkeys((*drawing, EngineNeed("faces"), EngineNeed("mesh"), EngineNeed("identity"), *asked.engines))
        references = (("faces", self._name, LAYER_SUFFIXES),)
        return replace(asked, engines=tuple(engines), references=references, consents=frozenset({self._name}))

    @property
    def _name(self) -> str:
        """The face's name without a picture's ending: its consent has another one."""
        bare, dot, ending = self.face.rpartition(".")
        return bare if bare and f"{dot}{ending}".lower() in LAYER_SUFFIXES else self.face

    def apply(self, plate: Plate, bench: Bench) -> Plate:
        """The plate with that face on it. Raises Problem where no good swap is to be had, or where none came of it."""
        if self.strength == 0:
            return plate
        person = self._person(bench)
        bench.progress(0.2, "looking for the face")
        reach = bench.region(self.where, plate) if self.where else None
        target = self._target(plate, reach, bench)
        parts = Parts(target.mesh, box_of(target.mesh, plate.height, plate.width))
        open_ = blending.seen(plate, parts)
        self._fits(person, target, blending.hidden(open_, parts), bench)
        bench.progress(0.4, "swapping")
        offered = self._offered(person, target, parts, bench)
        manner = blending.Manner(self.strength, self.match, self.feather, bench.seed)
        done = blending.laid(plate, parts, open_, offered, manner, reach)
        bench.record(scale=round(offered.scale, 3), grain=round(done.grain, 5), outside_pixels=done.outside, outside_changed=done.changed)
        window, pixels = done.laid
        made = plate if np.array_equal(pixels, plate.window(window)) else plate.patched([done.laid])
        bench.progress(0.8, "telling whose face it is")
        self._judge(person, target, _Seen(made, target.face, offered.points), bench)
        return made

    # ------------------------------------------------------------------ the library's face

    def _person(self, bench: Bench) -> _Seen:
        """The one clear face of the library's picture. Raises Problem where there is none."""
        portrait = bench.portrait(self._name)
        found = bench.faces(portrait.plate)
        file, remedy = portrait.file, "Put a picture there that shows one face, from the front, well lit and with open eyes."
        if not found:
            raise Problem(f"{file} shows no face.", remedy)
        if len(found) > 1 and found[0].box[2] * found[0].box[3] < _BESIDE * found[1].box[2] * found[1].box[3]:
            raise Problem(f"{file} shows {len(found)} faces, and nobody can tell whose it is.", "Cut it to one of them.")
        mesh = bench.mesh(found[0], portrait.plate)
        if mesh is None:
            raise Problem(f"{file} shows a face that is turned too far away, or too little of it.", remedy)
        pose, size = points.pose_of(mesh), points.size_of(mesh)
        if size < _SMALLEST:
            raise Problem(f"The face in {file} is about {size:.0f} px large; it takes {_SMALLEST} px.", "Use a larger picture.")
        low, high = mesh[: points.FACE].min(axis=0), mesh[: points.FACE].max(axis=0)
        if low.min() < 0 or high[0] > portrait.plate.width or high[1] > portrait.plate.height:
            raise Problem(f"The face in {file} is cut off by the picture's edge.", remedy)
        for angle, way in ((pose.yaw, "aside"), (pose.pitch, "up or down")):
            if abs(angle) > _TURNED:
                raise Problem(f"The face in {file} looks {way} by about {abs(angle):.0f} degrees; {_TURNED:.0f} will do.", remedy)
        if points.eyes_open(mesh) < _SHUT:
            raise Problem(f"The face in {file} has its eyes shut.", remedy)
        return _Seen(portrait.plate, found[0], mesh)

    # ------------------------------------------------------------------ the picture's face

    def _target(self, plate: Plate, reach: Mask | None, bench: Bench) -> _Seen:
        """The face that is meant. Raises Problem, and shows them all with their numbers, where nobody can tell which."""
        found = bench.faces(plate)
        boxes = [face.box for face in found]
        if reach is not None:
            near = choosing.within(boxes, reach)
            found, boxes = [found[number] for number in near], [boxes[number] for number in near]
        if not found:
            told = f'in where = "{self.where}"' if self.where else "in the picture"
            raise Problem(f"There is no face to be found {told}.", "Take the step out for this picture.")
        chosen = choosing.meant(boxes, self.which, (plate.width / 2, plate.height / 2))
        if chosen is None:
            bench.show(Plate(frozen(choosing.numbered(_coloured(plate.pixels), boxes))))
            count = f"{len(found)} face{'s' * (len(found) > 1)}"
            told = f"and there is no number {self.which}" if self.which is not None else "and none of them is clearly the main one"
            remedy = 'The picture beside this note numbers them from the left: say which = 1, or which = "largest".'
            raise Problem(f"There are {count} in the picture, {told}.", remedy)
        face = found[chosen]
        mesh = bench.mesh(face, plate)
        number = choosing.in_order(boxes).index(chosen) + 1
        bench.record(faces=len(found), number=number, box=[round(side, 1) for side in face.box])
        if mesh is None:
            raise Problem(
                f"The face number {number} from the left is turned too far away, or too little of it is seen.", "Choose another one."
            )
        return _Seen(plate, face, mesh)

    def _fits(self, person: _Seen, target: _Seen, hidden: float, bench: Bench) -> None:
        """Raise Problem where the one cannot be put onto the other so that it looks right."""
        poses = [points.pose_of(each.mesh) for each in (person, target)]
        apart = poses[0].apart(poses[1])
        bench.record(
            library_pose=[poses[0].yaw, poses[0].pitch, poses[0].roll],
            picture_pose=[poses[1].yaw, poses[1].pitch, poses[1].roll],
            pose_apart=round(apart, 1),
            hidden=round(hidden, 3),
        )
        if hidden > self.max_hidden:
            raise Problem(
                f"Something hides about {hidden:.0%} of the face in the picture (max_hidden is {self.max_hidden:.0%}).",
                "Allow more, or take the step out for this picture.",
            )
        if self.model is not None:
            return
        if apart > _APART:
            raise Problem(
                f"The face in the picture is turned by about {apart:.0f} degrees from the one in library/faces/ "
                f"({poses[1].yaw:.0f} aside and {poses[1].pitch:.0f} down, that one {poses[0].yaw:.0f} and {poses[0].pitch:.0f}); "
                f"a face can be warped by {_APART:.0f}.",
                "Put a picture into the library that looks the same way.",
            )
        if points.eyes_open(target.mesh) < _SHUT:
            raise Problem(
                "The face in the picture has its eyes shut, and open ones cannot be warped onto them.",
                "Take the step out for this picture.",
            )
        if points.mouth_open(target.mesh) - points.mouth_open(person.mesh) > _AJAR:
            raise Problem(
                "The face in the picture has its mouth wide open, and the one in library/faces/ has not, so its lips would be torn apart.",
                "Put a picture with an open mouth into the library.",
            )

    # ------------------------------------------------------------------ swapping

    def _offered(self, person: _Seen, target: _Seen, parts: Parts, bench: Bench) -> blending.Offered:
        if self.model is not None:
            given = _coloured(person.plate.pixels), _coloured(target.plate.pixels)
            drawn = bench.swapper(self.model).swap(given[1], target.face, given[0], person.face)
            return blending.placed(drawn.pixels, drawn.corners, parts, target.plate.channels)
        sitter = blending.seated(person.plate, person.mesh, target.plate)
        bench.record(library_hidden=round(sitter.hidden, 3))
        if sitter.hidden > self.max_hidden:
            raise Problem(
                f"Something hides about {sitter.hidden:.0%} of the face in library/faces/ (max_hidden is {self.max_hidden:.0%}).",
                "Put a picture there that shows all of the face.",
            )
        scale = sitter.parts.size / parts.size
        if scale < _COARSEST:
            raise Problem(
                f"The face in library/faces/ is about {sitter.parts.size:.0f} px large and the one in the picture {parts.size:.0f} px: "
                "it would come out soft.",
                f"Use a picture of it with at least {_COARSEST * parts.size:.0f} px.",
            )
        return blending.warped(sitter, parts, self.shape, target.plate.icc)

    def _judge(self, person: _Seen, target: _Seen, made: _Seen, bench: Bench) -> None:
        """Measure whose face it was and is; raise Problem, and show it, where it is not the library's."""
        wanted, before, after = (_identity(each, bench) for each in (person, target, made))
        found = {"before": before @ wanted, "after": after @ wanted, "to_itself": after @ before}
        bench.record(likeness={name: round(float(value), 4) for name, value in found.items()})
        if found["after"] < self.min_likeness:
            bench.show(_near(made)[0])
            raise Problem(
                f"The new face is not like {self.face}: {found['after']:.2f} where {self.min_likeness:.2f} is asked "
                f"(before it was {found['before']:.2f}), so it was not put in.",
                "The picture beside this note shows it. Put a better picture into library/faces/, or ask for less with min_likeness.",
            )


def _identity(seen: _Seen, bench: Bench) -> Identity:
    near, mesh = _near(seen)
    box = (0.0, 0.0, float(near.width), float(near.height))
    return bench.identity(Face(box, points.five(mesh), seen.face.score), near)


def _near(seen: _Seen) -> tuple[Plate, Points]:
    """The face with a little round it, and its mesh there: nothing is asked of the rest of the picture."""
    plate = seen.plate
    box = box_of(seen.mesh, plate.height, plate.width)
    wide = box.grown(round(_AROUND * points.size_of(seen.mesh)), plate.height, plate.width)
    shown = plate.reshaped(plate.window(wide.window), lambda mask: mask[wide.window])
    return shown, seen.mesh - np.array([wide.left, wide.top], np.float32)


def _coloured(pixels: Pixels) -> Pixels:
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
