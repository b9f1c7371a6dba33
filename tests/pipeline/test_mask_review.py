"""Masks that steps find by themselves wait in review/ before the steps run: review = ["edit.mask"]."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doubles.gated_generator import null_models
from doubles.jobs import png
from doubles.studio import Studio, studio_at
from goldsmith.cli.location import open_location
from goldsmith.jobs.job import BY_HAND
from goldsmith.journal.records import HistoryRow
from goldsmith.picture.codec import decode, decode_mask_file, mask_from_picture
from goldsmith.picture.picture import Mask

BRIEF = """\
review = ["edit.mask"]
[[edit]]
op = "grade"
where = "top & left"
exposure = 1.0
"""
WAITING = ["mask.png", "png", "review.jpg", "toml"]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Yield one daemon for all tests, since most of its time is its start."""
    with studio_at(tmp_path_factory.mktemp("studio"), quiet=0.1) as studio:
        studio.put("config/models.toml", null_models("one", "two"))
        yield studio


def picture(value: int = 100) -> bytes:
    down, across = np.mgrid[0:48, 0:64]
    return png(np.stack([down * 2 + value, across + 40, down + across], axis=2).astype(np.float32) / 255)


def box(rows: slice, columns: slice) -> Mask:
    mask = np.zeros((48, 64), np.float32)
    mask[rows, columns] = 1
    return mask


def drop(studio: Studio, stem: str, brief: str = BRIEF, **sidecars: bytes) -> None:
    for tail, data in sidecars.items():
        studio.put(f"selected/acme/{stem}.{tail.replace('_', '.')}", data)
    studio.put(f"selected/acme/{stem}.toml", brief)
    studio.put(f"selected/acme/{stem}.png", picture())
    studio.until_idle()


def drag(studio: Studio, source: str, target: str) -> None:
    studio.at(target).parent.mkdir(parents=True, exist_ok=True)
    os.rename(studio.at(source), studio.at(target))


def waiting(studio: Studio, stem: str) -> list[str]:
    return [name.removeprefix(f"acme/{stem}.") for name in studio.folder("review") if name.startswith(f"acme/{stem}.")]


def rows_of(studio: Studio, stem: str) -> list[HistoryRow]:
    return [row for row in studio.history() if f"/{stem}" in row.path]


def record_of(row: HistoryRow) -> dict[str, Any]:
    return dict(row.record)


def read_mask(studio: Studio, path: str) -> Mask:
    return mask_from_picture(decode_mask_file(studio.read(path), path, 10**6))


def changed(studio: Studio, path: str) -> np.ndarray:
    before, after = (decode(data, "hero.png", 10**6).pixels for data in (picture(), studio.read(path)))
    return np.asarray(np.abs(before - after).max(axis=2) > 0)


def test_the_mask_waits_with_its_picture_and_nothing_is_done_yet(studio: Studio) -> None:
    """Mask, sheet and brief lie beside the untouched picture; status and the folder's file say what to do."""
    drop(studio, "waits")
    assert waiting(studio, "waits") == WAITING
    assert studio.read("review/acme/waits.png") == picture()
    assert np.array_equal(read_mask(studio, "review/acme/waits.mask.png"), box(slice(0, 24), slice(0, 32)))
    assert decode(studio.read("review/acme/waits.review.jpg"), "sheet", 10**8).width == 2000
    studio.until(lambda: "“waits.mask.png” waits for your eye" in studio.read("review/_status.txt").decode(), "the folder's file")
    (row,) = rows_of(studio, "waits")
    assert (record_of(row)["steps"], record_of(row)["facts"]["found_masks"][0]["share"]) == ([], 0.25)


def test_an_approved_mask_is_used_in_place_of_the_region(studio: Studio) -> None:
    """Untouched, it gives the very pixels of the region; mask and approval are on record, from the picture to the result."""
    drop(studio, "plain", BRIEF.replace('review = ["edit.mask"]\n', ""))
    drop(studio, "same")
    drag(studio, "review/acme/same.png", "review/approve/same.png")
    studio.until_idle()
    results = [decode(studio.read(f"masked/acme/{stem}.png"), "hero.png", 10**6).pixels for stem in ("plain", "same")]
    assert np.array_equal(results[0], results[1])
    assert waiting(studio, "same") == []
    finding, decision, work = studio.journal.lineage(rows_of(studio, "same")[-1].job_id)
    assert (finding.stage, decision.stage, work.stage) == ("edit", "review", "edit")
    mask = record_of(finding)["outputs"][1]["sha256"]
    assert record_of(decision)["review"] == {
        "decision": "approve",
        "of": "edit",
        "masks": [{"name": "mask", "sha256": mask, "painted": False}],
        "result_of": finding.job_id,
    }
    assert record_of(work)["approved_masks"] == ["mask"]
    assert {each["role"]: each["sha256"] for each in record_of(work)["inputs"]}["mask"] == mask


def test_a_painted_mask_is_used_bit_for_bit(studio: Studio) -> None:
    """The person saves over the mask: the result changes there and nowhere else, and the record says that it was painted."""
    drop(studio, "paint")
    other = box(slice(30, 40), slice(30, 50))
    studio.put("review/acme/paint.mask.png", png(other))
    drag(studio, "review/acme/paint.png", "review/approve/paint.png")
    studio.until_idle()
    assert np.array_equal(changed(studio, "masked/acme/paint.png"), other > 0)
    (record,) = record_of(rows_of(studio, "paint")[1])["review"]["masks"]
    assert record["painted"] is True


def test_work_by_hand_on_the_picture_while_its_mask_waits_is_on_record(studio: Studio) -> None:
    """The step works on the picture as the hand has left it, and the chain begins at the picture before."""
    drop(studio, "hand")
    studio.put("review/acme/hand.png", picture(33))
    studio.until_idle()
    assert waiting(studio, "hand") == WAITING
    drag(studio, "review/acme/hand.png", "review/approve/hand.png")
    studio.until_idle()
    chain = studio.journal.lineage(rows_of(studio, "hand")[-1].job_id)
    assert [each.stage for each in chain] == ["edit", BY_HAND, "review", "edit"]


def test_a_mask_in_the_tray_replaces_the_one_that_was_left_behind(studio: Studio) -> None:
    """The editor has saved the painted mask into the tray, beside the picture."""
    drop(studio, "tray")
    other = box(slice(2, 9), slice(40, 60))
    studio.put("review/approve/tray.mask.png", png(other))
    drag(studio, "review/acme/tray.png", "review/approve/tray.png")
    studio.until_idle()
    assert np.array_equal(changed(studio, "masked/acme/tray.png"), other > 0)
    assert "review/acme/tray.mask.png" in studio.archived()


def test_a_picture_dragged_back_into_its_stage_approves_the_mask(studio: Studio) -> None:
    """The brief and the mask follow it."""
    drop(studio, "back")
    drag(studio, "review/acme/back.png", "selected/acme/back.png")
    studio.until_idle()
    assert changed(studio, "masked/acme/back.png").sum() == 24 * 32
    assert waiting(studio, "back") == []


def test_again_finds_the_mask_anew_by_the_brief_as_it_is_now(studio: Studio) -> None:
    """The region is edited in the brief that waits; the old mask goes to the archive."""
    drop(studio, "anew")
    brief = studio.read("review/acme/anew.toml").decode()
    studio.put("review/acme/anew.toml", brief.replace('where = "top & left"', 'where = "bottom & right"'))
    drag(studio, "review/acme/anew.png", "review/approve/anew.png")
    studio.until_idle()
    assert "now works on “bottom & right”, and nobody has seen that mask" in studio.note("review/approve/anew.png")
    drag(studio, "review/approve/anew.png", "review/again/anew.png")
    studio.until_idle()
    (name,) = [name for name in studio.folder("review") if name.startswith("acme/anew") and name.endswith(".mask.png")]
    assert np.array_equal(read_mask(studio, f"review/{name}"), box(slice(24, 48), slice(32, 64)))
    assert "review/acme/anew.mask.png" in studio.archived()


def test_a_rejected_mask_takes_its_picture_to_the_archive(studio: Studio) -> None:
    """Nothing of it stays, and the words are on record."""
    drop(studio, "no")
    studio.put("review/reject/no.txt", "not this one")
    drag(studio, "review/acme/no.png", "review/reject/no.png")
    studio.until_idle()
    assert waiting(studio, "no") == []
    assert {"review/reject/no.png", "review/acme/no.mask.png", "review/reject/no.txt"} <= set(studio.archived())
    row = rows_of(studio, "no")[-1]
    assert (row.outcome, record_of(row)["review"]["remark"]) == ("rejected", "not this one")


def test_each_region_has_a_mask_of_its_own_beside_a_painted_one(studio: Studio) -> None:
    """A mask that only helps to find another is used up; one that another step uses stays, and keeps its name."""
    brief = """\
    review = ["edit.mask", "edit"]
    [[edit]]
    op = "grade"
    where = "mask & top"
    exposure = 1.0
    [[edit]]
    op = "grade"
    where = "right"
    exposure = -1.0
    [[edit]]
    op = "grade"
    where = "right"
    saturation = 0.5
    """
    drop(studio, "two", brief, mask_png=png(box(slice(10, 40), slice(5, 20))))
    assert waiting(studio, "two") == [*("mask.step1.png", "mask.step2.png", "png", "review.before.mask.png", "review.jpg", "toml")]
    assert np.array_equal(read_mask(studio, "review/acme/two.mask.step1.png"), box(slice(10, 24), slice(5, 20)))
    drag(studio, "review/acme/two.png", "review/approve/two.png")
    studio.until_idle()
    result = next(name for name in studio.folder("review") if name.startswith("acme/two") and name.endswith("review.jpg"))
    stem = result.removeprefix("acme/").removesuffix(".review.jpg")
    assert np.array_equal(
        changed(studio, f"review/acme/{stem}.png"), (box(slice(10, 24), slice(5, 20)) + box(slice(0, 48), slice(32, 64))) > 0
    )


def test_a_mask_that_covers_nearly_everything_is_not_called_inverted_once_a_person_has_approved_it(studio: Studio) -> None:
    """A mask painted like that and approved by nobody would be held."""
    drop(studio, "wide", BRIEF.replace("top & left", "!center"))
    drag(studio, "review/acme/wide.png", "review/approve/wide.png")
    studio.until_idle()
    assert changed(studio, "masked/acme/wide.png").mean() > 0.8


def test_a_mask_that_is_gone_is_asked_for(studio: Studio) -> None:
    """A note says which file is missing; once it is back, the picture goes on."""
    drop(studio, "gone")
    drag(studio, "review/acme/gone.mask.png", "elsewhere.png")
    drag(studio, "review/acme/gone.png", "review/approve/gone.png")
    studio.until_idle()
    assert "“gone.mask.png”, is not beside it" in studio.note("review/approve/gone.png")
    drag(studio, "elsewhere.png", "review/acme/gone.mask.png")
    studio.until_idle()
    assert "acme/gone.png" in studio.folder("masked")


def test_a_painted_mask_alone_is_not_asked_about(studio: Studio) -> None:
    """Nothing is found by itself, so nothing waits."""
    drop(studio, "own", BRIEF.replace("top & left", "mask"), mask_png=png(box(slice(0, 5), slice(0, 5))))
    assert "acme/own.png" in studio.folder("masked")


def test_masks_of_a_picture_that_is_only_made_there_cannot_be_reviewed(studio: Studio) -> None:
    """A brief without a picture is held with a note that says where the step belongs."""
    brief = 'prompt = "a chair"\nreview = ["generate.mask"]\n[[generate]]\nop = "regenerate"\nmodel = "one"\n'
    studio.put("inbox/acme/words.toml", brief + '[[generate]]\nop = "denoise"\nwhere = "left"\n')
    studio.until_idle()
    assert "asks for a review of the mask “left”" in studio.note("inbox/acme/words.toml")


def test_a_stage_row_can_ask_for_its_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """review = ["mask"] in the pipeline holds the mask of every picture, and `why` says the same as the folder's file."""
    with studio_at(tmp_path, quiet=0.1) as studio:
        monkeypatch.setenv("GOLDSMITH_QUIET", "0.1")
        monkeypatch.setenv("GOLDSMITH_STATE_DIR", str(studio.state_dir))
        path = studio.root / "config" / "pipeline.toml"
        path.write_text(path.read_text().replace('folder = "selected"', 'folder = "selected"\nreview = ["mask"]'))
        drop(studio, "row", BRIEF.replace('review = ["edit.mask"]\n', ""))
        assert waiting(studio, "row") == WAITING
        studio.stop()
        with open_location(studio.root, None) as location:
            assert "“row.mask.png” waits for your eye" in location.explain().explain_file("review/acme/row.png")
        drag(studio, "review/acme/row.png", "review/approve/row.png")
        studio.until_idle()
        assert studio.folders() == {"masked": ["acme/row.png", "acme/row.toml"]}
