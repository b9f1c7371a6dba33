"""Detection of subjects, faces, hands and text in the pictures of a job. Each is searched for once in each picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, cast
from weakref import ReferenceType, ref

import numpy as np
from pydantic import JsonValue

from goldsmith.engines.kinds import FACE_DETECTOR, FACE_LANDMARKER, HAND_LANDMARKER, MATTE_ESTIMATOR, TEXT_READER
from goldsmith.engines.protocols import EngineNeed, EngineT
from goldsmith.engines.registry.weights_registry import WeightsMissing
from goldsmith.engines.vision import Face, Hand, MatteEstimator, Points, TextLine
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze
from goldsmith.worker.second_look import look_again, measure_agreement

JsonObject = dict[str, JsonValue]

# A face of at least this share of the picture's height makes it a picture of people.
_MIN_FACE_HEIGHT = 0.05
# A matte of people contains at least this share of the largest face.
_MIN_FACE_IN_MATTE = 0.5
# A matte that covers a smaller share of the picture than this shows no subject.
_MIN_SUBJECT_SHARE = 0.001
# The longer side, in px, of the pictures that the matting models work on.
_MATTE_SIDES_PX = {"people": 512, "things": 320}

_Detected = TypeVar("_Detected")


class OpenEngine(Protocol):
    """Gives the engine for a need."""

    def __call__(self, need: EngineNeed[EngineT]) -> tuple[EngineT, JsonObject]:
        """Return the engine and its facts for the record. Raises WeightsMissing if this machine has no such engine."""


@dataclass(frozen=True, slots=True)
class DetectedRegion:
    """Where a word of a region was detected.

    ``mask`` is (h, w), 0..1, or None if it is not in the picture. ``engines`` are the facts of every engine that took part.
    """

    mask: Mask | None
    facts: JsonObject
    engines: tuple[JsonObject, ...] = ()


@dataclass(slots=True)
class DetectionCache:
    """The detections in a job's pictures, kept for as long as their pixels exist."""

    _entries: dict[tuple[int, str], tuple[ReferenceType[Pixels], object]] = field(default_factory=dict)

    def get_or_detect(self, picture: Picture, name: str, detect: Callable[[], _Detected]) -> _Detected:
        """Return the result of ``detect`` for these pixels and that name. ``detect`` is called only the first time."""
        key = (id(picture.pixels), name)
        entry = self._entries.get(key)
        if entry is not None and entry[0]() is picture.pixels:
            return cast("_Detected", entry[1])
        self._entries = {other: entry for other, entry in self._entries.items() if entry[0]() is not None}
        detected = detect()
        self._entries[key] = (ref(picture.pixels), detected)
        return detected

    def is_cached(self, picture: Picture, name: str) -> bool:
        """Return True if that name has been detected in these pixels."""
        known = self._entries.get((id(picture.pixels), name))
        return known is not None and known[0]() is picture.pixels


def to_rgb(picture: Picture) -> Pixels:
    """Return the picture's pixels with three channels, (h, w, 3), as engines need them."""
    return np.repeat(picture.pixels, 3, axis=2) if picture.channels == 1 else picture.pixels


class Detections:
    """The detections in one picture: engines come from ``open_engine``, results are kept in ``cache``."""

    def __init__(self, picture: Picture, cache: DetectionCache, open_engine: OpenEngine) -> None:
        self._picture = picture
        self._cache = cache
        self._open_engine = open_engine

    def region(self, name: str) -> DetectedRegion:
        """Return where that word of ``region.DETECTED_WORDS`` is in the picture."""
        detectors = {"subject": self._detect_subject, "face": self._face_region, "hands": self._hands_region, "text": self._text_region}
        return self._cache.get_or_detect(self._picture, name, detectors[name])

    def faces(self) -> tuple[tuple[Face, ...], JsonObject]:
        return self._cache.get_or_detect(self._picture, "faces", self._detect_faces)

    def hands(self) -> tuple[tuple[Hand, ...], JsonObject]:
        return self._cache.get_or_detect(self._picture, "hand points", self._detect_hands)

    def text_lines(self) -> tuple[tuple[TextLine, ...], JsonObject]:
        return self._cache.get_or_detect(self._picture, "lines", self._read_text_lines)

    def face_mesh(self, face: Face) -> tuple[Points | None, JsonObject | None]:
        """Return the mesh of one of its faces, (478, 2) px, or None if there is no engine for it or it sees no face."""
        name = f"mesh {face.box}"
        return self._cache.get_or_detect(self._picture, name, lambda: self._detect_face_mesh(face))

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
        """Return where the subject is according to that model alone."""
        return self._cache.get_or_detect(
            self._picture, f"matte {model}", lambda: self._detect_subject_with(EngineNeed(MATTE_ESTIMATOR, model))
        )

    def _detect_subject_with(self, need: EngineNeed[MatteEstimator]) -> DetectedRegion:
        from goldsmith.worker.guided_filter import refine_matte

        engine, facts = self._open_engine(need)
        mask = refine_matte(engine.matte(self._rgb_pixels()), self._picture.pixels, min(_MATTE_SIDES_PX.values()))
        has_subject = float(mask.mean()) >= _MIN_SUBJECT_SHARE
        return DetectedRegion(freeze(mask) if has_subject else None, {"share": _coverage(mask)}, (facts,))

    def _detect_subject(self) -> DetectedRegion:
        """Return the subject, refined to the picture's edges.

        Faces decide which model comes first, the one for people or the one for things. If that model finds nothing, or finds people but
        leaves out the face, the other model is used. The one for things looks a second time, at the surroundings of what it found.
        """
        from goldsmith.worker.guided_filter import refine_matte

        is_people, reason, face_engine = self._shows_people()
        attempts: list[JsonObject] = []
        agreement: float | None = None
        failure = "found nothing"
        for kind in ("people", "things") if is_people else ("things", "people"):
            engine, facts = self._open_engine(EngineNeed(MATTE_ESTIMATOR, has_people=kind == "people"))
            if any(facts["name"] == other["name"] for other in attempts):
                continue
            cause = f"taken for {kind}: {reason}" if not attempts else f"{attempts[0]['name']} {failure}, so asked for {kind}"
            attempts.append({**facts, "why": f"{cause}; {facts['why']}"})
            first_look = engine.matte(self._rgb_pixels())
            mask = refine_matte(first_look, self._picture.pixels, _MATTE_SIDES_PX[kind])
            if float(mask.mean()) < _MIN_SUBJECT_SHARE:
                continue
            if kind == "things":
                mask, agreement = look_again(engine, first_look, mask, self._picture.pixels, _MATTE_SIDES_PX[kind])
            if kind == "things" or not is_people or self._contains_face(mask):
                break
            failure = "left the face out"
        else:
            return DetectedRegion(None, {"share": 0.0}, (*attempts, *_non_empty(face_engine)))
        grey_share = float(((mask > 0.05) & (mask < 0.95)).mean())
        return DetectedRegion(
            freeze(mask),
            {"share": _coverage(mask), "unsure": round(grey_share, 4), **_agreement_facts(agreement), "why": attempts[-1]["why"]},
            (*attempts, *_non_empty(face_engine)),
        )

    def subject_agreement(self) -> tuple[float | None, JsonObject | None]:
        """Return how far the model for things agrees about the subject that the one for people found, 0..1, and its facts.

        None if there is no subject, or if that model was asked for it already. Raises WeightsMissing if this machine does not have it.
        """
        return self._cache.get_or_detect(self._picture, "subject agreement", self._ask_for_things)

    def _ask_for_things(self) -> tuple[float | None, JsonObject | None]:
        subject = self.region("subject")
        if subject.mask is None:
            return None, None
        engine, facts = self._open_engine(EngineNeed(MATTE_ESTIMATOR))
        if any(facts["name"] == other["name"] for other in subject.engines):
            return None, None
        agreement = measure_agreement(subject.mask, engine.matte(self._rgb_pixels()))
        return agreement, {**facts, "why": f"asked whether it agrees about the people; {facts['why']}"}

    def _contains_face(self, mask: Mask) -> bool:
        """Return True if the largest face lies in the matte."""
        x, y, width, height = (max(0, int(side)) for side in self.faces()[0][0].box)
        face_matte = mask[y : y + height, x : x + width]
        return face_matte.size > 0 and float(face_matte.mean()) >= _MIN_FACE_IN_MATTE

    def _shows_people(self) -> tuple[bool, str, JsonObject]:
        """Return whether the picture is of people, the reason, and the facts of the engine that searched for faces."""
        try:
            faces, facts = self.faces()
        except WeightsMissing:
            return False, "no engine that finds faces is here", {}
        if not faces:
            return False, "no face was found", facts
        height_share = max(face.box[3] for face in faces) / self._picture.height
        return (
            height_share >= _MIN_FACE_HEIGHT,
            f"the highest of {len(faces)} face(s) takes {height_share:.0%} of the picture's height",
            facts,
        )

    def _face_region(self) -> DetectedRegion:
        from goldsmith.picture.outline_masks import outlines_to_mask

        faces, detector_facts = self.faces()
        outlines, engines = [], [detector_facts]
        for face in faces:
            mesh, facts = self.face_mesh(face)
            outline = _approximate_outline(face) if mesh is None else mesh[list(_FACE_OVAL)]
            size = math.sqrt(face.box[2] * face.box[3])
            outlines.append((outline, 0.06 * size, 0.06 * size))
            engines += [facts] if facts is not None and facts not in engines else []
        mask = freeze(outlines_to_mask(self._picture.height, self._picture.width, outlines)) if outlines else None
        face_facts = [{"box": [round(side, 1) for side in face.box], "score": round(face.score, 3)} for face in faces]
        return DetectedRegion(
            mask, {"count": len(faces), "share": _coverage(mask), "found": cast("JsonValue", face_facts)}, _non_empty(*engines)
        )

    def _hands_region(self) -> DetectedRegion:
        from goldsmith.picture.outline_masks import convex_hull, outlines_to_mask

        hands, facts = self.hands()
        outlines = []
        for hand in hands:
            palm = float(np.linalg.norm(hand.landmarks[9] - hand.landmarks[0]))
            outlines.append((convex_hull(hand.landmarks), 0.22 * palm, 0.1 * palm))
        mask = freeze(outlines_to_mask(self._picture.height, self._picture.width, outlines)) if outlines else None
        hand_facts = [{"box": _bounding_box(hand.landmarks), "score": round(hand.score, 3)} for hand in hands]
        return DetectedRegion(
            mask, {"count": len(hands), "share": _coverage(mask), "found": cast("JsonValue", hand_facts)}, _non_empty(facts)
        )

    def _text_region(self) -> DetectedRegion:
        from goldsmith.picture.outline_masks import outlines_to_mask

        lines, facts = self.text_lines()
        outlines = []
        for line in lines:
            height = float(np.linalg.norm(line.corners[3] - line.corners[0]))
            outlines.append((line.corners, 0.15 * height, max(1.5, 0.05 * height)))
        mask = freeze(outlines_to_mask(self._picture.height, self._picture.width, outlines)) if outlines else None
        line_facts = [{"box": _bounding_box(line.corners), "score": round(line.score, 3), "text": line.text[:80]} for line in lines]
        return DetectedRegion(
            mask, {"count": len(lines), "share": _coverage(mask), "found": cast("JsonValue", line_facts)}, _non_empty(facts)
        )


# The points of the outline of MediaPipe's canonical face model, starting at the middle of the forehead.
_FACE_OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)


def _approximate_outline(face: Face) -> Points:
    """Return an approximate outline, (n, 2) px, of a face with only five known points."""
    from goldsmith.picture.outline_masks import ellipse_outline

    left, right = face.landmarks[0], face.landmarks[1]
    angle = math.atan2(float(right[1] - left[1]), float(right[0] - left[0]))
    x, y, width, height = face.box
    return ellipse_outline((x + width / 2, y + height / 2), (width / 2, height / 2), angle)


def _agreement_facts(agreement: float | None) -> JsonObject:
    return {} if agreement is None else {"second_look": round(agreement, 3)}


def _non_empty(*facts: JsonObject | None) -> tuple[JsonObject, ...]:
    return tuple(each for each in facts if each)


def _coverage(mask: Mask | None) -> float:
    return 0.0 if mask is None else round(float(mask.mean(dtype=np.float64)), 5)


def _bounding_box(points: Sequence[Sequence[float]] | Points) -> list[JsonValue]:
    spots = np.asarray(points, np.float32)
    (left, top), (right, bottom) = spots.min(axis=0), spots.max(axis=0)
    return [round(float(side), 1) for side in (left, top, right - left, bottom - top)]
