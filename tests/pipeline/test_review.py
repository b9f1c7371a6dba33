"""Results wait in review/ until a person has dragged them into a tray, or straight into the next folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from doubles.attached import attached, make
from doubles.jobs import png
from doubles.studio import Studio, studio_at
from goldsmith.cli.location import open_location
from goldsmith.jobs.job import BY_HAND
from goldsmith.journal.records import HistoryRow
from goldsmith.picture.codec import EncodingOptions, decode, encode

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
# A step that changes nothing, so that the result is the picture itself.
NEUTRAL = 'review = ["edit"]\n[[edit]]\nop = "grade"\nwhere = "mask"\nexposure = 0.0\n'
WAITING = ["hero.png", "hero.review.before.mask.png", "hero.review.before.png", "hero.review.jpg", "hero.toml"]


class Desk:
    """A campaign and the name of a picture that only one test uses, in the daemon that all tests share.

    Tests write “acme”, “beta” and “hero”; files and history of other tests are not seen.
    """

    def __init__(self, studio: Studio, number: int) -> None:
        self._studio = studio
        self._words = {"acme": f"acme{number:02d}", "beta": f"beta{number:02d}", "hero": f"hero{number:02d}"}

    def own(self, text: str) -> str:
        """Return a text with the names of this test."""
        for word, own_word in self._words.items():
            text = text.replace(word, own_word)
        return text

    def plain(self, text: str) -> str:
        for word, own_word in self._words.items():
            text = text.replace(own_word, word)
        return text

    def put(self, path: str, data: bytes | str) -> None:
        self._studio.put(self.own(path), data)

    def at(self, path: str) -> Path:
        return self._studio.at(self.own(path))

    def read(self, path: str) -> bytes:
        return self.at(path).read_bytes()

    def note(self, picture: str) -> str:
        return self.plain(self._studio.note(self.own(picture)))

    def folder(self, name: str) -> list[str]:
        return self._mine(self._studio.folder(self.own(name)))

    def folders(self) -> dict[str, list[str]]:
        mine = {folder: self._mine(names) for folder, names in self._studio.folders().items()}
        return {folder: names for folder, names in mine.items() if names}

    def archived(self) -> list[str]:
        return self._mine(self._studio.archived())

    def history(self) -> list[HistoryRow]:
        return [row for row in self._studio.history() if self._words["hero"] in row.path]

    def lineage(self, job_id: str) -> list[HistoryRow]:
        return self._studio.journal.lineage(job_id)

    def until_idle(self) -> None:
        self._studio.until_idle()

    def until(self, done: Callable[[], object], reason: str) -> None:
        self._studio.until(done, reason)

    def run_once(self) -> None:
        assert self._studio.runtime is not None
        self._studio.runtime.run_once(0.05)

    def why(self, path: str) -> str:
        with open_location(self._studio.root, None) as location:
            return self.plain(location.explain().explain_file(self.own(path)))

    def _mine(self, names: list[str]) -> list[str]:
        return [self.plain(name) for name in names if any(own_word in name for own_word in self._words.values())]


@pytest.fixture(scope="module")
def shared_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Yield one daemon for the tests that do not end it: its start takes most of the time of a test."""
    with studio_at(tmp_path_factory.mktemp("studio"), quiet=0.1) as studio, pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOLDSMITH_QUIET", "0.1")
        patch.setenv("GOLDSMITH_STATE_DIR", str(studio.state_dir))
        yield studio


_NUMBERS = count(10)


@pytest.fixture
def desk(shared_studio: Studio) -> Desk:
    return Desk(shared_studio, next(_NUMBERS))


def picture(value: int = 100) -> bytes:
    down, across = np.mgrid[0:48, 0:64]
    return png(np.stack([down * 2 + value, across + 40, down + across], axis=2).astype(np.float32) / 255)


def mask() -> bytes:
    white = np.zeros((48, 64), np.float32)
    white[8:24, 8:24] = 1
    return png(white)


def drop(desk: Desk, campaign: str = "acme", stem: str = "hero", brief: str = BRIEF) -> None:
    folder = f"selected/{campaign}".rstrip("/")
    desk.put(f"{folder}/{stem}.mask.png", mask())
    desk.put(f"{folder}/{stem}.toml", brief)
    desk.put(f"{folder}/{stem}.png", picture())


def drag(desk: Desk, source: str, target: str) -> None:
    desk.at(target).parent.mkdir(parents=True, exist_ok=True)
    os.rename(desk.at(source), desk.at(target))


def decision_of(row: HistoryRow) -> str:
    review = row.record.get("review")
    return str(review["decision"]) if isinstance(review, dict) else ""


def decisions(desk: Desk) -> list[HistoryRow]:
    return [row for row in desk.history() if row.stage == "review"]


def test_a_result_waits_with_its_sheet_and_the_sentence_says_for_whom(desk: Desk) -> None:
    """The result of edit lies in review/, in its campaign, with what it was made from; status, why and the folder's file say the same."""
    drop(desk)
    desk.until_idle()
    assert desk.folders() == {"review": [f"acme/{name}" for name in WAITING]}
    assert desk.read("review/acme/hero.review.before.png") == picture()
    assert desk.read("review/acme/hero.review.before.mask.png") == mask()
    sheet = decode(desk.read("review/acme/hero.review.jpg"), "sheet", 10**8)
    assert sheet.width == 2000
    desk.until(lambda: "Waits for your eye" in desk.read("review/_status.txt").decode(), "the folder's file")
    sentence = desk.why("review/acme/hero.png")
    assert sentence.startswith("Waits for your eye since ")
    assert "Drag it into review/approve" in sentence


def test_a_picture_in_approve_goes_on_with_its_brief(desk: Desk) -> None:
    """Only the picture is dragged: campaign and brief follow from what it has left behind, and the next stages run."""
    drop(desk)
    desk.until_idle()
    waited = desk.read("review/acme/hero.png")
    drag(desk, "review/acme/hero.png", "review/approve/hero.png")
    desk.until_idle()
    assert desk.folders() == {"graded": ["acme/hero.png", "acme/hero.toml"]}
    assert "in_review" not in desk.read("graded/acme/hero.toml").decode()
    archive = {f"review/acme/{name}" for name in WAITING if name != "hero.png"} | {"masked/acme/hero.png"}
    assert archive <= set(desk.archived())
    day = desk.folder("archive")[0].partition("/")[0]
    assert desk.read(f"archive/{day}/masked/acme/hero.png") == waited
    (row,) = decisions(desk)
    assert row.record["review"] == {"decision": "approve", "of": "edit", "result_of": row.parent_job_id}
    assert [each.stage for each in desk.lineage(desk.history()[-1].job_id)] == ["edit", "review", "grade"]


def test_everything_of_a_picture_can_be_dragged_together(desk: Desk) -> None:
    """Picture, brief and copies lie in the tray; nothing is left in the picture's old place."""
    drop(desk, campaign="")
    desk.until_idle()
    for name in WAITING:
        drag(desk, f"review/{name}", f"review/approve/{name}")
    desk.until_idle()
    assert desk.folders() == {"graded": ["hero.png", "hero.toml"]}


def test_a_whole_campaign_folder_can_be_dragged(desk: Desk) -> None:
    """The folder keeps its name in the tray, so the campaign is kept."""
    drop(desk)
    desk.until_idle()
    drag(desk, "review/acme", "review/approve/acme")
    desk.until_idle()
    assert desk.folders() == {"graded": ["acme/hero.png", "acme/hero.toml"]}


def test_a_picture_in_reject_goes_to_the_archive_with_the_reasons(desk: Desk) -> None:
    """Nothing of it moves on, and the record has the words of the hero.txt."""
    drop(desk)
    desk.until_idle()
    desk.put("review/reject/hero.txt", "the hand has six fingers")
    drag(desk, "review/acme/hero.png", "review/reject/hero.png")
    desk.until_idle()
    assert desk.folders() == {}
    assert {"review/reject/hero.png", "review/reject/hero.txt", "review/acme/hero.toml"} <= set(desk.archived())
    (row,) = decisions(desk)
    assert (row.outcome, row.results) == ("rejected", ())
    assert row.record["review"] == {
        "decision": "reject", "of": "edit", "remark": "the hand has six fingers", "result_of": row.parent_job_id
    }  # fmt: skip


def test_a_picture_that_was_dragged_straight_into_the_next_folder_is_approved(desk: Desk) -> None:
    """Its brief follows it to the place where it was put."""
    drop(desk)
    desk.until_idle()
    drag(desk, "review/acme/hero.png", "masked/hero.png")
    desk.until_idle()
    assert desk.folders() == {"graded": ["hero.png", "hero.toml"]}
    assert decisions(desk)[0].record["review"] == {"decision": "approve", "of": "edit"} | {
        key: value for key, value in dict(decisions(desk)[0].record["review"]).items() if key == "result_of"
    }  # type: ignore[call-overload]


def test_an_older_picture_of_that_name_in_the_next_folder_approves_nothing(desk: Desk) -> None:
    """A person has taken the picture away, and a picture of another size lies in masked/."""
    desk.put("masked/acme/hero.png", picture(7)[:-1] + b"x" * 50)
    drop(desk)
    desk.until_idle()
    drag(desk, "review/acme/hero.png", "elsewhere.png")
    desk.until_idle()
    assert desk.folder("masked") == ["acme/hero.png"]
    assert "has left review/" in desk.why("review/acme/hero.toml")


def test_work_by_hand_still_waits_and_goes_on_as_the_hand_has_left_it(desk: Desk) -> None:
    """The picture is saved over in an editor: it stays. Approved, its bytes go on, they are kept, and the record says so."""
    drop(desk)
    desk.until_idle()
    by_hand = picture(33)
    desk.put("review/acme/hero.png", by_hand)
    desk.until_idle()
    assert desk.folders() == {"review": [f"acme/{name}" for name in WAITING]}
    drag(desk, "review/acme/hero.png", "review/approve/hero.png")
    desk.until_idle()
    (row,) = decisions(desk)
    assert [each.stage for each in desk.lineage(row.job_id)] == ["edit", BY_HAND, "review"]
    day = desk.folder("archive")[0].partition("/")[0]
    assert desk.read(f"archive/{day}/masked/acme/hero.png") == by_hand


def test_a_picture_that_was_copied_into_approve_goes_on_once(desk: Desk) -> None:
    """The original of the copy goes to the archive, so nothing waits twice."""
    drop(desk)
    desk.until_idle()
    shutil.copyfile(desk.at("review/acme/hero.png"), desk.at("review/approve/hero.png"))
    desk.until_idle()
    assert desk.folders() == {"graded": ["acme/hero.png", "acme/hero.toml"]}


def test_a_picture_in_two_trays_waits_with_a_note(desk: Desk) -> None:
    """Two people have dragged copies: nobody is overruled. Once one of them is taken away, the other counts."""
    drop(desk)
    desk.until_idle()
    shutil.copyfile(desk.at("review/acme/hero.png"), desk.at("review/reject/hero.png"))
    drag(desk, "review/acme/hero.png", "review/approve/hero.png")
    desk.until_idle()
    assert "lies in review/approve and in review/reject: leave it in one of them." in desk.note("review/approve/hero.png")
    assert decisions(desk) == []
    desk.at("review/reject/hero.png").unlink()
    desk.until_idle()
    assert desk.folder("graded") == ["acme/hero.png", "acme/hero.toml"]
    assert desk.folder("review") == []


def test_two_campaigns_with_a_picture_of_one_name_are_told_apart_by_a_folder_in_the_tray(desk: Desk) -> None:
    """Both pictures have left their places, so the name alone does not tell which is meant."""
    for campaign in ("acme", "beta"):
        drop(desk, campaign)
    desk.until_idle()
    drag(desk, "review/acme/hero.png", "review/approve/hero.png")
    drag(desk, "review/beta/hero.png", "elsewhere.png")
    desk.until_idle()
    assert "Pictures called “hero” wait in acme/ and in beta/" in desk.note("review/approve/hero.png")
    drag(desk, "review/approve/hero.png", "review/approve/acme/hero.png")
    desk.until_idle()
    assert desk.folder("graded") == ["acme/hero.png", "acme/hero.toml"]
    assert "beta/hero.toml" in desk.folder("review")


def test_a_renamed_picture_is_known_again_by_its_bytes(desk: Desk) -> None:
    """It gets its name back and goes on, with its campaign and its brief; the chain has no gap."""
    drop(desk)
    desk.until_idle()
    waited = desk.read("review/acme/hero.png")
    drag(desk, "review/acme/hero.png", "review/approve/better hero.png")
    desk.until_idle()
    assert desk.folders() == {"graded": ["acme/hero.png", "acme/hero.toml"]}
    assert waited == desk.read(next(f"archive/{path}" for path in desk.folder("archive") if path.endswith("masked/acme/hero.png")))
    chain = desk.lineage(desk.history()[-1].job_id)
    assert [(each.stage, decision_of(each)) for each in chain] == [("edit", ""), ("review", "name"), ("review", "approve"), ("grade", "")]


def test_a_renamed_picture_that_an_editor_has_changed_is_known_again_by_its_id(desk: Desk) -> None:
    """The editor keeps the metadata; what it has painted is on record as work by hand."""
    drop(desk)
    desk.until_idle()
    waited = decode(desk.read("review/acme/hero.png"), "hero.png", 10**6)
    retouched = encode(waited.with_pixels(np.clip(waited.pixels + np.float32(0.1), 0, 1)), EncodingOptions(format="png", depth=8))
    desk.at("review/acme/hero.png").unlink()
    desk.put("review/approve/hero retouched.png", retouched)
    desk.until_idle()
    assert desk.folders() == {"graded": ["acme/hero.png", "acme/hero.toml"]}
    chain = desk.lineage(desk.history()[-1].job_id)
    assert [each.stage for each in chain] == ["edit", BY_HAND, "review", "review", "grade"]


def test_a_picture_in_a_tray_that_nobody_knows_is_held(desk: Desk) -> None:
    """A note says what is missing, and `why` says the same; under its right name the picture goes on."""
    drop(desk)
    desk.until_idle()
    desk.at("review/acme/hero.png").unlink()
    desk.put("review/approve/another hero.png", picture(55))
    desk.until_idle()
    sentence = "Nothing called “another hero” waits in review/, and no result that waits there has the bytes or the id of this picture."
    assert sentence in desk.note("review/approve/another hero.png")
    assert sentence in desk.why("review/approve/another hero.png")
    drag(desk, "review/approve/another hero.png", "review/approve/hero.png")
    desk.until_idle()
    assert desk.folder("graded") == ["acme/hero.png", "acme/hero.toml"]


def test_a_renamed_copy_of_two_equal_results_is_not_guessed(desk: Desk) -> None:
    """Two results with the same bytes wait, and both have left: the note names both."""
    for stem in ("hero", "heroine"):
        drop(desk, stem=stem, brief=NEUTRAL)
    desk.until_idle()
    assert desk.read("review/acme/hero.png") == desk.read("review/acme/heroine.png")
    desk.at("review/acme/heroine.png").unlink()
    drag(desk, "review/acme/hero.png", "review/approve/one hero.png")
    desk.until_idle()
    note = desk.note("review/approve/one hero.png")
    assert "may be" in note
    assert "review/acme/hero.png" in note
    assert "review/acme/heroine.png" in note


@pytest.mark.parametrize("name", [".hero.png", "hero.png.part", "hero.png~", "~$hero.png", "hero.tmp"])
def test_temporary_files_in_a_tray_decide_nothing(desk: Desk, name: str) -> None:
    """The result waits in its place, whatever programs write beside the trays' pictures."""
    drop(desk)
    desk.until_idle()
    desk.put(f"review/approve/{name}", picture())
    desk.until_idle()
    assert set(WAITING) <= {os.path.basename(path) for path in desk.folder("review/acme")}
    assert decisions(desk) == []


def test_a_copy_that_is_still_being_written_decides_nothing(desk: Desk) -> None:
    """A program writes the copy into the tray piece by piece: it is approved when it is whole."""
    drop(desk)
    desk.until_idle()
    data = desk.read("review/acme/hero.png")
    with desk.at("review/approve/hero.png").open("wb") as copy:
        copy.write(data[: len(data) // 2])
        copy.flush()
        for _ in range(20):
            desk.run_once()
        assert decisions(desk) == []
        copy.write(data[len(data) // 2 :])
    desk.until_idle()
    assert desk.folders() == {"graded": ["acme/hero.png", "acme/hero.toml"]}


def test_review_goes_on_from_the_folders_alone(tmp_path: Path) -> None:
    """The journal is lost while a picture waits. The brief beside it holds everything."""
    with studio_at(tmp_path, quiet=0.1) as studio:
        desk = Desk(studio, 1)
        drop(desk)
        desk.until_idle()
        studio.stop()
        shutil.rmtree(studio.state_dir)
        drag(desk, "review/acme/hero.png", "review/approve/hero.png")
        desk.until_idle()
        assert desk.folders() == {"graded": ["acme/hero.png", "acme/hero.toml"]}


def test_the_pipeline_can_ask_for_a_review_of_every_result_of_a_stage(tmp_path: Path) -> None:
    """review = true in the row of a stage holds also a picture with a mask alone; approved, it waits in the next folder."""
    with studio_at(tmp_path, quiet=0.1) as studio:
        path = studio.root / "config" / "pipeline.toml"
        path.write_text(path.read_text().replace('folder = "selected"', 'folder = "selected"\nreview = true'))
        desk = Desk(studio, 1)
        drop(desk, brief=BRIEF.replace('review = ["edit"]\n', "").split("[[grade]]")[0])
        desk.until_idle()
        assert desk.folders() == {"review": [f"acme/{name}" for name in WAITING]}
        drag(desk, "review/acme/hero.png", "review/approve/hero.png")
        desk.until_idle()
        assert desk.folders() == {"masked": ["acme/hero.png", "acme/hero.toml"]}


def test_a_campaign_with_the_name_of_a_tray_is_held(desk: Desk) -> None:
    """Its results would lie in a tray at once, so a note asks for another name."""
    drop(desk, campaign="approve")
    desk.until_idle()
    assert "has the name of a tray" in desk.note("selected/approve/hero.png")


def test_a_picture_of_a_person_in_review_is_left_alone(desk: Desk) -> None:
    """It is no result of Goldsmith's, and `why` says where to put it."""
    desk.put("review/hero.png", picture())
    desk.put("review/hero.toml", BRIEF)
    desk.until_idle()
    assert desk.folder("review") == ["hero.png", "hero.toml"]
    assert "holds results that wait for a person" in desk.why("review/hero.png")


def test_a_picture_in_again_is_made_anew_with_the_next_seed(desk: Desk) -> None:
    """The original comes back with its mask, the same steps run on it, and the new result waits as the next version."""
    drop(desk, brief=f"seed = 7\n{BRIEF}")
    desk.until_idle()
    drag(desk, "review/acme/hero.png", "review/again/hero.png")
    desk.until_idle()
    assert desk.folders() == {"review": [f"acme/{name.replace('hero', 'hero_v002')}" for name in WAITING]}
    assert desk.read("review/acme/hero_v002.review.before.png") == picture()
    edits = [row for row in desk.history() if row.stage == "edit"]
    assert [row.record["seed"] for row in edits] == [7, 8]
    assert edits[0].record["inputs"][0]["sha256"] == edits[1].record["inputs"][0]["sha256"]  # type: ignore[call-overload, index]
    (row,) = decisions(desk)
    assert row.record["review"] == {"decision": "again", "of": "edit", "result_of": edits[0].job_id}
    drag(desk, "review/acme/hero_v002.png", "review/approve/hero_v002.png")
    desk.until_idle()
    assert desk.folder("review") == []
    lineage = desk.lineage(desk.history()[-1].job_id)
    assert [(each.stage, each.record["seed"]) for each in lineage if each.stage == "edit"] == [("edit", 8)]


def test_a_mask_that_was_painted_over_before_again_is_used(desk: Desk) -> None:
    """The new result changes under the new mask and nowhere else."""
    drop(desk)
    desk.until_idle()
    other = np.zeros((48, 64), np.float32)
    other[30:40, 30:50] = 1
    desk.put("review/acme/hero.review.before.mask.png", png(other))
    drag(desk, "review/acme/hero.png", "review/again/hero.png")
    desk.until_idle()
    before, after = (decode(data, "hero.png", 10**6).pixels for data in (picture(), desk.read("review/acme/hero_v002.png")))
    changed = np.abs(before - after).max(axis=2) > 0
    assert changed[30:40, 30:50].all()
    assert not changed[:29].any()


def test_a_picture_whose_original_is_gone_cannot_be_made_again(desk: Desk) -> None:
    """A note names the missing file; the result stays in the tray."""
    drop(desk)
    desk.until_idle()
    desk.at("review/acme/hero.review.before.png").unlink()
    drag(desk, "review/acme/hero.png", "review/again/hero.png")
    desk.until_idle()
    assert "cannot be made again: its original, “hero.review.before.png”, is not beside it" in desk.note("review/again/hero.png")


def test_a_tray_can_be_a_mount_of_its_own(tmp_path: Path) -> None:
    """The picture is copied out of the tray, and every byte of it goes on."""
    with studio_at(tmp_path, quiet=0.1) as studio, attached("--bind", make(tmp_path / "other"), make(studio.at("review/approve"))):
        desk = Desk(studio, 1)
        drop(desk)
        desk.until_idle()
        waited = desk.read("review/acme/hero.png")
        shutil.move(desk.at("review/acme/hero.png"), desk.at("review/approve/hero.png"))
        desk.until_idle()
        assert desk.folders() == {"graded": ["acme/hero.png", "acme/hero.toml"]}
        assert waited == desk.read(next(f"archive/{path}" for path in desk.folder("archive") if path.endswith("masked/acme/hero.png")))
