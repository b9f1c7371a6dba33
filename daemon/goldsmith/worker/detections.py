"""What is to be seen in the plates of a job: the subject, faces, hands and text, each looked for once in each plate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import ReferenceType, ref

import numpy as np
from pydantic import JsonValue

from goldsmith.engines import EngineNeed
from goldsmith.engines.registry.weights import Absent
from goldsmith.engines.vision import (
    Face,
    FaceFinder,
    FaceMesher,
    Hand,
    HandFinder,
    Matter,
    Points,
    Reader,
    TextLine,
)
from goldsmith.picture.picture import Mask, Pixels, Plate, frozen

if TYPE_CHECKING:
    from goldsmith.engines.opening import Seeing

Facts = dict[str, JsonValue]
Opened = Callable[[EngineNeed], "tuple[Seeing, Facts]"]
"""The engine for a need and what the record says of it. Raises Absent where this machine has none."""

_PEOPLE = 0.05
"""A face so high, as a part of the picture's height, shows that the picture is of people."""
_THEIRS = 0.5
"""A matte of people has at least this much of the largest face in it."""
_BARE = 0.001
"""A matte that covers less of the picture than this has found no subject."""
_COARSE = {"people": 512, "things": 320}
"""px of the longer side that the nets for mattes look at."""

_Seen = TypeVar("_Seen")


@dataclass(frozen=True, slots=True)
class Spot:
    """A word and where it was found. ``mask``: None where it is not in the picture. ``engines``: all that took part, by their facts."""

    mask: Mask | None
    facts: Facts
    engines: tuple[Facts, ...] = ()


@dataclass(slots=True)
class Memory:
    """What was seen in a job's plates, for as long as their pixels live."""

    _known: dict[tuple[int, str], tuple[ReferenceType[Pixels], object]] = field(default_factory=dict)

    def once(self, plate: Plate, word: str, look: Callable[[], _Seen]) -> _Seen:
        """What ``look`` saw in these very pixels under that word, now or the first time."""
        key = (id(plate.pixels), word)
        known = self._known.get(key)
        if known is not None and known[0]() is plate.pixels:
            return cast("_Seen", known[1])
        self._known = {other: held for other, held in self._known.items() if held[0]() is not None}
        seen = look()
        self._known[key] = (ref(plate.pixels), seen)
        return seen

    def has(self, plate: Plate, word: str) -> bool:
        """True where it was looked for already."""
        known = self._known.get((id(plate.pixels), word))
        return known is not None and known[0]() is plate.pixels


def rgb(plate: Plate) -> Pixels:
    """The plate as engines want it: three channels."""
    return np.repeat(plate.pixels, 3, axis=2) if plate.channels == 1 else plate.pixels


class Sight:
    """Looks at one plate. ``opened`` gives engines; what one of them found is kept in ``memory``."""

    def __init__(self, plate: Plate, memory: Memory, opened: Opened) -> None:
        self._plate = plate
        self._memory = memory
        self._opened = opened

    def spot(self, word: str) -> Spot:
        """Where one of ``region.SEEN`` is."""
        looks = {"subject": self._subject, "face": self._face, "hands": self._hands, "text": self._text}
        return self._memory.once(self._plate, word, looks[word])

    def faces(self) -> tuple[tuple[Face, ...], Facts]:
        return self._memory.once(self._plate, "faces", lambda: self._asked("faces", lambda engine: cast("FaceFinder", engine).find))

    def hands(self) -> tuple[tuple[Hand, ...], Facts]:
        return self._memory.once(self._plate, "hand points", lambda: self._asked("hands", lambda engine: cast("HandFinder", engine).find))

    def lines(self) -> tuple[tuple[TextLine, ...], Facts]:
        return self._memory.once(self._plate, "lines", lambda: self._asked("reader", lambda engine: cast("Reader", engine).read))

    def mesh(self, face: Face) -> tuple[Points | None, Facts | None]:
        """The mesh of one of its faces; None where there is no engine for it, or where that sees no face."""
        word = f"mesh {face.box}"
        return self._memory.once(self._plate, word, lambda: self._meshed(face))

    def _asked(self, kind: Any, how: Callable[[Any], Callable[[Pixels], Any]]) -> tuple[Any, Facts]:
        engine, facts = self._opened(EngineNeed(kind))
        return how(engine)(self._coloured()), facts

    def _meshed(self, face: Face) -> tuple[Points | None, Facts | None]:
        try:
            engine, facts = self._opened(EngineNeed("mesh"))
        except Absent:
            return None, None
        return cast("FaceMesher", engine).mesh(self._coloured(), face), facts

    def _coloured(self) -> Pixels:
        return rgb(self._plate)

    # ------------------------------------------------------------------ words

    def matte(self, model: str) -> Spot:
        """Where the subject is, by that model alone."""
        return self._memory.once(self._plate, f"matte {model}", lambda: self._matted(EngineNeed("matte", model)))

    def _matted(self, need: EngineNeed) -> Spot:
        from goldsmith.worker.guided_filter import refined

        engine, facts = self._opened(need)
        mask = refined(cast("Matter", engine).matte(self._coloured()), self._plate.pixels, min(_COARSE.values()))
        found = float(mask.mean()) >= _BARE
        return Spot(frozen(mask) if found else None, {"share": _share(mask)}, (facts,))

    def _subject(self) -> Spot:
        """The matte, by the net that is best for what faces tell of the picture, brought to its edges.

        Where that net finds nothing, or finds people and leaves out the face that spoke for them, the other one is asked.
        """
        from goldsmith.worker.guided_filter import refined

        people, why, by = self._people()
        tried: list[Facts] = []
        left = "found nothing"
        for kind in ("people", "things") if people else ("things", "people"):
            engine, facts = self._opened(EngineNeed("matte", people=kind == "people"))
            if any(facts["name"] == other["name"] for other in tried):
                continue
            said = f"taken for {kind}: {why}" if not tried else f"{tried[0]['name']} {left}, so asked for {kind}"
            tried.append({**facts, "why": f"{said}; {facts['why']}"})
            mask = refined(cast("Matter", engine).matte(self._coloured()), self._plate.pixels, _COARSE[kind])
            if float(mask.mean()) < _BARE:
                continue
            if kind == "things" or not people or self._shows(mask):
                break
            left = "left the face out"
        else:
            return Spot(None, {"share": 0.0}, (*tried, *_some(by)))
        unsure = float(((mask > 0.05) & (mask < 0.95)).mean())
        return Spot(frozen(mask), {"share": _share(mask), "unsure": round(unsure, 4), "why": tried[-1]["why"]}, (*tried, *_some(by)))

    def _shows(self, mask: Mask) -> bool:
        """Whether the largest face lies in a matte."""
        x, y, wide, high = (max(0, int(side)) for side in self.faces()[0][0].box)
        part = mask[y : y + high, x : x + wide]
        return part.size > 0 and float(part.mean()) >= _THEIRS

    def _people(self) -> tuple[bool, str, Facts]:
        """Whether the picture is of people, why, and who looked for faces."""
        try:
            faces, by = self.faces()
        except Absent:
            return False, "no engine that finds faces is here", {}
        if not faces:
            return False, "no face was found", by
        high = max(face.box[3] for face in faces) / self._plate.height
        return high >= _PEOPLE, f"the highest of {len(faces)} face(s) takes {high:.0%} of the picture's height", by

    def _face(self) -> Spot:
        from goldsmith.picture.spots import spots

        faces, by = self.faces()
        outlines, used = [], [by]
        for face in faces:
            mesh, facts = self.mesh(face)
            outline = _oval(face) if mesh is None else mesh[list(_FACE_OVAL)]
            size = math.sqrt(face.box[2] * face.box[3])
            outlines.append((outline, 0.06 * size, 0.06 * size))
            used += [facts] if facts is not None and facts not in used else []
        mask = frozen(spots(self._plate.height, self._plate.width, outlines)) if outlines else None
        found = [{"box": [round(side, 1) for side in face.box], "score": round(face.score, 3)} for face in faces]
        return Spot(mask, {"count": len(faces), "share": _share(mask), "found": cast("JsonValue", found)}, _some(*used))

    def _hands(self) -> Spot:
        from goldsmith.picture.spots import hull, spots

        hands, by = self.hands()
        outlines = []
        for hand in hands:
            palm = float(np.linalg.norm(hand.points[9] - hand.points[0]))
            outlines.append((hull(hand.points), 0.22 * palm, 0.1 * palm))
        mask = frozen(spots(self._plate.height, self._plate.width, outlines)) if outlines else None
        found = [{"box": _box(hand.points), "score": round(hand.score, 3)} for hand in hands]
        return Spot(mask, {"count": len(hands), "share": _share(mask), "found": cast("JsonValue", found)}, _some(by))

    def _text(self) -> Spot:
        from goldsmith.picture.spots import spots

        lines, by = self.lines()
        outlines = []
        for line in lines:
            high = float(np.linalg.norm(line.corners[3] - line.corners[0]))
            outlines.append((line.corners, 0.15 * high, max(1.5, 0.05 * high)))
        mask = frozen(spots(self._plate.height, self._plate.width, outlines)) if outlines else None
        found = [{"box": _box(line.corners), "score": round(line.score, 3), "text": line.text[:80]} for line in lines]
        return Spot(mask, {"count": len(lines), "share": _share(mask), "found": cast("JsonValue", found)}, _some(by))


_FACE_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""The outline of MediaPipe's canonical face, from the middle of the forehead on."""


def _oval(face: Face) -> Points:
    """About the outline of a face of which only five points are known."""
    from goldsmith.picture.spots import ellipse

    left, right = face.points[0], face.points[1]
    turn = math.atan2(float(right[1] - left[1]), float(right[0] - left[0]))
    x, y, wide, high = face.box
    return ellipse((x + wide / 2, y + high / 2), (wide / 2, high / 2), turn)


def _some(*facts: Facts | None) -> tuple[Facts, ...]:
    return tuple(each for each in facts if each)


def _share(mask: Mask | None) -> float:
    return 0.0 if mask is None else round(float(mask.mean(dtype=np.float64)), 5)


def _box(points: Sequence[Sequence[float]] | Points) -> list[JsonValue]:
    spots = np.asarray(points, np.float32)
    (left, top), (right, bottom) = spots.min(axis=0), spots.max(axis=0)
    return [round(float(side), 1) for side in (left, top, right - left, bottom - top)]
