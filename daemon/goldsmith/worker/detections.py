"""What is to be seen in the pictures of a job: the subject, faces, hands and text, each looked for once in each picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, cast
from weakref import ReferenceType, ref

import numpy as np
from pydantic import JsonValue

from goldsmith.engines import EngineNeed, EngineT
from goldsmith.engines.kinds import FACE_DETECTOR, FACE_LANDMARKER, HAND_LANDMARKER, MATTE_ESTIMATOR, TEXT_READER
from goldsmith.engines.registry.weights_registry import WeightsMissing
from goldsmith.engines.vision import Face, Hand, MatteEstimator, Points, TextLine
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze

JsonObject = dict[str, JsonValue]

# A face so high, as a part of the picture's height, shows that the picture is of people.
_MIN_FACE_HEIGHT = 0.05
# A matte of people has at least this much of the largest face in it.
_MIN_FACE_IN_MATTE = 0.5
# A matte that covers less of the picture than this has found no subject.
_MIN_SUBJECT_SHARE = 0.001
# px of the longer side that the nets for mattes look at.
_MATTE_SIDES_PX = {"people": 512, "things": 320}

_Seen = TypeVar("_Seen")


class OpenEngine(Protocol):
    """Gives the engine for a need."""

    def __call__(self, need: EngineNeed[EngineT]) -> tuple[EngineT, JsonObject]:
        """Return the engine and its facts for the record. Raises WeightsMissing if this machine has no such engine."""


@dataclass(frozen=True, slots=True)
class DetectedRegion:
    """A word and where it was found. ``mask``: None where it is not in the picture. ``engines``: all that took part, by their facts."""

    mask: Mask | None
    facts: JsonObject
    engines: tuple[JsonObject, ...] = ()


@dataclass(slots=True)
class DetectionCache:
    """What was seen in a job's pictures, for as long as their pixels live."""

    _entries: dict[tuple[int, str], tuple[ReferenceType[Pixels], object]] = field(default_factory=dict)

    def get_or_detect(self, picture: Picture, name: str, detect: Callable[[], _Seen]) -> _Seen:
        """What ``look`` saw in these very pixels under that word, now or the first time."""
        key = (id(picture.pixels), name)
        known = self._entries.get(key)
        if known is not None and known[0]() is picture.pixels:
            return cast("_Seen", known[1])
        self._entries = {other: held for other, held in self._entries.items() if held[0]() is not None}
        seen = detect()
        self._entries[key] = (ref(picture.pixels), seen)
        return seen

    def is_cached(self, picture: Picture, name: str) -> bool:
        """True where it was looked for already."""
        known = self._entries.get((id(picture.pixels), name))
        return known is not None and known[0]() is picture.pixels


def to_rgb(picture: Picture) -> Pixels:
    """The picture as engines want it: three channels."""
    return np.repeat(picture.pixels, 3, axis=2) if picture.channels == 1 else picture.pixels


class Detections:
    """Looks at one picture. ``opened`` gives engines; what one of them found is kept in ``memory``."""

    def __init__(self, picture: Picture, cache: DetectionCache, open_engine: OpenEngine) -> None:
        self._picture = picture
        self._cache = cache
        self._open_engine = open_engine

    def region(self, name: str) -> DetectedRegion:
        """Where one of ``region.SEEN`` is."""
        looks = {"subject": self._detect_subject, "face": self._face_region, "hands": self._hands_region, "text": self._text_region}
        return self._cache.get_or_detect(self._picture, name, looks[name])

    def faces(self) -> tuple[tuple[Face, ...], JsonObject]:
        return self._cache.get_or_detect(self._picture, "faces", self._detect_faces)

    def hands(self) -> tuple[tuple[Hand, ...], JsonObject]:
        return self._cache.get_or_detect(self._picture, "hand points", self._detect_hands)

    def text_lines(self) -> tuple[tuple[TextLine, ...], JsonObject]:
        return self._cache.get_or_detect(self._picture, "lines", self._read_text_lines)

    def face_mesh(self, face: Face) -> tuple[Points | None, JsonObject | None]:
        """The mesh of one of its faces; None where there is no engine for it, or where that sees no face."""
        word = f"mesh {face.box}"
        return self._cache.get_or_detect(self._picture, word, lambda: self._detect_face_mesh(face))

    def _detect_faces(self) -> tuple[tuple[Face, ...], JsonObject]:
        engine, facts = self._open_engine(EngineNeed(FACE_DETECTOR))
        return engine.detect(self._rgb_pixels()), facts

    def _detect_hands(self) -> tuple[tuple[Hand, ...], JsonObject]:
        engine, facts = self._open_engine(EngineNeed(HAND_LANDMARKER))
        return engine.detect(self._rgb_pixels()), facts

    def _read_text_lines(self) -> tuple[tuple[TextLine, ...], JsonObject]:
        engine, facts = self._open_engine(EngineNeed(TEXT_READER))
        return engine.read(self._rgb_pixels()), facts

    def _detect_face_mesh(self, face: Face) -> tuple[Points | None, JsonObject | None]:
        try:
            engine, facts = self._open_engine(EngineNeed(FACE_LANDMARKER))
        except WeightsMissing:
            return None, None
        return engine.mesh(self._rgb_pixels(), face), facts

    def _rgb_pixels(self) -> Pixels:
        return to_rgb(self._picture)

    # ------------------------------------------------------------------ words

    def matte(self, model: str) -> DetectedRegion:
        """Where the subject is, by that model alone."""
        return self._cache.get_or_detect(
            self._picture, f"matte {model}", lambda: self._detect_subject_with(EngineNeed(MATTE_ESTIMATOR, model))
        )

    def _detect_subject_with(self, need: EngineNeed[MatteEstimator]) -> DetectedRegion:
        from goldsmith.worker.guided_filter import refine_matte

        engine, facts = self._open_engine(need)
        mask = refine_matte(engine.matte(self._rgb_pixels()), self._picture.pixels, min(_MATTE_SIDES_PX.values()))
        found = float(mask.mean()) >= _MIN_SUBJECT_SHARE
        return DetectedRegion(freeze(mask) if found else None, {"share": _coverage(mask)}, (facts,))

    def _detect_subject(self) -> DetectedRegion:
        """The matte, by the net that is best for what faces tell of the picture, brought to its edges.

        Where that net finds nothing, or finds people and leaves out the face that spoke for them, the other one is asked.
        """
        from goldsmith.worker.guided_filter import refine_matte

        people, why, by = self._shows_people()
        tried: list[JsonObject] = []
        left = "found nothing"
        for kind in ("people", "things") if people else ("things", "people"):
            engine, facts = self._open_engine(EngineNeed(MATTE_ESTIMATOR, has_people=kind == "people"))
            if any(facts["name"] == other["name"] for other in tried):
                continue
            said = f"taken for {kind}: {why}" if not tried else f"{tried[0]['name']} {left}, so asked for {kind}"
            tried.append({**facts, "why": f"{said}; {facts['why']}"})
            mask = refine_matte(engine.matte(self._rgb_pixels()), self._picture.pixels, _MATTE_SIDES_PX[kind])
            if float(mask.mean()) < _MIN_SUBJECT_SHARE:
                continue
            if kind == "things" or not people or self._contains_face(mask):
                break
            left = "left the face out"
        else:
            return DetectedRegion(None, {"share": 0.0}, (*tried, *_non_empty(by)))
        unsure = float(((mask > 0.05) & (mask < 0.95)).mean())
        return DetectedRegion(
            freeze(mask), {"share": _coverage(mask), "unsure": round(unsure, 4), "why": tried[-1]["why"]}, (*tried, *_non_empty(by))
        )

    def _contains_face(self, mask: Mask) -> bool:
        """Whether the largest face lies in a matte."""
        x, y, wide, high = (max(0, int(side)) for side in self.faces()[0][0].box)
        part = mask[y : y + high, x : x + wide]
        return part.size > 0 and float(part.mean()) >= _MIN_FACE_IN_MATTE

    def _shows_people(self) -> tuple[bool, str, JsonObject]:
        """Whether the picture is of people, why, and who looked for faces."""
        try:
            faces, by = self.faces()
        except WeightsMissing:
            return False, "no engine that finds faces is here", {}
        if not faces:
            return False, "no face was found", by
        high = max(face.box[3] for face in faces) / self._picture.height
        return high >= _MIN_FACE_HEIGHT, f"the highest of {len(faces)} face(s) takes {high:.0%} of the picture's height", by

    def _face_region(self) -> DetectedRegion:
        from goldsmith.picture.outline_masks import outlines_to_mask

        faces, by = self.faces()
        outlines, used = [], [by]
        for face in faces:
            mesh, facts = self.face_mesh(face)
            outline = _approximate_outline(face) if mesh is None else mesh[list(_FACE_OVAL)]
            size = math.sqrt(face.box[2] * face.box[3])
            outlines.append((outline, 0.06 * size, 0.06 * size))
            used += [facts] if facts is not None and facts not in used else []
        mask = freeze(outlines_to_mask(self._picture.height, self._picture.width, outlines)) if outlines else None
        found = [{"box": [round(side, 1) for side in face.box], "score": round(face.score, 3)} for face in faces]
        return DetectedRegion(mask, {"count": len(faces), "share": _coverage(mask), "found": cast("JsonValue", found)}, _non_empty(*used))

    def _hands_region(self) -> DetectedRegion:
        from goldsmith.picture.outline_masks import convex_hull, outlines_to_mask

        hands, by = self.hands()
        outlines = []
        for hand in hands:
            palm = float(np.linalg.norm(hand.landmarks[9] - hand.landmarks[0]))
            outlines.append((convex_hull(hand.landmarks), 0.22 * palm, 0.1 * palm))
        mask = freeze(outlines_to_mask(self._picture.height, self._picture.width, outlines)) if outlines else None
        found = [{"box": _bounding_box(hand.landmarks), "score": round(hand.score, 3)} for hand in hands]
        return DetectedRegion(mask, {"count": len(hands), "share": _coverage(mask), "found": cast("JsonValue", found)}, _non_empty(by))

    def _text_region(self) -> DetectedRegion:
        from goldsmith.picture.outline_masks import outlines_to_mask

        lines, by = self.text_lines()
        outlines = []
        for line in lines:
            high = float(np.linalg.norm(line.corners[3] - line.corners[0]))
            outlines.append((line.corners, 0.15 * high, max(1.5, 0.05 * high)))
        mask = freeze(outlines_to_mask(self._picture.height, self._picture.width, outlines)) if outlines else None
        found = [{"box": _bounding_box(line.corners), "score": round(line.score, 3), "text": line.text[:80]} for line in lines]
        return DetectedRegion(mask, {"count": len(lines), "share": _coverage(mask), "found": cast("JsonValue", found)}, _non_empty(by))


# The outline of MediaPipe's canonical face, from the middle of the forehead on.
_FACE_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)


def _approximate_outline(face: Face) -> Points:
    """About the outline of a face of which only five points are known."""
    from goldsmith.picture.outline_masks import ellipse_outline

    left, right = face.landmarks[0], face.landmarks[1]
    turn = math.atan2(float(right[1] - left[1]), float(right[0] - left[0]))
    x, y, wide, high = face.box
    return ellipse_outline((x + wide / 2, y + high / 2), (wide / 2, high / 2), turn)


def _non_empty(*facts: JsonObject | None) -> tuple[JsonObject, ...]:
    return tuple(each for each in facts if each)


def _coverage(mask: Mask | None) -> float:
    return 0.0 if mask is None else round(float(mask.mean(dtype=np.float64)), 5)


def _bounding_box(points: Sequence[Sequence[float]] | Points) -> list[JsonValue]:
    spots = np.asarray(points, np.float32)
    (left, top), (right, bottom) = spots.min(axis=0), spots.max(axis=0)
    return [round(float(side), 1) for side in (left, top, right - left, bottom - top)]
