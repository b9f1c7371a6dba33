"""select with ask = true: candidates wait in review/ with their sheet, and a person picks by dragging."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from doubles import tiny
from doubles.commission import PIPELINE
from doubles.studio import Studio, studio_at
from goldsmith.picture.codec import decode

BRIEF = """\
prompt = "a red chair"
seed = {seed}
[[generate]]
op = "regenerate"
steps = 1
candidates = {count}
[[generate]]
op = "select"
ask = true
keep = {keep}
"""


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Yield one daemon for all tests, since importing the libraries takes most of the time."""
    folder = tmp_path_factory.mktemp("studio")
    with studio_at(folder, models_dir=str(folder / "models")) as studio:
        studio.write_pipeline(PIPELINE)
        studio.put("config/models.toml", tiny.models_toml({"sdxl": "sdxl"}))
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
