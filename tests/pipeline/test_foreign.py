"""Pictures of kinds that are not read, through the folders: left alone beside the picture they belong to, told of where they are meant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.commission import GRADE, LINE
from doubles.pictures import png
from doubles.studio import Studio, studio_at

PHOTOSHOP = b"8BPS\0\1" + bytes(64)
BRIEF = '[[edit]]\nop = "denoise"\n' + GRADE


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path) as made:
        made.line(LINE)
        yield made


def test_a_document_that_a_brief_speaks_of_gets_a_note(studio: Studio) -> None:
    """Who drops hero.psd with a brief is told what to save it as, and nothing is moved."""
    studio.put("selected/hero.psd", PHOTOSHOP)
    studio.put("selected/hero.toml", BRIEF)
    studio.until_idle()
    assert "hero.psd is not a picture that can be read: it starts like a Photoshop document.\nSave it as PNG" in studio.note(
        "selected/hero.psd"
    )
    assert studio.folders() == {"selected": ["hero.psd", "hero.psd.problem.txt", "hero.toml"]}


def test_saved_as_it_was_told_the_picture_goes_on_and_the_document_stays(studio: Studio) -> None:
    """The note goes by itself; what the picture was worked on in is not taken."""
    studio.put("selected/hero.psd", PHOTOSHOP)
    studio.put("selected/hero.toml", BRIEF)
    studio.until(lambda: studio.note("selected/hero.psd"), "the note")
    studio.put("selected/hero.png", png())
    studio.until(lambda: studio.folder("graded"), "the picture at its end")
    studio.until_idle()
    assert studio.folders() == {"graded": ["hero.png", "hero.toml"], "selected": ["hero.psd"]}


def test_a_document_alone_is_left_alone(studio: Studio) -> None:
    """Also one whose picture has gone on, and one in a campaign with a brief."""
    studio.put("selected/spring/brief.toml", BRIEF)
    studio.put("selected/spring/hero.xcf", b"gimp xcf v011" + bytes(64))
    studio.put("selected/spring/other.png", png())
    studio.until(lambda: studio.folder("graded"), "the other")
    studio.until_idle()
    assert studio.folders()["selected"] == ["spring/brief.toml", "spring/hero.xcf"]
