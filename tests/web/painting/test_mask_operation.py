"""The steps that make masks for the page: what they write, and what they refuse."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from doubles.step_context import StepContextDouble
from goldsmith.engines.protocols import EngineDescriptor
from goldsmith.errors import InputError
from goldsmith.operation import Deliverable
from goldsmith.ops import catalogue as brief_operations
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze
from goldsmith.picture.region import DETECTED_WORDS
from goldsmith.web.painting.clicked_object import find_object
from goldsmith.web.painting.mask_operation import OpenMasks, ProposedRegion, ProposeMask, ProposeObject, catalogue
from goldsmith.web.painting.mask_tiles import MaskReader

PICTURE = Picture(freeze(np.full((40, 600, 3), 0.5, np.float32)))


def codes_of(file: Deliverable) -> NDArray[np.uint8]:
    """Return the codes (h, w) in a file of tiles of the picture's size."""
    reader = MaskReader(600, 40)
    reader.feed(file.data)
    return np.asarray(Image.open(BytesIO(reader.finish())))


def opened(tmp_path: Path, *masks: Image.Image, suffix: str = ".png") -> NDArray[np.uint8]:
    """Return the codes (h, w) of the union of these mask files."""
    references = {}
    for number, mask in enumerate(masks):
        path = tmp_path / f"hero{number}.mask{suffix}"
        mask.save(path)
        references["layers", f"mask-{number}"] = path
    context = StepContextDouble(references=references)
    operation = OpenMasks(layers=tuple(name for _, name in references), max_pixels=10**6)
    assert operation.apply(PICTURE, context) is PICTURE
    return codes_of(context.results.archived[0])


def test_the_codes_of_a_mask_are_those_of_its_file(tmp_path: Path) -> None:
    """Every grey stays what it is."""
    codes = np.random.default_rng(1).integers(0, 256, (40, 600)).astype(np.uint8)
    assert np.array_equal(opened(tmp_path, Image.fromarray(codes)), codes)


def test_several_files_are_united(tmp_path: Path) -> None:
    """A pixel gets the lighter value, as in a job."""
    left, right = np.zeros((2, 40, 600), np.uint8)
    left[:, :100], right[:, 50:200] = 200, 90
    codes = opened(tmp_path, Image.fromarray(left), Image.fromarray(right))
    assert [int(codes[0, column]) for column in (0, 70, 150, 300)] == [200, 200, 90, 0]


def test_a_format_that_is_read_for_masks_only_is_opened(tmp_path: Path) -> None:
    """A BMP can be a mask, but no picture."""
    codes = np.zeros((40, 600), np.uint8)
    codes[5:9, 7:99] = 255
    assert np.array_equal(opened(tmp_path, Image.fromarray(codes), suffix=".bmp"), codes)


def test_without_files_all_is_black(tmp_path: Path) -> None:
    """Painting begins with an empty mask of the picture's size."""
    assert not opened(tmp_path).any()


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path: Path) -> None:
    """It is never resized in silence."""
    with pytest.raises(InputError, match=r"hero0\.mask\.png is 300 x 20 px; its picture is 600 x 40 px"):
        opened(tmp_path, Image.new("L", (300, 20), 255))


def test_a_proposal_is_the_detected_region() -> None:
    """Soft edges keep their values."""
    spot = np.zeros((40, 600), np.float32)
    spot[10:20, 30:40], spot[10, 30] = 1.0, 0.5
    context = StepContextDouble(spots={"face": freeze(spot)})
    assert ProposeMask(region="face").apply(PICTURE, context) is PICTURE
    assert np.array_equal(codes_of(context.results.archived[0]), np.floor(spot * 255 + 0.5))


def test_a_picture_without_the_region_gets_a_sentence() -> None:
    """Nothing is written then."""
    context = StepContextDouble()
    with pytest.raises(InputError, match="Nothing was found for “hands” in the picture") as refusal:
        ProposeMask(region="hands").apply(PICTURE, context)
    assert refusal.value.remedy == "Paint the mask by hand."
    assert context.results.archived == []


def test_every_region_that_can_be_detected_can_be_proposed() -> None:
    """Each names the engine that it needs."""
    assert get_args(ProposedRegion) == DETECTED_WORDS
    assert all(len(ProposeMask(region=region).needs().engines) == 1 for region in DETECTED_WORDS)


class SpotFinder:
    """Stands for a matte estimator: it finds what is bright, and keeps the sizes of what it was shown."""

    descriptor = EngineDescriptor(name="spots", kind="matte", licence="CC0-1.0")

    def __init__(self) -> None:
        self.shown: list[tuple[int, int]] = []

    def matte(self, pixels: Pixels) -> Mask:
        self.shown.append(pixels.shape[:2])
        return freeze((pixels.mean(axis=2) > 0.7).astype(np.float32))


def scene(*boxes: tuple[int, int, int, int]) -> Picture:
    """Return a grey picture of 900 x 600 px with a bright box at each (x, y, width, height)."""
    pixels = np.full((600, 900, 3), 0.3, np.float32)
    for x, y, width, height in boxes:
        pixels[y : y + height, x : x + width] = 1.0
    return Picture(freeze(pixels))


BOXES = ((100, 150, 60, 80), (300, 100, 250, 320), (700, 0, 200, 150))


@pytest.mark.parametrize(("place", "expected"), [((130, 190), BOXES[0]), ((400, 200), BOXES[1]), ((899, 0), BOXES[2])])
def test_the_object_under_a_click_is_found_alone(place: tuple[int, int], expected: tuple[int, int, int, int]) -> None:
    """A small one, a large one, and one that the edge of the picture cuts; the others are not in the mask."""
    mask = find_object(SpotFinder(), scene(*BOXES), *place)
    alone = scene(expected).pixels[:, :, 0] > 0.7
    assert mask is not None
    assert ((mask > 0.5) != alone).mean() < 0.001


def test_an_object_is_looked_at_in_small_cuts_first_and_once_more_alone() -> None:
    """A cut that shows only a part of it does not count."""
    finder = SpotFinder()
    assert find_object(finder, scene(BOXES[1]), 400, 200) is not None
    *cuts, alone = finder.shown
    assert cuts == [(144, 144), (225, 225), (360, 360), (567, 567)]
    assert alone == (100 + 320 + 112, 250 + 2 * 88)


@pytest.mark.parametrize("boxes", [(), ((0, 0, 900, 600),), ((200, 200, 50, 50),)])
def test_a_click_on_the_ground_finds_nothing(boxes: tuple[tuple[int, int, int, int], ...]) -> None:
    """Where nothing stands out, where the whole picture does, and beside an object."""
    assert find_object(SpotFinder(), scene(*boxes), 600, 400) is None


def test_a_grey_picture_has_objects_too() -> None:
    """The estimator gets three channels."""
    picture = Picture(scene(BOXES[0]).pixels[:, :, :1])
    mask = find_object(SpotFinder(), picture, 130, 190)
    assert mask is not None
    assert mask[190, 130] == 1


def test_an_object_becomes_tiles_or_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written where nothing was found, and outside the picture."""
    context = StepContextDouble()
    monkeypatch.setattr(context.engines, "get", lambda _need: SpotFinder())
    white = PICTURE.pixels.copy()
    white[10:30, 100:130] = 1.0
    picture = Picture(freeze(white))
    for place, sentence in (((300, 20), "No object that stands out"), ((600, 20), "outside the picture"), ((0, 40), "outside the picture")):
        with pytest.raises(InputError, match=sentence):
            ProposeObject(x=place[0], y=place[1]).apply(picture, context)
    assert context.results.archived == []
    assert ProposeObject(x=115, y=20).apply(picture, context) is picture
    codes = codes_of(context.results.archived[0])
    assert (codes[20, 115], codes[20, 300]) == (255, 0)


def test_no_brief_can_name_the_steps_of_the_page() -> None:
    """They are in the catalogue of the page's worker process alone."""
    assert catalogue().keys() - brief_operations().keys() == {"open-masks", "propose-mask", "propose-object"}
