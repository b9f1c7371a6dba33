"""Files in formats that Goldsmith does not read: ignored beside their picture, reported if a brief is meant for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.commission import GRADE, PIPELINE
from doubles.pictures import png
from doubles.studio import Studio, studio_at

PHOTOSHOP = b"8BPS\0\1" + bytes(64)
BRIEF = '[[edit]]\nop = "denoise"\n' + GRADE


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        yield studio


def test_a_document_with_a_brief_gets_a_note(studio: Studio) -> None:
    """The note on hero.psd says which format to save it in, and no file moves."""
    studio.put("selected/hero.psd", PHOTOSHOP)
    studio.put("selected/hero.toml", BRIEF)
    studio.until_idle()
    assert "hero.psd is not a picture that can be read: it starts like a Photoshop document.\nSave it as PNG" in studio.note(
        "selected/hero.psd"
    )
    assert studio.folders() == {"selected": ["hero.psd", "hero.psd.problem.txt", "hero.toml"]}


def test_a_picture_saved_from_the_document_moves_on_and_the_document_stays(studio: Studio) -> None:
    """The note is deleted; the document itself is not archived."""
    studio.put("selected/hero.psd", PHOTOSHOP)
    studio.put("selected/hero.toml", BRIEF)
    studio.until(lambda: studio.note("selected/hero.psd"), "the note")
    studio.put("selected/hero.png", png())
    studio.until(lambda: studio.folder("graded"), "the picture in graded")
    studio.until_idle()
    assert studio.folders() == {"graded": ["hero.png", "hero.toml"], "selected": ["hero.psd"]}


def test_a_document_without_its_own_brief_is_ignored(studio: Studio) -> None:
    """The brief of a campaign does not apply to it."""
    studio.put("selected/spring/brief.toml", BRIEF)
    studio.put("selected/spring/hero.xcf", b"gimp xcf v011" + bytes(64))
    studio.put("selected/spring/other.png", png())
    studio.until(lambda: studio.folder("graded"), "the other picture")
    studio.until_idle()
    assert studio.folders()["selected"] == ["spring/brief.toml", "spring/hero.xcf"]
