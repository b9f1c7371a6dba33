"""Regression tests for the bugs that new users met."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.commission import EXPORT
from doubles.pictures import png
from doubles.studio import Studio, studio_at
from goldsmith.errors import UsageError
from goldsmith.service.service import Service
from goldsmith.service.setup import load_setup

NO_STEPS = "generate = []\n"
WITH_LOOK = '[[grade]]\nop = "grade"\nlook = "not-there-yet"\n'


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path) as opened:
        yield opened


def test_a_second_picture_of_the_same_name_becomes_version_2(studio: Studio) -> None:
    """The number of the first version is not used again, although its files are gone."""
    for number in (1, 2):
        studio.put("inbox/hero.png", png(number))
        studio.put("inbox/hero.toml", NO_STEPS)
        studio.until(lambda: len(studio.folder("selected")) == 2, "picture and brief in selected/")
        names = studio.folder("selected")
        for name in names:
            os.rename(studio.at(f"selected/{name}"), studio.root.parent / name)
    assert names == ["hero_v002.png", "hero_v002.toml"]


def test_a_folder_that_is_not_a_root_stays_unchanged(tmp_path: Path) -> None:
    """``run --root`` with a wrong folder names the remedy and creates nothing."""
    folder = tmp_path / "holiday"
    folder.mkdir()
    with pytest.raises(UsageError, match="goldsmith init"):
        Service(lambda: load_setup(folder, state_dir=str(tmp_path / "state"))).run(until_idle=True)
    assert list(folder.iterdir()) == []


def test_a_refused_journal_folder_leaves_the_root_unchanged(studio: Studio) -> None:
    """The check comes before any folder is created."""
    before = sorted(os.listdir(studio.root))
    with pytest.raises(UsageError, match="inside the watched folders"):
        Service(lambda: load_setup(studio.root, state_dir=str(studio.root / "state"))).run(until_idle=True)
    assert sorted(os.listdir(studio.root)) == before


def test_a_prompt_for_a_stage_without_steps_waits(studio: Studio) -> None:
    """selected/ has no steps for a prompt alone: the picture stays, and the prompt is not consumed."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.txt", "a relaxed left hand")
    studio.until_idle()
    assert studio.folders() == {"selected": ["hero.png", "hero.txt"]}


def test_a_change_in_the_library_retries_only_the_pictures_that_need_it(studio: Studio) -> None:
    """The picture without its look is tried again; the cut-off picture is not."""
    studio.put("inbox/half.png", png()[:60])
    studio.put("inbox/half.toml", NO_STEPS)
    studio.put("masked/hero.png", png())
    studio.put("masked/hero.toml", WITH_LOOK)
    studio.until(lambda: studio.note("inbox/half.png") and studio.note("masked/hero.png"), "both notes")
    identity = "LUT_3D_SIZE 2\n" + "".join(f"{r} {g} {b}\n" for b in (0, 1) for g in (0, 1) for r in (0, 1))
    studio.put("library/looks/not-there-yet.cube", identity)
    studio.until(lambda: studio.folder("graded"), "the graded picture")
    studio.until_idle()
    assert [row.outcome for row in studio.history() if row.path == "inbox/half.png"] == ["problem"]


def test_a_corrected_look_releases_its_pictures(studio: Studio) -> None:
    """Saving the look again is enough, although the step found the error and not the brief."""
    studio.put("library/looks/not-there-yet.cube", "LUT_3D_SIZE 2\n0 0 0\n")
    studio.put("masked/hero.png", png())
    studio.put("masked/hero.toml", WITH_LOOK)
    studio.until(lambda: studio.note("masked/hero.png"), "a note on the broken look")
    identity = "LUT_3D_SIZE 2\n" + "".join(f"{r} {g} {b}\n" for b in (0, 1) for g in (0, 1) for r in (0, 1))
    studio.put("library/looks/not-there-yet.cube", identity)
    studio.until(lambda: "hero.png" in studio.folder("graded"), "the graded picture")


def test_a_link_gets_a_note_and_is_never_followed(studio: Studio) -> None:
    """The note says to copy the file itself. After that, the picture is processed."""
    outside = studio.root.parent / "outside.png"
    outside.write_bytes(png())
    studio.put("inbox/brief.toml", NO_STEPS)
    os.symlink(outside, studio.at("inbox/hero.png"))
    studio.until(lambda: studio.note("inbox/hero.png"), "a note on the link")
    assert "links are not followed" in studio.note("inbox/hero.png")
    studio.put("inbox/hero.png", png())
    studio.until(lambda: "hero.png" in studio.folder("selected"), "the picture itself")
    assert studio.note("inbox/hero.png") == ""
    assert outside.exists()


def test_a_pipe_gets_a_note_and_is_never_opened(studio: Studio) -> None:
    """Opening a FIFO would hang."""
    studio.put("inbox/brief.toml", NO_STEPS)
    os.mkfifo(studio.at("inbox/hero.png"))
    studio.until(lambda: studio.note("inbox/hero.png"), "a note on the pipe")
    assert "is not a file" in studio.note("inbox/hero.png")


def test_an_undecodable_name_gets_a_readable_note(studio: Studio) -> None:
    """Undecodable bytes and line breaks in a name do not break the journal, the note or the main loop."""
    name = b"inbox/he\nro\xff.png"
    studio.put(name, b"not a picture at all, not even nearly")
    studio.put(b"inbox/he\nro\xff.toml", EXPORT)
    note = studio.at(name + b".problem.txt")
    studio.until(note.exists, "a note")
    assert note.read_text().splitlines()[0].startswith("he�ro�.png")
