"""The library folders: the root's own files have precedence over shipped ones, and only fonts ship."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.errors import InputError
from goldsmith.library.library import Library

FONTS = (".ttf", ".otf", ".ttc")


@pytest.fixture
def fonts(tmp_path: Path) -> Path:
    (tmp_path / "library" / "fonts").mkdir(parents=True)
    return tmp_path / "library" / "fonts"


def test_shipped_fonts_are_found_without_a_library(tmp_path: Path) -> None:
    """List the fonts of a root without a library; the licences beside them are not listed."""
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


def test_the_root_s_own_font_has_precedence_over_a_shipped_one(tmp_path: Path, fonts: Path) -> None:
    """Check a font with another suffix; its name is listed once."""
    (fonts / "Manrope-Bold.ttc").write_bytes(b"own")
    library = Library(tmp_path)
    assert library.find("fonts", "Manrope-Bold", FONTS) == fonts / "Manrope-Bold.ttc"
    assert library.list_names("fonts", FONTS).count("Manrope-Bold") == 1


def test_a_misspelt_font_gets_the_nearest_name(tmp_path: Path, fonts: Path) -> None:
    """Misspell a font of the library and a shipped one."""
    (fonts / "Acme-Headline.otf").write_bytes(b"own")
    with pytest.raises(InputError, match="Acme-Headline"):
        Library(tmp_path).require("fonts", "Acme-Headlin", FONTS)
    with pytest.raises(InputError, match="Manrope-Bold"):
        Library(tmp_path).require("fonts", "Manrope-Bolt", FONTS)


def test_other_library_folders_have_no_shipped_files(tmp_path: Path) -> None:
    """Check that a look of the demo is not found in an empty root."""
    assert Library(tmp_path).list_names("looks", (".cube",)) == []
    assert Library(tmp_path).find("looks", "warm-amber", (".cube",)) is None
