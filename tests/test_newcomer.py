"""What people stumbled over when they tried it for the first time; each of these was wrong once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.commission import EXPORT
from doubles.pictures import png
from doubles.studio import Studio, studio_at
from goldsmith.errors import UsageError
from goldsmith.service import Service, load_setup

NULL = "generate = []\n"
NO_MODEL_NAMED = '[[grade]]\nop = "grade"\nlook = "not-there-yet"\n'


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path) as made:
        yield made


def test_a_second_hero_is_a_version_at_the_top_of_a_folder_too(studio: Studio) -> None:
    """Where the first one went to since does not matter: its number is not used again."""
    for number in (1, 2):
        studio.put("inbox/hero.png", png(number))
        studio.put("inbox/hero.toml", NULL)
        studio.until(lambda: len(studio.folder("selected")) == 2, "picture and brief in selected/")
        names = studio.folder("selected")
        for name in names:
            os.rename(studio.at(f"selected/{name}"), studio.root.parent / name)
    assert names == ["hero_v002.png", "hero_v002.toml"]


def test_a_folder_that_was_never_made_a_root_is_left_alone(tmp_path: Path) -> None:
    """``run --root`` on any folder by mistake says what to do and makes nothing."""
    elsewhere = tmp_path / "holiday"
    elsewhere.mkdir()
    with pytest.raises(UsageError, match="goldsmith init"):
        Service(lambda: load_setup(elsewhere, state_dir=str(tmp_path / "state"))).run(until_idle=True)
    assert list(elsewhere.iterdir()) == []


def test_a_journal_that_cannot_lie_where_it_should_leaves_the_root_as_it_was(studio: Studio) -> None:
    """The refusal comes before anything is made."""
    before = sorted(os.listdir(studio.root))
    with pytest.raises(UsageError, match="inside the watched folders"):
        Service(lambda: load_setup(studio.root, state_dir=str(studio.root / "state"))).run(until_idle=True)
    assert sorted(os.listdir(studio.root)) == before


def test_a_prompt_for_a_stage_without_steps_waits(studio: Studio) -> None:
    """selected/ has nothing to do with a prompt alone: the picture stays, and the prompt is not spent."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.txt", "a relaxed left hand")
    studio.until_idle()
    assert studio.folders() == {"selected": ["hero.png", "hero.txt"]}


def test_a_change_in_the_library_tries_only_what_it_can_mend(studio: Studio) -> None:
    """A look that was missing is found; half a picture is no better for it, and is told once."""
    studio.put("inbox/half.png", png()[:60])
    studio.put("inbox/half.toml", NULL)
    studio.put("masked/hero.png", png())
    studio.put("masked/hero.toml", NO_MODEL_NAMED)
    studio.until(lambda: studio.note("inbox/half.png") and studio.note("masked/hero.png"), "both notes")
    identity = "LUT_3D_SIZE 2\n" + "".join(f"{r} {g} {b}\n" for b in (0, 1) for g in (0, 1) for r in (0, 1))
    studio.put("library/looks/not-there-yet.cube", identity)
    studio.until(lambda: studio.folder("graded"), "the graded picture")
    studio.until_idle()
    assert [row.outcome for row in studio.history() if row.path == "inbox/half.png"] == ["problem"]


def test_a_broken_look_that_is_mended_sets_its_pictures_free(studio: Studio) -> None:
    """The step found the fault, not the brief; saving the look again is enough all the same."""
    studio.put("library/looks/not-there-yet.cube", "LUT_3D_SIZE 2\n0 0 0\n")
    studio.put("masked/hero.png", png())
    studio.put("masked/hero.toml", NO_MODEL_NAMED)
    studio.until(lambda: studio.note("masked/hero.png"), "a note on the broken look")
    identity = "LUT_3D_SIZE 2\n" + "".join(f"{r} {g} {b}\n" for b in (0, 1) for g in (0, 1) for r in (0, 1))
    studio.put("library/looks/not-there-yet.cube", identity)
    studio.until(lambda: "hero.png" in studio.folder("graded"), "the graded picture")


def test_a_link_gets_a_note_and_is_never_followed(studio: Studio) -> None:
    """Its sentence says to copy the file itself; once that is done, it is taken."""
    outside = studio.root.parent / "outside.png"
    outside.write_bytes(png())
    studio.put("inbox/brief.toml", NULL)
    os.symlink(outside, studio.at("inbox/hero.png"))
    studio.until(lambda: studio.note("inbox/hero.png"), "a note on the link")
    assert "links are not followed" in studio.note("inbox/hero.png")
    studio.put("inbox/hero.png", png())
    studio.until(lambda: "hero.png" in studio.folder("selected"), "the picture itself")
    assert studio.note("inbox/hero.png") == ""
    assert outside.exists()


def test_a_pipe_is_told_and_never_waited_for(studio: Studio) -> None:
    """A FIFO called like a picture would hang whoever opens it."""
    studio.put("inbox/brief.toml", NULL)
    os.mkfifo(studio.at("inbox/hero.png"))
    studio.until(lambda: studio.note("inbox/hero.png"), "a note on the pipe")
    assert "is not a file" in studio.note("inbox/hero.png")


def test_a_name_that_is_no_text_gets_a_note_that_is(studio: Studio) -> None:
    """Undecodable bytes and line breaks in a name never break the journal, the note or the loop."""
    name = b"inbox/he\nro\xff.png"
    studio.put(name, b"not a picture at all, not even nearly")
    studio.put(b"inbox/he\nro\xff.toml", EXPORT)
    note = studio.at(name + b".problem.txt")
    studio.until(note.exists, "a note")
    assert note.read_text().splitlines()[0].startswith("he�ro�.png")
