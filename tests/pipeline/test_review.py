"""Results wait in review/ until a person has dragged them into a tray, or straight into the next folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from doubles.jobs import png
from doubles.studio import Studio, studio_at
from goldsmith.cli.location import open_location
from goldsmith.jobs.job import BY_HAND
from goldsmith.journal.records import HistoryRow
from goldsmith.picture.codec import decode

BRIEF = """\
review = ["edit"]
[[edit]]
op = "grade"
where = "mask"
exposure = 1.0
[[grade]]
op = "grade"
saturation = 1.2
"""
WAITING = ["hero.png", "hero.review.before.mask.png", "hero.review.before.png", "hero.review.jpg", "hero.toml"]


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    with studio_at(tmp_path) as studio:
        monkeypatch.setenv("GOLDSMITH_QUIET", "0.1")
        monkeypatch.setenv("GOLDSMITH_STATE_DIR", str(studio.state_dir))
        yield studio


def picture(value: int = 100) -> bytes:
    down, across = np.mgrid[0:48, 0:64]
    return png(np.stack([down * 2 + value, across + 40, down + across], axis=2).astype(np.float32) / 255)


def mask() -> bytes:
    white = np.zeros((48, 64), np.float32)
    white[8:24, 8:24] = 1
    return png(white)


def drop(studio: Studio, campaign: str = "acme", stem: str = "hero", brief: str = BRIEF) -> None:
    folder = f"selected/{campaign}".rstrip("/")
    studio.put(f"{folder}/{stem}.mask.png", mask())
    studio.put(f"{folder}/{stem}.toml", brief)
    studio.put(f"{folder}/{stem}.png", picture())


def drag(studio: Studio, source: str, target: str) -> None:
    studio.at(target).parent.mkdir(parents=True, exist_ok=True)
    os.rename(studio.at(source), studio.at(target))


def why(studio: Studio, path: str) -> str:
    studio.stop()
    with open_location(studio.root, None) as location:
        return location.explain().explain_file(path)


def decisions(studio: Studio) -> list[HistoryRow]:
    return [row for row in studio.history() if row.stage == "review"]


def test_a_result_waits_with_its_sheet_and_the_sentence_says_for_whom(studio: Studio) -> None:
    """The result of edit lies in review/, in its campaign, with what it was made from; status, why and the folder's file say the same."""
    drop(studio)
    studio.until_idle()
    assert studio.folders() == {"review": [f"acme/{name}" for name in WAITING]}
    assert studio.read("review/acme/hero.review.before.png") == picture()
    assert studio.read("review/acme/hero.review.before.mask.png") == mask()
    sheet = decode(studio.read("review/acme/hero.review.jpg"), "sheet", 10**8)
    assert sheet.width == 2000
    studio.until(lambda: "Waits for your eye" in studio.read("review/_status.txt").decode(), "the folder's file")
    sentence = why(studio, "review/acme/hero.png")
    assert sentence.startswith("Waits for your eye since ")
    assert "Drag it into review/approve" in sentence


def test_a_picture_in_approve_goes_on_with_its_brief(studio: Studio) -> None:
    """Only the picture is dragged: campaign and brief follow from what it has left behind, and the next stages run."""
    drop(studio)
    studio.until_idle()
    waited = studio.read("review/acme/hero.png")
    drag(studio, "review/acme/hero.png", "review/approve/hero.png")
    studio.until_idle()
    assert studio.folders() == {"graded": ["acme/hero.png", "acme/hero.toml"]}
    assert "in_review" not in studio.read("graded/acme/hero.toml").decode()
    archive = {f"review/acme/{name}" for name in WAITING if name != "hero.png"} | {"masked/acme/hero.png"}
    assert archive <= set(studio.archived())
    day = studio.folder("archive")[0].partition("/")[0]
    assert studio.read(f"archive/{day}/masked/acme/hero.png") == waited
    (row,) = decisions(studio)
    assert row.record["review"] == {"decision": "approve", "of": "edit", "result_of": row.parent_job_id}
    assert [each.stage for each in studio.journal.lineage(studio.history()[-1].job_id)] == ["edit", "review", "grade"]


def test_everything_of_a_picture_can_be_dragged_together(studio: Studio) -> None:
    """Picture, brief and copies lie in the tray; nothing is left in the picture's old place."""
    drop(studio, campaign="")
    studio.until_idle()
    for name in WAITING:
        drag(studio, f"review/{name}", f"review/approve/{name}")
    studio.until_idle()
    assert studio.folders() == {"graded": ["hero.png", "hero.toml"]}


def test_a_whole_campaign_folder_can_be_dragged(studio: Studio) -> None:
    """The folder keeps its name in the tray, so the campaign is kept."""
    drop(studio)
    studio.until_idle()
    drag(studio, "review/acme", "review/approve/acme")
    studio.until_idle()
    assert studio.folders() == {"graded": ["acme/hero.png", "acme/hero.toml"]}


def test_a_picture_in_reject_goes_to_the_archive_with_the_reasons(studio: Studio) -> None:
    """Nothing of it moves on, and the record has the words of the hero.txt."""
    drop(studio)
    studio.until_idle()
    studio.put("review/reject/hero.txt", "the hand has six fingers")
    drag(studio, "review/acme/hero.png", "review/reject/hero.png")
    studio.until_idle()
    assert studio.folders() == {}
    assert {"review/reject/hero.png", "review/reject/hero.txt", "review/acme/hero.toml"} <= set(studio.archived())
    (row,) = decisions(studio)
    assert (row.outcome, row.results) == ("rejected", ())
    assert row.record["review"] == {
        "decision": "reject", "of": "edit", "remark": "the hand has six fingers", "result_of": row.parent_job_id
    }  # fmt: skip


def test_a_picture_that_was_dragged_straight_into_the_next_folder_is_approved(studio: Studio) -> None:
    """Its brief follows it to the place where it was put."""
    drop(studio)
    studio.until_idle()
    drag(studio, "review/acme/hero.png", "masked/hero.png")
    studio.until_idle()
    assert studio.folders() == {"graded": ["hero.png", "hero.toml"]}
    assert decisions(studio)[0].record["review"] == {"decision": "approve", "of": "edit"} | {
        key: value for key, value in dict(decisions(studio)[0].record["review"]).items() if key == "result_of"
    }  # type: ignore[call-overload]


def test_an_older_picture_of_that_name_in_the_next_folder_approves_nothing(studio: Studio) -> None:
    """A person has taken the picture away, and a picture of another size lies in masked/."""
    studio.put("masked/acme/hero.png", picture(7)[:-1] + b"x" * 50)
    drop(studio)
    studio.until_idle()
    drag(studio, "review/acme/hero.png", "elsewhere.png")
    studio.until_idle()
    assert studio.folder("masked") == ["acme/hero.png"]
    assert "has left review/" in why(studio, "review/acme/hero.toml")


def test_work_by_hand_still_waits_and_goes_on_as_the_hand_has_left_it(studio: Studio) -> None:
    """The picture is saved over in an editor: it stays. Approved, its bytes go on, they are kept, and the record says so."""
    drop(studio)
    studio.until_idle()
    by_hand = picture(33)
    studio.put("review/acme/hero.png", by_hand)
    studio.until_idle()
    assert studio.folders() == {"review": [f"acme/{name}" for name in WAITING]}
    drag(studio, "review/acme/hero.png", "review/approve/hero.png")
    studio.until_idle()
    (row,) = decisions(studio)
    assert [each.stage for each in studio.journal.lineage(row.job_id)] == ["edit", BY_HAND, "review"]
    day = studio.folder("archive")[0].partition("/")[0]
    assert studio.read(f"archive/{day}/masked/acme/hero.png") == by_hand


def test_a_picture_that_was_copied_into_approve_goes_on_once(studio: Studio) -> None:
    """The original of the copy goes to the archive, so nothing waits twice."""
    drop(studio)
    studio.until_idle()
    shutil.copyfile(studio.at("review/acme/hero.png"), studio.at("review/approve/hero.png"))
    studio.until_idle()
    assert studio.folders() == {"graded": ["acme/hero.png", "acme/hero.toml"]}


def test_a_picture_in_two_trays_waits_with_a_note(studio: Studio) -> None:
    """Two people have dragged copies: nobody is overruled. Once one of them is taken away, the other counts."""
    drop(studio)
    studio.until_idle()
    studio.stop()
    shutil.copyfile(studio.at("review/acme/hero.png"), studio.at("review/reject/hero.png"))
    drag(studio, "review/acme/hero.png", "review/approve/hero.png")
    studio.until_idle()
    assert "lies in review/approve and in review/reject: leave it in one of them." in studio.note("review/approve/hero.png")
    assert decisions(studio) == []
    studio.at("review/reject/hero.png").unlink()
    studio.until_idle()
    assert studio.folder("graded") == ["acme/hero.png", "acme/hero.toml"]
    assert studio.folder("review") == []


def test_two_campaigns_with_a_picture_of_one_name_are_told_apart_by_a_folder_in_the_tray(studio: Studio) -> None:
    """Both pictures have left their places, so the name alone does not tell which is meant."""
    for campaign in ("acme", "beta"):
        drop(studio, campaign)
    studio.until_idle()
    studio.stop()
    drag(studio, "review/acme/hero.png", "review/approve/hero.png")
    drag(studio, "review/beta/hero.png", "elsewhere.png")
    studio.until_idle()
    assert "Pictures called “hero” wait in acme/ and in beta/" in studio.note("review/approve/hero.png")
    drag(studio, "review/approve/hero.png", "review/approve/acme/hero.png")
    studio.until_idle()
    assert studio.folder("graded") == ["acme/hero.png", "acme/hero.toml"]
    assert "beta/hero.toml" in studio.folder("review")


def test_a_picture_with_another_name_says_what_is_missing(studio: Studio) -> None:
    """The renamed picture stays in the tray, and `why` names the remedy."""
    drop(studio)
    studio.until_idle()
    drag(studio, "review/acme/hero.png", "review/approve/better.png")
    studio.until_idle()
    assert studio.folder("review/approve") == ["better.png"]
    assert why(studio, "review/approve/better.png").startswith("Nothing called “better” waits in review/")


@pytest.mark.parametrize("name", [".hero.png", "hero.png.part", "hero.png~", "~$hero.png", "hero.tmp"])
def test_temporary_files_in_a_tray_decide_nothing(studio: Studio, name: str) -> None:
    """The result waits in its place, whatever programs write beside the trays' pictures."""
    drop(studio)
    studio.until_idle()
    studio.put(f"review/approve/{name}", picture())
    studio.until_idle()
    assert set(WAITING) <= {os.path.basename(path) for path in studio.folder("review/acme")}
    assert decisions(studio) == []


def test_a_copy_that_is_still_being_written_decides_nothing(studio: Studio) -> None:
    """A program writes the copy into the tray piece by piece: it is approved when it is whole."""
    drop(studio)
    studio.until_idle()
    data = studio.read("review/acme/hero.png")
    with studio.at("review/approve/hero.png").open("wb") as copy:
        copy.write(data[: len(data) // 2])
        copy.flush()
        for _ in range(20):
            assert studio.runtime is not None
            studio.runtime.run_once(0.05)
        assert decisions(studio) == []
        copy.write(data[len(data) // 2 :])
    studio.until_idle()
    assert studio.folders() == {"graded": ["acme/hero.png", "acme/hero.toml"]}


def test_review_goes_on_from_the_folders_alone(studio: Studio) -> None:
    """The journal is lost while a picture waits. The brief beside it holds everything."""
    drop(studio)
    studio.until_idle()
    studio.stop()
    shutil.rmtree(studio.state_dir)
    drag(studio, "review/acme/hero.png", "review/approve/hero.png")
    studio.until_idle()
    assert studio.folders() == {"graded": ["acme/hero.png", "acme/hero.toml"]}


def test_the_pipeline_can_ask_for_a_review_of_every_result_of_a_stage(studio: Studio) -> None:
    """review = true in the row of a stage holds also a picture with a mask alone; approved, it waits in the next folder."""
    path = studio.root / "config" / "pipeline.toml"
    path.write_text(path.read_text().replace('folder = "selected"', 'folder = "selected"\nreview = true').replace("inpaint", "erase", 0))
    drop(studio, brief=BRIEF.replace('review = ["edit"]\n', "").split("[[grade]]")[0])
    studio.until_idle()
    assert studio.folders() == {"review": [f"acme/{name}" for name in WAITING]}
    drag(studio, "review/acme/hero.png", "review/approve/hero.png")
    studio.until_idle()
    assert studio.folders() == {"masked": ["acme/hero.png", "acme/hero.toml"]}


def test_a_campaign_with_the_name_of_a_tray_is_held(studio: Studio) -> None:
    """Its results would lie in a tray at once, so a note asks for another name."""
    drop(studio, campaign="approve")
    studio.until_idle()
    assert "has the name of a tray" in studio.note("selected/approve/hero.png")


def test_a_picture_of_a_person_in_review_is_left_alone(studio: Studio) -> None:
    """It is no result of Goldsmith's, and `why` says where to put it."""
    studio.put("review/own.png", picture())
    studio.put("review/own.toml", BRIEF)
    studio.until_idle()
    assert studio.folder("review") == ["own.png", "own.toml"]
    assert "holds results that wait for a person" in why(studio, "review/own.png")


def test_a_picture_in_again_is_made_anew_with_the_next_seed(studio: Studio) -> None:
    """The original comes back with its mask, the same steps run on it, and the new result waits as the next version."""
    drop(studio, brief=f"seed = 7\n{BRIEF}")
    studio.until_idle()
    drag(studio, "review/acme/hero.png", "review/again/hero.png")
    studio.until_idle()
    assert studio.folders() == {"review": [f"acme/{name.replace('hero', 'hero_v002')}" for name in WAITING]}
    assert studio.read("review/acme/hero_v002.review.before.png") == picture()
    edits = [row for row in studio.history() if row.stage == "edit"]
    assert [row.record["seed"] for row in edits] == [7, 8]
    assert edits[0].record["inputs"][0]["sha256"] == edits[1].record["inputs"][0]["sha256"]  # type: ignore[call-overload, index]
    (row,) = decisions(studio)
    assert row.record["review"] == {"decision": "again", "of": "edit", "result_of": edits[0].job_id}
    drag(studio, "review/acme/hero_v002.png", "review/approve/hero_v002.png")
    studio.until_idle()
    assert studio.folder("review") == []
    lineage = studio.journal.lineage(studio.history()[-1].job_id)
    assert [(each.stage, each.record["seed"]) for each in lineage if each.stage == "edit"] == [("edit", 8)]


def test_a_mask_that_was_painted_over_before_again_is_used(studio: Studio) -> None:
    """The new result changes under the new mask and nowhere else."""
    drop(studio)
    studio.until_idle()
    other = np.zeros((48, 64), np.float32)
    other[30:40, 30:50] = 1
    studio.put("review/acme/hero.review.before.mask.png", png(other))
    drag(studio, "review/acme/hero.png", "review/again/hero.png")
    studio.until_idle()
    before, after = (decode(data, "hero.png", 10**6).pixels for data in (picture(), studio.read("review/acme/hero_v002.png")))
    changed = np.abs(before - after).max(axis=2) > 0
    assert changed[30:40, 30:50].all()
    assert not changed[:29].any()


def test_a_picture_whose_original_is_gone_cannot_be_made_again(studio: Studio) -> None:
    """A note names the missing file; the result stays in the tray."""
    drop(studio)
    studio.until_idle()
    studio.at("review/acme/hero.review.before.png").unlink()
    drag(studio, "review/acme/hero.png", "review/again/hero.png")
    studio.until_idle()
    assert "cannot be made again: its original, “hero.review.before.png”, is not beside it" in studio.note("review/again/hero.png")
