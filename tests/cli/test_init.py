"""``goldsmith init``: folders that are ready, and nothing of anybody's touched."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from doubles.commandline import Goldsmith
from goldsmith.brief.settings import find_config
from goldsmith.files import resource_path
from goldsmith.library.library import LIBRARY_FOLDERS
from goldsmith.pipeline.intake.file_names import classify


def test_the_folders_are_made_with_a_line_in_each(goldsmith: Goldsmith, tmp_path: Path) -> None:
    """Five of the line, library and archive; the shelves; work in progress; and how to start it."""
    told = goldsmith("init", tmp_path / "new")
    assert told.code == 0
    assert f"goldsmith run --root {tmp_path}/new" in told.out
    for folder in ("inbox", "selected", "masked", "graded", "delivered", "library", "archive"):
        (readme,) = (tmp_path / "new" / folder).glob("README*")
        assert readme.read_text().count("\n") == 1
        assert classify(readme.name).role == "other"
    assert {path.name for path in (tmp_path / "new" / "library").iterdir() if path.is_dir()} == set(LIBRARY_FOLDERS)
    assert (tmp_path / "new" / ".goldsmith" / "work").is_dir()


def test_the_configuration_is_a_commented_copy_that_only_its_owner_can_change(goldsmith: Goldsmith, tmp_path: Path) -> None:
    """It is accepted by the rule that refuses what others may write to, whatever umask the house has."""
    before = os.umask(0o002)
    try:
        goldsmith("init", tmp_path / "new")
    finally:
        os.umask(before)
    assert find_config(None, tmp_path / "new", {}).folder == tmp_path / "new" / "config"
    for name in ("goldsmith.toml", "pipeline.toml", "models.toml"):
        file = tmp_path / "new" / "config" / name
        assert file.read_bytes() == resource_path("config", name).read_bytes()
        assert not file.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def test_what_is_there_already_stays_as_it_is(goldsmith: Goldsmith, root: Path) -> None:
    """Changed configuration, changed READMEs, pictures; what is missing is made."""
    (root / "config" / "goldsmith.toml").write_text("quiet = 5.0\n")
    (root / "inbox" / "README.txt").write_text("Ours.\n")
    (root / "inbox" / "hero.png").write_bytes(b"x")
    (root / "delivered" / "README.txt").unlink()
    assert goldsmith("init", root).code == 0
    assert (root / "config" / "goldsmith.toml").read_text() == "quiet = 5.0\n"
    assert (root / "inbox" / "README.txt").read_text() == "Ours.\n"
    assert (root / "inbox" / "hero.png").read_bytes() == b"x"
    assert (root / "delivered" / "README.txt").exists()


def test_a_line_of_ones_own_gets_its_own_folders(goldsmith: Goldsmith, root: Path) -> None:
    """A folder that exists only in pipeline.toml is made the next time."""
    line = root / "config" / "pipeline.toml"
    line.write_text(line.read_text() + '\n[[stage]]\nname = "proof"\nfolder = "delivered"\nnext = "proofed"\n')
    assert "proofed/" in goldsmith("init", root).out
    assert (root / "proofed" / "README.txt").exists()


@pytest.mark.parametrize("name", ["two words", "it's", "한국"])
def test_the_line_to_copy_is_right_for_any_name(goldsmith: Goldsmith, tmp_path: Path, name: str) -> None:
    """Quoted for the shell."""
    import shlex

    told = goldsmith("init", tmp_path / name)
    line = told.out.splitlines()[-1].partition(": ")[2]
    assert shlex.split(line) == ["goldsmith", "run", "--root", str(tmp_path / name)]


def test_where_nothing_can_be_made_it_says_so(goldsmith: Goldsmith, tmp_path: Path) -> None:
    """A file in the way is the machine's fault, in a sentence."""
    (tmp_path / "file").write_bytes(b"")
    told = goldsmith("init", tmp_path / "file")
    assert told.code == 4
    assert "cannot be made" in told.err
