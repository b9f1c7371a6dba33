"""Regions are detected in a picture once, by the right engine, at the picture's own size, and the record has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from goldsmith.engines.protocols import EngineDescriptor, EngineNeed
from goldsmith.engines.registry.weights_registry import WeightsMissing
from goldsmith.engines.vision import Face, Hand, Points, TextLine
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze
from goldsmith.worker.detections import DetectionCache, Detections, JsonObject

PICTURE = Picture(freeze(np.full((200, 300, 3), 0.5, np.float32)))


def face(x: float = 100, y: float = 60, side: float = 60) -> Face:
    shares = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]
    return Face((x, y, side, side), np.array([(x + side * a, y + side * b) for a, b in shares], np.float32), 0.9)


@dataclass
class FakeEngines:
    """Engines with given results. They keep their calls in ``calls``; the weights of a kind without a result are missing."""

    matte: Callable[[bool], Mask] | None = None
    faces: tuple[Face, ...] | None = None
    face_mesh: Points | None = None
    hands: tuple[Hand, ...] | None = None
    lines: tuple[TextLine, ...] | None = None
    people: bool = False
    calls: list[str] = field(default_factory=list)

    def open_engine(self, need: EngineNeed[Any]) -> tuple[object, JsonObject]:
        has = {"matte": self.matte, "faces": self.faces, "mesh": self.face_mesh, "hands": self.hands, "reader": self.lines}
        if has[need.kind.name] is None:
            raise WeightsMissing(f"No model for {need.kind.name}.")
        name = f"null-{need.kind.name}" + ("-people" if need.has_people else "")
        return _Engine(self, need.kind.name, need.has_people), {"name": name, "why": "the first default"}

    def detections(self, picture: Picture = PICTURE, cache: DetectionCache | None = None) -> Detections:
        return Detections(picture, cache or DetectionCache(), self.open_engine)  # type: ignore[arg-type]


@dataclass
class _Engine:
    engines: FakeEngines
    kind: str
    people: bool

    @property
    def descriptor(self) -> EngineDescriptor:
        return EngineDescriptor(name=f"null-{self.kind}", kind=self.kind, licence="CC0-1.0")

    def matte(self, pixels: Pixels) -> Mask:
        self._note(pixels)
        assert self.engines.matte is not None
        return self.engines.matte(self.people)[: pixels.shape[0], : pixels.shape[1]]

    def detect(self, pixels: Pixels) -> tuple[Face, ...] | tuple[Hand, ...]:
        self._note(pixels)
        return (self.engines.faces if self.kind == "faces" else self.engines.hands) or ()

    def mesh(self, pixels: Pixels, face: Face) -> Points | None:
        self._note(pixels)
        return self.engines.face_mesh

    def read(self, pixels: Pixels) -> tuple[TextLine, ...]:
        self._note(pixels)
        return self.engines.lines or ()

    def _note(self, pixels: Pixels) -> None:
        assert pixels.shape[2] == 3
        self.engines.calls.append(self.kind + (" people" if self.people else ""))


def left_half(_: bool = False) -> Mask:
    """Return a mask (h, w), 0 or 1, whose left half is the subject."""
    mask = np.zeros((200, 300), np.float32)
    mask[:, :150] = 1
    return mask


def test_a_picture_with_a_large_face_is_taken_for_people() -> None:
    """The model for people is used, and the record says why."""
    region = FakeEngines(matte=left_half, faces=(face(),)).detections().region("subject")
    assert [engine["name"] for engine in region.engines] == ["null-matte-people", "null-faces"]
    reason = "the highest of 1 face(s) takes 30% of the picture's height"
    assert region.engines[0]["why"] == f"taken for people: {reason}; the first default"


@pytest.mark.parametrize(
    ("faces", "why"),
    [
        ((face(side=8),), "takes 4% of the picture's height"),
        ((), "no face was found"),
        (None, "no engine that finds faces is here"),
    ],
)
def test_a_picture_without_a_large_face_is_taken_for_a_thing(faces: tuple[Face, ...] | None, why: str) -> None:
    """The face is small, there is no face, or no engine finds faces."""
    region = FakeEngines(matte=left_half, faces=faces).detections().region("subject")
    assert region.engines[0]["name"] == "null-matte"
    assert why in str(region.engines[0]["why"])


def test_the_other_model_is_used_if_the_first_finds_nothing() -> None:
    """A person seen from behind shows no face, so the model for things comes first and finds nothing."""
    engines = FakeEngines(matte=lambda people: left_half() if people else np.zeros((200, 300), np.float32), faces=())
    region = engines.detections().region("subject")
    assert [engine["name"] for engine in region.engines] == ["null-matte", "null-matte-people", "null-faces"]
    assert "null-matte found nothing, so asked for people" in str(region.engines[1]["why"])
    assert region.facts["share"] == pytest.approx(0.5, abs=0.01)


def test_a_matte_of_people_without_the_face_is_rejected() -> None:
    """If the face is on a poster or a false detection, the model for things is used, and the record says why."""
    right = np.ascontiguousarray(left_half()[:, ::-1])
    engines = FakeEngines(matte=lambda people: right if people else left_half(), faces=(face(x=40),))
    region = engines.detections().region("subject")
    assert region.mask is not None
    assert (region.mask[100, 75], region.mask[100, 225]) == (1, 0)
    assert "null-matte-people left the face out, so asked for things" in str(region.engines[1]["why"])


def test_a_second_model_is_asked_about_people() -> None:
    """The model for things says how far it agrees; both are on record."""
    quarter = left_half()
    quarter[100:] = 0
    detections = FakeEngines(matte=lambda people: left_half() if people else quarter, faces=(face(x=60),)).detections()
    agreement, facts = detections.subject_agreement()
    assert agreement == pytest.approx(0.5, abs=0.01)
    assert facts is not None
    assert (facts["name"], facts["why"]) == ("null-matte", "asked whether it agrees about the people; the first default")


def test_no_second_model_is_asked_about_things() -> None:
    """A thing has had its second look, and where there is no subject, there is nothing to ask."""
    assert FakeEngines(matte=left_half, faces=()).detections().subject_agreement() == (None, None)
    nothing = FakeEngines(matte=lambda people: np.zeros((200, 300), np.float32), faces=(face(),))
    assert nothing.detections().subject_agreement() == (None, None)


def test_an_empty_matte_gives_no_region() -> None:
    """The mask is None, and the record has both engines."""
    region = FakeEngines(matte=lambda people: np.zeros((200, 300), np.float32), faces=()).detections().region("subject")
    assert region.mask is None
    assert region.facts == {"share": 0.0}


def test_the_same_pixels_are_searched_once_for_each_region() -> None:
    """Another step and a picture with other metadata use the first result. Changed pixels are searched again."""
    engines, cache = FakeEngines(matte=left_half, faces=(face(),)), DetectionCache()
    first = engines.detections(cache=cache).region("subject")
    assert engines.detections(replace(PICTURE, ppi=(300, 300)), cache).region("subject") is first
    assert engines.calls == ["faces", "matte people"]
    assert cache.is_cached(PICTURE, "subject")
    changed = PICTURE.with_pixels(freeze(PICTURE.pixels.copy()))
    assert not cache.is_cached(changed, "subject")
    assert engines.detections(changed, cache).region("subject") is not first


def test_detections_are_dropped_with_their_pixels() -> None:
    """The cache keeps no picture alive, and another picture at the same address gets none of its detections."""
    engines, cache = FakeEngines(faces=(face(),)), DetectionCache()
    for grey in (0.1, 0.2, 0.3):
        engines.detections(Picture(freeze(np.full((200, 300, 3), grey, np.float32))), cache).faces()
    assert engines.calls == ["faces"] * 3


def test_a_face_without_a_mesh_is_a_soft_oval() -> None:
    """The oval contains the middle of the box and none of its corners, and the record has the box."""
    region = FakeEngines(faces=(face(),)).detections().region("face")
    assert region.mask is not None
    assert region.mask[70:110, 110:150].min() > 0.95
    assert region.mask[58, 98] == 0
    assert region.mask[90, 98] > 0.5
    assert ((region.mask > 0.1) & (region.mask < 0.9)).any()
    assert region.facts["count"] == 1
    assert region.facts["found"] == [{"box": [100, 60, 60, 60], "score": 0.9}]


def test_a_mesh_gives_the_outline_of_the_face() -> None:
    """The record has its engine and the face detector."""
    angles = np.linspace(0, 2 * np.pi, 478, dtype=np.float32)
    mesh = np.stack([130 + 10 * np.cos(angles), 90 + 10 * np.sin(angles)], axis=1)
    region = FakeEngines(faces=(face(),), face_mesh=mesh).detections().region("face")
    assert region.mask is not None
    assert region.mask[90, 130] == 1
    assert region.mask[90, 152] == 0
    assert [engine["name"] for engine in region.engines] == ["null-faces", "null-mesh"]


def test_a_missing_face_detector_is_an_error() -> None:
    """The missing detector does not mean that the picture has no face."""
    with pytest.raises(WeightsMissing):
        FakeEngines(matte=left_half).detections().region("face")


def test_a_hand_is_its_enlarged_hull() -> None:
    """The hull is enlarged because a finger is wider than the line between its landmarks."""
    points = np.array([(150, 150), *((120 + 15 * (n // 4), 130 - 15 * (n % 4)) for n in range(20))], np.float32)
    region = FakeEngines(hands=(Hand(points, 0.8),)).detections().region("hands")
    assert region.mask is not None
    assert region.mask[110, 150] == 1
    assert region.mask[110, 116] > 0.5
    assert region.mask[110, 90] == 0
    assert region.facts["count"] == 1


def test_text_is_its_enlarged_lines() -> None:
    """The record has the text."""
    corners = np.array([(50, 50), (150, 50), (150, 70), (50, 70)], np.float32)
    region = FakeEngines(lines=(TextLine(corners, "GOLD", 0.97),)).detections().region("text")
    assert region.mask is not None
    assert region.mask[50:70, 50:150].min() > 0.95
    assert region.mask[48, 100] > 0.5
    assert region.mask[40, 100] == 0
    assert region.facts["found"] == [{"box": [50, 50, 100, 20], "score": 0.97, "text": "GOLD"}]


@pytest.mark.parametrize("word", ["face", "hands", "text"])
def test_the_mask_is_none_and_the_record_has_the_engine_if_nothing_is_found(word: str) -> None:
    """A refusal can therefore name the engine."""
    region = FakeEngines(faces=(), hands=(), lines=()).detections().region(word)
    assert region.mask is None
    assert len(region.engines) == 1


def test_engines_get_a_grey_picture_with_three_channels() -> None:
    """Every engine relies on three channels."""
    grey = Picture(freeze(np.full((200, 300, 1), 0.5, np.float32)))
    assert FakeEngines(matte=left_half, faces=()).detections(grey).region("subject").mask is not None
