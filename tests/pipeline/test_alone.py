"""A brief without a picture: it becomes a picture exactly once, and never if its picture arrives in time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.commission import EXPORT, GRADE, PIPELINE
from doubles.pictures import mask, png
from doubles.studio import Studio, studio_at
from goldsmith.files import Filesystem, PathAt

BRIEF = 'prompt = "a red chair"\n[[generate]]\nop = "regenerate"\nmodel = "null-generate"\n'
FOUR_CANDIDATES = BRIEF + "candidates = 4\n"


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        yield studio


def first_stage_assets(studio: Studio) -> list[str]:
    """Return the assets that passed the first stage, from the history."""
    return [row.path for row in studio.history() if row.stage == "generate" and row.outcome == "passed"]


def test_a_lone_brief_becomes_a_picture(studio: Studio) -> None:
    """The brief is archived, its resolved form moves on, and the history row is about the brief."""
    studio.put("inbox/acme/hero.toml", BRIEF)
    studio.until_idle()
    assert studio.folders() == {"selected": ["acme/hero.png", "acme/hero.toml"]}
    assert studio.archived() == ["inbox/acme/hero.toml"]
    (row,) = studio.history()
    assert (row.path, row.results) == ("inbox/acme/hero.toml", ("selected/acme/hero.png", "selected/acme/hero.toml"))
    assert studio.read("archive/" + next(path for path in studio.folder("archive") if path.endswith(".toml"))) == BRIEF.encode()
    assert b"resolved = true" in studio.read("selected/acme/hero.toml")


def test_one_of_several_candidates_moves_on_and_the_others_are_archived(studio: Studio) -> None:
    """The contact sheet is archived too, and the manifest has the candidates' seeds, scores, hashes and paths."""
    studio.put("inbox/hero.toml", FOUR_CANDIDATES + GRADE + EXPORT)
    studio.until_idle()
    assert studio.folders() == {"delivered": ["hero.manifest.json", "hero_print.png", "hero_web.jpg"]}
    archived = [path for path in studio.archived() if "candidate" in path]
    assert len([path for path in archived if path.endswith(".png")]) == 3
    assert "inbox/hero_candidates.jpg" in archived
    first = studio.manifest("delivered/hero.manifest.json")["stages"][0]
    assert [step["op"] for step in first["steps"]] == ["regenerate", "select"]
    assert {studio.at(entry["archived"]).exists() for entry in first["archive_only"]} == {True}
    assert [set(entry) >= {"number", "seed", "score", "sha256"} for entry in first["archive_only"]] == [True, True, True, False]
    assert first["picture"]["path"] == "inbox/hero.toml"


def test_a_brief_that_is_dropped_again_makes_the_next_version(studio: Studio) -> None:
    """Neither the result nor an archived candidate is overwritten."""
    for _ in range(2):
        studio.put("inbox/hero.toml", FOUR_CANDIDATES)
        studio.until_idle()
    assert studio.folder("selected") == ["hero.png", "hero.toml", "hero_v002.png", "hero_v002.toml"]
    assert studio.read("selected/hero.png") == studio.read("selected/hero_v002.png")
    assert "inbox/hero_candidates~2.jpg" in studio.archived()


def test_a_picture_that_arrives_within_the_gather_time_is_used(tmp_path: Path) -> None:
    """During the gather time the brief makes no picture from its prompt."""
    with studio_at(tmp_path, gather=5) as studio:
        studio.write_pipeline(PIPELINE)
        studio.put("inbox/hero.toml", BRIEF)
        studio.until(lambda: studio.runtime is not None and studio.runtime.intake.is_followed("inbox/hero.toml"))
        studio.put("inbox/hero.png", png())
        studio.until_event("committed")
        assert first_stage_assets(studio) == ["inbox/hero.png"]
        assert not studio.events_of("started", picture="inbox/hero.toml")


def test_a_picture_that_arrives_during_the_work_restarts_it(studio: Studio) -> None:
    """The picture made from the prompt is discarded; there is one result, made from the real picture, and each input is archived once."""
    studio.put("inbox/hero.toml", BRIEF)
    studio.until_event("started", picture="inbox/hero.toml")
    studio.put("inbox/hero.png", png())
    studio.until_idle()
    assert first_stage_assets(studio) == ["inbox/hero.png"]
    assert studio.folders() == {"selected": ["hero.png", "hero.toml"]}
    assert studio.archived() == ["inbox/hero.png", "inbox/hero.toml"]


class LateArrival(Filesystem):
    """Puts a file on the share just before a brief is moved away."""

    def __init__(self, studio: Studio, path: str, data: bytes) -> None:
        self.studio, self.path, self.data = studio, path, data
        self.arrivals = 0

    def rename_noreplace(self, source: PathAt, target: PathAt) -> None:
        if source.name == "hero.toml" and not self.arrivals:
            self.arrivals += 1
            self.studio.put(self.path, self.data)
        super().rename_noreplace(source, target)


@pytest.mark.parametrize("name", ["hero.png", "hero.ref.png"])
def test_a_file_that_arrives_between_the_last_check_and_the_commit_restarts_the_work(studio: Studio, name: str) -> None:
    """The finished picture is discarded; there is one result, made with the new file, and each input is archived once."""
    late = LateArrival(studio, f"inbox/{name}", png(9, 64, 64))
    studio.start(late)
    studio.put("inbox/hero.toml", BRIEF)
    studio.until_event("committed")
    studio.until_idle()
    assert late.arrivals == 1
    assert first_stage_assets(studio) == ["inbox/hero.png" if name == "hero.png" else "inbox/hero.toml"]
    assert studio.folders() == {"selected": ["hero.png", "hero.toml"]}
    assert studio.archived() == sorted(["inbox/hero.toml", f"inbox/{name}"])
    assert len(studio.events_of("started", stage="generate")) == 2


def test_a_brief_that_is_deleted_during_the_work_makes_no_picture(studio: Studio) -> None:
    """A brief that is edited during the work runs in its new form."""
    studio.put("inbox/gone.toml", BRIEF)
    studio.until_event("started", 1, picture="inbox/gone.toml")
    studio.at("inbox/gone.toml").unlink()
    studio.put("inbox/edited.toml", BRIEF)
    studio.until_event("started", 1, picture="inbox/edited.toml")
    studio.put("inbox/edited.toml", BRIEF.replace("red", "blue"))
    studio.until_idle()
    assert studio.folders() == {"selected": ["edited.png", "edited.toml"]}
    assert [row.record["prompt"] for row in studio.history()] == ["a blue chair"]


@pytest.mark.parametrize("case", ["strength", "mask", "campaign", "prompt"])
def test_a_brief_that_needs_its_picture_waits_for_it(studio: Studio, case: str) -> None:
    """A brief with a strength or a mask, a campaign's brief and a lone prompt start only when the picture arrives."""
    name = {"campaign": "brief.toml", "prompt": "hero.txt"}.get(case, "hero.toml")
    text = "a chair" if case == "prompt" else BRIEF + ("strength = 0.4\n" if case == "strength" else "")
    studio.put(f"inbox/{name}", text)
    if case == "mask":
        studio.put("inbox/hero.mask.png", mask())
    studio.until_idle()
    assert not studio.events_of("started")
    assert studio.note("inbox/hero.toml") == ""
    studio.put("inbox/hero.png", png())
    studio.until_idle()
    assert first_stage_assets(studio) == ["inbox/hero.png"]


def test_a_problem_of_a_lone_brief_is_reported_beside_it(studio: Studio) -> None:
    """The note has the brief's name and is deleted when the brief is fixed."""
    studio.put("inbox/hero.toml", BRIEF.replace("regenerate", "regenrate"))
    studio.until(lambda: studio.note("inbox/hero.toml"), "a note")
    assert "regenrate" in studio.note("inbox/hero.toml")
    studio.put("inbox/hero.toml", BRIEF)
    studio.until_idle()
    assert studio.folders() == {"selected": ["hero.png", "hero.toml"]}


@pytest.mark.parametrize("restart", [False, True])
def test_the_note_moves_to_the_picture_when_it_arrives(studio: Studio, restart: bool) -> None:
    """This also holds if the picture arrives while the daemon is down."""
    studio.put("inbox/hero.toml", BRIEF.replace("regenerate", "regenrate"))
    studio.until(lambda: studio.note("inbox/hero.toml"), "a note")
    if restart:
        studio.stop()
    studio.put("inbox/hero.png", png())
    studio.until(lambda: studio.note("inbox/hero.png") and not studio.note("inbox/hero.toml"), "the other note")
    studio.put("inbox/hero.toml", BRIEF)
    studio.until_idle()
    assert studio.folders() == {"selected": ["hero.png", "hero.toml"]}


@pytest.mark.parametrize("name", ["hero.toml", "hero.toml.problem.txt"])
def test_the_note_of_a_deleted_brief_is_deleted(studio: Studio, name: str) -> None:
    """Deleting only the note leads to a new try."""
    studio.put("inbox/hero.toml", BRIEF.replace("regenerate", "regenrate"))
    studio.until(lambda: studio.note("inbox/hero.toml"), "a note")
    studio.at(f"inbox/{name}").unlink()
    if name == "hero.toml":
        studio.until(lambda: not studio.note("inbox/hero.toml"), "no note")
    else:
        studio.until(lambda: len(studio.events_of("held")) == 2 and studio.note("inbox/hero.toml"), "the note again")


def test_a_held_brief_stays_held_after_a_restart(studio: Studio) -> None:
    """The problem is not reported twice."""
    studio.put("inbox/hero.toml", BRIEF.replace("regenerate", "regenrate"))
    studio.until(lambda: studio.note("inbox/hero.toml"), "a note")
    studio.restart()
    studio.until_idle()
    assert len(studio.events_of("held")) == 1
    assert studio.note("inbox/hero.toml")


def test_used_reference_pictures_are_archived_and_unused_ones_move_on(studio: Studio) -> None:
    """With references = false the reference lies beside the result."""
    for stem, setting in (("used", ""), ("left", "references = false\n")):
        studio.put(f"inbox/{stem}.ref.png", png(1))
        studio.put(f"inbox/{stem}.toml", BRIEF + setting)
    studio.until_idle()
    assert studio.folder("selected") == ["left.png", "left.ref.png", "left.toml", "used.png", "used.toml"]
    assert "inbox/used.ref.png" in studio.archived()
    rows = {row.path: json.dumps(row.record) for row in studio.history()}
    assert "used.ref.png" in rows["inbox/used.toml"]


def test_many_briefs_that_arrive_before_their_pictures_do_not_start_alone(tmp_path: Path) -> None:
    """Sixty briefs arrive, then their pictures: each picture moves on once, and no picture is made from a prompt."""
    with studio_at(tmp_path, gather=5) as studio:
        studio.write_pipeline(PIPELINE)
        for number in range(60):
            studio.put(f"inbox/p{number}.toml", BRIEF)
        for number in range(60):
            studio.put(f"inbox/p{number}.png", png(number))
        studio.until(lambda: len(studio.events_of("committed")) == 60, "sixty pictures")
        assert sorted(first_stage_assets(studio)) == sorted(f"inbox/p{number}.png" for number in range(60))
