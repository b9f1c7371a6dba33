"""Originals are found by their hashes, in the archive and nowhere else, whatever lies there in their stead."""

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
    made = tmp_path / "root"
    (made / PLACE).parent.mkdir(parents=True)
    (made / "library/looks").mkdir(parents=True)
    return made


def original(root: Path, to: Path, *places: str, most: int = 1000) -> None:
    ReplaySources(root, most).copy_original("inbox/acme/hero.png", SHA, places or (PLACE,), to)


def test_an_original_is_copied_from_where_the_record_says(root: Path, tmp_path: Path) -> None:
    """Its bytes, once they have proved to be the right ones."""
    (root / PLACE).write_bytes(DATA)
    original(root, tmp_path / "deep/er/copy")
    assert (tmp_path / "deep/er/copy").read_bytes() == DATA


@pytest.mark.parametrize(
    "place",
    ["archive/2026-11-21/inbox/acme/hero~2.png", "archive/2026-11-21/inbox/acme/hero~31.png", "archive/1999-01-01/inbox/acme/hero.png"],
)
def test_it_is_found_at_another_number_and_under_another_day(root: Path, tmp_path: Path, place: str) -> None:
    """The commit may have given it another number than the manifest foresaw."""
    (root / PLACE).write_bytes(b"another hero of that day")
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).write_bytes(DATA)
    original(root, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == DATA


def test_it_is_found_at_its_first_name_where_the_record_has_a_number(root: Path, tmp_path: Path) -> None:
    """And the other way round."""
    (root / PLACE).write_bytes(DATA)
    original(root, tmp_path / "copy", PLACE.replace("hero.png", "hero~4.png"))
    assert (tmp_path / "copy").exists()


def test_where_nothing_lies_the_place_is_told(root: Path, tmp_path: Path) -> None:
    """And what it should have been."""
    with pytest.raises(MissingSource) as fault:
        original(root, tmp_path / "copy")
    assert fault.value.sentence == f"inbox/acme/hero.png (sha256 {SHA[:12]}…) is not in the archive: nothing lies at {PLACE}."
    assert not (tmp_path / "copy").exists()


def test_what_was_changed_is_told_and_not_copied(root: Path, tmp_path: Path) -> None:
    """Nothing that is not the original is worked on."""
    (root / PLACE).write_bytes(b"other")
    with pytest.raises(MissingSource, match="is another file now"):
        original(root, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_links_and_pipes_are_as_good_as_nothing(root: Path, tmp_path: Path) -> None:
    """Neither followed nor waited for, in the place of the file or of its folder, even where they lead to the right bytes."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/hero.png").write_bytes(DATA)
    (root / PLACE).symlink_to(tmp_path / "elsewhere/hero.png")
    (root / "archive/2026-11-22/inbox").mkdir(parents=True)
    (root / "archive/2026-11-22/inbox/acme").symlink_to(tmp_path / "elsewhere")
    (root / "archive/2026-11-23/inbox/acme").mkdir(parents=True)
    os.mkfifo(root / "archive/2026-11-23/inbox/acme/hero.png")
    (root / "archive/2026-11-24/inbox/acme/hero.png").mkdir(parents=True)
    with pytest.raises(MissingSource):
        original(root, tmp_path / "copy")


def test_a_file_that_no_lane_would_read_is_not_read_here(root: Path, tmp_path: Path) -> None:
    """A sparse terabyte is a sentence."""
    with (root / PLACE).open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(MissingSource, match="more than 1 MiB is not read"):
        original(root, tmp_path / "copy", most=1 << 20)


def test_a_look_is_copied_as_it_is_now(root: Path, tmp_path: Path) -> None:
    """With the hash that it has."""
    (root / "library/looks/warm.cube").write_bytes(DATA)
    assert ReplaySources(root, 1000).copy_library_file("looks/warm.cube", tmp_path / "copy") == SHA
    assert (tmp_path / "copy").read_bytes() == DATA


def test_a_font_that_ships_is_had_where_the_library_has_none_of_its_name(root: Path, tmp_path: Path) -> None:
    """The library's own stands before it, as when the picture was made."""
    to = tmp_path / "copy"
    assert ReplaySources(root, 1000).copy_library_file("fonts/Manrope-Bold.ttf", to) == hashlib.sha256(to.read_bytes()).hexdigest()
    assert to.read_bytes() == resource_path("samples", "library", "fonts", "Manrope-Bold.ttf").read_bytes()
    (root / "library/fonts").mkdir()
    (root / "library/fonts/Manrope-Bold.ttf").write_bytes(DATA)
    assert ReplaySources(root, 1000).copy_library_file("fonts/Manrope-Bold.ttf", to) == SHA


@pytest.mark.parametrize(
    "name", ["looks/../../secret", "../config/goldsmith.toml", "looks/..", "looks/", "looks", "etc/passwd", "looks/a/b", "looks/a\0b"]
)
def test_nothing_but_things_on_the_shelves_comes_from_the_library(root: Path, tmp_path: Path, name: str) -> None:
    """A recorded name is no way out of it."""
    (root / "secret").write_bytes(DATA)
    with pytest.raises(MissingSource):
        ReplaySources(root, 1000).copy_library_file(name, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
