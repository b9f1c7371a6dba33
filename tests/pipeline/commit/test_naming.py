"""File names: versions, numbers in the archive, and the maximum length."""

from __future__ import annotations

import os

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from goldsmith.pipeline.commit.naming import archive_path, next_free_stem, replace_stem, split_version, with_number


@pytest.mark.parametrize(
    ("stem", "parts"),
    [("hero", ("hero", 1)), ("hero_v002", ("hero", 2)), ("hero_v001", ("hero", 0)), ("hero_v12", ("hero_v12", 1)), ("_v002", ("_v002", 1))],
)
def test_a_stem_is_split_into_base_and_version(stem: str, parts: tuple[str, int]) -> None:
    """Three digits make a version; a bare name is version 1."""
    assert split_version(stem) == parts


def test_a_free_name_is_kept() -> None:
    """This includes names that a person gave a version."""
    for stem in ("hero", "hero_v001", "hero_v007"):
        assert next_free_stem(stem, (), lambda _: True) == stem


def test_the_next_version_is_above_all_earlier_ones() -> None:
    """Gaps are not filled, so a higher number is always newer."""
    assert next_free_stem("hero", {1, 4}, lambda _: True) == "hero_v005"
    assert next_free_stem("hero", {1}, lambda stem: stem != "hero_v002") == "hero_v003"
    assert next_free_stem("shot_v001", {0}, lambda _: True) == "shot_v002"
    assert next_free_stem("hero", (), lambda stem: stem != "hero") == "hero_v002"


def test_results_get_the_new_stem() -> None:
    """Tails and suffixes stay. If a name does not begin with the stem, the version comes before its suffix."""
    assert replace_stem("masked/acme/hero_web.avif", "hero", "hero_v002") == "masked/acme/hero_v002_web.avif"
    assert replace_stem("masked/hero_v002.png", "hero_v002", "hero_v003") == "masked/hero_v003.png"
    assert replace_stem("delivered/readme.txt", "hero", "hero_v003") == "delivered/readme_v003.txt"


def test_the_archive_has_a_folder_for_each_day() -> None:
    """The day is in UTC, the original folders are kept, and a taken name gets a number."""
    assert archive_path("inbox/acme/hero.png", 0.0, lambda _: True) == "archive/1970-01-01/inbox/acme/hero.png"
    existing = {"archive/1970-01-01/inbox/hero.png", "archive/1970-01-01/inbox/hero~2.png"}
    assert archive_path("inbox/hero.png", 0.0, lambda path: path not in existing) == "archive/1970-01-01/inbox/hero~3.png"


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=255), st.integers(1, 9999))
def test_a_numbered_name_fits_the_maximum_length(name: str, number: int) -> None:
    """Any characters and the number fit into 255 bytes. Dot-files are never inputs, so the test leaves them out."""
    assume(not name.startswith("."))
    numbered = with_number(f"archive/{name}.png", number)
    assert len(os.fsencode(os.path.basename(numbered))) <= 255
    assert numbered.endswith(".png" if number == 1 else f"~{number}.png")
