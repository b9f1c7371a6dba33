"""Originals are found by their hashes, and only in the archive."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from goldsmith.files import resource_path
from goldsmith.pipeline.replay.sources import MissingSource, ReplaySources

DATA = b"the very bytes"
SHA = hashlib.sha256(DATA).hexdigest()
PLACE = "archive/2026-11-21/inbox/acme/hero.png"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / PLACE).parent.mkdir(parents=True)
    (folder / "library/looks").mkdir(parents=True)
    return folder


def copy_original(root: Path, to: Path, *places: str, max_bytes: int = 1000) -> None:
    ReplaySources(root, max_bytes).copy_original("inbox/acme/hero.png", SHA, places or (PLACE,), to)


def test_an_original_is_copied_from_its_recorded_place(root: Path, tmp_path: Path) -> None:
    """The copy has the same bytes."""
    (root / PLACE).write_bytes(DATA)
    copy_original(root, tmp_path / "deep/er/copy")
    assert (tmp_path / "deep/er/copy").read_bytes() == DATA


@pytest.mark.parametrize(
    "place",
    ["archive/2026-11-21/inbox/acme/hero~2.png", "archive/2026-11-21/inbox/acme/hero~31.png", "archive/1999-01-01/inbox/acme/hero.png"],
)
def test_an_original_is_found_under_another_number_or_day(root: Path, tmp_path: Path, place: str) -> None:
    """A commit may choose another number, so names with a number and other days are searched."""
    (root / PLACE).write_bytes(b"another hero of that day")
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).write_bytes(DATA)
    copy_original(root, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == DATA


def test_an_original_is_found_without_its_recorded_number(root: Path, tmp_path: Path) -> None:
    """The name without the number is searched too."""
    (root / PLACE).write_bytes(DATA)
    copy_original(root, tmp_path / "copy", PLACE.replace("hero.png", "hero~4.png"))
    assert (tmp_path / "copy").exists()


def test_the_error_about_a_missing_original_names_its_place(root: Path, tmp_path: Path) -> None:
    """The archive is empty."""
    with pytest.raises(MissingSource) as fault:
        copy_original(root, tmp_path / "copy")
    assert fault.value.sentence == f"inbox/acme/hero.png (sha256 {SHA[:12]}…) is not in the archive: there is no file at {PLACE}."
    assert not (tmp_path / "copy").exists()


def test_a_changed_original_is_not_copied(root: Path, tmp_path: Path) -> None:
    """Another file is at the recorded place."""
    (root / PLACE).write_bytes(b"other")
    with pytest.raises(MissingSource, match="is now another file"):
        copy_original(root, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_links_and_pipes_count_as_missing(root: Path, tmp_path: Path) -> None:
    """In the places of the file and its folders there are links to the right bytes, a pipe and a folder."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/hero.png").write_bytes(DATA)
    (root / PLACE).symlink_to(tmp_path / "elsewhere/hero.png")
    (root / "archive/2026-11-22/inbox").mkdir(parents=True)
    (root / "archive/2026-11-22/inbox/acme").symlink_to(tmp_path / "elsewhere")
    (root / "archive/2026-11-23/inbox/acme").mkdir(parents=True)
    os.mkfifo(root / "archive/2026-11-23/inbox/acme/hero.png")
    (root / "archive/2026-11-24/inbox/acme/hero.png").mkdir(parents=True)
    with pytest.raises(MissingSource):
        copy_original(root, tmp_path / "copy")


def test_a_very_large_original_is_not_read(root: Path, tmp_path: Path) -> None:
    """The file is sparse and has the size of a terabyte."""
    with (root / PLACE).open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(MissingSource, match="more than 1 MiB is not read"):
        copy_original(root, tmp_path / "copy", max_bytes=1 << 20)


def test_a_look_is_copied_with_its_present_hash(root: Path, tmp_path: Path) -> None:
    """The returned hash is that of the copied bytes."""
    (root / "library/looks/warm.cube").write_bytes(DATA)
    assert ReplaySources(root, 1000).copy_library_file("looks/warm.cube", tmp_path / "copy") == SHA
    assert (tmp_path / "copy").read_bytes() == DATA


def test_a_shipped_font_is_copied_if_the_library_has_none(root: Path, tmp_path: Path) -> None:
    """A font of the same name in the library takes precedence."""
    to = tmp_path / "copy"
    assert ReplaySources(root, 1000).copy_library_file("fonts/Manrope-Bold.ttf", to) == hashlib.sha256(to.read_bytes()).hexdigest()
    assert to.read_bytes() == resource_path("samples", "library", "fonts", "Manrope-Bold.ttf").read_bytes()
    (root / "library/fonts").mkdir()
    (root / "library/fonts/Manrope-Bold.ttf").write_bytes(DATA)
    assert ReplaySources(root, 1000).copy_library_file("fonts/Manrope-Bold.ttf", to) == SHA


@pytest.mark.parametrize(
    "name", ["looks/../../secret", "../config/goldsmith.toml", "looks/..", "looks/", "looks", "etc/passwd", "looks/a/b", "looks/a\0b"]
)
def test_only_files_of_library_folders_are_copied(root: Path, tmp_path: Path, name: str) -> None:
    """Names that lead out of the library are refused."""
    (root / "secret").write_bytes(DATA)
    with pytest.raises(MissingSource):
        ReplaySources(root, 1000).copy_library_file(name, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
