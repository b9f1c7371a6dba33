"""The studio that other tests work in: its word that nothing more will happen must be true."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.pictures import png
from doubles.studio import Studio, studio_at

SHARPEN = '[[edit]]\nop = "sharpen"\n'


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path) as made:
        made.put("selected/acme/hero.png", png())
        made.until_idle()
        yield made


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("hero.toml", '[[generate]]\nop = "select"\n'),
        ("brief.toml", '[[generate]]\nop = "select"\n'),
        ("hero.txt", "warmer"),
        ("hero.cube", "LUT_3D_SIZE 2\n"),
        ("two.png", png(2)),
    ],
)
def test_whatever_was_put_down_just_before_is_waited_for(studio: Studio, name: str, data: bytes | str) -> None:
    """A brief, a prompt or a look as well as a picture: idle is the line that has heard of it, not the line that has not."""
    studio.put(f"selected/acme/{name}", data)
    assert not studio.knows_every_file()
    studio.until_idle()
    assert studio.works is not None
    assert studio.works.intake.state(f"selected/acme/{name}").status != "gone"


def test_what_was_saved_over_or_deleted_just_before_is_waited_for(studio: Studio) -> None:
    """A name that the intake knows is not yet the file that lies there now."""
    studio.put("selected/acme/hero.toml", "[[edit]]\n")
    studio.until(lambda: studio.note("selected/acme/hero.png"), "a note")
    studio.until_idle()
    studio.put("selected/acme/hero.toml", SHARPEN)
    assert not studio.knows_every_file()
    studio.until_idle()
    assert studio.folders() == {"masked": ["acme/hero.png", "acme/hero.toml"]}
    studio.at("masked/acme/hero.png").unlink()
    assert not studio.knows_every_file()
    studio.until_idle()
    assert studio.knows_every_file()


def test_names_that_mean_nothing_are_not_waited_for(studio: Studio) -> None:
    """Nobody will ever hear of a text document, of litter, or of what lies in a litter folder."""
    studio.put("selected/acme/notes.doc", "x")
    studio.put("selected/acme/hero.png.part", "x")
    studio.put("selected/@eaDir/hero.png", "x")
    studio.until_idle()
