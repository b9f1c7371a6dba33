"""A brief without a picture, through the folders: it becomes a picture, once, and never where its picture was on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.commission import EXPORT, GRADE, LINE
from doubles.pictures import mask, png
from doubles.studio import Studio, studio_at
from goldsmith.files import Filesystem, PathAt

BRIEF = 'prompt = "a red chair"\n[[generate]]\nop = "regenerate"\nmodel = "null-generate"\n'
MANY = BRIEF + "candidates = 4\n"


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path) as made:
        made.line(LINE)
        yield made


def done(studio: Studio) -> list[str]:
    """What history says was worked on in the first stage."""
    return [row.path for row in studio.history() if row.stage == "generate" and row.outcome == "passed"]


def test_a_brief_alone_becomes_a_picture(studio: Studio) -> None:
    """It goes to the archive, the resolved one travels on, and history is about the brief."""
    studio.put("inbox/acme/hero.toml", BRIEF)
    studio.until_idle()
    assert studio.folders() == {"selected": ["acme/hero.png", "acme/hero.toml"]}
    assert studio.archived() == ["inbox/acme/hero.toml"]
    (row,) = studio.history()
    assert (row.path, row.results) == ("inbox/acme/hero.toml", ("selected/acme/hero.png", "selected/acme/hero.toml"))
    assert studio.read("archive/" + next(path for path in studio.folder("archive") if path.endswith(".toml"))) == BRIEF.encode()
    assert b"resolved = true" in studio.read("selected/acme/hero.toml")


def test_of_several_candidates_one_goes_on_and_the_rest_lie_in_the_archive(studio: Studio) -> None:
    """With their sheet, and in the record with seed, score, hash and place, all the way into the manifest."""
    studio.put("inbox/hero.toml", MANY + GRADE + EXPORT)
    studio.until_idle()
    assert studio.folders() == {"delivered": ["hero.manifest.json", "hero_print.png", "hero_web.jpg"]}
    aside = [path for path in studio.archived() if "candidate" in path]
    assert len([path for path in aside if path.endswith(".png")]) == 3
    assert "inbox/hero_candidates.jpg" in aside
    first = studio.manifest("delivered/hero.manifest.json")["stages"][0]
    assert [step["op"] for step in first["steps"]] == ["regenerate", "select"]
    assert {studio.at(one["archived"]).exists() for one in first["archive_only"]} == {True}
    assert [set(one) >= {"number", "seed", "score", "sha256"} for one in first["archive_only"]] == [True, True, True, False]
    assert first["picture"]["path"] == "inbox/hero.toml"


def test_dropped_again_it_is_the_next_version(studio: Studio) -> None:
    """Nothing is overwritten, and what lies aside neither."""
    for _ in range(2):
        studio.put("inbox/hero.toml", MANY)
        studio.until_idle()
    assert studio.folder("selected") == ["hero.png", "hero.toml", "hero_v002.png", "hero_v002.toml"]
    assert studio.read("selected/hero.png") == studio.read("selected/hero_v002.png")
    assert "inbox/hero_candidates~2.jpg" in studio.archived()


def test_a_picture_that_comes_soon_after_is_begun_from(tmp_path: Path) -> None:
    """Within the gathering time nothing is made from words."""
    with studio_at(tmp_path, gather=5) as studio:
        studio.line(LINE)
        studio.put("inbox/hero.toml", BRIEF)
        studio.until(lambda: studio.works is not None and studio.works.intake.is_followed("inbox/hero.toml"))
        studio.put("inbox/hero.png", png())
        studio.until_heard("committed")
        assert done(studio) == ["inbox/hero.png"]
        assert not studio.heard("started", picture="inbox/hero.toml")


def test_a_picture_that_comes_while_the_brief_is_at_work_starts_it_afresh(studio: Studio) -> None:
    """What was made from words is thrown away: one result, made of the picture, and every input in the archive once."""
    studio.put("inbox/hero.toml", BRIEF)
    studio.until_heard("started", picture="inbox/hero.toml")
    studio.put("inbox/hero.png", png())
    studio.until_idle()
    assert done(studio) == ["inbox/hero.png"]
    assert studio.folders() == {"selected": ["hero.png", "hero.toml"]}
    assert studio.archived() == ["inbox/hero.png", "inbox/hero.toml"]


class Late(Filesystem):
    """Somebody puts a file down in the instant before a brief is taken away."""

    def __init__(self, studio: Studio, path: str, data: bytes) -> None:
        self.studio, self.path, self.data = studio, path, data
        self.came = 0

    def rename_noreplace(self, source: PathAt, target: PathAt) -> None:
        if source.name == "hero.toml" and not self.came:
            self.came += 1
            self.studio.put(self.path, self.data)
        super().rename_noreplace(source, target)


@pytest.mark.parametrize("beside", ["hero.png", "hero.ref.png"])
def test_what_comes_between_the_last_look_and_the_commit_starts_it_afresh(studio: Studio, beside: str) -> None:
    """The finished picture was made without it and is thrown away; one result, with it, and every input in the archive once."""
    late = Late(studio, f"inbox/{beside}", png(9, 64, 64))
    studio.start(late)
    studio.put("inbox/hero.toml", BRIEF)
    studio.until_heard("committed")
    studio.until_idle()
    assert late.came == 1
    assert done(studio) == ["inbox/hero.png" if beside == "hero.png" else "inbox/hero.toml"]
    assert studio.folders() == {"selected": ["hero.png", "hero.toml"]}
    assert studio.archived() == sorted(["inbox/hero.toml", f"inbox/{beside}"])
    assert len(studio.heard("started", stage="generate")) == 2


def test_a_brief_that_goes_while_it_is_at_work_makes_nothing(studio: Studio) -> None:
    """And one that is edited is run as it is now."""
    studio.put("inbox/gone.toml", BRIEF)
    studio.put("inbox/edited.toml", BRIEF)
    studio.until_heard("started", 1, picture="inbox/gone.toml")
    studio.at("inbox/gone.toml").unlink()
    studio.put("inbox/edited.toml", BRIEF.replace("red", "blue"))
    studio.until_idle()
    assert studio.folders() == {"selected": ["edited.png", "edited.toml"]}
    assert [row.record["prompt"] for row in studio.history()] == ["a blue chair"]


@pytest.mark.parametrize("beside", ["strength", "mask", "campaign", "prompt"])
def test_what_needs_its_picture_waits_for_it(studio: Studio, beside: str) -> None:
    """A strength, a mask, a campaign's brief or a prompt alone: nothing is made until the picture is there."""
    name = {"campaign": "brief.toml", "prompt": "hero.txt"}.get(beside, "hero.toml")
    text = "a chair" if beside == "prompt" else BRIEF + ("strength = 0.4\n" if beside == "strength" else "")
    studio.put(f"inbox/{name}", text)
    if beside == "mask":
        studio.put("inbox/hero.mask.png", mask())
    studio.until_idle()
    assert not studio.heard("started")
    assert studio.note("inbox/hero.toml") == ""
    studio.put("inbox/hero.png", png())
    studio.until_idle()
    assert done(studio) == ["inbox/hero.png"]


def test_what_is_wrong_with_it_is_told_beside_it_and_mended_there(studio: Studio) -> None:
    """The note is called after the brief, and goes when the brief is right."""
    studio.put("inbox/hero.toml", BRIEF.replace("regenerate", "regenrate"))
    studio.until(lambda: studio.note("inbox/hero.toml"), "a note")
    assert "regenrate" in studio.note("inbox/hero.toml")
    studio.put("inbox/hero.toml", BRIEF)
    studio.until_idle()
    assert studio.folders() == {"selected": ["hero.png", "hero.toml"]}


@pytest.mark.parametrize("restart", [False, True])
def test_its_note_goes_when_the_picture_comes(studio: Studio, restart: bool) -> None:
    """What is wrong is then told beside the picture; also where that came while the daemon was down."""
    studio.put("inbox/hero.toml", BRIEF.replace("regenerate", "regenrate"))
    studio.until(lambda: studio.note("inbox/hero.toml"), "a note")
    if restart:
        studio.stop()
    studio.put("inbox/hero.png", png())
    studio.until(lambda: studio.note("inbox/hero.png") and not studio.note("inbox/hero.toml"), "the other note")
    studio.put("inbox/hero.toml", BRIEF)
    studio.until_idle()
    assert studio.folders() == {"selected": ["hero.png", "hero.toml"]}


@pytest.mark.parametrize("gone", ["hero.toml", "hero.toml.problem.txt"])
def test_a_note_on_a_brief_that_goes_goes_with_it(studio: Studio, gone: str) -> None:
    """And deleting the note tries again."""
    studio.put("inbox/hero.toml", BRIEF.replace("regenerate", "regenrate"))
    studio.until(lambda: studio.note("inbox/hero.toml"), "a note")
    studio.at(f"inbox/{gone}").unlink()
    if gone == "hero.toml":
        studio.until(lambda: not studio.note("inbox/hero.toml"), "no note")
    else:
        studio.until(lambda: len(studio.heard("held")) == 2 and studio.note("inbox/hero.toml"), "the note again")


def test_a_held_brief_stays_held_over_a_restart(studio: Studio) -> None:
    """It is not told twice."""
    studio.put("inbox/hero.toml", BRIEF.replace("regenerate", "regenrate"))
    studio.until(lambda: studio.note("inbox/hero.toml"), "a note")
    studio.restart()
    studio.until_idle()
    assert len(studio.heard("held")) == 1
    assert studio.note("inbox/hero.toml")


def test_reference_pictures_are_used_up_or_travel_on(studio: Studio) -> None:
    """Shown to the model they go to the archive; left aside they lie beside the result."""
    for stem, more in (("used", ""), ("left", "references = false\n")):
        studio.put(f"inbox/{stem}.ref.png", png(1))
        studio.put(f"inbox/{stem}.toml", BRIEF + more)
    studio.until_idle()
    assert studio.folder("selected") == ["left.png", "left.ref.png", "left.toml", "used.png", "used.toml"]
    assert "inbox/used.ref.png" in studio.archived()
    rows = {row.path: json.dumps(row.record) for row in studio.history()}
    assert "used.ref.png" in rows["inbox/used.toml"]


def test_a_flood_of_briefs_before_their_pictures_makes_nothing_from_words(tmp_path: Path) -> None:
    """Sixty briefs, then their pictures: each picture goes on once, and no brief was ever begun alone."""
    with studio_at(tmp_path, gather=5) as studio:
        studio.line(LINE)
        for number in range(60):
            studio.put(f"inbox/p{number}.toml", BRIEF)
        for number in range(60):
            studio.put(f"inbox/p{number}.png", png(number))
        studio.until(lambda: len(studio.heard("committed")) == 60, "sixty pictures")
        assert sorted(done(studio)) == sorted(f"inbox/p{number}.png" for number in range(60))
