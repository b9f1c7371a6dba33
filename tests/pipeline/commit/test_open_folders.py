"""The folders of a batch: a path leads to one place below the root, whatever it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from goldsmith.files import Filesystem
from goldsmith.pipeline.commit.open_folders import OpenFolders


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[OpenFolders]:
    (tmp_path / "root/masked/acme").mkdir(parents=True)
    with OpenFolders(Filesystem(), tmp_path / "root", set()) as folders:
        yield folders


@pytest.mark.parametrize(
    "path",
    [
        *("", ".", "..", "hero.png", "masked/", "masked/.", "masked/..", "masked//hero.png", "masked/./hero.png", "masked/../hero.png"),
        *("../outside/hero.png", "masked/acme/../../../hero.png", "masked/hero\0.png", "/hero.png", "/", "//masked/hero.png"),
        *("/masked/../hero.png", "/masked/./hero.png", "/masked/.."),
    ],
)
@pytest.mark.parametrize("create", [False, True])
def test_a_path_that_is_not_plain_is_refused(folders: OpenFolders, tmp_path: Path, path: str, create: bool) -> None:
    """No component is empty, a dot or two dots, and nothing lies directly in the root. Nothing is created."""
    folders.locate("masked/hero.png")  # the root is open now
    with pytest.raises(OSError, match="is not a plain path"):
        folders.locate(path, create=create)
    assert sorted(str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*")) == ["root", "root/masked", "root/masked/acme"]


@pytest.mark.parametrize("path", ["", ".", "..", "masked/..", "masked/../..", "/", "/etc", "/etc/ssl", "masked//acme"])
def test_a_folder_that_is_not_plain_is_not_opened(folders: OpenFolders, path: str) -> None:
    """A folder is named from the root."""
    folders.locate("masked/hero.png")
    with pytest.raises(OSError, match="is not a plain path"):
        folders.open_folder(path)


def test_names_with_dots_and_backslashes_are_plain(folders: OpenFolders, tmp_path: Path) -> None:
    """On this system they are names like any other."""
    for name in ("...", "..hero", "a\\..\\b", ".hero"):
        (tmp_path / "root/masked" / name).write_bytes(b"")
        assert not folders.is_free(f"masked/{name}")
