"""A candidate that is dragged from the archive goes on with the rest of its brief and with its history, as if it had been picked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from doubles.commission import EXPORT, GRADE, PIPELINE
from doubles.pictures import png
from doubles.studio import Studio, studio_at

BRIEF = "prompt = 'a red chair'\n[[generate]]\nop = 'regenerate'\nmodel = 'null-generate'\ncandidates = 3\n[[generate]]\nop = 'select'\n"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with studio_at(tmp_path_factory.mktemp("studio")) as studio:
        studio.write_pipeline(PIPELINE)
        yield studio


def _candidate(studio: Studio, stem: str, brief: str) -> str:
    """Generate candidates, and return the path of one in the archive that was not kept."""
    studio.put(f"inbox/{stem}.toml", brief)
    studio.until_idle()
    return next(f"archive/{path}" for path in studio.folder("archive") if f"{stem}_candidate0" in path)


def test_a_candidate_is_delivered_like_the_one_that_was_picked(studio: Studio) -> None:
    """The manifest begins with the stage that drew it."""
    path = _candidate(studio, "hero", BRIEF + GRADE + EXPORT)
    name = path.rpartition("/")[2].removesuffix(".png")
    shutil.copyfile(studio.at(path), studio.at(f"selected/{name}.png"))
    studio.until(lambda: studio.at(f"delivered/{name}.manifest.json").exists(), "the delivery of the candidate")
    studio.until_idle()
    stages = studio.manifest(f"delivered/{name}.manifest.json")["stages"]
    assert [stage["stage"] for stage in stages] == ["generate", "edit", "grade", "deliver"]
    assert stages[0]["picture"]["path"] == "inbox/hero.toml"
    assert stages[1]["known_by"] == "bytes"
    assert studio.at(f"delivered/{name}_web.jpg").exists()


def test_its_brief_is_written_once(studio: Studio) -> None:
    """Without the brief it waits, also after a restart."""
    path = _candidate(studio, "once", BRIEF + GRADE)
    name = path.rpartition("/")[2].removesuffix(".png")
    shutil.copyfile(studio.at(path), studio.at(f"selected/{name}.png"))
    studio.until(lambda: studio.at(f"selected/{name}.toml").exists(), "its brief")
    studio.at(f"selected/{name}.toml").unlink()
    studio.restart()
    studio.until_idle()
    assert studio.folder("selected") == [f"{name}.png"]
    studio.at(f"selected/{name}.png").unlink()


def test_another_picture_of_that_name_waits(studio: Studio) -> None:
    """So does a candidate in a folder of which its brief does not speak."""
    path = _candidate(studio, "other", BRIEF + GRADE)
    name = path.rpartition("/")[2].removesuffix(".png")
    studio.put(f"selected/{name}.png", png(5))
    shutil.copyfile(studio.at(path), studio.at(f"graded/{name}.png"))
    studio.until_idle()
    assert studio.folder("selected")[-1] == f"{name}.png"
    assert [each for each in studio.folder("graded") if each.startswith("other_")] == [f"{name}.png"]
