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
from goldsmith.errors import InputError
from goldsmith.operation import Deliverable
from goldsmith.ops import catalogue as brief_operations
from goldsmith.picture.picture import Picture, freeze
from goldsmith.picture.region import DETECTED_WORDS
from goldsmith.web.painting.mask_operation import OpenMasks, ProposedRegion, ProposeMask, catalogue
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


def test_no_brief_can_name_the_steps_of_the_page() -> None:
    """They are in the catalogue of the page's worker process alone."""
    assert catalogue().keys() - brief_operations().keys() == {"open-masks", "propose-mask"}
