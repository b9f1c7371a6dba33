"""The library folders: the root's own files have precedence over shipped ones, and only fonts ship."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from goldsmith.errors import HostError, InputError
from goldsmith.library.library import MAX_FILE_BYTES, Library
from goldsmith.ops.grade.look_files import MAX_CUBE_BYTES
from goldsmith.ops.text.font import MAX_FONT_BYTES
from goldsmith.picture.print.cmyk import MAX_PROFILE_BYTES
from goldsmith.root_folder import RootFolder

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


@pytest.mark.parametrize("folder", MAX_FILE_BYTES)
def test_a_library_file_is_hashed_only_within_the_size_of_its_kind(folder: str, tmp_path: Path) -> None:
    """A sparse file of a terabyte is refused by its size; the sentence has the file, its size and the limit."""
    library, path = Library(tmp_path), tmp_path / "library" / folder / "a.bin"
    path.parent.mkdir(parents=True)
    data = b"x" * min(3_000_000, MAX_FILE_BYTES[folder])
    path.write_bytes(data)
    assert library.hash_file(path, MAX_FILE_BYTES[folder]) == hashlib.sha256(data).hexdigest()
    os.truncate(path, 1 << 40)
    size = MAX_FILE_BYTES[folder]
    limit = f"{size / 2**20:,.0f} MiB" if size > 1 << 20 else f"{size:,} bytes"
    with pytest.raises(InputError, match=rf"library/{folder}/a\.bin has 1,048,576 MiB; a file of this kind has at most {limit}"):
        library.hash_file(path, MAX_FILE_BYTES[folder])


@pytest.mark.parametrize(("number", "kind"), [(errno.EACCES, InputError), (errno.ENOTDIR, InputError), (errno.EIO, HostError)])
@pytest.mark.parametrize("call", ["open_file", "open_folder"])
def test_a_recipe_that_cannot_be_read_is_the_file_s_fault_unless_the_disk_fails(
    call: str, number: int, kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The main loop reads recipes, so no other error may come out."""
    (tmp_path / "library/recipes").mkdir(parents=True)
    (tmp_path / "library/recipes/studio.toml").write_bytes(b"")

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(RootFolder, call, refuse)
    with pytest.raises(kind, match="library/recipes"):
        Library(tmp_path).read_recipe("studio")


def test_a_link_in_the_library_is_not_hashed(tmp_path: Path) -> None:
    """It may lead to a file that nobody put into the library."""
    path = tmp_path / "library/looks/a.cube"
    path.parent.mkdir(parents=True)
    path.symlink_to("/etc/hostname")
    with pytest.raises(InputError, match="not an ordinary file"):
        Library(tmp_path).hash_file(path, 1 << 20)


def test_the_sizes_in_the_library_are_those_of_the_operations() -> None:
    """A file that the library lets pass is not refused by the operation for its size."""
    assert (MAX_FILE_BYTES["looks"], MAX_FILE_BYTES["fonts"], MAX_FILE_BYTES["profiles"]) == (
        MAX_CUBE_BYTES,
        MAX_FONT_BYTES,
        MAX_PROFILE_BYTES,
    )
