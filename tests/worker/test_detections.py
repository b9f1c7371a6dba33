"""What is to be seen in a picture: looked for once, by the right engine, at the picture's own size, and on record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from goldsmith.engines import EngineDescriptor, EngineNeed
from goldsmith.engines.registry.weights_registry import WeightsMissing
from goldsmith.engines.vision import Face, Hand, Points, TextLine
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze
from goldsmith.worker.detections import DetectionCache, Detections, JsonObject

PLATE = Picture(freeze(np.full((200, 300, 3), 0.5, np.float32)))


def face(x: float = 100, y: float = 60, side: float = 60) -> Face:
    shares = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]
    return Face((x, y, side, side), np.array([(x + side * a, y + side * b) for a, b in shares], np.float32), 0.9)


@dataclass
class House:
    """Engines as a test wants them, and what they were asked; a kind with nothing here is absent."""

    matte: Callable[[bool], Mask] | None = None
    faces: tuple[Face, ...] | None = None
    mesh_: Points | None = None
    hands: tuple[Hand, ...] | None = None
    lines: tuple[TextLine, ...] | None = None
    people: bool = False
    asked: list[str] = field(default_factory=list)

    def opened(self, need: EngineNeed[Any]) -> tuple[object, JsonObject]:
        has = {"matte": self.matte, "faces": self.faces, "mesh": self.mesh_, "hands": self.hands, "reader": self.lines}
        if has[need.kind.name] is None:
            raise WeightsMissing(f"No model for {need.kind.name}.")
        name = f"null-{need.kind.name}" + ("-people" if need.has_people else "")
        return _Engine(self, need.kind.name, need.has_people), {"name": name, "why": "the house's first choice"}

    def sight(self, picture: Picture = PLATE, memory: DetectionCache | None = None) -> Detections:
        return Detections(picture, memory or DetectionCache(), self.opened)  # type: ignore[arg-type]


@dataclass
class _Engine:
    house: House
    kind: str
    people: bool

    @property
    def descriptor(self) -> EngineDescriptor:
        return EngineDescriptor(name=f"null-{self.kind}", kind=self.kind, licence="CC0-1.0")

    def matte(self, pixels: Pixels) -> Mask:
        self._note(pixels)
        assert self.house.matte is not None
        return self.house.matte(self.people)

    def detect(self, pixels: Pixels) -> tuple[Face, ...] | tuple[Hand, ...]:
        self._note(pixels)
        return (self.house.faces if self.kind == "faces" else self.house.hands) or ()

    def mesh(self, pixels: Pixels, found: Face) -> Points | None:
        self._note(pixels)
        return self.house.mesh_

    def read(self, pixels: Pixels) -> tuple[TextLine, ...]:
        self._note(pixels)
        return self.house.lines or ()

    def _note(self, pixels: Pixels) -> None:
        assert pixels.shape[2] == 3
        self.house.asked.append(self.kind + (" people" if self.people else ""))


def half(_: bool = False) -> Mask:
    """The left half of the picture is the subject."""
    made = np.zeros((200, 300), np.float32)
    made[:, :150] = 1
    return made


def test_a_large_face_makes_it_a_picture_of_people() -> None:
    """Then the net for people is asked, and the record says why."""
    spot = House(matte=half, faces=(face(),)).sight().region("subject")
    assert [engine["name"] for engine in spot.engines] == ["null-matte-people", "null-faces"]
    seen = "the highest of 1 face(s) takes 30% of the picture's height"
    assert spot.engines[0]["why"] == f"taken for people: {seen}; the house's first choice"


@pytest.mark.parametrize(
    ("faces", "why"),
    [
        ((face(side=8),), "takes 4% of the picture's height"),
        ((), "no face was found"),
        (None, "no engine that finds faces is here"),
    ],
)
def test_else_it_is_a_picture_of_a_thing(faces: tuple[Face, ...] | None, why: str) -> None:
    """A face in a crowd far away, none, or nobody who could tell."""
    spot = House(matte=half, faces=faces).sight().region("subject")
    assert spot.engines[0]["name"] == "null-matte"
    assert why in str(spot.engines[0]["why"])


def test_where_one_net_finds_nothing_the_other_is_asked() -> None:
    """A person seen from behind has no face, and a face on a poster is no person."""
    house = House(matte=lambda people: half() if people else np.zeros((200, 300), np.float32), faces=())
    spot = house.sight().region("subject")
    assert [engine["name"] for engine in spot.engines] == ["null-matte", "null-matte-people", "null-faces"]
    assert "null-matte found nothing, so asked for people" in str(spot.engines[1]["why"])
    assert spot.facts["share"] == pytest.approx(0.5, abs=0.01)


def test_a_net_for_people_that_leaves_the_face_out_is_not_believed() -> None:
    """A face on a poster, or a fault of whoever looks for faces: the net for things is asked, and the record says why."""
    right = np.ascontiguousarray(half()[:, ::-1])
    house = House(matte=lambda people: right if people else half(), faces=(face(x=40),))
    spot = house.sight().region("subject")
    assert spot.mask is not None
    assert (spot.mask[100, 75], spot.mask[100, 225]) == (1, 0)
    assert "null-matte-people left the face out, so asked for things" in str(spot.engines[1]["why"])


def test_no_subject_is_said_as_none() -> None:
    """An empty matte is no region."""
    spot = House(matte=lambda people: np.zeros((200, 300), np.float32), faces=()).sight().region("subject")
    assert spot.mask is None
    assert spot.facts == {"share": 0.0}


def test_each_thing_is_looked_for_once_in_the_same_pixels() -> None:
    """Also when another step asks, or the picture comes in another wrapping; changed pixels are looked at anew."""
    house, memory = House(matte=half, faces=(face(),)), DetectionCache()
    first = house.sight(memory=memory).region("subject")
    assert house.sight(replace(PLATE, ppi=(300, 300)), memory).region("subject") is first
    assert house.asked == ["faces", "matte people"]
    assert memory.is_cached(PLATE, "subject")
    changed = PLATE.with_pixels(freeze(PLATE.pixels.copy()))
    assert not memory.is_cached(changed, "subject")
    assert house.sight(changed, memory).region("subject") is not first


def test_what_was_seen_goes_with_the_pixels() -> None:
    """A picture that is gone is not kept for it, and its place in memory is nobody else's."""
    house, memory = House(faces=(face(),)), DetectionCache()
    for grey in (0.1, 0.2, 0.3):
        house.sight(Picture(freeze(np.full((200, 300, 3), grey, np.float32))), memory).faces()
    assert house.asked == ["faces"] * 3


def test_faces_are_ovals_a_little_larger_and_soft() -> None:
    """All of the box's middle, none of its corners; the share of each is on record."""
    spot = House(faces=(face(),)).sight().region("face")
    assert spot.mask is not None
    assert spot.mask[70:110, 110:150].min() > 0.95
    assert spot.mask[58, 98] == 0
    assert spot.mask[90, 98] > 0.5
    assert ((spot.mask > 0.1) & (spot.mask < 0.9)).any()
    assert spot.facts["count"] == 1
    assert spot.facts["found"] == [{"box": [100, 60, 60, 60], "score": 0.9}]


def test_a_mesh_gives_the_face_its_outline() -> None:
    """Where there is one; it is on record beside the finder."""
    angles = np.linspace(0, 2 * np.pi, 478, dtype=np.float32)
    mesh = np.stack([130 + 10 * np.cos(angles), 90 + 10 * np.sin(angles)], axis=1)
    spot = House(faces=(face(),), mesh_=mesh).sight().region("face")
    assert spot.mask is not None
    assert spot.mask[90, 130] == 1
    assert spot.mask[90, 152] == 0
    assert [engine["name"] for engine in spot.engines] == ["null-faces", "null-mesh"]


def test_a_missing_finder_of_faces_is_said_when_faces_are_asked_for() -> None:
    """Nobody is told that there is no face where nobody looked."""
    with pytest.raises(WeightsMissing):
        House(matte=half).sight().region("face")


def test_hands_are_their_hulls_grown() -> None:
    """A finger is wider than the line of its bones."""
    points = np.array([(150, 150), *((120 + 15 * (n // 4), 130 - 15 * (n % 4)) for n in range(20))], np.float32)
    spot = House(hands=(Hand(points, 0.8),)).sight().region("hands")
    assert spot.mask is not None
    assert spot.mask[110, 150] == 1
    assert spot.mask[110, 116] > 0.5
    assert spot.mask[110, 90] == 0
    assert spot.facts["count"] == 1


def test_text_is_its_lines_grown_and_read() -> None:
    """What it says is on record."""
    corners = np.array([(50, 50), (150, 50), (150, 70), (50, 70)], np.float32)
    spot = House(lines=(TextLine(corners, "GOLD", 0.97),)).sight().region("text")
    assert spot.mask is not None
    assert spot.mask[50:70, 50:150].min() > 0.95
    assert spot.mask[48, 100] > 0.5
    assert spot.mask[40, 100] == 0
    assert spot.facts["found"] == [{"box": [50, 50, 100, 20], "score": 0.97, "text": "GOLD"}]


@pytest.mark.parametrize("word", ["face", "hands", "text"])
def test_nothing_found_is_none_with_its_engine_on_record(word: str) -> None:
    """So that a refusal can say who looked."""
    spot = House(faces=(), hands=(), lines=()).sight().region(word)
    assert spot.mask is None
    assert len(spot.engines) == 1


def test_a_grey_picture_is_shown_in_three_channels() -> None:
    """Engines never see anything else."""
    grey = Picture(freeze(np.full((200, 300, 1), 0.5, np.float32)))
    assert House(matte=half, faces=()).sight(grey).region("subject").mask is not None
