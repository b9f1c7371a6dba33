"""A picture that an editor has stripped of its id and its bytes is known again by its name and by what it looks like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from doubles.likeness_samples import as_jpeg, crop, frame_of_series, photograph, scene
from doubles.studio import Studio, studio_at
from goldsmith.jobs.job import BY_HAND
from goldsmith.journal.records import HistoryRow
from goldsmith.picture.codec import EncodingOptions, decode, encode
from goldsmith.picture.picture import Picture, freeze

FIRST = '[[edit]]\nop = "grade"\nexposure = 0.2\n'
SECOND = '[[grade]]\nop = "grade"\nsaturation = 1.1\n'


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with studio_at(tmp_path_factory.mktemp("studio"), quiet=0.1) as studio:
        yield studio


def png(picture: Picture) -> bytes:
    return encode(Picture(picture.pixels), EncodingOptions())


def finish(studio: Studio, path: str, data: bytes, brief: str) -> dict[str, Any]:
    """Put a picture with a brief into a folder, and return the record of its job."""
    studio.put(f"{path.rpartition('.')[0]}.toml", brief)
    studio.put(path, data)
    studio.until_idle()
    return dict(row_of(studio, path).record)


def row_of(studio: Studio, path: str) -> HistoryRow:
    return next(row for row in reversed(studio.history()) if row.path == path and row.stage != BY_HAND)


def test_a_cropped_copy_with_another_name_joins_the_chain(studio: Studio) -> None:
    """Cropped, stored as JPEG without metadata and called “hero copy”: the record says by what it was known, and what the hand did."""
    finish(studio, "selected/acme/hero.png", png(photograph()), FIRST)
    result = decode(studio.read("masked/acme/hero.png"), "hero.png", 10**7)
    record = finish(studio, "masked/acme/hero copy.jpg", as_jpeg(crop(result, 0.8)), SECOND)
    assert record["known_by"] == "look"
    chain = studio.journal.lineage(row_of(studio, "masked/acme/hero copy.jpg").job_id)
    assert [row.stage for row in chain] == ["edit", BY_HAND, "grade"]
    assert "cropped" in dict(chain[1].record)["by_hand"]  # type: ignore[operator]


def test_another_picture_of_that_name_is_no_copy(studio: Studio) -> None:
    """The name alone decides nothing."""
    finish(studio, "selected/beta/face.png", png(photograph()), FIRST)
    record = finish(studio, "masked/beta/face copy.png", png(scene(3)), SECOND)
    assert "known_by" not in record
    assert "unsure_origin" not in record


def test_a_frame_of_a_series_that_may_be_several_is_unsure_and_the_record_says_so(studio: Studio) -> None:
    """Its neighbours look alike, so no chain is guessed; the record has their places."""
    for number in (7, 8):
        finish(studio, f"selected/series/shot_{number:03d}.png", png(frame_of_series(number)), FIRST)
    result = decode(studio.read("masked/series/shot_007.png"), "shot_007.png", 10**7)
    record = finish(studio, "masked/series/shot_007 retouched.jpg", as_jpeg(result), SECOND)
    assert "known_by" not in record
    assert sorted(record["unsure_origin"]) == ["masked/series/shot_007.png", "masked/series/shot_008.png"]


def test_the_id_decides_among_frames_that_look_alike(studio: Studio) -> None:
    """An editor that keeps the metadata leaves no doubt."""
    finish(studio, "selected/kept/shot_011.png", png(frame_of_series(11)), FIRST)
    finish(studio, "selected/kept/shot_012.png", png(frame_of_series(12)), FIRST)
    result = decode(studio.read("masked/kept/shot_011.png"), "shot_011.png", 10**7)
    lighter = result.with_pixels(freeze(np.clip(result.pixels + np.float32(0.05), 0, 1)))
    record = finish(studio, "masked/kept/shot_011 lighter.png", encode(lighter, EncodingOptions()), SECOND)
    assert record["known_by"] == "id"
