"""The shelves: what lies in the root's own library stands before what ships, and only fonts ship."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.errors import InputError
from goldsmith.library.library import Library

FONTS = (".ttf", ".otf", ".ttc")


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    (tmp_path / "library" / "fonts").mkdir(parents=True)
    return tmp_path / "library" / "fonts"


def test_the_fonts_that_ship_are_found_in_an_empty_library(tmp_path: Path) -> None:
    """Also where there is no library at all; their licences are no fonts."""
    library = Library(tmp_path)
    assert library.list_names("fonts", FONTS) == [
        "Manrope",
        "Manrope-Bold",
        "Manrope-Regular",
        "SourceSansPro-It",
        "SourceSansPro-Regular",
        "SourceSansPro-Semibold",
    ]
    assert library.require("fonts", "manrope-bold", FONTS).name == "Manrope-Bold.ttf"


def test_the_root_s_own_font_stands_before_one_that_ships(tmp_path: Path, shelf: Path) -> None:
    """Whatever its suffix; its name is told once."""
    (shelf / "Manrope-Bold.ttc").write_bytes(b"own")
    library = Library(tmp_path)
    assert library.find("fonts", "Manrope-Bold", FONTS) == shelf / "Manrope-Bold.ttc"
    assert library.list_names("fonts", FONTS).count("Manrope-Bold") == 1


def test_a_slip_of_the_pen_gets_the_nearest_font(tmp_path: Path, shelf: Path) -> None:
    """One of the library's own, or one that ships."""
    (shelf / "Acme-Headline.otf").write_bytes(b"own")
    with pytest.raises(InputError, match="Acme-Headline"):
        Library(tmp_path).require("fonts", "Acme-Headlin", FONTS)
    with pytest.raises(InputError, match="Manrope-Bold"):
        Library(tmp_path).require("fonts", "Manrope-Bolt", FONTS)


def test_other_shelves_hold_only_what_somebody_put_there(tmp_path: Path) -> None:
    """The demo's look is in nobody's library until it is put there."""
    assert Library(tmp_path).list_names("looks", (".cube",)) == []
    assert Library(tmp_path).find("looks", "warm-amber", (".cube",)) is None
