"""select with ask = true: candidates wait in review/ with their sheet, and a person picks by dragging."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

from doubles.commission import PIPELINE
from doubles.deliveries import Delivery
from doubles.gated_generator import null_models
from doubles.jobs import png
from doubles.studio import Studio, studio_at
from goldsmith.picture.codec import decode

BRIEF = """\
prompt = "a red chair"
seed = {seed}
[[generate]]
op = "regenerate"
model = "one"
candidates = {count}
[[generate]]
op = "select"
ask = true
keep = {keep}
"""


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Yield one daemon for all tests, with a generator that needs no weights."""
    with studio_at(tmp_path_factory.mktemp("studio"), quiet=0.1) as studio:
        studio.write_pipeline(PIPELINE)
        studio.put("config/models.toml", null_models("one"))
        yield studio


def drop(studio: Studio, stem: str, *, count: int = 4, keep: int = 1, seed: int = 7) -> None:
    studio.put(f"inbox/acme/{stem}.toml", BRIEF.format(count=count, keep=keep, seed=seed))
    studio.until_idle()


def drag(studio: Studio, stem: str, number: int, tray: str) -> None:
    name = f"{stem}_candidate{number:03d}.png"
    os.rename(studio.at(f"review/acme/{name}"), studio.at(f"review/{tray}/{name}"))


def waiting(studio: Studio, stem: str) -> list[str]:
    return [name.removeprefix(f"acme/{stem}") for name in studio.folder("review") if stem in name]


def names(folder: list[str], stem: str) -> list[str]:
    return [name for name in folder if stem in name]


def test_the_candidate_that_is_dragged_into_approve_goes_on_and_the_others_go_to_the_archive(studio: Studio) -> None:
    """All wait beside one brief and one sheet; picture, seed and score of each are on record."""
    drop(studio, "one")
    assert waiting(studio, "one") == [".candidates.jpg", ".toml", *(f"_candidate{number:03d}.png" for number in (1, 2, 3, 4))]
    assert decode(studio.read("review/acme/one.candidates.jpg"), "sheet", 10**8).width > 400
    picked = studio.read("review/acme/one_candidate003.png")
    drag(studio, "one", 3, "approve")
    studio.until_idle()
    assert names(studio.folder("selected"), "one") == ["acme/one_candidate003.png", "acme/one_candidate003.toml"]
    assert studio.read("selected/acme/one_candidate003.png") == picked
    assert waiting(studio, "one") == []
    assert {f"review/acme/one_candidate{number:03d}.png" for number in (1, 2, 4)} < set(studio.archived())
    row = next(row for row in studio.history() if row.stage == "review" and "one" in row.path)
    assert [each.stage for each in studio.journal.lineage(row.job_id)] == ["generate", "review"]


def test_two_that_are_dragged_at_once_both_go_on(studio: Studio) -> None:
    """The last of them takes the rest of the set to the archive."""
    drop(studio, "two", count=3)
    for number in (1, 3):
        drag(studio, "two", number, "approve")
    studio.until_idle()
    assert names(studio.folder("selected"), "two") == [
        *("acme/two_candidate001.png", "acme/two_candidate001.toml", "acme/two_candidate003.png", "acme/two_candidate003.toml")
    ]
    assert waiting(studio, "two") == []


def test_with_keep_the_others_wait_until_the_sheet_is_moved(studio: Studio) -> None:
    """One is rejected, two are approved one after the other; then the sheet goes into a tray."""
    drop(studio, "keep", keep=2)
    drag(studio, "keep", 4, "reject")
    studio.until_idle()
    for number in (2, 1):
        drag(studio, "keep", number, "approve")
        studio.until_idle()
    assert waiting(studio, "keep") == [".candidates.jpg", ".toml", "_candidate003.png"]
    os.rename(studio.at("review/acme/keep.candidates.jpg"), studio.at("review/reject/keep.candidates.jpg"))
    studio.until_idle()
    assert waiting(studio, "keep") == []
    assert [name for name in names(studio.folder("selected"), "keep") if name.endswith("png")] == [
        *("acme/keep_candidate001.png", "acme/keep_candidate002.png")
    ]


def test_a_candidate_in_again_has_all_made_anew(studio: Studio) -> None:
    """The next set has another seed and lies there as the next version; the first one is in the archive."""
    drop(studio, "anew", count=2)
    first = studio.read("review/acme/anew_candidate001.png")
    drag(studio, "anew", 2, "again")
    studio.until_idle()
    assert waiting(studio, "anew") == [*("_v002.candidates.jpg", "_v002.toml", "_v002_candidate001.png", "_v002_candidate002.png")]
    assert studio.read("review/acme/anew_v002_candidate001.png") != first


def test_one_picture_alone_waits_like_any_result(studio: Studio) -> None:
    """There is nothing to pick among, so it is approved or not."""
    drop(studio, "single", count=1)
    assert waiting(studio, "single") == [".png", ".review.jpg", ".toml"]


@pytest.mark.parametrize(("stem", "count"), [("pair", 2), pytest.param("crowd", 100, marks=pytest.mark.soak)])
def test_a_pick_among_few_and_many_is_complete(studio: Studio, stem: str, count: int) -> None:
    """All candidates wait, the last one is picked, and every other one is in the archive once."""
    drop(studio, stem, count=count)
    assert len([name for name in waiting(studio, stem) if name.startswith("_candidate")]) == count
    drag(studio, stem, count, "approve")
    studio.until_idle()
    assert names(studio.folder("selected"), stem) == [f"acme/{stem}_candidate{count:03d}.{suffix}" for suffix in ("png", "toml")]
    assert waiting(studio, stem) == []
    others = [f"review/acme/{stem}_candidate{number:03d}.png" for number in range(1, count)]
    assert [path for path in studio.archived() if path in others] == sorted(others)


def test_a_renamed_candidate_is_known_again(studio: Studio) -> None:
    """It gets the number back that it has on the sheet, and the set follows."""
    drop(studio, "other", count=3)
    os.rename(studio.at("review/acme/other_candidate002.png"), studio.at("review/approve/the best one.png"))
    studio.until_idle()
    assert names(studio.folder("selected"), "other") == ["acme/other_candidate002.png", "acme/other_candidate002.toml"]
    assert waiting(studio, "other") == []


def test_a_picked_candidate_whose_mask_and_result_were_reviewed_is_replayed(studio: Studio) -> None:
    """The chain goes through a pick, a painted mask and an approved result to the delivery; made again, every byte is the same."""
    steps = '[[edit]]\nop = "grade"\nwhere = "top"\nexposure = 0.5\n[[deliver]]\nop = "export"\nname = "web"\nformat = "jpeg"\n'
    brief = BRIEF.format(count=3, keep=1, seed=5)
    studio.put("inbox/acme/whole.toml", f'review = ["edit.mask", "edit"]\n{brief}{steps}')
    studio.until_idle()
    drag(studio, "whole", 2, "approve")
    studio.until_idle()
    painted_mask = np.zeros((64, 64), np.float32)
    painted_mask[5:20, 30:50] = 1
    studio.put("review/acme/whole_candidate002.mask.png", png(painted_mask))
    drag(studio, "whole", 2, "approve")
    studio.until_idle()
    (result,) = [name for name in studio.folder("review") if name.startswith("acme/whole") and name.endswith(".review.jpg")]
    stem = result.removesuffix(".review.jpg")
    os.rename(studio.at(f"review/{stem}.png"), studio.at(f"review/approve/{stem.removeprefix('acme/')}.png"))
    studio.until_idle()
    (manifest,) = [name for name in studio.folder("delivered") if name.endswith(".manifest.json")]
    stages = [stage["stage"] for stage in studio.manifest(f"delivered/{manifest}")["stages"]]
    assert stages == ["generate", "review", "edit", "review", "edit", "review", "grade", "deliver"]
    report = Delivery(studio.root, f"delivered/{manifest}").again()
    assert {each.file: each.verdict for each in report.deliverables} == {f"{stem.removeprefix('acme/')}_web.jpg": "identical"}
