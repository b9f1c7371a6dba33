"""The studio of other tests: ``until_idle`` returns only when the daemon has no work left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.pictures import png
from doubles.studio import Studio, studio_at

SHARPEN = '[[edit]]\nop = "sharpen"\n'


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path) as opened_studio:
        opened_studio.put("selected/acme/hero.png", png())
        opened_studio.until_idle()
        yield opened_studio


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
def test_until_idle_waits_for_a_new_file(studio: Studio, name: str, data: bytes | str) -> None:
    """The daemon is idle only after the intake knows the new brief, prompt, look or picture."""
    studio.put(f"selected/acme/{name}", data)
    assert not studio.knows_every_file()
    studio.until_idle()
    assert studio.runtime is not None
    assert studio.runtime.intake.state(f"selected/acme/{name}").status != "gone"


def test_until_idle_waits_for_an_overwritten_and_for_a_deleted_file(studio: Studio) -> None:
    """The intake must know the present file, not only its name."""
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


def test_until_idle_ignores_files_without_a_role(studio: Studio) -> None:
    """The intake never reports a text document, a temporary file, or a file in an ignored folder."""
    studio.put("selected/acme/notes.doc", "x")
    studio.put("selected/acme/hero.png.part", "x")
    studio.put("selected/@eaDir/hero.png", "x")
    studio.until_idle()
