"""Files in formats that Goldsmith does not read, and empty files: ignored beside their picture, reported if an instruction reaches them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.commission import GRADE, PIPELINE
from doubles.pictures import mask, png
from doubles.studio import Studio, studio_at

OPENEXR = b"v/1\1" + bytes(64)
BRIEF = '[[edit]]\nop = "denoise"\n' + GRADE


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        yield studio


def test_a_document_with_a_brief_gets_a_note(studio: Studio) -> None:
    """The note on hero.exr says which format to save it in, and no file moves."""
    studio.put("selected/hero.exr", OPENEXR)
    studio.put("selected/hero.toml", BRIEF)
    studio.until_idle()
    assert "hero.exr is not a picture that can be read: it starts like an OpenEXR picture.\nSave it as PNG" in studio.note(
        "selected/hero.exr"
    )
    assert studio.folders() == {"selected": ["hero.exr", "hero.exr.problem.txt", "hero.toml"]}


def test_a_picture_saved_from_the_document_moves_on_and_the_document_stays(studio: Studio) -> None:
    """The note is deleted; the document itself is not archived."""
    studio.put("selected/hero.exr", OPENEXR)
    studio.put("selected/hero.toml", BRIEF)
    studio.until(lambda: studio.note("selected/hero.exr"), "the note")
    studio.put("selected/hero.png", png())
    studio.until(lambda: studio.folder("graded"), "the picture in graded")
    studio.until_idle()
    assert studio.folders() == {"graded": ["hero.png", "hero.toml"], "selected": ["hero.exr"]}


def test_a_campaign_s_brief_reaches_a_document_alone(studio: Studio) -> None:
    """It gets a note, and the pictures beside it go on. Saved as PNG it goes on too, and the document stays."""
    studio.put("selected/spring/brief.toml", BRIEF)
    studio.put("selected/spring/hero.jp2", b"\0\0\0\x0cjP  " + bytes(64))
    studio.put("selected/spring/other.png", png())
    studio.put("selected/spring/other.exr", OPENEXR)
    studio.until(lambda: studio.note("selected/spring/hero.jp2"), "the note")
    assert studio.note("selected/spring/hero.jp2").startswith(
        "hero.jp2 is not a picture that can be read: it starts like a JPEG 2000 picture."
    )
    studio.put("selected/spring/hero.png", png())
    studio.until(lambda: len(studio.folder("graded")) == 4, "both pictures")
    studio.until_idle()
    assert studio.folders()["selected"] == ["spring/brief.toml", "spring/hero.jp2", "spring/other.exr"]


@pytest.mark.parametrize("suffix", ["gif", "bmp", "jp2", "jxl", "tga", "exr", "svg", "pdf"])
def test_every_foreign_format_gets_its_note(studio: Studio, suffix: str) -> None:
    """Whatever its bytes are, no picture of a campaign with a brief stays in silence."""
    studio.put("selected/spring/brief.toml", BRIEF)
    studio.put(f"selected/spring/hero.{suffix}", b"something else" + bytes(64))
    studio.until(lambda: studio.note(f"selected/spring/hero.{suffix}"), "the note")
    assert f"hero.{suffix} is not a picture that can be read" in studio.note(f"selected/spring/hero.{suffix}")


def test_a_mask_in_a_foreign_format_holds_its_picture_until_it_is_taken_away(studio: Studio) -> None:
    """The note gives the name to save it under. Without that file, or with the mask as PNG, the picture is tried again."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.mask.exr", OPENEXR)
    studio.put("selected/lamp.png", png())
    studio.put("selected/lamp.toml", BRIEF)
    studio.put("selected/lamp_mask.jp2", b"\0\0\0\x0cjP  " + bytes(64))
    studio.until(lambda: studio.note("selected/hero.png") and studio.note("selected/lamp.png"), "the notes")
    assert "“hero.mask.exr” is an OpenEXR picture, which Goldsmith does not read: save it as “hero.mask.png”." in studio.note(
        "selected/hero.png"
    )
    studio.until_idle()
    studio.at("selected/lamp_mask.jp2").unlink()
    studio.put("selected/hero.mask.png", mask())
    studio.until(lambda: "hero.png" in studio.folder("masked") and "lamp.png" in studio.folder("graded"), "both pictures")
    studio.until_idle()
    assert studio.folders()["selected"] == ["hero.mask.exr"]


@pytest.mark.parametrize("name", ["hero.png", "hero.mask.png", "hero.toml", "hero.txt"])
def test_an_empty_file_gets_a_note_after_a_while(studio: Studio, name: str) -> None:
    """``broken_after`` seconds are enough for its bytes to come. When they come later, the picture goes on and the note goes."""
    files: dict[str, bytes | str] = {"hero.png": png(), "hero.mask.png": mask(), "hero.toml": BRIEF, "hero.txt": "warmer"}
    for each, data in files.items():
        studio.put(f"selected/{each}", b"" if each == name else data)
    studio.until(lambda: studio.note("selected/hero.png"), "the note")
    assert studio.note("selected/hero.png").startswith(f"{name} is empty: it has 0 bytes.\nCopy or save it again, or remove it.\n")
    studio.until_idle()
    studio.put(f"selected/{name}", files[name])
    studio.until(lambda: "hero.png" in studio.folder("graded"), "the picture in graded")
    studio.until_idle()
    assert "selected" not in studio.folders()


def test_a_product_called_mask_is_not_eaten_as_the_mask_of_another(studio: Studio) -> None:
    """clay-mask.png is a photograph: the note beside clay.png asks, and both go on once it has a name of its own."""
    studio.put("selected/clay.png", png(1))
    studio.put("selected/clay.toml", BRIEF)
    studio.put("selected/clay-mask.png", png(2))
    studio.until(lambda: studio.note("selected/clay.png"), "the note")
    assert studio.note("selected/clay.png").startswith("clay-mask.png is named like the mask of clay, but ")
    studio.until_idle()
    studio.at("selected/clay-mask.png").rename(studio.at("selected/claypack.png"))
    studio.put("selected/claypack.toml", BRIEF)
    studio.until(lambda: {"clay.png", "claypack.png"} <= set(studio.folder("graded")), "both pictures in graded")
